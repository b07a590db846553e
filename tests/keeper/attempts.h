/* SPDX-License-Identifier: BSD-2-Clause */
/* What an evil driver tries, from inside of the sandbox and, to see that it is worth trying, from outside. */
#ifndef TESTS_KEEPER_ATTEMPTS_H
#define TESTS_KEEPER_ATTEMPTS_H

#include <liburing.h>
#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

enum {
	SECRET = 0x5ec7e7,
	LEAKED_FDS = 2000,     /* above the limit that the sandbox has by itself */
	LEAKED_MIB = 192,      /* above the one that the test gives */
	LEAKED_CHILDREN = 200, /* as LEAKED_FDS */
	MEMORY_MIB = 64,
	LOCKED_MIB = 16,
	MEMLOCK_MIB = 8,
};

/*
 * Where it happens. The descriptors are those that the process may keep.
 * @outside: without a sandbox, so that what would harm the test is done to a namespace of one's own
 */
struct scene {
	bool outside;
	pid_t keeper;
	volatile int secret; /* in the keeper's memory, at the same address */
	char dir[64];	     /* a folder that everybody may write to */
	int port;	     /* somebody listens on 127.0.0.1 */
	char abstract[32];   /* and at this abstract UNIX address */
	int pipe_fd, pty_fd, tun_fd;
	struct io_uring ring;
};
extern struct scene scene;

/**
 * struct attempt - one attack
 * @try: returns 0 when it succeeded, else a negative errno value
 * @before: what is done while the driver is loaded, for an attack while it serves
 * @uses: enum sandbox_uses that the sandbox was made for
 * @while_loading: it cannot be refused while the driver is loaded, for this reason
 */
struct attempt {
	const char *name;
	int (*try)(void);
	int (*before)(void);
	unsigned int uses;
	const char *while_loading;
};

extern const struct attempt attempts[];
extern const size_t nr_attempts;

#endif
