/* SPDX-License-Identifier: BSD-2-Clause */
/* One virtual processor, of the root partition or of a guest.
 *
 * The vendor code (svm/, vmx/) enters it and says in `exit` why it left; the common code (kernel/)
 * decides what to do and never touches a VMCB or VMCS. General registers live in `gpr` while the
 * vCPU is out of guest mode; RSP, RIP and RFLAGS stay with the vendor and are reached through
 * kernel/vendor.h.
 *
 * A vCPU is run by one CPU at a time, the one that it is detached to or CPU 0. That CPU alone
 * touches everything here, with these exceptions: `slot` and `wait` while an event is outstanding,
 * which the protocol guards with the VM's ring lock; `interrupt` and `nmi_pending`, which CPU 0
 * sets when they are not set and the CPU that delivers them takes away (with an APIC any CPU sets
 * `nmi_pending`, and `interrupt` is the running CPU's alone); parts of `lapic`; counters of
 * verdicts.
 */
#ifndef KERNEL_VCPU_H
#define KERNEL_VCPU_H

#include "arch/x86/decode.h"
#include "arch/x86/world.h"
#include "kernel/lapic.h"
#include "kernel/types.h"
#include "mm/memory.h"

#include <septum/abi.h>

struct vm;
struct vendor_vcpu; /* svm/ or vmx/: VMCB or VMCS and what belongs to it */

enum gpr {
	RAX,
	RCX,
	RDX,
	RBX,
	RSP,
	RBP,
	RSI,
	RDI,
	R8,
	R9,
	R10,
	R11,
	R12,
	R13,
	R14,
	R15,
	GPR_COUNT
};

/* Why the vCPU left guest mode, in one vocabulary for both vendors. */
enum exit_reason {
	EXIT_INTERRUPT, /* an interrupt of the root is due; still pending in the CPU */
	EXIT_NMI,	/* an NMI; the CPU has or will run Septum's NMI handler */
	EXIT_CPUID,
	EXIT_HYPERCALL, /* VMCALL or VMMCALL (also the other vendor's, out of a #UD) */
	EXIT_IO,	/* exit.io */
	EXIT_MSR_READ,	/* index in RCX */
	EXIT_MSR_WRITE,
	EXIT_NESTED_FAULT, /* exit.access, exit.code */
	EXIT_HALT,
	EXIT_UNDEFINED, /* the instruction is to raise #UD: VMX, SVM and their kin */
	EXIT_UD_FAULT,	/* the guest raised #UD; look at the bytes, else give it back */
	EXIT_XSETBV,
	EXIT_CONTROL,  /* exit.control: a control-register write that needs a decision */
	EXIT_WBINVD,   /* WBINVD or INVD (INVD is treated as WBINVD) */
	EXIT_WINDOW,   /* an interrupt or NMI can now be delivered; nothing to do */
	EXIT_SHUTDOWN, /* triple fault */
	EXIT_TIMER,    /* v->preempt_at has come */
	EXIT_INIT,     /* INIT signal (root CPUs; VMX) */
	EXIT_INVALID,  /* the processor refused the state; exit.code says what it said */
	EXIT_UNKNOWN,  /* exit.code: the vendor's number */
	/* Guests with encrypted registers: */
	EXIT_GUEST_REQUEST, /* it asks for something: vendor->sealed->request() */
	EXIT_BROKEN,	    /* the machine's record of its memory is not as it must be */
	EXIT_REASON_COUNT,
};

struct exit {
	enum exit_reason reason;
	u8 length;	      /* of the instruction, or 0: not known, decode it */
	u64 code;	      /* vendor's number or error code, for events and reports */
	struct access access; /* NESTED_FAULT */
	struct {
		u16 port;
		u8 size; /* 1, 2, 4 */
		bool in;
		bool string, rep;
		u8 address_size; /* bytes: 2, 4, 8; 0 when not known */
		u8 segment;	 /* of OUTS: enum segment; 0xff when not known (decode) */
		bool buffer;	 /* `count` elements at once; for OUT they are in pending.held */
		u16 count;
	} io;
	struct {
		u8 cr;	   /* 0, 3, 4, 8 */
		u64 value; /* to be written */
	} control;
};

/* An exception, interrupt or NMI to be delivered at the next entry, and the same thing again when
 * its delivery was interrupted by a nested fault. */
enum event_kind { EVENT_NONE, EVENT_EXTERNAL, EVENT_NMI, EVENT_EXCEPTION, EVENT_SOFTWARE };
struct vcpu_event {
	u8 kind; /* enum event_kind */
	u8 vector;
	u8 length; /* SOFTWARE (INT n, INT3, INTO): of the instruction */
	bool has_error;
	u32 error;
};

#define VECTOR_DB 1u
#define VECTOR_UD 6u
#define VECTOR_DF 8u
#define VECTOR_GP 13u
#define VECTOR_PF 14u
#define VECTOR_MC 18u

