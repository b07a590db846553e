/* SPDX-License-Identifier: BSD-2-Clause */
/* ob_device_look() for what is called through the classes' operations. */
#ifndef CLASS_LOOK_H
#define CLASS_LOOK_H

#include <outboard/driver.h>

/** look_install() - a bound driver's bursts are looks from now on, where its device wants to know */
int look_install(struct ob_binding *b);
/** look_remove() - before the driver's remove() */
void look_remove(struct ob_binding *b);

#endif
