/* SPDX-License-Identifier: GPL-2.0-only */
#ifndef __ASM_OUTBOARD_PCI_H
#define __ASM_OUTBOARD_PCI_H

#define PCIBIOS_MIN_IO		    0x1000
#define PCIBIOS_MIN_MEM		    0

#define pcibios_assign_all_busses() 1

#include <asm-generic/pci.h>

#endif
