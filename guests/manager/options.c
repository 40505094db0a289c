/* SPDX-License-Identifier: BSD-2-Clause */
/* Which guests to make: `guest` modules and the modules of theirs, or the demonstration.
 *
 *   guest[=linux] [type=sw|sw-bit|plain|sev|sev-es|snp] [shared-bit=N] [mem=64M] [vcpus=1]
 *         [inplace] [discard] [policy=convert|deny|ask] [explicit=allow|deny]
 *         [-- the guest's command line]
 *   module-of=N [cmdline] [-- the module's command line]
 *
 * N: the guest's number, from 1. A guest=linux is a kernel (bzImage); its module is the initrd, or
 * with the word `cmdline` a text that is added to its command line. `implicit=` is `policy=`.
 */
#include "guests/lib/print.h"
#include "guests/lib/string.h"
#include "guests/manager/manager.h"
#include "guests/root/machine.h"

#define DEFAULT_MEMORY (64ul << 20)
#define DEMO_MEMORY    (16ul << 20)

/* Guest policies: SEV API 0.24, chapter 3; SEV-SNP firmware ABI 1.55, 4.3. */
#define POLICY_NO_DEBUG	  (1ul << 0)
#define POLICY_ES	  (1ul << 2)
#define SNP_POLICY_SMT	  (1ul << 16) /* may run beside another thread */
#define SNP_POLICY_ALWAYS (1ul << 17)

struct guest guests[GUESTS_MAX];
unsigned guest_count;

const char *const policy_names[] = {"convert", "deny", "ask"};

extern const u8 demo_image[];
extern const u8 demo_image_end[];

bool policy_parse(const char *text, enum policy *policy)
{
	for (u32 i = 0; i < ARRAY_COUNT(policy_names); i++) {
		if (strcmp(text, policy_names[i]) == 0) {
			*policy = (enum policy)i;
			return true;
		}
	}
	return false;
}

/* What follows the word `--`. */
static const char *after_dashes(const char *line)
{
	for (; *line; line++)
		if (strncmp(line, "-- ", 3) == 0)
			return line + 3;
	return "";
}

/* What each word of type= stands for. What frames can stand behind a page is given by some types.
 */
static const struct guest_type types[] = {
	{"sw-bit", SEPTUM_SW_PROTECTED, BACKING_BOTH, 0, true},
	{"sw", SEPTUM_SW_PROTECTED, BACKING_BOTH, 0, false},
	{"plain", SEPTUM_PLAIN, BACKING_SHARED, 0, false},
	{"sev", SEPTUM_SEV, BACKING_INPLACE, POLICY_NO_DEBUG, false},
	{"sev-es", SEPTUM_SEV_ES, BACKING_INPLACE, POLICY_NO_DEBUG | POLICY_ES, false},
	{"snp", SEPTUM_SNP, BACKING_BOTH, SNP_POLICY_ALWAYS | SNP_POLICY_SMT, false},
};

static const char *parse_type(const char *line, struct guest *g)
{
	char value[32] = "";
	u64 highest = septum(SEPTUM_CALL_INFO, SEPTUM_INFO_SHARED_BIT_MAX).value;
	u64 sev = septum(SEPTUM_CALL_INFO, SEPTUM_INFO_SEV).value;

	g->type = &types[0];
	if (option_find(line, "type", value, sizeof(value))) {
		g->type = NULL;
		for (u32 i = 0; i < ARRAY_COUNT(types); i++)
			if (strcmp(value, types[i].name) == 0)
				g->type = &types[i];
		if (!g->type)
			return "type= is none of sw, sw-bit, plain, sev, sev-es, snp";
	}
	g->build.type = g->type->type;
	g->build.backing = g->type->backing;
	g->build.shared_bit = g->type->shared_bit ? highest : g->type->policy;
	if (g->type->policy)
		g->build.c_bit = sev & 0x3f;
	if (option_find(line, "shared-bit", value, sizeof(value)) &&
	    (!number_parse(value, &g->build.shared_bit) || g->build.shared_bit < 32 ||
	     g->build.shared_bit > highest))
		return "shared-bit= is not a number between 32 and what the machine has";
	return NULL;
}

