/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * killed TIMES: a process that drives edu without an IOMMU is killed with DMA in flight, again and again. After each death
 * bus mastering is off, the transfer that was under way does not arrive any more, and the next process opens the
 * device. In the rig, by tests/rig/uio_killed.sh.
 */
#include <inttypes.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/wait.h>

#include "tests/uio/rig.h"

static unsigned int times;

/* What a child tells when its device is at work. */
struct ready {
	uintptr_t target;
};

static void child(int fd)
{
	/* Small pages: those are a memfd's, into which the parent can look. */
	struct ob_device *dev = uio_open("RIG_EDU", ",arena=64K,pages=small");
	struct ob_dma *dma = ob_device_dma(dev);
	struct ob_bar *bar = ob_device_bar(dev, 0);
	struct ready ready;
	struct ob_error err;
	ob_iova iova;
	char *p;

	if (ob_dma_set_mask(dma, EDU_DMA_BITS, &err))
		_exit(1);
	p = ob_dma_alloc(dma, 4096, 4096, "target", &iova);
	if (!p)
		_exit(1);
	/* Its buffer gets a pattern that is not the target's. */
	memset(p, 0xd5, 4096);
	edu_dma(dev, iova.addr, 4095, false);
	memset(p, 0, 4096);
	edu_start(bar, iova.addr, 4095, true);
	ready.target = (uintptr_t)p;
	if (write(fd, &ready, sizeof(ready)) != sizeof(ready))
		_exit(1);
	for (;;) {
		if (!(ob_read32(bar, EDU_DMA_CMD) & EDU_DMA_RUN))
			edu_start(bar, iova.addr, 4095, true);
		usleep(1000);
	}
}

/* The page of another process at that address, which then lives on without it. */
static volatile unsigned char *look_into(pid_t pid, uintptr_t at)
{
	char path[64], line[512], file[128];
	volatile unsigned char *page = NULL;
	uintptr_t start, end, off;
	FILE *f;
	int fd;

	snprintf(path, sizeof(path), "/proc/%d/maps", pid);
	f = fopen(path, "re");
	assert_non_null(f);
	while (!page && fgets(line, sizeof(line), f)) {
		void *map;

		if (sscanf(line, "%" SCNxPTR "-%" SCNxPTR " %*s %" SCNxPTR, &start, &end, &off) !=
			    3 ||
		    at < start || at >= end)
			continue;
		assert_non_null(strstr(line, "memfd:outboard-arena"));
		snprintf(file, sizeof(file), "/proc/%d/map_files/%" PRIxPTR "-%" PRIxPTR, pid,
			 start, end);
		fd = open(file, O_RDWR | O_CLOEXEC);
		assert_true(fd >= 0);
		map = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED, fd,
			   (off_t)(off + (at - start)));
		assert_ptr_not_equal(map, MAP_FAILED);
		close(fd);
		page = map;
	}
	fclose(f);
	assert_non_null(page);
	return page;
}

static pid_t start(struct ready *ready)
{
	int fd[2];
	pid_t pid;

	assert_int_equal(pipe(fd), 0);
	pid = fork();
	assert_true(pid >= 0);
	if (!pid) {
		close(fd[0]);
		child(fd[1]);
	}
	close(fd[1]);
	assert_int_equal(read(fd[0], ready, sizeof(*ready)), sizeof(*ready));
	close(fd[0]);
	return pid;
}

static void end(pid_t pid)
{
	const char *bdf = rig_device("RIG_EDU");
	int status;

	assert_int_equal(rig_command(bdf) & 4, 4);
	kill(pid, SIGKILL);
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_true(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL);
	/* By uio_pci_generic, when its file was closed for the dead process. */
	assert_int_equal(rig_command(bdf) & 4, 0);
}

static void no_transfer_arrives_after_death(void **state)
{
	for (unsigned int i = 0; i < 5; i++) {
		volatile unsigned char *page;
		struct ready ready;
		pid_t pid = start(&ready);

		page = look_into(pid, ready.target);
		/* The look goes to the right page: transfers arrive while it lives. */
		WAIT_FOR(page[7] == 0xd5);
		end(pid);
		memset((void *)(uintptr_t)page, 0, 4096);
		/* A transfer takes 100 ms. */
		usleep(250000);
		for (unsigned int k = 0; k < 4096; k++)
			assert_int_equal(page[k], 0);
		munmap((void *)(uintptr_t)page, 4096);
	}
}

static void the_next_open_works_after_each_kill(void **state)
{
	for (unsigned int i = 0; i < times; i++) {
		struct ready ready;
		pid_t pid = start(&ready);

		/* At moments that differ: from at once to some transfers later. */
		usleep(i % 8 * 500);
		end(pid);
	}
}

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(no_transfer_arrives_after_death),
		cmocka_unit_test(the_next_open_works_after_each_kill),
	};

	if (argc != 2) {
		fprintf(stderr, "usage: %s TIMES\n", argv[0]);
		return 2;
	}
	times = (unsigned int)strtoul(argv[1], NULL, 10);
	setenv("OUTBOARD_LOG", "error", 0);
	cmocka_set_message_output(CM_OUTPUT_TAP);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
