# SPDX-License-Identifier: BSD-2-Clause
# The Debian guest: build/debian/vmlinuz as Debian's package has it, build/debian/initrd.img of ours.
# Not part of `make build`: the packages come over the network, once.

DEBIAN := build/debian

.PHONY: debian
debian: $(DEBIAN)/initrd.img
	@:

$(DEBIAN)/packages.txt: tools/debian-guest
	@tools/debian-guest --fetch
	@touch $@

SEV_GUEST := configfs tsm crypto_null gf128mul ghash-generic gcm sev-guest

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
		bin/busybox=$(DEBIAN)/busybox lib/septum_convert.ko=$(DEBIAN)/septum_convert.ko \
		$(foreach m,$(SEV_GUEST),lib/$m.ko=$(DEBIAN)/modules/$m.ko)

# ---- make run GUEST=debian, or KERNEL=file

TYPE ?= sw
INITRD ?= $(if $(KERNEL),,$(DEBIAN)/initrd.img)
APPEND ?=
GUEST_MEMORY ?= 512M
VCPUS ?= 1
IMPLICIT ?= convert
EXPLICIT ?= allow
# What a kernel needs to be told about this machine; an APPEND comes after it.
LINUX_WORDS := console=ttyS0 earlyprintk=ttyS0 tsc=reliable pci=off reboot=acpi panic=-1
GUEST_TYPES := sw sev sev-es snp
# The software model, unless another word is given: sev=hw is for machines that have it.
SEV_WORD = $(if $(filter sev sev-es snp,$(TYPE)),$(if $(filter sev=%,$(CMDLINE)),,sev=model))
GUEST_KERNEL = $(or $(KERNEL),$(DEBIAN)/vmlinuz)
# A sw guest needs its size once; what the others need is theirs to say.
GUEST_ARGUMENTS = guest=linux type=$(TYPE) $(if $(filter sw,$(TYPE)),inplace) mem=$(GUEST_MEMORY) vcpus=$(VCPUS) \
	implicit=$(IMPLICIT) explicit=$(EXPLICIT)

.PHONY: run-linux linux-wanted
linux-wanted:
	@[ -z "$(filter-out debian,$(GUEST))" ] || { echo "GUEST=$(GUEST) is not known; GUEST=debian, or KERNEL=file for your own" >&2; exit 2; }
	@[ -n "$(filter $(GUEST_TYPES),$(TYPE))" ] || { echo "TYPE=$(TYPE) is none of $(GUEST_TYPES)" >&2; exit 2; }
	@for f in $(KERNEL) $(if $(KERNEL),$(INITRD)); do [ -f "$$f" ] || { echo "$$f: there is no such file" >&2; exit 2; }; done

run-linux: linux-wanted
	@tools/packages run $(if $(KERNEL),,debian)
	@$(MAKE) --no-print-directory build $(if $(KERNEL),,debian)
	@printf '%s' '$(LINUX_WORDS) $(APPEND)' >build/guest.cmdline
	@tools/mkiso --image $B/septum.elf --output build/septum.iso --timeout 0 \
		--cmdline "emulator-exit $(SEV_WORD) $(CMDLINE)" --module "$(GUEST_KERNEL):$(GUEST_ARGUMENTS)" \
		$(if $(INITRD),--module "$(INITRD):module-of=1") --module "build/guest.cmdline:module-of=1 cmdline"
	@$(RUN) --iso build/septum.iso --timeout 600
