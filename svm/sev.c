/* SPDX-License-Identifier: BSD-2-Clause */
/* Start-up of an SEV machine (APM Vol. 2, 15.34 to 15.36; SEV-SNP firmware ABI, 8.6 to 8.8). */
#include "svm/sev.h"
#include "arch/x86/cpu.h"
#include "arch/x86/io.h"
#include "arch/x86/smp.h"
#include "kernel/boot_info.h"
#include "kernel/cmdline.h"
#include "kernel/panic.h"
#include "kernel/print.h"
#include "mm/tlb.h"
#include "mm/window.h"
#include "svm/svm.h"

#define MSR_SYSCFG	0xc0010010u
#define MSR_HWCR	0xc0010015u
#define MSR_VM_HSAVE_PA 0xc0010117u
#define MSR_RMP_BASE	0xc0010132u
#define MSR_RMP_END	0xc0010133u
#define SYSCFG_MFDM	BIT(19)
#define SYSCFG_MEM_ENC	BIT(23)
#define SYSCFG_SNP_EN	BIT(24)
#define SYSCFG_VMPL_EN	BIT(25)
#define HWCR_SMMLOCK	BIT(0)

#define RMP_HEADER 0x4000ul
#define RMP_ALIGN  0x100000ul /* what the firmware wants of base and size */
#define RMP_ENTRY  16ul

/* A production build has no model. */
#pragma weak sev_model

const struct sev_machine *sev_machine;
struct sev_features sev_features;

enum choice { CHOICE_OFF, CHOICE_HARDWARE, CHOICE_MODEL };
static unsigned choice = CHOICE_OFF;

static bool parse_sev(const char *value)
{
	static const char *const names[] = {"off", "hw", "model"};

	return cmdline_choice(value, names, ARRAY_COUNT(names), &choice);
}
CMDLINE_OPTION(sev, "sev", "hw|model|off",
	       "AMD SEV, SEV-ES and SEV-SNP guests: the processor's, a software model's, none",
	       parse_sev);

/* ---- Every processor ---- */

static const char *problem; /* of whichever processor; the first that has one */
static u64 rmp_base, rmp_end;

static void trouble(const char *what)
{
	const char *none = NULL;

	__atomic_compare_exchange_n(&problem, &none, what, false, __ATOMIC_SEQ_CST,
				    __ATOMIC_SEQ_CST);
}

/* Guest CPUs have no work yet, so each of them takes this. */
static void everywhere(void (*work)(void *))
{
	for (unsigned cpu = 1; cpu < cpu_count; cpu++) {
		if (!cpu_run_on(cpu, work, NULL))
			panic("CPU %u is busy at start-up", cpu);
		while (!cpu_is_idle(cpu))
			cpu_relax();
	}
	work(NULL);
}

static bool msr_set_bits(u32 msr, u64 bits)
{
	u64 value;

	return sev_machine->msr_read(msr, &value) && sev_machine->msr_write(msr, value | bits) &&
	       sev_machine->msr_read(msr, &value) && (value & bits) == bits;
}

static void rmp_registers_set(void *unused)
{
	(void)unused;
	if (!sev_machine->msr_write(MSR_RMP_BASE, rmp_base) ||
	    !sev_machine->msr_write(MSR_RMP_END, rmp_end))
		trouble("a processor refuses the place of the ownership table (RMP_BASE, RMP_END)");
	sev_machine->wbinvd();
}

static void mfdm_set(void *unused)
{
	(void)unused;
	if (!msr_set_bits(MSR_SYSCFG, SYSCFG_MFDM | SYSCFG_MEM_ENC))
		trouble("a processor refuses SYSCFG.MFDM or memory encryption");
}

static void snp_enable(void *unused)
{
	(void)unused;
	if (!msr_set_bits(MSR_SYSCFG, SYSCFG_SNP_EN | SYSCFG_VMPL_EN))
		trouble("a processor refuses SYSCFG.SNP_EN");
}

/* While the firmware starts SNP no processor may have a save area for VMRUN. */
static u64 save_areas[CPU_MAX];

static void save_area_hide(void *unused)
{
	(void)unused;
	if (!sev_machine->msr_read(MSR_VM_HSAVE_PA, &save_areas[cpu_self()]) ||
	    !sev_machine->msr_write(MSR_VM_HSAVE_PA, 0))
		trouble("a processor does not let go of VM_HSAVE_PA");
}

