/* SPDX-License-Identifier: BSD-2-Clause */
/* PCI functions as sysfs tells of them, and which way Outboard would take one. */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <outboard/access.h>

#include "cli/pci_sysfs.h"

/* ---- small files ---------------------------------------------------------------------------- */

static bool read_line(char *buf, size_t size, const char *root, const char *fmt, const char *a,
		      const char *b)
{
	char path[PATH_MAX], tail[PATH_MAX / 2];
	FILE *f;
	bool got;

	snprintf(tail, sizeof(tail), fmt, a, b);
	snprintf(path, sizeof(path), "%s%s", root, tail);
	f = fopen(path, "re");
	if (!f)
		return false;
	got = fgets(buf, (int)size, f);
	fclose(f);
	if (got)
		buf[strcspn(buf, "\n")] = '\0';
	return got;
}

static uint32_t read_hex(const char *root, const char *bdf, const char *file)
{
	char buf[32];

	if (!read_line(buf, sizeof(buf), root, "/sys/bus/pci/devices/%s/%s", bdf, file))
		return 0;
	return (uint32_t)strtoul(buf, NULL, 16);
}

/* The last component of what a link of the function's points to. */
static bool link_name(char *buf, size_t size, const char *root, const char *bdf, const char *file)
{
	char path[PATH_MAX], target[PATH_MAX];
	const char *name;
	ssize_t n;

	snprintf(path, sizeof(path), "%s/sys/bus/pci/devices/%s/%s", root, bdf, file);
	n = readlink(path, target, sizeof(target) - 1);
	if (n <= 0)
		return false;
	target[n] = '\0';
	name = strrchr(target, '/');
	snprintf(buf, size, "%.*s", (int)size - 1, name ? name + 1 : target);
	return true;
}

/* Call @fn for the entries of a folder. */
static void for_each_entry(const char *path, void (*fn)(void *arg, const char *name), void *arg)
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

bool pci_is_address(const char *text, struct ob_bdf *bdf)
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

static uint32_t order(const struct ob_bdf *b)
{
	return (uint32_t)b->domain << 16 | (uint32_t)b->bus << 8 | (uint32_t)b->dev << 3 | b->fn;
}

static int by_address(const void *a, const void *b)
{
	const struct pci_function *x = a, *y = b;
	uint32_t ox = order(&x->bdf), oy = order(&y->bdf);

	return (ox > oy) - (ox < oy);
}

const struct pci_function *pci_machine_find(const struct pci_machine *machine, const char *address)
{
	struct ob_bdf bdf;

	if (!pci_is_address(address, &bdf))
		return NULL;
	for (size_t i = 0; i < machine->n; i++)
		if (order(&machine->fn[i].bdf) == order(&bdf))
			return &machine->fn[i];
	return NULL;
}

/* ---- who uses it ---------------------------------------------------------------------------- */

struct scan {
	const char *root;
	struct pci_machine *machine;
	struct pci_function *fn; /* of the disk that is looked at */
	const char *disk;
	unsigned int depth; /* holders of holders */
	int ret;
};

static void add_use(struct scan *s, struct pci_function *fn, const char *kind, const char *name,
		    const char *fmt, const char *a, const char *b)
{
	struct pci_use use = {.kind = kind}, *more;

	snprintf(use.name, sizeof(use.name), "%s", name);
	snprintf(use.text, sizeof(use.text), fmt, a, b);
	/* What lies above two partitions is met twice. */
	for (size_t i = 0; i < fn->uses; i++)
		if (!strcmp(fn->use[i].text, use.text))
			return;
	more = realloc(fn->use, (fn->uses + 1) * sizeof(*more));
	if (!more) {
		s->ret = -ENOMEM;
		return;
	}
	fn->use = more;
	more[fn->uses++] = use;
}

/* The function that a device hangs on: the last address in its path; those in front are bridges. */
static struct pci_function *owner(struct scan *s, const char *link)
{
	struct pci_function *found = NULL;
	char path[PATH_MAX], *save = NULL;

