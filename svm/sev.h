/* SPDX-License-Identifier: BSD-2-Clause */
/* The client of SEV, SEV-ES and SEV-SNP: what its files share.
 *
 *   sev.c        start-up of the machine and its end
 *   sev_psp.c    the secure processor's mailbox
 *   sev_rmp.c    ownership of frames: RMPUPDATE, PSMASH, and the guard of a guest's memory
 *   sev_asid.c   address space identifiers, which are also the numbers of keys
 *   sev_guest.c  a guest's firmware context, from VM_CREATE to VM_DESTROY
 *   sev_launch.c the launch image: pages, measurement, VMSAs
 *   sev_vcpu.c   entry, exits and registers of their vCPUs
 *   ghcb.c       what a guest with encrypted registers asks for (ghcb_*.c)
 *
 * All of it reaches the machine through svm/sev_machine.h only.
 *
 * Locks: the mailbox has one (RANK_MAILBOX), which is taken with any lock held but the console's.
 */
#ifndef SVM_SEV_H
#define SVM_SEV_H

#include "kernel/spinlock.h"
#include "kernel/status.h"
#include "kernel/vm.h"
#include "mm/memory.h"
#include "svm/sev_machine.h"

/* What has been started; written once. */
struct sev_features {
	bool sev, es, snp;
	u8 cbit;
	u32 asid_max;	/* 1..asid_max */
	u32 asid_plain; /* the lowest for SEV without ES; below are those of SEV-ES and SNP */
	u8 snp_major, snp_minor;
	u8 sev_major, sev_minor;
};
extern struct sev_features sev_features;

/* Starts the machine that the option sev= names, if any: after smp_start(), before own_seal(). Says
 * on the console what is there and what is not, and why. */
void sev_start(void);

/* Ends SNP and SEV on the machine (the end of Septum); no guest is left. */
void sev_shutdown(void);

/* ---- The secure processor ---- */

enum psp_command {
	PSP_SEV_INIT = 0x01,
	PSP_SEV_SHUTDOWN = 0x02,
	PSP_SEV_PLATFORM_STATUS = 0x04,
	PSP_SEV_DF_FLUSH = 0x0a,
	PSP_SEV_DECOMMISSION = 0x20,
	PSP_SEV_ACTIVATE = 0x21,
	PSP_SEV_DEACTIVATE = 0x22,
	PSP_SEV_GUEST_STATUS = 0x23,
	PSP_SEV_LAUNCH_START = 0x30,
	PSP_SEV_LAUNCH_UPDATE_DATA = 0x31,
	PSP_SEV_LAUNCH_UPDATE_VMSA = 0x32,
	PSP_SEV_LAUNCH_MEASURE = 0x33,
	PSP_SEV_LAUNCH_UPDATE_SECRET = 0x34,
	PSP_SEV_LAUNCH_FINISH = 0x35,
	PSP_SNP_PLATFORM_STATUS = 0x83,
	PSP_SNP_DF_FLUSH = 0x84,
	PSP_SNP_INIT_EX = 0x85,
	PSP_SNP_SHUTDOWN_EX = 0x86,
	PSP_SNP_DECOMMISSION = 0x90,
	PSP_SNP_ACTIVATE = 0x91,
	PSP_SNP_GUEST_STATUS = 0x92,
	PSP_SNP_GCTX_CREATE = 0x93,
	PSP_SNP_GUEST_REQUEST = 0x94,
	PSP_SNP_LAUNCH_START = 0xa0,
	PSP_SNP_LAUNCH_UPDATE = 0xa1,
	PSP_SNP_LAUNCH_FINISH = 0xa2,
	PSP_SNP_PAGE_RECLAIM = 0xc7,
};

/* Statuses (SEV-SNP firmware ABI, 56860, table 3-2). */
enum psp_status {
	PSP_SUCCESS = 0x00,
	PSP_INVALID_PLATFORM_STATE = 0x01,
	PSP_POLICY_FAILURE = 0x07,
	PSP_INVALID_ASID = 0x0d,
	PSP_WBINVD_REQUIRED = 0x0e,
	PSP_DF_FLUSH_REQUIRED = 0x0f,
	PSP_INVALID_PARAM = 0x16,
	PSP_INVALID_CONFIG = 0x03,
	/* The client's own: no answer in time, now or earlier: the secure processor is given up. */
	PSP_NO_ANSWER = 0x10000,
	/* .. a page could not be put into the state that the command needs. */
	PSP_NO_PAGE = 0x10001,
};

/* The largest command buffer. */
#define PSP_BUFFER_MAX 128u

/* Finds the mailbox and takes the client's pages. False: there is no secure processor. Start-up. */
bool psp_start(void);
/* SNP_INIT has been done, or undone: from then on (until then) what the firmware writes must be
 * its own pages. False: a page cannot be given to it. */
bool psp_snp_begin(void);
void psp_snp_end(void);

/* Runs a command on a copy of `buffer` and copies it back, for commands that answer in it.
 * Returns enum psp_status, or what else the firmware says. Takes the mailbox's lock. */