static void save_area_restore(void *unused)
{
	(void)unused;
	if (!sev_machine->msr_write(MSR_VM_HSAVE_PA, save_areas[cpu_self()]))
		panic("VM_HSAVE_PA cannot be set again");
}

/* ---- SNP ---- */

/* Room for the table: an entry for each frame up to the end of RAM. */
static void rmp_allocate(void)
{
	const struct range_set *ram = &boot_info.memory[BOOT_RAM];
	u64 end = 0, bytes;
	u8 *room;

	for (unsigned i = 0; i < ram->count; i++)
		end = MAX(end, ram->ranges[i].end);
	bytes = RMP_HEADER + ALIGN_UP(end, BLOCK_PAGES * PAGE_SIZE) / PAGE_SIZE * RMP_ENTRY;
	bytes = ALIGN_UP(bytes, RMP_ALIGN);
	room = own_alloc((bytes + RMP_ALIGN) / PAGE_SIZE);
	rmp_base = ALIGN_UP(pfn_to_hpa(own_pfn(room)).n, RMP_ALIGN);
	rmp_end = rmp_base + bytes - 1;
}

struct snp_init_ex {
	u32 flags; /* 0: initialise the RMP; 1: there is a list */
	u32 reserved0;
	u64 list;
	u8 reserved1[48];
};
_Static_assert(sizeof(struct snp_init_ex) == 64, "SNP_INIT_EX");

struct snp_platform_status {
	u8 major, minor, state, flags;
	u32 build, features, guests;
	u64 tcb, reported_tcb;
};
_Static_assert(sizeof(struct snp_platform_status) == 32, "SNP PLATFORM_STATUS");

static const char *snp_start(void)
{
	struct snp_init_ex init = {.flags = 1};
	struct snp_platform_status status;
	u64 address = 0, hwcr;
	u32 answer;

	if (!sev_machine->msr_read(MSR_HWCR, &hwcr) || (hwcr & HWCR_SMMLOCK) == 0)
		return "the firmware has not locked SMM (HWCR.SMMLOCK)";
	rmp_allocate();
	everywhere(rmp_registers_set);
	if (problem == NULL)
		everywhere(mfdm_set);
	if (problem == NULL)
		everywhere(snp_enable);
	if (problem != NULL)
		return problem;
	everywhere(save_area_hide);
	answer = problem == NULL ? psp_command(PSP_SNP_INIT_EX, &init, sizeof(init)) : PSP_NO_PAGE;
	everywhere(save_area_restore);
	if (problem != NULL)
		return problem;
	if (answer != PSP_SUCCESS) {
		printk(LOG_ERROR, "SEV: SNP_INIT_EX ends with status %x", answer);
		return "the secure processor does not start SNP";
	}
	if (!psp_snp_begin())
		return "the secure processor cannot be given a page";
	answer = psp_command_out(PSP_SNP_PLATFORM_STATUS, &address, sizeof(address), 0, &status,
				 sizeof(status));
	if (answer != PSP_SUCCESS)
		return "the secure processor does not tell its state";
	sev_features.snp_major = status.major;
	sev_features.snp_minor = status.minor;
	return NULL;
}

/* ---- SEV and SEV-ES ---- */

struct sev_init {
	u32 flags; /* 0: SEV-ES */
	u32 reserved;
	u64 tmr;
	u32 tmr_length;
} __attribute__((packed));
_Static_assert(sizeof(struct sev_init) == 0x14, "INIT");

struct sev_platform_status {
	u8 major, minor, state, owner;
	u32 config; /* bit 0: ES; 31:24 build */
	u32 guests;
};
_Static_assert(sizeof(struct sev_platform_status) == 12, "PLATFORM_STATUS");

#define TRUSTED_PLAIN 0x100000ul
#define TRUSTED_SNP   0x200000ul

/* The firmware's own memory for SEV-ES (TMR), aligned to its size. 0: it cannot be given. */
static u64 trusted_region(u64 bytes)
{
	u8 *room = own_alloc(2 * bytes / PAGE_SIZE);
	u64 at = ALIGN_UP(pfn_to_hpa(own_pfn(room)).n, bytes);

	if (sev_features.snp && !sev_rmp_firmware(hpa_to_pfn(hpa(at)), LEVEL_2M))
		return 0;
	return at;
}

