/* SPDX-License-Identifier: BSD-2-Clause */
/* MSRs: which a vCPU reaches without an exit, and those that lie in the VMCS.
 * Bitmaps: Intel SDM Vol. 3, 25.6.9. */
#include "arch/x86/io.h"
#include "arch/x86/world.h"
#include "kernel/string.h"
#include "mm/window.h"
#include "vmx/vmx.h"

#define MSR_TSC		   0x10
#define MSR_SPEC_CTRL	   0x48
#define MSR_PRED_CMD	   0x49
#define MSR_UCODE_WRITE	   0x79
#define MSR_SEAMRR_KEYID   0x87
#define MSR_SMM_MONITOR	   0x9b
#define MSR_MTRR_FIRST	   0x200
#define MSR_MTRR_LAST	   0x20f
#define MSR_MTRR_FIX64K	   0x250
#define MSR_MTRR_FIX16K	   0x258
#define MSR_MTRR_FIX4K	   0x268
#define MSR_MTRR_FIX_LAST  0x26f
#define MSR_MTRR_DEFAULT   0x2ff
#define MSR_TRACE_FIRST	   0x560 /* writes physical memory, past EPT */
#define MSR_TRACE_LAST	   0x58f
#define MSR_TME_CAPABILITY 0x981
#define MSR_TME_LAST	   0x983
#define MSR_XSS		   0xda0
#define MSR_TSC_AUX	   0xc0000103

#define DEBUGCTL_BTF BIT(1) /* the only bit that leaves nothing behind in the processor */

#define BITMAP_WRITE 0x800u
#define BITMAP_HIGH  0x400u

static u8 *bitmaps[2]; /* guests', the root's */

static void mark(u8 *bitmap, u32 msr, bool write, bool exits)
{
	u32 at = (write ? BITMAP_WRITE : 0) + (msr >= 0xc0000000 ? BITMAP_HIGH : 0);
	u32 bit = msr & 0x1fff;

	if (exits)
		bitmap[at + bit / 8] = (u8)(bitmap[at + bit / 8] | 1u << bit % 8);
	else
		bitmap[at + bit / 8] = (u8)(bitmap[at + bit / 8] & ~(1u << bit % 8));
}

static void native(u8 *bitmap, u32 msr)
{
	mark(bitmap, msr, false, false);
	mark(bitmap, msr, true, false);
}

static void exits(u8 *bitmap, u32 first, u32 last)
{
	for (u32 msr = first; msr <= last; msr++) {
		mark(bitmap, msr, false, true);
		mark(bitmap, msr, true, true);
	}
}

static void write_exits(u8 *bitmap, u32 first, u32 last)
{
	for (u32 msr = first; msr <= last; msr++)
		mark(bitmap, msr, true, true);
}

/* Registers that the VMCS or arch/x86/world.c keeps apart belong to the guest; all else exits. */
static void guest_bitmap(u8 *bitmap)
{
	static const u32 own[] = {MSR_SYSENTER_CS, MSR_SYSENTER_ESP, MSR_SYSENTER_EIP, MSR_PAT,
				  MSR_EFER,	   MSR_FS_BASE,	     MSR_GS_BASE};
	static const u32 switched[] = {MSR_STAR,    MSR_LSTAR,		MSR_CSTAR,    MSR_FMASK,
				       MSR_TSC_AUX, MSR_KERNEL_GS_BASE, MSR_SPEC_CTRL};

	memset(bitmap, 0xff, PAGE_SIZE);
	for (u32 i = 0; i < ARRAY_COUNT(own); i++)
		native(bitmap, own[i]);
	for (u32 i = 0; i < ARRAY_COUNT(switched); i++) {
		if (world_msr(switched[i]))
			native(bitmap, switched[i]);
		if (world_msr_stored(switched[i]))
			write_exits(bitmap, switched[i], switched[i]);
	}
	if (world_msr(MSR_SPEC_CTRL))
		mark(bitmap, MSR_PRED_CMD, true, false);
	/* With the offset added. */
	mark(bitmap, MSR_TSC, false, false);
}

