/* SPDX-License-Identifier: BSD-2-Clause */
#include "arch/x86/decode.h"

/* What an opcode says about its operands. */
enum {
	MODRM = 1u << 0,
	BYTE = 1u << 1,	     /* operands of one byte */
	REG = 1u << 2,	     /* ModR/M.reg is the register operand */
	ACC = 1u << 3,	     /* rAX is the register operand */
	TO_REG = 1u << 4,    /* which is the destination */
	READ = 1u << 5,	     /* loads the memory operand */
	WRITE = 1u << 6,     /* stores the memory operand */
	IMM = 1u << 7,	     /* immediate of the operand size, at most 4 bytes */
	IMM8 = 1u << 8,	     /* one-byte immediate, sign-extended */
	UIMM8 = 1u << 9,     /* one-byte immediate, zero-extended */
	MOFFS = 1u << 10,    /* the memory operand is an absolute offset */
	SOURCE = 1u << 11,   /* string source at rSI */
	DEST = 1u << 12,     /* string destination at ES:rDI */
	IO = 1u << 13,	     /* no operand of eight bytes */
	LOCKABLE = 1u << 14, /* LOCK is legal if the destination is memory */
	NOT_64 = 1u << 15,   /* #UD in 64-bit mode */
	ONLY_64 = 1u << 16,  /* another instruction outside of it */
	ONLY_MEM = 1u << 17, /* another instruction, or none, if r/m is a register */
	RM_8 = 1u << 18,     /* r/m has one byte whatever the operand size */
	RM_16 = 1u << 19,    /* two bytes */
	RM_32 = 1u << 20,    /* at most four */
	GROUP = 1u << 21,    /* ModR/M.reg selects the operation: op is the group's number */
	LONG = 1u << 22,     /* 4 or 8 bytes in any mode; no such instruction with 66, F2, F3 */
	NATIVE = 1u << 23,   /* control and debug registers: r/m is a register of full width */
};

struct row {
	u8 op;
	u32 flags;
};

enum { GROUP_1, GROUP_3, GROUP_5, GROUP_7, GROUP_8, GROUP_11 };

#define RMW			      (READ | WRITE)
#define BYTE_OR_FULL(opcode, insn, f) [opcode] = {insn, (f) | BYTE}, [(opcode) + 1] = {insn, f}
#define ARITHMETIC(opcode, insn, to_memory)                                                        \
	BYTE_OR_FULL(opcode, insn, MODRM | REG | (to_memory)),                                     \
		BYTE_OR_FULL((opcode) + 2, insn, MODRM | REG | TO_REG | READ)

static const struct row one_byte[256] = {
	ARITHMETIC(0x00, INSN_ADD, RMW | LOCKABLE),
	ARITHMETIC(0x08, INSN_OR, RMW | LOCKABLE),
	ARITHMETIC(0x10, INSN_ADC, RMW | LOCKABLE),
	ARITHMETIC(0x18, INSN_SBB, RMW | LOCKABLE),
	ARITHMETIC(0x20, INSN_AND, RMW | LOCKABLE),
	ARITHMETIC(0x28, INSN_SUB, RMW | LOCKABLE),
	ARITHMETIC(0x30, INSN_XOR, RMW | LOCKABLE),
	ARITHMETIC(0x38, INSN_CMP, READ),
	[0x63] = {INSN_MOVSX, MODRM | REG | TO_REG | READ | RM_32 | ONLY_64},
	BYTE_OR_FULL(0x6c, INSN_INS, DEST | WRITE | IO),
	BYTE_OR_FULL(0x6e, INSN_OUTS, SOURCE | READ | IO),
	[0x80] = {GROUP_1, GROUP | MODRM | BYTE | IMM8},
	[0x81] = {GROUP_1, GROUP | MODRM | IMM},
	[0x82] = {GROUP_1, GROUP | MODRM | BYTE | IMM8 | NOT_64},
	[0x83] = {GROUP_1, GROUP | MODRM | IMM8},
	BYTE_OR_FULL(0x84, INSN_TEST, MODRM | REG | READ),
	BYTE_OR_FULL(0x86, INSN_XCHG, MODRM | REG | RMW | LOCKABLE),
	BYTE_OR_FULL(0x88, INSN_MOV, MODRM | REG | WRITE),
	BYTE_OR_FULL(0x8a, INSN_MOV, MODRM | REG | TO_REG | READ),
	BYTE_OR_FULL(0xa0, INSN_MOV, MOFFS | ACC | TO_REG | READ),
	BYTE_OR_FULL(0xa2, INSN_MOV, MOFFS | ACC | WRITE),
	BYTE_OR_FULL(0xa4, INSN_MOVS, SOURCE | DEST | WRITE),
	BYTE_OR_FULL(0xaa, INSN_STOS, DEST | ACC | WRITE),
	BYTE_OR_FULL(0xac, INSN_LODS, SOURCE | ACC | TO_REG | READ),
	BYTE_OR_FULL(0xc6, GROUP_11, GROUP | MODRM | IMM),
	[0xcc] = {INSN_INT3, 0},
	[0xcd] = {INSN_INT, UIMM8},
	[0xce] = {INSN_INTO, NOT_64},
	BYTE_OR_FULL(0xe4, INSN_IN, ACC | TO_REG | UIMM8 | IO),
	BYTE_OR_FULL(0xe6, INSN_OUT, ACC | UIMM8 | IO),
	BYTE_OR_FULL(0xec, INSN_IN, ACC | TO_REG | IO),
	BYTE_OR_FULL(0xee, INSN_OUT, ACC | IO),
	[0xf1] = {INSN_INT1, 0},
	[0xf4] = {INSN_HLT, 0},
	BYTE_OR_FULL(0xf6, GROUP_3, GROUP | MODRM),
	BYTE_OR_FULL(0xfe, GROUP_5, GROUP | MODRM),
};

