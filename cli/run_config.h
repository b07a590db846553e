/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * `outboard run --config FILE`: an instance's settings. Its sections are [instance], whose keys are options of the command line, one [device]
 * for each device, and [restart] and [sandbox], whose keys are those of the two options.
 */
#ifndef CLI_RUN_CONFIG_H
#define CLI_RUN_CONFIG_H

#include "cli/cli.h"

/**
 * struct run_config - who takes them
 * @option: an option was read, as by cli_next(); false: it is wrong, and that was said
 * @device: a device begins: its specification is args->value
 * @of_device: @key of the device that began last, "driver", "attach" or "cpu", is args->value
 */
struct run_config {
	struct cli_args *args;
	bool (*option)(void *arg, struct cli_args *args, int opt);
	bool (*device)(void *arg, struct cli_args *args);
	bool (*of_device)(void *arg, struct cli_args *args, const char *key);
	void *arg;
};

/**
 * run_config_path() - "NAME" is /etc/outboard/NAME.conf, what contains a slash is a path
 * @name: of the file without its folders and ".conf", for the instance; may be NULL
 */
void run_config_path(const char *file, char *path, size_t size, char *name, size_t name_size);

/** run_config_read() - false: something is wrong, which was said, and args->exit_code set. The values live as long as the process */
bool run_config_read(const char *path, const struct run_config *to);

#endif