	if (!realpath(link, path))
		return NULL;
	for (char *p = strtok_r(path, "/", &save); p; p = strtok_r(NULL, "/", &save)) {
		const struct pci_function *fn = pci_machine_find(s->machine, p);

		if (fn)
			found = &s->machine->fn[fn - s->machine->fn];
	}
	return found;
}

/* mountinfo writes spaces and the like as \040 (proc_pid_mountinfo(5)). */
static void unescape(char *s)
{
	char *to = s;

	for (; *s; s++) {
		unsigned int c;

		if (*s == '\\' && sscanf(s + 1, "%3o", &c) == 1) {
			*to++ = (char)c;
			s += 3;
		} else {
			*to++ = *s;
		}
	}
	*to = '\0';
}

static void find_mounts(struct scan *s, const char *number, const char *node)
{
	char path[PATH_MAX], *line = NULL, source[80];
	size_t size = 0;
	FILE *f;

	snprintf(path, sizeof(path), "%s/proc/self/mountinfo", s->root);
	snprintf(source, sizeof(source), "/dev/%.64s", node);
	f = fopen(path, "re");
	while (f && getline(&line, &size, f) > 0) {
		char dev[32], at[PATH_MAX / 2], from[256] = "";
		char *sep = strstr(line, " - ");

		if (sscanf(line, "%*d %*d %31s %*s %2047s", dev, at) != 2)
			continue;
		if (sep)
			sscanf(sep + 3, "%*s %255s", from);
		/* By the source, too: btrfs mounts have numbers of their own. */
		if (strcmp(dev, number) != 0 && strcmp(from, source) != 0)
			continue;
		unescape(at);
		at[160] = '\0';
		add_use(s, s->fn, "mount", node, "%s is mounted on %s", node, at);
		break; /* once is enough */
	}
	free(line);
	if (f)
		fclose(f);
}

static void find_swap(struct scan *s, const char *node)
{
	char path[PATH_MAX], *line = NULL, source[80];
	size_t size = 0, n;
	FILE *f;

	snprintf(path, sizeof(path), "%s/proc/swaps", s->root);
	n = (size_t)snprintf(source, sizeof(source), "/dev/%.64s", node);
	f = fopen(path, "re");
	while (f && getline(&line, &size, f) > 0)
		if (!strncmp(line, source, n) && (line[n] == ' ' || line[n] == '\t'))
			add_use(s, s->fn, "swap", node, "%s is %s", node, "swap space");
	free(line);
	if (f)
		fclose(f);
}

static void scan_node(struct scan *s, const char *dir, const char *node);

/* A disk that is made of this one: device mapper, md. */
static void scan_holder(void *arg, const char *name)
{
	struct scan *s = arg;
	char dir[PATH_MAX];

	/* Stacks of more than a few layers do not exist; a loop in a made-up tree may. */
	if (s->depth >= 8)
		return;
	s->depth++;
	snprintf(dir, sizeof(dir), "%s/sys/block/%s", s->root, name);
	scan_node(s, dir, name);
	s->depth--;
}

static void scan_node(struct scan *s, const char *dir, const char *node)
{
	char path[PATH_MAX], number[32];

	if (read_line(number, sizeof(number), "", "%s/%s", dir, "dev"))
		find_mounts(s, number, node);
	find_swap(s, node);
	snprintf(path, sizeof(path), "%.4000s/holders", dir);
	for_each_entry(path, scan_holder, s);
}

static void scan_partition(void *arg, const char *name)
{
	struct scan *s = arg;
	char path[PATH_MAX];

	/* Its folder holds much else; a partition begins with the disk's name. */
	if (strncmp(name, s->disk, strlen(s->disk)) != 0)
		return;
	snprintf(path, sizeof(path), "%s/sys/block/%s/%s", s->root, s->disk, name);
	scan_node(s, path, name);
}

static void add_node(struct pci_function *fn, const char *name)
{
	size_t n = strlen(fn->nodes);

	snprintf(fn->nodes + n, sizeof(fn->nodes) - n, "%s%s", n ? " " : "", name);
}

