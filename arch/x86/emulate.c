/* SPDX-License-Identifier: BSD-2-Clause */
#include "arch/x86/emulate.h"

#define FLAGS_ARITHMETIC (FLAG_CF | FLAG_PF | FLAG_AF | FLAG_ZF | FLAG_SF | FLAG_OF)

static u64 truncate(u64 value, unsigned size)
{
	return size == 8 ? value : value & (BIT(8 * size) - 1);
}

static u64 extend_sign(u64 value, unsigned size)
{
	const unsigned unused = 64 - 8 * size;

	return (u64)((s64)(value << unused) >> unused);
}

static bool is_bit_op(unsigned op)
{
	return op >= INSN_BT && op <= INSN_BTC;
}

u64 insn_linear(const struct insn *insn, const struct insn_mem *mem, const u64 gpr[16], u64 rip,
		u64 segment_base)
{
	u64 offset = (u64)mem->disp;

	if (mem->base == REG_RIP)
		offset += rip + insn->length;
	else if (mem->base != REG_NONE)
		offset += gpr[mem->base];
	if (mem->index != REG_NONE)
		offset += gpr[mem->index] * mem->scale;
	if (is_bit_op(insn->op) && insn->has_reg) {
		/* the bit offset is signed; whole operands of it move the address */
		const s64 bits = (s64)insn->size * 8;
		const s64 bit = (s64)extend_sign(gpr[insn->reg.n], insn->size);

		offset += (u64)((bit & ~(bits - 1)) >> 3);
	}
	offset = truncate(offset, insn->address_size);

	if (insn->mode != DECODE_64)
		return (u32)(segment_base + offset);
	return mem->segment >= INSN_FS ? segment_base + offset : offset;
}

u64 insn_reg_read(const u64 gpr[16], struct insn_reg reg, unsigned size)
{
	return truncate(gpr[reg.n] >> (reg.high ? 8 : 0), size);
}

void insn_reg_write(u64 gpr[16], struct insn_reg reg, unsigned size, u64 value)
{
	const unsigned shift = reg.high ? 8 : 0;
	const u64 mask = truncate(~0ul, size == 4 ? 8 : size) << shift;

	gpr[reg.n] = (gpr[reg.n] & ~mask) | (truncate(value, size) << shift);
}

static u64 result_flags(u64 result, unsigned size)
{
	u64 flags = 0;

	if (result == 0)
		flags |= FLAG_ZF;
	if (result >> (8 * size - 1))
		flags |= FLAG_SF;
	if (!__builtin_parity((u8)result))
		flags |= FLAG_PF;
	return flags;
}

/* `carries`: the carry or borrow out of each bit. `overflow`: its sign bit is OF. */
static u64 sum_flags(u64 carries, u64 overflow, unsigned size)
{
	const unsigned sign = 8 * size - 1;
	u64 flags = 0;

	if ((carries >> sign) & 1)
		flags |= FLAG_CF;
	if ((carries >> 3) & 1)
		flags |= FLAG_AF;
	if ((overflow >> sign) & 1)
		flags |= FLAG_OF;
	return flags;
}

static u64 add(unsigned size, u64 a, u64 b, u64 carry, u64 *flags)
{
	const u64 r = truncate(a + b + carry, size);

	*flags = sum_flags((a & b) | ((a | b) & ~r), (a ^ r) & (b ^ r), size);
	*flags |= result_flags(r, size);
	return r;
}

static u64 subtract(unsigned size, u64 a, u64 b, u64 borrow, u64 *flags)
{
	const u64 r = truncate(a - b - borrow, size);

	*flags = sum_flags((~a & b) | ((~a | b) & r), (a ^ b) & (a ^ r), size);
	*flags |= result_flags(r, size);
	return r;
}

static u64 bit_op(enum insn_op op, unsigned size, u64 a, u64 b, u64 *rflags)
{
	const u64 bit = BIT(b & (8 * size - 1));

	*rflags = (*rflags & ~FLAG_CF) | ((a & bit) ? FLAG_CF : 0);
	switch (op) {
	case INSN_BTS:
		return a | bit;
	case INSN_BTR:
		return a & ~bit;
	case INSN_BTC:
		return a ^ bit;
	default:
		return a;
	}
}

u64 alu(enum insn_op op, unsigned size, u64 a, u64 b, u64 *rflags)
{
	const u64 carry = *rflags & FLAG_CF;
	u64 changed = FLAGS_ARITHMETIC;
	u64 flags = 0, result;

	a = truncate(a, size);
	b = truncate(b, size);
	if (is_bit_op(op))
		return bit_op(op, size, a, b, rflags);

	switch (op) {
	case INSN_ADD:
	case INSN_XADD:
		result = add(size, a, b, 0, &flags);
		break;
	case INSN_ADC:
		result = add(size, a, b, carry, &flags);
		break;
	case INSN_SUB:
		result = subtract(size, a, b, 0, &flags);
		break;
	case INSN_SBB:
		result = subtract(size, a, b, carry, &flags);
		break;
	case INSN_CMP:
		subtract(size, a, b, 0, &flags);
		result = a;
		break;
	case INSN_INC:
		result = add(size, a, 1, 0, &flags);
		changed &= ~FLAG_CF;
		break;
	case INSN_DEC:
		result = subtract(size, a, 1, 0, &flags);
		changed &= ~FLAG_CF;
		break;
	case INSN_NEG:
		result = subtract(size, 0, a, 0, &flags);
		break;
	case INSN_AND:
		result = a & b;
		flags = result_flags(result, size);
		break;
	case INSN_OR:
		result = a | b;
		flags = result_flags(result, size);
		break;
	case INSN_XOR:
		result = a ^ b;
		flags = result_flags(result, size);
		break;
	case INSN_TEST:
		flags = result_flags(a & b, size);
		result = a;
		break;
	case INSN_NOT:
		return truncate(~a, size);
	default:
		return a;
	}
	*rflags = (*rflags & ~changed) | (flags & changed);
	return result;
}

