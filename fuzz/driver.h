/* SPDX-License-Identifier: BSD-2-Clause */
/* What the targets fuzz_driver_*.c share: a native driver, and a device (access/fuzz/) that does what the input says. */
#ifndef FUZZ_DRIVER_H
#define FUZZ_DRIVER_H

#include "fuzz/fuzz.h"

/**
 * fuzz_driver() - bind, use in every way, and unbind
 * @models: of the backend "fuzz", @n of them that the driver knows; the input chooses
 * @data: eight bytes that choose how the driver is used, and records of access/fuzz/fuzz.c
 */
int fuzz_driver(const char *const *models, unsigned int n, const uint8_t *data, size_t size);

#endif
