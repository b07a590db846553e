/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What the files of the IDE driver share: registers, and the controller, its channels and its disks.
 *
 * [ATA] ATA/ATAPI-6 (T13/1410D) and ATA/ATAPI-7 volumes 1 and 2 (T13/1532D); names are theirs
 * [BMIDE] Programming Interface for Bus Master IDE Controller, revision 1.0
 * [PCIIDE] PCI IDE Controller Specification, revision 1.0
 * [PIIX] Intel 82371FB (PIIX) and 82371SB (PIIX3), 290550
 */
#ifndef DRIVERS_IDE_IDE_H
#define DRIVERS_IDE_IDE_H

#include <pthread.h>

#include <outboard/driver.h>

/* ---- registers ----------------------------------------------------------------------- */

/* Command block registers [ATA, interface register definitions]. */
enum {
	ATA_DATA = 0,
	ATA_ERROR = 1,	  /* read */
	ATA_FEATURES = 1, /* write */
	ATA_COUNT = 2,
	ATA_LBA_LOW = 3,
	ATA_LBA_MID = 4,
	ATA_LBA_HIGH = 5,
	ATA_DEVICE = 6,
	ATA_STATUS = 7,	 /* read: clears the interrupt */
	ATA_COMMAND = 7, /* write */
	ATA_COMMAND_BLOCK = 8,
};

/* Status register. */
enum {
	ATA_BSY = 0x80,
	ATA_DRDY = 0x40,
	ATA_DF = 0x20,
	ATA_DRQ = 0x08,
	ATA_ERR = 0x01,
};

/* Error register after READ DMA, WRITE DMA, FLUSH CACHE. */
enum {
	ATA_ICRC = 0x80,
	ATA_UNC = 0x40,
	ATA_IDNF = 0x10,
	ATA_ABRT = 0x04,
};

/* Device register: bits 7 and 5 are obsolete and 1 in old devices; 6 means LBA. */
enum {
	ATA_DEVICE_BASE = 0xa0,
	ATA_DEVICE_LBA = 0x40,
	ATA_DEVICE_1 = 0x10,
};

/* Control block: one port, read alternate status, write device control. */
enum {
	ATA_NIEN = 0x02,
	ATA_SRST = 0x04,
};

enum {
	ATA_READ_DMA = 0xc8,
	ATA_READ_DMA_EXT = 0x25,
	ATA_WRITE_DMA = 0xca,
	ATA_WRITE_DMA_EXT = 0x35,
	ATA_WRITE_DMA_FUA_EXT = 0x3d,
	ATA_FLUSH_CACHE = 0xe7,
	ATA_FLUSH_CACHE_EXT = 0xea,
	ATA_IDENTIFY = 0xec,
	ATA_IDENTIFY_PACKET = 0xa1,
};

/* Bus master registers of one channel, and their bits [BMIDE]. */
enum {
	BM_COMMAND = 0,
	BM_STATUS = 2,
	BM_TABLE = 4,
	BM_CHANNEL = 8, /* bytes from one channel's to the next */

	BM_START = 0x01,
	BM_TO_MEMORY = 0x08,

	BM_ACTIVE = 0x01,
	BM_ERROR = 0x02,     /* write 1 to clear */
	BM_INTERRUPT = 0x04, /* write 1 to clear */
	BM_CAPABLE = 0x60,   /* kept as firmware left them */
	BM_SIMPLEX = 0x80,
};

/* Physical region descriptor [BMIDE]; both words little-endian. */
struct ide_prd {
	uint32_t address;
	uint32_t count; /* low 16 bits, 0 means 64 KiB; the last entry has bit 31 */
};
#define PRD_LAST   0x80000000u
#define PRD_REGION 0x10000u /* a region does not cross a multiple of 64 KiB */

enum {
	/* One page: aligned to itself the table cannot cross 64 KiB, and QEMU reads no further. */
	IDE_PRDS = 512,
	IDE_DEPTH = 32,
	IDE_DEPTH_MAX = 256,
	IDE_FIFO = 2 * IDE_DEPTH_MAX, /* both disks of a channel */
	IDE_MERGE = 32,		      /* requests that one command may serve */
	IDE_TRIES = 3,
	IDE_CHANNELS = 2,
};

/* ---- the driver's own ------------------------------------------------------------------ */

struct ide_controller;

/* Where a group of registers begins. */
struct ide_ports {
	const struct ob_bar *bar;
	uint16_t off;
};

static inline uint8_t ide_in(const struct ide_ports *p, unsigned int reg)
{
	return ob_read8(p->bar, p->off + reg);
}
static inline void ide_out(const struct ide_ports *p, unsigned int reg, uint8_t val)
{
	ob_write8(p->bar, p->off + reg, val);
}

/**
 * struct ide_identity - what IDENTIFY DEVICE said and was believed
 * @write_cache: a write may be lost at power failure until it is flushed
 */
struct ide_identity {
	uint64_t sectors;
	uint32_t block_size, physical_block_size;
	bool lba48, flush, flush_ext, fua, write_cache, rotational;
	char model[41];
	char serial[21];
};

struct ide_disk {
	struct ob_block blk;
	struct ide_channel *ch;
	unsigned int unit; /* 0 master, 1 slave */
	unsigned int shift;
	struct ide_identity id;
	bool running;
	bool armed;  /* its thread may sleep: write wake_fd at the next completion */
	bool wake;   /* to be written when the channel is unlocked */
	int wake_fd; /* when it shares its vector; else -1 */
	struct ob_block_stats stats;

	/* Requests that have ended and wait for ob_block_complete(). */
	struct ob_block_req *done[IDE_DEPTH_MAX];
	uint32_t done_head, done_tail;
	uint32_t accepted; /* taken from the caller and not given back */
};

