/* SPDX-License-Identifier: BSD-2-Clause */
/* The root-facing interface of Septum: everything that a manager needs, and nothing else.
 *
 * A manager is a program in the root partition that creates guests, serves their events and holds
 * the policy. It talks to Septum through hypercalls (part 2) and, for each VM, through a pair of
 * rings in its own memory (part 3). Septum trusts neither: every argument and every ring entry is
 * copied once and validated, a refusal has a distinct code and changes nothing.
 *
 *   1  Words, limits, statuses
 *   2  Hypercalls
 *   3  Rings: events and completions
 *   4  Verdicts: what may answer what
 *   5  What the root partition finds when it starts
 *   6  What a guest sees
 *
 * All structures are little-endian, naturally aligned and free of padding. A physical page of the
 * root partition is named by its frame number (`pfn`: address / 4096); in the root partition
 * guest-physical and host-physical addresses are the same. A page of a guest is named by `gfn`,
 * WITHOUT the SHARED bit.
 */
#ifndef SEPTUM_ABI_H
#define SEPTUM_ABI_H

#include <stdint.h>

/* Major in bits 31:16, minor in 15:0. A manager runs on any Septum with the same major and at least
 * its minor (SEPTUM_CALL_VERSION checks it). */
#define SEPTUM_ABI_MAJOR   1u
#define SEPTUM_ABI_MINOR   2u
#define SEPTUM_ABI_VERSION ((SEPTUM_ABI_MAJOR << 16) | SEPTUM_ABI_MINOR)

/* ---------------------------------------------------------------------------------------------
 * 1  Words, limits, statuses
 */

#define SEPTUM_MAX_VMS	 64u /* ids 1..63; 0 is the root partition and no argument of any call */
#define SEPTUM_MAX_POOLS 32u /* ids 1..31 */
#define SEPTUM_MAX_VCPUS 64u /* of one VM: indices 0..63 */
#define SEPTUM_MAX_SLOTS 32u /* of one VM: indices 0..31 */

/* X(name, number, text). The only list of statuses; number 0 is success. */
#define SEPTUM_STATUS_LIST(X)                                                                      \
	X(OK, 0, "done")                                                                           \
	X(E_CALL, 1, "there is no such hypercall")                                                 \
	X(E_DENIED, 2, "only CPL 0 of the root partition may call this")                           \
	X(E_VERSION, 3, "the manager needs another version of the interface")                      \
	X(E_ARG, 4, "an argument is not among the values allowed")                                 \
	X(E_ALIGN, 5, "a number is not aligned as it must be")                                     \
	X(E_RANGE, 6, "a range is empty, wraps, or leaves the space it must lie in")               \
	X(E_NO_VM, 7, "there is no such VM")                                                       \
	X(E_NO_VCPU, 8, "there is no such vCPU")                                                   \
	X(E_NO_POOL, 9, "there is no such pool")                                                   \
	X(E_NO_SLOT, 10, "there is no such slot, or no slot covers the range")                     \
	X(E_EXISTS, 11, "it exists already, or overlaps one that does")                            \
	X(E_STATE, 12, "the object is not in a state that allows this")                            \
	X(E_UNSUPPORTED, 13, "this VM type or machine cannot do this")                             \
	X(E_NOT_ROOT, 14, "a frame of the range is not free root memory")                          \
	X(E_POOL_EMPTY, 15, "the pool has too few frames for this")                                \
	X(E_NO_TABLE, 16, "splitting the root's nested table needs a frame and there is none")     \
	X(E_LIMIT, 17, "a fixed table is full")                                                    \
	X(E_BUSY, 18, "it is in use")                                                              \
	X(E_POPULATED, 19, "private content would be lost that the guest has not given up")        \
	X(E_STALE, 20, "a page of the range has changed since the event")                          \
	X(E_NO_PROGRESS, 21, "nothing has changed: a retry would fault again")                     \
	X(E_NO_EVENT, 22, "no event with this sequence number is outstanding and consumed")        \
	X(E_VERDICT, 23, "this verdict cannot answer this event")                                  \
	X(E_RING, 24, "the ring was corrupted and is no longer trusted")                           \
	X(E_AGAIN, 25, "part of it is done: call again")                                           \
	X(E_EMPTY, 26, "there is nothing left to give")                                            \
	X(E_BROKEN, 27, "an invariant is violated (audit)")                                        \
	X(E_FIRMWARE, 28, "the machine's secure processor, or its ownership table, has refused")

enum septum_status {
#define X(name, number, text) SEPTUM_##name = (number),
	SEPTUM_STATUS_LIST(X)
#undef X
};

/* VM types. What each can do is in part 4. */
enum septum_vm_type {
	SEPTUM_PLAIN = 1,	 /* everything shared, nothing hidden */
	SEPTUM_SW_PROTECTED = 2, /* private memory by nested paging alone */
	SEPTUM_SEV = 3,		 /* private memory encrypted under the guest's key (C-bit) */
	SEPTUM_SEV_ES = 4,	 /* + registers hidden (VMSA) */
	SEPTUM_SNP = 5,		 /* + ownership of frames checked by the processor (RMP) */
	SEPTUM_TDX = 6,		 /* E_UNSUPPORTED */
};

/* Attributes of a guest page: what it is meant to be. A new VM is shared throughout (PLAIN for
 * ever), with all three permissions. */
#define SEPTUM_ATTR_READ    (1u << 0)
#define SEPTUM_ATTR_WRITE   (1u << 1) /* needs READ */
#define SEPTUM_ATTR_EXEC    (1u << 2) /* needs READ */
#define SEPTUM_ATTR_PRIVATE (1u << 3)

