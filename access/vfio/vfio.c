/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The backend vfio: devices of this machine behind an IOMMU. The kernel's VFIO confines a device's DMA to what is
 * mapped here and, when this process ends in whatever way, stops it and takes the mappings back. See docs/vfio.md.
 */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <linux/pci_regs.h>
#include <linux/vfio.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <unistd.h>

#include "access/vfio/vfio.h"

#define ARENA_DEFAULT (64ull << 20)
#define ARENA_MAX     (64ull << 30)

struct vfio_options {
	uint64_t arena;
	unsigned int dma;     /* enum ob_dma_policy */
	unsigned int iommufd; /* auto, on, off */
	uint64_t combine;     /* BAR, or OB_BAR_COUNT for none */
};

static const char *vfio_help(void)
{
	return "vfio:BDF, e.g. vfio:0000:03:00.0: a PCI device of this machine that is bound to vfio-pci\n"
	       "(`outboard bind BDF`; `outboard devices` lists devices)\n"
	       "  dma=pooled|strict|lazy  how its memory is mapped (pooled: once)\n"
	       "  arena=SIZE              its DMA memory (64M)\n"
	       "  iommufd=auto|on|off     by device node and iommufd, or by group and container\n"
	       "  wc=BAR                  map this prefetchable BAR write-combining (root)\n";
}

static int parse_options(struct ob_spec *spec, struct vfio_options *o, struct ob_error *err)
{
	static const char *const policies[] = {"pooled", "strict", "lazy", NULL};
	static const char *const iommufd[] = {"auto", "on", "off", NULL};
	struct ob_spec plain;
	int ret;

	*o = (struct vfio_options){.arena = ARENA_DEFAULT, .combine = OB_BAR_COUNT};
	ret = ob_spec_get_choice(&spec->device, "dma", policies, &o->dma, err);
	if (!ret)
		ret = ob_spec_get_u64(&spec->device, "arena", 4096, ARENA_MAX, &o->arena, err);
	if (!ret)
		ret = ob_spec_get_choice(&spec->device, "iommufd", iommufd, &o->iommufd, err);
	if (!ret)
		ret = ob_spec_get_u64(&spec->device, "wc", 0, OB_BAR_COUNT - 1, &o->combine, err);
	if (ret)
		return ret;
	/* An option that nobody took is told before a device is touched. */
	plain = *spec;
	plain.nr_wrappers = 0;
	return ob_spec_leftover(&plain, "dma, arena, iommufd, wc", err);
}

/* ---- open ----------------------------------------------------------------------------------- */

static struct vfio_device *device_alloc(struct ob_device *dev)
{
	struct vfio_device *vd = calloc(1, sizeof(*vd));

	if (!vd)
		return NULL;
	vd->dev = dev;
	vd->fd = vd->ones_fd = vd->kmsg_fd = -1;
	vd->request_fd = vd->error_fd = vd->stop_fd = vd->dead_fd = -1;
	pthread_mutex_init(&vd->lock, NULL);
	dev->priv = vd;
	return vd;
}

static struct vfio_space *space_alloc(const struct vfio_way *way, int group)
{
	struct vfio_space *s = calloc(1, sizeof(*s));

	if (!s)
		return NULL;
	s->way = way;
	s->group = group;
	s->container = s->group_fd = s->iommufd = -1;
	pthread_mutex_init(&s->lock, NULL);
	return s;
}

static void space_free(struct vfio_space *s)
{
	s->way->close_space(s);
	pthread_mutex_destroy(&s->lock);
	free(s);
}

static void space_put(struct vfio_space *s)
{
	bool last;

	pthread_mutex_lock(&s->lock);
	last = !--s->users;
	pthread_mutex_unlock(&s->lock);
	if (last)
		space_free(s);
}

static void vfio_close(struct ob_device *dev)
{
	struct vfio_device *vd = dev->priv;

	if (!vd)
		return;
	vfio_watch_stop(vd);
	vfio_regions_close(vd);
	if (vd->fd >= 0)
		close(vd->fd);
	vfio_vectors_close(vd);
	/* Unmapped by ob_dma_destroy(), as far as it was mapped. */
	if (vd->arena)
		munmap(vd->arena, vd->arena_size);
	if (vd->kmsg_fd >= 0)
		close(vd->kmsg_fd);
	if (vd->space)
		space_put(vd->space);
	pthread_mutex_destroy(&vd->lock);
	free(vd);
	dev->priv = NULL;
}

