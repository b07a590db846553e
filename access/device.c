/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Devices: opening through a backend and its wrappers, and the calls that every backend shares.
 * A wrapper's device that does not fill an operation forwards to the device below it.
 */
#include <errno.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <time.h>
#include <unistd.h>

#include "access/access_private.h"
#include "access/faultpoint.h"
#include "access/sysfs.h"

static const struct ob_access_ops *const backends[] = {
	&ob_access_qemu, &ob_access_uio, &ob_access_vfio, &ob_access_fuzz, &ob_access_replay, NULL,
};

static const struct ob_wrapper_ops *const wrappers[] = {
	&ob_wrapper_fault,
	&ob_wrapper_record,
	NULL,
};

const struct ob_access_ops *const *ob_backends(void)
{
	return backends;
}

const struct ob_wrapper_ops *const *ob_wrappers(void)
{
	return wrappers;
}

/* ---- log ------------------------------------------------------------------------- */

static void log_to_stderr(void *arg, enum ob_log_level level, const char *line)
{
	static const char *const names[] = {"error", "warning", "info", "debug"};
	const char *want = getenv("OUTBOARD_LOG");
	enum ob_log_level limit = OB_LOG_WARN;

	for (unsigned int i = 0; want && i < 4; i++)
		if (!strcmp(want, names[i]))
			limit = i;
	if (level <= limit)
		fprintf(stderr, "outboard: %s: %s\n", names[level], line);
}

void ob_device_set_log(struct ob_device *dev, ob_log_fn fn, void *arg)
{
	for (; dev; dev = dev->lower) {
		dev->log = fn ? fn : log_to_stderr;
		dev->log_arg = arg;
	}
}

void ob_device_log(struct ob_device *dev, enum ob_log_level level, const char *fmt, ...)
{
	char line[512];
	va_list ap;
	int n;

	n = snprintf(line, sizeof(line), "%s: ", dev->info.name);
	va_start(ap, fmt);
	vsnprintf(line + n, sizeof(line) - (size_t)n, fmt, ap);
	va_end(ap);
	dev->log(dev->log_arg, level, line);
}

/* ---- open and close ---------------------------------------------------------------- */

static const struct ob_access_ops *find_backend(const struct ob_spec *spec, struct ob_error *err)
{
	char list[128] = "";

	if (!spec->backend[strspn(spec->backend, "0123456789abcdefABCDEF")]) {
		ob_error_set(err, -EINVAL, "'%s' is not the address of a PCI device", spec->text);
		ob_error_fix(err, "write it like 0000:03:00.0; `outboard devices` lists them");
		return NULL;
	}
	for (unsigned int i = 0; backends[i]; i++) {
		if (!strcmp(backends[i]->name, spec->backend))
			return backends[i];
		snprintf(list + strlen(list), sizeof(list) - strlen(list), "%s%s", i ? ", " : "",
			 backends[i]->name);
	}
	ob_error_set(err, -EINVAL, "device specification '%s': there is no backend '%s'",
		     spec->text, spec->backend);
	ob_error_fix(err, "backends of this build: %s", list);
	return NULL;
}

/*
 * An address without a backend gets the safest that the system has: VFIO where an IOMMU confines the device, else UIO.
 * Nobody is moved from one to the other: VFIO tells what stands in its way.
 */
static int choose_backend(struct ob_spec *spec, struct ob_error *err)
{
	struct sysfs_function fn;
	char name[SYSFS_NAME];
	struct ob_bdf bdf;

	if (spec->backend[0])
		return 0;
	if (!sysfs_parse_bdf(spec->device.name, &bdf) ||
	    sysfs_function_read("", sysfs_bdf_name(&bdf, name), &fn)) {
		ob_error_set(err, -ENODEV, "there is no PCI device %s", spec->device.name);
		ob_error_fix(err, "`outboard devices` lists those that there are");
		return -ENODEV;
	}
	spec->backend = fn.group >= 0 ? ob_access_vfio.name : ob_access_uio.name;
	return 0;
}

static const struct ob_wrapper_ops *find_wrapper(const struct ob_spec *spec, const char *name,
						 struct ob_error *err)
{
	char list[128] = "";

