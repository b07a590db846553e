/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The backend "fuzz": a device as adversary. A small model (beep.c, cards.c, e1000.c, edu.c, ide.c, nvme.c) answers so that a driver gets through its probe; the
 * input, a list of records of eight bytes, says after how many accesses which answer, descriptor, completion or interrupt is another one.
 *
 *   what (1 byte), arg (1), accesses to wait (2, little endian), value (4)
 *
 * A list rather than a stream of answers: what is changed at one place leaves the rest where it was. docs/linux-fuzzing.md.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "access/access_private.h"
#include "access/fuzz/fuzz.h"

enum {
	PAGE = 4096
};

/* KASAN's table of stacks alone has 16 MiB. */
#define ARENA (128ull << 20)
/* Not 0, as behind an IOMMU; below 256 MiB as a whole for edu, which drives 28 bits. */
#define IOVA 0x04000000ull

static const struct fuzz_model *const models[] = {
	&fuzz_beep, &fuzz_e1000, &fuzz_e1000e,	&fuzz_e1000e_msix, &fuzz_edu,	&fuzz_ide,
	&fuzz_igc,  &fuzz_ixgbe, &fuzz_ns83820, &fuzz_nvme,	   &fuzz_r8169,
};

static const char *fuzz_help(void)
{
	return "A made-up device that does what its input says, for fuzzing drivers\n"
	       "(docs/linux-fuzzing.md): beep, e1000, e1000e, e1000e-msix, edu, ide, igc, ixgbe,\n"
	       "ns83820, nvme, r8169\n"
	       "\n"
	       "options:\n"
	       "  input=FILE         what it does, of outboard-fuzz-linux; without: nothing unusual\n";
}

/* ---- the input ------------------------------------------------------------------------------- */

static void next_wait(struct fuzz_device *fd)
{
	const uint8_t *r = fd->in + fd->in_at;

	fd->wait = fd->in_at + FUZZ_RECORD <= fd->in_len ? r[2] | (uint32_t)r[3] << 8 : UINT32_MAX;
}

/* The allocation with a number, of those that a device may be thought to spoil. */
struct choice {
	unsigned int left;
	uint32_t *words;
	size_t n;
};

static int choose(void *arg, const char *label, void *p, size_t size)
{
	struct choice *c = arg;

	if (size > FUZZ_MEMORY_MAX)
		return 0;
	c->words = p;
	c->n = size / 4;
	return !c->left--;
}

static void turn_memory(struct fuzz_device *fd, unsigned int arg, uint32_t value)
{
	struct choice c = {.left = arg};
	uint32_t bits = value >> 16;

	ob_dma_for_each(fd->dev->dma, choose, &c);
	if (c.n)
		c.words[(value & 0xffff) % c.n] ^= bits | bits << 16;
}

static void take_record(struct fuzz_device *fd, const uint8_t *r)
{
	uint32_t value = r[4] | (uint32_t)r[5] << 8 | (uint32_t)r[6] << 16 | (uint32_t)r[7] << 24;
	unsigned int arg = r[1];

	switch ((enum fuzz_what)(r[0] % FUZZ_WHATS)) {
	case FUZZ_XOR:
	case FUZZ_SET:
		fd->read = (struct fuzz_turn){true, arg, value};
		fd->read_set = r[0] % FUZZ_WHATS == FUZZ_SET;
		break;
	case FUZZ_STICK:
		fd->stick = true;
		fd->stick_value = value;
		break;
	case FUZZ_IRQ:
		for (unsigned int i = 0; i <= (value & 15); i++)
			fuzz_interrupt(fd, arg);
		break;
	case FUZZ_POKE:
		fd->poke = (struct fuzz_turn){true, arg, value};
		break;
	case FUZZ_CONFIG_XOR:
		fd->config_read = (struct fuzz_turn){true, arg, value};
		break;
	case FUZZ_ARRIVE:
		if (fd->model->arrive)
			fd->model->arrive(fd, arg, value);
		break;
	case FUZZ_DATA:
		fd->data = (struct fuzz_turn){true, arg, value};
		break;
	case FUZZ_GONE:
		fd->gone = true;
		if (arg & 1)
			ob_device_set_gone(fd->dev);
		break;
	case FUZZ_MEMORY:
		turn_memory(fd, arg, value);
		break;
	case FUZZ_WHATS:
		break;
	}
}

