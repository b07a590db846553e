/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The backend for machines without an IOMMU: a function that uio_pci_generic holds (Documentation/driver-api/
 * uio-howto.rst, "Generic PCI UIO driver"). Registers by mapping sysfs's resourceN, configuration space by its
 * file `config`, INTx by reading /dev/uioN, DMA by physical addresses. Nothing confines the device:
 * docs/uio.md.
 */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <unistd.h>

#include <linux/netlink.h>

#include "access/access_private.h"
#include "access/threads.h"
#include "access/uio/uio.h"

#define DRIVER "uio_pci_generic"

/* Configuration space [PCI 3.0, 6.2.2]. */
enum {
	PCI_COMMAND = 4,
	PCI_STATUS = 6,
	COMMAND_IO = 1 << 0,
	COMMAND_MEMORY = 1 << 1,
	COMMAND_MASTER = 1 << 2,
	COMMAND_INTX_OFF = 1 << 10,
	PCI_INTERRUPT_PIN = 0x3d,
	CLASS_IDE = 0x0101, /* appendix D */
};

#define ARENA_DEFAULT (64ull << 20)
#define ARENA_LEAST   (1ull << 20)

/**
 * struct uio_device - one function
 * @fn: as sysfs told at open
 * @uio_fd: /dev/uioN; as long as it is open the kernel's driver holds the function, and when it closes, for
 *	whatever reason, uio_pci_generic switches bus mastering off
 * @mapped: of a BAR: the mapping, whole pages
 * @lock: over vector 0, intx_on and the command register
 * @intx_on: interrupts are delivered
 */
struct uio_device {
	struct ob_device *dev;
	struct sysfs_function fn;
	int uio_number;
	int uio_fd, config_fd, uevent_fd, stop_fd;
	int resource_fd[OB_BAR_COUNT];
	struct {
		void *at;
		size_t len;
	} mapped[OB_BAR_COUNT];
	int port_claim[OB_PORT_RANGES];
	unsigned int nr_port_claims;
	bool has_intx;
	pthread_mutex_t lock;
	bool intx_on;
	uint32_t seen; /* interrupts, as the kernel counts them */
	bool watching;
	pthread_t watcher;
	struct uio_memory memory;
	enum uio_pages pages;
	uint64_t arena_least;
	uint64_t syscalls;
};

static const char *uio_help(void)
{
	return "A PCI function of this machine, by its address, that uio_pci_generic holds\n"
	       "(outboard bind ADDRESS --driver uio_pci_generic). For machines without an IOMMU: root only, the\n"
	       "device reaches all memory, one interrupt (INTx).\n"
	       "\n"
	       "options:\n"
	       "  arena=SIZE         DMA memory of the device (default up to 64M)\n"
	       "  pages=auto|hugetlb|transparent|small\n"
	       "                     where its memory, which is one piece, comes from\n";
}

/* ---- configuration space ----------------------------------------------------------------------- */

static void lost(struct uio_device *ud)
{
	/* Accessors without a map ask whether the device is gone; mappings stay until close. */
	for (unsigned int i = 0; i < OB_BAR_COUNT; i++)
		__atomic_store_n(&ud->dev->bar[i].map, NULL, __ATOMIC_RELAXED);
	ob_device_set_gone(ud->dev);
}

static int raw_config(struct uio_device *ud, bool write, unsigned int off, unsigned int size,
		      uint32_t *val)
{
	uint8_t b[4] = {0};
	struct iovec iov = {b, size};
	ssize_t n;

	ob_count(&ud->syscalls, 1);
	if (write) {
		for (unsigned int i = 0; i < size; i++)
			b[i] = (uint8_t)(*val >> (8 * i));
		n = pwrite(ud->config_fd, b, size, (off_t)off);
	} else {
		n = preadv2(ud->config_fd, &iov, 1, (off_t)off, 0);
		*val = 0;
		for (unsigned int i = 0; i < size; i++)
			*val |= (uint32_t)b[i] << (8 * i);
	}
	if (n == (ssize_t)size)
		return 0;
	/* sysfs takes the file away from under us when the function is removed. */
	if (n < 0 && errno == ENODEV)
		lost(ud);
	return n < 0 ? -errno : -ERANGE;
}

/*
 * INTx disable, under the lock. The kernel's interrupt handler sets it, too, in one step against our system calls but
 * not against two of them: between our reading and writing it may mask what we then unmask. That delivers a line
 * that is still asserted once more and loses nothing; other bits the kernel leaves alone while we are open. The whole
 * register is written because QEMU looks at the line only when its lower byte is (7.2, pci_default_write_config()).
 */
