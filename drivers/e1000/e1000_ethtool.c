/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What ethtool asks of the e1000 driver: statistics (SDM 13.7; 82574 10.2.7), registers, EEPROM. Where
 * the kernel's drivers e1000 and e1000e show the same number, it has the same name here.
 */
#include <errno.h>
#include <string.h>

#include "drivers/e1000/e1000.h"

/* ---- statistics -------------------------------------------------------------------- */

enum hw {
	HW_CRCERRS,
	HW_ALGNERRC,
	HW_RXERRC,
	HW_MPC,
	HW_SCC,
	HW_ECOL,
	HW_MCC,
	HW_LATECOL,
	HW_COLC,
	HW_DC,
	HW_TNCRS,
	HW_CEXTERR,
	HW_XONRXC,
	HW_XONTXC,
	HW_XOFFRXC,
	HW_XOFFTXC,
	HW_GPRC,
	HW_BPRC,
	HW_MPRC,
	HW_GPTC,
	HW_GORC,
	HW_GOTC,
	HW_RNBC,
	HW_RUC,
	HW_ROC,
	HW_MPTC,
	HW_BPTC,
	HW_TSCTC,
	HW_TSCTFC,
	HW_COUNT,
};
static_assert((int)HW_COUNT <= (int)E1000_HW_COUNTERS, "struct e1000 has room for all");

/*
 * @wide: 64 bits; the read of the upper half clears both, so it comes last (13.7.19)
 * @kept: silicon clears it by the read as all others, QEMU does not; see read_kept()
 */
static const struct {
	const char *name;
	uint32_t reg;
	bool wide, kept;
} hw_counters[HW_COUNT] = {
	[HW_CRCERRS] = {"rx_crc_errors", E1000_CRCERRS},
	[HW_ALGNERRC] = {"rx_align_errors", E1000_ALGNERRC},
	[HW_RXERRC] = {"rx_phy_errors", E1000_RXERRC},
	[HW_MPC] = {"rx_missed_errors", E1000_MPC, .kept = true},
	[HW_SCC] = {"tx_single_coll_ok", E1000_SCC},
	[HW_ECOL] = {"tx_aborted_errors", E1000_ECOL},
	[HW_MCC] = {"tx_multi_coll_ok", E1000_MCC},
	[HW_LATECOL] = {"tx_window_errors", E1000_LATECOL},
	[HW_COLC] = {"collisions", E1000_COLC},
	[HW_DC] = {"tx_deferred_ok", E1000_DC},
	[HW_TNCRS] = {"tx_carrier_errors", E1000_TNCRS},
	[HW_CEXTERR] = {"rx_extension_errors", E1000_CEXTERR},
	[HW_XONRXC] = {"rx_flow_control_xon", E1000_XONRXC},
	[HW_XONTXC] = {"tx_flow_control_xon", E1000_XONTXC},
	[HW_XOFFRXC] = {"rx_flow_control_xoff", E1000_XOFFRXC},
	[HW_XOFFTXC] = {"tx_flow_control_xoff", E1000_XOFFTXC},
	[HW_GPRC] = {"rx_good_packets", E1000_GPRC},
	[HW_BPRC] = {"rx_broadcast", E1000_BPRC},
	[HW_MPRC] = {"rx_multicast", E1000_MPRC},
	[HW_GPTC] = {"tx_good_packets", E1000_GPTC},
	[HW_GORC] = {"rx_long_byte_count", E1000_GORCL, .wide = true},
	[HW_GOTC] = {"tx_long_byte_count", E1000_GOTCL, .wide = true},
	[HW_RNBC] = {"rx_no_buffer_count", E1000_RNBC, .kept = true},
	[HW_RUC] = {"rx_short_length_errors", E1000_RUC},
	[HW_ROC] = {"rx_long_length_errors", E1000_ROC},
	[HW_MPTC] = {"tx_multicast", E1000_MPTC},
	[HW_BPTC] = {"tx_broadcast", E1000_BPTC},
	[HW_TSCTC] = {"tx_tcp_seg_good", E1000_TSCTC},
	[HW_TSCTFC] = {"tx_tcp_seg_failed", E1000_TSCTFC},
};

/*
 * Add a counter that QEMU keeps where silicon clears it. A second read tells: what was cleared starts
 * again from 0 and has not caught up in a microsecond.
 */
