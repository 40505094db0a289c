/* SPDX-License-Identifier: BSD-2-Clause */
/* Model-specific registers.
 *
 * A guest has those below; every other is the manager's to answer, who will mostly refuse. The root
 * partition has the machine's own but for those that would take the processor or the memory away
 * from under Septum. Many never come here: the vendors' bitmaps let them through.
 *
 * SDM Vol. 4; AMD APM Vol. 2, appendix A. RDMSR and WRMSR at a CPL other than 0 never exit.
 */
#include "arch/x86/io.h"
#include "arch/x86/smp.h"
#include "kernel/cpuid.h"
#include "kernel/emulate.h"
#include "kernel/exits.h"
#include "kernel/lapic_vcpu.h"
#include "kernel/machine_check.h"
#include "kernel/protocol.h"
#include "kernel/vendor.h"
#include "kernel/vm.h"

#define MSR_TSC		 0x10u
#define MSR_UCODE_REV	 0x8bu
#define MSR_SYSENTER_CS	 0x174u
#define MSR_SYSENTER_ESP 0x175u
#define MSR_SYSENTER_EIP 0x176u
#define MSR_MISC_ENABLE	 0x1a0u
#define MSR_DEBUGCTL	 0x1d9u
#define MSR_PAT		 0x277u
#define MSR_XSS		 0xda0u
#define MSR_EFER	 0xc0000080u
#define MSR_STAR	 0xc0000081u
#define MSR_LSTAR	 0xc0000082u
#define MSR_CSTAR	 0xc0000083u
#define MSR_FMASK	 0xc0000084u
#define MSR_FS_BASE	 0xc0000100u
#define MSR_GS_BASE	 0xc0000101u
#define MSR_KERNEL_GS	 0xc0000102u
#define MSR_TSC_AUX	 0xc0000103u
#define MSR_SEV_STATUS	 0xc0010131u /* APM Vol. 2, 15.34.10 */
#define SEV_STATUS_SEV	 BIT(0)
#define MSR_MIGRATION	 0x4b564d08u /* KVM's: bit 0: the guest tells of its conversions */

#define APIC_BASE_RESET	  0xfee00000ul
#define APIC_BASE_BSP	  BIT(8)
#define APIC_BASE_ON	  BIT(11)
#define APIC_BASE_ADDRESS 0x000ffffffffff000ul
#define MISC_ENABLE_GUEST (BIT(0) | BIT(11) | BIT(12)) /* fast strings; no BTS, no PEBS */

/* REFUSED: #GP(0). FORWARD: not Septum's, ask the manager. */
enum answer { DONE, REFUSED, FORWARD };

static bool canonical(u64 value)
{
	return (u64)((s64)(value << 16) >> 16) == value;
}

static bool pat_valid(u64 value)
{
	for (unsigned n = 0; n < 8; n++) {
		u64 type = value >> (8 * n) & 0xff;

		if (type > 7 || type == 2 || type == 3)
			return false;
	}
	return true;
}

/* ---- A guest's ---- */

static enum answer answer_of(bool done)
{
	return done ? DONE : REFUSED;
}

static enum answer guest_read_msr(struct vcpu *v, u32 index, u64 *value)
{
	if (v->has_apic && lapic_owns_msr(index))
		return answer_of(lapic_read_msr(v, index, value));
	switch (index) {
	case MSR_TSC:
		*value = rdtsc() + v->tsc_offset;
		return DONE;
	case MSR_APIC_BASE:
		/* There is no APIC: it is where it always is, and off. */
		*value = APIC_BASE_RESET | (v->index == 0 ? APIC_BASE_BSP : 0);
		return DONE;
	case MSR_UCODE_REV:
		*value = 0;
		return DONE;
	case MSR_MISC_ENABLE:
		*value = MISC_ENABLE_GUEST;
		return DONE;
	case MSR_MCG_CAP:
		*value = MCG_CAP_GUEST;
		return DONE;
	case MSR_MCG_STATUS:
		*value = v->mcg_status;
		return DONE;
	case MSR_MC0_CTL:
		*value = ~0ul;
		return DONE;
	case MSR_MC0_STATUS:
		*value = v->mc_status;
		return DONE;
	case MSR_MC0_ADDR:
		*value = v->mc_address;
		return DONE;
	case MSR_MC0_MISC:
		*value = v->mc_status != 0 ? MC_MISC_GUEST : 0;
		return DONE;
	case MSR_MIGRATION:
		if (!v->vm->memory.one_frame)
			return FORWARD;
		*value = 0;
		return DONE;
	case MSR_SEV_STATUS:
		/* Guests with encrypted registers are told by the processor. */
		if (v->vm->type != SEPTUM_SEV)
			return FORWARD;
		*value = SEV_STATUS_SEV;
		return DONE;
	case MSR_TSC_AUX:
		/* Loaded with the vCPU. */
		return world_msr(index) ? answer_of(rdmsr_safe(index, value)) : FORWARD;
	default:
		return vendor->msr_get(v, index, value) ? DONE : FORWARD;
	}
}

