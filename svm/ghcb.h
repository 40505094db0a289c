/* SPDX-License-Identifier: BSD-2-Clause */
/* The GHCB: the page in which a guest with encrypted registers asks (GHCB specification, 56421,
 * rev. 2; offsets: table 3). Everything in it is the guest's to change at any time: each field is
 * read once. */
#ifndef SVM_GHCB_H
#define SVM_GHCB_H

#include "kernel/types.h"

#define GHCB_CPL	0x0cbu
#define GHCB_RAX	0x1f8u
#define GHCB_RCX	0x308u /* RCX, RDX, RBX in this order */
#define GHCB_RSI	0x330u
#define GHCB_CODE	0x390u /* SW_EXITCODE, _INFO1, _INFO2, SW_SCRATCH */
#define GHCB_INFO1	0x398u
#define GHCB_XCR0	0x3e8u
#define GHCB_BITMAP	0x3f0u /* 16 bytes: bit n: the field at 8 n is valid */
#define GHCB_BUFFER	0x800u
#define GHCB_BUFFER_END 0xff0u
#define GHCB_VERSION	0xffau
#define GHCB_USAGE	0xffcu

#define GHCB_PROTOCOL_MIN 1u
#define GHCB_PROTOCOL_MAX 2u

/* SW_EXITINFO1 and, for MALFORMED, SW_EXITINFO2. */
#define GHCB_EXCEPTION 1u
#define GHCB_MALFORMED 2u
enum ghcb_malformed {
	GHCB_NOT_REGISTERED = 1,
	GHCB_INVALID_USAGE = 2,
	GHCB_INVALID_SCRATCH = 3,
	GHCB_MISSING_INPUT = 4,
	GHCB_INVALID_INPUT = 5,
	GHCB_INVALID_EVENT = 6,
};

/* SW_EXITCODE, beside the processor's own exit codes. */
enum ghcb_event {
	GHCB_EVENT_DR7_READ = 0x27,
	GHCB_EVENT_DR7_WRITE = 0x37,
	GHCB_EVENT_RDTSC = 0x6e,
	GHCB_EVENT_RDPMC = 0x6f,
	GHCB_EVENT_CPUID = 0x72,
	GHCB_EVENT_INVD = 0x76,
	GHCB_EVENT_IOIO = 0x7b,
	GHCB_EVENT_MSR = 0x7c,
	GHCB_EVENT_VMMCALL = 0x81,
	GHCB_EVENT_RDTSCP = 0x87,
	GHCB_EVENT_WBINVD = 0x89,
	GHCB_EVENT_MONITOR = 0x8a,
	GHCB_EVENT_MWAIT = 0x8b,
};
#define GHCB_EVENT_MMIO_READ	 0x80000001ul
#define GHCB_EVENT_MMIO_WRITE	 0x80000002ul
#define GHCB_EVENT_NMI_DONE	 0x80000003ul
#define GHCB_EVENT_RESET_HOLD	 0x80000004ul
#define GHCB_EVENT_JUMP_TABLE	 0x80000005ul
#define GHCB_EVENT_PAGES	 0x80000010ul
#define GHCB_EVENT_REQUEST	 0x80000011ul
#define GHCB_EVENT_REQUEST_CERTS 0x80000012ul
#define GHCB_EVENT_AP_CREATE	 0x80000013ul
#define GHCB_EVENT_FEATURES	 0x8000fffdul
#define GHCB_EVENT_TERMINATE	 0x8000fffeul
#define GHCB_EVENT_UNSUPPORTED	 0x8000fffful

/* The MSR protocol: bits 11:0 of the GHCB MSR. */
enum ghcb_msr {
	GHCB_MSR_INFO = 0x001,
	GHCB_MSR_INFO_REQUEST = 0x002,
	GHCB_MSR_CPUID_REQUEST = 0x004,
	GHCB_MSR_CPUID_ANSWER = 0x005,
	GHCB_MSR_HOLD_REQUEST = 0x006,
	GHCB_MSR_HOLD_ANSWER = 0x007,
	GHCB_MSR_PREFERRED_REQUEST = 0x010,
	GHCB_MSR_PREFERRED_ANSWER = 0x011,
	GHCB_MSR_REGISTER_REQUEST = 0x012,
	GHCB_MSR_REGISTER_ANSWER = 0x013,
	GHCB_MSR_PAGE_REQUEST = 0x014,
	GHCB_MSR_PAGE_ANSWER = 0x015,
	GHCB_MSR_FEATURES_REQUEST = 0x080,
	GHCB_MSR_FEATURES_ANSWER = 0x081,
	GHCB_MSR_TERMINATE = 0x100,
};
#define GHCB_MSR_CODE 0xffful

#define GHCB_FEATURE_SNP       BIT(0)
#define GHCB_FEATURE_AP_CREATE BIT(1)

#define PSC_PRIVATE 1u
#define PSC_SHARED  2u

/* The page part of a request, as it was read once. */
struct ghcb_page {
	u64 rax, rcx, rdx, rbx, rsi;
	u64 code, info1, info2, scratch, xcr0;
	u64 valid[2]; /* the bitmap */
	u16 version;
	u32 usage;
	u8 cpl;
};

static inline bool ghcb_valid(const struct ghcb_page *page, unsigned offset)
{
	return (page->valid[offset / 512] >> offset / 8 % 64 & 1) != 0;
}

#endif
