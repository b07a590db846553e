/* SPDX-License-Identifier: BSD-2-Clause */
/* The e1000 driver's private structures; see e1000.c for how its files divide the work. */
#ifndef DRIVERS_E1000_E1000_H
#define DRIVERS_E1000_E1000_H

#include <outboard/driver.h>

#include "drivers/e1000/e1000_regs.h"

enum {
	E1000_RX_BUFFER = 2048,	   /* RCTL.BSIZE; a longer frame takes several descriptors */
	E1000_RX_HEADROOM = 64,	   /* in front of a frame, for an attachment's header */
	E1000_RX_MAX_SEGMENTS = 8, /* of one frame: the 16 KiB that RCTL.LPE allows (13.4.22) */
	E1000_TX_MAX_PIECE =
		8192, /* bytes in one descriptor: well below the 16288 of 3.3.3 and the FIFO */
	E1000_TX_MAX_DESCS = 40, /* of one frame; more is refused. QEMU's e1000e drops at 64 */
	E1000_TX_MAX_SEGMENTS =
		128, /* of one frame when the driver cuts it: 64 KiB in pieces of 512 */
	E1000_RING_DEFAULT = 256,
	E1000_RING_MIN = 64,
	E1000_RING_MAX =
		4096, /* RDLEN and TDLEN have bits 19:7 (13.4.27); 64 Ki descriptors would fit */
	E1000_REPORT_EVERY = 64, /* frames between two descriptors that report status */
	E1000_ETH_HDR = 14,
	E1000_MIN_FRAME = 60, /* without FCS */
};

/* What differs between the controllers. */
struct e1000_model {
	const char *name;
	bool is_82574; /* PCIe, extended receive descriptors, MSI-X, own NVM and MDIO rules */
	unsigned int mtu_max;
	const struct ob_net_ops *ops;
};

/**
 * struct e1000_rx_ring - receive ring
 * @next: the descriptor to look at next
 * @fill: the first one without a buffer; never equal to @next + size (one stays empty, 3.2.6)
 * @rdt: what the device was told last
 * @head, @tail, @segments: a frame whose end has not come yet
 * @discard: drop up to and including the next end of packet
 * @batch: buffers given back before RDT is written; see doorbell()
 */
struct e1000_rx_ring {
	struct e1000_rx_desc *desc;
	struct ob_pkt **pkt;
	unsigned int mask;
	unsigned int next, fill, rdt;
	struct ob_pkt *head, *tail;
	unsigned int segments;
	bool discard;
	unsigned int batch;
	struct ob_pool *pool;
	uint64_t iova_delta; /* address of a buffer in this process + this = its data's IOVA */
	ob_iova iova;
};

/**
 * struct e1000_tx_ring - transmit ring
 * @pkt: what a descriptor's completion frees, or NULL
 * @tail: the next free descriptor
 * @clean: the oldest one that is not free
 * @report: descriptors that report status, in order; a ring of its own
 * @context: the checksum context that the device has now
 * @full: a frame was refused for want of room since the last irq_arm()
 */
struct e1000_tx_ring {
	struct e1000_tx_desc *desc;
	struct ob_pkt **pkt;
	uint16_t *report;
	unsigned int mask;
	unsigned int tail, clean;
	unsigned int report_head, report_tail;
	uint32_t context;
	bool full;
	ob_iova iova;
};

/* Sums of the statistics registers, which a read clears; see e1000_ethtool.c for the table. */
enum {
	E1000_HW_COUNTERS = 40,
};

struct e1000 {
	struct ob_net net;
	struct ob_device *dev;
	struct ob_bar *bar;
	const struct e1000_model *model;
	struct e1000_rx_ring rx;
	struct e1000_tx_ring tx;
	struct ob_net_stats sw; /* what the hot path counts */
	uint64_t csum_good, csum_bad;
	uint64_t rx_overruns, tx_timeouts, link_changes;
	uint64_t hw[E1000_HW_COUNTERS];

	/* interrupts */
	enum ob_irq_kind irq_kind;
	struct ob_irq *irq;	  /* frames */
	struct ob_irq *irq_other; /* link and overruns, MSI-X only */
	bool armed;

	/* what the registers hold */
	uint32_t ctrl, rctl;
	uint32_t mta[E1000_MTA_WORDS];
	bool promisc;
	bool running;
	bool tso, rx_csum;
	unsigned int itr; /* interrupts per second at most; 0: not limited by the driver */

