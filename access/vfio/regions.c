/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * BARs and configuration space. A BAR is mapped as a whole where the kernel allows that, else in the pieces that it
 * names; what is not mapped (ports, holes) is reached by read() and write() on the device's descriptor.
 *
 * A map never faults while the device is open: its memory decoding stays on (vfio.c drops what would switch it off),
 * it stays in D0, and a reset lets a fault wait until it is over (drivers/vfio/pci/vfio_pci_core.c, memory_lock). Before
 * the device is given back to the kernel, memory full of ones takes the place of each map: see vfio_regions_vanish().
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/pci_regs.h>
#include <linux/vfio.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/uio.h>
#include <unistd.h>

#include "access/vfio/vfio.h"

/* Of the file of ones, which is mapped as often as a BAR needs, but not more often than ... */
#define ONES_SIZE (64u << 10)
enum {
	ONES_MAPS = 1024, /* a process has 65530 maps (sysctl vm.max_map_count) */
};

static size_t page_up(uint64_t size)
{
	size_t page = (size_t)sysconf(_SC_PAGESIZE);

	return (size + page - 1) & ~(page - 1);
}

/* ---- access without a map ------------------------------------------------------------------- */

static volatile void *mapped(const struct vfio_region *r, uint64_t off, unsigned int size)
{
	for (unsigned int i = 0; i < r->nr_pieces; i++) {
		uint64_t in = off - r->piece[i].off;

		if (r->piece[i].map && off >= r->piece[i].off && in < r->piece[i].size &&
		    size <= r->piece[i].size - in)
			return r->piece[i].map + in;
	}
	return NULL;
}

uint64_t vfio_region_read(struct vfio_device *vd, const struct vfio_region *r, uint64_t off,
			  unsigned int size)
{
	volatile void *p = mapped(r, off, size);
	uint64_t val = 0;
	struct iovec iov = {&val, size};

	if (p) {
		switch (size) {
		case 1:
			return *(volatile uint8_t *)p;
		case 2:
			return *(volatile uint16_t *)p;
		case 4:
			return *(volatile uint32_t *)p;
		default:
			return *(volatile uint64_t *)p;
		}
	}
	vfio_count(vd);
	/* As pread(); a call less for the sandbox. */
	if (off >= r->size || size > r->size - off ||
	    preadv2(vd->fd, &iov, 1, (off_t)(r->offset + off), 0) != (ssize_t)size)
		return UINT64_MAX;
	return val; /* little endian on both sides, x86-64 */
}

void vfio_region_write(struct vfio_device *vd, const struct vfio_region *r, uint64_t off,
		       unsigned int size, uint64_t val)
{
	volatile void *p = mapped(r, off, size);

	if (p) {
		switch (size) {
		case 1:
			*(volatile uint8_t *)p = (uint8_t)val;
			return;
		case 2:
			*(volatile uint16_t *)p = (uint16_t)val;
			return;
		case 4:
			*(volatile uint32_t *)p = (uint32_t)val;
			return;
		default:
			*(volatile uint64_t *)p = val;
			return;
		}
	}
	vfio_count(vd);
	/* A write to a device that went away meanwhile is dropped, as on the bus. */
	if (off < r->size && size <= r->size - off &&
	    pwrite(vd->fd, &val, size, (off_t)(r->offset + off)) < 0)
		return;
}

uint32_t vfio_config_get(struct vfio_device *vd, unsigned int off, unsigned int size)
{
	return (uint32_t)vfio_region_read(vd, &vd->config, off, size);
}

void vfio_config_put(struct vfio_device *vd, unsigned int off, unsigned int size, uint32_t val)
{
	vfio_region_write(vd, &vd->config, off, size, val);
}

/* ---- open ----------------------------------------------------------------------------------- */

static int region_info(struct vfio_device *vd, unsigned int index, struct vfio_region *r,
		       struct ob_error *err)
{
	size_t size;
	void *info;
	int ret;

	ret = vfio_info_get(vd->fd, VFIO_DEVICE_GET_REGION_INFO, sizeof(struct vfio_region_info),
			    index, &info, &size);
	if (!ret) {
		ret = vfio_info_region(info, size, r);
		free(info);
	}
	if (ret)
		return ob_error_set(err, ret, "%s: VFIO does not describe region %u: %s",
				    vd->fn.name, index, strerror(-ret));
	return 0;
}

static int map_pieces(struct vfio_device *vd, unsigned int i, struct ob_error *err)
{
	struct vfio_region *r = &vd->bar[i];

	for (unsigned int k = 0; k < r->nr_pieces; k++) {
		void *p = mmap(NULL, page_up(r->piece[k].size), PROT_READ | PROT_WRITE, MAP_SHARED,
			       vd->fd, (off_t)(r->offset + r->piece[k].off));

		if (p == MAP_FAILED)
			return ob_error_set(err, -errno, "%s: BAR %u cannot be mapped: %s",
					    vd->fn.name, i, strerror(errno));
		r->piece[k].map = p;
	}
	return 0;
}

