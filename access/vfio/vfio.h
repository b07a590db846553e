/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Devices of this machine through the kernel's VFIO (Documentation/driver-api/vfio.rst, include/uapi/linux/vfio.h
 * and iommufd.h): what the files of this folder share.
 *
 *   vfio.c      the operations of struct ob_access_ops, open and close
 *   group.c     the way by group and container (type1), which every kernel with VFIO has
 *   iommufd.c   the way by device node and iommufd, where the kernel has them
 *   regions.c   BARs, their maps, and what replaces them when the device is taken away
 *   vectors.c   interrupts
 *   watch.c     the kernel's requests to give a device back, and errors that it reports
 *   iova.c      which addresses of the IOMMU a device uses
 *   arena.c     DMA memory and what locks it
 *   reset.c     function and bus resets
 *   faults.c    blocked DMA, as the kernel's log tells of it
 *   explain.c   what stands in the way of opening a device, and the command that removes it
 *   info.c      the kernel's answers with a chain of capabilities
 */
#ifndef ACCESS_VFIO_VFIO_H
#define ACCESS_VFIO_VFIO_H

#include <pthread.h>

#include "access/access_private.h"
#include "access/sysfs.h"

struct vfio_space;
struct vfio_device;

enum {
	VFIO_SPACE_DEVICES = 8, /* of one group in one process */
	VFIO_RANGES = 32,	/* pieces of the IOVA space that the kernel may name */
	VFIO_PIECES = 8,	/* mapped pieces of one BAR */
};

/* A piece of an address space; both ends belong to it. */
struct vfio_range {
	uint64_t min, max;
};

/**
 * struct vfio_limits - what an IOMMU address space can take
 * @range: usable addresses, ascending
 * @pgsizes: bitmap of page sizes
 * @avail: mappings that may still be made; UINT32_MAX where the kernel does not say
 */
struct vfio_limits {
	struct vfio_range range[VFIO_RANGES];
	unsigned int nr_ranges;
	uint64_t pgsizes;
	uint32_t avail;
};

/**
 * struct vfio_way - how the kernel is asked: by group and container, or by device node and iommufd
 *
 * All functions but @open_space and @open_device work on what those two have opened. Errors are negative
 * errno values as the kernel gave them.
 */
struct vfio_way {
	const char *name;
	/** @open_space: an address space for the devices of the group that @fn belongs to */
	int (*open_space)(struct vfio_space *s, const struct sysfs_function *fn,
			  struct ob_error *err);
	/** @close_space: after all of its devices; whatever is open of it, also after a failed open */
	void (*close_space)(struct vfio_space *s);
	/** @open_device: sets @vd->fd; the device is attached to the space */
	int (*open_device)(struct vfio_space *s, struct vfio_device *vd, struct ob_error *err);
	/** @limits: valid once the devices are open */
	int (*limits)(struct vfio_space *s, struct vfio_limits *l);
	int (*map)(struct vfio_space *s, void *va, uint64_t iova, uint64_t len, unsigned int prot);
	/** @unmap: @done is set to the bytes that were unmapped */
	int (*unmap)(struct vfio_space *s, uint64_t iova, uint64_t len, uint64_t *done);
	/** @owns: may a bus reset touch this function, or is it somebody else's? */
	bool (*owns)(struct vfio_space *s, const struct sysfs_function *fn, uint32_t id);
	/** @bus_reset: of the bus that @vd is on */
	int (*bus_reset)(struct vfio_space *s, struct vfio_device *vd);
};
extern const struct vfio_way vfio_way_group, vfio_way_iommufd;

/**
 * struct vfio_space - one IOMMU address space: that of a group
 * @container, @group_fd: of vfio_way_group, else -1
 * @iommufd, @ioas: of vfio_way_iommufd, else -1
 * @users: devices that are open
 */
struct vfio_space {
	const struct vfio_way *way;
	int group;
	int container, group_fd;
	int iommufd;
	uint32_t ioas;
	struct vfio_limits limits;
	pthread_mutex_t lock;
	unsigned int users;
};

