/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The PCI functions of this machine as sysfs tells of them, without claiming or changing one: for
 * `outboard devices` and `outboard probe`. Files: Documentation/ABI/testing/sysfs-bus-pci of the kernel.
 */
#ifndef CLI_PCI_SYSFS_H
#define CLI_PCI_SYSFS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "access/sysfs.h"

/**
 * struct pci_use - what would go away if the kernel's driver gave the device up
 * @kind: "mount", "swap", "route"
 * @name: "vda1", "eth0"
 * @text: for a person: "vda1 is mounted on /"
 */
struct pci_use {
	const char *kind;
	char name[32];
	char text[224];
};

/**
 * struct pci_function - one function, with what the kernel makes of it
 * @nodes: what the kernel's driver made of it: "eth0", "nvme0n1"
 */
struct pci_function {
	struct sysfs_function pci;
	char nodes[128];
	struct pci_use *use;
	size_t uses;
};

struct pci_machine {
	struct pci_function *fn;
	size_t n;
};

/**
 * struct pci_way - how Outboard would take a function
 * @backend: "vfio" or "uio", NULL for none
 * @built: this build has that backend
 * @why: the reason, one sentence
 */
struct pci_way {
	const char *backend;
	bool built;
	char why[320];
};

/**
 * pci_machine_read() - all functions, ordered by address; none on a machine without PCI
 * @root: "" for this machine; else a folder with a sys/ and a proc/ in it
 *
 * Return: 0 or -ENOMEM.
 */
int pci_machine_read(const char *root, struct pci_machine *machine);
void pci_machine_free(struct pci_machine *machine);

/** pci_machine_find() - by "0000:03:00.0" or "03:00.0"; NULL when it is not there */
const struct pci_function *pci_machine_find(const struct pci_machine *machine, const char *address);

void pci_way(const char *root, const struct pci_machine *machine, const struct pci_function *fn,
	     struct pci_way *way);

/* ---- names, from the system's pci.ids: pci_names.c ---------------------------------------- */

struct pci_names;

/* NULL where there is no memory; then numbers are given. */
struct pci_names *pci_names_open(void);
void pci_names_close(struct pci_names *names);
/** pci_name_device() - "Intel Corporation 82574L Gigabit Network Connection", or numbers */
const char *pci_name_device(struct pci_names *names, uint16_t vendor, uint16_t device, char *buf,
			    size_t size);
/** pci_name_class() - "Ethernet controller" */
const char *pci_name_class(struct pci_names *names, uint32_t class_code, char *buf, size_t size);

#endif
