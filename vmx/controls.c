/* SPDX-License-Identifier: BSD-2-Clause */
/* What a VMCS says before its first entry: controls, the host's state, the guest's first state.
 * Intel SDM Vol. 3, 25.5 to 25.8, 27.2 and 27.3. */
#include "arch/x86/cpu.h"
#include "arch/x86/io.h"
#include "kernel/panic.h"
#include "kernel/vendor.h"
#include "kernel/vm.h"
#include "vmx/vmx.h"

#define PAT_RESET	0x0007040600070406ul
#define DEBUGCTL_RESET	0ul
#define ACCESS_CODE32	0xc09bu
#define ACCESS_DATA32	0xc093u
#define ACCESS_TSS	0x008bu
#define ACCESS_UNUSABLE 0x10000u

/* CR4 bits that Septum knows how to leave to a vCPU. Missing: VMXE and SMXE, and whatever brings
 * state that nobody switches (CET, PKS, UINTR, FRED, LAM). */
#define CR4_ROOT_MAX                                                                               \
	(BIT(0) | BIT(1) | BIT(2) | BIT(3) | CR4_PSE | CR4_PAE | CR4_MCE | BIT(7) | BIT(8) |       \
	 BIT(9) | BIT(10) | BIT(11) | CR4_LA57 | BIT(16) | CR4_PCIDE | BIT(18) | CR4_SMEP |        \
	 BIT(21) | CR4_PKE)

/* Supervisor state that XSAVES and XRSTORS may move: PASID and CET. Processor trace is not among
 * it: it writes physical memory, past EPT. */
#define XSS_ROOT (BIT(10) | BIT(11) | BIT(12))

void controls_setup(void)
{
	nested_level_max = (vmx_capabilities.ept_vpid & CAP_EPT_1G) != 0   ? LEVEL_1G
			   : (vmx_capabilities.ept_vpid & CAP_EPT_2M) != 0 ? LEVEL_2M
									   : LEVEL_4K;
	msr_bitmaps_setup();
}

struct table_register {
	u16 limit;
	u64 base;
} __attribute__((packed));

void controls_host(void)
{
	struct table_register gdt, idt;

	__asm__ volatile("sgdt %0" : "=m"(gdt));
	__asm__ volatile("sidt %0" : "=m"(idt));
	vmwrite(VMCS_HOST_CR0, read_cr0());
	vmwrite(VMCS_HOST_CR3, read_cr3());
	vmwrite(VMCS_HOST_CR4, read_cr4());
	vmwrite(VMCS_HOST_CS_SELECTOR, SELECTOR_CODE);
	vmwrite(VMCS_HOST_SS_SELECTOR, SELECTOR_DATA);
	vmwrite(VMCS_HOST_DS_SELECTOR, SELECTOR_DATA);
	vmwrite(VMCS_HOST_ES_SELECTOR, SELECTOR_DATA);
	vmwrite(VMCS_HOST_FS_SELECTOR, 0);
	vmwrite(VMCS_HOST_GS_SELECTOR, 0);
	vmwrite(VMCS_HOST_TR_SELECTOR, SELECTOR_TSS);
	vmwrite(VMCS_HOST_FS_BASE, 0);
	vmwrite(VMCS_HOST_GS_BASE, (u64)this_cpu());
	vmwrite(VMCS_HOST_TR_BASE, (u64)&this_cpu()->tss);
	vmwrite(VMCS_HOST_GDTR_BASE, gdt.base);
	vmwrite(VMCS_HOST_IDTR_BASE, idt.base);
	vmwrite(VMCS_HOST_SYSENTER_CS, 0);
	vmwrite(VMCS_HOST_SYSENTER_ESP, 0);
	vmwrite(VMCS_HOST_SYSENTER_EIP, 0);
	vmwrite(VMCS_HOST_EFER, rdmsr(MSR_EFER));
	vmwrite(VMCS_HOST_PAT, rdmsr(MSR_PAT));
	vmwrite(VMCS_HOST_RIP, (u64)vmx_exit);
}

/* An instruction that a control lets through or makes #UD: the root has what the processor has, a
 * guest what CPUID will tell it. */
static u32 secondary_wanted(bool root)
{
	u32 want = SECONDARY_EPT | SECONDARY_VPID | SECONDARY_UNRESTRICTED | SECONDARY_RDTSCP;

	if (root)
		return want | SECONDARY_INVPCID | SECONDARY_XSAVES | SECONDARY_USER_WAIT;
	return want | SECONDARY_WBINVD | SECONDARY_ENCLS | SECONDARY_ENCLV;
}

