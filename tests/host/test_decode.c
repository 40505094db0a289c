/* sources: arch/x86/decode.c */
/* SPDX-License-Identifier: BSD-2-Clause */
/* The decoder against the GNU assembler and disassembler (decode_vectors.py).
 * Run from the root of the repository, or from wherever __FILE__ is relative to. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "arch/x86/decode.h"

/* ---- a decoded instruction as objdump would write it ---- */

static const char *const op_names[] = {
	[INSN_ADD] = "add",	    [INSN_OR] = "or",		[INSN_ADC] = "adc",
	[INSN_SBB] = "sbb",	    [INSN_AND] = "and",		[INSN_SUB] = "sub",
	[INSN_XOR] = "xor",	    [INSN_CMP] = "cmp",		[INSN_TEST] = "test",
	[INSN_INC] = "inc",	    [INSN_DEC] = "dec",		[INSN_NOT] = "not",
	[INSN_NEG] = "neg",	    [INSN_BT] = "bt",		[INSN_BTS] = "bts",
	[INSN_BTR] = "btr",	    [INSN_BTC] = "btc",		[INSN_XADD] = "xadd",
	[INSN_CMPXCHG] = "cmpxchg", [INSN_XCHG] = "xchg",	[INSN_MOV] = "mov",
	[INSN_MOVZX] = "movzx",	    [INSN_MOVSX] = "movsx",	[INSN_MOVS] = "movs",
	[INSN_STOS] = "stos",	    [INSN_LODS] = "lods",	[INSN_INS] = "ins",
	[INSN_OUTS] = "outs",	    [INSN_IN] = "in",		[INSN_OUT] = "out",
	[INSN_INT] = "int",	    [INSN_INT1] = "int1",	[INSN_INT3] = "int3",
	[INSN_INTO] = "into",	    [INSN_HLT] = "hlt",		[INSN_PAUSE] = "pause",
	[INSN_CPUID] = "cpuid",	    [INSN_RDMSR] = "rdmsr",	[INSN_WRMSR] = "wrmsr",
	[INSN_RDTSC] = "rdtsc",	    [INSN_RDTSCP] = "rdtscp",	[INSN_RDPMC] = "rdpmc",
	[INSN_XSETBV] = "xsetbv",   [INSN_INVD] = "invd",	[INSN_WBINVD] = "wbinvd",
	[INSN_MONITOR] = "monitor", [INSN_MWAIT] = "mwait",	[INSN_VMCALL] = "vmcall",
	[INSN_VMMCALL] = "vmmcall", [INSN_VMGEXIT] = "vmgexit", [INSN_CLTS] = "clts",
	[INSN_LMSW] = "lmsw",	    [INSN_SMSW] = "smsw",	[INSN_INVLPG] = "invlpg",
	[INSN_MOV_FROM_CR] = "mov", [INSN_MOV_TO_CR] = "mov",	[INSN_MOV_FROM_DR] = "mov",
	[INSN_MOV_TO_DR] = "mov",
};

static bool is_string(const struct insn *insn)
{
	return insn->op >= INSN_MOVS && insn->op <= INSN_OUTS;
}

static void append(char *out, const char *format, ...)
{
	const size_t used = strlen(out);
	va_list args;

	va_start(args, format);
	vsnprintf(out + used, 128 - used, format, args);
	va_end(args);
}

static u64 truncated(s64 value, unsigned size)
{
	return size == 8 ? (u64)value : (u64)value & ((1ul << 8 * size) - 1);
}

static const char *register_name(unsigned n, unsigned size)
{
	static const char *const low[4][8] = {
		{"al", "cl", "dl", "bl", "spl", "bpl", "sil", "dil"},
		{"ax", "cx", "dx", "bx", "sp", "bp", "si", "di"},
		{"eax", "ecx", "edx", "ebx", "esp", "ebp", "esi", "edi"},
		{"rax", "rcx", "rdx", "rbx", "rsp", "rbp", "rsi", "rdi"},
	};
	static char high[8][16];
	static unsigned next;
	char *const name = high[next++ % 8];

	if (n < 8)
		return low[__builtin_ctz(size)][n];
	assert_true(n < 16);
	snprintf(name, sizeof(high[0]), "r%u%s", n, &"b\0w\0d\0\0"[2 * __builtin_ctz(size)]);
	return name;
}

static void append_register(char *out, struct insn_reg reg, unsigned size)
{
	static const char *const high[4] = {"ah", "ch", "dh", "bh"};

	if (reg.high) {
		assert_true(reg.n < 4 && size == 1);
		append(out, "%s", high[reg.n]);
	} else {
		append(out, "%s", register_name(reg.n, size));
	}
}