static int claim(struct vfio_device *vd, const char *text, struct ob_error *err)
{
	struct ob_device *dev = vd->dev;
	int pid, ret;

	ret = vfio_explain_function("", text, &vd->fn, err);
	if (ret)
		return ret;
	snprintf(dev->info.name, sizeof(dev->info.name), "vfio:%s", vd->fn.name);
	ret = ob_claim(vd->fn.name, &dev->claim_fd, &pid);
	if (ret == -EBUSY)
		return vfio_explain_holder(vd->fn.name, pid, err);
	if (ret)
		return ob_error_set(err, ret, "%s cannot be claimed: %s", dev->info.name,
				    strerror(-ret));
	return 0;
}

/* The group and container first: iommufd cannot be tried out with Debian's kernels. */
static const struct vfio_way *choose_way(const struct vfio_device *vd, unsigned int iommufd)
{
	char node[64];

	if (iommufd)
		return iommufd == 1 ? &vfio_way_iommufd : &vfio_way_group;
	snprintf(node, sizeof(node), "/dev/vfio/%d", vd->fn.group);
	return access(node, F_OK) && !access("/dev/iommu", F_OK) ? &vfio_way_iommufd
								 : &vfio_way_group;
}

static int setup_config(struct vfio_device *vd, struct ob_error *err)
{
	struct vfio_device_info info = {.argsz = sizeof(info)};
	struct ob_device_info *di = &vd->dev->info;
	int ret;

	if (ioctl(vd->fd, VFIO_DEVICE_GET_INFO, &info))
		return ob_error_set(err, -errno, "%s: VFIO does not describe the device: %s",
				    vd->fn.name, strerror(errno));
	if (!(info.flags & VFIO_DEVICE_FLAGS_PCI))
		return ob_error_set(err, -ENODEV, "%s is no PCI device to VFIO", vd->fn.name);
	vd->can_reset = info.flags & VFIO_DEVICE_FLAGS_RESET;
	ret = vfio_regions_open(vd, err);
	if (ret)
		return ret;
	di->bdf = vd->fn.bdf;
	di->vendor = (uint16_t)vfio_config_get(vd, PCI_VENDOR_ID, 2);
	di->device = (uint16_t)vfio_config_get(vd, PCI_DEVICE_ID, 2);
	di->subvendor = (uint16_t)vfio_config_get(vd, PCI_SUBSYSTEM_VENDOR_ID, 2);
	di->subdevice = (uint16_t)vfio_config_get(vd, PCI_SUBSYSTEM_ID, 2);
	di->class_code = vfio_config_get(vd, PCI_CLASS_REVISION, 4) >> 8;
	di->revision = (uint8_t)vfio_config_get(vd, PCI_REVISION_ID, 1);
	di->iommu = true;
	return 0;
}

/* Decoding on, bus mastering off until there is something mapped, full power. */
static void setup_command(struct vfio_device *vd)
{
	uint32_t command = vfio_config_get(vd, PCI_COMMAND, 2), power;

	for (unsigned int i = 0; i < OB_BAR_COUNT; i++) {
		if (vd->dev->bar[i].kind == OB_BAR_MEM)
			vd->command |= PCI_COMMAND_MEMORY;
		if (vd->dev->bar[i].kind == OB_BAR_IO)
			vd->command |= PCI_COMMAND_IO;
	}
	if (vd->pm) {
		power = vfio_config_get(vd, vd->pm + PCI_PM_CTRL, 2);
		if (power & PCI_PM_CTRL_STATE_MASK)
			vfio_config_put(vd, vd->pm + PCI_PM_CTRL, 2,
					power & ~(uint32_t)PCI_PM_CTRL_STATE_MASK);
	}
	command &= ~(uint32_t)PCI_COMMAND_MASTER;
	vfio_config_put(vd, PCI_COMMAND, 2, command | vd->command);
}

static int open_device(struct vfio_device *vd, struct vfio_space *s, const struct vfio_options *o,
		       struct ob_error *err)
{
	int ret;

	vd->space = s;
	s->users++;
	if (o->combine < OB_BAR_COUNT)
		vd->bar[o->combine].combine = true;
	ret = s->way->open_device(s, vd, err);
	if (!ret)
		ret = setup_config(vd, err);
	if (ret)
		return ret;
	setup_command(vd);
	vfio_vectors_open(vd);
	/* Not to be had without the right to read the kernel's log; then faults are not told. */
	vd->kmsg_fd = open("/dev/kmsg", O_RDONLY | O_NONBLOCK | O_CLOEXEC);
	if (vd->kmsg_fd >= 0)
		lseek(vd->kmsg_fd, 0, SEEK_END);
	return 0;
}

