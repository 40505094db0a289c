/* SPDX-License-Identifier: BSD-2-Clause */
/* A Linux kernel by the 64-bit boot protocol (Linux, Documentation/arch/x86/boot.rst), entered
 * through the shim (guests/linux/shim.h).
 *
 * The guest's memory, from the bottom: what the shim and the kernel need at their start, below
 * 640 KiB; the kernel at the address it prefers; the initrd; the ACPI tables, in the last 64 KiB.
 * All of it is launched as private memory. The area from 640 KiB to 1 MiB is no RAM in the memory
 * map, but is there, and zero but for an entry that resets: Linux looks for firmware tables in it.
 */
#include "guests/manager/linux.h"
#include "guests/lib/print.h"
#include "guests/lib/string.h"
#include "guests/linux/shim.h"
#include "guests/root/machine.h"

#define BOOT_PARAMS    0x3000ul
#define CMDLINE	       0x4000ul
#define CC_PAGE	       0x5000ul /* SNP: where the two following are, for the kernel */
#define CPUID_PAGE     0x6000ul
#define SECRETS_PAGE   0x7000ul
#define FIRMWARE_PAGE  0xff000ul
#define FIRMWARE_ENTRY 0xff0ul
#define LOW_BYTES      (SHIM_TABLES + SHIM_TABLE_PAGES * PAGE_SIZE)
#define LOW_END	       0x9f000ul
#define HIGH_START     0x100000ul
#define LARGE_PAGES    2048ul /* 4 GiB */
#define CMDLINE_BYTES  2048ul

/* x2APIC from the start: else Linux would access the xAPIC's page. */
#define APIC_BASE_X2APIC 0xfee00c00ul
#define APIC_BASE_FIRST	 0x100ul /* of vCPU 0 */

/* Offsets in the image's header and in boot_params alike. */
#define H_START		0x1f1u
#define H_SECTORS	0x1f1u
#define H_JUMP_LENGTH	0x201u
#define H_MAGIC		0x202u
#define H_VERSION	0x206u
#define H_LOADER	0x210u
#define H_RAMDISK	0x218u
#define H_RAMDISK_SIZE	0x21cu
#define H_CMDLINE	0x228u
#define H_INITRD_MAX	0x22cu
#define H_XLOADFLAGS	0x236u
#define H_CMDLINE_MAX	0x238u
#define H_PREFERRED	0x258u
#define H_INIT_SIZE	0x260u
#define H_END		0x268u
#define P_ACPI_RSDP	0x070u
#define P_E820_COUNT	0x1e8u
#define P_E820		0x2d0u
#define P_SETUP_DATA	0x250u
#define HEADER_MAGIC	0x53726448u /* "HdrS" */
#define VERSION_NEEDED	0x020cu	    /* xloadflags */
#define XLF_KERNEL_64	0x0001u
#define LOADER_UNKNOWN	0xffu
#define ENTRY_64	0x200ul
#define E820_RAM	1u
#define E820_ACPI	3u
#define BYTES_IN_SECTOR 512ul
#define DEFAULT_SECTORS 4ul

extern const u8 shim_image[];
extern const u8 shim_image_end[];

/* What Linux jumps to when it resets the machine by its firmware, in real mode: mov $1, %al;
 * mov $0x602, %dx; out %al, %dx; hlt; jmp to the hlt. */
static const u8 firmware_code[] = {
	0xb0, RESET_VALUE, 0xba, PORT_RESET & 0xff, PORT_RESET >> 8, 0xee, 0xf4, 0xeb, 0xfd};

/* A part of the launch image: `bytes` of data, or without data a page of a special kind. */
struct piece {
	u64 at;
	const void *data;
	u64 bytes;
	enum septum_sev_page page;
};

struct plan {
	struct vm *vm;
	struct piece kernel; /* the protected-mode part of the file */
	u64 kernel_memory;
	struct piece initrd;
	struct piece acpi;
};

static u64 get(const u8 *from, unsigned offset, unsigned bytes)
{
	u64 value = 0;

	memcpy(&value, from + offset, bytes);
	return value;
}

static void put(u8 *to, unsigned offset, u64 value, unsigned bytes)
{
	memcpy(to + offset, &value, bytes);
}

static u64 page_up(u64 bytes)
{
	return (bytes + PAGE_SIZE - 1) & ~(PAGE_SIZE - 1);
}

