/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The object as a driver of Outboard's: boots the kernel that it is linked with, gives it the device, and makes a
 * class device of what the kernel's driver found. OUTBOARD_LINUX_NAME is set by linux/link.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "kit/host.h"

/*
 * lpj: no time is spent on measuring how fast nothing can be done. Module parameters of drivers come by the environment
 * variable OUTBOARD_LINUX_ARGS, as on a kernel's command line.
 */
#define COMMAND_LINE "loglevel=8 console=host lpj=1000000 panic=0"

/* One kernel in a process: its data are the object's. */
static struct kit *running;

static int boot(struct kit *k, struct ob_error *err)
{
	const char *args = secure_getenv("OUTBOARD_LINUX_ARGS");
	uint64_t since = ob_clock_ns();
	char line[1024];
	int ret;

	ret = kit_params_check(args, err);
	if (ret)
		return ret;
	if (snprintf(line, sizeof(line), COMMAND_LINE "%s%s", args ? " " : "", args ? args : "") >=
	    (int)sizeof(line))
		return ob_error_set(err, -E2BIG, "OUTBOARD_LINUX_ARGS is longer than %zu bytes",
				    sizeof(line) - sizeof(COMMAND_LINE) - 1);
	k->quiet = true;
	outboard_kernel.start(&kit_ops, k, &k->mem, line);
	kit_run(k);
	k->quiet = false;
	ob_device_log(k->dev, OB_LOG_DEBUG, "linux: kernel %s is up after %.1f ms",
		      outboard_kernel.release, (double)(ob_clock_ns() - since) / 1e6);
	return 0;
}

static int add_device(struct kit *k, char *driver, struct ob_error *err)
{
	const struct ob_device_info *info = ob_device_info(k->dev);
	long ret;

	k->last_error[0] = '\0';
	ret = kit_call(k, outboard_kernel.probe, driver);
	if (ret && ob_device_gone(k->dev)) {
		ob_error_set(err, -ENODEV, "%s vanished while %s probed it%s%s", info->name,
			     outboard_driver.name, k->gone_in[0] ? ", in " : "", k->gone_in);
		kit_last_words(k, err);
		return -ENODEV;
	}
	if (ret == -ENXIO) {
		ob_error_set(err, -ENXIO,
			     "%s (%04x:%04x): no driver of kernel %s in this object took it",
			     info->name, info->vendor, info->device, outboard_kernel.release);
		ob_error_why(err, "none knows the device");
		kit_last_words(k, err);
		return -ENXIO;
	}
	if (ret)
		ob_error_set(err, (int)ret, "%s: the kernel cannot take the device: %s", info->name,
			     strerror((int)-ret));
	return (int)ret;
}

static long has_net(void *unused)
{
	return !!outboard_kernel.net_of(0);
}

int kit_create(struct ob_device *dev, struct ob_dma *dma, struct kit **to, struct ob_error *err)
{
	const char *name = ob_device_info(dev)->name;
	struct kit *k;
	int ret;

	if (outboard_kernel.version != OB_KIT_VERSION)
		return ob_error_set(err, -ENOEXEC, "kernel side %u and host side %u do not fit",
				    outboard_kernel.version, OB_KIT_VERSION);
	if (running) {
		ob_error_set(err, -EBUSY, "%s: this process runs a Linux driver already, on %s",
			     name, ob_device_info(running->dev)->name);
		ob_error_fix(err, "one process for each device");
		return -EBUSY;
	}
	k = calloc(1, sizeof(*k));
	if (!k)
		return ob_error_set(err, -ENOMEM, "%s: no memory", name);
	k->dev = dev;
	k->dma = dma;
	pthread_mutex_init(&k->lock, NULL);
	ret = kit_events_open(k, err);
	if (ret)
		goto free;
	ret = kit_memory_take(k, err);
	if (ret)
		goto events;
	k->untimed = ob_device_info(dev)->untimed;
	k->now = k->untimed ? 1000000000ull : 0;
	/* Its thread would look at a time that does not pass. */
	ret = k->untimed ? 0 : kit_pacer_start(&k->pacer);
	if (ret) {
		ob_error_set(err, ret, "%s: no thread to keep the kernel's time", name);
		goto unused;
	}
	running = k;
	kit_crash_start(k);
	ret = boot(k, err);
	if (ret) {
		kit_destroy(k);
		return ret;
	}
	*to = k;
	return 0;

unused:
	kit_memory_give_back(k);
events:
	kit_events_close(k);
free:
	pthread_mutex_destroy(&k->lock);
	free(k);
	return ret;
}

/* Of a kernel that has no device any more. */
void kit_destroy(struct kit *k)
{
	kit_ops.irq_disable(k);
	running = NULL;
	kit_crash_stop();
	if (!k->untimed)
		kit_pacer_stop(&k->pacer);
	kit_memory_give_back(k);
	kit_events_close(k);
	pthread_mutex_destroy(&k->lock);
	free(k);
}

/*
 * A virtio device of before 1.0 (VIRTIO 1.2, 4.1.2.1 and 4.1.4: a transitional number, and none of the capabilities) knows no addresses but the
 * machine's; its driver gives it those of the kernel's memory, which here are others, and would wait for ever.
 */
