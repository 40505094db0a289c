/* SPDX-License-Identifier: BSD-2-Clause */
#include "kernel/spinlock.h"
#include "kernel/string.h"
#include "mm/window.h"
#include "model/psp_impl.h"
#include "model/shadow.h"

#define MEMORY_END BIT(48) /* beyond: no memory in any machine of the model */

struct psp psp;
static struct spinlock mailbox_lock = SPINLOCK(RANK_PSP);

/* Memory */

u32 psp_range_valid(u64 address, u64 size)
{
	return size <= MEMORY_END && address <= MEMORY_END - size ? SEV_SUCCESS
								  : SEV_INVALID_ADDRESS;
}

u32 psp_copy_in(u64 from, void *to, size_t size)
{
	u8 *bytes = to;

	if (psp_range_valid(from, size))
		return SEV_INVALID_ADDRESS;
	while (size) {
		size_t part = MIN(size, PAGE_SIZE - (from & ~PAGE_MASK));
		const u8 *page = window_map(WINDOW_PSP_DATA, hpa_to_pfn(hpa(from)));

		memcpy(bytes, page + (from & ~PAGE_MASK), part);
		bytes += part;
		from += part;
		size -= part;
	}
	return SEV_SUCCESS;
}

u32 psp_copy_out(u64 to, const void *from, size_t size)
{
	const u8 *bytes = from;

	if (psp_range_valid(to, size))
		return SEV_INVALID_ADDRESS;
	while (size) {
		size_t part = MIN(size, PAGE_SIZE - (to & ~PAGE_MASK));
		u8 *page = window_map(WINDOW_PSP_OUT, hpa_to_pfn(hpa(to)));

		memcpy(page + (to & ~PAGE_MASK), bytes, part);
		bytes += part;
		to += part;
		size -= part;
	}
	return SEV_SUCCESS;
}

u32 psp_zero(u64 address, u64 size)
{
	if (psp_range_valid(address, size))
		return SEV_INVALID_ADDRESS;
	while (size) {
		size_t part = MIN(size, PAGE_SIZE - (address & ~PAGE_MASK));
		u8 *page = window_map(WINDOW_PSP_OUT, hpa_to_pfn(hpa(address)));

		memset(page + (address & ~PAGE_MASK), 0, part);
		address += part;
		size -= part;
	}
	return SEV_SUCCESS;
}

bool psp_is_zero(const void *data, size_t size)
{
	const u8 *bytes = data;

	while (size && bytes[size - 1] == 0)
		size--;
	return size == 0;
}

/* Pages */

u32 psp_page_get(u64 address, struct rmp_entry *entry, enum rmp_page_state *state)
{
	if (psp_range_valid(address, 1))
		return SEV_INVALID_ADDRESS;
	if (psp.rmp_initialised && address >= psp.rmp_first.n && address <= psp.rmp_last.n)
		return SEV_INVALID_ADDRESS;
	rmp_lock();
	if (rmp_get(hpa_to_pfn(hpa(address)), entry)) {
		struct rmp_entry head =
			*entry; /* of a 2 MiB entry, the first page's says what it is */

		if (head.large)
			head.gpa -= address & (BLOCK_PAGES - 1) << PAGE_SHIFT;
		*state = rmp_entry_state(&head);
	} else {
		*state = RMP_STATE_DEFAULT;
	}
	rmp_unlock();
	return SEV_SUCCESS;
}

void psp_page_set(u64 address, const struct rmp_entry *entry)
{
	rmp_lock();
	rmp_set(hpa_to_pfn(hpa(address)), entry);
	rmp_unlock();
}

u32 psp_writable(u64 address, u64 size)
{
	if (psp_range_valid(address, size))
		return SEV_INVALID_ADDRESS;
	if (psp.snp_state != PLATFORM_INIT)
		return SEV_SUCCESS;
	for (u64 page = address & PAGE_MASK; page < address + size; page += PAGE_SIZE) {
		struct rmp_entry entry;
		enum rmp_page_state state;
		u32 status = psp_page_get(page, &entry, &state);

		if (status)
			return status;
		if (state != RMP_STATE_FIRMWARE && state != RMP_STATE_DEFAULT)
			return SEV_INVALID_PAGE_STATE;
	}
	return SEV_SUCCESS;
}

void psp_evict(u64 address)
{
	rmp_lock();
	shadow_evict(hpa_to_pfn(hpa(address)), 1);
	rmp_unlock();
}

/* Randomness */