static void append_memory(char *out, const struct insn *insn, const struct insn_mem *mem)
{
	static const char *const segments[] = {"es", "cs", "ss", "ds", "fs", "gs"};
	const unsigned address_size = insn->address_size;
	const bool absolute = mem->base == REG_NONE && mem->index == REG_NONE;
	unsigned usual = INSN_DS;

	switch (insn->op == INSN_INVLPG ? 0 : insn->mem_size) {
	case 1:
		append(out, "BYTE PTR ");
		break;
	case 2:
		append(out, "WORD PTR ");
		break;
	case 4:
		append(out, "DWORD PTR ");
		break;
	case 8:
		append(out, "QWORD PTR ");
		break;
	}
	/* objdump writes the segment where a prefix or the operand names it; in 64-bit
	 * mode the vectors have FS and GS only */
	if (mem->base == REG_RBP || mem->base == REG_RSP)
		usual = INSN_SS;
	if (insn->mode == DECODE_64 ? mem->segment >= INSN_FS
				    : mem->segment != usual || absolute || is_string(insn))
		append(out, "%s:", segments[mem->segment]);
	append(out, "[");
	if (mem->base == REG_RIP)
		append(out, "%s", address_size == 8 ? "rip" : "eip");
	else if (mem->base != REG_NONE)
		append(out, "%s", register_name(mem->base, address_size));
	if (mem->index != REG_NONE) {
		append(out, "%s%s", mem->base != REG_NONE ? "+" : "",
		       register_name(mem->index, address_size));
		if (mem->scale != 1)
			append(out, "*%u", mem->scale);
	}
	if (absolute)
		append(out, "0x%lx", truncated(mem->disp, address_size));
	else if (mem->base == REG_RIP)
		append(out, "+0x%lx", (u64)mem->disp);
	else if (mem->disp < 0)
		append(out, "-0x%lx", (u64)-mem->disp);
	else if (mem->disp > 0)
		append(out, "+0x%lx", (u64)mem->disp);
	append(out, "]");
}

static void append_special(char *out, const struct insn *insn)
{
	const bool is_cr = insn->op == INSN_MOV_FROM_CR || insn->op == INSN_MOV_TO_CR;

	append(out, "%cr%u", is_cr ? 'c' : 'd', insn->reg.n);
}

static void append_operands(char *out, const struct insn *insn)
{
	switch (insn->op) {
	case INSN_MOV_FROM_CR:
	case INSN_MOV_FROM_DR:
		append_register(out, insn->rm, insn->size);
		append(out, ",");
		append_special(out, insn);
		return;
	case INSN_MOV_TO_CR:
	case INSN_MOV_TO_DR:
		append_special(out, insn);
		append(out, ",");
		append_register(out, insn->rm, insn->size);
		return;
	case INSN_INS:
		append_memory(out, insn, &insn->mem);
		append(out, ",dx");
		return;
	case INSN_OUTS:
		append(out, "dx,");
		append_memory(out, insn, &insn->mem);
		return;
	case INSN_MOVS:
		append_memory(out, insn, &insn->mem);
		append(out, ",");
		append_memory(out, insn, &insn->source);
		return;
	case INSN_IN:
		append_register(out, insn->reg, insn->size);
		if (insn->has_imm)
			append(out, ",0x%lx", (u64)insn->imm);
		else
			append(out, ",dx");
		return;
	case INSN_OUT:
		if (insn->has_imm)
			append(out, "0x%lx,", (u64)insn->imm);
		else
			append(out, "dx,");
		append_register(out, insn->reg, insn->size);
		return;
	}
	if (insn->has_reg && insn->reg_is_destination) {
		append_register(out, insn->reg, insn->size);
		append(out, ",");
	}
	if (insn->has_mem)
		append_memory(out, insn, &insn->mem);
	if (insn->has_rm)
		append_register(out, insn->rm, insn->mem_size);
	if (insn->has_reg && !insn->reg_is_destination) {
		append(out, ",");
		append_register(out, insn->reg, insn->size);
	}
	if (insn->has_imm)
		append(out, "%s0x%lx", insn->has_mem || insn->has_rm ? "," : "",
		       truncated(insn->imm, insn->size));
}

