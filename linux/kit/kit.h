/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The boundary between the host side (linux/kit/, an ordinary program) and the kernel side (linux/arch/,
 * linux/class/): two tables of functions and what they pass. Includes no header of either side, so that both
 * can read it. The whole of it is one version: both sides are linked into one object.
 *
 * One thread at a time is in the kernel. It enters by ob_kernel.run(), which returns when the kernel has
 * nothing to do until the next event, and calls out by struct ob_kit_ops. No host function switches fibers
 * or enters the kernel.
 */
#ifndef OUTBOARD_LINUX_KIT_H
#define OUTBOARD_LINUX_KIT_H

enum {
	OB_KIT_VERSION = 1,
	OB_KIT_BARS = 6,
	OB_KIT_PORT_RANGES = 4,
	OB_KIT_VECTORS = 64,
	OB_KIT_FRAME_SEGMENTS = 20,
	OB_KIT_DISK_PIECES = 16,
};

enum ob_kit_irq {
	OB_KIT_INTX = 1,
	OB_KIT_MSI,
	OB_KIT_MSIX,
};

/* A base address register: kind 0 none, 1 memory, 2 ports. @map is where it is mapped, or 0. */
struct ob_kit_bar {
	unsigned long long size;
	unsigned long map;
	int kind;
	int is_64bit;
	int prefetch;
};

/**
 * struct ob_kit_memory - the kernel's memory, which is a part of the device's DMA arena
 * @base: where physical address 0 is: the object's first byte
 * @image: bytes from there that the object has itself
 * @size: bytes of physical memory; what lies behind the image is mapped at the same distance
 * @own: bytes of these that are the kernel's; the rest is other people's, for which there are struct pages
 * @dma: what the device adds to a physical address
 * @data, @data_end: of the image, what lies in the arena too, so that the device reaches it
 * @vmalloc, @vmalloc_end: addresses that nobody uses, for mappings
 * @window: 4 GiB of addresses that nobody uses, which stand for registers that are messages
 */
struct ob_kit_memory {
	unsigned long base, image;
	unsigned long long size, own;
	unsigned long long dma;
	unsigned long data, data_end;
	unsigned long vmalloc, vmalloc_end;
	unsigned long window;
};

struct ob_kit_disk_request;

/**
 * struct ob_kit_ops - what the kernel side asks of the host
 *
 * @host is the first argument of all. Those without a return value cannot fail.
 */
struct ob_kit_ops {
	unsigned int version;

	/** @log: a line of the kernel's log, without a newline; @level as printk's, 0 to 7 */
	void (*log)(void *host, int level, const char *line, unsigned int len);
	/** @fatal: the kernel cannot go on. Says why, where from (@pc, innermost first), and ends the process */
	void (*fatal)(void *host, const char *what, const unsigned long *pc, unsigned int n)
		__attribute__((noreturn));

	/** @clock: nanoseconds that only grow; @real_time: since 1970 */
	unsigned long long (*clock)(void *host);
	unsigned long long (*real_time)(void *host);
	/** @entropy: @len bytes that nobody can guess */
	void (*entropy)(void *host, void *buf, unsigned long len);

	/**
	 * @poll: what has happened since the last call, without sleeping: sets the bits of vectors that have
	 * interrupted in @vectors (one word, OB_KIT_VECTORS bits). Return: 1 when the device is found to be gone, else 0
	 */
	int (*poll)(void *host, unsigned long long *vectors);

	/** @map: @len bytes of physical memory @phys at @va, too. @unmap: an access to @va is a fault again */
	int (*map)(void *host, unsigned long va, unsigned long long phys, unsigned long len);
	int (*unmap)(void *host, unsigned long va, unsigned long len);

	/** @config_read, @config_write: configuration space; all ones from a device that is gone */
	unsigned int (*config_read)(void *host, unsigned int off, unsigned int size);
	void (*config_write)(void *host, unsigned int off, unsigned int size, unsigned int val);
	/** @bar: what the device has */
	void (*bar)(void *host, unsigned int index, struct ob_kit_bar *bar);
	/** @read, @write: a register or port of a BAR that is not mapped */
	unsigned long long (*read)(void *host, unsigned int bar, unsigned long long off,
				   unsigned int size);
	void (*write)(void *host, unsigned int bar, unsigned long long off, unsigned int size,
		      unsigned long long val);