static int write_intx_off(struct uio_device *ud, bool off)
{
	uint32_t val;
	int ret = raw_config(ud, false, PCI_COMMAND, 2, &val);

	if (ret)
		return ret;
	val = off ? val | COMMAND_INTX_OFF : val & ~(uint32_t)COMMAND_INTX_OFF;
	return raw_config(ud, true, PCI_COMMAND, 2, &val);
}

/* A driver's write to the command register. Masking of INTx is not its business, as with VFIO. */
static int write_command(struct uio_device *ud, unsigned int off, unsigned int size, uint32_t val)
{
	unsigned int shift = 8 * (off - PCI_COMMAND),
		     bytes = off + size > PCI_STATUS ? PCI_STATUS - off : size;
	uint32_t keep = COMMAND_INTX_OFF | (uint32_t) ~(((1ull << (8 * bytes)) - 1) << shift);
	uint32_t now, status = val >> 16;
	int ret;

	pthread_mutex_lock(&ud->lock);
	ret = raw_config(ud, false, PCI_COMMAND, 2, &now);
	now = (now & keep) | (val << shift & ~keep & 0xffff);
	if (!ret)
		ret = raw_config(ud, true, PCI_COMMAND, 2, &now);
	pthread_mutex_unlock(&ud->lock);
	/* Bits of the status register are cleared by writing ones, so it is written only when meant. */
	if (!ret && size == 4)
		ret = raw_config(ud, true, PCI_STATUS, 2, &status);
	return ret;
}

static int uio_config(struct ob_device *dev, bool write, unsigned int off, unsigned int size,
		      uint32_t *val)
{
	struct uio_device *ud = dev->priv;
	int ret;

	if (write && off >= PCI_COMMAND && off < PCI_STATUS)
		return write_command(ud, off, size, *val);
	ret = raw_config(ud, write, off, size, val);
	if (!write && !ret && !off && size >= 2 && (*val & 0xffff) == 0xffff)
		lost(ud); /* no function has this vendor: it was pulled out */
	return ret;
}

static void uio_flush(struct ob_device *dev)
{
	uint32_t val;

	/* A read does not overtake posted writes on their way to the same function [PCI 3.0, 3.2.5]. */
	raw_config(dev->priv, false, 0, 4, &val);
}

/* ---- registers --------------------------------------------------------------------------------- */

static int map_memory(struct uio_device *ud, struct ob_bar *bar, struct ob_error *err)
{
	uint64_t page = (uint64_t)sysconf(_SC_PAGESIZE);
	/* sysfs maps whole pages; a small BAR may begin inside of one. */
	uint64_t in_page = bar->base & (page - 1);
	size_t len = (bar->size + in_page + page - 1) & ~(page - 1);
	int i = bar->index, ret;
	void *at;

	at = mmap(NULL, len, PROT_READ | PROT_WRITE, MAP_SHARED, ud->resource_fd[i], 0);
	if (at == MAP_FAILED) {
		ret = ob_error_set(err, -errno, "%s: BAR %d cannot be mapped: %s", ud->fn.name, i,
				   strerror(errno));
		if (errno == EINVAL || errno == EPERM || errno == EBUSY)
			ob_error_why(err, "something else of the kernel claims its registers "
					  "(see /proc/iomem)");
		return ret;
	}
	ud->mapped[i].at = at;
	ud->mapped[i].len = len;
	bar->map = (char *)at + in_page;
	return 0;
}

/* The BARs that the function has; legacy IDE's compatibility ports, which no register holds, are no BARs. */
static int setup_bars(struct uio_device *ud, struct ob_error *err)
{
	struct sysfs_range range[SYSFS_RANGES];
	int ret = sysfs_ranges("", ud->fn.name, range);

	if (ret)
		return ob_error_set(err, ret, "%s: its BARs cannot be read: %s", ud->fn.name,
				    strerror(-ret));
	for (int i = 0; i < OB_BAR_COUNT; i++) {
		struct ob_bar *bar = &ud->dev->bar[i];
		char path[128];
		uint32_t reg;

		bar->dev = ud->dev;
		bar->index = i;
		if (!range[i].size)
			continue;
		if (range[i].io && (raw_config(ud, false, 0x10 + 4 * (unsigned int)i, 4, &reg) ||
				    (reg & ~3u) != range[i].start))
			continue;
		bar->kind = range[i].io ? OB_BAR_IO : OB_BAR_MEM;
		bar->base = range[i].start;
		bar->size = range[i].size;
		if (bar->kind == OB_BAR_IO && bar->base + bar->size > 0x10000) {
			bar->kind = OB_BAR_NONE;
			continue;
		}
		if (bar->kind == OB_BAR_IO)
			uio_ports_open(bar->base, bar->size); /* else by_file() */
		snprintf(path, sizeof(path), "/sys/bus/pci/devices/%s/resource%d", ud->fn.name, i);
		ud->resource_fd[i] = open(path, O_RDWR | O_CLOEXEC);
		if (ud->resource_fd[i] < 0)
			return ob_error_set(err, -errno, "%s: BAR %d cannot be opened (%s): %s",
					    ud->fn.name, i, path, strerror(errno));
		if (bar->kind == OB_BAR_MEM) {
			ret = map_memory(ud, bar, err);
			if (ret)
				return ret;
		}
	}
	return 0;
}

