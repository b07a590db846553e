/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * How often functions were called in a running kernel, which the sets must not contradict: what moves is seldom called. split/count takes such
 * counts in the rig; the file is text:
 *
 *   driver NAME
 *   phase NAME use|configuration SECONDS     use: what the device is for; the others may well call much of what moves
 *   call NAME FUNCTION COUNT                 in the phase NAME
 *
 * Lines that begin with # say nothing. Copies that gcc makes of a function (.constprop, .isra, .part, .cold) count as the function.
 */
#ifndef SPLIT_COUNTS_H
#define SPLIT_COUNTS_H

#include <stdio.h>

#include "split/classify.h"

enum {
	COUNTS_HOT = 5, /* calls a second, in use; a timer of half a second is no reason to stay */
};

/**
 * counts_read() - put counts beside the functions
 * @path: what errors call the file
 *
 * Return: 0; -EINVAL where a line is none of these, or no function is one of this driver's; -ENOMEM.
 */
int counts_read(struct factoring *f, FILE *in, const char *path, struct ob_error *err);

/** counts_hot() - whether it is called so often, in use, that a process should not be asked each time */
bool counts_hot(const struct place *p);

/** counts_moves() - whether it is to move, as the driver's source alone has it */
bool counts_moves(const struct place *p);

#endif
