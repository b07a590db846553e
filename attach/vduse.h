/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A virtio device in user space (VDUSE: Linux, Documentation/userspace-api/vduse.rst), given to the kernel's own virtio
 * driver through vdpa: what disks and interfaces of this kind have in common. The rings are the kernel's memory,
 * payload passes through a bounce area that is ours where the kernel takes it (UMEM), and then lies in the
 * device's arena.
 *
 * Everything runs in the loop's thread but vduse_create(), vduse_attach(), vduse_detach() and vduse_destroy().
 */
#ifndef ATTACH_VDUSE_H
#define ATTACH_VDUSE_H

#include <stdatomic.h>

#include <linux/vduse.h>

#include <outboard/attach.h>

#include "attach/caretaker.h"
#include "attach/genetlink.h"
#include "attach/kept.h"
#include "attach/vduse_broker.h"
#include "attach/virtqueue.h"

#define VDUSE_CONTROL "/dev/vduse/control"

enum {
	VDUSE_QUEUES = 16,
	/* Rings are one region each; the bounce area is one; the kernel has no others. */
	VDUSE_REGIONS = VDUSE_QUEUES + 8,
};

/**
 * struct vduse_region - IOVAs start to last, mapped at @base
 */
struct vduse_region {
	uint64_t start, last;
	char *base;
	bool write;
};

/**
 * struct vduse_memory - where the driver's addresses lead; what the caretaker needs, too, so without the library's calls
 * @fd: /dev/vduse/NAME
 * @umem: our memory that is the bounce area from IOVA 0 on, or NULL
 * @bounce: bytes of the bounce area
 */
struct vduse_memory {
	int fd;
	char *umem;
	uint64_t bounce;
	struct vduse_region region[VDUSE_REGIONS];
	unsigned int nr_regions;
};

struct vduse;

/**
 * struct vduse_ops - the device's side
 */
struct vduse_ops {
	/**
	 * @start: the driver is ready; v->features and v->queue[] are set. 0, or the device is refused. Where a former process has served
	 * it, what that had taken comes first from vduse_pop()
	 */
	int (*start)(void *front);
	/**
	 * @stop: the driver resets the device; rings and payload are gone when this says so.
	 * Returns true when no DMA to the bounce area is under way any more; false: vduse_stopped() follows.
	 */
	bool (*stop)(void *front);
	/** @work: serve the queues; returns units of work, as ob_loop_source.poll */
	unsigned int (*work)(void *front, unsigned int budget);
};

/**
 * struct vduse_config - what is created
 * @kind, @index: "vduse-blk", and which disk: by which a keeper's next driver process finds it
 * @device_id: VIRTIO_ID_BLOCK, VIRTIO_ID_NET
 * @features: offered, with VERSION_1 and ACCESS_PLATFORM
 * @space, @space_size: the device's configuration space
 * @queues, @queue_size: of all queues; a power of two, at most VIRTQUEUE_SIZE_MAX
 * @umem: memory for the bounce area, page aligned, in the device's arena; or NULL
 * @bounce: bytes of the bounce area, a multiple of the page size from 1 MiB to 1 GiB, that of @umem
 * @fail_byte: a killed server's requests are ended by this in the last byte of each, as a status: nothing is
 *	written where it is negative
 */
struct vduse_config {
	const char *kind;
	unsigned int index;
	uint32_t device_id;
	uint64_t features;
	const void *space;
	unsigned int space_size;
	unsigned int queues, queue_size;
	void *umem;
	uint64_t bounce;
	int fail_byte;
};

/*
 * Shared with the caretaker, and held by a keeper: what a successor of a killed server must know.
 * @running: from the driver's DRIVER_OK to its reset, before either is answered
 * @published: the attachment was; the front's
 */
struct vduse_log {
	atomic_bool running, published;
	struct virtqueue_log queue[VDUSE_QUEUES];
};

struct vduse {
	char name[VDUSE_NAME];
	const struct vduse_ops *ops;
	void *front;
	struct ob_loop *loop;
	struct ob_device *dev; /* for its log, and its arena, which may know the bounce area */

	int kick_fd;
	struct vduse_config config;
	struct vduse_memory memory;
	struct virtqueue_memory map;
	bool umem_wanted; /* not registered yet, and the kernel has not refused it */
	bool attached;
	struct caretaker care;
	struct vduse_log *shared;
	int log_fd; /* its memory */
	char key[KEPT_KEY];
	bool taken_over; /* a former driver process has made it, or was about to */
	bool in_use;	 /* when it was taken over the kernel's driver had it, or may have had it */

