/* SPDX-License-Identifier: BSD-2-Clause */
#include "model/rmp.h"
#include "kernel/panic.h"
#include "kernel/spinlock.h"
#include "mm/tlb.h"
#include "mm/window.h"
#include "model/cipher.h"
#include "model/shadow.h"

/* First quadword of an entry; the second is the permissions by VMPL. */
#define Q_ASSIGNED  BIT(0)
#define Q_LARGE	    BIT(1)
#define Q_IMMUTABLE BIT(2)
#define Q_GPA	    0x0007fffffffff000ul /* bits 50:12 */
#define Q_ASID	    51			 /* bits 60:51 */
#define Q_VMSA	    BIT(61)
#define Q_VALIDATED BIT(62)
#define Q_LOCK	    BIT(63) /* equal to IMMUTABLE */

static struct spinlock lock = SPINLOCK(RANK_MODEL);
static struct {
	bool enabled;
	u64 base, end;
	u64 frames; /* covered, from 0 on */
} table;
/* One more than the frame; 0: none. */
static struct {
	u64 vmcb, vmsa;
} used[CPUS_MAX];

void rmp_lock(void)
{
	spin_lock(&lock);
}

void rmp_unlock(void)
{
	spin_unlock(&lock);
}

void rmp_enable(u64 base, u64 end)
{
	table.base = base;
	table.end = end;
	table.frames =
		end + 1 > base + RMP_HEADER ? (end + 1 - base - RMP_HEADER) / RMP_ENTRY_SIZE : 0;
	table.enabled = true;
}

bool rmp_enabled(void)
{
	return table.enabled;
}

bool rmp_extent(hpa_t *first, hpa_t *last)
{
	*first = hpa(table.base);
	*last = hpa(table.end);
	return table.enabled;
}

static u64 *entry_at(u64 frame)
{
	u64 at = table.base + RMP_HEADER + frame * RMP_ENTRY_SIZE;

	return (u64 *)((u8 *)window_map(WINDOW_MODEL_RMP, pfn(at >> PAGE_SHIFT)) + at % PAGE_SIZE);
}

static bool covered(u64 frame)
{
	return table.enabled && frame < table.frames;
}

static void decode(const u64 q[2], struct rmp_entry *e)
{
	u64 first = READ_ONCE(q[0]), second = READ_ONCE(q[1]);

	*e = (struct rmp_entry){
		.gpa = first & Q_GPA,
		.asid = (u32)(first >> Q_ASID) % RMP_ASID_LIMIT,
		.assigned = (first & Q_ASSIGNED) != 0,
		.large = (first & Q_LARGE) != 0,
		.immutable = (first & Q_IMMUTABLE) != 0,
		.validated = (first & Q_VALIDATED) != 0,
		.vmsa = (first & Q_VMSA) != 0,
	};
	for (unsigned i = 0; i < RMP_VMPLS; i++)
		e->perms[i] = (u8)(second >> 8 * i);
}

static void encode(u64 q[2], const struct rmp_entry *e)
{
	u64 first = (e->gpa & Q_GPA) | (u64)e->asid << Q_ASID, second = 0;

	first |= (e->assigned ? Q_ASSIGNED : 0) | (e->large ? Q_LARGE : 0);
	first |= (e->immutable ? Q_IMMUTABLE | Q_LOCK : 0) | (e->validated ? Q_VALIDATED : 0);
	first |= e->vmsa ? Q_VMSA : 0;
	for (unsigned i = 0; i < RMP_VMPLS; i++)
		second |= (u64)e->perms[i] << 8 * i;
	WRITE_ONCE(q[0], first);
	WRITE_ONCE(q[1], second);
}

bool rmp_get(pfn_t p, struct rmp_entry *entry)
{
	u64 head = ALIGN_DOWN(p.n, BLOCK_PAGES);

	*entry = (struct rmp_entry){0};
	if (!covered(p.n))
		return false;
	decode(entry_at(head), entry);
	if (entry->large)
		entry->gpa += (p.n - head) * PAGE_SIZE;
	else if (head != p.n)
		decode(entry_at(p.n), entry);
	return true;
}

