/* SPDX-License-Identifier: BSD-2-Clause */
/* One device with its driver, in this process. */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "cli/cli.h"
#include "cli/open_one.h"

int cli_driver(const char *text, const struct ob_driver **driver, struct ob_error *err)
{
	char list[256] = "";
	const char *near = NULL;
	size_t n = 0;

	if (strchr(text, '/') || !strncmp(text, "linux:", 6))
		return ob_driver_load(text, driver, err);
	*driver = ob_driver_find(text);
	if (*driver)
		return 0;
	for (const struct ob_driver *const *d = ob_drivers(); *d && n < sizeof(list); d++) {
		n += (size_t)snprintf(list + n, sizeof(list) - n, "%s%s", n ? ", " : "",
				      (*d)->name);
		if (!near)
			near = cli_nearest(text, &(*d)->name, 1, sizeof(*d));
	}
	if (near)
		ob_error_set(err, -EINVAL, "there is no driver '%s'; did you mean '%s'?", text,
			     near);
	else
		ob_error_set(err, -EINVAL, "there is no driver '%s'", text);
	ob_error_fix(err, "one of %s; or the path of a shared object, with a '/'", list);
	return -EINVAL;
}

int open_one(const char *spec, const char *driver, const struct ob_driver_config *config,
	     struct ob_binding **b, struct ob_error *err)
{
	const struct ob_driver *d = NULL;
	struct ob_device *dev;
	int ret;

	if (driver) {
		ret = cli_driver(driver, &d, err);
		if (ret)
			return ret;
	}
	cli_progress("opening %s", spec);
	ret = ob_devices_open_quiet(&spec, 1, &dev, err);
	if (!ret) {
		cli_progress("%s: binding a driver", ob_device_info(dev)->name);
		ret = ob_driver_bind(dev, d, config, b, err);
		if (ret)
			ob_device_close(dev);
	}
	cli_progress_end();
	return ret;
}

void close_one(struct ob_binding *b)
{
	struct ob_device *dev = b->dev;

	ob_driver_unbind(b);
	ob_device_close(dev);
}

bool cli_is_spec(const char *text)
{
	size_t n = strcspn(text, ":[");

	if (!text[n])
		return false;
	/* "0000:03:00.0" has colons, too, and is an address. */
	return strspn(text, "0123456789abcdefABCDEF") < n;
}
