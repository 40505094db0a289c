/* sources: arch/x86/decode.c arch/x86/emulate.c */
/* SPDX-License-Identifier: BSD-2-Clause */
/* Completing instructions, against the processor that runs this test: the same bytes are
 * executed natively and by decode() + insn_linear() + insn_execute(). Then by hand what a
 * 64-bit program cannot do: ports, and addresses of 16 and 32 bits in other modes. */
#define _GNU_SOURCE
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <asm/prctl.h>
#include <cmocka.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "arch/x86/emulate.h"

#define ARITHMETIC_FLAGS (FLAG_CF | FLAG_PF | FLAG_AF | FLAG_ZF | FLAG_SF | FLAG_OF)
#define OPERANDS	 1024u /* bytes of memory that instructions work on */
#define GS_BASE		 0x1230ul

/* In this order for the assembly below. */
struct native {
	u64 gpr[16];
	u64 rflags;
	const u8 *code;
};
struct native native __asm__("native_state");

/* Runs native.code, an instruction and RET, with these registers and flags; RSP is the
 * real one, and gpr[RSP] becomes what the instruction saw. */
void run_native(void);
__asm__(".text\n"
	".globl run_native\n"
	"run_native:\n"
	"	push %rbx; push %rbp; push %r12; push %r13; push %r14; push %r15\n"
	"	lea -8(%rsp), %rax\n"
	"	mov %rax, native_state + 0x20(%rip)\n"
	"	pushq native_state + 0x80(%rip)\n"
	"	popfq\n"
	"	mov native_state + 0x00(%rip), %rax\n"
	"	mov native_state + 0x08(%rip), %rcx\n"
	"	mov native_state + 0x10(%rip), %rdx\n"
	"	mov native_state + 0x18(%rip), %rbx\n"
	"	mov native_state + 0x28(%rip), %rbp\n"
	"	mov native_state + 0x30(%rip), %rsi\n"
	"	mov native_state + 0x38(%rip), %rdi\n"
	"	mov native_state + 0x40(%rip), %r8\n"
	"	mov native_state + 0x48(%rip), %r9\n"
	"	mov native_state + 0x50(%rip), %r10\n"
	"	mov native_state + 0x58(%rip), %r11\n"
	"	mov native_state + 0x60(%rip), %r12\n"
	"	mov native_state + 0x68(%rip), %r13\n"
	"	mov native_state + 0x70(%rip), %r14\n"
	"	mov native_state + 0x78(%rip), %r15\n"
	"	call *native_state + 0x88(%rip)\n"
	"	mov %rax, native_state + 0x00(%rip)\n"
	"	mov %rcx, native_state + 0x08(%rip)\n"
	"	mov %rdx, native_state + 0x10(%rip)\n"
	"	mov %rbx, native_state + 0x18(%rip)\n"
	"	mov %rbp, native_state + 0x28(%rip)\n"
	"	mov %rsi, native_state + 0x30(%rip)\n"
	"	mov %rdi, native_state + 0x38(%rip)\n"
	"	mov %r8,  native_state + 0x40(%rip)\n"
	"	mov %r9,  native_state + 0x48(%rip)\n"
	"	mov %r10, native_state + 0x50(%rip)\n"
	"	mov %r11, native_state + 0x58(%rip)\n"
	"	mov %r12, native_state + 0x60(%rip)\n"
	"	mov %r13, native_state + 0x68(%rip)\n"
	"	mov %r14, native_state + 0x70(%rip)\n"
	"	mov %r15, native_state + 0x78(%rip)\n"
	"	pushfq\n"
	"	popq native_state + 0x80(%rip)\n"
	"	cld\n"
	"	pop %r15; pop %r14; pop %r13; pop %r12; pop %rbp; pop %rbx\n"
	"	ret\n");

static u8 *code;     /* below 4 GiB, executable */
static u8 *operands; /* below 4 GiB */

