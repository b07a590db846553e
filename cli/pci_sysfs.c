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

/* ---- all of them, by address ------------------------------------------------------------------ */

static int by_address(const void *a, const void *b)
{
	const struct pci_function *x = a, *y = b;
	uint32_t ox = sysfs_bdf_order(&x->pci.bdf), oy = sysfs_bdf_order(&y->pci.bdf);

	return (ox > oy) - (ox < oy);
}

const struct pci_function *pci_machine_find(const struct pci_machine *machine, const char *address)
{
	struct ob_bdf bdf;

	if (!sysfs_parse_bdf(address, &bdf))
		return NULL;
	for (size_t i = 0; i < machine->n; i++)
		if (sysfs_bdf_order(&machine->fn[i].pci.bdf) == sysfs_bdf_order(&bdf))
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

	if (sysfs_line(number, sizeof(number), "", "%s/dev", dir))
		find_mounts(s, number, node);
	find_swap(s, node);
	snprintf(path, sizeof(path), "%.4000s/holders", dir);
	sysfs_for_each(path, scan_holder, s);
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
	sysfs_for_each(path, scan_partition, s);
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
	struct sysfs_function pci;
	struct pci_function *fn;

	if (sysfs_function_read(s->root, name, &pci))
		return;
	fn = realloc(m->fn, (m->n + 1) * sizeof(*fn));
	if (!fn) {
		s->ret = -ENOMEM;
		return;
	}
	m->fn = fn;
	fn[m->n++] = (struct pci_function){.pci = pci};
}

int pci_machine_read(const char *root, struct pci_machine *machine)
{
	struct scan s = {.root = root, .machine = machine};
	char path[PATH_MAX];

	memset(machine, 0, sizeof(*machine));
	snprintf(path, sizeof(path), "%s/sys/bus/pci/devices", root);
	sysfs_for_each(path, add_function, &s);
	if (machine->n)
		qsort(machine->fn, machine->n, sizeof(*machine->fn), by_address);
	snprintf(path, sizeof(path), "%s/sys/block", root);
	sysfs_for_each(path, scan_disk, &s);
	snprintf(path, sizeof(path), "%s/sys/class/net", root);
	sysfs_for_each(path, scan_interface, &s);
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

/* Who would have to be given up, too: VFIO takes groups, and only bridges may stay in one. */
static size_t others_of_group(const struct pci_machine *machine, const struct pci_function *fn,
			      char *list, size_t size)
{
	size_t n = 0, len = 0;

	list[0] = '\0';
	for (size_t i = 0; i < machine->n; i++) {
		const struct pci_function *other = &machine->fn[i];

		if (other == fn || other->pci.group != fn->pci.group ||
		    sysfs_is_bridge(&other->pci))
			continue;
		n++;
		if (len < size)
			len += (size_t)snprintf(list + len, size - len, "%s%s", len ? ", " : "",
						other->pci.name);
	}
	return n;
}

/* Bound to uio_pci_generic behind an IOMMU that lets everything pass: that works, so it is the user's choice. */
static bool is_passed_through(const char *root, const struct sysfs_function *fn)
{
	char type[16];

	sysfs_group_type(root, fn->group, type);
	return !strcmp(type, "identity") && !strcmp(fn->driver, "uio_pci_generic");
}

void pci_way(const char *root, const struct pci_machine *machine, const struct pci_function *fn,
	     struct pci_way *way)
{
	char list[200];

	memset(way, 0, sizeof(*way));
	if (sysfs_is_bridge(&fn->pci)) {
		snprintf(way->why, sizeof(way->why), "it is a bridge, which stays with the kernel");
	} else if (fn->pci.group >= 0 && !is_passed_through(root, &fn->pci)) {
		way->backend = "vfio";
		if (others_of_group(machine, fn, list, sizeof(list)))
			snprintf(
				way->why, sizeof(way->why),
				"the IOMMU confines it, together with the rest of its group %d: %s",
				fn->pci.group, list);
		else
			snprintf(way->why, sizeof(way->why),
				 "the IOMMU confines it, alone in its group");
	} else if (sysfs_locked_down(root)) {
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
