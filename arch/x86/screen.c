/* SPDX-License-Identifier: BSD-2-Clause */
#include "arch/x86/screen.h"
#include "arch/x86/font.h"
#include "arch/x86/paging.h"
#include "kernel/boot_info.h"

#define TEXT_ADDRESS 0xb8000
#define TEXT_COLUMNS 80
#define TEXT_ROWS    25
#define TEXT_GREY    0x0700
#define PIXEL_GREY   0xc0 /* in each of a pixel's three colours */
#define BOOT_MAPPED  0x100000000ul

/* A cell of text is one u16, a cell of pixels FONT_WIDTH x FONT_HEIGHT pixels of three or four
 * bytes. */
static struct {
	volatile u8 *base; /* NULL: not reachable */
	hpa_t address;	   /* 0: there is none */
	u64 size;
	u32 pitch; /* bytes per line of pixels; 0: text */
	u32 pixel; /* bytes per pixel */
	u32 columns, rows;
	u32 column, row;
} screen;

void screen_start(void)
{
	const struct boot_framebuffer *f = &boot_info.framebuffer;

	if (f->address.n != 0) {
		screen.address = f->address;
		screen.pitch = f->pitch;
		screen.pixel = f->bits / 8;
		screen.size = (u64)f->pitch * f->height;
		screen.columns = f->width / FONT_WIDTH;
		screen.rows = f->height / FONT_HEIGHT;
	} else if (boot_info.efi_system_table.n == 0) {
		screen.address = hpa(TEXT_ADDRESS);
		screen.size = sizeof(u16) * TEXT_COLUMNS * TEXT_ROWS;
		screen.columns = TEXT_COLUMNS;
		screen.rows = TEXT_ROWS;
	}
	if (screen.columns == 0 || screen.rows == 0)
		screen.address = hpa(0);
	if (screen.address.n != 0 && screen.address.n + screen.size <= BOOT_MAPPED)
		screen.base = (volatile u8 *)screen.address.n;
	/* The loader's last words stay above ours. */
	screen.row = screen.rows - 1;
}

void screen_unmap(void)
{
	screen.base = NULL;
}

void screen_map(void)
{
	u64 offset = screen.address.n % PAGE_SIZE;
	u8 *mapped;

	if (screen.address.n == 0)
		return;
	mapped = device_map(hpa(screen.address.n - offset),
			    (offset + screen.size + PAGE_SIZE - 1) / PAGE_SIZE);
	screen.base = mapped + offset;
}

static void draw(u32 column, u32 row, char c)
{
	const u8 *glyph;

	if (screen.pitch == 0) {
		((volatile u16 *)screen.base)[row * screen.columns + column] =
			(u16)(TEXT_GREY | (u8)c);
		return;
	}
	glyph = font_glyph(c);
	for (u32 y = 0; y < FONT_HEIGHT; y++) {
		volatile u8 *dot = screen.base + (u64)(row * FONT_HEIGHT + y) * screen.pitch +
				   (u64)column * FONT_WIDTH * screen.pixel;

		for (u32 x = 0; x < FONT_WIDTH; x++, dot += screen.pixel) {
			u8 colour = font_dot(glyph, x, y) ? PIXEL_GREY : 0;

			dot[0] = colour;
			dot[1] = colour;
			dot[2] = colour;
		}
	}
}

static void scroll(void)
{
	u64 line =
		screen.pitch == 0 ? screen.columns * sizeof(u16) : (u64)screen.pitch * FONT_HEIGHT;
	volatile u64 *to = (volatile u64 *)screen.base;

	for (u64 i = 0; i < line * (screen.rows - 1) / sizeof(u64); i++)
		to[i] = to[i + line / sizeof(u64)];
	for (u32 column = 0; column < screen.columns; column++)
		draw(column, screen.rows - 1, ' ');
}

void screen_put(char c)
{
	if (screen.base == NULL)
		return;
	if (c == '\n' || screen.column == screen.columns) {
		screen.column = 0;
		if (screen.row + 1 < screen.rows)
			screen.row++;
		else
			scroll();
	}
	if (c != '\n')
		draw(screen.column++, screen.row, c);
}
