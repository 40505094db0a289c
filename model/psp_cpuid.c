/* SPDX-License-Identifier: BSD-2-Clause */
/* The CPUID page: the host says what the guest shall see, and the firmware lets through only what
 * is no more than the machine has (SEV-SNP ABI, SNP_LAUNCH_UPDATE; AMD-ASPFW, cpuid_lookup.c; PPR).
 */
#include "model/psp_impl.h"

enum rule {
	ANY,   /* not looked at */
	MASK,  /* a subset of the machine's bits */
	EXACT, /* what the machine has */
	LESS,  /* a number, no larger than the machine's */
};

struct rule_row {
	u32 leaf, last_leaf;
	u32 subleaf, last_subleaf;
	u8 rule[4];  /* EAX, EBX, ECX, EDX */
	u32 free[4]; /* bits that are not looked at */
};

#define OSXSAVE	   BIT(27)
#define HYPERVISOR BIT(31)
#define OSPKE	   BIT(4)
#define EVERY	   0xffffffffu

/* A leaf that is not here, of the standard or the extended range, must be zero. */
static const struct rule_row rules[] = {
	{0x00000000, 0x00000000, 0, 0, {LESS, ANY, ANY, ANY}, {0}},
	{0x00000001,
	 0x00000001,
	 0,
	 0,
	 {LESS, EXACT, MASK, MASK},
	 {0, ~0xff00u, OSXSAVE | HYPERVISOR, 0}},
	{0x00000002, 0x00000006, 0, EVERY, {ANY, ANY, ANY, ANY}, {0}},
	{0x00000007, 0x00000007, 0, 0, {LESS, MASK, MASK, MASK}, {0, 0, OSPKE, 0}},
	{0x00000007, 0x00000007, 1, 1, {MASK, MASK, MASK, MASK}, {0}},
	{0x0000000b, 0x0000000b, 0, EVERY, {ANY, ANY, ANY, ANY}, {0}},
	{0x0000000d, 0x0000000d, 0, 0, {MASK, ANY, ANY, MASK}, {0}},
	{0x0000000d, 0x0000000d, 1, 1, {MASK, ANY, MASK, MASK}, {0}},
	{0x0000000d, 0x0000000d, 2, 63, {LESS, ANY, MASK, ANY}, {0}},
	{0x80000000, 0x80000000, 0, 0, {LESS, ANY, ANY, ANY}, {0}},
	{0x80000001, 0x80000001, 0, 0, {LESS, ANY, MASK, MASK}, {0}},
	{0x80000002, 0x80000006, 0, 0, {ANY, ANY, ANY, ANY}, {0}},
	{0x80000007, 0x80000007, 0, 0, {ANY, MASK, ANY, MASK}, {0}},
	{0x80000008, 0x80000008, 0, 0, {ANY, MASK, ANY, ANY}, {0}},
	{0x8000000a, 0x8000000a, 0, 0, {ANY, ANY, ANY, MASK}, {0}},
	{0x80000019, 0x8000001a, 0, 0, {ANY, ANY, ANY, ANY}, {0}},
	{0x8000001d, 0x8000001e, 0, EVERY, {ANY, ANY, ANY, ANY}, {0}},
	{0x8000001f, 0x8000001f, 0, 0, {MASK, EXACT, ANY, ANY}, {0, ~0xfffu, 0, 0}},
	{0x80000021, 0x80000021, 0, 0, {MASK, ANY, ANY, ANY}, {0}},
};

static const struct rule_row *rule_of(const struct snp_cpuid_entry *entry)
{
	for (unsigned i = 0; i < ARRAY_COUNT(rules); i++)
		if (entry->leaf >= rules[i].leaf && entry->leaf <= rules[i].last_leaf &&
		    entry->subleaf >= rules[i].subleaf && entry->subleaf <= rules[i].last_subleaf)
			return &rules[i];
	return NULL;
}

static bool value_check(u8 rule, u32 free, u32 machine, u32 *value)
{
	u32 right = *value;

	if (rule == MASK)
		right = *value & (machine | free);
	else if (rule == EXACT)
		right = (*value & free) | (machine & ~free);
	else if (rule == LESS && *value > machine)
		right = machine;
	if (right == *value)
		return true;
	*value = right;
	return false;
}

static bool entry_check(struct snp_cpuid_entry *entry)
{
	const struct rule_row *row = rule_of(entry);
	u32 *values[4] = {&entry->eax, &entry->ebx, &entry->ecx, &entry->edx};
	struct sev_cpuid machine = {0};
	bool good = entry->reserved == 0;

	if (row)
		machine = model_cpuid(entry->leaf, entry->subleaf);
	const u32 wanted[4] = {machine.eax, machine.ebx, machine.ecx, machine.edx};

	for (unsigned i = 0; i < 4; i++)
		if (!value_check(row ? row->rule[i] : EXACT, row ? row->free[i] : 0, wanted[i],
				 values[i]))
			good = false;
	return good;
}

bool psp_cpuid_check(struct snp_cpuid_entry *entries, u32 count, u32 *checked)
{
	bool good = true;

	*checked = 0;
	for (u32 i = 0; i < count; i++) {
		u32 range = entries[i].leaf & 0xffff0000u;

		if (range != 0 && range != 0x80000000u)
			continue; /* the hypervisor's own leaves */
		if (!entry_check(&entries[i]))
			good = false;
		(*checked)++;
	}
	return good;
}
