/* SPDX-License-Identifier: BSD-2-Clause */
#include "kernel/options.h"
#include "arch/x86/machine.h"
#include "kernel/cmdline.h"
#include "kernel/print.h"
#include "kernel/trace.h"

static const char *const policies[] = {"convert", "deny", "ask"};
static const char *const levels[] = {"error", "warn", "info", "debug"};

struct options options = {.policy_name = "convert"};

static bool parse_policy(const char *value)
{
	unsigned choice;

	if (!cmdline_choice(value, policies, ARRAY_COUNT(policies), &choice))
		return false;
	options.policy = (enum boot_policy)choice;
	options.policy_name = policies[choice];
	return true;
}
CMDLINE_OPTION(policy, "policy", "convert|deny|ask",
	       "what the manager does with an implicit conversion", parse_policy);

static bool parse_pool(const char *value)
{
	return cmdline_size(value, &options.pool_size) && options.pool_size % PAGE_SIZE == 0;
}
CMDLINE_OPTION(pool, "pool", "SIZE", "private pool reserved at boot, whole pages, as in 64M",
	       parse_pool);

static bool parse_loglevel(const char *value)
{
	unsigned choice;

	if (!cmdline_choice(value, levels, ARRAY_COUNT(levels), &choice))
		return false;
	log_level = (enum log_level)choice;
	return true;
}
CMDLINE_OPTION(loglevel, "loglevel", "error|warn|info|debug", "which messages are printed",
	       parse_loglevel);

static bool parse_trace(const char *value)
{
	(void)value;
	trace_kinds = ~0u;
	return true;
}
CMDLINE_OPTION(trace, "trace", NULL, "all goes into the trace ring, in a production build too",
	       parse_trace);

static bool parse_emulator_exit(const char *value)
{
	(void)value;
	options.emulator_exit = true;
	machine_allow_emulator_exit();
	return true;
}
CMDLINE_OPTION(emulator_exit, "emulator-exit", NULL,
	       "when Septum stops, end QEMU or Bochs through their exit ports",
	       parse_emulator_exit);
