/* sources: mm/?*.c model/rmp.c model/cipher.c model/shadow.c model/access.c model/run.c
 * model/exits.c model/guest.c model/vc.c model/insn.c model/msr.c model/control.c model/vmsa.c
 * arch/x86/decode.c arch/x86/guest_walk.c tests/host/fake.c */
/* SPDX-License-Identifier: BSD-2-Clause */
/* The SNP model's VMRUN: a processor that reports the exits of a script stands in for the real one;
 * what the model makes of them, in the VMSA, in the guest's memory and towards the client. */
#include "tests/host/fake.h"

#include "arch/x86/smp.h"
#include "model/cipher.h"
#include "model/psp.h"
#include "model/rmp.h"
#include "model/run.h"
#include "model/sev.h"

#define RAM	8192ul
#define COVERED 3072ul
#define NESTED	3500ul
#define C	(1ul << 47)
#define ASID	3

/* The guest's pages: gfn = frame. Linear addresses below 2 MiB are private, from 2 MiB on the same
 * pages as C = 0. */
#define PML4	 100ul
#define IDT	 104ul
#define GDT	 105ul
#define CODE	 106ul
#define STACK	 107ul /* grows down from its end */
#define DATA	 108ul
#define FRESH	 109ul /* assigned, not validated */
#define FOREIGN	 110ul /* another guest's */
#define VMSA	 111ul
#define BIG	 1024ul /* a 2 MiB page, at linear 4 MiB */
#define SHARED	 (2ul << 20)
#define HANDLER	 0xffffffff81234567ul
#define AT(page) ((page)*PAGE_SIZE)

static const struct cipher_key key = {{5, 6, 7, 8}};
static struct vmcb *client;
static u64 client_pa;
static u8 *msrpm;

/* ---- the processor below */

struct report {
	u64 code, info1, info2, event;
};
static const struct report *script;
static struct vmcb seen; /* what was run last */
static u64 seen_gpr[16];
static void (*on_entry)(struct vmcb *vmcb, u64 *gpr);

void svm_enter(u64 vmcb_pa, u64 *gprs, u64 host_vmcb_pa);
void svm_enter(u64 vmcb_pa, u64 *gprs, u64 host_vmcb_pa)
{
	struct vmcb *vmcb = fake_frame(pfn(vmcb_pa / PAGE_SIZE));

	(void)host_vmcb_pa;
	seen = *vmcb;
	memcpy(seen_gpr, gprs, sizeof(seen_gpr));
	if (on_entry != NULL)
		on_entry(vmcb, gprs);
	vmcb->control.exit_code = script->code;
	vmcb->control.exit_info1 = script->info1;
	vmcb->control.exit_info2 = script->info2;
	vmcb->control.exit_event = script->event;
	script++;
}

unsigned cpu_self(void)
{
	return 0;
}

u64 host_frames(void)
{
	return RAM;
}

unsigned host_physical_bits(void)
{
	return 48;
}

u32 host_asid(void)
{
	return 15;
}

void host_cr2_write(u64 value)
{
	(void)value;
}

static struct host_fpu registers;

void host_fpu_load(unsigned cpu, const struct host_fpu *fpu)
{
	(void)cpu;
	registers = *fpu;
}

void host_fpu_save(unsigned cpu, struct host_fpu *fpu)
{
	(void)cpu;
	*fpu = registers;
	memset(&registers, 0, sizeof(registers));
}

static bool asid_runs = true, allowed = true;

bool model_psp_asid_runs(u32 asid)
{
	(void)asid;
	return asid_runs;
}

bool sev_run_allowed(unsigned cpu, u32 asid, bool es)
{
	(void)cpu;
	(void)es;
	return allowed && asid != 0;
}

/* ---- the world */

static u64 *nested_entry(u64 gfn)
{
	return (u64 *)fake_frame(pfn(NESTED + 3)) + gfn % 512;
}

static void own(u64 frame, bool large, bool validated, u32 asid)
{
	const struct rmp_entry e = {
		.gpa = AT(frame),
		.asid = asid,
		.assigned = true,
		.large = large,
		.validated = validated,
		.perms = {RMP_ALL},
	};

	rmp_lock();
	rmp_set(pfn(frame), &e);
	rmp_unlock();
}

static u64 *plain_page(u64 frame)
{
	rmp_lock();
	shadow_evict(pfn(frame), 1);
	rmp_unlock();
	cipher_page(&key, pfn(frame));
	return fake_frame(pfn(frame));
}

static void seal(u64 frame)
{
	cipher_page(&key, pfn(frame));
}

static void vmsa_get(struct vmsa *vmsa)
{
	rmp_lock();
	vmsa_read(pfn(VMSA), &key, vmsa);
	rmp_unlock();
}

static void vmsa_put(const struct vmsa *vmsa)
{
	vmsa_write(pfn(VMSA), &key, vmsa);
}

