/* SPDX-License-Identifier: BSD-2-Clause */
/* SEV and SEV-ES guests (SEV API 55766; AMD-ASPFW, sev_mcmd.c, sev_guest.c, sev_channel.c). They
 * have no page of their own: the PSP keeps them, and a handle names one.
 *
 * A guest owner's session (DH certificate) is not in the model: without one, the firmware's
 * transport keys are zero, here as there. */
#include "kernel/string.h"
#include "mm/window.h"
#include "model/psp_impl.h"

#define CONTEXT_SECRET	1u /* what an HMAC is for */
#define CONTEXT_MEASURE 4u
#define SECRET_MAX	16384u

static struct psp_sev_guest *guest_of(u32 handle)
{
	struct psp_sev_guest *guest;

	if (handle == 0 || handle > PSP_SEV_GUESTS)
		return NULL;
	guest = &psp.sev_guests[handle - 1];
	return guest->state == SEV_GUEST_INVALID ? NULL : guest;
}

/* What most commands on a guest begin with. */
static u32 guest_find(u32 handle, struct psp_sev_guest **guest)
{
	if (psp.sev_state != PLATFORM_WORKING)
		return SEV_INVALID_PLATFORM_STATE;
	*guest = guest_of(handle);
	return *guest ? SEV_SUCCESS : SEV_INVALID_GUEST;
}

u32 psp_sev_decommission(union psp_command *c)
{
	struct psp_sev_guest *guest;
	u32 status = guest_find(c->sev_handle.handle, &guest);
	bool others = false;

	if (status)
		return status;
	if (guest->binding.asid)
		return SEV_ACTIVE;
	memset(guest, 0, sizeof(*guest));
	for (unsigned i = 0; i < PSP_SEV_GUESTS; i++)
		others |= psp.sev_guests[i].state != SEV_GUEST_INVALID;
	if (!others)
		psp.sev_state = PLATFORM_INIT;
	return SEV_SUCCESS;
}

u32 psp_sev_activate(union psp_command *c)
{
	struct psp_sev_guest *guest;
	u32 status = guest_find(c->sev_activate.handle, &guest);

	return status ? status
		      : psp_asid_activate(&guest->binding, c->sev_activate.asid,
					  guest->state == SEV_GUEST_RUNNING);
}

u32 psp_sev_deactivate(union psp_command *c)
{
	struct psp_sev_guest *guest;
	u32 status = guest_find(c->sev_handle.handle, &guest);

	if (status)
		return status;
	if (guest->binding.asid == 0)
		return SEV_INACTIVE;
	psp_asid_deactivate(&guest->binding);
	return SEV_SUCCESS;
}

u32 psp_sev_guest_status(union psp_command *c)
{
	struct sev_cmd_guest_status *status = &c->sev_guest_status;
	const struct psp_sev_guest *guest = guest_of(status->handle);

	if (psp.sev_state == PLATFORM_UNINIT)
		return SEV_INVALID_PLATFORM_STATE;
	status->state = SEV_GUEST_INVALID;
	if (guest) {
		status->state = guest->state;
		status->asid = guest->binding.asid;
		status->policy = guest->policy;
	}
	return SEV_SUCCESS;
}

u32 psp_sev_launch_start(union psp_command *c)
{
	struct sev_cmd_launch_start *start = &c->sev_launch_start;
	const struct psp_sev_guest *shared = NULL;
	struct psp_sev_guest *guest;
	u32 handle = 1;

	if (psp.sev_state == PLATFORM_UNINIT)
		return SEV_INVALID_PLATFORM_STATE;
	if (start->dh_cert)
		return SEV_UNSUPPORTED;
	if (start->handle) {
		shared = guest_of(start->handle);
		if (!shared)
			return SEV_INVALID_GUEST;
		if (start->policy != shared->policy || (shared->policy & SEV_POLICY_NOKS))
			return SEV_POLICY_FAILURE;
	}
	while (handle <= PSP_SEV_GUESTS && guest_of(handle))
		handle++;
	if (handle > PSP_SEV_GUESTS)
		return SEV_RESOURCE_LIMIT;
	if ((start->policy & SEV_POLICY_ES) && !psp.es)
		return SEV_UNSUPPORTED;
	guest = &psp.sev_guests[handle - 1];
	memset(guest, 0, sizeof(*guest));
	guest->policy = start->policy;
	guest->binding.encrypted_state = start->policy & SEV_POLICY_ES;
	if (shared)
		guest->binding.key = shared->binding.key;
	else
		psp_random(&guest->binding.key, sizeof(guest->binding.key));
	crypto_sha256_start(&guest->digest);
	guest->state = SEV_GUEST_LUPDATE;
	psp.sev_state = PLATFORM_WORKING;
	start->handle = handle;
	return SEV_SUCCESS;
}

