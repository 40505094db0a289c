/* SPDX-License-Identifier: BSD-2-Clause */
/* The mailbox language of the SEV firmware (SEV API 55766) and the SEV-SNP firmware (56860), as its
 * publicly released source (AMD-ASPFW, sev_mcmd.h, sev_errors.h, sev_rmp.h) has it: commands,
 * status codes, and what lies in memory. Little-endian; addresses are host-physical. */
#ifndef MODEL_PSP_ABI_H
#define MODEL_PSP_ABI_H

#include "kernel/types.h"

enum sev_command {
	SEV_INIT = 0x01,
	SEV_SHUTDOWN = 0x02,
	SEV_PLATFORM_STATUS = 0x04,
	SEV_DF_FLUSH = 0x0a,
	SEV_NOP = 0x0e,
	SEV_DECOMMISSION = 0x20,
	SEV_ACTIVATE = 0x21,
	SEV_DEACTIVATE = 0x22,
	SEV_GUEST_STATUS = 0x23,
	SEV_LAUNCH_START = 0x30,
	SEV_LAUNCH_UPDATE_DATA = 0x31,
	SEV_LAUNCH_UPDATE_VMSA = 0x32,
	SEV_LAUNCH_MEASURE = 0x33,
	SEV_LAUNCH_SECRET = 0x34,
	SEV_LAUNCH_FINISH = 0x35,
	SEV_DBG_DECRYPT = 0x60,
	SNP_INIT = 0x81,
	SNP_SHUTDOWN = 0x82,
	SNP_PLATFORM_STATUS = 0x83,
	SNP_DF_FLUSH = 0x84,
	SNP_INIT_EX = 0x85,
	SNP_SHUTDOWN_EX = 0x86,
	SNP_DECOMMISSION = 0x90,
	SNP_ACTIVATE = 0x91,
	SNP_GUEST_STATUS = 0x92,
	SNP_GCTX_CREATE = 0x93,
	SNP_GUEST_REQUEST = 0x94,
	SNP_LAUNCH_START = 0xa0,
	SNP_LAUNCH_UPDATE = 0xa1,
	SNP_LAUNCH_FINISH = 0xa2,
	SNP_DBG_DECRYPT = 0xb0,
	SNP_PAGE_RECLAIM = 0xc7,
	SNP_PAGE_UNSMASH = 0xc8,
	SNP_CONFIG = 0xc9,
	SNP_COMMIT = 0xcb,
	SNP_FEATURE_INFO = 0xce,
};

enum sev_status {
	SEV_SUCCESS = 0x00,
	SEV_INVALID_PLATFORM_STATE = 0x01,
	SEV_INVALID_GUEST_STATE = 0x02,
	SEV_INVALID_CONFIG = 0x03,
	SEV_INVALID_LENGTH = 0x04,
	SEV_POLICY_FAILURE = 0x07,
	SEV_INACTIVE = 0x08,
	SEV_INVALID_ADDRESS = 0x09,
	SEV_BAD_SIGNATURE = 0x0a,
	SEV_BAD_MEASUREMENT = 0x0b,
	SEV_ASID_OWNED = 0x0c,
	SEV_INVALID_ASID = 0x0d,
	SEV_WBINVD_REQUIRED = 0x0e,
	SEV_DF_FLUSH_REQUIRED = 0x0f,
	SEV_INVALID_GUEST = 0x10,
	SEV_INVALID_COMMAND = 0x11,
	SEV_ACTIVE = 0x12,
	SEV_UNSUPPORTED = 0x15,
	SEV_INVALID_PARAM = 0x16,
	SEV_RESOURCE_LIMIT = 0x17,
	SEV_INVALID_PAGE_SIZE = 0x19,
	SEV_INVALID_PAGE_STATE = 0x1a,
	SEV_INVALID_PAGE_OWNER = 0x1c,
	SEV_AEAD_OFLOW = 0x1d,
	SEV_RMP_INIT_REQUIRED = 0x20,
	SEV_INVALID_KEY = 0x27,
};

