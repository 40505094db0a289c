# SPDX-License-Identifier: BSD-2-Clause
# The root payloads (embedded manager, test manager) and the small guests. Included by the Makefile.
#
#   $B/manager.elf   static-PIE ELF64, embedded into Septum by $B/manager_image.o
#   $B/testman.elf   the same kind, to be given to Septum as a module `root ...`
#   $B/bench.elf     the bench manager, a module likewise, with its guest
#   $B/demo.elf      multiboot ELF32 guests
#   $B/small.elf
#   $B/flat32.bin    a flat 32-bit guest
#   $B/snp.bin       a flat 64-bit guest with encrypted registers
#   $B/shim.bin      what loads a Linux guest's kernel; $B/dsdt.aml its machine's devices

GUEST_WARNINGS := -Wall -Wextra -Werror -Wconversion -Wmissing-prototypes
GUEST_COMMON := -std=gnu11 -O2 -g -ffreestanding -mno-red-zone -mgeneral-regs-only -fno-stack-protector \
	-fno-strict-aliasing -fno-omit-frame-pointer -fno-asynchronous-unwind-tables -fcf-protection=none \
	-fno-common -fno-tree-loop-distribute-patterns $(GUEST_WARNINGS)
# A root payload runs wherever Septum puts it, a guest at 1 MiB.
ROOT_CFLAGS := $(GUEST_COMMON) -fpie -fvisibility=hidden
GUEST_CFLAGS := $(GUEST_COMMON) -fno-pic -fno-pie
GUEST_CPPFLAGS := -I. -Iinclude -MMD -MP $(if $(COVERAGE),-DCOVERAGE)

