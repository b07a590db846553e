/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Head of a WAV file: a RIFF form "WAVE" with a chunk "fmt " and then one "data" (IBM and Microsoft, Multimedia Programming
 * Interface and Data Specifications 1.0, 1991, chapter 3). Numbers are little-endian.
 */
#ifndef LINUX_KIT_WAV_H
#define LINUX_KIT_WAV_H

#include <stddef.h>
#include <stdint.h>

enum {
	WAV_HEAD = 44, /* as wav_write_head() makes it */
	WAV_HEAD_MAX =
		4096, /* what comes before the samples, at most: names and pictures come behind them */
};

/* Samples of one moment are a frame: one of each channel. */
struct wav_format {
	unsigned int channels, rate, bits;
};

/**
 * wav_read_head() - what the samples are, and where they begin
 * @buf: the first @len bytes of a file
 * @size: set to the bytes of samples that follow; all ones when the file does not know
 * Return: bytes before the samples; 0: it takes more of the file to tell; -EINVAL: no such file; -EOPNOTSUPP: samples of another
 * form than integers of 8 or 16 bits
 */
int wav_read_head(const void *buf, size_t len, struct wav_format *f, uint32_t *size);

/** wav_write_head() - of a file whose length nobody knows yet */
void wav_write_head(uint8_t buf[WAV_HEAD], const struct wav_format *f);

#endif
