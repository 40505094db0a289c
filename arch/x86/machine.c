/* SPDX-License-Identifier: BSD-2-Clause */
#include "arch/x86/machine.h"
#include "arch/x86/io.h"
#include "arch/x86/layout.h"
#include "arch/x86/smp.h"
#include "kernel/console.h"
#include "kernel/coverage.h"
#include "kernel/print.h"

#define QEMU_EXIT_PORT	0xf4
#define QEMU_EXIT_BASE	0x10
#define BOCHS_EXIT_PORT 0x8900

extern const char bss_start[], bss_end[];

static bool emulator_exit_allowed;

void machine_allow_emulator_exit(void)
{
	emulator_exit_allowed = true;
}

void machine_alone(void)
{
	if (!cpus_stop())
		cpu_halt_forever();
}

void machine_stop(enum exit_code code)
{
	machine_alone();
	if (emulator_exit_allowed) {
		char line[32];

		coverage_dump();
		console_write(line,
			      (size_t)snprintf(line, sizeof(line), "SEPTUM-EXIT: %d\n", (int)code));
		out8(QEMU_EXIT_PORT, (u8)(QEMU_EXIT_BASE + (unsigned)code));
		for (const char *c = "Shutdown"; *c != '\0'; c++)
			out8(BOCHS_EXIT_PORT, (u8)*c);
	}
	cpu_halt_forever();
}

bool machine_stack_read(u64 address, u64 *value)
{
	bool in_bss = address >= (u64)bss_start && address + 8 <= (u64)bss_end;
	u64 page = (address - STACK_VA) / PAGE_SIZE % STACK_CPU_PAGES;
	bool on_stack =
		address >= STACK_VA && address < STACK_VA + PAGE_SIZE * CPU_MAX * STACK_CPU_PAGES;

	/* Guard pages and the unused rest of a CPU's part are not mapped. */
	if (on_stack && page >= STACK_IST_FIRST)
		on_stack = page < STACK_IST_FIRST + 3 * STACK_IST_STRIDE &&
			   (page - STACK_IST_FIRST) % STACK_IST_STRIDE != 0;
	if ((!in_bss && (!on_stack || page == 0)) || !IS_ALIGNED(address, 8ul))
		return false;
	*value = *(const u64 *)address;
	return true;
}
