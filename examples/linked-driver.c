/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * linked-driver [N]: a driver that lives in its application. The library opens the device and binds the driver
 * that is defined here, instead of one of its own; nobody else needs to know of it. The device is QEMU's
 * educational one (QEMU documentation, "EDU device"), which computes factorials.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#include <outboard/outboard.h>

/* ---- the driver ---------------------------------------------------------------------- */

enum {
	REG_IDENT = 0x00,
	REG_FACTORIAL = 0x08,
	REG_STATUS = 0x20,
	STATUS_COMPUTING = 0x01,
};

struct factorial {
	struct ob_char chr; /* what the application sees */
	struct ob_bar *bar;
};

/* n in, n! out. */
static int factorial_ioctl(struct ob_char *chr, unsigned int cmd, uint64_t *val)
{
	struct factorial *f = (struct factorial *)chr;

	if (*val > 12)
		return -ERANGE;		   /* the register has 32 bits */
	ob_write32(f->bar, REG_STATUS, 0); /* no interrupt when it is done */
	ob_write32(f->bar, REG_FACTORIAL, (uint32_t)*val);
	while (ob_read32(f->bar, REG_STATUS) & STATUS_COMPUTING)
		if (ob_device_gone(chr->dev))
			return -ENODEV;
	*val = ob_read32(f->bar, REG_FACTORIAL);
	return 0;
}

static const struct ob_char_ops factorial_ops = {.ioctl = factorial_ioctl};

static int factorial_probe(struct ob_binding *b, struct ob_error *err)
{
	struct factorial *f = calloc(1, sizeof(*f));
	uint32_t ident;

	if (!f)
		return ob_error_set(err, -ENOMEM, "no memory");
	f->bar = ob_device_bar(b->dev, 0);
	ident = f->bar ? ob_read32(f->bar, REG_IDENT) : 0;
	if ((ident & 0xffff) != 0x00ed) {
		free(f);
		return ob_error_set(err, -ENODEV, "this is no edu device");
	}
	f->chr.ops = &factorial_ops;
	f->chr.dev = b->dev;
	b->chr = &f->chr;
	b->priv = f;
	return 0;
}

static void factorial_remove(struct ob_binding *b)
{
	free(b->priv);
}

static const struct ob_pci_id factorial_ids[] = {{.vendor = 0x1234, .device = 0x11e8}, {0}};

static const struct ob_driver factorial_driver = {
	.name = "factorial",
	.class_ = OB_CLASS_CHAR,
	.ids = factorial_ids,
	.probe = factorial_probe,
	.remove = factorial_remove,
};

/* ---- the application ------------------------------------------------------------------ */

int main(int argc, char **argv)
{
	uint64_t n = argc > 1 ? strtoull(argv[1], NULL, 0) : 10, val = n;
	struct ob_error err = {0};
	struct ob_binding *b;
	struct ob_device *dev;
	char text[1400];
	int rc;

	rc = ob_device_open("qemu:edu", &dev, &err);
	if (rc) {
		fprintf(stderr, "%s\n", ob_error_text(&err, text, sizeof(text)));
		return 1;
	}
	rc = ob_driver_bind(dev, &factorial_driver, NULL, &b, &err);
	if (rc) {
		fprintf(stderr, "%s\n", ob_error_text(&err, text, sizeof(text)));
	} else {
		rc = b->chr->ops->ioctl(b->chr, 0, &val);
		if (rc)
			fprintf(stderr, "%llu! does not work: error %d\n", (unsigned long long)n,
				rc);
		else
			printf("%llu! = %llu\n", (unsigned long long)n, (unsigned long long)val);
		ob_driver_unbind(b);
	}
	ob_device_close(dev);
	return rc ? 1 : 0;
}
