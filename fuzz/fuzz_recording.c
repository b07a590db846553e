/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Recordings (docs/record-replay.md): a file that anybody may have made is refused with a sentence or can be shown and played, whatever
 * a driver then does. The first byte says how the rest is taken: as a file, or as records, around which a file with the right checksums is made.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "access/record/recording.h"
#include "access/record/replay.h"
#include "fuzz/fuzz.h"

enum {
	ACCESSES = 300,
	RECORDS_SHOWN = 5000,
};

static void no_log(void *arg, enum ob_log_level level, const char *line)
{
	CHECK(strlen(line) < 1024);
}

/* Show every record, as `outboard record --print`. */
static void show(const struct recording *rec)
{
	struct record_places places = {0};
	struct record r;
	char line[320];

	for (uint64_t i = 0; i < recording_length(rec) && i < RECORDS_SHOWN; i++) {
		recording_get(rec, i, &r);
		CHECK(r.number == i && r.kind > 0 && r.kind < RECORD_KINDS);
		record_places_see(&places, &r);
		CHECK(record_text(&r, recording_info(rec), &places, line, sizeof(line)) == line);
		CHECK(memchr(line, '\0', sizeof(line)));
		for (const char *c = line; *c; c++)
			CHECK(*c >= ' ' || *c < 0);
	}
	recording_get(rec, UINT64_MAX, &r);
	CHECK(r.kind == RECORD_END);
	record_places_free(&places);
}

/* What the record is that is next, a driver does, mostly; so the fuzzer gets far. */
static void follow(struct ob_device *dev, const struct record *r, void **memory)
{
	struct ob_bar *bar;

	switch (r->kind) {
	case RECORD_CONFIG_READ:
		ob_config_read(dev, (unsigned int)r->off & 4095, r->size);
		break;
	case RECORD_CONFIG_WRITE:
		ob_config_write(dev, (unsigned int)r->off & 4095, r->size, (uint32_t)r->val);
		break;
	case RECORD_READ:
	case RECORD_WRITE:
		bar = ob_device_bar(dev, r->bar);
		if (!bar)
			break;
		if (r->kind == RECORD_READ)
			ob_bar_read_message(bar, r->off, r->size);
		else
			ob_bar_write_message(bar, r->off, r->size, r->val);
		break;
	case RECORD_MAP:
		/* At most 1 MiB: more is slow, and no other way. */
		ob_dma_free(ob_device_dma(dev), *memory);
		*memory = ob_dma_alloc(ob_device_dma(dev), (r->val & 0xfffff) + 1, 4096, "fuzz",
				       NULL);
		break;
	case RECORD_UNMAP:
		ob_dma_free(ob_device_dma(dev), *memory);
		*memory = NULL;
		break;
	case RECORD_IRQ_ENABLE:
		ob_irq_enable(dev, (enum ob_irq_kind)r->off, (unsigned int)r->count, NULL);
		break;
	case RECORD_IRQ_DISABLE:
		ob_irq_disable(dev);
		break;
	case RECORD_RESET:
		ob_device_reset(dev, NULL);
		break;
	case RECORD_FAULT: {
		struct ob_fault faults[3];

		CHECK(ob_device_faults(dev, faults, 3) <= 3);
		break;
	}
	default:
		ob_device_look(dev);
		break;
	}
}

static void play(const struct recording *rec, int fd)
{
	struct ob_replay_result result;
	struct ob_error err = {0};
	struct ob_device *dev;
	void *memory = NULL;
	char spec[64];
	struct record r;

	snprintf(spec, sizeof(spec), "replay:/proc/self/fd/%d", fd);
	if (ob_device_open(spec, &dev, &err)) {
		CHECK(err.code < 0 && err.what[0]);
		return;
	}
	ob_device_set_log(dev, no_log, NULL);
	for (unsigned int i = 0; i < ACCESSES && !ob_device_gone(dev); i++) {
		CHECK(!ob_replay_result(dev, &result));
		CHECK(result.record < result.records);
		recording_get(rec, result.record, &r);
		if (r.kind == RECORD_END)
			break;
		follow(dev, &r, &memory);
	}
	CHECK(!ob_replay_result(dev, &result));
	CHECK(!result.departed || result.text[0]);
	ob_dma_free(ob_device_dma(dev), memory);
	ob_device_close(dev);
}

/* A file of one chunk. */
static size_t wrap(const uint8_t *data, size_t size, uint8_t *file)
{
	const uint8_t head[12] = {'O', 'B', 'R', 'E', 'C', 'O', 'R', 'D', 1};
	uint32_t crc = recording_checksum(data, size);

	memcpy(file, head, sizeof(head));
	for (unsigned int i = 0; i < 4; i++) {
		file[12 + i] = (uint8_t)(size >> (8 * i));
		file[16 + i] = (uint8_t)(crc >> (8 * i));
	}
	memcpy(file + 20, data, size);
	return size + 20;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct recording *rec = NULL;
	struct ob_error err = {0};
	uint8_t *file;
	size_t len;
	int fd;

	if (size < 2 || size > 1 << 20)
		return 0;
	file = malloc(size + 20);
	if (!file)
		return 0;
	if (data[0] & 1) {
		len = wrap(data + 1, size - 1, file);
	} else {
		len = size - 1;
		memcpy(file, data + 1, len);
	}
	if (recording_parse("input", file, len, &rec, &err)) {
		CHECK(err.code < 0 && err.what[0]);
	} else {
		CHECK(recording_length(rec) >= 2);
		show(rec);
		fd = memfd_create("recording", MFD_CLOEXEC);
		if (fd >= 0 && write(fd, file, len) == (ssize_t)len)
			play(rec, fd);
		if (fd >= 0)
			close(fd);
	}
	recording_free(rec);
	free(file);
	return 0;
}
