/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Self-tests of the e1000 driver, those of `ethtool -t`, and the look at what a device makes of TCP
 * segmentation. They take the device out of service while they run.
 */
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "drivers/e1000/e1000.h"

enum {
	LOOPBACK_FRAME = 256,
	ETHERTYPE_LOOPBACK = 0x9000, /* configuration test protocol: nobody else's frames */
};

/* ---- registers, EEPROM, interrupts, link ------------------------------------------------ */

static int test_registers(struct e1000 *e, char *detail, size_t size)
{
	/* Bits that keep what is written (13.4.25 to 13.4.39, 13.5); receiver and transmitter are off. */
	static const struct {
		const char *name;
		uint32_t reg, mask;
	} regs[] = {
		{"RDBAL", E1000_RDBAL, 0xfffffff0},   {"RDBAH", E1000_RDBAH, 0xffffffff},
		{"RDLEN", E1000_RDLEN, 0x000fff80},   {"TDBAL", E1000_TDBAL, 0xfffffff0},
		{"TDBAH", E1000_TDBAH, 0xffffffff},   {"TDLEN", E1000_TDLEN, 0x000fff80},
		{"RAL1", E1000_RAL0 + 8, 0xffffffff}, {"RAH1", E1000_RAH0 + 8, 0x0000ffff},
		{"MTA0", E1000_MTA, 0xffffffff},      {"MTA127", E1000_MTA + 127 * 4, 0xffffffff},
	};
	static const uint32_t patterns[] = {0x5a5a5a5a, 0xa5a5a5a5, 0x00000000, 0xffffffff};
	unsigned int n = sizeof(regs) / sizeof(regs[0]);

	for (unsigned int i = 0; i < n; i++) {
		uint32_t before = e1000_read(e, regs[i].reg), got = 0, want = 0;
		bool bad = false;

		for (unsigned int p = 0; p < 4 && !bad; p++) {
			want = patterns[p] & regs[i].mask;
			e1000_write(e, regs[i].reg, want);
			got = e1000_read(e, regs[i].reg) & regs[i].mask;
			bad = got != want;
		}
		e1000_write(e, regs[i].reg, before);
		if (bad) {
			snprintf(detail, size, "%s: wrote %08x, read %08x", regs[i].name, want,
				 got);
			return -EIO;
		}
	}
	snprintf(detail, size, "%u registers, 4 patterns", n);
	return 0;
}

static int test_eeprom(struct e1000 *e, char *detail, size_t size)
{
	uint16_t word, sum = 0;

	for (unsigned int i = 0; i < EEPROM_WORDS; i++) {
		int ret = e1000_eeprom_word(e, i, &word);

		if (ret) {
			snprintf(detail, size, "word %u: %s", i, strerror(-ret));
			return ret;
		}
		sum = (uint16_t)(sum + word);
	}
	snprintf(detail, size, "checksum %04x", sum);
	return sum == EEPROM_SUM ? 0 : -EIO;
}

/* One vector: nothing while its cause is masked, an interrupt when it is not. */
static int test_vector(struct e1000 *e, struct ob_irq *irq, uint32_t mask, uint32_t cause)
{
	int got;

	e1000_write(e, E1000_IMC, 0xffffffff);
	e1000_read(e, E1000_ICR);
	ob_irq_unmask(irq);
	ob_irq_wait(irq, 10); /* what was on its way */
	ob_irq_unmask(irq);

	e1000_write(e, E1000_ICS, cause);
	e1000_read(e, E1000_STATUS);
	if (ob_irq_wait(irq, 10) > 0)
		return -EBADMSG;

	e1000_read(e, E1000_ICR);
	e1000_write(e, E1000_IMS, mask);
	e1000_write(e, E1000_ICS, cause);
	got = ob_irq_wait(irq,
			  1000); /* QEMU's throttle holds it for 128 us; a busy machine longer */
	e1000_write(e, E1000_IMC, 0xffffffff);
	e1000_read(e, E1000_ICR);
	ob_irq_unmask(irq);
	ob_irq_wait(irq, 10);
	ob_irq_unmask(irq);
	return got > 0 ? 0 : got < 0 ? got : -ETIMEDOUT;
}

