/* SPDX-License-Identifier: BSD-2-Clause */
/* A driver in a file of its own: it reads edu's identification. */
#include <errno.h>
#include <stdlib.h>

#include <outboard/driver.h>

static int good_ioctl(struct ob_char *chr, unsigned int cmd, uint64_t *val)
{
	*val = ob_read32(ob_device_bar(chr->dev, 0), 0);
	return 0;
}

static const struct ob_char_ops good_ops = {.ioctl = good_ioctl};

static int good_probe(struct ob_binding *b, struct ob_error *err)
{
	b->chr = calloc(1, sizeof(*b->chr));
	if (!b->chr)
		return -ENOMEM;
	b->chr->ops = &good_ops;
	b->chr->dev = b->dev;
	return 0;
}

static void good_remove(struct ob_binding *b)
{
	free(b->chr);
}

static const struct ob_pci_id good_ids[] = {{.vendor = 0x1234, .device = 0x11e8}, {0}};

__attribute__((visibility("default"))) extern const struct ob_driver outboard_driver;
const struct ob_driver outboard_driver = {
	.name = "good",
	.class_ = OB_CLASS_CHAR,
	.ids = good_ids,
	.probe = good_probe,
	.remove = good_remove,
};
