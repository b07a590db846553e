/* SPDX-License-Identifier: BSD-2-Clause */
/* PCI functions as sysfs tells of them (access/sysfs.h), and who holds a device node. */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include "access/sysfs.h"

/* ---- small files ---------------------------------------------------------------------------- */

static bool make_path(char path[PATH_MAX], const char *root, const char *fmt, va_list ap)
{
	int n = snprintf(path, PATH_MAX, "%s", root), m;

	if (n < 0 || n >= PATH_MAX)
		return false;
	m = vsnprintf(path + n, (size_t)(PATH_MAX - n), fmt, ap);
	return m >= 0 && m < PATH_MAX - n;
}

bool sysfs_line(char *buf, size_t size, const char *root, const char *fmt, ...)
{
	char path[PATH_MAX];
	bool got;
	va_list ap;
	FILE *f;

	va_start(ap, fmt);
	got = make_path(path, root, fmt, ap);
	va_end(ap);
	f = got ? fopen(path, "re") : NULL;
	if (!f)
		return false;
	got = fgets(buf, (int)size, f);
	fclose(f);
	if (got)
		buf[strcspn(buf, "\n")] = '\0';
	return got;
}

bool sysfs_link_name(char *buf, size_t size, const char *root, const char *fmt, ...)
{
	char path[PATH_MAX], target[PATH_MAX];
	const char *name;
	va_list ap;
	ssize_t n;
	bool ok;

	va_start(ap, fmt);
	ok = make_path(path, root, fmt, ap);
	va_end(ap);
	n = ok ? readlink(path, target, sizeof(target) - 1) : -1;
	if (n <= 0)
		return false;
	target[n] = '\0';
	name = strrchr(target, '/');
	snprintf(buf, size, "%.*s", (int)size - 1, name ? name + 1 : target);
	return true;
}

int sysfs_write(const char *root, const char *text, const char *fmt, ...)
{
	size_t len = strlen(text);
	char path[PATH_MAX];
	int fd, ret = 0;
	va_list ap;
	ssize_t n;
	bool ok;

	va_start(ap, fmt);
	ok = make_path(path, root, fmt, ap);
	va_end(ap);
	if (!ok)
		return -ENAMETOOLONG;
	fd = open(path, O_WRONLY | O_TRUNC | O_CLOEXEC);
	if (fd < 0)
		return -errno;
	/* One call: each write() of a sysfs file is an order of its own. */
	n = write(fd, text, len);
	if (n < 0)
		ret = -errno;
	else if ((size_t)n != len)
		ret = -EIO;
	close(fd);
	return ret;
}

void sysfs_for_each(const char *path, void (*fn)(void *arg, const char *name), void *arg)
{
	DIR *dir = opendir(path);
	struct dirent *e;

	while (dir && (e = readdir(dir)))
		if (e->d_name[0] != '.')
			fn(arg, e->d_name);
	if (dir)
		closedir(dir);
}

/* ---- addresses ------------------------------------------------------------------------------ */

bool sysfs_parse_bdf(const char *text, struct ob_bdf *bdf)
{
	unsigned int domain = 0, bus, dev, fn;
	int end = 0;

	if (sscanf(text, "%4x:%2x:%2x.%1x%n", &domain, &bus, &dev, &fn, &end) != 4 || text[end]) {
		domain = 0;
		end = 0;
		if (sscanf(text, "%2x:%2x.%1x%n", &bus, &dev, &fn, &end) != 3 || text[end])
			return false;
	}
	/* sscanf() takes signs and spaces, which no address has. */
	if (text[strspn(text, "0123456789abcdefABCDEF:.")] || dev > 31 || fn > 7)
		return false;
	*bdf = (struct ob_bdf){
		.domain = (uint16_t)domain,
		.bus = (uint8_t)bus,
		.dev = (uint8_t)dev,
		.fn = (uint8_t)fn,
	};
	return true;
}

char *sysfs_bdf_name(const struct ob_bdf *bdf, char name[SYSFS_NAME])
{
	snprintf(name, SYSFS_NAME, "%04x:%02x:%02x.%x", bdf->domain, bdf->bus, bdf->dev & 31,
		 bdf->fn & 7);
	return name;
}

uint32_t sysfs_bdf_order(const struct ob_bdf *b)
{
	return (uint32_t)b->domain << 16 | (uint32_t)b->bus << 8 | (uint32_t)b->dev << 3 | b->fn;
}

/* ---- one function --------------------------------------------------------------------------- */

