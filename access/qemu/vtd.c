/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * VT-d: root and context tables, second-level page tables, invalidation and faults. Numbers in brackets
 * are sections of the VT-d specification, revision 3.3.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "access/qemu/machine.h"
#include "access/qemu/vtd.h"

#define PAGE	4096ull
#define PAGE_2M 0x200000ull

/* Registers [10.4] */
#define VTD_CAP	     0x08
#define VTD_ECAP     0x10
#define VTD_GCMD     0x18
#define VTD_GSTS     0x1c
#define VTD_RTADDR   0x20
#define VTD_CCMD     0x28
#define VTD_FSTS     0x34

#define GCMD_TE	     (1u << 31) /* translation enable */
#define GCMD_SRTP    (1u << 30) /* set root table pointer */
#define CCMD_ICC     (1ull << 63)
#define CCMD_GLOBAL  (1ull << 61)
#define IOTLB_IVT    (1ull << 63)
#define IOTLB_DOMAIN (2ull << 60)
#define IOTLB_GLOBAL (1ull << 60)
#define IOTLB_DRAIN  (3ull << 48) /* reads and writes in flight are done first */
#define FSTS_PPF     2u		  /* primary pending fault */
#define FSTS_CLEAR   1u		  /* overflow bit, cleared by writing one */
#define FAULT_F	     (1ull << 63)

/* Second-level entries [9.8] */
#define SL_READ	 1ull
#define SL_WRITE 2ull
#define SL_PS	 (1ull << 7) /* a large page */
#define SL_ADDR	 0x000ffffffffff000ull

static int reg_write(struct vtd *vtd, unsigned int off, unsigned int size, uint64_t val)
{
	return qtest_write(vtd->qt, QEMU_VTD + off, size, val);
}

static int reg_read(struct vtd *vtd, unsigned int off, unsigned int size, uint64_t *val)
{
	return qtest_read(vtd->qt, QEMU_VTD + off, size, val);
}

/* The model does what a command register asks before it answers; hardware takes a few microseconds. */
static int wait_for(struct vtd *vtd, unsigned int off, unsigned int size, uint64_t mask,
		    uint64_t want)
{
	uint64_t val = 0;

	for (unsigned int tries = 0; tries < 1000; tries++) {
		int ret = reg_read(vtd, off, size, &val);

		if (ret)
			return ret;
		if ((val & mask) == want)
			return 0;
	}
	return -ETIMEDOUT;
}

static uint64_t *table(struct vtd *vtd, uint64_t phys)
{
	return (uint64_t *)(vtd->ram + phys);
}

/* A zeroed table of 4 KiB, or 0 when the region is used up. */
static uint64_t table_alloc(struct vtd *vtd)
{
	uint64_t phys = vtd->free;

	if (phys) {
		vtd->free = *table(vtd, phys);
	} else {
		if (vtd->next >= vtd->tables_end)
			return 0;
		phys = vtd->next;
		vtd->next += PAGE;
	}
	memset(table(vtd, phys), 0, PAGE);
	return phys;
}

static void table_free(struct vtd *vtd, uint64_t phys)
{
	*table(vtd, phys) = vtd->free;
	vtd->free = phys;
}

static int flush_domain(struct vtd *vtd, unsigned int id)
{
	int ret = reg_write(vtd, vtd->iotlb_off, 8,
			    IOTLB_IVT | IOTLB_DOMAIN | IOTLB_DRAIN | (uint64_t)id << 32);

	return ret ? ret : wait_for(vtd, vtd->iotlb_off, 8, IOTLB_IVT, 0);
}

static int flush_all(struct vtd *vtd)
{
	int ret = reg_write(vtd, VTD_CCMD, 8, CCMD_ICC | CCMD_GLOBAL);

	if (!ret)
		ret = wait_for(vtd, VTD_CCMD, 8, CCMD_ICC, 0);
	if (!ret)
		ret = reg_write(vtd, vtd->iotlb_off, 8, IOTLB_IVT | IOTLB_GLOBAL | IOTLB_DRAIN);
	return ret ? ret : wait_for(vtd, vtd->iotlb_off, 8, IOTLB_IVT, 0);
}

