/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The emulated VT-d IOMMU, programmed from outside: one domain per device, tables in the machine's RAM.
 * Intel Virtualization Technology for Directed I/O, Architecture Specification, revision 3.x ("VT-d").
 */
#ifndef ACCESS_QEMU_VTD_H
#define ACCESS_QEMU_VTD_H

#include <pthread.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "access/qemu/qtest.h"

struct vtd {
	struct qtest *qt;
	char *ram;
	uint64_t tables, tables_end; /* physical range of the tables */
	uint64_t next;		     /* first table never used */
	uint64_t free;		     /* list of freed ones, linked by their first word */
	uint64_t root;
	uint64_t context[256]; /* context table of a bus, 0 for none */
	unsigned int levels;
	unsigned int iotlb_off, fault_off;
	bool superpages;
	unsigned int next_domain;
	pthread_mutex_t lock;
};

struct vtd_domain {
	struct vtd *vtd;
	uint64_t top;
	unsigned int id;
	unsigned int bdf;
};

struct vtd_fault {
	unsigned int bdf;
	uint64_t iova;
	bool write;
	unsigned int reason;
};

/** vtd_start() - empty tables, translation on: every device is blocked. 0 or negative errno */
int vtd_start(struct vtd *vtd, struct qtest *qt, char *ram, uint64_t tables, uint64_t size);
void vtd_stop(struct vtd *vtd);

/** vtd_attach() - give a function (bus << 8 | devfn) a domain with nothing mapped */
int vtd_attach(struct vtd *vtd, unsigned int bdf, struct vtd_domain **domain);
void vtd_detach(struct vtd_domain *domain);

/**
 * vtd_map() - let a domain reach physical memory; replaces what was there
 * @prot: bit 0 the device may read, bit 1 it may write (as the page table entries have them)
 */
int vtd_map(struct vtd_domain *domain, uint64_t iova, uint64_t phys, uint64_t len,
	    unsigned int prot);
int vtd_unmap(struct vtd_domain *domain, uint64_t iova, uint64_t len);

/** vtd_fault() - take one recorded fault: 1, or 0 when there is none */
int vtd_fault(struct vtd *vtd, struct vtd_fault *fault);
const char *vtd_fault_reason(unsigned int reason);

#endif
