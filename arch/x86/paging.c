/* SPDX-License-Identifier: BSD-2-Clause */
#include "arch/x86/paging.h"
#include "arch/x86/cpu.h"
#include "arch/x86/io.h"
#include "arch/x86/smp.h"
#include "kernel/boot_info.h"
#include "kernel/panic.h"
#include "kernel/print.h"
#include "kernel/spinlock.h"
#include "kernel/string.h"
#include "mm/page.h"

#define ENTRIES	     512
#define IMAGE_TABLES (IMAGE_MAX / (ENTRIES * PAGE_SIZE))
#define MSR_EFER     0xc0000080
#define EFER_NXE     BIT(11)
#define CR0_WP	     BIT(16)
#define CR4_PGE	     BIT(7)
#define CR4_UMIP     BIT(11)
#define CR4_SMEP     BIT(20)
#define CR4_SMAP     BIT(21)

typedef u64 table_t[ENTRIES];
#define TABLE static table_t __attribute__((aligned(4096)))

/* What must work before there is an allocator: image and windows. */
TABLE root_table;
TABLE image_pdpt, image_pd, image_pt[IMAGE_TABLES];
#define WINDOW_TABLES (CPU_MAX * WINDOW_COUNT / ENTRIES)
TABLE window_pdpt, window_pd, window_pt[WINDOW_TABLES];

_Static_assert(CPU_MAX *WINDOW_COUNT % ENTRIES == 0, "whole tables of windows");
/* Behind the windows, one 2 MiB mapping for each CPU, which holds while a block is zeroed. */
_Static_assert(WINDOW_TABLES + CPU_MAX <= ENTRIES, "all in one directory");

extern const char image_start[], text_end[], rodata_end[], image_end[];

/* Boot-time heap: frames are taken from the top of one free range of RAM downwards, addresses
 * in the OWN area upwards. */
static struct {
	u64 bottom, next, top; /* of the range of RAM */
	u64 va;		       /* next free address */
	bool sealed;
} own = {.va = OWN_VA};

u8 *table_area = (u8 *)TABLE_VA;
static u64 *table_entries;

static u64 *object_entries;
/* Under object_lock. A slot that has been given back stays used until all CPUs have flushed what
 * they may remember of it: that is done once, when no other is free. */
static struct spinlock object_lock = SPINLOCK(RANK_OBJECTS);
static u64 object_used[OBJECT_SLOTS / 64];
static u64 object_stale[OBJECT_SLOTS / 64];
static unsigned object_hint;

static u64 image_pa(const void *symbol)
{
	return (u64)symbol - IMAGE_VA + boot_info.image.n;
}

static unsigned index_at(u64 va, unsigned level)
{
	return (unsigned)(va >> (PAGE_SHIFT + 9 * level)) % ENTRIES;
}

static void map_image(u64 image)
{
	u64 pages = ((u64)image_end - (u64)image_start) / PAGE_SIZE;

	for (u64 i = 0; i < pages; i++) {
		u64 va = IMAGE_VA + i * PAGE_SIZE;
		u64 flags = PTE_DATA;

		if (va < (u64)text_end)
			flags = PTE_PRESENT | PTE_ACCESSED | PTE_GLOBAL;
		else if (va < (u64)rodata_end)
			flags = PTE_PRESENT | PTE_ACCESSED | PTE_GLOBAL | PTE_NX;
		image_pt[i / ENTRIES][i % ENTRIES] = (image + i * PAGE_SIZE) | flags;
	}
}

void paging_start(struct cpu *cpu, u64 image)
{
	const u64 link = PTE_PRESENT | PTE_WRITE | PTE_ACCESSED;

	map_image(image);
	for (unsigned i = 0; i < IMAGE_TABLES; i++)
		image_pd[i] = image_pa(image_pt[i]) | link;
	image_pdpt[index_at(IMAGE_VA, 2)] = image_pa(image_pd) | link;
	root_table[index_at(IMAGE_VA, 3)] = image_pa(image_pdpt) | link;

	for (unsigned i = 0; i < WINDOW_TABLES; i++)
		window_pd[i] = image_pa(window_pt[i]) | link;
	window_pdpt[0] = image_pa(window_pd) | link;
	root_table[index_at(WINDOW_VA, 3)] = image_pa(window_pdpt) | link;
	paging_windows(cpu);
	paging_enable();
}