int vtd_start(struct vtd *vtd, struct qtest *qt, char *ram, uint64_t tables, uint64_t size)
{
	uint64_t cap, ecap;
	int ret;

	memset(vtd, 0, sizeof(*vtd));
	pthread_mutex_init(&vtd->lock, NULL);
	vtd->qt = qt;
	vtd->ram = ram;
	vtd->tables = vtd->next = tables;
	vtd->tables_end = tables + size;
	vtd->next_domain = 1; /* 0 is not to be used when caching mode may be on [6.1] */
	ret = reg_read(vtd, VTD_CAP, 8, &cap);
	if (!ret)
		ret = reg_read(vtd, VTD_ECAP, 8, &ecap);
	if (ret)
		return ret;
	if (cap >> 8 & 2) /* SAGAW: 3 levels, 39 bits */
		vtd->levels = 3;
	else if (cap >> 8 & 4)
		vtd->levels = 4;
	else
		return -ENODEV;
	vtd->superpages = cap >> 34 & 1;			 /* SLLPS: 2 MiB */
	vtd->fault_off = (unsigned int)(cap >> 24 & 0x3ff) * 16; /* FRO */
	vtd->iotlb_off = (unsigned int)(ecap >> 8 & 0x3ff) * 16 + 8;
	vtd->root = table_alloc(vtd);
	if (!vtd->root)
		return -ENOMEM;
	ret = reg_write(vtd, VTD_RTADDR, 8, vtd->root);
	if (!ret)
		ret = reg_write(vtd, VTD_GCMD, 4, GCMD_SRTP);
	if (!ret)
		ret = wait_for(vtd, VTD_GSTS, 4, GCMD_SRTP, GCMD_SRTP);
	if (!ret)
		ret = flush_all(vtd);
	if (!ret)
		ret = reg_write(vtd, VTD_GCMD, 4, GCMD_TE);
	return ret ? ret : wait_for(vtd, VTD_GSTS, 4, GCMD_TE, GCMD_TE);
}

void vtd_stop(struct vtd *vtd)
{
	if (vtd->qt)
		pthread_mutex_destroy(&vtd->lock);
	vtd->qt = NULL;
}

/* ---- domains ------------------------------------------------------------------------ */

int vtd_attach(struct vtd *vtd, unsigned int bdf, struct vtd_domain **domain)
{
	unsigned int bus = bdf >> 8, devfn = bdf & 0xff;
	struct vtd_domain *d = calloc(1, sizeof(*d));
	uint64_t *entry;
	int ret = -ENOMEM;

	if (!d)
		return -ENOMEM;
	pthread_mutex_lock(&vtd->lock);
	d->vtd = vtd;
	d->bdf = bdf;
	d->id = vtd->next_domain++;
	d->top = table_alloc(vtd);
	if (!d->top)
		goto fail;
	if (!vtd->context[bus]) {
		vtd->context[bus] = table_alloc(vtd);
		if (!vtd->context[bus]) {
			table_free(vtd, d->top);
			goto fail;
		}
		table(vtd, vtd->root)[bus * 2] = vtd->context[bus] | 1; /* [9.1] present */
	}
	entry = &table(vtd, vtd->context[bus])[devfn * 2];
	/* [9.3] address width: 1 = 3 levels, 2 = 4 levels; then present, last */
	entry[1] = (uint64_t)d->id << 8 | (vtd->levels - 2);
	__atomic_store_n(&entry[0], d->top | 1, __ATOMIC_RELEASE);
	ret = flush_all(vtd);
	pthread_mutex_unlock(&vtd->lock);
	*domain = d;
	return ret;
fail:
	pthread_mutex_unlock(&vtd->lock);
	free(d);
	return ret;
}

