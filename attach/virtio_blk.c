/* SPDX-License-Identifier: BSD-2-Clause */
/* Requests and configuration of a virtio block device, VIRTIO 1.2, 5.2; contract in virtio_blk.h. */
#include <endian.h>
#include <errno.h>
#include <string.h>

#include "attach/virtio_blk.h"

/* Copy out of the first pieces, and cut it off them. */
static unsigned int take_front(struct virtqueue_piece *piece, unsigned int nr, void *buf,
			       uint32_t len)
{
	unsigned int gone = 0;
	char *to = buf;

	while (len) {
		struct virtqueue_piece *p = &piece[gone];
		uint32_t now = p->len < len ? p->len : len;

		memcpy(to, p->base, now);
		to += now;
		len -= now;
		p->base = (char *)p->base + now;
		p->addr += now;
		p->len -= now;
		if (p->len)
			break;
		gone++;
	}
	return gone;
}

int virtio_blk_parse(struct virtqueue_chain *c, struct virtio_blk_request *r)
{
	struct virtqueue_piece *in = c->piece + c->nr_out, *last;
	struct virtio_blk_outhdr header;
	unsigned int gone;

	if (c->out_len < sizeof(header) || !c->in_len)
		return -EPROTO;
	gone = take_front(c->piece, c->nr_out, &header, sizeof(header));
	r->type = le32toh(header.type);
	r->sector = le64toh(header.sector);
	/* 5.2.6: the status is the last byte that the device writes. */
	last = &in[c->nr_in - 1];
	r->status = (uint8_t *)last->base + --last->len;
	if (!last->len)
		c->nr_in--;
	c->in_len--;
	c->out_len -= sizeof(header);
	r->written = c->in_len != 0;
	r->data = r->written ? in : c->piece + gone;
	r->nr_data = r->written ? c->nr_in : c->nr_out - gone;
	r->len = r->written ? c->in_len : c->out_len;
	/* No request has payload both ways. */
	return r->written && c->out_len ? -EPROTO : 0;
}

uint64_t virtio_blk_copy(const struct virtio_blk_request *r, uint64_t off, void *buf, uint64_t len,
			 bool to_driver)
{
	uint64_t done = 0;

	for (unsigned int i = 0; i < r->nr_data && done < len; i++) {
		const struct virtqueue_piece *p = &r->data[i];
		uint64_t now;

		if (off >= p->len) {
			off -= p->len;
			continue;
		}
		now = p->len - off < len - done ? p->len - off : len - done;
		if (to_driver)
			memcpy((char *)p->base + off, (char *)buf + done, now);
		else
			memcpy((char *)buf + done, (char *)p->base + off, now);
		done += now;
		off = 0;
	}
	return done;
}

uint8_t virtio_blk_range(const struct virtio_blk_request *r, struct virtio_blk_range *range)
{
	struct virtio_blk_discard_write_zeroes seg;
	uint32_t flags, known = 0;

	/* We say that we take one (max_discard_seg, max_write_zeroes_seg). */
	if (r->written || r->len != sizeof(seg) ||
	    virtio_blk_copy(r, 0, &seg, sizeof(seg), false) != sizeof(seg))
		return VIRTIO_BLK_S_IOERR;
	if (r->type == VIRTIO_BLK_T_WRITE_ZEROES)
		known = VIRTIO_BLK_WRITE_ZEROES_FLAG_UNMAP;
	flags = le32toh(seg.flags);
	if (flags & ~known)
		return VIRTIO_BLK_S_UNSUPP;
	if (le64toh(seg.sector) > UINT64_MAX / VIRTIO_BLK_SECTOR)
		return VIRTIO_BLK_S_IOERR;
	range->offset = le64toh(seg.sector) * VIRTIO_BLK_SECTOR;
	range->len = (uint64_t)le32toh(seg.num_sectors) * VIRTIO_BLK_SECTOR;
	range->may_unmap = flags & VIRTIO_BLK_WRITE_ZEROES_FLAG_UNMAP;
	return VIRTIO_BLK_S_OK;
}

uint64_t virtio_blk_config(const struct ob_block_limits *l, unsigned int queues, uint32_t size_max,
			   bool flush, uint32_t discard, uint32_t zeroes,
			   struct virtio_blk_config *config)
{
	uint64_t features = 1ull << VIRTIO_BLK_F_SIZE_MAX | 1ull << VIRTIO_BLK_F_SEG_MAX |
			    1ull << VIRTIO_BLK_F_BLK_SIZE | 1ull << VIRTIO_BLK_F_TOPOLOGY |
			    1ull << VIRTIO_BLK_F_MQ;
	unsigned int physical =
		l->physical_block_size > l->block_size ? l->physical_block_size : l->block_size;

	memset(config, 0, sizeof(*config));
	config->capacity = htole64(l->size / VIRTIO_BLK_SECTOR);
	config->size_max = htole32(size_max);
	config->seg_max = htole32(VIRTIO_BLK_SEGMENTS);
	config->blk_size = htole32(l->block_size);
	config->physical_block_exp = (uint8_t)__builtin_ctz(physical / l->block_size);
	config->num_queues = htole16((uint16_t)queues);
	if (flush)
		features |= 1ull << VIRTIO_BLK_F_FLUSH;
	if (l->read_only)
		return features | 1ull << VIRTIO_BLK_F_RO;
	if (discard) {
		features |= 1ull << VIRTIO_BLK_F_DISCARD;
		config->max_discard_sectors = htole32(discard / VIRTIO_BLK_SECTOR);
		config->max_discard_seg = htole32(1);
		config->discard_sector_alignment = htole32(l->block_size / VIRTIO_BLK_SECTOR);
	}
	if (zeroes) {
		features |= 1ull << VIRTIO_BLK_F_WRITE_ZEROES;
		config->max_write_zeroes_sectors = htole32(zeroes / VIRTIO_BLK_SECTOR);
		config->max_write_zeroes_seg = htole32(1);
		config->write_zeroes_may_unmap = 1;
	}
	return features;
}
