/* SPDX-License-Identifier: BSD-2-Clause */
/* The virtual machine control block of AMD SVM.
 *
 * Layout and bits: AMD64 Architecture Programmer's Manual (APM) Vol. 2, rev. 3.40, appendix B
 * (tables B-1 and B-2); meaning: chapter 15. Exit codes: appendix C.
 */
#ifndef SVM_VMCB_H
#define SVM_VMCB_H

#include "kernel/types.h"

/* APM Vol. 2, table B-1. */
struct vmcb_control {
	u16 cr_read, cr_write; /* 000h: intercepts, bit n: CRn */
	u16 dr_read, dr_write;
	u32 exceptions;	   /* 008h: bit n: vector n */
	u32 intercepts[3]; /* 00Ch: enum intercept */
	u8 reserved0[0x3c - 0x18];
	u16 pause_threshold; /* 03Ch */
	u16 pause_count;
	u64 iopm;  /* 040h: physical address of 12 KiB */
	u64 msrpm; /* 048h: physical address of 8 KiB */
	u64 tsc_offset;
	u32 asid;	/* 058h */
	u8 tlb_control; /* 05Ch: TLB_* */
	u8 reserved1[3];
	u64 interrupt;	/* 060h: V_* */
	u64 shadow;	/* 068h: SHADOW_* */
	u64 exit_code;	/* 070h: compare the low 32 bits, see svm/exit.c */
	u64 exit_info1; /* 078h */
	u64 exit_info2; /* 080h */
	u64 exit_event; /* 088h: EXITINTINFO, EVENT_* */
	u64 nested;	/* 090h: NESTED_* */
	u64 avic_bar;
	u64 ghcb;  /* 0A0h */
	u64 event; /* 0A8h: EVENTINJ, EVENT_* */
	u64 ncr3;  /* 0B0h: root of the nested table */
	u64 lbr;   /* 0B8h */
	u32 clean; /* 0C0h: CLEAN_* */
	u32 reserved2;
	u64 next_rip; /* 0C8h: with NRIPS */
	u8 fetched;   /* 0D0h: with decode assists */
	u8 fetched_bytes[15];
	u8 reserved3[0x108 - 0xe0];
	u64 vmsa; /* 108h: with NESTED_SEV_ES: where the registers are */
	u8 reserved4[0x400 - 0x110];
};

struct vmcb_segment {
	u16 selector;
	u16 attributes; /* type 3:0, S 4, DPL 6:5, P 7, AVL 8, L 9, D/B 10, G 11 */
	u32 limit;
	u64 base;
};

/* APM Vol. 2, table B-2; offsets there count from 400h. */
struct vmcb_save {
	struct vmcb_segment es, cs, ss, ds, fs, gs; /* 000h */
	struct vmcb_segment gdtr, ldtr, idtr, tr;   /* 060h */
	u8 reserved0[0xcb - 0xa0];
	u8 cpl; /* 0CBh */
	u32 reserved1;
	u64 efer; /* 0D0h */
	u8 reserved2[0x148 - 0xd8];
	u64 cr4, cr3, cr0; /* 148h */
	u64 dr7, dr6;	   /* 160h */
	u64 rflags, rip;   /* 170h */
	u8 reserved3[0x1d8 - 0x180];
	u64 rsp; /* 1D8h */
	u64 s_cet, ssp, isst;
	u64 rax;		       /* 1F8h */
	u64 star, lstar, cstar, fmask; /* 200h */
	u64 kernel_gs_base;
	u64 sysenter_cs, sysenter_esp, sysenter_eip; /* 228h */
	u64 cr2;				     /* 240h */
	u8 reserved4[0x268 - 0x248];
	u64 pat; /* 268h: the guest's PAT while nested paging is on */
	u64 debugctl;
	u64 branch_from, branch_to, exception_from, exception_to;
	u8 reserved5[0x2e0 - 0x298];
	u64 spec_ctrl; /* 2E0h: with virtualized SPEC_CTRL */
	u8 reserved6[0xc00 - 0x2e8];
};

struct vmcb {
	struct vmcb_control control;
	struct vmcb_save save;
};

