/* SPDX-License-Identifier: BSD-2-Clause */
/* What a guest with encrypted registers asks for, through the GHCB MSR or its GHCB page.
 *
 * A request becomes an ordinary exit of the common code: its inputs go into v->gpr, kernel/ answers
 * or asks the manager, and when the vCPU is to be entered again (ghcb_answer) what has become of
 * v->gpr is the answer. A hostile page is answered as the specification says (4, table 7).
 */
#include "svm/ghcb.h"
#include "arch/x86/io.h"
#include "arch/x86/world.h"
#include "kernel/emulate.h"
#include "kernel/exits.h"
#include "kernel/protocol.h"
#include "kernel/string.h"
#include "svm/sev_vcpu.h"

#define REQUEST_LENGTH 4u /* of VMGEXIT; not 0, so that nobody decodes */

#define EXIT_INFO_WRITE BIT(0)

u64 ghcb_msr_reset(void)
{
	return (u64)GHCB_PROTOCOL_MAX << 48 | (u64)GHCB_PROTOCOL_MIN << 32 |
	       (u64)sev_features.cbit << 24 | GHCB_MSR_INFO;
}

static struct ghcb *ghcb_of(struct vcpu *v)
{
	return &v->vendor->sev->ghcb;
}

static bool is_snp(const struct vcpu *v)
{
	return v->vm->type == SEPTUM_SNP;
}

/* ---- The guest's shared memory ---- */

/* Brought into the nested table if it can be, without asking anybody. */
static bool shared_map(struct vcpu *v, u64 gpa, bool write)
{
	const struct access access = {
		.raw_gpa = gpa,
		.write = write,
		.kind_known = is_snp(v),
	};

	return memory_fault(&v->vm->memory, &access).outcome == FAULT_RESOLVED;
}

bool ghcb_read(struct vcpu *v, u64 gpa, void *to, unsigned bytes)
{
	struct memory *mem = &v->vm->memory;

	return memory_read(mem, gpa, to, bytes) ||
	       (shared_map(v, gpa, false) && memory_read(mem, gpa, to, bytes));
}

bool ghcb_write(struct vcpu *v, u64 gpa, const void *from, unsigned bytes)
{
	struct memory *mem = &v->vm->memory;

	return memory_write(mem, gpa, from, bytes) ||
	       (shared_map(v, gpa, true) && memory_write(mem, gpa, from, bytes));
}

static bool page_read(struct vcpu *v, u64 gpa, struct ghcb_page *page)
{
	u64 registers[3], exit[4], last[3], tail;

	if (!ghcb_read(v, gpa + GHCB_RAX, &page->rax, 8) ||
	    !ghcb_read(v, gpa + GHCB_RCX, registers, sizeof(registers)) ||
	    !ghcb_read(v, gpa + GHCB_RSI, &page->rsi, 8) ||
	    !ghcb_read(v, gpa + GHCB_CODE, exit, sizeof(exit)) ||
	    !ghcb_read(v, gpa + GHCB_XCR0, last, sizeof(last)) ||
	    !ghcb_read(v, gpa + GHCB_CPL, &page->cpl, 1) ||
	    !ghcb_read(v, gpa + (GHCB_VERSION & ~7u), &tail, 8))
		return false;
	page->rcx = registers[0];
	page->rdx = registers[1];
	page->rbx = registers[2];
	page->code = exit[0];
	page->info1 = exit[1];
	page->info2 = exit[2];
	page->scratch = exit[3];
	page->xcr0 = last[0];
	page->valid[0] = last[1];
	page->valid[1] = last[2];
	page->version = (u16)(tail >> 16);
	page->usage = (u32)(tail >> 32);
	return true;
}

/* ---- Answers ---- */

void ghcb_begin(struct vcpu *v, enum ghcb_kind kind)
{
	struct ghcb *g = ghcb_of(v);

	g->phase = GHCB_ANSWER;
	g->kind = (u8)kind;
	g->skipped = false;
	v->exit.length = REQUEST_LENGTH;
}

static void answer_end(struct vcpu *v)
{
	ghcb_of(v)->phase = GHCB_NONE;
}

/* Writes SW_EXITINFO1 and 2, and says which fields are valid: those and `registers`, a bit mask of
 * enum gpr of RAX, RCX, RDX, RBX. What cannot be written (the page is gone) is the guest's loss. */