/* Ports of a BAR without the right to use them ourselves: a system call for each access. */
static bool by_file(const struct ob_bar *bar)
{
	return bar->kind == OB_BAR_IO && bar->index >= 0 && uio_ports_allow(bar->base, bar->size);
}

static uint64_t uio_read(const struct ob_bar *bar, uint64_t off, unsigned int size)
{
	struct uio_device *ud = bar->dev->priv;
	uint64_t val = 0;
	struct iovec iov = {&val, size};

	if (bar->kind != OB_BAR_IO || size > 4)
		return UINT64_MAX; /* memory is mapped, or was until the device went */
	if (by_file(bar)) {
		ob_count(&ud->syscalls, 1);
		if (preadv2(ud->resource_fd[bar->index], &iov, 1, (off_t)off, 0) != (ssize_t)size)
			return UINT64_MAX;
		return le64toh(val);
	}
	if (bar->index < 0 && uio_ports_allow(bar->base, bar->size))
		return UINT64_MAX;
	return uio_ports_read(bar->base + off, size);
}

static void uio_write(const struct ob_bar *bar, uint64_t off, unsigned int size, uint64_t val)
{
	struct uio_device *ud = bar->dev->priv;

	if (bar->kind != OB_BAR_IO || size > 4)
		return;
	if (by_file(bar)) {
		ob_count(&ud->syscalls, 1);
		val = htole64(val);
		if (pwrite(ud->resource_fd[bar->index], &val, size, (off_t)off) < 0 &&
		    errno == ENODEV)
			lost(ud);
		return;
	}
	if (bar->index < 0 && uio_ports_allow(bar->base, bar->size))
		return;
	uio_ports_write(bar->base + off, size, val);
}

static int uio_ports(struct ob_device *dev, uint16_t base, uint16_t count, struct ob_bar *bar,
		     struct ob_error *err)
{
	struct uio_device *ud = dev->priv;
	char name[32], owner[64];
	int ret, holder;

	/* A driver that is bound asks for what its device has had since it was opened, or since it was bound before. */
	for (unsigned int i = 0; i < dev->nr_ports; i++)
		if (dev->ports[i].base == base && dev->ports[i].size == count) {
			*bar = dev->ports[i];
			return 0;
		}
	if (uio_ports_owner("", ud->fn.name, base, count, owner)) {
		ret = ob_error_set(err, -EBUSY, "%s: ports 0x%x to 0x%x are in use", ud->fn.name,
				   base, base + count - 1);
		ob_error_why(err, "'%s' of the kernel has them (/proc/ioports)", owner);
		return ret;
	}
	ret = uio_ports_open(base, count);
	if (ret) {
		ob_error_set(err, ret, "%s: no access to ports 0x%x to 0x%x: %s", ud->fn.name, base,
			     base + count - 1, strerror(-ret));
		if (ret == -EPERM)
			ob_error_why(err, "that needs root (CAP_SYS_RAWIO) and a kernel that is "
					  "not locked down");
		return ret;
	}
	if (dev->nr_ports == OB_PORT_RANGES)
		return ob_error_set(err, -ENOSPC, "%s: more than %d ranges of ports", ud->fn.name,
				    OB_PORT_RANGES);
	snprintf(name, sizeof(name), "ports:0x%x", base);
	ret = ob_claim(name, &ud->port_claim[dev->nr_ports], &holder);
	if (ret) {
		ob_error_set(err, ret, "%s: ports 0x%x to 0x%x are in use", ud->fn.name, base,
			     base + count - 1);
		if (holder)
			ob_error_why(err, "process %d drives them", holder);
		return ret;
	}
	ud->nr_port_claims++;
	*bar = (struct ob_bar){
		.size = count,
		.kind = OB_BAR_IO,
		.index = -1,
		.dev = dev,
		.base = base,
	};
	dev->ports[dev->nr_ports++] = *bar;
	return 0;
}

/*
 * PCI IDE Controller Specification 1.0, 2.1 and 2.2: of the programming interface, bits 0 and 2 tell whether a channel has BARs. Else
 * its ports are fixed. They are claimed while that can be done: whoever drives the device may have no right to, later.
 */
