/* SPDX-License-Identifier: BSD-2-Clause */
/* The native driver beep and a device that does what the input says: driver.c. */
#include "fuzz/driver.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static const char *const model = "fuzz:beep";

	return fuzz_driver(&model, 1, data, size);
}
