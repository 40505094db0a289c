/* SPDX-License-Identifier: BSD-2-Clause */
#include "guests/root/machine.h"
#include "guests/lib/cpu.h"
#include "guests/lib/print.h"
#include "guests/lib/string.h"
#include "guests/lib/trap.h"
#include "guests/root/hypercall.h"
#include "kernel/coverage.h"

#define PIC1_COMMAND 0x20u
#define PIC1_DATA    0x21u
#define PIC2_COMMAND 0xa0u
#define PIC2_DATA    0xa1u
#define PIC_BASE     0x20u /* vectors 0x20..0x2f */
#define PIC_EOI	     0x20u

const struct septum_boot_info *boot;
u64 interrupts_taken;

static struct {
	char text[32];
	unsigned length;
} line;

void console_flush(void)
{
	u64 words[4] = {0};

	if (!line.length)
		return;
	memcpy(words, line.text, line.length);
	septum(SEPTUM_CALL_CONSOLE, line.length, words[0], words[1], words[2], words[3]);
	line.length = 0;
}

void console_put(char c)
{
	line.text[line.length++] = c;
	if (c == '\n' || line.length == sizeof(line.text))
		console_flush();
}

void trap_unexpected(const struct trap_frame *f)
{
	print("\nroot: exception %lu error 0x%lx at 0x%lx (image + 0x%lx) cr2 0x%lx rsp 0x%lx\n",
	      f->vector, f->error, f->rip, f->rip & (LARGE_SIZE - 1), cr2_read(), f->rsp);
	machine_exit(99);
}

/* ---- memory: the largest free region, from the bottom up */

static struct {
	u64 start, next, end;
} arena;

static void memory_init(void)
{
	for (u32 i = 0; i < boot->region_count; i++) {
		const struct septum_boot_region *r = &boot->regions[i];
		u64 first = (r->base + PAGE_SIZE - 1) & ~(PAGE_SIZE - 1);
		u64 end = (r->base + r->size) & ~(PAGE_SIZE - 1);

		if (r->type == 1 && end > first && end - first > arena.end - arena.start) {
			arena.start = first;
			arena.end = end;
		}
	}
	arena.next = arena.start;
}

void *memory_take(u64 bytes, u64 align)
{
	u64 at = (arena.next + align - 1) & ~(align - 1);

	bytes = (bytes + PAGE_SIZE - 1) & ~(PAGE_SIZE - 1);
	if (at > arena.end || bytes > arena.end - at) {
		print("root: out of memory: %lu KiB wanted, %lu KiB left\n", bytes / 1024,
		      memory_free() / 1024);
		machine_exit(98);
	}
	arena.next = at + bytes;
	memset((void *)at, 0, bytes);
	return (void *)at;
}

u64 memory_mark(void)
{
	return arena.next;
}

void memory_release(u64 mark)
{
	arena.next = mark;
}

u64 memory_free(void)
{
	return arena.end - arena.next;
}

/* ---- interrupts: none is wanted, but one that the firmware left on must not stop the guests */

static bool interrupt_take(struct trap_frame *frame)
{
	interrupts_taken++;
	if (frame->vector >= PIC_BASE && frame->vector < PIC_BASE + 16) {
		if (frame->vector >= PIC_BASE + 8)
			out8(PIC2_COMMAND, PIC_EOI);
		out8(PIC1_COMMAND, PIC_EOI);
	}
	return true;
}

static void interrupts_init(void)
{
	static const u8 words[2][4] = {
		{0x11, PIC_BASE, 0x04, 0x01},
		{0x11, PIC_BASE + 8, 0x02, 0x01},
	};

	for (unsigned i = 0; i < 4; i++) {
		out8(i ? PIC1_DATA : PIC1_COMMAND, words[0][i]);
		out8(i ? PIC2_DATA : PIC2_COMMAND, words[1][i]);
	}
	out8(PIC1_DATA, 0xff);
	out8(PIC2_DATA, 0xff);
	for (unsigned v = 32; v < 256; v++)
		trap_handlers[v] = interrupt_take;
}

void interrupts_serve(void)
{
	__asm__ volatile("sti\n\tnop\n\tnop\n\tcli" : : : "memory");
}

/* ---- start and end */

void machine_exit(int status)
{
	char none[2];

	print("SEPTUM-EXIT: %d\n", status);
	console_flush();
#ifdef COVERAGE
	septum(COVERAGE_CALL);
#endif
	if (option_find(boot->args, "emulator-exit", none, sizeof(none))) {
		out32(0xf4, 0x10 + (u32)status);
		for (const char *c = "Shutdown"; *c; c++)
			out8(0x8900, (u8)*c);
	}
	print("The machine can be switched off.\n");
	for (;;)
		__asm__ volatile("cli; hlt");
}

__attribute__((noreturn)) void root_start(const struct septum_boot_info *info);

void root_start(const struct septum_boot_info *info)
{
	struct reply version;

	boot = info;
	trap_init(0);
	interrupts_init();
	cr0_write((cr0_read() | CR0_MP) & ~(CR0_EM | CR0_TS));
	cr4_write(cr4_read() | CR4_OSFXSR | CR4_OSXMMEXCPT);
	version = septum(SEPTUM_CALL_VERSION, SEPTUM_ABI_VERSION);
	if (boot->magic != SEPTUM_BOOT_MAGIC || version.status != SEPTUM_OK) {
		print("root: made for version %u.%u of the interface, but this is %lu.%lu\n",
		      SEPTUM_ABI_MAJOR, SEPTUM_ABI_MINOR, version.value >> 16,
		      version.value & 0xffff);
		machine_exit(97);
	}
	memory_init();
	machine_exit(root_main());
}
