/* SPDX-License-Identifier: BSD-2-Clause */
#include "guests/small/guest.h"

#define MULTIBOOT_CMDLINE (1u << 2)
#define SPLITS_MAX	  4u

struct guest_view guest = {.args = ""};

extern const struct body bodies_start[];
extern const struct body bodies_end[];
extern u64 guest_pml4[512];
extern u64 guest_pd[2048];
static u64 shared_pdpt[512] __attribute__((aligned(4096)));
static u64 shared_pd[512] __attribute__((aligned(4096)));
static u64 split_tables[SPLITS_MAX][512] __attribute__((aligned(4096)));
static unsigned splits;
static const struct body *chosen;

void console_put(char c)
{
	out8(PORT_TEXT, (u8)c);
}

void guest_exit(u32 code)
{
	out32(PORT_EXIT, code);
	for (;;)
		__asm__ volatile("cli; hlt");
}

void guest_fail(const char *file, int line, const char *what)
{
	out32(PORT_LINE, (u32)line);
	print("guest: %s:%d: not so: %s\n", file, line, what);
	guest_exit(1);
}

void trap_unexpected(const struct trap_frame *f)
{
	out32(PORT_LINE, 0x10000u + (u32)f->vector);
	print("guest: exception %lu error 0x%lx at 0x%lx cr2 0x%lx rsp 0x%lx\n", f->vector,
	      f->error, f->rip, cr2_read(), f->rsp);
	guest_exit(2);
}

volatile u8 *shared_alias(u64 gpa)
{
	return (volatile u8 *)(guest.shared_bit ? SHARED_ALIAS + gpa : gpa);
}

u64 *page_table_split(u64 address)
{
	u64 *entry = &guest_pd[address / LARGE_SIZE];
	u64 *table = split_tables[splits];

	REQUIRE(splits < SPLITS_MAX && (*entry & PTE_PS));
	splits++;
	for (u64 i = 0; i < 512; i++)
		table[i] = (address & ~(LARGE_SIZE - 1)) + i * PAGE_SIZE + (PTE_P | PTE_W | PTE_U);
	*entry = (u64)table | PTE_P | PTE_W | PTE_U;
	cr3_write(cr3_read());
	return table;
}

s64 guest_call(u64 number, u64 a, u64 b, u64 c, u64 d)
{
	s64 result;

	if (cpu_is_intel())
		__asm__ volatile("vmcall"
				 : "=a"(result)
				 : "a"(number), "b"(a), "c"(b), "d"(c), "S"(d)
				 : "memory");
	else
		__asm__ volatile("vmmcall"
				 : "=a"(result)
				 : "a"(number), "b"(a), "c"(b), "d"(c), "S"(d)
				 : "memory");
	return result;
}

s64 make_private(u64 gpa, u64 bytes)
{
	return guest_call(SEPTUM_HC_MAP_GPA_RANGE, gpa, bytes / PAGE_SIZE, SEPTUM_MAP_PRIVATE, 0);
}

s64 make_shared(u64 gpa, u64 bytes)
{
	return guest_call(SEPTUM_HC_MAP_GPA_RANGE, gpa, bytes / PAGE_SIZE, 0, 0);
}

u32 step(u32 value)
{
	out32(PORT_STEP, value);
	return in32(PORT_STEP);
}

/* ---- start */

static void look_around(u64 info)
{
	const u32 *multiboot = (const u32 *)info;
	struct cpuid r = cpuid(0x40000100, 0);

	guest.info = multiboot;
	if (multiboot && (multiboot[0] & MULTIBOOT_CMDLINE))
		guest.args = (const char *)(u64)multiboot[4];
	if (r.b != 0x74706553u || r.a < 0x40000101u) /* "Sept" */
		return;
	r = cpuid(0x40000101, 0);
	guest.type = r.a;
	guest.shared_bit = r.b;
	guest.features = r.c;
	if (!guest.shared_bit)
		return;
	for (u64 i = 0; i < 512; i++)
		shared_pd[i] =
			i * LARGE_SIZE | 1ul << guest.shared_bit | PTE_PS | PTE_P | PTE_W | PTE_U;
	shared_pdpt[0] = (u64)shared_pd | PTE_P | PTE_W | PTE_U;
	guest_pml4[1] = (u64)shared_pdpt | PTE_P | PTE_W | PTE_U;
}

void guest_start(u32 vcpu, u64 info);

void guest_start(u32 vcpu, u64 info)
{
	char name[32] = "demo";

	if (vcpu < TRAP_CPUS)
		trap_init(vcpu);
	if (vcpu) {
		REQUIRE(chosen && chosen->run_ap);
		chosen->run_ap();
		for (;;)
			__asm__ volatile("cli; hlt");
	}
	look_around(info);
	option_find(guest.args, "body", name, sizeof(name));
	for (const struct body *b = bodies_start; b < bodies_end; b++)
		if (strcmp(b->name, name) == 0)
			chosen = b;
	if (!chosen) {
		print("guest: there is no body %s\n", name);
		guest_exit(3);
	}
	chosen->run();
	guest_exit(0);
}
