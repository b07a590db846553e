// SPDX-License-Identifier: GPL-2.0-only
/*
 * A kernel's character devices for the host: nodes in the kernel's own /dev, opened, read, written and controlled as a program
 * would (Documentation/admin-guide/devices.rst). Boundary: linux/kit/kit.h.
 */
#include <asm/outboard.h>
#include <linux/device.h>
#include <linux/file.h>
#include <linux/fs.h>
#include <linux/init_syscalls.h>
#include <linux/kdev_t.h>
#include <linux/kobject.h>
#include <linux/major.h>
#include <linux/miscdevice.h>
#include <linux/pci.h>
#include <linux/slab.h>

#include "vfs.h"

enum {
	NODES = 32,
};

/* All devices (drivers/base/base.h, which only that folder's files include). */
extern struct kset *devices_kset;

struct found {
	struct ob_kit_node node;
	dev_t devt;
};

static enum ob_kit_node_kind kind_of(struct device *dev)
{
	const char *name = dev_name(dev), *subsystem = dev->class ? dev->class->name : "";
	size_t len = strlen(name);

	if (!strcmp(subsystem, "watchdog"))
		return OB_KIT_NODE_WATCHDOG;
	/* pcmC0D0p, pcmC0D0c: play and capture (sound/core/pcm.c) */
	if (!strcmp(subsystem, "sound") && !strncmp(name, "pcm", 3))
		return name[len - 1] == 'p' ? OB_KIT_NODE_PCM_PLAY : OB_KIT_NODE_PCM_RECORD;
	return OB_KIT_NODE_OTHER;
}

/* init memory stays (setup.c), and with it the functions that make files without a program. */
static int __ref make_node(const char *name, dev_t devt)
{
	char path[48];
	int ret;

	/* One folder is deep enough: "snd". */
	snprintf(path, sizeof(path), "/dev/%s", name);
	if (strchr(name, '/')) {
		*strrchr(path, '/') = '\0';
		ret = init_mkdir(path, 0755);
		if (ret && ret != -EEXIST)
			return ret;
		snprintf(path, sizeof(path), "/dev/%s", name);
	}
	ret = init_mknod(path, S_IFCHR | 0600, new_encode_dev(devt));
	return ret == -EEXIST ? 0 : ret;
}

/* Some drivers of watchdogs do not say on which device theirs is; there is but one. */
static bool is_of(struct device *dev, struct device *parent)
{
	const char *subsystem = dev->class ? dev->class->name : "";

	if (!MAJOR(dev->devt) || !strcmp(subsystem, "block"))
		return false;
	if (!dev->parent)
		return !strcmp(subsystem, "watchdog");
	while (dev && dev != parent)
		dev = dev->parent;
	return dev;
}

static unsigned int look(struct found *found, unsigned int max)
{
	struct device *parent = &outboard_pci_dev()->dev;
	struct kobject *k;
	unsigned int n = 0;

	spin_lock(&devices_kset->list_lock);
	list_for_each_entry(k, &devices_kset->list, entry)
	{
		struct device *dev = kobj_to_dev(k);
		bool sound = dev->class && !strcmp(dev->class->name, "sound");

		if (n == max || !is_of(dev, parent))
			continue;
		snprintf(found[n].node.name, sizeof(found[n].node.name), "%s%s",
			 sound ? "snd/" : "", dev_name(dev));
		found[n].node.kind = kind_of(dev);
		found[n].devt = dev->devt;
		n++;
	}
	spin_unlock(&devices_kset->list_lock);
	return n;
}

static int chr_open(const char *name, int reading, int writing, void **to)
{
	struct file *file;
	char path[48];

	snprintf(path, sizeof(path), "/dev/%s", name);
	file = filp_open(path, reading && writing ? O_RDWR : writing ? O_WRONLY : O_RDONLY, 0);
	if (IS_ERR(file))
		return PTR_ERR(file);
	*to = file;
	return 0;
}

static void chr_close(void *file)
{
	vfs_close(file);
}

/* Without a generator the node is there, too, and hangs on nothing: it is asked. */
static bool has_generator(void)
{
	struct file *file;
	char byte;
	long ret;

	if (make_node("hwrng", MKDEV(MISC_MAJOR, HWRNG_MINOR)))
		return false;
	file = filp_open("/dev/hwrng", O_RDONLY | O_NONBLOCK, 0);
	if (IS_ERR(file))
		return false;
	ret = vfs_read(file, (char __user *)&byte, 1, &file->f_pos);
	vfs_close(file);
	return ret == 1 || ret == -EAGAIN;
}

static int find(struct ob_kit_node *nodes, unsigned int max)
{
	struct found *found;
	unsigned int i, n, made = 0;

	if (!outboard_pci_dev())
		return 0;
	found = kcalloc(NODES, sizeof(*found), GFP_KERNEL);
	if (!found)
		return -ENOMEM;
	n = look(found, NODES - 1);
	if (IS_BUILTIN(CONFIG_HW_RANDOM) && has_generator())
		found[n++] = (struct found){.node = {"hwrng", OB_KIT_NODE_RANDOM},
					    .devt = MKDEV(MISC_MAJOR, HWRNG_MINOR)};
	for (i = 0; i < n && made < max; i++) {
		if (!make_node(found[i].node.name, found[i].devt))
			nodes[made++] = found[i].node;
	}
	kfree(found);
	return made;
}

/* Memory of the host's is memory like the kernel's: a copy from a program is a copy. */
static long chr_read(void *arg, void *buf, unsigned long len)
{
	struct file *file = arg;

	return vfs_read(file, (char __user *)buf, len, &file->f_pos);
}

static long chr_write(void *arg, const void *buf, unsigned long len)
{
	struct file *file = arg;

	return vfs_write(file, (const char __user *)buf, len, &file->f_pos);
}

/* As ioctl(2) does it, whose function for this files of fs/ keep to themselves in 7.2. */
static long chr_ioctl(void *arg, unsigned int cmd, void *data)
{
	struct file *file = arg;
	long ret;

	if (!file->f_op->unlocked_ioctl)
		return -ENOTTY;
	ret = file->f_op->unlocked_ioctl(file, cmd, (unsigned long)data);
	return ret == -ENOIOCTLCMD ? -ENOTTY : ret;
}

const struct ob_kernel_char outboard_char = {
	.find = find,
	.open = chr_open,
	.close = chr_close,
	.read = chr_read,
	.write = chr_write,
	.ioctl = chr_ioctl,
};
