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

#ifdef PRODUCTION
#define SCAN_WORDS 1024u

/* A call ends here: E8 and a displacement, or FF /2 with 0 to 5 bytes of operand. */
static bool follows_call(u64 address)
{
	const u8 *end = (const u8 *)address;
	const char *name;
	u64 offset;

	if (!symbol_find(address - 7, &name, &offset) || !symbol_find(address, &name, &offset))
		return false;
	if (end[-5] == 0xe8)
		return true;
	for (unsigned n = 2; n <= 7; n++) {
		if (end[-(int)n] == 0xff && (end[1 - (int)n] >> 3 & 7) == 2)
			return true;
	}
	return false;
}

/* This build keeps no frames: so all that lies on the stack and could be a return address. */
static void print_frames(const struct code_place *place)
{
	u64 at = place->sp != 0 ? place->sp : place->frame;
	unsigned printed = 0;
	u64 address;

	for (unsigned i = 0; i < SCAN_WORDS && printed < BACKTRACE_MAX; i++, at += 8) {
		if (!machine_stack_read(at, &address))
			break;
		if (!follows_call(address))
			continue;
		print_address(address, true, " (perhaps)");
		printed++;
	}
}
#else
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

static void print_frames(const struct code_place *place)
{
	u64 frame = place->frame;

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
#endif

void backtrace_print(const struct code_place *place)
{
	printk(LOG_ERROR, "backtrace:");
	if (place->ip != 0)
		print_address(place->ip, false, "");
	print_frames(place);
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
