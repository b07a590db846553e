/* SPDX-License-Identifier: BSD-2-Clause */
/* What the files of the uio backend share. docs/uio.md says how it works and what it cannot do. */
#ifndef ACCESS_UIO_UIO_H
#define ACCESS_UIO_UIO_H

#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>

#include <outboard/access.h>

#include "access/sysfs.h"

/* ---- memory.c: an arena that is one piece for a device without an IOMMU ---------------------- */

enum uio_pages {
	UIO_PAGES_AUTO,
	UIO_PAGES_HUGETLB,     /* reserved 2 MiB pages (vm.nr_hugepages) */
	UIO_PAGES_TRANSPARENT, /* 2 MiB pages as the kernel has them free */
	UIO_PAGES_SMALL,       /* 4 KiB pages that happen to be neighbours */
};

/**
 * struct uio_memory - physically contiguous, pinned memory
 * @base: in this process
 * @size: bytes
 * @phys: physical address of @base
 * @pages: where it came from, not UIO_PAGES_AUTO
 * @ring_fd: an io_uring whose registered buffers pin the pages; -1: they are only locked
 */
struct uio_memory {
	void *base;
	uint64_t size;
	uint64_t phys;
	enum uio_pages pages;
	int ring_fd;
};

/**
 * struct uio_memory_want - what is asked for
 * @size: bytes, a multiple of 4096
 * @min: less than @size when less will do
 * @last: highest physical address that the device can drive
 */
struct uio_memory_want {
	uint64_t size, min;
	uint64_t last;
	enum uio_pages pages;
};

/**
 * uio_memory_get() - find, pin and measure it
 * @name: the device's, for errors
 *
 * Return: 0; -EPERM without the right to see physical addresses; -ENOMEM with the command that makes room.
 */
int uio_memory_get(const char *name, const struct uio_memory_want *want, struct uio_memory *mem,
		   struct ob_error *err);
void uio_memory_put(struct uio_memory *mem);
const char *uio_pages_name(enum uio_pages pages);

/* ---- ports.c: port I/O ------------------------------------------------------------------------ */

/*
 * uio_ports_allow() - may this thread use the ports? Asks the kernel once per thread and range.
 * Return: 0 or a negative errno value; -EOPNOTSUPP on a machine without ports.
 */
int uio_ports_allow(uint64_t base, uint64_t count);
/*
 * uio_ports_open() - the same for this thread and all that it starts from now on, which need no right to ask any more
 * The caller sees to it that one thread at a time opens devices. -ENOSPC: too many ranges in this process.
 */
int uio_ports_open(uint64_t base, uint64_t count);
uint64_t uio_ports_read(uint64_t port, unsigned int size);
void uio_ports_write(uint64_t port, unsigned int size, uint64_t val);

/**
 * uio_ports_owner() - which driver of the kernel has claimed a port of the range?
 * @owner: as /proc/ioports names it
 *
 * The function itself and the buses above it are no owners.
 */
bool uio_ports_owner(const char *root, const char *function, uint16_t base, uint16_t count,
		     char owner[64]);

#endif
