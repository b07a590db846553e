/* SPDX-License-Identifier: BSD-2-Clause */
/* Every driver's one symbol. */
#ifndef DRIVERS_DRIVERS_H
#define DRIVERS_DRIVERS_H

#include <outboard/driver.h>

extern const struct ob_driver ob_driver_edu;
extern const struct ob_driver ob_driver_beep;
extern const struct ob_driver ob_driver_e1000;
extern const struct ob_driver ob_driver_nvme;
extern const struct ob_driver ob_driver_ide;

#endif