static void scan_disk(void *arg, const char *name)
{
	struct scan *s = arg;
	unsigned int ctrl, path_nr, ns;
	char path[PATH_MAX], head[32], end;

	snprintf(path, sizeof(path), "%s/sys/block/%s", s->root, name);
	s->fn = owner(s, path);
	if (!s->fn)
		return;
	/* With multipath "nvme0c1n2" is the hidden path to "nvme0n2", which is what is mounted. */
	if (sscanf(name, "nvme%uc%un%u%c", &ctrl, &path_nr, &ns, &end) == 3) {
		snprintf(head, sizeof(head), "nvme%un%u", ctrl, ns);
		name = head;
		snprintf(path, sizeof(path), "%s/sys/block/%s", s->root, name);
	}
	s->disk = name;
	add_node(s->fn, name);
	scan_node(s, path, name);
	for_each_entry(path, scan_partition, s);
}

static bool has_default_route(const char *root, const char *interface)
{
	char path[PATH_MAX], line[256], name[32], dest[40];
	unsigned int mask, len;
	bool found = false;
	FILE *f;

	snprintf(path, sizeof(path), "%s/proc/net/route", root);
	f = fopen(path, "re");
	while (f && !found && fgets(line, sizeof(line), f))
		if (sscanf(line, "%31s %8s %*s %*s %*s %*s %*s %8x", name, dest, &mask) == 3)
			found = !mask && !strcmp(dest, "00000000") && !strcmp(name, interface);
	if (f)
		fclose(f);
	snprintf(path, sizeof(path), "%s/proc/net/ipv6_route", root);
	f = found ? NULL : fopen(path, "re");
	while (f && !found && fgets(line, sizeof(line), f))
		if (sscanf(line, "%32s %2x %*s %*s %*s %*s %*s %*s %*s %31s", dest, &len, name) ==
		    3)
			found = !len && !dest[strspn(dest, "0")] && !strcmp(name, interface);
	if (f)
		fclose(f);
	return found;
}

static void scan_interface(void *arg, const char *name)
{
	struct scan *s = arg;
	struct pci_function *fn;
	char path[PATH_MAX];

	snprintf(path, sizeof(path), "%s/sys/class/net/%s", s->root, name);
	fn = owner(s, path);
	if (!fn)
		return;
	add_node(fn, name);
	if (has_default_route(s->root, name))
		add_use(s, fn, "route", name, "%s has the %s", name, "default route");
}

/* ---- all of them ---------------------------------------------------------------------------- */

static void add_function(void *arg, const char *name)
{
	struct scan *s = arg;
	struct pci_machine *m = s->machine;
	struct pci_function *fn;
	struct ob_bdf bdf;
	char group[16];

	if (!pci_is_address(name, &bdf))
		return;
	fn = realloc(m->fn, (m->n + 1) * sizeof(*fn));
	if (!fn) {
		s->ret = -ENOMEM;
		return;
	}
	m->fn = fn;
	fn += m->n++;
	memset(fn, 0, sizeof(*fn));
	fn->bdf = bdf;
	snprintf(fn->name, sizeof(fn->name), "%.15s", name);
	fn->vendor = (uint16_t)read_hex(s->root, name, "vendor");
	fn->device = (uint16_t)read_hex(s->root, name, "device");
	fn->subvendor = (uint16_t)read_hex(s->root, name, "subsystem_vendor");
	fn->subdevice = (uint16_t)read_hex(s->root, name, "subsystem_device");
	fn->class_code = read_hex(s->root, name, "class");
	fn->revision = (uint8_t)read_hex(s->root, name, "revision");
	link_name(fn->driver, sizeof(fn->driver), s->root, name, "driver");
	fn->group =
		link_name(group, sizeof(group), s->root, name, "iommu_group") ? atoi(group) : -1;
}

