// SPDX-License-Identifier: GPL-2.0-only
/* Which parameters the kernel and its drivers have: the host asks before the boot, in which a wrong one is just ignored. */
#include <asm/outboard.h>
#include <linux/init.h>
#include <linux/moduleparam.h>

extern const struct kernel_param __start___param[], __stop___param[];
/* 6.1 declares them for itself. */
extern const struct obs_kernel_param __setup_start[], __setup_end[];

const char *outboard_param(unsigned int index)
{
	unsigned int drivers = __stop___param - __start___param;

	if (index < drivers)
		return __start___param[index].name;
	/* Parts of the core have some with a dot, too, as kasan.fault. */
	index -= drivers;
	return index < __setup_end - __setup_start ? __setup_start[index].str : NULL;
}
