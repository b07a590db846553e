/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The attachments, best first for each class: "auto" takes the first whose probe allows it. ublk and loop
 * are real block devices, an NBD export works for everybody, a FUSE file needs a directory.
 */
#include <stddef.h>

#include "attach/attach.h"

static const struct ob_attach_ops *const attachments[] = {
	/* disks */
	&ob_attach_ublk,
	&ob_attach_vduse_blk,
	&ob_attach_nbd_kernel,
	&ob_attach_loop,
	&ob_attach_nbd,
	&ob_attach_fuse,
	&ob_attach_mount,
	/* networks */
	&ob_attach_vhost_net,
	&ob_attach_tap,
	&ob_attach_vduse_net,
	/* the rest */
	&ob_attach_cuse,
	NULL,
};

const struct ob_attach_ops *const *ob_attachments(void)
{
	return attachments;
}
