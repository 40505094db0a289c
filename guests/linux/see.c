/* SPDX-License-Identifier: BSD-2-Clause */
/* The test program of the Debian guest, static, run by guests/linux/init: says what it sees of its
 * machine, has the module convert pages, and says what came of that. One line each, all beginning
 * with "see: "; the last says whether all was as it must be.
 *
 *   see MODULE     exit status 0: all is well
 *   see --fail     tells the manager at port 0xf4 that the guest has failed, and does not return
 *   see --drain    waits until the console has sent everything
 *   see --report   asks an SNP guest's firmware for an attestation report over the bytes 0 to 63,
 * and prints it in hexadecimal
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <linux/sev-guest.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/io.h>
#include <sys/ioctl.h>
#include <sys/klog.h>
#include <sys/syscall.h>
#include <sys/utsname.h>
#include <termios.h>
#include <time.h>
#include <unistd.h>

#define PORT_EXIT  0xf4
#define PARAMETERS "/sys/module/septum_convert/parameters/"
#define TSC_SPAN   50000000 /* nanoseconds */
#define TSC_MOMENT 200000   /* ticks */

static int problems;

static void problem(const char *what)
{
	printf("see: WRONG: %s\n", what);
	problems++;
}

/* The lines of a text that contain one of the words, after `from` if that is in them. */
static int show_lines(char *text, const char *const *words, const char *from)
{
	char *rest = text;
	char *line;
	int shown = 0;

	while ((line = strsep(&rest, "\n")) != NULL) {
		for (const char *const *word = words; *word; word++) {
			if (!strstr(line, *word))
				continue;
			const char *start = strstr(line, from);

			printf("see: %s\n", start ? start + strlen(from) : line);
			shown++;
			break;
		}
	}
	return shown;
}

static void show_kernel(void)
{
	static const char *const words[] = {"Memory Encryption Features active",
					    "SEV: Status",
					    "SNP running at",
					    "tdx: Guest",
					    "Hypervisor detected",
					    NULL};
	static char log[1 << 18];
	struct utsname name;
	int size;

	if (uname(&name) == 0)
		printf("see: kernel %s %s %s\n", name.sysname, name.release, name.machine);
	size = klogctl(3, log, sizeof(log) - 1);
	if (size <= 0 || !show_lines(log, words, "] "))
		printf("see: no line of the kernel's about memory encryption\n");
}

static size_t slurp(const char *path, char *text, size_t size)
{
	int file = open(path, O_RDONLY);
	size_t used = 0;
	ssize_t n;

	if (file < 0)
		return 0;
	while (used < size - 1 && (n = read(file, text + used, size - 1 - used)) > 0)
		used += (size_t)n;
	close(file);
	text[used] = 0;
	return used;
}

static void show_processors(void)
{
	static const char *const interesting[] = {"hypervisor", "sev",	  "sev_es", "sev_snp",
						  "tdx_guest",	"x2apic", "nx",	    NULL};
	static char text[1 << 16];
	char flags[4096] = " ";
	char *line;

	slurp("/proc/cpuinfo", text, sizeof(text));
	printf("see: %ld CPU(s) online\n", sysconf(_SC_NPROCESSORS_ONLN));
	line = strstr(text, "flags");
	line = line ? strchr(line, ':') : NULL;
	if (line)
		snprintf(flags, sizeof(flags), "%.*s ", (int)strcspn(line + 1, "\n"), line + 1);
	printf("see: flags:");
	for (const char *const *word = interesting; *word; word++) {
		char padded[32];

		snprintf(padded, sizeof(padded), " %s ", *word);
		if (strstr(flags, padded))
			printf(" %s", *word);
	}
	printf("\n");
	if (!strstr(flags, " hypervisor "))
		problem("the kernel does not know that it is a guest");
}

static uint64_t nanoseconds(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}

