/* SPDX-License-Identifier: BSD-2-Clause */
/* Random sequences of commands against an oracle of platform, guests and ASIDs: what the manuals
 * say in words, written down a second time and more simply. Each status has to be the oracle's. */
/* sources: model/psp.c model/psp_asid.c model/psp_platform.c model/psp_context.c model/psp_launch.c
 * model/psp_pages.c model/psp_cpuid.c model/psp_message.c model/psp_report.c model/psp_sev.c
 * model/psp_key.c model/rmp.c model/cipher.c model/crypto.c tests/host/fake_crypto.c
 * tests/host/fake_sev.c */
/* ldflags: -lbearssl */
#include "tests/host/fake_sev.h"

#define CONTEXTS 3u
#define HANDLES	 3u
#define STEPS	 6000u
#define ROUNDS	 12u

enum page { HYPERVISOR, FIRMWARE, CONTEXT, DEAD }; /* DEAD: of an SNP that has been shut down */
enum guest { NONE, STARTED, LAUNCHING, MEASURED, RUNNING };

struct owner {
	enum guest state;
	unsigned asid;
	bool ran; /* under this ASID */
};

static struct {
	bool sev, snp, rmp;
	enum page pages[CONTEXTS];
	struct owner contexts[CONTEXTS], guests[HANDLES];
	unsigned dirty[MODEL_ASIDS]; /* CPUs */
	unsigned flushed;	     /* CPUs that did WBINVD since the last guest left */
} o;

static u32 seed;

static unsigned pick(unsigned n)
{
	seed = seed * 1664525 + 1013904223;
	return (seed >> 16) % n;
}

static bool asid_owned(unsigned asid)
{
	for (unsigned i = 0; i < CONTEXTS; i++)
		if (o.contexts[i].asid == asid)
			return true;
	for (unsigned i = 0; i < HANDLES; i++)
		if (o.guests[i].asid == asid)
			return true;
	return false;
}

static bool sev_working(void)
{
	for (unsigned i = 0; i < HANDLES; i++)
		if (o.guests[i].state != NONE)
			return true;
	return false;
}

static void everything_dirty(void)
{
	for (unsigned i = 0; i < MODEL_ASIDS; i++)
		o.dirty[i] = 3;
	o.flushed = 0;
}

static void leave(struct owner *owner)
{
	if (owner->asid && owner->ran) {
		o.dirty[owner->asid] = 3;
		o.flushed = 0;
	}
	owner->asid = 0;
	owner->ran = false;
}

static u32 activate(struct owner *owner, unsigned asid, bool sealed)
{
	if (asid == 0 || asid >= MODEL_ASIDS)
		return SEV_INVALID_ASID;
	if (asid_owned(asid))
		return SEV_ASID_OWNED;
	if (owner->asid)
		return SEV_ACTIVE;
	if (o.dirty[asid])
		return SEV_DF_FLUSH_REQUIRED;
	if (sealed != (asid < LEAST_ASID))
		return SEV_INVALID_ASID;
	owner->asid = asid;
	owner->ran = owner->state == RUNNING;
	return SEV_SUCCESS;
}

/* SNP */

static void step_snp_init(void)
{
	struct snp_cmd_init_ex c = {.flags = pick(4) != 0};
	u32 expected = SEV_SUCCESS;

	if (o.snp || o.sev)
		expected = SEV_INVALID_PLATFORM_STATE;
	else if (!c.flags && !o.rmp)
		expected = SEV_RMP_INIT_REQUIRED;
	assert_int_equal(fake_command(SNP_INIT_EX, &c, sizeof(c)), expected);
	if (expected)
		return;
	o.snp = o.rmp = true;
	everything_dirty();
	for (unsigned i = 0; i < CONTEXTS; i++) {
		o.contexts[i] = (struct owner){0};
		if (c.flags)
			o.pages[i] = HYPERVISOR;
		else if (o.pages[i] == CONTEXT)
			o.pages[i] = DEAD;
	}
}