static enum answer guest_write_msr(struct vcpu *v, u32 index, u64 value)
{
	if (v->has_apic && lapic_owns_msr(index))
		return answer_of(lapic_write_msr(v, index, value));
	switch (index) {
	case MSR_TSC:
		v->tsc_offset = value - rdtsc();
		vendor->tsc_offset_set(v, v->tsc_offset);
		if (v->has_apic)
			lapic_tsc_set(&v->lapic, rdtsc(), v->tsc_offset);
		return DONE;
	case MSR_APIC_BASE:
	case MSR_MISC_ENABLE:
	case MSR_UCODE_REV:
		return DONE; /* without effect */
	case MSR_MCG_CAP:
		return REFUSED;
	case MSR_MCG_STATUS:
		if ((value & ~(MCG_STATUS_RIPV | MCG_STATUS_EIPV | MCG_STATUS_MCIP)) != 0)
			return REFUSED;
		v->mcg_status = value;
		return DONE;
	case MSR_MC0_CTL:
		return DONE;
	case MSR_MC0_STATUS:
	case MSR_MC0_ADDR:
	case MSR_MC0_MISC:
		/* Software may only clear them: SDM Vol. 3, 15.3.2.2 to 15.3.2.4. */
		if (value != 0)
			return REFUSED;
		if (index == MSR_MC0_STATUS)
			v->mc_status = 0;
		if (index == MSR_MC0_ADDR)
			v->mc_address = 0;
		return DONE;
	case MSR_MIGRATION:
		/* CPUID offers it, since Linux tells nothing without it; nobody migrates. */
		if (!v->vm->memory.one_frame)
			return FORWARD;
		return answer_of((value & ~BIT(0)) == 0);
	case MSR_TSC_AUX:
		if (!world_msr(index))
			return FORWARD;
		return answer_of(value >> 32 == 0 && world_msr_write(&v->world, index, value));
	case MSR_PAT:
		return answer_of(pat_valid(value) && vendor->msr_set(v, index, value));
	case MSR_SYSENTER_ESP:
	case MSR_SYSENTER_EIP:
	case MSR_LSTAR:
	case MSR_CSTAR:
	case MSR_FS_BASE:
	case MSR_GS_BASE:
	case MSR_KERNEL_GS:
		return answer_of(canonical(value) && vendor->msr_set(v, index, value));
	case MSR_SYSENTER_CS:
	case MSR_DEBUGCTL:
	case MSR_EFER:
	case MSR_STAR:
	case MSR_FMASK:
		return answer_of(vendor->msr_set(v, index, value));
	default:
		return FORWARD;
	}
}

static enum after forward(struct vcpu *v, u32 index, bool write, u64 value, unsigned length)
{
	struct septum_event event = {
		.type = SEPTUM_EVENT_MSR,
		.flags = write ? SEPTUM_EVENT_WRITE : SEPTUM_EVENT_READ,
		.data = {index, write ? value : 0},
	};

	pending_begin(v, write ? PENDING_MSR_WRITE : PENDING_MSR_READ, length);
	event_post(v, &event);
	return AFTER_WAIT;
}

/* ---- The root's ---- */

