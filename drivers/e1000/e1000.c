/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Driver for Intel's 82540EM, 82545EM and 82574L gigabit Ethernet controllers, in the order of a
 * controller's life: reset, start, interrupts, link and filters while it runs, stop, remove.
 * Documents: see e1000_regs.h. Rings and frames are in e1000_rxtx.c, EEPROM and PHY in e1000_phy.c,
 * what ethtool asks in e1000_ethtool.c and e1000_selftest.c.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "access/faultpoint.h"
#include "drivers/drivers.h"
#include "drivers/e1000/e1000.h"

/* ---- reset ------------------------------------------------------------------------ */

static void flush(struct e1000 *e)
{
	e1000_read(e, E1000_STATUS); /* a read is answered after the writes before it were done */
}

/*
 * Receiver, transmitter and DMA off, then a reset of the MAC (14.3; 82574 4.2, 4.6.1). When it returns
 * the device does not touch memory any more.
 */
static int reset(struct e1000 *e)
{
	unsigned int tries;

	e1000_write(e, E1000_IMC, 0xffffffff);
	/* QEMU's e1000 holds frames back for 1 s after each write of RCTL, even one that changes nothing. */
	e1000_write(e, E1000_RCTL, 0);
	e1000_write(e, E1000_TCTL, TCTL_PSP);
	flush(e);

	if (e->model->is_82574) {
		/*
		 * Ask for an end of requests and wait for it: a reset in the middle of one can hang the
		 * bus (82574 4.2, "PCIe master disable"). 80 ms are Intel's bound for it.
		 */
		e1000_write(e, E1000_CTRL, e1000_read(e, E1000_CTRL) | CTRL_GIO_MASTER_DISABLE);
		for (tries = 0; tries < 800 && !ob_device_gone(e->dev); tries++) {
			if (!(e1000_read(e, E1000_STATUS) & STATUS_GIO_MASTER_ENABLE))
				break;
			usleep(100);
		}
	}

	e1000_write(e, E1000_CTRL, e1000_read(e, E1000_CTRL) | CTRL_RST);
	/* Not read before 1 us has passed (13.4.1); the EEPROM is then loaded, within 5 ms (14.3). */
	ob_device_flush(e->dev);
	usleep(e->model->is_82574 ? 1000 : 5000);
	if (e->model->is_82574) {
		for (tries = 0; tries < 100 && !ob_device_gone(e->dev); tries++) {
			if (e1000_read(e, E1000_EECD) & EECD_AUTO_RD)
				break;
			usleep(100);
		}
	}
	e1000_write(e, E1000_IMC, 0xffffffff);
	e1000_read(e, E1000_ICR);
	return ob_device_gone(e->dev) ? -ENODEV : 0;
}

/* ---- start ------------------------------------------------------------------------- */

static void write_mac(struct e1000 *e)
{
	const uint8_t *m = e->net.mac;

	/* RAH last: its AV bit makes the entry valid (13.5.2, 13.5.3). */
	e1000_write(e, E1000_RAL0,
		    m[0] | (uint32_t)m[1] << 8 | (uint32_t)m[2] << 16 | (uint32_t)m[3] << 24);
	e1000_write(e, E1000_RAH0, m[4] | (uint32_t)m[5] << 8 | RAH_AV);
}

static uint32_t rctl_value(const struct e1000 *e)
{
	/*
	 * Broadcasts, 2 KiB buffers, FCS stripped. Damaged frames are not stored (SBP off), pause frames
	 * not passed on (13.4.22).
	 */
	uint32_t v = RCTL_EN | RCTL_BAM | RCTL_BSIZE_2048 | RCTL_SECRC;

	if (e->promisc)
		v |= RCTL_UPE | RCTL_MPE;
	if (e->net.mtu > 1500)
		v |= RCTL_LPE; /* else at most 1522 bytes with VLAN tag and FCS */
	return v;
}

/*
 * Filters are in force when the call that sets them returns: hence the flush. RCTL is written when it
 * changes only; for the reason see reset().
 */
static void update_rctl(struct e1000 *e)
{
	uint32_t v = rctl_value(e);

	if (v == e->rctl)
		return;
	e->rctl = v;
	e1000_write(e, E1000_RCTL, v);
	flush(e);
}

