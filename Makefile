# SPDX-License-Identifier: BSD-2-Clause
# `make help` lists what a person types.

MACHINE  ?= svm
FIRMWARE ?= bios
GUEST    ?=
KERNEL   ?=
MEMORY   ?= $(if $(GUEST)$(KERNEL),2G,256M)
CPUS     ?= 1
CMDLINE  ?=
EMULATOR ?= auto

# BENCH: the production build, with one thing assumed that QEMU does not say (svm/exit.c). BENCH=count:
# the same, which counts what kernel/tally_list.h lists.
VARIANT := $(if $(COVERAGE),cov,$(if $(filter count,$(BENCH)),bench-count,$(if $(BENCH),bench,$(if $(PRODUCTION),production,$(if $(DEBUG),debug,)))))
B := build$(if $(VARIANT),/$(VARIANT))

CC := gcc
LD := ld
PYTHON := python3
IASL := iasl

CPPFLAGS := -I. -Iinclude -MMD -MP $(if $(COVERAGE),-DCOVERAGE) $(if $(PRODUCTION)$(BENCH),-DPRODUCTION) $(if $(BENCH),-DBENCH) $(if $(filter count,$(BENCH)),-DTALLY) \
	$(if $(DEBUG),-DDEBUG)
# Frames for exact backtraces; the production build is optimized as a whole instead.
WHOLE := $(PRODUCTION)$(BENCH)
FRAMES := $(if $(WHOLE),-fomit-frame-pointer -flto -fno-fat-lto-objects,\
	-fno-omit-frame-pointer -mno-omit-leaf-frame-pointer -fno-optimize-sibling-calls)
CFLAGS := -std=gnu11 -O2 -g -ffreestanding -fno-pic -fno-pie -mcmodel=kernel -mno-red-zone \
	-mgeneral-regs-only -fno-stack-protector -fno-strict-aliasing $(FRAMES) \
	-fno-asynchronous-unwind-tables -fcf-protection=none -fno-common \
	-Wall -Wextra -Werror -Wconversion -Wmissing-prototypes
ASFLAGS := -g -fno-pic
COVFLAGS := $(if $(COVERAGE),-fprofile-arcs -ftest-coverage -fprofile-info-section)

