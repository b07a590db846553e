/* SPDX-License-Identifier: BSD-2-Clause */
/* Devices of the embedded backend: claiming, vectors of every kind, reset, removal, sharing. */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "access/qemu/machine.h"

/* edu registers (QEMU, docs/specs/edu.txt) */
#define EDU_LIVENESS   0x04
#define EDU_IRQ_STATUS 0x24
#define EDU_IRQ_RAISE  0x60
#define EDU_IRQ_ACK    0x64

static struct ob_device *open_device(const char *spec)
{
	struct ob_device *dev;
	struct ob_error err = {0};
	char text[1200];

	if (ob_device_open(spec, &dev, &err))
		fail_msg("%s", ob_error_text(&err, text, sizeof(text)));
	return dev;
}

static void quiet(void *arg, enum ob_log_level level, const char *line)
{
}

static pid_t qemu_of(struct ob_device *dev)
{
	while (dev->lower)
		dev = dev->lower;
	return ((struct qemu_device *)dev->priv)->machine->pid;
}

/* ---- open ------------------------------------------------------------------------------- */

static void open_fails(const char *spec, int code, const char *named)
{
	struct ob_device *dev;
	struct ob_error err = {0};
	char text[1200];
	int ret = ob_device_open(spec, &dev, &err);

	ob_error_text(&err, text, sizeof(text));
	if (ret != code || !strstr(text, named))
		fail_msg("%s: %d, %s", spec, ret, text);
}

static void refusals_say_what_is_wrong(void **state)
{
	char path[] = "/tmp/outboard-test-XXXXXX", spec[128];
	int fd = mkstemp(path);

	assert_true(fd >= 0);
	open_fails("vhost:nvme", -EINVAL, "backends of this build: qemu");
	open_fails("trace:qemu:edu", -EINVAL, "no wrapper 'trace'");
	open_fails("qemu:edu,colour=red", -EINVAL, "'colour'");
	open_fails("qemu:edu,iommu=maybe", -EINVAL, "iommu='maybe'");
	open_fails("qemu:nonesuch", -ENODEV, "nonesuch");
	open_fails("qemu:nvme", -EINVAL, "file=PATH");
	open_fails("qemu:nvme,fiel=/tmp/x", -EINVAL, "'fiel'");
	open_fails("qemu:nvme,file=/nonexistent/x", -ENOENT, "/nonexistent/x");
	open_fails("qemu:nvme,file=/dev", -EISDIR, "/dev");
	open_fails("qemu:nvme,file=/dev/null", -EINVAL, "neither a regular file");
	open_fails("qemu:edu,qemu=/nonexistent/qemu", -ENOENT, "/nonexistent/qemu");
	open_fails("qemu:e1000e,netdev=fd:999", -EINVAL, "999");
	open_fails("qemu:e1000e,fwd=here", -EINVAL, "fwd='here'");
	open_fails("qemu:e1000e,mac=01:00:00:00:00:00", -EINVAL, "unicast");
	open_fails("qemu:edu,arena=64G", -EINVAL, "arena='64G'");
	snprintf(spec, sizeof(spec), "qemu:nvme,file=%s", path);
	assert_int_equal(ftruncate(fd, 100), 0);
	open_fails(spec, -EINVAL, "less than one sector");
	assert_int_equal(ftruncate(fd, 1000), 0);
	open_fails(spec, -EINVAL, "not a multiple of 512");
	assert_int_equal(ftruncate(fd, 1 << 20), 0);
	assert_int_equal(fchmod(fd, 0444), 0);
	open_fails(spec, -EACCES, "readonly");
	close(fd);
	unlink(path);
}

static void a_second_open_of_an_image_names_the_holder(void **state)
{
	char path[] = "/tmp/outboard-test-XXXXXX", spec[128], pid[32];
	struct ob_device *first;
	int fd = mkstemp(path);

	assert_true(fd >= 0);
	assert_int_equal(ftruncate(fd, 1 << 20), 0);
	close(fd);
	snprintf(spec, sizeof(spec), "qemu:nvme,file=%s", path);
	snprintf(pid, sizeof(pid), "process %d", getpid());
	first = open_device(spec);
	open_fails(spec, -EBUSY, pid);
	ob_device_close(first);
	first = open_device(spec);
	ob_device_close(first);
	unlink(path);
}

