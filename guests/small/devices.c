/* SPDX-License-Identifier: BSD-2-Clause */
/* Bodies that use devices, and instructions that a guest may not have. */
#include "guests/small/devices.h"
#include "guests/small/guest.h"

static volatile u8 *device;

static u64 device_word(u64 offset)
{
	return *(volatile u64 *)(volatile void *)(device + offset);
}

/* Stores of every size and form. */
static void stores(void)
{
	__asm__ volatile("movb %b1, (%0)" : : "r"(device), "r"(0xf1ul) : "memory");
	__asm__ volatile("movw %w1, 2(%0)" : : "r"(device), "r"(0xe2e3ul) : "memory");
	__asm__ volatile("movl %k1, 4(%0)" : : "r"(device), "r"(0xd4d5d6d7ul) : "memory");
	__asm__ volatile("movq %1, 8(%0)" : : "r"(device), "r"(0x0123456789abcdeful) : "memory");
	REQUIRE(device_word(0) == 0xd4d5d6d7e2e300f1ul);
	REQUIRE(device_word(8) == 0x0123456789abcdeful);
	__asm__ volatile("movb $0x11, 16(%0)" : : "r"(device) : "memory");
	__asm__ volatile("movw $0x2222, 18(%0)" : : "r"(device) : "memory");
	__asm__ volatile("movl $0x33333333, 20(%0)" : : "r"(device) : "memory");
	__asm__ volatile("movq $-2, 24(%0)" : : "r"(device) : "memory");
	REQUIRE(device_word(16) == 0x3333333322220011ul);
	REQUIRE(device_word(24) == 0xfffffffffffffffeul);
	__asm__ volatile("mov %%ah, 1(%0)" : : "r"(device), "a"(0xaa00ul) : "memory");
	REQUIRE(device_word(0) == 0xd4d5d6d7e2e3aaf1ul);
	__asm__ volatile("movb %%r9b, (%0, %1, 8)" : : "r"(device), "r"(4ul) : "memory");
}

static void loads(void)
{
	u64 a;
	u64 b;

	*(volatile u64 *)(volatile void *)(device + 32) = 0x8081828384858687ul;
	__asm__ volatile("mov $-1, %0; movb 32(%1), %b0" : "=&r"(a) : "r"(device));
	REQUIRE(a == 0xffffffffffffff87ul);
	__asm__ volatile("mov $-1, %0; movw 32(%1), %w0" : "=&r"(a) : "r"(device));
	REQUIRE(a == 0xffffffffffff8687ul);
	__asm__ volatile("mov $-1, %0; movl 32(%1), %k0" : "=&r"(a) : "r"(device));
	REQUIRE(a == 0x84858687ul);
	__asm__ volatile("movzbl 33(%1), %k0" : "=r"(a) : "r"(device));
	REQUIRE(a == 0x86);
	__asm__ volatile("movzwl 34(%1), %k0" : "=r"(a) : "r"(device));
	REQUIRE(a == 0x8485);
	__asm__ volatile("movsbq 32(%1), %0" : "=r"(a) : "r"(device));
	REQUIRE(a == 0xffffffffffffff87ul);
	__asm__ volatile("movswl 32(%1), %k0" : "=r"(a) : "r"(device));
	REQUIRE(a == 0xffff8687ul);
	__asm__ volatile("movslq 32(%1), %0" : "=r"(a) : "r"(device));
	REQUIRE(a == 0xffffffff84858687ul);
	__asm__ volatile("movabs %1, %0" : "=a"(a) : "i"(0x11ul));
	b = 1;
	__asm__ volatile("add 32(%1), %0" : "+r"(b) : "r"(device));
	REQUIRE(b == 0x8081828384858688ul);
	__asm__ volatile("cmpb $0x87, 32(%1); sete %b0" : "=q"(a) : "r"(device) : "cc");
	REQUIRE((u8)a == 1);
	__asm__ volatile("testl $0x80, 32(%1); setne %b0" : "=q"(a) : "r"(device) : "cc");
	REQUIRE((u8)a == 1);
}