static const struct row two_byte[256] = {
	[0x01] = {GROUP_7, GROUP | MODRM},
	[0x06] = {INSN_CLTS, 0},
	[0x08] = {INSN_INVD, 0},
	[0x09] = {INSN_WBINVD, 0},
	[0x20] = {INSN_MOV_FROM_CR, MODRM | NATIVE | REG},
	[0x21] = {INSN_MOV_FROM_DR, MODRM | NATIVE | REG},
	[0x22] = {INSN_MOV_TO_CR, MODRM | NATIVE | REG | TO_REG},
	[0x23] = {INSN_MOV_TO_DR, MODRM | NATIVE | REG | TO_REG},
	[0x30] = {INSN_WRMSR, 0},
	[0x31] = {INSN_RDTSC, 0},
	[0x32] = {INSN_RDMSR, 0},
	[0x33] = {INSN_RDPMC, 0},
	[0xa2] = {INSN_CPUID, 0},
	[0xa3] = {INSN_BT, MODRM | REG | READ},
	[0xab] = {INSN_BTS, MODRM | REG | RMW | LOCKABLE},
	BYTE_OR_FULL(0xb0, INSN_CMPXCHG, MODRM | REG | RMW | LOCKABLE),
	[0xb3] = {INSN_BTR, MODRM | REG | RMW | LOCKABLE},
	[0xb6] = {INSN_MOVZX, MODRM | REG | TO_REG | READ | RM_8},
	[0xb7] = {INSN_MOVZX, MODRM | REG | TO_REG | READ | RM_16},
	[0xba] = {GROUP_8, GROUP | MODRM | UIMM8},
	[0xbb] = {INSN_BTC, MODRM | REG | RMW | LOCKABLE},
	[0xbe] = {INSN_MOVSX, MODRM | REG | TO_REG | READ | RM_8},
	[0xbf] = {INSN_MOVSX, MODRM | REG | TO_REG | READ | RM_16},
	BYTE_OR_FULL(0xc0, INSN_XADD, MODRM | REG | RMW | LOCKABLE),
	[0xc3] = {INSN_MOV, MODRM | REG | WRITE | ONLY_MEM | LONG},
};

/* By ModR/M.reg; the flags add to those of the opcode's row. */
static const struct row groups[][8] = {
	[GROUP_1] = {{INSN_ADD, RMW | LOCKABLE},
		     {INSN_OR, RMW | LOCKABLE},
		     {INSN_ADC, RMW | LOCKABLE},
		     {INSN_SBB, RMW | LOCKABLE},
		     {INSN_AND, RMW | LOCKABLE},
		     {INSN_SUB, RMW | LOCKABLE},
		     {INSN_XOR, RMW | LOCKABLE},
		     {INSN_CMP, READ}},
	[GROUP_3] = {{INSN_TEST, READ | IMM},
		     {INSN_TEST, READ | IMM}, /* an alias by AMD APM Vol 3, appendix A.2 */
		     {INSN_NOT, RMW | LOCKABLE},
		     {INSN_NEG, RMW | LOCKABLE}},
	[GROUP_5] = {{INSN_INC, RMW | LOCKABLE}, {INSN_DEC, RMW | LOCKABLE}},
	[GROUP_7] = {[4] = {INSN_SMSW, WRITE | RM_16},
		     [6] = {INSN_LMSW, READ | RM_16},
		     [7] = {INSN_INVLPG, ONLY_MEM}},
	[GROUP_8] = {[4] = {INSN_BT, READ},
		     [5] = {INSN_BTS, RMW | LOCKABLE},
		     [6] = {INSN_BTR, RMW | LOCKABLE},
		     [7] = {INSN_BTC, RMW | LOCKABLE}},
	[GROUP_11] = {[0] = {INSN_MOV, WRITE}},
};

