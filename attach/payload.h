/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Payload memory of an attachment: one piece of the device's arena, given out in runs of pages, so that
 * what a client sends lands where the device can fetch it. One thread; nothing is allocated after open.
 */
#ifndef ATTACH_PAYLOAD_H
#define ATTACH_PAYLOAD_H

#include <outboard/dma.h>

enum {
	/* Alignment and unit of every run: at least the dma_align of all disks, and NVMe's smallest page. */
	PAYLOAD_PAGE = 4096,
};

/**
 * struct payload - the memory
 * @base: first page
 * @pages: how many
 * @free: pages that are not given out
 * @next: where the next search begins
 * @used: a bit per page
 */
struct payload {
	struct ob_dma *dma;
	char *base;
	unsigned int pages, free, next;
	uint64_t *used;
};

static inline unsigned int payload_pages(uint64_t len)
{
	return (unsigned int)((len + PAYLOAD_PAGE - 1) / PAYLOAD_PAGE);
}

/** payload_open() - take @size bytes of the arena; -ENOMEM, -ENOSPC when the arena has no such piece */
int payload_open(struct payload *p, struct ob_dma *dma, size_t size);
void payload_close(struct payload *p);

/** payload_get() - a run of pages that holds @len bytes, or NULL when there is none just now */
char *payload_get(struct payload *p, uint64_t len);
/** payload_put() - give back a run, or its tail: @buf is page aligned, @len as in payload_get() */
void payload_put(struct payload *p, char *buf, uint64_t len);

#endif