/* Read, modify, write: two events each. */
static void updates(void)
{
	volatile u64 *word = (volatile u64 *)(volatile void *)(device + 40);
	u64 a = 0x55;

	*word = 0xf0;
	__asm__ volatile("orb $0x0f, (%0)" : : "r"(word) : "memory", "cc");
	REQUIRE(*word == 0xff);
	__asm__ volatile("andw $0x3c, (%0)" : : "r"(word) : "memory", "cc");
	REQUIRE(*word == 0x3c);
	__asm__ volatile("addl %k1, (%0)" : : "r"(word), "r"(4ul) : "memory", "cc");
	REQUIRE(*word == 0x40);
	__asm__ volatile("xorq %1, (%0)" : : "r"(word), "r"(1ul << 63) : "memory", "cc");
	REQUIRE(*word == (0x40 | 1ul << 63));
	__asm__ volatile("lock incl (%0)" : : "r"(word) : "memory", "cc");
	REQUIRE((u32)*word == 0x41);
	__asm__ volatile("notl (%0)" : : "r"(word) : "memory", "cc");
	REQUIRE((u32)*word == ~0x41u);
	__asm__ volatile("xchg %0, (%1)" : "+r"(a) : "r"(word) : "memory");
	REQUIRE(*word == 0x55 && (u32)a == ~0x41u);
	a = 0x55;
	__asm__ volatile("lock cmpxchgq %2, (%1)"
			 : "+a"(a)
			 : "r"(word), "r"(0x77ul)
			 : "memory", "cc");
	REQUIRE(*word == 0x77);
}

static void strings(void)
{
	static u8 buffer[16];
	void *to = (void *)(device + 64);
	const void *from = (void *)(device + 64);
	u64 n = 4;

	__asm__ volatile("rep stosl" : "+D"(to), "+c"(n) : "a"(0x61626364) : "memory");
	REQUIRE(n == 0 && to == (void *)(device + 80));
	REQUIRE(device_word(64) == 0x6162636461626364ul);
	to = buffer;
	n = 10;
	__asm__ volatile("rep movsb" : "+D"(to), "+S"(from), "+c"(n) : : "memory");
	REQUIRE(n == 0 && memcmp(buffer, "dcbadcbadc", 10) == 0);
}

BODY(mmio)
{
	device = shared_alias(DEVICE);
	stores();
	loads();
	updates();
	strings();
}

BODY(mmio_denied)
{
	u64 value;

	REQUIRE(!probe_read(shared_alias(DEVICE), &value));
	REQUIRE(trap_last.vector == VECTOR_MC);
}

BODY(ports)
{
	static u8 out[1000];
	static u8 in[1000];
	u32 sum = 0;
	void *to = in;
	const void *from = out;
	u64 n = sizeof(out);

	for (u16 i = 0; i < 16; i++)
		out8(PORT_MEMORY + i, (u8)(i * 17));
	REQUIRE(in8(PORT_MEMORY + 3) == 0x33);
	REQUIRE(in16(PORT_MEMORY + 4) == 0x5544);
	REQUIRE(in32(PORT_MEMORY + 8) == 0xbbaa9988);
	out32(PORT_MEMORY, 0xcafebabe);
	out16(PORT_MEMORY + 2, 0x1234);
	REQUIRE(in32(PORT_MEMORY) == 0x1234babe);
	REQUIRE(in8(PORT_NOBODY) == 0xff && in16(PORT_NOBODY) == 0xffff &&
		in32(PORT_NOBODY) == ~0u);
	for (u32 i = 0; i < sizeof(out); i++) {
		out[i] = (u8)(i * 7);
		sum += out[i];
	}
	__asm__ volatile("rep outsb" : "+S"(from), "+c"(n) : "d"(PORT_STRING) : "memory");
	REQUIRE(n == 0 && from == out + sizeof(out));
	REQUIRE(step(1) == sum);
	n = sizeof(in);
	__asm__ volatile("rep insb" : "+D"(to), "+c"(n) : "d"(PORT_STRING) : "memory");
	REQUIRE(n == 0 && to == in + sizeof(in));
	for (u32 i = 0; i < sizeof(in); i++)
		REQUIRE(in[i] == (u8)i);
	/* Backwards, by words, not a page's whole. */
	from = out + 20;
	n = 5;
	__asm__ volatile("std; rep outsw; cld" : "+S"(from), "+c"(n) : "d"(PORT_STRING) : "memory");
	REQUIRE(n == 0 && from == out + 10);
	REQUIRE(step(2) == sum + out[20] + out[21] + out[18] + out[19] + out[16] + out[17] +
				   out[14] + out[15] + out[12] + out[13]);
	from = out;
	__asm__ volatile("outsl" : "+S"(from) : "d"(PORT_STRING) : "memory");
	REQUIRE(from == out + 4);
}