enum ide_state {
	IDE_IDLE,
	IDE_BUSY,  /* a command is with the device */
	IDE_RESET, /* waiting for the devices after SRST */
	IDE_DEAD,  /* gone, or did not come back from a reset */
};

/**
 * struct ide_channel - one cable: up to two disks that take turns
 * @lock: taken only when @shared: two disks, or a thread that serves the vector
 * @fifo: requests of both disks in the order they came
 * @cur: requests that the current command serves, adjacent ones merged
 * @alone: this many next commands take one request each, to find the one that fails
 * @status: what @cur will fail with when no try is left
 * @seq: counts commands; @seen_seq and @since_ns tell tick() how long the current one has run,
 *	so that no clock is read per request; @armed_seq: the last one when interrupts were armed
 */
struct ide_channel {
	struct ide_controller *ide;
	unsigned int index;
	struct ide_ports cmd, ctl, bm;
	struct ob_bar claimed[2]; /* legacy ports of cmd and ctl */
	struct ide_disk *disk[2];
	struct ide_vector *vector;
	struct ide_prd *prd;
	ob_iova prd_iova;
	unsigned int timeout_ms;

	pthread_mutex_t lock;
	bool shared;

	enum ide_state state;
	int8_t selected; /* unit, or -1 */
	struct ob_block_req *fifo[IDE_FIFO];
	uint32_t head, tail;
	struct ob_block_req *cur[IDE_MERGE];
	unsigned int nr_cur;
	unsigned int nr_prd;
	uint8_t direction; /* as it stands in the bus master's command register */
	unsigned int alone;
	unsigned int tries;
	int status;
	uint64_t seq, seen_seq, armed_seq, since_ns;
	uint64_t reset_ns;
};

/**
 * struct ide_vector - an interrupt vector and the channels that it tells of
 * @threaded: several disks hang on it. Each may have a thread of its own, and an eventfd wakes only
 *	one: so a thread of ours serves it, and wakes the disks by their wake_fd
 */
struct ide_vector {
	struct ide_controller *ide;
	struct ob_irq *irq;
	unsigned int channels; /* bit mask */
	unsigned int disks;
	bool threaded;
	unsigned int armed; /* atomic; bit 2 * channel + unit: this disk waits for interrupts */
	pthread_t thread;
	int stop_fd;
};

/* How one chip differs from the others. Configuration space, one byte each; 0 where there is none. */
struct ide_chip {
	uint16_t device_vendor, device_id;
	const char *name;
	bool native; /* task files in BARs, whatever the programming interface byte says */
	uint8_t enable_reg[IDE_CHANNELS], enable_bit[IDE_CHANNELS]; /* channel on */
	uint8_t latch_reg[IDE_CHANNELS], latch_bit[IDE_CHANNELS];   /* write 1 to clear */
};

struct ide_controller {
	struct ob_device *dev;
	struct ob_dma *dma;
	const struct ide_chip *chip;
	struct ide_channel channel[IDE_CHANNELS];
	struct ide_vector vector[IDE_CHANNELS];
	unsigned int nr_vectors;
	char refused[160]; /* why the last device that is no disk of ours is not */
};

static inline struct ide_disk *ide_disk_of(struct ob_block *blk)
{
	return (struct ide_disk *)((char *)blk - offsetof(struct ide_disk, blk));
}

/* ---- identify.c ---- */

/**
 * ide_identify_parse() - check and take apart what IDENTIFY DEVICE returned [ATA, IDENTIFY DEVICE]
 * @id: 256 words in the host's byte order
 * @out: filled on success
 * @why: set to the reason on failure
 *
 * Return: 0; -EOPNOTSUPP for a device that this driver cannot use; -EILSEQ for data that no
 * device may return.
 */
int ide_identify_parse(const uint16_t id[256], struct ide_identity *out, const char **why);

/* ---- detect.c ---- */

int ide_place_registers(struct ide_channel *ch, struct ob_error *err);
/** ide_find_disks() - reset a cable and fill ch->disk; interrupts of the devices stay off */
int ide_find_disks(struct ide_channel *ch, unsigned int depth);

/* ---- vector.c ---- */

/** ide_irq_on() - vectors for the disks that were found; none is no failure */
int ide_irq_on(struct ide_controller *ide, enum ob_irq_kind kind, struct ob_error *err);
void ide_irq_off(struct ide_controller *ide);

/* ---- ide.c, selftest.c ---- */

extern const struct ob_block_ops ide_block_ops;
int ide_selftest(struct ob_binding *b, struct ob_selftest_line *lines, unsigned int n);

/* ---- channel.c ---- */

void ide_lock(struct ide_channel *ch);
/** ide_unlock() - also wakes the disks whose requests ended meanwhile */
void ide_unlock(struct ide_channel *ch);

/* All of these with the channel locked. */
void ide_submit(struct ide_disk *disk, struct ob_block_req *req);
/** ide_start_next() - give the device the next command if it has none */
void ide_start_next(struct ide_channel *ch);
/** ide_poll() - see whether the current command has ended; true when it has, in any way */
bool ide_poll(struct ide_channel *ch);
void ide_tick(struct ide_channel *ch, uint64_t now_ns);
/** ide_cancel() - end all requests of a disk: nothing of it is in flight afterwards */
void ide_cancel(struct ide_disk *disk);
/** ide_fail_all() - end all requests of both disks; the channel takes no more */
void ide_fail_all(struct ide_channel *ch, int status);

/** ide_srst() - software reset; the devices are busy afterwards. @control: kept bits (nIEN) */
void ide_srst(struct ide_channel *ch, uint8_t control);
/** ide_settle() - wait the 400 ns after which status is valid [ATA, bus idle protocol] */
void ide_settle(struct ide_channel *ch);

#endif
