// SPDX-License-Identifier: GPL-2.0-only
/*
 * A PCI host bridge with one device behind it, the host's. Configuration space is the device's own but for what the host
 * manages: base addresses, the command register and the interrupt capabilities are written to a shadow. Documents:
 * PCI Local Bus 3.0, 6.1 and 6.8.
 */
#include <asm/outboard.h>
#include <linux/device.h>
#include <linux/io.h>
#include <linux/irq.h>
#include <linux/pci.h>

#define DEVFN PCI_DEVFN(1, 0)

/*
 * Where the core may put BARs. Memory: above all that physical memory can reach (the host's arena ends at 1.5 GiB) and below the
 * message addresses of interrupts, for those who look. Ports: as a PC's, all of them; the core puts BARs above the legacy ones
 * (PCIBIOS_MIN_IO).
 */
#define MEM_FIRST 0x80000000
#define MEM_LAST  0xfebfffff
#define IO_FIRST  0
#define IO_LAST	  0xffff

struct bar {
	struct ob_kit_bar b;
	u32 lo, hi; /* as written by the core */
	u64 addr;
};

static struct {
	struct pci_host_bridge *bridge;
	struct pci_dev *dev;
	bool gone;
	struct bar bar[OB_KIT_BARS];
	/* Bytes of configuration space that the device does not see, and which of their bits can be written. */
	u8 shadow[PCI_CFG_SPACE_SIZE];
	u8 writable[PCI_CFG_SPACE_SIZE];
	DECLARE_BITMAP(shadowed, PCI_CFG_SPACE_SIZE);
	/* The MSI-X table: the host has the device's, the core gets one of memory. */
	unsigned int msix_bar, msix_entries;
	u64 msix_off;
	void *msix_table;
} host;

static struct resource mem_window = {
	.name = "outboard memory",
	.start = MEM_FIRST,
	.end = MEM_LAST,
	.flags = IORESOURCE_MEM,
};
static struct resource io_window = {
	.name = "outboard ports",
	.start = IO_FIRST,
	.end = IO_LAST,
	.flags = IORESOURCE_IO,
};
static struct resource bus_window = {
	.name = "outboard bus",
	.start = 0,
	.end = 0,
	.flags = IORESOURCE_BUS,
};

struct pci_dev *outboard_pci_dev(void)
{
	return host.dev;
}

/* What a driver makes may hang on others between, as a virtio card's interface on a device of the virtio bus. */
bool outboard_hangs_on(const struct device *dev, const struct device *parent)
{
	while (dev && dev != parent)
		dev = dev->parent;
	return dev;
}

static void found(struct pci_dev *dev)
{
	host.dev = pci_dev_get(dev);
	if (host.gone)
		outboard_pci_gone();
}
DECLARE_PCI_FIXUP_HEADER(PCI_ANY_ID, PCI_ANY_ID, found);

/*
 * As of a card that was pulled out (pciehp_unconfigure_device()): a driver that goes round while a register has ones looks here whether there is
 * an end to it.
 */
void outboard_pci_gone(void)
{
	host.gone = true;
	if (host.dev)
		WRITE_ONCE(host.dev->error_state, pci_channel_io_perm_failure);
}

bool outboard_pci_is_gone(void)
{
	return host.gone;
}

/* ---- configuration space ------------------------------------------------------------------ */

static u32 device_read(unsigned int off, unsigned int size)
{
	return outboard_ops->config_read(outboard_host, off, size);
}

static void shadow(unsigned int off, unsigned int size, u32 val, u32 writable)
{
	unsigned int i;

	for (i = 0; i < size && off + i < PCI_CFG_SPACE_SIZE; i++) {
		set_bit(off + i, host.shadowed);
		host.shadow[off + i] = val >> (8 * i);
		host.writable[off + i] = writable >> (8 * i);
	}
}

/*
 * The address that the device itself has for a BAR, where the core can have it, too: some devices are told their own (a SCSI chip
 * fetches its program from its own memory). 0: any will do.
 */
