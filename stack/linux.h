/* SPDX-License-Identifier: BSD-2-Clause */
/* What the files of the kernel's stack share. */
#ifndef STACK_LINUX_H
#define STACK_LINUX_H

#include "linux/kit/kit.h"

#include "linux/kit/ip.h"
#include "stack/stack_private.h"

long linux_ask(struct ob_stack *s, struct ob_ip_request *r);
long linux_socket(struct ob_stack *s, enum ob_ip_kind kind, void *arg, struct ob_ip_socket **to);
/** linux_release() - a socket is no more; @reset: its connection ends by a reset */
void linux_release(struct ob_stack *s, struct ob_ip_socket *socket, bool reset);

/** linux_streams_poll() - the kernel ran: what has happened to connections */
void linux_streams_poll(struct ob_stack *s);
/** linux_streams_tick() - what they make known by no event */
void linux_streams_tick(struct ob_stack *s);
/** linux_streams_count() - adds what those that are open have sent */
void linux_streams_count(const struct ob_stack *s, struct ob_stack_stats *stats);

#endif
