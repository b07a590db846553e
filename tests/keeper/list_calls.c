/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The list of system calls for what a driver process works with, for tests/keeper/calls.sh and for docs/sandbox.md.
 *
 *	list-calls init|run [VFIO|UBLK|...]...
 */
#include <string.h>

#include "keeper/sandbox.h"

#define USE(name)                                                                                  \
	{                                                                                          \
#name, SANDBOX_USES_##name                                                         \
	}

static const struct {
	const char *name;
	unsigned int use;
} all[] = {USE(VFIO), USE(UIO), USE(QEMU),  USE(LINUX), USE(UBLK),    USE(NBD),
	   USE(FUSE), USE(TAP), USE(VHOST), USE(VDUSE), USE(THREADS), USE(PASSING)};

int main(int argc, char **argv)
{
	unsigned int uses = 0;

	if (argc < 2)
		return 2;
	for (int i = 2; i < argc; i++) {
		unsigned int known = 0;

		for (unsigned int k = 0; k < sizeof(all) / sizeof(all[0]); k++)
			if (!strcmp(argv[i], all[k].name))
				known = all[k].use;
		if (!known)
			return 2;
		uses |= known;
	}
	sandbox_calls_allowed(!strcmp(argv[1], "init") ? SANDBOX_INIT : SANDBOX_RUN, uses, stdout);
	return 0;
}