/**
 * struct vfio_region - a BAR or the configuration space
 * @offset: in the device's descriptor
 * @mappable: as a whole, or, where the kernel names pieces, those
 * @combine: map it write-combining
 */
struct vfio_region {
	uint64_t size, offset;
	bool mappable;
	bool combine;
	struct {
		uint64_t off, size;
		char *map;
	} piece[VFIO_PIECES];
	unsigned int nr_pieces;
};

/**
 * struct vfio_device - one device
 * @slice: index among the devices that share the space
 * @fd: the device; from its removal on an empty file, so that the number is not used for another one
 * @msix_table: mapped, four words for each of @msix_entries; NULL where it cannot be
 * @ones_fd, @ones_size: a file of 0xff bytes, to be mapped over the BARs when the device is taken away
 * @command: bits of the command register that stay on while the device is open
 * @lock: read-modify-write of configuration registers
 * @watcher: waits for @request_fd, @error_fd and @stop_fd
 * @dead_fd: what takes the place of @fd when the device is let go
 */
struct vfio_device {
	struct ob_device *dev;
	struct vfio_space *space;
	unsigned int slice;
	struct sysfs_function fn;
	int fd;
	bool can_reset;
	struct vfio_region config, bar[OB_BAR_COUNT];
	uint16_t command;
	unsigned int pm, msi, msix;
	volatile uint32_t *msix_table;
	unsigned int msix_entries;
	int ones_fd;
	size_t ones_size;
	pthread_mutex_t lock;

	enum ob_irq_kind irq_kind;
	unsigned int irq_n;
	unsigned int irq_max[OB_IRQ_MSIX + 1];

	bool watched;
	pthread_t watcher;
	int request_fd, error_fd, stop_fd, dead_fd;

	char *arena;
	uint64_t arena_size;
	enum ob_dma_policy policy;
	int told_locked; /* atomic */

	int kmsg_fd;
	uint64_t syscalls; /* relaxed atomic */
};

static inline void vfio_count(struct vfio_device *vd)
{
	__atomic_fetch_add(&vd->syscalls, 1, __ATOMIC_RELAXED);
}

/* ---- info.c --------------------------------------------------------------------------------- */

/**
 * vfio_info_cap() - find a capability in an answer of the kernel's
 * @info: the answer, @size bytes
 * @first: offset of the first capability; 0: none
 * @room: bytes that the capability must have at least
 *
 * Return: it, or NULL where there is none or the chain leaves the answer.
 */
const void *vfio_info_cap(const void *info, size_t size, uint32_t first, uint16_t id, size_t room);

/**
 * vfio_info_get() - an ioctl whose answer may be longer than its struct
 * @head: bytes of the struct that begins with argsz
 * @index: value of the third word (region or interrupt index); most have flags or nothing there
 * @info: set to memory of at least *@size bytes; free() it
 */
int vfio_info_get(int fd, unsigned long request, size_t head, uint32_t index, void **info,
		  size_t *size);

/* The usable ranges in an answer of VFIO_IOMMU_GET_INFO. */
int vfio_info_limits(const void *info, size_t size, struct vfio_limits *l);

/* What of a region can be mapped, from an answer of VFIO_DEVICE_GET_REGION_INFO. */
int vfio_info_region(const void *info, size_t size, struct vfio_region *r);

/* ---- regions.c ------------------------------------------------------------------------------ */

int vfio_regions_open(struct vfio_device *vd, struct ob_error *err);
void vfio_regions_close(struct vfio_device *vd);
/** vfio_regions_vanish() - from now on all maps read as ones; the kernel can have its pages back */
void vfio_regions_vanish(struct vfio_device *vd);
uint64_t vfio_region_read(struct vfio_device *vd, const struct vfio_region *r, uint64_t off,
			  unsigned int size);
void vfio_region_write(struct vfio_device *vd, const struct vfio_region *r, uint64_t off,
		       unsigned int size, uint64_t val);
/* Configuration space past all filters. */
uint32_t vfio_config_get(struct vfio_device *vd, unsigned int off, unsigned int size);
void vfio_config_put(struct vfio_device *vd, unsigned int off, unsigned int size, uint32_t val);

/* ---- vectors.c ------------------------------------------------------------------------------ */