/* Each access to the device is a tick of its clock. */
static void tick(struct fuzz_device *fd)
{
	while (fd->in_at + FUZZ_RECORD <= fd->in_len) {
		const uint8_t *r = fd->in + fd->in_at;

		if (fd->wait) {
			fd->wait--;
			return;
		}
		fd->in_at += FUZZ_RECORD;
		next_wait(fd);
		take_record(fd, r);
	}
}

int ob_fuzz_input(struct ob_device *dev, const void *data, size_t len)
{
	struct fuzz_device *fd = dev->priv;
	uint8_t *in;

	if (len > FUZZ_INPUT_MAX)
		return -E2BIG;
	in = malloc(len + 1);
	if (!in)
		return -ENOMEM;
	memcpy(in, data, len);
	free(fd->in);
	fd->in = in;
	fd->in_len = len;
	fd->in_at = 0;
	next_wait(fd);
	return 0;
}

void fuzz_turn(struct fuzz_turn *turn, void *words, size_t len)
{
	uint32_t *w = words;

	if (!turn->armed || len < 4)
		return;
	turn->armed = false;
	w[turn->arg % (len / 4)] ^= turn->value;
}

/* ---- memory and interrupts -------------------------------------------------------------------- */

void *fuzz_memory(struct fuzz_device *fd, uint64_t iova, uint64_t len)
{
	/* Bus mastering [PCI 3.0, 6.2.2]: what a driver has given back is not written to after that. */
	if (!(fd->config[4] & 4))
		return NULL;
	if (iova < fd->iova || iova - fd->iova > fd->size || len > fd->size - (iova - fd->iova))
		return NULL;
	return (char *)fd->arena + (iova - fd->iova);
}

void fuzz_transfer(struct fuzz_device *fd, uint64_t at, uint64_t iova, uint64_t len, bool to_memory)
{
	uint8_t *memory = fuzz_memory(fd, iova, len);

	if (!memory || at > fd->model->disk || len > fd->model->disk - at)
		return;
	if (to_memory) {
		memcpy(memory, fd->disk + at, len);
		fuzz_turn(&fd->data, memory, len);
	} else {
		memcpy(fd->disk + at, memory, len);
	}
}

void fuzz_interrupt(struct fuzz_device *fd, unsigned int vec)
{
	const uint64_t one = 1;

	/* It only fails when its 64 bits are full, and then it is readable. */
	if (fd->irqs && fd->dev->irq_n && fd->dev->vector[vec % fd->dev->irq_n].fd >= 0 &&
	    write(fd->dev->vector[vec % fd->dev->irq_n].fd, &one, sizeof(one)) < 0)
		return;
}

/* ---- accesses -------------------------------------------------------------------------------------- */

static uint64_t ones(unsigned int size)
{
	return size >= 8 ? UINT64_MAX : (1ull << (8 * size)) - 1;
}

/* Legacy ports are one more BAR, in which a port's number is its offset. */
static unsigned int bar_number(const struct ob_bar *bar, uint64_t *off)
{
	if (bar->index >= 0)
		return (unsigned int)bar->index;
	*off += bar->base;
	return FUZZ_PORTS;
}

static uint64_t fuzz_read(const struct ob_bar *bar, uint64_t off, unsigned int size)
{
	struct fuzz_device *fd = bar->dev->priv;
	unsigned int i = bar_number(bar, &off);
	uint64_t val = 0;

	tick(fd);
	if (fd->gone)
		return ones(size);
	if (fd->model->read)
		val = fd->model->read(fd, i, off, size);
	else
		memcpy(&val, fd->regs[i] + off, size);
	if (fd->stick && fd->nr_stuck < FUZZ_STUCK) {
		fd->stuck[fd->nr_stuck].bar = i;
		fd->stuck[fd->nr_stuck].off = off;
		fd->stuck[fd->nr_stuck++].value = fd->stick_value;
	}
	fd->stick = false;
	for (unsigned int s = 0; s < fd->nr_stuck; s++)
		if (fd->stuck[s].bar == i && fd->stuck[s].off == off)
			val = fd->stuck[s].value;
	if (fd->read.armed) {
		fd->read.armed = false;
		val = fd->read_set ? fd->read.value : val ^ fd->read.value;
	}
	return val & ones(size);
}

