/* SPDX-License-Identifier: BSD-2-Clause */
/* Every attachment's one symbol. A new mechanism adds a line here and one in table.c. */
#ifndef ATTACH_ATTACH_H
#define ATTACH_ATTACH_H

#include <outboard/attach.h>
#include <outboard/net.h>

/**
 * struct attach_net - what each network attachment begins with
 * @unsent_ns: for how long frames have waited for the device without any progress (unsent.h); of the loop's thread
 */
struct attach_net {
	struct ob_attach at;
	uint64_t unsent_ns;
};

/** attach_link() - a network card's link; one that cannot tell has one */
static inline struct ob_net_link attach_link(struct ob_net *net)
{
	struct ob_net_link link = {.up = true, .full_duplex = true, .mbps = 1000};

	if (net->ops->link)
		net->ops->link(net, &link);
	return link;
}

extern const struct ob_attach_ops ob_attach_tap;
extern const struct ob_attach_ops ob_attach_vduse_net;
extern const struct ob_attach_ops ob_attach_cuse;
extern const struct ob_attach_ops ob_attach_vhost_net;
extern const struct ob_attach_ops ob_attach_loop;
extern const struct ob_attach_ops ob_attach_ublk;
extern const struct ob_attach_ops ob_attach_vduse_blk;
extern const struct ob_attach_ops ob_attach_nbd;
extern const struct ob_attach_ops ob_attach_nbd_kernel;
extern const struct ob_attach_ops ob_attach_fuse;
extern const struct ob_attach_ops ob_attach_mount;

#endif