	for (unsigned int i = 0; wrappers[i]; i++) {
		if (!strcmp(wrappers[i]->name, name))
			return wrappers[i];
		snprintf(list + strlen(list), sizeof(list) - strlen(list), "%s%s", i ? ", " : "",
			 wrappers[i]->name);
	}
	ob_error_set(err, -EINVAL, "device specification '%s': there is no wrapper '%s'",
		     spec->text, name);
	ob_error_fix(err, "wrappers of this build: %s", list);
	return NULL;
}

static struct ob_device *device_alloc(void)
{
	struct ob_device *dev = calloc(1, sizeof(*dev));
	pthread_mutex_t *lock;

	if (!dev)
		return NULL;
	lock = malloc(sizeof(*lock));
	if (!lock) {
		free(dev);
		return NULL;
	}
	pthread_mutex_init(lock, NULL);
	dev->sync = lock;
	dev->log = log_to_stderr;
	dev->claim_fd = -1;
	for (unsigned int i = 0; i < OB_IRQ_VECTORS; i++)
		dev->vector[i].fd = -1;
	dev->removal_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (dev->removal_fd < 0) {
		free(lock);
		free(dev);
		return NULL;
	}
	return dev;
}

static void device_free(struct ob_device *dev)
{
	if (!dev)
		return;
	close(dev->removal_fd);
	if (dev->claim_fd >= 0)
		close(dev->claim_fd);
	pthread_mutex_destroy(dev->sync);
	free(dev->sync);
	free(dev);
}

/* Put one wrapper around *dev. */
static int wrap(const struct ob_wrapper_ops *ops, struct ob_spec_part *part, struct ob_device **dev,
		struct ob_error *err)
{
	struct ob_device *upper = device_alloc(), *lower = *dev;
	int ret;

	if (!upper)
		return ob_error_set(err, -ENOMEM, "%s: out of memory", lower->info.name);
	upper->lower = lower;
	upper->info = lower->info;
	upper->dma = lower->dma;
	upper->log = lower->log;
	upper->log_arg = lower->log_arg;
	upper->info.backend = ops->name;
	snprintf(upper->info.name, sizeof(upper->info.name), "%.20s:%.42s", ops->name,
		 lower->info.name);
	for (unsigned int i = 0; i < OB_BAR_COUNT; i++) {
		upper->bar[i] = lower->bar[i];
		upper->bar[i].map = NULL;
		upper->bar[i].dev = upper;
		upper->bar[i].priv = &lower->bar[i];
	}
	ret = ops->wrap(part, upper, err);
	if (ret) {
		device_free(upper);
		return ret;
	}
	*dev = upper;
	return 0;
}

static void name_device(struct ob_device *dev, const struct ob_spec *spec)
{
	snprintf(dev->info.spec, sizeof(dev->info.spec), "%s", spec->text);
	snprintf(dev->info.name, sizeof(dev->info.name), "%s:%.40s", spec->backend,
		 spec->device.name);
}

static int open_group(struct ob_spec *specs, unsigned int n, struct ob_device **devs,
		      struct ob_error *err)
{
	const struct ob_access_ops *ops = find_backend(&specs[0], err);
	struct ob_spec *group[OB_SPEC_OPTIONS] = {NULL};
	struct ob_device *opened[OB_SPEC_OPTIONS] = {NULL};
	unsigned int i, w;
	int ret = -ENOMEM;

	if (!ops)
		return -EINVAL;
	for (i = 0; i < n; i++) {
		group[i] = &specs[i];
		opened[i] = device_alloc();
		if (!opened[i]) {
			ob_error_set(err, ret, "%s: out of memory or descriptors", specs[i].text);
			goto free;
		}
		opened[i]->ops = ops;
		name_device(opened[i], &specs[i]);
		opened[i]->info.backend = ops->name;
	}
	/* Wrappers that do not exist are found before anything is started. */
	for (i = 0; i < n; i++)
		for (w = 0; w < specs[i].nr_wrappers; w++)
			if (!find_wrapper(&specs[i], specs[i].wrapper[w].name, err)) {
				ret = -EINVAL;
				goto free;
			}
	ret = ops->open(group, n, opened, err);
	if (ret)
		goto free;
	for (i = 0; i < n && !ret; i++) {
		/* The innermost wrapper is the last one written. */
		for (w = specs[i].nr_wrappers; w > 0 && !ret; w--) {
			struct ob_spec_part *part = &specs[i].wrapper[w - 1];

			ret = wrap(find_wrapper(&specs[i], part->name, NULL), part, &opened[i],
				   err);
		}
		if (!ret)
			ret = ob_spec_leftover(&specs[i], NULL, err);
	}
	if (ret) {
		for (i = 0; i < n; i++)
			ob_device_close(opened[i]);
		return ret;
	}
	memcpy(devs, opened, n * sizeof(*devs));
	return 0;
free:
	for (i = 0; i < n; i++)
		device_free(opened[i]);
	return ret;
}

