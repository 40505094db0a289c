/* SPDX-License-Identifier: BSD-2-Clause */
#include "guests/lib/trap.h"
#include "guests/lib/cpu.h"
#include "guests/lib/string.h"

#define STACK_BYTES	  4096u
#define VECTOR_LEAVE_USER 0x81u

struct gate {
	u16 offset_low, selector;
	u8 ist, type;
	u16 offset_mid;
	u32 offset_high, reserved;
};

struct tss {
	u32 reserved0;
	u64 rsp[3];
	u64 reserved1;
	u64 ist[7];
	u64 reserved2;
	u16 reserved3, io_map;
} __attribute__((packed));

struct table_pointer {
	u16 limit;
	u64 base;
} __attribute__((packed));

_Static_assert(sizeof(struct gate) == 16, "SDM Vol. 3, 6.14.1");
_Static_assert(sizeof(struct tss) == 104, "SDM Vol. 3, 7.7");

trap_handler *trap_handlers[256];
struct trap_record trap_last;
u64 trap_resume;

static struct gate idt[256] __attribute__((aligned(4096)));
static u64 gdt[TRAP_CPUS][8];
static struct tss tss[TRAP_CPUS];
static u8 stacks[TRAP_CPUS][4][STACK_BYTES] __attribute__((aligned(16)));

extern const u8 trap_entries[]; /* trap_entry.S: 256 stubs of 16 bytes */
void trap_common(struct trap_frame *frame);

void trap_common(struct trap_frame *frame)
{
	trap_handler *handler = trap_handlers[frame->vector];

	if (handler && handler(frame))
		return;
	if (trap_resume && frame->vector < 32) {
		trap_last.vector = (int)frame->vector;
		trap_last.error = frame->error;
		trap_last.rip = frame->rip;
		trap_last.cr2 = cr2_read();
		frame->rip = trap_resume;
		trap_resume = 0;
		return;
	}
	trap_unexpected(frame);
}

bool probe_read(const volatile void *address, u64 *value)
{
	u64 result = 0;

	PROBE("mov (%1), %0", : "+&r"(result) : "r"(address) : "rax", "memory");
	*value = result;
	return trap_last.vector < 0;
}

bool probe_write(volatile void *address, u64 value)
{
	PROBE("mov %0, (%1)", : : "r"(value), "r"(address) : "rax", "memory");
	return trap_last.vector < 0;
}

bool probe_msr_read(u32 index, u64 *value)
{
	u64 low = 0;
	u64 high = 0;

	PROBE("xor %%eax, %%eax\n\trdmsr\n\tmov %%rax, %0",
	      : "+&r"(low), "+&d"(high)
	      : "c"(index)
	      : "rax", "memory");
	*value = high << 32 | (u32)low;
	return trap_last.vector < 0;
}

bool probe_msr_write(u32 index, u64 value)
{
	PROBE("mov %0, %%rax\n\twrmsr",
	      :
	      : "r"(value & 0xffffffffu), "d"(value >> 32), "c"(index)
	      : "rax", "memory");
	return trap_last.vector < 0;
}

static void gate_set(unsigned vector, u8 dpl)
{
	u64 at = (u64)trap_entries + 16ul * vector;

	idt[vector] = (struct gate){
		.offset_low = (u16)at,
		.selector = SELECTOR_CODE,
		.type = (u8)(0x8e | dpl << 5),
		.offset_mid = (u16)(at >> 16),
		.offset_high = (u32)(at >> 32),
	};
}

void trap_ist_use(unsigned vector, unsigned ist)
{
	idt[vector].ist = (u8)ist;
}

void trap_ist_set(unsigned ist, void *top)
{
	tss[0].ist[ist - 1] = (u64)top;
}

void *trap_idt(void)
{
	return idt;
}

static void idt_build(void)
{
	for (unsigned v = 0; v < 256; v++)
		gate_set(v, v == 0x80 || v == VECTOR_LEAVE_USER ? 3 : 0);
	trap_ist_use(VECTOR_NMI, 1);
	trap_ist_use(VECTOR_DF, 2);
	trap_ist_use(VECTOR_MC, 3);
}

void trap_init(unsigned cpu)
{
	struct tss *t = &tss[cpu];
	u64 base = (u64)t;
	struct table_pointer gdtr = {sizeof(gdt[cpu]) - 1, (u64)gdt[cpu]};
	struct table_pointer idtr = {sizeof(idt) - 1, (u64)idt};

	if (cpu == 0)
		idt_build();
	for (unsigned i = 0; i < 3; i++)
		t->ist[i] = (u64)stacks[cpu][i] + STACK_BYTES;
	t->rsp[0] = (u64)stacks[cpu][3] + STACK_BYTES;
	t->io_map = sizeof(*t);
	gdt[cpu][1] = 0x00af9b000000fffful; /* code, 64-bit */
	gdt[cpu][2] = 0x00cf93000000fffful; /* data */
	gdt[cpu][3] = 0x00cff3000000fffful; /* user data */
	gdt[cpu][4] = 0x00affb000000fffful; /* user code, 64-bit */
	gdt[cpu][5] = 0x00cf9b000000fffful; /* code, 32-bit */
	gdt[cpu][6] = (sizeof(*t) - 1) | (base & 0xffffff) << 16 | 0x89ul << 40 |
		      (base >> 24 & 0xff) << 56;
	gdt[cpu][7] = base >> 32;
	__asm__ volatile("lgdt %0\n\t"
			 "lidt %1\n\t"
			 "pushq %2\n\t"
			 "lea 1f(%%rip), %%rax\n\t"
			 "push %%rax\n\t"
			 "lretq\n"
			 "1:\n\t"
			 "mov %3, %%ds\n\t"
			 "mov %3, %%es\n\t"
			 "mov %3, %%ss\n\t"
			 "ltr %4"
			 :
			 : "m"(gdtr), "m"(idtr), "i"(SELECTOR_CODE), "r"(SELECTOR_DATA),
			   "r"((u16)0x30)
			 : "rax", "memory");
}
