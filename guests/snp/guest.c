/* SPDX-License-Identifier: BSD-2-Clause */
/* A small guest with encrypted memory and registers (SEV-SNP), which knows nothing but its GHCB:
 * its page tables are made for it, C = 1 at an address and C = 0 at SNP_SHARED above it.
 * Specifications: AMD APM Vol. 2, 15.36; GHCB (56421).
 */
#include "guests/snp/guest.h"
#include "guests/lib/types.h"
#include "guests/small/protocol.h"

#define MSR_GHCB 0xc0010130u

#define OP_PRIVATE 1ul
#define OP_SHARED  2ul
#define ENTRY_2M   (1ul << 56)

#define EVENT_IOIO  0x7bu
#define EVENT_PAGES 0x80000010ul

#define AT_RAX	  0x1f8u
#define AT_CODE	  0x390u
#define AT_BITMAP 0x3f0u
#define AT_BUFFER 0x800u

u32 trap_vector;
u64 trap_error, trap_resume;
extern const u8 trap_mc[], trap_vc[];
_Bool try_access(u64 address, u64 *value, _Bool write);
void guest_main(u64 body);

static volatile u8 *const ghcb = (volatile u8 *)(SNP_SHARED + SNP_GHCB);

static u64 msr_read(void)
{
	u32 low, high;

	__asm__ volatile("rdmsr" : "=a"(low), "=d"(high) : "c"(MSR_GHCB));
	return low | (u64)high << 32;
}

static void vmgexit(u64 msr)
{
	__asm__ volatile("wrmsr"
			 :
			 : "c"(MSR_GHCB), "a"((u32)msr), "d"((u32)(msr >> 32))
			 : "memory");
	__asm__ volatile("rep; vmmcall" : : : "memory");
}

static u64 msr_call(u64 request)
{
	vmgexit(request);
	return msr_read();
}

static volatile u64 *field(u32 offset)
{
	return (volatile u64 *)(ghcb + offset);
}

static void valid(u32 offset)
{
	*field(AT_BITMAP + offset / 512 * 8) |= 1ul << offset / 8 % 64;
}

/* Asks, with the registers that are valid already; what is valid afterwards is the answer's. */
static void ask_at(u64 gpa, u64 code, u64 info1, u64 info2)
{
	*field(AT_CODE) = code;
	*field(AT_CODE + 8) = info1;
	*field(AT_CODE + 16) = info2;
	for (u32 i = 0; i < 3; i++)
		valid(AT_CODE + i * 8);
	vmgexit(gpa);
}

static void ask(u64 code, u64 info1, u64 info2)
{
	ask_at(SNP_GHCB, code, info1, info2);
}

static u64 info1(void)
{
	return *field(AT_CODE + 8) & 0xffffffff;
}

static u64 info2(void)
{
	return *field(AT_CODE + 16);
}

static void forget(void)
{
	*field(AT_BITMAP) = 0;
	*field(AT_BITMAP + 8) = 0;
}

/* 32 bits. */
static void port_out(u16 port, u32 value)
{
	forget();
	*field(AT_RAX) = value;
	valid(AT_RAX);
	ask(EVENT_IOIO, (u64)port << 16 | 4 << 4, 0);
}

static u32 port_in(u16 port)
{
	forget();
	ask(EVENT_IOIO, (u64)port << 16 | 4 << 4 | 1, 0);
	return (u32)*field(AT_RAX);
}

static void step(u32 value)
{
	port_out(PORT_STEP, value);
	(void)port_in(PORT_STEP);
}

static __attribute__((noreturn)) void end(u32 code)
{
	for (;;)
		port_out(PORT_EXIT, code);
}

#define REQUIRE(condition)                                                                         \
	do {                                                                                       \
		if (!(condition)) {                                                                \
			port_out(PORT_LINE, __LINE__);                                             \
			end(__LINE__);                                                             \
		}                                                                                  \
	} while (0)

/* Page State Change of `count` entries in the page's buffer. */
static u64 change(const u64 *entries, u16 count)
{
	volatile u64 *buffer = field(AT_BUFFER);

	forget();
	buffer[0] = (u64)(count - 1) << 16;
	for (u16 i = 0; i < count; i++)
		buffer[1 + i] = entries[i];
	*field(AT_CODE + 24) = SNP_GHCB + AT_BUFFER;
	valid(AT_CODE + 24);
	ask(EVENT_PAGES, 0, 0);
	return info2();
}