static void guest_tables(void)
{
	u64 *table;

	table = plain_page(PML4);
	table[0] = AT(PML4 + 1) | C | 7;
	seal(PML4);
	table = plain_page(PML4 + 1);
	table[0] = AT(PML4 + 2) | C | 7;
	seal(PML4 + 1);
	table = plain_page(PML4 + 2);
	table[0] = AT(PML4 + 3) | C | 7;
	table[1] = 0x87;			 /* C = 0 */
	table[2] = (BIG * PAGE_SIZE) | C | 0x87; /* the 2 MiB page */
	seal(PML4 + 2);
	table = plain_page(PML4 + 3);
	for (u64 i = 0; i < 512; i++)
		table[i] = AT(i) | C | 7;
	seal(PML4 + 3);
	table = plain_page(IDT);
	table[29 * 2] =
		(HANDLER & 0xffff) | 8ul << 16 | 0x8eul << 40 | (HANDLER >> 16 & 0xffff) << 48;
	table[29 * 2 + 1] = HANDLER >> 32;
	seal(IDT);
	table = plain_page(GDT);
	table[1] = 0x00af9b000000fffful;
	seal(GDT);
}

static void guest_registers(void)
{
	struct vmcb_segment *s;
	struct vmsa vmsa = {
		.efer = 0x1500,
		.cr4 = 0x20,
		.cr3 = AT(PML4),
		.cr0 = 0x80000011,
		.rflags = 0x202,
		.rip = AT(CODE),
		.rsp = AT(STACK) + 0xff8,
		.rcx = 0x1c1,
		.r8_15 = {8, 9, 10, 11, 12, 13, 14, 15},
		.sev_features = SEV_FEATURE_SNP,
		.pat = 0x0007040600070406ul,
		.mxcsr = 0x1f80,
		.x87_ftw = 0xffff,
		.xcr0 = 1,
		.cpl = 0,
	};

	s = (struct vmcb_segment *)(void *)vmsa.segments;
	s[1] = (struct vmcb_segment){8, 0xa9b, 0xffffffff, 0};
	s[2] = (struct vmcb_segment){0x10, 0xc93, 0xffffffff, 0};
	s[6] = (struct vmcb_segment){0, 0, 0x17, AT(GDT)};
	s[8] = (struct vmcb_segment){0, 0, 0xfff, AT(IDT)};
	s[9] = (struct vmcb_segment){0x18, 0x8b, 0x67, AT(GDT) + 0x100};
	vmsa_put(&vmsa);
}

static int setup(void **state)
{
	u64 pages = (RMP_HEADER + COVERED * RMP_ENTRY_SIZE) / PAGE_SIZE, base;
	struct rmp_entry e;

	(void)state;
	fake_start(RAM, &nested_format_npt);
	shadow_setup(RAM, 47, 48);
	run_setup(1);
	base = own_pfn(own_alloc(pages)).n * PAGE_SIZE;
	assert_true(fake_root_end() > NESTED + 16);
	rmp_enable(base, base + pages * PAGE_SIZE - 1);
	cipher_key_set(ASID, &key);
	client = own_alloc(1);
	client_pa = own_pfn(client).n * PAGE_SIZE;
	msrpm = own_alloc(2);
	*(u64 *)fake_frame(pfn(NESTED)) = AT(NESTED + 1) | 7;
	*(u64 *)fake_frame(pfn(NESTED + 1)) = AT(NESTED + 2) | 7;
	((u64 *)fake_frame(pfn(NESTED + 2)))[0] = AT(NESTED + 3) | 7;
	((u64 *)fake_frame(pfn(NESTED + 2)))[BIG / 512] = AT(BIG) | 0x87;
	for (u64 i = 0; i < 512; i++)
		*nested_entry(i) = AT(i) | 7;
	for (u64 i = PML4; i <= VMSA; i++)
		own(i, false, i != FRESH, i == FOREIGN ? ASID + 1 : ASID);
	own(BIG, true, false, ASID);
	rmp_lock();
	rmp_get(pfn(VMSA), &e);
	e.vmsa = true;
	rmp_set(pfn(VMSA), &e);
	rmp_unlock();
	guest_tables();
	guest_registers();
	client->control = (struct vmcb_control){
		.intercepts = {0x9 << 24 | 3, 3},
		.msrpm = own_pfn(msrpm).n * PAGE_SIZE,
		.asid = ASID,
		.nested = NESTED_PAGING | NESTED_SEV | NESTED_SEV_ES,
		.ncr3 = AT(NESTED),
		.event = 0,
	};
	*(u64 *)((u8 *)client + 0x108) = AT(VMSA);
	memset(&client->save, 0xee, sizeof(client->save));
	on_entry = NULL;
	asid_runs = allowed = true;
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	cipher_key_clear(ASID);
	fake_stop();
	return 0;
}

static void code_put(const char *bytes, unsigned count)
{
	u8 *page = (u8 *)plain_page(CODE);

	memcpy(page, bytes, count);
	seal(CODE);
}

/* Runs until the client gets an exit; returns its code. */
static u64 run_script(const struct report *reports)
{
	script = reports;
	run_vmrun(client_pa, NULL, 0);
	return client->control.exit_code;
}

static const struct report halt = {.code = VMEXIT_HLT};

/* ---- what the client sees */