static const char *parse_guest(const char *line, struct guest *g)
{
	char value[32];
	u64 number = 1;
	const char *error = parse_type(line, g);

	if (error)
		return error;
	g->build.memory = DEFAULT_MEMORY;
	if (option_find(line, "mem", value, sizeof(value)) &&
	    (!number_parse(value, &g->build.memory) || g->build.memory < LARGE_SIZE ||
	     g->build.memory % LARGE_SIZE || g->build.memory > 0xc0000000ul))
		return "mem= is not a multiple of 2M, at most 3G";
	if (option_find(line, "vcpus", value, sizeof(value)) &&
	    (!number_parse(value, &number) || number == 0 || number > SEPTUM_MAX_VCPUS))
		return "vcpus= is not between 1 and 64";
	g->build.vcpus = (u32)number;
	if ((option_find(line, "policy", value, sizeof(value)) ||
	     option_find(line, "implicit", value, sizeof(value))) &&
	    !policy_parse(value, &g->policy))
		return "policy= is none of convert, deny, ask";
	if (option_find(line, "explicit", value, sizeof(value))) {
		g->deny_explicit = strcmp(value, "deny") == 0;
		if (!g->deny_explicit && strcmp(value, "allow") != 0)
			return "explicit= is none of allow, deny";
	}
	if (option_find(line, "guest", value, sizeof(value)))
		g->is_linux = strcmp(value, "linux") == 0;
	if (g->is_linux)
		g->build.flags |= SEPTUM_VM_APIC;
	if (option_find(line, "inplace", value, sizeof(value)))
		g->build.backing = BACKING_INPLACE;
	if (option_find(line, "discard", value, sizeof(value)))
		g->build.flags |= SEPTUM_VM_DISCARD;
	g->image.args = after_dashes(line);
	return NULL;
}

static const char *add_module(const struct septum_boot_module *m, const char *number)
{
	u64 n = 0;
	struct image *image;
	char none[2];
	enum module_kind kind =
		option_find(m->args, "cmdline", none, sizeof(none)) ? MODULE_CMDLINE : MODULE_DATA;

	if (!number_parse(number, &n) || n == 0 || n > guest_count)
		return "module-of= names no guest before it";
	image = &guests[n - 1].image;
	if (image->module_count == IMAGE_MODULES)
		return "too many modules for one guest";
	image->modules[image->module_count++] =
		(struct image_module){(const u8 *)m->base, m->size, after_dashes(m->args), kind};
	return NULL;
}

static const char *add_guest(const struct septum_boot_module *m, enum policy policy)
{
	struct guest *g = &guests[guest_count];

	if (guest_count == GUESTS_MAX)
		return "there are too many guests";
	g->policy = policy;
	g->image.data = (const u8 *)m->base;
	g->image.size = m->size;
	guest_count++;
	return parse_guest(m->args, g);
}

const char *guests_choose(void)
{
	enum policy policy = POLICY_CONVERT;
	const char *error = NULL;
	char value[32];

	if (option_find(boot->args, "policy", value, sizeof(value)) &&
	    !policy_parse(value, &policy))
		return "policy= is none of convert, deny, ask";
	for (u32 i = 0; i < boot->module_count && !error; i++) {
		const struct septum_boot_module *m = &boot->modules[i];

		if (option_find(m->args, "module-of", value, sizeof(value)))
			error = add_module(m, value);
		else if (option_find(m->args, "guest", value, sizeof(value)))
			error = add_guest(m, policy);
		if (error)
			print("manager: module %u: %s\n", i + 1, m->args);
	}
	if (guest_count == 0 && !error) {
		struct guest *g = &guests[guest_count++];

		g->policy = policy;
		error = parse_guest("guest type=sw-bit", g);
		g->build.memory = DEMO_MEMORY;
		g->image.data = demo_image;
		g->image.size = (u64)(demo_image_end - demo_image);
	}
	return error;
}
