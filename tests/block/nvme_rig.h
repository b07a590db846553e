/* SPDX-License-Identifier: BSD-2-Clause */
/* A bound NVMe controller of QEMU's with its images, for the tests of the driver. */
#ifndef TESTS_BLOCK_NVME_RIG_H
#define TESTS_BLOCK_NVME_RIG_H

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/types.h>

#include <cmocka.h>

#include <outboard/outboard.h>

#include "drivers/nvme/nvme.h"

enum {
	RIG_FILES = 4,
	RIG_ALLOCS = 40,
};

struct rig {
	struct ob_device *dev;
	struct ob_binding *binding;
	struct ob_block *blk; /* the first disk, started */
	char image[2][64];
	char file[RIG_FILES][64];
	unsigned int nr_images, nr_files;
	void *alloc[RIG_ALLOCS];
	unsigned int nr_allocs;
	char log[8192];
};

/*
 * rig_open() - open a device, bind the driver, start the first disk; fails the test otherwise
 *
 * The image functions may be called in the argument list: they make files that rig_close() removes.
 */
void rig_open(struct rig *r, const struct ob_driver_config *config, const char *fmt, ...)
	__attribute__((format(printf, 3, 4)));
/* rig_try() - the same, but a failure of open or bind is returned */
int rig_try(struct rig *r, const struct ob_driver_config *config, struct ob_error *err,
	    const char *fmt, ...) __attribute__((format(printf, 4, 5)));
void rig_close(struct rig *r);

/* rig_image() - an image of @size bytes of zeroes; its path */
const char *rig_image(struct rig *r, unsigned int index, off_t size);
/* rig_file() - a file with this content; its path */
const char *rig_file(struct rig *r, const char *content);
/* rig_qemu() - a program that runs QEMU with further arguments; its path */
const char *rig_qemu(struct rig *r, const char *args);
/* rig_alloc() - DMA memory until rig_close() */
void *rig_alloc(struct rig *r, size_t size);
char *rig_read_image(struct rig *r, unsigned int index, off_t offset, size_t len);
void rig_expect_image(struct rig *r, unsigned int index, off_t offset, const void *data,
		      size_t len);
/* rig_can_punch() - does the file system of the images know holes? */
bool rig_can_punch(struct rig *r);
/* rig_qemu_pid() - the QEMU of this process's only device */
pid_t rig_qemu_pid(void);
void rig_pattern(void *buf, size_t len, uint32_t seed);

#endif
