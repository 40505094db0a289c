/* SPDX-License-Identifier: BSD-2-Clause */
#include "model/sev.h"
#include "arch/x86/smp.h"
#include "model/cipher.h"
#include "model/host.h"
#include "model/psp.h"
#include "model/rmp.h"
#include "model/shadow.h"
#include "svm/sev_machine.h"

#define CPUID_SEV 0x8000001fu
#define CPUID_SEV_EAX                                                                              \
	(BIT(1) | BIT(2) | BIT(3) | BIT(4) | BIT(5) | BIT(6) | BIT(10) | BIT(11) | BIT(21))
#define CPUID_VMPLS	12 /* EBX */
#define CPUID_REDUCTION 6
#define CPUID_COHERENT	BIT(31)
#define ASID_MAX	(MODEL_ASIDS - 1u)
#define ASID_MIN_SEV	21u /* below: SEV-ES and SNP */

#define MSR_SYSCFG	  0xc0010010u
#define MSR_HWCR	  0xc0010015u
#define MSR_VM_HSAVE_PA	  0xc0010117u
#define MSR_VM_PAGE_FLUSH 0xc001011eu
#define MSR_RMP_BASE	  0xc0010132u
#define MSR_RMP_END	  0xc0010133u
#define MSR_RMP_CFG	  0xc0010136u

#define SYSCFG_MEM_ENC BIT(23)
#define SYSCFG_SNP_EN  BIT(24)
#define SYSCFG_KNOWN   (BIT(18) | BIT(19) | BIT(20) | BIT(21) | BIT(22) | BIT(23) | BIT(24) | BIT(25))
#define HWCR_SMM_LOCK  BIT(0)
#define HWCR_TSC_P0    BIT(24)
#define RMP_ALIGN      0x2000ul
#define RMP_BITS       BIT(52)

static struct registers {
	bool known; /* the values of after a reset are there */
	u64 syscfg, hwcr, hsave_pa, rmp_base, rmp_end;
} cpus[CPU_MAX];
static bool ready;

/* At the first question, which is at start-up. */
static void setup(void)
{
	unsigned bits;

	if (ready)
		return;
	ready = true;
	/* QEMU's nested walk of four levels translates 48 bits. */
	bits = MIN(host_physical_bits(), 48u);
	shadow_setup(host_frames(), bits - 1, bits);
	host_fpu_setup();
	run_setup(model_cpu_count());
}

static struct registers *here(void)
{
	struct registers *m = &cpus[cpu_self()];

	if (!m->known) {
		*m = (struct registers){
			.known = true,
			.syscfg = SYSCFG_MEM_ENC,
			.hwcr = HWCR_SMM_LOCK | HWCR_TSC_P0,
		};
		(void)host_msr_read(MSR_VM_HSAVE_PA, &m->hsave_pa);
	}
	return m;
}

static struct sev_cpuid sev_cpuid(void)
{
	setup();
	return (struct sev_cpuid){
		.eax = (u32)CPUID_SEV_EAX,
		.ebx = (u32)((u64)__builtin_ctzl(shadow_c_bit()) | 1u << CPUID_REDUCTION |
			     RMP_VMPLS << CPUID_VMPLS | CPUID_COHERENT),
		.ecx = ASID_MAX,
		.edx = ASID_MIN_SEV,
	};
}

bool sev_run_allowed(unsigned cpu, u32 asid, bool es)
{
	const struct registers *m = &cpus[cpu];

	/* The save area that VMRUN uses is this CPU's own MSR, if the client never wrote it. */
	if (m->known && (m->hsave_pa == 0 || (m->hwcr & HWCR_SMM_LOCK) == 0))
		return false;
	return asid != 0 && asid <= ASID_MAX && (es ? asid < ASID_MIN_SEV : asid >= ASID_MIN_SEV);
}

static bool hsave_write(struct registers *m, u64 value)
{
	struct rmp_entry entry;

	if (value % PAGE_SIZE != 0)
		return false;
	rmp_lock();
	(void)rmp_get(pfn(value >> PAGE_SHIFT), &entry);
	rmp_unlock();
	if (entry.assigned || !host_msr_write(MSR_VM_HSAVE_PA, value))
		return false;
	m->hsave_pa = value;
	return true;
}

