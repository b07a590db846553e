/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Machines that outlive the processes which drive their devices. A keeper starts QEMU and forks; the forked process opens its
 * devices over that QEMU by all steps of an open but the start. Whoever had it before may have been killed at any
 * instruction: what it had asked is answered first, then the machine is reset as by its reset button.
 */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <time.h>
#include <unistd.h>

#include "access/access_private.h"
#include "access/qemu/machine.h"

enum {
	MACHINES = OB_SPEC_OPTIONS,
	/* A reset waits for what the device models have under way: a disk's requests. */
	RESET_TRIES = 20000,
};

struct qemu_held {
	struct qemu_machine *machine;
	char text[QEMU_DEVICES][OB_SPEC_TEXT];
	unsigned int n;
	bool taken; /* by devices of this process: two may have the same text */
};

static struct qemu_held *held[MACHINES];
static unsigned int nr_held;

int qemu_held_add(struct qemu_machine *m, struct ob_spec *const *specs, unsigned int n,
		  struct ob_error *err)
{
	struct qemu_held *h = calloc(1, sizeof(*h));

	if (!h || nr_held == MACHINES) {
		free(h);
		return ob_error_set(err, -ENOMEM, "%s: no room to hold its machine",
				    specs[0]->text);
	}
	h->machine = m;
	for (h->n = 0; h->n < n; h->n++)
		memcpy(h->text[h->n], specs[h->n]->text, OB_SPEC_TEXT);
	held[nr_held++] = h;
	return 0;
}

struct qemu_machine *qemu_held_take(void)
{
	struct qemu_machine *m;

	if (!nr_held)
		return NULL;
	m = held[--nr_held]->machine;
	free(held[nr_held]);
	return m;
}

unsigned int qemu_held_list(int *fds, unsigned int max)
{
	unsigned int n = 0;

	for (unsigned int i = 0; i < nr_held; i++) {
		const struct qemu_machine *m = held[i]->machine;
		const int own[] = {m->ram_fd, m->pidfd, m->qt.fd};

		for (unsigned int k = 0; k < sizeof(own) / sizeof(own[0]) && n < max; k++)
			fds[n++] = own[k];
		for (unsigned int k = 0; k < OB_IRQ_VECTORS && n < max; k++)
			if (m->vector_fd[k] >= 0)
				fds[n++] = m->vector_fd[k];
	}
	return n;
}

int qemu_held_gone(struct ob_error *err)
{
	for (unsigned int i = 0; i < nr_held; i++) {
		struct qemu_machine *m = held[i]->machine;
		/* The kernel closes what it had before it tells of its end. */
		struct pollfd p[] = {{.fd = m->qt.fd}, {.fd = m->pidfd, .events = POLLIN}};

		if (poll(p, 2, 0) <= 0)
			continue;
		ob_error_set(err, -ENODEV, "%s is gone while in use",
			     m->devices[0]->dev->info.name);
		qemu_machine_explain_end(m, err);
		return -ENODEV;
	}
	return 0;
}

struct qemu_held *qemu_held_find(struct ob_spec *const *specs, unsigned int n)
{
	for (unsigned int i = 0; i < nr_held; i++) {
		unsigned int same = 0;

		while (!held[i]->taken && held[i]->n == n && same < n &&
		       !strcmp(held[i]->text[same], specs[same]->text))
			same++;
		if (n && same == n)
			return held[i];
	}
	return NULL;
}

void qemu_held_give(const struct qemu_machine *m)
{
	for (unsigned int i = 0; i < nr_held; i++)
		if (held[i]->machine->pid == m->pid)
			held[i]->taken = false;
}

/* Until a number comes back that only this process knows: all that was asked before has been answered. */
static int take_answers(struct qemu_machine *m)
{
	uint64_t *word = (uint64_t *)(m->ram + QEMU_RAM_PARKING);
	uint64_t mark;

	if (getrandom(&mark, sizeof(mark), 0) != sizeof(mark))
		return -EIO;
	__atomic_store_n(word, mark, __ATOMIC_SEQ_CST);
	return qtest_resync(&m->qt, QEMU_RAM_PARKING, mark);
}

/* 82P965 datasheet, 5.1.16: PCIEXBAR's bit 0, which chipset_setup() sets and a reset clears. */
static int ecam_enabled(struct qemu_machine *m, bool *on)
{
	uint64_t val = 0;
	int ret = qtest_out(&m->qt, 0xcf8, 4, 0x80000060);

	if (!ret)
		ret = qtest_in(&m->qt, 0xcfc, 4, &val);
	*on = val & 1;
	return ret;
}

/*
 * ICH9 datasheet, 13.7.5 "Reset Control Register" (port CF9h): bit 2 with bit 1 is a hard reset. QEMU answers first and resets in
 * the next turn of its main loop.
 */
static int reset_machine(struct qemu_machine *m)
{
	const struct timespec pause = {.tv_nsec = 50000};
	bool on;
	int ret = ecam_enabled(m, &on);

	if (ret || !on)
		return ret; /* nobody has used it yet */
	ret = qtest_out(&m->qt, 0xcf9, 1, 6);
	for (unsigned int i = 0; !ret && i < RESET_TRIES; i++) {
		ret = ecam_enabled(m, &on);
		if (!ret && !on)
			return 0;
		nanosleep(&pause, NULL);
	}
	return ret ? ret : -ETIMEDOUT;
}

static void options_used(struct ob_spec *spec)
{
	for (unsigned int i = 0; i < spec->device.n; i++)
		spec->device.opt[i].used = true;
}

/* What models.c and build_machine() found out of the specification. */
static int copy_device(struct qemu_machine *m, const struct qemu_device *from,
		       struct ob_device *dev)
{
	struct qemu_device *qd = calloc(1, sizeof(*qd));

	if (!qd)
		return -ENOMEM;
	*qd = *from;
	qd->machine = m;
	qd->dev = dev;
	qd->nr_claims = 0; /* the holder's */
	dev->info.read_only = from->dev->info.read_only;
	m->devices[m->nr_devices++] = qd;
	return 0;
}

int qemu_held_adopt(struct qemu_held *h, struct qemu_machine *m, struct ob_spec *const *specs,
		    struct ob_device **devs, unsigned int answer_ms, struct ob_error *err)
{
	const char *name = specs[0]->text;
	int ret = 0;

	h->taken = true;
	for (unsigned int i = 0; i < h->n && !ret; i++) {
		options_used(specs[i]);
		ret = copy_device(m, h->machine->devices[i], devs[i]);
	}
	if (ret)
		return ob_error_set(err, ret, "%s: out of memory", name);
	ret = qemu_machine_adopt(m, h->machine, answer_ms, name, err);
	if (ret)
		return ret;
	ret = take_answers(m);
	if (!ret)
		ret = reset_machine(m);
	if (ret)
		return ob_error_set(err, -ENODEV, "%s: its QEMU (pid %d) does not answer: %s", name,
				    m->pid, *m->qt.fail ? m->qt.fail : strerror(-ret));
	/* As fresh as the devices: arenas, IOMMU tables, the parking pages. */
	if (fallocate(m->ram_fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, 0, (off_t)m->ram_size))
		memset(m->ram, 0, m->ram_size);
	return 0;
}
