/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Vectors: one eventfd each, one opener each, waited for by read, poll, signal or a thread.
 * The semantics are VFIO's (Linux, Documentation/driver-api/vfio.rst and include/uapi/linux/vfio.h).
 */
#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <unistd.h>

#include "access/access_private.h"
#include "access/faultpoint.h"

struct ob_irq {
	struct ob_device *dev;
	unsigned int vec;
	unsigned int flags;
	int fd;
	int tid; /* the thread that opened it, for the one who comes second */

	/* A thread that serves the vector, by a handler or by a signal. */
	bool threaded;
	pthread_t thread;
	int stop_fd;
	void (*handler)(void *arg, uint64_t count);
	void *arg;
	int signo;
	int signal_tid;
};

const char *ob_irq_kind_name(enum ob_irq_kind kind)
{
	static const char *const names[] = {"none", "INTx", "MSI", "MSI-X"};

	return kind <= OB_IRQ_MSIX ? names[kind] : "?";
}

unsigned int ob_irq_count(struct ob_device *dev, enum ob_irq_kind kind)
{
	if (ob_device_gone(dev))
		return 0;
	return dev->ops->irq_count ? dev->ops->irq_count(dev, kind)
				   : ob_irq_count(dev->lower, kind);
}

static int enable_locked(struct ob_device *dev, enum ob_irq_kind kind, unsigned int n,
			 struct ob_error *err)
{
	int ret;

	if (dev->irq_kind != OB_IRQ_NONE)
		return ob_error_set(err, -EBUSY, "%s: interrupts are enabled already (%u %s)",
				    dev->info.name, dev->irq_n, ob_irq_kind_name(dev->irq_kind));
	if (dev->ops->irq_enable) {
		ret = dev->ops->irq_enable(dev, kind, n, err);
	} else {
		ret = ob_irq_enable(dev->lower, kind, n, err);
		for (unsigned int i = 0; !ret && i < n; i++)
			dev->vector[i].fd = dev->lower->vector[i].fd;
	}
	if (ret)
		return ret;
	dev->irq_kind = kind;
	dev->irq_n = n;
	for (unsigned int i = 0; i < n; i++) {
		dev->vector[i].enabled = true;
		dev->vector[i].masked = false;
	}
	return 0;
}

int ob_irq_enable(struct ob_device *dev, enum ob_irq_kind kind, unsigned int n,
		  struct ob_error *err)
{
	unsigned int max;
	int ret;

	if (ob_device_gone(dev))
		return ob_error_set(err, -ENODEV, "%s is gone", dev->info.name);
	max = ob_irq_count(dev, kind);
	if (!max)
		return ob_error_set(err, -EOPNOTSUPP, "%s has no %s interrupts", dev->info.name,
				    ob_irq_kind_name(kind));
	ret = OB_FAULT_ERROR("irq.enable");
	if (ret)
		return ob_error_set(err, ret, "%s: no interrupts: a fault point", dev->info.name);
	if (!n || n > max || (kind == OB_IRQ_MSI && (n & (n - 1))))
		return ob_error_set(err, -EINVAL,
				    "%s: %u %s vectors are not possible, up to %u%s are",
				    dev->info.name, n, ob_irq_kind_name(kind), max,
				    kind == OB_IRQ_MSI ? ", a power of two," : "");
	pthread_mutex_lock(dev->sync);
	ret = enable_locked(dev, kind, n, err);
	pthread_mutex_unlock(dev->sync);
	return ret;
}

int ob_irq_enable_best(struct ob_device *dev, unsigned int want, enum ob_irq_kind *kind,
		       struct ob_error *err)
{
	static const enum ob_irq_kind order[] = {OB_IRQ_MSIX, OB_IRQ_MSI, OB_IRQ_INTX};

	for (unsigned int i = 0; i < 3; i++) {
		unsigned int n = ob_irq_count(dev, order[i]);
		int ret;

		if (!n)
			continue;
		if (n > want)
			n = want;
		while (order[i] == OB_IRQ_MSI && (n & (n - 1)))
			n &= n - 1;
		if (order[i] == OB_IRQ_INTX)
			n = 1;
		ret = ob_irq_enable(dev, order[i], n, err);
		if (ret)
			return ret;
		if (kind)
			*kind = order[i];
		return (int)n;
	}
	return ob_error_set(err, -EOPNOTSUPP, "%s has no interrupts at all", dev->info.name);
}

