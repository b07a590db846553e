/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Capabilities by name, with what a driver's author asks of each. Offsets and bits: PCI Local Bus 3.0,
 * PCI Express Base 3.0 (chapter 7), PCI Power Management 1.2.
 */
#include <stdio.h>
#include <string.h>

#include "cli/pci_caps.h"

struct cap_name {
	uint16_t id;
	const char *name;
};

/* PCI Code and ID Assignment Specification, chapters 2 and 3. */
static const struct cap_name standard[] = {
	{0x01, "power management"},
	{0x02, "AGP"},
	{0x03, "vital product data"},
	{0x04, "slot identification"},
	{PCI_CAP_MSI, "MSI"},
	{0x06, "CompactPCI hot swap"},
	{0x07, "PCI-X"},
	{0x08, "HyperTransport"},
	{0x09, "vendor specific"},
	{0x0a, "debug port"},
	{0x0b, "CompactPCI resource control"},
	{0x0c, "hot plug"},
	{0x0d, "bridge subsystem IDs"},
	{0x0e, "AGP 8x"},
	{0x0f, "secure device"},
	{PCI_CAP_EXPRESS, "PCI Express"},
	{PCI_CAP_MSIX, "MSI-X"},
	{0x12, "SATA index and data"},
	{0x13, "advanced features"},
	{0x14, "enhanced allocation"},
};

static const struct cap_name extended[] = {
	{0x0001, "advanced error reporting"},
	{0x0002, "virtual channel"},
	{0x0003, "serial number"},
	{0x0004, "power budgeting"},
	{0x0005, "root complex link declaration"},
	{0x0009, "virtual channel (MFVC)"},
	{0x000b, "vendor specific"},
	{0x000d, "access control services"},
	{0x000e, "alternative routing ID"},
	{0x000f, "address translation services"},
	{0x0010, "single root I/O virtualization"},
	{0x0012, "multicast"},
	{0x0013, "page request"},
	{0x0015, "resizable BAR"},
	{0x0016, "dynamic power allocation"},
	{0x0017, "TLP processing hints"},
	{0x0018, "latency tolerance reporting"},
	{0x0019, "secondary PCI Express"},
	{0x001b, "process address space ID"},
	{0x001d, "downstream port containment"},
	{0x001e, "L1 PM substates"},
	{0x001f, "precision time measurement"},
	{0x0023, "designated vendor specific"},
	{0x0025, "data link feature"},
	{0x0026, "physical layer 16 GT/s"},
	{0x0027, "lane margining"},
	{0x002a, "physical layer 32 GT/s"},
	{0x002e, "data object exchange"},
};

static void set_name(struct pci_cap *cap)
{
	const struct cap_name *names = cap->extended ? extended : standard;
	size_t n = cap->extended ? sizeof(extended) / sizeof(extended[0])
				 : sizeof(standard) / sizeof(standard[0]);

	for (size_t i = 0; i < n; i++)
		if (names[i].id == cap->id)
			snprintf(cap->name, sizeof(cap->name), "%s", names[i].name);
	if (!*cap->name)
		snprintf(cap->name, sizeof(cap->name), "unknown (%#x)", cap->id);
}

unsigned int pci_msi_vectors(pci_config_fn read, void *arg, const struct pci_cap *cap)
{
	uint32_t control = read(arg, cap->offset + 2u, 2);

	if (cap->id == PCI_CAP_MSIX)
		return (control & 0x7ff) + 1; /* 6.8.2.3: N - 1 encoded */
	/* 6.8.1.3: multiple message capable, a power of two; 6 and 7 are reserved. */
	return (control >> 1 & 7) < 6 ? 1u << (control >> 1 & 7) : 0;
}

static const char *link_speed(uint32_t code)
{
	static const char *const speeds[] = {"?", "2.5", "5", "8", "16", "32", "64"};

	return speeds[code < 7 ? code : 0];
}

static void describe_express(pci_config_fn read, void *arg, struct pci_cap *cap)
{
	static const char *const types[] = {
		"endpoint",
		"legacy endpoint",
		"?",
		"?",
		"root port",
		"upstream port",
		"downstream port",
		"PCIe to PCI bridge",
		"PCI to PCIe bridge",
		"root complex endpoint",
		"event collector",
	};
	uint32_t type = read(arg, cap->offset + 2u, 2) >> 4 & 15;
	uint32_t caps = read(arg, cap->offset + 4u, 4);
	uint32_t can, is;
	int n;

	n = snprintf(cap->detail, sizeof(cap->detail), "%s, payload up to %u bytes",
		     types[type < 11 ? type : 2], 128u << (caps & 7));
	/* Bit 28 is defined for endpoints only (7.8.3). */
	if (type < 2 || type == 9)
		n += snprintf(cap->detail + n, sizeof(cap->detail) - (size_t)n, ", %s",
			      caps & 1u << 28 ? "function level reset" : "no function level reset");
	/* Endpoints in the root complex have no link. */
	if (type == 9 || type == 10)
		return;
	can = read(arg, cap->offset + 0xcu, 4);
	is = read(arg, cap->offset + 0x12u, 2);
	snprintf(cap->detail + n, sizeof(cap->detail) - (size_t)n,
		 ", link %s GT/s x%u of %s GT/s x%u", link_speed(is & 15), is >> 4 & 63,
		 link_speed(can & 15), can >> 4 & 63);
}