/* ---------------------------------------------------------------------------------------------
 * 2  Hypercalls
 *
 * VMCALL or VMMCALL, from CPL 0 of the root partition only (else E_DENIED; a guest never reaches
 * these). In 64-bit mode:
 *
 *   in   rax = call number, arguments in rdi, rsi, rdx, rcx, r8, r9 (unused ones are ignored)
 *   out  rax = status in bits 7:0; in bits 15:8 the number (1..6) of the argument to blame, or 0
 *        rdx = the call's value where it has one, else 0
 *   all other registers are kept.
 *
 * Unless said otherwise a call that fails has changed nothing. Statuses that any call with such an
 * argument can return are not repeated below: E_NO_VM, E_NO_VCPU, E_NO_POOL, E_NO_SLOT for ids that
 * name nothing, E_ARG for unknown flags, E_ALIGN and E_RANGE for bad ranges.
 */
enum septum_call {
	/* (wanted version) -> Septum's version. E_VERSION: not compatible; the value is still
	 * Septum's version. */
	SEPTUM_CALL_VERSION = 0,

	/* (what: enum septum_info) -> value. */
	SEPTUM_CALL_INFO = 1,

	/* (count of bytes 1..32, then 8 bytes each in arguments 2..5, first byte lowest). Writes to
	 * Septum's console, control characters other than \n, \r and \t replaced. */
	SEPTUM_CALL_CONSOLE = 2,

	/* Pools: memory for guests' private pages, their tables and their vCPUs.
	 *
	 * () -> pool id. E_LIMIT. */
	SEPTUM_CALL_POOL_CREATE = 8,
	/* (pool, pfn, count). Moves root frames into the pool, zeroed; both multiples of 512, count
	 * at most 512 * 64 a call. All or none. E_NOT_ROOT, E_NO_TABLE. */
	SEPTUM_CALL_POOL_DONATE = 9,
	/* (pool) -> pfn. Gives 512 free contiguous frames, zeroed, back to the root. E_EMPTY: no
	 * block of the pool is wholly free. */
	SEPTUM_CALL_POOL_RECLAIM = 10,
	/* (pool). Removes an empty pool that no VM is bound to. E_BUSY. */
	SEPTUM_CALL_POOL_DESTROY = 11,
	/* (pool) -> free frames in bits 31:0, all its frames in bits 63:32. */
	SEPTUM_CALL_POOL_INFO = 12,

	/* VMs.
	 *
	 * (type, flags: SEPTUM_VM_*, pool, vCPUs 1..64, shared bit, ring pfn) -> VM id.
	 * `shared bit`: 0, or for SW_PROTECTED the number of the guest-physical address bit that
	 * means shared, 32 up to SEPTUM_INFO_SHARED_BIT_MAX; for SEV, SEV_ES and SNP all 64 bits of
	 * it are the guest policy as the firmware defines it (SNP: bit 17 is 1; SEV-ES: bit 2 is
	 * 1), and what the firmware refuses is E_ARG (5). `ring pfn`: the first of
	 * SEPTUM_RING_PAGES(vCPUs) contiguous root frames; they stay the root's, pinned until the
	 * VM is destroyed, and Septum initialises them. The VM is BUILDING.
	 * E_UNSUPPORTED (type; VM_APIC where the TSC's frequency is not known), E_NOT_ROOT (6),
	 * E_POOL_EMPTY, E_LIMIT (also: no ASID is free). */
	SEPTUM_CALL_VM_CREATE = 16,
	/* (vm). Stops and removes a VM in any state; its frames return zeroed to its pool, in-place
	 * frames zeroed to the root. E_AGAIN: interrupted, call again (it is dying and accepts no
	 * other call meanwhile). */
	SEPTUM_CALL_VM_DESTROY = 17,
	/* (vm). Ends BUILDING: the VM is RUNNABLE, and from now on only the guest itself changes
	 * its registers and private content. SEV_ES, SNP: the vCPUs' registers are measured in the
	 * order of their indices (SEV_ES: already by SEV_MEASURE, if that was called); then the
	 * firmware ends the launch. E_STATE; E_FIRMWARE: the VM can only be destroyed. */
	SEPTUM_CALL_VM_START = 18,
	/* (vm, vCPU or SEPTUM_ALL, counter: enum septum_counter) -> value. VM 0 is the root
	 * partition. */
	SEPTUM_CALL_VM_COUNTER = 19,

