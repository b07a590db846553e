/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Port I/O by the processor's own instructions, after ioperm(2). That permission belongs to a thread and
 * passes only to threads that it starts later, so each thread asks for itself, once for each range. A process that is confined
 * once it has opened its devices cannot ask any more: its threads have what the one that opened them has.
 */
#include <errno.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>

#include "access/uio/uio.h"

#if defined(__x86_64__) || defined(__i386__)
#include <sys/io.h>

enum {
	RANGES = 8,
	OPENED = 64,
};

struct range {
	uint32_t base, end;
};

/* What this thread has been given; the oldest is forgotten (and asked for again) when it is full. */
static __thread struct {
	struct range range[RANGES];
	unsigned int next;
} granted;

/* What threads got that opened devices, and so those that began after that; written by one thread at a time. */
static struct range opened[OPENED];
static unsigned int nr_opened;

static bool is_within(const struct range *list, unsigned int n, uint64_t base, uint64_t end)
{
	for (unsigned int i = 0; i < n; i++)
		if (list[i].base <= base && end <= list[i].end)
			return true;
	return false;
}

int uio_ports_allow(uint64_t base, uint64_t count)
{
	uint64_t end = base + count;

	if (is_within(granted.range, RANGES, base, end))
		return 0;
	if (ioperm((unsigned long)base, (unsigned long)count, 1) &&
	    (errno != EPERM ||
	     !is_within(opened, __atomic_load_n(&nr_opened, __ATOMIC_ACQUIRE), base, end)))
		return -errno;
	granted.range[granted.next] = (struct range){(uint32_t)base, (uint32_t)end};
	granted.next = (granted.next + 1) % RANGES;
	return 0;
}

int uio_ports_open(uint64_t base, uint64_t count)
{
	int ret = uio_ports_allow(base, count);

	if (ret || is_within(opened, nr_opened, base, base + count))
		return ret;
	if (nr_opened == OPENED)
		return -ENOSPC;
	opened[nr_opened] = (struct range){(uint32_t)base, (uint32_t)(base + count)};
	__atomic_store_n(&nr_opened, nr_opened + 1, __ATOMIC_RELEASE);
	return 0;
}

uint64_t uio_ports_read(uint64_t port, unsigned int size)
{
	switch (size) {
	case 1:
		return inb((uint16_t)port);
	case 2:
		return inw((uint16_t)port);
	case 4:
		return inl((uint16_t)port);
	}
	return UINT64_MAX; /* there is no 64-bit port access */
}

void uio_ports_write(uint64_t port, unsigned int size, uint64_t val)
{
	switch (size) {
	case 1:
		outb((uint8_t)val, (uint16_t)port);
		break;
	case 2:
		outw((uint16_t)val, (uint16_t)port);
		break;
	case 4:
		outl((uint32_t)val, (uint16_t)port);
		break;
	}
}
#else
int uio_ports_allow(uint64_t base, uint64_t count)
{
	return -EOPNOTSUPP;
}

int uio_ports_open(uint64_t base, uint64_t count)
{
	return -EOPNOTSUPP;
}

uint64_t uio_ports_read(uint64_t port, unsigned int size)
{
	return UINT64_MAX;
}

void uio_ports_write(uint64_t port, unsigned int size, uint64_t val)
{
}
#endif

bool uio_ports_owner(const char *root, const char *function, uint16_t base, uint16_t count,
		     char owner[64])
{
	char path[256], line[160];
	bool found = false;
	FILE *f;

	snprintf(path, sizeof(path), "%s/proc/ioports", root);
	f = fopen(path, "re");
	/* "  01f0-01f7 : 0000:00:0a.0", and two blanks deeper the driver that holds it: "ata_piix" */
	while (f && !found && fgets(line, sizeof(line), f)) {
		unsigned int from, to;
		struct ob_bdf bdf;
		char name[64];

		if (sscanf(line, " %x-%x : %63[^\n]", &from, &to, name) != 3)
			continue;
		if (from >= (unsigned int)base + count || to < base)
			continue;
		/* Any other function's, too, when its address is all there is: nobody drives it. */
		if (!strncmp(name, "PCI ", 4) || sysfs_parse_bdf(name, &bdf) ||
		    !strcmp(name, function))
			continue;
		snprintf(owner, 64, "%s", name);
		found = true;
	}
	if (f)
		fclose(f);
	return found;
}