static void write_entry(u64 frame, const struct rmp_entry *entry)
{
	encode(entry_at(frame), entry);
}

void rmp_set(pfn_t p, const struct rmp_entry *entry)
{
	u64 count = entry->large ? BLOCK_PAGES : 1;
	struct rmp_entry old;

	(void)rmp_get(p, &old);
	ASSERT(p.n % count == 0 && covered(p.n + count - 1));
	ASSERT(!old.large || p.n % BLOCK_PAGES == 0);
	shadow_evict(p, old.large ? BLOCK_PAGES : count);
	write_entry(p.n, entry);
}

enum rmp_page_state rmp_entry_state(const struct rmp_entry *e)
{
	u64 tag = e->gpa & RMP_GPA_TAG(7);
	u64 rest = (e->gpa & (RMP_GPA_TAG(1) - 1)) >> PAGE_SHIFT;

	if (!e->assigned) {
		if (e->validated || e->asid != 0)
			return RMP_STATE_INVALID;
		return e->immutable ? RMP_STATE_HV_FIXED : RMP_STATE_HYPERVISOR;
	}
	if (e->asid != 0 && e->immutable)
		return e->validated ? RMP_STATE_PRE_SWAP : RMP_STATE_PRE_GUEST;
	if (e->asid != 0)
		return e->validated ? RMP_STATE_GUEST_VALID : RMP_STATE_GUEST_INVALID;
	if (e->validated)
		return RMP_STATE_INVALID;
	if (!e->immutable)
		return RMP_STATE_RECLAIM;
	if (e->gpa == 0)
		return e->vmsa ? RMP_STATE_CONTEXT : RMP_STATE_FIRMWARE;
	if (tag == RMP_GPA_TAG(1) && rest > 0)
		return RMP_STATE_METADATA;
	if (tag == RMP_GPA_TAG(2) && rest == 1)
		return RMP_STATE_FIRMWARE_IOMMU;
	return RMP_STATE_INVALID;
}

enum rmp_page_state rmp_page_state(pfn_t p)
{
	struct rmp_entry entry;

	return rmp_get(p, &entry) ? rmp_entry_state(&entry) : RMP_STATE_DEFAULT;
}

static bool in_use(u64 first, u64 count)
{
	for (unsigned cpu = 0; cpu < CPUS_MAX; cpu++) {
		if (used[cpu].vmcb - 1 - first < count || used[cpu].vmsa - 1 - first < count)
			return true;
	}
	return false;
}

void rmp_use(unsigned cpu, pfn_t vmcb, pfn_t vmsa)
{
	used[cpu].vmcb = vmcb.n + 1;
	used[cpu].vmsa = vmsa.n + 1;
}

static bool state_is_sound(const struct rmp_state *s)
{
	u64 size = s->pagesize == RMP_2M ? BLOCK_PAGES * PAGE_SIZE : PAGE_SIZE;

	return s->assigned <= 1 && s->pagesize <= RMP_2M && s->immutable <= 1 && s->reserved == 0 &&
	       s->gpa % size == 0 && s->gpa < RMP_GPA_LIMIT && s->asid < MODEL_ASIDS;
}

/* Immutable, or in the way of one entry for all `count` frames? */
static u32 refusal(u64 frame, u64 count)
{
	struct rmp_entry entry;
	bool overlap = false;

	for (u64 i = 0; i < count; i++) {
		(void)rmp_get(pfn(frame + i), &entry);
		if (entry.immutable)
			return RMP_FAIL_PERMISSION;
		if (entry.large)
			overlap |= count == 1;
		else
			overlap |= count > 1 && entry.assigned;
	}
	if (in_use(frame, count))
		return RMP_FAIL_INUSE;
	return overlap ? RMP_FAIL_OVERLAP : RMP_OK;
}

