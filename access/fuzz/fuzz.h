/* SPDX-License-Identifier: BSD-2-Clause */
/* A made-up device that behaves as its driver expects, until its input says otherwise: fuzz.c, and a model for each kind of device. */
#ifndef ACCESS_FUZZ_FUZZ_H
#define ACCESS_FUZZ_FUZZ_H

#include <outboard/access.h>

enum {
	FUZZ_RECORD = 8,
	FUZZ_STUCK = 16,
	FUZZ_CONFIG = 256,
	FUZZ_PORTS = OB_BAR_COUNT, /* number of the legacy ports among BARs */
	FUZZ_PORTS_END = 0x400,	   /* as far as a PC/AT decodes */
	FUZZ_RANGES = 4,
	/* What a driver has allocated and is larger than this is not changed: the memory of a kernel. */
	FUZZ_MEMORY_MAX = 4 << 20,
	FUZZ_INPUT_MAX = 64 << 10,
};

/* What a record of the input does when its turn comes; more than these are taken modulo. */
enum fuzz_what {
	FUZZ_XOR,   /* the next register read has these bits turned */
	FUZZ_SET,   /* or is this value */
	FUZZ_STICK, /* the register that is read next is this value from now on */
	FUZZ_IRQ,   /* vector arg interrupts, 1 to 16 times */
	FUZZ_POKE, /* model: the next descriptor or completion that it writes has bits turned in word arg */
	FUZZ_CONFIG_XOR, /* the next read of configuration space has these bits turned */
	FUZZ_ARRIVE,	 /* model: something arrives (a frame) that nobody asked for */
	FUZZ_DATA,	 /* model: the next data that it writes have bits turned in word arg */
	FUZZ_GONE,   /* from now on all ones; arg odd: and the backend says that it was removed */
	FUZZ_MEMORY, /* a word of what the driver has allocated for the device has bits turned: allocation arg, word value & 0xffff */
	FUZZ_WHATS,
};

struct fuzz_device;

/**
 * struct fuzz_model - a kind of device, as its driver wants it
 * @reset: registers as after power-on; in @regs of each BAR
 * @read, @write: a register that is more than memory; NULL for none
 * @arrive: see FUZZ_ARRIVE
 * @ports: legacy ports that it has; their number in @read and @write is the offset in BAR FUZZ_PORTS
 * @disk: bytes that it stores
 */
struct fuzz_model {
	const char *name;
	const char *summary;
	uint16_t vendor, device;
	uint32_t class_code;
	struct {
		enum ob_bar_kind kind;
		uint32_t size;
	} bar[OB_BAR_COUNT];
	unsigned int msi, msix; /* vectors */
	unsigned int msix_bar, msix_offset;
	struct {
		uint16_t base, count;
	} ports[FUZZ_RANGES];
	size_t disk;
	void (*reset)(struct fuzz_device *fd);
	uint64_t (*read)(struct fuzz_device *fd, unsigned int bar, uint64_t off, unsigned int size);
	void (*write)(struct fuzz_device *fd, unsigned int bar, uint64_t off, unsigned int size,
		      uint64_t val);
	void (*arrive)(struct fuzz_device *fd, unsigned int arg, uint32_t value);
};

/* Bits to turn in what is written next. */
struct fuzz_turn {
	bool armed;
	unsigned int arg;
	uint32_t value;
};

struct fuzz_nvme_queue {
	uint64_t sq, cq;
	uint32_t sq_size, cq_size, sq_head, cq_tail, vector;
	bool phase;
};

/* Pages one behind the other. */
struct fuzz_run {
	uint32_t at, n;
};

/**
 * struct fuzz_device - one device
 * @in, @in_len, @in_at: the input, and the next record
 * @wait: accesses until that one's turn
 * @arena: what the device can reach, at @iova
 * @full: its pages that are not all zeroes, at the time of ob_fuzz_pages()
 */
struct fuzz_device {
	struct ob_device *dev;
	const struct fuzz_model *model;
	uint8_t *in;
	size_t in_len, in_at;
	uint32_t wait;
	bool gone;

	struct fuzz_turn read, config_read, poke, data;
	bool read_set;
	struct {
		unsigned int bar;
		uint64_t off;
		uint32_t value;
	} stuck[FUZZ_STUCK];
	unsigned int nr_stuck;
	bool stick;
	uint32_t stick_value;

	uint8_t config[FUZZ_CONFIG];
	uint8_t *regs[OB_BAR_COUNT + 1];
	uint8_t *disk;
	void *arena;
	uint64_t size, iova;
	int arena_fd;
	struct fuzz_run *full;
	unsigned int nr_full;
	bool irqs;

	/* Models' own: interrupts that are on, the next frame to be sent, an EEPROM with its wires; an NVMe controller's queues. */
	uint32_t irq_mask, tx_at;
	bool phy_loops;
	uint16_t eeprom[64];
	struct {
		uint32_t wires;
		unsigned int in, out;
		uint32_t val;
		bool reading;
	} microwire;
	struct fuzz_nvme_queue queue[4];
	struct {
		uint8_t regs[8], older[8], status, control;
		unsigned int word; /* of the identification, next */
		bool pending;	   /* a command waits for the bus master */
	} ata;
	struct {
		uint16_t divisor;
		bool high,
			status; /* the next byte is the divisor's upper one; a read gives the status */
	} timer;
};

extern const struct fuzz_model fuzz_beep, fuzz_e1000, fuzz_e1000e, fuzz_e1000e_msix, fuzz_edu,
	fuzz_ide, fuzz_igc, fuzz_ixgbe, fuzz_ns83820, fuzz_nvme, fuzz_r8169;

/* Registers as memory. */
static inline uint32_t *fuzz_reg(struct fuzz_device *fd, unsigned int bar, uint64_t off)
{
	return (uint32_t *)(void *)(fd->regs[bar] + off);
}

/** fuzz_memory() - what the device sees at an address: @len bytes, or NULL where it reaches nothing */
void *fuzz_memory(struct fuzz_device *fd, uint64_t iova, uint64_t len);
/**
 * fuzz_transfer() - move data between the device's disk and memory
 * @at, @len: of the disk; what lies outside of it or of the memory is left out
 * @to_memory: the data that are written have bits turned, if the input said so
 */
void fuzz_transfer(struct fuzz_device *fd, uint64_t at, uint64_t iova, uint64_t len,
		   bool to_memory);
/** fuzz_interrupt() - vector @vec, if it is on */
void fuzz_interrupt(struct fuzz_device *fd, unsigned int vec);
/** fuzz_turn() - turn bits in what is about to be written, once, if the input said so */
void fuzz_turn(struct fuzz_turn *turn, void *words, size_t len);

/** ob_fuzz_input() - a device that was just opened gets this input (records; copied) instead of its file's */
int ob_fuzz_input(struct ob_device *dev, const void *data, size_t len);
/** ob_fuzz_pages() - before fork(): what a child has to copy. Return: 0 or -ENOMEM */
int ob_fuzz_pages(struct ob_device *dev);
/**
 * ob_fuzz_private() - after fork(): this process's memory of the device becomes its own, wherever it is mapped
 *
 * Not to be called on a stack that lies in it. Return: 0 or a negative errno value.
 */
int ob_fuzz_private(struct ob_device *dev);

#endif
