/* SPDX-License-Identifier: BSD-2-Clause */
#include "mm/frame.h"

#include "kernel/lock_order.h"
#include "kernel/panic.h"
#include "mm/page.h"

/* A descriptor: lock 0, state 4:1, level 5, owner 23:8, argument 63:24. */
#define LOCK	    1ul
#define STATE_SHIFT 1
#define STATE_MASK  0xful
#define LEVEL_BIT   (1ul << 5)
#define OWNER_SHIFT 8
#define ARG_SHIFT   24

_Static_assert(FRAME_STATES <= STATE_MASK + 1, "a state has four bits");
_Static_assert(FRAME_ABSENT == 0, "zeroed descriptors are ABSENT");

const struct frame_cell frame_cells[FRAME_OPS][FRAME_STATES] = {
#define X(op, from, to, condition) [FRAME_OP_##op][FRAME_##from] = {FRAME_##condition, FRAME_##to},
	FRAME_CELL_LIST(X)
#undef X
};

static u64 *descriptors;
static u16 *root_counts; /* by 2 MiB block: frames that the root may see */
static u64 limit;

static u64 pack(enum frame_state state, u64 owner, u64 arg)
{
	return (u64)state << STATE_SHIFT | owner << OWNER_SHIFT | arg << ARG_SHIFT;
}

static enum frame_state state_of(u64 d)
{
	return (enum frame_state)(d >> STATE_SHIFT & STATE_MASK);
}

static u16 owner_of(u64 d)
{
	return (u16)(d >> OWNER_SHIFT);
}

static u64 arg_of(u64 d)
{
	return d >> ARG_SHIFT;
}

static u64 lock(u64 *d)
{
	lock_taking(d, RANK_FRAME);
	while (__atomic_fetch_or(d, LOCK, __ATOMIC_ACQUIRE) & LOCK)
		__builtin_ia32_pause();
	return *d & ~LOCK;
}

static void unlock(u64 *d, u64 value)
{
	lock_giving(d);
	__atomic_store_n(d, value, __ATOMIC_RELEASE);
}

static bool root_sees(enum frame_state state)
{
	return state == FRAME_ROOT || state == FRAME_OFFERED;
}

void frame_setup(pfn_t end)
{
	limit = ALIGN_UP(end.n, BLOCK_PAGES);
	descriptors = own_alloc(ALIGN_UP(limit * sizeof(*descriptors), PAGE_SIZE) / PAGE_SIZE);
	root_counts = own_alloc(ALIGN_UP(limit / BLOCK_PAGES * sizeof(*root_counts), PAGE_SIZE) /
				PAGE_SIZE);
}

pfn_t frame_limit(void)
{
	return pfn(limit);
}

struct frame frame_get(pfn_t p)
{
	u64 head, d;

	if (p.n >= limit)
		return (struct frame){.state = FRAME_ABSENT};
	head = READ_ONCE(descriptors[ALIGN_DOWN(p.n, BLOCK_PAGES)]);
	if (head & LEVEL_BIT) {
		u64 inside = state_of(head) == FRAME_PRIVATE ? p.n % BLOCK_PAGES : 0;

		return (struct frame){state_of(head), LEVEL_2M, owner_of(head),
				      arg_of(head) + inside};
	}
	d = READ_ONCE(descriptors[p.n]);
	return (struct frame){state_of(d), LEVEL_4K, owner_of(d), arg_of(d)};
}

/* The descriptor after `op`; false: refused. */
static bool apply(enum frame_op op, u64 *d, u16 owner, u64 arg)
{
	enum frame_state from = state_of(*d);
	const struct frame_cell *cell = &frame_cells[op][from];
	enum frame_state to = (enum frame_state)cell->to;

	switch (cell->condition) {
	case FRAME_ANY:
		break;
	case FRAME_UNPINNED:
		if (arg_of(*d) != 0)
			return false;
		break;
	case FRAME_PINNED:
		if (arg_of(*d) == 0)
			return false;
		break;
	case FRAME_OWNER:
		if (owner_of(*d) != owner)
			return false;
		break;
	default:
		return false;
	}

	switch (op) {
	case FRAME_OP_PIN:
		if (arg_of(*d) == FRAME_PINS_MAX)
			return false;
		*d += 1ul << ARG_SHIFT;
		return true;
	case FRAME_OP_UNPIN:
		*d -= 1ul << ARG_SHIFT;
		return true;
	case FRAME_OP_USE:
		return true;
	case FRAME_OP_HIDE:
	case FRAME_OP_REVEAL:
		if (arg_of(*d) != arg)
			return false;
		break;
	case FRAME_OP_GIVE:
		owner = (u16)arg;
		arg = 0;
		break;
	default:
		break;
	}
	switch (to) {
	case FRAME_ROOT:
	case FRAME_SEPTUM:
		owner = 0;
		arg = 0;
		break;
	case FRAME_POOL:
		arg = 0;
		break;
	default:
		break;
	}
	*d = pack(to, owner, arg) | (*d & LEVEL_BIT);
	return true;
}

/* The frame has a descriptor of its own. */
static bool is_single(pfn_t p)
{
	return p.n < limit && !(READ_ONCE(descriptors[ALIGN_DOWN(p.n, BLOCK_PAGES)]) & LEVEL_BIT);
}

bool frame_change(enum frame_op op, pfn_t p, u16 owner, u64 arg)
{
	u64 block = p.n / BLOCK_PAGES, d;
	enum frame_state from, to;
	bool done;

	if (!is_single(p))
		return false;
	d = lock(&descriptors[p.n]);
	from = state_of(d);
	done = apply(op, &d, owner, arg);
	to = state_of(d);
	if (root_sees(from) != root_sees(to))
		__atomic_fetch_add(&root_counts[block], root_sees(to) ? 1 : -1, __ATOMIC_RELAXED);
	unlock(&descriptors[p.n], d);
	return done;
}