static int parse_specs(const char *const *specs, unsigned int n, bool quiet,
		       struct ob_spec **parsed, struct ob_error *err)
{
	struct ob_spec *all;
	int ret = 0;

	if (!n || n > OB_SPEC_OPTIONS)
		return ob_error_set(err, -EINVAL, "1 to %d devices can be opened at once, not %u",
				    OB_SPEC_OPTIONS, n);
	all = calloc(n, sizeof(*all));
	if (!all)
		return ob_error_set(err, -ENOMEM, "out of memory");
	for (unsigned int i = 0; i < n && !ret; i++) {
		ret = ob_spec_parse(specs[i], &all[i], err);
		all[i].quiet = quiet;
		if (!ret)
			ret = choose_backend(&all[i], err);
		if (!ret && i && strcmp(all[i].backend, all[0].backend))
			ret = ob_error_set(err, -EINVAL,
					   "'%s' and '%s' cannot be opened together: they have "
					   "different backends",
					   specs[0], specs[i]);
	}
	if (ret)
		free(all);
	else
		*parsed = all;
	return ret;
}

static int open_devices(const char *const *specs, unsigned int n, bool quiet,
			struct ob_device **devs, struct ob_error *err)
{
	struct ob_spec *parsed;
	int ret = ob_fault_points_environment(err);

	if (!ret)
		ret = parse_specs(specs, n, quiet, &parsed, err);
	if (ret)
		return ret;
	ret = OB_FAULT_ERROR("device.open");
	if (ret)
		ob_error_set(err, ret, "'%s' cannot be opened: a fault point", specs[0]);
	else
		ret = open_group(parsed, n, devs, err);
	free(parsed);
	OB_FAULT_POINT("device.opened");
	return ret;
}

/* ---- hold ------------------------------------------------------------------------- */

/* Of the specifications that were held: what a backend remembers may point to them. */
static struct ob_device *held_devices[OB_SPEC_OPTIONS];

int ob_devices_hold(const char *const *specs, unsigned int n, struct ob_error *err)
{
	struct ob_spec *parsed, *group[OB_SPEC_OPTIONS];
	const struct ob_access_ops *ops = NULL;
	int ret = ob_fault_points_environment(err);

	/* Armed here, they count in all driver processes together. */
	if (!ret)
		ret = parse_specs(specs, n, true, &parsed, err);
	if (ret)
		return ret;
	ops = find_backend(&parsed[0], err);
	if (!ops)
		ret = -EINVAL;
	for (unsigned int i = 0; i < n && !ret && ops->hold; i++) {
		group[i] = &parsed[i];
		held_devices[i] = device_alloc();
		if (!held_devices[i])
			ret = ob_error_set(err, -ENOMEM, "%s: out of memory", specs[i]);
		else
			name_device(held_devices[i], &parsed[i]);
	}
	if (!ret && ops->hold)
		ret = ops->hold(group, n, held_devices, err);
	if (ret)
		ob_devices_release();
	free(parsed);
	return ret;
}

unsigned int ob_devices_held_list(int *fds, unsigned int max)
{
	unsigned int n = 0;

	for (unsigned int i = 0; backends[i]; i++)
		if (backends[i]->held)
			n += backends[i]->held(fds + n, max - n);
	return n;
}

int ob_devices_held_gone(struct ob_error *err)
{
	int ret = 0;

	for (unsigned int i = 0; backends[i] && !ret; i++)
		if (backends[i]->held_gone)
			ret = backends[i]->held_gone(err);
	return ret;
}