/* As a process that is killed between fork and exec: its child has the claim for a moment longer. */
static void a_claim_in_the_child_of_a_dead_holder_is_waited_for(void **state)
{
	int fd, second, holder, status;
	siginfo_t info;
	char name[64];
	pid_t pid;

	snprintf(name, sizeof(name), "test/%d", getpid());
	pid = fork();
	if (!pid) {
		if (ob_claim(name, &fd, &holder))
			_exit(1);
		if (!fork())
			usleep(200000);
		_exit(0);
	}
	/* Dead, and still to be seen as a process. */
	assert_int_equal(waitid(P_PID, (id_t)pid, &info, WEXITED | WNOWAIT), 0);
	assert_int_equal(ob_claim(name, &fd, &holder), 0);
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_int_equal(status, 0);
	/* One that lives keeps it. */
	assert_int_equal(ob_claim(name, &second, &holder), -EBUSY);
	assert_int_equal(holder, getpid());
	close(fd);
}

static void identity_and_bars_are_read(void **state)
{
	struct ob_device *dev = open_device("qemu:edu");
	const struct ob_device_info *info = ob_device_info(dev);
	struct ob_bar *bar = ob_device_bar(dev, 0);

	assert_int_equal(info->vendor, 0x1234);
	assert_int_equal(info->device, 0x11e8);
	assert_true(info->iommu);
	assert_non_null(bar);
	assert_int_equal(bar->kind, OB_BAR_MEM);
	assert_int_equal(bar->size, 1 << 20);
	assert_null(ob_device_bar(dev, 1));
	assert_null(ob_device_bar(dev, 6));
	ob_write32(bar, EDU_LIVENESS, 0x12345678);
	assert_int_equal(ob_read32(bar, EDU_LIVENESS), ~0x12345678u);
	assert_int_equal(ob_read32(bar, bar->size), UINT32_MAX);
	assert_int_equal(ob_config_read(dev, 0, 2), 0x1234);
	assert_int_equal(ob_config_read(dev, 1, 2), 0xffff);
	assert_true(ob_pci_capability(dev, 0x05) >= 0x40);
	assert_int_equal(ob_pci_capability(dev, 0x11), 0);
	ob_device_close(dev);
}

/* ---- vectors ------------------------------------------------------------------------------ */

static struct ob_irq *open_vector(struct ob_device *dev, enum ob_irq_kind kind, unsigned int flags)
{
	struct ob_error err;
	struct ob_irq *irq = NULL;

	if (ob_irq_enable(dev, kind, 1, &err) || ob_irq_open(dev, 0, flags, &irq, &err))
		fail_msg("%s", err.what);
	return irq;
}

/* Behind a wrapper, too. */
static void corked_writes_are_one_message_and_reads_come_after_them(void **state)
{
	static const char *const specs[] = {"qemu:edu", "fault[seed=1]:qemu:edu"};

	for (unsigned int i = 0; i < 2; i++) {
		struct ob_device *dev = open_device(specs[i]);
		struct ob_irq *irq = open_vector(dev, OB_IRQ_MSI, 0);
		struct ob_bar *bar = ob_device_bar(dev, 0);
		struct ob_access_stats before, after;

		ob_device_flush(dev);
		ob_device_stats(dev, &before);
		ob_device_cork(dev);
		for (uint32_t bit = 1; bit < 1u << 20; bit <<= 1)
			ob_write32(bar, EDU_IRQ_RAISE, bit);
		ob_device_uncork(dev);
		ob_device_stats(dev, &after);
		assert_int_equal(after.writes - before.writes, 20);
		assert_int_equal(after.syscalls - before.syscalls, 1);
		assert_true(ob_irq_wait(irq, 5000) > 0);
		assert_int_equal(ob_read32(bar, EDU_IRQ_STATUS), (1u << 20) - 1);

		ob_device_cork(dev);
		ob_write32(bar, EDU_IRQ_ACK, 0xf);
		assert_int_equal(ob_read32(bar, EDU_IRQ_STATUS), (1u << 20) - 16);
		ob_write32(bar, EDU_IRQ_ACK, 0xf0);
		ob_device_flush(dev);
		ob_device_uncork(dev);
		assert_int_equal(ob_read32(bar, EDU_IRQ_STATUS), (1u << 20) - 256);
		ob_device_close(dev);
	}
}

