/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * One thread for each device that waits for what the kernel has to say of it: that somebody wants it back (`echo 1 >
 * remove`, unbind, hot-unplug; VFIO_PCI_REQ_IRQ_INDEX), or that it failed for good (PCIe advanced error reporting;
 * VFIO_PCI_ERR_IRQ_INDEX). In either case the device is let go at once: the kernel waits for that, without end.
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/pci_regs.h>
#include <linux/vfio.h>
#include <poll.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "access/threads.h"
#include "access/vfio/vfio.h"

static void let_go(struct vfio_device *vd)
{
	uint32_t command;

	/*
	 * No DMA into memory whose owner is told in a moment that the device has gone. Memory decoding stays on in what the
	 * kernel keeps of this register, also when the device was reset meanwhile (AER) and has forgotten it, or does not answer:
	 * the kernel tears the maps down as it goes off, and a thread that reads a register just now would die of SIGBUS.
	 */
	pthread_mutex_lock(&vd->lock);
	command = vfio_config_get(vd, PCI_COMMAND, 2);
	command = command == 0xffff ? 0 : command & ~(uint32_t)PCI_COMMAND_MASTER;
	vfio_config_put(vd, PCI_COMMAND, 2, command | PCI_COMMAND_MEMORY);
	pthread_mutex_unlock(&vd->lock);

	ob_device_set_gone(vd->dev);
	vfio_regions_vanish(vd);
	/*
	 * The maps are gone, so this closes the device. Its number goes on to stand for an open file, of which nothing can be
	 * read: a thread that has taken the number a moment ago must not meet another file there.
	 */
	dup3(vd->dead_fd, vd->fd, O_CLOEXEC);
}

static void *watch(void *arg)
{
	struct vfio_device *vd = arg;
	struct pollfd pfd[] = {
		{.fd = vd->stop_fd, .events = POLLIN},
		{.fd = vd->request_fd, .events = POLLIN},
		{.fd = vd->error_fd, .events = POLLIN},
	};

	for (;;) {
		if (poll(pfd, 3, -1) < 0)
			continue; /* EINTR; all signals are blocked, but a debugger's stop is one, too */
		if (pfd[0].revents)
			return NULL;
		if (pfd[1].revents) {
			ob_device_log(vd->dev, OB_LOG_WARN,
				      "the kernel takes the device away (removal or unbind)");
			let_go(vd);
			return NULL;
		}
		if (pfd[2].revents) {
			ob_device_log(
				vd->dev, OB_LOG_ERROR,
				"the kernel reports an error that it cannot correct (PCIe AER); the device "
				"is given up");
			let_go(vd);
			return NULL;
		}
	}
}

int vfio_watch_start(struct vfio_device *vd, struct ob_error *err)
{
	int ret;

	vd->stop_fd = eventfd(0, EFD_CLOEXEC);
	vd->request_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	vd->error_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	/* Now, and not when it is needed: a confined process opens nothing any more. */
	vd->dead_fd = open("/dev/null", O_RDONLY | O_CLOEXEC);
	if (vd->dead_fd < 0)
		vd->dead_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (vd->stop_fd < 0 || vd->request_fd < 0 || vd->error_fd < 0 || vd->dead_fd < 0)
		return ob_error_set(err, -errno, "%s: out of descriptors", vd->fn.name);
	/* Conventional devices have no error reporting; a kernel without requests is older than 4.0. */
	vfio_notice(vd, VFIO_PCI_REQ_IRQ_INDEX, vd->request_fd);
	vfio_notice(vd, VFIO_PCI_ERR_IRQ_INDEX, vd->error_fd);
	ret = ob_thread_start(&vd->watcher, watch, vd);
	if (ret)
		return ob_error_set(err, ret, "%s: cannot start the thread that watches it: %s",
				    vd->fn.name, strerror(-ret));
	vd->watched = true;
	return 0;
}

void vfio_watch_stop(struct vfio_device *vd)
{
	const uint64_t one = 1;

	if (vd->watched && write(vd->stop_fd, &one, sizeof(one)) == sizeof(one))
		pthread_join(vd->watcher, NULL);
	vd->watched = false;
	if (vd->stop_fd >= 0)
		close(vd->stop_fd);
	if (vd->request_fd >= 0)
		close(vd->request_fd);
	if (vd->error_fd >= 0)
		close(vd->error_fd);
	if (vd->dead_fd >= 0)
		close(vd->dead_fd);
	vd->stop_fd = vd->request_fd = vd->error_fd = vd->dead_fd = -1;
}
