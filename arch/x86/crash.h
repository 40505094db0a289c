/* SPDX-License-Identifier: BSD-2-Clause */
/* Breaking Septum on purpose (boot option crash=), so that tests see that each way to break ends
 * in a readable report and that the protections of Septum's own memory work. Not in a production
 * build. */
#ifndef ARCH_X86_CRASH_H
#define ARCH_X86_CRASH_H

#ifdef PRODUCTION
static inline void crash_if_asked(void)
{
}
static inline void crash_late_if_asked(void)
{
}
#else
/* Return if the option was not given, or if what it names is not an error (crash=fixup, nmi). */
void crash_if_asked(void);
/* .. with all processors up. */
void crash_late_if_asked(void);
#endif

#endif
