/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What hangs on the e1000 controllers: the EEPROM (SDM chapter 5, 13.4.4; 82574 6, 10.2.2.4) with the
 * address, and the PHY (SDM chapter 8, 13.4.7; 82574 10.2.2.7) with the link.
 */
#include <errno.h>
#include <string.h>
#include <unistd.h>

#include "drivers/e1000/e1000.h"

/* ---- EEPROM ------------------------------------------------------------------------ */

int e1000_eeprom_word(struct e1000 *e, unsigned int word, uint16_t *val)
{
	bool is_82574 = e->model->is_82574;
	unsigned int shift = is_82574 ? EERD_ADDR_SHIFT_82574 : EERD_ADDR_SHIFT_8254X;
	uint32_t done = is_82574 ? EERD_DONE_82574 : EERD_DONE_8254X;
	uint32_t v;

	if (word >= EEPROM_WORDS)
		return -EINVAL;
	e1000_write(e, E1000_EERD, word << shift | EERD_START);
	/* A word takes about 50 us on the serial bus of the part (5.3); 5 ms mean that none is there. */
	for (unsigned int tries = 0; tries < 100; tries++) {
		v = e1000_read(e, E1000_EERD);
		if (v == 0xffffffff && ob_device_gone(e->dev))
			return -ENODEV;
		if (v & done) {
			*val = (uint16_t)(v >> EERD_DATA_SHIFT);
			return 0;
		}
		usleep(50);
	}
	return -ETIMEDOUT;
}

int e1000_read_mac(struct e1000 *e, struct ob_error *err)
{
	const char *name = ob_device_info(e->dev)->name;
	uint16_t word, sum = 0;
	int ret;

	for (unsigned int i = 0; i < EEPROM_WORDS; i++) {
		ret = e1000_eeprom_word(e, i, &word);
		if (ret)
			return ob_error_set(err, ret, "%s: EEPROM word %u cannot be read", name, i);
		sum = (uint16_t)(sum + word);
		if (i < 3) {
			e->net.mac[2 * i] = (uint8_t)word;
			e->net.mac[2 * i + 1] = (uint8_t)(word >> 8);
		}
	}
	if (sum != EEPROM_SUM) {
		ob_error_set(err, -EIO, "%s: EEPROM checksum is %04x instead of %04x", name, sum,
			     EEPROM_SUM);
		ob_error_why(err, "its address and settings cannot be trusted");
		return -EIO;
	}
	if ((e->net.mac[0] & 1) || !memcmp(e->net.mac, "\0\0\0\0\0", 6)) {
		const uint8_t *m = e->net.mac;

		return ob_error_set(
			err, -EIO,
			"%s: address %02x:%02x:%02x:%02x:%02x:%02x in the EEPROM is invalid", name,
			m[0], m[1], m[2], m[3], m[4], m[5]);
	}
	return 0;
}

/* ---- PHY --------------------------------------------------------------------------- */

/* The 82574's management firmware uses the MDIO bus as well: take turns (82574 10.2.2.12). */
static int mdio_claim(struct e1000 *e)
{
	if (!e->model->is_82574)
		return 0;
	for (unsigned int tries = 0; tries < 100 && !ob_device_gone(e->dev); tries++) {
		e1000_write(e, E1000_EXTCNF_CTRL,
			    e1000_read(e, E1000_EXTCNF_CTRL) | EXTCNF_CTRL_MDIO_SW_OWN);
		if (e1000_read(e, E1000_EXTCNF_CTRL) & EXTCNF_CTRL_MDIO_SW_OWN)
			return 0;
		usleep(2000);
	}
	return ob_device_gone(e->dev) ? -ENODEV : -EBUSY;
}

static void mdio_release(struct e1000 *e)
{
	if (e->model->is_82574)
		e1000_write(e, E1000_EXTCNF_CTRL,
			    e1000_read(e, E1000_EXTCNF_CTRL) & ~EXTCNF_CTRL_MDIO_SW_OWN);
}

/* One transfer to PHY 1, the internal one (13.4.7). */
static int mdic(struct e1000 *e, unsigned int reg, uint32_t op_and_data)
{
	uint32_t v;
	int ret;

	if (reg > 31)
		return -EINVAL;
	ret = mdio_claim(e);
	if (ret)
		return ret;
	e1000_write(e, E1000_MDIC, op_and_data | reg << MDIC_REG_SHIFT | 1u << MDIC_PHY_SHIFT);
	ret = -ETIMEDOUT;
	/* A transfer takes 64 us (13.4.7); 2 ms are generous. */
	for (unsigned int tries = 0; tries < 40; tries++) {
		v = e1000_read(e, E1000_MDIC);
		if (ob_device_gone(e->dev)) {
			ret = -ENODEV;
			break;
		}
		if (v & MDIC_READY) {
			ret = v & MDIC_ERROR ? -EIO : (int)(v & 0xffff);
			break;
		}
		usleep(50);
	}
	mdio_release(e);
	return ret;
}

int e1000_phy_read(struct ob_net *net, unsigned int reg)
{
	return mdic(e1000_of(net), reg, MDIC_OP_READ);
}

int e1000_phy_write(struct ob_net *net, unsigned int reg, uint16_t val)
{
	int ret = mdic(e1000_of(net), reg, MDIC_OP_WRITE | val);

	return ret < 0 ? ret : 0;
}

/* ---- link -------------------------------------------------------------------------- */

/*
 * Have the PHY negotiate, unless it has a link already: to do it again would take it down for up to
 * 3 s (IEEE 802.3, 28), 0.5 s in QEMU.
 */
void e1000_link_start(struct e1000 *e)
{
	struct ob_net *net = &e->net;
	int ret;

	if (e1000_read(e, E1000_STATUS) & STATUS_LU)
		return;
	/* All speeds, no pause frames (see e1000_hw_start()), 1000 Mb/s in full duplex alone. */
	ret = e1000_phy_write(net, PHY_ANAR, ANAR_ALL_100_10);
	if (!ret)
		ret = e1000_phy_write(net, PHY_CTRL1000, CTRL1000_FD);
	if (!ret)
		ret = e1000_phy_write(net, PHY_BMCR,
				      BMCR_ANENABLE | BMCR_ANRESTART | BMCR_FD | BMCR_SPEED1000);
	if (ret)
		ob_device_log(e->dev, OB_LOG_WARN, "PHY does not answer: %s", strerror(-ret));
}

/* From STATUS, which shows what the PHY settled on (13.4.2). */
void e1000_link_update(struct e1000 *e, uint32_t status)
{
	bool up = (status & STATUS_LU) && status != 0xffffffff;
	unsigned int speed = status >> STATUS_SPEED_SHIFT & 3;
	int bmcr;

	if (up == e->link.up)
		return;
	e->link_changes++;
	e->link.up = up;
	if (!up) {
		e->link.mbps = 0;
		ob_device_log(e->dev, OB_LOG_INFO, "link is down");
		return;
	}
	e->link.full_duplex = status & STATUS_FD;
	e->link.mbps = speed == 0 ? 10 : speed == 1 ? 100 : 1000;
	bmcr = e1000_phy_read(&e->net, PHY_BMCR);
	e->link.autoneg = bmcr >= 0 && (bmcr & BMCR_ANENABLE);
	ob_device_log(e->dev, OB_LOG_INFO, "link is up, %u Mb/s, %s duplex", e->link.mbps,
		      e->link.full_duplex ? "full" : "half");
}
