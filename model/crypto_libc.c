/* SPDX-License-Identifier: BSD-2-Clause */
/* What BearSSL as Debian builds it wants of a C library beyond kernel/string.h: the functions
 * behind _FORTIFY_SOURCE and the stack protector (Linux Standard Base, libc-ddefs). */
#include "kernel/panic.h"
#include "kernel/string.h"

void *__memcpy_chk(void *to, const void *from, size_t size, size_t room);
void *__memmove_chk(void *to, const void *from, size_t size, size_t room);
void *__memset_chk(void *to, int byte, size_t size, size_t room);
_Noreturn void __stack_chk_fail(void);

static void check(size_t size, size_t room)
{
	if (size > room)
		panic("The crypto library writes %lu bytes into %lu", size, room);
}

void *__memcpy_chk(void *to, const void *from, size_t size, size_t room)
{
	check(size, room);
	return memcpy(to, from, size);
}

void *__memmove_chk(void *to, const void *from, size_t size, size_t room)
{
	check(size, room);
	return memmove(to, from, size);
}

void *__memset_chk(void *to, int byte, size_t size, size_t room)
{
	check(size, room);
	return memset(to, byte, size);
}

void __stack_chk_fail(void)
{
	panic("The crypto library's stack guard is overwritten");
}
