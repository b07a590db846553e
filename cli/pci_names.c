/* SPDX-License-Identifier: BSD-2-Clause */
/* Names of PCI devices by libpci, from the system's pci.ids; its access to devices is not used. */
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <pci/pci.h>

#include "cli/cli.h"
#include "cli/pci_sysfs.h"

/* libpci calls these in pci_lookup_name(), and only pci_init() would set its own. */
static void __attribute__((noreturn, format(printf, 1, 2))) failed(char *fmt, ...)
{
	va_list ap;

	/* Out of memory is all that leads here; libpci cannot go on. */
	fputs("outboard: libpci: ", stderr);
	va_start(ap, fmt);
	vfprintf(stderr, fmt, ap);
	va_end(ap);
	fputc('\n', stderr);
	exit(CLI_FAILED);
}

static void __attribute__((format(printf, 1, 2))) ignore(char *fmt, ...)
{
}

struct pci_names *pci_names_open(void)
{
	struct pci_access *a = pci_alloc();

	if (!a)
		return NULL;
	a->error = failed;
	a->warning = ignore;
	a->debug = ignore;
	return (struct pci_names *)a;
}

void pci_names_close(struct pci_names *names)
{
	if (names)
		pci_cleanup((struct pci_access *)names);
}

const char *pci_name_device(struct pci_names *names, uint16_t vendor, uint16_t device, char *buf,
			    size_t size)
{
	const char *name = NULL;

	if (names)
		name = pci_lookup_name((struct pci_access *)names, buf, (int)size,
				       PCI_LOOKUP_VENDOR | PCI_LOOKUP_DEVICE, vendor, device);
	if (!name) {
		snprintf(buf, size, "device %04x:%04x", vendor, device);
		name = buf;
	}
	return name;
}

const char *pci_name_class(struct pci_names *names, uint32_t class_code, char *buf, size_t size)
{
	const char *name = NULL;

	if (names)
		name = pci_lookup_name((struct pci_access *)names, buf, (int)size, PCI_LOOKUP_CLASS,
				       class_code >> 8);
	if (!name) {
		snprintf(buf, size, "class %06x", class_code);
		name = buf;
	}
	return name;
}
