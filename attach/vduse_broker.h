/* SPDX-License-Identifier: BSD-2-Clause */
/* What the attachments through VDUSE ask of the broker (attach/broker.h): vduse_broker.c. */
#ifndef ATTACH_VDUSE_BROKER_H
#define ATTACH_VDUSE_BROKER_H

#include "attach/broker_ops.h"
#include "attach/kept.h"

enum {
	VDUSE_NAME = 64,
	VDUSE_NAMES = 64, /* devices of an instance */
	VDUSE_CHILD = 32,
	VDUSE_CONFIG = 256,
};

/**
 * struct broker_vduse - a device
 * @name: its name for the kernel
 * @key: what the keeper knows its log by
 * @child: of a network card: the interface's wanted name, or ""; in the result, of a disk too, the name that it has
 * @net: a network card, else a disk
 * @taken_over: it may be there already
 * @force: also when it is in use
 * @attached: in the result: the kernel's driver has it already
 * @bounce_error: in the result: why the bounce area has not the size @bounce, or 0
 * @device_id, @features, @queues, @queue_size, @fail_byte, @space: struct vduse_config's
 */
struct broker_vduse {
	char name[VDUSE_NAME];
	char key[KEPT_KEY];
	char child[VDUSE_CHILD];
	bool net, taken_over, force, attached;
	int bounce_error, fail_byte;
	uint32_t device_id, queues, queue_size, space_size;
	uint64_t features, bounce;
	char space[VDUSE_CONFIG];
};

/** vduse_name() - of the @i-th device of this instance; @i is less than VDUSE_NAMES */
void vduse_name(char name[VDUSE_NAME], unsigned int i);

/** vduse_name_is_ours() - is it one that vduse_name() gives? */
bool vduse_name_is_ours(const char *name);

/** vduse_has_interface() - is @name an interface of a device of this instance's? */
bool vduse_has_interface(const char *name);

#endif
