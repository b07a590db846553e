/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * killed TIMES: a process that drives edu without an IOMMU is killed with DMA in flight, again and again. After each death
 * bus mastering is off, the transfer that was under way does not arrive any more, and the next process opens the
 * device. In the rig, by tests/rig/uio_killed.sh.
 */
#include <inttypes.h>
#include <sys/mman.h>

#include "tests/uio/rig.h"

static unsigned int times;

/* What a child tells when its device is at work. */
struct ready {
	uintptr_t target;
};

static void child(int fd)
{
	/* Small pages: those are a memfd's, into which the parent can look. */
	static const char spec[] = ",arena=64K,pages=small";
	struct ob_error err = {0};
	struct ob_device *dev;
	struct ready ready;
	struct ob_dma *dma;
	struct ob_bar *bar;
	ob_iova iova;
	char *p;

	if (uio_try("RIG_EDU", spec, &dev, &err))
		rig_child_fails("open", &err);
	dma = ob_device_dma(dev);
	bar = ob_device_bar(dev, 0);
	if (ob_dma_set_mask(dma, EDU_DMA_BITS, &err))
		rig_child_fails("mask", &err);
	p = ob_dma_alloc(dma, 4096, 4096, "target", &iova);
	if (!p)
		rig_child_fails("target", NULL);
	/* Its buffer gets a pattern that is not the target's. */
	memset(p, 0xd5, 4096);
	edu_dma(dev, iova.addr, 4095, false);
	memset(p, 0, 4096);
	edu_start(bar, iova.addr, 4095, true);
	ready.target = (uintptr_t)p;
	if (write(fd, &ready, sizeof(ready)) != sizeof(ready))
		rig_child_fails("pipe", NULL);
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

/*
 * edu has no reset: until its transfer has ended, an open that allows DMA again would let it arrive in a page that is
 * somebody else's by now (docs/uio.md). Nobody has the device open, so it ends without.
 */
static void let_transfer_end(void)
{
	char path[96];
	volatile uint32_t *cmd;
	char *bar;
	int fd;

	snprintf(path, sizeof(path), "/sys/bus/pci/devices/%s/resource0", rig_device("RIG_EDU"));
	fd = open(path, O_RDWR | O_CLOEXEC);
	assert_true(fd >= 0);
	bar = mmap(NULL, 4096, PROT_READ, MAP_SHARED, fd, 0);
	assert_ptr_not_equal(bar, MAP_FAILED);
	close(fd);
	cmd = (volatile uint32_t *)(void *)(bar + EDU_DMA_CMD);
	WAIT_FOR(!(*cmd & EDU_DMA_RUN));
	munmap(bar, 4096);
}

static void no_transfer_arrives_after_death(void **state)
{
	for (unsigned int i = 0; i < 5; i++) {
		volatile unsigned char *page;
		struct ready ready;
		pid_t pid = rig_drive(child, &ready, sizeof(ready));

		page = look_into(pid, ready.target);
		/* The look goes to the right page: transfers arrive while it lives. */
		WAIT_FOR(page[7] == 0xd5);
		rig_kill(pid, rig_device("RIG_EDU"));
		memset((void *)(uintptr_t)page, 0, 4096);
		let_transfer_end();
		for (unsigned int k = 0; k < 4096; k++)
			assert_int_equal(page[k], 0);
		munmap((void *)(uintptr_t)page, 4096);
	}
}

static void the_next_open_works_after_each_kill(void **state)
{
	for (unsigned int i = 0; i < times; i++) {
		struct ready ready;
		pid_t pid = rig_drive(child, &ready, sizeof(ready));

		/* At moments that differ: from at once to some transfers later. */
		usleep(i % 8 * 500);
		rig_kill(pid, rig_device("RIG_EDU"));
		let_transfer_end();
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
