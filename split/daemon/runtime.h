/* SPDX-License-Identifier: BSD-2-Clause */
/* What the parts of a split driver's daemon share: the generated list of operations, and messages to the kernel's log. */
#ifndef OB_SPLIT_RUNTIME_H
#define OB_SPLIT_RUNTIME_H

#include "ask.h"
#include "slots.h"

extern const struct ob_split_op *const ob_split_ops[];
extern const unsigned int ob_split_n_ops;
extern const char ob_split_device[];

/** runtime_log() - one message; @level as in struct ob_split_down */
void runtime_log(unsigned int level, const char *text);

/** runtime_confine() - give up all that serving does not need; 0 or a negative errno */
int runtime_confine(void);

#endif