void ob_irq_disable(struct ob_device *dev)
{
	pthread_mutex_lock(dev->sync);
	if (dev->irq_kind != OB_IRQ_NONE) {
		if (dev->ops->irq_disable)
			dev->ops->irq_disable(dev);
		else
			ob_irq_disable(dev->lower);
		for (unsigned int i = 0; i < dev->irq_n; i++)
			dev->vector[i].enabled = false;
		dev->irq_kind = OB_IRQ_NONE;
		dev->irq_n = 0;
	}
	pthread_mutex_unlock(dev->sync);
}

int ob_irq_open(struct ob_device *dev, unsigned int vec, unsigned int flags, struct ob_irq **irq,
		struct ob_error *err)
{
	struct ob_irq *opened;
	int ret = 0;

	if (ob_device_gone(dev))
		return ob_error_set(err, -ENODEV, "%s is gone", dev->info.name);
	opened = OB_FAULT_ERROR("irq.open") ? NULL : calloc(1, sizeof(*opened));
	if (!opened)
		return ob_error_set(err, -ENOMEM, "%s: out of memory", dev->info.name);
	pthread_mutex_lock(dev->sync);
	if (vec >= dev->irq_n) {
		ret = ob_error_set(err, -EINVAL, "%s: vector %u is not enabled, %u are",
				   dev->info.name, vec, dev->irq_n);
	} else if (dev->vector[vec].irq) {
		ret = ob_error_set(err, -EBUSY, "%s: vector %u is held already", dev->info.name,
				   vec);
		ob_error_why(err, "thread %d of process %d opened it", dev->vector[vec].irq->tid,
			     getpid());
	} else {
		opened->dev = dev;
		opened->vec = vec;
		opened->flags = flags;
		opened->fd = dev->vector[vec].fd;
		opened->stop_fd = -1;
		opened->tid = (int)syscall(SYS_gettid);
		dev->vector[vec].irq = opened;
	}
	pthread_mutex_unlock(dev->sync);
	if (ret) {
		free(opened);
		return ret;
	}
	*irq = opened;
	return 0;
}

static void stop_thread(struct ob_irq *irq)
{
	const uint64_t one = 1;

	if (!irq->threaded)
		return;
	/* A fresh eventfd takes a 1 without blocking. */
	if (write(irq->stop_fd, &one, sizeof(one)) == sizeof(one))
		pthread_join(irq->thread, NULL);
	close(irq->stop_fd);
	irq->stop_fd = -1;
	irq->threaded = false;
}

void ob_irq_close(struct ob_irq *irq)
{
	if (!irq)
		return;
	stop_thread(irq);
	pthread_mutex_lock(irq->dev->sync);
	irq->dev->vector[irq->vec].irq = NULL;
	pthread_mutex_unlock(irq->dev->sync);
	free(irq);
}

void ob_irq_close_all(struct ob_device *dev)
{
	for (unsigned int i = 0; i < OB_IRQ_VECTORS; i++)
		ob_irq_close(dev->vector[i].irq);
}

void ob_irq_wake_all(struct ob_device *dev)
{
	const uint64_t one = 1;

	for (unsigned int i = 0; i < OB_IRQ_VECTORS; i++)
		if (dev->vector[i].fd >= 0 && write(dev->vector[i].fd, &one, sizeof(one)) < 0)
			continue; /* full, so it is readable already */
}

int ob_irq_fd(const struct ob_irq *irq)
{
	return irq->fd;
}

int ob_vector_mask(struct ob_device *dev, unsigned int vec, bool mask)
{
	while (!dev->ops->irq_mask)
		dev = dev->lower;
	return dev->ops->irq_mask(dev, vec, mask);
}

static int set_mask(struct ob_irq *irq, bool mask)
{
	struct ob_device *dev = irq->dev;

	if (ob_device_gone(dev))
		return -ENODEV;
	__atomic_store_n(&dev->vector[irq->vec].masked, mask, __ATOMIC_RELAXED);
	if (ob_unlikely(__atomic_load_n(&dev->muted, __ATOMIC_ACQUIRE)))
		return 0;
	return ob_vector_mask(dev, irq->vec, mask);
}

int ob_irq_mask(struct ob_irq *irq)
{
	return set_mask(irq, true);
}

int ob_irq_unmask(struct ob_irq *irq)
{
	return set_mask(irq, false);
}

/* ---- held back by somebody who watches ----------------------------------------------------- */

