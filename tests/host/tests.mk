# SPDX-License-Identifier: BSD-2-Clause
# Host unit tests: every tests/host/test_*.c is one cmocka program. A comment near its top,
#   /* sources: mm/frame.c mm/pool.c tests/host/fake.c */
# lists the project sources that it links (`mm/?*.c` is all of mm), compiled as they are; `/* ldflags: ... */` adds options to
# its link; `/* sanitizer: thread */` is for threads, instead of address and undefined. `make host-tests TESTS="frame nested"` runs some of them.

HOST := $(if $(COVERAGE),build/cov/host,build/host)
HOST_TESTS := $(patsubst tests/host/test_%.c,%,$(wildcard tests/host/test_*.c))
HOST_COMMON := -std=gnu11 -O1 -g -fno-strict-aliasing -fno-omit-frame-pointer -Wall -Wextra -Werror \
	$(if $(COVERAGE),--coverage -fprofile-update=atomic)
HOST_CFLAGS := $(HOST_COMMON) -fsanitize=address,undefined -fno-sanitize-recover=undefined
# -Wno-tsan: a fence orders nothing for ThreadSanitizer, so no entry may depend on one.
HOST_THREAD_CFLAGS := $(HOST_COMMON) -fsanitize=thread -Wno-tsan
HOST_CPPFLAGS := -I. -Iinclude -MMD -MP
HOST_LIBS := -lcmocka

host_comment = $(shell head -n 12 tests/host/test_$2.c | tr '\n' ' ' | sed -n 's|^.*/\* $1: \([^*]*\(\*[^/][^*]*\)*\) \*/.*$$|\1|p' | sed 's| \* | |g')
host_sources = $(wildcard $(call host_comment,sources,$1))
host_threads = $(strip $(call host_comment,sanitizer,$1))
host_objects = $(patsubst %.c,$(HOST)/$(addsuffix /,$(host_threads))%.o,tests/host/test_$1.c $(host_sources))

define host_program
$(HOST)/test_$1: $(call host_objects,$1)
	$(Q)$(CC) $(if $(call host_threads,$1),$(HOST_THREAD_CFLAGS),$(HOST_CFLAGS)) $$^ $(call host_comment,ldflags,$1) $(HOST_LIBS) -o $$@
endef
# Only for those who ask: reading the comments costs a process each.
ifneq (,$(filter host-%,$(MAKECMDGOALS)))
$(foreach t,$(HOST_TESTS),$(eval $(call host_program,$t)))
endif

$(HOST)/%.o: %.c tests/host/tests.mk
	@mkdir -p $(@D)
	$(Q)$(CC) $(HOST_CPPFLAGS) $(HOST_CFLAGS) -c $< -o $@

$(HOST)/thread/%.o: %.c tests/host/tests.mk
	@mkdir -p $(@D)
	$(Q)$(CC) $(HOST_CPPFLAGS) $(HOST_THREAD_CFLAGS) -c $< -o $@

#: make host-tests unit tests on this machine, under ASan and UBSan
.PHONY: host-tests host-build
host-build: $(patsubst %,$(HOST)/test_%,$(if $(TESTS),$(TESTS),$(HOST_TESTS)))
host-tests:
	@broken=; $(MAKE) --no-print-directory -j2 -k host-build || broken=--broken; \
		tests/host/run $$broken $(HOST) $(if $(TESTS),$(TESTS),$(HOST_TESTS))

-include $(wildcard $(HOST)/*/*.d $(HOST)/*/*/*.d $(HOST)/*/*/*/*.d)
