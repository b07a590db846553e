/* SPDX-License-Identifier: BSD-2-Clause */
/* What the tests of access/uio share, beside tests/vfio/rig.h. */
#ifndef TESTS_UIO_RIG_H
#define TESTS_UIO_RIG_H

#include "tests/vfio/rig.h"

static inline int uio_try(const char *variable, const char *options, struct ob_device **dev,
			  struct ob_error *err)
{
	char spec[128];

	snprintf(spec, sizeof(spec), "uio:%s%s", rig_device(variable), options);
	return ob_device_open(spec, dev, err);
}

static inline struct ob_device *uio_open(const char *variable, const char *options)
{
	struct ob_error err = {0};
	struct ob_device *dev;
	char text[2048];

	if (uio_try(variable, options, &dev, &err))
		fail_msg("%s: %s", variable, ob_error_text(&err, text, sizeof(text)));
	return dev;
}

/* An open that fails with @code and says @what. */
static inline void uio_refused(const char *variable, const char *options, int code,
			       const char *what)
{
	struct ob_error err = {0};
	struct ob_device *dev;
	char text[2048];

	assert_int_equal(uio_try(variable, options, &dev, &err), code);
	if (!strstr(ob_error_text(&err, text, sizeof(text)), what))
		fail_msg("no '%s' in: %s", what, text);
}

/* Its DMA takes 100 ms and tells its end in bit 0 of the command. */
static inline void edu_dma(struct ob_device *dev, uint64_t phys, uint64_t len, bool to_ram)
{
	struct ob_bar *bar = ob_device_bar(dev, 0);

	edu_start(bar, phys, len, to_ram);
	WAIT_FOR(!(ob_read32(bar, EDU_DMA_CMD) & EDU_DMA_RUN));
}

/* Physical address of a page of this process, by another way than the backend's; 0: not there. */
static inline uint64_t uio_physical(const void *va)
{
	int fd = open("/proc/self/pagemap", O_RDONLY | O_CLOEXEC);
	uint64_t entry = 0;

	assert_true(fd >= 0);
	assert_int_equal(pread(fd, &entry, 8, (off_t)((uintptr_t)va / 4096 * 8)), 8);
	close(fd);
	return entry >> 63 ? (entry & ((1ull << 55) - 1)) * 4096 : 0;
}

#endif
