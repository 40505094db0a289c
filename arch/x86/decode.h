/* SPDX-License-Identifier: BSD-2-Clause */
/* The instruction decoder: one guest instruction from bytes to a description.
 *
 * It knows the instructions that the hypervisor must complete itself: those a
 * guest reasonably uses on device memory, and those whose length it must know
 * on a processor that does not report it. Everything else is DECODE_UNKNOWN.
 *
 * A pure function of its arguments: no guest access, no allocation, no state.
 * The bytes come from a hostile guest; they may be anything.
 *
 * Intel SDM Vol 2: 2.1 (legacy prefixes, ModR/M, SIB), 2.2 (IA-32e mode, REX),
 * 2.3.11 (15-byte limit), 3.1 and the instruction pages of chapters 3 to 5,
 * Appendix A (opcode maps). AMD APM Vol 3: 1.2, 1.3; MOV CRn (LOCK as CR8);
 * VMMCALL, VMGEXIT.
 */
#ifndef ARCH_X86_DECODE_H
#define ARCH_X86_DECODE_H

#include "kernel/types.h"

#define INSN_MAX_LENGTH 15u

enum decode_status {
	DECODE_OK,
	DECODE_UNKNOWN,	 /* not an instruction that this decoder knows; may be a legal one */
	DECODE_SHORT,	 /* the bytes end before the instruction does */
	DECODE_TOO_LONG, /* longer than 15 bytes: #GP(0) */
	DECODE_INVALID,	 /* a known opcode in a form that raises #UD */
};

/* The size of the code segment's default operands and addresses. */
enum decode_mode { DECODE_16, DECODE_32, DECODE_64 };

/* The mode of a processor with these bits: EFER.LMA, and L and D of CS. In real
 * and virtual-8086 mode CS.D is 0. */
static inline enum decode_mode decode_mode_of(bool efer_lma, bool cs_l, bool cs_d)
{
	if (efer_lma && cs_l)
		return DECODE_64;
	return cs_d ? DECODE_32 : DECODE_16;
}

enum insn_op {
	INSN_NONE,
	/* in the order of the opcode bits 5:3 of 00-3F and of ModR/M.reg of 80-83 */
	INSN_ADD,
	INSN_OR,
	INSN_ADC,
	INSN_SBB,
	INSN_AND,
	INSN_SUB,
	INSN_XOR,
	INSN_CMP,
	INSN_TEST,
	INSN_INC,
	INSN_DEC,
	INSN_NOT,
	INSN_NEG,
	INSN_BT,
	INSN_BTS,
	INSN_BTR,
	INSN_BTC,
	INSN_XADD,
	INSN_CMPXCHG,
	INSN_XCHG,
	INSN_MOV, /* also MOVNTI and the moffs forms */
	INSN_MOVZX,
	INSN_MOVSX, /* also MOVSXD */
	INSN_MOVS,
	INSN_STOS,
	INSN_LODS,
	INSN_INS,
	INSN_OUTS,
	INSN_LAST_MEMORY = INSN_OUTS, /* up to here: may have a memory operand of `size` */

	INSN_IN,
	INSN_OUT,
	INSN_INT,
	INSN_INT1,
	INSN_INT3,
	INSN_INTO,
	INSN_HLT,
	INSN_PAUSE,
	INSN_CPUID,
	INSN_RDMSR,
	INSN_WRMSR,
	INSN_RDTSC,
	INSN_RDTSCP,
	INSN_RDPMC,
	INSN_XSETBV,
	INSN_INVD,
	INSN_WBINVD, /* also WBNOINVD */
	INSN_MONITOR,
	INSN_MWAIT,
	INSN_VMCALL,
	INSN_VMMCALL,
	INSN_VMGEXIT,
	INSN_CLTS,
	INSN_LMSW,
	INSN_SMSW,
	INSN_INVLPG,
	INSN_MOV_FROM_CR, /* general register `rm` <- control register `reg` */
	INSN_MOV_TO_CR,
	INSN_MOV_FROM_DR,
	INSN_MOV_TO_DR,
};

/* Register numbers are the encoding's: 0 RAX, 1 RCX, 2 RDX, 3 RBX, 4 RSP, 5 RBP,
 * 6 RSI, 7 RDI, 8 to 15 R8 to R15. */
#define REG_RAX 0
#define REG_RCX 1
#define REG_RDX 2
#define REG_RBX 3
#define REG_RSP 4
#define REG_RBP 5
#define REG_RSI 6
#define REG_RDI 7

#define REG_NONE 0xff /* in base or index: none */
#define REG_RIP	 0xfe /* in base: address of the next instruction */

/* In the encoding's order, which is also that of enum segment in kernel/vcpu.h. */
enum insn_segment { INSN_ES, INSN_CS, INSN_SS, INSN_DS, INSN_FS, INSN_GS };

/* segment : base + index * scale + disp */
struct insn_mem {
	u8 segment; /* after defaults and prefixes; in 64-bit mode only FS and GS have a base */
	u8 base;    /* register, REG_RIP or REG_NONE */
	u8 index;   /* register or REG_NONE */
	u8 scale;   /* 1, 2, 4, 8 */
	s64 disp;   /* sign-extended from its encoded size; a moffs is zero-extended */
};

/* A register as an operand. */
struct insn_reg {
	u8 n;	   /* 0 to 15 */
	bool high; /* AH, CH, DH, BH: bits 15:8 of register n (which is 0 to 3) */
};

struct insn {
	u8 length;	 /* bytes, prefixes included: 1 to 15 */
	u8 op;		 /* enum insn_op */
	u8 mode;	 /* enum decode_mode it was decoded for */
	u8 size;	 /* bytes of the operation: 1, 2, 4, 8; IN, OUT, INS, OUTS: at most 4 */
	u8 mem_size;	 /* bytes of the memory (or r/m) operand; differs from size in MOVZX, MOVSX,
			  * LMSW and SMSW to memory. INVLPG: 0 */
	u8 address_size; /* bytes of an effective address: 2, 4, 8. With REP also the size of rCX */
	u8 rep;		 /* 0, or the last of F2 and F3 */
	bool lock;

	bool has_mem;		 /* `mem` is valid: r/m is memory, moffs, or a string operand */
	bool mem_read;		 /* the instruction loads mem */
	bool mem_write;		 /* the instruction stores to mem, perhaps after loading it */
	bool has_rm;		 /* `rm` is valid: r/m is a register */
	bool has_reg;		 /* `reg` is valid; BT family: it holds the bit offset */
	bool reg_is_destination; /* the result goes to reg, not to r/m or mem */
	bool has_imm;
	/* the memory operand. STOS, INS, MOVS: ES:rDI, which is written; LODS, OUTS: rSI, read */
	struct insn_mem mem;
	struct insn_mem source; /* MOVS only: segment:rSI, read */
	struct insn_reg reg;	/* a CR or DR number for INSN_MOV_*_CR and _DR */
	struct insn_reg rm;
	s64 imm; /* sign-extended; IN, OUT, INT, BT: zero-extended byte */
};

/* Decode the instruction at bytes[0].
 *
 * `count` is the number of bytes that may be read; more than 15 are never looked
 * at. *insn is written in every case but means something only with DECODE_OK.
 *
 * What is wrong is told in the order in which the bytes say it: a truncated
 * instruction is DECODE_SHORT even if its missing bytes could not make it legal,
 * and DECODE_UNKNOWN as soon as the opcode (and ModR/M, where it is part of the
 * opcode) is one that the decoder does not know.
 */
enum decode_status decode(const u8 *bytes, unsigned count, enum decode_mode mode,
			  struct insn *insn);

#endif