static void fuzz_write(const struct ob_bar *bar, uint64_t off, unsigned int size, uint64_t val)
{
	struct fuzz_device *fd = bar->dev->priv;
	unsigned int i = bar_number(bar, &off);

	tick(fd);
	if (fd->gone)
		return;
	memcpy(fd->regs[i] + off, &val, size);
	if (fd->model->write)
		fd->model->write(fd, i, off, size, val);
}

/* The kernel side keeps BARs, command and interrupt capabilities itself: memory does for the rest. */
static int fuzz_config(struct ob_device *dev, bool write, unsigned int off, unsigned int size,
		       uint32_t *val)
{
	struct fuzz_device *fd = dev->priv;

	if (off + size > FUZZ_CONFIG) {
		*val = (uint32_t)ones(size);
		return 0;
	}
	if (write) {
		/* Identity and the header's layout are not written to. */
		if (off >= 4 && off != 8 && off != 0xc)
			memcpy(fd->config + off, val, size);
		return 0;
	}
	tick(fd);
	*val = 0;
	memcpy(val, fd->config + off, size);
	if (fd->config_read.armed) {
		fd->config_read.armed = false;
		*val ^= fd->config_read.value & (uint32_t)ones(size);
	}
	if (fd->gone)
		*val = (uint32_t)ones(size);
	return 0;
}

static void fuzz_flush(struct ob_device *dev)
{
}

static int fuzz_ports(struct ob_device *dev, uint16_t base, uint16_t count, struct ob_bar *bar,
		      struct ob_error *err)
{
	struct fuzz_device *fd = dev->priv;

	for (unsigned int i = 0; i < FUZZ_RANGES; i++) {
		unsigned int first = fd->model->ports[i].base, n = fd->model->ports[i].count;

		if (base < first || base + count > first + n)
			continue;
		*bar = (struct ob_bar){
			.size = count, .kind = OB_BAR_IO, .index = -1, .dev = dev, .base = base};
		return 0;
	}
	return ob_error_set(err, -EOPNOTSUPP, "%s has no ports 0x%x to 0x%x", dev->info.name, base,
			    base + count - 1);
}

static unsigned int fuzz_irq_count(struct ob_device *dev, enum ob_irq_kind kind)
{
	const struct fuzz_device *fd = dev->priv;

	return kind == OB_IRQ_INTX ? 1 : kind == OB_IRQ_MSI ? fd->model->msi : fd->model->msix;
}

static int fuzz_irq_enable(struct ob_device *dev, enum ob_irq_kind kind, unsigned int n,
			   struct ob_error *err)
{
	struct fuzz_device *fd = dev->priv;

	for (unsigned int i = 0; i < n; i++) {
		if (dev->vector[i].fd < 0)
			dev->vector[i].fd = eventfd(0, EFD_CLOEXEC);
		if (dev->vector[i].fd < 0)
			return ob_error_set(err, -errno, "%s: no descriptor for vector %u",
					    dev->info.name, i);
	}
	fd->irqs = true;
	return 0;
}

static void fuzz_irq_disable(struct ob_device *dev)
{
	struct fuzz_device *fd = dev->priv;

	fd->irqs = false;
}

static int fuzz_irq_mask(struct ob_device *dev, unsigned int vec, bool mask)
{
	return 0;
}

static int fuzz_dma_map(struct ob_device *dev, void *va, uint64_t iova, size_t len,
			unsigned int prot)
{
	return -EFAULT; /* the arena only: the rest is bounced */
}