/* CmdResp (AMD-ASPFW; Linux psp-dev.h): command 26:16, response 31, status 15:0. */
#define PSP_COMMAND_SHIFT 16
#define PSP_COMMAND_MASK  0x7ffu
#define PSP_RESPONSE	  0x80000000u

enum sev_platform_state { PLATFORM_UNINIT, PLATFORM_INIT, PLATFORM_WORKING };
enum sev_guest_state { SEV_GUEST_INVALID, SEV_GUEST_LUPDATE, SEV_GUEST_LSECRET, SEV_GUEST_RUNNING };
enum snp_guest_state { SNP_GUEST_INIT, SNP_GUEST_LAUNCH, SNP_GUEST_RUNNING };

#define SEV_POLICY_NODBG BIT(0)
#define SEV_POLICY_NOKS	 BIT(1)
#define SEV_POLICY_ES	 BIT(2)

#define SNP_POLICY_MINOR(policy) ((policy)&0xff)
#define SNP_POLICY_MAJOR(policy) ((policy) >> 8 & 0xff)
#define SNP_POLICY_SMT		 BIT(16)
#define SNP_POLICY_ONE		 BIT(17) /* must be 1 */
#define SNP_POLICY_DEBUG	 BIT(19)
#define SNP_POLICY_RESERVED	 (~0ul << 21)

/* Command buffers. Their sizes are what the firmware copies. */
struct sev_cmd_init {
	u32 flags; /* bit 0: SEV-ES */
	u32 reserved;
	u64 tmr;
	u32 tmr_size;
};
struct sev_cmd_platform_status {
	u8 major, minor, state, flags;
	u16 config; /* bit 0: SEV-ES */
	u8 reserved, build;
	u32 guests;
};
struct sev_cmd_handle { /* DECOMMISSION, DEACTIVATE, LAUNCH_FINISH */
	u32 handle;
};
struct sev_cmd_activate {
	u32 handle, asid;
};
struct sev_cmd_guest_status {
	u32 handle, policy, asid;
	u8 state, reserved[3];
};
struct sev_cmd_launch_start {
	u32 handle, policy;
	u64 dh_cert;
	u32 dh_cert_size, reserved;
	u64 session;
	u32 session_size, reserved2;
};
struct sev_cmd_range { /* LAUNCH_UPDATE_DATA, LAUNCH_UPDATE_VMSA, LAUNCH_MEASURE */
	u32 handle, reserved;
	u64 address;
	u32 size, reserved2;
};
struct sev_cmd_secret {
	u32 handle, reserved;
	u64 header;
	u32 header_size, reserved2;
	u64 guest;
	u32 guest_size, reserved3;
	u64 transport;
	u32 transport_size, reserved4;
};
struct sev_cmd_debug {
	u32 handle, reserved;
	u64 from, to;
	u32 size, reserved2;
};
struct snp_cmd_address { /* PLATFORM_STATUS, DECOMMISSION, GCTX_CREATE, PAGE_RECLAIM, .. */
	u64 address;
};
struct snp_cmd_init_ex {
	u32 flags; /* bit 0: initialise the RMP, 1: `list` is there */
	u32 reserved;
	u64 list;
	u8 reserved2[0x30];
};
struct snp_cmd_shutdown_ex {
	u32 length;
	u32 flags; /* bit 0: the IOMMU's SNP too, 1: the processors' too */
};
struct snp_cmd_activate {
	u64 context;
	u32 asid, reserved;
};
struct snp_cmd_guest_status {
	u64 context, status;
};
struct snp_cmd_guest_request {
	u64 context, request, response;
};
struct snp_cmd_launch_start {
	u64 context, policy, agent;
	u32 flags; /* bit 0: `agent` is there, 1: an initial migration image */
	u32 tsc_frequency;
	u8 workarounds[16];
};
struct snp_cmd_launch_update {
	u64 context;
	u32 type; /* bit 0: 2 MiB, 3:1 enum snp_page_type, 4: migration image */
	u32 reserved;
	u64 page;
	u8 reserved2, perms[3]; /* of VMPL 1 to 3 */
	u32 reserved3;
};
struct snp_cmd_launch_finish {
	u64 context, id_block, id_auth;
	u64 flags; /* bit 0: ID block, 1: author key, 2: no VCEK */
	u8 host_data[32];
};
struct snp_cmd_debug {
	u64 context, from, to;
};
struct snp_cmd_config {
	u64 reported_tcb;
	u32 flags; /* bit 0: no chip ID, 1: no chip key in reports */
	u8 reserved[0x34];
};
struct snp_cmd_commit {
	u32 length;
};
struct snp_cmd_feature_info {
	u32 length, ecx;
	u64 address;
};