static void read_kept(struct e1000 *e, enum hw i)
{
	uint32_t v = e1000_read(e, hw_counters[i].reg), again;

	if (!v)
		return;
	again = e1000_read(e, hw_counters[i].reg);
	if (again >= v) /* kept since the device was made: an absolute number */
		e->hw[i] = again;
	else
		e->hw[i] += (uint64_t)v + again;
}

void e1000_hw_counters_update(struct e1000 *e)
{
	for (enum hw i = 0; i < HW_COUNT; i++) {
		uint64_t v;

		if (ob_device_gone(e->dev))
			return; /* all ones are no count */
		if (hw_counters[i].kept) {
			read_kept(e, i);
			continue;
		}
		v = e1000_read(e, hw_counters[i].reg);
		if (hw_counters[i].wide)
			v |= (uint64_t)e1000_read(e, hw_counters[i].reg + 4) << 32;
		if (!ob_device_gone(e->dev))
			e->hw[i] += v;
	}
}

static uint64_t rx_errors(const struct e1000 *e)
{
	return e->sw.rx_errors + e->hw[HW_RXERRC] + e->hw[HW_CRCERRS] + e->hw[HW_ALGNERRC] +
	       e->hw[HW_RUC] + e->hw[HW_ROC] + e->hw[HW_CEXTERR];
}

void e1000_stats(struct ob_net *net, struct ob_net_stats *stats)
{
	struct e1000 *e = e1000_of(net);
	struct ob_access_stats access;

	if (e->running)
		e1000_hw_counters_update(e);
	ob_device_stats(e->dev, &access);
	*stats = e->sw;
	stats->rx_missed = e->hw[HW_MPC];
	stats->rx_crc_errors = e->sw.rx_crc_errors + e->hw[HW_CRCERRS];
	stats->rx_errors = rx_errors(e);
	stats->rx_dropped = e->sw.rx_bad_descriptors;
	stats->tx_errors = e->sw.tx_errors + e->hw[HW_ECOL] + e->hw[HW_LATECOL];
	stats->multicast = e->hw[HW_MPRC];
	stats->collisions = e->hw[HW_COLC];
	stats->irqs = access.irqs;
}

static unsigned int put(struct ob_net_value *v, unsigned int i, unsigned int n, const char *name,
			uint32_t offset, uint64_t value)
{
	if (i >= n)
		return i;
	memset(&v[i], 0, sizeof(v[i]));
	strncpy(v[i].name, name, sizeof(v[i].name) - 1);
	v[i].offset = offset;
	v[i].value = value;
	return i + 1;
}

int e1000_counters(struct ob_net *net, struct ob_net_value *v, unsigned int n)
{
	struct e1000 *e = e1000_of(net);
	unsigned int i = 0;

	if (e->running)
		e1000_hw_counters_update(e);
	i = put(v, i, n, "rx_packets", 0, e->sw.rx_packets);
	i = put(v, i, n, "tx_packets", 0, e->sw.tx_packets);
	i = put(v, i, n, "rx_bytes", 0, e->sw.rx_bytes);
	i = put(v, i, n, "tx_bytes", 0, e->sw.tx_bytes);
	i = put(v, i, n, "rx_errors", 0, rx_errors(e));
	i = put(v, i, n, "tx_errors", 0, e->sw.tx_errors + e->hw[HW_ECOL] + e->hw[HW_LATECOL]);
	i = put(v, i, n, "tx_dropped", 0, e->sw.tx_dropped);
	for (enum hw h = 0; h < HW_COUNT; h++)
		i = put(v, i, n, hw_counters[h].name, hw_counters[h].reg, e->hw[h]);
	i = put(v, i, n, "rx_csum_offload_good", 0, e->csum_good);
	i = put(v, i, n, "rx_csum_offload_errors", 0, e->csum_bad);
	i = put(v, i, n, "tx_timeout_count", 0, e->tx_timeouts);
	/* The kernel's drivers do not have these. */
	i = put(v, i, n, "rx_overruns", 0, e->rx_overruns);
	i = put(v, i, n, "rx_bad_descriptors", 0, e->sw.rx_bad_descriptors);
	i = put(v, i, n, "tx_bad_descriptors", 0, e->sw.tx_bad_descriptors);
	i = put(v, i, n, "rx_polls", 0, e->sw.rx_polls);
	i = put(v, i, n, "rx_empty_polls", 0, e->sw.rx_empty_polls);
	i = put(v, i, n, "doorbells", 0, e->sw.doorbells);
	i = put(v, i, n, "link_changes", 0, e->link_changes);
	return (int)i;
}

