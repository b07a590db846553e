/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What firmware does on a PC: bus numbers, bridge windows, BARs, command register. Numbers in brackets
 * are sections of the PCI Local Bus Specification 3.0, [B…] of the PCI-to-PCI Bridge Architecture
 * Specification 1.2.
 */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "access/access_private.h"
#include "access/qemu/machine.h"

#define PCI_COMMAND	 0x04
#define COMMAND_IO	 1u
#define COMMAND_MEMORY	 2u
#define COMMAND_MASTER	 4u
#define COMMAND_INTX_OFF 0x400u
#define BAR0		 0x10
#define BRIDGE_WINDOW	 (1ull << 20) /* granularity of a bridge's memory window [B3.2.5.8] */

uint32_t qemu_config_read(struct qemu_machine *m, unsigned int bdf, unsigned int off,
			  unsigned int size)
{
	uint64_t val = UINT32_MAX;

	if (qtest_read(&m->qt, QEMU_ECAM + ((uint64_t)bdf << 12) + off, size, &val))
		return UINT32_MAX;
	return (uint32_t)val;
}

void qemu_config_write(struct qemu_machine *m, unsigned int bdf, unsigned int off,
		       unsigned int size, uint32_t val)
{
	qtest_write(&m->qt, QEMU_ECAM + ((uint64_t)bdf << 12) + off, size, val);
}

static int no_room(struct qemu_device *qd, const char *what, struct ob_error *err)
{
	return ob_error_set(err, -ENOSPC, "%s: the machine has no %s space left for its BARs",
			    qd->dev->info.name, what);
}

/* Size one BAR [6.2.5.1] and give it an address; returns how many registers it takes. */
static int assign_bar(struct qemu_device *qd, unsigned int i, struct ob_error *err)
{
	struct qemu_machine *m = qd->machine;
	struct ob_bar *bar = &qd->dev->bar[i];
	unsigned int off = BAR0 + 4 * i, regs = 1;
	uint32_t old, low, high = UINT32_MAX;
	uint64_t size, align;

	old = qemu_config_read(m, qd->bdf, off, 4);
	qemu_config_write(m, qd->bdf, off, 4, UINT32_MAX);
	low = qemu_config_read(m, qd->bdf, off, 4);
	qemu_config_write(m, qd->bdf, off, 4, old);
	if (!low || low == UINT32_MAX)
		return 1;
	bar->index = (int)i;
	bar->dev = qd->dev;
	bar->map = NULL;
	if (low & 1) {
		size = (uint16_t)(~(low & ~3u) + 1);
		if (!size)
			return 1;
		bar->kind = OB_BAR_IO;
		bar->base = (m->io_next + size - 1) & ~(size - 1);
		if (bar->base + size > 0x10000)
			return no_room(qd, "port", err);
		m->io_next = (uint32_t)(bar->base + size);
		bar->size = size;
		qemu_config_write(m, qd->bdf, off, 4, (uint32_t)bar->base);
		qd->bar_saved[i] = (uint32_t)bar->base;
		return 1;
	}
	if ((low & 6) == 4 && i + 1 < OB_BAR_COUNT) {
		qemu_config_write(m, qd->bdf, off + 4, 4, UINT32_MAX);
		high = qemu_config_read(m, qd->bdf, off + 4, 4);
		regs = 2;
	}
	size = ~((uint64_t)high << 32 | (low & ~15u)) + 1;
	/* A page at least, so that no two devices share one. */
	align = size < 4096 ? 4096 : size;
	bar->kind = OB_BAR_MEM;
	bar->size = size;
	bar->base = (m->mmio_next + align - 1) & ~(align - 1);
	if (size > QEMU_MMIO_END - QEMU_MMIO || bar->base + size > QEMU_MMIO_END)
		return no_room(qd, "memory", err);
	m->mmio_next = bar->base + align;
	qemu_config_write(m, qd->bdf, off, 4, (uint32_t)bar->base);
	qd->bar_saved[i] = (uint32_t)bar->base;
	if (regs == 2)
		qemu_config_write(m, qd->bdf, off + 4, 4, 0);
	return (int)regs;
}

/* Also after a reset, which clears BARs and command register. */
void qemu_pci_restore(struct qemu_device *qd)
{
	struct qemu_machine *m = qd->machine;
	uint32_t command = COMMAND_IO | COMMAND_MEMORY | COMMAND_MASTER;

	for (unsigned int i = 0; i < OB_BAR_COUNT; i++)
		if (qd->dev->bar[i].kind != OB_BAR_NONE)
			qemu_config_write(m, qd->bdf, BAR0 + 4 * i, 4, qd->bar_saved[i]);
	/* INTx stays off until somebody enables it, or it would fill the socket. */
	if (qd->kind != OB_IRQ_INTX)
		command |= COMMAND_INTX_OFF;
	qemu_config_write(m, qd->bdf, PCI_COMMAND, 2, command);
}