static void the_registers_are_in_the_vmsa_only(void **state)
{
	const struct report reports[] = {{.code = VMEXIT_INTR}};
	struct vmsa vmsa;
	u8 expected[sizeof(client->save)];

	(void)state;
	memset(expected, 0xee, sizeof(expected));
	assert_int_equal(run_script(reports), VMEXIT_INTR);
	assert_int_equal(seen.save.rip, AT(CODE));
	assert_int_equal(seen.save.cr3, AT(PML4));
	assert_int_equal(seen_gpr[1], 0x1c1);
	assert_int_equal(seen_gpr[12], 12);
	assert_memory_equal(&client->save, expected, sizeof(expected));
	/* .. and there as cipher text */
	assert_int_not_equal(((struct vmsa *)fake_frame(pfn(VMSA)))->rip, AT(CODE));
	vmsa_get(&vmsa);
	assert_int_equal(vmsa.rip, AT(CODE));
	assert_int_equal(client->control.shadow, 2); /* IF */
}

static void automatic_exits_go_to_the_client(void **state)
{
	static const struct {
		u64 code;
		unsigned advance;
	} rows[] = {
		{VMEXIT_MC, 0},	   {VMEXIT_INTR, 0}, {VMEXIT_NMI, 0},
		{VMEXIT_SMI, 0},   {VMEXIT_INIT, 0}, {VMEXIT_VINTR, 0},
		{VMEXIT_PAUSE, 2}, {VMEXIT_HLT, 1},  {VMEXIT_SHUTDOWN, 0},
	};

	(void)state;
	for (unsigned i = 0; i < ARRAY_COUNT(rows); i++) {
		const struct report reports[] = {{.code = rows[i].code}};
		struct vmsa vmsa;

		code_put(rows[i].code == VMEXIT_PAUSE ? "\xf3\x90" : "\xf4\x90", 2);
		guest_registers();
		assert_int_equal(run_script(reports), rows[i].code);
		vmsa_get(&vmsa);
		assert_int_equal(vmsa.rip, AT(CODE) + rows[i].advance);
	}
}

static void vc_expect(u32 code, u64 rip, u64 rsp)
{
	u64 top = ALIGN_DOWN(rsp, 16ul) - 48;
	const u64 *frame;

	assert_int_equal(seen.save.rip, HANDLER);
	assert_int_equal(seen.save.cs.selector, 8);
	assert_int_equal(seen.save.rsp, top);
	assert_int_equal(seen.save.rflags & 0x200, 0);
	assert_int_equal(seen.control.event, 0);
	frame = (const u64 *)(const void *)((u8 *)fake_frame(pfn(STACK)) + top % PAGE_SIZE);
	assert_int_equal(frame[0], code);
	assert_int_equal(frame[1], rip);
	assert_int_equal(frame[2], 8);
	assert_int_equal(frame[3], 0x202);
	assert_int_equal(frame[4], rsp);
	assert_int_equal(frame[5], 0x10);
}

static void everything_else_is_vc_in_the_guest(void **state)
{
	static const struct {
		u64 code;
		u32 error;
	} rows[] = {
		{VMEXIT_CPUID, 0x72},	{VMEXIT_IOIO, 0x7b},	{VMEXIT_MSR, 0x7c},
		{VMEXIT_WBINVD, 0x89},	{VMEXIT_VMMCALL, 0x81}, {VMEXIT_RDPMC, 0x6f},
		{VMEXIT_MONITOR, 0x8a}, {0x41, 0x41},
	};

	(void)state;
	memset(msrpm, 0xff, 2 * PAGE_SIZE);
	client->control.intercepts[0] |= 1u << ICEPT_MSR;
	client->control.exceptions = 1 << 1;
	for (unsigned i = 0; i < ARRAY_COUNT(rows); i++) {
		const struct report reports[] = {{.code = rows[i].code}, {.code = VMEXIT_INTR}};

		code_put("\x0f\x01\xd9\x90", 4); /* VMMCALL, for those who look */
		guest_registers();
		assert_int_equal(run_script(reports), VMEXIT_INTR);
		vc_expect(rows[i].error, AT(CODE), AT(STACK) + 0xff8);
	}
}

static void vc_on_its_own_stack_and_from_user_mode(void **state)
{
	const struct report reports[] = {{.code = VMEXIT_CPUID}, {.code = VMEXIT_INTR}};
	struct vmsa vmsa;
	const u64 rsp0 = AT(STACK) + 0x808, ist3 = AT(STACK) + 0x400;
	const u64 *frame;
	u64 *table;

	(void)state;
	code_put("\x0f\xa2", 2);
	table = plain_page(GDT);
	/* The TSS is not aligned to anything: RSP0 at 104h, IST3 at 134h. */
	memcpy((u8 *)table + 0x104, &rsp0, sizeof(rsp0));
	memcpy((u8 *)table + 0x134, &ist3, sizeof(ist3));
	seal(GDT);
	vmsa_get(&vmsa);
	vmsa.cpl = 3;
	vmsa.rsp = 0x1234;
	((struct vmcb_segment *)(void *)vmsa.segments)[2].selector = 0x2b;
	((struct vmcb_segment *)(void *)vmsa.segments)[1].selector = 0x33;
	vmsa_put(&vmsa);
	assert_int_equal(run_script(reports), VMEXIT_INTR);
	assert_int_equal(seen.save.rsp, AT(STACK) + 0x800 - 48);
	assert_int_equal(seen.save.cpl, 0);
	assert_int_equal(seen.save.ss.selector, 0);
	frame = (const u64 *)fake_frame(pfn(STACK)) + (0x800 - 48) / 8;
	assert_int_equal(frame[2], 0x33);
	assert_int_equal(frame[4], 0x1234);
	assert_int_equal(frame[5], 0x2b);

	table = plain_page(IDT);
	table[29 * 2] |= 3ul << 32;
	seal(IDT);
	guest_registers();
	assert_int_equal(run_script(reports), VMEXIT_INTR);
	assert_int_equal(seen.save.rsp, AT(STACK) + 0x400 - 48);
}