struct cursor {
	const u8 *bytes;
	unsigned count; /* at most 15 */
	unsigned at;	/* may pass count: then something was missing */
};

struct prefixes {
	bool operand, address;
	u8 rex;	    /* 0 if none */
	u8 segment; /* REG_NONE if none */
};

#define REX_W 8u
#define REX_R 4u
#define REX_X 2u
#define REX_B 1u

static u8 next_byte(struct cursor *c)
{
	const u8 byte = c->at < c->count ? c->bytes[c->at] : 0;

	c->at++;
	return byte;
}

static u64 next_unsigned(struct cursor *c, unsigned size)
{
	u64 value = 0;

	for (unsigned i = 0; i < size; i++)
		value |= (u64)next_byte(c) << (8 * i);
	return value;
}

static s64 next_signed(struct cursor *c, unsigned size)
{
	const unsigned unused = 64 - 8 * size;

	return (s64)(next_unsigned(c, size) << unused) >> unused;
}

static bool exhausted(const struct cursor *c)
{
	return c->at > c->count;
}

/* Returns the first byte that is no prefix. */
static u8 decode_prefixes(struct cursor *c, struct insn *insn, struct prefixes *p)
{
	const bool mode_64 = insn->mode == DECODE_64;

	*p = (struct prefixes){.segment = REG_NONE};
	for (;;) {
		const u8 byte = next_byte(c);
		u8 rex = 0;

		if (exhausted(c))
			return 0;
		switch (byte) {
		case 0x26:
		case 0x2e:
		case 0x36:
		case 0x3e:
			/* 64-bit mode ignores these, and an FS or GS before them stays */
			if (!mode_64)
				p->segment = (byte >> 3) & 3;
			break;
		case 0x64:
		case 0x65:
			p->segment = (u8)(INSN_FS + (byte - 0x64));
			break;
		case 0x66:
			p->operand = true;
			break;
		case 0x67:
			p->address = true;
			break;
		case 0xf0:
			insn->lock = true;
			break;
		case 0xf2:
		case 0xf3:
			insn->rep = byte;
			break;
		default:
			if (!mode_64 || (byte & 0xf0) != 0x40)
				return byte;
			rex = byte;
		}
		/* only a REX directly before the opcode counts */
		p->rex = rex;
	}
}

/* A byte operand 4 to 7 without REX is the high half of a word register. */
static struct insn_reg byte_or_full(unsigned n, unsigned size, const struct prefixes *p)
{
	if (size == 1 && !p->rex && n >= 4)
		return (struct insn_reg){.n = (u8)(n - 4), .high = true};
	return (struct insn_reg){.n = (u8)n};
}

static void decode_memory_16(struct cursor *c, u8 modrm, struct insn_mem *mem)
{
	static const struct {
		u8 base, index;
	} forms[8] = {{REG_RBX, REG_RSI},  {REG_RBX, REG_RDI},	{REG_RBP, REG_RSI},
		      {REG_RBP, REG_RDI},  {REG_RSI, REG_NONE}, {REG_RDI, REG_NONE},
		      {REG_RBP, REG_NONE}, {REG_RBX, REG_NONE}};
	const unsigned mod = modrm >> 6;

	mem->base = forms[modrm & 7].base;
	mem->index = forms[modrm & 7].index;
	if (mod == 0 && (modrm & 7) == 6) {
		mem->base = REG_NONE;
		mem->disp = next_signed(c, 2);
	} else if (mod != 0) {
		mem->disp = next_signed(c, mod);
	}
}

static void decode_memory_32(struct cursor *c, u8 modrm, const struct prefixes *p, bool mode_64,
			     struct insn_mem *mem)
{
	const unsigned mod = modrm >> 6;
	unsigned base = modrm & 7;
	const bool sib_follows = base == 4;

