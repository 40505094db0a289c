/* SPDX-License-Identifier: BSD-2-Clause */
/* A guest as kvm-unit-tests writes them: reads its multiboot information, prints on COM1, ends by
 * port 0xf4. */
#include "guests/small/guest.h"

#define UART_DATA   0
#define UART_IER    1
#define UART_LCR    3
#define UART_STATUS 5
#define UART_EMPTY  0x20u

#define INFO_MEMORY  (1u << 0)
#define INFO_MODULES (1u << 3)
#define INFO_MMAP    (1u << 6)

struct mmap_entry {
	u32 size;
	u64 base, length;
	u32 type;
} __attribute__((packed));

static void serial_init(void)
{
	out8(PORT_COM1 + UART_IER, 0);
	out8(PORT_COM1 + UART_LCR, 0x80);
	out8(PORT_COM1 + UART_DATA, 1);
	out8(PORT_COM1 + UART_IER, 0);
	out8(PORT_COM1 + UART_LCR, 3);
	REQUIRE(in8(PORT_COM1 + UART_LCR) == 3);
}

static void say(const char *text)
{
	for (; *text; text++) {
		while (!(in8(PORT_COM1 + UART_STATUS) & UART_EMPTY))
			cpu_relax();
		out8(PORT_COM1 + UART_DATA, (u8)*text);
	}
}

/* All that the memory map calls usable is there. */
static void touch_memory(const u32 *info)
{
	const struct mmap_entry *map = (const struct mmap_entry *)(u64)info[12];
	u64 end = 0;

	REQUIRE((info[0] & INFO_MMAP) && info[11] % sizeof(*map) == 0);
	for (u32 i = 0; i < info[11] / sizeof(*map); i++)
		if (map[i].type == 1 && map[i].base + map[i].length > end)
			end = map[i].base + map[i].length;
	REQUIRE((info[0] & INFO_MEMORY) && end == 0x100000ul + 1024ul * info[2]);
	*word_at(end - 8) = 0x1a57;
	REQUIRE(*word_at(end - 8) == 0x1a57);
}

BODY(console)
{
	const u32 *info = guest.info;
	const u32 *modules = (const u32 *)(u64)info[6];
	char count[] = "0 modules";

	serial_init();
	touch_memory(info);
	REQUIRE(info[0] & INFO_MODULES);
	count[0] = (char)('0' + info[5]);
	say(strncmp(guest.args, "guest ", 6) == 0 ? guest.args + 6 : guest.args);
	say(", ");
	say(count);
	for (u32 i = 0; i < info[5]; i++) {
		REQUIRE(modules[4 * i + 1] > modules[4 * i]);
		say(": ");
		say((const char *)(u64)modules[4 * i + 2]);
	}
	say("\r\n");
}
