# SPDX-License-Identifier: BSD-2-Clause
include tests/host/tests.mk
