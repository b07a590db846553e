/* SPDX-License-Identifier: BSD-2-Clause */
/* What a driver process works with, by the names of its backend, driver and attachment. */
#include <string.h>

#include "keeper/sandbox.h"

static const struct {
	const char *name;
	unsigned int uses;
} kinds[] = {
	{"vfio", SANDBOX_USES_VFIO},	   {"uio", SANDBOX_USES_UIO},
	{"qemu", SANDBOX_USES_QEMU},	   {"ublk", SANDBOX_USES_UBLK},
	{"nbd", SANDBOX_USES_NBD},	   {"nbd-kernel", SANDBOX_USES_NBD},
	{"fuse", SANDBOX_USES_FUSE},	   {"loop", SANDBOX_USES_FUSE},
	{"mount", SANDBOX_USES_FUSE},	   {"cuse", SANDBOX_USES_FUSE},
	{"tap", SANDBOX_USES_TAP},	   {"vhost-net", SANDBOX_USES_VHOST},
	{"vduse-blk", SANDBOX_USES_VDUSE}, {"vduse-net", SANDBOX_USES_VDUSE},
};

unsigned int sandbox_uses_of(const char *name)
{
	size_t len = strcspn(name, ",:[");

	if (!strncmp(name, "linux:", 6))
		return SANDBOX_USES_LINUX;
	for (unsigned int i = 0; i < sizeof(kinds) / sizeof(kinds[0]); i++)
		if (strlen(kinds[i].name) == len && !strncmp(name, kinds[i].name, len))
			return kinds[i].uses;
	return 0;
}
