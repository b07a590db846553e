/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Sound by the kernel's PCM nodes (its include/uapi/sound/asound.h, Documentation/sound/designs): what a client writes is a WAV file that is
 * played, what it reads is one that is being recorded.
 */
#include <errno.h>
#include <sound/asound.h>
#include <stdlib.h>
#include <string.h>

#include "kit/char.h"
#include "kit/wav.h"

enum {
	FRAME_MAX = 16, /* 8 channels of 16 bits */
	/* One interrupt for so many bytes, where the device lets us choose. */
	PERIOD_MIN = 4096,
};

/**
 * struct kit_sound - the streams of whoever has the device open
 * @play, @rec: files of the kernel's, or NULL
 * @head: of the file that is played, until its samples begin (@head_len); afterwards bytes of a frame that is not complete
 * @left: bytes of samples that the file says will come
 * @rec_at: bytes of the recorded file's head that were read
 * @rec_head: the recorded file's head
 * @rest: of a recorded frame, of which @rest_len bytes were not read
 */
struct kit_sound {
	void *play, *rec;
	struct wav_format format, rec_format;
	uint8_t head[WAV_HEAD_MAX];
	size_t head_len;
	uint32_t left;
	uint8_t rec_head[WAV_HEAD];
	size_t rec_at;
	uint8_t rest[FRAME_MAX];
	size_t rest_len;
	unsigned int underruns;
};

static unsigned int frame_size(const struct wav_format *f)
{
	return f->channels * f->bits / 8;
}

/* ---- parameters ------------------------------------------------------------------------------ */

static void any(struct snd_pcm_hw_params *p)
{
	memset(p, 0, sizeof(*p));
	memset(p->masks, 0xff, sizeof(p->masks));
	for (size_t i = 0; i < sizeof(p->intervals) / sizeof(p->intervals[0]); i++)
		p->intervals[i].max = ~0u;
	p->rmask = ~0u;
	p->info = ~0u;
}

static void want_mask(struct snd_pcm_hw_params *p, unsigned int param, unsigned int value)
{
	struct snd_mask *mask = &p->masks[param - SNDRV_PCM_HW_PARAM_FIRST_MASK];

	memset(mask, 0, sizeof(*mask));
	mask->bits[value / 32] = 1u << value % 32;
}

static struct snd_interval *interval(struct snd_pcm_hw_params *p, unsigned int param)
{
	return &p->intervals[param - SNDRV_PCM_HW_PARAM_FIRST_INTERVAL];
}

static void want(struct snd_pcm_hw_params *p, unsigned int param, unsigned int min,
		 unsigned int max)
{
	*interval(p, param) = (struct snd_interval){.min = min, .max = max};
}

/**
 * describe() - what is wanted of the stream
 * @off: the rate may be so much off
 * @period: bytes from one interrupt to the next, at least
 */
static void describe(struct snd_pcm_hw_params *p, const struct wav_format *f, unsigned int off,
		     unsigned int period)
{
	any(p);
	want_mask(p, SNDRV_PCM_HW_PARAM_ACCESS, (unsigned int)SNDRV_PCM_ACCESS_RW_INTERLEAVED);
	want_mask(p, SNDRV_PCM_HW_PARAM_FORMAT,
		  (unsigned int)(f->bits == 8 ? SNDRV_PCM_FORMAT_U8 : SNDRV_PCM_FORMAT_S16_LE));
	want(p, SNDRV_PCM_HW_PARAM_CHANNELS, f->channels, f->channels);
	want(p, SNDRV_PCM_HW_PARAM_RATE, f->rate - off, f->rate + off);
	if (period)
		want(p, SNDRV_PCM_HW_PARAM_PERIOD_BYTES, period, ~0u);
}