static int test_interrupts(struct e1000 *e, char *detail, size_t size)
{
	int ret;

	if (!e->irq) {
		snprintf(detail, size, "none in use: the device is polled");
		return 0;
	}
	/* A reset, which stopping is, clears where causes go (IVAR) and what clears them (EIAC). */
	ret = e1000_hw_start(e, 0, NULL);
	if (ret) {
		e1000_rings_drain(e);
		return ret;
	}
	if (e->irq_kind == OB_IRQ_MSIX) {
		ret = test_vector(e, e->irq, INT_RXQ0, INT_RXQ0);
		if (!ret)
			ret = test_vector(e, e->irq, INT_TXQ0, INT_TXQ0);
		if (!ret)
			ret = test_vector(e, e->irq_other, INT_OTHER | INT_LSC, INT_LSC);
	} else {
		ret = test_vector(e, e->irq, INT_RXT0, INT_RXT0);
		if (!ret)
			ret = test_vector(e, e->irq, INT_LSC, INT_LSC);
	}
	e1000_hw_stop(e);
	e1000_rings_drain(e); /* the receive ring was filled */
	snprintf(detail, size, "%s: %s", ob_irq_kind_name(e->irq_kind),
		 !ret		   ? "delivered when enabled, silent when masked"
		 : ret == -EBADMSG ? "came although it was masked"
				   : "did not come");
	return ret;
}

static int test_link(struct e1000 *e, char *detail, size_t size)
{
	/* A negotiation that an earlier step started takes 0.5 s in QEMU, up to 3 s on a wire. */
	for (unsigned int tries = 0; tries < 40 && !ob_device_gone(e->dev); tries++) {
		if (e1000_read(e, E1000_STATUS) & STATUS_LU)
			break;
		usleep(100000);
	}
	e1000_link_update(e, e1000_read(e, E1000_STATUS));
	if (e->link.up)
		snprintf(detail, size, "up, %u Mb/s, %s duplex", e->link.mbps,
			 e->link.full_duplex ? "full" : "half");
	else
		snprintf(detail, size, "down");
	return e->link.up ? 0 : -ENOLINK;
}

/* ---- counters, which shall not show the tests ------------------------------------------- */

struct counts {
	struct ob_net_stats sw;
	uint64_t hw[E1000_HW_COUNTERS];
	uint64_t csum_good, csum_bad;
};

static struct counts counts_save(struct e1000 *e)
{
	struct counts c = {.sw = e->sw, .csum_good = e->csum_good, .csum_bad = e->csum_bad};

	memcpy(c.hw, e->hw, sizeof(c.hw));
	return c;
}

static void counts_restore(struct e1000 *e, const struct counts *c)
{
	e->sw = c->sw;
	e->csum_good = c->csum_good;
	e->csum_bad = c->csum_bad;
	memcpy(e->hw, c->hw, sizeof(e->hw));
}

/* ---- loopback -------------------------------------------------------------------------- */

/* Rings on, wire off: MAC loopback in the 82574 (10.2.5.1, LBM), PHY loopback in the others (8.5.2). */
static int loopback_on(struct e1000 *e)
{
	int ret = e1000_hw_start(e, e->model->is_82574 ? RCTL_LBM_MAC : 0, NULL);

	if (ret) {
		e1000_rings_drain(e);
		return ret;
	}
	e->running = true; /* for the bursts; the class is stopped */
	/* The PHY tells no speed now, so it is forced (13.4.1). */
	e1000_write(e, E1000_CTRL, CTRL_SLU | CTRL_FD | CTRL_FRCSPD | CTRL_FRCDPLX | 2u << 8);
	if (e->model->is_82574)
		return 0;
	return e1000_phy_write(&e->net, PHY_BMCR, BMCR_LOOPBACK | BMCR_FD | BMCR_SPEED1000);
}

static void loopback_off(struct e1000 *e)
{
	if (!e->model->is_82574) {
		/* As negotiated before; no restart, because the link itself was never touched. */
		e1000_phy_write(&e->net, PHY_BMCR, BMCR_ANENABLE | BMCR_FD | BMCR_SPEED1000);
	}
	e->running = false;
	e1000_hw_stop(e);
	e1000_rings_drain(e);
}

static bool send_one(struct e1000 *e, struct ob_pkt *pkt)
{
	unsigned int taken = e1000_tx_burst(&e->net, 0, &pkt, 1);

	if (!taken)
		ob_pkt_free(pkt);
	return taken;
}

static struct ob_pkt *test_frame(struct e1000 *e, unsigned int len, uint8_t seed)
{
	struct ob_pkt *pkt = ob_pkt_alloc(e->pool);

