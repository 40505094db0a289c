/* SPDX-License-Identifier: BSD-2-Clause */
/* The ACPI tables of a Linux guest: RSDP, XSDT, FADT, MADT, DSDT. A hardware-reduced machine
 * without interrupt controllers other than the local APICs. ACPI specification 6.5, sections 4.1
 * and 5.2.
 */
#include "guests/lib/string.h"
#include "guests/manager/linux.h"

#define LOCAL_APIC   0xfee00000u
#define TABLE_ALIGN  64ul
#define TABLES	     2u /* that the XSDT names */
#define ADDRESS_PORT 1u /* generic address: system I/O space */

#define FADT_LENGTH	    276u
#define FADT_HW_REDUCED	    (1u << 20)
#define FADT_RESET_REGISTER (1u << 10)
/* No VGA to look for, no clock in CMOS; no legacy devices and no keyboard controller either. */
#define FADT_BOOT_FLAGS 0x0024u

/* The DSDT, from guests/linux/dsdt.asl. */
extern const u8 dsdt_image[];
extern const u8 dsdt_image_end[];

struct header {
	char signature[4];
	u32 length;
	u8 revision;
	u8 checksum;
	char oem[6];
	char oem_table[8];
	u32 oem_revision;
	char creator[4];
	u32 creator_revision;
} __attribute__((packed));

struct rsdp {
	char signature[8];
	u8 checksum; /* of the first 20 bytes */
	char oem[6];
	u8 revision;
	u32 rsdt;
	u32 length;
	u64 xsdt;
	u8 checksum_all;
	u8 reserved[3];
} __attribute__((packed));

struct address {
	u8 space;
	u8 bits;
	u8 offset;
	u8 access;
	u64 address;
} __attribute__((packed));

/* The fields that a hardware-reduced machine uses. */
struct fadt {
	struct header header;
	u32 firmware_control;
	u32 dsdt;
	u8 skipped[65];
	u16 boot_flags;
	u8 reserved;
	u32 flags;
	struct address reset;
	u8 reset_value;
	u16 arm_flags;
	u8 minor;
	u64 x_firmware_control;
	u64 x_dsdt;
	struct address skipped2[8];
	struct address sleep_control;
	struct address sleep_status;
	char hypervisor[8];
} __attribute__((packed));

struct madt {
	struct header header;
	u32 local_apic;
	u32 flags;
	struct {
		u8 type;
		u8 length;
		u8 processor;
		u8 apic_id;
		u32 flags;
	} __attribute__((packed)) cpus[SEPTUM_MAX_VCPUS];
} __attribute__((packed));

_Static_assert(sizeof(struct header) == 36, "ACPI 5.2.6");
_Static_assert(sizeof(struct rsdp) == 36, "ACPI 5.2.5.3");
_Static_assert(offsetof(struct fadt, boot_flags) == 109, "ACPI 5.2.9");
_Static_assert(offsetof(struct fadt, flags) == 112, "ACPI 5.2.9");
_Static_assert(offsetof(struct fadt, x_dsdt) == 140, "ACPI 5.2.9");
_Static_assert(offsetof(struct fadt, sleep_control) == 244, "ACPI 5.2.9");
_Static_assert(sizeof(struct fadt) == FADT_LENGTH, "ACPI 5.2.9");
_Static_assert(offsetof(struct madt, cpus) == 44, "ACPI 5.2.12");

static u8 checksum(const void *from, u64 bytes)
{
	const u8 *at = from;
	u8 sum = 0;

	for (u64 i = 0; i < bytes; i++)
		sum = (u8)(sum + at[i]);
	return (u8)-sum;
}

static void header_make(struct header *h, const char *signature, u8 revision, u64 length)
{
	memcpy(h->signature, signature, sizeof(h->signature));
	h->length = (u32)length;
	h->revision = revision;
	memcpy(h->oem, "SEPTUM", sizeof(h->oem));
	memcpy(h->oem_table, "GUEST   ", sizeof(h->oem_table));
	h->oem_revision = 1;
	memcpy(h->creator, "SPTM", sizeof(h->creator));
	h->creator_revision = 1;
	h->checksum = 0;
}

static struct address port(u16 number)
{
	return (struct address){ADDRESS_PORT, 8, 0, 1, number};
}

static void fadt_make(struct fadt *f, u64 dsdt)
{
	header_make(&f->header, "FACP", 6, sizeof(*f));
	f->dsdt = (u32)dsdt;
	f->boot_flags = FADT_BOOT_FLAGS;
	f->flags = FADT_HW_REDUCED | FADT_RESET_REGISTER;
	f->reset = port(PORT_RESET);
	f->reset_value = RESET_VALUE;
	f->minor = 5;
	f->x_dsdt = dsdt;
	f->sleep_control = port(PORT_SLEEP_CONTROL);
	f->sleep_status = port(PORT_SLEEP_STATUS);
	f->header.checksum = checksum(f, sizeof(*f));
}

static void madt_make(struct madt *m, u32 vcpus)
{
	u64 length = offsetof(struct madt, cpus) + vcpus * sizeof(m->cpus[0]);

	header_make(&m->header, "APIC", 6, length);
	m->local_apic = LOCAL_APIC;
	for (u32 i = 0; i < vcpus; i++) {
		m->cpus[i].length = sizeof(m->cpus[i]);
		m->cpus[i].processor = (u8)i;
		m->cpus[i].apic_id = (u8)i;
		m->cpus[i].flags = 1; /* enabled */
	}
	m->header.checksum = checksum(m, length);
}

static u64 next(u64 offset, u64 length)
{
	return (offset + length + TABLE_ALIGN - 1) & ~(TABLE_ALIGN - 1);
}

void acpi_make(u8 *to, u64 gpa, u32 vcpus)
{
	u64 xsdt_length = sizeof(struct header) + TABLES * sizeof(u64);
	u64 dsdt_length = (u64)(dsdt_image_end - dsdt_image);
	u64 xsdt = next(0, sizeof(struct rsdp));
	u64 fadt = next(xsdt, xsdt_length);
	u64 dsdt = next(fadt, sizeof(struct fadt));
	u64 madt = next(dsdt, dsdt_length);
	struct header *x = (void *)(to + xsdt);
	struct rsdp *r = (void *)to;
	u64 tables[TABLES] = {gpa + fadt, gpa + madt};

	memcpy(to + dsdt, dsdt_image, dsdt_length);
	fadt_make((void *)(to + fadt), gpa + dsdt);
	madt_make((void *)(to + madt), vcpus);
	header_make(x, "XSDT", 1, xsdt_length);
	memcpy(x + 1, tables, sizeof(tables));
	x->checksum = checksum(x, xsdt_length);

	memcpy(r->signature, "RSD PTR ", sizeof(r->signature));
	memcpy(r->oem, "SEPTUM", sizeof(r->oem));
	r->revision = 2;
	r->length = sizeof(*r);
	r->xsdt = gpa + xsdt;
	r->checksum = checksum(r, 20);
	r->checksum_all = checksum(r, sizeof(*r));
}