int pci_machine_read(const char *root, struct pci_machine *machine)
{
	struct scan s = {.root = root, .machine = machine};
	char path[PATH_MAX];

	memset(machine, 0, sizeof(*machine));
	snprintf(path, sizeof(path), "%s/sys/bus/pci/devices", root);
	for_each_entry(path, add_function, &s);
	if (machine->n)
		qsort(machine->fn, machine->n, sizeof(*machine->fn), by_address);
	snprintf(path, sizeof(path), "%s/sys/block", root);
	for_each_entry(path, scan_disk, &s);
	snprintf(path, sizeof(path), "%s/sys/class/net", root);
	for_each_entry(path, scan_interface, &s);
	if (s.ret)
		pci_machine_free(machine);
	return s.ret;
}

void pci_machine_free(struct pci_machine *machine)
{
	for (size_t i = 0; i < machine->n; i++)
		free(machine->fn[i].use);
	free(machine->fn);
	machine->fn = NULL;
	machine->n = 0;
}

/* ---- the way to take one -------------------------------------------------------------------- */

static bool has_backend(const char *name)
{
	for (const struct ob_access_ops *const *b = ob_backends(); *b; b++)
		if (!strcmp((*b)->name, name))
			return true;
	return false;
}

static bool is_bridge(const struct pci_function *fn)
{
	return fn->class_code >> 16 == PCI_CLASS_BRIDGE;
}

/* Who would have to be given up, too: VFIO takes groups, and only bridges may stay in one. */
static size_t others_of_group(const struct pci_machine *machine, const struct pci_function *fn,
			      char *list, size_t size)
{
	size_t n = 0, len = 0;

	list[0] = '\0';
	for (size_t i = 0; i < machine->n; i++) {
		const struct pci_function *other = &machine->fn[i];

		if (other == fn || other->group != fn->group || is_bridge(other))
			continue;
		n++;
		if (len < size)
			len += (size_t)snprintf(list + len, size - len, "%s%s", len ? ", " : "",
						other->name);
	}
	return n;
}

/* Lockdown forbids the resource files that a UIO backend maps (kernel_lockdown(7)). */
static bool is_locked_down(const char *root)
{
	char line[128];

	return read_line(line, sizeof(line), root, "/sys/kernel/security/%s%s", "lockdown", "") &&
	       !strstr(line, "[none]") && strchr(line, '[');
}

void pci_way(const char *root, const struct pci_machine *machine, const struct pci_function *fn,
	     struct pci_way *way)
{
	char list[200];

	memset(way, 0, sizeof(*way));
	if (is_bridge(fn)) {
		snprintf(way->why, sizeof(way->why), "it is a bridge, which stays with the kernel");
	} else if (fn->group >= 0) {
		way->backend = "vfio";
		if (others_of_group(machine, fn, list, sizeof(list)))
			snprintf(
				way->why, sizeof(way->why),
				"the IOMMU confines it, together with the rest of its group %d: %s",
				fn->group, list);
		else
			snprintf(way->why, sizeof(way->why),
				 "the IOMMU confines it, alone in group %d", fn->group);
	} else if (is_locked_down(root)) {
		snprintf(
			way->why, sizeof(way->why),
			"no IOMMU confines it, and a locked down kernel gives registers to VFIO only");
	} else {
		way->backend = "uio";
		snprintf(way->why, sizeof(way->why),
			 "no IOMMU confines it: root only, and its DMA would reach all memory");
	}
	way->built = way->backend && has_backend(way->backend);
}

/* ---- one of them ---------------------------------------------------------------------------- */

int pci_ranges(const char *root, const struct pci_function *fn, struct pci_range ranges[PCI_RANGES])
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

	memset(ranges, 0, sizeof(*ranges) * PCI_RANGES);
	snprintf(path, sizeof(path), "%s/sys/bus/pci/devices/%s/resource", root, fn->name);
	f = fopen(path, "re");
	if (!f)
		return -errno;
	for (unsigned int i = 0; i < PCI_RANGES && fgets(line, sizeof(line), f); i++) {
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

int pci_config_load(const char *root, const struct pci_function *fn, uint8_t config[4096])
{
	char path[PATH_MAX];
	ssize_t got = 0;
	int fd, n = 0;

	snprintf(path, sizeof(path), "%s/sys/bus/pci/devices/%s/config", root, fn->name);
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