static void page_answer(struct vcpu *v, u64 info1, u64 info2, unsigned registers)
{
	const struct ghcb *g = ghcb_of(v);
	u64 info[2] = {info1, info2}, valid[2] = {0}, three[3];
	static const struct {
		u16 gpr, offset;
	} fields[] = {{RAX, GHCB_RAX}, {RCX, GHCB_RCX}, {RDX, GHCB_RCX + 8}, {RBX, GHCB_RCX + 16}};

	for (unsigned i = 0; i < ARRAY_COUNT(fields); i++) {
		if ((registers & BIT(fields[i].gpr)) != 0)
			valid[fields[i].offset / 512] |= BIT(fields[i].offset / 8 % 64);
	}
	valid[1] |= BIT(GHCB_INFO1 / 8 % 64) | BIT((GHCB_INFO1 + 8) / 8 % 64);
	if ((registers & BIT(RAX)) != 0)
		(void)ghcb_write(v, g->gpa + GHCB_RAX, &v->gpr[RAX], 8);
	if ((registers & (BIT(RCX) | BIT(RDX) | BIT(RBX))) != 0) {
		three[0] = v->gpr[RCX];
		three[1] = v->gpr[RDX];
		three[2] = v->gpr[RBX];
		(void)ghcb_write(v, g->gpa + GHCB_RCX, three, sizeof(three));
	}
	(void)ghcb_write(v, g->gpa + GHCB_INFO1, info, sizeof(info));
	(void)ghcb_write(v, g->gpa + GHCB_BITMAP, valid, sizeof(valid));
	answer_end(v);
}

enum after ghcb_malformed(struct vcpu *v, enum ghcb_malformed why)
{
	page_answer(v, GHCB_MALFORMED, why, 0);
	return AFTER_RESUME;
}

enum after ghcb_done(struct vcpu *v, u64 info2, unsigned registers)
{
	page_answer(v, 0, info2, registers);
	return AFTER_RESUME;
}

static void msr_answer(struct vcpu *v, u64 value)
{
	v->vendor->vmcb->control.ghcb = value;
	answer_end(v);
}

/* What was to be done raises an exception: the guest is to raise it itself. */
static void exception_answer(struct vcpu *v)
{
	const struct vcpu_event *e = &v->event;
	u64 word = e->vector | EVENT_TYPE_EXC | EVENT_VALID;

	if (e->has_error)
		word |= EVENT_HAS_ERROR | (u64)e->error << EVENT_ERROR_SHIFT;
	v->event.kind = EVENT_NONE;
	page_answer(v, GHCB_EXCEPTION, word, 0);
}

static u64 cpuid_register(const struct vcpu *v, unsigned reg)
{
	static const u8 order[] = {RAX, RBX, RCX, RDX};

	return (u32)v->gpr[order[reg & 3]];
}

static bool strings_go_on(struct vcpu *v);

/* The request is done. False: there is more of it. */
static bool answer(struct vcpu *v)
{
	struct ghcb *g = ghcb_of(v);

	switch ((enum ghcb_kind)g->kind) {
	case GHCB_PAGES:
		return false;
	case GHCB_STRING:
		if (strings_go_on(v))
			return false;
		page_answer(v, 0, 0, 0);
		return true;
	case GHCB_MMIO_READ:
		(void)ghcb_write(v, g->scratch, &v->pending.value, (unsigned)g->info2);
		page_answer(v, 0, 0, 0);
		return true;
	case GHCB_RDMSR:
		page_answer(v, 0, 0, BIT(RAX) | BIT(RDX));
		return true;
	case GHCB_RAX_ONLY:
		page_answer(v, 0, 0, BIT(RAX));
		return true;
	case GHCB_MSR_CPUID:
		msr_answer(v, cpuid_register(v, g->reg) << 32 | (u64)g->reg << 30 |
				      GHCB_MSR_CPUID_ANSWER);
		return true;
	case GHCB_MSR_PAGE:
		msr_answer(v, GHCB_MSR_PAGE_ANSWER | (v->gpr[RAX] != 0 ? 1ul << 32 : 0));
		return true;
	case GHCB_SILENT:
		page_answer(v, 0, 0, 0);
		return true;
	}
	return true;
}