static void format(char out[128], const struct insn *insn)
{
	out[0] = '\0';
	if (insn->lock)
		append(out, "lock ");
	if (is_string(insn) && insn->rep)
		append(out, insn->rep == 0xf3 ? "rep " : "repnz ");
	append(out, "%s", op_names[insn->op]);
	if (insn->has_mem || insn->has_rm || insn->has_reg || insn->has_imm) {
		append(out, " ");
		append_operands(out, insn);
	}
}

/* ---- what a decoded instruction reads and writes, from the manual's operand columns ---- */

static void check_access(const struct insn *insn, const char *text)
{
	const bool memory = strchr(text, '[') != NULL;
	/* the first operand is the destination */
	const char *const bracket = strchr(text, '['), *const comma = strchr(text, ',');
	const bool first = memory && (!comma || bracket < comma);
	bool reads = memory, writes = memory && first;

	switch (insn->op) {
	case INSN_CMP:
	case INSN_TEST:
	case INSN_BT:
	case INSN_LMSW:
		writes = false;
		break;
	case INSN_MOV:
		reads = memory && !first;
		break;
	case INSN_MOVS:
	case INSN_STOS:
	case INSN_INS:
	case INSN_SMSW:
		reads = false;
		break;
	case INSN_INVLPG:
		reads = writes = false;
		break;
	case INSN_XCHG:
		writes = memory;
		break;
	}
	assert_int_equal(insn->has_mem, memory);
	assert_int_equal(insn->mem_read, reads);
	assert_int_equal(insn->mem_write, writes);
}

/* ---- the vectors ---- */

struct vector {
	enum decode_mode mode;
	u8 bytes[32];
	unsigned count, length;
	enum { NO, MAY, MUST } verdict;
	char text[128];
};

static struct vector *vectors;
static size_t vector_count;

static bool parse(char *line, struct vector *v)
{
	char hex[65], verdict[8];
	unsigned mode, byte;
	int text;

	if (sscanf(line, "%u %64s %7s %u %n", &mode, hex, verdict, &v->length, &text) != 4)
		return false;
	v->mode = mode == 16 ? DECODE_16 : mode == 32 ? DECODE_32 : DECODE_64;
	for (v->count = 0; sscanf(hex + 2 * v->count, "%2x", &byte) == 1; v->count++)
		v->bytes[v->count] = (u8)byte;
	v->verdict = !strcmp(verdict, "must") ? MUST : !strcmp(verdict, "may") ? MAY : NO;
	snprintf(v->text, sizeof(v->text), "%.*s", (int)strcspn(line + text, "\n"), line + text);
	return true;
}

static int read_vectors(void **state)
{
	static const char file[] = __FILE__;
	const char *const slash = strrchr(file, '/');
	char command[512], line[512];
	bool complete = false;
	FILE *pipe;

	(void)state;
	snprintf(command, sizeof(command), "python3 %.*s/decode_vectors.py",
		 slash ? (int)(slash - file) : 1, slash ? file : ".");
	pipe = popen(command, "r");
	if (!pipe)
		return -1;
	vectors = malloc(200000 * sizeof(*vectors));
	while (vectors && vector_count < 200000 && fgets(line, sizeof(line), pipe)) {
		if (parse(line, &vectors[vector_count]))
			vector_count++;
		else
			complete = !strncmp(line, "end ", 4);
	}
	return pclose(pipe) == 0 && complete ? 0 : -1;
}

static int free_vectors(void **state)
{
	(void)state;
	free(vectors);
	return 0;
}

/* The bytes at the end of an allocation of exactly their size, for ASan. */
static enum decode_status decode_exactly(const u8 *bytes, unsigned count, enum decode_mode mode,
					 struct insn *insn)
{
	u8 *const copy = malloc(count ? count : 1);
	enum decode_status status;

	assert_non_null(copy);
	memcpy(copy, bytes, count);
	status = decode(count ? copy : copy + 1, count, mode, insn);
	free(copy);
	return status;
}

static void length_and_operands_are_the_toolchains(void **state)
{
	size_t known = 0, refused = 0;

	(void)state;
	for (size_t i = 0; i < vector_count; i++) {
		const struct vector *const v = &vectors[i];
		struct insn insn;
		char text[128];
		const enum decode_status status = decode(v->bytes, v->count, v->mode, &insn);

		text[0] = '\0';
		if (status == DECODE_OK)
			format(text, &insn);
		if (v->verdict == NO) {
			if (status == DECODE_OK)
				fail_msg("vector %zu: %s decoded as %s", i, v->text, text);
			refused++;
			continue;
		}
		if (v->verdict == MAY && status == DECODE_UNKNOWN)
			continue;
		if (status != DECODE_OK || insn.length != v->length || strcmp(text, v->text) != 0)
			fail_msg(
				"vector %zu (mode %d, %02x %02x %02x %02x %02x): status %d, length "
				"%u for %u, '%s' for '%s'",
				i, v->mode, v->bytes[0], v->bytes[1], v->bytes[2], v->bytes[3],
				v->bytes[4], status, insn.length, v->length, text, v->text);
		assert_int_equal(insn.mode, v->mode);
		check_access(&insn, v->text);
		known++;
	}
	print_message("%zu instructions agree, %zu refused\n", known, refused);
	assert_true(known > 50000);
	assert_true(refused > 10000);
}

