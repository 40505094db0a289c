/* SPDX-License-Identifier: BSD-2-Clause */
/* What the small SNP guest and the test manager agree on. */
#ifndef GUESTS_SNP_GUEST_H
#define GUESTS_SNP_GUEST_H

#define SNP_TABLES   0x1000ul	/* PML4, PDPT and two PDs, one page each */
#define SNP_IMAGE    0x100000ul /* where it is linked, */
#define SNP_STACK    0x11f000ul /* .. and its stack, downwards */
#define SNP_LOADED   0x20000ul	/* bytes from SNP_IMAGE on are part of the launch image */
#define SNP_GHCB     0x200000ul
#define SNP_FREE     0x400000ul	  /* memory from here on is the bodies' */
#define SNP_SHARED   0x40000000ul /* the same addresses with C = 0 are here */
#define SNP_PAGES_2M 8u		  /* mapped twice */

/* RDI. */
enum snp_body {
	SNP_BODY_TO_PRIVATE,
	SNP_BODY_TO_SHARED,
	SNP_BODY_DENIED,
	SNP_BODY_HOSTILE,
	SNP_BODY_RUNS,
	SNP_BODY_SIZES,
	SNP_BODY_RIGHTS,
};

#endif
