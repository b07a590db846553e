/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The boundary that every backend (qemu, vfio, uio) and every wrapper (fault injection, later record
 * and replay) fills, and device specifications. For those who write a backend; drivers use device.h,
 * irq.h and dma.h.
 *
 * Threads: the library serialises open, close, irq_enable, irq_disable and reset of one device against
 * each other. config, read, write, irq_mask, dma_map and dma_unmap may come from several threads at
 * once and protect themselves.
 */
#ifndef OUTBOARD_ACCESS_H
#define OUTBOARD_ACCESS_H

#include <outboard/dma.h>
#include <outboard/irq.h>

#ifdef __cplusplus
extern "C" {
#endif

/* ---- specifications: [wrapper[key=value,...]:]...backend:device[,key=value]... ---- */

enum {
	OB_SPEC_OPTIONS = 24,
	OB_SPEC_WRAPPERS = 4,
	OB_SPEC_TEXT = 512,
};

struct ob_spec_option {
	const char *key;
	const char *value; /* "" where there was no '=' */
	bool used;	   /* taken by somebody; what stays unused is an error */
};

struct ob_spec_part {
	const char *name;
	struct ob_spec_option opt[OB_SPEC_OPTIONS];
	unsigned int n;
};

/**
 * struct ob_spec - a parsed specification; holds its own copy of the text
 * @text: as it was given
 * @wrapper: outermost first
 * @backend: "qemu"; "" for a PCI address without one
 * @device: name is the device model or the BDF; its options
 *
 * Strings are at most OB_SPEC_TEXT bytes, a comma in a value is written as two.
 */
struct ob_spec {
	char text[OB_SPEC_TEXT];
	char copy[OB_SPEC_TEXT];
	struct ob_spec_part wrapper[OB_SPEC_WRAPPERS];
	unsigned int nr_wrappers;
	const char *backend;
	struct ob_spec_part device;
	bool quiet; /* ob_devices_open_quiet() */
};

int ob_spec_parse(const char *text, struct ob_spec *spec, struct ob_error *err);

/** ob_spec_get() - the value of an option, marking it used; NULL when it was not given */
const char *ob_spec_get(struct ob_spec_part *part, const char *key);
/** ob_spec_get_u64() - a number, decimal or 0x, with K/M/G; -EINVAL names option and value */
int ob_spec_get_u64(struct ob_spec_part *part, const char *key, uint64_t min, uint64_t max,
		    uint64_t *val, struct ob_error *err);
int ob_spec_get_bool(struct ob_spec_part *part, const char *key, bool *val, struct ob_error *err);
/** ob_spec_get_choice() - index of the value in a NULL-terminated list; the error lists it */
int ob_spec_get_choice(struct ob_spec_part *part, const char *key, const char *const *choices,
		       unsigned int *val, struct ob_error *err);
/** ob_spec_leftover() - -EINVAL naming the first option that nobody took, and @possible */
int ob_spec_leftover(const struct ob_spec *spec, const char *possible, struct ob_error *err);

/* ---- a device, as a backend sees it ---------------------------------------------- */

enum ob_dma_prot {
	OB_DMA_READ = 1,  /* the device may read */
	OB_DMA_WRITE = 2, /* the device may write */
};

enum {
	OB_IRQ_VECTORS = 64,
	OB_PORT_RANGES = 4,
};

struct ob_access_ops;
struct ob_dma_window;

/* A wrapper's or backend's hold on one vector. */
struct ob_vector {
	int fd; /* eventfd, made by the backend in irq_enable */
	bool enabled;
	bool masked; /* by its opener, whether it is just now or will be when the device is not muted any more */
	struct ob_irq *irq; /* its one opener */
};

struct ob_device {
	const struct ob_access_ops *ops;
	void *priv;		 /* the backend's */
	struct ob_device *lower; /* a wrapper's next; NULL in a backend */
	struct ob_device_info info;
	struct ob_bar bar[OB_BAR_COUNT];
	struct ob_dma *dma; /* a wrapper shares its lower's */
	struct ob_vector vector[OB_IRQ_VECTORS];
	enum ob_irq_kind irq_kind;
	unsigned int irq_n;
	bool muted, irqs_off;	      /* ob_device_mute(); and by switching them off */
	uint64_t *irqs_counter;	      /* ob_device_count_irqs() */
	int removal_fd;		      /* eventfd, written once by ob_device_set_gone() */
	int gone;		      /* atomic */
	struct ob_access_stats stats; /* relaxed atomics */
	ob_log_fn log;
	void *log_arg;
	void *sync; /* the core's lock */
	int claim_fd;
	bool quiet;			     /* a real device's bus mastering was left off */
	struct ob_bar ports[OB_PORT_RANGES]; /* a wrapper's hold on its lower's claimed ports */
	unsigned int nr_ports;
};

/**
 * struct ob_access_ops - a backend
 *
 * Every function gets the device that it was opened as. After the device is gone each must return
 * at once: -ENODEV, all ones, or nothing.
 */
struct ob_access_ops {
	const char *name;
	const char *summary;

	/**
	 * @help: text that lists devices and options, for errors and for outboard-spec(7).
	 */
	const char *(*help)(void);

	/**
	 * @open: claim @n devices together. @devs[i] is zeroed but for log and removal_fd.
	 *
	 * Guarantees after success, for each: info and bar[] are filled, decoding and bus mastering
	 * are on, interrupts off; dma is created by ob_dma_create(). After failure nothing is held. A
	 * backend of real devices leaves bus mastering off, and sets dev->quiet, where the specification is quiet.
	 * Unused options are checked by the caller.
	 */
	int (*open)(struct ob_spec *const *specs, unsigned int n, struct ob_device **devs,
		    struct ob_error *err);

	/**
	 * @hold: start what devices need that outlives the process which drives them (a QEMU); optional.
	 *
	 * Open of the same specifications in a process that this one forked afterwards uses it, and finds the devices as after
	 * power-on, whatever an earlier such process left. @devs are zeroed, and stay allocated until release.
	 */
	int (*hold)(struct ob_spec *const *specs, unsigned int n, struct ob_device **devs,
		    struct ob_error *err);

	/** @release: end all that was held */
	void (*release)(void);

	/** @held: descriptors of what @hold started; returns how many it wrote, at most @max. With hold */
	unsigned int (*held)(int *fds, unsigned int max);

	/** @held_gone: has something that @hold started ended? Return: -ENODEV, with what is known of the end; 0. With hold */
	int (*held_gone)(struct ob_error *err);

	/**
	 * @close: bus mastering and interrupts are already off, DMA is already unmapped.
	 *
	 * Guarantees: nothing of the device is held any more; its vectors' descriptors are closed.
	 */
	void (*close)(struct ob_device *dev);

	/** @config: one access of 1, 2 or 4 bytes, aligned, below 4096. */
	int (*config)(struct ob_device *dev, bool write, unsigned int off, unsigned int size,
		      uint32_t *val);

	/** @read: registers of a BAR (or of claimed ports) without a map; bounds were checked. */
	uint64_t (*read)(const struct ob_bar *bar, uint64_t off, unsigned int size);

	/** @write: posted; in order with all accesses to the same device. */
	void (*write)(const struct ob_bar *bar, uint64_t off, unsigned int size, uint64_t val);

	/** @flush: returns when every earlier write has reached the device. */
	void (*flush)(struct ob_device *dev);

	/**
	 * @cork: see ob_device_cork() and ob_device_uncork(). Optional: without it nothing is held back.
	 */
	void (*cork)(struct ob_device *dev, bool on);

	/** @ports: claim legacy ports; optional (NULL: none). */
	int (*ports)(struct ob_device *dev, uint16_t base, uint16_t count, struct ob_bar *bar,
		     struct ob_error *err);

	/** @irq_count: vectors that irq_enable can give for @kind. */
	unsigned int (*irq_count)(struct ob_device *dev, enum ob_irq_kind kind);

	/**
	 * @irq_enable: vectors 0 to n-1 on, unmasked.
	 *
	 * Guarantees: vector[i].fd is an eventfd in blocking mode that counts interrupts from
	 * now on; INTx is masked as it is delivered. Nothing was lost since the call began.
	 */
	int (*irq_enable)(struct ob_device *dev, enum ob_irq_kind kind, unsigned int n,
			  struct ob_error *err);

	/** @irq_disable: no descriptor is written any more. Descriptors stay open until close. */
	void (*irq_disable)(struct ob_device *dev);

	/** @irq_mask: on unmask, an interrupt that came meanwhile is delivered. */
	int (*irq_mask)(struct ob_device *dev, unsigned int vec, bool mask);

	/**
	 * @dma_map: let the device reach memory of this process.
	 *
	 * @va, @iova and @len are multiples of the page size; @prot is of enum ob_dma_prot. An IOVA page
	 * that is mapped already gets the new translation and rights.
	 *
	 * Return: 0; -EFAULT when the device cannot be made to reach this memory (the library then
	 * bounces); -ENOSPC.
	 */
	int (*dma_map)(struct ob_device *dev, void *va, uint64_t iova, size_t len,
		       unsigned int prot);

	/** @dma_unmap: when it returns the device cannot reach the range, no stale translation. */
	int (*dma_unmap)(struct ob_device *dev, uint64_t iova, size_t len);

	/**
	 * @arena_below: another arena, one that ends at or below @last; optional, for a backend whose arena
	 * is not translated, so that the device's DMA mask decides where it may lie. Nothing is allocated
	 * in the old one or mapped; it goes when the new one is there.
	 *
	 * Return: 0 with base, size and iova of @window set; else the old one stays.
	 */
	int (*arena_below)(struct ob_device *dev, uint64_t last, struct ob_dma_window *window,
			   struct ob_error *err);

	/** @reset: see ob_device_reset(). The library re-enables interrupts. */
	int (*reset)(struct ob_device *dev, struct ob_error *err);

	/** @faults: see ob_device_faults(); optional. */
	int (*faults)(struct ob_device *dev, struct ob_fault *faults, unsigned int n);

	/** @stats: add what only the backend counts (system calls); optional. */
	void (*stats)(const struct ob_device *dev, struct ob_access_stats *stats);
};

/**
 * struct ob_wrapper_ops - something that stands between a driver and any backend
 * @wrap: fill @dev (ops, priv) so that it works on @dev->lower; @part holds its options
 * @help: text that lists its options, as a backend's
 */
struct ob_wrapper_ops {
	const char *name;
	const char *summary;
	const char *(*help)(void);
	int (*wrap)(struct ob_spec_part *part, struct ob_device *dev, struct ob_error *err);
};

/** ob_backends() - all backends of this build, ended by NULL; for lists and help */
const struct ob_access_ops *const *ob_backends(void);
/** ob_wrappers() - all wrappers of this build, ended by NULL */
const struct ob_wrapper_ops *const *ob_wrappers(void);

/** ob_device_set_gone() - a backend saw its device vanish: wakes every waiter, once */
void ob_device_set_gone(struct ob_device *dev);

enum {
	OB_DMA_HOLES = 16,
};

/* IOVAs from min to max (inclusive) that dma_map cannot use. */
struct ob_dma_hole {
	uint64_t min, max;
};

/**
 * struct ob_dma_window - what a backend tells the DMA layer
 * @base, @size: the arena in this process
 * @iova: where the device shall see it. Without an IOMMU: where it does see it
 * @translated: an IOMMU is programmed by dma_map; else the arena is reachable as it is
 * @aperture_min, @aperture_max: IOVAs that dma_map can use (inclusive)
 * @hole_min, @hole_max: IOVAs within them that it cannot (MSI window); 0, 0 for none
 * @hole, @nr_holes: more of them, which do not overlap
 * @fixed_rights: a page that is mapped cannot get other rights but by an unmap, in which the device's
 *	accesses would fail
 */
struct ob_dma_window {
	void *base;
	uint64_t size;
	uint64_t iova;
	bool translated;
	uint64_t aperture_min, aperture_max;
	uint64_t hole_min, hole_max;
	enum ob_dma_policy policy;
	struct ob_dma_hole hole[OB_DMA_HOLES];
	unsigned int nr_holes;
	bool fixed_rights;
};

/** ob_dma_create() - called by a backend in open, when dma_map can be used already */
int ob_dma_create(struct ob_device *dev, const struct ob_dma_window *window, struct ob_error *err);
/** ob_dma_destroy() - called by the library at close: reports leaks, unmaps everything */
void ob_dma_destroy(struct ob_device *dev);

/**
 * ob_claim() - hold a name machine-wide until close or death
 * @name: e.g. "image:253:0:131" or a BDF
 * @fd: set to a descriptor that holds it
 *
 * An abstract UNIX socket: no file, and the kernel tells the holder's pid. A holder that has ended, of
 * which a child is still about to close it, is waited for (two seconds at most).
 *
 * Return: 0; -EBUSY with @holder set (0 when unknown).
 */
int ob_claim(const char *name, int *fd, int *holder);

#ifdef __cplusplus
}
#endif
#endif
