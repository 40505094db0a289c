/* SPDX-License-Identifier: BSD-2-Clause */
#include "arch/x86/decode.h"
#include "arch/x86/guest_walk.h"
#include "kernel/string.h"
#include "mm/window.h"
#include "model/run.h"

#define EFER_LMA BIT(10)

/* What a page walk could not reach. */
struct walk_context {
	struct vmrun *run;
	enum shadow_result result;
	u64 error, raw_gpa;
};

static void *reach(struct vmrun *run, u64 raw_gpa, unsigned access, struct walk_context *w)
{
	struct shadow_reply reply;

	w->raw_gpa = raw_gpa;
	w->result = shadow_access(run->space, &run->view, raw_gpa, access, &reply);
	w->error = reply.error;
	if (w->result != SHADOW_OK)
		return NULL;
	return (u8 *)window_map(WINDOW_MODEL_DATA, reply.pfn) + raw_gpa % PAGE_SIZE;
}

/* guest_walk() reads and writes page-table entries only. */
static bool table_read(void *context, u64 raw_gpa, void *to, unsigned bytes)
{
	struct walk_context *w = context;
	const void *at = reach(w->run, raw_gpa, ACCESS_WALK, w);

	if (at == NULL)
		return false;
	if (bytes == 8)
		*(u64 *)to = READ_ONCE(*(const u64 *)at);
	else
		*(u32 *)to = READ_ONCE(*(const u32 *)at);
	return true;
}

static bool table_write(void *context, u64 raw_gpa, const void *from, unsigned bytes)
{
	(void)context;
	(void)raw_gpa;
	(void)from;
	(void)bytes;
	return false;
}

static bool table_cmpxchg(void *context, u64 raw_gpa, unsigned bytes, u64 expected, u64 desired,
			  bool *swapped)
{
	struct walk_context *w = context;
	void *at = reach(w->run, raw_gpa, ACCESS_WALK, w);
	u32 narrow = (u32)expected;

	if (at == NULL)
		return false;
	if (bytes == 8)
		*swapped = __atomic_compare_exchange_n((u64 *)at, &expected, desired, false,
						       __ATOMIC_SEQ_CST, __ATOMIC_SEQ_CST);
	else
		*swapped = __atomic_compare_exchange_n((u32 *)at, &narrow, (u32)desired, false,
						       __ATOMIC_SEQ_CST, __ATOMIC_SEQ_CST);
	return true;
}

static const struct guest_mem_ops ops = {table_read, table_write, table_cmpxchg};

static struct guest_mmu mmu_of(struct vmrun *run, struct walk_context *w)
{
	const struct vmcb_save *s = &run->vmcb->save;

	*w = (struct walk_context){.run = run};
	return (struct guest_mmu){
		.ops = &ops,
		.context = w,
		.cr0 = s->cr0,
		.cr3 = s->cr3,
		.cr4 = s->cr4,
		.efer = s->efer,
		.rflags = s->rflags,
		.cpl = (u8)run_cpl(run),
		.phys_bits = (u8)host_physical_bits(),
		.gib_pages = true,
		.extra_bits = shadow_c_bit(),
	};
}

enum step run_nested_fault(struct vmrun *run, enum shadow_result result, u64 error, u64 raw_gpa,
			   u64 gva)
{
	if (result == SHADOW_NPF)
		return run_exit(run, VMEXIT_NPF, error, raw_gpa & ~shadow_c_bit());
	if (error != VC_NPF)
		run->vmcb->save.cr2 = gva;
	return run_vc(run, (u32)error);
}