static int mute_locked(struct ob_device *dev)
{
	int ret = 0;

	/* First, so that an unmask that comes now is held back; one on its way is seen by who watches, and he asks again. */
	__atomic_store_n(&dev->muted, true, __ATOMIC_RELEASE);
	for (unsigned int i = 0; i < dev->irq_n && !ret; i++)
		ret = ob_vector_mask(dev, i, true);
	if (ret != -EOPNOTSUPP || dev->irqs_off)
		return ret;
	while (!dev->ops->irq_disable)
		dev = dev->lower;
	dev->ops->irq_disable(dev);
	dev->irqs_off = true;
	return 0;
}

static int unmute_locked(struct ob_device *dev)
{
	struct ob_device *low = dev;
	int ret = 0;

	while (!low->ops->irq_enable)
		low = low->lower;
	if (low->irqs_off && dev->irq_kind != OB_IRQ_NONE)
		ret = low->ops->irq_enable(low, dev->irq_kind, dev->irq_n, NULL);
	low->irqs_off = false;
	__atomic_store_n(&dev->muted, false, __ATOMIC_RELEASE);
	for (unsigned int i = 0; i < dev->irq_n; i++)
		if (!__atomic_load_n(&dev->vector[i].masked, __ATOMIC_RELAXED))
			ob_vector_mask(dev, i, false); /* no failure where there is no mask */
	return ret;
}

int ob_device_mute(struct ob_device *dev, bool on)
{
	int ret = -ENODEV;

	pthread_mutex_lock(dev->sync);
	if (!ob_device_gone(dev))
		ret = on ? mute_locked(dev) : unmute_locked(dev);
	pthread_mutex_unlock(dev->sync);
	return ret;
}

void ob_device_count_irqs(struct ob_device *dev, uint64_t *counter)
{
	__atomic_store_n(&dev->irqs_counter, counter, __ATOMIC_RELEASE);
}

/* What is due when interrupts were read. */
static int taken(struct ob_irq *irq, uint64_t count)
{
	struct ob_device *dev = irq->dev;
	uint64_t *counter = __atomic_load_n(&dev->irqs_counter, __ATOMIC_ACQUIRE);

	if (ob_device_gone(dev))
		return -ENODEV;
	if (counter)
		ob_count(counter, count);
	if (irq->flags & OB_IRQ_MASK_UNTIL_SERVED && dev->irq_kind != OB_IRQ_INTX)
		ob_irq_mask(irq);
	while (dev->lower)
		dev = dev->lower;
	ob_count(&dev->stats.irqs, count);
	return 0;
}

/* Read what is there, without waiting: the caller has seen POLLIN and is the only reader. */
static int take(struct ob_irq *irq, uint64_t *count)
{
	if (read(irq->fd, count, sizeof(*count)) != sizeof(*count))
		return errno == EINTR ? -EINTR : -EIO;
	return taken(irq, *count);
}

int ob_irq_wait(struct ob_irq *irq, int timeout_ms)
{
	struct pollfd pfd = {.fd = irq->fd, .events = POLLIN};
	uint64_t count = 0;
	int ret;

	if (ob_device_gone(irq->dev))
		return -ENODEV;
	if (timeout_ms) {
		ret = OB_FAULT_CALL("irq.wait", poll(&pfd, 1, timeout_ms));
		if (ret <= 0)
			return ret ? -errno : 0;
		ret = take(irq, &count);
	} else {
		/* Mostly of somebody who knows that there is one: one system call, not two. */
		struct iovec iov = {&count, sizeof(count)};

		if (preadv2(irq->fd, &iov, 1, -1, RWF_NOWAIT) != sizeof(count))
			return errno == EAGAIN ? 0 : -errno;
		ret = taken(irq, count);
	}
	if (ret)
		return ret;
	return count > INT32_MAX ? INT32_MAX : (int)count;
}

/* ---- threads and signals ---------------------------------------------------------------- */

/*
 * Send the signal with si_fd and si_band as fcntl(F_SETSIG) has them (sigaction(2)). si_code is
 * SI_SIGIO instead of POLL_IN, since only the kernel may send positive codes to other threads.
 */
static void send_signal(const struct ob_irq *irq)
{
	siginfo_t info;

	memset(&info, 0, sizeof(info));
	info.si_signo = irq->signo;
	info.si_code = SI_SIGIO;
	info.si_band = POLLIN | POLLRDNORM;
	info.si_fd = irq->fd;
	/* A thread that has ended meanwhile cannot be told anything: ESRCH is no failure. */
	syscall(SYS_rt_tgsigqueueinfo, getpid(), irq->signal_tid, irq->signo, &info);
}

