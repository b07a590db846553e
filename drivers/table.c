/* SPDX-License-Identifier: BSD-2-Clause */
/* The drivers that the library brings, and how a device finds its own. */
#include <string.h>

#include <outboard/driver.h>

#include "drivers/drivers.h"

static const struct ob_driver *const drivers[] = {
	&ob_driver_edu, &ob_driver_beep, &ob_driver_e1000, &ob_driver_ide, &ob_driver_nvme, NULL,
};

const struct ob_driver *const *ob_drivers(void)
{
	return drivers;
}

const struct ob_driver *ob_driver_find(const char *name)
{
	for (const struct ob_driver *const *d = drivers; *d; d++)
		if (!strcmp((*d)->name, name))
			return *d;
	return NULL;
}

static bool id_is_last(const struct ob_pci_id *id)
{
	return !id->vendor && !id->class_mask;
}

const struct ob_driver *ob_driver_match(uint16_t vendor, uint16_t device, uint32_t class_code,
					const struct ob_pci_id **id)
{
	for (const struct ob_driver *const *d = drivers; *d; d++) {
		for (const struct ob_pci_id *i = (*d)->ids; !id_is_last(i); i++) {
			if (i->vendor != OB_PCI_ANY && i->vendor != vendor)
				continue;
			if (i->device != OB_PCI_ANY && i->device != device)
				continue;
			if ((class_code & i->class_mask) != i->class_code)
				continue;
			if (id)
				*id = i;
			return *d;
		}
	}
	return NULL;
}