/*
 * VFIO has no write-combining maps; the file that sysfs has for prefetchable BARs is one. Not everybody may have it (root
 * only, no lockdown), and a kernel that reserves a BAR for VFIO as it is opened keeps it from sysfs
 * (CONFIG_IO_STRICT_DEVMEM): then the BAR is mapped as all others, which is slower and no mistake.
 */
static int map_combining(struct vfio_device *vd, unsigned int i, struct ob_error *err)
{
	struct vfio_region *r = &vd->bar[i];
	void *p = MAP_FAILED;
	char path[96];
	int fd, ret;

	snprintf(path, sizeof(path), "/sys/bus/pci/devices/%s/resource%u_wc", vd->fn.name, i);
	fd = open(path, O_RDWR | O_CLOEXEC);
	if (fd < 0 && errno == ENOENT) {
		ob_error_set(err, -ENOENT, "%s: BAR %u cannot be mapped write-combining",
			     vd->fn.name, i);
		ob_error_why(err, "only a prefetchable memory BAR can, and this is none");
		return -ENOENT;
	}
	if (fd >= 0)
		p = mmap(NULL, page_up(r->size), PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	ret = errno;
	if (fd >= 0)
		close(fd);
	if (p == MAP_FAILED) {
		ob_device_log(vd->dev, OB_LOG_WARN,
			      "BAR %u is not mapped write-combining, but as usual: %s: %s", i, path,
			      strerror(ret));
		return map_pieces(vd, i, err);
	}
	r->piece[0].off = 0;
	r->piece[0].size = r->size;
	r->piece[0].map = p;
	r->nr_pieces = 1;
	return 0;
}

static int open_bar(struct vfio_device *vd, unsigned int i, struct ob_error *err)
{
	struct ob_bar *bar = &vd->dev->bar[i];
	struct vfio_region *r = &vd->bar[i];
	bool combine = r->combine;
	uint32_t val;
	int ret;

	ret = region_info(vd, VFIO_PCI_BAR0_REGION_INDEX + i, r, err);
	if (ret)
		return ret;
	if (combine && !r->size)
		return ob_error_set(err, -EINVAL, "%s has no BAR %u to map write-combining",
				    vd->fn.name, i);
	if (!r->size)
		return 0;
	val = vfio_config_get(vd, PCI_BASE_ADDRESS_0 + 4 * i, 4);
	*bar = (struct ob_bar){.size = r->size, .index = (int)i, .dev = vd->dev};
	if (val & PCI_BASE_ADDRESS_SPACE_IO) {
		bar->kind = OB_BAR_IO;
		bar->base = val & (uint32_t)PCI_BASE_ADDRESS_IO_MASK;
		r->nr_pieces = 0;
	} else {
		bar->kind = OB_BAR_MEM;
		bar->base = val & (uint32_t)PCI_BASE_ADDRESS_MEM_MASK;
		if ((val & PCI_BASE_ADDRESS_MEM_TYPE_MASK) == PCI_BASE_ADDRESS_MEM_TYPE_64 &&
		    i + 1 < OB_BAR_COUNT)
			bar->base |=
				(uint64_t)vfio_config_get(vd, PCI_BASE_ADDRESS_0 + 4 * (i + 1), 4)
				<< 32;
	}
	if (combine)
		ret = map_combining(vd, i, err);
	else
		ret = map_pieces(vd, i, err);
	/* The accessors use a map for the whole BAR or not at all. */
	if (!ret && r->nr_pieces == 1 && !r->piece[0].off && r->piece[0].size == r->size)
		bar->map = r->piece[0].map;
	return ret;
}

/* The ones are made now: when they are needed there may be no memory. */
static int make_ones(struct vfio_device *vd, struct ob_error *err)
{
	char ones[4096];
	uint64_t biggest = 0;
	int ret;

	for (unsigned int i = 0; i < OB_BAR_COUNT; i++)
		for (unsigned int k = 0; k < vd->bar[i].nr_pieces; k++)
			if (vd->bar[i].piece[k].size > biggest)
				biggest = vd->bar[i].piece[k].size;
	if (!biggest)
		return 0;
	vd->ones_size = ONES_SIZE;
	if (biggest / ONES_MAPS > vd->ones_size)
		vd->ones_size = page_up(biggest / ONES_MAPS);
	if (vd->ones_size > page_up(biggest))
		vd->ones_size = page_up(biggest);
	memset(ones, 0xff, sizeof(ones));
	vd->ones_fd = memfd_create("outboard-gone", MFD_CLOEXEC);
	for (size_t off = 0; vd->ones_fd >= 0 && off < vd->ones_size; off += sizeof(ones)) {
		if (pwrite(vd->ones_fd, ones, sizeof(ones), (off_t)off) == (ssize_t)sizeof(ones))
			continue;
		close(vd->ones_fd);
		vd->ones_fd = -1;
	}
	ret = vd->ones_fd < 0 ? -ENOMEM : 0;
	if (ret)
		ob_error_set(err, ret, "%s: no memory for %zu bytes of ones", vd->fn.name,
			     vd->ones_size);
	return ret;
}

/* Where the vector's mask bits are [PCI 3.0, 6.8.2]. */
static void find_msix_table(struct vfio_device *vd)
{
	uint32_t table;
	uint64_t off;
	unsigned int bir;

	if (!vd->msix)
		return;
	table = vfio_config_get(vd, vd->msix + PCI_MSIX_TABLE, 4);
	bir = table & PCI_MSIX_TABLE_BIR;
	off = table & (uint32_t)PCI_MSIX_TABLE_OFFSET;
	vd->msix_entries =
		(vfio_config_get(vd, vd->msix + PCI_MSIX_FLAGS, 2) & PCI_MSIX_FLAGS_QSIZE) + 1;
	if (bir < OB_BAR_COUNT)
		vd->msix_table = mapped(&vd->bar[bir], off, vd->msix_entries * PCI_MSIX_ENTRY_SIZE);
}

int vfio_regions_open(struct vfio_device *vd, struct ob_error *err)
{
	int ret = region_info(vd, VFIO_PCI_CONFIG_REGION_INDEX, &vd->config, err);

	/* Only the device's own registers: it has no map, even where a kernel should offer one. */
	vd->config.nr_pieces = 0;
	if (!ret && vd->config.size < PCI_STD_HEADER_SIZEOF)
		ret = ob_error_set(err, -EIO, "%s: VFIO gives it no configuration space",
				   vd->fn.name);
	if (ret)
		return ret;
	vd->pm = ob_pci_capability(vd->dev, PCI_CAP_ID_PM);
	vd->msi = ob_pci_capability(vd->dev, PCI_CAP_ID_MSI);
	vd->msix = ob_pci_capability(vd->dev, PCI_CAP_ID_MSIX);
	for (unsigned int i = 0; i < OB_BAR_COUNT && !ret; i++)
		ret = open_bar(vd, i, err);
	if (ret)
		return ret;
	find_msix_table(vd);
	return make_ones(vd, err);
}

/* ---- the end -------------------------------------------------------------------------------- */

static void replace(struct vfio_device *vd, char *map, size_t size)
{
	size_t off, n;

	for (off = 0; off < size; off += n) {
		n = size - off < vd->ones_size ? size - off : vd->ones_size;
		/*
		 * One system call changes what is there, without a moment of anything else. Private: a register that
		 * is written is a page of its own from then on.
		 */
		if (mmap(map + off, n, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_FIXED, vd->ones_fd,
			 0) != MAP_FAILED)
			continue;
		/* Out of maps. Zeros for a moment are better than a device that cannot be given back. */
		if (mmap(map + off, size - off, PROT_READ | PROT_WRITE,
			 MAP_PRIVATE | MAP_FIXED | MAP_ANONYMOUS, -1, 0) != MAP_FAILED)
			memset(map + off, 0xff, size - off);
		return;
	}
}

/*
 * The kernel waits for us before it takes a device away (VFIO_PCI_REQ_IRQ_INDEX), and it does not touch our maps
 * until we let go of them; so whoever reads a register while this runs gets the device's answer or ones,
 * never a fault. Then @map goes, so that later accesses are messages, which know that the device is gone. A write
 * that lost this race stays in a page that only those can read who still hold the old pointer.
 */
void vfio_regions_vanish(struct vfio_device *vd)
{
	for (unsigned int i = 0; i < OB_BAR_COUNT; i++) {
		struct vfio_region *r = &vd->bar[i];

		for (unsigned int k = 0; k < r->nr_pieces; k++)
			if (r->piece[k].map)
				replace(vd, r->piece[k].map, page_up(r->piece[k].size));
		__atomic_store_n(&vd->dev->bar[i].map, NULL, __ATOMIC_RELEASE);
	}
}

void vfio_regions_close(struct vfio_device *vd)
{
	for (unsigned int i = 0; i < OB_BAR_COUNT; i++) {
		struct vfio_region *r = &vd->bar[i];

		for (unsigned int k = 0; k < r->nr_pieces; k++)
			if (r->piece[k].map)
				munmap(r->piece[k].map, page_up(r->piece[k].size));
		r->nr_pieces = 0;
		vd->dev->bar[i].map = NULL;
	}
	vd->msix_table = NULL;
	if (vd->ones_fd >= 0)
		close(vd->ones_fd);
	vd->ones_fd = -1;
}
