/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Interrupts as eventfds. INTx lines come as text on the qtest socket, where the IOAPIC's inputs are
 * intercepted. MSI and MSI-X are aimed at the doorbell register of an ivshmem device (QEMU,
 * docs/specs/ivshmem-spec.txt), which turns a write of "vector" into an eventfd signal here.
 */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "access/access_private.h"
#include "access/qemu/machine.h"

#define IVSHMEM_BDF	 (3u << 3) /* slot 3, see qemu.c */
#define IVSHMEM_DOORBELL 0xc
#define MSI_CONTROL	 2
#define MSI_ENABLE	 1u
#define MSI_64BIT	 0x80u
#define MSI_MASKABLE	 0x100u
#define MSIX_ENABLE	 0x8000u
#define COMMAND_INTX_OFF 0x400u

/* ---- the doorbell ----------------------------------------------------------------------- */

int qemu_doorbell_setup(struct qemu_machine *m, struct ob_error *err)
{
	const unsigned int last = OB_IRQ_VECTORS - 1;
	struct pollfd pfd = {.fd = m->vector_fd[last], .events = POLLIN};
	uint64_t base = m->mmio_next, count;

	/* BAR0 is 256 bytes of registers in a page of their own, so that one page maps them. */
	m->mmio_next += 4096;
	m->doorbell = base + IVSHMEM_DOORBELL;
	qemu_config_write(m, IVSHMEM_BDF, 0x10, 4, (uint32_t)base);
	qemu_config_write(m, IVSHMEM_BDF, 0x04, 2, 2);
	/*
	 * QEMU takes the vectors from its socket in its own time, in order, and ignores a ring for one that
	 * it has not got yet. When the last one rings, all are there.
	 */
	for (unsigned int tries = 0; tries < 3000; tries++) {
		if (qtest_write(&m->qt, m->doorbell, 4, last) || qtest_drain(&m->qt))
			break;
		if (poll(&pfd, 1, 10) > 0) {
			for (unsigned int i = 0; i < OB_IRQ_VECTORS; i++) {
				while (read(m->vector_fd[i], &count, sizeof(count)) > 0)
					continue;
				/* QEMU shares the file description: blocking, for us and for it. */
				fcntl(m->vector_fd[i], F_SETFL, 0);
			}
			close(m->handshake_fd);
			m->handshake_fd = -1;
			return 0;
		}
	}
	return ob_error_set(err, -ENODEV, "QEMU does not signal the interrupt doorbell");
}

/* ---- INTx --------------------------------------------------------------------------------- */

static void ring(int fd)
{
	const uint64_t one = 1;

	if (write(fd, &one, sizeof(one)) < 0)
		return; /* the counter is full, so it is readable */
}

static void deliver(struct qemu_device *qd, unsigned int i)
{
	struct qemu_machine *m = qd->machine;

	if (qd->kind != OB_IRQ_INTX || i >= qd->taken || qd->intx_masked[i] ||
	    !__atomic_load_n(&m->level[qd->gsi[i]], __ATOMIC_RELAXED))
		return;
	qd->intx_masked[i] = true; /* as VFIO: masked until the driver has served the device */
	ring(qd->intx_fd[i]);
}

/* A line of the IOAPIC rose or fell; with the socket's lock held. */
void qemu_line(void *arg, unsigned int gsi, bool level)
{
	struct qemu_machine *m = arg;

	/* Input 0 is the timer, which nobody here serves. */
	if (!gsi || gsi >= QEMU_GSIS)
		return;
	pthread_mutex_lock(&m->intx_lock);
	__atomic_store_n(&m->level[gsi], level, __ATOMIC_RELAXED);
	for (unsigned int d = 0; level && d < m->nr_devices; d++)
		for (unsigned int i = 0; m->devices[d] && i < m->devices[d]->nr_intx; i++)
			if (m->devices[d]->gsi[i] == gsi)
				deliver(m->devices[d], i);
	pthread_mutex_unlock(&m->intx_lock);
}