static void vc_whose_frame_faults(void **state)
{
	const struct report reports[] = {{.code = VMEXIT_CPUID}, {.code = VMEXIT_INTR}};
	struct vmsa vmsa;

	(void)state;
	code_put("\x0f\xa2", 2);
	/* The stack is not in the nested table: the client's fault, and CPUID begins again. */
	*nested_entry(STACK) = 0;
	assert_int_equal(run_script(reports), VMEXIT_NPF);
	assert_int_equal(client->control.exit_info1, 6 | NPF_FINAL | NPF_ENC);
	assert_int_equal(client->control.exit_info2, AT(STACK) + 0xff0 - 48);
	vmsa_get(&vmsa);
	assert_int_equal(vmsa.rip, AT(CODE));
	assert_int_equal(vmsa.rsp, AT(STACK) + 0xff8);
	/* A stack that is not validated: #VC in #VC. */
	*nested_entry(STACK) = AT(STACK) | 7;
	own(STACK, false, false, ASID);
	assert_int_equal(run_script(reports), VMEXIT_SHUTDOWN);
	/* No IDT. */
	vmsa_get(&vmsa);
	((struct vmcb_segment *)(void *)vmsa.segments)[8].limit = 0;
	vmsa_put(&vmsa);
	assert_int_equal(run_script(reports), VMEXIT_INTR);
	assert_int_equal(seen.control.event, 0x80000b0d | (29ul * 8 + 3) << 32);
}

static void vmgexit_is_not_vmmcall(void **state)
{
	const struct report reports[] = {{.code = VMEXIT_VMMCALL}, {.code = VMEXIT_INTR}};
	struct vmsa vmsa;

	(void)state;
	client->control.ghcb = 0x1f001;
	code_put("\xf3\x0f\x01\xd9", 4);
	assert_int_equal(run_script(reports), VMEXIT_VMGEXIT);
	assert_int_equal(client->control.ghcb, 0x1f001);
	vmsa_get(&vmsa);
	assert_int_equal(vmsa.rip, AT(CODE) + 4);
	/* Not intercepted: as on a processor, #UD. */
	code_put("\x0f\x01\xd9\x90", 4);
	guest_registers();
	client->control.intercepts[1] = 1;
	assert_int_equal(run_script(reports), VMEXIT_INTR);
	assert_int_equal(seen.control.event, 0x80000306);
}

static void msrs(void **state)
{
	static const struct {
		u32 msr;
		bool write;
		u64 value; /* read: what comes */
		bool vc, gp;
	} rows[] = {
		{0xc0010131, false, 7, false, false},
		{0xc0010131, true, 0, false, true},
		{0xc0010130, false, 0xabc000, false, false},
		{0xc0010130, true, 0xdef000, false, false},
		{0xc0010130, false, 0xdef000, false, false},
		{0xc0000080, false, 0x1500, false, false},
		{0xc0000080, true, 0x1d01, false, false}, /* SCE, NXE */
		{0xc0000080, true, 0x1400, false, true},  /* LME with paging on */
		{0x277, true, 0x0606060606060606, false, false},
		{0x277, true, 0x0606060606060602, false, true},
		{0x10, false, 0, true, false},	     /* intercepted */
		{0x4b564d00, false, 0, true, false}, /* outside of the map */
	};
	u64 bit = 0x10 * 2;

	(void)state;
	client->control.intercepts[0] |= 1u << ICEPT_MSR;
	msrpm[bit / 8] |= 3;
	client->control.ghcb = 0xabc000;
	code_put("\x0f\x32\x90", 3);
	for (unsigned i = 0; i < ARRAY_COUNT(rows); i++) {
		const struct report reports[] = {{.code = VMEXIT_MSR, .info1 = rows[i].write},
						 {.code = VMEXIT_INTR}};
		struct vmsa vmsa;

		vmsa_get(&vmsa);
		vmsa.rip = AT(CODE);
		vmsa.rsp = AT(STACK) + 0xff8;
		vmsa.rcx = rows[i].msr;
		vmsa.rax = (u32)rows[i].value;
		vmsa.rdx = rows[i].value >> 32;
		vmsa_put(&vmsa);
		assert_int_equal(run_script(reports), VMEXIT_INTR);
		if (rows[i].gp || rows[i].vc) {
			assert_int_equal(seen.control.event, rows[i].gp ? 0x80000b0d : 0);
			assert_int_equal(seen.save.rip, rows[i].gp ? AT(CODE) : HANDLER);
			continue;
		}
		assert_int_equal(seen.save.rip, AT(CODE) + 2);
		if (!rows[i].write)
			assert_int_equal(seen.save.rax | seen_gpr[2] << 32, rows[i].value);
	}
	assert_int_equal(client->control.ghcb, 0xdef000);
	assert_int_equal(seen.save.efer, 0x1d01);
	assert_int_equal(seen.save.pat, 0x0606060606060606);
}

