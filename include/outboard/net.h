/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * class/net: what all network devices have in common. Frames move in bursts of struct ob_pkt; a queue
 * belongs to one thread at a time.
 */
#ifndef OUTBOARD_NET_H
#define OUTBOARD_NET_H

#include <outboard/dma.h>

#ifdef __cplusplus
extern "C" {
#endif

struct ob_net;
struct ob_pool;

enum ob_pkt_flags {
	OB_PKT_CSUM_OK = 1 << 0,      /* rx: the device verified the checksums */
	OB_PKT_CSUM_PARTIAL = 1 << 1, /* tx: fill in the checksum at csum_start + csum_offset */
	OB_PKT_VLAN = 1 << 2,
	OB_PKT_BAD = 1 << 3, /* rx: more segments than fit; drop */
};

enum ob_gso_type {
	OB_GSO_NONE,
	OB_GSO_TCPV4,
	OB_GSO_TCPV6,
	OB_GSO_UDP,
};

/**
 * struct ob_pkt - a frame, or one segment of one
 * @data: first byte, in the arena
 * @iova: of @data
 * @len: bytes at @data
 * @next: next segment of the same frame, or NULL
 * @flags: of enum ob_pkt_flags
 * @csum_start: offset in the frame where checksumming starts (as in virtio_net_hdr)
 * @csum_offset: where after csum_start the 16-bit sum goes
 * @gso_type, @gso_size: segmentation: kind and payload bytes per segment
 * @hdr_len: bytes of all headers, when gso_type is set
 * @pool: where it goes back to
 * @buf, @buf_size: the whole buffer; @data lies in it
 *
 * Descriptive memory is outside of the arena: a device can spoil payload, never this.
 */
struct ob_pkt {
	uint8_t *data;
	ob_iova iova;
	struct ob_pkt *next;
	uint32_t len;
	uint16_t flags;
	uint16_t csum_start;
	uint16_t csum_offset;
	uint16_t gso_size;
	uint8_t gso_type;
	uint8_t reserved;
	uint16_t hdr_len;
	struct ob_pool *pool;
	uint8_t *buf;
	uint32_t buf_size;
	uint32_t priv; /* for the driver or attachment that holds it */
} __attribute__((aligned(64)));

/**
 * struct ob_pool - a fixed set of equal buffers, used by one thread
 * @free: stack of free packets
 * @n: how many are on it
 */
struct ob_pool {
	struct ob_pkt **free;
	unsigned int n;
	unsigned int size;
	struct ob_dma *dma;
	struct ob_pkt *pkts;
	void *memory;
	uint32_t buf_size;
	uint32_t headroom;
};

/**
 * ob_pool_create() - @count buffers of @buf_size bytes in the arena
 * @headroom: bytes in front of data in a fresh packet (for a tap's header)
 * @align: of @buf + @headroom
 */
int ob_pool_create(struct ob_dma *dma, unsigned int count, uint32_t buf_size, uint32_t headroom,
		   uint32_t align, struct ob_pool **pool);
/** ob_pool_destroy() - all packets must be back; they are freed in any case */
void ob_pool_destroy(struct ob_pool *pool);

/** ob_pkt_alloc() - a packet with len 0, or NULL when the pool is empty */
static inline struct ob_pkt *ob_pkt_alloc(struct ob_pool *pool)
{
	struct ob_pkt *pkt;

	if (ob_unlikely(!pool->n))
		return NULL;
	pkt = pool->free[--pool->n];
	return pkt;
}

/**
 * ob_pkt_free_segment() - give one segment back as it is
 *
 * Its data, iova and flags may have any value; whoever takes it from the pool next sets those
 * that it needs (ob_pkt_reset()).
 */
static inline void ob_pkt_free_segment(struct ob_pkt *pkt)
{
	pkt->pool->free[pkt->pool->n++] = pkt;
}

/** ob_pkt_reset() - data back to the headroom, nothing else set */
static inline void ob_pkt_reset(struct ob_pkt *pkt)
{
	pkt->data = pkt->buf + pkt->pool->headroom;
	pkt->iova = ob_dma_iova(pkt->pool->dma, pkt->data);
	pkt->next = NULL;
	pkt->len = 0;
	pkt->flags = 0;
	pkt->gso_type = OB_GSO_NONE;
}

/** ob_pkt_free() - give a frame back, all its segments */
static inline void ob_pkt_free(struct ob_pkt *pkt)
{
	struct ob_pkt *next;

	for (; pkt; pkt = next) {
		next = pkt->next;
		ob_pkt_free_segment(pkt);
	}
}

static inline uint32_t ob_pkt_frame_len(const struct ob_pkt *pkt)
{
	uint32_t len = 0;

	for (; pkt; pkt = pkt->next)
		len += pkt->len;
	return len;
}

/* ---- questions, as ethtool asks them ---------------------------------------------- */

struct ob_net_stats {
	uint64_t rx_packets, rx_bytes, rx_dropped, rx_errors, rx_crc_errors, rx_missed;
	uint64_t tx_packets, tx_bytes, tx_dropped, tx_errors;
	uint64_t multicast, collisions;
	uint64_t irqs, rx_polls, rx_empty_polls;
	uint64_t doorbells;	     /* tail register writes */
	uint64_t rx_bad_descriptors; /* what the device wrote and the driver refused */
	uint64_t tx_bad_descriptors;
};

struct ob_net_link {
	bool up;
	bool full_duplex;
	bool autoneg;
	unsigned int mbps;
};

struct ob_net_ring {
	unsigned int rx, tx;
	unsigned int rx_max, tx_max;
};

/* One named number: a register of the dump or a device-specific counter. */
struct ob_net_value {
	char name[32];
	uint32_t offset;
	uint64_t value;
};

struct ob_net_test {
	const char *name;
	int result; /* 0 passed, else negative errno */
	char detail[96];
};

/**
 * struct ob_net_feature - an offload by the kernel's name for it (ethtool -k)
 * @name: like tx-checksum-ipv4
 * @on: is in use
 * @wanted: was asked for; differs from @on where something else that is off is needed
 * @fixed: cannot be changed
 */
struct ob_net_feature {
	char name[32];
	bool on, wanted, fixed;
};

struct ob_ip_driver;

/**
 * struct ob_net_ops - a network driver
 *
 * rx_burst, tx_burst and irq_arm of one queue are called from one thread; all others from the
 * thread that runs the device, never at the same time as each other. Members that are NULL
 * mean "cannot".
 */
struct ob_net_ops {
	/** @start: rings filled, receiver on. @stop: DMA has ended when it returns. */
	int (*start)(struct ob_net *net, struct ob_error *err);
	void (*stop)(struct ob_net *net);

	/**
	 * @rx_burst: up to @n received frames; the caller owns them and frees them with
	 * ob_pkt_free(). Frees nothing, waits for nothing. At most one doorbell.
	 * A slow client makes the pool run dry; then the device drops.
	 */
	unsigned int (*rx_burst)(struct ob_net *net, unsigned int queue, struct ob_pkt **pkts,
				 unsigned int n);

	/**
	 * @tx_burst: queue up to @n frames; those taken belong to the driver, which frees them
	 * when they have been sent. n = 0 only reclaims. At most one doorbell.
	 */
	unsigned int (*tx_burst)(struct ob_net *net, unsigned int queue, struct ob_pkt **pkts,
				 unsigned int n);

	/** @irq_arm: on: interrupt when frames arrive; returns true when some are there already. */
	bool (*irq_arm)(struct ob_net *net, unsigned int queue, bool on);

	/** @tick: about every 100 ms: link state, stuck transmitter, statistics. */
	void (*tick)(struct ob_net *net, uint64_t now_ns);

	/* capability questions; NULL answers no */
	bool (*can_csum)(struct ob_net *net);	 /* OB_PKT_CSUM_PARTIAL */
	bool (*can_tso)(struct ob_net *net);	 /* OB_GSO_TCPV4 and _TCPV6 */
	bool (*can_rx_csum)(struct ob_net *net); /* OB_PKT_CSUM_OK */

	void (*link)(struct ob_net *net, struct ob_net_link *link);
	void (*stats)(struct ob_net *net, struct ob_net_stats *stats);
	int (*set_mac)(struct ob_net *net, const uint8_t mac[6]);
	int (*set_promisc)(struct ob_net *net, bool on);
	int (*set_multicast)(struct ob_net *net, const uint8_t (*macs)[6], unsigned int n);
	int (*set_mtu)(struct ob_net *net, unsigned int mtu);

	/* the ethtool family */
	void (*ring)(struct ob_net *net, struct ob_net_ring *ring);			/* -g */
	int (*registers)(struct ob_net *net, struct ob_net_value *v, unsigned int n);	/* -d */
	int (*counters)(struct ob_net *net, struct ob_net_value *v, unsigned int n);	/* -S */
	int (*self_test)(struct ob_net *net, struct ob_net_test *t, unsigned int n);	/* -t */
	int (*eeprom)(struct ob_net *net, unsigned int off, void *buf, unsigned int n); /* -e */
	int (*phy_read)(struct ob_net *net, unsigned int reg);				/* MII */
	int (*phy_write)(struct ob_net *net, unsigned int reg, uint16_t val);
	int (*features)(struct ob_net *net, struct ob_net_feature *f, unsigned int n); /* -k */

	/* @ip: TCP/IP that the driver brings with it, the kernel's (linux/kit/ip.h); instead of all but @tick, @link and questions */
	const struct ob_ip_driver *ip;
};

enum {
	OB_NET_QUEUES = 8,
};

/**
 * struct ob_net - a network device; embedded in the driver's own struct
 * @driver: name of the driver
 * @version: firmware or hardware text for ethtool -i
 * @queues: pairs of rx and tx queue
 * @irq_fd: per queue, the eventfd to sleep on, or -1
 * @msg_level: NETIF_MSG_* bits, settable
 * @rx_pool: per queue, the pool that received frames come from
 */
struct ob_net {
	const struct ob_net_ops *ops;
	struct ob_device *dev;
	const char *driver;
	char version[32];
	uint8_t mac[6];
	unsigned int mtu, mtu_max;
	unsigned int queues;
	int irq_fd[OB_NET_QUEUES];
	unsigned int tx_max_len; /* longest frame incl. segmentation, e.g. 65550 */
	uint32_t msg_level;
	struct ob_pool *rx_pool[OB_NET_QUEUES];
};

static inline unsigned int ob_net_rx_burst(struct ob_net *net, unsigned int queue,
					   struct ob_pkt **pkts, unsigned int n)
{
	return net->ops->rx_burst(net, queue, pkts, n);
}
static inline unsigned int ob_net_tx_burst(struct ob_net *net, unsigned int queue,
					   struct ob_pkt **pkts, unsigned int n)
{
	return net->ops->tx_burst(net, queue, pkts, n);
}

int ob_net_start(struct ob_net *net, struct ob_error *err);
void ob_net_stop(struct ob_net *net);
bool ob_net_can_csum(struct ob_net *net);
bool ob_net_can_tso(struct ob_net *net);
bool ob_net_can_rx_csum(struct ob_net *net);

/**
 * ob_net_segment() - split a segmentation frame in software
 * @pkt: frame with gso_type set; its headers lie in its first segment, its payload in any number
 * @pool: where segments come from
 * @out: room for @max frames, checksummed in full
 *
 * For devices that cannot. Return: frames, or -ENOBUFS, -EINVAL for headers that make no sense.
 */
int ob_net_segment(const struct ob_pkt *pkt, struct ob_pool *pool, struct ob_pkt **out,
		   unsigned int max);
/** ob_net_csum_fill() - do OB_PKT_CSUM_PARTIAL in software; -EINVAL when out of the frame */
int ob_net_csum_fill(struct ob_pkt *pkt);

#ifdef __cplusplus
}
#endif
#endif
