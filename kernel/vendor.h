/* SPDX-License-Identifier: BSD-2-Clause */
/* Vendor operations: all that the common code knows of VMX and SVM.
 *
 * One of the two tables is chosen at start-up, by what the processor has, and never changes.
 *
 * Contracts that hold for every operation: it runs on the CPU that runs (or loaded) the vCPU,
 * interrupts off; `v->vendor` is the vendor's alone. "Loaded" means that load() was called on this
 * CPU and no other load() since.
 */
#ifndef KERNEL_VENDOR_H
#define KERNEL_VENDOR_H

#include "kernel/status.h"
#include "kernel/types.h"
#include "kernel/vcpu.h"
#include "mm/nested.h"

struct result;
enum after;

/* VM types for which the machine itself keeps secrets from Septum. Their memory has a guard
 * (mm/guard.h). `vm` is BUILDING unless said otherwise. */
struct sealed_ops {
	u64 (*types)(void); /* bit n: enum septum_vm_type n can be made on this machine */
	u64 (*info)(void);  /* SEPTUM_INFO_SEV */

	/* After memory_init() and before anything else. Sets vm->sealed and the guard. On error
	 * nothing is left of it. `policy`: argument 5 of VM_CREATE. */
	struct result (*vm_create)(struct vm *vm, u64 policy);
	/* Width of a guest-physical address without the bit that means private. */
	unsigned (*gpa_bits)(void);
	struct result (*vm_start)(struct vm *vm);
	/* The vCPUs and the memory of the VM, in any state, have gone. */
	void (*vm_destroy)(struct vm *vm);
	/* SEPTUM_CALL_SEV_*. */
	struct result (*page)(struct vm *vm, u64 g, u64 root_page, u64 type);
	struct result (*measure)(struct vm *vm, u64 root_page);
	struct result (*secret)(struct vm *vm, u64 g, u64 root_page, u64 bytes);
	struct result (*id)(struct vm *vm, u64 root_page, u64 auth_page);

	/* EXIT_GUEST_REQUEST. */
	enum after (*request)(struct vcpu *v);
	/* CPUID leaf 8000001Fh of such a guest. */
	void (*leaf)(const struct vm *vm, u32 out[4]);
};

struct vendor_ops {
	const char *name; /* "SVM", "VMX" */
	u32 number;	  /* as SEPTUM_INFO_VENDOR */
	const struct nested_format *format;
	unsigned vcpu_pages; /* frames that vcpu_init needs, each mapped by object_map */

	/* Turns the extension on for this CPU. NULL, or one plain sentence: what is missing and the
	 * remedy. Called after probe() has been content on the boot CPU. */
	const char *(*cpu_enable)(void);
	/* What the machine as a whole needs, once all processors run and before own_seal(). NULL:
	 * nothing. */
	void (*machine_start)(void);
	/* NULL: no such types. */
	const struct sealed_ops *sealed;

	/* Turns it off again (panic, reset). */
	void (*cpu_disable)(void);

	/* Makes a vCPU in the state that SEPTUM_CALL_VCPU_CREATE promises (32-bit flat protected
	 * mode), with the intercepts for a guest, or for the root partition when v->root. `pages`:
	 * vcpu_pages zeroed frames, permanently mapped and contiguous in nothing; pages[0] is where
	 * v->vendor should live. */
	void (*vcpu_init)(struct vcpu *v, void *const pages[]);
	/* The vCPU is no longer loaded anywhere afterwards. Its pages may then be freed. */
	void (*vcpu_destroy)(struct vcpu *v);

	/* Makes `v` the vCPU of this CPU (VMPTRLD, VMLOAD). */
	void (*load)(struct vcpu *v);

	/* No processor keeps any part of `v` any more: another one may load it. On the CPU on which
	 * it was made or loaded last; no other than that may load it before. `v` need not be loaded
	 * here now, and another vCPU must be before the next run(). */
	void (*unload)(struct vcpu *v);

