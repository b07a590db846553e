/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What the tests of real devices share. They run in the rig (tests/rig/vfio_*.sh), where RIG_EDU and so on are the
 * addresses of devices that vfio-pci has.
 */
#ifndef TESTS_VFIO_RIG_H
#define TESTS_VFIO_RIG_H

#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include <outboard/outboard.h>

#include "tests/edu.h"
#include "tests/wait_for.h"

/* A device's address from the environment: RIG_EDU. */
static inline const char *rig_device(const char *variable)
{
	const char *bdf = getenv(variable);

	if (!bdf)
		fail_msg("%s is not set: these tests run in the rig", variable);
	return bdf;
}

static inline struct ob_device *rig_open(const char *variable, const char *options)
{
	struct ob_error err = {0};
	struct ob_device *dev;
	char spec[128], text[2048];

	snprintf(spec, sizeof(spec), "vfio:%s%s", rig_device(variable), options);
	if (ob_device_open(spec, &dev, &err))
		fail_msg("%s: %s", spec, ob_error_text(&err, text, sizeof(text)));
	return dev;
}

/* Accesses that the emulated IOMMU refused so far, counted by QEMU itself; -1 where nobody counts. */
static inline long rig_refused(void)
{
	const char *path = getenv("RIG_FAULTS");
	FILE *f = path ? fopen(path, "re") : NULL;
	char line[256];
	long n = 0;

	if (!f)
		return -1;
	while (fgets(line, sizeof(line), f))
		n += !!strstr(line, "fault");
	fclose(f);
	return n;
}

static inline int rig_sysfs_write(const char *path, const char *text)
{
	int fd = open(path, O_WRONLY | O_CLOEXEC), ret = 0;

	if (fd < 0)
		return -errno;
	if (write(fd, text, strlen(text)) < 0)
		ret = -errno;
	close(fd);
	return ret;
}

/* The command register as the kernel sees it, whoever has the device. */
static inline unsigned int rig_command(const char *bdf)
{
	unsigned char reg[2] = {0xff, 0xff};
	char path[96];
	int fd;

	snprintf(path, sizeof(path), "/sys/bus/pci/devices/%s/config", bdf);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return 0xffff;
	if (pread(fd, reg, 2, 4) != 2)
		reg[0] = reg[1] = 0xff;
	close(fd);
	return reg[0] | (unsigned int)reg[1] << 8;
}

/* The kernel's own driver of the device, which the test has loaded, does not get it while @dev has it. */
static inline void rig_not_taken_by_the_kernel(struct ob_device *dev, const char *bdf,
					       const char *kernel_driver, const char *ours)
{
	char path[128], driver[256];
	ssize_t n;

	snprintf(path, sizeof(path), "/sys/bus/pci/drivers/%s/bind", kernel_driver);
	assert_int_equal(access(path, F_OK), 0);
	assert_true(rig_sysfs_write(path, bdf) < 0);
	rig_sysfs_write("/sys/bus/pci/drivers_probe", bdf);
	snprintf(path, sizeof(path), "/sys/bus/pci/devices/%s/driver", bdf);
	n = readlink(path, driver, sizeof(driver) - 1);
	assert_true(n > 0);
	driver[n] = '\0';
	assert_string_equal(strrchr(driver, '/') + 1, ours);
	assert_false(ob_device_gone(dev));
}

/* Bus mastering is on while it is open, and goes off when it is closed, which this does. */
static inline void rig_masters_until_close(struct ob_device *dev, const char *bdf)
{
	assert_int_equal(rig_command(bdf) & 4, 4);
	ob_device_close(dev);
	assert_int_equal(rig_command(bdf) & 4, 0);
}

/* Another process that has @node open, until rig_let_go(). */
struct rig_holder {
	pid_t pid;
	int wait;
};

static inline struct rig_holder rig_hold(const char *node)
{
	int wait[2], ready[2];
	struct rig_holder h;
	char c = 0;

	assert_int_equal(pipe(wait) | pipe(ready), 0);
	h.pid = fork();
	assert_true(h.pid >= 0);
	if (!h.pid) {
		c = open(node, O_RDWR) >= 0;
		close(wait[1]);
		if (write(ready[1], &c, 1) != 1)
			_exit(1);
		_exit(read(wait[0], &c, 1) < 0);
	}
	close(wait[0]);
	close(ready[1]);
	assert_int_equal(read(ready[0], &c, 1), 1);
	assert_int_equal(c, 1);
	close(ready[0]);
	h.wait = wait[1];
	return h;
}

static inline void rig_let_go(const struct rig_holder *h)
{
	close(h->wait);
	assert_int_equal(waitpid(h->pid, NULL, 0), h->pid);
}

/* In a child, which must not go on in cmocka's code: tells why it cannot do its work, and ends. */
static inline void __attribute__((noreturn)) rig_child_fails(const char *what, struct ob_error *err)
{
	char text[2048];

	dprintf(STDERR_FILENO, "%s: %s\n", what,
		err ? ob_error_text(err, text, sizeof(text)) : strerror(errno));
	_exit(1);
}

/*
 * A process that runs @drive, which writes @len bytes to its pipe when its device is at work, and never ends by itself. It ends
 * with this one, so that a check that fails leaves none behind.
 */
static inline pid_t rig_drive(void (*drive)(int fd), void *ready, size_t len)
{
	int fd[2], status = 0;
	ssize_t got;
	pid_t pid;

	assert_int_equal(pipe(fd), 0);
	pid = fork();
	assert_true(pid >= 0);
	if (!pid) {
		close(fd[0]);
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		drive(fd[1]);
		_exit(1);
	}
	close(fd[1]);
	got = read(fd[0], ready, len);
	if (got != (ssize_t)len) {
		kill(pid, SIGKILL);
		waitpid(pid, &status, 0);
		fail_msg(
			"the child did not come to drive its device: %zd bytes from it, status 0x%x",
			got, (unsigned int)status);
	}
	close(fd[0]);
	return pid;
}

/* Kills it while it drives the device, which the kernel then keeps from DMA. */
static inline void rig_kill(pid_t pid, const char *bdf)
{
	unsigned int before = rig_command(bdf), after;
	int status;

	kill(pid, SIGKILL);
	assert_int_equal(waitpid(pid, &status, 0), pid);
	if (!WIFSIGNALED(status) || WTERMSIG(status) != SIGKILL)
		fail_msg("the child ended by itself, status 0x%x", (unsigned int)status);
	after = rig_command(bdf);
	if (!(before & 4) || after & 4)
		fail_msg("bus mastering: command register 0x%x before the death, 0x%x after it",
			 before, after);
}

#endif