static u32 real_address(unsigned int i)
{
	const struct ob_kit_bar *b = &host.bar[i].b;
	unsigned int off = PCI_BASE_ADDRESS_0 + 4 * i;
	u32 addr = device_read(off, 4) & ~(b->size - 1);

	if (b->is_64bit && device_read(off + 4, 4))
		return 0;
	if (b->kind == 2)
		return addr >= PCIBIOS_MIN_IO && addr + b->size - 1 <= IO_LAST ? addr : 0;
	return addr >= MEM_FIRST && (u64)addr + b->size - 1 <= MEM_LAST ? addr : 0;
}

/* What it has is claimed before the core gives addresses to the rest. */
static void keep_addresses(struct pci_dev *dev)
{
	unsigned int i;

	for (i = 0; i < OB_KIT_BARS; i++) {
		struct resource *r = &dev->resource[i];

		if (r->flags && r->start && !r->parent && !(r->flags & IORESOURCE_PCI_FIXED))
			pci_claim_resource(dev, i);
	}
}
DECLARE_PCI_FIXUP_HEADER(PCI_ANY_ID, PCI_ANY_ID, keep_addresses);

static void shadow_bar(unsigned int i)
{
	struct bar *bar = &host.bar[i];
	u64 mask = ~(bar->b.size - 1);
	unsigned int off = PCI_BASE_ADDRESS_0 + 4 * i;
	u32 type = 0;

	if (!bar->b.kind) {
		/* The upper half of the one below is written with it. */
		if (!i || !host.bar[i - 1].b.is_64bit)
			shadow(off, 4, 0, 0);
		return;
	}
	if (bar->b.kind == 2) {
		shadow(off, 4, PCI_BASE_ADDRESS_SPACE_IO | real_address(i),
		       mask & PCI_BASE_ADDRESS_IO_MASK);
		return;
	}
	if (bar->b.prefetch)
		type |= PCI_BASE_ADDRESS_MEM_PREFETCH;
	if (bar->b.is_64bit)
		type |= PCI_BASE_ADDRESS_MEM_TYPE_64;
	shadow(off, 4, type | real_address(i), mask & PCI_BASE_ADDRESS_MEM_MASK);
	if (bar->b.is_64bit && i + 1 < OB_KIT_BARS)
		shadow(off + 4, 4, 0, mask >> 32);
}

static void shadow_msi(unsigned int cap)
{
	u32 flags = device_read(cap + PCI_MSI_FLAGS, 2);
	unsigned int len = 10;

	if (flags & PCI_MSI_FLAGS_64BIT)
		len += 4;
	if (flags & PCI_MSI_FLAGS_MASKBIT)
		len += 10;
	shadow(cap + PCI_MSI_FLAGS, 2, flags & ~(PCI_MSI_FLAGS_ENABLE | PCI_MSI_FLAGS_QSIZE),
	       PCI_MSI_FLAGS_ENABLE | PCI_MSI_FLAGS_QSIZE);
	while (len > 4) {
		len -= 2;
		shadow(cap + len, 2, 0, 0xffff);
	}
}

static void shadow_msix(unsigned int cap)
{
	u32 flags = device_read(cap + PCI_MSIX_FLAGS, 2);
	u32 table = device_read(cap + PCI_MSIX_TABLE, 4);

	host.msix_bar = table & PCI_MSIX_TABLE_BIR;
	host.msix_off = table & PCI_MSIX_TABLE_OFFSET;
	host.msix_entries = (flags & PCI_MSIX_FLAGS_QSIZE) + 1;
	shadow(cap + PCI_MSIX_FLAGS, 2, flags & PCI_MSIX_FLAGS_QSIZE,
	       PCI_MSIX_FLAGS_ENABLE | PCI_MSIX_FLAGS_MASKALL);
}

