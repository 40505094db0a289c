# SPDX-License-Identifier: BSD-2-Clause
# The Debian guest: build/debian/vmlinuz as Debian's package has it, build/debian/initrd.img of ours.
# Not part of `make build`: the packages come over the network, once.

DEBIAN := build/debian

.PHONY: debian
debian: $(DEBIAN)/initrd.img
	@:

$(DEBIAN)/packages.txt:
	@tools/debian-guest --fetch

$(DEBIAN)/see: guests/linux/see.c
	@mkdir -p $(@D)
	$(call say,CC,$<)
	$Q$(CC) -std=gnu11 -O2 -static -Wall -Wextra -Werror $< -o $@

# Kbuild wants a folder of its own.
$(DEBIAN)/septum_convert.ko: guests/linux/septum_convert.c guests/linux/Kbuild $(DEBIAN)/packages.txt
	@mkdir -p $(DEBIAN)/module
	@cp guests/linux/septum_convert.c guests/linux/Kbuild $(DEBIAN)/module/
	$(call say,KMOD,$<)
	$Q$(MAKE) -s -C $(DEBIAN)/headers/usr/src/linux-headers-$$(cat $(DEBIAN)/abi) M=$(CURDIR)/$(DEBIAN)/module \
		modules >$(DEBIAN)/module/log 2>&1 || { cat $(DEBIAN)/module/log; false; }
	@objcopy --strip-debug $(DEBIAN)/module/septum_convert.ko $@

$(DEBIAN)/initrd.img: guests/linux/init $(DEBIAN)/see $(DEBIAN)/septum_convert.ko $(DEBIAN)/packages.txt tools/debian-guest
	$(call say,CPIO,$@)
	$Qtools/debian-guest --initramfs $@ init=guests/linux/init bin/see=$(DEBIAN)/see \
		bin/busybox=$(DEBIAN)/busybox lib/septum_convert.ko=$(DEBIAN)/septum_convert.ko
