/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * QEMU's educational PCI device: identification, liveness check, factorials, interrupts on demand, and
 * DMA between a 4 KiB buffer of its own and memory. Written from QEMU's "EDU device" specification
 * (docs/specs/edu); section names below are its. A character device: read and write reach the buffer.
 */
#include <errno.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "access/faultpoint.h"
#include "drivers/drivers.h"
#include "drivers/edu/edu.h"

/* "MMIO area spec": 32-bit registers below 0x80, 64-bit ones from there. */
enum {
	REG_IDENT = 0x00,
	REG_LIVE = 0x04,
	REG_FACTORIAL = 0x08,
	REG_STATUS = 0x20,
	REG_IRQ_STATUS = 0x24,
	REG_IRQ_RAISE = 0x60,
	REG_IRQ_ACK = 0x64,
	REG_DMA_SRC = 0x80,
	REG_DMA_DST = 0x88,
	REG_DMA_COUNT = 0x90,
	REG_DMA_CMD = 0x98,
	BAR_SIZE = 0x100000,
};

#define IDENT_MASK	 0x0000ffffu
#define IDENT_VALUE	 0x000000edu

#define STATUS_COMPUTING 0x01u
#define STATUS_IRQ	 0x80u /* interrupt when the factorial is done */

/* Bits of the interrupt status register. The device sets these two; all others are ours to raise. */
#define IRQ_FACTORIAL 0x001u
#define IRQ_DMA	      0x100u
#define IRQ_OWN	      0x010u /* what the self-test raises */

#define DMA_RUN	      0x1u
#define DMA_TO_RAM    0x2u
#define DMA_WANT_IRQ  0x4u

/* "DMA controller": where the buffer lies in the device's own address space. */
#define BUFFER_ADDRESS 0x40000u

/* A transfer takes 100 ms of the device's clock; a busy host may need much longer. */
#define DEFAULT_TIMEOUT_MS 10000u

/* The device drives 28 address bits unless it is told otherwise ("Command line switches"). */
#define DMA_BITS 28

/* How many interrupts of each kind the self-test takes. */
#define SELFTEST_IRQS 1000u

struct edu {
	struct ob_char chr;
	struct ob_device *dev;
	struct ob_bar *bar;
	struct ob_dma *dma;
	struct ob_irq *irq; /* NULL when polling */
	enum ob_irq_kind kind;
	unsigned int timeout_ms;
	bool dma_failed;      /* a transfer did not end: bus mastering is off for good */
	pthread_mutex_t lock; /* one action at a time: the device has one of each */
};

static struct edu *edu_of(struct ob_char *chr)
{
	return (struct edu *)((char *)chr - offsetof(struct edu, chr));
}

/* ---- interrupts -------------------------------------------------------------------- */

static void edu_irq_off(struct edu *e)
{
	if (!e->irq)
		return;
	ob_irq_close(e->irq);
	ob_irq_disable(e->dev);
	e->irq = NULL;
	e->kind = OB_IRQ_NONE;
}

static int edu_irq_on(struct edu *e, enum ob_irq_kind kind, struct ob_error *err)
{
	int rc;

	if (kind == OB_IRQ_NONE)
		return 0;
	/* What was raised before nobody waits for; an INTx line would stay high. */
	ob_write32(e->bar, REG_IRQ_ACK, ~0u);
	rc = ob_irq_enable(e->dev, kind, 1, err);
	if (rc)
		return rc;
	rc = ob_irq_open(e->dev, 0, 0, &e->irq, err);
	if (rc) {
		ob_irq_disable(e->dev);
		return rc;
	}
	e->kind = kind;
	return 0;
}

/*
 * Wait until the device interrupts with one of @bits, and acknowledge them. Others that come first
 * are acknowledged too: nobody else waits for them, and an INTx line stays high while any is set.
 */
static int edu_irq_wait(struct edu *e, uint32_t bits, uint32_t *got)
{
	uint64_t deadline = ob_clock_ms() + e->timeout_ms, now;

	for (;;) {
		uint32_t status;
		int rc;

		now = ob_clock_ms();
		if (now >= deadline)
			return -ETIMEDOUT;
		rc = ob_irq_wait(e->irq, (int)(deadline - now));
		if (rc == -EINTR)
			continue;
		if (rc < 0)
			return rc;
		if (!rc)
			return -ETIMEDOUT;
		status = ob_read32(e->bar, REG_IRQ_STATUS);
		if (ob_device_gone(e->dev))
			return -ENODEV;
		ob_write32(e->bar, REG_IRQ_ACK, status);
		ob_irq_unmask(e->irq);
		if (status & bits) {
			*got = status;
			return 0;
		}
	}
}

