/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * disk-read SPEC OFFSET LENGTH: write a piece of a disk to standard output. The whole life of a device in
 * one page: open, bind, start, read, stop, unbind, close.
 *
 *   disk-read qemu:nvme,file=disk.img 0 512 | hexdump -C
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#include <outboard/outboard.h>

enum {
	CHUNK = 1 << 20,
};

static int complain(const struct ob_error *err)
{
	char text[1400];

	fprintf(stderr, "disk-read: %s\n", ob_error_text(err, text, sizeof(text)));
	return 1;
}

/* Any memory would do as a buffer; that of the device's arena is read into without a copy. */
static int copy_out(struct ob_block *disk, char *buf, uint64_t offset, uint64_t length,
		    struct ob_error *err)
{
	while (length) {
		uint64_t n = length < CHUNK ? length : CHUNK;
		int rc = ob_block_rw(disk, 0, OB_BLOCK_READ, 0, offset, buf, n);

		if (rc)
			return ob_error_set(err, rc, "cannot read %llu bytes at %llu of %s",
					    (unsigned long long)n, (unsigned long long)offset,
					    disk->name);
		if (fwrite(buf, 1, n, stdout) != n)
			return ob_error_set(err, -EIO, "cannot write to standard output");
		offset += n;
		length -= n;
	}
	return 0;
}

int main(int argc, char **argv)
{
	struct ob_error err = {0};
	struct ob_binding *binding;
	struct ob_device *dev;
	struct ob_block *disk;
	int rc = 1;
	char *buf;

	if (argc != 4) {
		fprintf(stderr, "usage: disk-read SPEC OFFSET LENGTH\n");
		return 2;
	}
	if (ob_device_open(argv[1], &dev, &err))
		return complain(&err);
	if (ob_driver_bind(dev, NULL, NULL, &binding, &err)) {
		complain(&err);
		goto close;
	}
	if (!binding->nr_blocks) {
		fprintf(stderr, "disk-read: %s is no disk\n", argv[1]);
		goto unbind;
	}
	disk = binding->block[0];
	if (ob_block_start(disk, &err)) {
		complain(&err);
		goto unbind;
	}
	buf = ob_dma_alloc(ob_device_dma(dev), CHUNK, 4096, "disk-read", NULL);
	if (!buf) {
		fprintf(stderr, "disk-read: the arena is full\n");
		goto stop;
	}
	rc = copy_out(disk, buf, strtoull(argv[2], NULL, 0), strtoull(argv[3], NULL, 0), &err);
	if (rc)
		rc = complain(&err);
	ob_dma_free(ob_device_dma(dev), buf);
stop:
	ob_block_stop(disk);
unbind:
	ob_driver_unbind(binding);
close:
	ob_device_close(dev);
	return rc;
}