	/** @stray: an access at @off of a BAR that ends before that, or of none (@bar OB_KIT_BARS); it gets ones, or is lost */
	void (*stray)(void *host, unsigned int bar, unsigned long long off, unsigned int size,
		      int is_write);

	/** @claim_ports: ports of a PC's. Return: what stands for a BAR's number in @read and @write, or a negative errno value */
	int (*claim_ports)(void *host, unsigned int base, unsigned int count);

	/** @vector_count: vectors that there are of a kind */
	unsigned int (*vector_count)(void *host, enum ob_kit_irq kind);
	/** @irq_enable: @n vectors on, others off. Return: 0 or a negative errno value */
	int (*irq_enable)(void *host, enum ob_kit_irq kind, unsigned int n);
	void (*irq_disable)(void *host);
	/** @irq_unmask: an INTx line, masked as it was delivered, is served; if still asserted, it comes again */
	void (*irq_unmask)(void *host, unsigned int vector);

	/**
	 * @firmware: of the file @path of the host's firmware folder @len bytes from @off on into @buf; with @len 0 its size.
	 * Return: bytes, -EISDIR for a folder, -ENOENT, or another negative errno value
	 */
	long (*firmware)(void *host, const char *path, unsigned long off, void *buf,
			 unsigned long len);

	/** @sent: a frame that xmit() took has left, or was dropped */
	void (*sent)(void *host, void *cookie);

	/**
	 * @disk_submit: a request to a disk of the host's. Taken in any case: there are no more than its depth. Goes to the disk when
	 * the kernel is idle
	 */
	void (*disk_submit)(void *host, void *disk, const struct ob_kit_disk_request *r);
};

/* ---- networks ------------------------------------------------------------------------ */

/* Piece of a frame: kernel's address and length. */
struct ob_kit_piece {
	void *data;
	unsigned int len;
};

/**
 * struct ob_kit_frame - a frame between the two sides
 * @piece, @n: its data
 * @cookie: of whoever owns it: given back when it is done with
 * @csum_ok: received, and the device verified the checksums
 * @csum_partial: to be sent; the sum from @csum_start on goes to @csum_start + @csum_offset
 * @gso: as enum ob_gso_type of outboard/net.h
 */
struct ob_kit_frame {
	struct ob_kit_piece piece[OB_KIT_FRAME_SEGMENTS];
	unsigned int n;
	unsigned int len;
	void *cookie;
	unsigned char csum_ok, csum_partial, gso;
	unsigned short csum_start, csum_offset, gso_size, hdr_len;
};

enum {
	OB_KIT_NET_CSUM = 1 << 0,    /* fills in checksums */
	OB_KIT_NET_TSO = 1 << 1,     /* splits TCP over IPv4 and IPv6 */
	OB_KIT_NET_RX_CSUM = 1 << 2, /* verifies checksums */
};

struct ob_kit_net_info {
	char name[32], driver[32], version[32], firmware[32], bus[32];
	unsigned char mac[6];
	unsigned int mtu, mtu_max;
	unsigned int features;
	unsigned int msg_level;
};

struct ob_kit_net_link {
	int up, full_duplex, autoneg;
	unsigned int mbps;
};

struct ob_kit_net_stats {
	unsigned long long rx_packets, rx_bytes, rx_dropped, rx_errors, rx_crc_errors, rx_missed;
	unsigned long long tx_packets, tx_bytes, tx_dropped, tx_errors;
	unsigned long long multicast, collisions;
};

struct ob_kit_value {
	char name[32];
	unsigned long long value;
};

struct ob_kit_test {
	char name[32];
	unsigned long long data;
};

/* An offload, as ethtool -k has it: whether it is on, was asked for, and cannot be changed. */
struct ob_kit_feature {
	char name[32];
	unsigned char on, wanted, fixed;
};

