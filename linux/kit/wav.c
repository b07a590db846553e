/* SPDX-License-Identifier: BSD-2-Clause */
/* Head of a WAV file, see wav.h. Whoever plays one wrote it: nothing in it is believed. */
#include <errno.h>
#include <stdbool.h>
#include <string.h>

#include "kit/wav.h"

enum {
	FORM = 12, /* "RIFF", length, "WAVE" */
	CHUNK = 8, /* name, length */
	FMT_MIN = 16,
	FORMAT_PCM = 1, /* WAVE_FORMAT_PCM */
};

static uint32_t get32(const uint8_t *p)
{
	return (uint32_t)p[0] | (uint32_t)p[1] << 8 | (uint32_t)p[2] << 16 | (uint32_t)p[3] << 24;
}

static unsigned int get16(const uint8_t *p)
{
	return p[0] | (unsigned int)p[1] << 8;
}

static void put32(uint8_t *p, uint32_t v)
{
	for (int i = 0; i < 4; i++, v >>= 8)
		p[i] = (uint8_t)v;
}

static void put16(uint8_t *p, unsigned int v)
{
	p[0] = (uint8_t)v;
	p[1] = (uint8_t)(v >> 8);
}

static int read_fmt(const uint8_t *p, struct wav_format *f)
{
	f->channels = get16(p + 2);
	f->rate = get32(p + 4);
	f->bits = get16(p + 14);
	if (get16(p) != FORMAT_PCM || (f->bits != 8 && f->bits != 16))
		return -EOPNOTSUPP;
	if (!f->channels || f->channels > 8 || f->rate < 1000 || f->rate > 400000)
		return -EINVAL;
	return get16(p + 12) == f->channels * f->bits / 8 ? 0 : -EINVAL;
}

int wav_read_head(const void *buf, size_t len, struct wav_format *f, uint32_t *size)
{
	const uint8_t *p = buf;
	size_t at = FORM;
	bool known = false;
	int ret;

	if (memcmp(p, "RIFF", len < 4 ? len : 4))
		return -EINVAL;
	if (len < FORM)
		return 0;
	if (memcmp(p + 8, "WAVE", 4))
		return -EINVAL;
	while (at + CHUNK <= len) {
		uint32_t n = get32(p + at + 4);

		if (!memcmp(p + at, "data", 4)) {
			if (!known)
				return -EINVAL;
			/* Who writes to a pipe cannot say how much will come: 0 or as much as there can be. */
			*size = n ? n : ~0u;
			return (int)(at + CHUNK);
		}
		if (!memcmp(p + at, "fmt ", 4)) {
			if (n < FMT_MIN)
				return -EINVAL;
			if (at + CHUNK + FMT_MIN > len)
				return 0;
			ret = read_fmt(p + at + CHUNK, f);
			if (ret)
				return ret;
			known = true;
		}
		/* Chunks begin at even places. */
		if (n > WAV_HEAD_MAX)
			return -EINVAL;
		at += CHUNK + n + (n & 1);
	}
	return at > WAV_HEAD_MAX ? -EINVAL : 0;
}

void wav_write_head(uint8_t buf[WAV_HEAD], const struct wav_format *f)
{
	unsigned int frame = f->channels * f->bits / 8;

	memcpy(buf, "RIFF", 4);
	put32(buf + 4, ~0u);
	memcpy(buf + 8, "WAVEfmt ", 8);
	put32(buf + 16, FMT_MIN);
	put16(buf + 20, FORMAT_PCM);
	put16(buf + 22, f->channels);
	put32(buf + 24, f->rate);
	put32(buf + 28, f->rate * frame);
	put16(buf + 32, frame);
	put16(buf + 34, f->bits);
	memcpy(buf + 36, "data", 4);
	put32(buf + 40, ~0u);
}
