/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The PC speaker by port I/O alone, in the spirit of the example of P. Chubb, "Get more device drivers
 * out of the kernel" (OLS 2004): counter 2 of the 8254 timer makes a square wave, port 61h lets it
 * through to the speaker. Written from the Intel 8254 datasheet (231164) and, for port 61h, the PIIX4
 * datasheet (82371AB), 4.2.4.1 "NMISC". It has no PCI function, no memory and no interrupt.
 */
#include <errno.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>

#include "access/faultpoint.h"
#include "drivers/beep/beep.h"
#include "drivers/drivers.h"

/* 8254 at 40h: only counter 2 and the control word are ours; counters 0 and 1 are the system's. */
enum {
	PIT_BASE = 0x42,
	PIT_PORTS = 2,
	PIT_COUNTER_2 = 0,
	PIT_CONTROL = 1,
	GATE_BASE = 0x61,
};

/* "Control Word Format": counter 2, low byte then high byte, mode 3 (square wave), binary. */
#define CONTROL_SQUARE_WAVE 0xb6
/* "Read-Back Command": latch the status of counter 2 alone. */
#define CONTROL_READ_STATUS 0xe8
/* "Status Byte": what was programmed comes back in bits 5:0 (access, mode, BCD). */
#define STATUS_PROGRAMMED 0x3f

/* NMISC: 1:0 enable; 3:2 NMI masks, kept; 7:4 are read only and written as 0. */
#define GATE_COUNTER_2 0x01
#define GATE_SPEAKER   0x02
#define GATE_KEEP      0x0c
#define GATE_OUT2      0x20 /* output of counter 2 */

/* Periods that are enough for a measurement, and how long it may listen for them. */
#define MEASURE_PERIODS 32
#define MEASURE_MAX_MS	10000

struct beep {
	struct ob_char chr;
	struct ob_device *dev;
	struct ob_bar pit, gate;
	unsigned int divisor;
	pthread_mutex_t lock; /* a divisor is two writes that belong together */
};

static struct beep *beep_of(struct ob_char *chr)
{
	return (struct beep *)((char *)chr - offsetof(struct beep, chr));
}

static void beep_gate(struct beep *beep, uint8_t bits)
{
	uint8_t keep = ob_read8(&beep->gate, 0) & GATE_KEEP;

	ob_write8(&beep->gate, 0, keep | bits);
}

static void beep_program(struct beep *beep, unsigned int divisor)
{
	beep->divisor = divisor;
	ob_write8(&beep->pit, PIT_CONTROL, CONTROL_SQUARE_WAVE);
	ob_write8(&beep->pit, PIT_COUNTER_2, divisor & 0xff);
	OB_FAULT_POINT("beep.half-a-divisor");
	ob_write8(&beep->pit, PIT_COUNTER_2, divisor >> 8);
}

static int beep_start(struct beep *beep, uint64_t *hz)
{
	unsigned int divisor;

	if (*hz < BEEP_MIN_HZ || *hz > BEEP_MAX_HZ)
		return -ERANGE;
	divisor = (unsigned int)((BEEP_CLOCK_HZ + *hz / 2) / *hz);
	beep_program(beep, divisor);
	beep_gate(beep, GATE_COUNTER_2 | GATE_SPEAKER);
	*hz = (BEEP_CLOCK_HZ + divisor / 2) / divisor;
	ob_device_flush(beep->dev);
	return 0;
}

static int compare_periods(const void *a, const void *b)
{
	uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;

	return x < y ? -1 : x > y;
}

/*
 * Watch the output and take the time between rising edges. A process that loses the processor misses
 * edges, or sees them late: between the questions to which two answers belong anything may have happened.
 * So a period counts only if no such pair lies further apart than an eighth of what was programmed; nothing
 * up to four times that frequency goes unseen then. Of the periods that count the middle one is the answer.
 */
static int beep_measure(struct beep *beep, uint64_t *val)
{
	uint64_t fine = 1000000000ull * beep->divisor / BEEP_CLOCK_HZ / 8;
	uint64_t period[MEASURE_PERIODS], end, asked, answered, asked_before, gap = 0, edge = 0;
	unsigned int n = 0;
	bool high = true; /* the first edge counts only when a low level was seen before it */

	if (!*val || *val > MEASURE_MAX_MS)
		return -ERANGE;
	asked_before = asked = ob_clock_ns();
	end = asked + *val * 1000000;
	while (asked < end && n < MEASURE_PERIODS) {
		bool level = ob_read8(&beep->gate, 0) & GATE_OUT2;

		answered = ob_clock_ns();
		if (answered - asked_before > gap)
			gap = answered - asked_before;
		if (level && !high) {
			if (edge && gap <= fine)
				period[n++] = answered - edge;
			edge = answered;
			gap = answered - asked_before; /* that much earlier it may have been */
		}
		high = level;
		asked_before = asked;
		asked = answered;
	}
	if (ob_device_gone(beep->dev))
		return -ENODEV;
	if (!n)
		return edge ? -EAGAIN : -EIO;
	qsort(period, n, sizeof(period[0]), compare_periods);
	*val = (1000000000 + period[n / 2] / 2) / period[n / 2];
	return 0;
}

static int beep_do(struct beep *beep, unsigned int cmd, uint64_t *val)
{
	switch (cmd) {
	case BEEP_START:
		return beep_start(beep, val);
	case BEEP_STOP:
		beep_gate(beep, 0);
		ob_device_flush(beep->dev);
		return 0;
	case BEEP_MEASURE:
		return beep_measure(beep, val);
	}
	return -ENOTTY;
}