int qemu_pci_setup(struct qemu_device *qd, struct ob_error *err)
{
	struct qemu_machine *m = qd->machine;
	struct ob_device *dev = qd->dev;
	struct ob_device_info *info = &dev->info;
	uint64_t mmio_start = m->mmio_next;
	uint32_t id, class;

	id = qemu_config_read(m, qd->bdf, 0x00, 4);
	if ((id & 0xffff) == 0xffff)
		return ob_error_set(err, -ENODEV, "%s: no PCI function at %02x:%02x.%u", info->name,
				    qd->bdf >> 8, qd->bdf >> 3 & 31, qd->bdf & 7);
	if (qd->ids)
		id = qd->ids;
	info->vendor = id & 0xffff;
	info->device = id >> 16;
	class = qemu_config_read(m, qd->bdf, 0x08, 4);
	info->revision = qd->revision ? qd->revision : class & 0xff;
	info->class_code = class >> 8;
	id = qemu_config_read(m, qd->bdf, 0x2c, 4);
	info->subvendor = id & 0xffff;
	info->subdevice = id >> 16;
	info->bdf = (struct ob_bdf){
		.bus = (uint8_t)(qd->bdf >> 8),
		.dev = qd->bdf >> 3 & 31,
		.fn = qd->bdf & 7,
	};
	if (qd->behind_bridge)
		m->mmio_next = (m->mmio_next + BRIDGE_WINDOW - 1) & ~(BRIDGE_WINDOW - 1);
	for (unsigned int i = 0; i < OB_BAR_COUNT;) {
		int regs = assign_bar(qd, i, err);

		if (regs < 0)
			return regs;
		i += (unsigned int)regs;
	}
	if (qd->behind_bridge) {
		uint64_t base = (mmio_start + BRIDGE_WINDOW - 1) & ~(BRIDGE_WINDOW - 1);
		uint64_t end = (m->mmio_next + BRIDGE_WINDOW - 1) & ~(BRIDGE_WINDOW - 1);

		m->mmio_next = end;
		/* base and limit hold address bits 31:20 in bits 15:4 [B3.2.5.8, B3.2.5.9] */
		qemu_config_write(m, qd->bridge_bdf, 0x20, 2, (uint32_t)(base >> 16) & 0xfff0);
		qemu_config_write(m, qd->bridge_bdf, 0x22, 2, (uint32_t)((end - 1) >> 16) & 0xfff0);
		/* I/O windows come in 4 KiB; these devices also have their registers in memory. */
		qemu_config_write(m, qd->bridge_bdf, PCI_COMMAND, 2,
				  COMMAND_IO | COMMAND_MEMORY | COMMAND_MASTER);
	}
	qemu_pci_restore(qd);
	qd->msi = ob_pci_capability(dev, 0x05);
	qd->msix = ob_pci_capability(dev, 0x11);
	if (qd->msix) {
		uint32_t where = ob_config_read(dev, qd->msix + 4, 4); /* [6.8.2.4] */
		struct ob_bar *bar = ob_device_bar(dev, where & 7);

		qd->msix_entries = (ob_config_read(dev, qd->msix + 2, 2) & 0x7ff) + 1;
		if (!bar || (where & ~7u) >= bar->size ||
		    qd->msix_entries * 16u > bar->size - (where & ~7u))
			qd->msix = 0; /* a table outside of its BAR */
		else
			qd->msix_table = bar->base + (where & ~7u);
	}
	return 0;
}

/* Number the bus behind a root port, so that the function there can be addressed. */
int qemu_pci_bridge_setup(struct qemu_device *qd, struct ob_error *err)
{
	struct qemu_machine *m = qd->machine;
	unsigned int bus = m->bus_next;

	if (bus > 255)
		return ob_error_set(err, -ENOSPC, "%s: no bus number left", qd->dev->info.name);
	m->bus_next++;
	qd->bridge_bdf = qd->slot << 3;
	qd->bdf = bus << 8;
	/* primary | secondary << 8 | subordinate << 16 [B3.2.5.2 to B3.2.5.4] */
	qemu_config_write(m, qd->bridge_bdf, 0x18, 4, bus << 8 | bus << 16);
	return 0;
}
