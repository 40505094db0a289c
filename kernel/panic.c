/* SPDX-License-Identifier: BSD-2-Clause */
#include "kernel/panic.h"
#include "arch/x86/machine.h"
#include "kernel/console.h"
#include "kernel/print.h"
#include "kernel/symbols.h"

#define BACKTRACE_MAX 24

static void print_address(u64 address, bool is_return, const char *remark)
{
	const char *name;
	u64 offset;

	/* A return address may be the first byte of the next function; the call is before it. */
	if (symbol_find(address - is_return, &name, &offset))
		printk(LOG_ERROR, "  %016lx  %s+0x%lx%s", address, name, offset + is_return,
		       remark);
	else
		printk(LOG_ERROR, "  %016lx", address);
}

/* gcc gives a function no frame that calls nothing and keeps nothing on the stack: then its return
 * address is on top of the stack, and the frame pointer is still its caller's. */
static void print_frameless(const struct code_place *place)
{
	const char *name;
	u64 address, offset;

	if (place->sp != place->frame && machine_stack_read(place->sp, &address) &&
	    symbol_find(address, &name, &offset))
		print_address(address, true, " (perhaps)");
}

void backtrace_print(const struct code_place *place)
{
	u64 frame = place->frame;

	printk(LOG_ERROR, "backtrace:");
	if (place->ip != 0)
		print_address(place->ip, false, "");
	if (place->sp != 0)
		print_frameless(place);
	for (unsigned i = 0; i < BACKTRACE_MAX && frame != 0; i++) {
		u64 next, address;

		if (!machine_stack_read(frame, &next) || !machine_stack_read(frame + 8, &address))
			break;
		if (address != 0)
			print_address(address, true, "");
		if (next <= frame)
			break;
		frame = next;
	}
}

static void panic_say(const char *format, va_list args)
{
	static bool panicking;

	/* Of several CPUs that panic at once, one prints; the others end here. */
	machine_alone();
	console_everywhere();
	if (panicking) {
		printk(LOG_ERROR, "panic inside a panic: %s", format);
		machine_stop(EXIT_PANIC);
	}
	panicking = true;
	printk(LOG_ERROR, "Septum panic, the machine stops here:");
	vprintk(LOG_ERROR, format, args);
}

void panic(const char *format, ...)
{
	const struct code_place here = {.frame = (u64)__builtin_frame_address(0)};
	va_list args;

	va_start(args, format);
	panic_say(format, args);
	va_end(args);
	backtrace_print(&here);
	machine_stop(EXIT_PANIC);
}

void panic_at(const struct code_place *place, const char *format, ...)
{
	va_list args;

	va_start(args, format);
	panic_say(format, args);
	va_end(args);
	backtrace_print(place);
	machine_stop(EXIT_PANIC);
}

void boot_fail(const char *format, ...)
{
	va_list args;

	console_everywhere();
	va_start(args, format);
	vprintk(LOG_ERROR, format, args);
	va_end(args);
	printk(LOG_ERROR, "Septum stops here; nothing else was started.");
	machine_stop(EXIT_BOOT_FAILED);
}
