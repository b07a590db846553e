/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A driver: one file, one struct at its end. Bound to a device it fills the class devices that it
 * found (a network interface, disks, a character device).
 */
#ifndef OUTBOARD_DRIVER_H
#define OUTBOARD_DRIVER_H

#include <sys/ioctl.h>

#include <outboard/block.h>
#include <outboard/irq.h>
#include <outboard/loop.h>
#include <outboard/net.h>

#ifdef __cplusplus
extern "C" {
#endif

enum ob_class {
	OB_CLASS_CHAR,
	OB_CLASS_NET,
	OB_CLASS_BLOCK,
};

#define OB_PCI_ANY 0xffff

/**
 * struct ob_pci_id - a device that a driver knows
 * @class_code, @class_mask: matched as (class & mask) == code; mask 0 matches all
 */
struct ob_pci_id {
	uint16_t vendor, device;
	uint32_t class_code, class_mask;
	const char *name;
};

enum {
	OB_COVERAGE = 65536,
};

/**
 * struct ob_driver_config - how a driver shall run
 * @mode: poll needs no vectors at all
 * @queues: wanted; 0 for the driver's choice
 * @depth: ring or queue entries wanted; 0 for the driver's choice
 * @irq_kind: what to use; OB_IRQ_NONE for the best that the device has
 * @timeout_ms: of a request; 0 for the driver's choice
 * @ready: called with @ready_arg when all is set up that does not need the device, and before it is touched: for who wants
 *	to begin from there many times (fuzz/linux.c)
 * @coverage: OB_COVERAGE counters of ways through the driver, counted up by one that was compiled to do so; or NULL
 */
struct ob_driver_config {
	enum ob_mode mode;
	unsigned int queues;
	unsigned int depth;
	enum ob_irq_kind irq_kind;
	unsigned int timeout_ms;
	void (*ready)(void *arg);
	void *ready_arg;
	uint8_t *coverage;
};

/* One line of a self-test. */
struct ob_selftest_line {
	char name[40];
	int result; /* 0 passed, > 0 skipped, < 0 errno */
	char detail[160];
};

struct ob_char;

/* An action of ob_char_ops.ioctl, as a command of ioctl(2) on the device's node: its argument is a uint64_t. */
#define OB_CHAR_IOCTL(cmd) _IOWR(0xED, (cmd), uint64_t)

/**
 * struct ob_char_ops - devices that are neither disks nor networks: named actions on numbers and bytes
 *
 * All are called from one thread at a time. Each may be NULL.
 */
struct ob_char_ops {
	/**
	 * @open: somebody begins to use the device, and will call the others. Who counts users refuses by -EBUSY.
	 * @close: one of those has ended; may wait, e.g. until what was written has been played
	 */
	int (*open)(struct ob_char *chr);
	void (*close)(struct ob_char *chr);
	/** @read: of a device with @waiting -EAGAIN when there is nothing yet; another waits */
	long (*read)(struct ob_char *chr, void *buf, unsigned long len, uint64_t off);
	long (*write)(struct ob_char *chr, const void *buf, unsigned long len, uint64_t off);
	int (*ioctl)(struct ob_char *chr, unsigned int cmd, uint64_t *val);
	/**
	 * @command: an ioctl(2) as its number (asm-generic/ioctl.h) describes it, that programs know for such devices.
	 * @arg: _IOC_SIZE(cmd) bytes, copied in or out as the number says. -ENOTTY for what the device has not
	 */
	long (*command)(struct ob_char *chr, unsigned int cmd, void *arg);
	/** @serve: @fd of struct ob_char was readable, or may be: do what is to be done, and do not wait */
	void (*serve)(struct ob_char *chr);
	/** @waiting: would @read give something, now that @serve has been called? */
	bool (*waiting)(struct ob_char *chr);
	/**
	 * @answer: a line that somebody wrote to the device's node, without its newline; a device that has
	 * this is used by text, one that has not by the bytes of read and write.
	 * @reply: what can be read then, lines with their newlines
	 * Return: bytes of the reply, at most @size; -EINVAL for a line that makes no sense, -ERANGE for one
	 * out of bounds, or another negative errno value
	 */
	long (*answer)(struct ob_char *chr, const char *line, char *reply, unsigned long size);
};
/**
 * struct ob_char - a character device
 * @name: of its node in /dev, to which a number is added
 * @fd: readable when @serve of its ops is to be called; with that only
 */
struct ob_char {
	const struct ob_char_ops *ops;
	struct ob_device *dev;
	const char *driver;
	char name[32];
	int fd;
};

enum {
	OB_BINDING_BLOCKS = 16,
};

/**
 * struct ob_binding - a driver bound to a device
 * @priv: the driver's
 * @net, @blocks, @chr: what it found; in the driver's memory
 */
struct ob_binding {
	const struct ob_driver *driver;
	struct ob_device *dev;
	struct ob_driver_config config;
	void *priv;
	struct ob_net *net;
	struct ob_block *block[OB_BINDING_BLOCKS];
	unsigned int nr_blocks;
	struct ob_char *chr;
};

struct ob_fs_driver;

/**
 * struct ob_driver - a driver
 * @name: as in `--driver NAME`
 * @summary: one line
 * @datasheet: the document that it is written from
 * @ids: what it drives, ended by an entry with vendor 0 and class_mask 0
 * @masters: it turns bus mastering on by itself, when it has stopped what the device may still be at
 */
struct ob_driver {
	const char *name;
	const char *summary;
	const char *datasheet;
	enum ob_class class_;
	const struct ob_pci_id *ids;
	bool masters;

	/** @probe: take the device into use and fill @b. On failure everything is undone. */
	int (*probe)(struct ob_binding *b, struct ob_error *err);
	/** @remove: the device is quiet and all memory is freed when it returns. */
	void (*remove)(struct ob_binding *b);

	/**
	 * @selftest: exercise the device in this process, without an attachment; destroys nothing
	 * that is stored. Returns lines written, at most @n; optional.
	 */
	int (*selftest)(struct ob_binding *b, struct ob_selftest_line *lines, unsigned int n);

	/** @fs: of an object with a kernel in it, what mounts file systems (attachment "mount"); else NULL */
	const struct ob_fs_driver *fs;
};

/** ob_drivers() - the drivers in the library, ended by NULL */
const struct ob_driver *const *ob_drivers(void);
/** ob_driver_find() - by name, or NULL */
const struct ob_driver *ob_driver_find(const char *name);
/** ob_driver_match() - the driver for these ids, or NULL; @id is set to the entry, may be NULL */
const struct ob_driver *ob_driver_match(uint16_t vendor, uint16_t device, uint32_t class_code,
					const struct ob_pci_id **id);

/**
 * ob_driver_load() - a driver from a shared object that defines `outboard_driver`
 * @path: contains a '/'; or "linux:NAME" or "linux:NAME@KERNEL", a driver of the Linux kernel's that `outboard
 *	linux build` has made
 *
 * Stays loaded for the life of the process.
 */
int ob_driver_load(const char *path, const struct ob_driver **driver, struct ob_error *err);

/**
 * ob_driver_path() - the file that ob_driver_load() would load, without loading it
 * @name: as there, or the name of a driver of the library's own
 * @path: absolute; empty for one of the library's own
 *
 * Return: 0; -EINVAL; -ENOENT and others: it cannot be read.
 */
int ob_driver_path(const char *name, char *path, size_t size, struct ob_error *err);

/**
 * ob_driver_bind() - bind a driver to an open device
 * @driver: or NULL for the one that matches
 * @config: or NULL for the defaults
 *
 * Return: 0; -ENOENT when no driver matches (@err lists what there is); what probe returned.
 */
int ob_driver_bind(struct ob_device *dev, const struct ob_driver *driver,
		   const struct ob_driver_config *config, struct ob_binding **b,
		   struct ob_error *err);
/** ob_driver_unbind() - stop and remove; the device stays open. NULL is allowed */
void ob_driver_unbind(struct ob_binding *b);

#ifdef __cplusplus
}
#endif
#endif
