/* SPDX-License-Identifier: BSD-2-Clause */
/* The VMCS: field encodings, control bits, exit reasons and the capability MSRs.
 *
 * Intel SDM, volume 3 (order number 325384): fields appendix B, controls sections 25.6 to 25.8,
 * exit reasons appendix C, capabilities appendix A. */
#ifndef VMX_VMCS_H
#define VMX_VMCS_H

/* ---- Fields (appendix B). Segments in the order of enum segment, two encodings apart. */
#define VMCS_VPID		    0x0000
#define VMCS_GUEST_SELECTOR	    0x0800
#define VMCS_HOST_ES_SELECTOR	    0x0c00
#define VMCS_HOST_CS_SELECTOR	    0x0c02
#define VMCS_HOST_SS_SELECTOR	    0x0c04
#define VMCS_HOST_DS_SELECTOR	    0x0c06
#define VMCS_HOST_FS_SELECTOR	    0x0c08
#define VMCS_HOST_GS_SELECTOR	    0x0c0a
#define VMCS_HOST_TR_SELECTOR	    0x0c0c
#define VMCS_MSR_BITMAP		    0x2004
#define VMCS_TSC_OFFSET		    0x2010
#define VMCS_VIRTUAL_APIC_PAGE	    0x2012
#define VMCS_EPTP		    0x201a
#define VMCS_XSS_EXITING	    0x202c
#define VMCS_ENCLS_EXITING	    0x202e
#define VMCS_ENCLV_EXITING	    0x2036
#define VMCS_GUEST_PHYSICAL	    0x2400
#define VMCS_LINK_POINTER	    0x2800
#define VMCS_GUEST_DEBUGCTL	    0x2802
#define VMCS_GUEST_PAT		    0x2804
#define VMCS_GUEST_EFER		    0x2806
#define VMCS_GUEST_PDPTE	    0x280a /* four, two encodings apart */
#define VMCS_HOST_PAT		    0x2c00
#define VMCS_HOST_EFER		    0x2c02
#define VMCS_PIN_CONTROLS	    0x4000
#define VMCS_PRIMARY_CONTROLS	    0x4002
#define VMCS_EXCEPTION_BITMAP	    0x4004
#define VMCS_PF_ERROR_MASK	    0x4006
#define VMCS_PF_ERROR_MATCH	    0x4008
#define VMCS_CR3_TARGET_COUNT	    0x400a
#define VMCS_EXIT_CONTROLS	    0x400c
#define VMCS_EXIT_MSR_STORE_COUNT   0x400e
#define VMCS_EXIT_MSR_LOAD_COUNT    0x4010
#define VMCS_ENTRY_CONTROLS	    0x4012
#define VMCS_ENTRY_MSR_LOAD_COUNT   0x4014
#define VMCS_ENTRY_INTERRUPTION	    0x4016
#define VMCS_ENTRY_ERROR_CODE	    0x4018
#define VMCS_ENTRY_LENGTH	    0x401a
#define VMCS_TPR_THRESHOLD	    0x401c
#define VMCS_SECONDARY_CONTROLS	    0x401e
#define VMCS_INSTRUCTION_ERROR	    0x4400
#define VMCS_EXIT_REASON	    0x4402
#define VMCS_EXIT_INTERRUPTION	    0x4404
#define VMCS_EXIT_ERROR_CODE	    0x4406
#define VMCS_VECTORING		    0x4408
#define VMCS_VECTORING_ERROR	    0x440a
#define VMCS_EXIT_LENGTH	    0x440c
#define VMCS_EXIT_INSTRUCTION	    0x440e
#define VMCS_GUEST_LIMIT	    0x4800
#define VMCS_GUEST_GDTR_LIMIT	    0x4810
#define VMCS_GUEST_IDTR_LIMIT	    0x4812
#define VMCS_GUEST_ACCESS	    0x4814
#define VMCS_GUEST_INTERRUPTIBILITY 0x4824
#define VMCS_GUEST_ACTIVITY	    0x4826
#define VMCS_GUEST_SYSENTER_CS	    0x482a
#define VMCS_PREEMPTION_TIMER	    0x482e
#define VMCS_HOST_SYSENTER_CS	    0x4c00
#define VMCS_CR0_MASK		    0x6000
#define VMCS_CR4_MASK		    0x6002
#define VMCS_CR0_SHADOW		    0x6004
#define VMCS_CR4_SHADOW		    0x6006
#define VMCS_QUALIFICATION	    0x6400
#define VMCS_GUEST_LINEAR	    0x640a
#define VMCS_GUEST_CR0		    0x6800
#define VMCS_GUEST_CR3		    0x6802
#define VMCS_GUEST_CR4		    0x6804
#define VMCS_GUEST_BASE		    0x6806
#define VMCS_GUEST_GDTR_BASE	    0x6816
#define VMCS_GUEST_IDTR_BASE	    0x6818
#define VMCS_GUEST_DR7		    0x681a
#define VMCS_GUEST_RSP		    0x681c
#define VMCS_GUEST_RIP		    0x681e
#define VMCS_GUEST_RFLAGS	    0x6820
#define VMCS_GUEST_PENDING_DEBUG    0x6822
#define VMCS_GUEST_SYSENTER_ESP	    0x6824
#define VMCS_GUEST_SYSENTER_EIP	    0x6826
#define VMCS_HOST_CR0		    0x6c00
#define VMCS_HOST_CR3		    0x6c02
#define VMCS_HOST_CR4		    0x6c04
#define VMCS_HOST_FS_BASE	    0x6c06
#define VMCS_HOST_GS_BASE	    0x6c08
#define VMCS_HOST_TR_BASE	    0x6c0a
#define VMCS_HOST_GDTR_BASE	    0x6c0c
#define VMCS_HOST_IDTR_BASE	    0x6c0e
#define VMCS_HOST_SYSENTER_ESP	    0x6c10
#define VMCS_HOST_SYSENTER_EIP	    0x6c12
#define VMCS_HOST_RSP		    0x6c14
#define VMCS_HOST_RIP		    0x6c16