bool ghcb_answer(struct vcpu *v)
{
	struct ghcb *g = ghcb_of(v);

	if (g->phase == GHCB_NONE)
		return true;
	if (g->phase == GHCB_ANSWER) {
		if (v->event.kind == EVENT_EXCEPTION) {
			if (g->kind == GHCB_MSR_CPUID || g->kind == GHCB_MSR_PAGE) {
				v->event.kind = EVENT_NONE;
				answer_end(v);
			} else {
				exception_answer(v);
			}
			return true;
		}
		if (g->skipped && answer(v))
			return true;
		/* Looked at again from its beginning, but for what goes on. */
		if (!g->skipped)
			g->phase = GHCB_ASKED;
	}
	v->exit.reason = EXIT_GUEST_REQUEST;
	v->exit.length = REQUEST_LENGTH;
	return false;
}

void ghcb_asked(struct vcpu *v)
{
	struct ghcb *g = ghcb_of(v);

	g->phase = GHCB_ASKED;
	g->psc_running = false;
}

/* ---- Port access ---- */

/* The scratch area, which must lie in the page's own buffer. 0 bytes: it does not. */
static unsigned scratch_room(const struct ghcb *g)
{
	u64 offset = g->scratch - g->gpa;

	if (offset < GHCB_BUFFER || offset >= GHCB_BUFFER_END)
		return 0;
	return GHCB_BUFFER_END - (unsigned)offset;
}

static enum after string_chunk(struct vcpu *v)
{
	struct ghcb *g = ghcb_of(v);
	unsigned size = v->exit.io.size;
	u32 count = MIN(g->io_left, SEPTUM_PAYLOAD_BYTES / size);

	v->exit.io.count = (u16)count;
	g->io_chunk = (u16)count;
	if (!v->exit.io.in && !ghcb_read(v, g->scratch + g->io_at, v->pending.held, count * size)) {
		page_answer(v, GHCB_MALFORMED, GHCB_INVALID_SCRATCH, 0);
		return AFTER_RESUME;
	}
	ghcb_begin(v, GHCB_STRING);
	return io_exit(v);
}

/* A chunk has come back. True: another one follows. */
static bool strings_go_on(struct vcpu *v)
{
	struct ghcb *g = ghcb_of(v);
	unsigned bytes = g->io_chunk * v->exit.io.size;

	if (v->exit.io.in)
		(void)ghcb_write(v, g->scratch + g->io_at, v->pending.held, bytes);
	g->io_left = (u16)(g->io_left - g->io_chunk);
	g->io_at = (u16)(g->io_at + bytes);
	return g->io_left != 0;
}

static enum after io_request(struct vcpu *v, const struct ghcb_page *page)
{
	struct ghcb *g = ghcb_of(v);
	struct exit *exit = &v->exit;
	u64 info = page->info1;
	unsigned size = (unsigned)(info >> IOIO_SIZE_SHIFT & 7);

	if (size != 1 && size != 2 && size != 4)
		return ghcb_malformed(v, GHCB_INVALID_INPUT);
	memset(&exit->io, 0, sizeof(exit->io));
	exit->io.port = (u16)(info >> IOIO_PORT_SHIFT);
	exit->io.size = (u8)size;
	exit->io.in = (info & IOIO_IN) != 0;
	count(v, SEPTUM_COUNTER_EXIT_IO);
	if ((info & IOIO_STRING) != 0) {
		u64 wanted = (info & IOIO_REP) != 0 ? page->info2 : 1;

		if (!ghcb_valid(page, GHCB_CODE + 24))
			return ghcb_malformed(v, GHCB_MISSING_INPUT);
		if (wanted > scratch_room(g) / size)
			return ghcb_malformed(v, GHCB_INVALID_SCRATCH);
		if (wanted == 0)
			return ghcb_done(v, 0, 0);
		exit->io.buffer = true;
		g->io_left = (u16)wanted;
		g->io_at = 0;
		return string_chunk(v);
	}
	if (!exit->io.in && !ghcb_valid(page, GHCB_RAX))
		return ghcb_malformed(v, GHCB_MISSING_INPUT);
	v->gpr[RAX] = exit->io.in ? 0 : page->rax;
	ghcb_begin(v, exit->io.in ? GHCB_RAX_ONLY : GHCB_SILENT);
	return io_exit(v);
}

/* ---- The other events ---- */