static void start_receiver(struct e1000 *e, uint32_t rctl_extra)
{
	/* Checksums of IP, TCP and UDP are verified (3.2.9; 82574 10.2.5.15). */
	e1000_write(e, E1000_RXCSUM, RXCSUM_IPOFL | RXCSUM_TUOFL);
	e->rx_csum = e->model->is_82574;
	if (e->model->is_82574) {
		/*
		 * Extended descriptors (82574 10.2.5.21). No filters for NFS and iSCSI, and no interrupt
		 * cause of its own for TCP acknowledgements: it would show as OTHER with every ACK.
		 */
		e1000_write(e, E1000_RFCTL,
			    RFCTL_EXTEN | RFCTL_ISCSI_DIS | RFCTL_NFSW_DIS | RFCTL_NFSR_DIS |
				    RFCTL_ACK_DIS);
	} else {
		/* QEMU's e1000 has no RXCSUM register; then nothing is verified and nothing claimed. */
		e->rx_csum = e1000_read(e, E1000_RXCSUM) & RXCSUM_TUOFL;
	}
	e1000_write(e, E1000_RDBAL, ob_iova_lo(e->rx.iova));
	e1000_write(e, E1000_RDBAH, ob_iova_hi(e->rx.iova));
	e1000_write(e, E1000_RDLEN, (e->rx.mask + 1) * sizeof(struct e1000_rx_desc));
	/* Reset has done this in silicon; QEMU's CTRL.RST leaves both where they were. */
	e1000_write(e, E1000_RDH, 0);
	e1000_write(e, E1000_RDT, 0);
	/* No delay per frame: ITR limits the rate, which is what Intel recommends (13.4.30). */
	e1000_write(e, E1000_RDTR, 0);
	e1000_write(e, E1000_RADV, 0);
	e->rctl = rctl_value(e) | rctl_extra;
	e1000_write(e, E1000_RCTL, e->rctl);
	e1000_rx_fill(e);
}

static void start_transmitter(struct e1000 *e)
{
	e1000_write(e, E1000_TDBAL, ob_iova_lo(e->tx.iova));
	e1000_write(e, E1000_TDBAH, ob_iova_hi(e->tx.iova));
	e1000_write(e, E1000_TDLEN, (e->tx.mask + 1) * sizeof(struct e1000_tx_desc));
	e1000_write(e, E1000_TDH, 0);
	e1000_write(e, E1000_TDT, 0);
	e1000_write(e, E1000_TIDV, 0);
	e1000_write(e, E1000_TADV, 0);
	/*
	 * Thresholds in descriptors; prefetch below 31; write back at once what asks for it, so that
	 * few report bits suffice (13.4.44). Bit 22 has to be 1 in the 82574 (10.2.6.9).
	 */
	e1000_write(e, E1000_TXDCTL,
		    TXDCTL_GRAN | TXDCTL_PTHRESH(31) | TXDCTL_WTHRESH(1) |
			    (e->model->is_82574 ? TXDCTL_COUNT_DESC : 0));
	/* Gap between frames on copper (13.4.34; 82574 10.2.6.2). */
	e1000_write(e, E1000_TIPG,
		    e->model->is_82574 ? 8 | 8 << 10 | 6 << 20 : 10 | 8 << 10 | 6 << 20);
	/* Collision threshold 15, distance 64 byte times for full duplex (13.4.33, 14.5). */
	e1000_write(e, E1000_TCTL, TCTL_EN | TCTL_PSP | TCTL_CT(15) | TCTL_COLD(64) | TCTL_RTLC);
}