	/* Guest memory.
	 *
	 * (vm, gfn, count, pfn, flags: SEPTUM_SLOT_*) -> slot id. Puts backing behind guest pages.
	 *   SLOT_SHARED   root frames pfn.. stand behind the pages while they are shared
	 *   SLOT_PRIVATE  pool frames, taken when touched, stand behind them while private
	 *   SLOT_INPLACE  root frames pfn.. stand behind them always and change owner with each
	 *                 conversion (excludes the two others)
	 * Root frames are pinned: they cannot be donated or offered in place meanwhile. pfn must be
	 * 0 when no root frames are offered. E_EXISTS: overlaps a slot. E_NOT_ROOT, E_LIMIT,
	 * E_UNSUPPORTED (SLOT_PRIVATE or SLOT_INPLACE for PLAIN; SLOT_INPLACE for SNP; anything
	 * else for SEV and SEV_ES, where one frame stands behind both aliases of a page). */
	SEPTUM_CALL_SLOT_ADD = 24,
	/* (vm, slot). Removes the backing. E_POPULATED: it has private content; allowed with
	 * VM_DISCARD or while BUILDING. E_AGAIN. */
	SEPTUM_CALL_SLOT_REMOVE = 25,
	/* (vm, gfn, count, attributes). Sets what pages are meant to be. A range that already has
	 * them keeps its stamps. E_UNSUPPORTED: private in a PLAIN VM; or changing private/shared
	 * of a running VM without a shared bit, where only the guest may ask. E_POPULATED as for
	 * SLOT_REMOVE. E_POOL_EMPTY. E_AGAIN with the number of pages done as value. */
	SEPTUM_CALL_ATTR_SET = 26,
	/* (vm, gfn) -> attributes in bits 3:0, change stamp in bits 63:8. */
	SEPTUM_CALL_ATTR_GET = 27,
	/* (vm, gfn, count up to 512, pfn). BUILDING only: copies root pages into guest pages, to
	 * their private side where the attribute is private. There, for SEV, SEV_ES and SNP, each
	 * page becomes part of the measured launch image, in the order of the calls (SNP: page type
	 * NORMAL, 4 KiB pages), and can be loaded once only: E_EXISTS. E_STATE, E_NO_SLOT,
	 * E_NOT_ROOT, E_POOL_EMPTY, E_FIRMWARE; the value is the number of pages done, also on
	 * error. */
	SEPTUM_CALL_MEM_LOAD = 28,
	/* (vm, gfn, count). Frees private pool frames without changing the attribute; the guest
	 * reads zeroes then. Needs VM_DISCARD or BUILDING, else E_POPULATED. E_UNSUPPORTED in
	 * place. E_AGAIN with the pages done. */
	SEPTUM_CALL_MEM_DISCARD = 29,
	/* (vm, gfn, count). Backs and maps pages as a read by the guest would for their attribute.
	 * The value is the number of pages done, also on error. E_NO_SLOT at the first page that
	 * has no backing. E_POOL_EMPTY. E_AGAIN. */
	SEPTUM_CALL_PREFAULT = 30,

	/* vCPUs.
	 *
	 * (vm, vCPU). BUILDING only. The vCPU starts in 32-bit protected mode, paging off, flat
	 * segments, interrupts off, all general registers 0. E_EXISTS, E_POOL_EMPTY. */
	SEPTUM_CALL_VCPU_CREATE = 32,
	/* (vm, vCPU, register: enum septum_reg, value). BUILDING only. A state that the processor
	 * refuses is found at entry: SEPTUM_EVENT_FAILED. */
	SEPTUM_CALL_VCPU_SET = 33,
	/* (vm, vCPU) -> enum septum_vcpu_state in bits 7:0, seq of the outstanding event or 0 in
	 * bits 63:32. */
	SEPTUM_CALL_VCPU_INFO = 34,
	/* (vm, vCPU, vector 16..255, or SEPTUM_NMI). Makes an interrupt pending; it is delivered as
	 * soon as the guest can take it, and ends a halt. E_BUSY: one is still pending (never with
	 * VM_APIC, where it is a message to the vCPU's APIC). */
	SEPTUM_CALL_VCPU_INTERRUPT = 35,
	/* (vm, vCPU or SEPTUM_ALL). Drains the completion ring, applies verdicts and runs the vCPU,
	 * or every vCPU in turn, on the calling CPU until none can run without the manager, or an
	 * interrupt for the root is due. -> SEPTUM_RUN_* in bits 7:0, events posted by this call in
	 * bits 31:8, completions refused by it in bits 63:32. E_RING, E_STATE (not started). */
	SEPTUM_CALL_RUN = 36,

	/* Detached vCPUs: a vCPU owns a processor that the root does not have.
	 *
	 * (vm, vCPU, cpu 1..SEPTUM_INFO_CPUS - 1) -> APIC id of that processor. The vCPU runs there
	 * from now on, and its events and the verdicts pass through the rings without any call: the
	 * processor drains completions itself while its vCPU waits. It looks at the completion ring
	 * at least every SEPTUM_POLL_MICROSECONDS; a manager in a hurry sends an NMI to the APIC
	 * id. RUN and VCPU_DETACH of a detached vCPU: E_STATE (RUN of
	 * SEPTUM_ALL leaves them out). E_BUSY: the processor has a vCPU. E_STATE: VM not started,
	 * vCPU dead. */
	SEPTUM_CALL_VCPU_DETACH = 37,
	/* (vm, vCPU). Stops a detached vCPU wherever it is, and returns when it has left its
	 * processor; it can be RUN or detached again. An event that it has outstanding stays so.
	 * E_STATE: not detached. */
	SEPTUM_CALL_VCPU_ATTACH = 38,
	/* (vm, vector 16..255, or 0 for none). Septum interrupts processor 0 with this vector when
	 * it posts the event that `event_wake` of the ring names, for events of detached vCPUs. */
	SEPTUM_CALL_DOORBELL = 39,

	/* For a manager that was restarted: nothing of its guests is lost with it.
	 *
	 * (vm id 1..63) -> of the VM with the lowest id that is not below: its id in bits 7:0, type
	 * in 15:8, number of vCPUs in 23:16, 1 in bit 24 if it was started, 1 in bit 25 if it is
	 * dying, shared bit in 31:26, pool in 39:32. E_NO_VM: there is none. */
	SEPTUM_CALL_VM_FIND = 40,
	/* (vm, ring pfn). Gives the VM a new ring area, as VM_CREATE does, in place of the old one,
	 * which is no longer pinned; it may be the same. Detached vCPUs are attached, the doorbell
	 * is taken down, completions that were not applied are forgotten, and each outstanding
	 * event is posted anew, with a new seq and otherwise as it was (a ring that was no longer
	 * trusted, too, thus begins again). E_NOT_ROOT, E_LIMIT. */
	SEPTUM_CALL_VM_ADOPT = 41,

	/* (vm, vCPU or SEPTUM_ALL, TSC). As RUN, but sleeps when there is nothing but vCPUs that
	 * wait for an interrupt (VM_APIC), until one comes (its timer's, another vCPU's) or an
	 * interrupt for the root is due; and returns about that TSC in any case: INTERRUPTED if a
	 * vCPU could go on, HALTED if none. */
	SEPTUM_CALL_RUN_UNTIL = 42,

