/* SPDX-License-Identifier: BSD-2-Clause */
#include "kernel/start.h"
#include "arch/x86/cpu.h"
#include "arch/x86/crash.h"
#include "arch/x86/paging.h"
#include "arch/x86/smp.h"
#include "arch/x86/timer.h"
#include "arch/x86/tsc.h"
#include "arch/x86/world.h"
#include "kernel/boot_info.h"
#include "kernel/cpuid.h"
#include "kernel/panic.h"
#include "kernel/print.h"
#include "kernel/root_image.h"
#include "kernel/vendor.h"
#include "kernel/vm.h"
#include "mm/memory.h"
#include "mm/tlb.h"

#define NESTED_BITS 48u /* what four levels translate */

const struct vendor_ops *vendor;

static void vendor_choose(void)
{
	const char *problem;

	switch (cpu_features.vendor) {
	case CPU_INTEL:
		vendor = &vmx_ops;
		problem = vmx_probe();
		break;
	case CPU_AMD:
		vendor = &svm_ops;
		problem = svm_probe();
		break;
	default:
		boot_fail("Septum knows Intel VT-x and AMD-V; this processor (%s) has neither.",
			  cpu_features.vendor_name);
	}
	if (problem != NULL)
		boot_fail("%s", problem);
	problem = vendor->cpu_enable();
	if (problem != NULL)
		boot_fail("%s", problem);
}

static void memory_start(void)
{
	static struct memory_region regions[RANGE_SET_MAX];
	const struct range_set *ram = &boot_info.memory[BOOT_RAM];

	for (unsigned i = 0; i < ram->count; i++) {
		regions[i] = (struct memory_region){
			.base = hpa(ram->ranges[i].start),
			.size = ram->ranges[i].end - ram->ranges[i].start,
			.ram = true,
		};
	}
	memory_setup(regions, ram->count, MIN(cpu_features.physical_bits, NESTED_BITS),
		     vendor->format);
	own_seal();
	for (unsigned i = 0; i < boot_info.reserved.count; i++) {
		const struct range *range = &boot_info.reserved.ranges[i];

		memory_claim(hpa(range->start), range->end - range->start);
	}
}

void hypervisor_start(void)
{
	world_setup(cpu_features.vendor == CPU_INTEL);
	vendor_choose();
	cpuid_setup();
	vm_reserve_root();
	smp_start();
	tlb_cpu_count = cpu_count;
	if (vendor->machine_start != NULL)
		vendor->machine_start();
	memory_start();
	printk(LOG_INFO, "%s: nested paging, leaves up to %s", vendor->name,
	       nested_level_max == LEVEL_1G   ? "1 GiB"
	       : nested_level_max == LEVEL_2M ? "2 MiB"
					      : "4 KiB");
	crash_late_if_asked();
	tsc_measure_end();
	timer_measure_end();
	root_start();
}
