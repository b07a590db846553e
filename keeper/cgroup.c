/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A cgroup (version 2) for each driver process: memory, processes, processor time, and an end for all of them at once.
 * Documentation/admin-guide/cgroup-v2.rst of the kernel.
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "keeper/sandbox_parts.h"

enum {
	CPU_PERIOD_US = 100000,
	MOST_ALIKE = 100, /* cgroups of one name */
};

static const char *const controllers[] = {"memory", "pids", "cpu"};

int sandbox_write(int dir, const char *file, const char *text)
{
	int fd = openat(dir, file, O_WRONLY | O_CLOEXEC), ret = 0;

	if (fd < 0)
		return -errno;
	if (write(fd, text, strlen(text)) < 0)
		ret = -errno;
	close(fd);
	return ret;
}

static bool read_at(int dir, const char *file, char *buf, size_t size)
{
	int fd = openat(dir, file, O_RDONLY | O_CLOEXEC);
	ssize_t n = fd < 0 ? -1 : read(fd, buf, size - 1);

	if (fd >= 0)
		close(fd);
	buf[n > 0 ? n : 0] = '\0';
	return n > 0;
}

static bool has_word(const char *text, const char *word)
{
	size_t len = strlen(word);

	for (const char *p = text; (p = strstr(p, word)); p += len)
		if ((p == text || p[-1] == ' ') && (!p[len] || p[len] == ' ' || p[len] == '\n'))
			return true;
	return false;
}

/* ---- where --------------------------------------------------------------------------------------------------------------- */

/* Where version 2 is mounted: alone at /sys/fs/cgroup, or beside version 1. */
static bool find_mount(char *path, size_t size)
{
	char line[1024], at[512], rest[1024];
	bool found = false;
	FILE *f = fopen("/proc/self/mountinfo", "re");

	while (f && !found && fgets(line, sizeof(line), f)) {
		const char *type = strstr(line, " - ");

		if (!type || strncmp(type, " - cgroup2 ", 11) ||
		    sscanf(line, "%*s %*s %*s %*s %511s %1023s", at, rest) != 2)
			continue;
		found = (size_t)snprintf(path, size, "%s", at) < size;
	}
	if (f)
		fclose(f);
	return found;
}

/* This process's own, "/system.slice/outboard.service/keeper". */
static bool find_own(char *path, size_t size)
{
	char line[512];
	bool found = false;
	FILE *f = fopen("/proc/self/cgroup", "re");

	while (f && !found && fgets(line, sizeof(line), f)) {
		found = !strncmp(line, "0::", 3);
		line[strcspn(line, "\n")] = '\0';
		if (found)
			snprintf(path, size, "%.250s", strcmp(line + 3, "/") ? line + 3 : "");
	}
	if (f)
		fclose(f);
	return found;
}

/*
 * A unit with Delegate=yes and DelegateSubgroup=keeper has the keeper in a leaf of its own, beside which drivers may have theirs.
 * Without one root makes a folder at the top, an ordinary user tries below his own.
 */
static bool choose_parent(struct sandbox *s, char *path, size_t size)
{
	char root[256], own[256], *leaf;

	if (s->cgroup)
		return (size_t)snprintf(path, size, "%s", s->cgroup) < size;
	if (!find_mount(root, sizeof(root))) {
		sandbox_lacks(s, SANDBOX_CGROUP, "no cgroup version 2 is mounted");
		return false;
	}
	if (!find_own(own, sizeof(own)))
		own[0] = '\0';
	leaf = strrchr(own, '/');
	if (leaf && !strcmp(leaf, "/keeper"))
		*leaf = '\0';
	else if (s->as_root)
		strcpy(own, "/outboard");
	if ((size_t)snprintf(path, size, "%s%s", root, own) >= size)
		return false;
	return true;
}

/* ---- making it ------------------------------------------------------------------------------------------------------------- */

/* Its children get the controllers, if it has them itself and may give them. */
static void give_controllers(int dir)
{
	for (unsigned int i = 0; i < sizeof(controllers) / sizeof(controllers[0]); i++) {
		char order[16];

		snprintf(order, sizeof(order), "+%s", controllers[i]);
		sandbox_write(dir, "cgroup.subtree_control", order);
	}
}

static void set_limits(struct sandbox *s)
{
	const struct sandbox_limits *l = &s->limits;
	char have[256], text[64], lacking[64] = "";

	read_at(s->cgroup_fd, "cgroup.controllers", have, sizeof(have));
	for (unsigned int i = 0; i < sizeof(controllers) / sizeof(controllers[0]); i++)
		if (!has_word(have, controllers[i]) && (i < 2 || l->cpu_percent))
			snprintf(lacking + strlen(lacking), sizeof(lacking) - strlen(lacking),
				 "%s%s", *lacking ? ", " : "", controllers[i]);
	/* What it shares counts here, too: the arena, where it is the first to use a page. */
	snprintf(text, sizeof(text), "%llu", (unsigned long long)(l->memory + l->memlock));
	sandbox_write(s->cgroup_fd, "memory.max", text);
	sandbox_write(s->cgroup_fd, "memory.swap.max", "0");
	sandbox_write(s->cgroup_fd, "memory.oom.group", "1");
	snprintf(text, sizeof(text), "%u", l->nproc);
	sandbox_write(s->cgroup_fd, "pids.max", text);
	if (l->cpu_percent) {
		snprintf(text, sizeof(text), "%u %u", l->cpu_percent * (CPU_PERIOD_US / 100),
			 CPU_PERIOD_US);
		sandbox_write(s->cgroup_fd, "cpu.max", text);
	}
	if (*lacking)
		sandbox_lacks(
			s, SANDBOX_CGROUP,
			"not limited by it: %s, of which this system's version 2 has none here",
			lacking);
}

