/* SPDX-License-Identifier: BSD-2-Clause */
/* Making a tap interface. */
#ifndef ATTACH_TAP_MAKE_H
#define ATTACH_TAP_MAKE_H

#include "attach/broker_ops.h"
#include "attach/tap_netns.h"

/* The kernel numbers it. */
#define TAP_NAME_DEFAULT "ob%d"

/**
 * tap_make() - make an interface
 * @want: checked by the caller: a name that can be one, 1 to OB_NET_QUEUES queues
 * @ns: filled; tap_netns_close() by the caller
 *
 * Return: 0 or a negative errno value.
 */
int tap_make(const struct broker_tap *want, struct tap_netns *ns, struct broker_tap_made *made,
	     struct ob_error *err);

#endif