	if (sib_follows) {
		const u8 sib = next_byte(c);
		const unsigned index = ((sib >> 3) & 7) | ((p->rex & REX_X) ? 8 : 0);

		base = sib & 7;
		if (index != REG_RSP) {
			mem->index = (u8)index;
			mem->scale = (u8)(1u << (sib >> 6));
		}
	}
	if (mod == 0 && base == 5) {
		/* REX.B is not looked at for this escape */
		if (!sib_follows && mode_64)
			mem->base = REG_RIP;
		mem->disp = next_signed(c, 4);
		return;
	}
	mem->base = (u8)(base | ((p->rex & REX_B) ? 8 : 0));
	if (mod != 0)
		mem->disp = next_signed(c, mod == 1 ? 1 : 4);
}

static void decode_memory(struct cursor *c, u8 modrm, const struct prefixes *p, struct insn *insn)
{
	struct insn_mem *const mem = &insn->mem;

	*mem = (struct insn_mem){.base = REG_NONE, .index = REG_NONE, .scale = 1};
	if (insn->address_size == 2)
		decode_memory_16(c, modrm, mem);
	else
		decode_memory_32(c, modrm, p, insn->mode == DECODE_64, mem);

	if (p->segment != REG_NONE)
		mem->segment = p->segment;
	else
		mem->segment = mem->base == REG_RBP || mem->base == REG_RSP ? INSN_SS : INSN_DS;
	insn->has_mem = true;
}

/* 0F 01 with a register r/m: each ModR/M byte is an instruction of its own. */
static unsigned group_7_register(u8 modrm, const struct insn *insn)
{
	switch (modrm) {
	case 0xc1:
		return INSN_VMCALL;
	case 0xc8:
		return INSN_MONITOR;
	case 0xc9:
		return INSN_MWAIT;
	case 0xd1:
		return INSN_XSETBV;
	case 0xd9:
		return insn->rep ? INSN_VMGEXIT : INSN_VMMCALL;
	case 0xf9:
		return INSN_RDTSCP;
	default:
		return INSN_NONE;
	}
}

/* Control and debug registers that exist; CR8 only where it can be encoded. */
static bool special_register_exists(struct insn *insn)
{
	if (insn->op == INSN_MOV_FROM_DR || insn->op == INSN_MOV_TO_DR)
		return insn->reg.n < 8;
	if (insn->lock && insn->reg.n == 0) {
		/* AMD's way to CR8 without REX */
		insn->reg.n = 8;
		insn->lock = false;
	}
	return (BIT(insn->reg.n) & (BIT(0) | BIT(2) | BIT(3) | BIT(4) | BIT(8))) != 0;
}

static void decode_sizes(struct insn *insn, const struct prefixes *p, u32 flags)
{
	if (flags & BYTE)
		insn->size = 1;
	else if (flags & NATIVE)
		insn->size = insn->mode == DECODE_64 ? 8 : 4;
	else if (p->rex & REX_W)
		insn->size = 8;
	else if (flags & LONG)
		insn->size = 4;
	else
		insn->size = (insn->mode == DECODE_16) == p->operand ? 4 : 2;
	if ((flags & IO) && insn->size == 8)
		insn->size = 4;

	insn->mem_size = insn->size;
	if (flags & RM_8)
		insn->mem_size = 1;
	else if (flags & RM_16)
		insn->mem_size = 2;
	else if (flags & RM_32)
		insn->mem_size = MIN(insn->size, 4);
}

static void decode_string_operands(struct insn *insn, const struct prefixes *p, u32 flags)
{
	const struct insn_mem source = {
		.segment = p->segment == REG_NONE ? (u8)INSN_DS : p->segment,
		.base = REG_RSI,
		.index = REG_NONE,
		.scale = 1,
	};
	const struct insn_mem destination = {
		.segment = INSN_ES,
		.base = REG_RDI,
		.index = REG_NONE,
		.scale = 1,
	};

	if ((flags & (SOURCE | DEST)) == (SOURCE | DEST))
		insn->source = source;
	if (flags & (SOURCE | DEST)) {
		insn->mem = (flags & DEST) ? destination : source;
		insn->has_mem = true;
	}
}