bool run_translate(struct vmrun *run, u64 gva, unsigned flags, u64 *raw_gpa, enum step *step)
{
	struct walk_context context;
	struct guest_mmu mmu = mmu_of(run, &context);
	struct guest_walk walk;

	switch (guest_walk(&mmu, gva, flags, &walk)) {
	case WALK_OK:
		*raw_gpa = walk.raw_gpa;
		return true;
	case WALK_PAGE_FAULT:
		*step = run_page_fault(run, walk.gva, walk.error_code);
		break;
	case WALK_NESTED:
		*step = run_nested_fault(run, context.result, context.error, context.raw_gpa, gva);
		break;
	case WALK_RACED:
		*step = STEP_AGAIN;
		break;
	case WALK_NONCANONICAL:
	case WALK_UNSUPPORTED:
		*step = run_exception(run, VECTOR_GP, true, 0);
		break;
	}
	return false;
}

static unsigned in_page(u64 gva, unsigned bytes)
{
	return (unsigned)MIN(PAGE_SIZE - gva % PAGE_SIZE, bytes);
}

static bool data_at(struct vmrun *run, u64 gva, u64 raw_gpa, unsigned flags, void **at,
		    enum step *step)
{
	struct walk_context w;
	unsigned access = 0;

	if ((flags & WALK_WRITE) != 0)
		access = ACCESS_WRITE;
	else if ((flags & WALK_FETCH) != 0)
		access = ACCESS_FETCH;
	*at = reach(run, raw_gpa, access, &w);
	if (*at == NULL)
		*step = run_nested_fault(run, w.result, w.error, raw_gpa, gva);
	return *at != NULL;
}

bool run_read(struct vmrun *run, u64 gva, void *to, unsigned bytes, unsigned flags, enum step *step)
{
	for (unsigned done = 0, part; done < bytes; done += part) {
		u64 raw_gpa;
		void *at;

		part = in_page(gva + done, bytes - done);
		if (!run_translate(run, gva + done, flags, &raw_gpa, step) ||
		    !data_at(run, gva + done, raw_gpa, flags, &at, step))
			return false;
		memcpy((u8 *)to + done, at, part);
	}
	return true;
}

bool run_write(struct vmrun *run, u64 gva, const void *from, unsigned bytes, unsigned flags,
	       enum step *step)
{
	unsigned first = in_page(gva, bytes);
	u64 raw_gpa[2] = {0, 0};
	void *at;

	flags |= (unsigned)WALK_WRITE;
	/* All of it can be written before any of it is. */
	if (!run_translate(run, gva, flags, &raw_gpa[0], step) ||
	    !data_at(run, gva, raw_gpa[0], flags, &at, step))
		return false;
	if (first < bytes && (!run_translate(run, gva + first, flags, &raw_gpa[1], step) ||
			      !data_at(run, gva + first, raw_gpa[1], flags, &at, step)))
		return false;
	if (first < bytes)
		memcpy(at, (const u8 *)from + first, bytes - first);
	if (!data_at(run, gva, raw_gpa[0], flags, &at, step))
		return false;
	memcpy(at, from, first);
	return true;
}

/* A look without consequences. */
static bool peek(struct vmrun *run, u64 gva, unsigned flags, u64 *raw_gpa)
{
	struct walk_context context;
	struct guest_mmu mmu = mmu_of(run, &context);
	struct guest_walk walk;
	enum walk_status status = guest_walk(&mmu, gva, flags, &walk);

	*raw_gpa = walk.raw_gpa;
	return status == WALK_OK || status == WALK_NESTED;
}

static u64 code_address(const struct vmrun *run)
{
	const struct vmcb_save *s = &run->vmcb->save;

	return run_long_mode(run) ? s->rip : (u32)(s->cs.base + s->rip);
}

unsigned run_fetch(struct vmrun *run, u8 *to, unsigned bytes)
{
	u64 gva = code_address(run);
	unsigned done = 0;

	while (done < bytes) {
		struct walk_context w;
		unsigned part = in_page(gva + done, bytes - done);
		u64 raw_gpa;
		const void *at;

		if (!peek(run, gva + done, WALK_FETCH, &raw_gpa))
			break;
		at = reach(run, raw_gpa, ACCESS_FETCH, &w);
		if (at == NULL)
			break;
		memcpy(to + done, at, part);
		done += part;
	}
	return done;
}