static int shadow_config(void)
{
	unsigned int i, pos, tries;

	bitmap_zero(host.shadowed, PCI_CFG_SPACE_SIZE);
	for (i = 0; i < OB_KIT_BARS; i++) {
		outboard_ops->bar(outboard_host, i, &host.bar[i].b);
		if (host.bar[i].b.size & (host.bar[i].b.size - 1)) {
			pr_err("outboard: BAR %u has %llu bytes, which is no power of two\n", i,
			       host.bar[i].b.size);
			return -EINVAL;
		}
	}
	for (i = 0; i < OB_KIT_BARS; i++)
		shadow_bar(i);
	shadow(PCI_ROM_ADDRESS, 4, 0, 0);
	shadow(PCI_COMMAND, 2, 0, 0x7ff);
	/* Which line of which interrupt controller is the firmware's affair. */
	shadow(PCI_INTERRUPT_LINE, 1, 0, 0xff);

	if (!(device_read(PCI_STATUS, 2) & PCI_STATUS_CAP_LIST))
		return 0;
	pos = device_read(PCI_CAPABILITY_LIST, 1) & ~3u;
	/* The device wrote the list: it need not have an end. */
	for (tries = 0; pos >= PCI_STD_HEADER_SIZEOF && pos < 0xfc && tries < 48; tries++) {
		u32 id = device_read(pos, 1);

		if (id == PCI_CAP_ID_MSI)
			shadow_msi(pos);
		else if (id == PCI_CAP_ID_MSIX)
			shadow_msix(pos);
		pos = device_read(pos + 1, 1) & ~3u;
	}
	return 0;
}

static int config_read(struct pci_bus *bus, unsigned int devfn, int where, int size, u32 *val)
{
	int i;

	if (bus->number || devfn != DEVFN) {
		*val = ~0u;
		return PCIBIOS_DEVICE_NOT_FOUND;
	}
	*val = device_read(where, size);
	for (i = 0; i < size && where + i < PCI_CFG_SPACE_SIZE; i++) {
		if (!test_bit(where + i, host.shadowed))
			continue;
		*val &= ~(0xffu << (8 * i));
		*val |= (u32)host.shadow[where + i] << (8 * i);
	}
	return PCIBIOS_SUCCESSFUL;
}

/* What the core made of the BARs by now: while it asks for their size, nonsense. */
static void update_bars(void)
{
	unsigned int i;

	for (i = 0; i < OB_KIT_BARS; i++) {
		struct bar *bar = &host.bar[i];
		const u8 *s = host.shadow + PCI_BASE_ADDRESS_0 + 4 * i;

		if (!bar->b.kind)
			continue;
		bar->addr = get_unaligned_le32(s);
		if (bar->b.kind == 2)
			bar->addr &= PCI_BASE_ADDRESS_IO_MASK;
		else
			bar->addr &= PCI_BASE_ADDRESS_MEM_MASK;
		bar->addr = (u32)bar->addr;
		if (bar->b.is_64bit)
			bar->addr |= (u64)get_unaligned_le32(s + 4) << 32;
	}
}

static int config_write(struct pci_bus *bus, unsigned int devfn, int where, int size, u32 val)
{
	bool real = false, ours = false;
	int i;

	if (bus->number || devfn != DEVFN)
		return PCIBIOS_DEVICE_NOT_FOUND;
	for (i = 0; i < size; i++) {
		unsigned int at = where + i;
		u8 byte = val >> (8 * i);

		if (at >= PCI_CFG_SPACE_SIZE || !test_bit(at, host.shadowed)) {
			real = true;
			continue;
		}
		ours = true;
		host.shadow[at] =
			(host.shadow[at] & ~host.writable[at]) | (byte & host.writable[at]);
	}
	if (where < PCI_CARDBUS_CIS && where + size > PCI_BASE_ADDRESS_0)
		update_bars();
	if (where == PCI_COMMAND) {
		/* Decoding and INTx are the host's; that the device may master the bus is the driver's. */
		u32 cmd = device_read(PCI_COMMAND, 2);
		u32 want = (cmd & ~PCI_COMMAND_MASTER) | (val & PCI_COMMAND_MASTER);

		if (want != cmd)
			outboard_ops->config_write(outboard_host, PCI_COMMAND, 2, want);
		if (size == 4)
			outboard_ops->config_write(outboard_host, PCI_STATUS, 2, val >> 16);
		return PCIBIOS_SUCCESSFUL;
	}
	/* Nothing else is written half to the device. */
	if (real && ours)
		for (i = 0; i < size; i++) {
			if (!test_bit(where + i, host.shadowed))
				outboard_ops->config_write(outboard_host, where + i, 1,
							   val >> (8 * i) & 0xff);
		}
	else if (real)
		outboard_ops->config_write(outboard_host, where, size, val);
	return PCIBIOS_SUCCESSFUL;
}