static uint32_t read_number(const char *root, const char *bdf, const char *file, int base)
{
	char buf[32];

	if (!sysfs_line(buf, sizeof(buf), root, "/sys/bus/pci/devices/%s/%s", bdf, file))
		return 0;
	return (uint32_t)strtoul(buf, NULL, base);
}

int sysfs_function_read(const char *root, const char *name, struct sysfs_function *fn)
{
	char own[SYSFS_NAME], text[32];
	struct ob_bdf bdf;

	/* @name may be the one in @fn: who reads it again. */
	snprintf(own, sizeof(own), "%.15s", name);
	name = own;
	memset(fn, 0, sizeof(*fn));
	fn->group = -1;
	if (!sysfs_parse_bdf(name, &bdf) ||
	    !sysfs_line(text, sizeof(text), root, "/sys/bus/pci/devices/%s/vendor", name))
		return -ENODEV;
	fn->bdf = bdf;
	memcpy(fn->name, own, sizeof(fn->name));
	fn->vendor = (uint16_t)strtoul(text, NULL, 16);
	fn->device = (uint16_t)read_number(root, name, "device", 16);
	fn->subvendor = (uint16_t)read_number(root, name, "subsystem_vendor", 16);
	fn->subdevice = (uint16_t)read_number(root, name, "subsystem_device", 16);
	fn->class_code = read_number(root, name, "class", 16);
	fn->revision = (uint8_t)read_number(root, name, "revision", 16);
	fn->irq = read_number(root, name, "irq", 10);
	sysfs_link_name(fn->driver, sizeof(fn->driver), root, "/sys/bus/pci/devices/%s/driver",
			name);
	if (!sysfs_line(fn->override, sizeof(fn->override), root,
			"/sys/bus/pci/devices/%s/driver_override", name) ||
	    !strcmp(fn->override, "(null)")) /* how the kernel prints that there is none */
		fn->override[0] = '\0';
	if (sysfs_link_name(text, sizeof(text), root, "/sys/bus/pci/devices/%s/iommu_group", name))
		fn->group = atoi(text);
	return 0;
}

int sysfs_ranges(const char *root, const char *name, struct sysfs_range ranges[SYSFS_RANGES])
{
	/* Bits of the third column, from the kernel's include/linux/ioport.h. */
	enum {
		IO = 0x100,
		MEM = 0x200,
		PREFETCH = 0x2000,
		MEM_64 = 0x100000
	};
	char path[PATH_MAX], line[128];
	int ret = 0;
	FILE *f;

	memset(ranges, 0, sizeof(*ranges) * SYSFS_RANGES);
	snprintf(path, sizeof(path), "%s/sys/bus/pci/devices/%s/resource", root, name);
	f = fopen(path, "re");
	if (!f)
		return -errno;
	for (unsigned int i = 0; i < SYSFS_RANGES && fgets(line, sizeof(line), f); i++) {
		unsigned long long start, end, flags;

		if (sscanf(line, "%llx %llx %llx", &start, &end, &flags) != 3) {
			ret = -EBADMSG;
			break;
		}
		if (!(flags & (IO | MEM)) || end < start || (!start && !end))
			continue;
		ranges[i].start = start;
		ranges[i].size = end - start + 1;
		ranges[i].io = flags & IO;
		ranges[i].prefetchable = flags & PREFETCH;
		ranges[i].wide = flags & MEM_64;
	}
	fclose(f);
	return ret;
}

int sysfs_config_load(const char *root, const char *name, uint8_t config[4096])
{
	char path[PATH_MAX];
	ssize_t got = 0;
	int fd, n = 0;

	snprintf(path, sizeof(path), "%s/sys/bus/pci/devices/%s/config", root, name);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return -errno;
	while (n < 4096 && (got = read(fd, config + n, (size_t)(4096 - n))) > 0)
		n += (int)got;
	if (got < 0 && !n)
		n = -errno;
	close(fd);
	return n;
}

struct numbered {
	const char *prefix;
	int number;
};

static void take_number(void *arg, const char *name)
{
	struct numbered *want = arg;
	size_t n = strlen(want->prefix);
	int number;
	char end;

	if (!strncmp(name, want->prefix, n) && sscanf(name + n, "%d%c", &number, &end) == 1)
		want->number = number;
}

/* N of the entry "uioN" in the function's folder @dir */
static int number_in(const char *root, const char *name, const char *dir, const char *prefix)
{
	struct numbered want = {.prefix = prefix, .number = -1};
	char path[PATH_MAX];

	snprintf(path, sizeof(path), "%s/sys/bus/pci/devices/%s/%s", root, name, dir);
	sysfs_for_each(path, take_number, &want);
	return want.number;
}