static long set_up(struct kit_char *c, void *file, const struct wav_format *f, bool play)
{
	struct snd_pcm_hw_params p;
	struct snd_pcm_sw_params sw = {.period_step = 1, .avail_min = 1, .xfer_align = 1};
	/* A clock that is divided does not meet every rate: a hundredth off is not heard. */
	const struct {
		unsigned int off, period;
	} ways[] = {{0, PERIOD_MIN}, {0, 0}, {f->rate / 100, PERIOD_MIN}, {f->rate / 100, 0}};
	unsigned long buffer;
	long ret = -EINVAL;

	for (unsigned int i = 0; i < sizeof(ways) / sizeof(ways[0]) && ret == -EINVAL; i++) {
		describe(&p, f, ways[i].off, ways[i].period);
		ret = kit_node_ioctl(c, file, SNDRV_PCM_IOCTL_HW_PARAMS, &p);
	}
	if (ret == -EINVAL)
		ob_device_log(c->k->dev, OB_LOG_ERROR,
			      "linux: %s has no %u channels of %u bits at %u Hz", c->driver,
			      f->channels, f->bits, f->rate);
	if (ret)
		return ret;
	/* It begins when the buffer is full, or all is there: a file that fits into it has no underrun. */
	buffer = interval(&p, SNDRV_PCM_HW_PARAM_BUFFER_SIZE)->min;
	sw.start_threshold = play ? buffer : 1;
	sw.stop_threshold = buffer;
	ret = kit_node_ioctl(c, file, SNDRV_PCM_IOCTL_SW_PARAMS, &sw);
	return ret ? ret : kit_node_ioctl(c, file, SNDRV_PCM_IOCTL_PREPARE, NULL);
}

static long open_stream(struct kit_char *c, const char *node, const struct wav_format *f, bool play,
			void **file)
{
	void *opened;
	long ret;

	if (!*node)
		return -EOPNOTSUPP;
	ret = kit_node_open(c, node, !play, play, &opened);
	if (ret)
		return ret;
	ret = set_up(c, opened, f, play);
	if (ret)
		kit_node_close(c, opened);
	else
		*file = opened;
	return ret;
}

/* ---- to be played -------------------------------------------------------------------------------- */

/* Whole frames. 0 or a negative errno value. */
static long play_frames(struct kit_char *c, const uint8_t *buf, unsigned long frames)
{
	struct kit_sound *s = c->sound;

	while (frames) {
		struct snd_xferi x = {.buf = (void *)buf, .frames = frames};
		long ret = kit_node_ioctl(c, s->play, SNDRV_PCM_IOCTL_WRITEI_FRAMES, &x);

		/* Nothing was there to be played in time, or the device slept meanwhile: it begins again. */
		if (ret == -EPIPE || ret == -ESTRPIPE) {
			s->underruns++;
			ret = kit_node_ioctl(c, s->play, SNDRV_PCM_IOCTL_PREPARE, NULL);
			if (!ret)
				continue;
		}
		if (ret)
			return ret;
		if (x.result <= 0 || (unsigned long)x.result > frames)
			return -EIO;
		frames -= (unsigned long)x.result;
		buf += (unsigned long)x.result * frame_size(&s->format);
	}
	return 0;
}

static long play(struct kit_char *c, const uint8_t *buf, unsigned long len)
{
	struct kit_sound *s = c->sound;
	unsigned int frame = frame_size(&s->format);
	long ret;

	/* What comes behind the samples is not for the ear. All ones: they never end. */
	if (s->left != ~0u) {
		len = len < s->left ? len : s->left;
		s->left -= (uint32_t)len;
	}
	while (len && s->head_len) {
		s->head[s->head_len++] = *buf++;
		len--;
		if (s->head_len < frame)
			continue;
		s->head_len = 0;
		ret = play_frames(c, s->head, 1);
		if (ret)
			return ret;
	}
	ret = play_frames(c, buf, len / frame);
	if (ret)
		return ret;
	memcpy(s->head, buf + len / frame * frame, len % frame);
	s->head_len += len % frame;
	return 0;
}

static long sound_write(struct kit_char *c, const void *buf, unsigned long len)
{
	struct kit_sound *s = c->sound;
	size_t before = s->head_len, more;
	long ret;
	int at;

	if (s->play) {
		ret = play(c, buf, len);
		return ret ? ret : (long)len;
	}
	more = sizeof(s->head) - s->head_len;
	more = more < len ? more : len;
	memcpy(s->head + s->head_len, buf, more);
	s->head_len += more;
	at = wav_read_head(s->head, s->head_len, &s->format, &s->left);
	if (!at)
		return s->head_len < sizeof(s->head) ? (long)len : -EINVAL;
	if (at < 0)
		return at;
	ret = open_stream(c, c->node, &s->format, true, &s->play);
	if (ret)
		return ret;
	/* The samples behind the head, which ended in this piece. */
	s->head_len = 0;
	at -= (int)before;
	ret = play(c, (const uint8_t *)buf + at, len - (unsigned long)at);
	return ret ? ret : (long)len;
}