SOURCES := $(wildcard kernel/*.c mm/*.c svm/*.c vmx/*.c arch/x86/*.c arch/x86/*.S svm/*.S vmx/*.S kernel/*.S)
# The software machines, and the crypto library that they use (Debian: libbearssl-dev).
MODEL := $(if $(PRODUCTION)$(BENCH),,1)
ifdef MODEL
SOURCES += $(wildcard model/*.c model/*.S)
MODEL_LIB := $(shell $(CC) -print-file-name=libbearssl.a)
endif
OBJECTS := $(SOURCES:%=$B/%.o)

# `make V=1` shows the commands.
Q := $(if $(V),,@)
say = @printf '  %-5s %s\n' $1 $2

.DEFAULT_GOAL := help

.PHONY: help
help:
	@echo "V=1 shows the commands; DEBUG=1, PRODUCTION=1 (no assertions) and COVERAGE=1 build into build/<variant>."
	@sed -n 's/^#: //p' $(MAKEFILE_LIST)

#: make build      Septum and its guests, into build/
.PHONY: build
build: $B/septum.elf guests
	@:

# Two links: the first tells where the functions are, the second embeds that table, in
# read-only data, behind the text, so that no function moves.
$B/septum.lds: arch/x86/septum.lds arch/x86/layout.h Makefile
	@mkdir -p $(@D)
	$(call say,LDS,$@)
	$Q$(CC) -E -P -x c -I. -D__ASSEMBLER__ $< -o $@

LINK = $(LD) -nostdlib -static -z max-page-size=4096 -z noexecstack --build-id=none -T $B/septum.lds -Map $@.map
GCOV_LIB = $(if $(COVERAGE),$(shell $(CC) -print-file-name=libgcov.a))

include guests/guests.mk

# One object of all: what the compiler knows of the whole production build.
LINKED := $(if $(WHOLE),$B/whole.o,$(OBJECTS))
$B/whole.o: $(OBJECTS)
	$(call say,LTO,$@)
	$Q$(CC) $(CFLAGS) -r -nostdlib -flinker-output=nolto-rel -flto-partition=one $(OBJECTS) -o $@

# The embedded manager is data of Septum's.
$B/septum.first.elf: $(LINKED) $B/manager_image.o $B/septum.lds
	@printf '.section .symbols, "a"\n.globl symbol_count, symbol_table, symbol_names\nsymbol_count: .long 0\nsymbol_table:\nsymbol_names:\n.section .note.GNU-stack,"",@progbits\n' > $B/symbols.none.S
	$Q$(CC) -c $B/symbols.none.S -o $B/symbols.none.o
	$Q$(LINK) $(LINKED) $B/manager_image.o $B/symbols.none.o $(MODEL_LIB) $(GCOV_LIB) -o $@

$B/septum.elf: $B/septum.first.elf tools/mksymbols
	$Q$(PYTHON) tools/mksymbols $< $B/symbols.S
	$Q$(CC) -c $B/symbols.S -o $B/symbols.o
	$(call say,LINK,$@)
	$Q$(LINK) $(LINKED) $B/manager_image.o $B/symbols.o $(MODEL_LIB) $(GCOV_LIB) -o $@.new
	$Q$(PYTHON) tools/mksymbols --check $@.new $<
	@mv $@.new $@

# What runs at the start, at the end, or seldom, is made small.
COLD := arch/x86/acpi arch/x86/console arch/x86/cpu arch/x86/font arch/x86/machine arch/x86/mtrr arch/x86/multiboot \
	arch/x86/screen arch/x86/smp arch/x86/traps kernel/cmdline kernel/elf kernel/main kernel/options kernel/panic \
	kernel/print kernel/root kernel/root_image kernel/start kernel/symbols mm/audit mm/audit_frames mm/memory_destroy \
	svm/sev svm/sev_asid svm/sev_cpuid svm/sev_guest svm/sev_hw svm/sev_launch svm/sev_psp vmx/controls vmx/probe
$(COLD:%=$B/%.c.o): OPTIMIZE := -Os

$B/%.c.o: %.c Makefile
	@mkdir -p $(@D)
	$(call say,CC,$<)
	$Q$(CC) $(CPPFLAGS) $(CFLAGS) $(if $(WHOLE),$(OPTIMIZE)) $(COVFLAGS) -c $< -o $@

$B/%.S.o: %.S Makefile
	@mkdir -p $(@D)
	$(call say,AS,$<)
	$Q$(CC) $(CPPFLAGS) $(ASFLAGS) -c $< -o $@

-include $(OBJECTS:.o=.d)

RUN = tools/run --image $B/septum.elf --machine $(MACHINE) --emulator $(EMULATOR) --accel auto \
	--firmware $(FIRMWARE) --memory $(MEMORY) --cpus $(CPUS)

#: make run        boot Septum with its demonstration; MACHINE=svm|vmx FIRMWARE=bios|uefi MEMORY=256M CPUS=1
#:                 CMDLINE="boot options" EMULATOR=qemu|bochs
#:                 GUEST=debian TYPE=sw|sev|sev-es|snp boots Debian as guest; KERNEL=file INITRD=file APPEND="words"
#:                 your own; GUEST_MEMORY=512M VCPUS=1 IMPLICIT=convert|deny|ask EXPLICIT=allow|deny
.PHONY: run
run: $(if $(GUEST)$(KERNEL),run-linux,run-demonstration)

.PHONY: run-demonstration
run-demonstration:
	@tools/packages run
	@$(MAKE) --no-print-directory build
	@tools/mkiso --image $B/septum.elf --output build/septum.iso --timeout 0 --cmdline "emulator-exit $(CMDLINE)"
	@$(RUN) --iso build/septum.iso --timeout 600

#: make debug      as run, under QEMU, stopped for gdb; starts gdb if this is a terminal
.PHONY: debug
debug:
	@tools/packages debug
	@$(MAKE) --no-print-directory build
	@$(RUN) --emulator qemu --accel tcg --kernel-boot --timeout 0 --gdb --cmdline "$(CMDLINE)"

#: make iso        build/septum.iso for a USB stick or a CD, BIOS and UEFI; CMDLINE="boot options"
.PHONY: iso
iso:
	@tools/packages run
	@$(MAKE) --no-print-directory build
	@tools/mkiso --image $B/septum.elf --output build/septum.iso --cmdline "console=both $(CMDLINE)"
	@echo "build/septum.iso is ready: write it to a whole USB stick, or boot it as a CD"

#: make clean      remove build/
.PHONY: clean
clean:
	rm -rf build

include $(wildcard mk/*.mk)