/* ---- PVALIDATE, RMPADJUST, RMPQUERY */

struct outcome {
	u64 code; /* VMEXIT_INTR: the instruction has ended */
	u64 rax, rcx, rdx, info1;
	bool cf, zf;
};

static struct outcome execute(const char *bytes, u64 rax, u64 rcx, u64 rdx)
{
	const struct report reports[] = {{.code = VMEXIT_UD}, {.code = VMEXIT_INTR}};
	struct outcome o;
	struct vmsa vmsa;

	code_put(bytes, 4);
	vmsa_get(&vmsa);
	vmsa.rip = AT(CODE);
	vmsa.rsp = AT(STACK) + 0xff8;
	vmsa.rax = rax;
	vmsa.rcx = rcx;
	vmsa.rdx = rdx;
	vmsa.cr2 = 0;
	vmsa_put(&vmsa);
	o.code = run_script(reports);
	o.info1 = client->control.exit_info1;
	vmsa_get(&vmsa);
	if (o.code == VMEXIT_INTR && seen.control.event == 0 && seen.save.rip != HANDLER)
		assert_int_equal(vmsa.rip, AT(CODE) + 4);
	o.rax = vmsa.rax;
	o.rcx = vmsa.rcx;
	o.rdx = vmsa.rdx;
	o.cf = vmsa.rflags & 1;
	o.zf = vmsa.rflags >> 6 & 1;
	return o;
}

#define PVALIDATE "\xf2\x0f\x01\xff"
#define RMPADJUST "\xf3\x0f\x01\xfe"
#define RMPQUERY  "\xf3\x0f\x01\xfd"

static bool validated(u64 frame)
{
	struct rmp_entry e;

	rmp_get(pfn(frame), &e);
	return e.validated;
}

static void pvalidate_each_size_and_state(void **state)
{
	static const struct {
		u64 gva;
		u64 size, validate;
		u32 eax;
		bool cf;
		bool now; /* validated afterwards */
	} rows[] = {
		{AT(FRESH), 0, 0, 0, true, false},
		{AT(FRESH), 0, 1, 0, false, true},
		{AT(FRESH) + 5, 0, 1, 0, true, true}, /* twice */
		{AT(FRESH), 0, 0, 0, false, false},
		{AT(FRESH), 2, 3, 0, false, true}, /* the lowest bits count */
		{AT(FRESH), ~1ul, ~1ul, 0, false, false},
		{AT(FRESH), 1, 1, 1, false, false}, /* not aligned */
		{0, 1, 1, 6, false, false},	    /* 2 MiB asked, 4 KiB held */
		{4 << 20, 1, 1, 0, false, true},
		{4 << 20, 1, 1, 0, true, true},
		{4 << 20, 1, 0, 0, false, false},
	};

	(void)state;
	own(0, false, false, ASID);
	for (unsigned i = 0; i < ARRAY_COUNT(rows); i++) {
		struct outcome o = execute(PVALIDATE, rows[i].gva, rows[i].size, rows[i].validate);
		u64 frame = rows[i].gva >= 4 << 20 ? BIG : rows[i].gva / PAGE_SIZE;

		assert_int_equal(o.code, VMEXIT_INTR);
		if (o.rax != rows[i].eax || o.cf != rows[i].cf || o.zf != (rows[i].eax == 0) ||
		    validated(frame) != rows[i].now)
			fail_msg("row %u: eax %lx cf %d validated %d", i, o.rax, o.cf,
				 validated(frame));
	}
}

static void pvalidate_faults(void **state)
{
	u64 rmp = NPF_PRESENT | NPF_USER | NPF_RMP | NPF_FINAL | NPF_ENC;
	struct outcome o;

	(void)state;
	/* 4 KiB asked, 2 MiB held: the client is to smash the entry. */
	o = execute(PVALIDATE, (4 << 20) + 0x3000, 0, 1);
	assert_int_equal(o.code, VMEXIT_NPF);
	assert_int_equal(o.info1, rmp | NPF_SIZEM);
	assert_int_equal(client->control.exit_info2, AT(BIG + 3));
	/* not this guest's; not in the nested table */
	o = execute(PVALIDATE, AT(FOREIGN), 0, 1);
	assert_int_equal(o.code, VMEXIT_NPF);
	assert_int_equal(o.info1, rmp);
	*nested_entry(FRESH) = 0;
	client->control.tlb_control = TLB_FLUSH_ASID;
	o = execute(PVALIDATE, AT(FRESH), 0, 1);
	assert_int_equal(o.code, VMEXIT_NPF);
	assert_int_equal(o.info1, NPF_USER | NPF_FINAL | NPF_ENC);
	/* through a C = 0 mapping */
	o = execute(PVALIDATE, SHARED + AT(DATA), 0, 1);
	assert_int_equal(seen.control.event, 0x80000b0e | 9ul << 32);
	/* the remap attack: the same frame at another gpa, another frame at a validated gpa */
	*nested_entry(FRESH) = AT(DATA) | 7;
	o = execute(PVALIDATE, AT(FRESH), 0, 1);
	assert_int_equal(o.info1, rmp);
	assert_true(validated(DATA));
}

