/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The IDE driver's interrupts. A disk that has a vector for itself hands its eventfd on; disks that share
 * one are woken by a thread that serves the vector (see struct ide_vector).
 */
#include <errno.h>
#include <poll.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "drivers/ide/ide.h"

/* Serves a vector that several disks share: see struct ide_vector. */
static void *serve_vector(void *arg)
{
	struct ide_vector *v = arg;
	struct pollfd fds[2] = {
		{.fd = ob_irq_fd(v->irq), .events = POLLIN},
		{.fd = v->stop_fd, .events = POLLIN},
	};
	int n = 0;

	while (n >= 0) {
		if (poll(fds, 2, -1) < 0)
			continue; /* EINTR */
		if (fds[1].revents)
			break;
		n = ob_irq_wait(v->irq, 0);
		for (unsigned int i = 0; i < IDE_CHANNELS; i++) {
			struct ide_channel *ch = &v->ide->channel[i];

			if (!(v->channels & (1u << i)))
				continue;
			ide_lock(ch);
			if (n < 0 && ch->state != IDE_DEAD)
				ide_fail_all(ch, -ENODEV);
			else if (ch->state == IDE_BUSY)
				ide_poll(ch);
			else if (ch->state == IDE_IDLE)
				ide_in(&ch->cmd, ATA_STATUS); /* nobody's: the line must go down */
			ide_start_next(ch);
			ide_unlock(ch);
		}
		/* While all disks poll the line stays masked, and arming delivers what it holds. */
		if (n > 0 && __atomic_load_n(&v->armed, __ATOMIC_SEQ_CST))
			ob_irq_unmask(v->irq);
	}
	return NULL;
}

static int start_thread(struct ide_vector *v)
{
	int rc;

	v->stop_fd = eventfd(0, EFD_CLOEXEC);
	if (v->stop_fd < 0)
		return -errno;
	for (unsigned int i = 0; i < IDE_CHANNELS; i++) {
		struct ide_channel *ch = &v->ide->channel[i];

		if (!(v->channels & (1u << i)))
			continue;
		ch->shared = true;
		for (unsigned int unit = 0; unit < 2; unit++) {
			struct ide_disk *disk = ch->disk[unit];

			if (!disk)
				continue;
			disk->wake_fd = eventfd(0, EFD_CLOEXEC);
			if (disk->wake_fd < 0)
				return -errno;
			disk->blk.irq_fd[0] = disk->wake_fd;
		}
	}
	rc = pthread_create(&v->thread, NULL, serve_vector, v);
	if (rc)
		return -rc;
	v->threaded = true;
	return 0;
}

void ide_irq_off(struct ide_controller *ide)
{
	uint64_t one = 1;

	for (unsigned int i = 0; i < ide->nr_vectors; i++) {
		struct ide_vector *v = &ide->vector[i];

		if (v->threaded && write(v->stop_fd, &one, sizeof(one)) == sizeof(one))
			pthread_join(v->thread, NULL);
		v->threaded = false;
		if (v->stop_fd >= 0)
			close(v->stop_fd);
		v->stop_fd = -1;
		if (v->irq)
			ob_irq_close(v->irq);
		v->irq = NULL;
	}
	if (ide->nr_vectors)
		ob_irq_disable(ide->dev);
	ide->nr_vectors = 0;
}

int ide_irq_on(struct ide_controller *ide, enum ob_irq_kind kind, struct ob_error *err)
{
	unsigned int n = ob_irq_count(ide->dev, kind);
	int rc;

	if (!n) {
		ob_device_log(ide->dev, OB_LOG_WARN, "no %s interrupts: disks are polled",
			      ob_irq_kind_name(kind));
		return 0;
	}
	/* Legacy mode: one line per channel (IRQ 14 and 15); native mode: one for both. */
	if (n > IDE_CHANNELS)
		n = IDE_CHANNELS;
	rc = ob_irq_enable(ide->dev, kind, n, err);
	if (rc)
		return rc;
	for (unsigned int i = 0; i < n; i++) {
		ide->vector[i].ide = ide;
		ide->vector[i].stop_fd = -1;
	}
	ide->nr_vectors = n;
	for (unsigned int i = 0; i < IDE_CHANNELS; i++) {
		struct ide_channel *ch = &ide->channel[i];

		ch->vector = &ide->vector[i % n];
		for (unsigned int unit = 0; unit < 2; unit++)
			if (ch->disk[unit]) {
				ch->vector->channels |= 1u << i;
				ch->vector->disks++;
			}
	}
	for (unsigned int i = 0; i < n; i++) {
		struct ide_vector *v = &ide->vector[i];

		if (!v->disks)
			continue;
		rc = ob_irq_open(ide->dev, i, 0, &v->irq, err);
		if (rc)
			goto off;
		if (v->disks == 1)
			continue;
		rc = start_thread(v);
		if (rc) {
			ob_error_set(err, rc, "%s: no thread for vector %u: %s",
				     ob_device_info(ide->dev)->name, i, strerror(-rc));
			goto off;
		}
	}
	/* A disk that has its vector alone is woken by it. */
	for (unsigned int i = 0; i < IDE_CHANNELS; i++)
		for (unsigned int unit = 0; unit < 2; unit++) {
			struct ide_channel *ch = &ide->channel[i];

			if (ch->disk[unit] && !ch->vector->threaded)
				ch->disk[unit]->blk.irq_fd[0] = ob_irq_fd(ch->vector->irq);
		}
	return 0;

off:
	ide_irq_off(ide);
	return rc;
}