static u64 change_one(u64 gpa, u64 op)
{
	const u64 entry = gpa | op << 52;

	return change(&entry, 1);
}

static u32 pvalidate(u64 address, u32 large, u32 validate, _Bool *unchanged)
{
	u32 result;
	u8 carry;

	__asm__ volatile(".byte 0xf2, 0x0f, 0x01, 0xff; setc %1"
			 : "=a"(result), "=qm"(carry)
			 : "a"(address), "c"(large), "d"(validate)
			 : "memory", "cc");
	*unchanged = carry;
	return result;
}

static _Bool accept(u64 address)
{
	_Bool unchanged;

	return pvalidate(address, 0, 1, &unchanged) == 0 && !unchanged;
}

static u64 *word(u64 address)
{
	return (u64 *)address;
}

/* A private page becomes shared as it should, and is then accessed as private. */
static void to_private(void)
{
	const u64 page = SNP_FREE;
	u64 value = 0;

	REQUIRE(change_one(page, OP_SHARED) == 0);
	*(volatile u64 *)(SNP_SHARED + page) = 0x1111;
	step(1);
	/* The manager converts it; what is new is not validated. */
	REQUIRE(!try_access(page + 8, &value, 0));
	REQUIRE(trap_vector == 29 && trap_error == 0x404);
	REQUIRE(accept(page));
	value = 0x2222;
	REQUIRE(try_access(page, &value, 1));
	REQUIRE(*(volatile u64 *)page == 0x2222);
	step(2);
}

/* A private page is read and written as shared. */
static void to_shared(void)
{
	const u64 page = SNP_FREE + 0x3000;
	u64 value = 0;

	REQUIRE(accept(page));
	*(volatile u64 *)(page + 16) = 0x5ec2e7;
	step(1);
	REQUIRE(try_access(SNP_SHARED + page + 16, &value, 0));
	REQUIRE(value != 0x5ec2e7);
	step(2);
	value = 0x3333;
	REQUIRE(try_access(SNP_SHARED + page + 16, &value, 1));
	REQUIRE(*(volatile u64 *)(SNP_SHARED + page + 16) == 0x3333);
	step(3);
}

static void denied(void)
{
	const u64 page = SNP_FREE;
	u64 value = 7;

	REQUIRE(change_one(page, OP_SHARED) == 0);
	step(1);
	REQUIRE(!try_access(page, &value, 1));
	REQUIRE(trap_vector == 18);
	*(volatile u64 *)(SNP_SHARED + page) = 9;
	step(2);
}