static int fuzz_dma_unmap(struct ob_device *dev, uint64_t iova, size_t len)
{
	return 0;
}

static int fuzz_reset(struct ob_device *dev, struct ob_error *err)
{
	struct fuzz_device *fd = dev->priv;

	fd->model->reset(fd);
	return 0;
}

/* ---- memory of its own, behind fork() ---------------------------------------------------------------- */

static int remap(struct fuzz_device *fd, int to, unsigned long inode)
{
	unsigned long start, end, off, node;
	char line[512], rights[5];
	FILE *maps = fopen("/proc/self/maps", "re");
	int ret = 0;

	if (!maps)
		return -errno;
	while (!ret && fgets(line, sizeof(line), maps)) {
		/* proc(5): start-end rights offset device inode */
		if (sscanf(line, "%lx-%lx %4s %lx %*s %lu", &start, &end, rights, &off, &node) !=
			    5 ||
		    node != inode || !strstr(line, "/memfd:outboard-fuzz"))
			continue;
		if (mmap((void *)start, end - start, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_FIXED,
			 to, (off_t)off) == MAP_FAILED)
			ret = -errno;
	}
	fclose(maps);
	if (!ret && dup3(to, fd->arena_fd, O_CLOEXEC) < 0)
		ret = -errno;
	return ret;
}

int ob_fuzz_pages(struct ob_device *dev)
{
	struct fuzz_device *fd = dev->priv;
	static const char zero[PAGE];
	off_t from = 0, end;

	if (!fd->full)
		fd->full = malloc(fd->size / PAGE * sizeof(*fd->full));
	if (!fd->full)
		return -ENOMEM;
	fd->nr_full = 0;
	while ((from = lseek(fd->arena_fd, from, SEEK_DATA)) >= 0) {
		end = lseek(fd->arena_fd, from, SEEK_HOLE);
		for (; from < end; from += PAGE) {
			uint32_t at = (uint32_t)(from / PAGE);

			if (!memcmp((char *)fd->arena + from, zero, PAGE))
				continue;
			if (fd->nr_full &&
			    fd->full[fd->nr_full - 1].at + fd->full[fd->nr_full - 1].n == at)
				fd->full[fd->nr_full - 1].n++;
			else
				fd->full[fd->nr_full++] = (struct fuzz_run){at, 1};
		}
	}
	return 0;
}

int ob_fuzz_private(struct ob_device *dev)
{
	struct fuzz_device *fd = dev->priv;
	struct stat st;
	int copy, ret = 0;

	if (fstat(fd->arena_fd, &st))
		return -errno;
	copy = memfd_create("outboard-fuzz", MFD_CLOEXEC);
	if (copy < 0)
		return -errno;
	if (ftruncate(copy, (off_t)fd->size))
		ret = -errno;
	for (unsigned int i = 0; !ret && i < fd->nr_full; i++) {
		off_t from = (off_t)(fd->full[i].at * PAGE);
		size_t len = fd->full[i].n * PAGE;

		if (pwrite(copy, (char *)fd->arena + from, len, from) != (ssize_t)len)
			ret = -EIO;
	}
	if (!ret)
		ret = remap(fd, copy, st.st_ino);
	close(copy);
	return ret;
}

/* ---- open and close ------------------------------------------------------------------------------------ */

static void capability(struct fuzz_device *fd, unsigned int *last, unsigned int at,
		       const uint8_t *bytes, unsigned int n)
{
	fd->config[*last] = (uint8_t)at;
	memcpy(fd->config + at, bytes, n);
	*last = at + 1;
}