enum rule {
	NATIVE,	  /* the processor decides */
	CONSTANT, /* reads as `value` */
	IGNORED,  /* writes do nothing */
	ABSENT,	  /* #GP */
	SPECIAL,
};
static const struct root_rule {
	u32 first, last;
	u8 read, write; /* enum rule */
	u64 value;
} root_rules[] = {
	{0x1b, 0x1b, NATIVE, SPECIAL, 0},	      /* APIC_BASE: stays where it is */
	{0x3a, 0x3a, CONSTANT, ABSENT, 1},	      /* FEATURE_CONTROL: locked, VMX off */
	{0x79, 0x79, ABSENT, IGNORED, 0},	      /* microcode update */
	{0x87, 0x87, ABSENT, ABSENT, 0},	      /* SEAM and MKTME key ids */
	{0x9b, 0x9b, ABSENT, ABSENT, 0},	      /* SMM monitor */
	{0x200, 0x26f, NATIVE, IGNORED, 0},	      /* MTRRs; Septum's tables follow them */
	{0x2ff, 0x2ff, NATIVE, IGNORED, 0},	      /* MTRR default */
	{0x480, 0x493, ABSENT, ABSENT, 0},	      /* VMX */
	{0x560, 0x58f, ABSENT, ABSENT, 0},	      /* processor trace: writes physical memory */
	{0x981, 0x983, ABSENT, ABSENT, 0},	      /* TME */
	{0xc0010010, 0xc0010010, NATIVE, IGNORED, 0}, /* SYSCFG */
	{0xc0010016, 0xc001001d, NATIVE, IGNORED, 0}, /* IORRs, TOP_MEM: where RAM is */
	{0xc0010020, 0xc0010020, ABSENT, IGNORED, 0}, /* microcode update */
	{0xc0010111, 0xc0010113, NATIVE, IGNORED, 0}, /* SMBASE, SMM ranges */
	{0xc0010114, 0xc0010114, CONSTANT, IGNORED, BIT(3) | BIT(4)}, /* VM_CR: SVM off, locked */
	{0xc0010115, 0xc0010118, ABSENT, ABSENT, 0}, /* SMM control, VM_HSAVE_PA, SVM_KEY */
	{0xc0010130, 0xc0010138, ABSENT, ABSENT, 0}, /* SEV, RMP */
};

static const struct root_rule *root_rule_of(u32 index)
{
	for (unsigned n = 0; n < ARRAY_COUNT(root_rules); n++) {
		if (index >= root_rules[n].first && index <= root_rules[n].last)
			return &root_rules[n];
	}
	return NULL;
}

static bool root_read_msr(struct vcpu *v, u32 index, u64 *value)
{
	const struct root_rule *rule = root_rule_of(index);

	if (vendor->msr_get(v, index, value))
		return true;
	if (rule != NULL && rule->read == CONSTANT) {
		*value = rule->value;
		return true;
	}
	if (rule != NULL && rule->read == ABSENT)
		return false;
	return rdmsr_safe(index, value);
}

/* The APIC may be switched between its modes, but neither moved over other memory nor turned off
 * for good by a value that the processor would accept. */
static bool apic_base_write(u64 value)
{
	u64 now;

	if (!rdmsr_safe(MSR_APIC_BASE, &now) || ((now ^ value) & APIC_BASE_ADDRESS) != 0)
		return false;
	/* Septum sends its kicks with it. */
	if (cpu_count > 1 && (now & ~value & APIC_BASE_ON) != 0)
		return false;
	return wrmsr_safe(MSR_APIC_BASE, value);
}

static bool root_write_msr(struct vcpu *v, u32 index, u64 value)
{
	const struct root_rule *rule = root_rule_of(index);
	u64 unused;

	if (vendor->msr_get(v, index, &unused))
		return vendor->msr_set(v, index, value);
	switch (rule != NULL ? (enum rule)rule->write : NATIVE) {
	case IGNORED:
		return true;
	case SPECIAL:
		return apic_base_write(value);
	case NATIVE:
		return world_msr_write(&v->world, index, value);
	default:
		return false;
	}
}

enum after msr_exit(struct vcpu *v, bool write)
{
	u32 index = (u32)v->gpr[RCX];
	u64 value = (u32)v->gpr[RAX] | v->gpr[RDX] << 32;
	enum answer answer;
	unsigned length;

	if (!exit_length(v, &length))
		return after_of(v);
	if (v->root)
		answer = answer_of(write ? root_write_msr(v, index, value)
					 : root_read_msr(v, index, &value));
	else
		answer =
			write ? guest_write_msr(v, index, value) : guest_read_msr(v, index, &value);
	switch (answer) {
	case FORWARD:
		return forward(v, index, write, value, length);
	case REFUSED:
		inject_general_protection(v);
		return after_of(v);
	default:
		break;
	}
	if (!write) {
		v->gpr[RAX] = (u32)value;
		v->gpr[RDX] = value >> 32;
	}
	vendor->skip(v, length);
	return AFTER_RESUME;
}