u32 psp_command(enum psp_command command, void *buffer, unsigned bytes);
/* The same for a command that writes up to a page elsewhere: the 8 bytes of `buffer` at `field` are
 * set to where, and `bytes_out` of that are copied to `out` when the command has succeeded. */
u32 psp_command_out(enum psp_command command, void *buffer, unsigned bytes, unsigned field,
		    void *out, unsigned bytes_out);
/* GUEST_REQUEST: the request page and the response page are `message`, copied in and out. */
u32 psp_guest_request(pfn_t context, void *message);
/* PAGE_RECLAIM. */
u32 psp_reclaim(pfn_t p, unsigned level);

/* ---- The RMP ---- */

/* Frames that this machine cannot give back to anybody. */
u64 sev_rmp_lost(void);

/* HYPERVISOR to the guest `asid` at `gfn`, to be validated by it (or, immutable, by the
 * firmware). False: refused, and the frame is the hypervisor's still. Errors that pass are waited
 * for, boundedly. */
bool sev_rmp_assign(pfn_t p, unsigned level, u64 gpa, u32 asid, bool immutable);
/* HYPERVISOR to FIRMWARE. */
bool sev_rmp_firmware(pfn_t p, unsigned level);
/* Whatever it is, by PAGE_RECLAIM where that is needed: HYPERVISOR. False: it is lost. */
bool sev_rmp_release(pfn_t p, unsigned level);
/* A 2 MiB entry becomes 512 of 4 KiB, validated or not as it was. True also if it is 512 already.
 */
bool sev_rmp_smash(pfn_t head);
/* What the machine says of it. False: nothing. */
bool sev_rmp_look(pfn_t p, struct rmp_state *state);

/* ---- ASIDs ---- */

void asid_start(void);
/* 0: none is free. Flushes what a former guest has left, if it must. */
u32 asid_take(bool plain);
/* WBINVD everywhere and DF_FLUSH: what the firmware wants before it activates a guest. */
bool asid_flush(void);
/* No CPU runs under it; its guest is deactivated. */
void asid_give(u32 asid);

/* ---- Guests ---- */

enum sev_stage { SEV_STAGE_NONE, SEV_STAGE_LOADING, SEV_STAGE_MEASURED, SEV_STAGE_RUNNING };

/* One object of the VM: vm->sealed. */
struct sev_guest {
	u8 type; /* enum septum_vm_type */
	u8 stage;
	bool broken; /* what the RMP says is not what it should: no vCPU is entered any more */
	bool id_set, id_block;
	bool activated;
	u32 asid;
	u64 policy;
	u32 handle;	/* SEV, SEV-ES */
	void *context;	/* SNP: an object in state CONTEXT */
	u32 psp_status; /* of the last command that failed */
	void *id_auth;	/* an object, or NULL */
	u8 id[96];
	u8 host_data[32];
	/* Which vCPU ran here last, + 1: the others' translations are under the same ASID. */
	u8 ran[CPUS_MAX];
	/* AP creation: the VMSA that the vCPU is to have, a page of the guest; 0: nothing asked.
	 * Under the ring lock. */
	u64 ap_vmsa[SEPTUM_MAX_VCPUS];
};
_Static_assert(sizeof(struct sev_guest) <= PAGE_SIZE, "one object");

static inline struct sev_guest *sev_guest(const struct vm *vm)
{
	return vm->sealed;
}
static inline bool sev_is_sealed(u8 type)
{
	return type == SEPTUM_SEV_ES || type == SEPTUM_SNP;
}

/* The operations of kernel/vendor.h. */
extern const struct sealed_ops sev_ops;
u64 sev_types(void);
u64 sev_info(void);
struct result sev_vm_create(struct vm *vm, u64 policy);
struct result sev_vm_start(struct vm *vm);
void sev_vm_destroy(struct vm *vm);
struct result sev_page(struct vm *vm, u64 g, u64 root_page, u64 type);
struct result sev_measure(struct vm *vm, u64 root_page);
struct result sev_secret(struct vm *vm, u64 g, u64 root_page, u64 bytes);
struct result sev_id(struct vm *vm, u64 root_page, u64 auth_page);
/* kernel/vendor.h, request: svm/ghcb.c */
enum after sev_request(struct vcpu *v);

/* The guard of memory of guests of these types. */
extern const struct guard_ops sev_guard_ops;
extern const struct guard_ops sev_plain_guard_ops;

/* sev_launch.c: one vCPU's registers become its VMSA and part of the measured image. */
enum status sev_vmsa_launch(struct vcpu *v);
/* .. and ends, if there is one; nobody runs the vCPU. */
void sev_vmsa_end(struct vcpu *v);
/* guard_ops.launch */
enum status sev_launch(struct memory *mem, pfn_t p, u64 g, unsigned kind);
/* sev_cpuid.c: the table of a CPUID page, with what `v` will be told. `page` is zeroed. */
void sev_cpuid_table(const struct vcpu *v, void *page);

#endif