_Static_assert(sizeof(struct snp_cmd_init_ex) == 64, "SNP_INIT_EX");
_Static_assert(sizeof(struct snp_cmd_launch_start) == 48, "SNP_LAUNCH_START");
_Static_assert(sizeof(struct snp_cmd_launch_update) == 32, "SNP_LAUNCH_UPDATE");
_Static_assert(sizeof(struct snp_cmd_launch_finish) == 64, "SNP_LAUNCH_FINISH");
_Static_assert(sizeof(struct snp_cmd_config) == 64, "SNP_CONFIG");

/* What commands write. */
struct snp_platform_status {
	u8 major, minor, state, rmp; /* bit 0 of rmp: initialised */
	u32 build;
	u32 flags; /* 0 chip ID masked, 1 chip key masked, 2 VLEK, 3 FEATURE_INFO */
	u32 guests;
	u64 current_tcb, reported_tcb;
};
struct snp_guest_status {
	u64 policy;
	u32 asid;
	u8 state, reserved[3];
	u32 flags, reserved2; /* bit 0: no VCEK */
	u64 reserved3;
};
struct sev_measurement {
	u8 mac[32], nonce[16];
};
struct sev_packet_header {
	u32 flags; /* bit 0: compressed */
	u8 iv[16], mac[32];
} __attribute__((packed));
_Static_assert(sizeof(struct sev_packet_header) == 52, "packet header");

/* Types of pages at a launch. */
enum snp_page_type {
	SNP_PAGE_NORMAL = 1,
	SNP_PAGE_VMSA,
	SNP_PAGE_ZERO,
	SNP_PAGE_UNMEASURED,
	SNP_PAGE_SECRETS,
	SNP_PAGE_CPUID,
};

/* What a launch digest is made of: one for each 4 KiB. */
struct snp_page_info {
	u8 digest[48], contents[48];
	u16 length;
	u8 type, imi, reserved, perms[3]; /* of VMPL 1 to 3 */
	u64 gpa;
};
_Static_assert(sizeof(struct snp_page_info) == 0x70, "PAGE_INFO");

struct snp_secrets_page {
	u32 version; /* 3 */
	u32 imi, fms, reserved;
	u8 workarounds[16];
	u8 vmpck[4][32];
	u8 guest[0x60];
	u8 vmsa_tweak[0x40];
	u8 svsm[0x20];
	u32 tsc_factor;
	u8 reserved2[0xe9c];
};
_Static_assert(sizeof(struct snp_secrets_page) == 4096, "secrets page");

#define SNP_CPUID_MAX 64u
struct snp_cpuid_entry {
	u32 leaf, subleaf;
	u64 xcr0, xss;
	u32 eax, ebx, ecx, edx;
	u64 reserved;
};
struct snp_cpuid_page {
	u32 count, reserved;
	u64 reserved2;
	struct snp_cpuid_entry entries[SNP_CPUID_MAX];
};
_Static_assert(sizeof(struct snp_cpuid_entry) == 48, "CPUID entry");

/* Signatures and points in ID blocks, ID authentication and reports: little-endian numbers of
 * 72 bytes; curve 2 is P-384. */
