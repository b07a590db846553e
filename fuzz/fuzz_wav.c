/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The head of a file that is to be played (linux/kit/wav.c), as it comes in pieces: no byte behind the piece is looked at, a place where the samples
 * begin lies in what came last, and what is decided stays so.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "fuzz/fuzz.h"
#include "kit/wav.h"

static int read_head(const uint8_t *data, size_t size, struct wav_format *f)
{
	/* Of exact size, so that the address sanitizer sees a byte too many. */
	uint8_t *exact = malloc(size ? size : 1);
	uint32_t samples = 0;
	int ret;

	CHECK(exact);
	if (size)
		memcpy(exact, data, size);
	memset(f, 0, sizeof(*f));
	ret = wav_read_head(exact, size, f, &samples);
	free(exact);
	CHECK(ret <= 0 || samples);
	return ret;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	size_t step = size ? 1 + data[0] % 64 : 1, before = 0;
	struct wav_format f, whole;
	uint8_t head[WAV_HEAD];
	int ret = 0, all;

	if (size > WAV_HEAD_MAX)
		size = WAV_HEAD_MAX;
	for (size_t len = 0; !ret && len <= size; len += step) {
		ret = read_head(data, len, &f);
		CHECK(ret <= (int)len);
		CHECK(ret <= 0 || (size_t)ret > before);
		before = len;
	}
	all = read_head(data, size, &whole);
	CHECK(!ret || (ret < 0) == (all < 0));
	if (ret <= 0) {
		CHECK(ret == 0 || ret == -EINVAL || ret == -EOPNOTSUPP);
		return 0;
	}
	CHECK(all == ret && !memcmp(&f, &whole, sizeof(f)));
	CHECK(f.channels && f.rate && (f.bits == 8 || f.bits == 16));
	/* What we write of it, we read. */
	wav_write_head(head, &f);
	CHECK(read_head(head, sizeof(head), &whole) == WAV_HEAD && !memcmp(&f, &whole, sizeof(f)));
	return 0;
}
