/* SPDX-License-Identifier: BSD-2-Clause */
#include "arch/x86/apic.h"
#include "arch/x86/cpu.h"
#include "arch/x86/io.h"
#include "arch/x86/paging.h"
#include "kernel/lapic.h"

#define APIC_BASE_X2   BIT(10)
#define APIC_BASE_ON   BIT(11)
#define APIC_BASE_PAGE 0x000ffffffffff000ul

/* Byte offsets in the xAPIC page. */
#define APIC_ID	      0x20
#define APIC_EOI      0xb0
#define APIC_ICR_LOW  0x300
#define APIC_ICR_HIGH 0x310

/* x2APIC registers. */
#define MSR_X2APIC_ID  0x802
#define MSR_X2APIC_ICR 0x830
#define MSR_X2APIC     0x800 /* .. and the others: + byte offset / 16 */

/* Interrupt command register: SDM vol. 3, figures 11-12 and 11-28. */
#define ICR_FIXED   0u
#define ICR_NMI	    (4u << 8)
#define ICR_INIT    (5u << 8)
#define ICR_STARTUP (6u << 8)
#define ICR_ASSERT  BIT(14)
#define ICR_BUSY    BIT(12)

#define XAPIC_ID_MAX 254u
/* A message is on its way after a few hundred ticks; longer is the APIC's fault. */
#define SEND_TRIES   100000u
#define TICKS_PER_US 4000ul

static volatile u32 *page; /* the xAPIC registers of whoever looks */
static u64 page_address;

const char *apic_setup(void)
{
	u64 base = rdmsr(MSR_APIC_BASE);

	if ((base & APIC_BASE_ON) == 0)
		return "The firmware has turned this processor's local APIC off";
	page_address = base & APIC_BASE_PAGE;
	page = device_map(hpa(page_address), 1);
	return NULL;
}

bool apic_usable(void)
{
	u64 base = rdmsr(MSR_APIC_BASE);

	return (base & APIC_BASE_ON) != 0 && (base & APIC_BASE_PAGE) == page_address;
}

static bool x2apic(void)
{
	return (rdmsr(MSR_APIC_BASE) & APIC_BASE_X2) != 0;
}

static u32 reg_read(unsigned offset)
{
	return page[offset / sizeof(u32)];
}

static void reg_write(unsigned offset, u32 value)
{
	page[offset / sizeof(u32)] = value;
}

/* Registers that are the same in both modes. */
void apic_write(unsigned offset, u32 value)
{
	if (x2apic())
		wrmsr(MSR_X2APIC + offset / 16, value);
	else
		reg_write(offset, value);
}

u32 apic_read(unsigned offset)
{
	return x2apic() ? (u32)rdmsr(MSR_X2APIC + offset / 16) : reg_read(offset);
}

u32 apic_id(void)
{
	return x2apic() ? (u32)rdmsr(MSR_X2APIC_ID) : reg_read(APIC_ID) >> 24;
}

bool apic_reaches(u32 id)
{
	return x2apic() || id <= XAPIC_ID_MAX;
}

static void wait_idle(void)
{
	for (unsigned i = 0; i < SEND_TRIES && (reg_read(APIC_ICR_LOW) & ICR_BUSY) != 0; i++)
		cpu_pause();
}

static void send(u32 id, u32 command)
{
	tally(TALLY_IPI);
	u32 high;

	if (x2apic()) {
		/* Unlike the page, the MSR does not wait for earlier stores. */
		__atomic_thread_fence(__ATOMIC_SEQ_CST);
		wrmsr(MSR_X2APIC_ICR, (u64)id << 32 | command);
		return;
	}
	/* The root may have written the upper half and not yet the lower one. */
	high = reg_read(APIC_ICR_HIGH);
	wait_idle();
	reg_write(APIC_ICR_HIGH, id << 24);
	reg_write(APIC_ICR_LOW, command);
	wait_idle();
	reg_write(APIC_ICR_HIGH, high);
}

void apic_send_nmi(u32 id)
{
	send(id, ICR_NMI | (u32)ICR_ASSERT);
}

void apic_send_fixed(u32 id, u8 vector)
{
	send(id, ICR_FIXED | (u32)ICR_ASSERT | vector);
}

void apic_send_init(u32 id)
{
	send(id, ICR_INIT | (u32)ICR_ASSERT);
}

void apic_send_startup(u32 id, pfn_t start)
{
	send(id, ICR_STARTUP | (u32)ICR_ASSERT | (u32)start.n);
}

void apic_end_of_interrupt(void)
{
	apic_write(APIC_EOI, 0);
}

void delay_us(u64 microseconds)
{
	u64 start = rdtsc();

	while (rdtsc() - start < microseconds * TICKS_PER_US)
		cpu_pause();
}