static void every_truncation_is_short(void **state)
{
	(void)state;
	for (size_t i = 0; i < vector_count; i++) {
		const struct vector *const v = &vectors[i];
		struct insn whole, exact;

		if (decode(v->bytes, v->count, v->mode, &whole) != DECODE_OK)
			continue;
		for (unsigned n = 0; n < whole.length; n++)
			assert_int_equal(decode_exactly(v->bytes, n, v->mode, &exact),
					 DECODE_SHORT);
		assert_int_equal(decode_exactly(v->bytes, whole.length, v->mode, &exact),
				 DECODE_OK);
		assert_memory_equal(&whole, &exact, sizeof(whole));
	}
}

static void random_bytes_are_never_read_past_their_end(void **state)
{
	unsigned statuses[DECODE_INVALID + 1] = {0};
	u64 x = 88172645463325252ul;

	(void)state;
	for (unsigned i = 0; i < 400000; i++) {
		u8 bytes[16];
		struct insn insn;
		unsigned count;
		enum decode_status status;

		for (unsigned k = 0; k < 16; k++) {
			x ^= x << 13;
			x ^= x >> 7;
			x ^= x << 17;
			/* half of the leading bytes are prefixes, or there would be few */
			bytes[k] = x & 0x100 && k < 6
					   ? (u8) "\x66\x67\x2e\xf0\xf3\x48\x0f\x65"[x & 7]
					   : (u8)x;
		}
		count = (unsigned)(x >> 40) % 17;
		status = decode_exactly(bytes, count, (enum decode_mode)(i % 3), &insn);
		statuses[status]++;
		if (status == DECODE_OK)
			assert_true(insn.length >= 1 && insn.length <= MIN(count, 15));
		if (count >= 15)
			assert_int_not_equal(status, DECODE_SHORT);
	}
	for (unsigned s = DECODE_OK; s <= DECODE_INVALID; s++)
		assert_true(s == DECODE_TOO_LONG || statuses[s] > 1000);
}

static void expect(const char *bytes, unsigned count, enum decode_mode mode,
		   enum decode_status expected)
{
	struct insn insn;

	assert_int_equal(decode_exactly((const u8 *)bytes, count, mode, &insn), expected);
}

static void fifteen_bytes_are_the_limit(void **state)
{
	static const char prefixes[] =
		"\x66\x66\x66\x66\x66\x66\x66\x66\x66\x66\x66\x66\x66\x66\x66";
	char bytes[32];
	struct insn insn;

	(void)state;
	/* 14 prefixes and HLT fit, 15 do not; and no instruction is short of a 16th byte */
	memset(bytes, 0x66, sizeof(bytes));
	bytes[14] = (char)0xf4;
	assert_int_equal(decode((const u8 *)bytes, 15, DECODE_64, &insn), DECODE_OK);
	assert_int_equal(insn.length, 15);
	expect(prefixes, 14, DECODE_64, DECODE_SHORT);
	expect(prefixes, 15, DECODE_64, DECODE_TOO_LONG);
	memset(bytes, 0x66, sizeof(bytes));
	bytes[15] = (char)0xf4;
	assert_int_equal(decode((const u8 *)bytes, 32, DECODE_64, &insn), DECODE_TOO_LONG);

	/* the same at each part of a long instruction: 5 to 15 prefixes before
	 * 48 81 84 88 <disp32> <imm32>, which has 12 bytes */
	for (unsigned n = 0; n <= 15; n++) {
		memset(bytes, 0x2e, sizeof(bytes));
		memcpy(bytes + n, "\x48\x81\x84\x88\x11\x22\x33\x44\x55\x66\x77\x78", 12);
		assert_int_equal(decode((const u8 *)bytes, 32, DECODE_64, &insn),
				 n <= 3 ? DECODE_OK : DECODE_TOO_LONG);
	}
}