static void start_interrupts(struct e1000 *e)
{
	/* ITR and EITR count 256 ns (13.4.18; 82574 10.2.4.2). QEMU never goes below 500, 7,800 a second. */
	uint32_t interval = e->itr ? 1000000000u / (256 * e->itr) : 0;

	if (!e->irq)
		return;
	e1000_write(e, E1000_ITR, interval);
	if (e->irq_kind != OB_IRQ_MSIX)
		return;
	/*
	 * MSI-X (82574 7.4.2, 10.2.4.9): vector 0 is queue 0, receive and transmit, because a queue has
	 * one descriptor to sleep on; vector 1 is the rest. A message clears its cause (EIAC) and its
	 * mask bit (EIAME, IAM), so that no register is read until irq_arm(). QEMU up to 7.2 masks by
	 * EIAC alone, later ones as the datasheet says; both come to the same here.
	 */
	e1000_write(e, E1000_IVAR, IVAR_RXQ0(0) | IVAR_TXQ0(0) | IVAR_OTHER(1));
	e1000_write(e, E1000_EITR0, interval);
	e1000_write(e, E1000_EITR0 + 4, interval);
	e1000_write(e, E1000_EIAC, INT_RXQ0 | INT_TXQ0);
	e1000_write(e, E1000_IAM, INT_RXQ0 | INT_TXQ0);
	e1000_write(e, E1000_CTRL_EXT, CTRL_EXT_DRV_LOAD | CTRL_EXT_EIAME | CTRL_EXT_PBA_CLR);
	e1000_write(e, E1000_IMS, INT_OTHER | INT_LSC);
}

/* Registers and rings from nothing (14.3 to 14.5; 82574 4.6). */
int e1000_hw_start(struct e1000 *e, uint32_t rctl_extra, struct ob_error *err)
{
	int ret = reset(e);

	if (ret)
		return ob_error_set(err, ret, "%s does not answer", ob_device_info(e->dev)->name);

	e1000_rings_reset(e);
	/*
	 * Speed and duplex come from the PHY, nothing is forced, VLAN tags stay in the frames (14.3).
	 * Flow control is off: a slow client shall cost frames at this card, not stop the whole wire.
	 * Written in full, because QEMU's CTRL.RST leaves GIO_MASTER_DISABLE and the rest as they were.
	 */
	e->ctrl = CTRL_SLU | CTRL_FD;
	e1000_write(e, E1000_CTRL, e->ctrl);
	e1000_write(e, E1000_FCAL, 0);
	e1000_write(e, E1000_FCAH, 0);
	e1000_write(e, E1000_FCT, 0);
	e1000_write(e, E1000_FCTTV, 0);

	write_mac(e);
	for (unsigned int i = 1; i < E1000_RAR_ENTRIES; i++)
		e1000_write(e, E1000_RAH0 + i * 8, 0);
	for (unsigned int i = 0; i < E1000_MTA_WORDS; i++)
		e1000_write(e, E1000_MTA + i * 4, e->mta[i]);

	start_interrupts(e);
	start_transmitter(e);
	start_receiver(e, rctl_extra);
	e->last_clean = 0;
	e->progress_ns = 0;
	flush(e);
	if (ob_device_gone(e->dev))
		return ob_error_set(err, -ENODEV, "%s went away while it was started",
				    ob_device_info(e->dev)->name);
	return 0;
}

int e1000_start(struct ob_net *net, struct ob_error *err)
{
	struct e1000 *e = e1000_of(net);
	int ret;

	if (e->running)
		return 0;
	OB_FAULT_POINT("e1000.start");
	ret = e1000_hw_start(e, 0, err);
	if (ret) {
		e1000_rings_drain(e);
		return ret;
	}
	e1000_link_start(e);
	e1000_link_update(e, e1000_read(e, E1000_STATUS));
	e->running = true;
	OB_FAULT_POINT("e1000.started");
	return 0;
}

/* ---- interrupts -------------------------------------------------------------------- */

/*
 * Off: one write masks all, the line falls and messages end. On: nothing may fall between the last
 * look at the ring and the sleep. The causes seen so far are cleared and this is waited for; a
 * frame before that is found in the ring, one after it sets its cause again and interrupts.
 */