static void step_snp_shutdown(void)
{
	struct snp_cmd_shutdown_ex c = {.length = 8, .flags = pick(2)};
	u32 expected = o.sev ? SEV_INVALID_PLATFORM_STATE : SEV_SUCCESS;
	bool was = o.snp;

	if (pick(8))
		return; /* rarely, or nothing else happens */
	if (!expected && o.snp)
		for (unsigned asid = 1; asid < MODEL_ASIDS; asid++)
			if (o.dirty[asid] || asid_owned(asid))
				expected = SEV_DF_FLUSH_REQUIRED;
	assert_int_equal(fake_command(SNP_SHUTDOWN_EX, &c, sizeof(c)), expected);
	if (expected || !was)
		return;
	o.snp = false;
	o.rmp = o.rmp && !c.flags;
	for (unsigned i = 0; i < CONTEXTS; i++)
		o.contexts[i] = (struct owner){0};
}

static u64 context_at(unsigned i)
{
	return CONTEXT_AT + i * 0x1000;
}

static void step_firmware(void)
{
	unsigned i = pick(CONTEXTS);

	if (o.rmp && o.pages[i] == HYPERVISOR) {
		fake_page(context_at(i), 0, 0, false, true, true);
		o.pages[i] = FIRMWARE;
	}
}

static void step_create(void)
{
	unsigned i = pick(CONTEXTS);
	u32 expected = !o.snp			? SEV_INVALID_PLATFORM_STATE
		       : o.pages[i] != FIRMWARE ? SEV_INVALID_PAGE_STATE
						: SEV_SUCCESS;

	assert_int_equal(fake_address_command(SNP_GCTX_CREATE, context_at(i)), expected);
	if (!expected) {
		o.pages[i] = CONTEXT;
		o.contexts[i].state = STARTED;
	}
}

/* What every command on a guest checks first. */
static u32 context_check(unsigned i)
{
	if (!o.snp)
		return SEV_INVALID_PLATFORM_STATE;
	return o.pages[i] == CONTEXT ? SEV_SUCCESS : SEV_INVALID_GUEST;
}

static void step_start(void)
{
	unsigned i = pick(CONTEXTS);
	struct snp_cmd_launch_start c = {.context = context_at(i), .policy = FAKE_POLICY};
	u32 expected = context_check(i);

	if (!expected && o.contexts[i].state != STARTED)
		expected = SEV_INVALID_GUEST_STATE;
	assert_int_equal(fake_command(SNP_LAUNCH_START, &c, sizeof(c)), expected);
	if (!expected)
		o.contexts[i].state = LAUNCHING;
}

static void step_activate(void)
{
	unsigned i = pick(CONTEXTS);
	struct snp_cmd_activate c = {.context = context_at(i), .asid = pick(4) + pick(8) / 7 * 9};
	u32 expected = context_check(i);

	if (!expected && o.contexts[i].state < LAUNCHING)
		expected = SEV_INVALID_GUEST_STATE;
	if (!expected)
		expected = activate(&o.contexts[i], c.asid, true);
	assert_int_equal(fake_command(SNP_ACTIVATE, &c, sizeof(c)), expected);
}

static void step_finish(void)
{
	unsigned i = pick(CONTEXTS);
	struct snp_cmd_launch_finish c = {.context = context_at(i)};
	u32 expected = context_check(i);

	if (!expected && o.contexts[i].state != LAUNCHING)
		expected = SEV_INVALID_GUEST_STATE;
	if (!expected && !o.contexts[i].asid)
		expected = SEV_INACTIVE;
	assert_int_equal(fake_command(SNP_LAUNCH_FINISH, &c, sizeof(c)), expected);
	if (!expected) {
		o.contexts[i].state = RUNNING;
		o.contexts[i].ran = true;
	}
}

static void step_decommission(void)
{
	unsigned i = pick(CONTEXTS);
	u32 expected = context_check(i);

	assert_int_equal(fake_address_command(SNP_DECOMMISSION, context_at(i)), expected);
	if (!expected) {
		leave(&o.contexts[i]);
		o.contexts[i].state = NONE;
		o.pages[i] = FIRMWARE;
	}
}

/* SEV */

