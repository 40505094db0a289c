/* SPDX-License-Identifier: BSD-2-Clause */
/* Inside the model's PSP.
 *
 *   psp.c           mailbox, command table, memory, randomness
 *   psp_platform.c  SEV and SNP platform: start, end, status, DF_FLUSH, CONFIG
 *   psp_asid.c      which ASID is dirty, clean, allocated or in use, on which processors
 *   psp_context.c   an SNP guest's context page, and the commands on a guest as a whole
 *   psp_launch.c    SNP launch: pages, digest, ID block
 *   psp_cpuid.c     the CPUID page
 *   psp_pages.c     reclaim, unsmash, debugging
 *   psp_message.c   guest requests: the sealed channel, psp_report.c: what it can ask for
 *   psp_sev.c       SEV and SEV-ES guests
 *
 * A command runs under the mailbox's lock. It checks everything first and then changes; where it
 * fails nothing has changed, except where the firmware's interface says otherwise. Functions that
 * give a status return an enum sev_status. */
#ifndef MODEL_PSP_IMPL_H
#define MODEL_PSP_IMPL_H

#include "model/cipher.h"
#include "model/crypto.h"
#include "model/psp.h"
#include "model/psp_abi.h"
#include "model/rmp.h"

#define PSP_MAJOR      1u
#define PSP_MINOR      55u
#define PSP_BUILD      1u
#define PSP_TCB	       0x0100000000000001ul /* microcode 1, SNP 0, TEE 0, boot loader 1 */
#define PSP_SEV_GUESTS 16u

/* The guest's ASID and key, SEV or SNP. */
struct psp_binding {
	u32 asid;  /* 0: none */
	bool runs; /* else pending until the launch is finished */
	bool encrypted_state;
	struct cipher_key key;
};

struct psp_sev_guest {
	u8 state; /* enum sev_guest_state; INVALID: a free slot */
	u32 policy;
	struct psp_binding binding;
	struct crypto_sha256_state digest;
	u8 tek[16], tik[16]; /* of the owner's session; zero: there is none */
	u8 measurement[32];
};

/* What a CONTEXT page holds, sealed. */
struct psp_context {
	u8 state; /* enum snp_guest_state */
	u8 id_block_en, author_key_en, no_vcek;
	u64 policy;
	struct psp_binding binding;
	u32 imi, tsc_frequency;
	u8 workarounds[16];
	u8 vmpck[4][32];
	u64 counts[4];
	u8 vmrk[32], report_id[32], report_id_agent[32];
	u8 digest[48], imi_digest[48];
	struct snp_id_block id_block;
	u8 id_key_digest[48], author_key_digest[48], host_data[32];
	u64 launch_tcb;
};

struct psp {
	u32 response, low, high;
	u8 sev_state; /* enum sev_platform_state */
	u8 snp_state; /* PLATFORM_UNINIT or PLATFORM_INIT */
	bool es;
	bool rmp_initialised;
	hpa_t rmp_first, rmp_last;
	u32 snp_guests;
	struct psp_sev_guest sev_guests[PSP_SEV_GUESTS];

	/* By ASID, a bit for each processor. */
	u64 dirty[MODEL_ASIDS], clean[MODEL_ASIDS], allocated[MODEL_ASIDS], used[MODEL_ASIDS];
	u64 wbinvd_done;

	u64 reported_tcb;
	bool mask_chip_id, mask_chip_key;
	u8 seal_key[GCM_KEY_SIZE];
	u64 seal_count;
	u64 random_count;
	u8 random_key[SHA384_SIZE];
	u8 page[PAGE_SIZE]; /* what a command works on */
};
extern struct psp psp;

union psp_command {
	struct sev_cmd_init sev_init;
	struct sev_cmd_platform_status sev_platform_status;
	struct sev_cmd_handle sev_handle;
	struct sev_cmd_activate sev_activate;
	struct sev_cmd_guest_status sev_guest_status;
	struct sev_cmd_launch_start sev_launch_start;
	struct sev_cmd_range sev_range;
	struct sev_cmd_secret sev_secret;
	struct sev_cmd_debug sev_debug;
	struct snp_cmd_address address;
	struct snp_cmd_init_ex init_ex;
	struct snp_cmd_shutdown_ex shutdown_ex;
	struct snp_cmd_activate activate;
	struct snp_cmd_guest_status guest_status;
	struct snp_cmd_guest_request guest_request;
	struct snp_cmd_launch_start launch_start;
	struct snp_cmd_launch_update launch_update;
	struct snp_cmd_launch_finish launch_finish;
	struct snp_cmd_debug debug;
	struct snp_cmd_config config;
	struct snp_cmd_commit commit;
	struct snp_cmd_feature_info feature_info;
};