static const char *kernel_read(struct plan *p, const struct image *image)
{
	const u8 *k = image->data;
	u64 sectors;
	u64 start;

	if (image->size < H_END + BYTES_IN_SECTOR || get(k, H_MAGIC, 4) != HEADER_MAGIC)
		return "it is no Linux kernel (bzImage)";
	if (get(k, H_VERSION, 2) < VERSION_NEEDED || !(get(k, H_XLOADFLAGS, 2) & XLF_KERNEL_64))
		return "the kernel has no 64-bit entry";
	sectors = k[H_SECTORS] ? k[H_SECTORS] : DEFAULT_SECTORS;
	start = (sectors + 1) * BYTES_IN_SECTOR;
	if (start >= image->size)
		return "the kernel is cut short";
	p->kernel = (struct piece){get(k, H_PREFERRED, 8), k + start, image->size - start, 0};
	p->kernel_memory = get(k, H_INIT_SIZE, 4);
	if (p->kernel_memory < p->kernel.bytes)
		p->kernel_memory = p->kernel.bytes;
	if (p->kernel.at < HIGH_START || p->kernel.at % LARGE_SIZE)
		return "the kernel prefers an address that cannot be";
	return NULL;
}

static const char *places_find(struct plan *p, const struct image *image)
{
	u64 highest = get(image->data, H_INITRD_MAX, 4);
	u64 end;

	for (u32 i = 0; i < image->module_count; i++) {
		if (image->modules[i].kind != MODULE_DATA)
			continue;
		if (p->initrd.bytes)
			return "it has two initrds";
		p->initrd.data = image->modules[i].data;
		p->initrd.bytes = image->modules[i].size;
	}
	p->acpi.at = p->vm->ram_size - ACPI_BYTES;
	p->acpi.bytes = ACPI_BYTES;
	end = p->acpi.at < highest ? p->acpi.at : highest & ~(PAGE_SIZE - 1);
	if (p->vm->ram_size < HIGH_START + ACPI_BYTES || p->initrd.bytes > end)
		return "the guest's memory is too small";
	p->initrd.at = (end - p->initrd.bytes) & ~(PAGE_SIZE - 1);
	if (p->kernel.at > p->initrd.at || p->kernel_memory > p->initrd.at - p->kernel.at)
		return "kernel and initrd do not fit into the guest's memory";
	return NULL;
}

/* The command line: the manager's words for the guest, those of a `cmdline` module, and the
 * frequency that Linux cannot measure here. That is rounded to MHz where the launch image is
 * measured: two measurements of one machine differ in the kHz. */
static const char *cmdline_make(const struct image *image, bool measured, char *to)
{
	u64 limit = get(image->data, H_CMDLINE_MAX, 4);
	u64 khz = measured ? (clock_tsc_khz() + 500) / 1000 * 1000 : clock_tsc_khz();
	u64 used = strlen(image->args);
	char digits[24];
	unsigned n = sizeof(digits);
	static const char option[] = " tsc_early_khz=";
	char found[2];

	if (limit == 0 || limit >= CMDLINE_BYTES)
		limit = CMDLINE_BYTES - 1;
	if (used > limit)
		return "its command line is too long";
	memcpy(to, image->args, used);
	for (u32 i = 0; i < image->module_count; i++) {
		const struct image_module *m = &image->modules[i];

		if (m->kind != MODULE_CMDLINE)
			continue;
		if (m->size + 1 > limit - used)
			return "its command line is too long";
		if (used)
			to[used++] = ' ';
		memcpy(to + used, m->data, m->size);
		used += m->size;
		while (used && (to[used - 1] == '\n' || to[used - 1] == 0))
			used--;
	}
	to[used] = 0;
	if (khz == 0 || option_find(to, "tsc_early_khz", found, sizeof(found)))
		return NULL;
	for (; khz; khz /= 10)
		digits[--n] = (char)('0' + khz % 10);
	if (sizeof(option) + sizeof(digits) - n > limit - used)
		return "its command line is too long";
	memcpy(to + used, option, sizeof(option) - 1);
	used += sizeof(option) - 1;
	memcpy(to + used, digits + n, sizeof(digits) - n);
	to[used + sizeof(digits) - n] = 0;
	return NULL;
}

static void boot_params_make(const struct plan *p, const struct image *image, u8 *to)
{
	const struct {
		u64 start, end;
		u32 type;
	} map[] = {
		{0, LOW_END, E820_RAM},
		{HIGH_START, p->acpi.at, E820_RAM},
		{p->acpi.at, p->vm->ram_size, E820_ACPI},
	};
	unsigned end = H_MAGIC + image->data[H_JUMP_LENGTH];

	memcpy(to + H_START, image->data + H_START, (end > H_END ? H_END : end) - H_START);
	put(to, P_ACPI_RSDP, p->acpi.at, 8);
	put(to, H_LOADER, LOADER_UNKNOWN, 1);
	put(to, H_CMDLINE, CMDLINE, 4);
	put(to, H_RAMDISK, p->initrd.bytes ? p->initrd.at : 0, 4);
	put(to, H_RAMDISK_SIZE, p->initrd.bytes, 4);
	put(to, P_E820_COUNT, ARRAY_COUNT(map), 1);
	for (unsigned i = 0; i < ARRAY_COUNT(map); i++) {
		put(to, P_E820 + 20 * i, map[i].start, 8);
		put(to, P_E820 + 20 * i + 8, map[i].end - map[i].start, 8);
		put(to, P_E820 + 20 * i + 16, map[i].type, 4);
	}
}

