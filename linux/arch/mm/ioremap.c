// SPDX-License-Identifier: GPL-2.0-only
/*
 * Registers (asm/io.h): where a BAR is mapped in the process the driver gets that address; where not, an address in
 * the window, whose accesses come here as messages.
 */
#include <asm/outboard.h>
#include <linux/io.h>
#include <linux/ioport.h>
#include <linux/pci.h>

void __iomem *ioremap(phys_addr_t phys, size_t size)
{
	void __iomem *at = outboard_map_bar(phys, size);

	if (!at && phys + size <= OUTBOARD_WINDOW_SIZE && phys > IO_SPACE_LIMIT)
		at = (void __iomem *)(outboard_window + phys);
	return at;
}
EXPORT_SYMBOL(ioremap);

void iounmap(volatile void __iomem *addr)
{
}
EXPORT_SYMBOL(iounmap);

void __iomem *__pci_ioport_map(struct pci_dev *dev, unsigned long port, unsigned int nr)
{
	return PCI_IOBASE + port;
}

/* What nobody decodes reads as ones and takes writes. Ports are asked whether anybody is there; a register beyond a BAR is a mistake. */
u64 outboard_window_read(unsigned long off, unsigned int size)
{
	unsigned long bar_off;
	unsigned int bar;
	u64 val = ~0ull;

	if (!outboard_window_find(off, off <= IO_SPACE_LIMIT, &bar, &bar_off))
		val = outboard_ops->read(outboard_host, bar, bar_off, size);
	else if (off > IO_SPACE_LIMIT)
		outboard_window_stray(__builtin_frame_address(0), off, size, false);
	/* A message takes longer than a look. */
	outboard_poll();
	return val;
}
EXPORT_SYMBOL(outboard_window_read);

void outboard_window_write(unsigned long off, unsigned int size, u64 val)
{
	unsigned long bar_off;
	unsigned int bar;

	if (!outboard_window_find(off, off <= IO_SPACE_LIMIT, &bar, &bar_off))
		outboard_ops->write(outboard_host, bar, bar_off, size, val);
	else if (off > IO_SPACE_LIMIT)
		outboard_window_stray(__builtin_frame_address(0), off, size, true);
}
EXPORT_SYMBOL(outboard_window_write);

/* In words where both sides allow it: a message each. */
void outboard_window_copy_from(void *to, unsigned long off, size_t n)
{
	u8 *p = to;

	while (n) {
		unsigned int size = n >= 4 && !(off & 3) ? 4 : 1;
		u32 val = outboard_window_read(off, size);

		memcpy(p, &val, size);
		p += size;
		off += size;
		n -= size;
	}
}
EXPORT_SYMBOL(outboard_window_copy_from);

void outboard_window_copy_to(unsigned long off, const void *from, size_t n)
{
	const u8 *p = from;

	while (n) {
		unsigned int size = n >= 4 && !(off & 3) ? 4 : 1;
		u32 val = 0;

		memcpy(&val, p, size);
		outboard_window_write(off, size, val);
		p += size;
		off += size;
		n -= size;
	}
}
EXPORT_SYMBOL(outboard_window_copy_to);