	/* the loop's thread */
	_Atomic uint64_t features; /* negotiated */
	bool running;		   /* from start to stop */
	bool broken;		   /* the kernel takes no answers any more */
	struct virtqueue queue[VDUSE_QUEUES];
	uint32_t irq_due; /* a bit per queue whose interrupt was refused */
	uint32_t
		resuming; /* a bit per queue of which a former process had taken something that is not served anew */
	uint64_t resumed[VDUSE_QUEUES]; /* up to where it is */
	bool resetting;			/* an answer waits for vduse_stopped() */
	struct vduse_dev_response reset_answer;
	unsigned int rounds_to_look, idle_sleeps;
	bool armed; /* the loop goes to sleep, or did */
	uint64_t syscalls;

	/* the caretaker's */
	int control_fd;
	struct genetlink netlink;
	char delete_request[512];
	size_t delete_len;
};

/**
 * vduse_probe() - can this system make one for this user? Changes nothing
 * @driver: the kernel's driver that is to take it: "virtio_blk", "virtio_net"
 *
 * Return: 0; -EOPNOTSUPP, -ENOENT when something of the kernel's is missing; -EPERM, -EACCES.
 */
int vduse_probe(const char *driver, struct ob_error *err);

/**
 * vduse_create() - make the device, not yet given to the kernel's driver
 * @v: zeroed
 * @config: copied, but not what it points to; @space is not needed any more afterwards
 */
int vduse_create(struct vduse *v, struct ob_device *dev, const struct vduse_config *config,
		 const struct vduse_ops *ops, void *front, struct ob_loop *loop,
		 struct ob_error *err);

/**
 * vduse_attach() - give it to the kernel's driver; the loop serves meanwhile
 * @net: it is a network card, else a disk
 * @child: in: the name that an interface is to have, or ""; out: what the kernel has made of it, as "vda", "eth1"
 */
int vduse_attach(struct vduse *v, bool net, char child[VDUSE_CHILD], struct ob_error *err);

/**
 * vduse_detach() - take it from the kernel's driver, which ends all requests first; the loop serves meanwhile
 * @force: also where a disk is in use
 */
int vduse_detach(struct vduse *v, bool net, bool force, struct ob_error *err);

/** vduse_destroy() - the loop has ended; NULL-safe in all parts that vduse_create() has not made */
void vduse_destroy(struct vduse *v);

/** vduse_stopped() - the answer to a stop that returned false */
void vduse_stopped(struct vduse *v);

/** vduse_interrupt() - after virtqueue_publish() has asked for it */
void vduse_interrupt(struct vduse *v, unsigned int queue);

/** vduse_pending() - is there something to be had by vduse_pop()? */
static inline bool vduse_pending(const struct vduse *v, unsigned int i)
{
	return (v->resuming >> i & 1) || virtqueue_pending(&v->queue[i]);
}

/**
 * vduse_pop() - virtqueue_pop(), but first, in their order, come the buffers that a killed process had taken and not given back
 *
 * vduse_unpop() undoes the last one.
 */
int vduse_pop(struct vduse *v, unsigned int i, struct virtqueue_chain *chain);
void vduse_unpop(struct vduse *v, unsigned int i, uint16_t head);

/**
 * vduse_before_pop() - there is something in a ring: register UMEM where that has not been done
 *
 * The kernel takes it only once the bounce area is in use (vduse_dev_reg_umem()), and then before anything in it has
 * been touched is the time.
 */
void vduse_before_pop(struct vduse *v);

/* vduse_probe.c */
int vduse_netlink(struct genetlink *g, struct ob_error *err);
int vduse_explain_control(int rc, struct ob_error *err);

/* vduse_memory.c, also in the caretaker: */
void *vduse_translate(void *memory, uint64_t addr, uint32_t *len, bool write);
void vduse_unmap_all(struct vduse_memory *m);

/* vduse.c, also in the caretaker: a queue as the driver has set it up; its num is 0 when there is none, and after an error. */
int vduse_read_queue(struct vduse *v, unsigned int i, uint64_t features, bool resume);

/* vduse.c, also in the broker: for the next driver process, which finds the log, the name and the caretaker by it. */
int vduse_keep(const struct vduse *v, int care_fd);

/* vduse_orphan.c: what the caretaker does when the server has died. */
void vduse_take_down(void *v);

#endif