static bool rmp_bound_write(u64 *bound, u64 value, u64 address)
{
	if (rmp_enabled() || address % RMP_ALIGN != 0 || address > RMP_BITS)
		return false;
	*bound = value;
	return true;
}

static bool syscfg_write(struct registers *m, u64 value)
{
	if ((m->syscfg & SYSCFG_SNP_EN) != 0)
		return true; /* ignored */
	if ((value & ~SYSCFG_KNOWN) != 0)
		return false;
	m->syscfg = value;
	if ((value & SYSCFG_SNP_EN) != 0 && !rmp_enabled())
		rmp_enable(m->rmp_base, m->rmp_end);
	return true;
}

static bool sev_msr_read(u32 index, u64 *value)
{
	const struct registers *m = here();

	setup();
	switch (index) {
	case MSR_SYSCFG:
		*value = m->syscfg;
		return true;
	case MSR_HWCR:
		*value = m->hwcr;
		return true;
	case MSR_VM_HSAVE_PA:
		*value = m->hsave_pa;
		return true;
	case MSR_RMP_BASE:
		*value = m->rmp_base;
		return true;
	case MSR_RMP_END:
		*value = m->rmp_end;
		return true;
	case MSR_RMP_CFG:
		*value = 0;
		return true;
	default:
		return false; /* VM_PAGE_FLUSH can only be written */
	}
}

static bool sev_msr_write(u32 index, u64 value)
{
	struct registers *m = here();

	setup();
	switch (index) {
	case MSR_SYSCFG:
		return syscfg_write(m, value);
	case MSR_HWCR:
		m->hwcr = value | (m->hwcr & HWCR_SMM_LOCK);
		return true;
	case MSR_VM_HSAVE_PA:
		return hsave_write(m, value);
	case MSR_VM_PAGE_FLUSH:
		/* Caches are coherent here; what it checks is all it does. */
		return (value & (PAGE_SIZE - 1)) != 0;
	case MSR_RMP_BASE:
		return rmp_bound_write(&m->rmp_base, value, value);
	case MSR_RMP_END:
		return rmp_bound_write(&m->rmp_end, value, value + 1);
	case MSR_RMP_CFG:
		/* The table has one segment. */
		return value == 0 && !rmp_enabled();
	default:
		return false;
	}
}

static void sev_wbinvd(void)
{
	host_wbinvd();
	model_psp_wbinvd(cpu_self());
}

unsigned model_cpu_count(void)
{
	return cpu_count;
}

void model_cpu_msrs(unsigned cpu, struct model_msrs *msrs)
{
	const struct registers *m = &cpus[cpu];

	*msrs = (struct model_msrs){
		.syscfg = m->syscfg,
		.hwcr = m->hwcr,
		.hsave_pa = m->hsave_pa,
		.rmp_base = m->rmp_base,
		.rmp_end = m->rmp_end,
	};
}

struct sev_cpuid model_cpuid(u32 leaf, u32 subleaf)
{
	struct sev_cpuid id = leaf == CPUID_SEV ? sev_cpuid() : host_cpuid(leaf, subleaf);

	/* A processor that has SEV has the leaf that says so, and an APIC that QEMU's has not. The
	 * deadline is what no AMD processor has today: but Linux has no other timer here. */
	if (leaf == 0x80000000u && id.eax < CPUID_SEV)
		id.eax = CPUID_SEV;
	if (leaf == 1)
		id.ecx |= (u32)(BIT(21) | BIT(24));
	return id;
}

const struct sev_machine sev_model = {
	.name = "model",
	.cpuid = sev_cpuid,
	.msr_read = sev_msr_read,
	.msr_write = sev_msr_write,
	.rmpupdate = rmp_update,
	.psmash = rmp_psmash,
	.rmpread = rmp_read,
	.wbinvd = sev_wbinvd,
	.psp_find = model_psp_find,
	.psp_read = model_psp_read,
	.psp_write = model_psp_write,
	.enter = run_vmrun,
};
