/* SPDX-License-Identifier: BSD-2-Clause */
/* keeper/usage.h */
#include <dirent.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "keeper/usage.h"

enum {
	/* What is left of a limit of memory, as a part of it, is of no use: pieces are larger. */
	LEFT_PART = 16,
};

/* "VmLck:	    1024 kB" */
static uint64_t bytes_of(const char *text, const char *key)
{
	const char *line = strstr(text, key);

	return line ? strtoull(line + strlen(key), NULL, 10) << 10 : 0;
}

static unsigned int descriptors_of(pid_t pid)
{
	unsigned int n = 0;
	struct dirent *e;
	struct stat st;
	char path[32];
	DIR *dir;

	snprintf(path, sizeof(path), "/proc/%d/fd", pid);
	/* Since Linux 6.2 the folder's size is their number. */
	if (!stat(path, &st) && st.st_size > 0)
		return (unsigned int)st.st_size;
	dir = opendir(path);
	while (dir && (e = readdir(dir)))
		n += e->d_name[0] != '.';
	if (dir)
		closedir(dir);
	return n;
}

static ssize_t read_file(pid_t pid, const char *name, char *text, size_t size)
{
	char path[32];
	ssize_t n;
	int fd;

	snprintf(path, sizeof(path), "/proc/%d/%s", pid, name);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return -1;
	n = read(fd, text, size - 1);
	close(fd);
	text[n > 0 ? n : 0] = '\0';
	return n;
}

/* "Max data size             536870912            unlimited            bytes": the soft one. "unlimited" is no number. */
static uint64_t limit_of(const char *text, const char *key)
{
	const char *line = strstr(text, key);

	return line ? strtoull(line + strlen(key), NULL, 10) : 0;
}

bool usage_read(pid_t pid, struct usage *u)
{
	char text[4096];
	ssize_t n = read_file(pid, "status", text, sizeof(text));

	if (n < 0)
		return false;
	u->memory = bytes_of(text, "\nRssAnon:") + bytes_of(text, "\nVmSwap:");
	/* VFIO's type1 and iommufd count in one or the other. */
	u->pinned = bytes_of(text, "\nVmLck:") + bytes_of(text, "\nVmPin:");
	u->data = bytes_of(text, "\nVmData:");
	u->descriptors = descriptors_of(pid);
	/* prlimit() would need a right, since the process is another user's. */
	if (read_file(pid, "limits", text, sizeof(text)) < 0)
		text[0] = '\0';
	u->data_most = limit_of(text, "\nMax data size");
	u->descriptors_most = limit_of(text, "\nMax open files");
	return n > 0;
}

/* Its limits may be below what the policy lets it grow by, and leave an empty process that serves nobody. */
static bool is_at_a_limit(const struct usage *now, const struct usage *first,
			  const struct restart_policy *policy, char *why, size_t size)
{
	if (policy->memory && now->data_most && now->data > first->data &&
	    now->data > now->data_most - now->data_most / LEFT_PART) {
		snprintf(why, size, "it has taken %llu of the %llu MiB of memory that it may have",
			 (unsigned long long)now->data >> 20,
			 (unsigned long long)now->data_most >> 20);
		return true;
	}
	if (policy->descriptors && now->descriptors_most && now->descriptors > first->descriptors &&
	    now->descriptors >= now->descriptors_most) {
		snprintf(why, size, "it has opened all %u descriptors that it may have",
			 now->descriptors);
		return true;
	}
	return false;
}

bool usage_exceeds(const struct usage *now, const struct usage *first,
		   const struct restart_policy *policy, char *why, size_t size)
{
	if (policy->memory && now->memory > first->memory + policy->memory) {
		snprintf(why, size, "its memory has grown by %llu MiB since it began to serve",
			 (unsigned long long)(now->memory - first->memory) >> 20);
		return true;
	}
	if (policy->pinned && now->pinned > first->pinned + policy->pinned) {
		snprintf(why, size,
			 "the memory that it pins has grown by %llu MiB since it began to serve",
			 (unsigned long long)(now->pinned - first->pinned) >> 20);
		return true;
	}
	if (policy->descriptors && now->descriptors > first->descriptors + policy->descriptors) {
		snprintf(why, size, "it has opened %u descriptors since it began to serve",
			 now->descriptors - first->descriptors);
		return true;
	}
	return is_at_a_limit(now, first, policy, why, size);
}
