/* SPDX-License-Identifier: BSD-2-Clause */
/* A vCPU's registers as a whole, and writes to control registers in its name.
 *
 * CR0, CR4 and EFER are interpreted together: PG and LME make LMA and the "IA-32e mode guest"
 * control (Intel SDM Vol. 3, 27.3.1.1), PAE paging makes the PDPTEs (27.3.2.4 and 4.4.1). */
#include "arch/x86/cpu.h"
#include "arch/x86/io.h"
#include "kernel/vm.h"
#include "vmx/invalidate.h"
#include "vmx/vmx.h"

#define ACCESS_LONG    BIT(13)
#define ACCESS_DPL(ar) ((ar) >> 5 & 3u)
#define ACCESS_TYPE    0xful
#define TSS16_BUSY     3ul
#define CR3_NO_FLUSH   BIT(63)
#define CR3_PAE_TABLE  0xffffffe0ul
#define LOW	       0xfffffffful

bool guest_long_mode(void)
{
	return (vmread(VMCS_GUEST_EFER) & EFER_LMA) != 0 &&
	       (vmread(VMCS_GUEST_ACCESS + 2 * SEG_CS) & ACCESS_LONG) != 0;
}

/* Stores EFER with the LMA that PG and LME make. */
void efer_write(u64 cr0, u64 efer)
{
	u32 entry = (u32)vmread(VMCS_ENTRY_CONTROLS) & ~ENTRY_LONG_MODE;

	efer &= ~EFER_LMA;
	if ((efer & EFER_LME) != 0 && (cr0 & CR0_PG) != 0) {
		efer |= EFER_LMA;
		entry |= ENTRY_LONG_MODE;
	}
	vmwrite(VMCS_GUEST_EFER, efer);
	vmwrite(VMCS_ENTRY_CONTROLS, entry);
}

static void cr0_write(const struct vendor_vcpu *x, u64 cr0)
{
	vmwrite(VMCS_GUEST_CR0, (cr0 & ~x->cr0_mask) | CR0_NE | CR0_ET);
	vmwrite(VMCS_CR0_SHADOW, cr0 | CR0_ET);
}

static void cr4_write(const struct vendor_vcpu *x, u64 cr4)
{
	vmwrite(VMCS_GUEST_CR4, (cr4 & ~x->cr4_mask) | CR4_VMXE | (x->cr4_mask & CR4_MCE));
	vmwrite(VMCS_CR4_SHADOW, cr4);
}

static bool is_pae(u64 cr0, u64 cr4, u64 efer)
{
	return (cr0 & CR0_PG) != 0 && (cr4 & CR4_PAE) != 0 && (efer & EFER_LME) == 0;
}

/* After a change of paging by software. */
static void paging_changed(struct vendor_vcpu *x, u64 cr0, u64 cr4)
{
	x->pdptes_stale = is_pae(cr0, cr4, vmread(VMCS_GUEST_EFER));
	invvpid_single(x->vpid);
}

bool pdptes_load(struct vcpu *v)
{
	u64 table = vmread(VMCS_GUEST_CR3) & CR3_PAE_TABLE;
	u64 pdptes[4];
	bool read = v->root ? root_read(hpa(table), pdptes, sizeof(pdptes)) == OK
			    : memory_read(&v->vm->memory, table, pdptes, sizeof(pdptes));

	if (!read) {
		v->exit.reason = EXIT_NESTED_FAULT;
		v->exit.length = 0;
		v->exit.code = EPT_QUALIFICATION_LINEAR | 1;
		v->exit.access = (struct access){.raw_gpa = table, .walk = true};
		return false;
	}
	for (unsigned i = 0; i < 4; i++)
		vmwrite(VMCS_GUEST_PDPTE + 2 * i, pdptes[i]);
	v->vendor->pdptes_stale = false;
	return true;
}

void vmx_state_get(const struct vcpu *v, struct vcpu_state *s)
{
	struct vendor_vcpu *x = v->vendor;

	vmcs_select(v);
	s->rip = guest_rip(x);
	s->rsp = guest_rsp(x);
	s->rflags = guest_rflags(x);
	s->cr0 = guest_cr0(x);
	s->cr2 = this_vmx_cpu()->loaded == v ? read_cr2() : v->world.cr2;
	s->cr3 = vmread(VMCS_GUEST_CR3);
	s->cr4 = guest_cr4(x);
	s->efer = vmread(VMCS_GUEST_EFER);
	s->gdtr_base = vmread(VMCS_GUEST_GDTR_BASE);
	s->gdtr_limit = (u32)vmread(VMCS_GUEST_GDTR_LIMIT);
	s->idtr_base = vmread(VMCS_GUEST_IDTR_BASE);
	s->idtr_limit = (u32)vmread(VMCS_GUEST_IDTR_LIMIT);
	for (u64 i = 0; i < SEG_COUNT; i++) {
		s->seg[i].selector = (u16)vmread(VMCS_GUEST_SELECTOR + 2 * i);
		s->seg[i].limit = (u32)vmread(VMCS_GUEST_LIMIT + 2 * i);
		s->seg[i].access = (u32)vmread(VMCS_GUEST_ACCESS + 2 * i);
		s->seg[i].base = vmread(VMCS_GUEST_BASE + 2 * i);
	}
	s->cpl = (u8)ACCESS_DPL(s->seg[SEG_SS].access);
}