/* Linux, arch/x86/include/asm/bootparam.h and sev.h: an element of the list of set-up data that
 * names the confidential-computing blob, which names the CPUID and the secrets page. */
struct cc_page {
	u64 next;
	u32 type;
	u32 length;
	u32 blob_at;
	u32 filler;
	struct {
		u32 magic;
		u16 version, reserved0;
		u64 secrets;
		u32 secrets_length, reserved1;
		u64 cpuid;
		u32 cpuid_length, reserved2;
	} blob;
};
#define SETUP_CC_BLOB 7u
#define CC_MAGIC      0x45444d41u

static void cc_make(u8 *low)
{
	struct cc_page *cc = (void *)(low + CC_PAGE);

	cc->type = SETUP_CC_BLOB;
	cc->length = sizeof(cc->blob_at);
	cc->blob_at = CC_PAGE + offsetof(struct cc_page, blob);
	cc->blob.magic = CC_MAGIC;
	cc->blob.secrets = SECRETS_PAGE;
	cc->blob.secrets_length = PAGE_SIZE;
	cc->blob.cpuid = CPUID_PAGE;
	cc->blob.cpuid_length = PAGE_SIZE;
	put(low + BOOT_PARAMS, P_SETUP_DATA, CC_PAGE, 8);
}

/* The first 4 GiB at their own address, by 2 MiB pages, all private. */
static void tables_make(u64 *to, u64 private_bits)
{
	const u64 entry = 0x03 | private_bits; /* present, writable */
	u64 *directories = to + 2 * 512;

	to[0] = (SHIM_TABLES + PAGE_SIZE) | entry;
	for (u64 i = 0; i < 4; i++)
		to[512 + i] = (SHIM_TABLES + (2 + i) * PAGE_SIZE) | entry;
	for (u64 i = 0; i < LARGE_PAGES; i++)
		directories[i] = i * LARGE_SIZE | 0x80 | entry;
}

static u32 accept_of(u32 type)
{
	switch (type) {
	case SEPTUM_SNP:
		return SHIM_ACCEPT_PVALIDATE;
	case SEPTUM_TDX:
		return SHIM_ACCEPT_TDX;
	default:
		return SHIM_ACCEPT_NONE;
	}
}

/* All that is not launched. The pieces ascend and do not overlap. */
static void ranges_make(const struct vm *vm, const struct piece *pieces, u32 count,
			struct shim_params *params)
{
	u64 at = 0;

	for (u32 i = 0; i <= count; i++) {
		u64 next = i < count ? pieces[i].at : vm->ram_size;

		if (i < count && !pieces[i].bytes)
			continue;

		if (next > at)
			params->ranges[params->count++] = (struct shim_range){at, next};
		if (i < count)
			at = pieces[i].at + page_up(pieces[i].bytes);
	}
}

/* In long mode at once: without paging there is no C-bit, and #VC would come in 32-bit mode. */
static const struct {
	u32 reg;
	u64 value;
} long_mode[] = {
	{SEPTUM_REG_RIP, SHIM_ENTRY64}, {SEPTUM_REG_CR0, 0x80000011},	  /* PG, ET, PE */
	{SEPTUM_REG_CR4, 0x20},						  /* PAE */
	{SEPTUM_REG_EFER, 0x500},					  /* LMA, LME */
	{SEPTUM_REG_SEG + 4 + 0, 0x10}, {SEPTUM_REG_SEG + 4 + 3, 0xa09b}, /* CS: code, 64-bit */
};

