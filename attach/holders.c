/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Who uses what we attached, read from /proc (proc(5)). What we may not look at is left out: it is for
 * telling a person, and for letting in only clients of the same user.
 */
#include <ctype.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <netinet/in.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include "attach/holders.h"

void holder_name(pid_t pid, char *buf, size_t size)
{
	char path[64], comm[32] = "";
	FILE *f;

	if (pid <= 0) {
		snprintf(buf, size, "a process that we may not look at");
		return;
	}
	snprintf(path, sizeof(path), "/proc/%d/comm", (int)pid);
	f = fopen(path, "re");
	if (f) {
		if (!fgets(comm, sizeof(comm), f))
			comm[0] = '\0';
		comm[strcspn(comm, "\n")] = '\0';
		fclose(f);
	}
	snprintf(buf, size, "pid %d (%s)", (int)pid, *comm ? comm : "gone");
}

/*
 * Walk all descriptors of all processes that we may see, until @fn returns true.
 *
 * Return: the process it returned true for, or 0.
 */
static pid_t walk_descriptors(bool (*fn)(void *arg, pid_t pid, int dir_fd, const char *name),
			      void *arg)
{
	DIR *proc = opendir("/proc");
	struct dirent *e, *f;
	pid_t found = 0;

	if (!proc)
		return 0;
	while (!found && (e = readdir(proc))) {
		char path[300];
		DIR *fds;

		if (!isdigit((unsigned char)e->d_name[0]))
			continue;
		snprintf(path, sizeof(path), "/proc/%s/fd", e->d_name);
		fds = opendir(path);
		if (!fds)
			continue;
		while (!found && (f = readdir(fds)))
			if (f->d_name[0] != '.' && fn(arg, atoi(e->d_name), dirfd(fds), f->d_name))
				found = atoi(e->d_name);
		closedir(fds);
	}
	closedir(proc);
	return found;
}

/* ---- sockets --------------------------------------------------------------------- */

static bool is_socket(void *arg, pid_t pid, int dir_fd, const char *name)
{
	const char *wanted = arg;
	char link[64];
	ssize_t n = readlinkat(dir_fd, name, link, sizeof(link) - 1);

	if (n <= 0)
		return false;
	link[n] = '\0';
	return !strcmp(link, wanted);
}

/* Of the connection whose local end is @local: "sl local rem st queues tm retrans uid timeout inode". */
static int find_tcp(const struct sockaddr_in *local, const struct sockaddr_in *rem, uid_t *uid,
		    uint64_t *inode)
{
	FILE *f = fopen("/proc/thread-self/net/tcp", "re");
	char line[256];
	int rc = -ENOENT;

	if (!f)
		return -errno;
	while (rc && fgets(line, sizeof(line), f)) {
		unsigned int la, lp, ra, rp, id;
		uint64_t ino;

		if (sscanf(line,
			   " %*d: %8X:%4X %8X:%4X %*2X %*8X:%*8X %*2X:%*8X %*8X %u %*d %" SCNu64,
			   &la, &lp, &ra, &rp, &id, &ino) != 6)
			continue;
		/* Addresses are printed as they lie in memory, ports as numbers. */
		if (la != local->sin_addr.s_addr || lp != ntohs(local->sin_port) ||
		    ra != rem->sin_addr.s_addr || rp != ntohs(rem->sin_port))
			continue;
		*uid = id;
		*inode = ino;
		rc = 0;
	}
	fclose(f);
	return rc;
}

static int tcp_peer(int fd, struct holder_socket *peer, uint64_t *inode)
{
	struct sockaddr_in us, them;
	socklen_t ul = sizeof(us), tl = sizeof(them);

	if (getsockname(fd, (struct sockaddr *)&us, &ul) ||
	    getpeername(fd, (struct sockaddr *)&them, &tl))
		return -errno;
	if (us.sin_family != AF_INET || them.sin_family != AF_INET)
		return -ENOENT;
	peer->pid = 0;
	return find_tcp(&them, &us, &peer->uid, inode);
}

int holder_of_tcp(int fd, struct holder_socket *peer)
{
	uint64_t inode;

	return tcp_peer(fd, peer, &inode);
}