static void free_level(struct vtd *vtd, uint64_t phys, unsigned int level)
{
	const uint64_t *entries = table(vtd, phys);

	for (unsigned int i = 0; level > 1 && i < 512; i++)
		if (entries[i] & 3 && !(entries[i] & SL_PS))
			free_level(vtd, entries[i] & SL_ADDR, level - 1);
	table_free(vtd, phys);
}

void vtd_detach(struct vtd_domain *d)
{
	struct vtd *vtd;
	uint64_t *entry;

	if (!d)
		return;
	vtd = d->vtd;
	pthread_mutex_lock(&vtd->lock);
	entry = &table(vtd, vtd->context[d->bdf >> 8])[(d->bdf & 0xff) * 2];
	__atomic_store_n(&entry[0], 0, __ATOMIC_RELEASE);
	entry[1] = 0;
	/* Tables are only reused when the IOMMU can have none of them cached. */
	if (!flush_all(vtd))
		free_level(vtd, d->top, vtd->levels);
	pthread_mutex_unlock(&vtd->lock);
	free(d);
}

/* ---- page tables --------------------------------------------------------------------- */

static unsigned int index_at(uint64_t iova, unsigned int level)
{
	return iova >> (12 + 9 * (level - 1)) & 511;
}

/* Replace a 2 MiB page by a table of the same 512 pages. */
static int split(struct vtd *vtd, uint64_t *entry)
{
	uint64_t phys = table_alloc(vtd);
	uint64_t *pages;

	if (!phys)
		return -ENOSPC;
	pages = table(vtd, phys);
	for (uint64_t i = 0; i < 512; i++)
		pages[i] = ((*entry & SL_ADDR) + i * PAGE) | (*entry & 3);
	__atomic_store_n(entry, phys | SL_READ | SL_WRITE, __ATOMIC_RELEASE);
	return 0;
}

/*
 * The entry of an IOVA at the lowest level, or at the 2 MiB level when "large"; tables on the way are
 * made when "make", else NULL means that nothing is mapped there.
 */
static int find_entry(struct vtd_domain *d, uint64_t iova, bool large, bool make, uint64_t **entry)
{
	uint64_t phys = d->top;

	for (unsigned int level = d->vtd->levels;; level--) {
		uint64_t *e = &table(d->vtd, phys)[index_at(iova, level)];

		*entry = e;
		if (level == 1 || (large && level == 2))
			return 0;
		if (*e & 3 && *e & SL_PS) {
			int ret = split(d->vtd, e);

			if (ret)
				return ret;
		} else if (!(*e & 3)) {
			uint64_t lower;

			*entry = NULL;
			if (!make)
				return 0;
			lower = table_alloc(d->vtd);
			if (!lower)
				return -ENOSPC;
			__atomic_store_n(e, lower | SL_READ | SL_WRITE, __ATOMIC_RELEASE);
		}
		phys = *e & SL_ADDR;
	}
}

static bool beyond(const struct vtd *vtd, uint64_t iova, uint64_t len)
{
	uint64_t end = 1ull << (12 + 9 * vtd->levels);

	return (iova | len) & (PAGE - 1) || iova >= end || len > end - iova;
}

static bool can_be_large(const struct vtd *vtd, uint64_t iova, uint64_t phys, uint64_t len)
{
	return vtd->superpages && !((iova | phys) & (PAGE_2M - 1)) && len >= PAGE_2M;
}

/* Take pages away; returns whether the IOMMU may have cached any of them. */
static int clear_range(struct vtd_domain *d, uint64_t iova, uint64_t len, bool *cached)
{
	uint64_t end = iova + len;

	while (iova < end) {
		bool whole = !(iova & (PAGE_2M - 1)) && end - iova >= PAGE_2M;
		uint64_t *entry;
		int ret;

		if (whole) {
			ret = find_entry(d, iova, true, false, &entry);
			if (ret)
				return ret;
			if (!entry || !(*entry & 3) || *entry & SL_PS) {
				if (entry && *entry) {
					__atomic_store_n(entry, 0, __ATOMIC_RELEASE);
					*cached = true;
				}
				iova += PAGE_2M;
				continue;
			}
		}
		ret = find_entry(d, iova, false, false, &entry);
		if (ret)
			return ret;
		if (entry && *entry) {
			__atomic_store_n(entry, 0, __ATOMIC_RELEASE);
			*cached = true;
		}
		iova += PAGE;
	}
	return 0;
}

