/* SPDX-License-Identifier: BSD-2-Clause */
/* One kernel in this process, and the device that it drives. */
#ifndef LINUX_KIT_HOST_H
#define LINUX_KIT_HOST_H

#include <pthread.h>

#include <outboard/outboard.h>

#include "kit/kit.h"

/* The thread of pacer.c. */
struct kit_pacer {
	pthread_t thread;
	pthread_mutex_t lock;
	pthread_cond_t wake;
	bool busy, end;
	bool asleep; /* the kernel has nothing to do, and its time may stand still */
};

/**
 * struct kit - everything that the host side knows
 * @lock: who is in the kernel
 * @block: the kernel's memory, in the arena
 * @pristine: the kernel's data as they were loaded, to put back
 * @events: readable when a vector interrupted, the timer ran out or the device went
 * @deadline: when the kernel wants to run again; @timer_set: what the timer was told
 * @ports: of a PC's, as claimed
 * @disks: what the driver found of these
 * @host_disk: another driver's disk, which the kernel uses; then it has no device of its own
 * @removed: the driver was told that the device goes
 * @chr: a character device, as the driver made it
 * @firmware_missing: the file that the kernel wanted last is not there
 * @stuck: a call into the kernel did not end, and its stack is not to be touched any more
 * @quiet: the kernel boots: what it says is for debugging only
 * @untimed: the device is made up, and nothing is waited for: @now is the kernel's time, which passes when it is looked at
 */
struct kit_disks;
struct kit_host_disk;
struct kit_char;

enum {
	/* The data of an event that is a disk's of the host, beyond the vectors' numbers and those of host.c. */
	KIT_EVENT_DISK = OB_KIT_VECTORS + 2,
	/* How often a driver of ours looks after its time-outs: as the loop does it (include/outboard/loop.h). */
	KIT_TICK_MS = 100,
};

struct kit {
	struct ob_device *dev;
	struct ob_dma *dma;
	pthread_mutex_t lock;

	void *block;
	struct ob_kit_memory mem;
	void *pristine;

	int events, timer_fd;
	struct ob_irq *irq[OB_KIT_VECTORS];
	unsigned int nr_irqs, unread[OB_KIT_VECTORS];
	bool irqs_are_edges;
	uint64_t irqs;
	unsigned long long deadline, timer_set;
	bool brief; /* the kernel was left as by who comes back soon */
	unsigned int skip_looks;
	bool watchful; /* who looks goes to sleep: no look is left out */

	struct ob_bar ports[OB_KIT_PORT_RANGES];
	unsigned int nr_ports;

	struct kit_disks *disks;
	struct kit_host_disk *host_disk;
	struct kit_char *chr;
	bool removed, stuck, firmware_missing;
	unsigned int strayed; /* of which BARs it was told that they end */
	char gone_in[200];    /* what the kernel did when the device went */

	struct kit_pacer pacer;
	bool quiet;
	bool untimed;
	unsigned long long now;
	char last_error[256]; /* of the driver's, for a failed probe */
};

/* The library's view of the kernel's memory and the other way round. */
static inline void *kit_to_kernel(const struct kit *k, const void *p)
{
	uint64_t off = (uint64_t)((const char *)p - (const char *)k->block);

	return off < k->mem.size ? (void *)(k->mem.base + off) : (void *)p;
}

static inline void *kit_to_host(const struct kit *k, const void *p)
{
	return (char *)k->block + ((uintptr_t)p - k->mem.base);
}

/* memory.c */
int kit_memory_take(struct kit *k, struct ob_error *err);
void kit_memory_give_back(struct kit *k);
int kit_memory_map(void *host, unsigned long va, unsigned long long phys, unsigned long len);
int kit_memory_unmap(void *host, unsigned long va, unsigned long len);

/* host.c */
extern const struct ob_kit_ops kit_ops;
int kit_events_open(struct kit *k, struct ob_error *err);
void kit_events_close(struct kit *k);
/* @epoll gives @what when there is something to read from @fd. Return: 0 or a negative errno value */
int kit_watch(int epoll, int fd, uint32_t what);
/* To an error its reason, where the kernel's log has one. */
void kit_last_words(const struct kit *k, struct ob_error *err);
/*
 * Is there something to run? A look is a system call, and who polls asks again at once: so behind one the next few are left out, but for who has said
 * that he goes to sleep (kit_watch_out(), kit_arm()): from then on each is made, until one finds something.
 */
bool kit_look(struct kit *k);
void kit_watch_out(struct kit *k);
/* Sets the timer for the sleep that comes, which does not begin when events are there. True when there is something to do already. */
bool kit_arm(struct kit *k);