static enum after cpuid_request(struct vcpu *v, const struct ghcb_page *page)
{
	if (!ghcb_valid(page, GHCB_RAX) || !ghcb_valid(page, GHCB_RCX))
		return ghcb_malformed(v, GHCB_MISSING_INPUT);
	if ((u32)page->rax == 0xd) {
		if (!ghcb_valid(page, GHCB_XCR0))
			return ghcb_malformed(v, GHCB_MISSING_INPUT);
		v->sealed_xcr0 = page->xcr0;
	}
	v->gpr[RAX] = page->rax;
	v->gpr[RCX] = page->rcx;
	v->gpr[RBX] = v->gpr[RDX] = 0;
	count(v, SEPTUM_COUNTER_EXIT_CPUID);
	cpuid_answer(v);
	return ghcb_done(v, 0, BIT(RAX) | BIT(RCX) | BIT(RDX) | BIT(RBX));
}

static enum after msr_request(struct vcpu *v, const struct ghcb_page *page)
{
	bool write = (page->info1 & EXIT_INFO_WRITE) != 0;

	if (!ghcb_valid(page, GHCB_RCX))
		return ghcb_malformed(v, GHCB_MISSING_INPUT);
	if (write && (!ghcb_valid(page, GHCB_RAX) || !ghcb_valid(page, GHCB_RCX + 8)))
		return ghcb_malformed(v, GHCB_MISSING_INPUT);
	v->gpr[RCX] = page->rcx;
	v->gpr[RAX] = write ? page->rax : 0;
	v->gpr[RDX] = write ? page->rdx : 0;
	count(v, SEPTUM_COUNTER_EXIT_MSR);
	ghcb_begin(v, write ? GHCB_SILENT : GHCB_RDMSR);
	return msr_exit(v, write);
}

static enum after call_request(struct vcpu *v, const struct ghcb_page *page)
{
	if (!ghcb_valid(page, GHCB_RAX) || !ghcb_valid(page, GHCB_CPL & ~7u))
		return ghcb_malformed(v, GHCB_MISSING_INPUT);
	v->gpr[RAX] = page->rax;
	v->gpr[RBX] = ghcb_valid(page, GHCB_RCX + 16) ? page->rbx : 0;
	v->gpr[RCX] = ghcb_valid(page, GHCB_RCX) ? page->rcx : 0;
	v->gpr[RDX] = ghcb_valid(page, GHCB_RCX + 8) ? page->rdx : 0;
	v->gpr[RSI] = ghcb_valid(page, GHCB_RSI) ? page->rsi : 0;
	ghcb_of(v)->cpl = page->cpl & 3;
	count(v, SEPTUM_COUNTER_EXIT_HYPERCALL);
	ghcb_begin(v, GHCB_RAX_ONLY);
	return guest_call(v);
}

static enum after device_request(struct vcpu *v, const struct ghcb_page *page, bool write)
{
	struct ghcb *g = ghcb_of(v);
	u64 bytes = page->info2, value = 0;

	if (bytes != 1 && bytes != 2 && bytes != 4 && bytes != 8)
		return ghcb_malformed(v, GHCB_INVALID_INPUT);
	if (page->info1 % PAGE_SIZE + bytes > PAGE_SIZE)
		return ghcb_malformed(v, GHCB_INVALID_INPUT);
	if (!ghcb_valid(page, GHCB_CODE + 24))
		return ghcb_malformed(v, GHCB_MISSING_INPUT);
	if (scratch_room(g) < bytes ||
	    (write && !ghcb_read(v, g->scratch, &value, (unsigned)bytes)))
		return ghcb_malformed(v, GHCB_INVALID_SCRATCH);
	ghcb_begin(v, write ? GHCB_SILENT : GHCB_MMIO_READ);
	return mmio_request(v, page->info1, (unsigned)bytes, write, value);
}

static enum after tsc_request(struct vcpu *v, bool with_aux)
{
	u64 now = rdtsc() + v->tsc_offset, aux = 0;

	v->gpr[RAX] = (u32)now;
	v->gpr[RDX] = now >> 32;
	if (with_aux && world_msr(0xc0000103))
		(void)rdmsr_safe(0xc0000103, &aux);
	v->gpr[RCX] = aux;
	return ghcb_done(v, 0, BIT(RAX) | BIT(RDX) | (with_aux ? BIT(RCX) : 0));
}

static enum after guest_ends(struct vcpu *v, u64 reason)
{
	answer_end(v);
	vcpu_fail(v, SEPTUM_FAILURE_GUEST, 0, reason);
	return AFTER_WAIT;
}

static u64 features(const struct vcpu *v)
{
	if (!is_snp(v))
		return 0;
	return GHCB_FEATURE_SNP | (ap_create_possible(v) ? GHCB_FEATURE_AP_CREATE : 0);
}