static void rmpadjust_each_check(void **state)
{
	static const struct {
		u64 gva, size, rdx;
		u32 eax;
	} rows[] = {
		{AT(DATA), 0, 1 | RMP_READ << 8, 0},
		{AT(DATA), 0, 3 | RMP_ALL << 8, 0},
		{AT(DATA), 0, 0 | RMP_ALL << 8, 2}, /* its own level */
		{AT(DATA), 0, 4, 1},		    /* there are four */
		{AT(DATA), 0, 1 | 0x20 << 8, 1},
		{AT(DATA), 2, 1, 0},
		{AT(DATA), 1, 1, 1}, /* not aligned */
		{0, 1, 1, 6},
		{AT(DATA), 0, 1 | 1 << 16, 0}, /* VMSA */
		{AT(DATA), 0, 1, 0},
	};
	struct rmp_entry e;
	struct outcome o;

	(void)state;
	own(0, false, true, ASID);
	for (unsigned i = 0; i < ARRAY_COUNT(rows); i++) {
		o = execute(RMPADJUST, rows[i].gva, rows[i].size, rows[i].rdx);
		if (o.code != VMEXIT_INTR || o.rax != rows[i].eax)
			fail_msg("row %u: eax %lx", i, o.rax);
		rmp_get(pfn(DATA), &e);
		if (o.rax == 0) {
			assert_int_equal(e.perms[rows[i].rdx & 0xff], rows[i].rdx >> 8 & 0xff);
			assert_int_equal(e.vmsa, rows[i].rdx >> 16 & 1);
		}
	}
	/* What is not validated has no rights to give. */
	(void)execute(RMPADJUST, AT(FRESH), 0, 1);
	assert_int_equal(seen.save.rip, HANDLER);
	assert_int_equal(seen.save.cr2, AT(FRESH));
	o = execute(RMPADJUST, (4 << 20) + 0x3000, 0, 1);
	assert_int_equal(o.code, VMEXIT_NPF);
	assert_true((o.info1 & NPF_SIZEM) != 0);
	/* RMPQUERY says what RMPADJUST has done. */
	o = execute(RMPQUERY, AT(DATA), 0, 3);
	assert_int_equal(o.rax, 0);
	assert_int_equal(o.rcx, 0);
	assert_int_equal(o.rdx, RMP_ALL << 8);
	o = execute(RMPQUERY, AT(DATA), 0, 9);
	assert_int_equal(o.rax, 1);
}

static void a_lower_vmpl_has_less(void **state)
{
	struct rmp_entry e;
	struct vmsa vmsa;

	(void)state;
	/* The guest runs at VMPL1, which has all rights but in DATA. */
	for (u64 i = PML4; i <= FRESH; i++) {
		rmp_lock();
		rmp_get(pfn(i), &e);
		e.perms[1] = i == DATA ? RMP_READ : RMP_ALL;
		rmp_set(pfn(i), &e);
		rmp_unlock();
	}
	vmsa_get(&vmsa);
	vmsa.vmpl = 1;
	vmsa_put(&vmsa);
	assert_int_equal(execute(RMPADJUST, AT(DATA), 0, 2 | RMP_READ << 8).rax, 0);
	assert_int_equal(execute(RMPADJUST, AT(DATA), 0, 2 | RMP_ALL << 8).rax, 2);
	assert_int_equal(execute(RMPADJUST, AT(DATA), 0, 1 | RMP_READ << 8).rax, 2);
	assert_int_equal(execute(RMPADJUST, AT(DATA), 0, 2 | 1 << 16).rax, 2);
	assert_int_equal(execute(RMPQUERY, AT(DATA), 0, 0).rax, 2);
	assert_int_equal(execute(RMPQUERY, AT(DATA), 0, 1).rdx, RMP_READ << 8);
	assert_int_equal(execute(PVALIDATE, AT(FRESH), 0, 1).rax, 2);
	assert_false(validated(FRESH));
}

static void other_undefined_opcodes_stay_undefined(void **state)
{
	struct vmsa vmsa;

	(void)state;
	(void)execute("\x0f\x0b\x90\x90", 0, 0, 0);
	assert_int_equal(seen.control.event, 0x80000306);
	(void)execute("\xf2\x0f\x01\xfe", 0, 0, 0); /* the host's RMPUPDATE */
	assert_int_equal(seen.control.event, 0x80000306);
	vmsa_get(&vmsa);
	vmsa.cpl = 3;
	vmsa_put(&vmsa);
	(void)execute(PVALIDATE, AT(FRESH), 0, 1);
	assert_int_equal(seen.control.event, 0x80000b0d);
	vmsa_get(&vmsa);
	vmsa.cpl = 0;
	vmsa.sev_features = 0; /* SEV-ES has no such instructions */
	vmsa_put(&vmsa);
	rmp_lock();
	rmp_set(pfn(VMSA), &(struct rmp_entry){0});
	rmp_unlock();
	(void)execute(PVALIDATE, AT(FRESH), 0, 1);
	assert_int_equal(seen.control.event, 0x80000306);
}

