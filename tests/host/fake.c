/* SPDX-License-Identifier: BSD-2-Clause */
#define _GNU_SOURCE
#include "tests/host/fake.h"

#include <sys/mman.h>
#include <unistd.h>

#include "kernel/panic.h"

#define RAM_BASE ((u8 *)0x200000000000ul) /* all frames, for fake_frame() and own_alloc() */

static int memory_fd = -1;
static u64 ram_pages, own_next; /* own_alloc takes from the top down */
static u8 *windows;
static u8 *table_places; /* what is no table is not mapped there */
u8 *table_area;
static u64 window_shows[WINDOW_COUNT];
static u64 random_state;

unsigned fake_stop_after;
u64 fake_device;
unsigned fake_objects, fake_object_limit;
bool fake_windows_direct;
int fake_memtype_large;
bool fake_stale_expected;
unsigned fake_kicks[FAKE_CPUS];
void (*fake_kick_hook)(unsigned cpu);
unsigned fake_stale_count;

/* ---- what Septum asks of arch/ and kernel/ */

void panic(const char *format, ...)
{
	va_list args;

	va_start(args, format);
	fprintf(stderr, "panic: ");
	vfprintf(stderr, format, args);
	fprintf(stderr, "\n");
	va_end(args);
	abort();
}

void boot_fail(const char *format, ...)
{
	(void)format;
	panic("boot_fail");
}

void *fake_frame(pfn_t p)
{
	assert_true(p.n < ram_pages);
	return RAM_BASE + p.n * PAGE_SIZE;
}

void *window_map(enum window_slot slot, pfn_t p)
{
	u8 *at = windows + (u64)slot * PAGE_SIZE;

	if (p.n >= ram_pages || slot >= WINDOW_COUNT)
		panic("window_map(%u, %lx)", slot, p.n);
	if (fake_windows_direct)
		return RAM_BASE + p.n * PAGE_SIZE;
	if (window_shows[slot] != p.n &&
	    mmap(at, PAGE_SIZE, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_FIXED, memory_fd,
		 (off_t)(p.n * PAGE_SIZE)) != at)
		panic("mmap of a window");
	window_shows[slot] = p.n;
	return at;
}

void frames_zero(pfn_t first, u64 count)
{
	if (count == 0 || first.n + count > ram_pages ||
	    first.n / 512 != (first.n + count - 1) / 512)
		panic("frames_zero(%lx, %lx)", first.n, count);
	memset(RAM_BASE + first.n * PAGE_SIZE, 0, count * PAGE_SIZE);
}

