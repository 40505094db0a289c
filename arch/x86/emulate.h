/* SPDX-License-Identifier: BSD-2-Clause */
/* Completing a decoded instruction whose memory operand is not memory.
 *
 * All functions are pure: they see the guest's registers as the caller passes
 * them and never the guest's memory. `gpr` is the 16 general registers in the
 * encoding's order (RAX, RCX, RDX, RBX, RSP, RBP, RSI, RDI, R8 to R15).
 *
 * How a caller completes an access to a device:
 *   1. decode() the bytes at RIP; take only insn->op <= INSN_LAST_MEMORY with has_mem.
 *   2. insn_linear() gives the address of insn->mem (and of insn->source for MOVS).
 *   3. if insn->mem_read (or MOVS): fetch mem_size bytes from the device or memory.
 *   4. insn_execute() on a copy of the registers gives new registers, flags and
 *      the value to store.
 *   5. if insn->mem_write: store mem_size bytes; then commit the registers, and
 *      advance RIP unless insn_execute() said that the instruction repeats.
 * A LOCK prefix is not honoured: between 3 and 5 others may access the operand.
 *
 * Intel SDM Vol 1: 3.4.3 (EFLAGS), 3.6 and 3.7.5 (operand addressing), 7.3.9
 * (strings), Appendix A (flags by instruction); Vol 2 chapters 3 to 5.
 */
#ifndef ARCH_X86_EMULATE_H
#define ARCH_X86_EMULATE_H

#include "arch/x86/decode.h"

#define FLAG_CF BIT(0)
#define FLAG_PF BIT(2)
#define FLAG_AF BIT(4)
#define FLAG_ZF BIT(6)
#define FLAG_SF BIT(7)
#define FLAG_DF BIT(10)
#define FLAG_OF BIT(11)

/* The linear address of `mem`, which is insn->mem or insn->source.
 *
 * `rip` is that of the instruction itself, `segment_base` the base of mem->segment
 * (in 64-bit mode used for FS and GS only). Wraps as the hardware does: the offset
 * to the address size, the sum to 32 bits outside 64-bit mode. Includes the
 * displacement that a register bit offset adds for BT, BTS, BTR, BTC.
 * Segment limits and rights, alignment and canonical form are not checked: before
 * a nested fault the processor has done it, before an intercepted INS or OUTS not.
 */
u64 insn_linear(const struct insn *insn, const struct insn_mem *mem, const u64 gpr[16], u64 rip,
		u64 segment_base);

/* Register operand of `size` bytes (1, 2, 4, 8): zero-extended on reading; writing
 * keeps the rest of the register, except that 4 bytes clear bits 63:32. */
u64 insn_reg_read(const u64 gpr[16], struct insn_reg reg, unsigned size);
void insn_reg_write(u64 gpr[16], struct insn_reg reg, unsigned size, u64 value);

/* The result of `op` on destination `a` and source `b`, with the flags.
 *
 * `op` is INSN_ADD to INSN_XADD; NOT, NEG, INC and DEC ignore `b`; the BT family
 * takes `b` modulo the operand's bits. `size` is 1, 2, 4 or 8; higher bits of a and
 * b are ignored and those of the result are 0. CMP, TEST and BT return `a`.
 * Flags that the manual leaves undefined are: AF cleared by AND, OR, XOR and TEST,
 * others unchanged. No other bit of *rflags changes.
 */
u64 alu(enum insn_op op, unsigned size, u64 a, u64 b, u64 *rflags);

enum execute_status {
	EXECUTE_DONE,	     /* the instruction is complete: advance RIP */
	EXECUTE_REPEATS,     /* one element of a REP string is done, more follow: leave RIP */
	EXECUTE_UNSUPPORTED, /* not IN, OUT or an instruction with a memory operand of mem_size */
};

/* Do the instruction, or one element of it for a string, given what it loaded.
 *
 * `loaded` is the memory operand's (for MOVS: the source's) mem_size bytes, or the
 * value from the port for IN and INS; ignored if the instruction loads nothing.
 * *stored becomes the value to store to the memory operand, or to send to the port
 * for OUT and OUTS; it is zero if there is none. *rflags, gpr: updated in place.
 *
 * A REP string whose count is zero does nothing at all: look at insn_count() first.
 */
enum execute_status insn_execute(const struct insn *insn, u64 gpr[16], u64 *rflags, u64 loaded,
				 u64 *stored);

/* Elements that a string instruction has still to do: rCX of the address size with
 * REP, else 1. */
u64 insn_count(const struct insn *insn, const u64 gpr[16]);

/* The address after the instruction at `rip`: 32 bits wide outside 64-bit mode. */
static inline u64 insn_next_rip(const struct insn *insn, u64 rip)
{
	return insn->mode == DECODE_64 ? rip + insn->length : (u32)(rip + insn->length);
}

#endif
