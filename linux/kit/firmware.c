/* SPDX-License-Identifier: BSD-2-Clause */
/* Firmware files for the kernel's drivers: those of /lib/firmware, or of the folder that OUTBOARD_FIRMWARE names. */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "kit/host.h"

const char *kit_firmware_folder(void)
{
	const char *folder = secure_getenv("OUTBOARD_FIRMWARE");

	return folder && *folder ? folder : "/lib/firmware";
}

/* @path has no "..": it is made of names that the kernel looked up one by one. */
long kit_firmware(void *host, const char *path, unsigned long off, void *buf, unsigned long len)
{
	struct kit *k = host;
	char whole[PATH_MAX];
	struct stat st;
	long ret;
	int fd;

	if (snprintf(whole, sizeof(whole), "%s/%s", kit_firmware_folder(), path) >=
	    (int)sizeof(whole))
		return -ENAMETOOLONG;
	/* What is no file, a pipe for one, shall not stop us. */
	fd = open(whole, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
	if (fd < 0) {
		ret = -errno;
		k->firmware_missing = true;
		return ret;
	}
	if (fstat(fd, &st))
		ret = -errno;
	else if (S_ISDIR(st.st_mode))
		ret = -EISDIR;
	else if (!S_ISREG(st.st_mode) || off > LONG_MAX)
		ret = -EINVAL;
	else if (!len)
		ret = (long)st.st_size;
	else {
		ret = pread(fd, buf, len, (off_t)off);
		ret = ret < 0 ? -errno : ret;
	}
	/* It looks in several folders, one after the other. */
	if (ret >= 0)
		k->firmware_missing = false;
	close(fd);
	return ret;
}