static const char *plain_start(bool es)
{
	u64 bytes = sev_features.snp ? TRUSTED_SNP : TRUSTED_PLAIN;
	struct sev_init init = {.flags = es};
	struct sev_platform_status status;
	u32 answer;

	if (es) {
		init.tmr = trusted_region(bytes);
		init.tmr_length = (u32)bytes;
	}
	if (es && init.tmr == 0)
		return "the secure processor cannot be given its memory";
	answer = psp_command(PSP_SEV_INIT, &init, sizeof(init));
	if (answer != PSP_SUCCESS) {
		printk(LOG_ERROR, "SEV: INIT ends with status %x", answer);
		return "the secure processor does not start SEV";
	}
	answer = psp_command(PSP_SEV_PLATFORM_STATUS, &status, sizeof(status));
	if (answer != PSP_SUCCESS)
		return "the secure processor does not tell its state";
	sev_features.sev_major = status.major;
	sev_features.sev_minor = status.minor;
	return NULL;
}

/* ---- All of it ---- */

static void machine_choose(void)
{
	switch ((enum choice)choice) {
	case CHOICE_OFF:
		return;
	case CHOICE_HARDWARE:
		sev_machine = &sev_hardware;
		if ((sev_machine->cpuid().eax & BIT(1)) == 0)
			boot_fail("sev=hw: this processor has no SEV, or the firmware has turned "
				  "it off; use sev=off.");
		if ((sev_machine->cpuid().eax & BIT(4)) != 0)
			boot_fail("sev=hw: SEV-SNP needs the IOMMU turned on for SNP, which this "
				  "version of Septum does not do yet; use sev=off.");
		return;
	case CHOICE_MODEL:
		if (&sev_model == NULL)
			boot_fail("sev=model: this build of Septum has no software model of SEV; "
				  "use sev=off, or another build.");
		sev_machine = &sev_model;
		printk(LOG_WARN, "SEV: A SOFTWARE MODEL stands in for the secure processor and its "
				 "memory encryption: nothing is protected by hardware.");
		return;
	}
}

void sev_start(void)
{
	const char *snp = NULL, *plain;
	struct sev_cpuid id;

	machine_choose();
	if (sev_machine == NULL)
		return;
	id = sev_machine->cpuid();
	/* The model runs its guests under one of the processor's own. */
	if (sev_machine != &sev_hardware)
		svm_features.asids--;
	if ((id.eax & BIT(1)) == 0)
		boot_fail("sev=%s: there is no SEV; use sev=off.", sev_machine->name);
	if (!psp_start())
		boot_fail("sev=%s: there is no secure processor (PSP), without which there is no "
			  "SEV; use sev=off.",
			  sev_machine->name);
	sev_features.cbit = id.ebx & 0x3f;
	sev_features.asid_max = id.ecx;
	sev_features.asid_plain = id.edx;
	asid_start();
	if (sev_machine == &sev_hardware)
		svm_asid_first = sev_features.asid_max + 1;
	if ((id.eax & BIT(4)) != 0) {
		snp = snp_start();
		sev_features.snp = snp == NULL;
		if (snp != NULL)
			printk(LOG_ERROR, "SEV: no SNP guests: %s", snp);
	}
	plain = plain_start((id.eax & BIT(3)) != 0);
	sev_features.sev = plain == NULL;
	sev_features.es = plain == NULL && (id.eax & BIT(3)) != 0;
	if (plain != NULL)
		printk(LOG_ERROR, "SEV: no SEV and SEV-ES guests: %s", plain);
	printk(LOG_INFO, "SEV (%s): guests%s%s%s, C-bit %u, ASIDs up to %u", sev_machine->name,
	       sev_features.sev ? " SEV" : "", sev_features.es ? " SEV-ES" : "",
	       sev_features.snp ? " SNP" : "", sev_features.cbit, sev_features.asid_max);
}

void sev_shutdown(void)
{
	struct {
		u32 length, flags;
	} snp = {8, 0};

	if (sev_machine == NULL)
		return;
	if (sev_features.sev)
		(void)psp_command(PSP_SEV_SHUTDOWN, NULL, 0);
	if (sev_features.snp) {
		psp_snp_end();
		(void)psp_command(PSP_SNP_SHUTDOWN_EX, &snp, sizeof(snp));
	}
	sev_features = (struct sev_features){0};
}