bool frame_change_block(enum frame_op op, pfn_t head, u16 owner, u64 arg)
{
	bool done = false;
	u64 d;

	if (head.n >= limit || head.n % BLOCK_PAGES)
		return false;
	d = lock(&descriptors[head.n]);
	/* No state that the root sees has blocks: donating and reclaiming go by single frames. */
	if ((d & LEVEL_BIT) && op != FRAME_OP_RECLAIM)
		done = apply(op, &d, owner, arg);
	unlock(&descriptors[head.n], d);
	return done;
}

bool frame_take(enum frame_op op, pfn_t p, u16 pool, u16 owner, u64 arg)
{
	const struct frame_cell *cell = &frame_cells[op][FRAME_POOL];
	u64 *at = &descriptors[p.n], d;
	bool done;

	if (!is_single(p))
		return false;
	d = lock(at);
	done = d == pack(FRAME_POOL, pool, 0) && cell->condition == FRAME_ANY;
	unlock(at, done ? pack((enum frame_state)cell->to, owner, arg) : d);
	return done;
}

bool frame_give(enum frame_state state, pfn_t first, u64 count, u16 owner, u64 arg, u16 pool)
{
	const struct frame_cell *cell = &frame_cells[FRAME_OP_GIVE][state];
	const u64 given = pack((enum frame_state)cell->to, pool, 0);
	const u64 step = state == FRAME_PRIVATE ? 1ul << ARG_SHIFT : 0;
	u64 expected = pack(state, owner, arg), *at, *end;

	if (!is_single(first) || cell->condition != FRAME_OWNER)
		return false;
	at = &descriptors[first.n];
	for (end = at + count; at != end; at++) {
		u64 d = lock(at);

		if (d != expected) {
			unlock(at, d);
			return false;
		}
		unlock(at, given);
		expected += step;
	}
	return true;
}

/* Of one block. */
static void add(u64 first, u64 end, u64 root)
{
	u16 *count = &root_counts[first / BLOCK_PAGES];

	/* Nothing of it was added, nor anything else done to it, before. */
	if (*count == 0) {
		words_fill(&descriptors[first], root, end - first);
		*count = (u16)(end - first);
		return;
	}
	for (u64 p = first; p < end; p++) {
		*count = (u16)(*count + (descriptors[p] == 0));
		descriptors[p] = root;
	}
}

void frame_add(pfn_t first, u64 count)
{
	const u64 root = pack((enum frame_state)frame_cells[FRAME_OP_ADD][FRAME_ABSENT].to, 0, 0);
	u64 end = first.n + count;

	for (u64 p = first.n, next; p < end; p = next) {
		next = MIN(ALIGN_DOWN(p, BLOCK_PAGES) + BLOCK_PAGES, end);
		add(p, next, root);
	}
}

void frame_split(pfn_t head)
{
	u64 *first = &descriptors[head.n];
	u64 d = lock(first), step, one;

	ASSERT(head.n % BLOCK_PAGES == 0 && (d & LEVEL_BIT));
	step = state_of(d) == FRAME_PRIVATE ? 1ul << ARG_SHIFT : 0;
	one = d & ~LEVEL_BIT;
	for (u64 i = 1; i < 8; i++)
		first[i] = one + i * step;
	words_count(first + 8, one + 8 * step, step, BLOCK_PAGES - 8);
	unlock(first, one);
}

bool frame_join(pfn_t head)
{
	u64 *first = &descriptors[head.n];
	u64 d = lock(first), step;
	bool same = !(d & LEVEL_BIT) && head.n % BLOCK_PAGES == 0 &&
		    (state_of(d) == FRAME_POOL || state_of(d) == FRAME_PRIVATE);

	step = state_of(d) == FRAME_PRIVATE ? 1ul << ARG_SHIFT : 0;
	for (u64 i = 1; same && i < BLOCK_PAGES; i++)
		same = READ_ONCE(first[i]) == d + i * step;
	unlock(first, same ? d | LEVEL_BIT : d);
	return same;
}

void frame_join_free(pfn_t head)
{
	u64 *first = &descriptors[head.n];
	u64 d = lock(first);

	ASSERT(head.n % BLOCK_PAGES == 0 && state_of(d) == FRAME_POOL && !(d & LEVEL_BIT));
	unlock(first, d | LEVEL_BIT);
}

bool frame_use(pfn_t p)
{
	u64 d;

	/* A block's descriptor never speaks of frames that the root sees. */
	if (!is_single(p))
		return false;
	d = lock(&descriptors[p.n]);
	if (frame_cells[FRAME_OP_USE][state_of(d)].condition == FRAME_ANY)
		return true;
	unlock(&descriptors[p.n], d);
	return false;
}

void frame_unlock(pfn_t p)
{
	unlock(&descriptors[p.n], READ_ONCE(descriptors[p.n]) & ~LOCK);
}

unsigned frame_block_root(pfn_t p)
{
	return p.n < limit ? __atomic_load_n(&root_counts[p.n / BLOCK_PAGES], __ATOMIC_RELAXED) : 0;
}

const char *frame_state_name(enum frame_state state)
{
	static const char *const names[] = {
#define X(name, text) #name,
		FRAME_STATE_LIST(X)
#undef X
	};
	return state < FRAME_STATES ? names[state] : "?";
}
