/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * valgrind 3.19 (Debian 12) does not know pidfd_open(2), which the embedded backend watches QEMU with.
 * Linked into benches that run under callgrind, this gives it one from a thread that waits.
 */
#include <dlfcn.h>
#include <errno.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

struct waited {
	pid_t pid;
	int fd;
};

static void *wait_for(void *arg)
{
	struct waited w = *(struct waited *)arg;
	siginfo_t info;
	uint64_t one = 1;

	free(arg);
	/* Left for the backend to reap. */
	if (waitid(P_PID, (id_t)w.pid, &info, WEXITED | WNOWAIT) == 0 &&
	    write(w.fd, &one, sizeof(one)) < 0)
		return NULL;
	return NULL;
}

static int pidfd_from_thread(pid_t pid)
{
	struct waited *w = malloc(sizeof(*w));
	pthread_t thread;
	int fd;

	if (!w)
		return -1;
	fd = eventfd(0, EFD_CLOEXEC);
	*w = (struct waited){.pid = pid, .fd = fd};
	if (fd < 0 || pthread_create(&thread, NULL, wait_for, w)) {
		free(w);
		return -1;
	}
	pthread_detach(thread);
	return fd;
}

/* Takes the place of the C library's in the program that this is linked into. */
long syscall(long number, ...)
{
	static long (*real)(long, ...);
	long a[6], ret;
	va_list ap;

	if (!real)
		real = (long (*)(long, ...))dlsym(RTLD_NEXT, "syscall");
	va_start(ap, number);
	for (int i = 0; i < 6; i++)
		a[i] = va_arg(ap, long);
	va_end(ap);
	ret = real(number, a[0], a[1], a[2], a[3], a[4], a[5]);
	if (ret < 0 && errno == ENOSYS && number == SYS_pidfd_open)
		ret = pidfd_from_thread((pid_t)a[0]);
	return ret;
}