	struct ob_net_link link;
	uint64_t stats_ns;    /* last time that the statistics registers were read */
	uint64_t progress_ns; /* last time that the transmitter finished something */
	unsigned int last_clean;
	unsigned int rx_skips; /* ticks that found a skipped descriptor */

	struct ob_pool *pool;
};

static inline uint32_t e1000_read(const struct e1000 *e, uint32_t reg)
{
	return ob_read32(e->bar, reg);
}

static inline void e1000_write(const struct e1000 *e, uint32_t reg, uint32_t val)
{
	ob_write32(e->bar, reg, val);
}

static inline struct e1000 *e1000_of(struct ob_net *net)
{
	return (struct e1000 *)net; /* its first member */
}

extern const struct ob_net_ops e1000_ops_8254x;
extern const struct ob_net_ops e1000_ops_82574;

/* e1000.c: the life of a controller */
int e1000_start(struct ob_net *net, struct ob_error *err);
void e1000_stop(struct ob_net *net);
int e1000_hw_start(struct e1000 *e, uint32_t rctl_extra, struct ob_error *err);
void e1000_hw_stop(struct e1000 *e);
bool e1000_irq_arm(struct ob_net *net, unsigned int queue, bool on);
void e1000_tick(struct ob_net *net, uint64_t now_ns);
void e1000_wake(struct e1000 *e);
void e1000_link(struct ob_net *net, struct ob_net_link *link);
int e1000_set_mac(struct ob_net *net, const uint8_t mac[6]);
int e1000_set_promisc(struct ob_net *net, bool on);
int e1000_set_multicast(struct ob_net *net, const uint8_t (*macs)[6], unsigned int n);
int e1000_set_mtu(struct ob_net *net, unsigned int mtu);
void e1000_ring(struct ob_net *net, struct ob_net_ring *ring);
bool e1000_can_csum(struct ob_net *net);
bool e1000_can_tso(struct ob_net *net);
bool e1000_can_rx_csum(struct ob_net *net);

/* e1000_rxtx.c: rings and frames */
int e1000_rings_alloc(struct e1000 *e, unsigned int depth, struct ob_error *err);
void e1000_rings_free(struct e1000 *e);
void e1000_rings_reset(struct e1000 *e);
void e1000_rings_drain(struct e1000 *e);
void e1000_rx_fill(struct e1000 *e);
bool e1000_rx_ready(const struct e1000 *e);
bool e1000_rx_skipped(const struct e1000 *e);
void e1000_tx_reclaim(struct e1000 *e);
unsigned int e1000_rx_burst_8254x(struct ob_net *net, unsigned int queue, struct ob_pkt **pkts,
				  unsigned int n);
unsigned int e1000_rx_burst_82574(struct ob_net *net, unsigned int queue, struct ob_pkt **pkts,
				  unsigned int n);
unsigned int e1000_tx_burst(struct ob_net *net, unsigned int queue, struct ob_pkt **pkts,
			    unsigned int n);

/* e1000_phy.c: EEPROM, PHY and link */
int e1000_eeprom_word(struct e1000 *e, unsigned int word, uint16_t *val);
int e1000_read_mac(struct e1000 *e, struct ob_error *err);
int e1000_phy_read(struct ob_net *net, unsigned int reg);
int e1000_phy_write(struct ob_net *net, unsigned int reg, uint16_t val);
void e1000_link_start(struct e1000 *e);
void e1000_link_update(struct e1000 *e, uint32_t status);

/* e1000_ethtool.c: what ethtool asks */
void e1000_hw_counters_update(struct e1000 *e);
void e1000_stats(struct ob_net *net, struct ob_net_stats *stats);
int e1000_registers(struct ob_net *net, struct ob_net_value *v, unsigned int n);
int e1000_counters(struct ob_net *net, struct ob_net_value *v, unsigned int n);
int e1000_eeprom(struct ob_net *net, unsigned int off, void *buf, unsigned int n);

/* e1000_selftest.c */
int e1000_self_test(struct ob_net *net, struct ob_net_test *t, unsigned int n);
int e1000_driver_selftest(struct ob_binding *b, struct ob_selftest_line *lines, unsigned int n);
bool e1000_tso_is_right(struct e1000 *e);

#endif