static void controls(struct vendor_vcpu *x)
{
	const struct vmx_capabilities *c = &vmx_capabilities;
	u32 pin = PIN_NMI | PIN_VIRTUAL_NMI;
	u32 secondary = control_word(c->secondary, secondary_wanted(x->root));

	x->primary = PRIMARY_MSR_BITMAPS | PRIMARY_SECONDARY | PRIMARY_DEBUG;
	if (!x->root) {
		pin |= PIN_INTERRUPT;
		x->primary |= PRIMARY_TSC_OFFSET | PRIMARY_HLT | PRIMARY_MWAIT | PRIMARY_MONITOR |
			      PRIMARY_RDPMC | PRIMARY_ALL_PORTS | PRIMARY_TPR_SHADOW;
	}
	x->primary = control_word(c->primary, x->primary);
	x->pin = control_word(c->pin, pin);
	vmwrite(VMCS_PIN_CONTROLS, x->pin);
	vmwrite(VMCS_PRIMARY_CONTROLS, x->primary);
	vmwrite(VMCS_SECONDARY_CONTROLS, secondary);
	/* The entry saves and loads what the processor insists on besides. */
	vmwrite(VMCS_EXIT_CONTROLS,
		control_word(c->exit, EXIT_SAVE_DEBUG | EXIT_HOST_64 | EXIT_SAVE_PAT |
					      EXIT_LOAD_PAT | EXIT_SAVE_EFER | EXIT_LOAD_EFER));
	vmwrite(VMCS_ENTRY_CONTROLS,
		control_word(c->entry, ENTRY_LOAD_DEBUG | ENTRY_LOAD_PAT | ENTRY_LOAD_EFER));
	/* #DB and #AC can be made to recur within their own delivery, for ever and without an
	 * interrupt window. #UD: the other vendor's hypercall. */
	vmwrite(VMCS_EXCEPTION_BITMAP,
		BIT(VECTOR_DB) | BIT(17) | BIT(VECTOR_UD) | (x->root ? 0 : BIT(VECTOR_MC)));
	vmwrite(VMCS_PF_ERROR_MASK, 0);
	vmwrite(VMCS_PF_ERROR_MATCH, 0);
	vmwrite(VMCS_CR3_TARGET_COUNT, 0);
	vmwrite(VMCS_EXIT_MSR_STORE_COUNT, 0);
	vmwrite(VMCS_EXIT_MSR_LOAD_COUNT, 0);
	vmwrite(VMCS_ENTRY_MSR_LOAD_COUNT, 0);
	vmwrite(VMCS_ENTRY_INTERRUPTION, 0);
	vmwrite(VMCS_MSR_BITMAP, msr_bitmap(x->root).n);
	vmwrite(VMCS_EPTP, x->eptp);
	vmwrite(VMCS_VPID, x->vpid);
	vmwrite(VMCS_LINK_POINTER, ~0ul);
	if ((x->primary & PRIMARY_TPR_SHADOW) != 0) {
		vmwrite(VMCS_VIRTUAL_APIC_PAGE, pfn_to_hpa(object_pfn(x->apic_page)).n);
		vmwrite(VMCS_TPR_THRESHOLD, 0);
	}
	if ((x->primary & PRIMARY_TSC_OFFSET) != 0)
		vmwrite(VMCS_TSC_OFFSET, 0);
	if ((secondary & SECONDARY_XSAVES) != 0)
		vmwrite(VMCS_XSS_EXITING, ~XSS_ROOT);
	if ((secondary & SECONDARY_ENCLS) != 0)
		vmwrite(VMCS_ENCLS_EXITING, ~0ul);
	if ((secondary & SECONDARY_ENCLV) != 0)
		vmwrite(VMCS_ENCLV_EXITING, ~0ul);
}

static void control_registers(struct vendor_vcpu *x)
{
	/* VMX transitions leave CD and NW alone, so a vCPU's own would become Septum's. */
	x->cr0_mask = CR0_NE | CR0_CD | CR0_NW;
	x->cr4_allowed = CR4_ROOT_MAX & vmx_capabilities.cr4_fixed1;
	if (!x->root)
		x->cr4_allowed &= ~(CR4_LA57 | CR4_PCIDE | CR4_PKE);
	x->cr4_mask = ~x->cr4_allowed;
	/* With CR4.MCE clear a machine check would stop the machine, not exit. */
	if (!x->root)
		x->cr4_mask |= CR4_MCE;
	vmwrite(VMCS_CR0_MASK, x->cr0_mask);
	vmwrite(VMCS_CR4_MASK, x->cr4_mask);
}

/* What SEPTUM_CALL_VCPU_CREATE promises. */
static void first_state(struct vcpu *v)
{
	struct vcpu_state s = {.rflags = 2, .cr0 = CR0_PE | CR0_ET};

	s.gdtr_limit = s.idtr_limit = 0xffff;
	for (unsigned i = 0; i < SEG_COUNT; i++)
		s.seg[i] = (struct segment_state){.limit = 0xffffffff, .access = ACCESS_DATA32};
	s.seg[SEG_CS].access = ACCESS_CODE32;
	s.seg[SEG_CS].selector = 0x08;
	for (unsigned i = SEG_ES; i <= SEG_GS; i++) {
		if (i != SEG_CS)
			s.seg[i].selector = 0x10;
	}
	s.seg[SEG_LDTR] = (struct segment_state){.access = ACCESS_UNUSABLE};
	s.seg[SEG_TR] = (struct segment_state){.limit = 0xffff, .access = ACCESS_TSS};
	vmx_state_set(v, &s);
	vmwrite(VMCS_GUEST_DR7, DR7_RESET);
	vmwrite(VMCS_GUEST_DEBUGCTL, DEBUGCTL_RESET);
	vmwrite(VMCS_GUEST_PAT, PAT_RESET);
	vmwrite(VMCS_GUEST_SYSENTER_CS, 0);
	vmwrite(VMCS_GUEST_SYSENTER_ESP, 0);
	vmwrite(VMCS_GUEST_SYSENTER_EIP, 0);
	vmwrite(VMCS_GUEST_INTERRUPTIBILITY, 0);
	vmwrite(VMCS_GUEST_ACTIVITY, ACTIVITY_ACTIVE);
	vmwrite(VMCS_GUEST_PENDING_DEBUG, 0);
}

void controls_init(struct vcpu *v)
{
	struct vendor_vcpu *x = v->vendor;

	controls(x);
	control_registers(x);
	controls_host();
	first_state(v);
}