void paging_enable(void)
{
	u64 cr4 = read_cr4();

	wrmsr(MSR_EFER, rdmsr(MSR_EFER) | EFER_NXE);
	write_cr3(image_pa(root_table));
	write_cr0(read_cr0() | CR0_WP);
	/* Global pages last, so that none of the boot tables' translations outlives them. */
	cr4 |= cpu_features.pge ? CR4_PGE : 0;
	cr4 |= cpu_features.smep ? CR4_SMEP : 0;
	cr4 |= cpu_features.smap ? CR4_SMAP : 0;
	cr4 |= cpu_features.umip ? CR4_UMIP : 0;
	write_cr4(cr4);
}

void paging_flush(void)
{
	u64 cr4 = read_cr4();

	/* Any change of PGE flushes everything; without it there are no global pages. */
	if ((cr4 & CR4_PGE) == 0) {
		write_cr3(read_cr3());
		return;
	}
	write_cr4(cr4 & ~CR4_PGE);
	write_cr4(cr4);
}

hpa_t paging_image_pa(const void *symbol)
{
	return hpa(image_pa(symbol));
}

void paging_windows(struct cpu *cpu)
{
	cpu->windows = (u8 *)(WINDOW_VA + (u64)cpu->id * WINDOW_COUNT * PAGE_SIZE);
	cpu->window_entries =
		&window_pt[cpu->id * WINDOW_COUNT / ENTRIES][cpu->id * WINDOW_COUNT % ENTRIES];
	for (unsigned i = 0; i < WINDOW_COUNT; i++)
		cpu->window_pfn[i] = ~0ul;
}

void *window_map(enum window_slot slot, pfn_t p)
{
	struct cpu *cpu = this_cpu();
	void *va = cpu->windows + (u64)slot * PAGE_SIZE;

	if (cpu->window_pfn[slot] != p.n) {
		cpu->window_pfn[slot] = p.n;
		WRITE_ONCE(cpu->window_entries[slot], (p.n << PAGE_SHIFT) | PTE_DATA);
		invlpg(va);
	}
	return va;
}

static void block_zero(pfn_t first)
{
	unsigned index = WINDOW_TABLES + this_cpu()->id;
	u64 *va = (u64 *)(WINDOW_VA + index * BLOCK_PAGES * PAGE_SIZE);

	WRITE_ONCE(window_pd[index], first.n << PAGE_SHIFT | PTE_DATA | PTE_LARGE);
	words_fill(va, 0, BLOCK_PAGES * PAGE_SIZE / sizeof(u64));
	WRITE_ONCE(window_pd[index], 0);
	invlpg(va);
}

void frames_zero(pfn_t first, u64 count)
{
	struct cpu *cpu = this_cpu();
	u64 *va = (u64 *)(cpu->windows + WINDOW_ZERO * PAGE_SIZE);
	u64 *entry = &cpu->window_entries[WINDOW_ZERO];
	u64 value = first.n << PAGE_SHIFT | PTE_DATA;

	if (count == BLOCK_PAGES) {
		block_zero(first);
		return;
	}
	for (u64 end = value + count * PAGE_SIZE; value != end; value += PAGE_SIZE) {
		WRITE_ONCE(*entry, value);
		invlpg(va);
		page_zero_at(va);
	}
	cpu->window_pfn[WINDOW_ZERO] = first.n + count - 1;
}

void physical_read(hpa_t from, void *to, size_t size)
{
	u8 *out = to;

	while (size != 0) {
		size_t offset = from.n % PAGE_SIZE;
		size_t part = MIN(size, PAGE_SIZE - offset);

		if (from.n >> cpu_features.physical_bits == 0)
			memcpy(out, (u8 *)window_map(WINDOW_FIRMWARE, hpa_to_pfn(from)) + offset,
			       part);
		else
			memset(out, 0, part);
		out += part;
		from.n += part;
		size -= part;
	}
}