static void describe_msix(pci_config_fn read, void *arg, struct pci_cap *cap)
{
	uint32_t table = read(arg, cap->offset + 4u, 4), pba = read(arg, cap->offset + 8u, 4);

	snprintf(cap->detail, sizeof(cap->detail),
		 "vectors: %u, table in BAR %u at %#x, pending bits in BAR %u at %#x",
		 pci_msi_vectors(read, arg, cap), table & 7, table & ~7u, pba & 7, pba & ~7u);
}

static void describe_standard(pci_config_fn read, void *arg, struct pci_cap *cap)
{
	uint32_t word = read(arg, cap->offset + 2u, 2);

	switch (cap->id) {
	case 0x01:
		snprintf(cap->detail, sizeof(cap->detail), "version %u, now D%u%s%s", word & 7,
			 read(arg, cap->offset + 4u, 2) & 3, word & 0x200 ? ", D1" : "",
			 word & 0x400 ? ", D2" : "");
		break;
	case PCI_CAP_MSI:
		snprintf(cap->detail, sizeof(cap->detail), "vectors: %u, %s-bit address%s",
			 pci_msi_vectors(read, arg, cap), word & 0x80 ? "64" : "32",
			 word & 0x100 ? ", can be masked" : "");
		break;
	case 0x09:
		snprintf(cap->detail, sizeof(cap->detail), "%u bytes", word & 0xff);
		break;
	case PCI_CAP_EXPRESS:
		describe_express(read, arg, cap);
		break;
	case PCI_CAP_MSIX:
		describe_msix(read, arg, cap);
		break;
	default:
		break;
	}
}

static void describe_extended(pci_config_fn read, void *arg, struct pci_cap *cap)
{
	uint32_t lo, hi;

	switch (cap->id) {
	case 0x0003:
		lo = read(arg, cap->offset + 4u, 4);
		hi = read(arg, cap->offset + 8u, 4);
		snprintf(cap->detail, sizeof(cap->detail), "%08x-%08x", hi, lo);
		break;
	case 0x000b:
		lo = read(arg, cap->offset + 4u, 4);
		snprintf(cap->detail, sizeof(cap->detail), "id %#x, %u bytes", lo & 0xffff,
			 lo >> 20);
		break;
	case 0x0010:
		lo = read(arg, cap->offset + 0xcu, 4);
		hi = read(arg, cap->offset + 0x10u, 2);
		snprintf(cap->detail, sizeof(cap->detail), "%u of %u functions on", hi, lo >> 16);
		break;
	default:
		break;
	}
}

static bool seen(const struct pci_cap *caps, unsigned int n, unsigned int off)
{
	for (unsigned int i = 0; i < n; i++)
		if (caps[i].offset == off)
			return true;
	return false;
}

static unsigned int walk_standard(pci_config_fn read, void *arg, struct pci_cap *caps,
				  unsigned int max)
{
	unsigned int n = 0, off;

	/* 6.2.3, bit 4 of the status register: there is a list; 6.7: it lies behind the header. */
	if (!(read(arg, 6, 2) & 0x10))
		return 0;
	off = read(arg, 0x34, 1) & 0xfc;
	while (off >= 0x40 && n < max && !seen(caps, n, off)) {
		uint32_t head = read(arg, off, 2);
		struct pci_cap *cap = &caps[n];

		if ((head & 0xff) == 0xff)
			break;
		memset(cap, 0, sizeof(*cap));
		cap->id = head & 0xff;
		cap->offset = (uint16_t)off;
		set_name(cap);
		describe_standard(read, arg, cap);
		n++;
		off = head >> 8 & 0xfc;
	}
	return n;
}

static unsigned int walk_extended(pci_config_fn read, void *arg, struct pci_cap *caps,
				  unsigned int max)
{
	unsigned int n = 0, off = 0x100;

	while (off >= 0x100 && n < max && !seen(caps, n, off)) {
		uint32_t head = read(arg, off, 4);
		struct pci_cap *cap = &caps[n];

		/* 7.9.1: an empty list is a header of zeroes; all ones: there is no such space. */
		if (!head || head == 0xffffffff)
			break;
		memset(cap, 0, sizeof(*cap));
		cap->extended = true;
		cap->id = head & 0xffff;
		cap->version = head >> 16 & 15;
		cap->offset = (uint16_t)off;
		set_name(cap);
		describe_extended(read, arg, cap);
		n++;
		off = head >> 20 & 0xffc;
	}
	return n;
}

unsigned int pci_caps(pci_config_fn read, void *arg, unsigned int size, struct pci_cap *caps,
		      unsigned int max)
{
	unsigned int n;

	if (size < 256)
		return 0;
	n = walk_standard(read, arg, caps, max);
	if (size >= 4096)
		n += walk_extended(read, arg, caps + n, max - n);
	return n;
}