/* Memory: as it lies there, no key. INVALID_ADDRESS: it is not memory. Windows PSP_DATA and
 * PSP_OUT. */
u32 psp_range_valid(u64 address, u64 size);
u32 psp_copy_in(u64 from, void *to, size_t size);
u32 psp_copy_out(u64 to, const void *from, size_t size);
u32 psp_zero(u64 address, u64 size);

/* The RMP entry and state of the page at `address`. INVALID_ADDRESS also for the RMP's own pages.
 */
u32 psp_page_get(u64 address, struct rmp_entry *entry, enum rmp_page_state *state);
void psp_page_set(u64 address, const struct rmp_entry *entry);
/* The firmware may write there: once SNP is initialised, FIRMWARE or DEFAULT pages only. */
u32 psp_writable(u64 address, u64 size);
/* No guest reaches the frame through the model's tables any more, and it lies as a stranger sees
 * it. */
void psp_evict(u64 address);

void psp_random(void *to, size_t size);

bool psp_is_zero(const void *data, size_t size);

/* psp_asid.c */
u64 psp_all_cpus(void);
u32 psp_max_asid(void);
void psp_asid_reset(void);
bool psp_asids_clean(void);
u32 psp_asid_activate(struct psp_binding *binding, u32 asid, bool running);
void psp_asid_run(struct psp_binding *binding);
void psp_asid_deactivate(struct psp_binding *binding);

/* psp_context.c: opens the context page, after the checks that all SNP guest commands begin with;
 * writes it back. Window PSP_CONTEXT. */
u32 psp_context_open(u64 address, struct psp_context *context);
void psp_context_seal(u64 address, const struct psp_context *context);

/* psp_cpuid.c. False: entries were wrong, and have been corrected in `entries`. */
bool psp_cpuid_check(struct snp_cpuid_entry *entries, u32 count, u32 *checked);

/* psp_report.c: answers to the messages of a guest; `vmpck` is the key the request came under. Each
 * fills `answer` and returns its size. */
u16 psp_report(const struct psp_context *context, u8 vmpck,
	       const struct snp_report_request *request, struct snp_report_response *answer);
u16 psp_key(const struct psp_context *context, u8 vmpck, const struct snp_key_request *request,
	    struct snp_key_response *answer);
u16 psp_tsc_info(const struct psp_context *context, const struct snp_tsc_request *request,
		 struct snp_tsc_response *answer);
u64 psp_tsc_scale(u32 frequency);
#define PSP_TSC_FACTOR 200u

/* psp_key.c: the model's signing key, which is no secret. */
extern const u8 psp_signing_key[P384_SIZE];

/* Commands */
u32 psp_sev_init(union psp_command *c);
u32 psp_sev_shutdown(union psp_command *c);
u32 psp_sev_platform_status(union psp_command *c);
u32 psp_df_flush(union psp_command *c);
u32 psp_nop(union psp_command *c);
u32 psp_sev_decommission(union psp_command *c);
u32 psp_sev_activate(union psp_command *c);
u32 psp_sev_deactivate(union psp_command *c);
u32 psp_sev_guest_status(union psp_command *c);
u32 psp_sev_launch_start(union psp_command *c);
u32 psp_sev_launch_update_data(union psp_command *c);
u32 psp_sev_launch_update_vmsa(union psp_command *c);
u32 psp_sev_launch_measure(union psp_command *c);
u32 psp_sev_launch_secret(union psp_command *c);
u32 psp_sev_launch_finish(union psp_command *c);
u32 psp_sev_dbg_decrypt(union psp_command *c);
u32 psp_snp_init(union psp_command *c);
u32 psp_snp_init_ex(union psp_command *c);
u32 psp_snp_shutdown(union psp_command *c);
u32 psp_snp_shutdown_ex(union psp_command *c);
u32 psp_snp_platform_status(union psp_command *c);
u32 psp_snp_config(union psp_command *c);
u32 psp_snp_commit(union psp_command *c);
u32 psp_snp_feature_info(union psp_command *c);
u32 psp_snp_gctx_create(union psp_command *c);
u32 psp_snp_decommission(union psp_command *c);
u32 psp_snp_activate(union psp_command *c);
u32 psp_snp_guest_status(union psp_command *c);
u32 psp_snp_launch_start(union psp_command *c);
u32 psp_snp_launch_update(union psp_command *c);
u32 psp_snp_launch_finish(union psp_command *c);
u32 psp_snp_guest_request(union psp_command *c);
u32 psp_snp_dbg_decrypt(union psp_command *c);
u32 psp_snp_page_reclaim(union psp_command *c);
u32 psp_snp_page_unsmash(union psp_command *c);

#endif