int holder_of_socket(int fd, struct holder_socket *peer)
{
	struct ucred cred;
	socklen_t len = sizeof(cred);
	int domain = 0;
	socklen_t dlen = sizeof(domain);
	uint64_t inode = 0;
	char wanted[48];
	int rc;

	if (getsockopt(fd, SOL_SOCKET, SO_DOMAIN, &domain, &dlen))
		return -errno;
	if (domain == AF_UNIX) {
		if (getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &cred, &len))
			return -errno;
		peer->uid = cred.uid;
		peer->pid = cred.pid;
		return 0;
	}
	rc = tcp_peer(fd, peer, &inode);
	if (rc)
		return rc;
	snprintf(wanted, sizeof(wanted), "socket:[%" PRIu64 "]", inode);
	peer->pid = walk_descriptors(is_socket, wanted);
	return 0;
}

/* ---- block devices --------------------------------------------------------------- */

struct block_search {
	const char *disk;
	dev_t dev[64];
	unsigned int nr_devs;
	pid_t except, last;
	char *text;
	size_t size, n;
	unsigned int found;
};

static void add_holder(struct block_search *s, const char *what, const char *who)
{
	s->found++;
	if (s->n < s->size)
		s->n += (size_t)snprintf(s->text + s->n, s->size - s->n, "%s%s%s", s->n ? ", " : "",
					 what, who);
}

static void add_dev(struct block_search *s, const char *sysfs_dir)
{
	char path[400];
	unsigned int major, minor;
	FILE *f;

	snprintf(path, sizeof(path), "%s/dev", sysfs_dir);
	f = fopen(path, "re");
	if (!f)
		return;
	if (fscanf(f, "%u:%u", &major, &minor) == 2 &&
	    s->nr_devs < sizeof(s->dev) / sizeof(s->dev[0]))
		s->dev[s->nr_devs++] = makedev(major, minor);
	fclose(f);
}

static bool is_ours(const struct block_search *s, dev_t dev)
{
	for (unsigned int i = 0; i < s->nr_devs; i++)
		if (s->dev[i] == dev)
			return true;
	return false;
}

static bool is_open(void *arg, pid_t pid, int dir_fd, const char *name)
{
	struct block_search *s = arg;
	char who[96], link[64];
	struct stat st;
	ssize_t n;

	if (pid == s->except || pid == s->last)
		return false;
	/* By its path first: stat() of whatever file may wait for its server, which may be dead, or us. */
	n = readlinkat(dir_fd, name, link, sizeof(link) - 1);
	if (n <= 0)
		return false;
	link[n] = '\0';
	if (!strrchr(link, '/') || strncmp(strrchr(link, '/') + 1, s->disk, strlen(s->disk)) != 0)
		return false;
	if (fstatat(dir_fd, name, &st, 0) || !S_ISBLK(st.st_mode) || !is_ours(s, st.st_rdev))
		return false;
	s->last = pid;
	holder_name(pid, who, sizeof(who));
	add_holder(s, "open in ", who);
	return false;
}

static void find_mounts(struct block_search *s)
{
	FILE *f = fopen("/proc/self/mountinfo", "re");
	char line[1024], where[512];
	unsigned int major, minor;

	if (!f)
		return;
	while (fgets(line, sizeof(line), f))
		if (sscanf(line, "%*d %*d %u:%u %*s %511s", &major, &minor, where) == 3 &&
		    is_ours(s, makedev(major, minor)))
			add_holder(s, "mounted on ", where);
	fclose(f);
}

static void find_swap(struct block_search *s)
{
	FILE *f = fopen("/proc/swaps", "re");
	char line[512], path[256];
	struct stat st;

	if (!f)
		return;
	while (fgets(line, sizeof(line), f))
		if (sscanf(line, "%255s", path) == 1 && !stat(path, &st) && S_ISBLK(st.st_mode) &&
		    is_ours(s, st.st_rdev))
			add_holder(s, "swap area ", path);
	fclose(f);
}

/* Device mapper, MD, another loop device: /sys/block/DISK[/PART]/holders/NAME. */
static void find_stacked(struct block_search *s, const char *sysfs_dir)
{
	char path[400];
	struct dirent *e;
	DIR *d;

	snprintf(path, sizeof(path), "%s/holders", sysfs_dir);
	d = opendir(path);
	while (d && (e = readdir(d)))
		if (e->d_name[0] != '.')
			add_holder(s, "part of ", e->d_name);
	if (d)
		closedir(d);
}