static const char *vcpus_make(struct vm *vm, const struct shim_params *params, bool encrypted)
{
	struct reply r = {0};

	for (u32 i = 0; i < vm->vcpus && r.status == SEPTUM_OK; i++) {
		r = septum(SEPTUM_CALL_VCPU_CREATE, vm->id, i);
		if (r.status == SEPTUM_OK)
			r = vcpu_set(vm, i, SEPTUM_REG_APIC_BASE,
				     i ? APIC_BASE_X2APIC : APIC_BASE_X2APIC | APIC_BASE_FIRST);
	}
	if (r.status == SEPTUM_OK)
		r = vcpu_set(vm, 0, SEPTUM_REG_RIP, SHIM_ENTRY32);
	if (r.status == SEPTUM_OK && encrypted)
		r = vcpu_set(vm, 0, SEPTUM_REG_CR3, params->cr3);
	for (u32 i = 0; encrypted && i < ARRAY_COUNT(long_mode) && r.status == SEPTUM_OK; i++)
		r = vcpu_set(vm, 0, long_mode[i].reg, long_mode[i].value);
	return r.status == SEPTUM_OK ? NULL : "Septum refuses a vCPU";
}

static const char *launch(struct vm *vm, const struct piece *piece)
{
	struct reply r;

	if (piece->data)
		return image_load_bytes(vm, piece->at, piece->data, piece->bytes);
	r = septum(SEPTUM_CALL_SEV_PAGE, vm->id, piece->at / PAGE_SIZE, 0, piece->page);
	return r.status == SEPTUM_OK ? NULL : "Septum refuses a special page";
}

/* In root memory at `low`, what comes below 640 KiB. */
static const char *low_make(struct plan *p, const struct guest *g, u8 *low)
{
	struct shim_params *params = (void *)(low + SHIM_PARAMS);
	u64 private_bits = g->build.c_bit ? 1ul << g->build.c_bit : 0;
	const char *error;

	memcpy(low + SHIM_CODE, shim_image, (u64)(shim_image_end - shim_image));
	boot_params_make(p, &g->image, low + BOOT_PARAMS);
	error = cmdline_make(&g->image, g->build.c_bit != 0, (char *)low + CMDLINE);
	tables_make((void *)(low + SHIM_TABLES), private_bits);
	params->cr3 = SHIM_TABLES | private_bits;
	params->entry = p->kernel.at + ENTRY_64;
	params->boot = BOOT_PARAMS;
	params->accept = accept_of(p->vm->type);
	if (p->vm->type == SEPTUM_SNP)
		cc_make(low);
	return error;
}

const char *linux_load(struct guest *g)
{
	struct plan p = {.vm = &g->vm};
	const char *error = kernel_read(&p, &g->image);
	u64 mark = memory_mark();
	u8 *firmware;
	u8 *low;

	if (!error)
		error = places_find(&p, &g->image);
	if (error)
		return error;
	low = memory_take(LOW_BYTES, PAGE_SIZE);
	firmware = memory_take(PAGE_SIZE, PAGE_SIZE);
	memcpy(firmware + FIRMWARE_ENTRY, firmware_code, sizeof(firmware_code));
	p.acpi.data = memory_take(ACPI_BYTES, PAGE_SIZE);
	acpi_make((u8 *)p.acpi.data, p.acpi.at, g->vm.vcpus);
	error = low_make(&p, g, low);

	/* Each page is loaded once: SNP and TDX measure it then. */
	u64 special = g->vm.type == SEPTUM_SNP ? PAGE_SIZE : 0;
	const struct piece pieces[] = {
		{SHIM_PARAMS, low + SHIM_PARAMS, CMDLINE + PAGE_SIZE - SHIM_PARAMS, 0},
		{CC_PAGE, low + CC_PAGE, special, 0},
		{CPUID_PAGE, NULL, special, SEPTUM_SEV_PAGE_CPUID},
		{SECRETS_PAGE, NULL, special, SEPTUM_SEV_PAGE_SECRETS},
		{SHIM_TABLES, low + SHIM_TABLES, SHIM_TABLE_PAGES * PAGE_SIZE, 0},
		{FIRMWARE_PAGE, firmware, PAGE_SIZE, 0},
		p.kernel,
		p.initrd,
		p.acpi,
	};
	struct shim_params *params = (void *)(low + SHIM_PARAMS);

	if (params->accept != SHIM_ACCEPT_NONE)
		ranges_make(&g->vm, pieces, ARRAY_COUNT(pieces), params);
	/* The CPUID page says what vCPU 0 is told. */
	if (!error)
		error = vcpus_make(&g->vm, params, g->build.c_bit != 0);
	for (unsigned i = 0; i < ARRAY_COUNT(pieces) && !error; i++)
		if (pieces[i].bytes)
			error = launch(&g->vm, &pieces[i]);
	memory_release(mark);
	if (!error)
		print("manager: vm %lu: Linux, kernel %lu KiB at 0x%lx, initrd %lu KiB at 0x%lx, "
		      "TSC %lu kHz\n",
		      g->vm.id, p.kernel.bytes / 1024, p.kernel.at, p.initrd.bytes / 1024,
		      p.initrd.at, clock_tsc_khz());
	return error;
}
