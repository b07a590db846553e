/* SPDX-License-Identifier: BSD-2-Clause */
/* Who wants to know when memory is looked at: recorders and players. For class/look.c. */
#ifndef ACCESS_RECORD_LOOK_H
#define ACCESS_RECORD_LOOK_H

#include <outboard/access.h>

/** look_wanted() - would ob_device_look() do anything? */
bool look_wanted(const struct ob_device *dev);

/* Each takes a device of its own, and no other. */
bool record_owns(const struct ob_device *dev);
void record_look(struct ob_device *dev);
bool replay_owns(const struct ob_device *dev);
void replay_look(struct ob_device *dev);

#endif