static void invalid_forms_are_told_apart(void **state)
{
	(void)state;
	/* LOCK: only on a read-modify-write with memory as the destination */
	expect("\xf0\x01\x08", 3, DECODE_64, DECODE_OK);		      /* add [rax],ecx */
	expect("\xf0\x01\xc8", 3, DECODE_64, DECODE_INVALID);		      /* add eax,ecx */
	expect("\xf0\x03\x08", 3, DECODE_64, DECODE_INVALID);		      /* add ecx,[rax] */
	expect("\xf0\x39\x08", 3, DECODE_64, DECODE_INVALID);		      /* cmp */
	expect("\xf0\x89\x08", 3, DECODE_64, DECODE_INVALID);		      /* mov */
	expect("\xf0\x0f\xa3\x08", 4, DECODE_64, DECODE_INVALID);	      /* bt */
	expect("\xf0\xf7\x00\x00\x00\x00\x00", 7, DECODE_64, DECODE_INVALID); /* test */
	expect("\xf0\xaa", 2, DECODE_64, DECODE_INVALID);
	expect("\xf0\x0f\xa2", 3, DECODE_64, DECODE_INVALID);
	expect("\xf0\xf4", 2, DECODE_32, DECODE_INVALID);
	expect("\xf0\x0f\x20\xd0", 4, DECODE_32, DECODE_INVALID); /* LOCK is for CR0 only */
	/* registers that do not exist */
	expect("\x0f\x20\xc8", 3, DECODE_64, DECODE_INVALID);	  /* CR1 */
	expect("\x44\x0f\x22\xc8", 4, DECODE_64, DECODE_INVALID); /* CR9 */
	expect("\x44\x0f\x23\xc0", 4, DECODE_64, DECODE_INVALID); /* DR8 */
	/* not in 64-bit mode */
	expect("\xce", 1, DECODE_32, DECODE_OK);
	expect("\xce", 1, DECODE_64, DECODE_INVALID);
	expect("\x82\x08\x10", 3, DECODE_16, DECODE_OK);
	expect("\x82\x08\x10", 3, DECODE_64, DECODE_INVALID);
}

static void what_it_does_not_know_is_unknown(void **state)
{
	(void)state;
	expect("\x90", 1, DECODE_64, DECODE_UNKNOWN);
	expect("\xf3\x41\x90", 3, DECODE_64, DECODE_UNKNOWN); /* xchg r8,rax */
	expect("\xf2\x90", 2, DECODE_64, DECODE_UNKNOWN);
	expect("\x63\x08", 2, DECODE_32, DECODE_UNKNOWN);     /* arpl */
	expect("\xc5\xf8\x77", 3, DECODE_64, DECODE_UNKNOWN); /* vzeroupper */
	expect("\x62\xf1\x7c\x48\x28\x00", 6, DECODE_64, DECODE_UNKNOWN);
	expect("\x0f\x01\xf8", 3, DECODE_64, DECODE_UNKNOWN); /* swapgs */
	expect("\x0f\x01\xd8", 3, DECODE_64, DECODE_UNKNOWN); /* vmrun */
	expect("\x0f\x0b", 2, DECODE_64, DECODE_UNKNOWN);
	expect("\xf7\x20", 2, DECODE_64, DECODE_UNKNOWN);		  /* mul */
	expect("\xff\x20", 2, DECODE_64, DECODE_UNKNOWN);		  /* jmp */
	expect("\x66\x0f\xc3\x08", 4, DECODE_64, DECODE_UNKNOWN);	  /* movnti takes no 66 */
	expect("\xc7\xf8\x00\x00\x00\x00", 6, DECODE_64, DECODE_UNKNOWN); /* xbegin */
}

static void mode_follows_efer_and_cs(void **state)
{
	(void)state;
	assert_int_equal(decode_mode_of(true, true, false), DECODE_64);
	assert_int_equal(decode_mode_of(true, false, true), DECODE_32);
	assert_int_equal(decode_mode_of(true, false, false), DECODE_16);
	assert_int_equal(decode_mode_of(false, true, true), DECODE_32);
	assert_int_equal(decode_mode_of(false, true, false), DECODE_16);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(length_and_operands_are_the_toolchains),
		cmocka_unit_test(every_truncation_is_short),
		cmocka_unit_test(random_bytes_are_never_read_past_their_end),
		cmocka_unit_test(fifteen_bytes_are_the_limit),
		cmocka_unit_test(invalid_forms_are_told_apart),
		cmocka_unit_test(what_it_does_not_know_is_unknown),
		cmocka_unit_test(mode_follows_efer_and_cs),
	};

	return cmocka_run_group_tests(tests, read_vectors, free_vectors);
}