static void hostile(void)
{
	volatile u64 *buffer = field(AT_BUFFER);
	u64 entry;

	/* Unfinished requests. */
	forget();
	ask(EVENT_IOIO, (u64)PORT_STEP << 16 | 4 << 4, 0);
	REQUIRE(info1() == 2 && info2() == 4);
	forget();
	ask(0x12345, 0, 0);
	REQUIRE(info1() == 2 && info2() == 6);
	forget();
	ask(EVENT_IOIO, (u64)PORT_STEP << 16 | 3 << 4, 0);
	REQUIRE(info1() == 2 && info2() == 5);
	/* A list that is longer than its buffer, that lies elsewhere, that is not registered. */
	forget();
	buffer[0] = 253ul << 16;
	*field(AT_CODE + 24) = SNP_GHCB + AT_BUFFER;
	valid(AT_CODE + 24);
	ask(EVENT_PAGES, 0, 0);
	REQUIRE(info1() == 0 && info2() == ((1ul << 32) | 1));
	forget();
	*field(0xfe8) = 0;
	*field(AT_CODE + 24) = SNP_GHCB + 0xfe8;
	valid(AT_CODE + 24);
	ask(EVENT_PAGES, 0, 0);
	REQUIRE(info1() == 0 && info2() == ((1ul << 32) | 1));
	forget();
	*field(AT_CODE + 24) = SNP_FREE;
	valid(AT_CODE + 24);
	ask(EVENT_PAGES, 0, 0);
	REQUIRE(info1() == 2 && info2() == 3);
	/* Entries that are none. */
	entry = (SNP_FREE + 0x1000) | OP_SHARED << 52 | ENTRY_2M;
	REQUIRE(change(&entry, 1) == ((1ul << 32) | 2));
	entry = SNP_FREE | OP_SHARED << 52 | 2; /* two of one page are done */
	REQUIRE(change(&entry, 1) == ((1ul << 32) | 2));
	entry = SNP_FREE | 9ul << 52;
	REQUIRE(change(&entry, 1) == ((1ul << 32) | 2));
	entry = (1ul << 50) | OP_SHARED << 52;
	REQUIRE(change(&entry, 1) == ((1ul << 32) | 2));
	/* Nothing to do. */
	forget();
	buffer[0] = 1 | 0ul << 16;
	*field(AT_CODE + 24) = SNP_GHCB + AT_BUFFER;
	valid(AT_CODE + 24);
	ask(EVENT_PAGES, 0, 0);
	REQUIRE(info1() == 0 && info2() == 0);
	/* Another page than the one registered. */
	REQUIRE(change_one(SNP_GHCB + 0x1000, OP_SHARED) == 0);
	{
		volatile u64 *other = (volatile u64 *)(SNP_SHARED + SNP_GHCB + 0x1000);

		other[AT_BITMAP / 8] = other[AT_BITMAP / 8 + 1] = 0;
		vmgexit(SNP_GHCB + 0x1000);
		REQUIRE((other[(AT_CODE + 8) / 8] & 0xffffffff) == 2);
		REQUIRE(other[(AT_CODE + 16) / 8] == 1);
	}
	/* An MSR request that is none changes nothing. */
	REQUIRE(msr_call(0xabc0ful) == 0xabc0ful);
	step(1);
}

/* Entries in a row are one request; taken up in the middle; two directions. */
static void runs(void)
{
	const u64 two = SNP_FREE;
	u64 entries[4] = {two | OP_SHARED << 52 | ENTRY_2M,
			  (two + 0x200000) | OP_SHARED << 52 | ENTRY_2M,
			  (two + 0x600000) | OP_SHARED << 52, (two + 0x601000) | OP_SHARED << 52};

	step(1);
	REQUIRE(change(entries, 4) == 0);
	REQUIRE((*field(AT_BUFFER) & 0xffff) == 4);
	REQUIRE((field(AT_BUFFER)[1] & 0xfff) == 512 && (field(AT_BUFFER)[3] & 0xfff) == 1);
	step(2);
	/* Half of the first is done already, says the guest. */
	entries[0] = two | OP_PRIVATE << 52 | ENTRY_2M | 256;
	REQUIRE(change(entries, 1) == 0);
	step(3);
}

/* A 4 KiB PVALIDATE under a 2 MiB entry, and the other way round. */
static void sizes(void)
{
	_Bool unchanged;

	REQUIRE(pvalidate(SNP_FREE, 1, 1, &unchanged) == 0 && !unchanged);
	*word(SNP_FREE + 0x5000) = 0x77;
	REQUIRE(pvalidate(SNP_FREE, 1, 1, &unchanged) == 0 && unchanged);
	/* The entry is smashed, what was validated stays so. */
	REQUIRE(pvalidate(SNP_FREE + 0x1000, 0, 0, &unchanged) == 0 && !unchanged);
	REQUIRE(*word(SNP_FREE + 0x5000) == 0x77);
	REQUIRE(pvalidate(SNP_FREE, 1, 0, &unchanged) == 6);
	REQUIRE(pvalidate(SNP_FREE + 0x1000, 0, 1, &unchanged) == 0 && !unchanged);
	REQUIRE(change_one(SNP_FREE + 0x2000, OP_SHARED) == 0);
	REQUIRE(*word(SNP_FREE + 0x5000) == 0x77);
	step(1);
}

static u32 rmpadjust(u64 address, u64 large, u64 what)
{
	u32 result;

	__asm__ volatile(".byte 0xf3, 0x0f, 0x01, 0xfe"
			 : "=a"(result)
			 : "a"(address), "c"(large), "d"(what)
			 : "memory", "cc");
	return result;
}

static u32 rmpquery(u64 address, u64 *large, u64 *what)
{
	u32 result;

	__asm__ volatile(".byte 0xf3, 0x0f, 0x01, 0xfd"
			 : "=a"(result), "=c"(*large), "+d"(*what)
			 : "a"(address)
			 : "memory", "cc");
	return result;
}