static int intx_enable(struct qemu_device *qd, unsigned int n, struct ob_error *err)
{
	struct qemu_machine *m = qd->machine;
	uint32_t command;

	for (unsigned int i = 0; i < n; i++) {
		if (qd->intx_fd[i] < 0)
			qd->intx_fd[i] = eventfd(0, EFD_CLOEXEC);
		if (qd->intx_fd[i] < 0)
			return ob_error_set(err, -errno, "%s: no descriptor for its interrupt",
					    qd->dev->info.name);
		ob_irq_empty(qd->intx_fd[i]);
		qd->dev->vector[i].fd = qd->intx_fd[i];
	}
	pthread_mutex_lock(&m->intx_lock);
	qd->kind = OB_IRQ_INTX;
	qd->taken = n;
	for (unsigned int i = 0; i < n; i++) {
		qd->intx_masked[i] = false;
		deliver(qd, i);
	}
	pthread_mutex_unlock(&m->intx_lock);
	command = qemu_config_read(m, qd->bdf, 0x04, 2);
	qemu_config_write(m, qd->bdf, 0x04, 2, command & ~COMMAND_INTX_OFF);
	qtest_watch(&m->qt, true);
	return 0;
}

static int intx_mask(struct qemu_device *qd, unsigned int vec, bool mask)
{
	struct qemu_machine *m = qd->machine;
	bool high;

	if (!mask && __atomic_load_n(&m->level[qd->gsi[vec]], __ATOMIC_RELAXED)) {
		/*
		 * The driver may have quieted the device by a posted write whose effect on the
		 * line is still on the way; without this look it would be told once more for nothing.
		 */
		qtest_drain(&m->qt);
	}
	pthread_mutex_lock(&m->intx_lock);
	qd->intx_masked[vec] = mask;
	high = !mask && __atomic_load_n(&m->level[qd->gsi[vec]], __ATOMIC_RELAXED);
	if (high)
		deliver(qd, vec);
	pthread_mutex_unlock(&m->intx_lock);
	return 0;
}

/* ---- MSI [PCI 3.0, 6.8.1] ---------------------------------------------------------------------- */

static void msi_message(struct qemu_device *qd, uint64_t addr, uint16_t data)
{
	struct qemu_machine *m = qd->machine;
	bool wide = qemu_config_read(m, qd->bdf, qd->msi + MSI_CONTROL, 2) & MSI_64BIT;

	qemu_config_write(m, qd->bdf, qd->msi + 4, 4, (uint32_t)addr);
	if (wide)
		qemu_config_write(m, qd->bdf, qd->msi + 8, 4, (uint32_t)(addr >> 32));
	qemu_config_write(m, qd->bdf, qd->msi + (wide ? 12 : 8), 2, data);
}

/* Where the mask bits are, or 0 when the device has none. */
static unsigned int msi_mask_off(struct qemu_device *qd)
{
	uint32_t control = qemu_config_read(qd->machine, qd->bdf, qd->msi + MSI_CONTROL, 2);

	if (!(control & MSI_MASKABLE))
		return 0;
	return qd->msi + (control & MSI_64BIT ? 16 : 12);
}

static void msi_enable(struct qemu_device *qd)
{
	struct qemu_machine *m = qd->machine;
	uint32_t control = qemu_config_read(m, qd->bdf, qd->msi + MSI_CONTROL, 2);
	unsigned int log2 = (unsigned int)__builtin_ctz(qd->taken);

	msi_message(qd, m->doorbell, (uint16_t)qd->first);
	if (msi_mask_off(qd))
		qemu_config_write(m, qd->bdf, msi_mask_off(qd), 4, 0);
	control = (control & ~0x70u) | log2 << 4 | MSI_ENABLE;
	qemu_config_write(m, qd->bdf, qd->msi + MSI_CONTROL, 2, control);
}

