/* SPDX-License-Identifier: GPL-2.0-only */
#ifndef __ASM_OUTBOARD_UNISTD_H
#define __ASM_OUTBOARD_UNISTD_H

#include <uapi/asm/unistd.h>

#define NR_syscalls __NR_syscalls

#endif