static u64 fault_address(void)
{
	u64 value;

	__asm__ volatile("mov %%cr2, %0" : "=r"(value));
	return value;
}

/* One page of the launch image: what validation and rights of a page mean, and how long they last.
 */
static void rights(void)
{
	const u64 page = SNP_STACK, vmsa = 1ul << 16, all = 0xful << 8;
	u64 large = 9, what = 1, value;
	_Bool unchanged;

	/* Only levels below one's own, and there are four. */
	REQUIRE(rmpadjust(page, 0, all) == 2);
	REQUIRE(rmpadjust(page, 0, 4 | all) == 1);
	REQUIRE(rmpadjust(page, 1, 1 | all) == 1); /* not aligned */
	REQUIRE(rmpquery(page, &large, &what) == 0 && large == 0 && what == 0);
	REQUIRE(rmpadjust(page, 0, 1 | 1ul << 8 | vmsa) == 0);
	what = 1;
	REQUIRE(rmpquery(page, &large, &what) == 0 && what == (1ul << 8 | vmsa));
	REQUIRE(rmpadjust(page, 0, 1) == 0);
	what = 0;
	REQUIRE(rmpquery(page, &large, &what) == 0 && what == all);
	/* Validated twice: the guest can tell. Rescinded and validated again, it keeps its bytes.
	 */
	*word(page + 0x40) = 0x4444;
	REQUIRE(pvalidate(page, 0, 1, &unchanged) == 0 && unchanged);
	REQUIRE(pvalidate(page, 0, 0, &unchanged) == 0 && !unchanged);
	REQUIRE(pvalidate(page, 0, 0, &unchanged) == 0 && unchanged);
	REQUIRE(!try_access(page + 0x48, &value, 0));
	REQUIRE(trap_vector == 29 && trap_error == 0x404 && fault_address() == page + 0x48);
	REQUIRE(!try_access(page + 0x50, &value, 1));
	REQUIRE(trap_vector == 29 && trap_error == 0x404 && fault_address() == page + 0x50);
	REQUIRE(accept(page) && *word(page + 0x40) == 0x4444);
	/* Taken away and given back it is another page, with no rights but those of the first
	 * level. */
	REQUIRE(rmpadjust(page, 0, 2 | all) == 0);
	REQUIRE(change_one(page, OP_SHARED) == 0 && change_one(page, OP_PRIVATE) == 0);
	REQUIRE(!try_access(page + 0x40, &value, 0));
	REQUIRE(trap_vector == 29 && trap_error == 0x404);
	REQUIRE(accept(page) && *word(page + 0x40) != 0x4444);
	what = 2;
	REQUIRE(rmpquery(page, &large, &what) == 0 && what == 0);
	step(1);
}

struct gate {
	u16 low, selector, flags, middle;
	u32 high, reserved;
};

static struct gate idt[32];

static void gate_set(unsigned n, const u8 *handler)
{
	u64 at = (u64)handler;

	idt[n] = (struct gate){(u16)at, 0x10, 0x8e00, (u16)(at >> 16), (u32)(at >> 32), 0};
}

static u64 gdt[4] = {0, 0, 0x00af9b000000ffff, 0x00cf93000000ffff};

void guest_main(u64 body)
{
	static void (*const bodies[])(void) = {to_private, to_shared, denied, hostile,
					       runs,	   sizes,     rights};
	struct {
		u16 limit;
		u64 base;
	} __attribute__((packed)) table = {sizeof(idt) - 1, (u64)idt},
				  segments = {sizeof(gdt) - 1, (u64)gdt};

	gate_set(18, trap_mc);
	gate_set(29, trap_vc);
	__asm__ volatile("lgdt %0" : : "m"(segments));
	__asm__ volatile("lidt %0" : : "m"(table));
	/* Its own page, never validated, becomes the one in which it asks. */
	if (msr_call(SNP_GHCB | OP_SHARED << 52 | 0x14) != 0x15)
		__builtin_trap();
	if (msr_call(SNP_GHCB | 0x12) != (SNP_GHCB | 0x13))
		__builtin_trap();
	bodies[body]();
	end(0);
}