/* Runs `size` bytes through the guest's key where they lie, 16-byte aligned; `digest`, if not NULL,
 * takes what they were. `from` and `to` are the same unless a debugger copies. */
static void transform(const struct psp_sev_guest *guest, struct crypto_sha256_state *digest,
		      u64 from, u64 to, u64 size)
{
	while (size) {
		u64 part = MIN(size, PAGE_SIZE - (from & ~PAGE_MASK));

		psp_evict(from);
		psp_copy_in(from, psp.page, part);
		if (digest)
			crypto_sha256_add(digest, psp.page, part);
		cipher_bytes(&guest->binding.key, hpa(from), psp.page, (unsigned)part);
		psp_copy_out(to, psp.page, part);
		from += part;
		to += part;
		size -= part;
	}
	memset(psp.page, 0, sizeof(psp.page));
}

static u32 launch_update(const struct sev_cmd_range *range, bool vmsa)
{
	struct psp_sev_guest *guest;
	u32 status = guest_find(range->handle, &guest);

	if (status)
		return status;
	if (guest->state != SEV_GUEST_LUPDATE)
		return SEV_INVALID_GUEST_STATE;
	if (vmsa && (guest->policy & SEV_POLICY_ES) == 0)
		return SEV_UNSUPPORTED;
	if (guest->binding.asid == 0)
		return SEV_INACTIVE;
	if (!IS_ALIGNED(range->address, 16))
		return SEV_INVALID_ADDRESS;
	if (!IS_ALIGNED(range->size, 16) || range->size == 0)
		return SEV_INVALID_LENGTH;
	status = psp_writable(range->address, range->size);
	if (status)
		return status;
	transform(guest, &guest->digest, range->address, range->address, range->size);
	return SEV_SUCCESS;
}

u32 psp_sev_launch_update_data(union psp_command *c)
{
	return launch_update(&c->sev_range, false);
}

u32 psp_sev_launch_update_vmsa(union psp_command *c)
{
	if (c->sev_range.size != PAGE_SIZE)
		return SEV_INVALID_LENGTH;
	return launch_update(&c->sev_range, true);
}

static void measure(const struct psp_sev_guest *guest, struct sev_measurement *measurement)
{
	struct {
		u8 context, major, minor, build;
		u32 policy;
		u8 digest[SHA256_SIZE], nonce[16];
	} input = {
		.context = CONTEXT_MEASURE,
		.major = PSP_MAJOR,
		.minor = PSP_MINOR,
		.build = PSP_BUILD,
		.policy = guest->policy,
	};

	psp_random(measurement->nonce, sizeof(measurement->nonce));
	memcpy(input.nonce, measurement->nonce, sizeof(input.nonce));
	crypto_sha256_end(&guest->digest, input.digest);
	crypto_hmac_sha256(guest->tik, sizeof(guest->tik), &input, sizeof(input), measurement->mac);
}

u32 psp_sev_launch_measure(union psp_command *c)
{
	struct sev_cmd_range *range = &c->sev_range;
	struct sev_measurement measurement;
	struct psp_sev_guest *guest;
	u32 status = guest_find(range->handle, &guest);

	if (status)
		return status;
	if (guest->state != SEV_GUEST_LUPDATE)
		return SEV_INVALID_GUEST_STATE;
	if (range->size < sizeof(measurement)) {
		range->size = sizeof(measurement);
		return SEV_INVALID_LENGTH;
	}
	status = psp_writable(range->address, range->size);
	if (status)
		return status;
	measure(guest, &measurement);
	psp_copy_out(range->address, &measurement, sizeof(measurement));
	memcpy(guest->measurement, measurement.mac, sizeof(guest->measurement));
	guest->state = SEV_GUEST_LSECRET;
	return SEV_SUCCESS;
}

/* What a secret's HMAC is made of. The file's own, as the mailbox has one command at a time. */
static struct {
	u8 pad[3]; /* `data` is aligned, as cipher_bytes() wants it */
	u8 context;
	u32 flags;
	u8 iv[16];
	u32 size, transport_size;
	u8 data[SECRET_MAX + SHA256_SIZE]; /* the measurement follows the data */
} __attribute__((packed, aligned(8))) secret;
#define SECRET_HEAD (offsetof(__typeof__(secret), data) - offsetof(__typeof__(secret), context))