int vtd_map(struct vtd_domain *d, uint64_t iova, uint64_t phys, uint64_t len, unsigned int prot)
{
	uint64_t start = iova, end = iova + len;
	bool cached = false;
	int ret = 0;

	if (!len || beyond(d->vtd, iova, len) || phys & (PAGE - 1))
		return -EINVAL;
	pthread_mutex_lock(&d->vtd->lock);
	while (iova < end && !ret) {
		bool large = can_be_large(d->vtd, iova, phys, end - iova);
		uint64_t *entry, size = PAGE;

		ret = find_entry(d, iova, large, true, &entry);
		if (!ret && large && *entry & 3 && !(*entry & SL_PS)) {
			/* There is a table already; its pages are replaced one by one. */
			large = false;
			ret = find_entry(d, iova, false, true, &entry);
		}
		if (ret)
			break;
		if (large)
			size = PAGE_2M;
		/* Entries that were not present are never cached (CAP.CM is 0) [6.1]. */
		if (*entry & 3)
			cached = true;
		__atomic_store_n(entry, phys | (prot & 3) | (large ? SL_PS : 0), __ATOMIC_RELEASE);
		iova += size;
		phys += size;
	}
	if (ret && clear_range(d, start, iova - start, &cached))
		cached = true;
	if (cached) {
		int flushed = flush_domain(d->vtd, d->id);

		ret = ret ? ret : flushed;
	}
	pthread_mutex_unlock(&d->vtd->lock);
	return ret;
}

int vtd_unmap(struct vtd_domain *d, uint64_t iova, uint64_t len)
{
	bool cached = false;
	int ret;

	if (!len || beyond(d->vtd, iova, len))
		return -EINVAL;
	pthread_mutex_lock(&d->vtd->lock);
	ret = clear_range(d, iova, len, &cached);
	if (cached) {
		int flushed = flush_domain(d->vtd, d->id);

		ret = ret ? ret : flushed;
	}
	pthread_mutex_unlock(&d->vtd->lock);
	return ret;
}

/* ---- faults --------------------------------------------------------------------------- */

int vtd_fault(struct vtd *vtd, struct vtd_fault *fault)
{
	uint64_t status, page, high;

	if (reg_read(vtd, VTD_FSTS, 4, &status) || !(status & FSTS_PPF))
		return 0;
	/* The model has one fault recording register, so its index is 0 [10.4.9]. */
	if (reg_read(vtd, vtd->fault_off, 8, &page) ||
	    reg_read(vtd, vtd->fault_off + 8, 8, &high) || !(high & FAULT_F))
		return 0;
	fault->iova = page & ~(PAGE - 1);
	fault->bdf = (unsigned int)(high & 0xffff);
	fault->reason = (unsigned int)(high >> 32 & 0xff);
	fault->write = !(high >> 62 & 1); /* T1: 1 is a read [10.4.14] */
	reg_write(vtd, vtd->fault_off + 8, 8, FAULT_F);
	reg_write(vtd, VTD_FSTS, 4, FSTS_CLEAR);
	return 1;
}

const char *vtd_fault_reason(unsigned int reason)
{
	switch (reason) { /* [7.1.3, table of fault reasons] */
	case 1:
		return "its bus has no root entry";
	case 2:
		return "it has no domain";
	case 4:
		return "the address is beyond the domain's width";
	case 5:
		return "the page is not mapped for writing";
	case 6:
		return "the page is not mapped for reading";
	default:
		return "see the VT-d specification for the reason";
	}
}