static void step_sev_init(void)
{
	struct sev_cmd_init c = {.flags = 0};
	u32 expected = o.sev || !o.rmp ? SEV_INVALID_PLATFORM_STATE : SEV_SUCCESS;

	assert_int_equal(fake_command(SEV_INIT, &c, sizeof(c)), expected);
	if (expected)
		return;
	o.sev = true;
	if (!o.snp)
		everything_dirty();
}

static void step_sev_shutdown(void)
{
	if (pick(8))
		return;
	assert_int_equal(fake_command(SEV_SHUTDOWN, NULL, 0), SEV_SUCCESS);
	for (unsigned i = 0; i < HANDLES; i++) {
		leave(&o.guests[i]);
		o.guests[i].state = NONE;
	}
	o.sev = false;
}

static u32 handle_check(unsigned i)
{
	if (!sev_working())
		return SEV_INVALID_PLATFORM_STATE;
	return o.guests[i].state == NONE ? SEV_INVALID_GUEST : SEV_SUCCESS;
}

/* A command whose buffer is written: while SNP is up it has to be the firmware's. */
#define LEGACY_AT 0x20b000ul
static u32 legacy_command(u32 number, const void *buffer, size_t size)
{
	u32 status;

	if (o.snp)
		fake_page(LEGACY_AT, 0, 0, false, true, true);
	memcpy(AT(LEGACY_AT), buffer, size);
	status = fake_command_at(number, LEGACY_AT);
	if (o.snp) {
		assert_int_equal(fake_state(LEGACY_AT), RMP_STATE_RECLAIM);
		fake_page(LEGACY_AT, 0, 0, false, false, false);
	}
	return status;
}

static void step_sev_start(void)
{
	struct sev_cmd_launch_start c = {.handle = 0};
	u32 expected = o.sev ? SEV_SUCCESS : SEV_INVALID_PLATFORM_STATE;
	unsigned free = 0;

	while (free < HANDLES && o.guests[free].state != NONE)
		free++;
	if (free == HANDLES)
		return;
	assert_int_equal(legacy_command(SEV_LAUNCH_START, &c, sizeof(c)), expected);
	if (!expected) {
		assert_int_equal(*(u32 *)(void *)AT(LEGACY_AT), free + 1);
		o.guests[free].state = LAUNCHING;
	}
}

static void step_sev_activate(void)
{
	unsigned i = pick(HANDLES);
	struct sev_cmd_activate c = {.handle = i + 1, .asid = LEAST_ASID + pick(3) - pick(8) / 7};
	u32 expected = handle_check(i);

	if (!expected)
		expected = activate(&o.guests[i], c.asid, false);
	assert_int_equal(fake_command(SEV_ACTIVATE, &c, sizeof(c)), expected);
}

static void step_sev_measure(void)
{
	unsigned i = pick(HANDLES);
	struct sev_cmd_range c = {.handle = i + 1, .address = LEGACY_AT + 64, .size = 48};
	u32 expected = handle_check(i);

	if (!expected && o.guests[i].state != LAUNCHING)
		expected = SEV_INVALID_GUEST_STATE;
	assert_int_equal(legacy_command(SEV_LAUNCH_MEASURE, &c, sizeof(c)), expected);
	if (!expected)
		o.guests[i].state = MEASURED;
}

static void step_sev_finish(void)
{
	unsigned i = pick(HANDLES);
	struct sev_cmd_handle c = {.handle = i + 1};
	u32 expected = handle_check(i);

	if (!expected && o.guests[i].state != MEASURED)
		expected = SEV_INVALID_GUEST_STATE;
	assert_int_equal(fake_command(SEV_LAUNCH_FINISH, &c, sizeof(c)), expected);
	if (!expected) {
		o.guests[i].state = RUNNING;
		o.guests[i].ran = o.guests[i].asid != 0;
	}
}

static void step_sev_deactivate(void)
{
	unsigned i = pick(HANDLES);
	struct sev_cmd_handle c = {.handle = i + 1};
	u32 expected = handle_check(i);

	if (!expected && !o.guests[i].asid)
		expected = SEV_INACTIVE;
	assert_int_equal(fake_command(SEV_DEACTIVATE, &c, sizeof(c)), expected);
	if (!expected)
		leave(&o.guests[i]);
}