	/* Debugging.
	 *
	 * () -> number of the violated invariant. Walks every table and every frame descriptor.
	 * E_BROKEN. */
	SEPTUM_CALL_AUDIT = 48,
	/* (pfn) -> number of entries. Copies the newest trace entries, oldest first, into a root
	 * page (struct septum_trace_entry). E_NOT_ROOT. */
	SEPTUM_CALL_TRACE_READ = 49,

	/* SEV, SEV-ES, SNP: the launch, beside MEM_LOAD. Other types: E_UNSUPPORTED. BUILDING only:
	 * E_STATE. E_FIRMWARE: the secure processor has refused, with its status as value.
	 *
	 * (vm, gfn, pfn or 0, enum septum_sev_page). SNP: gives the guest a private page of a
	 * special kind. `pfn`: a root page whose content is copied (UNMEASURED, CPUID), else 0.
	 * CPUID with pfn 0: Septum fills in what vCPU 0, which must exist (E_NO_VCPU), will be told
	 * (<= 64 leaves). With pfn, a table that the firmware refuses is E_ARG (3), and the table
	 * that it would accept is in the page. SECRETS: the firmware fills it. E_EXISTS: the page
	 * is loaded already. E_NO_SLOT, E_POOL_EMPTY, E_NOT_ROOT. */
	SEPTUM_CALL_SEV_PAGE = 50,
	/* (vm, pfn). SEV, SEV_ES: ends loading (the vCPUs' registers of SEV_ES are measured now)
	 * and writes the measurement into a root page: HMAC (32 bytes), nonce (16). E_NOT_ROOT. */
	SEPTUM_CALL_SEV_MEASURE = 51,
	/* (vm, gfn, pfn, bytes). SEV, SEV_ES, after SEV_MEASURE: a secret that the guest's owner
	 * has encrypted, into a private page that is loaded. Root page: packet header at 0 (52
	 * bytes), encrypted secret at 64 (`bytes`: a multiple of 16, at most 4032). E_RANGE (4),
	 * E_NOT_ROOT, E_NO_SLOT. */
	SEPTUM_CALL_SEV_SECRET = 52,
	/* (vm, pfn, pfn or 0). SNP: what VM_START gives the firmware with the end of the launch.
	 * First root page: ID block (96 bytes) at 0, HOST_DATA (32 bytes) at 128; second: ID
	 * authentication page, or 0: there is no ID block, only HOST_DATA. E_NOT_ROOT. */
	SEPTUM_CALL_SEV_ID = 53,
};

#define SEPTUM_POLL_MICROSECONDS 200u

#define SEPTUM_ALL (~0ull) /* "every vCPU" */
#define SEPTUM_NMI 2u

enum septum_info {
	SEPTUM_INFO_VENDOR = 0,		/* 1 Intel VMX, 2 AMD SVM */
	SEPTUM_INFO_SHARED_BIT_MAX = 1, /* highest usable shared bit */
	SEPTUM_INFO_VM_TYPES = 2,	/* bit n: type n can be created */
	SEPTUM_INFO_CPUS = 3,
	SEPTUM_INFO_LEVEL_MAX = 4, /* largest nested leaf: 0 4K, 1 2M, 2 1G */
	SEPTUM_INFO_SEV =
		5, /* 0: none. Bits 5:0 number of the C-bit, bit 8: a software model, not
		    * hardware; bits 31:16 version of the SNP firmware ABI (major, minor) */
	SEPTUM_INFO_TSC_KHZ = 6, /* frequency of the TSC, also guests'; 0: unknown */
};

/* SEPTUM_CALL_VM_CREATE flags. */
#define SEPTUM_VM_DISCARD                                                                          \
	(1u << 0)		 /* the manager may throw private content away (the guest reads    \
				  * zeroes then); the guest sees this flag in CPUID */
#define SEPTUM_VM_APIC (1u << 1) /* each vCPU has a local APIC: see part 7 */

/* SEPTUM_CALL_SEV_PAGE: the numbers of the SEV-SNP firmware ABI. */
enum septum_sev_page {
	SEPTUM_SEV_PAGE_ZERO = 3,
	SEPTUM_SEV_PAGE_UNMEASURED = 4,
	SEPTUM_SEV_PAGE_SECRETS = 5,
	SEPTUM_SEV_PAGE_CPUID = 6,
};

/* SEPTUM_CALL_SLOT_ADD flags. */
#define SEPTUM_SLOT_SHARED  (1u << 0)
#define SEPTUM_SLOT_PRIVATE (1u << 1)
#define SEPTUM_SLOT_INPLACE (1u << 2)

enum septum_vcpu_state {
	SEPTUM_VCPU_RUNNABLE = 1,
	SEPTUM_VCPU_RUNNING = 2,
	SEPTUM_VCPU_WAITING = 3, /* an event is outstanding */
	SEPTUM_VCPU_HALTED = 4,	 /* HLT answered without a wake-up: waits for an interrupt */
	SEPTUM_VCPU_DEAD = 5,	 /* killed, shut down or failed: only VM_DESTROY is left */
	SEPTUM_VCPU_PARKED = 6,	 /* with VM_APIC: waits for the guest's SIPI */
};

/* SEPTUM_CALL_RUN: why it returned, bits 7:0 of the value. */
#define SEPTUM_RUN_IDLE 0u /* no vCPU can run: events wait for verdicts, or all halt */
#define SEPTUM_RUN_INTERRUPTED                                                                     \
	1u		     /* an interrupt for the root is due, or time is up; call again        \
			      */
#define SEPTUM_RUN_HALTED 2u /* VM_APIC: no vCPU can run, one at least waits for an interrupt */