static struct pci_ops ops = {
	.read = config_read,
	.write = config_write,
};

/* ---- registers --------------------------------------------------------------------------------- */

int outboard_window_find(unsigned long off, bool io, unsigned int *index, unsigned long *bar_off)
{
	unsigned int i;

	for (i = 0; i < OB_KIT_BARS; i++) {
		const struct bar *bar = &host.bar[i];

		if (bar->b.kind != (io ? 2 : 1) || off < bar->addr ||
		    off - bar->addr >= bar->b.size)
			continue;
		*index = i;
		*bar_off = off - bar->addr;
		return 0;
	}
	return io ? outboard_legacy_find(off, index, bar_off) : -ENODEV;
}

/* The host says it, with the BAR that begins next below. */
void outboard_window_stray(const void *frame, unsigned long off, unsigned int size, bool is_write)
{
	unsigned int i, at = OB_KIT_BARS;
	u64 below = 0;

	for (i = 0; i < OB_KIT_BARS; i++) {
		const struct bar *bar = &host.bar[i];

		if (bar->b.kind != 1 || bar->addr > off || bar->addr < below)
			continue;
		below = bar->addr;
		at = i;
	}
	outboard_called_at = frame;
	outboard_ops->stray(outboard_host, at, off - below, size, is_write);
}

/* An address of this process for a range of a BAR, or NULL where its registers are messages. */
void __iomem *outboard_map_bar(phys_addr_t phys, size_t size)
{
	unsigned long off;
	unsigned int i;

	if (outboard_window_find(phys, false, &i, &off))
		return NULL;
	if (host.msix_table && i == host.msix_bar && off == host.msix_off &&
	    size <= host.msix_entries * PCI_MSIX_ENTRY_SIZE)
		return (void __iomem *)host.msix_table;
	if (!host.bar[i].b.map || off + size > host.bar[i].b.size)
		return NULL;
	return (void __iomem *)(host.bar[i].b.map + off);
}

/* ---- probe and removal ------------------------------------------------------------------------- */

static int map_irq(const struct pci_dev *dev, u8 slot, u8 pin)
{
	return outboard_intx_irq;
}

static int add_bridge(void)
{
	struct pci_host_bridge *br = pci_alloc_host_bridge(0);
	int ret;

	if (!br)
		return -ENOMEM;
	pci_add_resource(&br->windows, &io_window);
	pci_add_resource(&br->windows, &mem_window);
	pci_add_resource(&br->windows, &bus_window);
	br->ops = &ops;
	br->map_irq = map_irq;
	ret = pci_host_probe(br);
	if (ret) {
		pci_free_host_bridge(br);
		return ret;
	}
	host.bridge = br;
	return 0;
}

static void forget_device(void)
{
	struct pci_dev *dev = host.dev;

	host.dev = NULL;
	pci_dev_put(dev);
}

/* @driver_name: 32 bytes. */
long outboard_probe(void *driver_name)
{
	struct device *dev;
	int ret;

	*(char *)driver_name = '\0';
	ret = shadow_config();
	if (ret)
		return ret;
	if (host.msix_entries) {
		host.msix_table = kcalloc(host.msix_entries, PCI_MSIX_ENTRY_SIZE, GFP_KERNEL);
		if (!host.msix_table)
			return -ENOMEM;
	}
	outboard_intx_init();
	ret = request_resource(&iomem_resource, &mem_window);
	if (!ret)
		ret = request_resource(&ioport_resource, &io_window);
	if (!ret)
		ret = add_bridge();
	if (ret) {
		forget_device();
		return ret;
	}
	if (!host.dev)
		return -ENODEV;
	/* Some drivers ask to be probed aside. */
	wait_for_device_probe();
	dev = &host.dev->dev;
	if (!dev->driver)
		return -ENXIO;
	strscpy(driver_name, dev->driver->name, 32);
	return 0;
}

long outboard_remove(void *unused)
{
	if (!host.bridge)
		return 0;
	pci_lock_rescan_remove();
	pci_stop_root_bus(host.bridge->bus);
	pci_remove_root_bus(host.bridge->bus);
	pci_unlock_rescan_remove();
	forget_device();
	host.bridge = NULL;
	return 0;
}