/* entry.S includes this file for the fields alone. */
#ifndef __ASSEMBLER__

/* ---- Pin-based controls (table 25-5). */
#define PIN_INTERRUPT	(1u << 0)
#define PIN_NMI		(1u << 3)
#define PIN_VIRTUAL_NMI (1u << 5)
#define PIN_PREEMPTION	(1u << 6)

/* ---- Primary processor-based controls (table 25-6). */
#define PRIMARY_INTERRUPT_WINDOW (1u << 2)
#define PRIMARY_TSC_OFFSET	 (1u << 3)
#define PRIMARY_HLT		 (1u << 7)
#define PRIMARY_MWAIT		 (1u << 10)
#define PRIMARY_RDPMC		 (1u << 11)
#define PRIMARY_CR3_LOAD	 (1u << 15)
#define PRIMARY_CR3_STORE	 (1u << 16)
#define PRIMARY_TPR_SHADOW	 (1u << 21)
#define PRIMARY_NMI_WINDOW	 (1u << 22)
#define PRIMARY_DEBUG		 (1u << 23)
#define PRIMARY_ALL_PORTS	 (1u << 24)
#define PRIMARY_MSR_BITMAPS	 (1u << 28)
#define PRIMARY_MONITOR		 (1u << 29)
#define PRIMARY_SECONDARY	 (1u << 31)

/* ---- Secondary processor-based controls (table 25-7). */
#define SECONDARY_EPT	       (1u << 1)
#define SECONDARY_RDTSCP       (1u << 3)
#define SECONDARY_VPID	       (1u << 5)
#define SECONDARY_WBINVD       (1u << 6)
#define SECONDARY_UNRESTRICTED (1u << 7)
#define SECONDARY_INVPCID      (1u << 12)
#define SECONDARY_ENCLS	       (1u << 15)
#define SECONDARY_XSAVES       (1u << 20)
#define SECONDARY_USER_WAIT    (1u << 26)
#define SECONDARY_ENCLV	       (1u << 28)

/* ---- VM-exit controls (table 25-13). */
#define EXIT_SAVE_DEBUG (1u << 2)
#define EXIT_HOST_64	(1u << 9)
#define EXIT_SAVE_PAT	(1u << 18)
#define EXIT_LOAD_PAT	(1u << 19)
#define EXIT_SAVE_EFER	(1u << 20)
#define EXIT_LOAD_EFER	(1u << 21)

/* ---- VM-entry controls (table 25-15). */
#define ENTRY_LOAD_DEBUG (1u << 2)
#define ENTRY_LONG_MODE	 (1u << 9)
#define ENTRY_LOAD_PAT	 (1u << 14)
#define ENTRY_LOAD_EFER	 (1u << 15)

/* ---- Interruption information, for entries, exits and IDT vectoring (tables 25-17, 25-20). */
#define INFO_VECTOR	   0xffu
#define INFO_TYPE(info)	   ((info) >> 8 & 7u)
#define INFO_OF_TYPE(type) ((type) << 8)
#define INFO_ERROR	   (1u << 11)
#define INFO_NMI_UNBLOCKED (1u << 12) /* exits: by an IRET that did not complete */
#define INFO_VALID	   (1u << 31)
enum info_type {
	TYPE_EXTERNAL = 0,
	TYPE_NMI = 2,
	TYPE_HARDWARE = 3,
	TYPE_SOFTWARE_INTERRUPT = 4,
	TYPE_PRIVILEGED_SOFTWARE = 5, /* INT1 */
	TYPE_SOFTWARE_EXCEPTION = 6,  /* INT3, INTO */
};

