/* SPDX-License-Identifier: BSD-2-Clause */
/* Waiting for what a device or another process does: as long as it takes, and to an end only when something hangs. */
#ifndef TESTS_WAIT_FOR_H
#define TESTS_WAIT_FOR_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <unistd.h>

#include <cmocka.h>

#include <outboard/device.h>

#define WAIT_FOR(cond)                                                                             \
	do {                                                                                       \
		uint64_t start_ = ob_clock_ms();                                                   \
		while (!(cond)) {                                                                  \
			if (ob_clock_ms() - start_ > 60000)                                        \
				fail_msg("never came true: %s", #cond);                            \
			usleep(1000);                                                              \
		}                                                                                  \
	} while (0)

#endif
