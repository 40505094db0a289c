/* SPDX-License-Identifier: BSD-2-Clause */
#include "mm/root.h"

#include "mm/audit.h"
#include "mm/page.h"
#include "mm/pool_impl.h"

#define HIDDEN_MAX 64u

static struct spinlock lock = SPINLOCK(RANK_ROOT);
static struct nested nested;
static struct tlb tlb;
static u64 pages_end; /* one past the last page that the processor can address */

/* Claimed ranges beyond the descriptors, in pages. */
static struct {
	u64 first, end;
} hidden[HIDDEN_MAX];
static unsigned hidden_count;

/* Frames for the root's tables, linked through their first words. */
static pfn_t free_tables;
static u64 free_count;

/* One table maps 2 MiB by single pages, and only blocks that the root does not wholly own need one:
 * a share of an eighth, and some for devices. */
#define TABLES_MIN	    64ul
#define TABLES_BLOCKS_SHARE 8ul

/* Where arch/ has nothing to say: what is not RAM is a device. */
__attribute__((weak)) int memtype_of(hpa_t base, unsigned level)
{
	(void)base;
	(void)level;
	return MEMTYPE_UC;
}

void root_lock(void)
{
	spin_lock(&lock);
}

void root_unlock(void)
{
	spin_unlock(&lock);
}

struct nested *root_nested(void)
{
	return &nested;
}

struct tlb *root_tlb(void)
{
	return &tlb;
}

pfn_t root_table_take(void)
{
	pfn_t p = free_tables;

	ASSERT(free_count != 0);
	free_count--;
	free_tables = pfn(table_va(p)[0]);
	table_va(p)[0] = 0;
	return p;
}

static void table_push(pfn_t p)
{
	table_va(p)[0] = free_tables.n;
	free_tables = p;
	free_count++;
}

void root_table_give(pfn_t p)
{
	page_zero_at(table_va(p));
	table_push(p);
}

static void tables_setup(void)
{
	u64 count = TABLES_MIN + frame_limit().n / BLOCK_PAGES / TABLES_BLOCKS_SHARE;
	u64 first = own_pfn(own_alloc(count)).n;

	free_tables = PFN_NONE;
	free_count = 0;
	for (u64 p = first + count; p-- > first;) {
		table_map(pfn(p));
		table_push(pfn(p));
	}
}

void memory_setup(const struct memory_region *regions, unsigned count, unsigned phys_bits,
		  const struct nested_format *format)
{
	struct reserve reserve = {NULL, 1};
	u64 limit = 0;

	hidden_count = 0;
	pages_end = 1ul << (MIN(phys_bits, 48u) - PAGE_SHIFT);
	for (unsigned i = 0; i < count; i++) {
		if (regions[i].ram)
			limit = MAX(limit, (regions[i].base.n + regions[i].size) >> PAGE_SHIFT);
	}
	frame_setup(pfn(MIN(limit, pages_end)));
	table_area_setup(frame_limit());
	pool_setup();
	audit_setup();
	tables_setup();
	for (unsigned i = 0; i < count; i++) {
		u64 first = ALIGN_UP(regions[i].base.n, PAGE_SIZE) >> PAGE_SHIFT;
		u64 end = MIN((regions[i].base.n + regions[i].size) >> PAGE_SHIFT, pages_end);

		if (regions[i].ram && first < end)
			frame_add(pfn(first), end - first);
	}
	nested_init(&nested, format, NULL, 0, &reserve);
	tlb_init(&tlb);
}

static void hide_range(u64 first, u64 end)
{
	if (hidden_count == HIDDEN_MAX)
		boot_fail("Too many ranges of addresses belong to Septum (%u).", HIDDEN_MAX);
	hidden[hidden_count].first = first;
	hidden[hidden_count].end = end;
	hidden_count++;
}