enum segment { SEG_ES, SEG_CS, SEG_SS, SEG_DS, SEG_FS, SEG_GS, SEG_LDTR, SEG_TR, SEG_COUNT };
struct segment_state {
	u16 selector;
	u32 limit;
	u32 access; /* VMX access-rights word, SDM Vol. 3, 24.4.1 */
	u64 base;
};

/* The state that the vendor keeps, as a whole: for slow paths only. */
struct vcpu_state {
	u64 rip, rsp, rflags;
	u64 cr0, cr2, cr3, cr4, efer;
	u64 gdtr_base, idtr_base;
	u32 gdtr_limit, idtr_limit;
	struct segment_state seg[SEG_COUNT];
	u8 cpl; /* read only */
};

/* What a vCPU waits for. */
enum wait_kind { WAIT_NONE, WAIT_EVENT, WAIT_HALTED, WAIT_STARTUP };

/* What is known of the verdict on an event. APPLYING: the CPU that runs the vCPU is at it. */
enum slot_answer { SLOT_OPEN, SLOT_ANSWERED, SLOT_APPLYING };

/* The outstanding event of a vCPU (protocol.c). */
struct event_slot {
	u32 seq;		   /* 0: none */
	u32 position;		   /* free-running index in the event ring */
	struct septum_event event; /* Septum's own copy: what the manager holds is not trusted */
	struct septum_completion completion; /* drained from the ring, to be applied */
	u8 answer;			     /* enum slot_answer */
	u32 ring_slot;			     /* where the outcome is to be stored */
	/* MEMORY_FAULT, POOL_EMPTY, MMIO: the access, to be looked at again, and what was said of
	 * it. */
	struct access access;
	u64 code;
	enum fault_outcome cause;
};

/* An explicit request in progress: what is left of it. The run that the manager is being asked
 * about is in the event. */
struct explicit_state {
	gfn_t next;
	u64 left; /* pages from `next` on that no event has covered yet */
	bool active;
	bool to_private;
	bool preserve;
};

/* The most pages that a vendor may want for a vCPU. */
#define VCPU_VENDOR_PAGES_MAX 16u

struct vcpu {
	u64 gpr[GPR_COUNT]; /* gpr[RSP] is not used; the offset of gpr is known to assembly: 0 */
	struct vm *vm;
	u16 index;
	bool root;
	bool dead;
	bool running;	  /* claimed by a RUN; under the ring lock */
	bool leave;	  /* a detached one is to give its CPU up */
	u16 cpu;	  /* that it is detached to; 0: attached. Under the ring lock */
	u8 wait;	  /* enum wait_kind */
	bool nmi_pending; /* deliver an NMI when the guest can take it */
	bool has_apic;	  /* SEPTUM_VM_APIC: `interrupt` is what `lapic` offers */
	bool halted;	  /* .. stands behind its HLT, */
	bool halt_if;	  /* .. with interrupts on; */
	u8 halt_length;	  /* .. the HLT's bytes */
	bool parked;	  /* .. waits for a SIPI */
	s16 offered;	  /* .. the vector in `interrupt`, or -1 */
	s64 interrupt;	  /* external vector to be delivered when the guest can take it, or -1 */
	struct vcpu_event event; /* deliver at the next entry, before anything else */
	struct exit exit;
	bool sealed;	 /* its registers are encrypted: only gpr[] has a meaning, by request */
	u64 sealed_xcr0; /* .. as it says itself, for CPUID */
	struct vendor_vcpu *vendor;
	struct world world; /* what is switched between root and guests, see arch/x86/world.h */

	struct event_slot slot;
	u64 loop_gpa;	/* loop guard: last denied access, */
	u64 loop_stamp; /* .. the stamp of its page */
	u32 loop_flags; /* .. the kind of access (SEPTUM_EVENT_*), */
	u32 loop_count; /* .. and how often in a row */
	struct explicit_state request;

	/* An instruction in flight (kernel/emulate.h): what to do before the next entry. */
	struct {
		u8 kind; /* enum pending_kind; 0: none */
		u8 length;
		u8 size;
		u8 phase;
		bool answered; /* COMPLETE has come, with `value` */
		u64 value;
		u64 data[4];
		struct insn insn;
		u8 held[SEPTUM_PAYLOAD_BYTES]; /* of INS, until it is in the guest's memory; of
						* OUTS, until it is answered */
	} pending;
	u64 tsc_offset; /* as given to the vendor */
	u64 preempt_at; /* TSC at which run() is to return, or NEVER; if the vendor preempts */
	struct lapic lapic;

	u64 mc_status, mc_address, mcg_status; /* bank 0, for a denied access */
	u64 counters[SEPTUM_COUNTER_END];
	void *vendor_pages[VCPU_VENDOR_PAGES_MAX]; /* what vcpu_init was given; vm.c frees them */
};
_Static_assert(offsetof(struct vcpu, gpr) == 0, "assembly relies on it");

#endif
