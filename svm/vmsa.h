/* SPDX-License-Identifier: BSD-2-Clause */
/* The save area of a vCPU with encrypted state (APM Vol. 2, table B-4): where SEV-ES and SNP keep
 * all registers. Written by Septum before the launch only. */
#ifndef SVM_VMSA_H
#define SVM_VMSA_H

#include "svm/vmcb.h"

struct vmsa {
	struct vmcb_segment es, cs, ss, ds, fs, gs; /* 000h */
	struct vmcb_segment gdtr, ldtr, idtr, tr;   /* 060h */
	u64 ssp_by_level[4];			    /* 0A0h */
	u64 u_cet;
	u16 reserved0;
	u8 vmpl; /* 0CAh */
	u8 cpl;
	u32 reserved1;
	u64 efer; /* 0D0h */
	u8 reserved2[0x140 - 0xd8];
	u64 xss; /* 140h */
	u64 cr4, cr3, cr0, dr7, dr6, rflags, rip;
	u64 dr[4], dr_mask[4]; /* 180h */
	u8 reserved3[0x1d8 - 0x1c0];
	u64 rsp; /* 1D8h */
	u64 s_cet, ssp, isst;
	u64 rax; /* 1F8h */
	u64 star, lstar, cstar, fmask, kernel_gs_base, sysenter_cs, sysenter_esp, sysenter_eip;
	u64 cr2; /* 240h */
	u8 reserved4[0x268 - 0x248];
	u64 pat; /* 268h */
	u64 debugctl, branch_from, branch_to, exception_from, exception_to;
	u8 reserved5[0x2e8 - 0x298];
	u32 pkru, tsc_aux; /* 2E8h */
	u64 tsc_scale, tsc_offset, nonce;
	u64 rcx, rdx, rbx; /* 308h */
	u64 reserved6;
	u64 rbp, rsi, rdi; /* 328h */
	u64 r8_15[8];	   /* 340h */
	u8 reserved7[0x3b0 - 0x380];
	u64 sev_features; /* 3B0h: VMSA_* */
	u64 vintr, exit_code, vtom, tlb_id, pcpu_id, event;
	u64 xcr0; /* 3E8h */
	u8 reserved8[0x408 - 0x3f0];
	u32 mxcsr; /* 408h */
	u16 ftw, fsw, fcw;
	u8 reserved9[0x1000 - 0x412];
};
#define VMSA_AT(member, offset)                                                                    \
	_Static_assert(offsetof(struct vmsa, member) == (offset), "VMSA: " #member)
VMSA_AT(gdtr, 0x060);
VMSA_AT(vmpl, 0x0ca);
VMSA_AT(efer, 0x0d0);
VMSA_AT(xss, 0x140);
VMSA_AT(cr0, 0x158);
VMSA_AT(rflags, 0x170);
VMSA_AT(rip, 0x178);
VMSA_AT(rsp, 0x1d8);
VMSA_AT(rax, 0x1f8);
VMSA_AT(star, 0x200);
VMSA_AT(cr2, 0x240);
VMSA_AT(pat, 0x268);
VMSA_AT(pkru, 0x2e8);
VMSA_AT(rcx, 0x308);
VMSA_AT(rbp, 0x328);
VMSA_AT(r8_15, 0x340);
VMSA_AT(sev_features, 0x3b0);
VMSA_AT(xcr0, 0x3e8);
VMSA_AT(mxcsr, 0x408);
VMSA_AT(fcw, 0x410);
_Static_assert(sizeof(struct vmsa) == PAGE_SIZE, "VMSA: one page");

#define VMSA_SNP BIT(0)

/* What the RMP says of a VMSA that the hypervisor makes: beyond every guest's space. */
#define VMSA_GPA 0xfffffffff000ul

#endif