static void a_vector_has_one_opener(void **state)
{
	struct ob_device *dev = open_device("qemu:edu");
	struct ob_irq *irq = open_vector(dev, OB_IRQ_MSI, 0), *second;
	struct ob_error err;
	char pid[32];

	snprintf(pid, sizeof(pid), "process %d", getpid());
	assert_int_equal(ob_irq_open(dev, 0, 0, &second, &err), -EBUSY);
	assert_non_null(strstr(err.why, pid));
	assert_int_equal(ob_irq_open(dev, 1, 0, &second, &err), -EINVAL);
	assert_int_equal(ob_irq_enable(dev, OB_IRQ_INTX, 1, &err), -EBUSY);
	assert_int_equal(ob_irq_enable(dev, OB_IRQ_MSIX, 1, &err), -EOPNOTSUPP);
	ob_irq_close(irq);
	assert_int_equal(ob_irq_open(dev, 0, 0, &second, &err), 0);
	ob_device_close(dev); /* closes the vector */
}

/* An INTx line stays masked from its delivery to unmask, and is delivered again while high. */
static void intx_is_a_level_masked_until_served(void **state)
{
	struct ob_device *dev = open_device("qemu:edu");
	struct ob_irq *irq = open_vector(dev, OB_IRQ_INTX, 0);
	struct ob_bar *bar = ob_device_bar(dev, 0);

	assert_int_equal(ob_irq_wait(irq, 0), 0);
	ob_write32(bar, EDU_IRQ_RAISE, 1);
	assert_int_equal(ob_irq_wait(irq, 5000), 1);
	ob_write32(bar, EDU_IRQ_RAISE, 2);
	ob_device_flush(dev);
	assert_int_equal(ob_irq_wait(irq, 50), 0);
	assert_int_equal(ob_irq_unmask(irq), 0); /* still high */
	assert_int_equal(ob_irq_wait(irq, 5000), 1);
	ob_write32(bar, EDU_IRQ_ACK, 3);
	assert_int_equal(ob_irq_unmask(irq), 0); /* low: the posted ack has been waited for */
	assert_int_equal(ob_irq_wait(irq, 50), 0);
	ob_device_close(dev);
}

/* A USB 2 host has pin D; EHCI 1.0, 2.3: its registers lie behind as many bytes as the first one says. */
static void intx_comes_from_whatever_pin_the_device_has(void **state)
{
	struct ob_device *dev = open_device("qemu:usb-ehci,null=1M");
	struct ob_irq *irq = open_vector(dev, OB_IRQ_INTX, 0);
	struct ob_bar *bar = ob_device_bar(dev, 0);
	uint32_t at = ob_read32(bar, 0) & 0xff;

	assert_int_equal(ob_config_read(dev, 0x3d, 1), 4);
	assert_int_equal(ob_irq_wait(irq, 0), 0);
	ob_write32(bar, at + 0x08, 4); /* interrupt when a port changes: the disk was plugged in */
	ob_write32(bar, at + 0x04, 0x20); /* QEMU looks at its causes when one is cleared */
	assert_int_equal(ob_irq_wait(irq, 5000), 1);
	ob_write32(bar, at + 0x04, 4);
	assert_int_equal(ob_irq_unmask(irq), 0);
	assert_int_equal(ob_irq_wait(irq, 50), 0);
	ob_device_close(dev);
}