static void claim_ide_ports(struct uio_device *ud)
{
	static const struct {
		uint8_t native;
		uint16_t command, control;
	} channels[] = {{1, 0x1f0, 0x3f6}, {4, 0x170, 0x376}};
	struct ob_error err = {0};
	struct ob_bar bar;

	if (ud->fn.class_code >> 8 != CLASS_IDE)
		return;
	for (unsigned int i = 0; i < sizeof(channels) / sizeof(channels[0]); i++)
		if (!(ud->fn.class_code & channels[i].native) &&
		    (uio_ports(ud->dev, channels[i].command, 8, &bar, &err) ||
		     uio_ports(ud->dev, channels[i].control, 1, &bar, &err)))
			ob_device_log(ud->dev, OB_LOG_INFO, "%s (%s)", err.what, err.why);
}

/* ---- interrupts and removal ---------------------------------------------------------------------- */

static unsigned int uio_irq_count(struct ob_device *dev, enum ob_irq_kind kind)
{
	const struct uio_device *ud = dev->priv;

	/* uio_pci_generic never asks the kernel for messages. */
	return kind == OB_IRQ_INTX && ud->has_intx ? 1 : 0;
}

/*
 * One read gives the number of interrupts since the file's beginning, in 32 bits. uio_pci_generic has set
 * INTx disable at each, and whoever serves the device clears it again by unmasking.
 */
static void take_interrupt(struct uio_device *ud)
{
	uint64_t fresh;
	uint32_t now;
	ssize_t n;

	pthread_mutex_lock(&ud->lock);
	n = read(ud->uio_fd, &now, sizeof(now));
	ob_count(&ud->syscalls, 1);
	if (n == sizeof(now)) {
		fresh = (uint32_t)(now - ud->seen);
		ud->seen = now;
		if (fresh && ud->intx_on) {
			ob_count(&ud->syscalls, 1);
			/* It only fails when its 64 bits are full, and then it is readable. */
			if (write(ud->dev->vector[0].fd, &fresh, sizeof(fresh)) < 0)
				fresh = 0;
		}
	}
	pthread_mutex_unlock(&ud->lock);
	if (n < 0 && (errno == EIO || errno == ENODEV))
		lost(ud); /* unbound from uio_pci_generic, or removed */
}

/* "remove@/devices/pci0000:00/0000:00:05.0", then NAME=value strings, each ended by NUL. */
static void take_uevent(struct uio_device *ud)
{
	char text[4096], want[32];
	struct sockaddr_nl from = {0};
	socklen_t from_len = sizeof(from);
	bool gone = false, ours = false;
	ssize_t n;

	n = recvfrom(ud->uevent_fd, text, sizeof(text) - 1, MSG_DONTWAIT, (struct sockaddr *)&from,
		     &from_len);
	/* Only the kernel's own word counts; any process may send to a netlink socket. */
	if (n <= 0 || from.nl_pid)
		return;
	text[n] = '\0';
	snprintf(want, sizeof(want), "PCI_SLOT_NAME=%s", ud->fn.name);
	for (const char *p = text; p < text + n; p += strlen(p) + 1) {
		gone |= !strcmp(p, "ACTION=remove") || !strcmp(p, "ACTION=unbind");
		ours |= !strcmp(p, want);
	}
	if (gone && ours)
		lost(ud);
}

static void *watch(void *arg)
{
	struct uio_device *ud = arg;
	struct pollfd pfd[3] = {
		{.fd = ud->stop_fd, .events = POLLIN},
		{.fd = ud->uevent_fd, .events = POLLIN},
		{.fd = ud->has_intx ? ud->uio_fd : -1, .events = POLLIN},
	};

	while (!ob_device_gone(ud->dev)) {
		if (poll(pfd, 3, -1) < 0)
			continue;
		if (pfd[0].revents)
			break;
		if (pfd[1].revents)
			take_uevent(ud);
		if (pfd[2].revents)
			take_interrupt(ud);
	}
	return NULL;
}

static int start_watching(struct uio_device *ud, struct ob_error *err)
{
	struct sockaddr_nl kernel = {.nl_family = AF_NETLINK, .nl_groups = 1};
	int ret;

	ud->stop_fd = eventfd(0, EFD_CLOEXEC);
	/* Without it (a container) a removal is noticed when the device is touched. */
	ud->uevent_fd = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_KOBJECT_UEVENT);
	if (ud->uevent_fd >= 0 && bind(ud->uevent_fd, (struct sockaddr *)&kernel, sizeof(kernel))) {
		close(ud->uevent_fd);
		ud->uevent_fd = -1;
	}
	ret = ud->stop_fd < 0 ? -EMFILE : ob_thread_start(&ud->watcher, watch, ud);
	if (ret)
		return ob_error_set(err, ret, "%s: cannot start the thread of its interrupt: %s",
				    ud->fn.name, strerror(-ret));
	ud->watching = true;
	return 0;
}

