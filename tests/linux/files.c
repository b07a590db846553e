/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What tests/linux/fs.sh asks of a file system beyond what programs do:
 *
 *   files random FILE OPERATIONS   writes, reads, truncations, holes and mappings at random, each compared with what memory says
 *   files names DIR                exchange of two names, names too long, extended attributes, a file without a name
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/falloc.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/xattr.h>
#include <unistd.h>

enum {
	/* More than one read or write of FUSE's takes. */
	LARGEST = 1 << 20,
};

static unsigned char model[LARGEST], buf[LARGEST];
static size_t size;

static void __attribute__((noreturn, format(printf, 1, 2))) die(const char *fmt, ...)
{
	int error = errno;
	va_list ap;

	va_start(ap, fmt);
	vfprintf(stderr, fmt, ap);
	va_end(ap);
	fprintf(stderr, " (errno: %s)\n", strerror(error));
	exit(1);
}

/* Knuth, The Art of Computer Programming 2, 3.3.4: the same each time. */
static uint32_t random_below(uint32_t n)
{
	static uint64_t state = 1;

	state = state * 6364136223846793005ull + 1442695040888963407ull;
	return (uint32_t)(state >> 33) % n;
}

static void compare(int fd, size_t at, size_t len)
{
	ssize_t n = pread(fd, buf, len, (off_t)at);
	size_t want = at >= size ? 0 : len < size - at ? len : size - at;

	if (n != (ssize_t)want)
		die("%zu bytes at %zu of %zu: read gives %zd", len, at, size, n);
	if (memcmp(buf, model + at, want) != 0)
		die("%zu bytes at %zu are not what was written", len, at);
}

static void grow(size_t to)
{
	if (to > size)
		size = to;
}

static void resize(int fd, size_t to)
{
	if (ftruncate(fd, (off_t)to))
		die("ftruncate to %zu", to);
	if (to < size)
		memset(model + to, 0, size - to);
	size = to;
}

static void write_mapped(int fd, size_t at, size_t len)
{
	unsigned char *p;

	if (at + len > size)
		return;
	p = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	if (p == MAP_FAILED)
		die("mmap");
	memcpy(p + at, model + at, len);
	if (msync(p, size, MS_SYNC))
		die("msync");
	munmap(p, size);
}

static void fill(size_t at, size_t len)
{
	for (size_t i = 0; i < len; i++)
		model[at + i] = (unsigned char)random_below(256);
}

static void one(int fd)
{
	size_t at = random_below(LARGEST),
	       len = 1 + random_below(random_below(4) ? 10000 : LARGEST);

	if (len > LARGEST - at)
		len = LARGEST - at;
	switch (random_below(8)) {
	case 0:
	case 1:
	case 2:
		fill(at, len);
		if (pwrite(fd, model + at, len, (off_t)at) != (ssize_t)len)
			die("%zu bytes at %zu cannot be written", len, at);
		grow(at + len);
		break;
	case 3:
		resize(fd, at);
		break;
	case 4:
		if (fallocate(fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, (off_t)at,
			      (off_t)len))
			die("a hole of %zu bytes at %zu", len, at);
		memset(model + at, 0, len);
		break;
	case 5:
		if (at + len <= size)
			fill(at, len);
		write_mapped(fd, at, len);
		break;
	case 6:
		if (random_below(4) == 0 && fsync(fd))
			die("fsync");
		break;
	default:
		compare(fd, at, len);
	}
}

static void random_operations(const char *path, long n)
{
	int fd = open(path, O_RDWR | O_CREAT | O_TRUNC, 0644);
	struct stat st;

	if (fd < 0)
		die("%s", path);
	while (n-- > 0)
		one(fd);
	compare(fd, 0, LARGEST);
	if (fstat(fd, &st) || (size_t)st.st_size != size)
		die("%s has %lld bytes, not %zu", path, (long long)st.st_size, size);
	close(fd);
	/* For who looks at the disk by other means. */
	fd = open(path, O_RDONLY);
	compare(fd, 0, LARGEST);
	close(fd);
}

static void put(const char *path, const char *text)
{
	int fd = open(path, O_WRONLY | O_CREAT | O_EXCL, 0600);

	if (fd < 0 || write(fd, text, strlen(text)) != (ssize_t)strlen(text) || close(fd))
		die("%s", path);
}

static void want(const char *path, const char *text)
{
	char got[32] = "";
	int fd = open(path, O_RDONLY);

	if (fd < 0 || read(fd, got, sizeof(got) - 1) < 0 || strcmp(got, text) != 0)
		die("%s has '%s', not '%s'", path, got, text);
	close(fd);
}

static void attributes(const char *path)
{
	char value[3000], got[4000], list[256];
	ssize_t n;

	memset(value, 'v', sizeof(value));
	if (setxattr(path, "user.one", "1", 1, XATTR_CREATE) ||
	    setxattr(path, "user.long", value, sizeof(value), 0))
		die("setxattr");
	if (!setxattr(path, "user.one", "2", 1, XATTR_CREATE) || errno != EEXIST)
		die("an attribute is made twice");
	n = getxattr(path, "user.long", got, sizeof(got));
	if (n != (ssize_t)sizeof(value) || memcmp(value, got, sizeof(value)) != 0 ||
	    getxattr(path, "user.long", NULL, 0) != n)
		die("getxattr gives %zd", n);
	if (getxattr(path, "user.long", got, 10) >= 0 || errno != ERANGE)
		die("an attribute fits where it does not");
	n = listxattr(path, list, sizeof(list));
	if (n != (ssize_t)(sizeof("user.one") + sizeof("user.long")))
		die("listxattr gives %zd", n);
	if (removexattr(path, "user.one") || getxattr(path, "user.one", got, 10) >= 0 ||
	    errno != ENODATA)
		die("removexattr");
}

static void names(const char *dir)
{
	char longest[257], got[8] = "";
	int fd;

	if (chdir(dir))
		die("%s", dir);
	put("x", "first");
	put("y", "second");
	if (renameat2(AT_FDCWD, "x", AT_FDCWD, "y", RENAME_EXCHANGE))
		die("exchange");
	want("x", "second");
	want("y", "first");
	if (!renameat2(AT_FDCWD, "x", AT_FDCWD, "y", RENAME_NOREPLACE) || errno != EEXIST)
		die("a name is replaced");
	if (mkdir("up", 0755) || mkdir("up/down", 0755))
		die("mkdir");
	if (!rename("up", "up/down/up") || errno != EINVAL)
		die("a directory moves below itself");
	if (!rmdir("up") || errno != ENOTEMPTY)
		die("a directory with something in it is removed");
	memset(longest, 'n', 256);
	longest[256] = '\0';
	if (open(longest, O_CREAT | O_WRONLY, 0600) >= 0 || errno != ENAMETOOLONG)
		die("a name of 256 characters");
	longest[255] = '\0';
	put(longest, "255");
	want(longest, "255");
	attributes("x");
	/* What has no name lives as long as it is open. */
	fd = open("y", O_RDWR);
	if (fd < 0 || unlink("y") || pwrite(fd, "later", 5, 0) != 5 || pread(fd, got, 5, 0) != 5 ||
	    strcmp(got, "later") != 0)
		die("a file without a name");
	close(fd);
	if (!access("y", F_OK))
		die("y is still there");
}

int main(int argc, char **argv)
{
	if (argc == 4 && !strcmp(argv[1], "random"))
		random_operations(argv[2], atol(argv[3]));
	else if (argc == 3 && !strcmp(argv[1], "names"))
		names(argv[2]);
	else
		die("files random FILE OPERATIONS | files names DIR");
	return 0;
}