static void a_masked_message_is_kept_until_unmask(void **state)
{
	static const struct {
		const char *spec;
		enum ob_irq_kind kind;
	} which[] = {{"qemu:edu", OB_IRQ_MSI}, {"qemu:edu,iommu=off", OB_IRQ_MSI}};

	for (unsigned int i = 0; i < 2; i++) {
		struct ob_device *dev = open_device(which[i].spec);
		struct ob_irq *irq = open_vector(dev, which[i].kind, OB_IRQ_MASK_UNTIL_SERVED);
		struct ob_bar *bar = ob_device_bar(dev, 0);

		ob_write32(bar, EDU_IRQ_RAISE, 1);
		assert_int_equal(ob_irq_wait(irq, 5000), 1);
		ob_write32(bar, EDU_IRQ_ACK, 1);
		ob_write32(bar, EDU_IRQ_RAISE, 1);
		assert_int_equal(ob_irq_wait(irq, 50), 0);
		assert_int_equal(ob_irq_unmask(irq), 0);
		assert_int_equal(ob_irq_wait(irq, 5000), 1);
		ob_write32(bar, EDU_IRQ_ACK, 1);
		assert_int_equal(ob_irq_unmask(irq), 0);
		assert_int_equal(ob_irq_wait(irq, 50), 0);
		ob_device_close(dev);
	}
}

static void read_and_poll_work_on_the_descriptor(void **state)
{
	struct ob_device *dev = open_device("qemu:edu");
	struct ob_irq *irq = open_vector(dev, OB_IRQ_MSI, 0);
	struct ob_bar *bar = ob_device_bar(dev, 0);
	struct pollfd pfd = {.fd = ob_irq_fd(irq), .events = POLLIN};
	uint64_t count;

	assert_int_equal(poll(&pfd, 1, 0), 0);
	assert_int_equal(fcntl(pfd.fd, F_GETFL) & O_NONBLOCK, 0);
	for (int i = 0; i < 3; i++) {
		ob_write32(bar, EDU_IRQ_RAISE, 1);
		ob_write32(bar, EDU_IRQ_ACK, 1);
	}
	ob_device_flush(dev);
	assert_int_equal(poll(&pfd, 1, 60000), 1);
	assert_int_equal(read(pfd.fd, &count, sizeof(count)), sizeof(count));
	assert_int_equal(count, 3);
	ob_device_close(dev);
}

static volatile sig_atomic_t signals, signal_fd;

static void on_signal(int signo, siginfo_t *info, void *context)
{
	signals++;
	signal_fd = info->si_fd;
}

static void a_signal_can_be_had_for_each_interrupt(void **state)
{
	struct ob_device *dev = open_device("qemu:edu");
	struct ob_irq *irq = open_vector(dev, OB_IRQ_MSI, 0);
	struct ob_bar *bar = ob_device_bar(dev, 0);
	struct sigaction sa = {.sa_sigaction = on_signal, .sa_flags = SA_SIGINFO};

	sigaction(SIGIO, &sa, NULL);
	assert_int_equal(ob_irq_signal(irq, SIGIO, (int)syscall(SYS_gettid)), 0);
	for (int i = 0; i < 20; i++) {
		int before = signals;

		ob_write32(bar, EDU_IRQ_RAISE, 1);
		ob_write32(bar, EDU_IRQ_ACK, 1);
		for (int ms = 0; signals == before && ms < 5000; ms++)
			usleep(1000);
		assert_int_equal(signals, before + 1);
	}
	assert_int_equal(signal_fd, ob_irq_fd(irq));
	assert_int_equal(ob_irq_signal(irq, 0, 0), 0);
	assert_int_equal(ob_irq_signal(irq, 999, 0), -EINVAL);
	ob_device_close(dev);
}

static uint64_t served;

static void serve(void *arg, uint64_t count)
{
	struct ob_bar *bar = arg;

	ob_write32(bar, EDU_IRQ_ACK, ob_read32(bar, EDU_IRQ_STATUS));
	__atomic_add_fetch(&served, count, __ATOMIC_RELEASE);
}