	/* Enters guest mode once, until the next exit, and fills v->exit. `v` is loaded.
	 *
	 * Before: delivers v->event if there is one (it then becomes EVENT_NONE); else a pending
	 * NMI or external interrupt if the guest can take it now (then cleared), and arranges for a
	 * WINDOW exit if it cannot. Flushes if tlb_enter() of the vCPU's tlb says so.
	 * NMI: run() returns with EXIT_NMI, perhaps without having entered, when
	 * one came to this CPU since it returned last: the caller looks again at everything that
	 * another CPU may have changed before its kick.
	 * After: an event whose delivery was interrupted is back in v->event. An NMI or interrupt
	 * for the root that arrived is reported, not consumed. A host NMI seen by Septum's own
	 * handler meanwhile is in this_cpu state, see arch/x86/traps.h. */
	void (*run)(struct vcpu *v);

	u64 (*rip_get)(const struct vcpu *v);
	void (*rip_set)(struct vcpu *v, u64 rip);
	/* RIP += length (32 bits outside 64-bit mode), ends an interrupt shadow, and with RFLAGS.TF
	 * leaves a pending #DB as the instruction would. */
	void (*skip)(struct vcpu *v, unsigned length);
	u64 (*rsp_get)(const struct vcpu *v);
	void (*rsp_set)(struct vcpu *v, u64 rsp);
	u64 (*rflags_get)(const struct vcpu *v);
	void (*rflags_set)(struct vcpu *v, u64 rflags);
	unsigned (*cpl_get)(const struct vcpu *v);
	/* The guest is in 64-bit mode (EFER.LMA and CS.L). */
	bool (*long_mode)(const struct vcpu *v);

	void (*state_get)(const struct vcpu *v, struct vcpu_state *state);
	/* Takes any values: what the processor refuses shows at the next run() as EXIT_INVALID. */
	void (*state_set)(struct vcpu *v, const struct vcpu_state *state);

	/* CR0, CR3, CR4 and EFER as the guest itself would write them: false: the write is to raise
	 * #GP and nothing has changed. */
	bool (*control_write)(struct vcpu *v, unsigned cr, u64 value);

	/* MSRs that live in the VMCB or VMCS: EFER, PAT, FS/GS/KERNEL_GS base, STAR, LSTAR, CSTAR,
	 * FMASK, SYSENTER_*, DEBUGCTL. False: not one of those, or (write) the value is refused. */
	bool (*msr_get)(const struct vcpu *v, u32 index, u64 *value);
	bool (*msr_set)(struct vcpu *v, u32 index, u64 value);

	/* TSC offset for the guest (added). */
	void (*tsc_offset_set)(struct vcpu *v, u64 offset);

	/* ---- For vCPUs with a local APIC (kernel/lapic_vcpu.c) ---- */

	/* Task priority, as CR8 has it: only bits 7:4 count. An external interrupt in v->interrupt
	 * whose class is not above it waits, and run() returns with EXIT_WINDOW when it need not
	 * wait any more. */
	u8 (*tpr_get)(const struct vcpu *v);
	void (*tpr_set)(struct vcpu *v, u8 tpr);
	/* What an INIT changes and state_set() does not: NMIs and interrupts are blocked by
	 * nothing, DR6, DR7. */
	void (*reset)(struct vcpu *v);
	/* As run(), for a vCPU that stands behind its HLT of `length` bytes and has nothing to be
	 * delivered: the processor sleeps until there is an exit. True: the vCPU still stands
	 * there; false: it went on and executes again, for whatever reason. */
	bool (*idle)(struct vcpu *v, unsigned length);
	/* v->preempt_at is looked at: run() and idle() return about then. Else arch/x86/timer.h is
	 * used. */
	bool preempts;
};

/* Chosen at start-up; NULL before. */
extern const struct vendor_ops *vendor;
extern const struct vendor_ops svm_ops;
extern const struct vendor_ops vmx_ops;

/* NULL: this machine can run it. Else one plain sentence that names what is missing (the extension,
 * nested paging, a lock by the firmware) and the remedy. svm_probe() and vmx_probe() are called
 * only on a CPU of that make. */
const char *svm_probe(void);
const char *vmx_probe(void);

#endif