void ob_devices_release(void)
{
	for (unsigned int i = 0; backends[i]; i++)
		if (backends[i]->release)
			backends[i]->release();
	for (unsigned int i = 0; i < OB_SPEC_OPTIONS; i++) {
		device_free(held_devices[i]);
		held_devices[i] = NULL;
	}
}

int ob_devices_open(const char *const *specs, unsigned int n, struct ob_device **devs,
		    struct ob_error *err)
{
	return open_devices(specs, n, false, devs, err);
}

int ob_devices_open_quiet(const char *const *specs, unsigned int n, struct ob_device **devs,
			  struct ob_error *err)
{
	return open_devices(specs, n, true, devs, err);
}

int ob_device_open(const char *spec, struct ob_device **dev, struct ob_error *err)
{
	return ob_devices_open(&spec, 1, dev, err);
}

void ob_device_close(struct ob_device *dev)
{
	struct ob_device *lower;

	if (dev)
		OB_FAULT_POINT("device.close");
	for (; dev; dev = lower) {
		lower = dev->lower;
		ob_irq_close_all(dev);
		if (!lower) {
			if (!ob_device_gone(dev)) {
				ob_irq_disable(dev);
				ob_device_bus_master(dev, false);
			}
			if (dev->dma)
				ob_dma_destroy(dev);
		}
		if (dev->ops->close)
			dev->ops->close(dev);
		device_free(dev);
	}
}

const struct ob_device_info *ob_device_info(const struct ob_device *dev)
{
	return &dev->info;
}

struct ob_dma *ob_device_dma(struct ob_device *dev)
{
	return dev->dma;
}

/* ---- configuration space ----------------------------------------------------------- */

static uint32_t ones(unsigned int size)
{
	return size >= 4 ? UINT32_MAX : (1u << (size * 8)) - 1;
}

static bool config_range(unsigned int off, unsigned int size)
{
	return (size == 1 || size == 2 || size == 4) && off < 4096 && !(off & (size - 1));
}

uint32_t ob_config_read(struct ob_device *dev, unsigned int off, unsigned int size)
{
	uint32_t val = 0;

	if (!config_range(off, size) || ob_device_gone(dev))
		return ones(size);
	if (!dev->ops->config)
		return ob_config_read(dev->lower, off, size);
	ob_count(&dev->stats.config, 1);
	if (dev->ops->config(dev, false, off, size, &val))
		return ones(size);
	return val & ones(size);
}

void ob_config_write(struct ob_device *dev, unsigned int off, unsigned int size, uint32_t val)
{
	if (!config_range(off, size) || ob_device_gone(dev))
		return;
	if (!dev->ops->config) {
		ob_config_write(dev->lower, off, size, val);
		return;
	}
	ob_count(&dev->stats.config, 1);
	val &= ones(size);
	dev->ops->config(dev, true, off, size, &val);
}

unsigned int ob_pci_capability(struct ob_device *dev, uint8_t id)
{
	unsigned int off, n;

	if (!(ob_config_read(dev, 0x06, 2) & 0x10)) /* status: capabilities list */
		return 0;
	off = ob_config_read(dev, 0x34, 1) & 0xfc;
	/* 48 capabilities of 4 bytes fill 0x40-0xff; a longer list loops. */
	for (n = 0; off >= 0x40 && n < 48; n++) {
		uint32_t head = ob_config_read(dev, off, 2);

		if ((head & 0xff) == id)
			return off;
		off = head >> 8 & 0xfc;
	}
	return 0;
}

unsigned int ob_pci_ext_capability(struct ob_device *dev, uint16_t id)
{
	unsigned int off = 0x100, n;

	for (n = 0; off >= 0x100 && n < (4096 - 0x100) / 8; n++) {
		uint32_t head = ob_config_read(dev, off, 4);

		if (!head || head == UINT32_MAX)
			return 0;
		if ((head & 0xffff) == id)
			return off;
		off = head >> 20 & 0xffc;
	}
	return 0;
}

void ob_device_bus_master(struct ob_device *dev, bool on)
{
	uint32_t command = ob_config_read(dev, 0x04, 2);

	command = on ? command | 4 : command & ~4u; /* PCI 3.0, 6.2.2: bit 2 */
	ob_config_write(dev, 0x04, 2, command);
}