/* INS into a page that is not mapped yet in the guest's own tables: #PF, then it goes on. */
BODY(msrs)
{
	u64 value;

	REQUIRE(probe_msr_write(MSR_DEVICE, 0x1122334455667788));
	REQUIRE(probe_msr_read(MSR_DEVICE, &value) && value == 0x1122334455667788);
	REQUIRE(!probe_msr_read(MSR_NOBODY, &value) && trap_last.vector == VECTOR_GP);
	REQUIRE(trap_last.error == 0);
	REQUIRE(!probe_msr_write(MSR_NOBODY, 1) && trap_last.vector == VECTOR_GP);
	/* Registers that Septum owns refuse what they cannot hold. */
	REQUIRE(!probe_msr_write(MSR_EFER, ~0ul) && trap_last.vector == VECTOR_GP);
	REQUIRE(!probe_msr_write(MSR_PAT, 0x0203040506070809) && trap_last.vector == VECTOR_GP);
	REQUIRE(msr_read(MSR_EFER) & 1 << 10); /* LMA */
}

#define REFUSED(bytes)                                                                             \
	do {                                                                                       \
		PROBE("xor %%eax, %%eax\n\t.byte " bytes,                                          \
		      :                                                                            \
		      :                                                                            \
		      : "rax", "rcx", "rdx", "memory", "cc");                                      \
		if (trap_last.vector != VECTOR_UD) {                                               \
			print("guest: instruction %s: vector %d\n", bytes, trap_last.vector);      \
			guest_fail(__FILE__, __LINE__, "#UD");                                     \
		}                                                                                  \
	} while (0)

BODY(undefined)
{
	/* SVM: VMRUN VMLOAD VMSAVE STGI CLGI SKINIT INVLPGA */
	REFUSED("0x0f, 0x01, 0xd8");
	REFUSED("0x0f, 0x01, 0xda");
	REFUSED("0x0f, 0x01, 0xdb");
	REFUSED("0x0f, 0x01, 0xdc");
	REFUSED("0x0f, 0x01, 0xdd");
	REFUSED("0x0f, 0x01, 0xde");
	REFUSED("0x0f, 0x01, 0xdf");
	/* VMX: VMLAUNCH VMRESUME VMXOFF VMPTRLD VMCLEAR VMXON VMPTRST VMREAD VMWRITE INVEPT INVVPID
	 */
	REFUSED("0x0f, 0x01, 0xc2");
	REFUSED("0x0f, 0x01, 0xc3");
	REFUSED("0x0f, 0x01, 0xc4");
	REFUSED("0x0f, 0xc7, 0x34, 0x24");
	REFUSED("0x66, 0x0f, 0xc7, 0x34, 0x24");
	REFUSED("0xf3, 0x0f, 0xc7, 0x34, 0x24");
	REFUSED("0x0f, 0xc7, 0x3c, 0x24");
	REFUSED("0x0f, 0x78, 0xc0");
	REFUSED("0x0f, 0x79, 0xc0");
	REFUSED("0x66, 0x0f, 0x38, 0x80, 0x04, 0x24");
	REFUSED("0x66, 0x0f, 0x38, 0x81, 0x04, 0x24");
	/* TDCALL SEAMCALL SEAMRET; PVALIDATE RMPADJUST; UD2 */
	REFUSED("0x66, 0x0f, 0x01, 0xcc");
	REFUSED("0x66, 0x0f, 0x01, 0xcf");
	REFUSED("0x66, 0x0f, 0x01, 0xcd");
	REFUSED("0xf2, 0x0f, 0x01, 0xff");
	REFUSED("0xf3, 0x0f, 0x01, 0xfe");
	REFUSED("0x0f, 0x0b");
	/* CPUID does not promise them either. */
	REQUIRE(!(cpuid(1, 0).c >> 5 & 1));
	REQUIRE(!(cpuid(0x80000001, 0).c >> 2 & 1));
	REQUIRE(!(msr_read(MSR_EFER) & 1 << 12));
}

BODY(sees_septum)
{
	struct cpuid r = cpuid(0x40000000, 0);

	REQUIRE(r.a == 0x40000001 && r.b == 0x4b4d564b && r.c == 0x564b4d56 && r.d == 0x4d);
	REQUIRE(cpuid(0x40000001, 0).a & 1 << 16);
	r = cpuid(0x40000100, 0);
	REQUIRE(r.a == 0x40000101 && r.b == 0x74706553 && r.c == 0x65536d75 && r.d == 0x6d757470);
	r = cpuid(0x40000101, 0);
	REQUIRE(r.a == SEPTUM_SW_PROTECTED && r.d == SEPTUM_ABI_VERSION);
	step(r.b);
	REQUIRE(cpuid(1, 0).c >> 31 & 1); /* there is a hypervisor */
}