static int map_memory(void **state)
{
	(void)state;
	code = mmap(NULL, PAGE_SIZE, PROT_READ | PROT_WRITE | PROT_EXEC,
		    MAP_PRIVATE | MAP_ANONYMOUS | MAP_32BIT, -1, 0);
	operands = mmap(NULL, PAGE_SIZE, PROT_READ | PROT_WRITE,
			MAP_PRIVATE | MAP_ANONYMOUS | MAP_32BIT, -1, 0);
	if (code == MAP_FAILED || operands == MAP_FAILED)
		return -1;
	return (int)syscall(SYS_arch_prctl, ARCH_SET_GS, GS_BASE);
}

static u64 seed = 0x9e3779b97f4a7c15;

static u64 random_64(void)
{
	seed ^= seed << 13;
	seed ^= seed >> 7;
	seed ^= seed << 17;
	return seed * 0x2545f4914f6cdd1d;
}

static unsigned below(unsigned n)
{
	return (unsigned)(random_64() >> 33) % n;
}

/* Numbers near the ends of each size, where the flags are. */
static u64 interesting(void)
{
	static const u64 ends[] = {0,	      0x7f,	 0x80,	     0xff,	 0x7fff,
				   0x8000,    0xffff,	 0x7fffffff, 0x80000000, 0xffffffff,
				   ~0ul >> 1, 1ul << 63, ~0ul};

	return below(2) ? random_64() : ends[below(ARRAY_COUNT(ends))] + below(3) - 1;
}

/* ---- the emulated side ---- */

struct machine {
	u64 gpr[16];
	u64 rflags;
	u8 memory[OPERANDS];
};

static u8 *operand(struct machine *m, u64 linear, unsigned bytes)
{
	const u64 at = linear - (u64)operands;

	assert_true(at <= OPERANDS - bytes);
	return m->memory + at;
}

static void emulate(const struct insn *insn, struct machine *m)
{
	enum execute_status status;

	if (insn_count(insn, m->gpr) == 0)
		return;
	do {
		const struct insn_mem *const from =
			insn->op == INSN_MOVS ? &insn->source : &insn->mem;
		const u64 to = insn_linear(insn, &insn->mem, m->gpr, (u64)code, GS_BASE);
		u64 loaded = 0, stored;

		if (insn->mem_read || insn->op == INSN_MOVS)
			memcpy(&loaded,
			       operand(m, insn_linear(insn, from, m->gpr, (u64)code, GS_BASE),
				       insn->mem_size),
			       insn->mem_size);
		status = insn_execute(insn, m->gpr, &m->rflags, loaded, &stored);
		assert_int_not_equal(status, EXECUTE_UNSUPPORTED);
		if (insn->mem_write)
			memcpy(operand(m, to, insn->mem_size), &stored, insn->mem_size);
		else
			assert_int_equal(stored, 0);
	} while (status == EXECUTE_REPEATS);
}

/* What the manual leaves undefined is the processor's own business. */
static u64 undefined_flags(unsigned op)
{
	switch (op) {
	case INSN_AND:
	case INSN_OR:
	case INSN_XOR:
	case INSN_TEST:
		return FLAG_AF;
	case INSN_BT:
	case INSN_BTS:
	case INSN_BTR:
	case INSN_BTC:
		return FLAG_OF | FLAG_SF | FLAG_AF | FLAG_PF;
	default:
		return 0;
	}
}