#define VMCB_AT(member, offset)                                                                    \
	_Static_assert(offsetof(struct vmcb, member) == (offset), "VMCB: " #member)
VMCB_AT(control.exceptions, 0x008);
VMCB_AT(control.intercepts, 0x00c);
VMCB_AT(control.pause_threshold, 0x03c);
VMCB_AT(control.iopm, 0x040);
VMCB_AT(control.msrpm, 0x048);
VMCB_AT(control.tsc_offset, 0x050);
VMCB_AT(control.asid, 0x058);
VMCB_AT(control.tlb_control, 0x05c);
VMCB_AT(control.interrupt, 0x060);
VMCB_AT(control.shadow, 0x068);
VMCB_AT(control.exit_code, 0x070);
VMCB_AT(control.exit_event, 0x088);
VMCB_AT(control.nested, 0x090);
VMCB_AT(control.ghcb, 0x0a0);
VMCB_AT(control.event, 0x0a8);
VMCB_AT(control.ncr3, 0x0b0);
VMCB_AT(control.clean, 0x0c0);
VMCB_AT(control.next_rip, 0x0c8);
VMCB_AT(control.fetched, 0x0d0);
VMCB_AT(control.vmsa, 0x108);
VMCB_AT(save, 0x400);
VMCB_AT(save.gdtr, 0x460);
VMCB_AT(save.tr, 0x490);
VMCB_AT(save.cpl, 0x4cb);
VMCB_AT(save.efer, 0x4d0);
VMCB_AT(save.cr4, 0x548);
VMCB_AT(save.cr0, 0x558);
VMCB_AT(save.dr7, 0x560);
VMCB_AT(save.rflags, 0x570);
VMCB_AT(save.rip, 0x578);
VMCB_AT(save.rsp, 0x5d8);
VMCB_AT(save.rax, 0x5f8);
VMCB_AT(save.star, 0x600);
VMCB_AT(save.kernel_gs_base, 0x620);
VMCB_AT(save.sysenter_eip, 0x638);
VMCB_AT(save.cr2, 0x640);
VMCB_AT(save.pat, 0x668);
VMCB_AT(save.debugctl, 0x670);
VMCB_AT(save.spec_ctrl, 0x6e0);
_Static_assert(sizeof(struct vmcb_segment) == 16, "VMCB: segment");
_Static_assert(sizeof(struct vmcb) == PAGE_SIZE, "VMCB: one page");

/* Intercepts: bit n % 32 of intercepts[n / 32] (table B-1, 00Ch to 014h). */
enum intercept {
	ICEPT_INTR,
	ICEPT_NMI,
	ICEPT_SMI,
	ICEPT_INIT,
	ICEPT_VINTR,
	ICEPT_RDPMC = 15,
	ICEPT_CPUID = 18,
	ICEPT_IRET = 20,
	ICEPT_INVD = 22,
	ICEPT_HLT = 24,
	ICEPT_INVLPGA = 26,
	ICEPT_IOIO,
	ICEPT_MSR,
	ICEPT_TASK_SWITCH,
	ICEPT_FERR,
	ICEPT_SHUTDOWN,
	ICEPT_VMRUN = 32,
	ICEPT_VMMCALL,
	ICEPT_VMLOAD,
	ICEPT_VMSAVE,
	ICEPT_STGI,
	ICEPT_CLGI,
	ICEPT_SKINIT,
	ICEPT_WBINVD = 41,
	ICEPT_MONITOR,
	ICEPT_MWAIT,
	ICEPT_MWAIT_ARMED,
	ICEPT_XSETBV,
	ICEPT_RDPRU,
	ICEPT_INVLPGB = 64,
	ICEPT_INVLPGB_ILLEGAL,
	ICEPT_MCOMMIT = 67,
	ICEPT_TLBSYNC,
};

/* TLB_CONTROL (15.16.1). */
#define TLB_KEEP       0
#define TLB_FLUSH_ALL  1
#define TLB_FLUSH_ASID 3

/* 060h (15.21). */
#define V_TPR		0xful
#define V_IRQ		BIT(8)
#define V_INTR_PRIO(n)	((u64)(n) << 16)
#define V_INTR_PRIO_MAX (0xful << 16)
#define V_IGN_TPR	BIT(20)
#define V_INTR_MASKING	BIT(24)

#define SHADOW_STI_SS	BIT(0) /* 068h: an interrupt shadow (15.21.5) */
#define SHADOW_GUEST_IF BIT(1) /* .. RFLAGS.IF of a guest with encrypted state */
#define NESTED_PAGING	BIT(0) /* 090h */
#define NESTED_SEV	BIT(1)
#define NESTED_SEV_ES	BIT(2)
#define LBR_VIRTUAL	BIT(0) /* 0B8h */

/* EVENTINJ and EXITINTINFO (15.20, 15.7.2). */
#define EVENT_VECTOR	  0xfful
#define EVENT_TYPE	  (7ul << 8)
#define EVENT_TYPE_INTR	  (0ul << 8)
#define EVENT_TYPE_NMI	  (2ul << 8)
#define EVENT_TYPE_EXC	  (3ul << 8)
#define EVENT_TYPE_SOFT	  (4ul << 8)
#define EVENT_HAS_ERROR	  BIT(11)
#define EVENT_VALID	  BIT(31)
#define EVENT_ERROR_SHIFT 32

/* VMCB clean bits: the processor may use what it remembers (15.15.3). */
#define CLEAN_INTERCEPTS BIT(0) /* and the TSC offset and the pause filter */
#define CLEAN_MAPS	 BIT(1) /* IOPM, MSRPM */
#define CLEAN_ASID	 BIT(2)
#define CLEAN_TPR	 BIT(3) /* 060h */
#define CLEAN_NESTED	 BIT(4) /* nCR3, PAT */
#define CLEAN_CR	 BIT(5) /* CR0, CR3, CR4, EFER */
#define CLEAN_DR	 BIT(6) /* DR6, DR7 */
#define CLEAN_DT	 BIT(7) /* GDTR, IDTR */
#define CLEAN_SEG	 BIT(8) /* CS, DS, SS, ES, CPL */
#define CLEAN_CR2	 BIT(9)
#define CLEAN_LBR	 BIT(10)
#define CLEAN_AVIC	 BIT(11)
#define CLEAN_CET	 BIT(12)
#define CLEAN_ALL	 (BIT(13) - 1)

/* Exit codes, appendix C. */
enum svm_exit {
	VMEXIT_DR_FIRST = 0x20, /* reads, then writes */
	VMEXIT_DR_LAST = 0x3f,
	VMEXIT_DB = 0x41,
	VMEXIT_UD = 0x46,
	VMEXIT_AC = 0x51,
	VMEXIT_MC = 0x52,
	VMEXIT_INTR = 0x60,
	VMEXIT_NMI,
	VMEXIT_SMI,
	VMEXIT_INIT,
	VMEXIT_VINTR,
	VMEXIT_RDPMC = 0x6f,
	VMEXIT_CPUID = 0x72,
	VMEXIT_IRET = 0x74,
	VMEXIT_INVD = 0x76,
	VMEXIT_HLT = 0x78,
	VMEXIT_INVLPGA = 0x7a,
	VMEXIT_IOIO,
	VMEXIT_MSR,
	VMEXIT_TASK_SWITCH,
	VMEXIT_FERR,
	VMEXIT_SHUTDOWN,
	VMEXIT_VMRUN,
	VMEXIT_VMMCALL,
	VMEXIT_VMLOAD,
	VMEXIT_VMSAVE,
	VMEXIT_STGI,
	VMEXIT_CLGI,
	VMEXIT_SKINIT,
	VMEXIT_WBINVD = 0x89,
	VMEXIT_MONITOR,
	VMEXIT_MWAIT,
	VMEXIT_MWAIT_ARMED,
	VMEXIT_XSETBV,
	VMEXIT_RDPRU,
	VMEXIT_INVLPGB = 0xa0,
	VMEXIT_INVLPGB_ILLEGAL,
	VMEXIT_MCOMMIT = 0xa3,
	VMEXIT_TLBSYNC,
	VMEXIT_NPF = 0x400,
	VMEXIT_VMGEXIT = 0x403,
};
#define VMEXIT_INVALID 0xffffffffu /* low half of -1 */
#define VMEXIT_BUSY    0xfffffffeu /* .. of -2: another processor has the VMSA */

/* EXITINFO1 of a nested fault (15.25.6). */
#define NPF_WRITE BIT(1)
#define NPF_FETCH BIT(4)
#define NPF_RMP	  BIT(31) /* the RMP forbids it (15.36.10) */
#define NPF_WALK  BIT(33) /* in the guest's own page table */
#define NPF_ENC	  BIT(34) /* the access was one with C = 1 */
#define NPF_SIZEM BIT(35) /* PVALIDATE, RMPADJUST: of 4 KiB, under an entry of 2 MiB */

/* EXITINFO1 of port I/O (15.10.2). */
#define IOIO_IN		BIT(0)
#define IOIO_STRING	BIT(2)
#define IOIO_REP	BIT(3)
#define IOIO_SIZE_SHIFT 4 /* one-hot: 8, 16, 32 bits */
#define IOIO_ADDR_SHIFT 7 /* one-hot: 16, 32, 64 bits */
#define IOIO_SEG_SHIFT	10
#define IOIO_PORT_SHIFT 16

#endif