static int refuse_old_virtio(struct ob_device *dev, struct ob_error *err)
{
	const struct ob_device_info *info = ob_device_info(dev);

	if (info->vendor != 0x1af4 || info->device < 0x1000 || info->device > 0x103f ||
	    ob_pci_capability(dev, 0x09))
		return 0;
	ob_error_set(err, -EOPNOTSUPP,
		     "%s (%04x:%04x): a virtio device of before 1.0 cannot be driven by linux:",
		     info->name, info->vendor, info->device);
	ob_error_why(err, "its driver takes the kernel's physical addresses for the device's");
	ob_error_fix(err, "make it a modern one: QEMU's without disable-modern=on");
	return -EOPNOTSUPP;
}

static int probe(struct ob_binding *b, struct ob_error *err)
{
	const char *name = ob_device_info(b->dev)->name;
	struct ob_dma *dma = ob_device_dma(b->dev);
	char driver[32] = "";
	struct kit *k;
	int ret;

	ret = refuse_old_virtio(b->dev, err);
	if (ret)
		return ret;
	/* Many devices drive 32 bits of address: below that it serves all. Where it cannot be, it may still do. */
	ob_dma_set_mask(dma, 32, NULL);
	ret = kit_create(b->dev, dma, &k, err);
	if (ret)
		return ret;
	if (outboard_kernel.coverage)
		*outboard_kernel.coverage = b->config.coverage;
	if (b->config.ready)
		b->config.ready(b->config.ready_arg);
	ret = add_device(k, driver, err);
	if (ret)
		goto destroy;
	if (outboard_kernel.net && kit_call(k, has_net, NULL))
		ret = kit_net_create(k, driver, &b->net, err);
	else if ((ret = kit_char_create(k, driver, b, err)))
		ret = ret < 0 ? ret : 0;
	else if (outboard_kernel.block)
		ret = kit_blocks_create(k, driver, b, err);
	else
		ret = ob_error_set(
			err, -ENODEV,
			"%s: the kernel's driver %s took it, but made no interface of it", name,
			driver);
	if (ret)
		goto remove;
	b->priv = k;
	return 0;

remove:
	kit_remove(k);
destroy:
	kit_destroy(k);
	return ret;
}

static void remove_(struct ob_binding *b)
{
	struct kit *k = b->priv;

	if (b->net)
		kit_net_destroy(b->net);
	b->net = NULL;
	if (k->chr)
		kit_char_destroy(k);
	b->chr = NULL;
	if (k->disks)
		kit_blocks_destroy(k);
	b->nr_blocks = 0;
	kit_remove(k);
	kit_destroy(k);
	b->priv = NULL;
}

static int selftest(struct ob_binding *b, struct ob_selftest_line *lines, unsigned int n)
{
	if (b->net)
		return kit_net_selftest(b, lines, n);
	return b->chr ? kit_char_selftest(b, lines, n) : kit_blocks_selftest(b, lines, n);
}

/* Which devices the kernel's drivers know they tell when they are asked to probe one. */
static const struct ob_pci_id ids[] = {
	{.vendor = OB_PCI_ANY,
	 .device = OB_PCI_ANY,
	 .class_code = 0x020000,
	 .class_mask = 0xff0000,
	 .name = "network controllers"},
	{.vendor = OB_PCI_ANY,
	 .device = OB_PCI_ANY,
	 .class_code = 0x010000,
	 .class_mask = 0xff0000,
	 .name = "mass storage controllers"},
	/* virtio's disks, which say that they are that; USB controllers; card readers */
	{.vendor = OB_PCI_ANY,
	 .device = OB_PCI_ANY,
	 .class_code = 0x0c0000,
	 .class_mask = 0xff0000,
	 .name = "serial bus controllers"},
	{.vendor = OB_PCI_ANY,
	 .device = OB_PCI_ANY,
	 .class_code = 0x080000,
	 .class_mask = 0xff0000,
	 .name = "system peripherals"},
	{.vendor = OB_PCI_ANY,
	 .device = OB_PCI_ANY,
	 .class_code = 0x040000,
	 .class_mask = 0xff0000,
	 .name = "multimedia controllers"},
	/* virtio's random generator */
	{.vendor = OB_PCI_ANY,
	 .device = OB_PCI_ANY,
	 .class_code = 0x00ff00,
	 .class_mask = 0xffff00,
	 .name = "others"},
	/* CAN cards: some say that they are controllers of a serial bus, many that they fit no class */
	{.vendor = OB_PCI_ANY,
	 .device = OB_PCI_ANY,
	 .class_code = 0xff0000,
	 .class_mask = 0xff0000,
	 .name = "devices of no class"},
	{0},
};

/* Of which sources (linux/made_of): read by who loads the object, before anything else. */
__attribute__((visibility("default"))) const char outboard_made_of[] = OUTBOARD_LINUX_MADE_OF;

__attribute__((visibility("default"))) const struct ob_driver outboard_driver = {
	.name = "linux:" OUTBOARD_LINUX_NAME,
	.summary = "the Linux kernel's own driver, in this process",
	.datasheet = "the kernel's source, drivers/",
	.class_ = OUTBOARD_LINUX_CLASS,
	.ids = ids,
	/* pci_set_master(), which drivers call when they have stopped the device, or the kernel has (USB, drivers/usb/host/pci-quirks.c). */
	.masters = true,
	.probe = probe,
	.remove = remove_,
	.selftest = selftest,
	.fs = &kit_fs_driver,
};
