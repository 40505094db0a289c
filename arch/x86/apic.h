/* SPDX-License-Identifier: BSD-2-Clause */
/* The local APIC of the running processor, in whichever mode it is (Intel SDM vol. 3, 11.4
 * and 11.12; AMD APM vol. 2, 16.3 to 16.17).
 *
 * On CPU 0 it belongs to the root partition, which may write it at any moment between two
 * instructions of its own: a message that Septum sends leaves all its registers as they were.
 */
#ifndef ARCH_X86_APIC_H
#define ARCH_X86_APIC_H

#include "kernel/types.h"

/* Maps the xAPIC page for all processors. Boot only. NULL, or what is wrong with it, in a sentence.
 */
const char *apic_setup(void);

/* This processor's APIC is on, and where apic_setup() found it. */
bool apic_usable(void);

u32 apic_id(void);

/* Can a message go to this id from here? (Ids above 254 need x2APIC mode.) */
bool apic_reaches(u32 id);

void apic_send_nmi(u32 id);
void apic_send_init(u32 id);
void apic_send_fixed(u32 id, u8 vector);
/* `start`: below 1 MiB, where the processor is to begin in real mode. */
void apic_send_startup(u32 id, pfn_t start);

/* A register of this processor's, by its byte offset in the page (enum lapic_reg). */
u32 apic_read(unsigned offset);
void apic_write(unsigned offset, u32 value);

/* Some fixed interrupt has come to this guest CPU. */
void apic_end_of_interrupt(void);

/* For start-up code: at least so many microseconds, on processors of up to 4 GHz; there is no other
 * clock yet. */
void delay_us(u64 microseconds);

#endif