static uint32_t *parking_word(struct qemu_device *qd)
{
	return (uint32_t *)(qd->machine->ram + QEMU_RAM_PARKING + 4096ull * qd->index);
}

/*
 * Without mask bits a masked message goes to a word of memory instead, where a write is as good as a
 * pending bit: its low 16 bits become the message's data.
 */
static int msi_mask(struct qemu_device *qd, unsigned int vec, bool mask)
{
	struct qemu_machine *m = qd->machine;
	unsigned int off = msi_mask_off(qd);
	uint32_t bits;

	if (off) {
		bits = qemu_config_read(m, qd->bdf, off, 4);
		bits = mask ? bits | 1u << vec : bits & ~(1u << vec);
		qemu_config_write(m, qd->bdf, off, 4, bits);
		return 0;
	}
	if (qd->taken > 1)
		return -EOPNOTSUPP; /* one address for all of them */
	if (mask == qd->parked[0])
		return 0;
	qd->parked[0] = mask;
	if (mask) {
		__atomic_store_n(parking_word(qd), UINT32_MAX, __ATOMIC_RELEASE);
		msi_message(qd, QEMU_RAM_PARKING + 4096ull * qd->index, (uint16_t)qd->first);
		return 0;
	}
	msi_message(qd, m->doorbell, (uint16_t)qd->first);
	/* Any message until the device has the new address is in the word now. */
	qtest_drain(&m->qt);
	if (__atomic_load_n(parking_word(qd), __ATOMIC_ACQUIRE) != UINT32_MAX)
		ring(m->vector_fd[qd->first]);
	return 0;
}

/* ---- MSI-X [PCI 3.0, 6.8.2] -------------------------------------------------------------------- */

static void msix_enable(struct qemu_device *qd)
{
	struct qemu_machine *m = qd->machine;
	uint32_t control = qemu_config_read(m, qd->bdf, qd->msix + MSI_CONTROL, 2) & 0x7ff;

	qemu_config_write(m, qd->bdf, qd->msix + MSI_CONTROL, 2, control | MSIX_ENABLE);
	for (unsigned int i = 0; i < qd->msix_entries; i++) {
		uint64_t entry = qd->msix_table + 16ull * i;
		bool used = i < qd->taken;

		if (!used && i >= OB_IRQ_VECTORS)
			break; /* masked since reset */
		qtest_write(&m->qt, entry, 4, used ? (uint32_t)m->doorbell : 0);
		qtest_write(&m->qt, entry + 4, 4, used ? m->doorbell >> 32 : 0);
		qtest_write(&m->qt, entry + 8, 4, used ? qd->first + i : 0);
		qtest_write(&m->qt, entry + 12, 4, !used);
	}
}

/* ---- the operations ------------------------------------------------------------------------------ */

unsigned int qemu_irq_count(struct ob_device *dev, enum ob_irq_kind kind)
{
	struct qemu_device *qd = dev->priv;
	unsigned int n = 0;

	switch (kind) {
	case OB_IRQ_INTX:
		n = qd->nr_intx;
		break;
	case OB_IRQ_MSI:
		if (qd->msi) /* multiple message capable, as a power of two */
			n = 1u << (qemu_config_read(qd->machine, qd->bdf, qd->msi + MSI_CONTROL,
						    2) >>
					   1 &
				   7);
		break;
	case OB_IRQ_MSIX:
		n = qd->msix ? qd->msix_entries : 0;
		break;
	case OB_IRQ_NONE:
		break;
	}
	return n > OB_IRQ_VECTORS / 2 ? OB_IRQ_VECTORS / 2 : n;
}