bool e1000_irq_arm(struct ob_net *net, unsigned int queue, bool on)
{
	struct e1000 *e = e1000_of(net);
	struct e1000_tx_ring *tx = &e->tx;
	unsigned int before = tx->clean;
	uint32_t want, icr;

	if (!e->irq || !e->running)
		return false;
	if (!on) {
		if (e->armed) {
			e->armed = false;
			e1000_write(e, E1000_IMC,
				    e->irq_kind == OB_IRQ_MSIX ? INT_RXQ0 | INT_TXQ0 : 0xffffffff);
		}
		return e1000_rx_ready(e);
	}

	if (e->irq_kind == OB_IRQ_MSIX) {
		want = INT_RXQ0;
		if (tx->full)
			want |= INT_TXQ0; /* a client waits for room */
		e1000_write(e, E1000_ICR, INT_RXQ0 | INT_TXQ0);
		flush(e);
		e1000_write(e, E1000_IMS, want);
	} else {
		want = INT_RXT0 | INT_RXDMT0 | INT_RXO | INT_LSC;
		if (tx->full)
			want |= INT_TXDW;
		if (e->armed)
			e1000_write(e, E1000_IMC, 0xffffffff);
		/*
		 * Clears all causes: always on 8254x, on 82574 while nothing is enabled (82574 7.4.5).
		 * Not on the hot path: once each time before going to sleep.
		 */
		icr = e1000_read(e, E1000_ICR);
		if (icr != 0xffffffff)
			e->rx_overruns += !!(icr & INT_RXO);
		e1000_write(e, E1000_IMS, want);
		ob_irq_unmask(e->irq);
	}
	e->armed = true;

	e1000_tx_reclaim(e);
	if (tx->full && tx->clean != before) {
		tx->full = false;
		return true;
	}
	return e1000_rx_ready(e);
}

/* The vector for everything but frames: read the causes, clear them, on again (82574 10.2.4.1). */
static void serve_other(struct e1000 *e)
{
	const uint32_t mine =
		INT_LSC | INT_RXO | INT_MDAC | INT_SRPD | INT_ACK | INT_MNG | INT_OTHER;
	uint32_t icr;

	if (ob_irq_wait(e->irq_other, 0) <= 0)
		return;
	icr = e1000_read(e, E1000_ICR);
	if (icr == 0xffffffff)
		return;
	e->rx_overruns += !!(icr & INT_RXO);
	e1000_write(e, E1000_ICR, icr & mine);
	ob_irq_unmask(e->irq_other);
	e1000_write(e, E1000_IMS, INT_OTHER | INT_LSC);
}

static int take_vectors(struct e1000 *e, const struct ob_driver_config *config,
			struct ob_error *err)
{
	enum ob_irq_kind kind = config->irq_kind;
	int n, ret;

	for (unsigned int i = 0; i < OB_NET_QUEUES; i++)
		e->net.irq_fd[i] = -1;
	if (config->mode == OB_MODE_POLL)
		return 0;
	if (kind == OB_IRQ_NONE) {
		n = ob_irq_enable_best(e->dev, 2, &kind, err);
		if (n < 0)
			return n;
		/* A single MSI-X vector would leave no room for the link: MSI then does the same job. */
		if (kind == OB_IRQ_MSIX && n < 2) {
			ob_irq_disable(e->dev);
			kind = ob_irq_count(e->dev, OB_IRQ_MSI) ? OB_IRQ_MSI : OB_IRQ_INTX;
			ret = ob_irq_enable(e->dev, kind, 1, err);
			if (ret)
				return ret;
		}
	} else {
		ret = ob_irq_enable(e->dev, kind, kind == OB_IRQ_MSIX ? 2 : 1, err);
		if (ret)
			return ret;
	}
	e->irq_kind = kind;
	ret = ob_irq_open(e->dev, 0, 0, &e->irq, err);
	if (ret)
		goto disable;
	if (kind == OB_IRQ_MSIX) {
		ret = ob_irq_open(e->dev, 1, 0, &e->irq_other, err);
		if (ret)
			goto close;
	}
	e->net.irq_fd[0] = ob_irq_fd(e->irq);
	return 0;

close:
	ob_irq_close(e->irq);
	e->irq = NULL;
disable:
	ob_irq_disable(e->dev);
	e->irq_kind = OB_IRQ_NONE;
	return ret;
}

static void give_vectors_back(struct e1000 *e)
{
	if (!e->irq)
		return;
	if (e->irq_other)
		ob_irq_close(e->irq_other);
	ob_irq_close(e->irq);
	ob_irq_disable(e->dev);
	e->irq = e->irq_other = NULL;
	e->irq_kind = OB_IRQ_NONE;
	e->net.irq_fd[0] = -1;
}