static u32 secret_open(const struct psp_sev_guest *guest, const struct sev_packet_header *header,
		       u32 size)
{
	u8 mac[SHA256_SIZE];

	secret.context = CONTEXT_SECRET;
	secret.flags = header->flags;
	memcpy(secret.iv, header->iv, sizeof(secret.iv));
	secret.size = secret.transport_size = size;
	memcpy(secret.data + size, guest->measurement, sizeof(guest->measurement));
	crypto_hmac_sha256(guest->tik, sizeof(guest->tik), &secret.context,
			   SECRET_HEAD + size + SHA256_SIZE, mac);
	if (memcmp(mac, header->mac, sizeof(mac)) != 0)
		return SEV_BAD_MEASUREMENT;
	if (header->flags & 1)
		return SEV_UNSUPPORTED; /* compressed */
	crypto_aes128_ctr(guest->tek, header->iv, secret.data, size);
	return SEV_SUCCESS;
}

u32 psp_sev_launch_secret(union psp_command *c)
{
	const struct sev_cmd_secret *command = &c->sev_secret;
	struct sev_packet_header header;
	struct psp_sev_guest *guest;
	u32 size = command->guest_size;
	u32 status = guest_find(command->handle, &guest);

	if (status)
		return status;
	if (!IS_ALIGNED(command->guest, 16))
		return SEV_INVALID_ADDRESS;
	if (command->header_size != sizeof(header) || !IS_ALIGNED(size, 16) || size == 0 ||
	    size > SECRET_MAX || size != command->transport_size)
		return SEV_INVALID_LENGTH;
	if (guest->state != SEV_GUEST_LSECRET)
		return SEV_INVALID_GUEST_STATE;
	if (guest->binding.asid == 0)
		return SEV_INACTIVE;
	status = psp_writable(command->guest, size);
	if (status == SEV_SUCCESS)
		status = psp_copy_in(command->header, &header, sizeof(header));
	if (status == SEV_SUCCESS)
		status = psp_copy_in(command->transport, secret.data, size);
	if (status == SEV_SUCCESS)
		status = secret_open(guest, &header, size);
	for (u32 at = 0; status == SEV_SUCCESS && at < size;) {
		u64 to = command->guest + at;
		u32 part = (u32)MIN(size - at, PAGE_SIZE - (to & ~PAGE_MASK));

		psp_evict(to);
		cipher_bytes(&guest->binding.key, hpa(to), secret.data + at, part);
		psp_copy_out(to, secret.data + at, part);
		at += part;
	}
	memset(&secret, 0, sizeof(secret));
	return status;
}

u32 psp_sev_launch_finish(union psp_command *c)
{
	struct psp_sev_guest *guest;
	u32 status = guest_find(c->sev_handle.handle, &guest);

	if (status)
		return status;
	if (guest->state != SEV_GUEST_LSECRET)
		return SEV_INVALID_GUEST_STATE;
	if (guest->binding.asid)
		psp_asid_run(&guest->binding);
	memset(guest->tek, 0, sizeof(guest->tek));
	memset(guest->tik, 0, sizeof(guest->tik));
	guest->state = SEV_GUEST_RUNNING;
	return SEV_SUCCESS;
}

u32 psp_sev_dbg_decrypt(union psp_command *c)
{
	const struct sev_cmd_debug *debug = &c->sev_debug;
	struct psp_sev_guest *guest;
	u32 status;

	if (psp.sev_state != PLATFORM_WORKING)
		return SEV_INVALID_PLATFORM_STATE;
	if (!IS_ALIGNED(debug->from | debug->to, 16))
		return SEV_INVALID_ADDRESS;
	if (!IS_ALIGNED(debug->size, 16))
		return SEV_INVALID_LENGTH;
	status = guest_find(debug->handle, &guest);
	if (status)
		return status;
	if (guest->policy & SEV_POLICY_NODBG)
		return SEV_POLICY_FAILURE;
	status = psp_writable(debug->to, debug->size);
	if (status == SEV_SUCCESS)
		status = psp_range_valid(debug->from, debug->size);
	if (status)
		return status;
	if (guest->binding.asid == 0)
		return SEV_INACTIVE;
	transform(guest, NULL, debug->from, debug->to, debug->size);
	return SEV_SUCCESS;
}
