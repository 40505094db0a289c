/* SPDX-License-Identifier: BSD-2-Clause */
#include "kernel/root_image.h"
#include "arch/x86/acpi.h"
#include "arch/x86/cpu.h"
#include "arch/x86/io.h"
#include "kernel/boot_info.h"
#include "kernel/cmdline.h"
#include "kernel/elf.h"
#include "kernel/exits.h"
#include "kernel/options.h"
#include "kernel/panic.h"
#include "kernel/print.h"
#include "kernel/string.h"
#include "kernel/vendor.h"
#include "kernel/vm.h"
#include "mm/memory.h"
#include "mm/pool.h"

#define BLOCK	    (BLOCK_PAGES * PAGE_SIZE)
#define GIB	    (1ul << 30)
#define LOWEST	    (16ul << 20)
#define STACK_PAGES 16ul

/* Page table entries (SDM Vol. 3, 4.5): present, writable, accessed, dirty; PS. */
#define ENTRY_TABLE 0x23ul
#define ENTRY_LEAF  0xe3ul

static struct range_set free_memory; /* free root memory */
static struct range_set used_memory; /* the program and what belongs to it, modules */
static struct range_set pool_memory;
static struct septum_boot_info info;

/* Everything below is a part of [base, base + size). */
struct layout {
	u64 base;
	u64 image, image_pages;
	u64 tables, table_pages;
	u64 info;
	u64 stack; /* its end */
	u64 end;
	u64 mapped; /* bytes, from 0 */
};

static void sets_start(void)
{
	free_memory = boot_info.memory[BOOT_RAM];
	for (unsigned i = 0; i < boot_info.reserved.count; i++) {
		const struct range *range = &boot_info.reserved.ranges[i];

		if (!range_set_remove(&free_memory, range->start, range->end))
			boot_fail("The memory map of this machine has too many pieces.");
	}
	/* What lies below 1 MiB is the firmware's to scribble on. */
	range_set_remove(&free_memory, 0, 0x1000);
	for (unsigned i = 0; i < boot_info.module_count; i++) {
		u64 start = boot_info.modules[i].start.n;
		u64 end = ALIGN_UP(start + boot_info.modules[i].size, PAGE_SIZE);

		if (!range_set_remove(&free_memory, start, end) ||
		    !range_set_add(&used_memory, start, end))
			boot_fail("The memory map of this machine has too many pieces.");
	}
}

/* The lowest free, 2 MiB-aligned place above 16 MiB. */
static u64 place(u64 bytes)
{
	for (unsigned i = 0; i < free_memory.count; i++) {
		u64 start = ALIGN_UP(MAX(free_memory.ranges[i].start, LOWEST), BLOCK);

		if (start < free_memory.ranges[i].end && free_memory.ranges[i].end - start >= bytes)
			return start;
	}
	boot_fail("The root partition needs %lu KiB of free memory above 16 MiB in one piece, and "
		  "there is none; give the machine more memory.",
		  bytes / 1024);
}

/* One table of level 4, then those of level 3, then those of level 2 unless leaves of 1 GiB do. */
static u64 level3_count(const struct layout *l)
{
	return ALIGN_UP(l->mapped, 512 * GIB) / (512 * GIB);
}

static void layout_make(struct layout *l, u64 image_bytes)
{
	const struct range_set *ram = &boot_info.memory[BOOT_RAM];
	u64 top = ram->count == 0 ? 0 : ram->ranges[ram->count - 1].end;

	l->mapped = ALIGN_UP(MAX(top, 4 * GIB), GIB);
	l->image_pages = ALIGN_UP(image_bytes, PAGE_SIZE) / PAGE_SIZE;
	l->table_pages = 1 + level3_count(l) + (cpu_features.page_1g ? 0 : l->mapped / GIB);
	l->end = (l->image_pages + l->table_pages + STACK_PAGES) * PAGE_SIZE +
		 ALIGN_UP(sizeof(info), PAGE_SIZE);
	l->base = place(l->end);
	l->image = l->base;
	l->tables = l->image + l->image_pages * PAGE_SIZE;
	l->info = l->tables + l->table_pages * PAGE_SIZE;
	l->stack = l->base + l->end;
	l->end = l->stack;
	if (!range_set_remove(&free_memory, l->base, l->end) ||
	    !range_set_add(&used_memory, l->base, l->end))
		boot_fail("The memory map of this machine has too many pieces.");
}

static void put(u64 to, const void *from, u64 bytes)
{
	if (root_write(hpa(to), from, bytes) != OK)
		panic("root memory at %lx cannot be written", to);
}

static void tables_write(const struct layout *l)
{
	u64 level3 = l->tables + PAGE_SIZE;
	u64 level2 = level3 + level3_count(l) * PAGE_SIZE;

	for (u64 n = 0; n < level3_count(l); n++) {
		u64 entry = (level3 + n * PAGE_SIZE) | ENTRY_TABLE;

		put(l->tables + n * 8, &entry, 8);
	}
	for (u64 n = 0; n < l->mapped / GIB; n++) {
		u64 entry = cpu_features.page_1g ? (n * GIB | ENTRY_LEAF)
						 : ((level2 + n * PAGE_SIZE) | ENTRY_TABLE);

		put(level3 + n * 8, &entry, 8);
	}
	for (u64 n = 0; !cpu_features.page_1g && n < l->mapped / BLOCK; n++) {
		u64 entry = n * BLOCK | ENTRY_LEAF;

		put(level2 + n * 8, &entry, 8);
	}
}

/* ---- The pool ---- */

