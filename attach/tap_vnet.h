/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The header that a tap with IFF_VNET_HDR puts in front of each frame (virtio 1.2, 5.1.6; its layout is
 * struct virtio_net_hdr) and the offload fields of struct ob_pkt, into each other. No input is trusted.
 */
#ifndef ATTACH_TAP_VNET_H
#define ATTACH_TAP_VNET_H

#include <linux/virtio_net.h>

#include <outboard/net.h>

/**
 * tap_vnet_to_pkt() - check what came from the kernel in front of a frame
 * @h: the header
 * @pkt: the frame, as one or more segments with their lengths; its offload fields are set
 *
 * hdr_len of the header is only a hint (the kernel gives the linear part of its buffer), so it is worked
 * out from the frame. The headers of a segmentation frame must lie in its first segment.
 *
 * Return: 0, or -EINVAL for what no kernel sends with the offloads that a tap here asks for.
 */
int tap_vnet_to_pkt(const struct virtio_net_hdr *h, struct ob_pkt *pkt);

/** tap_vnet_from_pkt() - the header for a frame on its way to the kernel */
void tap_vnet_from_pkt(const struct ob_pkt *pkt, struct virtio_net_hdr *h);

#endif