/* ---- recorded ---------------------------------------------------------------------------------------- */

static long start_recording(struct kit_char *c)
{
	/* A compact disc's, and what AC97 has in any case. */
	static const unsigned int rates[] = {44100, 48000};
	struct kit_sound *s = c->sound;
	long ret = -EINVAL;

	for (unsigned int i = 0; i < 2 && ret == -EINVAL; i++) {
		s->rec_format = (struct wav_format){.channels = 2, .rate = rates[i], .bits = 16};
		ret = open_stream(c, c->record, &s->rec_format, false, &s->rec);
	}
	wav_write_head(s->rec_head, &s->rec_format);
	return ret;
}

static long record(struct kit_char *c, void *buf, unsigned long frames)
{
	struct kit_sound *s = c->sound;

	for (;;) {
		struct snd_xferi x = {.buf = buf, .frames = frames};
		long ret = kit_node_ioctl(c, s->rec, SNDRV_PCM_IOCTL_READI_FRAMES, &x);

		/* Nobody read in time: it begins again. */
		if (ret == -EPIPE || ret == -ESTRPIPE) {
			ret = kit_node_ioctl(c, s->rec, SNDRV_PCM_IOCTL_PREPARE, NULL);
			if (!ret)
				continue;
		}
		if (ret)
			return ret;
		return x.result > 0 && (unsigned long)x.result <= frames ? x.result : -EIO;
	}
}

/* Up to @len bytes of @from's @n, which become fewer. */
static unsigned long take(uint8_t *buf, unsigned long len, const uint8_t *from, size_t n)
{
	len = len < n ? len : n;
	memcpy(buf, from, len);
	return len;
}

static long sound_read(struct kit_char *c, void *buf, unsigned long len)
{
	struct kit_sound *s = c->sound;
	unsigned long frame, n;
	long ret;

	if (!s->rec) {
		ret = start_recording(c);
		if (ret)
			return ret;
	}
	if (s->rec_at < WAV_HEAD) {
		n = take(buf, len, s->rec_head + s->rec_at, WAV_HEAD - s->rec_at);
		s->rec_at += n;
		return (long)n;
	}
	frame = frame_size(&s->rec_format);
	if (!s->rest_len && len >= frame) {
		ret = record(c, buf, len / frame);
		return ret < 0 ? ret : ret * (long)frame;
	}
	if (!s->rest_len) {
		ret = record(c, s->rest, 1);
		if (ret < 0)
			return ret;
		s->rest_len = frame;
	}
	n = take(buf, len, s->rest + frame - s->rest_len, s->rest_len);
	s->rest_len -= n;
	return (long)n;
}

/* ---- life ------------------------------------------------------------------------------------------------ */

static int sound_open(struct kit_char *c)
{
	c->sound = calloc(1, sizeof(*c->sound));
	return c->sound ? 0 : -ENOMEM;
}

static void sound_close(struct kit_char *c)
{
	struct kit_sound *s = c->sound;

	if (s->play) {
		long ret = kit_node_ioctl(c, s->play, SNDRV_PCM_IOCTL_DRAIN, NULL);

		if (ret)
			ob_device_log(c->k->dev, OB_LOG_WARN, "linux: not all was played: %s",
				      strerror((int)-ret));
		if (s->underruns)
			ob_device_log(c->k->dev, OB_LOG_WARN,
				      "linux: %u times no samples were there in time",
				      s->underruns);
		kit_node_close(c, s->play);
	}
	if (s->rec)
		kit_node_close(c, s->rec);
	free(s);
	c->sound = NULL;
}

const struct kit_char_use kit_sound_use = {
	.one = true,
	.open = sound_open,
	.close = sound_close,
	.read = sound_read,
	.write = sound_write,
};