struct snp_signature {
	u8 r[72], s[72], reserved[0x170];
};
struct snp_public_key {
	u32 curve;
	u8 x[72], y[72], reserved[0x370];
};
_Static_assert(sizeof(struct snp_signature) == 0x200, "signature");
_Static_assert(sizeof(struct snp_public_key) == 0x404, "public key");
#define SNP_CURVE_P384	    2u
#define SNP_ALGO_ECDSA_P384 1u
struct snp_id_block {
	u8 digest[48], family_id[16], image_id[16];
	u32 version, guest_svn;
	u64 policy;
};
_Static_assert(sizeof(struct snp_id_block) == 96, "ID block");
struct snp_id_auth {
	u32 id_algo, author_algo;
	u8 reserved[0x38];
	struct snp_signature block_signature;
	struct snp_public_key id_key;
	u8 reserved2[0x3c];
	struct snp_signature key_signature;
	struct snp_public_key author_key;
	u8 reserved3[0x37c];
};
_Static_assert(sizeof(struct snp_id_auth) == 4096, "ID authentication");

/* Guest messages */
enum snp_message {
	SNP_MESSAGE_CPUID_REQ = 1,
	SNP_MESSAGE_CPUID_RSP,
	SNP_MESSAGE_KEY_REQ,
	SNP_MESSAGE_KEY_RSP,
	SNP_MESSAGE_REPORT_REQ,
	SNP_MESSAGE_REPORT_RSP,
	SNP_MESSAGE_TSC_INFO_REQ = 0x11,
	SNP_MESSAGE_TSC_INFO_RSP,
};
struct snp_message_header {
	u8 tag[32]; /* 16 of them */
	u64 sequence, reserved;
	u8 algo, version; /* AES-256-GCM 1, 1; from here on authenticated */
	u16 header_size;
	u8 type, message_version;
	u16 size; /* of the payload */
	u32 reserved2;
	u8 vmpck, reserved3[35];
};
_Static_assert(sizeof(struct snp_message_header) == 0x60, "message header");
#define SNP_MESSAGE_AAD offsetof(struct snp_message_header, algo)

struct snp_report_request {
	u8 data[64];
	u32 vmpl, key; /* bits 1:0: 0 VLEK or VCEK, 1 VCEK, 2 VLEK */
	u8 reserved[24];
};
struct snp_report {
	u32 version; /* 2 */
	u32 guest_svn;
	u64 policy;
	u8 family_id[16], image_id[16];
	u32 vmpl, algo;
	u64 current_tcb, platform;
	u32 flags, reserved; /* 0 author key, 1 chip key masked, 4:2 key: 0 VCEK, 7 none */
	u8 report_data[64], measurement[48], host_data[32];
	u8 id_key_digest[48], author_key_digest[48];
	u8 report_id[32], report_id_agent[32];
	u64 reported_tcb;
	u8 reserved2[24], chip_id[64];
	u64 committed_tcb;
	u8 current_build, current_minor, current_major, reserved3;
	u8 committed_build, committed_minor, committed_major, reserved4;
	u64 launch_tcb;
	u8 reserved5[168];
	struct snp_signature signature;
};
_Static_assert(offsetof(struct snp_report, measurement) == 0x90, "report");
_Static_assert(offsetof(struct snp_report, chip_id) == 0x1a0, "report");
_Static_assert(offsetof(struct snp_report, signature) == 0x2a0, "report");
_Static_assert(sizeof(struct snp_report) == 0x4a0, "report");
struct snp_report_response {
	u32 status, size;
	u8 reserved[24];
	struct snp_report report;
};
struct snp_key_request {
	u32 select; /* 0: VCEK or VMRK, 2:1 as in a report request */
	u32 reserved;
	u64 fields;
	u32 vmpl, guest_svn;
	u64 tcb;
};
struct snp_key_response {
	u32 status;
	u8 reserved[28], key[32];
};
struct snp_tsc_request {
	u8 reserved[128];
};
struct snp_tsc_response {
	u32 status, reserved;
	u64 scale, offset;
	u32 factor;
	u8 reserved2[100];
};
_Static_assert(sizeof(struct snp_tsc_response) == 128, "TSC_INFO");

#endif
