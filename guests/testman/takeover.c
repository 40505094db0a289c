/* SPDX-License-Identifier: BSD-2-Clause */
/* A manager that dies in the midst of its work, and one that begins anew in its place. */
#include "guests/testman/serving.h"

#define GO 0x810000ul /* of the body `outlives` */

/* What the old manager leaves: rubbish in its rings, and nothing that it knew. */
static void die(void)
{
	memset((void *)test.vm.ring, 0xff, SEPTUM_RING_PAGES(test.vm.vcpus) * PAGE_SIZE);
	memset(&test.vm, 0, sizeof(test.vm));
	memset(&test.step, 0, sizeof(test.step));
	memset(&tally, 0, sizeof(tally));
}

/* Finds the VM and takes it over. */
static bool begin_anew(u64 id)
{
	CHECK_OR_FALSE(vm_find(&test.vm, id) && test.vm.id == id);
	CHECK_OR_FALSE(test.vm.type == SEPTUM_SW_PROTECTED && test.vm.vcpus == 2 &&
		       test.vm.shared_bit == build_sw_bit.shared_bit &&
		       test.vm.pool == test.pool.id);
	CHECK_OR_FALSE(vm_adopt(&test.vm).status == SEPTUM_OK);
	tally_start();
	tally.runs = true;
	return true;
}

/* vCPU 1, which is attached, waits for the answer to an event of this type. */
static bool waits_for(u32 type, struct septum_event *e)
{
	CHECK_OR_FALSE(vm_run(&test.vm, 1).status == SEPTUM_OK);
	CHECK_OR_FALSE(event_take(&test.vm, e) && e->vcpu == 1 && e->type == type);
	CHECK_OR_FALSE(vcpu_state(1) == SEPTUM_VCPU_WAITING);
	return true;
}

/* A detached vCPU has taken its answer and left for its guest. */
static bool runs_on(u64 vcpu)
{
	u64 start = tsc_read();

	while (vcpu_state(vcpu) != SEPTUM_VCPU_RUNNING && tsc_read() - start < PATIENCE)
		__asm__ volatile("pause");
	CHECK_OR_FALSE(vcpu_state(vcpu) == SEPTUM_VCPU_RUNNING);
	return true;
}

/* The manager dies while an event of this type is out, has been taken or not; the next one is asked
 * the same again, and answers. */
static bool dies_at(u32 type, u64 id, bool taken)
{
	struct septum_event old, e;

	if (!waits_for(type, &old))
		return false;
	if (!taken)
		__atomic_store_n(&test.vm.ring->event_tail, --test.vm.event_tail, __ATOMIC_RELEASE);
	die();
	CHECK_OR_FALSE(GIVES(E_RING, SEPTUM_CALL_RUN, id, 1));
	if (!begin_anew(id))
		return false;
	CHECK_OR_FALSE(event_take(&test.vm, &e) && e.seq > old.seq);
	CHECK_OR_FALSE(e.vcpu == 1 && e.type == type && e.gpa == old.gpa && e.flags == old.flags &&
		       e.stamp == old.stamp);
	take(&e);
	CHECK_OR_FALSE(!event_take(&test.vm, &e));
	return true;
}

static bool hostile_adoptions(u64 id, u64 pool_frame)
{
	CHECK_OR_FALSE(GIVES(E_NO_VM, SEPTUM_CALL_VM_ADOPT, 0, 0x100));
	CHECK_OR_FALSE(GIVES(E_NO_VM, SEPTUM_CALL_VM_ADOPT, 63, 0x100));
	CHECK_OR_FALSE(GIVES(E_NOT_ROOT, SEPTUM_CALL_VM_ADOPT, id, pool_frame));
	CHECK_OR_FALSE(GIVES(E_NOT_ROOT, SEPTUM_CALL_VM_ADOPT, id, 0xfee00));
	CHECK_OR_FALSE(GIVES(E_RANGE, SEPTUM_CALL_VM_ADOPT, id, ~0ul));
	CHECK_OR_FALSE(GIVES(E_NO_VM, SEPTUM_CALL_VM_FIND, 0));
	CHECK_OR_FALSE(GIVES(E_NO_VM, SEPTUM_CALL_VM_FIND, 64));
	return true;
}

SCENARIO(detached_taken_over_by_a_new_manager)
{
	bool detaches = septum(SEPTUM_CALL_INFO, SEPTUM_INFO_CPUS).value > 1;
	struct build build = build_sw_bit;
	u64 id, second;
	struct vm other;
	u8 *ram;

	build.vcpus = 2;
	CHECK(guest_begin(&build, "outlives"));
	id = test.vm.id;
	ram = test.vm.ram; /* where a guest's memory lies is written down somewhere */
	test.serve_conversions = true;
	CHECK(expect_step_on(0, 1));
	tally_start();
	take(&test.step[0].event);
	answer(&test.step[0].event);
	if (detaches)
		CHECK(detach(0, 1) && runs_on(0));

	/* A second guest, whose vCPU waits too. */
	other = test.vm;
	CHECK(guest_begin(&build_sw, "console"));
	second = test.vm.id;
	CHECK(vm_run(&test.vm, 0).status == SEPTUM_OK && vcpu_state(0) == SEPTUM_VCPU_WAITING);
	test.vm = other;

	CHECK(hostile_adoptions(id, (u64)test.pool.memory[0] / PAGE_SIZE));
	CHECK(dies_at(SEPTUM_EVENT_MEMORY_FAULT, id, true));
	CHECK(vcpu_state(0) == SEPTUM_VCPU_RUNNABLE);
	if (detaches)
		CHECK(detach(0, 1) && runs_on(0));
	/* The second guest is not wanted any more. */
	CHECK(vm_find(&other, id + 1) && other.id == second && other.vcpus == 1);
	CHECK(vm_destroy(&other).status == SEPTUM_OK);
	CHECK(!vm_find(&other, id + 1));

	CHECK(dies_at(SEPTUM_EVENT_EXPLICIT, id, false));
	CHECK(dies_at(SEPTUM_EVENT_IO, id, true));
	CHECK(strcmp(tally.text, "outlived") == 0);
	if (detaches)
		CHECK(detach(0, 1));
	*(volatile u64 *)(ram + GO) = 1;
	if (!serve(2, PATIENCE))
		return;
	CHECK(each_answered_once(2));
	CHECK(vm_counter(&test.vm, SEPTUM_COUNTER_VERDICTS_REFUSED) == 0);
	if (detaches)
		CHECK(attach(0));
}
