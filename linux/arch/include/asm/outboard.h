/* SPDX-License-Identifier: GPL-2.0-only */
/* What the files of the architecture share with each other. */
#ifndef __ASM_OUTBOARD_OUTBOARD_H
#define __ASM_OUTBOARD_OUTBOARD_H

#include <kit/kit.h>
#include <linux/types.h>

extern const struct ob_kit_ops *outboard_ops;
extern void *outboard_host;
extern struct ob_kit_memory outboard_memory;

/* Why outboard_pending is not 0. Vectors have a word of their own. */
#define OUTBOARD_PENDING_TIMER	1
#define OUTBOARD_PENDING_VECTOR 2
#define OUTBOARD_PENDING_CALL	4
#define OUTBOARD_PENDING_BURST	8

extern unsigned long outboard_pending;

/* process.c; how often the host has come in */
extern unsigned long outboard_stays;
void outboard_boot_fiber(void);
void outboard_run(unsigned long long *deadline);
void outboard_run_briefly(unsigned long long *deadline);

/* irq.c */
extern u64 outboard_vectors_masked;
void outboard_burst(void (*fn)(void *arg), void *arg, unsigned long long *deadline);
int outboard_busy(void);
unsigned long outboard_looks(void);
unsigned int outboard_vector_irq(unsigned int vector);
void outboard_vector_set_irq(unsigned int vector, unsigned int irq);
void outboard_vector_mask(unsigned int vector, bool on);

/* time.c */
extern u64 outboard_deadline;
u64 outboard_clock(void);
void outboard_timer_run(void);
void outboard_lend_ms(unsigned int ms);
bool outboard_repay(void);

/* param.c */
const char *outboard_param(unsigned int index);

/* coverage.c */
extern unsigned char *outboard_coverage;

/* setup.c */
void outboard_gate_wake(void);
void __noreturn outboard_fatal(const char *what);
void outboard_look_at_checks(void);

/* power.c */
long outboard_suspend(void *unused);
long outboard_resume(void *unused);

/* pci/ */
struct pci_dev;
struct device;
extern unsigned int outboard_intx_irq;
long outboard_probe(void *driver_name);
long outboard_remove(void *unused);
struct pci_dev *outboard_pci_dev(void);
void outboard_pci_gone(void);
bool outboard_pci_is_gone(void);
bool outboard_hangs_on(const struct device *dev, const struct device *parent);
int outboard_window_find(unsigned long off, bool io, unsigned int *bar, unsigned long *bar_off);
void outboard_window_stray(const void *frame, unsigned long off, unsigned int size, bool is_write);
/* Where the host was called from by a driver, for its messages (kernel/stacktrace.c) */
extern const void *outboard_called_at;
unsigned int outboard_callers(const void *from, unsigned long *pc, unsigned int n);
void __iomem *outboard_map_bar(phys_addr_t phys, size_t size);
void outboard_intx_init(void);
int outboard_legacy_find(unsigned long port, unsigned int *bar, unsigned long *off);

/* class/net.c */
extern const struct ob_kernel_net outboard_net;
void *outboard_net_of(unsigned int index);
struct net_device;
struct net_device *outboard_net_device(void *net);

/* class/ip.c */
extern const struct ob_kernel_ip outboard_ip;

/* class/char.c */
extern const struct ob_kernel_char outboard_char;

/* class/can.c */
extern const struct ob_kernel_can outboard_can;

/* class/block.c */
extern const struct ob_kernel_block outboard_block;
struct gendisk;
unsigned int outboard_disk_device(struct gendisk *gd, unsigned int partition);

/* class/fs.c, class/host_disk.c */
extern const struct ob_kernel_fs outboard_fs;
extern const struct ob_kernel_host_disk outboard_host_disk;

#endif