/* The root has the machine's MSRs, but for those that would break Septum. */
static void root_bitmap(u8 *bitmap)
{
	exits(bitmap, MSR_FEATURE_CONTROL, MSR_FEATURE_CONTROL);
	exits(bitmap, MSR_VMX_BASIC, MSR_VMX_LAST);
	exits(bitmap, MSR_SMM_MONITOR, MSR_SMM_MONITOR);
	exits(bitmap, MSR_SEAMRR_KEYID, MSR_SEAMRR_KEYID);
	exits(bitmap, MSR_TRACE_FIRST, MSR_TRACE_LAST);
	exits(bitmap, MSR_TME_CAPABILITY, MSR_TME_LAST);
	for (u32 msr = MSR_STAR; msr <= MSR_TSC_AUX; msr++) {
		if (world_msr_stored(msr))
			write_exits(bitmap, msr, msr);
	}
	write_exits(bitmap, MSR_UCODE_WRITE, MSR_UCODE_WRITE);
	write_exits(bitmap, MSR_APIC_BASE, MSR_APIC_BASE);
	write_exits(bitmap, MSR_MTRR_FIRST, MSR_MTRR_LAST);
	write_exits(bitmap, MSR_MTRR_FIX64K, MSR_MTRR_FIX64K);
	write_exits(bitmap, MSR_MTRR_FIX16K, MSR_MTRR_FIX16K + 1);
	write_exits(bitmap, MSR_MTRR_FIX4K, MSR_MTRR_FIX_LAST);
	write_exits(bitmap, MSR_MTRR_DEFAULT, MSR_MTRR_DEFAULT);
}

void msr_bitmaps_setup(void)
{
	for (unsigned i = 0; i < 2; i++)
		bitmaps[i] = own_alloc(1);
	guest_bitmap(bitmaps[0]);
	root_bitmap(bitmaps[1]);
}

hpa_t msr_bitmap(bool root)
{
	return pfn_to_hpa(own_pfn(bitmaps[root]));
}

/* Where the VMCS keeps an MSR; 0: it does not. */
static u64 field_of(u32 index)
{
	switch (index) {
	case MSR_EFER:
		return VMCS_GUEST_EFER;
	case MSR_PAT:
		return VMCS_GUEST_PAT;
	case MSR_FS_BASE:
		return VMCS_GUEST_BASE + 2 * SEG_FS;
	case MSR_GS_BASE:
		return VMCS_GUEST_BASE + 2 * SEG_GS;
	case MSR_SYSENTER_CS:
		return VMCS_GUEST_SYSENTER_CS;
	case MSR_SYSENTER_ESP:
		return VMCS_GUEST_SYSENTER_ESP;
	case MSR_SYSENTER_EIP:
		return VMCS_GUEST_SYSENTER_EIP;
	case MSR_DEBUGCTL:
		return VMCS_GUEST_DEBUGCTL;
	default:
		return 0;
	}
}

static bool is_syscall_msr(u32 index)
{
	return (index >= MSR_STAR && index <= MSR_FMASK) || index == MSR_KERNEL_GS_BASE;
}

bool vmx_msr_get(const struct vcpu *v, u32 index, u64 *value)
{
	u64 field = field_of(index);

	/* Only while the vCPU's world is in the registers are these its own. */
	if (is_syscall_msr(index))
		return this_vmx_cpu()->loaded == v && rdmsr_safe(index, value);
	if (field == 0)
		return false;
	vmcs_select(v);
	*value = vmread(field);
	return true;
}

/* Each byte a memory type, 2 and 3 and above 7 reserved (SDM Vol. 3, 12.12.2). */
static bool pat_valid(u64 value)
{
	for (unsigned i = 0; i < 8; i++) {
		u8 type = (u8)(value >> 8 * i);

		if (type > 7 || type == 2 || type == 3)
			return false;
	}
	return true;
}

static bool canonical(u64 value)
{
	u64 top = value >> 47;

	return top == 0 || top == 0x1ffff;
}

bool vmx_msr_set(struct vcpu *v, u32 index, u64 value)
{
	u64 field = field_of(index);

	if (is_syscall_msr(index))
		return this_vmx_cpu()->loaded == v && world_msr_write(&v->world, index, value);
	if (field == 0)
		return false;
	vmcs_select(v);
	switch (index) {
	case MSR_EFER: {
		u64 cr0 = guest_cr0(v->vendor);
		u64 old = vmread(VMCS_GUEST_EFER);

		if ((value & ~(EFER_SCE | EFER_LME | EFER_LMA | EFER_NXE)) != 0 ||
		    ((cr0 & CR0_PG) != 0 && ((value ^ old) & EFER_LME) != 0))
			return false;
		efer_write(cr0, value);
		return true;
	}
	case MSR_PAT:
		if (!pat_valid(value))
			return false;
		break;
	case MSR_DEBUGCTL:
		if ((value & ~DEBUGCTL_BTF) != 0)
			return false;
		break;
	case MSR_SYSENTER_CS:
		value = (u32)value;
		break;
	default:
		if (!canonical(value))
			return false;
	}
	vmwrite(field, value);
	return true;
}
