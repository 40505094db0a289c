/* SPDX-License-Identifier: BSD-2-Clause */
#include "arch/x86/world.h"
#include "arch/x86/io.h"
#include "kernel/string.h"

#define CR0_MP	       BIT(1)
#define CR0_EM	       BIT(2)
#define CR0_TS	       BIT(3)
#define CR0_NE	       BIT(5)
#define CR4_OSFXSR     BIT(9)
#define CR4_OSXMMEXCPT BIT(10)
#define CR4_OSXSAVE    BIT(18)

/* Extended state components (SDM Vol. 1, 13.1; APM Vol. 2, 11.5.2). */
#define X87	   BIT(0)
#define SSE	   BIT(1)
#define AVX	   BIT(2)
#define MPX	   (BIT(3) | BIT(4))
#define AVX512	   (BIT(5) | BIT(6) | BIT(7))
#define PKRU	   BIT(9)
#define AMX	   (BIT(17) | BIT(18))
#define XCR0_GUEST (X87 | SSE | AVX | AVX512 | PKRU)
/* PASID and CET, user and supervisor. The other supervisor components (PT, HDC, LBR, HWP) are
 * controls that XSAVES would change under way: what matters of them is in the list of MSRs. */
#define XSS_KNOWN     (BIT(10) | BIT(11) | BIT(12))
#define XCOMP_COMPACT BIT(63)

/* The 512 bytes that FXSAVE and XSAVE have in common, and the XSAVE header (SDM Vol. 1, 13.4). */
#define XSAVE_FCW      0
#define XSAVE_MXCSR    24
#define XSAVE_LEGACY   512u
#define XSAVE_XCOMP_BV 520
#define XSAVE_EXTENDED 576u
#define FCW_INIT       0x037f
#define MXCSR_INIT     0x1f80

#define MSR_SPEC_CTRL	     0x048
#define MSR_PRED_CMD	     0x049
#define MSR_XFD		     0x1c4
#define MSR_DEBUGCTL	     0x1d9
#define MSR_PERF_GLOBAL_CTRL 0x38f
#define MSR_RTIT_CTL	     0x570
#define MSR_XSS		     0xda0
#define MSR_STAR	     0xc0000081
#define MSR_LSTAR	     0xc0000082
#define MSR_CSTAR	     0xc0000083
#define MSR_FMASK	     0xc0000084
#define MSR_KERNEL_GS_BASE   0xc0000102
#define MSR_TSC_AUX	     0xc0000103
#define PRED_CMD_IBPB	     1u

#define DR6_RESET 0xffff0ff0ul

static u64 xgetbv(void)
{
	u32 low, high;

	__asm__ volatile("xgetbv" : "=a"(low), "=d"(high) : "c"(0));
	return (u64)high << 32 | low;
}

enum method { METHOD_FXSAVE, METHOD_XSAVE, METHOD_XSAVEOPT, METHOD_XSAVES };

/* What this machine has; written by world_setup() only. */
static struct {
	enum method method;
	bool vmx; /* CR2, DR6 and the syscall MSRs are ours to switch */
	bool ibpb;
	bool xss_msr;
	bool xss_other; /* components that Septum does not know: the root may set their bits */
	bool x87_leak;	/* saves and loads x87 pointers only while an exception is pending */
	u64 xcr0_root, xcr0_guest, xss;
	/* First those that change by world_msr_write() only (of DEBUGCTL the processor may clear
	 * bits), then those that the vCPU writes itself. */
	u32 msr_stored, msr_count;
	u32 msrs[WORLD_MSR_MAX];
} has;

static void xsetbv(u64 value)
{
	tally(TALLY_XSETBV);
	__asm__ volatile("xsetbv" : : "c"(0), "a"((u32)value), "d"((u32)(value >> 32)));
}

static bool msr_add(bool present, u32 msr)
{
	u64 value;

	/* CPUID is what another hypervisor below says; an MSR that cannot be read and written back
	 * is not there. */
	if (!present || has.msr_count == WORLD_MSR_MAX || !rdmsr_safe(msr, &value) ||
	    !wrmsr_safe(msr, value))
		return false;
	has.msrs[has.msr_count++] = msr;
	return true;
}

/* What a new world says of them, and the processor, too. */
static void stored_msrs_reset(void)
{
	for (u32 i = 0; i < has.msr_stored; i++)
		wrmsr(has.msrs[i], 0);
}