	if (!pkt)
		return NULL;
	ob_pkt_reset(pkt);
	pkt->len = len;
	memcpy(pkt->data, e->net.mac, 6);
	memcpy(pkt->data + 6, e->net.mac, 6);
	pkt->data[12] = ETHERTYPE_LOOPBACK >> 8;
	pkt->data[13] = ETHERTYPE_LOOPBACK & 0xff;
	for (unsigned int i = 14; i < len; i++)
		pkt->data[i] = (uint8_t)(seed + i * 7);
	return pkt;
}

static bool is_test_frame(const struct ob_pkt *pkt, unsigned int len, uint8_t seed)
{
	if (pkt->len != len || pkt->next || pkt->data[12] != ETHERTYPE_LOOPBACK >> 8)
		return false;
	for (unsigned int i = 14; i < len; i++)
		if (pkt->data[i] != (uint8_t)(seed + i * 7))
			return false;
	return true;
}

static int test_loopback(struct e1000 *e, char *detail, size_t size)
{
	unsigned int good = 0, sent = 0;
	int ret = loopback_on(e);

	if (ret) {
		snprintf(detail, size, "cannot be set up: %s", strerror(-ret));
		return ret;
	}
	/*
	 * QEMU's e1000 loses all frames of the first second (see reset() in e1000.c), so one is sent
	 * every 50 ms for 2 s, until 4 have come back.
	 */
	for (unsigned int round = 0; round < 40 && good < 4; round++) {
		struct ob_pkt *pkt = test_frame(e, LOOPBACK_FRAME, (uint8_t)round), *got[8];
		unsigned int n;

		if (!pkt || !send_one(e, pkt))
			break;
		sent++;
		for (unsigned int wait = 0; wait < 50; wait++) {
			ob_device_look(e->dev);
			n = e->net.ops->rx_burst(&e->net, 0, got, 8);
			for (unsigned int i = 0; i < n; i++) {
				good += is_test_frame(got[i], LOOPBACK_FRAME, (uint8_t)round);
				ob_pkt_free(got[i]);
			}
			if (n)
				break;
			usleep(1000);
		}
		if (ob_device_gone(e->dev))
			break;
	}
	loopback_off(e);
	snprintf(detail, size, "%u of %u frames came back as they were sent", good, sent);
	return good >= 4 ? 0 : -EIO;
}

/* ---- all of them ------------------------------------------------------------------------- */

int e1000_self_test(struct ob_net *net, struct ob_net_test *t, unsigned int n)
{
	static const struct {
		const char *name;
		int (*run)(struct e1000 *e, char *detail, size_t size);
	} tests[] = {
		{"Register test", test_registers},
		{"Eeprom test", test_eeprom},
		{"Interrupt test", test_interrupts},
		{"Loopback test", test_loopback},
		{"Link test", test_link},
	};
	struct e1000 *e = e1000_of(net);
	struct counts kept = counts_save(e);
	bool was_running = e->running, was_armed = e->armed;
	unsigned int i;
	int ret;

	if (ob_device_gone(e->dev))
		return -ENODEV;
	e1000_stop(net);
	for (i = 0; i < n && i < sizeof(tests) / sizeof(tests[0]); i++) {
		memset(&t[i], 0, sizeof(t[i]));
		t[i].name = tests[i].name;
		t[i].result = tests[i].run(e, t[i].detail, sizeof(t[i].detail));
		if (ob_device_gone(e->dev))
			t[i].result = -ENODEV;
	}
	counts_restore(e, &kept); /* the tests' frames are nobody's */
	if (was_running) {
		ret = e1000_start(net, NULL);
		if (ret)
			return ret;
		e->armed = was_armed;
		e1000_wake(e);
	}
	return (int)i;
}

int e1000_driver_selftest(struct ob_binding *b, struct ob_selftest_line *lines, unsigned int n)
{
	struct ob_net_test t[8];
	int got = e1000_self_test(b->net, t, n < 8 ? n : 8);

	for (int i = 0; i < got; i++) {
		memset(&lines[i], 0, sizeof(lines[i]));
		snprintf(lines[i].name, sizeof(lines[i].name), "%s", t[i].name);
		snprintf(lines[i].detail, sizeof(lines[i].detail), "%s", t[i].detail);
		lines[i].result = t[i].result;
	}
	return got;
}

/* ---- TCP segmentation as the device does it ------------------------------------------------ */