/* PCI Local Bus 3.0, 6.1, 6.7, 6.8. */
static void fill_config(struct fuzz_device *fd)
{
	const struct fuzz_model *m = fd->model;
	unsigned int last = 0x34, msix = m->msix - 1;
	const uint8_t pm[8] = {0x01, 0, 0x03}, msi[14] = {0x05, 0, 0x80},
		      x[12] = {0x11,
			       0,
			       (uint8_t)msix,
			       (uint8_t)(msix >> 8),
			       (uint8_t)(m->msix_offset | m->msix_bar),
			       (uint8_t)(m->msix_offset >> 8),
			       (uint8_t)(m->msix_offset >> 16),
			       0,
			       (uint8_t)((m->msix_offset + 0x1000) | m->msix_bar),
			       (uint8_t)((m->msix_offset + 0x1000) >> 8)};
	uint8_t *c = fd->config;

	c[0] = (uint8_t)m->vendor;
	c[1] = (uint8_t)(m->vendor >> 8);
	c[2] = (uint8_t)m->device;
	c[3] = (uint8_t)(m->device >> 8);
	c[4] = 7;
	c[6] = 0x10;
	c[9] = (uint8_t)m->class_code;
	c[10] = (uint8_t)(m->class_code >> 8);
	c[11] = (uint8_t)(m->class_code >> 16);
	c[0x2c] = c[0];
	c[0x2d] = c[1];
	c[0x3d] = 1;
	for (unsigned int i = 0; i < OB_BAR_COUNT; i++)
		c[0x10 + 4 * i] = m->bar[i].kind == OB_BAR_IO;
	capability(fd, &last, 0x50, pm, sizeof(pm));
	if (m->msi)
		capability(fd, &last, 0x60, msi, sizeof(msi));
	if (m->msix)
		capability(fd, &last, 0x80, x, sizeof(x));
}

static int read_input(struct ob_device *dev, const char *path, struct ob_error *err)
{
	uint8_t *data = malloc(FUZZ_INPUT_MAX + 1);
	FILE *f = fopen(path, "re");
	size_t n;
	int ret;

	if (!data || !f) {
		ret = ob_error_set(err, data ? -errno : -ENOMEM, "input=%s: %s", path,
				   strerror(data ? errno : ENOMEM));
		goto out;
	}
	n = fread(data, 1, FUZZ_INPUT_MAX + 1, f);
	ret = ob_fuzz_input(dev, data, n);
	if (ret)
		ob_error_set(err, ret, "input=%s has more than %d bytes", path, FUZZ_INPUT_MAX);
out:
	if (f)
		fclose(f);
	free(data);
	return ret;
}

/* A page more than there are registers: an access of eight bytes may begin at the last. */
static size_t regs_size(const struct fuzz_model *m, unsigned int bar)
{
	if (bar == FUZZ_PORTS)
		return (m->ports[0].count ? FUZZ_PORTS_END : 0) + PAGE;
	return m->bar[bar].size + PAGE;
}

/* Memory that costs nothing until it is used: a fuzzer opens devices by the thousand. */
static void *zeroes(size_t size)
{
	void *p = mmap(NULL, size, PROT_READ | PROT_WRITE,
		       MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);

	return p == MAP_FAILED ? NULL : p;
}

static void fuzz_close(struct ob_device *dev)
{
	struct fuzz_device *fd = dev->priv;

	if (!fd)
		return;
	for (unsigned int i = 0; i < OB_IRQ_VECTORS; i++) {
		if (dev->vector[i].fd >= 0)
			close(dev->vector[i].fd);
		dev->vector[i].fd = -1;
	}
	for (unsigned int i = 0; i <= FUZZ_PORTS; i++)
		if (fd->regs[i])
			munmap(fd->regs[i], regs_size(fd->model, i));
	if (fd->disk)
		munmap(fd->disk, fd->model->disk);
	if (fd->arena)
		munmap(fd->arena, fd->size);
	if (fd->arena_fd >= 0)
		close(fd->arena_fd);
	free(fd->full);
	free(fd->in);
	free(fd);
	dev->priv = NULL;
}

