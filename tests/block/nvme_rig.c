/* SPDX-License-Identifier: BSD-2-Clause */
/* See nvme_rig.h. */
#include <ctype.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

#include "tests/block/nvme_rig.h"

/* The one that is in use: arguments are evaluated before the call, so a rig begins with whoever comes first. */
static const struct rig *current;

static void begin(struct rig *r)
{
	if (current == r)
		return;
	memset(r, 0, sizeof(*r));
	current = r;
}

static void keep_log(void *arg, enum ob_log_level level, const char *line)
{
	struct rig *r = arg;
	size_t len = strlen(r->log);

	snprintf(r->log + len, sizeof(r->log) - len, "%s\n", line);
}

static int open_and_bind(struct rig *r, const char *spec, const struct ob_driver_config *config,
			 struct ob_error *err)
{
	int rc = ob_device_open(spec, &r->dev, err);

	if (rc) {
		r->dev = NULL;
		return rc;
	}
	ob_device_set_log(r->dev, keep_log, r);
	rc = ob_driver_bind(r->dev, NULL, config, &r->binding, err);
	if (rc) {
		r->binding = NULL;
		return rc;
	}
	r->blk = r->binding->block[0];
	return ob_block_start(r->blk, err);
}

void rig_open(struct rig *r, const struct ob_driver_config *config, const char *fmt, ...)
{
	struct ob_error err = {0};
	char spec[400], text[1200];
	va_list ap;

	begin(r);
	va_start(ap, fmt);
	vsnprintf(spec, sizeof(spec), fmt, ap);
	va_end(ap);
	if (open_and_bind(r, spec, config, &err))
		fail_msg("%s\n%s", ob_error_text(&err, text, sizeof(text)), r->log);
}

int rig_try(struct rig *r, const struct ob_driver_config *config, struct ob_error *err,
	    const char *fmt, ...)
{
	char spec[400];
	va_list ap;

	begin(r);
	va_start(ap, fmt);
	vsnprintf(spec, sizeof(spec), fmt, ap);
	va_end(ap);
	return open_and_bind(r, spec, config, err);
}

void rig_close(struct rig *r)
{
	while (r->nr_allocs)
		ob_dma_free(ob_device_dma(r->dev), r->alloc[--r->nr_allocs]);
	ob_driver_unbind(r->binding);
	ob_device_close(r->dev);
	for (unsigned int i = 0; i < 2; i++)
		if (r->image[i][0])
			unlink(r->image[i]);
	for (unsigned int i = 0; i < r->nr_files; i++)
		unlink(r->file[i]);
	current = NULL;
}

/* Templates begin with the directory of temporary files. */
static int make_file(char *path, size_t size)
{
	const char *dir = getenv("TMPDIR");
	int fd;

	if (!dir || strlen(dir) > 30)
		dir = "/tmp";
	snprintf(path, size, "%s/outboard-nvme-XXXXXX", dir);
	fd = mkostemp(path, O_CLOEXEC);
	assert_true(fd >= 0);
	return fd;
}

const char *rig_image(struct rig *r, unsigned int index, off_t size)
{
	int fd;

	begin(r);
	fd = make_file(r->image[index], sizeof(r->image[index]));
	assert_int_equal(ftruncate(fd, size), 0);
	close(fd);
	return r->image[index];
}

static const char *write_file(struct rig *r, const char *content, mode_t mode)
{
	char *path;
	int fd;

	begin(r);
	assert_true(r->nr_files < RIG_FILES);
	path = r->file[r->nr_files++];
	fd = make_file(path, sizeof(r->file[0]));
	assert_int_equal(write(fd, content, strlen(content)), strlen(content));
	assert_int_equal(fchmod(fd, mode), 0);
	close(fd);
	return path;
}

const char *rig_file(struct rig *r, const char *content)
{
	return write_file(r, content, 0600);
}

const char *rig_qemu(struct rig *r, const char *args)
{
	char script[400];

	snprintf(script, sizeof(script), "#!/bin/sh\nexec qemu-system-x86_64 %s \"$@\"\n", args);
	return write_file(r, script, 0700);
}

void *rig_alloc(struct rig *r, size_t size)
{
	void *p = ob_dma_alloc(ob_device_dma(r->dev), size, 4096, "test", NULL);

	assert_non_null(p);
	assert_true(r->nr_allocs < RIG_ALLOCS);
	r->alloc[r->nr_allocs++] = p;
	return p;
}

char *rig_read_image(struct rig *r, unsigned int index, off_t offset, size_t len)
{
	char *data = malloc(len);
	int fd = open(r->image[index], O_RDONLY | O_CLOEXEC);

	assert_non_null(data);
	assert_true(fd >= 0);
	assert_int_equal(pread(fd, data, len, offset), len);
	close(fd);
	return data;
}

void rig_expect_image(struct rig *r, unsigned int index, off_t offset, const void *data, size_t len)
{
	char *got = rig_read_image(r, index, offset, len);

	assert_memory_equal(got, data, len);
	free(got);
}

bool rig_can_punch(struct rig *r)
{
	int fd = open(r->image[0], O_RDWR | O_CLOEXEC);
	bool can;

	assert_true(fd >= 0);
	can = !fallocate(fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, 0, 4096);
	close(fd);
	return can;
}

/* The one child of ours that runs QEMU; nothing else starts any in these tests. */
pid_t rig_qemu_pid(void)
{
	DIR *proc = opendir("/proc");
	struct dirent *e;
	pid_t found = -1;

	assert_non_null(proc);
	while ((e = readdir(proc))) {
		char path[300], stat[300] = "", *end;
		int ppid = -1;
		FILE *f;

		if (!isdigit((unsigned char)e->d_name[0]))
			continue;
		snprintf(path, sizeof(path), "/proc/%s/stat", e->d_name);
		f = fopen(path, "re");
		if (!f)
			continue;
		if (fgets(stat, sizeof(stat), f) && (end = strrchr(stat, ')')))
			sscanf(end, ") %*c %d", &ppid);
		fclose(f);
		if (ppid != getpid() || !strstr(stat, "(qemu"))
			continue;
		if (found > 0)
			fail_msg("two QEMUs: a test that failed before this one left its own");
		found = atoi(e->d_name);
	}
	closedir(proc);
	assert_true(found > 1);
	return found;
}

void rig_pattern(void *buf, size_t len, uint32_t seed)
{
	uint32_t x = seed * 2654435761u + 1;
	unsigned char *p = buf;

	for (size_t i = 0; i < len; i++) {
		x = x * 1664525u + 1013904223u;
		p[i] = (unsigned char)(x >> 24);
	}
}
