// SPDX-License-Identifier: GPL-2.0-only
/* Which parameters the kernel and its drivers have: the host asks before the boot, in which a wrong one is just ignored. */
#include <asm/outboard.h>
#include <linux/moduleparam.h>

extern const struct kernel_param __start___param[], __stop___param[];

const char *outboard_param(unsigned int index)
{
	if (index >= __stop___param - __start___param)
		return NULL;
	return __start___param[index].name;
}
