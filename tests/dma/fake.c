/* SPDX-License-Identifier: BSD-2-Clause */
/* See fake.h. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include <cmocka.h>

#include "tests/dma/fake.h"

#define FAKE_IOVA 0x100000000ull

static struct fake_pte *slot(struct fake *f, uint64_t iova, bool make)
{
	uint64_t i, h = iova / FAKE_PAGE * 0x9e3779b97f4a7c15ull >> (64 - 18);

	for (i = 0; i < FAKE_TABLE; i++) {
		struct fake_pte *p = &f->table[(h + i) % FAKE_TABLE];

		if (p->iova == iova || (make && !p->iova))
			return p;
		if (!p->iova)
			return NULL;
	}
	return NULL;
}

static void drop(struct fake *f, uint64_t iova)
{
	struct fake_pte *p = slot(f, iova, false);

	if (!p || !p->prot)
		return;
	p->prot = 0; /* stays as a tombstone of its own address */
	f->mapped--;
}

static int fake_map(struct ob_device *dev, void *va, uint64_t iova, size_t len, unsigned int prot)
{
	struct fake *f = dev->priv;
	char *p = va;
	size_t i;

	f->maps++;
	if (f->fail_map)
		return f->fail_map;
	assert_int_equal(((uintptr_t)va | iova | len) % FAKE_PAGE, 0);
	assert_true(len > 0 && prot > 0 && prot <= (OB_DMA_READ | OB_DMA_WRITE));
	if (!(p >= f->arena && p + len <= f->arena + f->size) &&
	    !(p >= f->allowed && p + len <= f->allowed + f->allowed_size))
		return -EFAULT;
	for (i = 0; i < len; i += FAKE_PAGE) {
		struct fake_pte *e = slot(f, iova + i, true);

		assert_non_null(e);
		if (f->fixed)
			assert_int_equal(e->prot, 0);
		if (!e->prot)
			f->mapped++;
		*e = (struct fake_pte){.iova = iova + i, .va = p + i, .prot = prot};
	}
	return 0;
}

static int fake_unmap(struct ob_device *dev, uint64_t iova, size_t len)
{
	struct fake *f = dev->priv;
	size_t i;

	f->unmaps++;
	if (f->fail_unmap)
		return f->fail_unmap;
	assert_int_equal((iova | len) % FAKE_PAGE, 0);
	for (i = 0; i < len; i += FAKE_PAGE) {
		/* Unmapping what is not mapped would hide a mistake in the bookkeeping. */
		assert_int_not_equal(fake_prot(f, iova + i), 0);
		drop(f, iova + i);
	}
	return 0;
}

static const struct ob_access_ops fake_ops = {
	.name = "fake",
	.dma_map = fake_map,
	.dma_unmap = fake_unmap,
};

static void fake_log(void *arg, enum ob_log_level level, const char *line)
{
	struct fake *f = arg;
	size_t len = strlen(f->log);

	snprintf(f->log + len, sizeof(f->log) - len, "%s\n", line);
}

static struct fake *fake_start(enum ob_dma_policy policy, size_t size, bool translated, bool fixed)
{
	struct fake *f = calloc(1, sizeof(*f));
	struct ob_dma_window w = {
		.size = size,
		.iova = translated ? FAKE_IOVA : 0x1000000,
		.translated = translated,
		.aperture_min = 0,
		.aperture_max = (1ull << 39) - 1,
		.hole_min = 0xfee00000,
		.hole_max = 0xfeefffff,
		.policy = policy,
		.fixed_rights = fixed,
	};
	struct ob_error err = {0};

	assert_non_null(f);
	f->arena = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	assert_true(f->arena != MAP_FAILED);
	f->size = size;
	f->fixed = fixed;
	if (fixed) {
		w.hole[w.nr_holes++] = (struct ob_dma_hole){8ull << 30, (16ull << 30) - 1};
		w.hole[w.nr_holes++] = (struct ob_dma_hole){20ull << 30, (21ull << 30) - 1};
	}
	f->dev.ops = &fake_ops;
	f->dev.priv = f;
	f->dev.log = fake_log;
	f->dev.log_arg = f;
	f->dev.removal_fd = -1;
	snprintf(f->dev.info.name, sizeof(f->dev.info.name), "fake");
	w.base = f->arena;
	if (ob_dma_create(&f->dev, &w, &err))
		fail_msg("%s", err.what);
	return f;
}

struct fake *fake_open(enum ob_dma_policy policy, size_t size, bool translated)
{
	return fake_start(policy, size, translated, false);
}

struct fake *fake_open_fixed(enum ob_dma_policy policy, size_t size)
{
	return fake_start(policy, size, true, true);
}

void fake_close(struct fake *f)
{
	f->fail_map = f->fail_unmap = 0;
	ob_dma_destroy(&f->dev);
	assert_null(f->dev.dma);
	assert_int_equal(f->mapped, 0);
	munmap(f->arena, f->size);
	free(f);
}

unsigned int fake_prot(const struct fake *f, uint64_t iova)
{
	const struct fake_pte *p = slot((struct fake *)(uintptr_t)f, iova & -FAKE_PAGE, false);

	return p ? p->prot : 0;
}

static int device_copy(struct fake *f, uint64_t iova, char *data, size_t len, unsigned int prot)
{
	while (len) {
		size_t in = iova % FAKE_PAGE, n = FAKE_PAGE - in;
		const struct fake_pte *p = slot(f, iova - in, false);

		if (n > len)
			n = len;
		if (!p || (p->prot & prot) != prot)
			return -EFAULT;
		if (prot & OB_DMA_WRITE)
			memcpy(p->va + in, data, n);
		else
			memcpy(data, p->va + in, n);
		iova += n;
		data += n;
		len -= n;
	}
	return 0;
}

int fake_device_write(struct fake *f, ob_iova iova, const void *data, size_t len)
{
	return device_copy(f, iova.addr, (char *)(uintptr_t)data, len, OB_DMA_WRITE);
}

int fake_device_read(struct fake *f, ob_iova iova, void *data, size_t len)
{
	return device_copy(f, iova.addr, data, len, OB_DMA_READ);
}
