/* SPDX-License-Identifier: BSD-2-Clause */
/* Limits, descriptors and environment of a driver process. getrlimit(2), close_range(2). */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include "keeper/sandbox_parts.h"

enum {
	SPARE_FDS = 8,
	AT_ONCE = 512,
	INIT_FDS = 1024, /* while the driver is bound: a vector and a queue have one each */
};

/* Never above what the keeper has, unless root may raise it. */
static int limit(__rlimit_resource_t resource, uint64_t val)
{
	struct rlimit lim = {val, val}, old;

	if (!setrlimit(resource, &lim))
		return 0;
	if (errno != EPERM || getrlimit(resource, &old))
		return -errno;
	lim.rlim_cur = lim.rlim_max = old.rlim_max;
	return setrlimit(resource, &lim) ? -errno : 0;
}

int sandbox_limit(struct sandbox *s, struct ob_error *err)
{
	const struct sandbox_limits *l = &s->limits;
	const struct {
		__rlimit_resource_t resource;
		uint64_t val;
	} limits[] = {
		{RLIMIT_NOFILE, l->nofile ? l->nofile : INIT_FDS},
		{RLIMIT_NPROC, l->nproc},
#ifdef __SANITIZE_ADDRESS__
		/* Its shadow of the whole address space counts, too. */
		{RLIMIT_DATA, RLIM_INFINITY},
#else
		/* Private memory that can be written: malloc(), stacks. Mapped registers and the arena are shared. */
		{RLIMIT_DATA, l->memory},
#endif
		{RLIMIT_MEMLOCK, l->memlock},
		{RLIMIT_STACK, l->stack},
		{RLIMIT_CORE, s->debuggable ? RLIM_INFINITY : 0},
		{RLIMIT_MSGQUEUE, 0},
		{RLIMIT_SIGPENDING, 64},
		{RLIMIT_RTPRIO, 0},
		{RLIMIT_NICE, 0},
	};

	if (!sandbox_wants(s, SANDBOX_LIMITS))
		return 0;
	for (unsigned int i = 0; i < sizeof(limits) / sizeof(limits[0]); i++) {
		int ret = limit(limits[i].resource, limits[i].val);

		if (ret)
			return ob_error_set(err, ret, "sandbox: limit %d cannot be set: %s",
					    (int)limits[i].resource, strerror(-ret));
	}
	sandbox_is(s, SANDBOX_LIMITS, "%llu MiB, %llu threads, %llu MiB pinned, %llu descriptors",
		   (unsigned long long)limits[2].val >> 20, (unsigned long long)limits[1].val,
		   (unsigned long long)limits[3].val >> 20, (unsigned long long)limits[0].val);
	return 0;
}

/* Descriptors have no list but /proc, which is not there any more; poll() says of many in one call which are none. */
static int highest_fd(void)
{
	struct pollfd p[AT_ONCE];
	struct rlimit lim;
	int end = 1 << 20; /* the kernel's own limit, as it comes (sysctl fs.nr_open) */

	if (getrlimit(RLIMIT_NOFILE, &lim))
		return -1;
	if (lim.rlim_cur < (rlim_t)end)
		end = (int)lim.rlim_cur;
	while (end > 0) {
		int n = end < AT_ONCE ? end : AT_ONCE;

		for (int i = 0; i < n; i++)
			p[i] = (struct pollfd){.fd = end - n + i};
		if (poll(p, (nfds_t)n, 0) < 0)
			return -1;
		while (n-- > 0)
			if (!(p[n].revents & POLLNVAL))
				return p[n].fd;
		end = p[0].fd;
	}
	return -1;
}

/* A log, for example; what it has by descriptor without a name is memory. */
static bool writes_a_file(int highest)
{
	struct stat st;

	for (int fd = 0; fd <= highest; fd++)
		if (!fstat(fd, &st) && S_ISREG(st.st_mode) && st.st_nlink &&
		    (fcntl(fd, F_GETFL) & O_ACCMODE) != O_RDONLY)
			return true;
	return false;
}

int sandbox_limit_more(const struct sandbox *s, struct ob_error *err)
{
	int fd, ret = 0;

	if (s->without & 1u << SANDBOX_LIMITS)
		return 0;
	fd = highest_fd();
	if (!s->limits.nofile && fd >= 0)
		ret = limit(RLIMIT_NOFILE, (uint64_t)fd + 1 + SPARE_FDS + s->clients);
	/* Memory in memfds, too, does not grow any more. */
	if (!ret && !s->may_write_files && !writes_a_file(fd))
		ret = limit(RLIMIT_FSIZE, 0);
	if (ret)
		ob_error_set(err, ret, "sandbox: limits cannot be set: %s", strerror(-ret));
	return ret;
}

/* ---- descriptors ------------------------------------------------------------------------------------------------------------ */

static int by_number(const void *a, const void *b)
{
	return *(const int *)a - *(const int *)b;
}

int sandbox_close_others(struct sandbox *s, struct ob_error *err)
{
	unsigned int next = 0;
	int *keep, ret = 0;

	if (!sandbox_wants(s, SANDBOX_DESCRIPTORS))
		return 0;
	keep = calloc(s->nr_keep + 1, sizeof(*keep));
	if (!keep)
		return ob_error_set(err, -ENOMEM, "sandbox: no memory");
	if (s->nr_keep)
		memcpy(keep, s->keep, s->nr_keep * sizeof(*keep));
	qsort(keep, s->nr_keep, sizeof(*keep), by_number);
	for (unsigned int i = 0; i < s->nr_keep && !ret; i++) {
		if (keep[i] < 0 || (unsigned int)keep[i] < next)
			continue; /* none, or the same again */
		if (fcntl(keep[i], F_GETFD) < 0)
			ret = ob_error_set(err, -EBADF,
					   "sandbox: descriptor %d is to be kept and is not open",
					   keep[i]);
		else if ((unsigned int)keep[i] > next &&
			 close_range(next, (unsigned int)keep[i] - 1, 0))
			ret = -errno;
		next = (unsigned int)keep[i] + 1;
	}
	if (!ret && close_range(next, ~0u, 0))
		ret = -errno;
	free(keep);
	if (ret == -EBADF)
		return ret;
	if (ret)
		return ob_error_set(err, ret, "sandbox: close_range: %s", strerror(-ret));
	sandbox_is(s, SANDBOX_DESCRIPTORS, "%u kept", s->nr_keep);
	return 0;
}

/* ---- environment -------------------------------------------------------------------------------------------------------------- */

static bool stays(const struct sandbox *s, const char *entry)
{
	size_t len = strcspn(entry, "=");

	for (const char *const *k = s->keep_environment; k && *k; k++) {
		size_t n = strcspn(*k, "*");

		if (!strncmp(entry, *k, n) && ((*k)[n] ? len >= n : len == n))
			return true;
	}
	return false;
}

/* The texts, too: they lie in memory that a fork() copies. */
void sandbox_forget_environment(struct sandbox *s)
{
	char **kept = environ;

	if (!sandbox_wants(s, SANDBOX_ENVIRONMENT))
		return;
	for (char **e = environ; e && *e; e++) {
		if (stays(s, *e))
			*kept++ = *e;
		else
			explicit_bzero(*e, strlen(*e));
	}
	if (kept == environ)
		clearenv();
	else
		*kept = NULL;
	sandbox_is(s, SANDBOX_ENVIRONMENT, environ ? "but for %u variables" : NULL,
		   (unsigned int)(kept - environ));
}
