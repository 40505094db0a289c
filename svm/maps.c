/* SPDX-License-Identifier: BSD-2-Clause */
/* Which ports and MSRs exit: one map for all guests, one for the root partition.
 *
 * APM Vol. 2, 15.10.1 and 15.11. Set bits intercept. An MSR in none of the three ranges always
 * exits.
 */
#include "arch/x86/io.h"
#include "arch/x86/world.h"
#include "kernel/string.h"
#include "mm/window.h"
#include "svm/svm.h"

#define IOPM_PAGES  3
#define MSRPM_PAGES 2
#define MSRS_RANGE  0x2000u
#define READ	    1u
#define WRITE	    2u

#define MSR_PRED_CMD  0x49
#define MSR_SPEC_CTRL 0x48
#define MSR_TSC_AUX   0xc0000103
#define MSR_DEBUGCTL  0x1d9

static u8 *guest_iopm, *guest_msrpm, *root_msrpm, *sealed_msrpm;

/* In the VMSA, so that a guest with encrypted state has them for itself: 15.35.2. */
static const u32 sealed_open[] = {
	0x277, 0xda0, 0xc0000080, 0xc0010130, 0xc0010131, /* PAT, XSS, EFER, GHCB, SEV_STATUS */
};

/* Safe to leave to a guest: part of the VMLOAD/VMSAVE set, which every exit switches. */
static const u32 guest_open[] = {
	0x174,	    0x175,	0x176,			/* SYSENTER_CS, ESP, EIP */
	0xc0000081, 0xc0000082, 0xc0000083, 0xc0000084, /* STAR, LSTAR, CSTAR, SFMASK */
	0xc0000100, 0xc0000101, 0xc0000102,		/* FS, GS, KERNEL_GS base */
};

/* The root has all MSRs but those that would take SVM or the memory away from under Septum. */
static const struct {
	u32 first, last;
	u8 access;
} root_closed[] = {
	{0x1b, 0x1b, WRITE},			/* APIC_BASE: Septum uses the APIC, too */
	{0xc0000080, 0xc0000080, READ | WRITE}, /* EFER: hides SVME */
	{0xc0010010, 0xc0010010, WRITE},	/* SYSCFG */
	{0xc0010016, 0xc001001d, WRITE},	/* IORRs, TOP_MEM, TOM2: where RAM is */
	{0xc0010020, 0xc0010020, WRITE},	/* microcode */
	{0xc0010111, 0xc0010113, WRITE},	/* SMBASE, SMM_ADDR, SMM_MASK */
	{0xc0010114, 0xc0010118, READ | WRITE}, /* VM_CR, IGNNE, SMM_CTL, VM_HSAVE_PA, SVM_KEY */
	{0xc0010130, 0xc0010138, READ | WRITE}, /* SEV and RMP */
};

static void msrpm_set(u8 *map, u32 msr, unsigned access, bool intercept)
{
	static const u32 bases[] = {0, 0xc0000000, 0xc0010000};

	for (unsigned i = 0; i < ARRAY_COUNT(bases); i++) {
		u32 n = msr - bases[i];
		u8 *byte, bits;

		if (n >= MSRS_RANGE)
			continue;
		byte = &map[i * MSRS_RANGE / 4 + n / 4];
		bits = (u8)(access << (n % 4 * 2));
		*byte = intercept ? *byte | bits : *byte & (u8)~bits;
	}
}

void svm_maps_setup(void)
{
	bool has_ibpb =
		cpuid(0x80000000, 0).eax >= 0x80000008 && (cpuid(0x80000008, 0).ebx & BIT(12)) != 0;
	bool has_virtual_spec_ctrl = (cpuid(0x8000000a, 0).edx & BIT(20)) != 0;

	guest_iopm = own_alloc(IOPM_PAGES);
	guest_msrpm = own_alloc(MSRPM_PAGES);
	root_msrpm = own_alloc(MSRPM_PAGES);
	sealed_msrpm = own_alloc(MSRPM_PAGES);
	memset(guest_iopm, 0xff, IOPM_PAGES * PAGE_SIZE);
	memset(guest_msrpm, 0xff, MSRPM_PAGES * PAGE_SIZE);
	for (unsigned i = 0; i < ARRAY_COUNT(guest_open); i++)
		msrpm_set(guest_msrpm, guest_open[i], READ | WRITE, false);
	if (world_msr(MSR_TSC_AUX))
		msrpm_set(guest_msrpm, MSR_TSC_AUX, READ, false);
	if (world_msr(MSR_SPEC_CTRL) || has_virtual_spec_ctrl)
		msrpm_set(guest_msrpm, MSR_SPEC_CTRL, READ | WRITE, false);
	if (has_ibpb)
		msrpm_set(guest_msrpm, MSR_PRED_CMD, WRITE, false);
	memcpy(sealed_msrpm, guest_msrpm, MSRPM_PAGES * PAGE_SIZE);
	for (unsigned i = 0; i < ARRAY_COUNT(sealed_open); i++)
		msrpm_set(sealed_msrpm, sealed_open[i], READ | WRITE, false);
	msrpm_set(root_msrpm, MSR_TSC_AUX, WRITE, world_msr_stored(MSR_TSC_AUX));
	msrpm_set(root_msrpm, MSR_DEBUGCTL, WRITE, world_msr_stored(MSR_DEBUGCTL));
	for (unsigned i = 0; i < ARRAY_COUNT(root_closed); i++) {
		for (u32 msr = root_closed[i].first; msr <= root_closed[i].last; msr++)
			msrpm_set(root_msrpm, msr, root_closed[i].access, true);
	}
}

void svm_maps_use(struct vmcb *vmcb, bool root)
{
	/* The root has no IOIO intercept, so its port map is never read. */
	vmcb->control.iopm = pfn_to_hpa(own_pfn(guest_iopm)).n;
	vmcb->control.msrpm = pfn_to_hpa(own_pfn(root ? root_msrpm : guest_msrpm)).n;
	vmcb_changed(vmcb, CLEAN_MAPS);
}

void svm_maps_use_sealed(struct vmcb *vmcb)
{
	vmcb->control.msrpm = pfn_to_hpa(own_pfn(sealed_msrpm)).n;
	vmcb_changed(vmcb, CLEAN_MAPS);
}
