/* SPDX-License-Identifier: BSD-2-Clause */
/* A driver that needs a function which no library has. */
#include <outboard/driver.h>

void of_another_version(struct ob_binding *b);

static int undefined_probe(struct ob_binding *b, struct ob_error *err)
{
	of_another_version(b);
	return 0;
}

static const struct ob_pci_id ids[] = {{.vendor = 0x1234, .device = 0x11e8}, {0}};

__attribute__((visibility("default"))) extern const struct ob_driver outboard_driver;
const struct ob_driver outboard_driver = {
	.name = "undefined",
	.ids = ids,
	.probe = undefined_probe,
	.remove = of_another_version,
};