enum {
	TSO_PAYLOAD = 350,
	TSO_MSS = 100,
	TSO_FRAMES = 4,
	TSO_HEADERS = 54,
	TSO_SEQ = 0x100,
	TSO_FLAGS = 0x19,	/* FIN, PSH, ACK (RFC 9293, 3.1) */
	TSO_FLAGS_FIRST = 0x10, /* FIN and PSH belong to the last segment alone (82574 7.2.6) */
	/* They come at once, but on a busy machine a device model has to wait for a processor. */
	TSO_PATIENCE_MS = 1000,
};

/* A TCP/IPv4 frame to ourselves that asks for segments. */
static struct ob_pkt *tso_frame(struct e1000 *e)
{
	static const uint8_t ip_tcp[40] = {
		0x45,
		0,
		(TSO_PAYLOAD + 40) >> 8,
		(TSO_PAYLOAD + 40) & 0xff,
		0x12,
		0x34,
		0x40,
		0,
		64,
		6,
		0,
		0,
		192,
		0,
		2,
		1,
		192,
		0,
		2,
		2, /* RFC 5737 */
		0,
		9,
		0,
		9,
		0,
		0,
		TSO_SEQ >> 8,
		0,
		0,
		0,
		0,
		0,
		0x50,
		TSO_FLAGS,
		0xff,
		0xff,
	};
	struct ob_pkt *pkt = test_frame(e, TSO_HEADERS + TSO_PAYLOAD, 1);

	if (!pkt)
		return NULL;
	pkt->data[12] = 0x08;
	pkt->data[13] = 0x00;
	memcpy(pkt->data + 14, ip_tcp, sizeof(ip_tcp));
	pkt->gso_type = OB_GSO_TCPV4;
	pkt->gso_size = TSO_MSS;
	pkt->hdr_len = TSO_HEADERS;
	return pkt;
}

/*
 * The e1000e of QEMU 7.2 cuts the IP datagram into fragments where TCP segments are asked for, and spoils
 * IPv6 by that; that of 10.0 clears FIN and PSH in the last segment, too (both seen with this test). So the device is
 * shown one frame in loopback. What comes back wrong, or not at all, switches the offload off: it only costs time
 * to do without it, and wrong segments lose data.
 */
bool e1000_tso_is_right(struct e1000 *e)
{
	struct counts kept = counts_save(e);
	unsigned int seen = 0, wrong = 0;
	struct ob_pkt *pkt, *got[8];
	uint64_t end;

	if (!e->model->is_82574)
		return true;
	if (loopback_on(e))
		return false;
	e->tso = true;
	pkt = tso_frame(e);
	if (pkt)
		send_one(e, pkt);
	end = ob_clock_ms() + TSO_PATIENCE_MS;
	while (seen < TSO_FRAMES && !wrong && ob_clock_ms() < end && !ob_device_gone(e->dev)) {
		unsigned int n;

		ob_device_look(e->dev);
		n = e->net.ops->rx_burst(&e->net, 0, got, 8);
		for (unsigned int i = 0; i < n; i++) {
			const uint8_t *p = got[i]->data;
			bool last = seen + 1 >= TSO_FRAMES;
			uint32_t len = TSO_HEADERS + (last ? TSO_PAYLOAD % TSO_MSS : TSO_MSS);

			/* Frames of the wire may come in between. */
			if (!memcmp(p + 6, e->net.mac, 6)) {
				uint32_t seq = (uint32_t)p[38] << 24 | (uint32_t)p[39] << 16 |
					       (uint32_t)p[40] << 8 | p[41];

				/* no fragment (RFC 791, 3.1), and the sequence number goes on */
				wrong += got[i]->len != len || (p[20] & 0x3f) || p[21] ||
					 seq != TSO_SEQ + seen * TSO_MSS ||
					 p[47] != (last ? TSO_FLAGS : TSO_FLAGS_FIRST);
				seen++;
			}
			ob_pkt_free(got[i]);
		}
		if (!n)
			usleep(500);
	}
	loopback_off(e);
	counts_restore(e, &kept);
	if (wrong || seen != TSO_FRAMES) {
		ob_device_log(e->dev, OB_LOG_INFO, "TCP segmentation is done in software: %s",
			      wrong ? "the device does it wrong (as QEMU's of 7.2 and 10.0 do)"
				    : "not all that was sent in loopback came back");
		return false;
	}
	return true;
}
