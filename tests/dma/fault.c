/* SPDX-License-Identifier: BSD-2-Clause */
/* The fault-injection wrapper: what was asked for happens, nothing else does, and it can be repeated. */
#include <errno.h>
#include <poll.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include <cmocka.h>

#include "access/access_private.h"
#include "access/fault.h"
#include "tests/dma/fake.h"

enum {
	REGISTERS = 64,
};

/* A device of 64 memory cells below the wrapper, with interrupts that the test raises. */
struct rig {
	struct fake *fake;
	struct ob_device upper;
	pthread_mutex_t lock[2];
	uint64_t reg[REGISTERS];
	unsigned int reads, writes;
	uint16_t command;
	bool masked;
};

static struct rig *rig_of(struct ob_device *dev)
{
	return dev->lower ? rig_of(dev->lower) : (struct rig *)dev->info.spec;
}

static struct rig *the_rig;

static uint64_t cell_read(const struct ob_bar *bar, uint64_t off, unsigned int size)
{
	the_rig->reads++;
	return the_rig->reg[off / 8];
}

static void cell_write(const struct ob_bar *bar, uint64_t off, unsigned int size, uint64_t val)
{
	the_rig->writes++;
	the_rig->reg[off / 8] = val;
}

static int cell_config(struct ob_device *dev, bool write, unsigned int off, unsigned int size,
		       uint32_t *val)
{
	if (write)
		the_rig->command = (uint16_t)*val;
	else
		*val = off == 4 ? the_rig->command : 0x12345678;
	return 0;
}