void vmx_state_set(struct vcpu *v, const struct vcpu_state *s)
{
	struct vendor_vcpu *x = v->vendor;
	bool same_paging;

	vmcs_select(v);
	same_paging = s->cr0 == guest_cr0(x) && s->cr3 == vmread(VMCS_GUEST_CR3) &&
		      s->cr4 == guest_cr4(x) && s->efer == vmread(VMCS_GUEST_EFER);
	x->rip = s->rip;
	x->rsp = s->rsp;
	x->rflags = s->rflags;
	x->valid = x->dirty = CACHED_RIP | CACHED_RSP | CACHED_RFLAGS;
	if (this_vmx_cpu()->loaded == v)
		write_cr2(s->cr2);
	else
		v->world.cr2 = s->cr2;
	/* The processor would not mind these; entries are refused all the same. */
	x->refused = (s->cr4 & ~x->cr4_allowed) != 0 || s->cr0 >> 32 != 0;
	cr0_write(x, s->cr0);
	vmwrite(VMCS_GUEST_CR3, s->cr3);
	cr4_write(x, s->cr4);
	efer_write(s->cr0, s->efer);
	vmwrite(VMCS_GUEST_GDTR_BASE, s->gdtr_base);
	vmwrite(VMCS_GUEST_GDTR_LIMIT, s->gdtr_limit);
	vmwrite(VMCS_GUEST_IDTR_BASE, s->idtr_base);
	vmwrite(VMCS_GUEST_IDTR_LIMIT, s->idtr_limit);
	for (u64 i = 0; i < SEG_COUNT; i++) {
		vmwrite(VMCS_GUEST_SELECTOR + 2 * i, s->seg[i].selector);
		vmwrite(VMCS_GUEST_LIMIT + 2 * i, s->seg[i].limit);
		vmwrite(VMCS_GUEST_ACCESS + 2 * i, s->seg[i].access);
		vmwrite(VMCS_GUEST_BASE + 2 * i, s->seg[i].base);
	}
	if (!same_paging)
		paging_changed(x, s->cr0, s->cr4);
}

/* MOV to CR0: SDM Vol. 2, "MOV - Move to/from Control Registers", and Vol. 3, 9.8.5. */
static bool cr0_guest_write(struct vendor_vcpu *x, u64 value)
{
	u64 old = guest_cr0(x);
	u64 cr4 = guest_cr4(x);
	u64 efer = vmread(VMCS_GUEST_EFER);
	bool code_long = (vmread(VMCS_GUEST_ACCESS + 2 * SEG_CS) & ACCESS_LONG) != 0;

	if (value >> 32 != 0 || ((value & CR0_PG) != 0 && (value & CR0_PE) == 0) ||
	    ((value & CR0_NW) != 0 && (value & CR0_CD) == 0))
		return false;
	if ((value & ~old & CR0_PG) != 0 && (efer & EFER_LME) != 0 &&
	    ((cr4 & CR4_PAE) == 0 || code_long ||
	     (vmread(VMCS_GUEST_ACCESS + 2 * SEG_TR) & ACCESS_TYPE) == TSS16_BUSY))
		return false;
	if ((old & ~value & CR0_PG) != 0 &&
	    ((cr4 & CR4_PCIDE) != 0 || ((efer & EFER_LMA) != 0 && code_long)))
		return false;
	cr0_write(x, value);
	efer_write(value, efer);
	if (((value ^ old) & ~(CR0_CD | CR0_NW | CR0_NE)) != 0)
		paging_changed(x, value, cr4);
	return true;
}

static bool cr4_guest_write(struct vendor_vcpu *x, u64 value)
{
	u64 old = guest_cr4(x);
	u64 cr0 = guest_cr0(x);
	u64 efer = vmread(VMCS_GUEST_EFER);
	bool is_long = (efer & EFER_LMA) != 0;

	if ((value & ~x->cr4_allowed) != 0)
		return false;
	if (is_long && ((value & CR4_PAE) == 0 || ((value ^ old) & CR4_LA57) != 0))
		return false;
	if ((value & ~old & CR4_PCIDE) != 0 && (!is_long || (vmread(VMCS_GUEST_CR3) & 0xfff) != 0))
		return false;
	cr4_write(x, value);
	if (((value ^ old) & ~CR4_MCE) != 0)
		paging_changed(x, cr0, value);
	return true;
}

static bool cr3_guest_write(struct vendor_vcpu *x, u64 value)
{
	u64 reserved = 0;

	if ((vmread(VMCS_GUEST_EFER) & EFER_LMA) != 0) {
		reserved = ~(BIT(cpu_features.physical_bits) - 1);
		if ((guest_cr4(x) & CR4_PCIDE) != 0)
			reserved &= ~CR3_NO_FLUSH;
	}
	if ((value & reserved) != 0)
		return false;
	vmwrite(VMCS_GUEST_CR3, value & ~CR3_NO_FLUSH);
	paging_changed(x, guest_cr0(x), guest_cr4(x));
	return true;
}

bool vmx_control_write(struct vcpu *v, unsigned cr, u64 value)
{
	struct vendor_vcpu *x = v->vendor;

	vmcs_select(v);
	switch (cr) {
	case 0:
		return cr0_guest_write(x, value);
	case 3:
		return cr3_guest_write(x, value);
	case 4:
		return cr4_guest_write(x, value);
	default:
		return false;
	}
}