/* From the top of memory down, in pieces that pool_donate() takes. */
static void pool_fill(struct pool *pool, u64 bytes)
{
	const u64 piece = 64 * BLOCK;
	u64 left = ALIGN_UP(bytes, BLOCK);

	while (left > 0) {
		u64 start = 0, end = 0;

		for (unsigned i = free_memory.count; i-- > 0 && start == end;) {
			u64 low = ALIGN_UP(MAX(free_memory.ranges[i].start, LOWEST), BLOCK);

			end = ALIGN_DOWN(free_memory.ranges[i].end, BLOCK);
			if (low >= end)
				start = end;
			else
				start = end - MIN(MIN(piece, left), end - low);
		}
		if (start == end || !range_set_remove(&free_memory, start, end))
			boot_fail("pool=: %lu MiB more than there is free memory; reserve less or "
				  "give the machine more memory.",
				  left >> 20);
		if (pool_donate(pool, hpa_to_pfn(hpa(start)), (end - start) / PAGE_SIZE) != OK)
			panic("memory at %lx cannot be given to a pool", start);
		range_set_add(&pool_memory, start, end);
		left -= end - start;
	}
}

static void pool_start(void)
{
	u32 id = 0;

	if (options.pool_size == 0)
		return;
	if (pool_create(&id) != OK)
		panic("there is no pool at start-up");
	pool_fill(pool_by_id(id), options.pool_size);
	info.pool = id;
}

/* ---- Boot information ---- */

static void regions_add(const struct range_set *set, u32 type)
{
	for (unsigned i = 0; i < set->count; i++) {
		if (info.region_count == SEPTUM_BOOT_REGIONS) {
			printk(LOG_WARN, "memory: more regions than the root can be told of");
			return;
		}
		info.regions[info.region_count++] = (struct septum_boot_region){
			.base = set->ranges[i].start,
			.size = set->ranges[i].end - set->ranges[i].start,
			.type = type,
		};
	}
}

static void regions_sort(void)
{
	for (u32 n = 1; n < info.region_count; n++) {
		const struct septum_boot_region region = info.regions[n];
		u32 at = n;

		for (; at > 0 && info.regions[at - 1].base > region.base; at--)
			info.regions[at] = info.regions[at - 1];
		info.regions[at] = region;
	}
}

static void text_append(char *to, size_t size, const char *text)
{
	size_t used = strlen(to);

	snprintf(to + used, size - used, "%s", text);
}

static void word_append(const char *word)
{
	text_append(info.args, sizeof(info.args), word);
	text_append(info.args, sizeof(info.args), " ");
}

/* What Septum passes on of its own options, then what follows `--`, then the module's own. */
static void args_make(const struct boot_module *program)
{
	text_append(info.args, sizeof(info.args), "policy=");
	word_append(options.policy_name);
	if (options.emulator_exit)
		word_append("emulator-exit");
	word_append(cmdline_rest(boot_info.cmdline));
	if (program != NULL)
		word_append(program->cmdline + strlen("root"));
}

static void info_make(const struct boot_module *program)
{
	info.magic = SEPTUM_BOOT_MAGIC;
	info.version = SEPTUM_ABI_VERSION;
	info.size = sizeof(info);
	info.vendor = vendor->number;
	info.rsdp = acpi_info.rsdp.n;
	args_make(program);

	for (unsigned i = 0; i < boot_info.module_count; i++) {
		const struct boot_module *module = &boot_info.modules[i];
		struct septum_boot_module *to = &info.modules[info.module_count];

		if (module == program)
			continue;
		to->base = module->start.n;
		to->size = module->size;
		text_append(to->args, sizeof(to->args), module->cmdline);
		info.module_count++;
	}

	regions_add(&free_memory, 1);
	regions_add(&used_memory, 6);
	regions_add(&boot_info.reserved, BOOT_RESERVED);
	regions_add(&pool_memory, BOOT_RESERVED);
	for (u32 type = BOOT_RESERVED; type < BOOT_MEMORY_KINDS; type++)
		regions_add(&boot_info.memory[type], type);
	regions_sort();
}

/* ---- Start ---- */

static const struct boot_module *program_module(void)
{
	for (unsigned i = 0; i < boot_info.module_count; i++) {
		const char *text = boot_info.modules[i].cmdline;

		if (strncmp(text, "root", 4) == 0 && (text[4] == '\0' || text[4] == ' '))
			return &boot_info.modules[i];
	}
	return NULL;
}

void root_start(void)
{
	extern const u8 manager_image[], manager_image_end[];
	static struct elf elf;
	static struct layout layout;
	const struct boot_module *module = program_module();
	const char *problem;
	struct vcpu *v;

	elf.size = module != NULL ? module->size : (u64)manager_image_end - (u64)manager_image;
	elf.bytes = module != NULL ? NULL : manager_image;
	elf.module = module != NULL ? module->start : hpa(0);
	problem = elf_open(&elf);
	if (problem != NULL)
		boot_fail("The root partition's program%s: %s.",
			  module != NULL ? " (module `root`)" : "", problem);

	sets_start();
	layout_make(&layout, elf.span);
	problem = elf_load(&elf, layout.image);
	if (problem != NULL)
		boot_fail("The root partition's program%s: %s.",
			  module != NULL ? " (module `root`)" : "", problem);
	tables_write(&layout);
	pool_start();
	info_make(module);
	put(layout.info, &info, sizeof(info));

	v = vm_create_root(layout.image + elf.entry, layout.stack - 8, layout.info, layout.tables);
	printk(LOG_INFO, "root: starts at %lx, %lu KiB; %lu MiB of memory are free%s",
	       layout.image + elf.entry, (layout.end - layout.base) / 1024,
	       range_set_total(&free_memory) >> 20, module != NULL ? "; program: a module" : "");
	printk(LOG_INFO, "boot: %lu ticks of the TSC", rdtsc() - boot_tsc);
	root_run(v);
}
