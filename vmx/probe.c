/* SPDX-License-Identifier: BSD-2-Clause */
/* Can this processor run Septum, and turning VMX on and off. Intel SDM Vol. 3, 24.6 to 24.8, and
 * appendix A. */
#include "arch/x86/cpu.h"
#include "arch/x86/io.h"
#include "arch/x86/mtrr.h"
#include "arch/x86/traps.h"
#include "kernel/string.h"
#include "mm/window.h"
#include "vmx/ops.h"
#include "vmx/vmx.h"

struct vmx_capabilities vmx_capabilities;
struct vmx_cpu vmx_cpus[CPU_MAX];

/* A capability word's upper half: what may be 1. */
static bool may(u64 capability, u32 bits)
{
	return (capability >> 32 & bits) == bits;
}

u32 control_word(u64 capability, u32 want)
{
	return (u32)((want | (u32)capability) & capability >> 32);
}

static void read_capabilities(void)
{
	struct vmx_capabilities *c = &vmx_capabilities;
	u32 first;

	c->basic = rdmsr(MSR_VMX_BASIC);
	first = (c->basic & BASIC_TRUE_CONTROLS) != 0 ? MSR_VMX_TRUE_PIN : MSR_VMX_PIN;
	c->pin = rdmsr(first);
	c->primary = rdmsr(first + 1);
	c->exit = rdmsr(first + 2);
	c->entry = rdmsr(first + 3);
	c->cr4_fixed1 = rdmsr(MSR_VMX_CR4_FIXED1);
	c->misc = rdmsr(MSR_VMX_MISC);
	c->secondary = may(c->primary, PRIMARY_SECONDARY) ? rdmsr(MSR_VMX_SECONDARY) : 0;
	c->ept_vpid = may(c->secondary, SECONDARY_EPT) ? rdmsr(MSR_VMX_EPT_VPID) : 0;
}

#define WHERE_OLD                                                                                  \
	"; Septum needs an Intel processor of the Westmere generation (2010) or later, or, in a "  \
	"virtual machine, a hypervisor that passes this on."

static const char *missing_control(void)
{
	const struct vmx_capabilities *c = &vmx_capabilities;
	const u64 ept = CAP_EPT_WALK_4 | CAP_EPT_WRITE_BACK | CAP_INVEPT | CAP_INVEPT_SINGLE;
	const u64 vpid = CAP_INVVPID | CAP_INVVPID_SINGLE;

	if ((c->basic & BASIC_TRUE_CONTROLS) == 0 ||
	    (c->primary & (PRIMARY_CR3_LOAD | PRIMARY_CR3_STORE)) != 0)
		return "This processor's VMX cannot leave CR3 to its guests (true "
		       "controls)" WHERE_OLD;
	if (!may(c->secondary, SECONDARY_EPT) || (c->ept_vpid & ept) != ept)
		return "This processor's VMX has no extended page tables (EPT) with write-back "
		       "memory and INVEPT" WHERE_OLD;
	if (!may(c->secondary, SECONDARY_UNRESTRICTED))
		return "This processor's VMX has no unrestricted guest mode" WHERE_OLD;
	if (!may(c->secondary, SECONDARY_VPID) || (c->ept_vpid & vpid) != vpid)
		return "This processor's VMX has no virtual processor identifiers (VPID) with "
		       "INVVPID" WHERE_OLD;
	if (!may(c->pin, PIN_INTERRUPT | PIN_NMI | PIN_VIRTUAL_NMI))
		return "This processor's VMX has no virtual NMIs" WHERE_OLD;
	if (!may(c->pin, PIN_PREEMPTION))
		return "This processor's VMX has no preemption timer" WHERE_OLD;
	if (!may(c->primary, PRIMARY_MSR_BITMAPS | PRIMARY_TPR_SHADOW | PRIMARY_NMI_WINDOW))
		return "This processor's VMX has no MSR bitmaps, TPR shadow or NMI-window "
		       "exiting" WHERE_OLD;
	if (!may(c->exit,
		 EXIT_HOST_64 | EXIT_SAVE_PAT | EXIT_LOAD_PAT | EXIT_SAVE_EFER | EXIT_LOAD_EFER) ||
	    !may(c->entry, ENTRY_LONG_MODE | ENTRY_LOAD_PAT | ENTRY_LOAD_EFER))
		return "This processor's VMX does not switch EFER and PAT for its guests" WHERE_OLD;
	return NULL;
}

const char *vmx_probe(void)
{
	u64 control;

	if (!cpu_features.vmx)
		return cpu_features.under_hypervisor
			       ? "This virtual machine has no Intel VT-x (VMX); turn on nested "
				 "virtualization in the hypervisor below."
			       : "This processor has no Intel VT-x (VMX), or the firmware hides "
				 "it; "
				 "enable \"Virtualization Technology\" in the firmware setup.";
	control = rdmsr(MSR_FEATURE_CONTROL);
	if ((control & FEATURE_CONTROL_LOCKED) != 0 && (control & FEATURE_CONTROL_VMX) == 0)
		return "The firmware has turned Intel VT-x (VMX) off and locked it; enable "
		       "\"Virtualization Technology\" in the firmware setup and switch the machine "
		       "off and on again.";
	read_capabilities();
	return missing_control();
}

/* VMXON needs a page of this CPU's own that begins with the revision. */
static bool vmxon(hpa_t region)
{
	bool failed;

	__asm__ volatile("vmxon %1" : "=@ccbe"(failed) : "m"(region.n) : "memory");
	return !failed;
}

const char *vmx_cpu_enable(void)
{
	struct vmx_cpu *cpu = this_vmx_cpu();
	u64 control = rdmsr(MSR_FEATURE_CONTROL);
	static bool prepared;
	u32 *region;

	if (!prepared) {
		mtrr_setup();
		controls_setup();
		nmi_window_add(vmx_window_start, vmx_window_end, vmx_window_abort);
		prepared = true;
	}
	if ((control & FEATURE_CONTROL_LOCKED) == 0)
		wrmsr(MSR_FEATURE_CONTROL, control | FEATURE_CONTROL_LOCKED | FEATURE_CONTROL_VMX);
	else if ((control & FEATURE_CONTROL_VMX) == 0)
		return "The firmware has locked Intel VT-x (VMX) off on one of the processors; "
		       "update the firmware, or enable \"Virtualization Technology\" in its setup.";
	write_cr0((read_cr0() | rdmsr(MSR_VMX_CR0_FIXED0)) & rdmsr(MSR_VMX_CR0_FIXED1));
	write_cr4((read_cr4() | rdmsr(MSR_VMX_CR4_FIXED0)) & rdmsr(MSR_VMX_CR4_FIXED1));
	region = own_alloc(1);
	*region = (u32)(vmx_capabilities.basic & BASIC_REVISION);
	if (!vmxon(pfn_to_hpa(own_pfn(region))))
		return "VMXON fails on this processor although VMX is enabled; another hypervisor "
		       "or the firmware uses it: boot Septum directly.";
	cpu->on = true;
	return NULL;
}

void vmx_cpu_disable(void)
{
	struct vmx_cpu *cpu = this_vmx_cpu();

	if (!cpu->on)
		return;
	cpu->on = false;
	cpu->current = NULL;
	__asm__ volatile("vmxoff" : : : "cc", "memory");
	write_cr4(read_cr4() & ~CR4_VMXE);
}