/* ---- Interruptibility and activity (tables 25-3, 25.4.2), pending debug exceptions (25-4). */
#define BLOCKED_STI	 (1u << 0)
#define BLOCKED_MOV_SS	 (1u << 1)
#define BLOCKED_NMI	 (1u << 3)
#define ACTIVITY_ACTIVE	 0u
#define ACTIVITY_HLT	 1u
#define PENDING_DEBUG_BS (1ul << 14)

/* ---- Exit reasons (appendix C). */
#define REASON_ENTRY_FAILED (1u << 31)
#define REASON_BASIC	    0xffffu
enum basic_reason {
	REASON_EXCEPTION = 0,
	REASON_INTERRUPT = 1,
	REASON_TRIPLE_FAULT = 2,
	REASON_INIT = 3,
	REASON_INTERRUPT_WINDOW = 7,
	REASON_NMI_WINDOW = 8,
	REASON_TASK_SWITCH = 9,
	REASON_CPUID = 10,
	REASON_GETSEC = 11,
	REASON_HLT = 12,
	REASON_INVD = 13,
	REASON_RDPMC = 15,
	REASON_VMCALL = 18,
	REASON_VMCLEAR = 19,
	REASON_VMXON = 27,
	REASON_CONTROL = 28,
	REASON_DEBUG = 29,
	REASON_IO = 30,
	REASON_RDMSR = 31,
	REASON_WRMSR = 32,
	REASON_MWAIT = 36,
	REASON_MONITOR = 39,
	REASON_TPR = 43,
	REASON_EPT_VIOLATION = 48,
	REASON_EPT_MISCONFIGURATION = 49,
	REASON_INVEPT = 50,
	REASON_PREEMPTION = 52,
	REASON_INVVPID = 53,
	REASON_WBINVD = 54,
	REASON_XSETBV = 55,
	REASON_VMFUNC = 59,
	REASON_ENCLS = 60,
	REASON_XSAVES = 63,
	REASON_XRSTORS = 64,
	REASON_ENCLV = 70,
};

/* ---- Qualifications (section 28.2.1). */
#define EPT_QUALIFICATION_WRITE		(1ul << 1)
#define EPT_QUALIFICATION_EXEC		(1ul << 2)
#define EPT_QUALIFICATION_LINEAR	(1ul << 7)
#define EPT_QUALIFICATION_FINAL		(1ul << 8) /* not a page-table access; if LINEAR */
#define EPT_QUALIFICATION_USER		(1ul << 9) /* with advanced information */
#define EPT_QUALIFICATION_NMI_UNBLOCKED (1ul << 12)

/* ---- MSRs (appendix A; volume 4). */
#define MSR_FEATURE_CONTROL    0x3a
#define FEATURE_CONTROL_LOCKED (1ul << 0)
#define FEATURE_CONTROL_VMX    (1ul << 2) /* outside of SMX */
#define MSR_VMX_BASIC	       0x480
#define MSR_VMX_PIN	       0x481 /* 481..484: pin, primary, exit, entry; 48d..490: the true ones */
#define MSR_VMX_MISC	       0x485
#define MSR_VMX_CR0_FIXED0     0x486
#define MSR_VMX_CR0_FIXED1     0x487
#define MSR_VMX_CR4_FIXED0     0x488
#define MSR_VMX_CR4_FIXED1     0x489
#define MSR_VMX_SECONDARY      0x48b
#define MSR_VMX_EPT_VPID       0x48c
#define MSR_VMX_TRUE_PIN       0x48d
#define MSR_VMX_LAST	       0x491

#define BASIC_REVISION	    0x7ffffffful
#define BASIC_TYPE(basic)   ((basic) >> 50 & 0xf) /* of VMCS memory: 6 is write-back */
#define BASIC_STRING_INFO   (1ul << 54)
#define BASIC_TRUE_CONTROLS (1ul << 55)

#define CAP_EPT_WALK_4	   (1ul << 6)
#define CAP_EPT_WRITE_BACK (1ul << 14)
#define CAP_EPT_2M	   (1ul << 16)
#define CAP_EPT_1G	   (1ul << 17)
#define CAP_INVEPT	   (1ul << 20)
#define CAP_EPT_ADVANCED   (1ul << 22)
#define CAP_INVEPT_SINGLE  (1ul << 25)
#define CAP_INVVPID	   (1ul << 32)
#define CAP_INVVPID_SINGLE (1ul << 41)

/* EPTP (25.6.11): four levels, write-back, no accessed and dirty bits: with them a processor's walk
 * of guest page tables would count as a write. */
#define EPTP_WALK_4	(3ul << 3)
#define EPTP_WRITE_BACK 6ul

#endif
#endif