static enum decode_mode mode_of(const struct vmrun *run)
{
	const struct vmcb_save *s = &run->vmcb->save;

	return decode_mode_of((s->efer & EFER_LMA) != 0, (s->cs.attributes & BIT(9)) != 0,
			      (s->cs.attributes & BIT(10)) != 0);
}

unsigned run_length(struct vmrun *run, unsigned usual)
{
	u64 told = run->vmcb->control.next_rip - run->vmcb->save.rip;
	u8 bytes[INSN_MAX_LENGTH];
	struct insn insn;

	if (told - 1 < INSN_MAX_LENGTH)
		return (unsigned)told;
	if (decode(bytes, run_fetch(run, bytes, sizeof(bytes)), mode_of(run), &insn) != DECODE_OK)
		return usual;
	return insn.length;
}

static u64 linear(struct vmrun *run, const struct insn *insn, const struct insn_mem *m)
{
	const struct vmcb_segment *segments = &run->vmcb->save.es;
	u64 offset = (u64)m->disp;

	if (m->base == REG_RIP)
		offset += run->vmcb->save.rip + insn->length;
	else if (m->base != REG_NONE)
		offset += *run_register(run, m->base);
	if (m->index != REG_NONE)
		offset += *run_register(run, m->index) * m->scale;
	if (insn->address_size != 8)
		offset &= insn->address_size == 4 ? 0xfffffffful : 0xfffful;
	if (insn->mode == DECODE_64)
		return offset + (m->segment >= INSN_FS ? segments[m->segment].base : 0);
	return (u32)(offset + segments[m->segment].base);
}

static bool leads_to(struct vmrun *run, u64 gva, u64 raw_gpa, unsigned access)
{
	unsigned flags = (access & ACCESS_FETCH) != 0 ? (unsigned)WALK_FETCH : 0;
	u64 found;

	return peek(run, gva, flags, &found) && found >> PAGE_SHIFT == raw_gpa >> PAGE_SHIFT;
}

u64 run_find_gva(struct vmrun *run, u64 raw_gpa, unsigned access)
{
	u64 candidates[2 * 4 + 3 + REG_COUNT], rsp = run->vmcb->save.rsp;
	u64 stack = run_long_mode(run) ? 0 : run->vmcb->save.ss.base;
	unsigned count = 0;
	u8 bytes[INSN_MAX_LENGTH];
	struct insn insn;

	candidates[count++] = code_address(run);
	candidates[count++] = code_address(run) + INSN_MAX_LENGTH - 1;
	if ((access & ACCESS_FETCH) == 0 &&
	    decode(bytes, run_fetch(run, bytes, sizeof(bytes)), mode_of(run), &insn) == DECODE_OK) {
		count = 0;
		if (insn.has_mem) {
			candidates[count++] = linear(run, &insn, &insn.mem);
			candidates[count] = candidates[count - 1] + insn.mem_size - 1;
			count++;
		}
		if (insn.has_mem && insn.op == INSN_MOVS) {
			candidates[count++] = linear(run, &insn, &insn.source);
			candidates[count] = candidates[count - 1] + insn.mem_size - 1;
			count++;
		}
	}
	candidates[count++] = stack + rsp - 8;
	candidates[count++] = stack + rsp;
	/* An instruction that the decoder does not know mostly has its address in a register. */
	for (unsigned i = 0; i < REG_COUNT; i++)
		candidates[count++] = *run_register(run, i);
	for (unsigned i = 0; i < count; i++) {
		if (!leads_to(run, candidates[i], raw_gpa, access))
			continue;
		if ((access & ACCESS_WALK) != 0)
			return candidates[i];
		return ALIGN_DOWN(candidates[i], PAGE_SIZE) + raw_gpa % PAGE_SIZE;
	}
	return raw_gpa & ~shadow_c_bit();
}
