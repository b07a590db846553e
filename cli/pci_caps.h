/* SPDX-License-Identifier: BSD-2-Clause */
/* Capabilities of a PCI function by name, for `outboard probe`: PCI 3.0, 6.7; PCIe 3.0, 7.9. */
#ifndef CLI_PCI_CAPS_H
#define CLI_PCI_CAPS_H

#include <stdbool.h>
#include <stdint.h>

enum {
	PCI_CAPS_MAX = 96, /* 48 fit into the first list; nothing has as many extended ones */
	PCI_CAP_MSI = 0x05,
	PCI_CAP_EXPRESS = 0x10,
	PCI_CAP_MSIX = 0x11,
};

struct pci_cap {
	bool extended;
	uint16_t id, offset;
	uint8_t version; /* of extended ones */
	char name[48];
	char detail[128];
};

/* Read 1, 2 or 4 bytes of configuration space at a multiple of @size; all ones behind its end. */
typedef uint32_t (*pci_config_fn)(void *arg, unsigned int off, unsigned int size);

/**
 * pci_caps() - both lists
 * @size: bytes of configuration space: 64 (then there is no list), 256 or 4096
 *
 * A list that loops or points outside ends there.
 */
unsigned int pci_caps(pci_config_fn read, void *arg, unsigned int size, struct pci_cap *caps,
		      unsigned int max);

/** pci_msi_vectors() - vectors that a capability of MSI or MSI-X offers */
unsigned int pci_msi_vectors(pci_config_fn read, void *arg, const struct pci_cap *cap);

#endif