GB := $B/guests
GUEST_LIB := $(wildcard guests/lib/*.c guests/lib/*.S)
ROOT_LIB := $(GUEST_LIB) $(wildcard guests/root/*.c guests/root/*.S)
MANAGER_SOURCES := $(ROOT_LIB) $(wildcard guests/manager/*.c guests/manager/*.S)
TESTMAN_SOURCES := $(ROOT_LIB) $(wildcard guests/testman/*.c guests/testman/*.S guests/hostile/*.c)
BENCH_SOURCES := $(ROOT_LIB) guests/bench/manager.c guests/bench/images.S
SMALL_RUNTIME := $(GUEST_LIB) guests/small/start.S guests/small/guest.c
DEMO_SOURCES := $(SMALL_RUNTIME) $(wildcard guests/demo/*.c)
BENCH_GUEST_SOURCES := $(GUEST_LIB) guests/bench/start.S guests/bench/guest.c guests/small/guest.c
SMALL_SOURCES := $(GUEST_LIB) $(wildcard guests/small/*.c guests/small/*.S)

root_objects = $(1:%=$(GB)/root/%.o)
guest_objects = $(1:%=$(GB)/guest/%.o)

.PHONY: guests
guests: $B/manager.elf $B/testman.elf $B/bench.elf $B/demo.elf $B/small.elf $B/flat32.bin

$(GB)/root/%.c.o: %.c guests/guests.mk
	@mkdir -p $(@D)
	$(call say,CC,$<)
	$Q$(CC) $(GUEST_CPPFLAGS) $(ROOT_CFLAGS) -c $< -o $@

$(GB)/root/%.S.o: %.S guests/guests.mk
	@mkdir -p $(@D)
	$Q$(CC) $(GUEST_CPPFLAGS) -DDEMO_FILE='"$B/demo.elf"' -DSMALL_FILE='"$B/small.elf"' \
		-DFLAT_FILE='"$B/flat32.bin"' -DSNP_FILE='"$B/snp.bin"' -DSHIM_FILE='"$B/shim.bin"' -DDSDT_FILE='"$B/dsdt.aml"' -DBENCH_FILE='"$B/bench_guest.elf"' -g -fpie -c $< -o $@

$(GB)/guest/%.c.o: %.c guests/guests.mk
	@mkdir -p $(@D)
	$(call say,CC,$<)
	$Q$(CC) $(GUEST_CPPFLAGS) $(GUEST_CFLAGS) -c $< -o $@

$(GB)/guest/%.S.o: %.S guests/guests.mk
	@mkdir -p $(@D)
	$Q$(CC) $(GUEST_CPPFLAGS) -g -fno-pic -c $< -o $@

# Only R_X86_64_RELATIVE relocations may be left: Septum applies no others.
ROOT_LINK = $(LD) -pie --no-dynamic-linker -nostdlib -z max-page-size=4096 -z norelro -z noexecstack \
	--build-id=none -e root_entry
define root_link
	$(call say,LINK,$@)
	$Q$(ROOT_LINK) $(filter %.o,$^) -o $@.debug
	$Q! readelf -rW $@.debug | grep R_X86_64 | grep -v R_X86_64_RELATIVE
	$Qobjcopy --strip-debug $@.debug $@
endef

$B/manager.elf: $(call root_objects,$(MANAGER_SOURCES))
	$(root_link)

$B/testman.elf: $(call root_objects,$(TESTMAN_SOURCES))
	$(root_link)

$B/bench.elf: $(call root_objects,$(BENCH_SOURCES))
	$(root_link)

$(GB)/root/guests/bench/images.S.o: $B/bench_guest.elf
$(GB)/root/guests/manager/images.S.o: $B/demo.elf $B/shim.bin $B/dsdt.aml
$(GB)/root/guests/testman/images.S.o: $B/small.elf $B/flat32.bin $B/snp.bin

# Multiboot loaders want ELF32; the code is 64-bit all the same.
GUEST_LINK = $(LD) -nostdlib -static -z max-page-size=4096 -z noexecstack --build-id=none --no-warn-rwx-segments \
	-T guests/small/guest.lds
define guest_link
	$(call say,LINK,$@)
	$Q$(GUEST_LINK) $(filter %.o,$^) -o $@.64
	$Qobjcopy -O elf32-i386 --strip-debug $@.64 $@
endef

$B/demo.elf: $(call guest_objects,$(DEMO_SOURCES)) guests/small/guest.lds
	$(guest_link)

$B/small.elf: $(call guest_objects,$(SMALL_SOURCES)) guests/small/guest.lds
	$(guest_link)

$B/bench_guest.elf: $(call guest_objects,$(BENCH_GUEST_SOURCES)) guests/small/guest.lds
	$(guest_link)

$B/snp.bin: $(GB)/guest/guests/snp/start.S.o $(GB)/guest/guests/snp/guest.c.o guests/snp/guest.lds
	$(call say,LINK,$@)
	$Q$(LD) -T guests/snp/guest.lds --oformat binary $(filter %.o,$^) -o $@

$B/flat32.bin: guests/flat/flat32.S
	@mkdir -p $(@D)
	$Q$(CC) -m32 -c $< -o $(GB)/flat32.o
	$Q$(LD) -m elf_i386 -Ttext 0x100000 --oformat binary $(GB)/flat32.o -o $@

$B/shim.bin: guests/linux/shim.S guests/linux/shim.h
	@mkdir -p $(GB)
	$Q$(CC) -I. -c $< -o $(GB)/shim.o
	$Q$(LD) -Ttext 0x2000 -e 0x2000 --oformat binary $(GB)/shim.o -o $@

$B/dsdt.aml: guests/linux/dsdt.asl
	@mkdir -p $(@D)
	$(call say,IASL,$<)
	$Q$(IASL) -vs -we -p $(@:.aml=) $< >$@.log 2>&1 || { cat $@.log; false; }

# manager_image .. manager_image_end, for Septum's read-only data.
$B/manager_image.o: $B/manager.elf
	@printf '.section .rodata\n.globl manager_image, manager_image_end\n.balign 16\nmanager_image: .incbin "%s"\nmanager_image_end:\n.section .note.GNU-stack,"",@progbits\n' $< > $B/manager_image.S
	$Q$(CC) -c $B/manager_image.S -o $@

-include $(patsubst %.o,%.d,$(call root_objects,$(MANAGER_SOURCES) $(TESTMAN_SOURCES) $(BENCH_SOURCES)) \
	$(call guest_objects,$(DEMO_SOURCES) $(SMALL_SOURCES) $(BENCH_GUEST_SOURCES)))