/**
 * struct ob_kernel_net - a network device. @xmit and @release are called inside of burst(); @receive and @waiting
 * only look, and may be called while the kernel is idle; the others are called inside of call()
 */
struct ob_kernel_net {
	/** @xmit: frames taken, at most @n; each is told to ob_kit_ops.sent once, perhaps at once */
	unsigned int (*xmit)(void *net, struct ob_kit_frame *frames, unsigned int n);
	/** @receive: frames that have arrived, at most @n; each cookie goes to @release later */
	unsigned int (*receive)(void *net, struct ob_kit_frame *frames, unsigned int n);
	/** @release: the data of a received frame are no longer used. Any number at once */
	void (*release)(void *net, void *const *cookies, unsigned int n);
	/** @waiting: are there frames to receive? */
	int (*waiting)(void *net);

	int (*open)(void *net);
	void (*stop)(void *net);
	void (*info)(void *net, struct ob_kit_net_info *info);
	void (*link)(void *net, struct ob_kit_net_link *link);
	void (*stats)(void *net, struct ob_kit_net_stats *stats);
	int (*set_mac)(void *net, const unsigned char *mac);
	int (*set_mtu)(void *net, unsigned int mtu);
	int (*set_promisc)(void *net, int on);
	int (*set_multicast)(void *net, const unsigned char (*macs)[6], unsigned int n);
	void (*set_msg_level)(void *net, unsigned int level);
	int (*ring)(void *net, unsigned int *rx, unsigned int *tx, unsigned int *rx_max,
		    unsigned int *tx_max);
	/** @counters, @registers: as many as there are, at most @n written. Bytes of the register dump */
	int (*counters)(void *net, struct ob_kit_value *v, unsigned int n);
	int (*registers)(void *net, void *buf, unsigned int size, unsigned int *version);
	/** @features: all that the kernel has names for, at most @n written */
	int (*features)(void *net, struct ob_kit_feature *f, unsigned int n);
	int (*eeprom)(void *net, unsigned int off, void *buf, unsigned int len);
	int (*self_test)(void *net, struct ob_kit_test *t, unsigned int n, int offline,
			 int *failed);
};

/* ---- disks ----------------------------------------------------------------------------- */

/**
 * struct ob_kit_request - a request to a disk
 * @op, @flags: as enum ob_block_op and ob_block_flags of outboard/block.h
 * @data: to be read or written, contiguous, in the kernel's memory (struct ob_kit_memory)
 * @cookie: given back when it has ended
 */
struct ob_kit_request {
	void *data;
	unsigned long long offset;
	unsigned int len;
	unsigned char op, flags;
	void *cookie;
};

/* A request that has ended; @status: 0 or a negative errno value, as struct ob_block_req has it. */
struct ob_kit_ended {
	void *cookie;
	int status;
};

struct ob_kit_disk_info {
	char name[32], model[48], serial[32];
	unsigned long long size;
	unsigned int block_size, physical_block_size;
	unsigned int max_transfer, max_discard, max_zeroes; /* bytes */
	unsigned int dma_align, depth;
	int read_only, volatile_cache, rotational;
	int fua; /* of the host's disks only */
};

/**
 * struct ob_kernel_block - disks. @submit is called inside of burst(); @ended, @waiting, @give_up and @disk only
 * look, and may be called while the kernel is idle; the others are called inside of call()
 */
struct ob_kernel_block {
	/** @submit: requests taken, in order, at most @n and as many as there is depth */
	unsigned int (*submit)(void *disk, const struct ob_kit_request *reqs, unsigned int n);
	/** @ended: requests that have ended, at most @n */
	unsigned int (*ended)(void *disk, struct ob_kit_ended *ended, unsigned int n);
	/** @waiting: has one ended? */
	int (*waiting)(void *disk);
	/** @give_up: the device is gone: all in flight have ended with -ENODEV, and no more are taken */
	void (*give_up)(void *disk);