void table_area_setup(pfn_t end)
{
	table_places = mmap(NULL, end.n * PAGE_SIZE, PROT_NONE,
			    MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	table_area = fake_windows_direct ? RAM_BASE : table_places;
}

void table_map(pfn_t p)
{
	u8 *at = table_places + p.n * PAGE_SIZE;

	if (p.n >= ram_pages || mmap(at, PAGE_SIZE, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_FIXED,
				     memory_fd, (off_t)(p.n * PAGE_SIZE)) != at)
		panic("table_map(%lx)", p.n);
}

void table_unmap(pfn_t p)
{
	u8 *at = table_places + p.n * PAGE_SIZE;

	if (mmap(at, PAGE_SIZE, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED | MAP_NORESERVE,
		 -1, 0) != at)
		panic("table_unmap(%lx)", p.n);
}

void *object_map(pfn_t p)
{
	if (fake_objects >= fake_object_limit)
		return NULL;
	fake_objects++;
	return fake_frame(p);
}

void object_unmap(void *va)
{
	assert_true((u64)va % PAGE_SIZE == 0 && object_pfn(va).n < ram_pages && fake_objects > 0);
	fake_objects--;
}

pfn_t object_pfn(const void *va)
{
	return pfn((u64)((const u8 *)va - RAM_BASE) / PAGE_SIZE);
}

void *own_alloc(u64 pages)
{
	own_next -= pages;
	return RAM_BASE + own_next * PAGE_SIZE;
}

pfn_t own_pfn(const void *va)
{
	return object_pfn(va);
}

bool memory_must_stop(void)
{
	return fake_stop_after != 0 && --fake_stop_after == 0;
}

int memtype_of(hpa_t base, unsigned level)
{
	(void)base;
	return level > LEVEL_4K ? fake_memtype_large : 0;
}

/* ---- processors */

static struct {
	const struct nested *nested; /* in guest mode with this one, or NULL */
	bool kicked;
} guests[FAKE_CPUS];

void cpu_kick(unsigned cpu)
{
	assert_true(cpu < FAKE_CPUS);
	if (fake_kick_hook != NULL) {
		fake_kick_hook(cpu);
		return;
	}
	fake_kicks[cpu]++;
	guests[cpu].kicked = true;
}

void cpu_await(unsigned awaited, u64 *since)
{
	assert_true(awaited < FAKE_CPUS);
	++*since;
	cpu_relax();
}

void cpu_relax(void)
{
	bool any = false;

	if (fake_kick_hook != NULL)
		return;
	for (unsigned cpu = 0; cpu < FAKE_CPUS; cpu++) {
		any |= guests[cpu].kicked;
		if (guests[cpu].kicked)
			fake_leave(cpu);
	}
	if (!any)
		fail_msg("waiting for a CPU that nobody has kicked");
}

struct translation {
	u64 root;  /* frame of the nested root */
	u64 page;  /* first page it speaks for */
	u64 entry; /* 0: free */
	unsigned level;
};

#define CACHED 1024u
static struct translation leaves[FAKE_CPUS][CACHED];
static struct translation tables[FAKE_CPUS][CACHED];

static u64 span(unsigned level)
{
	return 1ul << (9 * level);
}

static struct translation *place(struct translation cache[CACHED], u64 root, u64 page,
				 unsigned level)
{
	u64 key = (page >> (9 * level)) * 0x9e3779b97f4a7c15ul + root * 31 + level;

	return &cache[(key >> 20) % CACHED];
}

static const struct translation *cached(struct translation cache[CACHED], u64 root, u64 page,
					unsigned level)
{
	const struct translation *t = place(cache, root, page, level);

	return t->entry != 0 && t->root == root && t->level == level &&
			       t->page == ALIGN_DOWN(page, span(level))
		       ? t
		       : NULL;
}

static void keep(struct translation cache[CACHED], u64 root, u64 page, unsigned level, u64 entry)
{
	*place(cache, root, page, level) =
		(struct translation){root, ALIGN_DOWN(page, span(level)), entry, level};
}

static void flush(unsigned cpu, u64 root)
{
	for (unsigned i = 0; i < CACHED; i++) {
		if (leaves[cpu][i].root == root)
			leaves[cpu][i].entry = 0;
		if (tables[cpu][i].root == root)
			tables[cpu][i].entry = 0;
	}
}

static bool is_ept(const struct nested *nested)
{
	return nested->format == &nested_format_ept;
}

static bool permits(bool ept, u64 entry, enum fake_kind kind)
{
	if (ept)
		return entry >> kind & 1; /* R, W, X */
	if (!(entry & 1) || !(entry & 4))
		return false;
	return kind == FAKE_READ || (kind == FAKE_WRITE ? entry >> 1 & 1 : !(entry >> 63));
}

static bool present(bool ept, u64 entry)
{
	return ept ? entry & 7 : entry & 1;
}

/* Walks from `entry` of `level` + 1 (a table pointer) down. Keeps what it passes when `cpu` is one.
 */
static u64 walk(int cpu, const struct nested *nested, u64 page, unsigned level, u64 table,
		unsigned *leaf_level, enum fake_kind kind)
{
	for (;;) {
		u64 p = (table & NESTED_ADDRESS) / PAGE_SIZE, entry;

		if (p >= ram_pages)
			return 0;
		entry = ((const u64 *)(RAM_BASE + p * PAGE_SIZE))[page >> (9 * level) & 511];
		if (!present(is_ept(nested), entry) || !permits(is_ept(nested), entry, kind))
			return 0;
		if (level == 0 || (entry & BIT(7))) {
			*leaf_level = level;
			return entry;
		}
		if (cpu >= 0)
			keep(tables[cpu], nested->root.n, page, level, entry);
		table = entry;
		level--;
	}
}

static u64 true_walk(const struct nested *nested, u64 page, unsigned *level, enum fake_kind kind)
{
	return walk(-1, nested, page, NESTED_LEVELS - 1, nested->root.n * PAGE_SIZE, level, kind);
}

static u64 frame_at(u64 entry, unsigned level, u64 page)
{
	return (entry & NESTED_ADDRESS) / PAGE_SIZE + (page & (span(level) - 1));
}

static u64 cpu_walk(unsigned cpu, const struct nested *nested, u64 page, unsigned *level,
		    enum fake_kind kind)
{
	u64 root = nested->root.n;

	for (unsigned l = 0; l < 3; l++) {
		const struct translation *t = cached(leaves[cpu], root, page, l);

		if (t != NULL && permits(is_ept(nested), t->entry, kind)) {
			*level = l;
			return t->entry;
		}
	}
	for (unsigned l = 1; l < NESTED_LEVELS; l++) {
		const struct translation *t = cached(tables[cpu], root, page, l);

		if (t != NULL)
			return walk((int)cpu, nested, page, l - 1, t->entry, level, kind);
	}
	return walk((int)cpu, nested, page, NESTED_LEVELS - 1, root * PAGE_SIZE, level, kind);
}

void fake_enter(unsigned cpu, const struct nested *nested, struct tlb *tlb)
{
	assert_null(guests[cpu].nested);
	guests[cpu].nested = nested;
	guests[cpu].kicked = false;
	if (tlb_enter(tlb, cpu))
		flush(cpu, nested->root.n);
}

void fake_leave(unsigned cpu)
{
	tlb_leave(cpu);
	guests[cpu].nested = NULL;
	guests[cpu].kicked = false;
}

bool fake_in_guest(unsigned cpu)
{
	return guests[cpu].nested != NULL;
}

u64 *fake_translate(unsigned cpu, const struct nested *nested, struct tlb *tlb, u64 raw_gpa,
		    enum fake_kind kind)
{
	u64 *at;

	fake_enter(cpu, nested, tlb);
	at = fake_inside(cpu, raw_gpa, kind);
	fake_leave(cpu);
	return at;
}

u64 *fake_inside(unsigned cpu, u64 raw_gpa, enum fake_kind kind)
{
	const struct nested *nested = guests[cpu].nested;
	u64 page = raw_gpa >> PAGE_SHIFT, entry, real;
	unsigned level = 0, real_level = 0;

	if (nested == NULL)
		return NULL;
	entry = cpu_walk(cpu, nested, page, &level, kind);
	real = true_walk(nested, page, &real_level, kind);
	if (entry != 0 &&
	    (real == 0 || frame_at(entry, level, page) != frame_at(real, real_level, page))) {
		fake_stale_count++;
		if (!fake_stale_expected)
			fail_msg("stale translation of page %lx: %lx, the table says %lx", page,
				 entry, real);
		return NULL;
	}
	if (entry == 0)
		return NULL;
	keep(leaves[cpu], nested->root.n, page, level, entry);
	if (frame_at(entry, level, page) >= ram_pages)
		return &fake_device;
	return (u64 *)((u8 *)fake_frame(pfn(frame_at(entry, level, page))) + raw_gpa % PAGE_SIZE);
}

static struct access access_of(u64 raw_gpa, enum fake_kind kind)
{
	return (struct access){
		.raw_gpa = raw_gpa, .write = kind == FAKE_WRITE, .exec = kind == FAKE_EXEC};
}

u64 *fake_access(unsigned cpu, struct memory *mem, u64 raw_gpa, enum fake_kind kind,
		 enum fault_outcome *outcome)
{
	const struct access access = access_of(raw_gpa, kind);

	for (unsigned i = 0; i < 3; i++) {
		u64 *at = fake_translate(cpu, &mem->nested, &mem->tlb, raw_gpa, kind);

		*outcome = FAULT_RESOLVED;
		if (at != NULL)
			return at;
		*outcome = memory_fault(mem, &access).outcome;
		if (*outcome != FAULT_RESOLVED)
			return NULL;
	}
	fake_stale_count++;
	if (fake_stale_expected)
		return NULL;
	fail_msg("a resolved fault comes back: raw gpa %lx", raw_gpa);
	return NULL;
}

u64 *fake_root_access(unsigned cpu, u64 address, enum fake_kind kind)
{
	const struct access access = access_of(address, kind);

	for (unsigned i = 0; i < 3; i++) {
		u64 *at = fake_translate(cpu, root_nested(), root_tlb(), address, kind);

		if (at != NULL)
			return at;
		if (!root_fault(&access))
			return NULL;
	}
	fake_stale_count++;
	if (!fake_stale_expected)
		fail_msg("a fault of the root comes back: %lx", address);
	return NULL;
}

/* ---- start, stop */

void fake_start(u64 pages, const struct nested_format *format)
{
	const struct memory_region region = {hpa(0), pages * PAGE_SIZE, true};

	memory_fd = memfd_create("ram", 0);
	assert_true(memory_fd >= 0 && ftruncate(memory_fd, (off_t)(pages * PAGE_SIZE)) == 0);
	assert_ptr_equal(mmap(RAM_BASE, pages * PAGE_SIZE, PROT_READ | PROT_WRITE,
			      MAP_SHARED | MAP_FIXED | MAP_NORESERVE, memory_fd, 0),
			 RAM_BASE);
	windows =
		mmap(NULL, WINDOW_COUNT * PAGE_SIZE, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	memset(window_shows, 0xff, sizeof(window_shows));
	memset(leaves, 0, sizeof(leaves));
	memset(tables, 0, sizeof(tables));
	memset(guests, 0, sizeof(guests));
	memset(tlb_cpus, 0, sizeof(tlb_cpus));
	memset(fake_kicks, 0, sizeof(fake_kicks));
	ram_pages = own_next = pages;
	random_state = 88172645463325252ul;
	fake_stop_after = 0;
	fake_objects = 0;
	fake_object_limit = ~0u;
	fake_windows_direct = false;
	fake_stale_expected = false;
	fake_stale_count = 0;
	audit_zero_every = 1;
	nested_level_max = LEVEL_1G;
	memset(memories, 0, sizeof(memories));
	memory_setup(&region, 1, 40, format);
	memory_claim(hpa(own_next * PAGE_SIZE), (pages - own_next) * PAGE_SIZE);
}

void fake_stop(void)
{
	munmap(RAM_BASE, ram_pages * PAGE_SIZE);
	munmap(windows, WINDOW_COUNT * PAGE_SIZE);
	munmap(table_places, ALIGN_UP(ram_pages, 512) * PAGE_SIZE);
	close(memory_fd);
}

u64 fake_root_end(void)
{
	return own_next;
}

void fake_audit(void)
{
	struct audit_report report;

	if (audit_run(&report) != AUDIT_CLEAN)
		fail_msg("audit: %s (owner %u, pfn %lx, page %lx)", report.text, report.owner,
			 report.pfn.n, report.page);
}

u64 fake_random(void)
{
	random_state ^= random_state << 13;
	random_state ^= random_state >> 7;
	random_state ^= random_state << 17;
	return random_state;
}

u64 fake_below(u64 end)
{
	return (fake_random() >> 11) % end;
}
