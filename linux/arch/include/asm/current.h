/* SPDX-License-Identifier: GPL-2.0-only */
/* One processor: the running task is a variable, on whatever stack its code runs. */
#ifndef __ASM_OUTBOARD_CURRENT_H
#define __ASM_OUTBOARD_CURRENT_H

struct task_struct;
extern struct task_struct *outboard_current;

#define current outboard_current

#endif