/* Poll a register until @mask is clear, sleeping a little longer each time, up to 1 ms. */
static int edu_poll_clear(struct edu *e, uint32_t reg, uint32_t mask)
{
	uint64_t deadline = ob_clock_ms() + e->timeout_ms;
	struct timespec pause = {0, 1000};

	while (ob_read32(e->bar, reg) & mask) {
		if (ob_device_gone(e->dev))
			return -ENODEV;
		if (ob_clock_ms() >= deadline)
			return -ETIMEDOUT;
		nanosleep(&pause, NULL);
		if (pause.tv_nsec < 1000000)
			pause.tv_nsec *= 2;
	}
	return 0;
}

/* ---- DMA --------------------------------------------------------------------------- */

/*
 * Move @len bytes between the device's buffer at @off and @buf. The device does not check the
 * range of its own buffer (QEMU's model ends itself when it is exceeded, see edu.h), so we do.
 */
static int edu_dma(struct edu *e, void *buf, unsigned long len, uint64_t off, bool to_ram)
{
	enum ob_dma_dir dir = to_ram ? OB_DMA_FROM_DEVICE : OB_DMA_TO_DEVICE;
	struct ob_dma_mapping map;
	uint32_t cmd = DMA_RUN, got;
	uint64_t own;
	int rc, unmap_rc;

	if (off > EDU_REACH || len > EDU_REACH - off)
		return -ERANGE;
	if (!len)
		return 0;
	if (e->dma_failed)
		return -EIO;
	rc = ob_dma_map(e->dma, buf, len, dir, &map);
	if (rc)
		return rc;

	own = BUFFER_ADDRESS + off;
	ob_write64(e->bar, REG_DMA_SRC, to_ram ? own : map.iova.addr);
	ob_write64(e->bar, REG_DMA_DST, to_ram ? map.iova.addr : own);
	ob_write64(e->bar, REG_DMA_COUNT, len);
	if (to_ram)
		cmd |= DMA_TO_RAM;
	if (e->irq)
		cmd |= DMA_WANT_IRQ;
	ob_wmb(); /* the device reads the payload once it has the command */
	OB_FAULT_POINT("edu.before-dma");
	ob_write64(e->bar, REG_DMA_CMD, cmd);
	OB_FAULT_POINT("edu.after-dma");
	if (e->irq)
		rc = edu_irq_wait(e, IRQ_DMA, &got);
	else
		rc = edu_poll_clear(e, REG_DMA_CMD, DMA_RUN);
	if (rc) {
		/*
		 * It may still run, there is no abort, and the memory is about to be used for
		 * something else: take the bus away.
		 */
		e->dma_failed = true;
		ob_device_bus_master(e->dev, false);
	}
	OB_FAULT_POINT("edu.dma-ended");
	ob_rmb();
	unmap_rc = ob_dma_unmap(&map);
	return rc ? rc : unmap_rc;
}

/*
 * A process that died may have left a transfer under way. It cannot be aborted, and its memory is somebody else's by now, so
 * it ends with bus mastering off. Until it has, the device ignores what is written to its DMA registers.
 */
static int edu_settle(struct edu *e)
{
	int rc = 0;

	if (ob_read32(e->bar, REG_DMA_CMD) & DMA_RUN) {
		ob_device_bus_master(e->dev, false);
		rc = edu_poll_clear(e, REG_DMA_CMD, DMA_RUN);
	}
	/* Also after a binding that took it away. */
	if (!rc)
		ob_device_bus_master(e->dev, true);
	return rc;
}

static long edu_read(struct ob_char *chr, void *buf, unsigned long len, uint64_t off)
{
	struct edu *e = edu_of(chr);
	int rc;

	pthread_mutex_lock(&e->lock);
	rc = edu_dma(e, buf, len, off, true);
	pthread_mutex_unlock(&e->lock);
	return rc ? rc : (long)len;
}