/* ModR/M and what it brings. False: not an instruction that the tables have. */
static bool decode_modrm(struct cursor *c, struct insn *insn, const struct prefixes *p, u32 *flags)
{
	const u8 modrm = next_byte(c);
	const unsigned reg = (modrm >> 3) & 7;
	const bool is_register = modrm >= 0xc0 || (*flags & NATIVE);

	if (exhausted(c))
		return true;
	if (*flags & GROUP) {
		const unsigned group = insn->op;
		const struct row *const row = &groups[group][reg];

		insn->op = row->op;
		*flags |= row->flags;
		if (group == GROUP_7 && is_register && row->op != INSN_SMSW &&
		    row->op != INSN_LMSW) {
			insn->op = (u8)group_7_register(modrm, insn);
			return insn->op != INSN_NONE;
		}
	}
	if (insn->op == INSN_NONE || (is_register && (*flags & ONLY_MEM)))
		return false;

	decode_sizes(insn, p, *flags);
	if (*flags & REG) {
		const unsigned n = reg | ((p->rex & REX_R) ? 8 : 0);

		insn->reg = byte_or_full(n, insn->size, p);
		insn->has_reg = true;
	}
	if (is_register) {
		const unsigned n = (modrm & 7) | ((p->rex & REX_B) ? 8 : 0);

		insn->rm = byte_or_full(n, insn->mem_size, p);
		insn->has_rm = true;
		if (insn->op == INSN_SMSW)
			insn->mem_size = insn->size; /* only memory gets just two bytes */
	} else {
		decode_memory(c, modrm, p, insn);
	}
	return true;
}

static bool is_legal(struct insn *insn, u32 flags)
{
	if ((flags & NOT_64) && insn->mode == DECODE_64)
		return false;
	if ((flags & NATIVE) && !special_register_exists(insn))
		return false;
	return !insn->lock || ((flags & LOCKABLE) && insn->has_mem);
}

enum decode_status decode(const u8 *bytes, unsigned count, enum decode_mode mode, struct insn *insn)
{
	struct cursor c = {bytes, MIN(count, INSN_MAX_LENGTH), 0};
	const enum decode_status missing = count < INSN_MAX_LENGTH ? DECODE_SHORT : DECODE_TOO_LONG;
	const struct row *row;
	struct prefixes p;
	bool known = true;
	u32 flags;
	u8 opcode;

	*insn = (struct insn){.mode = (u8)mode};
	opcode = decode_prefixes(&c, insn, &p);
	row = &one_byte[opcode];
	if (opcode == 0x0f)
		row = &two_byte[next_byte(&c)];
	if (exhausted(&c))
		return missing;

	insn->op = row->op;
	flags = row->flags;
	if (opcode == 0x90 && insn->rep == 0xf3 && !(p.rex & REX_B))
		insn->op = INSN_PAUSE;
	if (((flags & ONLY_64) && mode != DECODE_64) ||
	    ((flags & LONG) && (p.operand || insn->rep)))
		return DECODE_UNKNOWN;

	switch (mode) {
	case DECODE_64:
		insn->address_size = p.address ? 4 : 8;
		break;
	case DECODE_32:
		insn->address_size = p.address ? 2 : 4;
		break;
	case DECODE_16:
		insn->address_size = p.address ? 4 : 2;
		break;
	}
	decode_sizes(insn, &p, flags);
	decode_string_operands(insn, &p, flags);
	if (flags & MODRM)
		known = decode_modrm(&c, insn, &p, &flags);
	else
		known = insn->op != INSN_NONE;
	if (!known)
		return DECODE_UNKNOWN;

	if (flags & ACC)
		insn->has_reg = true; /* and its number is 0 */
	if (flags & MOFFS) {
		insn->mem = (struct insn_mem){
			.segment = p.segment == REG_NONE ? (u8)INSN_DS : p.segment,
			.base = REG_NONE,
			.index = REG_NONE,
			.scale = 1,
			.disp = (s64)next_unsigned(&c, insn->address_size),
		};
		insn->has_mem = true;
	}
	insn->has_imm = (flags & (IMM | IMM8 | UIMM8)) != 0;
	if (flags & IMM)
		insn->imm = next_signed(&c, MIN(insn->size, 4));
	else if (flags & IMM8)
		insn->imm = next_signed(&c, 1);
	else if (flags & UIMM8)
		insn->imm = next_byte(&c);
	if (exhausted(&c))
		return missing;

	insn->length = (u8)c.at;
	insn->reg_is_destination = (flags & TO_REG) != 0;
	insn->mem_read = insn->has_mem && (flags & READ);
	insn->mem_write = insn->has_mem && (flags & WRITE);
	return is_legal(insn, flags) ? DECODE_OK : DECODE_INVALID;
}
