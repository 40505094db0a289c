/* SPDX-License-Identifier: BSD-2-Clause */
/* What the root must not see: a guest's private memory and its registers. */
#include "guests/lib/registers.h"
#include "guests/testman/testman.h"

#define SECRET_TOP 0x5ec2e75ec2e7ul /* bits 63:16 of each word of the guest's secret */
#define WINDOW	   (400ul << 39 | 0xffff000000000000ul)

static u64 pdpt[512] __attribute__((aligned(4096)));
static u64 directory[512] __attribute__((aligned(4096)));
static u64 table[512] __attribute__((aligned(4096)));

/* Maps one page of the root's address space at an address of its choice. */
static volatile u64 *window(u64 physical, u64 flags)
{
	u64 *pml4 = (u64 *)(cr3_read() & ~0xffful);

	pml4[400] = (u64)pdpt | PTE_P | PTE_W;
	pdpt[0] = (u64)directory | PTE_P | PTE_W;
	directory[0] = (u64)table | PTE_P | PTE_W;
	table[0] = physical | flags | PTE_P | PTE_W;
	page_invalidate((void *)WINDOW);
	return (volatile u64 *)WINDOW;
}

static u64 physical_bits(void)
{
	return cpuid(0x80000008, 0).a & 0xff;
}

/* No frame of the pool can be read, written or run, whatever it is used for. */
static bool frames_refused(u8 *memory, u64 bytes)
{
	u64 value;

	for (u64 at = 0; at < bytes; at += PAGE_SIZE) {
		bool readable = probe_read(memory + at, &value);

		CHECK_OR_FALSE(!readable && trap_last.vector == VECTOR_GP);
		if (at % (16 * PAGE_SIZE))
			continue;
		CHECK_OR_FALSE(!probe_write(memory + at + 8, ~0ul));
		CHECK_OR_FALSE(trap_last.vector == VECTOR_GP);
		PROBE("jmp *%0", : : "r"(memory + at) : "rax", "memory");
		CHECK_OR_FALSE(trap_last.vector == VECTOR_GP);
	}
	return true;
}

/* The same frames through addresses with one more bit, and through every cache type. */
static bool aliases_refused(u8 *memory, u64 bytes)
{
	for (u64 at = 0; at < bytes; at += 64 * PAGE_SIZE) {
		for (u64 bit = 32; bit < physical_bits(); bit++) {
			volatile u64 *w = window(((u64)memory + at) | 1ul << bit, 0);
			u64 value = 0;
			bool readable = probe_read(w, &value);

			CHECK_OR_FALSE(!readable || value >> 16 != SECRET_TOP);
		}
		for (u64 type = 0; type < 8; type++) {
			u64 flags = (type & 3) << 3 | (type & 4) << 5; /* PWT, PCD, PAT */
			u64 value;

			CHECK_OR_FALSE(!probe_read(window((u64)memory + at, flags), &value));
		}
	}
	return true;
}

/* A private frame as one of the root's page tables: the walk is refused too. */
static bool tables_refused(u8 *memory, u64 bytes)
{
	u64 value;

	for (u64 at = 0; at < bytes; at += 64 * PAGE_SIZE) {
		window(0, 0);
		directory[0] = (u64)(memory + at) | PTE_P | PTE_W;
		page_invalidate((void *)WINDOW);
		CHECK_OR_FALSE(!probe_read((void *)WINDOW, &value));
		CHECK_OR_FALSE(trap_last.vector == VECTOR_GP);
		window(0, 0);
		pdpt[0] = (u64)(memory + at) | PTE_P | PTE_W | PTE_PS;
		page_invalidate((void *)WINDOW);
		CHECK_OR_FALSE(!probe_read((void *)WINDOW, &value) || value >> 16 != SECRET_TOP);
	}
	window(0, 0);
	return true;
}

SCENARIO_QUICK(private_memory_is_unreadable_for_the_root)
{
	u64 bytes = TEST_BLOCKS * LARGE_SIZE;
	u8 *memory;

	CHECK(guest_begin(&build_sw_bit, "secret"));
	CHECK(expect_step(1));
	memory = test.pool.memory[0];
	if (!frames_refused(memory, bytes) || !aliases_refused(memory, bytes) ||
	    !tables_refused(memory, bytes))
		return;
	/* Nor does the shared side of the guest's memory show it. */
	for (u64 at = 0; at < TEST_MEMORY; at += PAGE_SIZE)
		CHECK(*(u64 *)(void *)ram_at(at) >> 16 != SECRET_TOP);
	/* Septum does not read or write it for the root either. */
	CHECK(GIVES(E_NOT_ROOT, SEPTUM_CALL_TRACE_READ, (u64)memory / PAGE_SIZE));
	CHECK(GIVES(E_NOT_ROOT, SEPTUM_CALL_SLOT_ADD, test.vm.id, 0x8000, 1,
		    (u64)memory / PAGE_SIZE, SEPTUM_SLOT_SHARED));
	CHECK(expect_end()); /* the guest finds it as it was */
}

SCENARIO(septums_own_memory_is_hidden)
{
	u64 hidden = 0;

	for (u32 i = 0; i < boot->region_count; i++) {
		const struct septum_boot_region *r = &boot->regions[i];
		u64 value;

		if (r->type == 1)
			CHECK(probe_read((void *)r->base, &value));
		if (r->type != 2 || r->base < 0x100000 || r->base >= 0x40000000)
			continue;
		for (u64 at = r->base; at < r->base + r->size; at += PAGE_SIZE)
			if (!probe_read((void *)at, &value) && trap_last.vector == VECTOR_GP)
				hidden++;
	}
	CHECK(hidden >= 64); /* its image alone is larger */
}

/* ---- registers */

static struct registers mine;
static struct registers seen;

static bool is_secret(u64 word)
{
	return word >> 16 == SECRET_SEED >> 16;
}

/* Everything that Septum lets the root see of this VM: ring area and shared memory. */
static bool secrets_in_view(void)
{
	u64 words = (4 * PAGE_SIZE + SEPTUM_PAYLOAD_BYTES) / 8;
	const volatile u64 *ring = (const volatile void *)test.vm.ring;

	for (u64 i = 0; i < words; i++)
		if (is_secret(ring[i]))
			return true;
	return false;
}

SCENARIO_QUICK(registers_are_separate)
{
	struct septum_event e;
	u32 steps = 0;

	CHECK(guest_begin(&build_sw_bit, "registers"));
	registers_fill(&mine, 0xd00f);
	registers_load(&mine);
	for (;;) {
		CHECK(next(&e));
		registers_store(&seen);
		test.status = registers_compare(&mine, &seen);
		if (test.status)
			print("     register %u of the root has changed (CR2 0x%lx, was 0x%lx)\n",
			      test.status, seen.cr2, mine.cr2);
		CHECK(test.status == 0);
		CHECK(!secrets_in_view());
		CHECK(e.type == SEPTUM_EVENT_IO);
		if (e.data[0] == PORT_EXIT)
			break;
		CHECK(e.data[1] <= 0xff || e.data[0] == PORT_STEP);
		steps++;
		CHECK(verdict(&e, SEPTUM_VERDICT_COMPLETE, 0) == SEPTUM_OK);
		/* A new pattern, so that an old one is not taken for it. */
		registers_fill(&mine, 0xd00f + steps);
		registers_load(&mine);
	}
	CHECK(e.data[1] == 0 && steps >= 60);
}

SCENARIO_QUICK(xcr0_is_the_guests_own)
{
	CHECK(guest_begin(&build_sw, "xsetbv"));
	CHECK(expect_end());
}
