/* SPDX-License-Identifier: BSD-2-Clause */
/* What the program needs of a tap attachment beyond the common interface. */
#ifndef ATTACH_TAP_H
#define ATTACH_TAP_H

#include <outboard/attach.h>

/**
 * ob_attach_tap_netns_fd() - the network namespace that the interface is in
 *
 * Return: a descriptor for setns(2), owned by the attachment; -1 for this process's own, and for another
 * kind of attachment.
 */
int ob_attach_tap_netns_fd(const struct ob_attach *at);

/**
 * ob_attach_tap_enter() - bring the calling process into the interface's namespace
 *
 * For a forked child that then runs a command there: also enters the user namespace that
 * `netns=new` makes for an unprivileged user (user 0 there). Single-threaded processes only.
 *
 * Return: 0 (also when there is nothing to enter), or a negative errno value.
 */
int ob_attach_tap_enter(const struct ob_attach *at);

/** struct ob_attach_tap_stats - counters that only a tap has */
struct ob_attach_tap_stats {
	uint64_t merged; /* received frames that went to the kernel as part of another */
};
void ob_attach_tap_stats(const struct ob_attach *at, struct ob_attach_tap_stats *stats);

#endif