static void find_msrs(void)
{
	u32 basic = cpuid(0, 0).eax;
	u32 extended = cpuid(0x80000000, 0).eax;
	struct cpuid seven = {0}, ten = {0}, d1 = {0}, eight = {0}, svm = {0};
	u32 extended_edx = cpuid(0x80000001, 0).edx;
	bool spec_ctrl;

	if (basic >= 7)
		seven = cpuid(7, 0);
	if (basic >= 0xa)
		ten = cpuid(0xa, 0);
	if (basic >= 0xd)
		d1 = cpuid(0xd, 1);
	if (extended >= 0x80000008)
		eight = cpuid(0x80000008, 0);
	if (extended >= 0x8000000a)
		svm = cpuid(0x8000000a, 0);

	/* IBRS, STIBP and SSBD by either vendor's bits; a processor with virtualized SPEC_CTRL
	 * keeps the guest's value in the VMCB (APM Vol. 2, 15.37). */
	spec_ctrl = (seven.edx & (BIT(26) | BIT(27) | BIT(31))) != 0 ||
		    (eight.ebx & (BIT(14) | BIT(15) | BIT(24))) != 0;
	if (!has.vmx && (svm.edx & BIT(20)) != 0)
		spec_ctrl = false;
	has.ibpb = (seven.edx & BIT(26)) != 0 || (eight.ebx & BIT(12)) != 0;

	/* APM Vol. 3, appendix E.4.7: XSaveErPtr. */
	has.x87_leak = !has.vmx && (eight.ebx & BIT(2)) == 0;

	(void)msr_add((extended_edx & BIT(27)) != 0 || (seven.ecx & BIT(22)) != 0, MSR_TSC_AUX);
	if (has.vmx) {
		(void)msr_add(true, MSR_STAR);
		(void)msr_add(true, MSR_LSTAR);
		(void)msr_add(true, MSR_CSTAR);
		(void)msr_add(true, MSR_FMASK);
	} else {
		/* VMRUN leaves it alone unless LBR virtualization is on (APM Vol. 2, 15.23): the
		 * root must neither record a guest's branches nor step through them. */
		(void)msr_add(true, MSR_DEBUGCTL);
	}
	has.msr_stored = has.msr_count;
	stored_msrs_reset();
	(void)msr_add(spec_ctrl, MSR_SPEC_CTRL);
	(void)msr_add(has.method != METHOD_FXSAVE && (d1.eax & BIT(4)) != 0, MSR_XFD);
	if (has.vmx) {
		(void)msr_add(true, MSR_KERNEL_GS_BASE);
		/* The root's counters and traces stop while a guest runs. */
		(void)msr_add((ten.eax & 0xff) >= 2, MSR_PERF_GLOBAL_CTRL);
		(void)msr_add((seven.ebx & BIT(25)) != 0, MSR_RTIT_CTL);
	}
}

static void find_extended_state(void)
{
	struct cpuid d0, d1;

	has.method = METHOD_FXSAVE;
	has.xcr0_root = has.xcr0_guest = X87 | SSE;
	if ((cpuid(1, 0).ecx & BIT(26)) == 0 || cpuid(0, 0).eax < 0xd)
		return;
	d0 = cpuid(0xd, 0);
	d1 = cpuid(0xd, 1);
	has.xcr0_root = (u64)d0.edx << 32 | d0.eax;
	has.xcr0_guest = has.xcr0_root & XCR0_GUEST;
	has.xss_msr = (d1.eax & BIT(3)) != 0;
	if (has.xss_msr)
		has.xss = ((u64)d1.edx << 32 | d1.ecx) & XSS_KNOWN;
	has.xss_other = has.xss_msr && has.xss == 0 && (d1.ecx | d1.edx) != 0;
	/* XSAVES only where there is supervisor state: Bochs 2.7 lays the compacted form out
	 * wrongly (AVX begins at byte 416, in the middle of the header). */
	if (has.xss != 0)
		has.method = METHOD_XSAVES;
	else
		has.method = (d1.eax & BIT(0)) != 0 ? METHOD_XSAVEOPT : METHOD_XSAVE;
}

void world_cpu_enable(void)
{
	u64 cr4 = read_cr4() | CR4_OSFXSR | CR4_OSXMMEXCPT;

	write_cr0((read_cr0() & ~(CR0_EM | CR0_TS)) | CR0_MP | CR0_NE);
	if (has.method != METHOD_FXSAVE)
		cr4 |= CR4_OSXSAVE;
	write_cr4(cr4);
	if (has.method != METHOD_FXSAVE)
		xsetbv(X87);
	if (has.xss_msr)
		wrmsr(MSR_XSS, 0);
	stored_msrs_reset();
}

void world_setup(bool syscall_msrs)
{
	has.vmx = syscall_msrs;
	find_extended_state();
	world_cpu_enable();
	find_msrs();
}