/* Of keepers that were killed: "NAME.PID". One with a process in it cannot be removed. */
static void remove_orphans(const char *parent)
{
	DIR *dir = opendir(parent);
	struct dirent *e;

	while (dir && (e = readdir(dir))) {
		const char *dot = strrchr(e->d_name, '.');
		pid_t pid = dot ? (pid_t)atoi(dot + 1) : 0;

		if (e->d_type == DT_DIR && pid > 0 && kill(pid, 0) && errno == ESRCH)
			unlinkat(dirfd(dir), e->d_name, AT_REMOVEDIR);
	}
	if (dir)
		closedir(dir);
}

void sandbox_cgroup_make(struct sandbox *s)
{
	char parent[200];
	int top = -1, dir;
	bool made = false;

	s->cgroup_fd = s->procs_fd = -1;
	if (!sandbox_wants(s, SANDBOX_CGROUP) || !choose_parent(s, parent, sizeof(parent)))
		return;
	if (!s->cgroup && s->as_root) {
		char *last = strrchr(parent, '/');

		*last = '\0';
		top = open(parent, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
		*last = '/';
		give_controllers(top);
		close(top);
	}
	mkdir(parent, 0755);
	dir = open(parent, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (dir < 0) {
		sandbox_lacks(s, SANDBOX_CGROUP, "%s: %s", parent, strerror(errno));
		return;
	}
	give_controllers(dir);
	close(dir);
	remove_orphans(parent);
	/* In another process namespace there may be another keeper of this name and number. */
	for (unsigned int n = 0; n < MOST_ALIKE; n++) {
		snprintf(s->cgroup_path, sizeof(s->cgroup_path), "%s/%.32s.%d-%u", parent, s->name,
			 getpid(), n);
		made = !mkdir(s->cgroup_path, 0755);
		if (made || errno != EEXIST)
			break;
	}
	if (!made) {
		sandbox_lacks(s, SANDBOX_CGROUP, "%s: %s", parent, strerror(errno));
		s->cgroup_path[0] = '\0';
		return;
	}
	s->cgroup_fd = open(s->cgroup_path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (s->cgroup_fd >= 0)
		s->procs_fd = openat(s->cgroup_fd, "cgroup.procs", O_WRONLY | O_CLOEXEC);
	if (s->procs_fd < 0) {
		sandbox_lacks(s, SANDBOX_CGROUP, "%s: %s", s->cgroup_path, strerror(errno));
		sandbox_cgroup_remove(s);
		return;
	}
	set_limits(s);
}

/*
 * Moving a process waits for a grace period of the kernel's RCU, some 10 ms. The keeper does it, so that the child opens its device meanwhile, and only
 * one that must not go on without waits for it.
 */
void sandbox_cgroup_put(struct sandbox *s, pid_t pid)
{
	char text[16];

	if (s->procs_fd < 0)
		return;
	snprintf(text, sizeof(text), "%d", (int)pid);
	if (write(s->procs_fd, text, strlen(text)) < 0)
		sandbox_lacks(s, SANDBOX_CGROUP, "%.80s: %s", s->cgroup_path, strerror(errno));
	else if (*s->report->measure[SANDBOX_CGROUP].why)
		s->report->measure[SANDBOX_CGROUP].on = true;
	else
		sandbox_is(s, SANDBOX_CGROUP, "%.140s", s->cgroup_path);
	atomic_store(&s->report->put, true);
}

void sandbox_cgroup_await(struct sandbox *s)
{
	if (s->procs_fd < 0)
		return;
	if (!s->made)
		sandbox_cgroup_put(s, 0);
	while (s->required & 1u << SANDBOX_CGROUP && !atomic_load(&s->report->put))
		usleep(200);
}

void sandbox_cgroup_remove(struct sandbox *s)
{
	if (s->procs_fd >= 0)
		close(s->procs_fd);
	if (s->cgroup_fd >= 0)
		close(s->cgroup_fd);
	s->procs_fd = s->cgroup_fd = -1;
	if (!s->cgroup_path[0])
		return;
	/* The dead leave it a moment after they were waited for. */
	for (unsigned int tries = 0; rmdir(s->cgroup_path) && errno == EBUSY && tries < 200;
	     tries++)
		usleep(1000);
	/* The folder of all instances, if this was the last. */
	*strrchr(s->cgroup_path, '/') = '\0';
	if (!s->cgroup && s->as_root)
		rmdir(s->cgroup_path);
	s->cgroup_path[0] = '\0';
}

/* ---- asking it --------------------------------------------------------------------------------------------------------------- */

static uint64_t value_of(const char *text, const char *key)
{
	size_t len = strlen(key);

	for (const char *p = text; p; p = strchr(p, '\n')) {
		p += *p == '\n';
		if (!strncmp(p, key, len) && p[len] == ' ')
			return strtoull(p + len, NULL, 10);
	}
	return 0;
}

int sandbox_events(const struct sandbox *s, uint64_t *oom_kills, uint64_t *forks_refused)
{
	char text[512];

	*oom_kills = *forks_refused = 0;
	if (s->cgroup_fd < 0)
		return -ENOENT;
	if (read_at(s->cgroup_fd, "memory.events", text, sizeof(text)))
		*oom_kills = value_of(text, "oom_kill");
	if (read_at(s->cgroup_fd, "pids.events", text, sizeof(text)))
		*forks_refused = value_of(text, "max");
	return 0;
}

/* cgroup.kill: Linux 5.14. */
int sandbox_kill(const struct sandbox *s)
{
	return s->cgroup_fd < 0 ? -ENOENT : sandbox_write(s->cgroup_fd, "cgroup.kill", "1");
}