void ob_device_wake(struct ob_device *dev)
{
	/* At the device itself: it is none of the accesses that a wrapper counts. */
	while (dev->lower)
		dev = dev->lower;
	if (dev->quiet)
		ob_device_bus_master(dev, true);
	dev->quiet = false;
}

/* ---- registers ---------------------------------------------------------------------- */

struct ob_bar *ob_device_bar(struct ob_device *dev, unsigned int index)
{
	if (index >= OB_BAR_COUNT || dev->bar[index].kind == OB_BAR_NONE)
		return NULL;
	return &dev->bar[index];
}

const struct ob_bar *ob_lower_bar(const struct ob_bar *bar)
{
	return bar->priv;
}

uint64_t ob_lower_read(const struct ob_bar *bar, uint64_t off, unsigned int size)
{
	bar = ob_lower_bar(bar);
	switch (size) {
	case 1:
		return ob_read8(bar, off);
	case 2:
		return ob_read16(bar, off);
	case 4:
		return ob_read32(bar, off);
	default:
		return ob_read64(bar, off);
	}
}

void ob_lower_write(const struct ob_bar *bar, uint64_t off, unsigned int size, uint64_t val)
{
	bar = ob_lower_bar(bar);
	switch (size) {
	case 1:
		ob_write8(bar, off, (uint8_t)val);
		break;
	case 2:
		ob_write16(bar, off, (uint16_t)val);
		break;
	case 4:
		ob_write32(bar, off, (uint32_t)val);
		break;
	default:
		ob_write64(bar, off, val);
		break;
	}
}

int ob_ports_claim(struct ob_device *dev, uint16_t base, uint16_t count, struct ob_bar *bar,
		   struct ob_error *err)
{
	struct ob_bar *lower;
	int ret;

	if (!count || base + count > 0x10000)
		return ob_error_set(err, -EINVAL, "%s: ports 0x%x + %u are not below 64 Ki",
				    dev->info.name, base, count);
	if (dev->ops->ports)
		return dev->ops->ports(dev, base, count, bar, err);
	if (!dev->lower) {
		ob_error_set(err, -EOPNOTSUPP, "%s: legacy ports 0x%x to 0x%x cannot be reached",
			     dev->info.name, base, base + count - 1);
		ob_error_why(err, "the backend '%s' has no port access", dev->ops->name);
		return -EOPNOTSUPP;
	}
	/*
	 * The wrapper's range refers to the lower one, which must live as long as the device; a driver
	 * that is bound again claims the same ranges again.
	 */
	for (unsigned int i = 0; i < dev->nr_ports; i++) {
		if (dev->ports[i].base != base || dev->ports[i].size != count)
			continue;
		*bar = dev->ports[i];
		bar->map = NULL;
		bar->dev = dev;
		bar->priv = &dev->ports[i];
		return 0;
	}
	if (dev->nr_ports == OB_PORT_RANGES)
		return ob_error_set(err, -ENOSPC, "%s: more than %d ranges of ports",
				    dev->info.name, OB_PORT_RANGES);
	lower = &dev->ports[dev->nr_ports];
	ret = ob_ports_claim(dev->lower, base, count, lower, err);
	if (ret)
		return ret;
	dev->nr_ports++;
	*bar = *lower;
	bar->map = NULL;
	bar->dev = dev;
	bar->priv = lower;
	return 0;
}

static uint64_t ones64(unsigned int size)
{
	return size >= 8 ? UINT64_MAX : (1ull << (size * 8)) - 1;
}

uint64_t ob_bar_read_message(const struct ob_bar *bar, uint64_t off, unsigned int size)
{
	struct ob_device *dev = bar->dev;

	if (ob_unlikely(off >= bar->size || size > bar->size - off || ob_device_gone(dev)))
		return ones64(size);
	ob_count(&dev->stats.reads, 1);
	if (dev->ops->read)
		return dev->ops->read(bar, off, size) & ones64(size);
	return ob_bar_read_message(ob_lower_bar(bar), off, size);
}