static void stop_watching(struct uio_device *ud)
{
	const uint64_t one = 1;

	/* A fresh eventfd takes a 1 without blocking. */
	if (ud->watching && write(ud->stop_fd, &one, sizeof(one)) == sizeof(one))
		pthread_join(ud->watcher, NULL);
	ud->watching = false;
}

static int uio_irq_enable(struct ob_device *dev, enum ob_irq_kind kind, unsigned int n,
			  struct ob_error *err)
{
	struct uio_device *ud = dev->priv;
	int ret = 0;

	pthread_mutex_lock(&ud->lock);
	if (dev->vector[0].fd < 0) {
		dev->vector[0].fd = eventfd(0, EFD_CLOEXEC);
		if (dev->vector[0].fd < 0)
			ret = -errno;
	}
	if (!ret) {
		ud->intx_on = true;
		ret = write_intx_off(ud, false);
		if (ret)
			ud->intx_on = false;
	}
	pthread_mutex_unlock(&ud->lock);
	if (ret)
		return ob_error_set(err, ret, "%s: INTx cannot be switched on: %s", ud->fn.name,
				    strerror(-ret));
	return 0;
}

static void uio_irq_disable(struct ob_device *dev)
{
	struct uio_device *ud = dev->priv;

	pthread_mutex_lock(&ud->lock);
	ud->intx_on = false;
	write_intx_off(ud, true);
	pthread_mutex_unlock(&ud->lock);
}

static int uio_irq_mask(struct ob_device *dev, unsigned int vec, bool mask)
{
	struct uio_device *ud = dev->priv;
	int ret = 0;

	pthread_mutex_lock(&ud->lock);
	/* Level triggered: a line that is still asserted interrupts again when the bit is cleared. */
	if (ud->intx_on)
		ret = write_intx_off(ud, mask);
	pthread_mutex_unlock(&ud->lock);
	return ret;
}

/* ---- DMA, reset ------------------------------------------------------------------------------------ */

/* Nothing translates, so other memory is bounced. */
static int uio_dma_map(struct ob_device *dev, void *va, uint64_t iova, size_t len,
		       unsigned int prot)
{
	return -EFAULT;
}

static int uio_dma_unmap(struct ob_device *dev, uint64_t iova, size_t len)
{
	return 0;
}

static int uio_arena_below(struct ob_device *dev, uint64_t last, struct ob_dma_window *window,
			   struct ob_error *err)
{
	struct uio_device *ud = dev->priv;
	struct uio_memory_want want = {
		.size = ud->memory.size,
		.min = ud->arena_least,
		.last = last,
		.pages = ud->pages,
	};
	struct uio_memory mem = {.ring_fd = -1};
	int ret = uio_memory_get(ud->fn.name, &want, &mem, err);

	if (ret)
		return ret == -ENOMEM ? -EIO : ret;
	uio_memory_put(&ud->memory);
	ud->memory = mem;
	window->base = mem.base;
	window->size = mem.size;
	window->iova = mem.phys;
	return 0;
}

/* The kernel puts configuration space back as it was, INTx disable included. -EOPNOTSUPP: it knows no way. */
static int function_reset(struct uio_device *ud)
{
	int ret;

	ob_count(&ud->syscalls, 1);
	ret = sysfs_write("", "1", "/sys/bus/pci/devices/%s/reset", ud->fn.name);
	return ret == -ENOENT || ret == -ENOTTY ? -EOPNOTSUPP : ret;
}

static int uio_reset(struct ob_device *dev, struct ob_error *err)
{
	struct uio_device *ud = dev->priv;
	int ret = function_reset(ud);

	if (ret == -EOPNOTSUPP)
		return ob_error_set(err, ret, "%s has no function reset", ud->fn.name);
	if (ret)
		return ob_error_set(err, ret, "%s: the function reset failed: %s", ud->fn.name,
				    strerror(-ret));
	return 0;
}

static void uio_stats(const struct ob_device *dev, struct ob_access_stats *stats)
{
	const struct uio_device *ud = dev->priv;

	stats->syscalls += __atomic_load_n(&ud->syscalls, __ATOMIC_RELAXED);
}

/* ---- open and close ---------------------------------------------------------------------------------- */