/* Waits, as in HLT, for another vCPU's SIPI. */
static enum after reset_hold(struct vcpu *v, bool msr)
{
	/* Nobody sends one: there is no vCPU that this could be meant for but by AP creation. */
	if (msr)
		msr_answer(v, GHCB_MSR_HOLD_ANSWER);
	else
		page_answer(v, 0, 0, 0);
	v->exit.length = 1;
	return halt_exit(v);
}

/* ---- Dispatch ---- */

static enum after event_dispatch(struct vcpu *v, const struct ghcb_page *page)
{
	struct ghcb *g = ghcb_of(v);

	switch (page->code) {
	case GHCB_EVENT_CPUID:
		return cpuid_request(v, page);
	case GHCB_EVENT_IOIO:
		return io_request(v, page);
	case GHCB_EVENT_MSR:
		return msr_request(v, page);
	case GHCB_EVENT_VMMCALL:
		return call_request(v, page);
	case GHCB_EVENT_WBINVD: /* no guest has a device of its own: memory is coherent */
	case GHCB_EVENT_INVD:
	case GHCB_EVENT_MONITOR:
	case GHCB_EVENT_MWAIT:
		return ghcb_done(v, 0, 0);
	case GHCB_EVENT_DR7_READ:
		v->gpr[RAX] = g->dr7;
		return ghcb_done(v, 0, BIT(RAX));
	case GHCB_EVENT_DR7_WRITE:
		if (!ghcb_valid(page, GHCB_RAX))
			return ghcb_malformed(v, GHCB_MISSING_INPUT);
		g->dr7 = page->rax;
		return ghcb_done(v, 0, 0);
	case GHCB_EVENT_RDTSC:
	case GHCB_EVENT_RDTSCP:
		return tsc_request(v, page->code == GHCB_EVENT_RDTSCP);
	case GHCB_EVENT_RDPMC:
		ghcb_begin(v, GHCB_SILENT);
		inject_general_protection(v);
		return AFTER_RESUME;
	case GHCB_EVENT_MMIO_READ:
	case GHCB_EVENT_MMIO_WRITE:
		return device_request(v, page, page->code == GHCB_EVENT_MMIO_WRITE);
	case GHCB_EVENT_NMI_DONE:
		v->vendor->nmi = NMI_FREE;
		return ghcb_done(v, 0, 0);
	case GHCB_EVENT_RESET_HOLD:
		return reset_hold(v, false);
	case GHCB_EVENT_JUMP_TABLE:
		if (page->info1 == 0)
			g->jump_table = page->info2;
		else if (page->info1 != 1)
			return ghcb_malformed(v, GHCB_INVALID_INPUT);
		return ghcb_done(v, g->jump_table, 0);
	case GHCB_EVENT_FEATURES:
		return ghcb_done(v, features(v), 0);
	case GHCB_EVENT_TERMINATE:
		return guest_ends(v, page->info1 & 0xfff);
	case GHCB_EVENT_UNSUPPORTED:
		vcpu_fail(v, SEPTUM_FAILURE_EXIT, 0, page->info1);
		answer_end(v);
		return AFTER_WAIT;
	default:
		break;
	}
	if (!is_snp(v))
		return ghcb_malformed(v, GHCB_INVALID_EVENT);
	switch (page->code) {
	case GHCB_EVENT_PAGES:
		if (!ghcb_valid(page, GHCB_CODE + 24))
			return ghcb_malformed(v, GHCB_MISSING_INPUT);
		if (scratch_room(g) < 8)
			return ghcb_malformed(v, GHCB_INVALID_SCRATCH);
		return psc_begin(v, scratch_room(g));
	case GHCB_EVENT_REQUEST:
	case GHCB_EVENT_REQUEST_CERTS:
		return guest_request(v, page);
	case GHCB_EVENT_AP_CREATE:
		if (!ghcb_valid(page, GHCB_RAX))
			return ghcb_malformed(v, GHCB_MISSING_INPUT);
		return ap_create(v, page);
	default:
		return ghcb_malformed(v, GHCB_INVALID_EVENT);
	}
}

static enum after page_unusable(struct vcpu *v, u64 gpa)
{
	answer_end(v);
	vcpu_fail(v, SEPTUM_FAILURE_GHCB, gpa, 0);
	return AFTER_WAIT;
}

static enum after page_protocol(struct vcpu *v, u64 gpa)
{
	struct ghcb *g = ghcb_of(v);
	struct ghcb_page page;

