/* SPDX-License-Identifier: BSD-2-Clause */
/* The VM save area (VMSA) of a guest with encrypted state (APM Vol. 2, table B-4). */
#ifndef MODEL_VMSA_H
#define MODEL_VMSA_H

#include "kernel/types.h"
#include "model/cipher.h"
#include "model/host.h"
#include "svm/vmcb.h"

struct vmsa {
	u8 segments[0xa0]; /* as struct vmcb_save has them */
	u64 pl_ssp[4];	   /* 0A0h */
	u64 u_cet;
	u8 reserved0[2];
	u8 vmpl; /* 0CAh */
	u8 cpl;
	u32 reserved1;
	u64 efer; /* 0D0h */
	u8 reserved2[0x140 - 0xd8];
	u64 xss;	   /* 140h */
	u64 cr4, cr3, cr0; /* 148h */
	u64 dr7, dr6;
	u64 rflags, rip; /* 170h */
	u64 dr[4];	 /* 180h */
	u64 dr_mask[4];
	u8 reserved3[0x1d8 - 0x1c0];
	u64 rsp; /* 1D8h */
	u64 s_cet, ssp, isst;
	u64 rax;		       /* 1F8h */
	u64 star, lstar, cstar, fmask; /* 200h */
	u64 kernel_gs_base;
	u64 sysenter_cs, sysenter_esp, sysenter_eip;
	u64 cr2; /* 240h */
	u8 reserved4[0x268 - 0x248];
	u64 pat; /* 268h */
	u64 debugctl;
	u64 branch_from, branch_to, exception_from, exception_to;
	u8 reserved5[0x2e8 - 0x298];
	u32 pkru, tsc_aux; /* 2E8h */
	u8 reserved6[0x308 - 0x2f0];
	u64 rcx, rdx, rbx; /* 308h */
	u64 reserved7;
	u64 rbp, rsi, rdi; /* 328h */
	u64 r8_15[8];	   /* 340h */
	u8 reserved8[0x3b0 - 0x380];
	u64 sev_features; /* 3B0h */
	u8 reserved9[0x3e8 - 0x3b8];
	u64 xcr0; /* 3E8h */
	u8 reserved10[0x400 - 0x3f0];
	u64 x87_dp; /* 400h */
	u32 mxcsr;
	u16 x87_ftw, x87_fsw, x87_fcw, x87_fop, x87_ds, x87_cs;
	u64 x87_rip;
	u8 x87[80];   /* 420h: eight registers of 10 bytes */
	u8 xmm[256];  /* 470h */
	u8 ymm[256];  /* 570h: upper halves */
	u8 end[0x10]; /* 670h; what follows is not used here */
};
_Static_assert(offsetof(struct vmsa, vmpl) == 0xca, "VMSA: VMPL");
_Static_assert(offsetof(struct vmsa, efer) == 0xd0, "VMSA: EFER");
_Static_assert(offsetof(struct vmsa, cr4) == 0x148, "VMSA: CR4");
_Static_assert(offsetof(struct vmsa, rip) == 0x178, "VMSA: RIP");
_Static_assert(offsetof(struct vmsa, rsp) == 0x1d8, "VMSA: RSP");
_Static_assert(offsetof(struct vmsa, rax) == 0x1f8, "VMSA: RAX");
_Static_assert(offsetof(struct vmsa, cr2) == 0x240, "VMSA: CR2");
_Static_assert(offsetof(struct vmsa, pat) == 0x268, "VMSA: PAT");
_Static_assert(offsetof(struct vmsa, pkru) == 0x2e8, "VMSA: PKRU");
_Static_assert(offsetof(struct vmsa, rcx) == 0x308, "VMSA: RCX");
_Static_assert(offsetof(struct vmsa, rbp) == 0x328, "VMSA: RBP");
_Static_assert(offsetof(struct vmsa, r8_15) == 0x340, "VMSA: R8");
_Static_assert(offsetof(struct vmsa, sev_features) == 0x3b0, "VMSA: SEV_FEATURES");
_Static_assert(offsetof(struct vmsa, xcr0) == 0x3e8, "VMSA: XCR0");
_Static_assert(offsetof(struct vmsa, x87) == 0x420, "VMSA: x87");
_Static_assert(offsetof(struct vmsa, xmm) == 0x470, "VMSA: XMM");
_Static_assert(offsetof(struct vmsa, ymm) == 0x570, "VMSA: YMM");
_Static_assert(sizeof(struct vmsa) == 0x680, "VMSA: the part in use");

#define SEV_FEATURE_SNP BIT(0)

/* Copies that page to *vmsa, decrypted; and back. The page is raw. Window MODEL_VMSA. */
void vmsa_read(pfn_t page, const struct cipher_key *key, struct vmsa *vmsa);
void vmsa_write(pfn_t page, const struct cipher_key *key, const struct vmsa *vmsa);

/* The same with what is remembered of the page that was used last. `memory` is zero at first. */
struct vmsa_memory {
	u64 stream[sizeof(struct vmsa) / 8];
	struct cipher_key key;
	u64 frame; /* + 1 */
};
void vmsa_read_again(struct vmsa_memory *memory, pfn_t page, const struct cipher_key *key,
		     struct vmsa *vmsa);
void vmsa_write_again(struct vmsa_memory *memory, pfn_t page, const struct cipher_key *key,
		      const struct vmsa *vmsa);

/* To and from what VMRUN uses. gpr[] is in the order of the encoding; RAX and RSP are the save
 * area's. */
void vmsa_to_registers(const struct vmsa *vmsa, struct vmcb_save *save, u64 gpr[16],
		       struct host_fpu *fpu);
void vmsa_from_registers(struct vmsa *vmsa, const struct vmcb_save *save, const u64 gpr[16],
			 const struct host_fpu *fpu);

#endif