static void *serve(void *arg)
{
	struct ob_irq *irq = arg;
	struct pollfd pfd[2] = {
		{.fd = irq->fd, .events = POLLIN},
		{.fd = irq->stop_fd, .events = POLLIN},
	};

	for (;;) {
		uint64_t count;
		int ret;

		if (poll(pfd, 2, -1) < 0)
			continue;
		if (pfd[1].revents)
			return NULL;
		if (!(pfd[0].revents & POLLIN))
			continue;
		ret = take(irq, &count);
		if (ret == -ENODEV)
			return NULL;
		if (ret)
			continue;
		if (irq->handler)
			irq->handler(irq->arg, count);
		else
			send_signal(irq);
		/* A signal's receiver unmasks by itself when it has served the device. */
		if (irq->handler &&
		    (irq->dev->irq_kind == OB_IRQ_INTX || irq->flags & OB_IRQ_MASK_UNTIL_SERVED))
			ob_irq_unmask(irq);
	}
}

static int start_thread(struct ob_irq *irq, int priority, struct ob_error *err)
{
	const char *name = irq->dev->info.name;
	struct sched_param param = {.sched_priority = priority};
	sigset_t all, old;
	pthread_attr_t attr;
	int ret;

	if (irq->threaded)
		return ob_error_set(err, -EBUSY, "%s: a thread serves vector %u already", name,
				    irq->vec);
	irq->stop_fd = eventfd(0, EFD_CLOEXEC);
	if (irq->stop_fd < 0)
		return ob_error_set(err, -errno, "%s: no descriptor for vector %u", name, irq->vec);
	pthread_attr_init(&attr);
	if (priority) {
		pthread_attr_setinheritsched(&attr, PTHREAD_EXPLICIT_SCHED);
		pthread_attr_setschedpolicy(&attr, SCHED_FIFO);
		ret = pthread_attr_setschedparam(&attr, &param);
		if (ret) {
			ob_error_set(err, -EINVAL, "%s: %d is not a real-time priority (1 to 99)",
				     name, priority);
			goto out;
		}
	}
	sigfillset(&all);
	pthread_sigmask(SIG_BLOCK, &all, &old);
	ret = pthread_create(&irq->thread, &attr, serve, irq);
	pthread_sigmask(SIG_SETMASK, &old, NULL);
	if (ret) {
		ob_error_set(err, -ret, "%s: cannot start the thread of vector %u%s", name,
			     irq->vec, priority ? " with real-time priority" : "");
		if (ret == EPERM)
			ob_error_fix(err,
				     "raise RLIMIT_RTPRIO (`ulimit -r %d`) or give the program "
				     "CAP_SYS_NICE",
				     priority);
	}
out:
	pthread_attr_destroy(&attr);
	if (ret) {
		close(irq->stop_fd);
		irq->stop_fd = -1;
		return -ret;
	}
	irq->threaded = true;
	return 0;
}

int ob_irq_signal(struct ob_irq *irq, int signo, int tid)
{
	if (irq->threaded && irq->handler)
		return -EBUSY;
	stop_thread(irq);
	if (!signo)
		return 0;
	if (signo < 0 || signo > SIGRTMAX)
		return -EINVAL;
	irq->signo = signo;
	irq->signal_tid = tid;
	irq->handler = NULL;
	return start_thread(irq, 0, NULL);
}

int ob_irq_thread(struct ob_irq *irq, void (*handler)(void *arg, uint64_t count), void *arg,
		  int priority, struct ob_error *err)
{
	if (!handler || priority < 0)
		return ob_error_set(err, -EINVAL, "%s: a handler and a priority >= 0 are needed",
				    irq->dev->info.name);
	if (irq->threaded)
		return ob_error_set(err, -EBUSY, "%s: a thread serves vector %u already",
				    irq->dev->info.name, irq->vec);
	irq->handler = handler;
	irq->arg = arg;
	return start_thread(irq, priority, err);
}

void ob_irq_empty(int fd)
{
	struct pollfd pfd = {.fd = fd, .events = POLLIN};
	uint64_t count;

	while (poll(&pfd, 1, 0) > 0)
		if (read(fd, &count, sizeof(count)) < 0)
			return;
}
