/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * One QEMU process whose processor is parked and whose PCI devices we drive: memory map, interrupts
 * and IOMMU of the machine.
 */
#ifndef ACCESS_QEMU_MACHINE_H
#define ACCESS_QEMU_MACHINE_H

#include <pthread.h>
#include <sys/types.h>

#include <outboard/access.h>

#include "access/qemu/qtest.h"
#include "access/qemu/vtd.h"

enum {
	QEMU_DEVICES = 20, /* slots 4 to 23, whose INTx routing is known (see machine.c) */
	QEMU_FILES = 16,   /* descriptors given to QEMU besides our own */
	QEMU_CLAIMS = 8,
	QEMU_GSIS = 24, /* inputs of the IOAPIC */
};

/*
 * The machine's physical address space. RAM is our memfd: below 2 GiB physical address X is offset X.
 * 0xa0000-0xfffff is the VGA hole and the firmware's shadow, so the first MiB is not used.
 */
#define QEMU_RAM_PARKING     0x100000ull /* pages to which masked MSIs go */
#define QEMU_RAM_TABLES	     0x200000ull /* VT-d root, context and page tables */
#define QEMU_RAM_TABLES_SIZE 0x400000ull
#define QEMU_RAM_ARENAS	     0x800000ull
#define QEMU_RAM_MAX	     0x70000000ull /* q35 keeps RAM below 2 GiB contiguous */
#define QEMU_ECAM	     0xb0000000ull /* 256 MiB window, q35's MMCONFIG */
#define QEMU_MMIO	     0xc0000000ull
#define QEMU_MMIO_END	     0xfe000000ull
#define QEMU_IO		     0xc000u
#define QEMU_VTD	     0xfed90000ull

/* The command line of a QEMU, and the descriptors that it inherits. */
struct qemu_args {
	char **argv;
	unsigned int argc, room;
	int fd[QEMU_FILES];
	unsigned int nr_fds;
	bool failed; /* out of memory on the way */
};