static long edu_write(struct ob_char *chr, const void *buf, unsigned long len, uint64_t off)
{
	struct edu *e = edu_of(chr);
	int rc;

	pthread_mutex_lock(&e->lock);
	rc = edu_dma(e, (void *)(uintptr_t)buf, len, off, false);
	pthread_mutex_unlock(&e->lock);
	return rc ? rc : (long)len;
}

/* ---- the rest of the card ----------------------------------------------------------- */

static int edu_live(struct edu *e, uint64_t *val)
{
	ob_write32(e->bar, REG_LIVE, (uint32_t)*val);
	*val = ob_read32(e->bar, REG_LIVE);
	return ob_device_gone(e->dev) ? -ENODEV : 0;
}

static int edu_factorial(struct edu *e, bool by_irq, uint64_t *val)
{
	uint32_t got;
	int rc;

	if (*val > EDU_FACTORIAL_MAX)
		return -ERANGE;
	if (by_irq && !e->irq)
		return -EOPNOTSUPP;
	OB_FAULT_POINT("edu.before-factorial");
	ob_write32(e->bar, REG_STATUS, by_irq ? STATUS_IRQ : 0);
	ob_write32(e->bar, REG_FACTORIAL, (uint32_t)*val);
	if (by_irq) {
		rc = edu_irq_wait(e, IRQ_FACTORIAL, &got);
		ob_write32(e->bar, REG_STATUS, 0);
	} else {
		rc = edu_poll_clear(e, REG_STATUS, STATUS_COMPUTING);
	}
	if (rc)
		return rc;
	*val = ob_read32(e->bar, REG_FACTORIAL);
	return ob_device_gone(e->dev) ? -ENODEV : 0;
}

static int edu_raise(struct edu *e, uint64_t *val)
{
	uint32_t got;
	int rc;

	if (!*val || *val > UINT32_MAX)
		return -ERANGE;
	if (!e->irq)
		return -EOPNOTSUPP;
	ob_write32(e->bar, REG_IRQ_RAISE, (uint32_t)*val);
	rc = edu_irq_wait(e, (uint32_t)*val, &got);
	if (!rc)
		*val = got;
	return rc;
}

static int edu_irq_switch(struct edu *e, uint64_t *val)
{
	enum ob_irq_kind before = e->kind, kind;
	int rc;

	if (*val > OB_IRQ_MSIX)
		return -ERANGE;
	kind = (enum ob_irq_kind) * val;
	if (kind != OB_IRQ_NONE && !ob_irq_count(e->dev, kind))
		return -EOPNOTSUPP;
	edu_irq_off(e);
	rc = edu_irq_on(e, kind, NULL);
	*val = before;
	return rc;
}

static int edu_do(struct edu *e, unsigned int cmd, uint64_t *val)
{
	switch (cmd) {
	case EDU_IDENT:
		*val = ob_read32(e->bar, REG_IDENT);
		return ob_device_gone(e->dev) ? -ENODEV : 0;
	case EDU_LIVE:
		return edu_live(e, val);
	case EDU_FACTORIAL:
	case EDU_FACTORIAL_IRQ:
		return edu_factorial(e, cmd == EDU_FACTORIAL_IRQ, val);
	case EDU_RAISE:
		return edu_raise(e, val);
	case EDU_IRQ_KIND:
		return edu_irq_switch(e, val);
	}
	return -ENOTTY;
}

static int edu_ioctl(struct ob_char *chr, unsigned int cmd, uint64_t *val)
{
	struct edu *e = edu_of(chr);
	int rc;

	if (ob_device_gone(e->dev))
		return -ENODEV;
	pthread_mutex_lock(&e->lock);
	rc = edu_do(e, cmd, val);
	pthread_mutex_unlock(&e->lock);
	return rc;
}

/* As docs/cuse.md has it: a number, and its factorial. */
static long edu_answer(struct ob_char *chr, const char *line, char *reply, unsigned long size)
{
	struct edu *e = edu_of(chr);
	unsigned long n;
	uint64_t val;
	char *end;
	int rc;

	n = strtoul(line, &end, 10);
	if (*line < '0' || *line > '9' || *end)
		return -EINVAL;
	val = n;
	rc = edu_ioctl(chr, e->irq ? EDU_FACTORIAL_IRQ : EDU_FACTORIAL, &val);
	if (rc)
		return rc;
	rc = snprintf(reply, size, "%llu\n", (unsigned long long)val);
	return (unsigned long)rc < size ? rc : -EOVERFLOW;
}

