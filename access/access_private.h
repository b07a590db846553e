/* SPDX-License-Identifier: BSD-2-Clause */
/* What the files of access/ share: the lists of backends and wrappers, and the core's calls. */
#ifndef ACCESS_ACCESS_PRIVATE_H
#define ACCESS_ACCESS_PRIVATE_H

#include <outboard/access.h>

extern const struct ob_access_ops ob_access_fuzz;
extern const struct ob_access_ops ob_access_qemu;
extern const struct ob_access_ops ob_access_replay;
extern const struct ob_access_ops ob_access_uio;
extern const struct ob_access_ops ob_access_vfio;
extern const struct ob_wrapper_ops ob_wrapper_fault;
extern const struct ob_wrapper_ops ob_wrapper_record;

/* Add to a counter of struct ob_access_stats; exact, because several threads may count. */
static inline void ob_count(uint64_t *counter, uint64_t n)
{
	__atomic_fetch_add(counter, n, __ATOMIC_RELAXED);
}

/**
 * ob_lower_bar() - for a wrapper: the same range of the device below
 * @bar: of the wrapper's device
 */
const struct ob_bar *ob_lower_bar(const struct ob_bar *bar);
/** ob_lower_read(), ob_lower_write() - the same access, of @size bytes, at the device below */
uint64_t ob_lower_read(const struct ob_bar *bar, uint64_t off, unsigned int size);
void ob_lower_write(const struct ob_bar *bar, uint64_t off, unsigned int size, uint64_t val);

/* Vectors of a device that closes or vanishes (irq.c). */
void ob_irq_wake_all(struct ob_device *dev);
void ob_irq_close_all(struct ob_device *dev);

/* Mask a vector in the first device from @dev down that knows how (irq.c). */
int ob_vector_mask(struct ob_device *dev, unsigned int vec, bool mask);

/* What a vector's eventfd counted while nobody had the vector is nobody's (irq.c). */
void ob_irq_empty(int fd);

#endif