/* Bytes of an area with the components of `mask` (SDM Vol. 1, 13.4.2 and 13.4.3). */
static u32 area_size(u64 mask)
{
	u32 end = XSAVE_EXTENDED;

	if (has.method == METHOD_FXSAVE)
		return XSAVE_LEGACY;
	for (unsigned i = 2; i < 63; i++) {
		struct cpuid c;

		if ((mask & BIT(i)) == 0)
			continue;
		c = cpuid(0xd, i);
		if (has.method == METHOD_XSAVES)
			end = ((c.ecx & BIT(1)) != 0 ? ALIGN_UP(end, 64u) : end) + c.eax;
		else
			end = MAX(end, c.ebx + c.eax);
	}
	return end;
}

static unsigned pages(u64 mask)
{
	return (unsigned)((area_size(mask) + PAGE_SIZE - 1) >> PAGE_SHIFT);
}

/* XSAVES lays an area out for all components that it is asked to save, so a guest's has room for
 * the supervisor ones too. */
unsigned world_xsave_pages_guest(void)
{
	return pages(has.xcr0_guest | has.xss);
}

unsigned world_xsave_pages_root(void)
{
	return pages(has.xcr0_root | has.xss);
}

void world_init(struct world *world, void *xsave, bool root)
{
	u16 fcw = FCW_INIT;
	u32 mxcsr = MXCSR_INIT;

	memset(world, 0, sizeof(*world));
	world->xsave = xsave;
	world->components = (root ? has.xcr0_root : has.xcr0_guest) | has.xss;
	world->xcr0 = X87;
	world->dr6 = DR6_RESET;
	/* XSTATE_BV = 0 means initial, except for MXCSR, which the standard format always loads,
	 * and for FXRSTOR, which knows no such thing. */
	memcpy(world->xsave + XSAVE_FCW, &fcw, sizeof(fcw));
	memcpy(world->xsave + XSAVE_MXCSR, &mxcsr, sizeof(mxcsr));
	if (has.method == METHOD_XSAVES) {
		u64 xcomp_bv = XCOMP_COMPACT | world->components;

		memcpy(world->xsave + XSAVE_XCOMP_BV, &xcomp_bv, sizeof(xcomp_bv));
	}
}

#define WITH_MASK(instruction, area, mask)                                                         \
	__asm__ volatile(instruction " (%0)"                                                       \
			 :                                                                         \
			 : "r"(area), "a"((u32)(mask)), "d"((u32)((mask) >> 32))                   \
			 : "memory")

/* The pointers of the last x87 instruction would stay the other vCPU's: load our own. */
static void x87_pointers_clear(void)
{
	static const u32 zero;

	if (has.x87_leak)
		__asm__ volatile("fnclex\n\temms\n\tfildl %0" : : "m"(zero));
}

/* Restores all components that the machine has: those that the area cannot hold become initial. */
static void extended_switch(struct world *from, struct world *to)
{
	const enum method method = has.method;
	const u64 all = has.xcr0_root;

	tally(TALLY_XSAVE);
	tally(TALLY_XRSTOR);
	if (method == METHOD_FXSAVE) {
		__asm__ volatile("fxsave64 (%0)" : : "r"(from->xsave) : "memory");
		x87_pointers_clear();
		__asm__ volatile("fxrstor64 (%0)" : : "r"(to->xsave) : "memory");
		return;
	}
	from->xcr0 = xgetbv();
	if (from->xcr0 != all)
		xsetbv(all);
	if (method == METHOD_XSAVEOPT) {
		WITH_MASK("xsaveopt64", from->xsave, from->components);
		x87_pointers_clear();
		WITH_MASK("xrstor64", to->xsave, all);
	} else if (method == METHOD_XSAVE) {
		WITH_MASK("xsave64", from->xsave, from->components);
		x87_pointers_clear();
		WITH_MASK("xrstor64", to->xsave, all);
	} else {
		from->xss = rdmsr(MSR_XSS);
		if (from->xss != has.xss)
			wrmsr(MSR_XSS, has.xss);
		WITH_MASK("xsaves64", from->xsave, from->components);
		x87_pointers_clear();
		WITH_MASK("xrstors64", to->xsave, all | has.xss);
		if (to->xss != has.xss)
			wrmsr(MSR_XSS, to->xss);
	}
	if (has.xss_other) {
		from->xss = rdmsr(MSR_XSS);
		if (to->xss != from->xss)
			wrmsr(MSR_XSS, to->xss);
	}
	if (to->xcr0 != all)
		xsetbv(to->xcr0);
}