/* Registers of SEPTUM_CALL_VCPU_SET. Segment n of ES CS SS DS FS GS LDTR TR has four: */
enum septum_reg {
	SEPTUM_REG_RAX = 0, /* 0..15: RAX RCX RDX RBX RSP RBP RSI RDI R8..R15 */
	SEPTUM_REG_RIP = 16,
	SEPTUM_REG_RFLAGS = 17,
	SEPTUM_REG_CR0 = 18,
	SEPTUM_REG_CR3 = 19,
	SEPTUM_REG_CR4 = 20,
	SEPTUM_REG_EFER = 21,
	SEPTUM_REG_GDTR_BASE = 22,
	SEPTUM_REG_GDTR_LIMIT = 23,
	SEPTUM_REG_IDTR_BASE = 24,
	SEPTUM_REG_IDTR_LIMIT = 25,
	SEPTUM_REG_APIC_BASE = 26, /* IA32_APIC_BASE, with VM_APIC */
	SEPTUM_REG_SEG = 32,	   /* + 4 * segment + {0 selector, 1 base, 2 limit, 3 attributes} */
	SEPTUM_REG_END = 64,
};
/* Segment attributes are the access-rights word of VMX (SDM Vol. 3, 24.4.1): type 3:0, S 4, DPL
 * 6:5, P 7, AVL 12, L 13, D/B 14, G 15, unusable 16. */

/* Counters of a VM or vCPU since its creation; from PAGES_PRIVATE on of the VM only, as it is now.
 * X(name, number, text) */
#define SEPTUM_COUNTER_LIST(X)                                                                     \
	X(EXITS, 0, "VM exits")                                                                    \
	X(EXIT_INTERRUPT, 1, "exits for an interrupt of the root")                                 \
	X(EXIT_NMI, 2, "exits for an NMI")                                                         \
	X(EXIT_CPUID, 3, "CPUID")                                                                  \
	X(EXIT_HYPERCALL, 4, "VMCALL or VMMCALL")                                                  \
	X(EXIT_IO, 5, "port accesses")                                                             \
	X(EXIT_MSR, 6, "RDMSR and WRMSR")                                                          \
	X(EXIT_NESTED_FAULT, 7, "nested page faults")                                              \
	X(EXIT_HALT, 8, "HLT")                                                                     \
	X(EXIT_UNDEFINED, 9, "instructions refused with #UD, and #UD looked at")                   \
	X(EXIT_CONTROL, 10, "control-register and XSETBV accesses")                                \
	X(EXIT_WINDOW, 11, "interrupt and NMI windows")                                            \
	X(EXIT_SHUTDOWN, 12, "triple faults")                                                      \
	X(EXIT_OTHER, 13, "exits of no other row")                                                 \
	X(EXIT_TIMER, 14, "exits for a deadline (VMX; else they count as interrupts)")             \
	X(IMPLICIT_FORWARDED, 16, "implicit conversions forwarded")                                \
	X(IMPLICIT_CONVERTED, 17, "implicit conversions converted")                                \
	X(IMPLICIT_DENIED, 18, "implicit conversions denied")                                      \
	X(VERDICTS_STALE, 19, "verdicts that were stale")                                          \
	X(VERDICTS_REFUSED, 20, "completions refused for any other reason")                        \
	X(EXPLICIT_REQUESTS, 21, "explicit requests")                                              \
	X(EXPLICIT_DONE, 22, "explicit requests granted")                                          \
	X(POOL_EMPTY, 23, "times the pool was empty")                                              \
	X(LOOPS, 24, "vCPUs cut off by the loop guard")                                            \
	X(PAGES_PRIVATE, 25, "pages whose attribute is private")                                   \
	X(PAGES_SHARED, 26, "pages of slots whose attribute is shared")                            \
	X(FRAMES_HELD, 27, "pool frames held: content, tables and vCPUs")                          \
	X(MAPPED_4K, 28, "nested leaves of 4 KiB")                                                 \
	X(MAPPED_2M, 29, "nested leaves of 2 MiB")                                                 \
	X(MAPPED_1G, 30, "nested leaves of 1 GiB")                                                 \
	X(FLUSHES, 31, "nested-TLB flushes")                                                       \
	X(FRAMES_LOST, 32, "pool frames that may not be used again, on this machine")              \
	X(EXIT_GHCB, 33, "requests of a guest with encrypted registers (VMGEXIT)")

enum septum_counter {
#define X(name, number, text) SEPTUM_COUNTER_##name = (number),
	SEPTUM_COUNTER_LIST(X)
#undef X
		SEPTUM_COUNTER_END = 34,
};

/* One entry of the trace ring (SEPTUM_CALL_TRACE_READ). Never a register or content of a guest. */
struct septum_trace_entry {
	uint64_t tsc;
	uint16_t what; /* enum septum_trace */
	uint16_t vm;
	uint16_t vcpu;
	uint16_t cpu;
	uint64_t a; /* by kind, see enum septum_trace */
	uint64_t b;
};

enum septum_trace {
	SEPTUM_TRACE_NONE = 0,
	SEPTUM_TRACE_EXIT = 1,	    /* a: counter number of the reason, b: gpa or 0 */
	SEPTUM_TRACE_EVENT = 2,	    /* a: event type << 32 | seq, b: gpa */
	SEPTUM_TRACE_VERDICT = 3,   /* a: verdict << 32 | seq, b: status */
	SEPTUM_TRACE_CONVERT = 4,   /* a: gfn, b: pages << 8 | attributes */
	SEPTUM_TRACE_HYPERCALL = 5, /* a: call, b: status */
	SEPTUM_TRACE_INJECT = 6,    /* a: vector, b: gpa */
	SEPTUM_TRACE_VM = 7,	    /* a: enum septum_call that changed it, b: 0 */
};