void qemu_arg(struct qemu_args *args, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
/** qemu_arg_fd() - the number that @fd (taken over) will have in QEMU, or -1 */
int qemu_arg_fd(struct qemu_args *args, int fd);
void qemu_args_free(struct qemu_args *args);

struct qemu_machine;

/* The qemu backend's part of a device. */
struct qemu_device {
	struct qemu_machine *machine;
	struct ob_device *dev;
	unsigned int slot;
	unsigned int index;
	bool behind_bridge;
	unsigned int bridge_bdf; /* bus << 8 | dev << 3 | fn, as is bdf */
	unsigned int bdf;
	unsigned int gsi[2];
	unsigned int nr_intx;
	bool no_function;    /* legacy ports only */
	bool waits;	     /* for each write of a register: see networks.c */
	bool reaches_itself; /* see disks.c */
	/* What configuration space says, or 0: what QEMU's says. */
	uint8_t revision;
	uint32_t ids; /* device << 16 | vendor, as there */
	uint64_t arena_off, arena_size;
	struct vtd_domain *domain;
	unsigned int msi, msix; /* capabilities, 0 for none */
	uint32_t bar_saved[OB_BAR_COUNT];
	uint64_t msix_table;
	unsigned int msix_entries;
	/* vectors */
	unsigned int first; /* of the machine's doorbell vectors */
	unsigned int taken; /* how many; 0 for none */
	enum ob_irq_kind kind;
	bool intx_masked[2];
	bool parked[OB_IRQ_VECTORS]; /* MSI without a mask bit: message goes to the parking page */
	int intx_fd[2];
	int claim[QEMU_CLAIMS];
	unsigned int nr_claims;
	struct ob_fault faults[16];
	unsigned int nr_faults;
};

/**
 * struct qemu_machine - one QEMU
 * @lock: slots, vectors and faults
 * @intx_lock: level and masks of the INTx lines; taken with qt.lock held
 */
struct qemu_machine {
	struct qtest qt;
	pthread_mutex_t lock;
	pthread_mutex_t intx_lock;
	unsigned int users;

	char *ram;
	uint64_t ram_size;
	int ram_fd;

	pid_t pid;
	int pidfd;
	pthread_t thread;
	bool thread_runs;
	int epoll_fd, stderr_fd, handshake_fd;
	char said[2048]; /* the end of what QEMU wrote to stderr */
	size_t said_len;
	bool open, closing;
	int exit_status;
	bool ended;
	bool adopted; /* another process holds QEMU, and ends it */
	int end_fd;   /* of that case: ends the thread */
	int dead_fd;  /* written when its socket is of no use any more */

	uint64_t mmio_next;
	uint32_t io_next;
	unsigned int bus_next;

	bool level[QEMU_GSIS];
	int vector_fd[OB_IRQ_VECTORS];
	bool vector_used[OB_IRQ_VECTORS];
	uint64_t doorbell;

	bool iommu;
	struct vtd vtd;

	struct qemu_device *devices[QEMU_DEVICES];
	unsigned int nr_devices;
};

/** qemu_machine_start() - start QEMU and wait until it answers; @args is used up */
int qemu_machine_start(struct qemu_machine *m, struct qemu_args *args, unsigned int answer_ms,
		       const char *name, struct ob_error *err);
/** qemu_machine_stop() - end it, reap it, release everything */
void qemu_machine_stop(struct qemu_machine *m);
/** qemu_machine_said() - the last lines that QEMU wrote, for an error */
void qemu_machine_said(struct qemu_machine *m, char *buf, size_t size);

/** qemu_machine_adopt() - use the QEMU of @from, which the process that forked this one holds (held.c) */
int qemu_machine_adopt(struct qemu_machine *m, const struct qemu_machine *from,
		       unsigned int answer_ms, const char *name, struct ob_error *err);

/*
 * Machines that are held for processes which this one forks (held.c): each such process opens its devices over the same
 * QEMU, which goes on when the process dies.
 */
struct qemu_held;
int qemu_held_add(struct qemu_machine *m, struct ob_spec *const *specs, unsigned int n,
		  struct ob_error *err);
/** qemu_held_find() - the machine that was held for just these, or NULL */
struct qemu_held *qemu_held_find(struct ob_spec *const *specs, unsigned int n);
/** qemu_held_adopt() - @m is on that QEMU, whose devices are as after power-on; marks the options as used */
int qemu_held_adopt(struct qemu_held *held, struct qemu_machine *m, struct ob_spec *const *specs,
		    struct ob_device **devs, unsigned int answer_ms, struct ob_error *err);
/** qemu_held_give() - a device of this process that was over it is closed */
void qemu_held_give(const struct qemu_machine *m);
/** qemu_held_list() - descriptors of those that are held, which an adopting process needs */
unsigned int qemu_held_list(int *fds, unsigned int max);
/** qemu_held_gone() - has the QEMU of one that is held ended? -ENODEV, and @err says how; 0 */
int qemu_held_gone(struct ob_error *err);
/** qemu_machine_explain_end() - it has ended, or has closed its end of qtest's socket as it does then: how, as the reason of @err */
void qemu_machine_explain_end(struct qemu_machine *m, struct ob_error *err);
/** qemu_held_take() - one that is held no more, or NULL */
struct qemu_machine *qemu_held_take(void);
void qemu_release(void);

/* spec to command line (models.c) */
struct qemu_open_options {
	const char *binary;
	bool iommu;
	bool bridge;
	unsigned int policy;
	uint64_t arena;
	unsigned int answer_ms;
	const char *vm;
};
int qemu_spec_options(struct ob_spec *spec, struct qemu_open_options *o, struct ob_error *err);
int qemu_model_args(struct ob_spec *spec, struct qemu_device *qd, struct qemu_args *args,
		    const char *binary, struct ob_error *err);
/** qemu_wav_args() - an audio device of QEMU's that writes what is played to @path */
void qemu_wav_args(struct qemu_args *args, const char *id, const char *path);
/** qemu_sound_args() - what a sound card plays to: @wav, or nothing; @props: of the card, for that */
void qemu_sound_args(struct qemu_args *args, unsigned int index, const char *wav, char *props,
		     size_t size);
/** qemu_watchdog_args() - what a watchdog does that was not kept alive */
void qemu_watchdog_args(struct qemu_args *args);
/** qemu_can_args() - the bus of a CAN card; @props: of the card, for that */
void qemu_can_args(struct qemu_args *args, unsigned int index, const char *model, char *props,
		   size_t size);
const char *qemu_models_help(void);

/* PCI set-up of one function (pci.c) */
int qemu_pci_setup(struct qemu_device *qd, struct ob_error *err);
int qemu_pci_bridge_setup(struct qemu_device *qd, struct ob_error *err);
void qemu_pci_restore(struct qemu_device *qd);
uint32_t qemu_config_read(struct qemu_machine *m, unsigned int bdf, unsigned int off,
			  unsigned int size);
void qemu_config_write(struct qemu_machine *m, unsigned int bdf, unsigned int off,
		       unsigned int size, uint32_t val);

/* vectors (vectors.c) */
extern void qemu_line(void *arg, unsigned int gsi, bool level);
unsigned int qemu_irq_count(struct ob_device *dev, enum ob_irq_kind kind);
int qemu_irq_enable(struct ob_device *dev, enum ob_irq_kind kind, unsigned int n,
		    struct ob_error *err);
void qemu_irq_disable(struct ob_device *dev);
int qemu_irq_mask(struct ob_device *dev, unsigned int vec, bool mask);
int qemu_doorbell_setup(struct qemu_machine *m, struct ob_error *err);

#endif
