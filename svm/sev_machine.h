/* SPDX-License-Identifier: BSD-2-Clause */
/* What an SEV, SEV-ES and SEV-SNP machine offers its hypervisor: instructions,
 * registers, the mailbox of its secure processor (PSP), and the way into a
 * guest.
 *
 * svm/sev*.c, the client, drives such a machine through this table and nothing
 * else. There are two machines: the hardware (svm/sev_hw.c: each function is
 * one instruction or register access) and the model (model/, not in a
 * production build). They are interchangeable: what the client may not do on
 * one it may not do on the other.
 *
 * Client and model share this header, svm/vmcb.h, raw guest entry (svm_enter)
 * and the windows on physical memory, each with window slots of its own. The
 * model never calls the client or kernel/, and the client never looks into the
 * model.
 *
 * Every function may be called on any CPU, interrupts off; those that concern
 * one CPU say so. Sources: APM Vol. 2 (24593) 15.34 to 15.36; SEV API (55766),
 * SEV-SNP firmware ABI (56860), GHCB (56421).
 */
#ifndef SVM_SEV_MACHINE_H
#define SVM_SEV_MACHINE_H

#include "kernel/types.h"

/* Operand of RMPUPDATE and result of RMPREAD (APM Vol. 3, RMPUPDATE). */
struct rmp_state {
	u64 gpa;      /* bytes; of a page that belongs to a guest */
	u8 assigned;  /* 0: the hypervisor's */
	u8 pagesize;  /* RMP_4K or RMP_2M; RMPREAD also: bit 1, the 2 MiB region is one
			 entry */
	u8 immutable; /* the firmware's: no RMPUPDATE */
	u8 reserved;
	u32 asid; /* 0: not a guest's */
} __attribute__((packed));
_Static_assert(sizeof(struct rmp_state) == 16, "rmp_state");

#define RMP_4K 0u
#define RMP_2M 1u

/* Results of the RMP instructions, in EAX. Any other value is a failure too. */
enum rmp_status {
	RMP_OK = 0,
	RMP_FAIL_INPUT = 1,
	RMP_FAIL_PERMISSION = 2,
	RMP_FAIL_INUSE = 3,	   /* transient */
	RMP_FAIL_OVERLAP = 4,	   /* transient while the firmware holds the 2 MiB entry */
	RMP_FAIL_REQUIREMENTS = 7, /* PSMASH: the page does not meet them */
};

struct sev_cpuid {
	u32 eax, ebx, ecx, edx;
};

enum psp_register { PSP_CMDRESP, PSP_ADDRESS_LO, PSP_ADDRESS_HI };

struct sev_machine {
	const char *name; /* "hardware", "model" */

	/* CPUID 8000001Fh: bits 1 SEV, 3 SEV-ES, 4 SNP of EAX; EBX[5:0] the C-bit's
	 * number; ECX the highest ASID; EDX the lowest for SEV without ES. All zero:
	 * no SEV. */
	struct sev_cpuid (*cpuid)(void);

	/* Host MSRs of this CPU: SYSCFG C0010010h, HWCR C0010015h, VM_HSAVE_PA
	 * C0010117h, VM_PAGE_FLUSH C001011Eh, RMP_BASE/END C0010132h/3h, RMP_CFG
	 * C0010136h. False: #GP. */
	bool (*msr_read)(u32 index, u64 *value);
	bool (*msr_write)(u32 index, u64 value);

	/* RMPUPDATE, PSMASH, RMPREAD: enum rmp_status, or what else the processor
	 * said. */
	u32 (*rmpupdate)(hpa_t page, const struct rmp_state *state);
	u32 (*psmash)(hpa_t block);
	u32 (*rmpread)(hpa_t page, struct rmp_state *state);

	/* WBINVD of this CPU. */
	void (*wbinvd)(void);

	/* The PSP's mailbox (SEV-SNP firmware ABI; PCI function, BAR 2). False: there
	 * is no PSP. Once, at start-up, before the two others. A command runs when
	 * CmdResp is written; it has ended when bit 31 of CmdResp is 1, with its
	 * status in bits 15:0. */
	bool (*psp_find)(void);
	u32 (*psp_read)(enum psp_register which);
	void (*psp_write)(enum psp_register which, u32 value);

	/* VMRUN of a guest with any of NESTED_SEV, NESTED_SEV_ES in its VMCB, on this
	 * CPU. As svm_enter() of svm/entry.S: same arguments, same contract (GIF = 0;
	 * VMLOAD and VMSAVE of the plain SEV guest included). `gprs` 0: encrypted
	 * state (SEV-ES, SNP): the registers are in the VMSA. */
	void (*enter)(u64 vmcb_pa, u64 *gprs, u64 host_vmcb_pa);
};

extern const struct sev_machine sev_hardware; /* svm/sev_hw.c */
extern const struct sev_machine sev_model;    /* model/; not in a production build */

/* The machine chosen at start-up (boot option sev=hw|model|off); NULL: none. */
extern const struct sev_machine *sev_machine;

#endif
