/* SPDX-License-Identifier: BSD-2-Clause */
/* Start-up, in order. */
#include "arch/x86/acpi.h"
#include "arch/x86/cpu.h"
#include "arch/x86/crash.h"
#include "arch/x86/io.h"
#include "arch/x86/machine.h"
#include "arch/x86/multiboot.h"
#include "arch/x86/paging.h"
#include "arch/x86/screen.h"
#include "arch/x86/traps.h"
#include "arch/x86/tsc.h"
#include "arch/x86/uart.h"
#include "kernel/cmdline.h"
#include "kernel/console.h"
#include "kernel/main.h"
#include "kernel/panic.h"
#include "kernel/print.h"
#include "kernel/start.h"

extern const char image_start[], image_end[];

static void print_memory_map(void)
{
	const struct range_set *ram = &boot_info.memory[BOOT_RAM];

	for (unsigned i = 0; i < ram->count; i++)
		printk(LOG_DEBUG, "memory: RAM %012lx-%012lx", ram->ranges[i].start,
		       ram->ranges[i].end - 1);
	printk(LOG_INFO, "memory: %lu MiB of RAM, image at %lx, %u modules",
	       range_set_total(ram) >> 20, boot_info.image.n, boot_info.module_count);
	for (unsigned i = 0; i < boot_info.module_count; i++)
		printk(LOG_INFO, "module %u: %lx, %lu bytes: %s", i, boot_info.modules[i].start.n,
		       boot_info.modules[i].size, boot_info.modules[i].cmdline);
}

static void check_processor(void)
{
	const char *problem;

	cpu_identify();
	printk(LOG_INFO, "processor: %s, %s, %u address bits%s", cpu_features.vendor_name,
	       cpu_features.brand, cpu_features.physical_bits,
	       cpu_features.under_hypervisor ? ", in a virtual machine" : "");
	problem = cpu_unsupported();
	if (problem != NULL)
		boot_fail("%s", problem);
}

/* The rest of start-up, on the guarded stack. */
static _Noreturn void start(void)
{
	acpi_start();
	tsc_measure_begin();
	objects_start();
	crash_if_asked();
	hypervisor_start();
}

void boot_main(u32 magic, u64 information, u64 image)
{
	const char *problem;

	cpu_early(&cpu_table[0]);
	uart_start();
	problem = multiboot_read(magic, information, image, (u64)image_end - (u64)image_start);
	screen_start();
	printk(LOG_INFO, "Septum, a microhypervisor for private and shared memory");
	/* The options first: one of them says how a refusal ends. */
	if (!cmdline_parse(boot_info.cmdline))
		boot_fail("Boot options: correct the line \"%s\".", boot_info.cmdline);
	if (problem != NULL)
		boot_fail("%s: %s.", boot_info.loader, problem);
	console_choose();
	printk(LOG_INFO, "%s, options: %s", boot_info.loader, boot_info.cmdline);
	check_processor();
	print_memory_map();

	screen_unmap();
	paging_start(&cpu_table[0], image);
	own_start();
	screen_map();
	stacks_map(0);
	cpu_tables_load(&cpu_table[0]);
	boot_stack_switch(stack_main_top(0), start);
}