/* Executes insn, whose bytes are at `code`, both ways on the state in native. */
static void compare(const struct insn *insn)
{
	const u64 flags = (ARITHMETIC_FLAGS | FLAG_DF) & ~undefined_flags(insn->op);
	struct machine m;

	code[insn->length] = 0xc3;
	native.code = code;
	memcpy(m.gpr, native.gpr, sizeof(m.gpr));
	m.rflags = native.rflags;
	memcpy(m.memory, operands, OPERANDS);
	run_native();
	m.gpr[REG_RSP] = native.gpr[REG_RSP];
	emulate(insn, &m);

	for (unsigned i = 0; i < 16; i++)
		if (m.gpr[i] != native.gpr[i])
			fail_msg("%02x %02x %02x %02x %02x %02x: register %u: %lx, CPU %lx",
				 code[0], code[1], code[2], code[3], code[4], code[5], i, m.gpr[i],
				 native.gpr[i]);
	if ((m.rflags ^ native.rflags) & flags)
		fail_msg("%02x %02x %02x %02x %02x %02x: flags %lx, CPU %lx", code[0], code[1],
			 code[2], code[3], code[4], code[5], m.rflags & flags,
			 native.rflags & flags);
	assert_memory_equal(m.memory, operands, OPERANDS);
}

/* ---- random instructions with one memory operand ---- */

static const struct {
	u8 length;
	u8 opcode[2];
	int8_t reg; /* ModR/M.reg, or -1: any */
} forms[] = {
	{1, {0x00}, -1},       {1, {0x01}, -1},	      {1, {0x02}, -1},	     {1, {0x03}, -1},
	{1, {0x08}, -1},       {1, {0x09}, -1},	      {1, {0x0a}, -1},	     {1, {0x0b}, -1},
	{1, {0x10}, -1},       {1, {0x11}, -1},	      {1, {0x12}, -1},	     {1, {0x13}, -1},
	{1, {0x18}, -1},       {1, {0x19}, -1},	      {1, {0x1a}, -1},	     {1, {0x1b}, -1},
	{1, {0x20}, -1},       {1, {0x21}, -1},	      {1, {0x22}, -1},	     {1, {0x23}, -1},
	{1, {0x28}, -1},       {1, {0x29}, -1},	      {1, {0x2a}, -1},	     {1, {0x2b}, -1},
	{1, {0x30}, -1},       {1, {0x31}, -1},	      {1, {0x32}, -1},	     {1, {0x33}, -1},
	{1, {0x38}, -1},       {1, {0x39}, -1},	      {1, {0x3a}, -1},	     {1, {0x3b}, -1},
	{1, {0x63}, -1},       {1, {0x80}, -1},	      {1, {0x81}, -1},	     {1, {0x83}, -1},
	{1, {0x84}, -1},       {1, {0x85}, -1},	      {1, {0x86}, -1},	     {1, {0x87}, -1},
	{1, {0x88}, -1},       {1, {0x89}, -1},	      {1, {0x8a}, -1},	     {1, {0x8b}, -1},
	{1, {0xc6}, 0},	       {1, {0xc7}, 0},	      {1, {0xf6}, 0},	     {1, {0xf7}, 0},
	{1, {0xf6}, 1},	       {1, {0xf7}, 1},	      {1, {0xf6}, 2},	     {1, {0xf7}, 2},
	{1, {0xf6}, 3},	       {1, {0xf7}, 3},	      {1, {0xfe}, 0},	     {1, {0xff}, 0},
	{1, {0xfe}, 1},	       {1, {0xff}, 1},	      {2, {0x0f, 0xa3}, -1}, {2, {0x0f, 0xab}, -1},
	{2, {0x0f, 0xb3}, -1}, {2, {0x0f, 0xbb}, -1}, {2, {0x0f, 0xba}, 4},  {2, {0x0f, 0xba}, 5},
	{2, {0x0f, 0xba}, 6},  {2, {0x0f, 0xba}, 7},  {2, {0x0f, 0xb0}, -1}, {2, {0x0f, 0xb1}, -1},
	{2, {0x0f, 0xc0}, -1}, {2, {0x0f, 0xc1}, -1}, {2, {0x0f, 0xb6}, -1}, {2, {0x0f, 0xb7}, -1},
	{2, {0x0f, 0xbe}, -1}, {2, {0x0f, 0xbf}, -1}, {2, {0x0f, 0xc3}, -1},
};

