/* SPDX-License-Identifier: BSD-2-Clause */
#include "guests/lib/print.h"
#include "guests/manager/linux.h"
#include "guests/root/machine.h"

/* A pool holds a guest's private pages, its tables and its vCPUs. */
#define POOL_SPARE_BLOCKS 4ul

static const char *build(struct guest *g)
{
	const char *error;

	if (!g->is_linux)
		return guest_build(&g->vm, &g->build, &g->image);
	error = guest_create(&g->vm, &g->build);
	if (error)
		return error;
	error = linux_load(g);
	if (error)
		guest_abandon(&g->vm);
	return error;
}

static const char *make(struct guest *g)
{
	bool pages = g->build.backing == BACKING_BOTH;
	u64 blocks = POOL_SPARE_BLOCKS + (pages ? g->build.memory / LARGE_SIZE : 0);
	const char *error;
	struct reply r;

	/* The reserved pool goes to the first guest, the others get theirs donated. */
	g->vm.pool = g == guests ? boot->pool : 0;
	if (!g->vm.pool) {
		g->vm.pool = pool_make(blocks);
		g->own_pool = true;
	}
	if (!g->vm.pool)
		return "Septum refuses a pool";
	error = build(g);
	if (error)
		return error;
	r = septum(SEPTUM_CALL_VM_START, g->vm.id);
	if (r.status != SEPTUM_OK)
		return "Septum refuses to start it";
	print("manager: vm %lu: type %s, %lu MiB, %u vCPU%s, policy %s", g->vm.id, g->type->name,
	      g->build.memory >> 20, g->vm.vcpus, g->vm.vcpus == 1 ? "" : "s",
	      policy_names[g->policy]);
	if (g->type->shared_bit)
		print(", SHARED bit %lu", g->build.shared_bit);
	print("\n");
	return NULL;
}

/* Destroys the guests; returns the number of frames that did not come back. */
static u64 destroy_all(void)
{
	u64 leaked = 0;

	for (unsigned i = 0; i < guest_count; i++) {
		struct guest *g = &guests[i];
		struct reply r;

		if (g->vm.id) {
			serial_flush(g);
			report_collect(g);
			r = vm_destroy(&g->vm);
			if (r.status != SEPTUM_OK)
				print("manager: vm %lu: DESTROY: %s\n", g->vm.id,
				      status_name(r.status));
		}
		if (!g->vm.pool)
			continue;
		r = septum(SEPTUM_CALL_POOL_INFO, g->vm.pool);
		leaked += (r.value >> 32) - (r.value & 0xffffffffu);
		while (g->own_pool &&
		       septum(SEPTUM_CALL_POOL_RECLAIM, g->vm.pool).status == SEPTUM_OK)
			;
		if (g->own_pool && septum(SEPTUM_CALL_POOL_DESTROY, g->vm.pool).status != SEPTUM_OK)
			print("manager: pool %lu cannot be removed\n", g->vm.pool);
	}
	return leaked;
}

int root_main(void)
{
	const char *error = guests_choose();
	u64 leaked;

	if (error) {
		print("manager: %s.\n", error);
		return 2;
	}
	for (unsigned i = 0; i < guest_count; i++) {
		error = make(&guests[i]);
		if (error)
			print("manager: guest %u: %s.\n", i + 1, error);
	}
	guests_run();
	trace_print();
	leaked = destroy_all();
	return report(leaked);
}