/* ---- while it runs ------------------------------------------------------------------- */

/* Nothing sent for this long with frames waiting and a link: the transmitter hangs. */
#define TX_HANG_NS 5000000000ull
/* At 1 Gb/s a 32-bit counter of frames overflows after 48 min, so this is only for fresh numbers. */
#define STATS_NS 2000000000ull

/*
 * The card was started again under somebody who sleeps: what he waits for may never come now, so he is
 * woken, looks, and arms anew.
 */
void e1000_wake(struct e1000 *e)
{
	uint32_t cause = e->irq_kind == OB_IRQ_MSIX ? INT_RXQ0 : INT_RXT0;

	if (!e->irq || !e->armed)
		return;
	e1000_write(e, E1000_IMS, cause);
	e1000_write(e, E1000_ICS, cause);
}

/* Out of step with the device: from nothing again. Frames in the rings are lost. */
static void restart(struct e1000 *e)
{
	struct ob_error err = {0};

	OB_FAULT_POINT("e1000.restart");
	e1000_hw_stop(e);
	e1000_rings_drain(e);
	if (e1000_hw_start(e, 0, &err)) {
		e1000_rings_drain(e);
		e->running = false;
		ob_device_log(e->dev, OB_LOG_ERROR, "%s", err.what);
		return;
	}
	e1000_wake(e);
}

static void check_transmitter(struct e1000 *e, uint64_t now_ns)
{
	struct e1000_tx_ring *tx = &e->tx;

	e1000_tx_reclaim(e);
	if (tx->clean == tx->tail || tx->clean != e->last_clean || !e->link.up || !e->progress_ns) {
		e->last_clean = tx->clean;
		e->progress_ns = now_ns;
		return;
	}
	if (now_ns - e->progress_ns < TX_HANG_NS)
		return;
	e->tx_timeouts++;
	e->sw.tx_errors += (tx->tail - tx->clean) & tx->mask;
	ob_device_log(e->dev, OB_LOG_WARN,
		      "transmitter hangs (TDH %u, TDT %u, cleaned up to %u): reset",
		      e1000_read(e, E1000_TDH), tx->tail, tx->clean);
	restart(e);
}

/*
 * A device works in order (3.2.6). If one descriptor is not done and a later one is, for two ticks,
 * then it has skipped or spoiled one, and rx_burst() would wait for it for ever.
 */
static void check_receiver(struct e1000 *e)
{
	if (!e1000_rx_skipped(e)) {
		e->rx_skips = 0;
		return;
	}
	if (++e->rx_skips < 2)
		return;
	e->rx_skips = 0;
	e->sw.rx_bad_descriptors++;
	ob_device_log(e->dev, OB_LOG_WARN, "receive descriptor %u was skipped: reset", e->rx.next);
	restart(e);
}

void e1000_tick(struct ob_net *net, uint64_t now_ns)
{
	struct e1000 *e = e1000_of(net);

	if (ob_device_gone(e->dev)) {
		e->link.up = false;
		return;
	}
	if (!e->running)
		return;
	if (e->irq_other)
		serve_other(e);
	e1000_link_update(e, e1000_read(e, E1000_STATUS));
	check_transmitter(e, now_ns);
	if (e->running)
		check_receiver(e);
	if (now_ns - e->stats_ns >= STATS_NS) {
		e->stats_ns = now_ns;
		e1000_hw_counters_update(e);
	}
}

int e1000_set_mac(struct ob_net *net, const uint8_t mac[6])
{
	struct e1000 *e = e1000_of(net);

	if (mac[0] & 1) /* a group address is nobody's own (IEEE 802, 8.2) */
		return -EADDRNOTAVAIL;
	memcpy(net->mac, mac, 6);
	if (e->running) {
		write_mac(e);
		flush(e);
	}
	return 0;
}

int e1000_set_promisc(struct ob_net *net, bool on)
{
	struct e1000 *e = e1000_of(net);

	e->promisc = on;
	if (e->running)
		update_rctl(e);
	return 0;
}