	g->gpa = gpa;
	if (!page_read(v, gpa, &page))
		return page_unusable(v, gpa);
	if (is_snp(v) && g->registered != gpa)
		return ghcb_malformed(v, GHCB_NOT_REGISTERED);
	if (page.usage != 0)
		return ghcb_malformed(v, GHCB_INVALID_USAGE);
	if (!ghcb_valid(&page, GHCB_CODE) || !ghcb_valid(&page, GHCB_INFO1) ||
	    !ghcb_valid(&page, GHCB_INFO1 + 8))
		return ghcb_malformed(v, GHCB_MISSING_INPUT);
	g->info1 = page.info1;
	g->info2 = page.info2;
	g->scratch = page.scratch;
	return event_dispatch(v, &page);
}

static enum after msr_page(struct vcpu *v, u64 request)
{
	unsigned op = (unsigned)(request >> 52 & 0xf);
	u64 page = request & (BIT(52) - 1) & ~GHCB_MSR_CODE;

	ghcb_begin(v, GHCB_MSR_PAGE);
	if (op == PSC_PRIVATE || op == PSC_SHARED)
		return explicit_exit(v, page, 1, op == PSC_PRIVATE);
	v->gpr[RAX] = 1;
	ghcb_of(v)->skipped = true;
	return AFTER_RESUME;
}

static enum after msr_cpuid(struct vcpu *v, u64 request)
{
	ghcb_begin(v, GHCB_MSR_CPUID);
	ghcb_of(v)->reg = request >> 30 & 3;
	v->gpr[RAX] = request >> 32;
	v->gpr[RCX] = 0;
	v->sealed_xcr0 = 1;
	count(v, SEPTUM_COUNTER_EXIT_CPUID);
	cpuid_answer(v);
	ghcb_of(v)->skipped = true;
	return AFTER_RESUME;
}

static enum after msr_protocol(struct vcpu *v, u64 request)
{
	struct ghcb *g = ghcb_of(v);
	u64 code = request & GHCB_MSR_CODE, address = request & ~GHCB_MSR_CODE;

	switch (code) {
	case GHCB_MSR_INFO_REQUEST:
		msr_answer(v, ghcb_msr_reset());
		return AFTER_RESUME;
	case GHCB_MSR_CPUID_REQUEST:
		return msr_cpuid(v, request);
	case GHCB_MSR_HOLD_REQUEST:
		return reset_hold(v, true);
	case GHCB_MSR_FEATURES_REQUEST:
		msr_answer(v, features(v) << 12 | GHCB_MSR_FEATURES_ANSWER);
		return AFTER_RESUME;
	case GHCB_MSR_TERMINATE:
		return guest_ends(v, (request >> 12 & 0xf) | (request >> 16 & 0xff) << 4);
	case GHCB_MSR_PREFERRED_REQUEST:
	case GHCB_MSR_REGISTER_REQUEST:
	case GHCB_MSR_PAGE_REQUEST:
		/* For SNP only: another guest that says this is lost. */
		if (!is_snp(v))
			return page_unusable(v, address);
		break;
	default:
		answer_end(v); /* the MSR stays as it is */
		return AFTER_RESUME;
	}
	if (code == GHCB_MSR_PAGE_REQUEST)
		return msr_page(v, request);
	if (code == GHCB_MSR_PREFERRED_REQUEST) {
		msr_answer(v, ~GHCB_MSR_CODE | GHCB_MSR_PREFERRED_ANSWER);
		return AFTER_RESUME;
	}
	if (address >> v->vm->memory.gpa_bits != 0) {
		msr_answer(v, ~GHCB_MSR_CODE | GHCB_MSR_REGISTER_ANSWER);
		return AFTER_RESUME;
	}
	g->registered = address;
	msr_answer(v, address | GHCB_MSR_REGISTER_ANSWER);
	return AFTER_RESUME;
}

enum after sev_request(struct vcpu *v)
{
	struct ghcb *g = ghcb_of(v);
	u64 request = v->vendor->vmcb->control.ghcb;

	if (g->phase == GHCB_ANSWER)
		return g->kind == GHCB_PAGES ? psc_continue(v) : string_chunk(v);
	if (g->phase != GHCB_ASKED)
		return AFTER_RESUME;
	if ((request & GHCB_MSR_CODE) != 0)
		return msr_protocol(v, request);
	return page_protocol(v, request);
}