/* ---------------------------------------------------------------------------------------------
 * 3  Rings: events and completions
 *
 * Each VM has a ring area in root memory, given to VM_CREATE:
 *
 *   page 0   struct septum_ring: indices
 *   page 1   64 events, written by Septum
 *   page 2   64 completions, written by the manager; Septum writes only their `status`
 *   page 3   advisory log: 128 struct septum_trace_entry (lossy)
 *   page 4.. payloads: 512 bytes for each vCPU, at (vCPU index) * 512
 *
 * Indices run freely through 32 bits; entry i lives in slot i % 64. A producer writes the entry and
 * then, with release order, the index; a consumer reads the index with acquire order, then the
 * entry. Each vCPU has at most one outstanding event, so the event ring cannot overflow.
 *
 * `event_tail` is the manager's: it says that everything before it has been taken. A completion for
 * an event at or after it is refused (E_NO_EVENT). An index of the manager's that cannot be right
 * (event_tail outside of [its last value, event_head], completion_head more than 64 ahead of
 * completion_tail) makes the ring untrusted: RUN then returns E_RING until the VM is given another
 * ring (VM_ADOPT) or destroyed.
 *
 * Septum takes completions inside RUN and while a detached vCPU waits, in order, each exactly once,
 * and before it advances `completion_tail` past one it stores the outcome in the completion's
 * `status`. A refused completion leaves its event outstanding under the same seq, except that after
 * E_STALE the vCPU looks at its access again, which may resolve it or post a new event. Those of
 * detached vCPUs are finished in any order, and `completion_tail` waits for the slowest: who
 * answers such vCPUs looks at it before writing another.
 */
#define SEPTUM_RING_ENTRIES	 64u
#define SEPTUM_RING_MAGIC	 0x52505453u /* "STPR" */
#define SEPTUM_PAYLOAD_BYTES	 512u
#define SEPTUM_RING_PAGES(vcpus) (4u + ((vcpus) + 7u) / 8u)

struct septum_ring {
	uint32_t magic; /* written by Septum at VM_CREATE */
	uint32_t version;
	uint32_t vcpus;
	uint32_t reserved0[13];
	uint32_t event_head; /* Septum's: next event it will write */
	uint32_t reserved1[15];
	uint32_t event_tail; /* manager's: next event it will take */
	uint32_t reserved2[15];
	uint32_t completion_head; /* manager's: next completion it will write */
	uint32_t reserved3[15];
	uint32_t completion_tail; /* Septum's: next completion it will take */
	uint32_t reserved4[15];
	uint32_t log_head; /* Septum's: entries ever written; older than 128 are lost */
	uint32_t reserved5[15];
	uint32_t event_wake; /* manager's: wants a doorbell when event_head passes this */
	uint32_t reserved6[15];
};

enum septum_event_type {
	/* An access whose kind (PRIVATE flag) differs from the page's attribute, or that a
	 * permission of the attribute forbids, or (NO_SLOT flag) a private access where nothing
	 * stands behind the page. gpa: the byte accessed. size: 4096 (the least to convert).
	 * data[0]: the address as the processor reported it, data[1]: its error code (SVM:
	 * EXITINFO1; VMX: exit qualification). */
	SEPTUM_EVENT_MEMORY_FAULT = 1,
	/* The guest asks for [gpa, gpa + size) to become private (PRIVATE flag) or shared: a run of
	 * pages that are not so yet, at most 1 GiB. A request with several runs makes one event
	 * after the other; the first refusal ends it. */
	SEPTUM_EVENT_EXPLICIT = 2,
	/* The pool has too few frames to go on. data[0]: frames needed. */
	SEPTUM_EVENT_POOL_EMPTY = 3,
	/* Port access. data[0]: port, size: bytes of each access (1, 2, 4), WRITE flag for OUT.
	 * data[1]: the value of an OUT. With the STRING flag data[2] accesses at once, whose bytes
	 * are in the vCPU's payload for OUTS, and are expected there for INS. */
	SEPTUM_EVENT_IO = 4,
	/* A shared access where nothing stands behind the page. gpa, size 1..8, WRITE flag,
	 * data[1]: the value of a write. A read-modify-write is two events. */
	SEPTUM_EVENT_MMIO = 5,
	/* RDMSR or WRMSR (WRITE flag) of a register that Septum does not own. data[0]: its number,
	 * data[1]: the value of a write. */
	SEPTUM_EVENT_MSR = 6,
	/* HLT. INTERRUPTIBLE flag: interrupts are enabled. */
	SEPTUM_EVENT_HALT = 7,
	/* Triple fault. */
	SEPTUM_EVENT_SHUTDOWN = 8,
	/* The vCPU cannot go on. data[0]: enum septum_failure, data[1]: detail. */
	SEPTUM_EVENT_FAILED = 9,
};

#define SEPTUM_EVENT_READ	   (1u << 0)
#define SEPTUM_EVENT_WRITE	   (1u << 1)
#define SEPTUM_EVENT_EXEC	   (1u << 2)
#define SEPTUM_EVENT_PRIVATE	   (1u << 3) /* the access, or the state asked for, is private */
#define SEPTUM_EVENT_USER	   (1u << 4) /* CPL 3, where the processor says so */
#define SEPTUM_EVENT_STRING	   (1u << 5)
#define SEPTUM_EVENT_INTERRUPTIBLE (1u << 6)
#define SEPTUM_EVENT_NO_SLOT	   (1u << 7)
#define SEPTUM_EVENT_PERMISSION	   (1u << 8) /* the kind agrees, a permission forbids */
#define SEPTUM_EVENT_WALK	   (1u << 9) /* the access was the processor's own, to a page table */
#define SEPTUM_EVENT_PRESERVE	   (1u << 10) /* EXPLICIT: the guest asks to keep the content */