static void randomise(void)
{
	for (unsigned i = 0; i < 16; i++)
		native.gpr[i] = interesting();
	for (unsigned i = 0; i < OPERANDS; i += 8) {
		const u64 value = interesting();

		memcpy(operands + i, &value, 8);
	}
	native.rflags = 2 | (random_64() & (ARITHMETIC_FLAGS | FLAG_DF));
}

/* Writes an instruction to `code`. Its ModR/M names an address at `target`. */
static void encode(unsigned form, u64 target, bool lock)
{
	u8 *p = code;
	u8 rex = below(3) ? (u8)(0x40 | below(16)) : 0;
	const bool address_32 = below(5) == 0;
	const bool gs = below(8) == 0;
	unsigned base, index, reg, where = below(4);

	do {
		base = below(8);
	} while (base == 4);
	do {
		index = below(8);
	} while (index == 4 || index == base);

	if (address_32)
		*p++ = 0x67;
	if (below(4) == 0 && forms[form].opcode[1] != 0xc3)
		*p++ = 0x66;
	if (gs) {
		*p++ = 0x65;
		target -= GS_BASE;
	}
	if (lock)
		*p++ = 0xf0;
	if (rex)
		*p++ = rex;
	memcpy(p, forms[form].opcode, forms[form].length);
	p += forms[form].length;
	reg = forms[form].reg < 0 ? below(8) : (unsigned)forms[form].reg;

	if (where == 0) { /* RIP-relative: completed when the length is known */
		*p++ = (u8)(reg << 3 | 5);
		memcpy(p, "\0\0\0\0", 4);
	} else if (where == 1) { /* base + disp8 */
		*p++ = (u8)(0x40 | reg << 3 | base);
		*p = (u8)(random_64() & 0xf8);
		target -= (u64)(int8_t)*p;
	} else { /* base + index * scale + disp32 */
		const unsigned scale = below(4);
		const unsigned index_reg = index | (rex & 2 ? 8 : 0);
		const int32_t disp = (int32_t)(random_64() & ~7ul);

		*p++ = (u8)(0x80 | reg << 3 | 4);
		*p++ = (u8)(scale << 6 | index << 3 | base);
		memcpy(p, &disp, 4);
		if (index_reg == (base | (rex & 1 ? 8 : 0)))
			native.gpr[index_reg] = 0;
		native.gpr[index_reg] &= ~7ul;
		target -= (u64)(s64)disp + (native.gpr[index_reg] << scale);
	}
	if (where == 0) {
		struct insn insn;
		int32_t disp;

		assert_int_not_equal(decode(code, 15, DECODE_64, &insn), DECODE_SHORT);
		disp = (int32_t)(target - ((u64)code + insn.length));
		memcpy(p, &disp, 4);
	} else {
		native.gpr[base | (rex & 1 ? 8 : 0)] =
			address_32 ? (u32)target | random_64() << 32 : target;
	}
}

static bool uses(const struct insn *insn, unsigned n)
{
	return insn->mem.base == n || insn->mem.index == n;
}

static void instructions_do_what_the_processor_does(void **state)
{
	unsigned seen[INSN_LAST_MEMORY + 1] = {0}, locked = 0;

	(void)state;
	for (unsigned i = 0; i < 300000; i++) {
		const bool lock = below(6) == 0;
		const u64 target = (u64)operands + 256 + 8 * below(64) + (lock ? 0 : below(8));
		const unsigned form = i % ARRAY_COUNT(forms);
		struct insn insn;
		enum decode_status status;

		for (unsigned k = 0; k < 32; k++)
			code[k] = (u8)random_64();
		randomise();
		encode(form, target, lock);
		status = decode(code, 15, DECODE_64, &insn);
		if ((status == DECODE_INVALID && lock) || status == DECODE_TOO_LONG)
			continue;
		assert_int_equal(status, DECODE_OK);
		if (insn.has_reg && insn.reg.n == REG_RSP)
			continue; /* the test needs it itself */
		if (insn.op >= INSN_BT && insn.op <= INSN_BTC && insn.has_reg) {
			if (uses(&insn, insn.reg.n))
				continue;
			/* a bit offset of at most 512 each way, under any higher bits */
			insn_reg_write(native.gpr, insn.reg, MIN(insn.size, 4), below(1024) - 512);
			if (insn.size == 8)
				native.gpr[insn.reg.n] = (u64)(s64)(int32_t)native.gpr[insn.reg.n];
		}
		if (insn.op == INSN_CMPXCHG && !uses(&insn, REG_RAX) && below(2))
			memcpy(&native.gpr[REG_RAX], operands + (target - (u64)operands), 8);
		compare(&insn);
		seen[insn.op]++;
		locked += insn.lock;
	}
	for (unsigned op = INSN_ADD; op < INSN_MOVS; op++)
		assert_true(seen[op] > 1000);
	assert_true(locked > 10000);
}

