/* SPDX-License-Identifier: BSD-2-Clause */
/* One device with its driver, in this process, for subcommands that need no attachment. */
#ifndef CLI_OPEN_ONE_H
#define CLI_OPEN_ONE_H

#include <outboard/driver.h>

/** cli_driver() - a driver by name or path; -EINVAL suggests the nearest and lists them all */
int cli_driver(const char *text, const struct ob_driver **driver, struct ob_error *err);

/** open_one() - open and bind; @driver may be NULL */
int open_one(const char *spec, const char *driver, const struct ob_driver_config *config,
	     struct ob_binding **b, struct ob_error *err);
void close_one(struct ob_binding *b);

/** cli_is_spec() - is it a device specification (it has a ':' and a backend or wrapper in front)? */
bool cli_is_spec(const char *text);

#endif