static int setup_dma(struct vfio_device *vd, unsigned int slices, const struct vfio_options *o,
		     struct ob_error *err)
{
	struct ob_dma_window w = {
		.translated = true,
		.fixed_rights = true,
		.policy = o->dma,
	};
	const char *name = vd->dev->info.name;
	struct vfio_lock_room room;
	int ret;

	vd->policy = o->dma;
	vd->arena_size = o->arena;
	ret = vfio_arena_create(&vd->arena_size, o->dma == OB_DMA_POOLED, &vd->arena);
	if (ret)
		return ob_error_set(err, ret, "%s: no memory for an arena of %" PRIu64 " bytes",
				    name, o->arena);
	w.base = vd->arena;
	w.size = vd->arena_size;
	if (o->dma == OB_DMA_POOLED) {
		vfio_lock_room(&room);
		ret = vfio_lock_check(&room, name, vd->arena_size, err);
		if (ret)
			return ret;
	}
	ret = vfio_iova_window(&vd->space->limits, vd->slice, slices, &w);
	if (ret)
		return ob_error_set(err, ret,
				    "%s: the IOMMU has no room for an arena of %" PRIu64 " bytes",
				    name, vd->arena_size);
	if (o->dma != OB_DMA_POOLED &&
	    vd->arena_size / (uint64_t)sysconf(_SC_PAGESIZE) > vd->space->limits.avail) {
		ob_error_set(err, -ENOSPC,
			     "%s: dma=%s may need %" PRIu64 " mappings, the kernel allows %u", name,
			     o->dma == OB_DMA_STRICT ? "strict" : "lazy", vd->arena_size >> 12,
			     vd->space->limits.avail);
		ob_error_why(
			err,
			"each page of the arena is a mapping of its own then; the limit is the module "
			"parameter vfio_iommu_type1.dma_entry_limit");
		ob_error_fix(err, "a smaller arena=, or dma=pooled");
		return -ENOSPC;
	}
	return ob_dma_create(vd->dev, &w, err);
}

/* Devices of one group: one address space, each a part of it. */
static int open_group(struct ob_spec *const *specs, const struct vfio_options *o, unsigned int n,
		      struct vfio_device **vds, struct ob_error *err)
{
	struct vfio_space *s;
	unsigned int i;
	int ret;

	for (i = 1; i < n; i++)
		if (o[i].iommufd != o[0].iommufd)
			return ob_error_set(
				err, -EINVAL,
				"'%s' and '%s' share an IOMMU group but differ in iommufd=",
				specs[0]->text, specs[i]->text);
	s = space_alloc(choose_way(vds[0], o[0].iommufd), vds[0]->fn.group);
	if (!s)
		return ob_error_set(err, -ENOMEM, "%s: out of memory", specs[0]->text);
	ret = s->way->open_space(s, &vds[0]->fn, err);
	if (ret) {
		space_free(s);
		return ret;
	}
	/* From the first device on they hold the space. */
	for (i = 0; i < n && !ret; i++) {
		vds[i]->slice = i;
		ret = open_device(vds[i], s, &o[i], err);
	}
	if (ret)
		return ret;
	ret = s->way->limits(s, &s->limits);
	if (ret)
		return ob_error_set(err, ret,
				    "%s: the kernel does not tell what the IOMMU can do: %s",
				    specs[0]->text, strerror(-ret));
	for (i = 0; i < n && !ret; i++)
		ret = setup_dma(vds[i], n, &o[i], err);
	for (i = 0; i < n && !ret; i++)
		ret = vfio_watch_start(vds[i], err);
	for (i = 0; i < n && !ret; i++) {
		vds[i]->dev->quiet = specs[i]->quiet;
		if (!specs[i]->quiet)
			ob_device_bus_master(vds[i]->dev, true);
	}
	return ret;
}

static int open_all(struct ob_spec *const *specs, const struct vfio_options *o, unsigned int n,
		    struct ob_device **devs, struct ob_error *err)
{
	bool done[OB_SPEC_OPTIONS] = {false};
	int ret;

