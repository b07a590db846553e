/* SPDX-License-Identifier: BSD-2-Clause */
/* keeper/irq_counts.h */
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <outboard/access.h>

#include "access/sysfs.h"
#include "keeper/irq_counts.h"

#define LIST_NS 1000000000ull /* a driver enables its vectors once, a new process others */

void irq_counts_open(struct irq_counts *c, const char *spec)
{
	static struct ob_spec parsed; /* some kilobytes */
	struct ob_bdf bdf;

	memset(c, 0, sizeof(*c));
	if (!ob_spec_parse(spec, &parsed, NULL) && sysfs_parse_bdf(parsed.device.name, &bdf))
		sysfs_bdf_name(&bdf, c->name);
}

/* One number for each processor, separated by commas. */
static uint64_t count_of(int fd)
{
	char text[8192], *p = text, *end;
	ssize_t n = pread(fd, text, sizeof(text) - 1, 0);
	uint64_t sum = 0;

	text[n > 0 ? n : 0] = '\0';
	for (;; p = end + 1) {
		sum += strtoull(p, &end, 10);
		if (*end != ',')
			return sum;
	}
}

/* Those that were there are kept where they are, below @arg->n; the rest is appended. */
static void add(void *arg, const char *name)
{
	struct irq_counts *c = arg;
	int irq = atoi(name);
	char path[64];

	for (unsigned int i = 0; i < c->n; i++)
		if (c->irq[i].irq == irq)
			return;
	if (c->n == IRQ_COUNTS || irq <= 0)
		return;
	snprintf(path, sizeof(path), "/sys/kernel/irq/%d/per_cpu_count", irq);
	c->irq[c->n].irq = irq;
	c->irq[c->n].fd = open(path, O_RDONLY | O_CLOEXEC);
	if (c->irq[c->n].fd < 0)
		return;
	c->irq[c->n].last = count_of(c->irq[c->n].fd);
	c->n++;
}

static void drop(struct irq_counts *c, unsigned int i)
{
	close(c->irq[i].fd);
	c->irq[i] = c->irq[--c->n];
}

static void list(struct irq_counts *c)
{
	char path[96];

	for (unsigned int i = c->n; i-- > 0;) {
		snprintf(path, sizeof(path), "/sys/bus/pci/devices/%s/msi_irqs/%d", c->name,
			 c->irq[i].irq);
		if (access(path, F_OK))
			drop(c, i);
	}
	snprintf(path, sizeof(path), "/sys/bus/pci/devices/%s/msi_irqs", c->name);
	sysfs_for_each(path, add, c);
}

uint64_t irq_counts_total(struct irq_counts *c, uint64_t now_ns)
{
	if (!c->name[0])
		return 0;
	if (!c->listed_ns || now_ns - c->listed_ns > LIST_NS) {
		list(c);
		c->listed_ns = now_ns;
	}
	for (unsigned int i = 0; i < c->n; i++) {
		uint64_t count = count_of(c->irq[i].fd);

		/* An interrupt that was freed and is another's now begins at 0. */
		if (count > c->irq[i].last)
			c->total += count - c->irq[i].last;
		c->irq[i].last = count;
	}
	return c->total + 1;
}

void irq_counts_close(struct irq_counts *c)
{
	while (c->n)
		drop(c, c->n - 1);
}