static void strings_do_what_the_processor_does(void **state)
{
	static const u8 opcodes[] = {0xa4, 0xa5, 0xaa, 0xab, 0xac, 0xad};
	static const char *const prefixes[] = {"",     "\xf3",	   "\xf2",
					       "\x66", "\xf3\x66", "\xf3\x67",
					       "\x67", "\x65\xf3", "\x65\x67\x66"};

	(void)state;
	for (unsigned i = 0; i < 60000; i++) {
		const char *const prefix = prefixes[below(ARRAY_COUNT(prefixes))];
		const bool address_32 = strchr(prefix, 0x67) != NULL;
		u8 *p = code + strlen(prefix);
		struct insn insn;

		randomise();
		memcpy(code, prefix, strlen(prefix));
		if (below(2))
			*p++ = (u8)(0x40 | below(16));
		*p++ = opcodes[below(ARRAY_COUNT(opcodes))];
		native.gpr[REG_RCX] = below(20);
		native.gpr[REG_RSI] = (u64)operands + 256 + below(512);
		native.gpr[REG_RDI] = (u64)operands + 256 + below(512);
		if (prefix[0] == 0x65)
			native.gpr[REG_RSI] -= GS_BASE;
		if (address_32) {
			native.gpr[REG_RSI] |= random_64() << 32;
			native.gpr[REG_RDI] |= random_64() << 32;
			/* a count of zero may or may not clear the upper half */
			native.gpr[REG_RCX] += 1 + (random_64() << 32);
		}
		assert_int_equal(decode(code, 15, DECODE_64, &insn), DECODE_OK);
		compare(&insn);
	}
}

static void every_byte_operation_has_the_processors_flags(void **state)
{
	/* op [rsi], dl; and of one operand */
	static const u8 codes[][2] = {{0x00, 0x16}, {0x08, 0x16}, {0x10, 0x16}, {0x18, 0x16},
				      {0x20, 0x16}, {0x28, 0x16}, {0x30, 0x16}, {0x38, 0x16},
				      {0x84, 0x16}, {0xfe, 0x06}, {0xfe, 0x0e}, {0xf6, 0x16},
				      {0xf6, 0x1e}};

	(void)state;
	for (unsigned c = 0; c < ARRAY_COUNT(codes); c++) {
		struct insn insn;

		memcpy(code, codes[c], 2);
		code[2] = 0xc3;
		assert_int_equal(decode(code, 15, DECODE_64, &insn), DECODE_OK);
		native.code = code;
		for (unsigned i = 0; i < 0x20000; i++) {
			const u8 a = (u8)i, b = (u8)(i >> 8);
			const u64 mask = ARITHMETIC_FLAGS & ~undefined_flags(insn.op);
			u64 rflags = 2 | (i >> 16 ? FLAG_CF : ARITHMETIC_FLAGS & ~FLAG_CF);
			u64 result;

			operands[0] = a;
			native.gpr[REG_RSI] = (u64)operands;
			native.gpr[REG_RDX] = b;
			native.rflags = rflags;
			run_native();
			result = alu((enum insn_op)insn.op, 1, a, b, &rflags);
			assert_int_equal(result, operands[0]);
			if ((rflags ^ native.rflags) & mask)
				fail_msg("%02x %02x: %02x, %02x: flags %lx, CPU %lx", code[0],
					 code[1], a, b, rflags, native.rflags);
		}
	}
}