/* DR7 is off while Septum runs: both vendors' exits clear it, so no address loaded here can hit. */
static void debug_save(struct world *from)
{
	__asm__ volatile("mov %%dr0, %0" : "=r"(from->dr[0]));
	__asm__ volatile("mov %%dr1, %0" : "=r"(from->dr[1]));
	__asm__ volatile("mov %%dr2, %0" : "=r"(from->dr[2]));
	__asm__ volatile("mov %%dr3, %0" : "=r"(from->dr[3]));
	if (has.vmx)
		__asm__ volatile("mov %%dr6, %0" : "=r"(from->dr6));
}

static void debug_load(const struct world *to)
{
	__asm__ volatile("mov %0, %%dr0" : : "r"(to->dr[0]));
	__asm__ volatile("mov %0, %%dr1" : : "r"(to->dr[1]));
	__asm__ volatile("mov %0, %%dr2" : : "r"(to->dr[2]));
	__asm__ volatile("mov %0, %%dr3" : : "r"(to->dr[3]));
	if (has.vmx)
		__asm__ volatile("mov %0, %%dr6" : : "r"(to->dr6));
}

void world_debug_use(struct world *world)
{
	if (world->debug_used)
		return;
	world->debug_used = true;
	debug_load(world);
}

/* Those that neither has ever set to anything but 0 are 0. */
static void stored_switch(struct world *from, const struct world *to)
{
	for (u32 left = from->msr_set | to->msr_set; left != 0; left &= left - 1) {
		u32 i = (u32)__builtin_ctz(left);

		if (has.msrs[i] == MSR_DEBUGCTL)
			from->msr[i] = rdmsr(MSR_DEBUGCTL);
		if (to->msr[i] != from->msr[i])
			wrmsr(has.msrs[i], to->msr[i]);
	}
}

void world_switch(struct world *from, struct world *to)
{
	extended_switch(from, to);
	if ((from->msr_set | to->msr_set) != 0)
		stored_switch(from, to);
	for (u32 i = has.msr_stored; i < has.msr_count; i++) {
		from->msr[i] = rdmsr(has.msrs[i]);
		if (to->msr[i] != from->msr[i])
			wrmsr(has.msrs[i], to->msr[i]);
	}
	if (from->debug_used)
		debug_save(from);
	if (to->debug_used)
		debug_load(to);
	if (has.vmx) {
		from->cr2 = read_cr2();
		write_cr2(to->cr2);
	}
	if (has.ibpb)
		wrmsr(MSR_PRED_CMD, PRED_CMD_IBPB);
}

void world_debug_reset(void)
{
	__asm__ volatile("mov %0, %%dr0\n\tmov %0, %%dr1\n\tmov %0, %%dr2\n\tmov %0, %%dr3"
			 :
			 : "r"(0ul));
	if (has.vmx)
		__asm__ volatile("mov %0, %%dr6" : : "r"(DR6_RESET));
}

bool world_msr_write(struct world *world, u32 msr, u64 value)
{
	if (!wrmsr_safe(msr, value))
		return false;
	for (u32 i = 0; i < has.msr_stored; i++) {
		if (has.msrs[i] == msr) {
			world->msr[i] = value;
			world->msr_set |= 1u << i;
		}
	}
	return true;
}

bool world_msr_stored(u32 msr)
{
	for (u32 i = 0; i < has.msr_stored; i++) {
		if (has.msrs[i] == msr)
			return true;
	}
	return false;
}

bool world_msr(u32 msr)
{
	for (u32 i = 0; i < has.msr_count; i++) {
		if (has.msrs[i] == msr)
			return true;
	}
	return false;
}

u64 world_xcr0_guest(void)
{
	return has.xcr0_guest;
}

u64 world_xcr0_root(void)
{
	return has.xcr0_root;
}

u64 world_xcr0_loaded(void)
{
	return has.method == METHOD_FXSAVE ? X87 : xgetbv();
}

static bool all_or_none(u64 value, u64 mask)
{
	return (value & mask) == 0 || (value & mask) == mask;
}

bool world_xsetbv(struct world *world, u64 value, u64 allowed)
{
	if (has.method == METHOD_FXSAVE || (value & ~(allowed & has.xcr0_root)) != 0 ||
	    (value & X87) == 0)
		return false;
	if ((value & AVX) != 0 && (value & SSE) == 0)
		return false;
	if ((value & AVX512) != 0 && ((value & AVX) == 0 || !all_or_none(value, AVX512)))
		return false;
	if (!all_or_none(value, MPX) || !all_or_none(value, AMX))
		return false;
	xsetbv(value);
	world->xcr0 = value;
	return true;
}