static void uio_close(struct ob_device *dev)
{
	struct uio_device *ud = dev->priv;

	if (!ud)
		return;
	stop_watching(ud);
	for (unsigned int i = 0; i < OB_BAR_COUNT; i++) {
		dev->bar[i].map = NULL;
		if (ud->mapped[i].at)
			munmap(ud->mapped[i].at, ud->mapped[i].len);
		if (ud->resource_fd[i] >= 0)
			close(ud->resource_fd[i]);
	}
	for (unsigned int i = 0; i < ud->nr_port_claims; i++)
		close(ud->port_claim[i]);
	if (ud->uio_fd >= 0)
		close(ud->uio_fd);
	/* The device has lost bus mastering: only now may its memory be anybody's. */
	uio_memory_put(&ud->memory);
	if (dev->vector[0].fd >= 0)
		close(dev->vector[0].fd);
	dev->vector[0].fd = -1;
	if (ud->config_fd >= 0)
		close(ud->config_fd);
	if (ud->uevent_fd >= 0)
		close(ud->uevent_fd);
	if (ud->stop_fd >= 0)
		close(ud->stop_fd);
	pthread_mutex_destroy(&ud->lock);
	free(ud);
	dev->priv = NULL;
}

static int read_options(struct uio_device *ud, struct ob_spec *spec, struct uio_memory_want *want,
			enum ob_dma_policy *policy, struct ob_error *err)
{
	static const char *const policies[] = {"pooled", "strict", "lazy", NULL};
	static const char *const pages[] = {"auto", "hugetlb", "transparent", "small", NULL};
	unsigned int kind = UIO_PAGES_AUTO, chosen = OB_DMA_POOLED;
	struct ob_spec plain;
	uint64_t arena = 0;
	int ret;

	ret = ob_spec_get_u64(&spec->device, "arena", 64 << 10, 64ull << 30, &arena, err);
	if (!ret)
		ret = ob_spec_get_choice(&spec->device, "pages", pages, &kind, err);
	/* Refused by the DMA layer where there is no IOMMU, with the reason. */
	if (!ret)
		ret = ob_spec_get_choice(&spec->device, "dma", policies, &chosen, err);
	if (ret)
		return ret;
	arena = (arena + 4095) & ~4095ull;
	*want = (struct uio_memory_want){
		.size = arena ? arena : ARENA_DEFAULT,
		.min = arena ? arena : ARENA_LEAST,
		.last = UINT64_MAX,
		.pages = (enum uio_pages)kind,
	};
	*policy = (enum ob_dma_policy)chosen;
	ud->pages = want->pages;
	ud->arena_least = want->min;
	/* Before anything is touched. */
	plain = *spec;
	plain.nr_wrappers = 0;
	return ob_spec_leftover(&plain, "see `outboard specs uio`", err);
}

static int not_ours(const struct uio_device *ud, struct ob_error *err)
{
	const struct sysfs_function *fn = &ud->fn;
	int ret;

	ret = ob_error_set(err, *fn->driver ? -EBUSY : -ENODEV, "%s is not held by " DRIVER,
			   fn->name);
	if (!strcmp(fn->driver, "vfio-pci")) {
		ob_error_why(err, "vfio-pci holds it, which is safer");
		ob_error_fix(err, "open it as vfio:%s", fn->name);
		return ret;
	}
	if (*fn->driver)
		ob_error_why(err, "the kernel's driver %s does", fn->driver);
	else
		ob_error_why(err, "no driver does");
	ob_error_fix(err, "sudo outboard bind %s --driver " DRIVER, fn->name);
	return ret;
}

/* A translating IOMMU would block DMA to physical addresses, and uio cannot program it. */
static int check_iommu(const struct uio_device *ud, struct ob_error *err)
{
	char type[16];
	int ret;

	sysfs_group_type("", ud->fn.group, type);
	if (ud->fn.group < 0 || !strcmp(type, "identity"))
		return 0;
	ret = ob_error_set(err, -EPERM, "%s: uio cannot drive it behind an IOMMU", ud->fn.name);
	ob_error_why(
		err,
		"group %d is translated (%s): addresses without a mapping are blocked, and uio "
		"has no way to map",
		ud->fn.group, *type ? type : "unknown type");
	ob_error_fix(err, "use the IOMMU: sudo outboard bind %s --driver vfio-pci, then vfio:%s",
		     ud->fn.name, ud->fn.name);
	return ret;
}

static int busy(const struct uio_device *ud, const char *node, int pid, struct ob_error *err)
{
	char comm[32] = "", seen[32];
	int ret = ob_error_set(err, -EBUSY, "%s is in use", ud->fn.name);

	if (!pid)
		pid = sysfs_holder("", node, comm);
	else if (sysfs_line(seen, sizeof(seen), "", "/proc/%d/comm", pid))
		snprintf(comm, sizeof(comm), "%s", seen);
	if (pid) {
		ob_error_why(err, "process %d (%s) has it open (%s)", pid, *comm ? comm : "?",
			     node);
		ob_error_fix(err, "stop it (`outboard stop %d` or `kill %d`)", pid, pid);
	} else {
		ob_error_why(err, "a process that is not to be seen from here has %s locked", node);
	}
	return ret;
}