unsigned int holders_of_block(const char *disk, pid_t except, char *text, size_t size)
{
	struct block_search s = {.disk = disk, .except = except, .text = text, .size = size};
	char dir[64], part[340];
	struct dirent *e;
	DIR *d;

	text[0] = '\0';
	snprintf(dir, sizeof(dir), "/sys/block/%.40s", disk);
	add_dev(&s, dir);
	find_stacked(&s, dir);
	d = opendir(dir);
	while (d && (e = readdir(d))) {
		if (strncmp(e->d_name, disk, strlen(disk)) != 0)
			continue;
		snprintf(part, sizeof(part), "%s/%s", dir, e->d_name);
		add_dev(&s, part);
		find_stacked(&s, part);
	}
	if (d)
		closedir(d);
	find_mounts(&s);
	find_swap(&s);
	walk_descriptors(is_open, &s);
	return s.found;
}

int holder_check_idle(const char *disk, pid_t except, struct ob_error *err)
{
	char path[64], who[256];
	int fd, rc = 0;

	snprintf(path, sizeof(path), "/dev/%.40s", disk);
	/* An exclusive open fails while it is mounted, in whatever namespace. */
	fd = open(path, O_RDONLY | O_EXCL | O_CLOEXEC);
	if (fd < 0)
		rc = -errno;
	else
		close(fd);
	if (!holders_of_block(disk, except, who, sizeof(who)) && rc != -EBUSY) {
		if (rc)
			ob_error_set(err, rc, "%s cannot be opened: %s", path, strerror(-rc));
		return rc;
	}
	ob_error_set(err, -EBUSY, "%s is in use", path);
	ob_error_why(err, "%s", who[0] ? who : "it is mounted in another mount namespace");
	ob_error_fix(err, "umount %s", path);
	return -EBUSY;
}

/* ---- who uses a mount --------------------------------------------------------------------- */

static bool is_below(int dir_fd, const char *link, const char *mountpoint)
{
	size_t len = strlen(mountpoint);
	char to[PATH_MAX];
	ssize_t n = readlinkat(dir_fd, link, to, sizeof(to) - 1);

	if (n < (ssize_t)len || memcmp(to, mountpoint, len) != 0)
		return false;
	to[n] = '\0';
	return to[len] == '/' || !to[len];
}

/* By the paths that /proc shows: a stat() of whatever file may wait for its server. */
static bool uses(const char *pid, const char *mountpoint)
{
	char path[300];
	struct dirent *e;
	bool found;
	DIR *fds;

	snprintf(path, sizeof(path), "/proc/%s/cwd", pid);
	found = is_below(AT_FDCWD, path, mountpoint);
	snprintf(path, sizeof(path), "/proc/%s/fd", pid);
	fds = opendir(path);
	while (fds && !found && (e = readdir(fds)))
		found = is_below(dirfd(fds), e->d_name, mountpoint);
	if (fds)
		closedir(fds);
	return found;
}

int holder_check_unused(const char *mountpoint, pid_t except, struct ob_error *err)
{
	char who[200] = "", pids[200] = "", name[64];
	size_t who_len = 0, pids_len = 0;
	DIR *proc = opendir("/proc");
	struct dirent *e;

	while (proc && (e = readdir(proc))) {
		if (!isdigit((unsigned char)e->d_name[0]) || atoi(e->d_name) == except ||
		    !uses(e->d_name, mountpoint))
			continue;
		holder_name(atoi(e->d_name), name, sizeof(name));
		if (who_len + strlen(name) + sizeof(", and more") >= sizeof(who)) {
			snprintf(who + who_len, sizeof(who) - who_len, ", and more");
			break;
		}
		who_len += (size_t)sprintf(who + who_len, "%s%s", who_len ? ", " : "", name);
		pids_len += (size_t)snprintf(pids + pids_len, sizeof(pids) - pids_len, " %s",
					     e->d_name);
	}
	if (proc)
		closedir(proc);
	if (!who_len)
		return 0;
	ob_error_set(err, -EBUSY, "'%s' is in use", mountpoint);
	ob_error_why(err, "it is open in %s", who);
	ob_error_fix(err, "let it end, or kill%s", pids);
	return -EBUSY;
}