static u64 random_word(void)
{
	u32 low, high;

	if (model_cpuid(1, 0).ecx & BIT(30))
		for (unsigned i = 0; i < 10; i++) {
			u64 word;
			bool good;

			__asm__ volatile("rdrand %0" : "=r"(word), "=@ccc"(good));
			if (good)
				return word;
		}
	__asm__ volatile("rdtsc" : "=a"(low), "=d"(high));
	return (u64)high << 32 | low;
}

/* Each piece is the hash of all that came before, a fresh word and a count. */
void psp_random(void *to, size_t size)
{
	u8 *bytes = to;

	while (size) {
		struct {
			u64 word, count;
			u8 before[SHA384_SIZE];
		} seed = {.word = random_word(), .count = ++psp.random_count};
		u8 digest[SHA384_SIZE];
		size_t part = MIN(size, 24ul); /* the other half stays inside */

		memcpy(seed.before, psp.random_key, sizeof(seed.before));
		crypto_sha384(&seed, sizeof(seed), digest);
		memcpy(bytes, digest, part);
		memset(digest, 0, 24);
		memcpy(psp.random_key, digest, sizeof(digest));
		bytes += part;
		size -= part;
	}
}

/* The mailbox */

u32 psp_nop(union psp_command *c)
{
	(void)c;
	return SEV_SUCCESS;
}

enum buffer {
	NONE, /* the command has no buffer */
	IN,
	OUT, /* written at success; and while SNP is initialised the page has to be the firmware's
	      */
	IN_OUT,
	IN_OUT_LENGTH, /* IN_OUT, written for INVALID_LENGTH too */
};

struct command {
	u32 (*run)(union psp_command *c);
	u16 size;
	u8 buffer; /* enum buffer */
};

/* Up to and with the last field that the firmware looks at. */
#define SIZE(field)                                                                                \
	(offsetof(union psp_command, field) + sizeof(((union psp_command *)NULL)->field))

static const struct command commands[] = {
	[SEV_INIT] = {psp_sev_init, SIZE(sev_init.tmr_size), IN},
	[SEV_SHUTDOWN] = {psp_sev_shutdown, 0, NONE},
	[SEV_PLATFORM_STATUS] = {psp_sev_platform_status, SIZE(sev_platform_status.guests), OUT},
	[SEV_DF_FLUSH] = {psp_df_flush, 0, NONE},
	[SEV_NOP] = {psp_nop, 0, NONE},
	[SEV_DECOMMISSION] = {psp_sev_decommission, SIZE(sev_handle.handle), IN},
	[SEV_ACTIVATE] = {psp_sev_activate, SIZE(sev_activate.asid), IN},
	[SEV_DEACTIVATE] = {psp_sev_deactivate, SIZE(sev_handle.handle), IN},
	[SEV_GUEST_STATUS] = {psp_sev_guest_status, SIZE(sev_guest_status.state), IN_OUT},
	[SEV_LAUNCH_START] = {psp_sev_launch_start, SIZE(sev_launch_start.session_size), IN_OUT},
	[SEV_LAUNCH_UPDATE_DATA] = {psp_sev_launch_update_data, SIZE(sev_range.size), IN},
	[SEV_LAUNCH_UPDATE_VMSA] = {psp_sev_launch_update_vmsa, SIZE(sev_range.size), IN},
	[SEV_LAUNCH_MEASURE] = {psp_sev_launch_measure, SIZE(sev_range.size), IN_OUT_LENGTH},
	[SEV_LAUNCH_SECRET] = {psp_sev_launch_secret, SIZE(sev_secret.transport_size), IN},
	[SEV_LAUNCH_FINISH] = {psp_sev_launch_finish, SIZE(sev_handle.handle), IN},
	[SEV_DBG_DECRYPT] = {psp_sev_dbg_decrypt, SIZE(sev_debug.size), IN},
	[SNP_INIT] = {psp_snp_init, 0, NONE},
	[SNP_SHUTDOWN] = {psp_snp_shutdown, 0, NONE},
	[SNP_PLATFORM_STATUS] = {psp_snp_platform_status, SIZE(address.address), IN},
	[SNP_DF_FLUSH] = {psp_df_flush, 0, NONE},
	[SNP_INIT_EX] = {psp_snp_init_ex, sizeof(struct snp_cmd_init_ex), IN},
	[SNP_SHUTDOWN_EX] = {psp_snp_shutdown_ex, sizeof(struct snp_cmd_shutdown_ex), IN},
	[SNP_DECOMMISSION] = {psp_snp_decommission, SIZE(address.address), IN},
	[SNP_ACTIVATE] = {psp_snp_activate, SIZE(activate.asid), IN},
	[SNP_GUEST_STATUS] = {psp_snp_guest_status, SIZE(guest_status.status), IN},
	[SNP_GCTX_CREATE] = {psp_snp_gctx_create, SIZE(address.address), IN},
	[SNP_GUEST_REQUEST] = {psp_snp_guest_request, SIZE(guest_request.response), IN},
	[SNP_LAUNCH_START] = {psp_snp_launch_start, sizeof(struct snp_cmd_launch_start), IN},
	[SNP_LAUNCH_UPDATE] = {psp_snp_launch_update, sizeof(struct snp_cmd_launch_update), IN},
	[SNP_LAUNCH_FINISH] = {psp_snp_launch_finish, sizeof(struct snp_cmd_launch_finish), IN},
	[SNP_DBG_DECRYPT] = {psp_snp_dbg_decrypt, SIZE(debug.to), IN},
	[SNP_PAGE_RECLAIM] = {psp_snp_page_reclaim, SIZE(address.address), IN},
	[SNP_PAGE_UNSMASH] = {psp_snp_page_unsmash, SIZE(address.address), IN},
	[SNP_CONFIG] = {psp_snp_config, sizeof(struct snp_cmd_config), IN},
	[SNP_COMMIT] = {psp_snp_commit, sizeof(struct snp_cmd_commit), IN},
	[SNP_FEATURE_INFO] = {psp_snp_feature_info, SIZE(feature_info.address), IN},
};