void ob_bar_write_message(const struct ob_bar *bar, uint64_t off, unsigned int size, uint64_t val)
{
	struct ob_device *dev = bar->dev;

	if (ob_unlikely(off >= bar->size || size > bar->size - off || ob_device_gone(dev)))
		return;
	ob_count(&dev->stats.writes, 1);
	if (dev->ops->write)
		dev->ops->write(bar, off, size, val);
	else
		ob_bar_write_message(ob_lower_bar(bar), off, size, val);
}

uint64_t ob_clock_ns(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (uint64_t)ts.tv_sec * 1000000000 + (uint64_t)ts.tv_nsec;
}

static void cork(struct ob_device *dev, bool on)
{
	while (dev->lower && !dev->ops->cork)
		dev = dev->lower;
	if (dev->ops->cork)
		dev->ops->cork(dev, on);
}

void ob_device_cork(struct ob_device *dev)
{
	cork(dev, true);
}

void ob_device_uncork(struct ob_device *dev)
{
	cork(dev, false);
}

void ob_device_flush(struct ob_device *dev)
{
	if (ob_device_gone(dev))
		return;
	if (dev->ops->flush)
		dev->ops->flush(dev);
	else if (dev->lower)
		ob_device_flush(dev->lower);
}

/* ---- reset, removal, faults --------------------------------------------------------- */

int ob_device_reset(struct ob_device *dev, struct ob_error *err)
{
	int ret;

	if (ob_device_gone(dev))
		return ob_error_set(err, -ENODEV, "%s is gone and cannot be reset", dev->info.name);
	if (!dev->ops->reset)
		return dev->lower ? ob_device_reset(dev->lower, err)
				  : ob_error_set(err, -EOPNOTSUPP, "%s has no function reset",
						 dev->info.name);
	pthread_mutex_lock(dev->sync);
	OB_FAULT_POINT("device.reset");
	ret = dev->ops->reset(dev, err);
	if (!ret && dev->irq_kind != OB_IRQ_NONE)
		ret = dev->ops->irq_enable(dev, dev->irq_kind, dev->irq_n, err);
	pthread_mutex_unlock(dev->sync);
	return ret;
}

bool ob_device_gone(const struct ob_device *dev)
{
	for (; dev; dev = dev->lower)
		if (ob_unlikely(__atomic_load_n(&dev->gone, __ATOMIC_ACQUIRE)))
			return true;
	return false;
}

void ob_device_set_gone(struct ob_device *dev)
{
	const uint64_t one = 1;

	if (__atomic_exchange_n(&dev->gone, 1, __ATOMIC_ACQ_REL))
		return;
	ob_irq_wake_all(dev);
	/* It only fails when the counter is full, and then it is readable already. */
	if (write(ob_device_removal_fd(dev), &one, sizeof(one)) < 0)
		return;
}

int ob_device_removal_fd(struct ob_device *dev)
{
	/* One for the whole stack, so that a wrapper can remove its device, too. */
	while (dev->lower)
		dev = dev->lower;
	return dev->removal_fd;
}

int ob_device_faults(struct ob_device *dev, struct ob_fault *faults, unsigned int n)
{
	int ret;

	if (!dev->ops->faults)
		return dev->lower ? ob_device_faults(dev->lower, faults, n) : -EOPNOTSUPP;
	ret = dev->ops->faults(dev, faults, n);
	if (ret > 0)
		ob_count(&dev->stats.faults, (uint64_t)ret);
	return ret;
}

void ob_device_stats(const struct ob_device *dev, struct ob_access_stats *stats)
{
	while (dev->lower)
		dev = dev->lower;
	stats->reads = __atomic_load_n(&dev->stats.reads, __ATOMIC_RELAXED);
	stats->writes = __atomic_load_n(&dev->stats.writes, __ATOMIC_RELAXED);
	stats->config = __atomic_load_n(&dev->stats.config, __ATOMIC_RELAXED);
	stats->syscalls = __atomic_load_n(&dev->stats.syscalls, __ATOMIC_RELAXED);
	stats->irqs = __atomic_load_n(&dev->stats.irqs, __ATOMIC_RELAXED);
	stats->faults = __atomic_load_n(&dev->stats.faults, __ATOMIC_RELAXED);
	if (dev->ops->stats)
		dev->ops->stats(dev, stats);
}
