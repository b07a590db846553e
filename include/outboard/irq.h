/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Interrupts: one eventfd per vector, with VFIO's semantics. INTx is level triggered and
 * masked when it is delivered, until ob_irq_unmask(); MSI and MSI-X are messages.
 */
#ifndef OUTBOARD_IRQ_H
#define OUTBOARD_IRQ_H

#include <outboard/device.h>

#ifdef __cplusplus
extern "C" {
#endif

enum ob_irq_kind {
	OB_IRQ_NONE,
	OB_IRQ_INTX,
	OB_IRQ_MSI,
	OB_IRQ_MSIX,
};

struct ob_irq;

const char *ob_irq_kind_name(enum ob_irq_kind kind);

/** ob_irq_count() - how many vectors of a kind the device can use here; 0 for none */
unsigned int ob_irq_count(struct ob_device *dev, enum ob_irq_kind kind);

/**
 * ob_irq_enable() - choose the kind of interrupt and switch @n vectors on
 * @n: 1 for INTx; a power of two for MSI (PCI 3.0, 6.8.1.3)
 *
 * Return: 0; -EBUSY when interrupts are already enabled; -EINVAL for @n; -EOPNOTSUPP.
 */
int ob_irq_enable(struct ob_device *dev, enum ob_irq_kind kind, unsigned int n,
		  struct ob_error *err);

/** ob_irq_enable_best() - MSI-X, else MSI, else INTx; at most @want vectors; returns how many */
int ob_irq_enable_best(struct ob_device *dev, unsigned int want, enum ob_irq_kind *kind,
		       struct ob_error *err);

/** ob_irq_disable() - switch all vectors off; open vectors stay open but stay silent */
void ob_irq_disable(struct ob_device *dev);

enum ob_irq_flags {
	/* Mask a message vector too when ob_irq_wait() or a thread takes it, until unmask. */
	OB_IRQ_MASK_UNTIL_SERVED = 1 << 0,
};

/**
 * ob_irq_open() - take one enabled vector
 * @vec: below the number given to ob_irq_enable()
 * @flags: of enum ob_irq_flags
 *
 * Return: 0; -EBUSY when the vector is open already (@err names the process and the
 * thread that hold it); -EINVAL; -ENODEV.
 */
int ob_irq_open(struct ob_device *dev, unsigned int vec, unsigned int flags, struct ob_irq **irq,
		struct ob_error *err);
void ob_irq_close(struct ob_irq *irq);

/**
 * ob_irq_fd() - the vector's eventfd
 *
 * Blocking: read() of 8 bytes waits for an interrupt and gives the number since the last
 * read. poll, select and epoll work; ob_irq_signal() adds a signal. Owned by the vector; do not
 * close. Becomes readable, too, when the device is gone. After a read() of an INTx vector, or of
 * one opened with OB_IRQ_MASK_UNTIL_SERVED through ob_irq_wait(), call ob_irq_unmask().
 */
int ob_irq_fd(const struct ob_irq *irq);

/**
 * ob_irq_wait() - wait for an interrupt
 * @timeout_ms: -1 for ever, 0 to look only
 *
 * Return: interrupts since the last wait (> 0); 0 on time-out; -ENODEV when gone; -EINTR.
 */
int ob_irq_wait(struct ob_irq *irq, int timeout_ms);

int ob_irq_mask(struct ob_irq *irq);

/** ob_irq_unmask() - an INTx line that is still asserted is delivered again at once */
int ob_irq_unmask(struct ob_irq *irq);

/**
 * ob_device_mute() - hold all interrupts of a device back, whatever its driver does, or let them come again
 *
 * For somebody who watches a device that storms. Each vector is masked; where the device has no mask for it, interrupts are
 * switched off. ob_irq_unmask() then takes effect when the device is not muted any more. Whoever waits for an
 * interrupt meanwhile waits in vain: a loop has to poll (ob_loop_silent()).
 *
 * Return: 0; -ENODEV; what the backend says.
 */
int ob_device_mute(struct ob_device *dev, bool on);

/**
 * ob_device_count_irqs() - where interrupts are counted, beside ob_device_stats(), that ob_irq_wait() and threads take
 * @counter: read as a relaxed atomic, by other processes, too; must live as long as the device. NULL: nowhere
 */
void ob_device_count_irqs(struct ob_device *dev, uint64_t *counter);

/**
 * ob_irq_signal() - have a signal sent for each interrupt, as fcntl(F_SETSIG) would
 * @signo: e.g. SIGIO or a real-time signal; 0 ends it
 * @tid: thread of this process that gets it (gettid()); si_fd is the vector's descriptor
 *
 * eventfds have no O_ASYNC of their own, so a thread of the library waits, takes the events (reads the
 * descriptor) and signals. As with O_ASYNC one signal may stand for several interrupts; real-time signals
 * are queued. An INTx vector, and one with OB_IRQ_MASK_UNTIL_SERVED, stays masked until ob_irq_unmask().
 *
 * Return: 0; -EBUSY while a thread serves the vector; another negative errno value.
 */
int ob_irq_signal(struct ob_irq *irq, int signo, int tid);

/**
 * ob_irq_thread() - serve the vector in a thread of its own
 * @handler: called with the number of interrupts; the vector is unmasked when it returns
 * @priority: 1 to 99 for SCHED_FIFO, 0 for none. Needs CAP_SYS_NICE or RLIMIT_RTPRIO: -EPERM
 *
 * The thread blocks all signals and ends at ob_irq_close() or when the device is gone.
 */
int ob_irq_thread(struct ob_irq *irq, void (*handler)(void *arg, uint64_t count), void *arg,
		  int priority, struct ob_error *err);

#ifdef __cplusplus
}
#endif
#endif