/* A buffer that the firmware may have written becomes RECLAIM, so that the host has to ask for it
 * back (AMD-ASPFW, sev_dispatch_master). */
static void buffer_to_reclaim(u64 address, u64 size)
{
	if (psp.snp_state != PLATFORM_INIT)
		return;
	for (u64 page = address & PAGE_MASK; page < address + size; page += PAGE_SIZE) {
		struct rmp_entry entry;
		enum rmp_page_state state;

		if (psp_page_get(page, &entry, &state) == SEV_SUCCESS &&
		    state == RMP_STATE_FIRMWARE && !entry.large) {
			entry.immutable = false;
			psp_page_set(page, &entry);
		}
	}
}

static u32 execute(u32 number, u64 address)
{
	const struct command *command;
	union psp_command c;
	u32 status;

	if (number >= ARRAY_COUNT(commands) || !commands[number].run)
		return SEV_INVALID_COMMAND;
	command = &commands[number];
	memset(&c, 0, sizeof(c));
	if (command->buffer == NONE)
		return command->run(&c);
	if (command->buffer >= OUT) {
		status = psp_writable(address, command->size);
		if (status)
			return status;
	}
	if (command->buffer != OUT) {
		status = psp_copy_in(address, &c, command->size);
		if (status)
			return status;
	}
	status = command->run(&c);
	if (command->buffer >= OUT) {
		if (status == SEV_SUCCESS ||
		    (command->buffer == IN_OUT_LENGTH && status == SEV_INVALID_LENGTH))
			psp_copy_out(address, &c, command->size);
		buffer_to_reclaim(address, command->size);
	}
	return status;
}

bool model_psp_find(void)
{
	if (!crypto_selftest())
		return false;
	psp.response = PSP_RESPONSE;
	return true;
}

u32 model_psp_read(enum psp_register which)
{
	switch (which) {
	case PSP_CMDRESP:
		return __atomic_load_n(&psp.response, __ATOMIC_ACQUIRE);
	case PSP_ADDRESS_LO:
		return psp.low;
	case PSP_ADDRESS_HI:
		return psp.high;
	}
	return ~0u;
}

void model_psp_write(enum psp_register which, u32 value)
{
	u32 status;

	switch (which) {
	case PSP_ADDRESS_LO:
		psp.low = value;
		return;
	case PSP_ADDRESS_HI:
		psp.high = value;
		return;
	case PSP_CMDRESP:
		break;
	default:
		return;
	}
	if (value & PSP_RESPONSE)
		return; /* not a command */
	spin_lock(&mailbox_lock);
	value &= PSP_COMMAND_MASK << PSP_COMMAND_SHIFT;
	status = execute(value >> PSP_COMMAND_SHIFT, (u64)psp.high << 32 | psp.low);
	__atomic_store_n(&psp.response, PSP_RESPONSE | value | status, __ATOMIC_RELEASE);
	spin_unlock(&mailbox_lock);
}
