/* SPDX-License-Identifier: BSD-2-Clause */
/* Ports, device memory and MSRs, played by the scenario; instructions that guests do not have. */
#include "guests/small/devices.h"
#include "guests/testman/testman.h"

static u8 device[DEVICE_BYTES];
static u8 port_memory[16];
static u64 msr_value;
static u32 sum;
static u8 sequence;

static u64 ones(u64 size)
{
	return size >= 8 ? ~0ul : (1ul << size * 8) - 1;
}

static u64 register_access(u8 *at, const struct septum_event *e)
{
	u64 value = 0;

	if (e->flags & SEPTUM_EVENT_WRITE)
		memcpy(at, &e->data[1], e->size);
	else
		memcpy(&value, at, e->size);
	return value;
}

/* Consumes or makes the bytes of a string access, or of a single one. */
static bool string_access(const struct septum_event *e)
{
	u8 *bytes = payload(&test.vm, e->vcpu);
	u64 count = e->flags & SEPTUM_EVENT_STRING ? e->data[2] * e->size : 0;

	CHECK_OR_FALSE(count > 0 && count <= SEPTUM_PAYLOAD_BYTES);
	for (u64 i = 0; i < count; i++) {
		if (e->flags & SEPTUM_EVENT_WRITE)
			sum += bytes[i];
		else
			bytes[i] = sequence++;
	}
	return true;
}

/* Answers one event of the guest's devices. False: a CHECK failed. */
static bool play(const struct septum_event *e)
{
	u64 port = e->data[0];
	u64 value = ones(e->size);
	u32 kind = SEPTUM_VERDICT_COMPLETE;

	if (e->type == SEPTUM_EVENT_MMIO) {
		CHECK_OR_FALSE(e->gpa >= DEVICE && e->gpa + e->size <= DEVICE + DEVICE_BYTES);
		CHECK_OR_FALSE(e->size == 1 || e->size == 2 || e->size == 4 || e->size == 8);
		value = register_access(device + (e->gpa - DEVICE), e);
	} else if (e->type == SEPTUM_EVENT_MSR && e->data[0] == MSR_DEVICE) {
		if (e->flags & SEPTUM_EVENT_WRITE)
			msr_value = e->data[1];
		value = msr_value;
	} else if (e->type == SEPTUM_EVENT_MSR) {
		kind = SEPTUM_VERDICT_INJECT;
	} else {
		CHECK_OR_FALSE(e->type == SEPTUM_EVENT_IO);
		CHECK_OR_FALSE(e->size == 1 || e->size == 2 || e->size == 4);
		if (port >= PORT_MEMORY && port + e->size <= PORT_MEMORY + 16)
			value = register_access(port_memory + (port - PORT_MEMORY), e);
		else if (port == PORT_STRING && !string_access(e))
			return false;
		else if (port == PORT_STEP)
			value = sum;
	}
	CHECK_OR_FALSE(verdict(e, kind, value) == SEPTUM_OK);
	return true;
}

static void play_to_the_end(const struct build *build, const char *body)
{
	struct septum_event e;

	memset(device, 0, sizeof(device));
	sum = 0;
	sequence = 0;
	CHECK(guest_begin(build, body));
	for (;;) {
		CHECK(next(&e));
		if (e.type == SEPTUM_EVENT_IO && e.data[0] == PORT_EXIT)
			break;
		if (!play(&e))
			return;
	}
	CHECK(e.data[1] == 0);
}

SCENARIO_QUICK(device_memory_is_decoded)
{
	play_to_the_end(&build_sw, "mmio");
}

SCENARIO(device_memory_behind_the_shared_bit)
{
	play_to_the_end(&build_sw_bit, "mmio");
}

SCENARIO(device_memory_can_be_denied)
{
	struct septum_event e;

	CHECK(guest_begin(&build_sw_bit, "mmio_denied"));
	CHECK(next(&e));
	CHECK(e.type == SEPTUM_EVENT_MMIO && e.gpa == DEVICE);
	CHECK(verdict(&e, SEPTUM_VERDICT_RETRY, 0) == SEPTUM_E_NO_PROGRESS);
	CHECK(verdict(&e, SEPTUM_VERDICT_INJECT, 0) == SEPTUM_OK);
	CHECK(expect_end());
}

SCENARIO_QUICK(ports_with_string_payloads)
{
	play_to_the_end(&build_sw, "ports");
	CHECK(sum != 0 && vm_counter(&test.vm, SEPTUM_COUNTER_EXIT_IO) >= 26);
}

SCENARIO_QUICK(msrs_that_nobody_owns)
{
	play_to_the_end(&build_sw, "msrs");
	CHECK(msr_value == 0x1122334455667788ul);
}

SCENARIO_QUICK(instructions_that_guests_do_not_have)
{
	CHECK(guest_begin(&build_sw, "undefined"));
	CHECK(expect_end());
}

SCENARIO_QUICK(cpuid_tells_the_guest_where_it_is)
{
	CHECK(guest_begin(&build_sw_bit, "sees_septum"));
	CHECK(expect_step((u32)build_sw_bit.shared_bit));
	CHECK(expect_end());
}
