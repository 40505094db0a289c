/* SPDX-License-Identifier: BSD-2-Clause */
/* A machine for the host tests of the SNP model's PSP: memory, windows, two processors that have
 * been prepared for SNP, and a world of pages and guests to give commands on. */
#ifndef TESTS_HOST_FAKE_SEV_H
#define TESTS_HOST_FAKE_SEV_H

#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <setjmp.h>
#include <string.h>
#include <cmocka.h>

#include "model/psp_impl.h"

#define FRAMES	   4096u
#define SEV_CPUS   2u
#define LEAST_ASID 10u /* of SEV without SEV-ES */

/* Addresses of the world. */
#define RMP_AT	      0x100000ul /* 1 MiB of it */
#define COMMAND_AT    0x00a000ul
#define LIST_AT	      0x00b000ul
#define REQUEST_AT    0x00c000ul
#define SOURCE_AT     0x00d000ul
#define CONTEXT_AT    0x200000ul
#define CONTEXT2_AT   0x201000ul
#define STATUS_AT     0x202000ul /* FIRMWARE */
#define RESPONSE_AT   0x203000ul /* FIRMWARE */
#define DEBUG_AT      0x204000ul /* FIRMWARE */
#define PAGE_AT	      0x205000ul /* PRE_GUEST, 4 KiB, at PAGE_GPA */
#define VMSA_AT	      0x206000ul /* the same, at VMSA_GPA */
#define STRANGER_AT   0x207000ul /* PRE_GUEST of another ASID */
#define PLAIN_AT      0x208000ul /* HYPERVISOR */
#define FIXED_AT      0x209000ul /* HV_FIXED */
#define BLOCK_AT      0x400000ul /* PRE_GUEST, 2 MiB, at BLOCK_GPA */
#define SMALLS_AT     0x600000ul /* 512 of 4 KiB, PRE_GUEST, consecutive at SMALLS_GPA */
#define FIRM_BLOCK_AT 0x800000ul /* FIRMWARE, 2 MiB */
#define BEYOND_AT     0xf00000000000ul
#define PAGE_GPA      0x1000ul
#define VMSA_GPA      0xfffffffff000ul
#define BLOCK_GPA     0x40000000ul
#define SMALLS_GPA    0x80000000ul
#define ASID	      3u
#define SEV_ASID      (LEAST_ASID + 2)

extern u8 fake_memory[FRAMES * 4096ul];
extern struct model_msrs fake_msrs[SEV_CPUS];
extern u8 fake_touched[FRAMES]; /* frames that were seen through a window */

#define AT(address) (fake_memory + (address))

/* Everything as after a reset. */
void fake_sev_start(void);

/* Runs a command through the mailbox; `buffer` is copied to COMMAND_AT first, if not NULL. */
u32 fake_command(u32 number, const void *buffer, size_t size);
u32 fake_command_at(u32 number, u64 address);
u32 fake_address_command(u32 number, u64 address);

/* WBINVD everywhere and DF_FLUSH. */
void fake_flush(void);

/* RMPUPDATE; what it answers must be 0. */
void fake_page(u64 address, u64 gpa, u32 asid, bool large, bool immutable, bool assigned);
enum rmp_page_state fake_state(u64 address);

/* The world, step by step; each has all before it. */
enum world {
	WORLD_COLD,	    /* nothing is initialised; SYSCFG says SNP */
	WORLD_SNP,	    /* SNP_INIT, and the pages are as said above */
	WORLD_CONTEXT,	    /* CONTEXT_AT is a guest's */
	WORLD_LAUNCH,	    /* .. LAUNCH_START */
	WORLD_ACTIVE,	    /* .. ACTIVATE with ASID */
	WORLD_RUNNING,	    /* .. LAUNCH_FINISH */
	WORLD_SEV,	    /* SEV_INIT with SEV-ES, no SNP_INIT, processors without SNP */
	WORLD_SEV_LAUNCH,   /* .. LAUNCH_START: handle 1, with SEV-ES policy if fake_es */
	WORLD_SEV_ACTIVE,   /* .. ACTIVATE with SEV_ASID, or ASID if fake_es */
	WORLD_SEV_MEASURED, /* .. LAUNCH_MEASURE */
	WORLD_SEV_RUNNING,  /* .. LAUNCH_FINISH */
};
extern bool fake_es;
#define FAKE_POLICY 0x30000ul /* what policies must have, SMT */
extern u64 fake_policy;
void fake_world(enum world world);

#endif