enum septum_failure {
	SEPTUM_FAILURE_ENTRY = 1,  /* the processor refused the state. data[1]: its code */
	SEPTUM_FAILURE_LOOP = 2,   /* the same access was denied 64 times in a row and its page's
				    * attribute never changed. gpa */
	SEPTUM_FAILURE_DECODE = 3, /* an instruction on MMIO that Septum cannot decode, or
				    * instructions or page tables where nothing stands. gpa */
	SEPTUM_FAILURE_EXIT = 4,   /* an exit that Septum does not know. data[1]: its code */
	SEPTUM_FAILURE_GHCB = 5,  /* SEV_ES, SNP: the guest's communication page cannot be used: not
				   * registered or not shared. gpa */
	SEPTUM_FAILURE_GUEST = 6, /* the guest asks to be ended. data[1]: reason set in bits 3:0,
				   * code in bits 11:4 (GHCB specification) */
	SEPTUM_FAILURE_MACHINE = 7, /* the machine's ownership table (RMP) refuses what the guest
				     * needs, or what it holds is not what Septum put there. gpa */
};

struct septum_event {
	uint16_t type; /* enum septum_event_type */
	uint16_t vcpu;
	uint32_t seq; /* names the event in the completion; never 0 */
	uint32_t flags;
	uint32_t vm;
	uint64_t gpa;
	uint64_t size;
	uint64_t stamp; /* of the VM, when the event was made */
	uint64_t data[3];
};

enum septum_verdict {
	/* Make [gpa, gpa + size) private (SEPTUM_EVENT_PRIVATE in flags) or shared, then resume.
	 * Multiples of 4096 (E_ALIGN), at most 1 GiB (E_RANGE), the other kind than now
	 * (E_VERDICT). For a MEMORY_FAULT it must contain the faulting page (E_RANGE), may be
	 * larger, and is a compare-and-set against the event's stamp: E_STALE. For EXPLICIT it must
	 * be exactly the range asked for (E_RANGE); after the last run the guest's call returns 0.
	 * Otherwise as ATTR_SET: E_NO_SLOT, E_POPULATED, E_POOL_EMPTY, E_UNSUPPORTED. */
	SEPTUM_VERDICT_CONVERT = 1,
	/* Look again. E_NO_PROGRESS when cause and stamp are the same. */
	SEPTUM_VERDICT_RETRY = 2,
	/* Refuse: the guest gets the exception of part 4. */
	SEPTUM_VERDICT_INJECT = 3,
	/* End the vCPU. */
	SEPTUM_VERDICT_KILL = 4,
	/* The access is done: `value` is what an IN, MMIO read or RDMSR yields, or for EXPLICIT the
	 * guest's return code (not 0), for HALT 0 to sleep until an interrupt, 1 to go on. */
	SEPTUM_VERDICT_COMPLETE = 5,
};

struct septum_completion {
	uint32_t seq;
	uint16_t vcpu;
	uint16_t verdict; /* enum septum_verdict */
	uint32_t flags;	  /* CONVERT: 0 or SEPTUM_EVENT_PRIVATE; otherwise 0 */
	uint32_t status;  /* written by Septum: enum septum_status */
	uint64_t gpa;
	uint64_t size;
	uint64_t value;
	uint64_t reserved[3]; /* 0 */
};

/* ---------------------------------------------------------------------------------------------
 * 4  Verdicts: what may answer what (anything else: E_VERDICT)
 *
 *   event          CONVERT  RETRY  INJECT  KILL  COMPLETE
 *   MEMORY_FAULT   yes (1)  yes    #MC     yes   no
 *   EXPLICIT       yes      no     no      yes   yes, an error code
 *   POOL_EMPTY     no       yes    no      yes   no
 *   IO             no       no     #GP     yes   yes
 *   MMIO           no       yes    #MC     yes   yes
 *   MSR            no       no     #GP     yes   yes
 *   HALT           no       no     no      yes   yes
 *   SHUTDOWN       no       no     no      yes   no
 *   FAILED         no       no     no      yes   no
 *
 *   (1) not with NO_SLOT or PERMISSION, which a conversion does not mend.
 *
 * By type and direction of a MEMORY_FAULT:
 *
 *   type           to private                    to shared
 *   PLAIN          never forwarded               never forwarded
 *   SW_PROTECTED   with a shared bit: CONVERT,   with a shared bit: CONVERT, INJECT #MC; the
 *                  INJECT #MC; without: only     faulting page's private content is gone, that
 *                  NO_SLOT and PERMISSION        of others may not be: E_POPULATED unless
 *                                                VM_DISCARD
 *   SEV, SEV_ES    never forwarded: the wrong    never forwarded
 *                  alias is ciphertext
 *   SNP            access with C=1 to a shared   write with C=0 to a private page (a read of one
 *                  page: CONVERT, INJECT #MC;    that is mapped is no event, but ciphertext):
 *                  the page is then not          CONVERT, INJECT #MC; content lost as above
 *                  validated, which the guest
 *                  sees (#VC 404h)
 *
 * The #MC comes with MCG_STATUS and bank 0 filled as for an uncorrected memory error at the
 * faulting address (MC0_ADDR), RIP at the access.
 */

/* ---------------------------------------------------------------------------------------------
 * 5  What the root partition finds when it starts
 *
 * 64-bit mode, CPL 0, interrupts off, paging on with the first 4 GiB and all memory of the map
 * below mapped at its own address, a valid stack, rdi = address of struct septum_boot_info (in
 * root memory). Devices, ports and interrupts are the machine's own. An access to memory that is
 * not the root's (Septum's, a pool's, a guest's private page) raises #GP(0).
 */