	/** @find: how many disks the device has. Waits for them */
	int (*find)(void);
	/** @disk: the @index'th of these, or NULL */
	void *(*disk)(unsigned int index);
	void (*info)(void *disk, struct ob_kit_disk_info *info);
	int (*open)(void *disk);
	/** @close: waits until nothing is in flight */
	void (*close)(void *disk);
	/** @forget: all that had ended when it was closed was taken */
	void (*forget)(void *disk);
	/** @put: the disk is not used any more */
	void (*put)(void *disk);
	/** @device: the kernel's number of it, or of a partition; 0 where there is none. Only looks */
	unsigned int (*device)(void *disk, unsigned int partition);
};

/**
 * struct ob_kit_disk_request - a request of the kernel's to a disk of the host's
 * @request: goes back by ob_kernel_host_disk.ended()
 * @op, @flags: as enum ob_block_op and ob_block_flags of outboard/block.h
 * @piece, @n: of a READ and WRITE, in the kernel's memory; together @len bytes
 */
struct ob_kit_disk_request {
	void *request;
	unsigned long long offset;
	unsigned int len, n;
	unsigned char op, flags;
	struct ob_kit_piece piece[OB_KIT_DISK_PIECES];
};

/**
 * struct ob_kernel_host_disk - disks of the host's as disks of the kernel's. @ended is called inside of burst(), @device only looks, the
 *	others are called inside of call()
 */
struct ob_kernel_host_disk {
	/** @add: @host: what ob_kit_ops.disk_submit() is told */
	int (*add)(const struct ob_kit_disk_info *info, void *host, void **disk);
	void (*remove)(void *disk);
	unsigned int (*device)(void *disk, unsigned int partition);
	/** @ended: requests have ended; the cookies are theirs */
	void (*ended)(const struct ob_kit_ended *ended, unsigned int n);
};

struct ob_kernel_fs;
struct ob_kernel_ip;

/* ---- character devices ----------------------------------------------------------------- */

enum ob_kit_node_kind {
	OB_KIT_NODE_OTHER,
	OB_KIT_NODE_WATCHDOG,
	OB_KIT_NODE_RANDOM,
	OB_KIT_NODE_PCM_PLAY,
	OB_KIT_NODE_PCM_RECORD,
	OB_KIT_NODE_CAN, /* no node, but an interface (struct ob_kernel_can) */
};

/* A node of the kernel's: @name below /dev. */
struct ob_kit_node {
	char name[32];
	enum ob_kit_node_kind kind;
};

/** struct ob_kernel_char - nodes of character devices, as files. All are called inside of call() */
struct ob_kernel_char {
	/** @find: the nodes that the device's driver has made, at most @n written. Return: how many */
	int (*find)(struct ob_kit_node *nodes, unsigned int n);
	/** @open: for reading, writing or both. Return: 0 or a negative errno value */
	int (*open)(const char *name, int reading, int writing, void **file);
	void (*close)(void *file);
	/** @read, @write, @ioctl: as the system calls of these names, with memory of the host's */
	long (*read)(void *file, void *buf, unsigned long len);
	long (*write)(void *file, const void *buf, unsigned long len);
	long (*ioctl)(void *file, unsigned int cmd, void *arg);
};

/* ---- CAN ---------------------------------------------------------------------------------- */

enum {
	OB_KIT_CAN_DATA = 64,
	OB_KIT_CAN_NAME = 16,
	OB_KIT_CAN_PORTS = 4,

	OB_KIT_CAN_FD = 1 << 0,	 /* a frame of CAN FD */
	OB_KIT_CAN_BRS = 1 << 1, /* its data with the other bit rate */
	OB_KIT_CAN_ESI = 1 << 2, /* its sender is error passive */
};

/* A frame; @id as can_id of struct can_frame (linux/can.h), with its flags; @port: the interface, in the order of @find. */
struct ob_kit_can_frame {
	unsigned int id;
	unsigned char len, flags, port;
	unsigned char data[OB_KIT_CAN_DATA];
};