/* ---- faults and events */

static void an_unvalidated_page_is_vc_with_the_linear_address(void **state)
{
	static const struct {
		const char *code;
		unsigned length;
	} rows[] = {
		{"\x48\x8b\x81\x00\x10\x00\x00", 7},	 /* mov rax, [rcx + 0x1000] */
		{"\x48\x89\x04\x25\x78\xd0\x06\x00", 8}, /* mov [0x6d078], rax */
		{"\xf0\x0f\xc7\x49\x08", 5},		 /* a form that the decoder does not know */
	};

	(void)state;
	for (unsigned i = 0; i < ARRAY_COUNT(rows); i++) {
		const struct report reports[] = {{.code = VMEXIT_NPF,
						  .info1 = 6 | NPF_FINAL,
						  .info2 = (AT(FRESH) + 0x78) | C},
						 {.code = VMEXIT_INTR}};
		struct vmsa vmsa;

		assert_int_equal(AT(FRESH) + 0x78, 0x6d078);
		code_put(rows[i].code, rows[i].length);
		guest_registers();
		vmsa_get(&vmsa);
		vmsa.rcx = AT(FRESH) + (i == 0 ? 0x78 - 0x1000 : 0x70);
		vmsa_put(&vmsa);
		assert_int_equal(run_script(reports), VMEXIT_INTR);
		assert_int_equal(seen.save.cr2, AT(FRESH) + 0x78);
		vc_expect(0x404, AT(CODE), AT(STACK) + 0xff8);
	}
}

static void an_interrupted_delivery_is_delivered_again(void **state)
{
	const struct report reports[] = {
		{.code = VMEXIT_NPF,
		 .info1 = 6 | NPF_FINAL,
		 .info2 = AT(DATA) | C,
		 .event = 0x80000050},
		{.code = VMEXIT_NPF,
		 .info1 = 6 | NPF_FINAL,
		 .info2 = AT(STACK) | C,
		 .event = 0x80000450},
		{.code = VMEXIT_NPF,
		 .info1 = 6 | NPF_FINAL,
		 .info2 = AT(FOREIGN) | C,
		 .event = 0x80000051},
	};

	(void)state;
	assert_int_equal(run_script(reports), VMEXIT_NPF);
	/* INT n is executed again instead. */
	assert_int_equal(seen.control.event, 0);
	assert_int_equal(client->control.exit_event, 0x80000051);
	assert_int_equal(client->control.exit_info1, 7 | NPF_RMP | NPF_FINAL | NPF_ENC);
	assert_int_equal(client->control.exit_info2, AT(FOREIGN));
}

static u64 first_event;
static void note_event(struct vmcb *vmcb, u64 *gpr)
{
	(void)gpr;
	first_event |= vmcb->control.event;
}

static void the_clients_event_is_injected_once(void **state)
{
	const struct report reports[] = {{.code = VMEXIT_CPUID}, halt};

	(void)state;
	code_put("\x0f\xa2\xf4", 3);
	client->control.event = 0x80000033;
	first_event = 0;
	on_entry = note_event;
	assert_int_equal(run_script(reports), VMEXIT_HLT);
	assert_int_equal(first_event, 0x80000033);
	assert_int_equal(seen.control.event, 0);
	assert_int_equal(client->control.event & EVENT_VALID, 0);
}

/* ---- VMRUN's checks */

static void wrong_asid_map(void)
{
	own(VMSA, false, true, ASID + 1);
}
static void vmsa_bit_clear(void)
{
	own(VMSA, false, true, ASID);
}
static void vmsa_immutable(void)
{
	struct rmp_entry e;

	rmp_lock();
	rmp_get(pfn(VMSA), &e);
	e.immutable = true;
	rmp_set(pfn(VMSA), &e);
	rmp_unlock();
}
static void vmsa_misaligned(void)
{
	*(u64 *)((u8 *)client + 0x108) = AT(VMSA) + 8;
}
static void vmsa_nowhere(void)
{
	*(u64 *)((u8 *)client + 0x108) = 1ul << 46;
}
static void no_nesting(void)
{
	client->control.nested &= ~NESTED_PAGING;
}
static void no_sev(void)
{
	client->control.nested &= ~NESTED_SEV;
}
static void no_svme(void)
{
	struct vmsa vmsa;

	vmsa_get(&vmsa);
	vmsa.efer &= ~BIT(12);
	vmsa_put(&vmsa);
}
static void unknown_feature(void)
{
	struct vmsa vmsa;

	vmsa_get(&vmsa);
	vmsa.sev_features |= 8;
	vmsa_put(&vmsa);
}
static void feature_not_allowed(void)
{
	*(u64 *)((u8 *)client + 0x138) = BIT(63);
}
static void es_vmsa_is_assigned(void)
{
	struct vmsa vmsa;

	vmsa_get(&vmsa);
	vmsa.sev_features = 0;
	vmsa_put(&vmsa);
}
static void software_interrupt(void)
{
	client->control.event = 0x80000480;
}
static void breakpoint(void)
{
	client->control.event = 0x80000303;
}
static void no_such_asid(void)
{
	allowed = false;
}
static void not_activated(void)
{
	asid_runs = false;
}
static void vmcb_assigned(void)
{
	client_pa = AT(DATA);
	memcpy(fake_frame(pfn(DATA)), client, PAGE_SIZE);
}