/* ---- registers and EEPROM ------------------------------------------------------------- */

/* None that a read changes: ICR, statistics and SWSM are left out. */
static const struct {
	const char *name;
	uint32_t reg;
	bool only_82574;
} dump[] = {
	{"CTRL", E1000_CTRL, false},
	{"STATUS", E1000_STATUS, false},
	{"EECD", E1000_EECD, false},
	{"EERD", E1000_EERD, false},
	{"CTRL_EXT", E1000_CTRL_EXT, false},
	{"MDIC", E1000_MDIC, false},
	{"FCAL", E1000_FCAL, false},
	{"FCAH", E1000_FCAH, false},
	{"FCT", E1000_FCT, false},
	{"VET", E1000_VET, false},
	{"ITR", E1000_ITR, false},
	{"IMS", E1000_IMS, false},
	{"RCTL", E1000_RCTL, false},
	{"FCTTV", E1000_FCTTV, false},
	{"TCTL", E1000_TCTL, false},
	{"TIPG", E1000_TIPG, false},
	{"LEDCTL", E1000_LEDCTL, false},
	{"PBA", E1000_PBA, false},
	{"RDBAL", E1000_RDBAL, false},
	{"RDBAH", E1000_RDBAH, false},
	{"RDLEN", E1000_RDLEN, false},
	{"RDH", E1000_RDH, false},
	{"RDT", E1000_RDT, false},
	{"RDTR", E1000_RDTR, false},
	{"RXDCTL", E1000_RXDCTL, false},
	{"RADV", E1000_RADV, false},
	{"TDBAL", E1000_TDBAL, false},
	{"TDBAH", E1000_TDBAH, false},
	{"TDLEN", E1000_TDLEN, false},
	{"TDH", E1000_TDH, false},
	{"TDT", E1000_TDT, false},
	{"TIDV", E1000_TIDV, false},
	{"TXDCTL", E1000_TXDCTL, false},
	{"TADV", E1000_TADV, false},
	{"RXCSUM", E1000_RXCSUM, false},
	{"RAL0", E1000_RAL0, false},
	{"RAH0", E1000_RAH0, false},
	{"WUC", E1000_WUC, false},
	{"MANC", E1000_MANC, false},
	{"EIAC", E1000_EIAC, true},
	{"IAM", E1000_IAM, true},
	{"IVAR", E1000_IVAR, true},
	{"EITR0", E1000_EITR0, true},
	{"EITR1", E1000_EITR0 + 4, true},
	{"EXTCNF_CTRL", E1000_EXTCNF_CTRL, true},
	{"TARC0", E1000_TARC0, true},
	{"RFCTL", E1000_RFCTL, true},
};

int e1000_registers(struct ob_net *net, struct ob_net_value *v, unsigned int n)
{
	struct e1000 *e = e1000_of(net);
	unsigned int i = 0;

	for (unsigned int k = 0; k < sizeof(dump) / sizeof(dump[0]) && i < n; k++)
		if (e->model->is_82574 || !dump[k].only_82574)
			i = put(v, i, n, dump[k].name, dump[k].reg, e1000_read(e, dump[k].reg));
	return ob_device_gone(e->dev) ? -ENODEV : (int)i;
}

/* Bytes, as ethtool -e shows them; @off and @n need not be even. Returns bytes read. */
int e1000_eeprom(struct ob_net *net, unsigned int off, void *buf, unsigned int n)
{
	struct e1000 *e = e1000_of(net);
	uint8_t *out = buf;
	uint16_t word;
	int ret;

	if (off > 2 * EEPROM_WORDS || n > 2 * EEPROM_WORDS - off)
		return -EINVAL;
	for (unsigned int i = 0; i < n; i++) {
		ret = e1000_eeprom_word(e, (off + i) / 2, &word);
		if (ret)
			return ret;
		out[i] = (uint8_t)((off + i) & 1 ? word >> 8 : word);
	}
	return (int)n;
}
