/* SPDX-License-Identifier: BSD-2-Clause */
/* A driver that forgot how to be removed, and one that fails without a word. */
#include <errno.h>

#include <outboard/driver.h>

static int quiet_probe(struct ob_binding *b, struct ob_error *err)
{
	return -EPROTO;
}

static void quiet_remove(struct ob_binding *b)
{
}

static const struct ob_pci_id ids[] = {{.vendor = 0x1234, .device = 0x11e8}, {0}};

__attribute__((visibility("default"))) extern const struct ob_driver outboard_driver;
const struct ob_driver outboard_driver = {
	.name = "incomplete",
	.class_ = OB_CLASS_CHAR,
	.ids = ids,
	.probe = quiet_probe,
#ifdef WITH_REMOVE
	.remove = quiet_remove,
#else
	.summary = (const char *)&quiet_remove,
#endif
};