/* ---- what a program of 64 bits cannot try ---- */

static struct insn decoded(const char *bytes, enum decode_mode mode)
{
	struct insn insn;

	assert_int_equal(decode((const u8 *)bytes, 15, mode, &insn), DECODE_OK);
	return insn;
}

#define CODE(text) (text "\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0")

static void ports_move_through_the_accumulator(void **state)
{
	u64 gpr[16] = {[REG_RAX] = 0x1122334455667788, [REG_RDI] = 0xfffe, [REG_RSI] = 0x10000};
	u64 flags = 2, stored;
	struct insn insn = decoded(CODE("\xec"), DECODE_64); /* in al,dx */

	(void)state;
	assert_int_equal(insn_execute(&insn, gpr, &flags, 0x5ab, &stored), EXECUTE_DONE);
	assert_int_equal(gpr[REG_RAX], 0x11223344556677ab);
	insn = decoded(CODE("\x66\xe5\x70"), DECODE_64); /* in ax,0x70 */
	assert_int_equal(insn_execute(&insn, gpr, &flags, 0x1cdef, &stored), EXECUTE_DONE);
	assert_int_equal(gpr[REG_RAX], 0x112233445566cdef);
	insn = decoded(CODE("\xe7\x70"), DECODE_64); /* out 0x70,eax */
	assert_int_equal(insn_execute(&insn, gpr, &flags, 0, &stored), EXECUTE_DONE);
	assert_int_equal(stored, 0x5566cdef);
	insn = decoded(CODE("\x48\xed"), DECODE_64); /* in eax,dx whatever REX.W says */
	assert_int_equal(insn_execute(&insn, gpr, &flags, 0x87654321, &stored), EXECUTE_DONE);
	assert_int_equal(gpr[REG_RAX], 0x87654321);

	/* 16-bit addresses: rep insw wraps DI and CX, and keeps what is above them */
	gpr[REG_RDI] = 0xabcdfffe;
	gpr[REG_RCX] = 0x70002;
	insn = decoded(CODE("\xf3\x6d"), DECODE_16);
	assert_int_equal(insn_count(&insn, gpr), 2);
	assert_int_equal(insn_linear(&insn, &insn.mem, gpr, 0, 0x12340), 0x2233e);
	assert_int_equal(insn_execute(&insn, gpr, &flags, 0x1234, &stored), EXECUTE_REPEATS);
	assert_int_equal(stored, 0x1234);
	assert_int_equal(gpr[REG_RDI], 0xabcd0000);
	assert_int_equal(insn_execute(&insn, gpr, &flags, 0x1234, &stored), EXECUTE_DONE);
	assert_int_equal(gpr[REG_RDI], 0xabcd0002);
	assert_int_equal(gpr[REG_RCX], 0x70000);
	assert_int_equal(insn_count(&insn, gpr), 0);

	/* outsb downwards, with a segment */
	gpr[REG_RSI] = 0;
	flags |= FLAG_DF;
	insn = decoded(CODE("\x26\x6e"), DECODE_32);
	assert_int_equal(insn.mem.segment, INSN_ES);
	assert_int_equal(insn_execute(&insn, gpr, &flags, 0x5a, &stored), EXECUTE_DONE);
	assert_int_equal(stored, 0x5a);
	assert_int_equal(gpr[REG_RSI], 0xffffffff);
}