static int beep_ioctl(struct ob_char *chr, unsigned int cmd, uint64_t *val)
{
	struct beep *beep = beep_of(chr);
	int rc;

	if (ob_device_gone(beep->dev))
		return -ENODEV;
	pthread_mutex_lock(&beep->lock);
	rc = beep_do(beep, cmd, val);
	pthread_mutex_unlock(&beep->lock);
	return rc;
}

/* As docs/cuse.md has it: a frequency, and the one that is heard; 0 is silence. */
static long beep_answer(struct ob_char *chr, const char *line, char *reply, unsigned long size)
{
	uint64_t hz;
	char *end;
	int rc;

	hz = strtoul(line, &end, 10);
	if (*line < '0' || *line > '9' || *end)
		return -EINVAL;
	rc = beep_ioctl(chr, hz ? BEEP_START : BEEP_STOP, &hz);
	if (rc)
		return rc;
	rc = snprintf(reply, size, "%llu\n", (unsigned long long)hz);
	return (unsigned long)rc < size ? rc : -EOVERFLOW;
}

static const struct ob_char_ops beep_char_ops = {
	.ioctl = beep_ioctl,
	.answer = beep_answer,
};

static int beep_selftest(struct ob_binding *b, struct ob_selftest_line *lines, unsigned int n)
{
	static const unsigned int notes[] = {262, 440, 880};
	struct beep *beep = b->priv;
	unsigned int i;

	pthread_mutex_lock(&beep->lock);
	for (i = 0; i < n && i < sizeof(notes) / sizeof(notes[0]); i++) {
		uint64_t hz = notes[i], heard = MEASURE_MAX_MS;
		int rc;

		rc = beep_start(beep, &hz);
		if (!rc)
			rc = beep_measure(beep, &heard);
		/* A fifth either way: the clock is the host's, who may be busy. */
		if (!rc && (heard * 5 < hz * 4 || heard * 5 > hz * 6))
			rc = -EIO;
		snprintf(lines[i].name, sizeof(lines[i].name), "beep at %u Hz", notes[i]);
		lines[i].result = rc == -EAGAIN ? 1 : rc;
		if (rc == -EAGAIN)
			snprintf(lines[i].detail, sizeof(lines[i].detail),
				 "this machine is too busy to watch the output");
		else
			snprintf(lines[i].detail, sizeof(lines[i].detail), "%llu Hz at the output",
				 rc && rc != -EIO ? 0 : (unsigned long long)heard);
	}
	beep_gate(beep, 0);
	pthread_mutex_unlock(&beep->lock);
	return (int)i;
}

static int beep_probe(struct ob_binding *b, struct ob_error *err)
{
	const char *name = ob_device_info(b->dev)->name;
	struct beep *beep;
	uint8_t status;
	int rc;

	beep = OB_FAULT_ERROR("beep.probe") ? NULL : calloc(1, sizeof(*beep));
	if (!beep)
		return ob_error_set(err, -ENOMEM, "no memory for %s", name);
	beep->dev = b->dev;
	rc = ob_ports_claim(b->dev, PIT_BASE, PIT_PORTS, &beep->pit, err);
	if (rc)
		goto free;
	rc = ob_ports_claim(b->dev, GATE_BASE, 1, &beep->gate, err);
	if (rc)
		goto free;

	/* Silent, then a divisor, then ask the timer what it was told. */
	beep_gate(beep, 0);
	beep_program(beep, BEEP_CLOCK_HZ / 440);
	ob_write8(&beep->pit, PIT_CONTROL, CONTROL_READ_STATUS);
	status = ob_read8(&beep->pit, PIT_COUNTER_2);
	if ((status & STATUS_PROGRAMMED) != (CONTROL_SQUARE_WAVE & STATUS_PROGRAMMED)) {
		rc = ob_error_set(err, -ENODEV, "%s has no 8254 timer at port 40h", name);
		ob_error_why(err, "counter 2 reads back status %02x after control word %02x",
			     status, CONTROL_SQUARE_WAVE);
		goto free;
	}
	pthread_mutex_init(&beep->lock, NULL);
	beep->chr.ops = &beep_char_ops;
	beep->chr.dev = b->dev;
	beep->chr.driver = ob_driver_beep.name;
	snprintf(beep->chr.name, sizeof(beep->chr.name), "speaker");
	b->priv = beep;
	b->chr = &beep->chr;
	return 0;

free:
	free(beep);
	return rc;
}

static void beep_remove(struct ob_binding *b)
{
	struct beep *beep = b->priv;

	OB_FAULT_POINT("beep.remove");
	beep_gate(beep, 0);
	ob_device_flush(beep->dev);
	pthread_mutex_destroy(&beep->lock);
	free(beep);
}

/* Legacy ports have no ids: a device that is nothing but ports says 0 everywhere. */
static const struct ob_pci_id beep_ids[] = {
	{.vendor = 0, .device = 0, .class_mask = 0xffffff, .name = "PC speaker (legacy ports)"},
	{0},
};

const struct ob_driver ob_driver_beep = {
	.name = "beep",
	.summary = "PC speaker by port I/O: 8254 counter 2 and port 61h",
	.datasheet = "Intel 8254 (231164), Intel 82371AB 4.2.4.1 (port 61h)",
	.class_ = OB_CLASS_CHAR,
	.ids = beep_ids,
	.probe = beep_probe,
	.remove = beep_remove,
	.selftest = beep_selftest,
};