static int make_arena(struct fuzz_device *fd, struct ob_error *err)
{
	struct ob_dma_window window = {
		.size = ARENA,
		.iova = IOVA,
		.aperture_min = IOVA,
		.aperture_max = IOVA + ARENA - 1,
	};
	void *at;

	fd->arena_fd = memfd_create("outboard-fuzz", MFD_CLOEXEC);
	if (fd->arena_fd < 0 || ftruncate(fd->arena_fd, ARENA))
		return ob_error_set(err, -errno, "no memory for the device's DMA");
	at = mmap(NULL, ARENA, PROT_READ | PROT_WRITE, MAP_SHARED, fd->arena_fd, 0);
	if (at == MAP_FAILED)
		return ob_error_set(err, -errno, "no memory for the device's DMA");
	fd->arena = window.base = at;
	fd->size = ARENA;
	fd->iova = IOVA;
	return ob_dma_create(fd->dev, &window, err);
}

static int open_one(struct ob_spec *spec, struct ob_device *dev, struct ob_error *err)
{
	const struct fuzz_model *m = NULL;
	const char *path;
	struct fuzz_device *fd;
	int ret;

	for (unsigned int i = 0; i < sizeof(models) / sizeof(models[0]); i++)
		if (!strcmp(models[i]->name, spec->device.name))
			m = models[i];
	if (!m) {
		ob_error_set(err, -ENODEV, "fuzz: there is no model '%s'", spec->device.name);
		ob_error_fix(
			err,
			"fuzz:beep, fuzz:e1000, fuzz:e1000e, fuzz:e1000e-msix, fuzz:edu, fuzz:ide, fuzz:nvme; fuzz:igc, fuzz:ixgbe, fuzz:ns83820, fuzz:r8169");
		return -ENODEV;
	}
	fd = calloc(1, sizeof(*fd));
	if (!fd)
		return ob_error_set(err, -ENOMEM, "no memory for a device");
	dev->priv = fd;
	fd->dev = dev;
	fd->model = m;
	fd->arena_fd = -1;
	for (unsigned int i = 0; i < OB_IRQ_VECTORS; i++)
		dev->vector[i].fd = -1;
	fill_config(fd);
	for (int i = 0; i < OB_BAR_COUNT; i++) {
		dev->bar[i].dev = dev;
		dev->bar[i].index = i;
		dev->bar[i].kind = m->bar[i].kind;
		dev->bar[i].size = m->bar[i].size;
	}
	for (unsigned int i = 0; i <= FUZZ_PORTS; i++)
		if (regs_size(m, i) > PAGE && !(fd->regs[i] = zeroes(regs_size(m, i))))
			return ob_error_set(err, -ENOMEM, "no memory for registers");
	if (m->disk && !(fd->disk = zeroes(m->disk)))
		return ob_error_set(err, -ENOMEM, "no memory for a disk");
	m->reset(fd);
	snprintf(dev->info.name, sizeof(dev->info.name), "fuzz:%s", m->name);
	dev->info.vendor = m->vendor;
	dev->info.device = m->device;
	dev->info.class_code = m->class_code;
	dev->info.untimed = true;
	ret = ob_fuzz_input(dev, "", 0);
	path = ob_spec_get(&spec->device, "input");
	if (!ret && path)
		ret = read_input(dev, path, err);
	return ret ? ret : make_arena(fd, err);
}

static int fuzz_open(struct ob_spec *const *specs, unsigned int n, struct ob_device **devs,
		     struct ob_error *err)
{
	int ret = 0;
	unsigned int i;

	for (i = 0; i < n && !ret; i++)
		ret = open_one(specs[i], devs[i], err);
	while (ret && i--)
		fuzz_close(devs[i]);
	return ret;
}

const struct ob_access_ops ob_access_fuzz = {
	.name = "fuzz",
	.summary = "made-up devices that do what an input says, for fuzzing drivers",
	.help = fuzz_help,
	.open = fuzz_open,
	.close = fuzz_close,
	.config = fuzz_config,
	.read = fuzz_read,
	.write = fuzz_write,
	.flush = fuzz_flush,
	.ports = fuzz_ports,
	.irq_count = fuzz_irq_count,
	.irq_enable = fuzz_irq_enable,
	.irq_disable = fuzz_irq_disable,
	.irq_mask = fuzz_irq_mask,
	.dma_map = fuzz_dma_map,
	.dma_unmap = fuzz_dma_unmap,
	.reset = fuzz_reset,
};
