/* SPDX-License-Identifier: BSD-2-Clause */
/* The CPUID page of an SNP guest: what it may believe of its processor without asking (SEV-SNP
 * firmware ABI, 8.17.2.6). */
#include "kernel/cpuid.h"
#include "kernel/string.h"
#include "svm/sev.h"

#define LEAVES_MAX 64u
#define LEAF_XSAVE 0xdu

struct entry {
	u32 leaf, subleaf;
	u64 xcr0, xss;
	u32 out[4];
	u64 reserved;
};
_Static_assert(sizeof(struct entry) == 48, "CPUID page entry");

struct table {
	u32 count, reserved0;
	u64 reserved1;
	struct entry entries[LEAVES_MAX];
};

/* Leaves whose values do not depend on more than the VM; in this order in the page. */
static const struct {
	u32 first, last, subleaves;
} ranges[] = {
	{0x0, 0x7, 1},
	{0xb, 0xb, 2},
	{LEAF_XSAVE, LEAF_XSAVE, 10},
	{0x40000000, 0x40000001, 1},
	{0x40000010, 0x40000010, 1},
	{0x40000100, 0x40000101, 1},
	{0x80000000, 0x80000008, 1},
	{0x8000001f, 0x8000001f, 1},
};

static bool is_maximum(u32 leaf)
{
	return leaf == 0 || leaf == 0x40000000 || leaf == 0x80000000;
}

static void add(const struct vcpu *v, struct table *table, u32 leaf, u32 subleaf)
{
	struct entry *e = &table->entries[table->count];
	u32 out[4];

	if (table->count == LEAVES_MAX)
		return;
	cpuid_look(v, leaf, subleaf, out);
	/* Linux wants to lay out an XSAVE area if it is told of one, and cannot without XSAVEC. */
	if (leaf == 0)
		out[0] = cpuid_compact_xsave() ? out[0] : MIN(out[0], 7u);
	if (leaf == LEAF_XSAVE && !cpuid_compact_xsave())
		return;
	/* What is not in the table reads as zero, as long as it is in range. */
	if (!is_maximum(leaf) && (out[0] | out[1] | out[2] | out[3]) == 0)
		return;
	e->leaf = leaf;
	e->subleaf = subleaf;
	e->xcr0 = leaf == LEAF_XSAVE && subleaf < 2 ? 1 : 0;
	memcpy(e->out, out, sizeof(out));
	table->count++;
}

void sev_cpuid_table(const struct vcpu *v, void *page)
{
	struct table *table = page;

	_Static_assert(sizeof(*table) <= PAGE_SIZE, "CPUID page");
	for (unsigned i = 0; i < ARRAY_COUNT(ranges); i++) {
		for (u32 leaf = ranges[i].first; leaf <= ranges[i].last; leaf++) {
			for (u32 subleaf = 0; subleaf < ranges[i].subleaves; subleaf++)
				add(v, table, leaf, subleaf);
		}
	}
}