static void step_sev_decommission(void)
{
	unsigned i = pick(HANDLES);
	struct sev_cmd_handle c = {.handle = i + 1};
	u32 expected = handle_check(i);

	if (!expected && o.guests[i].asid)
		expected = SEV_ACTIVE;
	assert_int_equal(fake_command(SEV_DECOMMISSION, &c, sizeof(c)), expected);
	if (!expected)
		o.guests[i].state = NONE;
}

static void step_wbinvd(void)
{
	unsigned cpu = pick(SEV_CPUS);

	model_psp_wbinvd(cpu);
	o.flushed |= 1u << cpu;
}

static void step_flush(void)
{
	for (unsigned asid = 0; asid < MODEL_ASIDS; asid++)
		o.dirty[asid] &= ~o.flushed;
	assert_int_equal(fake_command(pick(2) ? SNP_DF_FLUSH : SEV_DF_FLUSH, NULL, 0),
			 o.flushed == 3 ? SEV_SUCCESS : SEV_WBINVD_REQUIRED);
}

/* Everything the PSP tells is what the oracle holds. */
static void check(void)
{
	for (unsigned asid = 1; asid < MODEL_ASIDS; asid++) {
		bool runs = false;

		for (unsigned i = 0; i < CONTEXTS; i++)
			runs |= o.contexts[i].asid == asid && o.contexts[i].ran;
		for (unsigned i = 0; i < HANDLES; i++)
			runs |= o.guests[i].asid == asid && o.guests[i].ran;
		assert_int_equal(model_psp_asid_runs(asid), runs);
		assert_int_equal(cipher_key_of(asid) != NULL, asid_owned(asid));
		assert_int_equal(psp.dirty[asid] | psp.clean[asid] | psp.allocated[asid] |
					 psp.used[asid],
				 3);
	}
	assert_int_equal(psp.snp_state, o.snp ? PLATFORM_INIT : PLATFORM_UNINIT);
	assert_int_equal(psp.sev_state, sev_working() ? PLATFORM_WORKING
					: o.sev	      ? PLATFORM_INIT
						      : PLATFORM_UNINIT);
	for (unsigned i = 0; i < CONTEXTS && o.snp; i++) {
		struct psp_context c;

		if (o.pages[i] != CONTEXT)
			continue;
		assert_int_equal(psp_context_open(context_at(i), &c), SEV_SUCCESS);
		assert_int_equal(c.binding.asid, o.contexts[i].asid);
		assert_int_equal(c.state, o.contexts[i].state == STARTED     ? SNP_GUEST_INIT
					  : o.contexts[i].state == LAUNCHING ? SNP_GUEST_LAUNCH
									     : SNP_GUEST_RUNNING);
	}
}

static void random_commands_do_what_the_oracle_says(void **state)
{
	static void (*const steps[])(void) = {
		step_snp_init,	  step_snp_shutdown, step_firmware,	  step_create,
		step_start,	  step_activate,     step_finish,	  step_decommission,
		step_sev_init,	  step_sev_shutdown, step_sev_start,	  step_sev_activate,
		step_sev_measure, step_sev_finish,   step_sev_deactivate, step_sev_decommission,
		step_wbinvd,	  step_wbinvd,	     step_flush,	  step_activate,
		step_start,
	};
	unsigned running = 0, sev_running = 0;

	(void)state;
	for (unsigned round = 0; round < ROUNDS; round++) {
		seed = round * 7919 + 1;
		memset(&o, 0, sizeof(o));
		fake_sev_start();
		for (unsigned i = 0; i < STEPS / ROUNDS; i++) {
			steps[pick(ARRAY_COUNT(steps))]();
			if (psp.snp_state || psp.sev_state)
				check();
			for (unsigned j = 0; j < CONTEXTS; j++)
				running += o.contexts[j].state == RUNNING;
			for (unsigned j = 0; j < HANDLES; j++)
				sev_running += o.guests[j].state == RUNNING;
		}
	}
	/* The sequences reach what they are for. */
	assert_in_range(running, 100, STEPS * CONTEXTS);
	assert_in_range(sev_running, 50, STEPS * HANDLES);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(random_commands_do_what_the_oracle_says),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