/* The hash of RCTL.MO = 0: address bits 47:36 (13.4.22, 13.5.1). */
int e1000_set_multicast(struct ob_net *net, const uint8_t (*macs)[6], unsigned int n)
{
	struct e1000 *e = e1000_of(net);
	uint32_t table[E1000_MTA_WORDS] = {0};

	for (unsigned int i = 0; i < n; i++) {
		unsigned int hash = (macs[i][5] << 8 | macs[i][4]) >> 4;

		table[hash >> 5 & 0x7f] |= 1u << (hash & 31);
	}
	for (unsigned int i = 0; i < E1000_MTA_WORDS; i++) {
		if (table[i] == e->mta[i])
			continue;
		e->mta[i] = table[i];
		if (e->running)
			e1000_write(e, E1000_MTA + i * 4, table[i]);
	}
	if (e->running)
		flush(e);
	return 0;
}

int e1000_set_mtu(struct ob_net *net, unsigned int mtu)
{
	struct e1000 *e = e1000_of(net);

	if (mtu < 68 || mtu > net->mtu_max) /* 68: RFC 791, 3.2 */
		return -EINVAL;
	net->mtu = mtu;
	if (e->running)
		update_rctl(e);
	return 0;
}

void e1000_link(struct ob_net *net, struct ob_net_link *link)
{
	*link = e1000_of(net)->link;
}

void e1000_ring(struct ob_net *net, struct ob_net_ring *ring)
{
	const struct e1000 *e = e1000_of(net);

	*ring = (struct ob_net_ring){
		.rx = e->rx.mask + 1,
		.tx = e->tx.mask + 1,
		.rx_max = E1000_RING_MAX,
		.tx_max = E1000_RING_MAX,
	};
}

bool e1000_can_csum(struct ob_net *net)
{
	return true;
}

bool e1000_can_tso(struct ob_net *net)
{
	return e1000_of(net)->tso;
}

bool e1000_can_rx_csum(struct ob_net *net)
{
	return e1000_of(net)->rx_csum;
}

/* ---- stop -------------------------------------------------------------------------- */

void e1000_hw_stop(struct e1000 *e)
{
	/* The statistics end here: reset() clears the registers. */
	e1000_hw_counters_update(e);
	reset(e);
}

void e1000_stop(struct ob_net *net)
{
	struct e1000 *e = e1000_of(net);

	if (!e->running)
		return;
	e->running = false;
	e->armed = false;
	OB_FAULT_POINT("e1000.stop");
	e1000_hw_stop(e);
	OB_FAULT_POINT("e1000.stopped");
	e1000_rings_drain(e);
	e->link = (struct ob_net_link){0};
}

/* ---- probe and remove ------------------------------------------------------------------ */

static const struct e1000_model models[] = {
	{"82540EM", false, 16110, &e1000_ops_8254x}, /* 16128 with header and FCS (13.4.22, LPE) */
	{"82545EM", false, 16110, &e1000_ops_8254x},
	{"82574L", true, 9216, &e1000_ops_82574}, /* 9234 with header, VLAN tag and FCS */
};

static const struct ob_pci_id ids[] = {
	{.vendor = 0x8086, .device = 0x100e, .name = "Intel 82540EM Gigabit Ethernet"},
	{.vendor = 0x8086, .device = 0x100f, .name = "Intel 82545EM Gigabit Ethernet (copper)"},
	{.vendor = 0x8086, .device = 0x10d3, .name = "Intel 82574L Gigabit Ethernet"},
	{0},
};
static_assert(sizeof(ids) / sizeof(ids[0]) == sizeof(models) / sizeof(models[0]) + 1, "one each");

static const struct e1000_model *model_of(const struct ob_device_info *info)
{
	for (unsigned int i = 0; i < sizeof(models) / sizeof(models[0]); i++)
		if (info->vendor == ids[i].vendor && info->device == ids[i].device)
			return &models[i];
	return NULL;
}