/* With the lock held: */
void kit_run(struct kit *k);
void kit_burst(struct kit *k, void (*fn)(void *arg), void *arg);
/* @fn in a fiber that may sleep; the thread waits for it. -ENODEV when the device goes and @fn does not end. */
long kit_call(struct kit *k, long (*fn)(void *arg), void *arg);
/* The same of what is asked all the time, and waits for no device. */
long kit_call_brief(struct kit *k, long (*fn)(void *arg), void *arg);

/* The same of what is part of the traffic, and comes again soon: nothing is prepared for a sleep. */
long kit_call_soon(struct kit *k, long (*fn)(void *arg), void *arg);
/* For kit_burst(), when there is nothing but what the kernel has to do by itself. */
void kit_in_kernel_nothing(void *unused);

/* object.c: a kernel that has booted, for a device and with its memory. One in the process */
int kit_create(struct ob_device *dev, struct ob_dma *dma, struct kit **k, struct ob_error *err);
void kit_destroy(struct kit *k);

/* callers.c: as lines of the log; those that have called out, in one line, which is empty when no driver did */
void kit_log_callers(struct kit *k, const unsigned long *pc, unsigned int n);
void kit_name_callers(const struct kit *k, char *text, size_t size);

/* crash.c: while a kernel runs in this process */
void kit_crash_start(struct kit *k);
void kit_crash_stop(void);

/* object.c */
extern const struct ob_driver outboard_driver;

/* params.c: -EINVAL for a parameter that no driver in the object has */
int kit_params_check(const char *args, struct ob_error *err);

/* pacer.c */
int kit_pacer_start(struct kit_pacer *p);
void kit_pacer_stop(struct kit_pacer *p);
void kit_pacer_busy(struct kit_pacer *p, bool busy);

/* The driver's remove, once. With the lock held. */
void kit_remove(struct kit *k);

/* block.c */
int kit_blocks_create(struct kit *k, const char *driver, struct ob_binding *b,
		      struct ob_error *err);
void kit_blocks_destroy(struct kit *k);
/* Whose disk of the kernel's is given out as @blk; NULL for another driver's. And its number, or that of a partition. */
struct kit *kit_disk_kernel(struct ob_block *blk);
unsigned int kit_disk_device(struct ob_block *blk, unsigned int partition);
int kit_blocks_selftest(struct ob_binding *b, struct ob_selftest_line *lines, unsigned int n);

/* host_disk.c; the disk is started, and nobody else uses it. With the lock held, but for the first two: */
int kit_host_disk_create(struct kit *k, struct ob_block *blk, struct ob_error *err);
void kit_host_disk_destroy(struct kit *k);
void kit_host_disk_submit(void *host, void *disk, const struct ob_kit_disk_request *r);
unsigned int kit_host_disk_device(const struct kit_host_disk *d, unsigned int partition);
/* What the kernel wants of it, and what it has done. Returns whether there was anything */
bool kit_host_disk_pump(struct kit_host_disk *d);
/* Before a sleep. True when there is something to do already */
bool kit_host_disk_arm(struct kit_host_disk *d);
void kit_host_disk_irq(struct kit_host_disk *d);

/* fs.c */
extern const struct ob_fs_driver kit_fs_driver;

/* char.c: 0 when the driver made no character device that we know; else 1, or a negative errno value */
int kit_char_create(struct kit *k, const char *driver, struct ob_binding *b, struct ob_error *err);
void kit_char_destroy(struct kit *k);
int kit_char_selftest(struct ob_binding *b, struct ob_selftest_line *lines, unsigned int n);

/* firmware.c */
const char *kit_firmware_folder(void);
long kit_firmware(void *host, const char *path, unsigned long off, void *buf, unsigned long len);

/* selftest.c */
/* Shall the device be put to sleep? */
bool kit_sleep_wanted(void);
/* The driver's suspend and resume: 1 and a word of it in @l where it has none. */
void kit_sleep_selftest(struct kit *k, struct ob_selftest_line *l);

/* net.c */
int kit_net_create(struct kit *k, const char *driver, struct ob_net **net, struct ob_error *err);
void kit_net_destroy(struct ob_net *net);
/* The driver's own tests: all of them, which takes the link down, or those that do not. */
int kit_net_driver_tests(struct ob_net *net, struct ob_net_test *t, unsigned int max, bool offline);
/* Of the kernel and its device; whether the interface is the kernel's own (ip.c): then it has a link, but no bursts. -ENODEV: gone when it is given back */
struct kit *kit_net_kernel(struct ob_net *net);
void *kit_net_device(struct ob_net *net);
int kit_net_lend(struct ob_net *net, bool on, struct ob_error *err);
int kit_net_selftest(struct ob_binding *b, struct ob_selftest_line *lines, unsigned int n);

/* ip.c */
extern const struct ob_ip_driver kit_ip_driver;

#endif
