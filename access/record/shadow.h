/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The memory that driver and device share, held apart: the driver has an arena of its own, and what either side writes goes to the other one
 * at known moments only. So it is known who wrote what, and when the other could see it. docs/record-replay.md.
 */
#ifndef ACCESS_RECORD_SHADOW_H
#define ACCESS_RECORD_SHADOW_H

#include "access/record/recording.h"

/**
 * struct shadow - one device's
 * @driver: the arena that the driver works in; a memfd, which may be mapped a second time
 * @device: the arena that the device reaches, or NULL where there is no device
 * @seen: what both sides have seen
 * @fresh: of pages that @changed names, what the device has written
 * @given: for each page enum ob_dma_prot, and SHADOW_WHOLE
 * @first, @end: pages between which there are given ones
 */
struct shadow {
	char *driver, *device, *seen, *fresh;
	uint64_t size;
	int fd;
	uint8_t *given, *changed;
	uint64_t pages, first, end;
};

/*
 * A piece that is mapped at once and so large is no buffer but all the memory that somebody works in (the kernel of a driver "linux:"). What
 * is written there is handed over, but not recorded: most of it is not for the device.
 */
#define SHADOW_WHOLE_SIZE (8ull << 20)

enum {
	SHADOW_WHOLE = 0x80,
};

int shadow_create(struct shadow *s, uint64_t size, char *device);
void shadow_destroy(struct shadow *s);

/** shadow_give() - the device reaches a range, whole pages */
void shadow_give(struct shadow *s, uint64_t off, uint64_t len, unsigned int prot);
void shadow_take(struct shadow *s, uint64_t off, uint64_t len);

/** shadow_send() - what the driver has written goes to the device; appended to @sent as pieces of a SENT */
void shadow_send(struct shadow *s, struct record_bytes *sent);

/**
 * shadow_look() - has the device written anything that the driver has not seen?
 *
 * Order: a flag that is seen is not seen without what was written in front of it. The memory is looked at until it does not change
 * while one looks.
 */
bool shadow_look(struct shadow *s);
/**
 * shadow_fetch() - behind a shadow_look(): let the driver see it, appended to @memory as pieces of a MEMORY
 * @from: page to begin with; set to where to go on when @memory holds RECORD_BURST bytes
 *
 * Return: whether there is more.
 */
bool shadow_fetch(struct shadow *s, uint64_t *from, struct record_bytes *memory);

/** shadow_apply() - let the driver see what a MEMORY holds */
void shadow_apply(struct shadow *s, const struct record *r);

#endif