static const struct ob_char_ops edu_char_ops = {
	.read = edu_read,
	.write = edu_write,
	.ioctl = edu_ioctl,
	.answer = edu_answer,
};

/* ---- self-test ---------------------------------------------------------------------- */

struct report {
	struct ob_selftest_line *lines;
	unsigned int n, max;
};

static void __attribute__((format(printf, 4, 5)))
report(struct report *r, const char *name, int result, const char *fmt, ...)
{
	struct ob_selftest_line *line;
	va_list ap;

	if (r->n == r->max)
		return;
	line = &r->lines[r->n++];
	snprintf(line->name, sizeof(line->name), "%s", name);
	line->result = result;
	va_start(ap, fmt);
	vsnprintf(line->detail, sizeof(line->detail), fmt, ap);
	va_end(ap);
}

static void test_registers(struct edu *e, struct report *r)
{
	uint64_t val = 0, want = 0xa5c30f96;
	int rc;

	rc = edu_do(e, EDU_IDENT, &val);
	if (!rc && (val & IDENT_MASK) != IDENT_VALUE)
		rc = -ENODEV;
	report(r, "identification", rc, "register %08llx, version %u.%u", (unsigned long long)val,
	       (unsigned int)(val >> 24) & 0xff, (unsigned int)(val >> 16) & 0xff);

	val = want;
	rc = edu_do(e, EDU_LIVE, &val);
	if (!rc && val != (~want & UINT32_MAX))
		rc = -EIO;
	report(r, "liveness", rc, "wrote %08llx, read %08llx", (unsigned long long)want,
	       (unsigned long long)val);

	val = 10;
	rc = edu_do(e, EDU_FACTORIAL, &val);
	if (!rc && val != 3628800)
		rc = -EIO;
	report(r, "factorial, polled", rc, "10! = %llu", (unsigned long long)val);
}

static void test_irq_kind(struct edu *e, enum ob_irq_kind kind, struct report *r)
{
	const char *kind_name = ob_irq_kind_name(kind);
	unsigned int done;
	uint64_t val = kind;
	char name[40];
	int rc;

	snprintf(name, sizeof(name), "factorial, %s", kind_name);
	if (!ob_irq_count(e->dev, kind)) {
		report(r, name, 1, "the device has no %s here", kind_name);
		return;
	}
	rc = edu_irq_switch(e, &val);
	val = 12;
	if (!rc)
		rc = edu_do(e, EDU_FACTORIAL_IRQ, &val);
	if (!rc && val != 479001600)
		rc = -EIO;
	report(r, name, rc, "12! = %llu", (unsigned long long)val);

	for (done = 0; !rc && done < SELFTEST_IRQS; done++) {
		val = IRQ_OWN;
		rc = edu_do(e, EDU_RAISE, &val);
	}
	snprintf(name, sizeof(name), "interrupts, %s", kind_name);
	report(r, name, rc, "%u of %u arrived", rc && done ? done - 1 : done, SELFTEST_IRQS);
}

static void test_dma(struct edu *e, struct report *r)
{
	uint8_t *keep, *out, *in;
	int rc;

	keep = malloc(3 * EDU_REACH);
	if (!keep) {
		report(r, "DMA", -ENOMEM, "no memory");
		return;
	}
	out = keep + EDU_REACH;
	in = out + EDU_REACH;
	for (unsigned int i = 0; i < EDU_REACH; i++)
		out[i] = (uint8_t)(i * 7 + (i >> 8));
	memset(in, 0, EDU_REACH);

	/* The buffer is given back as it was. */
	rc = edu_dma(e, keep, EDU_REACH, 0, true);
	if (!rc)
		rc = edu_dma(e, out, EDU_REACH, 0, false);
	report(r, "DMA to the device", rc, "%u bytes", EDU_REACH);
	if (!rc) {
		rc = edu_dma(e, in, EDU_REACH, 0, true);
		if (!rc && memcmp(in, out, EDU_REACH))
			rc = -EILSEQ;
		report(r, "DMA from the device", rc, "%u bytes, compared", EDU_REACH);
		if (edu_dma(e, keep, EDU_REACH, 0, false))
			report(r, "DMA buffer restored", -EIO, "its old content is lost");
	}
	rc = edu_dma(e, in, 2, EDU_REACH - 1, true);
	report(r, "DMA past the buffer refused", rc == -ERANGE ? 0 : -EIO, "2 bytes at %u",
	       EDU_REACH - 1);
	free(keep);
}