/** struct ob_kernel_can - the device's CAN interfaces. @receive only looks; the others are called inside of call() */
struct ob_kernel_can {
	/** @find: their names, at most @n. Return: how many there are of these */
	int (*find)(char (*names)[OB_KIT_CAN_NAME], unsigned int n);
	/** @open: all of them, at the bit rate of the parameter outboard.can_bitrate */
	int (*open)(void);
	void (*close)(void);
	/** @send: waits until the driver has it in its controller */
	int (*send)(const struct ob_kit_can_frame *frame);
	/** @receive: the next that has arrived. With NULL it stays. Return: 1 when there was one, else 0 */
	int (*receive)(struct ob_kit_can_frame *frame);
};

/* ---- the kernel ------------------------------------------------------------------------ */

/**
 * struct ob_kernel - what the host asks of the kernel side
 */
struct ob_kernel {
	unsigned int version;
	const char *release; /* "6.12.95" */
	/** @coverage: where it counts the driver's ways, 65,536 bytes, or to be set to that; NULL: it was not compiled to */
	unsigned char **coverage;
	/** @shadow: where its instrumented code expects @shadow_size bytes of zeroes, before it first runs; 0: nowhere */
	unsigned long shadow, shadow_size;

	/** @param: the name of the @index'th parameter ("e1000e.IntMode"), NULL behind the last. At any time */
	const char *(*param)(unsigned int index);

	/** @start: set up; the first run() boots. Once in the life of the object's data */
	void (*start)(const struct ob_kit_ops *ops, void *host, const struct ob_kit_memory *mem,
		      const char *command_line);
	/**
	 * @run: go on until there is nothing to do
	 * @deadline: set to when the kernel wants to run again by itself, in @clock's time; ~0 for never
	 */
	void (*run)(unsigned long long *deadline);
	/** @call: have @fn run in a fiber that may sleep; it has returned when @done is set. One at a time */
	void (*call)(long (*fn)(void *arg), void *arg, long *result, int *done);
	/**
	 * @burst: run @fn as a soft interrupt does, and then what follows from it. The deadline is soon, that of the kernel's tick: whoever
	 * wants to sleep calls run() before, which tells the next thing that there is to do
	 */
	void (*burst)(void (*fn)(void *arg), void *arg, unsigned long long *deadline);
	/** @busy: is there something to run although the clock has not reached the deadline? */
	int (*busy)(void);

	/**
	 * @callers: return addresses, innermost first, at most @n: on the current stack from @from on, or, inside of an operation of struct
	 * ob_kit_ops with @from NULL, of the driver's functions that led there
	 */
	unsigned int (*callers)(const void *from, unsigned long *pc, unsigned int n);

	/**
	 * @looks: how often the kernel has looked at time and interrupts; @lend_ms: let its ticks go on by so much while it
	 * does not. From any thread, while the kernel runs; see linux/kit/pacer.c
	 */
	unsigned long (*looks)(void);
	void (*lend_ms)(unsigned int ms);

	/* Inside of call() only: */

	/** @probe: add the device to the kernel's bus, find its driver; the driver's name, or NULL */
	long (*probe)(void *driver_name);
	/** @remove: take it away again */
	long (*remove)(void *unused);
	/** @suspend: the driver puts its device to sleep, as before the machine does. @resume: and wakes it. 0 or an errno value */
	long (*suspend)(void *unused);
	long (*resume)(void *unused);
	const struct ob_kernel_char *chr;
	const struct ob_kernel_net *net; /* or NULL: the object has no network */
	/** @net_of: the @index'th network device of the device, or NULL */
	void *(*net_of)(unsigned int index);
	const struct ob_kernel_can *can;	     /* or NULL: the object has no CAN */
	const struct ob_kernel_ip *ip;		     /* with network drivers, else NULL; kit/ip.h */
	const struct ob_kernel_block *block;	     /* or NULL: the object has no disks */
	const struct ob_kernel_fs *fs;		     /* or NULL: it mounts nothing; kit/fs.h */
	const struct ob_kernel_host_disk *host_disk; /* with fs */
};

extern const struct ob_kernel outboard_kernel;

#endif
