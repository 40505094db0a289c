// SPDX-License-Identifier: BSD-2-Clause
/* A kernel module that converts pages, for a kernel that has no reason to: asking for a conversion
 * takes CPL 0. It is built out of tree with the headers of Debian's own package, for that kernel.
 *
 * On loading it takes 2 MiB and asks for them to become shared, then for parts of them and at last
 * all of them to become private again, and looks at the content after each step. Where the guest
 * has an encrypted or private alias of its own (SEV, SNP, TDX) the kernel's functions ask; else the
 * map-GPA-range hypercall (KVM's number 12) does. What happened is left in its parameters, under
 * /sys/module/septum_convert/parameters; the loading succeeds whatever came out.
 */
#include <linux/cc_platform.h>
#include <linux/gfp.h>
#include <linux/io.h>
#include <linux/kvm_para.h>
#include <linux/mm.h>
#include <linux/module.h>
#include <linux/set_memory.h>
#include <uapi/linux/kvm_para.h>

#define ORDER 9 /* 2 MiB: 512 pages */
#define PAGES (1u << ORDER)

static unsigned int requests;
static unsigned int granted;
static unsigned int refused;
static unsigned int pages;
static unsigned int wrong;
static long last_error;
module_param(requests, uint, 0444);
MODULE_PARM_DESC(requests, "conversions asked for");
module_param(granted, uint, 0444);
MODULE_PARM_DESC(granted, "of them granted");
module_param(refused, uint, 0444);
MODULE_PARM_DESC(refused, "of them refused");
module_param(pages, uint, 0444);
MODULE_PARM_DESC(pages, "pages converted in all");
module_param(wrong, uint, 0444);
MODULE_PARM_DESC(wrong, "pages whose content was not what it must be");
module_param(last_error, long, 0444);
MODULE_PARM_DESC(last_error, "of a refused conversion");

/* By the kernel (it changes its page tables too), or by hypercall. */
static bool by_kernel(void)
{
	return cc_platform_has(CC_ATTR_MEM_ENCRYPT);
}

static long ask(void *at, unsigned int count, bool private)
{
	unsigned long address = (unsigned long)at;
	unsigned long flags = KVM_MAP_GPA_RANGE_PAGE_SZ_4K |
			      (private ? KVM_MAP_GPA_RANGE_ENCRYPTED : KVM_MAP_GPA_RANGE_DECRYPTED);
	long error;

	if (by_kernel())
		error = private ? set_memory_encrypted(address, (int)count)
				: set_memory_decrypted(address, (int)count);
	else
		error = kvm_hypercall3(KVM_HC_MAP_GPA_RANGE, virt_to_phys(at), count, flags);
	requests++;
	if (error) {
		refused++;
		last_error = error;
	} else {
		granted++;
		pages += count;
	}
	return error;
}

static void fill(u8 *at, unsigned int first, unsigned int count, u8 value)
{
	memset(at + (size_t)first * PAGE_SIZE, value, (size_t)count * PAGE_SIZE);
}

/* Counts pages that do not hold `value` throughout. */
static void expect(const u8 *at, unsigned int first, unsigned int count, u8 value)
{
	unsigned int page;

	for (page = first; page < first + count; page++)
		if (memchr_inv(at + (size_t)page * PAGE_SIZE, value, PAGE_SIZE))
			wrong++;
}

static int __init convert_init(void)
{
	u8 *at = (u8 *)__get_free_pages(GFP_KERNEL | __GFP_ZERO, ORDER);
	bool zeroed = !by_kernel();

	if (!at)
		return -ENOMEM;
	fill(at, 0, PAGES, 0xa5);
	if (ask(at, PAGES, false))
		goto out; /* all is as it was */

	/* What was private is not for the root to see. */
	if (zeroed)
		expect(at, 0, PAGES, 0);
	fill(at, 0, PAGES, 0x5a);
	expect(at, 0, PAGES, 0x5a);

	/* Parts of a 2 MiB page: one page, and a run; what is around them stays. */
	if (!ask(at + 7 * PAGE_SIZE, 1, true) && zeroed)
		expect(at, 7, 1, 0);
	if (!ask(at + 64 * PAGE_SIZE, 100, true) && zeroed)
		expect(at, 64, 100, 0);
	expect(at, 0, 7, 0x5a);
	expect(at, 8, 56, 0x5a);
	expect(at, 164, PAGES - 164, 0x5a);
	fill(at, 7, 1, 0xc3);
	expect(at, 7, 1, 0xc3);

	/* All of it: what is private already stays as it is. */
	if (zeroed && !ask(at, PAGES, true)) {
		expect(at, 7, 1, 0xc3);
		expect(at, 0, 7, 0);
		expect(at, 164, PAGES - 164, 0);
	} else if (!zeroed) {
		ask(at, 7, true);
		ask(at + 8 * PAGE_SIZE, 56, true);
		ask(at + 164 * PAGE_SIZE, PAGES - 164, true);
	}
	fill(at, 0, PAGES, 0x3c);
	expect(at, 0, PAGES, 0x3c);
out:
	/* Pages that would stay shared are not for the kernel to use again. */
	if (!refused || refused == requests)
		free_pages((unsigned long)at, ORDER);
	return 0;
}

static void __exit convert_exit(void)
{
}

module_init(convert_init);
module_exit(convert_exit);
MODULE_DESCRIPTION("Asks Septum for conversions");
MODULE_LICENSE("Dual BSD/GPL");