static void a_thread_serves_and_unmasks(void **state)
{
	struct ob_device *dev = open_device("qemu:edu");
	struct ob_irq *irq = open_vector(dev, OB_IRQ_INTX, 0);
	struct ob_bar *bar = ob_device_bar(dev, 0);
	struct ob_error err = {0};
	int ret = ob_irq_thread(irq, serve, bar, 10, &err);

	/* Real-time priority where this process may, else the error says what to raise. */
	if (ret == -EPERM) {
		assert_non_null(strstr(err.fix, "RLIMIT_RTPRIO"));
		ret = ob_irq_thread(irq, serve, bar, 0, &err);
	}
	assert_int_equal(ret, 0);
	assert_int_equal(ob_irq_thread(irq, serve, bar, 0, &err), -EBUSY);
	served = 0;
	for (uint64_t i = 0; i < 50; i++) {
		ob_write32(bar, EDU_IRQ_RAISE, 1);
		for (int ms = 0; __atomic_load_n(&served, __ATOMIC_ACQUIRE) == i && ms < 5000; ms++)
			usleep(1000);
	}
	assert_int_equal(served, 50);
	ob_device_close(dev);
}

/* ---- reset, removal, sharing ------------------------------------------------------------------ */

static void a_reset_keeps_bars_and_vectors(void **state)
{
	struct ob_device *dev = open_device("qemu:edu,bridge=root-port");
	struct ob_irq *irq = open_vector(dev, OB_IRQ_MSI, 0);
	struct ob_bar *bar = ob_device_bar(dev, 0);
	struct ob_error err = {0};

	assert_int_equal(ob_device_info(dev)->bdf.bus, 1);
	ob_write32(bar, EDU_LIVENESS, 1);
	assert_int_equal(ob_device_reset(dev, &err), 0);
	ob_write32(bar, EDU_LIVENESS, 2);
	assert_int_equal(ob_read32(bar, EDU_LIVENESS), ~2u);
	ob_write32(bar, EDU_IRQ_RAISE, 1);
	assert_int_equal(ob_irq_wait(irq, 5000), 1);
	ob_device_close(dev);
	dev = open_device("qemu:edu");
	assert_int_equal(ob_device_reset(dev, &err), -EOPNOTSUPP);
	assert_non_null(strstr(err.fix, "root-port"));
	ob_device_close(dev);
}

static void the_death_of_qemu_wakes_everybody(void **state)
{
	struct ob_device *dev = open_device("qemu:edu");
	struct ob_irq *irq = open_vector(dev, OB_IRQ_MSI, 0);
	struct ob_bar *bar = ob_device_bar(dev, 0);
	struct pollfd pfd = {.fd = ob_device_removal_fd(dev), .events = POLLIN};
	struct ob_error err;

	ob_device_set_log(dev, quiet, NULL);
	kill(qemu_of(dev), SIGKILL);
	assert_int_equal(ob_irq_wait(irq, 10000), -ENODEV);
	assert_int_equal(poll(&pfd, 1, 60000), 1);
	assert_true(ob_device_gone(dev));
	assert_int_equal(ob_read32(bar, EDU_LIVENESS), UINT32_MAX);
	ob_write32(bar, EDU_LIVENESS, 1);
	assert_int_equal(ob_config_read(dev, 0, 4), UINT32_MAX);
	assert_int_equal(ob_device_reset(dev, &err), -ENODEV);
	assert_int_equal(ob_irq_unmask(irq), -ENODEV);
	ob_device_close(dev);
}

static void qemu_ends_with_the_process(void **state)
{
	int pipefd[2], status, ms;
	pid_t pid, qemu = 0;

	assert_int_equal(pipe(pipefd), 0);
	pid = fork();
	if (!pid) {
		struct ob_device *dev;

		if (ob_device_open("qemu:edu", &dev, NULL))
			_exit(1);
		qemu = qemu_of(dev);
		if (write(pipefd[1], &qemu, sizeof(qemu)) != sizeof(qemu))
			_exit(1);
		pause();
		_exit(0);
	}
	assert_int_equal(read(pipefd[0], &qemu, sizeof(qemu)), sizeof(qemu));
	assert_int_equal(kill(qemu, 0), 0);
	kill(pid, SIGKILL);
	waitpid(pid, &status, 0);
	/* An orphan that nobody has reaped yet still takes signal 0; look at what it is. */
	for (ms = 0; ms < 10000; ms++) {
		char path[64], text[256] = "";
		FILE *f;

		snprintf(path, sizeof(path), "/proc/%d/stat", qemu);
		f = fopen(path, "r");
		if (!f || !fgets(text, sizeof(text), f) || strstr(text, ") Z ")) {
			if (f)
				fclose(f);
			break;
		}
		fclose(f);
		usleep(1000);
	}
	assert_true(ms < 10000);
	close(pipefd[0]);
	close(pipefd[1]);
}