u64 insn_count(const struct insn *insn, const u64 gpr[16])
{
	const bool is_string = insn->op >= INSN_MOVS && insn->op <= INSN_OUTS;

	return is_string && insn->rep ? truncate(gpr[REG_RCX], insn->address_size) : 1;
}

static void advance(const struct insn *insn, u64 gpr[16], unsigned n, s64 by)
{
	const struct insn_reg reg = {.n = (u8)n};

	insn_reg_write(gpr, reg, insn->address_size, gpr[n] + (u64)by);
}

static enum execute_status execute_string(const struct insn *insn, u64 gpr[16], u64 rflags,
					  u64 loaded, u64 *stored)
{
	const s64 step = (rflags & FLAG_DF) ? -(s64)insn->size : insn->size;

	switch (insn->op) {
	case INSN_STOS:
		*stored = insn_reg_read(gpr, insn->reg, insn->size);
		break;
	case INSN_LODS:
		insn_reg_write(gpr, insn->reg, insn->size, loaded);
		break;
	default:
		*stored = loaded;
	}
	if (insn->op == INSN_MOVS || insn->op == INSN_LODS || insn->op == INSN_OUTS)
		advance(insn, gpr, REG_RSI, step);
	if (insn->op == INSN_MOVS || insn->op == INSN_STOS || insn->op == INSN_INS)
		advance(insn, gpr, REG_RDI, step);
	if (!insn->rep)
		return EXECUTE_DONE;
	advance(insn, gpr, REG_RCX, -1);
	return insn_count(insn, gpr) ? EXECUTE_REPEATS : EXECUTE_DONE;
}

static void compare_and_exchange(const struct insn *insn, u64 gpr[16], u64 *rflags, u64 loaded,
				 u64 source, u64 *stored)
{
	const struct insn_reg accumulator = {.n = REG_RAX};

	alu(INSN_CMP, insn->size, insn_reg_read(gpr, accumulator, insn->size), loaded, rflags);
	if (*rflags & FLAG_ZF) {
		*stored = source;
	} else {
		/* the store happens either way */
		*stored = loaded;
		insn_reg_write(gpr, accumulator, insn->size, loaded);
	}
}

enum execute_status insn_execute(const struct insn *insn, u64 gpr[16], u64 *rflags, u64 loaded,
				 u64 *stored)
{
	const unsigned size = insn->size;
	const u64 reg = insn->has_reg ? insn_reg_read(gpr, insn->reg, size) : 0;
	const u64 source = insn->has_imm ? (u64)insn->imm : reg;
	u64 result;

	*stored = 0;
	loaded = truncate(loaded, insn->mem_size);
	if (!insn->has_mem && insn->op != INSN_IN && insn->op != INSN_OUT)
		return EXECUTE_UNSUPPORTED;

	switch (insn->op) {
	case INSN_MOVS:
	case INSN_STOS:
	case INSN_LODS:
	case INSN_INS:
	case INSN_OUTS:
		return execute_string(insn, gpr, *rflags, loaded, stored);
	case INSN_IN:
	case INSN_MOVZX:
		insn_reg_write(gpr, insn->reg, size, loaded);
		return EXECUTE_DONE;
	case INSN_OUT:
		*stored = reg;
		return EXECUTE_DONE;
	case INSN_MOVSX:
		insn_reg_write(gpr, insn->reg, size, extend_sign(loaded, insn->mem_size));
		return EXECUTE_DONE;
	case INSN_CMPXCHG:
		compare_and_exchange(insn, gpr, rflags, loaded, source, stored);
		return EXECUTE_DONE;
	case INSN_XADD:
		*stored = alu(INSN_ADD, size, loaded, source, rflags);
		insn_reg_write(gpr, insn->reg, size, loaded);
		return EXECUTE_DONE;
	case INSN_XCHG:
		*stored = reg;
		insn_reg_write(gpr, insn->reg, size, loaded);
		return EXECUTE_DONE;
	case INSN_MOV:
		result = insn->reg_is_destination ? loaded : truncate(source, size);
		break;
	default:
		if (insn->op < INSN_ADD || insn->op > INSN_BTC)
			return EXECUTE_UNSUPPORTED;
		result = insn->reg_is_destination ? alu(insn->op, size, reg, loaded, rflags)
						  : alu(insn->op, size, loaded, source, rflags);
	}
	if (!insn->reg_is_destination)
		*stored = insn->mem_write ? result : 0;
	else if (insn->op != INSN_CMP)
		insn_reg_write(gpr, insn->reg, size, result);
	return EXECUTE_DONE;
}
