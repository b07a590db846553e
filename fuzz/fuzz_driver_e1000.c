/* SPDX-License-Identifier: BSD-2-Clause */
/* The native driver e1000 and a device that does what the input says: driver.c. */
#include "fuzz/driver.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static const char *const models[] = {"fuzz:e1000", "fuzz:e1000e", "fuzz:e1000e-msix"};

	return fuzz_driver(models, 3, data, size);
}