void own_start(void)
{
	const struct range_set *free = &boot_info.memory[BOOT_RAM];
	u64 best = 0;

	/* The largest stretch of RAM that holds neither the image nor a module. */
	for (unsigned i = 0; i < free->count; i++) {
		u64 start = MAX(free->ranges[i].start, 0x100000ul);
		u64 end = free->ranges[i].end;

		while (start < end) {
			u64 next = end; /* start of the first obstacle at or after start */
			u64 after = end;

			if (boot_info.image.n + boot_info.image_size > start &&
			    boot_info.image.n < next) {
				next = boot_info.image.n;
				after = next + boot_info.image_size;
			}
			for (unsigned m = 0; m < boot_info.module_count; m++) {
				const struct boot_module *module = &boot_info.modules[m];
				u64 module_end =
					ALIGN_UP(module->start.n + module->size, PAGE_SIZE);

				if (module_end > start && module->start.n < next) {
					next = module->start.n;
					after = module_end;
				}
			}
			if (next > start && next - start >= best) {
				best = next - start;
				own.bottom = start;
				own.top = next;
			}
			start = after;
		}
	}
	own.next = own.top;
}

static u64 own_take(u64 pages)
{
	if (own.sealed)
		panic("own_alloc after start-up");
	if (pages > (own.next - own.bottom) / PAGE_SIZE)
		boot_fail("Septum needs %lu KiB more RAM than this machine has free; give it more "
			  "memory, or a smaller pool= or fewer modules.",
			  (pages * PAGE_SIZE - (own.next - own.bottom)) / 1024);
	own.next -= pages * PAGE_SIZE;
	return own.next;
}

static u64 *table_entry(u64 table, u64 va, unsigned level)
{
	u64 *entries = window_map(WINDOW_FIRMWARE, pfn(table >> PAGE_SHIFT));

	return &entries[index_at(va, level)];
}

/* The entry of `to` for `va`, with tables made on the way; valid until WINDOW_FIRMWARE moves. */
static u64 *entry_at(u64 va, unsigned to)
{
	u64 table = image_pa(root_table);

	for (unsigned level = 3; level > to; level--) {
		u64 entry = *table_entry(table, va, level);

		if ((entry & PTE_PRESENT) == 0) {
			u64 new = own_take(1);

			memset(window_map(WINDOW_FIRMWARE, pfn(new >> PAGE_SHIFT)), 0, PAGE_SIZE);
			entry = new | PTE_PRESENT | PTE_WRITE | PTE_ACCESSED;
			*table_entry(table, va, level) = entry;
		}
		table = entry & PTE_ADDRESS;
	}
	return table_entry(table, va, to);
}

static u64 *entry_for(u64 va)
{
	return entry_at(va, 0);
}

static void map_pages(u64 va, u64 pa, u64 pages, u64 flags)
{
	for (; pages != 0; pages--, va += PAGE_SIZE, pa += PAGE_SIZE)
		*entry_for(va) = pa | flags;
}

void *own_alloc(u64 pages)
{
	u64 va = own.va;
	u64 pa = own_take(pages);

	own.va += pages * PAGE_SIZE;
	map_pages(va, pa, pages, PTE_DATA);
	memset((void *)va, 0, pages * PAGE_SIZE);
	return (void *)va;
}

pfn_t own_pfn(const void *va)
{
	return pfn((*entry_for((u64)va) & PTE_ADDRESS) >> PAGE_SHIFT);
}

void own_seal(void)
{
	own.sealed = true;
	range_set_add(&boot_info.reserved, own.next, own.top);
	printk(LOG_INFO, "memory: Septum keeps %lu KiB for itself, %lu KiB of it its image",
	       range_set_total(&boot_info.reserved) / 1024, boot_info.image_size / 1024);
}

void *device_map(hpa_t start, u64 pages)
{
	u64 va = own.va;

	own.va += pages * PAGE_SIZE;
	map_pages(va, start.n, pages, PTE_DATA | PTE_UNCACHED);
	return (void *)va;
}

static u64 stack_page(u32 id, unsigned page)
{
	return STACK_VA + (id * STACK_CPU_PAGES + page) * PAGE_SIZE;
}

u64 stack_main_top(u32 id)
{
	return stack_page(id, 1 + STACK_MAIN_PAGES);
}

u64 stack_ist_top(u32 id, unsigned ist)
{
	return stack_page(id, STACK_IST_FIRST + ist * STACK_IST_STRIDE);
}

