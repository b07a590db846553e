/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * One PCI device in the hands of this process: open, config space, BARs and
 * port I/O, bus mastering, reset, removal. Interrupts are in irq.h, memory in dma.h.
 *
 * Threads: a device may be used from several threads at once unless a call says
 * otherwise; open and close are not to race with anything else on the same device.
 */
#ifndef OUTBOARD_DEVICE_H
#define OUTBOARD_DEVICE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <outboard/error.h>

#ifdef __cplusplus
extern "C" {
#endif

#define ob_likely(x)   __builtin_expect(!!(x), 1)
#define ob_unlikely(x) __builtin_expect(!!(x), 0)

struct ob_device;
struct ob_dma;

enum {
	OB_BAR_COUNT = 6,
};

/**
 * struct ob_bdf - a PCI function's address
 *
 * For an embedded device the address inside its own machine (domain 0).
 */
struct ob_bdf {
	uint16_t domain;
	uint8_t bus;
	uint8_t dev;
	uint8_t fn;
};

/**
 * struct ob_device_info - what a device says of itself, read once at open
 * @name: short name for messages and tables, e.g. "qemu:nvme" or "0000:03:00.0"
 * @spec: the specification that it was opened by
 * @backend: "qemu", "vfio", "uio", or the outermost wrapper's name
 * @class_code: base class, sub-class, programming interface (24 bits)
 * @iommu: true when DMA to memory that was not mapped is blocked and reported
 * @read_only: its media were given for reading only. Not every model tells that itself (QEMU's nvme
 *	does not), so ob_driver_bind() marks its disks as such
 * @untimed: a made-up device that answers at once: time need not pass, only be told
 */
struct ob_device_info {
	char name[64];
	char spec[512];
	const char *backend;
	struct ob_bdf bdf;
	uint16_t vendor, device;
	uint16_t subvendor, subdevice;
	uint32_t class_code;
	uint8_t revision;
	bool iommu;
	bool read_only;
	bool untimed;
};

/**
 * ob_device_open() - claim a device
 * @spec: e.g. "qemu:nvme,file=disk.img"; see outboard-spec(7)
 * @dev: set on success
 * @err: told why not, or NULL
 *
 * After success this process alone drives the device: it is powered, its BARs are
 * assigned, memory and I/O decoding are on, bus mastering is on, interrupts are off,
 * and no DMA mapping exists but the arena's (see dma.h). Everything is released by
 * ob_device_close() and, by the kernel or by the backend, at the death of the process.
 *
 * Return: 0; -EINVAL (bad spec, @err names the bad part and lists what is possible);
 * -EBUSY (held by somebody else, @err names the holder); -ENODEV (no such device or
 * backend); -EACCES, -ENOENT (an image); another negative errno value of the backend.
 */
int ob_device_open(const char *spec, struct ob_device **dev, struct ob_error *err);

/**
 * ob_devices_open() - claim several devices at once
 * @specs: @n specifications; embedded ones with the same `vm=NAME` share one QEMU
 * @devs: set on success, in the order of @specs
 *
 * All or none. Each device is closed on its own.
 */
int ob_devices_open(const char *const *specs, unsigned int n, struct ob_device **devs,
		    struct ob_error *err);

/**
 * ob_devices_open_quiet() - claim devices that may still be at work for whoever had them before
 * @specs, @n, @devs, @err: as of ob_devices_open()
 *
 * One that has no reset goes on with the addresses that it was given, which may be memory of this process now. So bus mastering
 * stays off here, where the backend is one of real devices, until ob_device_wake(), which ob_driver_bind() calls for a driver that does not
 * turn it on by itself (ob_driver.masters).
 */
int ob_devices_open_quiet(const char *const *specs, unsigned int n, struct ob_device **devs,
			  struct ob_error *err);

/**
 * ob_devices_hold() - start what devices need that shall outlive the processes which drive them
 * @specs: @n specifications, as they will be opened in processes that this one forks
 *
 * For a keeper: an embedded device's QEMU becomes this process's, and the images are claimed by it. Those that fork from here
 * open the devices one after the other, each after the former's death; each finds them as after power-on. For a
 * device of this machine nothing is held: the kernel resets it when the process dies that has it.
 *
 * Return: 0; an error as of ob_devices_open().
 */
int ob_devices_hold(const char *const *specs, unsigned int n, struct ob_error *err);
/** ob_devices_held_list() - the descriptors of what is held, which a process that drives them needs. Return: how many, at most @max */
unsigned int ob_devices_held_list(int *fds, unsigned int max);
/** ob_devices_held_gone() - has something that is held ended? -ENODEV, and @err says how; 0. In the process that holds it */
int ob_devices_held_gone(struct ob_error *err);
/** ob_devices_release() - end what is held; in the process that holds it */
void ob_devices_release(void);

/** ob_device_wake() - bus mastering on, if it was left off by ob_devices_open_quiet() and not turned on since */
void ob_device_wake(struct ob_device *dev);

/**
 * ob_device_close() - quiesce and release a device
 *
 * Turns bus mastering and interrupts off, removes every DMA mapping, frees arena and
 * vectors. NULL is allowed. Open vectors of the device (ob_irq_open()) are closed.
 */
void ob_device_close(struct ob_device *dev);

const struct ob_device_info *ob_device_info(const struct ob_device *dev);

/** ob_device_dma() - the device's DMA memory; lives as long as the device */
struct ob_dma *ob_device_dma(struct ob_device *dev);

/** ob_device_set_log() - send the device's log lines to @fn instead of stderr */
void ob_device_set_log(struct ob_device *dev, ob_log_fn fn, void *arg);

/** ob_device_log() - write a line to the device's log, prefixed with its name */
void ob_device_log(struct ob_device *dev, enum ob_log_level level, const char *fmt, ...)
	__attribute__((format(printf, 3, 4)));

/* ---- configuration space -------------------------------------------------------- */

/**
 * ob_config_read() - read 1, 2 or 4 bytes of configuration space
 * @off: byte offset below 4096, a multiple of @size
 *
 * Return: the value; all ones when the device is gone or the offset is not there.
 */
uint32_t ob_config_read(struct ob_device *dev, unsigned int off, unsigned int size);
void ob_config_write(struct ob_device *dev, unsigned int off, unsigned int size, uint32_t val);

/**
 * ob_pci_capability() - find a capability (PCI 3.0, 6.7)
 * @id: e.g. 0x11 for MSI-X
 *
 * A list that loops or points outside the standard header is treated as ended.
 *
 * Return: its offset, or 0.
 */
unsigned int ob_pci_capability(struct ob_device *dev, uint8_t id);

/** ob_pci_ext_capability() - find an extended capability (PCIe 3.0, 7.9); offset or 0 */
unsigned int ob_pci_ext_capability(struct ob_device *dev, uint16_t id);

/** ob_device_bus_master() - allow or forbid the device to do DMA and to send MSIs */
void ob_device_bus_master(struct ob_device *dev, bool on);

/* ---- registers ------------------------------------------------------------------ */

enum ob_bar_kind {
	OB_BAR_NONE,
	OB_BAR_MEM,
	OB_BAR_IO,
};

/**
 * struct ob_bar - a range of device registers
 * @map: where the registers are mapped, or NULL when an access is a message. Becomes NULL when the device
 *	goes, at any moment: loaded once per access
 * @size: bytes
 * @kind: memory or port I/O
 * @dev: whose
 * @index: BAR number, or -1 for ports claimed by ob_ports_claim()
 * @base: bus address or first port; for messages, never for access
 *
 * Read-only for users. Use the accessors below; @map may be NULL.
 */
struct ob_bar {
	volatile void *map;
	uint64_t size;
	enum ob_bar_kind kind;
	int index;
	struct ob_device *dev;
	uint64_t base;
	void *priv; /* the backend's */
};

/**
 * ob_device_bar() - a base address register's range
 * @index: 0 to 5; the upper half of a 64-bit BAR counts as absent
 *
 * Return: the range, owned by the device, or NULL when there is none.
 */
struct ob_bar *ob_device_bar(struct ob_device *dev, unsigned int index);

/**
 * ob_ports_claim() - legacy I/O ports that no BAR describes (IDE 1f0h, PC speaker 61h)
 * @base: first port
 * @count: ports
 *
 * Return: 0 and @bar filled; -EOPNOTSUPP where the backend has no port access;
 * -EBUSY when another device of the machine claimed them.
 */
int ob_ports_claim(struct ob_device *dev, uint16_t base, uint16_t count, struct ob_bar *bar,
		   struct ob_error *err);

uint64_t ob_bar_read_message(const struct ob_bar *bar, uint64_t off, unsigned int size);
void ob_bar_write_message(const struct ob_bar *bar, uint64_t off, unsigned int size, uint64_t val);

/*
 * Register access. Reads return when the device has answered and give all ones once it
 * is gone. Writes are posted: they reach the device in order, and before any later read
 * of the same device is answered, but not necessarily before the call returns. Offsets
 * are multiples of the width; outside the BAR a read gives all ones and a write is dropped
 * where the access is a message, and is the caller's error where the BAR is mapped.
 *
 * A store to DMA memory that the device must see before the register write needs
 * ob_wmb() between them, and a load that must come after a flag was seen needs ob_rmb().
 */
#define OB_ACCESSOR(bits)                                                                          \
	static inline uint##bits##_t ob_read##bits(const struct ob_bar *bar, uint64_t off)         \
	{                                                                                          \
		volatile char *map = __atomic_load_n(&bar->map, __ATOMIC_RELAXED);                 \
                                                                                                   \
		if (ob_likely(map))                                                                \
			return *(volatile uint##bits##_t *)(map + off);                            \
		return (uint##bits##_t)ob_bar_read_message(bar, off, bits / 8);                    \
	}                                                                                          \
	static inline void ob_write##bits(const struct ob_bar *bar, uint64_t off,                  \
					  uint##bits##_t val)                                      \
	{                                                                                          \
		volatile char *map = __atomic_load_n(&bar->map, __ATOMIC_RELAXED);                 \
                                                                                                   \
		if (ob_likely(map))                                                                \
			*(volatile uint##bits##_t *)(map + off) = val;                             \
		else                                                                               \
			ob_bar_write_message(bar, off, bits / 8, val);                             \
	}
OB_ACCESSOR(8)
OB_ACCESSOR(16)
OB_ACCESSOR(32)
OB_ACCESSOR(64)
#undef OB_ACCESSOR

/*
 * ob_wmb(): earlier stores to DMA memory are visible to the device before later register
 * writes. ob_rmb(): loads after it are not satisfied before loads in front of it.
 * On x86 stores to write-back memory are not reordered with each other or with later
 * uncached stores, nor loads with loads (SDM 3A, 8.2.2), so the compiler alone is held.
 */
#if defined(__x86_64__) || defined(__i386__)
#define ob_wmb() __asm__ volatile("" ::: "memory")
#define ob_rmb() __asm__ volatile("" ::: "memory")
#else
#define ob_wmb() __atomic_thread_fence(__ATOMIC_SEQ_CST)
#define ob_rmb() __atomic_thread_fence(__ATOMIC_SEQ_CST)
#endif
/* ob_mb(): loads after it are not satisfied before earlier stores are visible. */
#define ob_mb() __atomic_thread_fence(__ATOMIC_SEQ_CST)

/** ob_device_flush() - wait until the device has taken every posted write */
void ob_device_flush(struct ob_device *dev);

/**
 * ob_device_cork() - hold posted writes back, so that those of a burst go to the device together
 *
 * From here to ob_device_uncork() this thread's register writes may wait in the process, where each would be
 * a message. They keep their order, and are sent before any read of the device is answered, by ob_device_flush(), and
 * when they are many. So in between nothing may wait for what a write does but by reading a register: neither for a completion in
 * memory nor for an interrupt. For writes that follow each other, as those of one command. Nests. Does
 * nothing where registers are mapped. Other threads' writes are never held back.
 */
void ob_device_cork(struct ob_device *dev);
/** ob_device_uncork() - in the same thread: send what was held back */
void ob_device_uncork(struct ob_device *dev);

/**
 * ob_device_look() - say that memory which the device writes is about to be looked at
 *
 * For a driver that waits for memory to change in a loop of its own, once each time around: a recording (outboard-record(1)) then knows what it
 * was given at which look. What is called through ob_net_ops and ob_block_ops has this done for it. Does nothing without a recording or a replay.
 */
void ob_device_look(struct ob_device *dev);

/* ---- time ------------------------------------------------------------------------- */

/** ob_clock_ns() - CLOCK_MONOTONIC in nanoseconds: what every tick() is given, and what time-outs go by */
uint64_t ob_clock_ns(void);

static inline uint64_t ob_clock_ms(void)
{
	return ob_clock_ns() / 1000000;
}

/* ---- reset, removal, faults ----------------------------------------------------- */

/**
 * ob_device_reset() - reset the function
 *
 * Function-level reset, or a reset of the secondary bus where the device is alone on
 * it. Afterwards BARs and command register are as after open; interrupts that were
 * enabled are enabled again; the device's own registers have their reset values.
 *
 * Return: 0; -EOPNOTSUPP when the device has no function reset (then its driver resets
 * it by its own registers, e.g. 82574L CTRL.RST); -ENODEV when it is gone.
 */
int ob_device_reset(struct ob_device *dev, struct ob_error *err);

/**
 * ob_device_gone() - has the device been removed, or has its backend died?
 *
 * Once true it stays true: reads give all ones, writes are dropped, calls that can fail
 * return -ENODEV, waits end.
 */
bool ob_device_gone(const struct ob_device *dev);

/** ob_device_removal_fd() - a descriptor that is readable (and stays so) once it is gone */
int ob_device_removal_fd(struct ob_device *dev);

/**
 * struct ob_fault - a DMA access that the IOMMU blocked
 * @source: the function that did it
 * @iova: page of the access
 * @write: direction
 * @reason: the IOMMU's reason code
 * @text: the same for a person, with the device's name
 */
struct ob_fault {
	struct ob_bdf source;
	uint64_t iova;
	bool write;
	unsigned int reason;
	char text[192];
};

/**
 * ob_device_faults() - collect the IOMMU faults of this device since the last call
 * @faults: room for @n of them
 *
 * Return: how many were written; -EOPNOTSUPP without an IOMMU or where the kernel does
 * not say (then look at the kernel's log).
 */
int ob_device_faults(struct ob_device *dev, struct ob_fault *faults, unsigned int n);

/**
 * struct ob_access_stats - what the boundary did, since open
 * @reads: register and port reads
 * @writes: register and port writes (doorbells among them)
 * @config: configuration space accesses
 * @syscalls: system calls made for all these
 * @irqs: interrupts seen by this process (read from a vector's descriptor)
 * @faults: DMA accesses blocked
 */
struct ob_access_stats {
	uint64_t reads, writes, config, syscalls, irqs, faults;
};
void ob_device_stats(const struct ob_device *dev, struct ob_access_stats *stats);

#ifdef __cplusplus
}
#endif
#endif
