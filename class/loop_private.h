/* SPDX-License-Identifier: BSD-2-Clause */
/* Of the loop (outboard/loop.h), for this library only. */
#ifndef CLASS_LOOP_PRIVATE_H
#define CLASS_LOOP_PRIVATE_H

#include <outboard/loop.h>

/**
 * loop_watch() - whether a level wakes the loop
 * @fd: of a source with @level
 *
 * What is there but cannot be done would else wake it again and again. In the loop's thread. Return: 0, or a negative errno value.
 */
int loop_watch(struct ob_loop *loop, int fd, bool on);

#endif
