/* sources: arch/x86/decode.c arch/x86/emulate.c */
/* SPDX-License-Identifier: BSD-2-Clause */
/* Any bytes in any mode: nothing is read past the end, and what is decoded is consistent. */
#include <stdlib.h>
#include <string.h>

#include "arch/x86/emulate.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void require(bool condition)
{
	if (!condition)
		abort();
}

static void check_memory(const struct insn *insn, const struct insn_mem *mem)
{
	require(mem->segment <= INSN_GS);
	require(mem->base < 16 || mem->base == REG_NONE ||
		(mem->base == REG_RIP && insn->mode == DECODE_64));
	require(mem->index == REG_NONE || (mem->index < 16 && mem->index != REG_RSP));
	require(mem->scale == 1 || mem->scale == 2 || mem->scale == 4 || mem->scale == 8);
}

static void check(const struct insn *insn, unsigned count)
{
	require(insn->length >= 1 && insn->length <= MIN(count, INSN_MAX_LENGTH));
	require(insn->size == 1 || insn->size == 2 || insn->size == 4 || insn->size == 8);
	require(insn->mode == DECODE_64 || (insn->size < 8 && insn->address_size < 8));
	require(insn->op != INSN_NONE && insn->op <= INSN_MOV_TO_DR);
	require(!insn->has_mem || !insn->has_rm);
	require(insn->has_mem || (!insn->mem_read && !insn->mem_write));
	require(!insn->lock || (insn->mem_read && insn->mem_write));
	require(insn->reg.n < 16 && insn->rm.n < 16);
	if (insn->has_mem)
		check_memory(insn, &insn->mem);
	if (insn->op == INSN_MOVS)
		check_memory(insn, &insn->source);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	u64 gpr[16] = {0}, rflags = 2, stored;
	struct insn insn, again;
	enum decode_mode mode;
	enum decode_status status;

	if (size == 0)
		return 0;
	mode = (enum decode_mode)(data[0] % 3);
	data++;
	size--;
	/* the rest of the input fills the registers */
	if (size > INSN_MAX_LENGTH)
		memcpy(gpr, data + INSN_MAX_LENGTH, MIN(size - INSN_MAX_LENGTH, sizeof(gpr)));
	status = decode(data, (unsigned)size, mode, &insn);
	if (status != DECODE_OK) {
		require(status != DECODE_SHORT || size < INSN_MAX_LENGTH);
		require(status != DECODE_TOO_LONG || size >= INSN_MAX_LENGTH);
		return 0;
	}
	check(&insn, (unsigned)size);
	/* the bytes behind it do not matter, and one byte less is too short */
	require(decode(data, insn.length, mode, &again) == DECODE_OK);
	require(again.length == insn.length && again.op == insn.op);
	require(decode(data, insn.length - 1u, mode, &again) == DECODE_SHORT);
	if (insn.has_mem)
		(void)insn_linear(&insn, &insn.mem, gpr, gpr[0], gpr[1]);
	(void)insn_execute(&insn, gpr, &rflags, gpr[2], &stored);
	require(stored == 0 || insn.mem_size == 8 || stored >> (8 * insn.mem_size) == 0);
	return 0;
}