static u32 update(u64 frame, const struct rmp_state *state)
{
	u64 count = state->pagesize == RMP_2M ? BLOCK_PAGES : 1;
	struct rmp_entry new = {0};
	u32 status = refusal(frame, count);

	if (status != RMP_OK)
		return status;
	if (state->assigned != 0) {
		new.gpa = state->gpa;
		new.asid = state->asid;
		new.assigned = true;
		new.large = state->pagesize == RMP_2M;
		new.perms[0] = RMP_ALL;
	}
	new.immutable = state->immutable != 0;
	/* An unassigned page has no size: what is left of a 2 MiB entry is 512 pages. */
	if (new.large || !new.immutable) {
		rmp_set(pfn(frame), &new);
		return RMP_OK;
	}
	for (u64 i = 0; i < count; i++)
		rmp_set(pfn(frame + i), &new);
	return RMP_OK;
}

u32 rmp_update(hpa_t page, const struct rmp_state *state)
{
	u64 count = state->pagesize == RMP_2M ? BLOCK_PAGES : 1;
	u64 frame = page.n >> PAGE_SHIFT;
	u32 status;

	if (!table.enabled)
		return (u32)RMP_UNDEFINED;
	if (!state_is_sound(state) || page.n % (count * PAGE_SIZE) != 0 ||
	    !covered(frame + count - 1))
		return RMP_FAIL_INPUT;
	rmp_lock();
	status = update(frame, state);
	rmp_unlock();
	return status;
}

void rmp_smash(pfn_t first)
{
	struct rmp_entry entry;
	u64 base;

	(void)rmp_get(first, &entry);
	ASSERT(entry.large && first.n % BLOCK_PAGES == 0);
	shadow_evict(first, BLOCK_PAGES);
	base = entry.gpa;
	entry.large = false;
	for (u64 i = BLOCK_PAGES; i-- > 0;) {
		entry.gpa = base + i * PAGE_SIZE;
		write_entry(first.n + i, &entry);
	}
}

void rmp_unsmash(pfn_t first)
{
	const struct rmp_entry none = {0};
	struct rmp_entry entry;

	(void)rmp_get(first, &entry);
	ASSERT(!entry.large && first.n % BLOCK_PAGES == 0);
	shadow_evict(first, BLOCK_PAGES);
	entry.large = true;
	for (u64 i = 1; i < BLOCK_PAGES; i++)
		write_entry(first.n + i, &none);
	write_entry(first.n, &entry);
}

u32 rmp_psmash(hpa_t block)
{
	u64 frame = block.n >> PAGE_SHIFT;
	struct rmp_entry entry;
	u32 status = RMP_OK;

	if (!table.enabled)
		return (u32)RMP_UNDEFINED;
	if (block.n % (BLOCK_PAGES * PAGE_SIZE) != 0 || !covered(frame + BLOCK_PAGES - 1))
		return RMP_FAIL_INPUT;
	rmp_lock();
	(void)rmp_get(pfn(frame), &entry);
	if (entry.immutable)
		status = RMP_FAIL_PERMISSION;
	else if (in_use(frame, BLOCK_PAGES))
		status = RMP_FAIL_INUSE;
	else if (!entry.assigned || !entry.large)
		status = RMP_FAIL_REQUIREMENTS;
	else
		rmp_smash(pfn(frame));
	rmp_unlock();
	return status;
}

u32 rmp_read(hpa_t page, struct rmp_state *state)
{
	u64 frame = page.n >> PAGE_SHIFT;
	struct rmp_entry entry;

	*state = (struct rmp_state){0};
	if (!table.enabled)
		return (u32)RMP_UNDEFINED;
	if (page.n % PAGE_SIZE != 0 || !covered(frame))
		return RMP_FAIL_INPUT;
	rmp_lock();
	(void)rmp_get(pfn(frame), &entry);
	rmp_unlock();
	*state = (struct rmp_state){
		.gpa = entry.gpa,
		.assigned = entry.assigned,
		.pagesize = entry.large ? 3 : 0,
		.immutable = entry.immutable,
		.asid = entry.asid,
	};
	return RMP_OK;
}