static void devices_share_a_machine(void **state)
{
	static const char *const specs[] = {"qemu:edu,vm=a", "qemu:nvme,null=1M,vm=a",
					    "qemu:edu,vm=a,bridge=root-port", "qemu:edu"};
	struct ob_device *devs[4];
	struct ob_error err = {0};

	if (ob_devices_open(specs, 4, devs, &err))
		fail_msg("%s", err.what);
	assert_int_equal(qemu_of(devs[0]), qemu_of(devs[1]));
	assert_int_equal(qemu_of(devs[0]), qemu_of(devs[2]));
	assert_int_not_equal(qemu_of(devs[0]), qemu_of(devs[3]));
	for (int i = 0; i < 4; i++) {
		struct ob_bar *bar = ob_device_bar(devs[i], 0);

		if (i == 1)
			continue;
		ob_write32(bar, EDU_LIVENESS, (uint32_t)i);
		assert_int_equal(ob_read32(bar, EDU_LIVENESS), ~(uint32_t)i);
	}
	/* The machine lives until its last device is closed. */
	ob_device_close(devs[0]);
	ob_device_close(devs[1]);
	assert_int_equal(ob_read32(ob_device_bar(devs[2], 0), EDU_LIVENESS), ~2u);
	ob_device_close(devs[2]);
	ob_device_close(devs[3]);
	assert_int_equal(ob_devices_open((const char *const[]){"qemu:edu,vm=a", "qemu:nvme,vm=a"},
					 2, devs, &err),
			 -EINVAL);
}

static int open_descriptors(void)
{
	int n = 0;

	for (int fd = 0; fd < 1024; fd++)
		n += fcntl(fd, F_GETFD) >= 0;
	return n;
}

static void opening_and_closing_leaves_no_descriptor(void **state)
{
	int before = open_descriptors();

	for (int i = 0; i < 5; i++) {
		struct ob_device *dev = open_device(i & 1 ? "qemu:edu,dma=strict" : "qemu:edu");

		open_vector(dev, i & 1 ? OB_IRQ_INTX : OB_IRQ_MSI, 0);
		ob_device_close(dev);
		open_fails("qemu:nonesuch", -ENODEV, "nonesuch");
	}
	assert_int_equal(open_descriptors(), before);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(refusals_say_what_is_wrong),
		cmocka_unit_test(a_second_open_of_an_image_names_the_holder),
		cmocka_unit_test(a_claim_in_the_child_of_a_dead_holder_is_waited_for),
		cmocka_unit_test(identity_and_bars_are_read),
		cmocka_unit_test(corked_writes_are_one_message_and_reads_come_after_them),
		cmocka_unit_test(a_vector_has_one_opener),
		cmocka_unit_test(intx_is_a_level_masked_until_served),
		cmocka_unit_test(intx_comes_from_whatever_pin_the_device_has),
		cmocka_unit_test(a_masked_message_is_kept_until_unmask),
		cmocka_unit_test(read_and_poll_work_on_the_descriptor),
		cmocka_unit_test(a_signal_can_be_had_for_each_interrupt),
		cmocka_unit_test(a_thread_serves_and_unmasks),
		cmocka_unit_test(a_reset_keeps_bars_and_vectors),
		cmocka_unit_test(the_death_of_qemu_wakes_everybody),
		cmocka_unit_test(qemu_ends_with_the_process),
		cmocka_unit_test(devices_share_a_machine),
		cmocka_unit_test(opening_and_closing_leaves_no_descriptor),
	};

	cmocka_set_message_output(CM_OUTPUT_TAP);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