static void addresses_wrap_at_their_size(void **state)
{
	u64 gpr[16] = {0};
	struct insn insn;

	(void)state;
	gpr[REG_RBX] = 0x7777ff00;
	gpr[REG_RSI] = 0x88880180;
	insn = decoded(CODE("\x8b\x00"), DECODE_16); /* [bx+si] */
	assert_int_equal(insn_linear(&insn, &insn.mem, gpr, 0, 0xffff0), 0xffff0 + 0x80);
	insn = decoded(CODE("\x8b\x40\x80"), DECODE_16); /* [bx+si-0x80] */
	assert_int_equal(insn_linear(&insn, &insn.mem, gpr, 0, 0x10), 0x10);
	insn = decoded(CODE("\x67\x8b\x00"), DECODE_32); /* the same from 32-bit code */
	assert_int_equal(insn_linear(&insn, &insn.mem, gpr, 0, 0x10), 0x90);

	gpr[REG_RAX] = 0xfffffff0;
	insn = decoded(CODE("\x8b\x40\x20"), DECODE_32); /* [eax+0x20] */
	assert_int_equal(insn_linear(&insn, &insn.mem, gpr, 0, 0), 0x10);
	assert_int_equal(insn_linear(&insn, &insn.mem, gpr, 0, 0xfffffff8), 0x8);
	insn = decoded(CODE("\x67\x8b\x40\x20"), DECODE_64); /* [eax+0x20], and no base */
	assert_int_equal(insn_linear(&insn, &insn.mem, gpr, 0, 0xfffffff8), 0x10);
	insn = decoded(CODE("\x67\x64\x8b\x40\x20"), DECODE_64); /* fs:[eax+0x20] */
	assert_int_equal(insn_linear(&insn, &insn.mem, gpr, 0, 0xfffffff8), 0x100000008);
	insn = decoded(CODE("\x67\x8b\x05\x10\x00\x00\x00"), DECODE_64); /* [eip+0x10] */
	assert_int_equal(insn_linear(&insn, &insn.mem, gpr, 0x1fffffff0, 0), 0x7);

	/* bt dword [eax],ecx with a bit offset of -1: the dword below */
	insn = decoded(CODE("\x0f\xa3\x08"), DECODE_32);
	gpr[REG_RCX] = 0xffffffff;
	gpr[REG_RAX] = 2;
	assert_int_equal(insn_linear(&insn, &insn.mem, gpr, 0, 0), 0xfffffffe);

	insn = decoded(CODE("\x8b\x00"), DECODE_32);
	assert_int_equal(insn_next_rip(&insn, 0xffffffff), 1);
	insn = decoded(CODE("\x8b\x00"), DECODE_64);
	assert_int_equal(insn_next_rip(&insn, 0xffffffff), 0x100000001);
}

static void the_rest_is_refused(void **state)
{
	u64 gpr[16] = {1, 2, 3, 4}, flags = 2, stored = 5;
	const u64 before[16] = {1, 2, 3, 4};
	static const char *const codes[] = {
		CODE("\x01\xc8"),     /* add eax,ecx */
		CODE("\xf4"),	      /* hlt */
		CODE("\x0f\xa2"),     /* cpuid */
		CODE("\x0f\x01\x38"), /* invlpg [rax] */
		CODE("\x0f\x01\x20"), /* smsw [rax] */
		CODE("\x0f\x20\xc0"), /* mov rax,cr0 */
	};

	(void)state;
	for (unsigned i = 0; i < ARRAY_COUNT(codes); i++) {
		const struct insn insn = decoded(codes[i], DECODE_64);

		assert_int_equal(insn_execute(&insn, gpr, &flags, 7, &stored), EXECUTE_UNSUPPORTED);
		assert_int_equal(stored, 0);
		assert_int_equal(flags, 2);
		assert_memory_equal(gpr, before, sizeof(gpr));
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(instructions_do_what_the_processor_does),
		cmocka_unit_test(strings_do_what_the_processor_does),
		cmocka_unit_test(every_byte_operation_has_the_processors_flags),
		cmocka_unit_test(ports_move_through_the_accumulator),
		cmocka_unit_test(addresses_wrap_at_their_size),
		cmocka_unit_test(the_rest_is_refused),
	};

	return cmocka_run_group_tests(tests, map_memory, NULL);
}