void memory_claim(hpa_t base, u64 size)
{
	u64 first = base.n >> PAGE_SHIFT, end = ALIGN_UP(base.n + size, PAGE_SIZE) >> PAGE_SHIFT;
	u64 p;

	root_lock();
	for (p = first; p < MIN(end, frame_limit().n); p++) {
		if (!frame_change(FRAME_OP_CLAIM, pfn(p), 0, 0))
			panic("memory_claim: frame %lx is in use", p);
	}
	if (p < end)
		hide_range(p, end);
	if (nested_forget(&nested, first, end - first))
		tlb_invalidate(&tlb);
	root_unlock();
}

static bool is_hidden(u64 first, u64 end)
{
	for (unsigned i = 0; i < hidden_count; i++) {
		if (first < hidden[i].end && hidden[i].first < end)
			return true;
	}
	return false;
}

bool root_device(hpa_t base, u64 size)
{
	u64 first = base.n >> PAGE_SHIFT, end = first + (size >> PAGE_SHIFT);

	if (end > pages_end || is_hidden(first, end))
		return false;
	for (u64 p = first; p < MIN(end, frame_limit().n); p++) {
		if (frame_get(pfn(p)).state != FRAME_ABSENT)
			return false;
	}
	return true;
}

void root_forget(pfn_t first, u64 count)
{
	nested_forget(&nested, first.n, count);
}

/* The root owns all of the aligned block of `level`. */
static bool all_root(u64 p, unsigned level)
{
	u64 first = ALIGN_DOWN(p, LEVEL_PAGES(level));

	for (u64 at = first; at < first + LEVEL_PAGES(level); at += BLOCK_PAGES) {
		if (frame_block_root(pfn(at)) != BLOCK_PAGES)
			return false;
	}
	return true;
}

static void drop_nothing(void *context, const struct leaf *leaf, u64 count)
{
	(void)context;
	(void)leaf;
	(void)count;
}

/* Maps one leaf; drops the whole table when no frame is left for it. */
static void map(u64 page, unsigned level, unsigned memtype)
{
	u64 entry, needed = nested_place(&nested, page, level, &entry);
	struct reserve reserve = {NULL, needed};

	if (needed > free_count) {
		nested_hide(&nested, 0, pages_end, NULL, &reserve);
		tlb_invalidate(&tlb);
		nested_drop(&nested, 0, pages_end, drop_nothing, NULL);
		reserve.left = nested_place(&nested, page, level, &entry);
	}
	entry = nested_map(&nested, page, level, pfn(page), PROT_ALL, memtype, false, &reserve);
	if (entry != 0) {
		tlb_invalidate(&tlb);
		nested_release(&nested, entry, level);
	}
}

/* What the root may use of one 2 MiB block, page by page: the fault is one for all of them. */
static void map_pages(u64 page)
{
	u64 first = ALIGN_DOWN(page, BLOCK_PAGES);
	struct leaf leaf;

	for (u64 p = first; p < MIN(first + BLOCK_PAGES, pages_end); p++) {
		int memtype = MEMTYPE_WB;

		if (!frame_use(pfn(p))) {
			if (!root_device(pfn_to_hpa(pfn(p)), PAGE_SIZE))
				continue;
			memtype = memtype_of(pfn_to_hpa(pfn(p)), LEVEL_4K);
		} else {
			frame_unlock(pfn(p));
		}
		if (!nested_find(&nested, p, &leaf))
			map(p, LEVEL_4K, memtype < 0 ? MEMTYPE_UC : (unsigned)memtype);
	}
}

static bool fault(u64 p)
{
	u64 block = ALIGN_DOWN(p, BLOCK_PAGES);
	struct leaf leaf;

	if (p >= pages_end)
		return false;
	if (nested_find(&nested, p, &leaf))
		return true;
	if (nested_level_max >= LEVEL_1G && all_root(p, LEVEL_1G)) {
		map(ALIGN_DOWN(p, LEVEL_PAGES(LEVEL_1G)), LEVEL_1G, MEMTYPE_WB);
		return true;
	}
	if (nested_level_max >= LEVEL_2M && all_root(p, LEVEL_2M)) {
		map(block, LEVEL_2M, MEMTYPE_WB);
		return true;
	}
	if (nested_level_max >= LEVEL_2M &&
	    root_device(pfn_to_hpa(pfn(block)), BLOCK_PAGES * PAGE_SIZE)) {
		int memtype = memtype_of(pfn_to_hpa(pfn(block)), LEVEL_2M);

		if (memtype >= 0) {
			map(block, LEVEL_2M, (unsigned)memtype);
			return true;
		}
	}
	map_pages(p);
	return nested_find(&nested, p, &leaf);
}

