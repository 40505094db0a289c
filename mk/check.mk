# SPDX-License-Identifier: BSD-2-Clause

#: make check      all tests, ending in `N passed, M failed` (SUITES="host svm": only those)
.PHONY: check
check:
	@tools/packages run debian check lint
	@$(MAKE) -s build
	@tools/check $(SUITES)

#: make soak       what takes too long for that (about 15 min): 200,000 conversions raced, guests destroyed at random
.PHONY: soak
soak:
	@tools/packages run check
	@$(MAKE) -s build
	@tools/check --soak $(SUITES)

#: make lint       clang-format, clang-tidy, cppcheck, SPDX lines
.PHONY: lint
lint:
	@tools/packages lint
	@tools/lint

#: make fuzz       each fuzzer for a minute (SECONDS=n)
.PHONY: fuzz
fuzz:
	@tools/packages check
	@tools/fuzz --seconds $(or $(SECONDS),60)

#: make coverage   one lcov report: host tests and the code that ran inside the emulators
.PHONY: coverage
coverage:
	@tools/packages run check coverage
	@tools/coverage

#: make bench      what each operation costs, in instructions, beside KVM's figures; MACHINE=svm|vmx
.PHONY: bench
bench:
	@tools/packages run
	@$(MAKE) --no-print-directory build BENCH=1
	@$(MAKE) --no-print-directory build BENCH=count
	@tools/bench $(MACHINE)

# `make bench-record`: the figures of now become those that `make check` compares with.
.PHONY: bench-check bench-record
bench-check bench-record:
	@$(MAKE) -s --no-print-directory build BENCH=1
	@$(MAKE) -s --no-print-directory build BENCH=count
	@tools/bench $(MACHINE) --$(@:bench-%=%)

# The scenarios on the build that is measured, QEMU/SVM.
.PHONY: bench-scenarios
bench-scenarios:
	@$(MAKE) -s --no-print-directory build BENCH=1
	@SEPTUM_BUILD=build/bench tests/scenarios/run svm