static void vmrun_refuses(void **state)
{
	static void (*const wrong[])(void) = {
		wrong_asid_map,
		vmsa_bit_clear,
		vmsa_immutable,
		vmsa_misaligned,
		vmsa_nowhere,
		no_nesting,
		no_sev,
		no_svme,
		unknown_feature,
		feature_not_allowed,
		es_vmsa_is_assigned,
		software_interrupt,
		breakpoint,
		no_such_asid,
		not_activated,
		vmcb_assigned,
	};

	for (unsigned i = 0; i < ARRAY_COUNT(wrong); i++) {
		const struct report reports[] = {{.code = VMEXIT_INTR}};
		struct vmcb *vmcb;

		if (i > 0) {
			teardown(state);
			setup(state);
		}
		assert_int_equal(run_script(reports), VMEXIT_INTR);
		client->control.exit_code = 0;
		wrong[i]();
		script = reports;
		vmcb = fake_frame(pfn(client_pa / PAGE_SIZE));
		run_vmrun(client_pa, NULL, 0);
		if (vmcb->control.exit_code != ~0ul || script != reports)
			fail_msg("%u: accepted", i);
	}
}

static u32 vmsa_status, vmcb_status;

static void try_update(struct vmcb *vmcb, u64 *gpr)
{
	const struct rmp_state none = {0};

	(void)vmcb;
	(void)gpr;
	vmsa_status = rmp_update(hpa(AT(VMSA)), &none);
	vmcb_status = rmp_update(hpa(client_pa), &none);
}

static void a_running_vcpus_pages_are_in_use(void **state)
{
	const struct report reports[] = {{.code = VMEXIT_INTR}};
	const struct rmp_state none = {0};

	(void)state;
	/* Another VMCB, that the table covers. */
	memcpy(fake_frame(pfn(200)), client, PAGE_SIZE);
	client_pa = AT(200);
	client = fake_frame(pfn(200));
	on_entry = try_update;
	assert_int_equal(run_script(reports), VMEXIT_INTR);
	assert_int_equal(vmsa_status, RMP_FAIL_INUSE);
	assert_int_equal(vmcb_status, RMP_FAIL_INUSE);
	assert_int_equal(rmp_update(hpa(AT(VMSA)), &none), RMP_OK);
}

static void tampering_with_the_vmsa_shows(void **state)
{
	const struct report reports[] = {{.code = VMEXIT_INTR}};
	struct vmsa vmsa;

	(void)state;
	/* Who has no key cannot write a RIP of his choice. */
	((struct vmsa *)fake_frame(pfn(VMSA)))->rip = 0x666000;
	assert_int_equal(run_script(reports), VMEXIT_INTR);
	assert_int_not_equal(seen.save.rip, 0x666000);
	vmsa_get(&vmsa);
	assert_int_not_equal(vmsa.rip, 0x666000);
}

static void an_sev_guest_has_its_registers_in_the_vmcb(void **state)
{
	const struct report reports[] = {{.code = VMEXIT_CPUID}};
	struct vmsa vmsa;
	u64 gpr[16] = {0};

	(void)state;
	vmsa_get(&vmsa);
	memset(&client->save, 0, sizeof(client->save));
	memcpy(&client->save, &vmsa, 0x298);
	client->control.nested = NESTED_PAGING | NESTED_SEV;
	rmp_lock();
	for (u64 i = PML4; i < FRESH; i++)
		rmp_set(pfn(i), &(struct rmp_entry){0});
	rmp_unlock();
	code_put("\x67\x0f\xa2", 3);
	gpr[9] = 99;
	script = reports;
	run_vmrun(client_pa, gpr, 0);
	assert_int_equal(client->control.exit_code, VMEXIT_CPUID);
	assert_int_equal(seen_gpr[9], 99);
	assert_int_equal(client->save.rip, AT(CODE));
	/* The client cannot read the code. */
	assert_true(client->control.next_rip == 0 || client->control.next_rip == AT(CODE) + 3);
}

#define T(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		T(the_registers_are_in_the_vmsa_only),
		T(automatic_exits_go_to_the_client),
		T(everything_else_is_vc_in_the_guest),
		T(vc_on_its_own_stack_and_from_user_mode),
		T(vc_whose_frame_faults),
		T(vmgexit_is_not_vmmcall),
		T(msrs),
		T(pvalidate_each_size_and_state),
		T(pvalidate_faults),
		T(rmpadjust_each_check),
		T(a_lower_vmpl_has_less),
		T(other_undefined_opcodes_stay_undefined),
		T(an_unvalidated_page_is_vc_with_the_linear_address),
		T(an_interrupted_delivery_is_delivered_again),
		T(the_clients_event_is_injected_once),
		T(vmrun_refuses),
		T(a_running_vcpus_pages_are_in_use),
		T(tampering_with_the_vmsa_shows),
		T(an_sev_guest_has_its_registers_in_the_vmcb),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