int sysfs_uio_number(const char *root, const char *name)
{
	return number_in(root, name, "uio", "uio");
}

int sysfs_vfio_number(const char *root, const char *name)
{
	return number_in(root, name, "vfio-dev", "vfio");
}

/* ---- IOMMU groups --------------------------------------------------------------------------- */

struct members {
	const char *root;
	struct sysfs_function *fns;
	unsigned int room, n;
};

static void add_member(void *arg, const char *name)
{
	struct members *m = arg;
	struct sysfs_function fn;

	if (sysfs_function_read(m->root, name, &fn))
		return;
	if (m->n < m->room)
		m->fns[m->n] = fn;
	m->n++;
}

static int by_address(const void *a, const void *b)
{
	const struct sysfs_function *x = a, *y = b;
	uint32_t ox = sysfs_bdf_order(&x->bdf), oy = sysfs_bdf_order(&y->bdf);

	return (ox > oy) - (ox < oy);
}

int sysfs_group_members(const char *root, int group, struct sysfs_function *fns, unsigned int n)
{
	struct members m = {.root = root, .fns = fns, .room = n};
	char path[PATH_MAX];

	snprintf(path, sizeof(path), "%s/sys/kernel/iommu_groups/%d/devices", root, group);
	if (access(path, F_OK))
		return -errno;
	sysfs_for_each(path, add_member, &m);
	if (m.n)
		qsort(fns, m.n < n ? m.n : n, sizeof(*fns), by_address);
	return (int)m.n;
}

void sysfs_group_type(const char *root, int group, char type[16])
{
	if (group < 0 || !sysfs_line(type, 16, root, "/sys/kernel/iommu_groups/%d/type", group))
		type[0] = '\0';
}

/* ---- who holds it --------------------------------------------------------------------------- */

static bool has_open(const char *root, const char *pid, dev_t node)
{
	char path[PATH_MAX];
	bool found = false;
	struct dirent *e;
	struct stat st;
	DIR *dir;

	snprintf(path, sizeof(path), "%s/proc/%s/fd", root, pid);
	dir = opendir(path);
	while (dir && !found && (e = readdir(dir))) {
		if (e->d_name[0] == '.')
			continue;
		/* Through the link: stat() opens nothing, so no driver sees it. */
		found = !fstatat(dirfd(dir), e->d_name, &st, 0) && S_ISCHR(st.st_mode) &&
			st.st_rdev == node;
	}
	if (dir)
		closedir(dir);
	return found;
}

pid_t sysfs_holder(const char *root, const char *node, char comm[32])
{
	char path[PATH_MAX];
	struct dirent *e;
	struct stat st;
	pid_t pid = 0;
	DIR *dir;

	comm[0] = '\0';
	snprintf(path, sizeof(path), "%s%s", root, node);
	if (stat(path, &st) || !S_ISCHR(st.st_mode))
		return 0;
	snprintf(path, sizeof(path), "%s/proc", root);
	dir = opendir(path);
	while (dir && !pid && (e = readdir(dir))) {
		if (e->d_name[strspn(e->d_name, "0123456789")] ||
		    !has_open(root, e->d_name, st.st_rdev))
			continue;
		pid = (pid_t)strtol(e->d_name, NULL, 10);
		if (!sysfs_line(comm, 32, root, "/proc/%s/comm", e->d_name))
			comm[0] = '\0';
	}
	if (dir)
		closedir(dir);
	return pid;
}

/* ---- modules -------------------------------------------------------------------------------- */

bool sysfs_module_present(const char *root, const char *module)
{
	char path[PATH_MAX];
	int n = snprintf(path, sizeof(path), "%s/sys/module/", root);

	if (n < 0 || (size_t)n >= sizeof(path))
		return false;
	snprintf(path + n, sizeof(path) - (size_t)n, "%s", module);
	for (char *p = path + n; *p; p++)
		if (*p == '-')
			*p = '_';
	return !access(path, F_OK);
}

bool sysfs_driver_present(const char *root, const char *driver)
{
	char path[PATH_MAX];

	snprintf(path, sizeof(path), "%s/sys/bus/pci/drivers/%s", root, driver);
	return !access(path, F_OK);
}

bool sysfs_locked_down(const char *root)
{
	char line[128];

	return sysfs_line(line, sizeof(line), root, "/sys/kernel/security/lockdown") &&
	       !strstr(line, "[none]") && strchr(line, '[');
}
