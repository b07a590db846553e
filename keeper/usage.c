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

bool usage_read(pid_t pid, struct usage *u)
{
	char path[32], text[4096];
	ssize_t n;
	int fd;

	snprintf(path, sizeof(path), "/proc/%d/status", pid);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return false;
	n = read(fd, text, sizeof(text) - 1);
	close(fd);
	text[n > 0 ? n : 0] = '\0';
	u->memory = bytes_of(text, "\nRssAnon:") + bytes_of(text, "\nVmSwap:");
	/* VFIO's type1 and iommufd count in one or the other. */
	u->pinned = bytes_of(text, "\nVmLck:") + bytes_of(text, "\nVmPin:");
	u->descriptors = descriptors_of(pid);
	return n > 0;
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
	return false;
}