static int open_node(struct uio_device *ud, struct ob_error *err)
{
	char path[128], comm[32];
	int ret, holder;
	pid_t pid;

	ud->uio_number = sysfs_uio_number("", ud->fn.name);
	snprintf(path, sizeof(path), "/dev/uio%d", ud->uio_number);
	if (ud->uio_number < 0)
		return ob_error_set(err, -ENODEV, "%s: " DRIVER " gives no /dev/uioN for it",
				    ud->fn.name);
	ret = ob_claim(ud->fn.name, &ud->dev->claim_fd, &holder);
	if (ret == -EBUSY)
		return busy(ud, path, holder, err);
	if (ret)
		return ob_error_set(err, ret, "%s cannot be claimed: %s", ud->fn.name,
				    strerror(-ret));
	/* Not only another Outboard: UIO itself lets anybody open a second time. */
	pid = sysfs_holder("", path, comm);
	if (pid)
		return busy(ud, path, pid, err);
	ud->uio_fd = open(path, O_RDWR | O_CLOEXEC | O_NONBLOCK);
	if (ud->uio_fd < 0) {
		ret = ob_error_set(err, -errno, "%s: %s cannot be opened: %s", ud->fn.name, path,
				   strerror(errno));
		if (ret == -EACCES || ret == -EPERM) {
			ob_error_why(err, "a device that no IOMMU confines is root's only");
			ob_error_fix(err, "run it with sudo");
		}
		return ret;
	}
	/* The claim is of this network namespace; the lock is of the node. */
	if (flock(ud->uio_fd, LOCK_EX | LOCK_NB))
		return busy(ud, path, 0, err);
	snprintf(path, sizeof(path), "/sys/bus/pci/devices/%s/config", ud->fn.name);
	ud->config_fd = open(path, O_RDWR | O_CLOEXEC);
	if (ud->config_fd < 0)
		return ob_error_set(err, -errno, "%s: %s cannot be opened: %s", ud->fn.name, path,
				    strerror(errno));
	return 0;
}

/*
 * What an earlier owner left: no DMA, no interrupt; then decoding on. Its death took bus mastering from it, but a transfer or a
 * ring may still be in the device, and would go on in memory that is somebody else's by now, once it may again. A function
 * reset makes it forget them, where the kernel knows one; else its driver has to (docs/uio.md).
 */
static int quiesce(struct uio_device *ud, struct ob_error *err)
{
	uint32_t command = 0, pin = 0;
	char count[32];
	int ret, reset;

	ret = raw_config(ud, false, PCI_COMMAND, 2, &command);
	if (!ret && command & COMMAND_MASTER)
		ob_device_log(ud->dev, OB_LOG_INFO, "bus mastering was still on");
	command &= ~(uint32_t)COMMAND_MASTER;
	command |= COMMAND_IO | COMMAND_MEMORY | COMMAND_INTX_OFF;
	if (!ret)
		ret = raw_config(ud, true, PCI_COMMAND, 2, &command);
	if (!ret) {
		reset = function_reset(ud);
		if (reset && reset != -EOPNOTSUPP)
			ob_device_log(ud->dev, OB_LOG_WARN, "the function reset at open failed: %s",
				      strerror(-reset));
		ret = raw_config(ud, false, PCI_INTERRUPT_PIN, 1, &pin);
	}
	if (ret)
		return ob_error_set(err, ret, "%s: its configuration space cannot be written: %s",
				    ud->fn.name, strerror(-ret));
	ud->has_intx = pin && ud->fn.irq;
	/* Interrupts of before are none of ours. A read gives the same number, but only once there is another. */
	if (sysfs_line(count, sizeof(count), "", "/sys/class/uio/uio%d/event", ud->uio_number))
		ud->seen = (uint32_t)strtoul(count, NULL, 10);
	return 0;
}

static int start_dma(struct uio_device *ud, const struct uio_memory_want *want,
		     enum ob_dma_policy policy, struct ob_error *err)
{
	struct ob_dma_window window = {.policy = policy};
	int ret = uio_memory_get(ud->fn.name, want, &ud->memory, err);

	if (ret)
		return ret;
	window.base = ud->memory.base;
	window.size = ud->memory.size;
	window.iova = ud->memory.phys;
	ob_device_log(ud->dev, OB_LOG_INFO,
		      "DMA arena of %" PRIu64 " KiB at physical 0x%" PRIx64 ", %s pages, %s",
		      ud->memory.size >> 10, ud->memory.phys, uio_pages_name(ud->memory.pages),
		      ud->memory.ring_fd >= 0 ? "pinned" : "locked");
	if (ud->memory.ring_fd < 0)
		ob_device_log(ud->dev, OB_LOG_WARN,
			      "its DMA memory is locked but not pinned, because io_uring is "
			      "switched off: set vm.compact_unevictable_allowed=0, or the kernel "
			      "may move it");
	return ob_dma_create(ud->dev, &window, err);
}