static void stack_map(u64 top, u64 pages)
{
	u64 pa = own_take(pages);

	map_pages(top - pages * PAGE_SIZE, pa, pages, PTE_DATA);
	memset((void *)(top - pages * PAGE_SIZE), 0, pages * PAGE_SIZE);
}

void stacks_map(u32 id)
{
	stack_map(stack_main_top(id), STACK_MAIN_PAGES);
	for (unsigned ist = 1; ist < IST_COUNT; ist++)
		stack_map(stack_ist_top(id, ist), STACK_IST_PAGES);
}

/* Page tables for `pages` pages from `va` on, side by side, so that an entry is found by index. */
static u64 *area_make(u64 va, u64 pages)
{
	u64 tables = (pages + ENTRIES - 1) / ENTRIES;
	u64 *entries = own_alloc(tables);
	u64 pa = own_pfn(entries).n << PAGE_SHIFT;

	for (u64 i = 0; i < tables; i++)
		*entry_at(va + PAGE_SIZE * ENTRIES * i, 1) =
			(pa + i * PAGE_SIZE) | PTE_PRESENT | PTE_WRITE | PTE_ACCESSED;
	return entries;
}

void table_area_setup(pfn_t end)
{
	if (end.n > (OWN_VA - TABLE_VA) / PAGE_SIZE)
		boot_fail("This machine has RAM beyond %lu GiB; limit it.",
			  (OWN_VA - TABLE_VA) >> 30);
	table_entries = area_make(TABLE_VA, end.n);
}

void table_map(pfn_t p)
{
	WRITE_ONCE(table_entries[p.n], p.n << PAGE_SHIFT | PTE_DATA);
}

void table_unmap(pfn_t p)
{
	WRITE_ONCE(table_entries[p.n], 0);
	invlpg(table_va(p));
}

void objects_start(void)
{
	object_entries = area_make(OBJECT_VA, OBJECT_SLOTS);
}

/* A free slot, now used; or OBJECT_SLOTS. */
static unsigned object_take_slot(void)
{
	for (unsigned n = 0; n < ARRAY_COUNT(object_used); n++) {
		unsigned word = (object_hint + n) % ARRAY_COUNT(object_used);
		unsigned slot;

		if (~object_used[word] == 0)
			continue;
		slot = word * 64 + (unsigned)__builtin_ctzl(~object_used[word]);
		object_used[word] |= BIT(slot % 64);
		object_hint = word;
		return slot;
	}
	return OBJECT_SLOTS;
}

static bool objects_reuse(void)
{
	u64 any = 0;

	for (unsigned word = 0; word < ARRAY_COUNT(object_stale); word++)
		any |= object_stale[word];
	if (any == 0)
		return false;
	cpus_flush();
	for (unsigned word = 0; word < ARRAY_COUNT(object_stale); word++) {
		object_used[word] &= ~object_stale[word];
		object_stale[word] = 0;
	}
	return true;
}

void *object_map(pfn_t p)
{
	unsigned slot;

	spin_lock(&object_lock);
	slot = object_take_slot();
	if (slot == OBJECT_SLOTS && objects_reuse())
		slot = object_take_slot();
	if (slot != OBJECT_SLOTS)
		WRITE_ONCE(object_entries[slot], (p.n << PAGE_SHIFT) | PTE_DATA);
	spin_unlock(&object_lock);
	return slot != OBJECT_SLOTS ? (void *)(OBJECT_VA + slot * PAGE_SIZE) : NULL;
}

static unsigned object_slot(const void *va)
{
	u64 slot = ((u64)va - OBJECT_VA) / PAGE_SIZE;

	ASSERT(slot < OBJECT_SLOTS &&
	       (object_used[slot / 64] & ~object_stale[slot / 64] & BIT(slot % 64)) != 0);
	return (unsigned)slot;
}

void object_unmap(void *va)
{
	unsigned slot = object_slot(va);

	spin_lock(&object_lock);
	WRITE_ONCE(object_entries[slot], 0);
	invlpg(va);
	object_stale[slot / 64] |= BIT(slot % 64);
	spin_unlock(&object_lock);
}

pfn_t object_pfn(const void *va)
{
	return pfn((object_entries[object_slot(va)] & PTE_ADDRESS) >> PAGE_SHIFT);
}
