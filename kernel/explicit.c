/* SPDX-License-Identifier: BSD-2-Clause */
/* Explicit conversions: the guest's map-GPA-range, as a sequence of events, one for each run of
 * pages that are not yet as the guest wants them. */
#include "kernel/exits.h"
#include "kernel/protocol.h"

#define MAP_SIZE_MASK 0xful
#define MAP_SIZE_MAX  2ul /* 1 GiB */

/* Every page of the range has a slot, one that can be both private and shared. `*inplace`: all of
 * it changes owner in place. */
static bool range_backed(struct memory *mem, gfn_t first, u64 count, bool to_private, bool *inplace)
{
	u64 at = first.n, end = first.n + count;

	*inplace = true;
	spin_lock(&mem->lock);
	for (unsigned i = 0; at < end && i < SEPTUM_MAX_SLOTS; i++) {
		const struct slot *slot = &mem->slots[i];
		u32 private_side = SEPTUM_SLOT_PRIVATE | SEPTUM_SLOT_INPLACE;

		if (slot->count == 0 || at < slot->first.n || at - slot->first.n >= slot->count)
			continue;
		if (to_private && !(slot->flags & private_side))
			break;
		if (!(slot->flags & SEPTUM_SLOT_INPLACE))
			*inplace = false;
		at = slot->first.n + slot->count;
		i = ~0u; /* from the first slot again: they are in no order */
	}
	spin_unlock(&mem->lock);
	return at >= end;
}

/* How many pages from `first` on, at most `left`, are all private or all shared; and which. */
static u64 run_length(struct memory *mem, gfn_t first, u64 left, bool *is_private)
{
	gfn_t end = gfn(first.n + left);
	unsigned bits;
	u64 run;

	spin_lock(&mem->lock);
	run = attr_run(&mem->attr, first, end, &bits);
	*is_private = bits & SEPTUM_ATTR_PRIVATE;
	while (run < left) {
		u64 more = attr_run(&mem->attr, gfn(first.n + run), end, &bits);

		if (*is_private != !!(bits & SEPTUM_ATTR_PRIVATE))
			break;
		run += more;
	}
	spin_unlock(&mem->lock);
	return run;
}

bool explicit_request(struct vcpu *v, u64 where, u64 pages, u64 attributes, s64 *answer)
{
	struct memory *mem = &v->vm->memory;
	const u64 known =
		MAP_SIZE_MASK | SEPTUM_MAP_PRIVATE | SEPTUM_MAP_PRESERVE | SEPTUM_MAP_ZERO;
	bool to_private = attributes & SEPTUM_MAP_PRIVATE;
	bool preserve = attributes & SEPTUM_MAP_PRESERVE;
	u64 first = where >> PAGE_SHIFT;
	u64 limit = 1ul << (mem->gpa_bits - PAGE_SHIFT);
	bool inplace;

	/* One frame behind both aliases of a page, which the guest itself encrypts anew. */
	if (mem->one_frame) {
		preserve = true;
		attributes &= ~(u64)SEPTUM_MAP_ZERO;
	}
	if (mem->plain) {
		*answer = -SEPTUM_KVM_ENOSYS;
		return true;
	}
	*answer = -SEPTUM_KVM_EINVAL;
	if ((attributes & ~known) || (attributes & MAP_SIZE_MASK) > MAP_SIZE_MAX)
		return true;
	if (preserve && (attributes & SEPTUM_MAP_ZERO))
		return true;
	if (!IS_ALIGNED(where, PAGE_SIZE) || pages == 0 || first >= limit || pages > limit - first)
		return true;
	if (!range_backed(mem, gfn(first), pages, to_private, &inplace))
		return true;
	if (preserve && !inplace) {
		*answer = -SEPTUM_KVM_EOPNOTSUPP;
		return true;
	}
	if (pages > EXPLICIT_PAGES_MAX) {
		*answer = -SEPTUM_KVM_E2BIG;
		return true;
	}
	count(v, SEPTUM_COUNTER_EXPLICIT_REQUESTS);
	v->request = (struct explicit_state){
		.next = gfn(first),
		.left = pages,
		.active = true,
		.to_private = to_private,
		.preserve = preserve,
	};
	if (explicit_next(v))
		return false;
	count(v, SEPTUM_COUNTER_EXPLICIT_DONE);
	*answer = 0;
	return true;
}

bool explicit_next(struct vcpu *v)
{
	struct explicit_state *request = &v->request;
	struct septum_event *event;

	while (request->left > 0) {
		bool is_private;
		gfn_t first = request->next;
		u64 run = run_length(&v->vm->memory, first, request->left, &is_private);

		if (is_private != request->to_private)
			run = MIN(run, CONVERT_PAGES_MAX);
		request->next = gfn(first.n + run);
		request->left -= run;
		if (is_private != request->to_private) {
			event = event_begin(v, SEPTUM_EVENT_EXPLICIT);
			event->flags = (request->to_private ? SEPTUM_EVENT_PRIVATE : 0) |
				       (request->preserve ? SEPTUM_EVENT_PRESERVE : 0);
			event->gpa = gfn_to_gpa(first).n;
			event->size = run << PAGE_SHIFT;
			event_post(v, event);
			return true;
		}
	}
	request->active = false;
	return false;
}
