/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Giving PCI functions to vfio-pci or uio_pci_generic and back: by driver_override only (so that no other device
 * is caught), with the result looked at, and what was before remembered. For `outboard bind`, `unbind` and
 * `devices`. docs/binding.md.
 *
 * @root as in access/sysfs.h; with one, no program is started (modprobe, driverctl).
 */
#ifndef CLI_BINDING_H
#define CLI_BINDING_H

#include <sys/types.h>

#include "cli/pci_sysfs.h"

#define BINDING_VFIO "vfio-pci"
#define BINDING_UIO  "uio_pci_generic"

/* ---- what is remembered: binding_state.c ------------------------------------------------------ */

/**
 * struct binding_record - how a function was before it was bound
 * @driver: the kernel's, "" for none
 * @override: its driver_override, "" for none
 * @persistent: driverctl was told
 *
 * One file for each, in /run/outboard/bind: it is forgotten when the machine starts again, as the binding is.
 */
struct binding_record {
	char driver[64];
	char override[64];
	uint16_t vendor, device;
	bool persistent;
};

/** binding_recall() - false: nothing is known of it, or another device is there now */
bool binding_recall(const char *root, const struct sysfs_function *fn, struct binding_record *rec);
int binding_remember(const char *root, const struct sysfs_function *fn,
		     const struct binding_record *rec, struct ob_error *err);
void binding_forget(const char *root, const struct sysfs_function *fn);

/** binding_driverctl() - what driverctl gives the function at each start; false: it does not */
bool binding_driverctl(const char *root, const struct sysfs_function *fn, char driver[64]);

/* ---- binding.c ----------------------------------------------------------------------------------- */

/** binding_is_ours() - a driver that only keeps a function for user space */
bool binding_is_ours(const char *driver);

/**
 * binding_holder() - the process that drives a function that is bound, or any other of its group
 * @node: what it has open, "/dev/vfio/12"
 * Return: its pid; 0: none is seen.
 */
pid_t binding_holder(const char *root, const struct sysfs_function *fn, char comm[32],
		     char node[64]);

struct binding_options {
	bool force;	  /* although it is in use */
	bool whole_group; /* and the rest of its IOMMU group */
	bool persist;	  /* tell driverctl, too */
	const char *user; /* owner of the VFIO group's node, or NULL */
};

/**
 * struct binding_step - one function of an order, and what became of it
 * @previous: driver that it had before this order
 * @changed: false: it was so already
 */
struct binding_step {
	struct sysfs_function fn;
	char previous[64];
	bool changed;
};

enum {
	BINDING_STEPS = 64,
};

struct binding_order {
	struct binding_step step[BINDING_STEPS];
	unsigned int n;
};

/** binding_choose() - the driver that suits the machine: vfio-pci where there is an IOMMU */
const char *binding_choose(const struct sysfs_function *fn);

/**
 * binding_add() - one function more to an order
 * @address: as typed
 *
 * Return: 0; -EINVAL: no address; -ENOENT: not there; -ENOSPC.
 */
int binding_add(struct binding_order *order, const struct pci_machine *machine, const char *address,
		struct ob_error *err);

/**
 * binding_bind() - give all of an order to @driver, or change nothing
 * @driver: BINDING_VFIO or BINDING_UIO
 *
 * Return: 0; -EBUSY: in use, @err names by whom; -EPERM; -ENOENT: a module or program is missing; -EIO: the
 * kernel did not do it.
 */
int binding_bind(const char *root, const struct pci_machine *machine, struct binding_order *order,
		 const char *driver, const struct binding_options *options, struct ob_error *err);

/** binding_unbind() - back to the drivers they had. @fn of each step tells afterwards which */
int binding_unbind(const char *root, const struct pci_machine *machine, struct binding_order *order,
		   const struct binding_options *options, struct ob_error *err);

/* ---- binding_check.c: what speaks against it ------------------------------------------------- */

/** binding_check() - may one function be given to @driver? Return: 0, or as binding_bind() */
int binding_check(const char *root, const struct pci_machine *machine,
		  const struct sysfs_function *fn, const char *driver,
		  const struct binding_options *options, struct ob_error *err);
/** binding_check_free() - does nobody drive it from user space? Also --force does not help */
int binding_check_free(const char *root, const struct sysfs_function *fn, struct ob_error *err);
/** binding_check_root() - may this process change bindings at all? */
int binding_check_root(const char *root, const struct sysfs_function *fn, const char *command,
		       struct ob_error *err);

#endif
