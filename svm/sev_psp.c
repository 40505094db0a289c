/* SPDX-License-Identifier: BSD-2-Clause */
/* The secure processor's mailbox (SEV API, 55766; SEV-SNP firmware ABI, 56860).
 *
 * Four pages of Septum's own serve all commands, one at a time: the command buffer, a second one
 * for PAGE_RECLAIM, a page that the firmware reads, and one that it writes. With SNP the firmware
 * writes only to pages that are its own: the last one is given to it for good, since reading it
 * needs no right; the first one for the time of a command of the old kind (SEV API), which may
 * answer in its buffer.
 */
#include "arch/x86/io.h"
#include "kernel/print.h"
#include "kernel/string.h"
#include "mm/window.h"
#include "svm/sev.h"

#define CMDRESP_COMMAND_SHIFT 16
#define CMDRESP_DONE	      BIT(31)
#define CMDRESP_STATUS	      0xffffu

#define SEV_API_END 0x80u /* commands below are of the SEV API */

/* TSC ticks after which the secure processor is given up: the longest command, SNP_INIT, takes
 * seconds on large machines. */
#define ANSWER_TICKS (1ul << 38)

static struct {
	struct spinlock lock;
	bool found, dead;
	bool snp; /* pages have owners */
	u8 *command, *reclaim, *in, *out;
} psp = {.lock = SPINLOCK(RANK_MAILBOX)};

static hpa_t address_of(const void *page)
{
	return pfn_to_hpa(own_pfn(page));
}

bool psp_start(void)
{
	psp.found = sev_machine->psp_find();
	if (!psp.found)
		return false;
	psp.command = own_alloc(1);
	psp.reclaim = own_alloc(1);
	psp.in = own_alloc(1);
	psp.out = own_alloc(1);
	return true;
}

/* One command, whose buffer is in `page`; the lock is held. */
static u32 run(enum psp_command command, const void *page)
{
	u64 start = rdtsc(), at = page != NULL ? address_of(page).n : 0;
	u32 answer;

	if (!psp.found || psp.dead)
		return PSP_NO_ANSWER;
	sev_machine->psp_write(PSP_ADDRESS_LO, (u32)at);
	sev_machine->psp_write(PSP_ADDRESS_HI, (u32)(at >> 32));
	sev_machine->psp_write(PSP_CMDRESP, (u32)command << CMDRESP_COMMAND_SHIFT);
	do {
		answer = sev_machine->psp_read(PSP_CMDRESP);
		if ((answer & CMDRESP_DONE) != 0)
			return answer & CMDRESP_STATUS;
		cpu_pause();
	} while (rdtsc() - start < ANSWER_TICKS);
	psp.dead = true;
	printk(LOG_ERROR, "SEV: the secure processor does not answer command %x and is given up",
	       command);
	return PSP_NO_ANSWER;
}

static u32 reclaim(pfn_t p, unsigned level)
{
	u64 buffer = pfn_to_hpa(p).n | (level == LEVEL_2M);

	memcpy(psp.reclaim, &buffer, sizeof(buffer));
	return run(PSP_SNP_PAGE_RECLAIM, psp.reclaim);
}

/* The command page after the firmware had it. */
static bool command_back(void)
{
	const struct rmp_state none = {0};

	return reclaim(own_pfn(psp.command), LEVEL_4K) == PSP_SUCCESS &&
	       sev_machine->rmpupdate(address_of(psp.command), &none) == RMP_OK;
}

static u32 command_run(enum psp_command command, void *buffer, unsigned bytes)
{
	bool lend = psp.snp && (u32)command < SEV_API_END && bytes != 0;
	u32 status;

	ASSERT(bytes <= PSP_BUFFER_MAX);
	if (bytes == 0)
		return run(command, NULL);
	memset(psp.command, 0, PSP_BUFFER_MAX);
	memcpy(psp.command, buffer, bytes);
	if (lend && !sev_rmp_firmware(own_pfn(psp.command), LEVEL_4K))
		return PSP_NO_PAGE;
	status = run(command, psp.command);
	memcpy(buffer, psp.command, bytes);
	if (lend && !command_back()) {
		/* There is no page any more to put a command into. */
		psp.dead = true;
		printk(LOG_ERROR, "SEV: the secure processor keeps its command buffer and is given "
				  "up");
	}
	return status;
}

u32 psp_command(enum psp_command command, void *buffer, unsigned bytes)
{
	u32 status;

	spin_lock(&psp.lock);
	status = command_run(command, buffer, bytes);
	spin_unlock(&psp.lock);
	return status;
}

u32 psp_command_out(enum psp_command command, void *buffer, unsigned bytes, unsigned field,
		    void *out, unsigned bytes_out)
{
	u64 address = address_of(psp.out).n;
	u32 status;

	spin_lock(&psp.lock);
	memcpy((u8 *)buffer + field, &address, sizeof(address));
	status = command_run(command, buffer, bytes);
	if (status == PSP_SUCCESS)
		memcpy(out, psp.out, bytes_out);
	spin_unlock(&psp.lock);
	return status;
}

u32 psp_guest_request(pfn_t context, void *message)
{
	struct {
		u64 context, request, response;
	} buffer = {pfn_to_hpa(context).n, address_of(psp.in).n, address_of(psp.out).n};
	u32 status;

	spin_lock(&psp.lock);
	memcpy(psp.in, message, PAGE_SIZE);
	status = command_run(PSP_SNP_GUEST_REQUEST, &buffer, sizeof(buffer));
	if (status == PSP_SUCCESS)
		memcpy(message, psp.out, PAGE_SIZE);
	spin_unlock(&psp.lock);
	return status;
}

u32 psp_reclaim(pfn_t p, unsigned level)
{
	u32 status;

	spin_lock(&psp.lock);
	status = reclaim(p, level);
	spin_unlock(&psp.lock);
	return status;
}

bool psp_snp_begin(void)
{
	if (!sev_rmp_firmware(own_pfn(psp.out), LEVEL_4K))
		return false;
	psp.snp = true;
	return true;
}

void psp_snp_end(void)
{
	psp.snp = false;
}