#define SEPTUM_BOOT_MAGIC   0x4d55545045530001ull
#define SEPTUM_BOOT_REGIONS 128u
#define SEPTUM_BOOT_MODULES 16u

struct septum_boot_region {
	uint64_t base; /* bytes */
	uint64_t size;
	uint32_t type; /* 1 free root memory, 2 reserved (not the root's, or firmware), 3 ACPI
			* reclaimable, 4 NVS, 5 defective, 6 in use by the root's start-up (image,
			* tables, this structure, modules) */
	uint32_t reserved;
};

struct septum_boot_module {
	uint64_t base;
	uint64_t size;
	char args[240]; /* its command line, 0-terminated */
};

struct septum_boot_info {
	uint64_t magic;
	uint32_t version; /* SEPTUM_ABI_VERSION */
	uint32_t size;	  /* of this structure */
	uint32_t vendor;  /* as SEPTUM_INFO_VENDOR */
	uint32_t pool;	  /* id of the pool reserved by the boot option `pool=`, or 0 */
	uint32_t region_count;
	uint32_t module_count;
	uint64_t rsdp;	 /* address, or 0 */
	char args[1024]; /* options after the word `--` of Septum's command line, and those that
			  * Septum passes on (policy=) */
	struct septum_boot_region regions[SEPTUM_BOOT_REGIONS];
	struct septum_boot_module modules[SEPTUM_BOOT_MODULES];
};

/* ---------------------------------------------------------------------------------------------
 * 6  What a guest sees
 *
 * CPUID 0x40000000: EAX 0x40000001, EBX ECX EDX "KVMKVMKVM\0\0\0"; 0x40000001: EAX bit 16
 * (map-GPA-range) where the type can convert. CPUID 0x40000100: EAX 0x40000101, "SeptumSeptum";
 * 0x40000101: EAX type, EBX number of the SHARED bit or 0, ECX SEPTUM_GUEST_*, EDX ABI version.
 * (The root partition sees "SeptumSeptum" at 0x40000000, and 0x40000001 as 0x40000101.)
 *
 * VMCALL or VMMCALL, as KVM's: rax = number, arguments rbx, rcx, rdx, rsi; rax = result. From CPL 0
 * only (else -EPERM); what is not there is -ENOSYS.
 *
 *   12 map-GPA-range: rbx gpa, rcx count of 4 KiB pages, rdx bit 4 private, bits 3:0 page size
 *      (0 4K, 1 2M, 2 1G; a hint), bit 5 preserve, bit 6 zero. In place, content becomes zero
 *      unless `preserve`; with two backings `preserve` is -EOPNOTSUPP. More than 2^28 pages are
 *      -E2BIG.
 */
#define SEPTUM_GUEST_DISCARD  (1u << 0) /* the manager may throw private content away */
#define SEPTUM_GUEST_PRESERVE (1u << 1) /* `preserve` can work (some slot is in place) */

#define SEPTUM_HC_MAP_GPA_RANGE 12u
#define SEPTUM_MAP_PRIVATE	(1u << 4)
#define SEPTUM_MAP_PRESERVE	(1u << 5)
#define SEPTUM_MAP_ZERO		(1u << 6)

#define SEPTUM_KVM_EPERM      1
#define SEPTUM_KVM_E2BIG      7
#define SEPTUM_KVM_EFAULT     14
#define SEPTUM_KVM_EINVAL     22
#define SEPTUM_KVM_EOPNOTSUPP 95
#define SEPTUM_KVM_ENOSYS     1000

/* ---------------------------------------------------------------------------------------------
 * 7  VMs with SEPTUM_VM_APIC
 *
 * Each vCPU has a local APIC with the timer (one-shot, periodic, TSC deadline), as xAPIC at
 * FEE00000 (no slot may cover that page) and as x2APIC; its id is the vCPU's index. It begins in
 * xAPIC mode unless VCPU_SET of SEPTUM_REG_APIC_BASE says otherwise (0xfee00d00: x2APIC, vCPU 0;
 * 0xfee00c00: any other). The base address cannot be changed. There is no I/O APIC and no PIC:
 * VCPU_INTERRUPT is an edge-triggered message to the vCPU (an MSI), which is lost while the guest
 * has its APIC off.
 *
 * vCPUs other than 0 are created PARKED and begin when another sends them INIT and SIPI, in real
 * mode at (vector << 12), whatever VCPU_SET has said. An INIT parks any vCPU (0 starts at its reset
 * vector), once an event that it has outstanding is answered.
 *
 * HLT with interrupts on is no event: the vCPU is HALTED until an interrupt comes. With interrupts
 * off it is one, as without VM_APIC, and COMPLETE with 0 leaves the vCPU HALTED until an NMI or
 * INIT. RUN of SEPTUM_ALL goes on until no vCPU can run, or an event has been posted and each has
 * had a turn (of about a millisecond). A manager without interrupts of its own calls RUN_UNTIL with
 * a TSC at which it wants to look at its devices again.
 *
 * CPUID: leaf 1 APIC, x2APIC and TSC-deadline; leaf 6 EAX bit 2 (the timer never stops); leaf Bh;
 * leaf 15h and 0x40000010 (EAX: TSC in kHz, EBX: the timer's clock in kHz). The TSC is the
 * machine's.
 */

#ifndef __cplusplus
_Static_assert(sizeof(struct septum_event) == 64, "event entry");
_Static_assert(sizeof(struct septum_completion) == 64, "completion entry");
_Static_assert(sizeof(struct septum_trace_entry) == 32, "trace entry");
_Static_assert(sizeof(struct septum_ring) == 448, "ring indices, one cache line each");
_Static_assert(sizeof(struct septum_boot_info) % 8 == 0, "boot info");
#endif

#endif
