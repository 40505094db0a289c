/* SPDX-License-Identifier: BSD-2-Clause */
#include "arch/x86/acpi.h"
#include "arch/x86/paging.h"
#include "kernel/boot_info.h"
#include "kernel/print.h"
#include "kernel/string.h"

#define TABLE_MAX    0x100000 /* a larger table is not believed */
#define ENTRIES_MAX  256
#define EBDA_POINTER 0x40e
#define BIOS_START   0xe0000
#define BIOS_END     0x100000

/* 5.2.5.3 */
struct rsdp {
	char signature[8];
	u8 checksum;
	char oem[6];
	u8 revision;
	u32 rsdt;
	u32 length;
	u64 xsdt;
	u8 extended_checksum;
	u8 reserved[3];
} __attribute__((packed));
_Static_assert(sizeof(struct rsdp) == 36, "RSDP");
#define RSDP_V1_SIZE 20

/* 5.2.6 */
struct header {
	char signature[4];
	u32 length;
	u8 revision, checksum;
	char oem[6], oem_table[8];
	u32 oem_revision, creator, creator_revision;
};
_Static_assert(sizeof(struct header) == 36, "table header");

/* 5.2.12: the MADT's entries follow 8 bytes after the header. */
#define MADT_ENTRIES 44
#define MADT_APIC    0
#define MADT_X2APIC  9
#define MADT_ENABLED BIT(0)

/* 5.2.9 */
#define FADT_TIMER	  76
#define FADT_TIMER_LENGTH 91
#define FADT_FLAGS	  112
#define FADT_FLAGS_END	  116u
#define FADT_REDUCED	  BIT(20)

/* UEFI Specification 2.10, 4.3 and 4.6. */
struct efi_system_table_part {
	u64 signature;
	u8 unused[96];
	u64 table_count, tables;
};
_Static_assert(offsetof(struct efi_system_table_part, table_count) == 104, "EFI system table");
#define EFI_SIGNATURE 0x5453595320494249ul
struct efi_table {
	u64 guid[2];
	u64 address;
};
static const u64 efi_acpi20[2] = {0x11d3e4f18868e871, 0x81883cc7800022bc};

struct acpi_info acpi_info;

static bool sum_is_zero(const void *data, size_t size)
{
	const u8 *bytes = data;
	u8 sum = 0;

	for (size_t i = 0; i < size; i++)
		sum = (u8)(sum + bytes[i]);
	return sum == 0;
}

static bool rsdp_valid(const struct rsdp *r)
{
	return memcmp(r->signature, "RSD PTR ", 8) == 0 && sum_is_zero(r, RSDP_V1_SIZE);
}

static bool rsdp_read(hpa_t at, struct rsdp *r)
{
	physical_read(at, r, sizeof(*r));
	return rsdp_valid(r);
}

static bool rsdp_scan(u64 start, u64 end, struct rsdp *r)
{
	for (; start + sizeof(*r) <= end; start += 16) {
		if (rsdp_read(hpa(start), r)) {
			acpi_info.rsdp = hpa(start);
			return true;
		}
	}
	return false;
}

static bool rsdp_from_efi(struct rsdp *r)
{
	struct efi_system_table_part system;
	struct efi_table table;

	if (boot_info.efi_system_table.n == 0)
		return false;
	physical_read(boot_info.efi_system_table, &system, sizeof(system));
	if (system.signature != EFI_SIGNATURE)
		return false;
	for (u64 i = 0; i < MIN(system.table_count, ENTRIES_MAX); i++) {
		physical_read(hpa(system.tables + i * sizeof(table)), &table, sizeof(table));
		if (memcmp(table.guid, efi_acpi20, sizeof(table.guid)) == 0 &&
		    rsdp_read(hpa(table.address), r)) {
			acpi_info.rsdp = hpa(table.address);
			return true;
		}
	}
	return false;
}

static bool rsdp_find(struct rsdp *r)
{
	u16 segment;

	if (rsdp_from_efi(r))
		return true;
	/* 5.2.5.1: the first KiB of the EBDA, then the BIOS. */
	physical_read(hpa(EBDA_POINTER), &segment, sizeof(segment));
	if (segment >= 0x8000 && rsdp_scan((u64)segment << 4, ((u64)segment << 4) + 1024, r))
		return true;
	if (rsdp_scan(BIOS_START, BIOS_END, r))
		return true;
	memcpy(r, boot_info.rsdp, sizeof(*r));
	return rsdp_valid(r);
}