bool root_fault(const struct access *access)
{
	bool mapped;

	root_lock();
	mapped = fault(access->raw_gpa >> PAGE_SHIFT);
	root_unlock();
	return mapped;
}

/* One page at most at a time. */
static u64 part_of(u64 address, u64 bytes)
{
	return MIN(bytes, PAGE_SIZE - address % PAGE_SIZE);
}

static enum status usable(u64 address, u64 bytes)
{
	if (address + bytes < address)
		return E_NOT_ROOT;
	for (u64 at = address; at < address + bytes; at += part_of(at, address + bytes - at)) {
		if (!frame_use(pfn(at >> PAGE_SHIFT)))
			return E_NOT_ROOT;
		frame_unlock(pfn(at >> PAGE_SHIFT));
	}
	return OK;
}

static enum status copy(u64 address, void *to, const void *from, u64 bytes)
{
	enum status status = usable(address, bytes);

	/* The lock of each frame is held while it is touched, so that it is the root's all the
	 * time. */
	for (u64 done = 0; status == OK && done < bytes;) {
		u64 at = address + done, part = part_of(at, bytes - done);
		pfn_t p = pfn(at >> PAGE_SHIFT);
		u8 *window;

		if (!frame_use(p))
			return E_NOT_ROOT;
		window = (u8 *)window_map(from != NULL ? WINDOW_COPY_TO : WINDOW_COPY_FROM, p) +
			 at % PAGE_SIZE;
		if (from != NULL)
			bytes_copy(window, (const u8 *)from + done, part);
		else
			bytes_copy((u8 *)to + done, window, part);
		frame_unlock(p);
		done += part;
	}
	return status;
}

enum status root_read(hpa_t from, void *to, u64 bytes)
{
	return copy(from.n, to, NULL, bytes);
}

enum status root_write(hpa_t to, const void *from, u64 bytes)
{
	return copy(to.n, NULL, from, bytes);
}

/* All of the range is the root's and pinned at most `pins` times. */
static enum status range_check(pfn_t first, u64 count, u64 pins)
{
	if (count == 0 || first.n + count < first.n)
		return E_RANGE;
	if (first.n + count > frame_limit().n)
		return E_NOT_ROOT;
	for (u64 p = first.n; p < first.n + count; p++) {
		struct frame frame = frame_get(pfn(p));

		if (frame.state != FRAME_ROOT)
			return E_NOT_ROOT;
		if (frame.arg > pins)
			return pins == 0 ? E_NOT_ROOT : E_LIMIT;
	}
	return OK;
}

static void change_all(enum frame_op op, pfn_t first, u64 count, u16 owner, gfn_t page)
{
	for (u64 i = 0; i < count; i++) {
		bool done = frame_change(op, pfn(first.n + i), owner, page.n + i);

		ASSERT(done);
	}
}

enum status root_pin(pfn_t first, u64 count)
{
	enum status status;

	root_lock();
	status = range_check(first, count, FRAME_PINS_MAX - 1);
	if (status == OK)
		change_all(FRAME_OP_PIN, first, count, 0, gfn(0));
	root_unlock();
	return status;
}

void root_unpin(pfn_t first, u64 count)
{
	root_lock();
	change_all(FRAME_OP_UNPIN, first, count, 0, gfn(0));
	root_unlock();
}

enum status root_offer(pfn_t first, u64 count, u16 owner, gfn_t page)
{
	enum status status;

	root_lock();
	status = range_check(first, count, 0);
	if (status == OK)
		change_all(FRAME_OP_OFFER, first, count, owner, page);
	root_unlock();
	return status;
}

void root_withdraw(pfn_t first, u64 count, u16 owner)
{
	root_lock();
	change_all(FRAME_OP_WITHDRAW, first, count, owner, gfn(0));
	root_unlock();
}