/* Take n doorbell vectors in a row, aligned so that MSI can count in the low bits. */
static int take_vectors(struct qemu_device *qd, unsigned int n, struct ob_error *err)
{
	struct qemu_machine *m = qd->machine;
	unsigned int align = 1, first, i = 0;

	while (align < n)
		align *= 2;
	pthread_mutex_lock(&m->lock);
	for (first = 0; first + n <= OB_IRQ_VECTORS; first += align) {
		for (i = 0; i < n && !m->vector_used[first + i]; i++)
			continue;
		if (i == n)
			break;
	}
	if (i == n && first + n <= OB_IRQ_VECTORS)
		for (i = 0; i < n; i++)
			m->vector_used[first + i] = true;
	pthread_mutex_unlock(&m->lock);
	if (first + n > OB_IRQ_VECTORS)
		return ob_error_set(err, -ENOSPC,
				    "%s: the machine has no %u interrupt vectors left",
				    qd->dev->info.name, n);
	qd->first = first;
	qd->taken = n;
	for (i = 0; i < n; i++) {
		ob_irq_empty(m->vector_fd[first + i]);
		qd->dev->vector[i].fd = m->vector_fd[first + i];
	}
	return 0;
}

int qemu_irq_enable(struct ob_device *dev, enum ob_irq_kind kind, unsigned int n,
		    struct ob_error *err)
{
	struct qemu_device *qd = dev->priv;
	/* After a reset: the same vectors once more, with the same descriptors. */
	bool again = qd->kind == kind && qd->taken == n;
	int ret = 0;

	if (kind == OB_IRQ_INTX)
		return intx_enable(qd, n, err);
	if (!again)
		ret = take_vectors(qd, n, err);
	if (ret)
		return ret;
	qd->kind = kind;
	qd->parked[0] = false;
	if (kind == OB_IRQ_MSI)
		msi_enable(qd);
	else
		msix_enable(qd);
	return qtest_drain(&qd->machine->qt);
}

void qemu_irq_disable(struct ob_device *dev)
{
	struct qemu_device *qd = dev->priv;
	struct qemu_machine *m = qd->machine;
	enum ob_irq_kind kind = qd->kind;
	uint32_t val;

	if (kind == OB_IRQ_INTX) {
		val = qemu_config_read(m, qd->bdf, 0x04, 2);
		qemu_config_write(m, qd->bdf, 0x04, 2, val | COMMAND_INTX_OFF);
	} else if (kind == OB_IRQ_MSI) {
		val = qemu_config_read(m, qd->bdf, qd->msi + MSI_CONTROL, 2);
		qemu_config_write(m, qd->bdf, qd->msi + MSI_CONTROL, 2, val & ~MSI_ENABLE);
	} else if (kind == OB_IRQ_MSIX) {
		val = qemu_config_read(m, qd->bdf, qd->msix + MSI_CONTROL, 2) & 0x7ff;
		qemu_config_write(m, qd->bdf, qd->msix + MSI_CONTROL, 2, val);
	}
	qtest_drain(&m->qt); /* after this no message is on the way */
	pthread_mutex_lock(&m->intx_lock);
	qd->kind = OB_IRQ_NONE;
	pthread_mutex_unlock(&m->intx_lock);
	pthread_mutex_lock(&m->lock);
	if (kind == OB_IRQ_MSI || kind == OB_IRQ_MSIX)
		for (unsigned int i = 0; i < qd->taken; i++)
			m->vector_used[qd->first + i] = false;
	qd->taken = 0;
	pthread_mutex_unlock(&m->lock);
}

int qemu_irq_mask(struct ob_device *dev, unsigned int vec, bool mask)
{
	struct qemu_device *qd = dev->priv;

	if (vec >= qd->taken)
		return -EINVAL;
	switch (qd->kind) {
	case OB_IRQ_INTX:
		return intx_mask(qd, vec, mask);
	case OB_IRQ_MSI:
		return msi_mask(qd, vec, mask);
	case OB_IRQ_MSIX:
		return qtest_write(&qd->machine->qt, qd->msix_table + 16ull * vec + 12, 4, mask);
	case OB_IRQ_NONE:
		break;
	}
	return -EINVAL;
}