/* Read the header at `at` and check the whole table's sum. */
static bool table_open(u64 at, struct header *h)
{
	u8 part[64];
	u8 sum = 0;

	if (at == 0)
		return false;
	physical_read(hpa(at), h, sizeof(*h));
	if (h->length < sizeof(*h) || h->length > TABLE_MAX)
		return false;
	for (u32 done = 0; done < h->length; done += (u32)sizeof(part)) {
		u32 size = MIN(h->length - done, (u32)sizeof(part));

		physical_read(hpa(at + done), part, size);
		for (u32 i = 0; i < size; i++)
			sum = (u8)(sum + part[i]);
	}
	if (sum != 0)
		printk(LOG_WARN, "ACPI: table %.4s has a wrong checksum and is ignored",
		       h->signature);
	return sum == 0;
}

static void cpu_add(u32 apic_id, u32 flags)
{
	if ((flags & MADT_ENABLED) == 0)
		return;
	if (acpi_info.cpu_count < CPU_MAX)
		acpi_info.apic_ids[acpi_info.cpu_count] = apic_id;
	acpi_info.cpu_count++;
}

static void read_madt(u64 at, u32 length)
{
	u8 e[16];

	for (u32 offset = MADT_ENTRIES; offset + 2 <= length;) {
		u32 flags, id;

		physical_read(hpa(at + offset), e, 2);
		if (e[1] < 2 || e[1] > length - offset)
			return;
		physical_read(hpa(at + offset), e, MIN(e[1], sizeof(e)));
		if (e[0] == MADT_APIC && e[1] >= 8) {
			memcpy(&flags, e + 4, 4);
			cpu_add(e[3], flags);
		} else if (e[0] == MADT_X2APIC && e[1] >= 16) {
			memcpy(&id, e + 4, 4);
			memcpy(&flags, e + 8, 4);
			cpu_add(id, flags);
		}
		offset += e[1];
	}
}

static void read_fadt(u64 at, u32 length)
{
	u32 port, flags;
	u8 bytes;

	if (length < FADT_FLAGS_END)
		return;
	physical_read(hpa(at + FADT_TIMER), &port, sizeof(port));
	physical_read(hpa(at + FADT_TIMER_LENGTH), &bytes, sizeof(bytes));
	physical_read(hpa(at + FADT_FLAGS), &flags, sizeof(flags));
	if (bytes == 4 && port <= 0xffff && (flags & FADT_REDUCED) == 0)
		acpi_info.timer_port = (u16)port;
}

static void read_root(u64 at, const struct header *root, unsigned entry_size)
{
	u32 count = (root->length - (u32)sizeof(*root)) / entry_size;
	struct header h;

	for (u32 i = 0; i < MIN(count, (u32)ENTRIES_MAX); i++) {
		u64 table = 0;

		physical_read(hpa(at + sizeof(*root) + (u64)i * entry_size), &table, entry_size);
		if (!table_open(table, &h))
			continue;
		if (memcmp(h.signature, "APIC", 4) == 0)
			read_madt(table, h.length);
		else if (memcmp(h.signature, "FACP", 4) == 0)
			read_fadt(table, h.length);
		else if (memcmp(h.signature, "DMAR", 4) == 0)
			acpi_info.dmar = hpa(table);
		else if (memcmp(h.signature, "IVRS", 4) == 0)
			acpi_info.ivrs = hpa(table);
	}
}

void acpi_start(void)
{
	struct rsdp rsdp;
	struct header root;

	if (!rsdp_find(&rsdp)) {
		printk(LOG_INFO, "ACPI: this machine has no tables");
	} else {
		if (rsdp.revision >= 2 && table_open(rsdp.xsdt, &root))
			read_root(rsdp.xsdt, &root, 8);
		else if (table_open(rsdp.rsdt, &root))
			read_root(rsdp.rsdt, &root, 4);
		printk(LOG_INFO, "ACPI: %u processors; IOMMU: %s", acpi_info.cpu_count,
		       acpi_info.dmar.n != 0   ? "VT-d (DMAR)"
		       : acpi_info.ivrs.n != 0 ? "AMD-Vi (IVRS)"
					       : "none");
	}
	printk(LOG_WARN, "DMA IS NOT CONFINED: a device that the root partition programs can read "
			 "and write all memory, private memory of guests included");
}
