/* SPDX-License-Identifier: BSD-2-Clause */
/* The ring area of a VM, and a new one for a manager that was restarted. */
#include "kernel/protocol.h"
#include "kernel/trace.h"
#include "kernel/vm.h"
#include "mm/window.h"

/* Where page `n` of a ring area is kept. */
static void **ring_pointer(struct ring *ring, u32 n)
{
	switch (n) {
	case 0:
		return (void **)&ring->shared;
	case 1:
		return (void **)&ring->events;
	case 2:
		return (void **)&ring->completions;
	case 3:
		return (void **)&ring->log;
	default:
		return (void **)&ring->payload[n - 4];
	}
}

void ring_area_detach(struct ring *ring, u32 vcpus, pfn_t first)
{
	u32 pages = SEPTUM_RING_PAGES(vcpus);

	for (u32 n = 0; n < pages; n++) {
		void **page = ring_pointer(ring, n);

		if (*page)
			object_unmap(*page);
		*page = NULL;
	}
	root_unpin(first, pages);
}

enum status ring_area_attach(struct ring *ring, u32 vcpus, pfn_t first)
{
	u32 pages = SEPTUM_RING_PAGES(vcpus);
	enum status status = root_pin(first, pages);

	if (status != OK)
		return status;
	for (u32 n = 0; n < pages; n++) {
		void **page = ring_pointer(ring, n);

		*page = object_map(pfn(first.n + n));
		if (!*page) {
			ring_area_detach(ring, vcpus, first);
			return E_LIMIT;
		}
	}
	return OK;
}

struct result vm_adopt(u64 id, u64 first)
{
	struct vm *vm = vm_by_id(id, false);
	struct ring area = {.vcpus = 0};
	enum status status;

	if (!vm)
		return (struct result){E_NO_VM, 1, 0};
	if (first >= PFN_LIMIT)
		return (struct result){E_RANGE, 2, 0};
	status = ring_area_attach(&area, vm->vcpu_limit, pfn(first));
	if (status != OK)
		return (struct result){status, 2, 0};
	/* Nobody but this CPU looks at the rings then, or has their old pages in its TLB when it
	 * looks again. */
	vcpus_attach(vm);
	spin_lock(&vm->ring.lock);
	vm->doorbell = 0;
	ring_replace(&vm->ring, &area);
	spin_unlock(&vm->ring.lock);
	events_repost(vm);
	ring_area_detach(&area, vm->vcpu_limit, vm->ring_first);
	vm->ring_first = pfn(first);
	trace(SEPTUM_TRACE_VM, vm->id, 0, SEPTUM_CALL_VM_ADOPT, 0);
	return (struct result){OK, 0, 0};
}