static void fill_info(struct uio_device *ud)
{
	struct ob_device_info *info = &ud->dev->info;
	const struct sysfs_function *fn = &ud->fn;

	snprintf(info->name, sizeof(info->name), "%s", fn->name);
	info->bdf = fn->bdf;
	info->vendor = fn->vendor;
	info->device = fn->device;
	info->subvendor = fn->subvendor;
	info->subdevice = fn->subdevice;
	info->class_code = fn->class_code;
	info->revision = fn->revision;
	info->iommu = false;
}

static int find_function(struct uio_device *ud, const struct ob_spec *spec, struct ob_error *err)
{
	char name[SYSFS_NAME];
	struct ob_bdf bdf;

	if (!sysfs_parse_bdf(spec->device.name, &bdf)) {
		ob_error_set(err, -EINVAL, "'%s' is no PCI address", spec->device.name);
		ob_error_fix(err, "write it like uio:0000:03:00.0 (`outboard devices` lists them)");
		return -EINVAL;
	}
	if (sysfs_function_read("", sysfs_bdf_name(&bdf, name), &ud->fn)) {
		ob_error_set(err, -ENODEV, "there is no PCI function %s", name);
		ob_error_fix(err, "`outboard devices` lists them");
		return -ENODEV;
	}
	if (sysfs_locked_down("")) {
		ob_error_set(err, -EPERM, "%s: the kernel is locked down", name);
		ob_error_why(err, "it gives registers to VFIO only (kernel_lockdown(7))");
		ob_error_fix(err, "sudo outboard bind %s --driver vfio-pci, then vfio:%s", name,
			     name);
		return -EPERM;
	}
	return 0;
}

static int open_one(struct ob_spec *spec, struct ob_device *dev, struct ob_error *err)
{
	struct uio_device *ud = calloc(1, sizeof(*ud));
	struct uio_memory_want want;
	enum ob_dma_policy policy;
	int ret;

	if (!ud)
		return ob_error_set(err, -ENOMEM, "%s: out of memory", spec->text);
	ud->dev = dev;
	ud->uio_fd = ud->config_fd = ud->uevent_fd = ud->stop_fd = ud->memory.ring_fd = -1;
	for (unsigned int i = 0; i < OB_BAR_COUNT; i++)
		ud->resource_fd[i] = -1;
	pthread_mutex_init(&ud->lock, NULL);
	dev->priv = ud;

	ret = read_options(ud, spec, &want, &policy, err);
	if (!ret)
		ret = find_function(ud, spec, err);
	if (!ret && strcmp(ud->fn.driver, DRIVER) != 0)
		ret = not_ours(ud, err);
	if (!ret)
		ret = check_iommu(ud, err);
	if (!ret)
		ret = open_node(ud, err);
	if (ret)
		return ret;
	fill_info(ud);
	ret = quiesce(ud, err);
	if (!ret)
		ret = setup_bars(ud, err);
	if (!ret)
		claim_ide_ports(ud);
	if (!ret)
		ret = start_dma(ud, &want, policy, err);
	if (!ret)
		ret = start_watching(ud, err);
	if (ret)
		return ret;
	ob_device_log(dev, OB_LOG_WARN,
		      "no IOMMU confines this device: a wrong address reaches any memory");
	ob_device_bus_master(dev, true);
	return 0;
}

static int uio_open(struct ob_spec *const *specs, unsigned int n, struct ob_device **devs,
		    struct ob_error *err)
{
	int ret = 0;

	for (unsigned int i = 0; i < n && !ret; i++)
		ret = open_one(specs[i], devs[i], err);
	if (!ret)
		return 0;
	for (unsigned int i = 0; i < n; i++) {
		struct uio_device *ud = devs[i]->priv;

		if (!ud)
			continue;
		if (ud->config_fd >= 0)
			ob_device_bus_master(devs[i], false);
		ob_dma_destroy(devs[i]);
		uio_close(devs[i]);
	}
	return ret;
}

const struct ob_access_ops ob_access_uio = {
	.name = "uio",
	.summary = "PCI devices without an IOMMU, by uio_pci_generic (root only)",
	.help = uio_help,
	.open = uio_open,
	.close = uio_close,
	.config = uio_config,
	.read = uio_read,
	.write = uio_write,
	.flush = uio_flush,
	.ports = uio_ports,
	.irq_count = uio_irq_count,
	.irq_enable = uio_irq_enable,
	.irq_disable = uio_irq_disable,
	.irq_mask = uio_irq_mask,
	.dma_map = uio_dma_map,
	.dma_unmap = uio_dma_unmap,
	.arena_below = uio_arena_below,
	.reset = uio_reset,
	.stats = uio_stats,
};