	for (unsigned int i = 0; i < n; i++) {
		struct vfio_device *vd = device_alloc(devs[i]);

		if (!vd)
			return ob_error_set(err, -ENOMEM, "%s: out of memory", specs[i]->text);
		ret = claim(vd, specs[i]->device.name, err);
		if (ret)
			return ret;
	}
	for (unsigned int i = 0; i < n; i++) {
		struct vfio_device *group[VFIO_SPACE_DEVICES];
		struct vfio_options group_o[VFIO_SPACE_DEVICES];
		struct ob_spec *group_specs[VFIO_SPACE_DEVICES];
		const struct vfio_device *first = devs[i]->priv;
		unsigned int nr = 0;

		for (unsigned int k = i; k < n; k++) {
			struct vfio_device *vd = devs[k]->priv;

			if (done[k] || vd->fn.group != first->fn.group)
				continue;
			if (nr == VFIO_SPACE_DEVICES)
				return ob_error_set(err, -EINVAL,
						    "more than %d devices of IOMMU group %d",
						    VFIO_SPACE_DEVICES, first->fn.group);
			done[k] = true;
			group[nr] = vd;
			group_o[nr] = o[k];
			group_specs[nr++] = specs[k];
		}
		ret = nr ? open_group(group_specs, group_o, nr, group, err) : 0;
		if (ret)
			return ret;
	}
	return 0;
}

static int vfio_open(struct ob_spec *const *specs, unsigned int n, struct ob_device **devs,
		     struct ob_error *err)
{
	struct vfio_options o[OB_SPEC_OPTIONS];
	int ret = 0;

	for (unsigned int i = 0; i < n && !ret; i++)
		ret = parse_options(specs[i], &o[i], err);
	if (!ret)
		ret = open_all(specs, o, n, devs, err);
	for (unsigned int i = 0; ret && i < n; i++) {
		/* Bus mastering off before the memory goes, where it was on. */
		if (devs[i]->dma)
			ob_device_bus_master(devs[i], false);
		ob_dma_destroy(devs[i]);
		vfio_close(devs[i]);
	}
	return ret;
}

/* ---- configuration space, registers ----------------------------------------------------------- */

/*
 * Bits that a driver may not change: BARs are the kernel's; without decoding or power a mapped register would be a
 * SIGBUS (drivers/vfio/pci/vfio_pci_core.c, vfio_pci_mmap_fault()).
 */
static uint32_t allowed(const struct vfio_device *vd, unsigned int off, unsigned int size,
			uint32_t val)
{
	if (off <= PCI_COMMAND && off + size > PCI_COMMAND)
		val |= (uint32_t)vd->command << 8 * (PCI_COMMAND - off);
	if (vd->pm && off <= vd->pm + PCI_PM_CTRL && off + size > vd->pm + PCI_PM_CTRL)
		val &= ~((uint32_t)PCI_PM_CTRL_STATE_MASK << 8 * (vd->pm + PCI_PM_CTRL - off));
	return val;
}

static int vfio_config(struct ob_device *dev, bool write, unsigned int off, unsigned int size,
		       uint32_t *val)
{
	struct vfio_device *vd = dev->priv;

	if (off >= vd->config.size || size > vd->config.size - off)
		return -EINVAL;
	if (!write) {
		*val = vfio_config_get(vd, off, size);
		return 0;
	}
	if (off >= PCI_BASE_ADDRESS_0 && off < PCI_CARDBUS_CIS)
		return 0;
	pthread_mutex_lock(&vd->lock);
	vfio_config_put(vd, off, size, allowed(vd, off, size, *val));
	pthread_mutex_unlock(&vd->lock);
	return 0;
}

static uint64_t vfio_read(const struct ob_bar *bar, uint64_t off, unsigned int size)
{
	struct vfio_device *vd = bar->dev->priv;

	return vfio_region_read(vd, &vd->bar[bar->index], off, size);
}

static void vfio_write(const struct ob_bar *bar, uint64_t off, unsigned int size, uint64_t val)
{
	struct vfio_device *vd = bar->dev->priv;

	vfio_region_write(vd, &vd->bar[bar->index], off, size, val);
}

static void vfio_flush(struct ob_device *dev)
{
	struct vfio_device *vd = dev->priv;

	/* A read does not overtake writes (PCIe 3.0, 2.4.1); this register is the device's own, not the kernel's. */
	vfio_config_get(vd, PCI_STATUS, 2);
}

/* ---- DMA ---------------------------------------------------------------------------------------- */

