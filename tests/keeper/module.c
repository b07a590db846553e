/* SPDX-License-Identifier: BSD-2-Clause */
/* A shared object as a driver's, that looks in its constructor at what it could do. */
#include <fcntl.h>
#include <stdbool.h>
#include <sys/prctl.h>
#include <unistd.h>

extern bool module_was_confined;
bool module_was_confined;

__attribute__((constructor)) static void look(void)
{
	/* Reading the sets would be a call that is not on the list; the bounding set was dropped before. */
	module_was_confined = prctl(PR_GET_NO_NEW_PRIVS, 0, 0, 0, 0) == 1 &&
			      prctl(PR_GET_SECCOMP) == 2 && geteuid() != 0 &&
			      open("/etc/passwd", O_RDONLY | O_CLOEXEC) < 0;
}