void vfio_vectors_open(struct vfio_device *vd);
void vfio_vectors_close(struct vfio_device *vd);
/* One eventfd for one of the kernel's own notices (request, error); -1 takes it back. */
int vfio_notice(struct vfio_device *vd, unsigned int index, int fd);
unsigned int vfio_irq_count(struct ob_device *dev, enum ob_irq_kind kind);
int vfio_irq_enable(struct ob_device *dev, enum ob_irq_kind kind, unsigned int n,
		    struct ob_error *err);
void vfio_irq_disable(struct ob_device *dev);
int vfio_irq_mask(struct ob_device *dev, unsigned int vec, bool mask);

/* ---- watch.c -------------------------------------------------------------------------------- */

int vfio_watch_start(struct vfio_device *vd, struct ob_error *err);
void vfio_watch_stop(struct vfio_device *vd);

/* ---- iova.c --------------------------------------------------------------------------------- */

/**
 * vfio_iova_window() - the part of the space that device @slice of @slices may use
 * @w: size is set; gets aperture, holes, and an iova for the arena
 *
 * Each gets a share of what 28, 32 and all address bits reach, so that devices with narrow masks find
 * room, too.
 *
 * Return: 0; -ENOSPC when the arena fits nowhere.
 */
int vfio_iova_window(const struct vfio_limits *l, unsigned int slice, unsigned int slices,
		     struct ob_dma_window *w);

/* ---- arena.c -------------------------------------------------------------------------------- */

/**
 * struct vfio_lock_room - locked memory that this process may still have
 * @unlimited: CAP_IPC_LOCK, or no limit
 * @limit, @used: bytes
 */
struct vfio_lock_room {
	bool unlimited;
	uint64_t limit, used;
};
void vfio_lock_room(struct vfio_lock_room *room);
/** vfio_lock_check() - -ENOMEM with need, limit and the line to change when @need bytes are too many */
int vfio_lock_check(const struct vfio_lock_room *room, const char *name, uint64_t need,
		    struct ob_error *err);

/**
 * vfio_arena_create() - zeroed, shared memory
 * @size: rounded up
 * @whole: all of it will be mapped at once: in huge pages where they can be had. Else pages come when
 *	they are used
 */
int vfio_arena_create(uint64_t *size, bool whole, char **base);

/* ---- reset.c -------------------------------------------------------------------------------- */

int vfio_reset(struct ob_device *dev, struct ob_error *err);

/* ---- faults.c, fault_text.c ------------------------------------------------------------------ */

enum {
	KMSG_RECORD = 8192, /* Documentation/ABI/testing/dev-kmsg: longer ones do not exist */
};

/**
 * vfio_fault_parse() - one line of the kernel's log
 * @text: a message, not ended by a newline
 *
 * Return: true when it tells of a blocked DMA access; source, iova, write and reason are set.
 */
bool vfio_fault_parse(const char *text, struct ob_fault *fault, char reason[64]);
/** vfio_fault_record() - the same of a record of /dev/kmsg, which is cut at its first line; @fault is whole, with its text */
bool vfio_fault_record(char *record, struct ob_fault *fault);
int vfio_faults(struct ob_device *dev, struct ob_fault *faults, unsigned int n);

/* ---- explain.c ------------------------------------------------------------------------------ */

/**
 * vfio_explain_function() - can this function be opened at all?
 * @root: as in access/sysfs.h
 * @text: as the specification has it
 * @fn: filled when it exists
 */
int vfio_explain_function(const char *root, const char *text, struct sysfs_function *fn,
			  struct ob_error *err);
/** vfio_explain_node() - why open(@node) failed with -@code; returns the error for the caller */
int vfio_explain_node(const char *root, const char *node, const char *name, int code,
		      struct ob_error *err);
/** vfio_explain_group() - who makes a group unusable; returns -EBUSY */
int vfio_explain_group(const char *root, const struct sysfs_function *fn, struct ob_error *err);
/** vfio_explain_holder() - the claim is somebody else's; returns -EBUSY */
int vfio_explain_holder(const char *name, int pid, struct ob_error *err);

#endif