/* What the library makes of it is "no memory", so the reason is told here, once. */
static void tell_locked(struct vfio_device *vd)
{
	struct vfio_lock_room room;

	if (__atomic_exchange_n(&vd->told_locked, 1, __ATOMIC_RELAXED))
		return;
	vfio_lock_room(&room);
	if (!room.unlimited)
		ob_device_log(vd->dev, OB_LOG_WARN,
			      "DMA: no more locked memory: %" PRIu64 " of %" PRIu64
			      " KiB are in use (RLIMIT_MEMLOCK, `ulimit -l`)",
			      room.used >> 10, room.limit >> 10);
}

static int map_one(struct vfio_device *vd, char *va, uint64_t iova, uint64_t len, unsigned int prot)
{
	int ret = vd->space->way->map(vd->space, va, iova, len, prot);

	vfio_count(vd);
	switch (ret) {
	case -ENOMEM:
		tell_locked(vd);
		return ret;
	case 0:
	case -ENOSPC: /* the container's entry limit */
	case -ENODEV:
		return ret;
	case -EEXIST:
		/* Never to be passed over: the device would reach other memory than we believe. */
		ob_device_log(vd->dev, OB_LOG_ERROR,
			      "DMA: the kernel has a mapping at iova 0x%" PRIx64
			      " that we do not know of",
			      iova);
		return ret;
	default:
		return -EFAULT; /* memory that cannot be pinned, or not with these rights */
	}
}

static int unmap_one(struct vfio_device *vd, uint64_t iova, uint64_t len)
{
	uint64_t done = 0;
	int ret = vd->space->way->unmap(vd->space, iova, len, &done);

	vfio_count(vd);
	/* spdk#1705: success with nothing unmapped, and the next map hit the old memory. */
	if (!ret && done != len) {
		ob_device_log(vd->dev, OB_LOG_ERROR,
			      "DMA: %" PRIu64 " of %" PRIu64 " bytes at iova 0x%" PRIx64
			      " were unmapped",
			      done, len, iova);
		ret = -EIO;
	}
	return ret;
}

/*
 * The kernel unmaps mappings as they were made, never a part of one. So arena pages that come and go each on its
 * own are mapped each on its own.
 */
static int vfio_dma_map(struct ob_device *dev, void *va, uint64_t iova, size_t len,
			unsigned int prot)
{
	struct vfio_device *vd = dev->priv;
	size_t page = (size_t)sysconf(_SC_PAGESIZE), off;
	bool arena = (char *)va >= vd->arena && (char *)va < vd->arena + vd->arena_size;
	int ret = 0;

	if (ob_device_gone(dev))
		return -ENODEV;
	if (!arena || vd->policy == OB_DMA_POOLED)
		return map_one(vd, va, iova, len, prot);
	for (off = 0; off < len && !ret; off += page)
		ret = map_one(vd, (char *)va + off, iova + off, page, prot);
	if (ret && off > page)
		unmap_one(vd, iova, off - page);
	return ret;
}

static int vfio_dma_unmap(struct ob_device *dev, uint64_t iova, size_t len)
{
	struct vfio_device *vd = dev->priv;
	int ret;

	/* Of a device that is gone, too, so that its memory is no longer pinned; but then nobody minds. */
	if (ob_device_gone(dev)) {
		uint64_t done;

		vd->space->way->unmap(vd->space, iova, len, &done);
		return -ENODEV;
	}
	ret = unmap_one(vd, iova, len);
	return ret && ob_device_gone(dev) ? -ENODEV : ret;
}

static void vfio_stats(const struct ob_device *dev, struct ob_access_stats *stats)
{
	const struct vfio_device *vd = dev->priv;

	stats->syscalls += __atomic_load_n(&vd->syscalls, __ATOMIC_RELAXED);
}

const struct ob_access_ops ob_access_vfio = {
	.name = "vfio",
	.summary = "PCI devices of this machine, confined by its IOMMU",
	.help = vfio_help,
	.open = vfio_open,
	.close = vfio_close,
	.config = vfio_config,
	.read = vfio_read,
	.write = vfio_write,
	.flush = vfio_flush,
	.irq_count = vfio_irq_count,
	.irq_enable = vfio_irq_enable,
	.irq_disable = vfio_irq_disable,
	.irq_mask = vfio_irq_mask,
	.dma_map = vfio_dma_map,
	.dma_unmap = vfio_dma_unmap,
	.reset = vfio_reset,
	.faults = vfio_faults,
	.stats = vfio_stats,
};