static int probe(struct ob_binding *b, struct ob_error *err)
{
	const struct ob_device_info *info = ob_device_info(b->dev);
	const struct e1000_model *model = model_of(info);
	uint16_t version = 0;
	struct e1000 *e;
	int ret;

	if (!model)
		return ob_error_set(err, -ENODEV, "%s is no 82540EM, 82545EM or 82574L",
				    info->name);
	e = OB_FAULT_ERROR("e1000.probe") ? NULL : aligned_alloc(64, (sizeof(*e) + 63) & ~63ul);
	if (!e)
		return ob_error_set(err, -ENOMEM, "%s: no memory", info->name);
	memset(e, 0, sizeof(*e));
	e->dev = b->dev;
	e->model = model;
	e->itr = 20000;
	e->net.ops = model->ops;
	e->net.dev = b->dev;
	e->net.driver = "e1000";
	e->net.mtu = 1500;
	e->net.mtu_max = model->mtu_max;
	e->net.queues = 1;
	e->net.tx_max_len = 65535 + 14;

	/* BAR 0: 128 KiB of registers (4.1; 82574 9.2.4). */
	e->bar = ob_device_bar(b->dev, 0);
	if (!e->bar || e->bar->kind != OB_BAR_MEM || e->bar->size < 0x6000) {
		ret = ob_error_set(err, -ENXIO, "%s has no registers in BAR 0", info->name);
		goto free;
	}
	/* Descriptors hold 64-bit addresses (3.2.3), so there is no DMA mask to set. */
	ret = reset(e);
	if (ret) {
		ob_error_set(err, ret, "%s does not answer", info->name);
		goto free;
	}
	OB_FAULT_POINT("e1000.probe.reset");
	ret = e1000_read_mac(e, err);
	if (ret)
		goto free;
	OB_FAULT_POINT("e1000.probe.address");
	e1000_eeprom_word(e, 5, &version); /* image version (5.6.4) */
	snprintf(e->net.version, sizeof(e->net.version), "%s, EEPROM %x.%x.%x", model->name,
		 version >> 12, version >> 4 & 0xff, version & 0xf);

	ret = e1000_rings_alloc(e, b->config.depth, err);
	if (ret)
		goto free;
	OB_FAULT_POINT("e1000.probe.rings");
	ret = take_vectors(e, &b->config, err);
	if (ret)
		goto rings;
	OB_FAULT_POINT("e1000.probe.vectors");
	e->tso = e1000_tso_is_right(e);
	b->priv = e;
	b->net = &e->net;
	return 0;

rings:
	e1000_rings_free(e);
free:
	free(e);
	return ret;
}

static void remove_(struct ob_binding *b)
{
	struct e1000 *e = b->priv;

	OB_FAULT_POINT("e1000.remove");
	e1000_stop(&e->net);
	give_vectors_back(e);
	e1000_rings_free(e);
	free(e);
	OB_FAULT_POINT("e1000.removed");
	b->priv = NULL;
	b->net = NULL;
}

#define OPS_OF_ALL                                                                                 \
	.start = e1000_start, .stop = e1000_stop, .tx_burst = e1000_tx_burst,                      \
	.irq_arm = e1000_irq_arm, .tick = e1000_tick, .can_csum = e1000_can_csum,                  \
	.can_tso = e1000_can_tso, .can_rx_csum = e1000_can_rx_csum, .link = e1000_link,            \
	.stats = e1000_stats, .set_mac = e1000_set_mac, .set_promisc = e1000_set_promisc,          \
	.set_multicast = e1000_set_multicast, .set_mtu = e1000_set_mtu, .ring = e1000_ring,        \
	.registers = e1000_registers, .counters = e1000_counters, .self_test = e1000_self_test,    \
	.eeprom = e1000_eeprom, .phy_read = e1000_phy_read, .phy_write = e1000_phy_write

const struct ob_net_ops e1000_ops_8254x = {OPS_OF_ALL, .rx_burst = e1000_rx_burst_8254x};
const struct ob_net_ops e1000_ops_82574 = {OPS_OF_ALL, .rx_burst = e1000_rx_burst_82574};

const struct ob_driver ob_driver_e1000 = {
	.name = "e1000",
	.summary = "Intel gigabit Ethernet: 82540EM, 82545EM, 82574L",
	.datasheet = "Intel 317453 (8254x software developer's manual), 317694 (82574 datasheet)",
	.class_ = OB_CLASS_NET,
	.ids = ids,
	.probe = probe,
	.remove = remove_,
	.selftest = e1000_driver_selftest,
};