static int edu_selftest(struct ob_binding *b, struct ob_selftest_line *lines, unsigned int n)
{
	struct report r = {.lines = lines, .max = n};
	struct edu *e = b->priv;
	uint64_t before = e->kind;

	pthread_mutex_lock(&e->lock);
	test_registers(e, &r);
	test_irq_kind(e, OB_IRQ_INTX, &r);
	test_irq_kind(e, OB_IRQ_MSI, &r);
	if (edu_irq_switch(e, &before))
		report(&r, "interrupts restored", -EIO, "cannot switch back");
	test_dma(e, &r);
	pthread_mutex_unlock(&e->lock);
	return (int)r.n;
}

/* ---- driver -------------------------------------------------------------------------- */

static int edu_probe(struct ob_binding *b, struct ob_error *err)
{
	const char *name = ob_device_info(b->dev)->name;
	enum ob_irq_kind kind = b->config.irq_kind;
	struct edu *e;
	uint32_t ident;
	int rc;

	e = OB_FAULT_ERROR("edu.probe") ? NULL : calloc(1, sizeof(*e));
	if (!e)
		return ob_error_set(err, -ENOMEM, "no memory for %s", name);
	e->dev = b->dev;
	e->dma = ob_device_dma(b->dev);
	e->timeout_ms = b->config.timeout_ms ? b->config.timeout_ms : DEFAULT_TIMEOUT_MS;
	e->bar = ob_device_bar(b->dev, 0);
	if (!e->bar || e->bar->kind != OB_BAR_MEM || e->bar->size < BAR_SIZE) {
		rc = ob_error_set(err, -ENODEV, "%s has no register BAR of 1 MiB", name);
		goto free;
	}
	ident = ob_read32(e->bar, REG_IDENT);
	if ((ident & IDENT_MASK) != IDENT_VALUE) {
		rc = ob_error_set(err, -ENODEV, "%s does not identify as an edu device", name);
		ob_error_why(err, "register 0 reads %08x, not RRrr00ed", ident);
		goto free;
	}
	rc = edu_settle(e);
	if (rc) {
		ob_error_set(err, rc, "%s: an earlier transfer does not end", name);
		goto free;
	}
	rc = ob_dma_set_mask(e->dma, DMA_BITS, err);
	if (rc)
		goto free;
	if (b->config.mode != OB_MODE_POLL) {
		if (kind == OB_IRQ_NONE)
			kind = ob_irq_count(b->dev, OB_IRQ_MSI) ? OB_IRQ_MSI : OB_IRQ_INTX;
		rc = edu_irq_on(e, kind, err);
		if (rc)
			goto free;
	}
	OB_FAULT_POINT("edu.probe.vectors");
	pthread_mutex_init(&e->lock, NULL);
	e->chr.ops = &edu_char_ops;
	e->chr.dev = b->dev;
	e->chr.driver = ob_driver_edu.name;
	snprintf(e->chr.name, sizeof(e->chr.name), "edu");
	b->priv = e;
	b->chr = &e->chr;
	return 0;

free:
	free(e);
	return rc;
}

static void edu_remove(struct ob_binding *b)
{
	struct edu *e = b->priv;

	OB_FAULT_POINT("edu.remove");
	edu_irq_off(e);
	pthread_mutex_destroy(&e->lock);
	free(e);
}

static const struct ob_pci_id edu_ids[] = {
	{.vendor = 0x1234, .device = 0x11e8, .name = "QEMU educational device"},
	{0},
};

const struct ob_driver ob_driver_edu = {
	.name = "edu",
	.summary = "QEMU's educational device: factorials, interrupts, DMA",
	.datasheet = "QEMU documentation, EDU device (docs/specs/edu)",
	.class_ = OB_CLASS_CHAR,
	.ids = edu_ids,
	.probe = edu_probe,
	.remove = edu_remove,
	.selftest = edu_selftest,
};