/* Both clocks at one moment: nothing came between the two. */
static uint64_t moment(uint64_t *ticks)
{
	uint64_t now;

	do {
		*ticks = __builtin_ia32_rdtsc();
		now = nanoseconds();
	} while (__builtin_ia32_rdtsc() - *ticks > TSC_MOMENT);
	return now;
}

static void show_time(void)
{
	char source[32] = "?";
	uint64_t first;
	uint64_t ticks;
	uint64_t start = moment(&first);
	uint64_t span;

	do {
		span = moment(&ticks) - start;
	} while (span < TSC_SPAN);
	ticks -= first;
	slurp("/sys/devices/system/clocksource/clocksource0/current_clocksource", source,
	      sizeof(source));
	printf("see: clock source %.*s, %lu kHz\n", (int)strcspn(source, "\n"), source,
	       (unsigned long)(ticks * 1000000u / span));
	start = nanoseconds();
	usleep(20000);
	if (nanoseconds() - start < 20000000u)
		problem("it slept less than it asked for");
}

static long parameter(const char *name)
{
	char path[128];
	char text[32];

	snprintf(path, sizeof(path), PARAMETERS "%s", name);
	return slurp(path, text, sizeof(text)) ? strtol(text, NULL, 10) : -1;
}

static void convert(const char *module)
{
	int file = open(module, O_RDONLY | O_CLOEXEC);

	if (file < 0 || syscall(SYS_finit_module, file, "", 0) != 0) {
		printf("see: %s: %s\n", module, strerror(errno));
		problem("the module that converts does not load");
		return;
	}
	close(file);
	printf("see: asked for %ld conversions: %ld granted (%ld pages), %ld refused",
	       parameter("requests"), parameter("granted"), parameter("pages"),
	       parameter("refused"));
	if (parameter("refused"))
		printf(" with %ld", parameter("last_error"));
	printf("; %ld pages with wrong content\n", parameter("wrong"));
	if (parameter("wrong") != 0)
		problem("content after a conversion");
	if (parameter("requests") < 1)
		problem("nothing was asked for");
}

/* SEV-SNP firmware ABI 1.55, MSG_REPORT_RSP: status, size, and the report at byte 32. */
#define REPORT_START 32
#define REPORT_BYTES 1184
#define REPORT_LINE  37

static int report(void)
{
	struct snp_report_req request = {.vmpl = 0};
	struct snp_report_resp response = {0};
	struct snp_guest_request_ioctl call = {
		.msg_version = 1,
		.req_data = (uintptr_t)&request,
		.resp_data = (uintptr_t)&response,
	};
	int file = open("/dev/sev-guest", O_RDWR | O_CLOEXEC);

	for (unsigned i = 0; i < sizeof(request.user_data); i++)
		request.user_data[i] = (unsigned char)i;
	if (file < 0 || ioctl(file, SNP_GET_REPORT, &call) != 0) {
		printf("see: WRONG: no attestation report: %s, firmware 0x%llx\n", strerror(errno),
		       (unsigned long long)call.exitinfo2);
		return 1;
	}
	for (unsigned i = 0; i < REPORT_BYTES; i++) {
		if (i % REPORT_LINE == 0)
			printf("report: ");
		printf("%02x%s", response.data[REPORT_START + i],
		       i % REPORT_LINE == REPORT_LINE - 1 ? "\n" : "");
	}
	return 0;
}

int main(int count, char **arguments)
{
	setvbuf(stdout, NULL, _IOLBF, 0);
	if (count == 2 && strcmp(arguments[1], "--drain") == 0)
		return tcdrain(STDOUT_FILENO) != 0;
	if (count == 2 && strcmp(arguments[1], "--report") == 0)
		return report();
	if (count == 2 && strcmp(arguments[1], "--fail") == 0) {
		if (ioperm(PORT_EXIT, 1, 1) == 0)
			outb(1, PORT_EXIT);
		return 1;
	}
	show_kernel();
	show_processors();
	show_time();
	if (count == 2)
		convert(arguments[1]);
	printf("see: %s\n", problems ? "NOT all is well" : "all is well");
	return problems != 0;
}
