/* SPDX-License-Identifier: BSD-2-Clause */
/* `outboard run --verify`: a disk that believes no driver stands in front of each driver's (class/verify.h). */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "class/verify.h"
#include "cli/cli.h"
#include "cli/instance.h"

enum {
	LOG_DEFAULT = 16 << 20,
	LOG_MIN = 64 << 10,
};

#define LOG_MAX (1ull << 38)

int verify_parse_log(const char *text, struct verify_seat *seat, struct ob_error *err)
{
	char line[OB_SPEC_TEXT];
	struct ob_spec spec;
	int ret;

	/* Sizes are written as in a device's specification. */
	if ((size_t)snprintf(line, sizeof(line), "verify:log,size=%s", text) >= sizeof(line))
		return ob_error_set(err, -EINVAL, "option '--verify-log': too long");
	ret = ob_spec_parse(line, &spec, err);
	if (!ret)
		ret = ob_spec_get_u64(&spec.device, "size", LOG_MIN, LOG_MAX, &seat->log, err);
	if (!ret)
		ret = ob_spec_leftover(&spec, "size=SIZE", err);
	return ret;
}

/* Sparse: what nobody writes takes no memory. */
int verify_hold(struct verify_seat *seat, struct ob_error *err)
{
	seat->fd = memfd_create("outboard-verify", MFD_CLOEXEC);
	if (seat->fd < 0 ||
	    ftruncate(seat->fd, (off_t)UNITS * OB_BINDING_BLOCKS << OB_VERIFY_SHIFT))
		return ob_error_set(err, -errno, "option '--verify': no memory: %s",
				    strerror(errno));
	return 0;
}

void verify_release(struct verify_seat *seat)
{
	if (seat->on && seat->fd >= 0)
		close(seat->fd);
	seat->fd = -1;
}

/* Without a keeper nobody starts another process: who asks is told by errors. */
static void say(void *arg, const struct ob_error *what)
{
	(void)arg;
	cli_error_line("run", what);
}

int verify_unit(struct instance *ins, unsigned int unit, struct ob_error *err)
{
	const struct verify_seat *seat = &ins->verify;
	struct ob_binding *b = ins->unit[unit].binding;
	int ret = 0;

	for (unsigned int i = 0; seat->on && i < b->nr_blocks && !ret; i++) {
		const struct ob_verify_options o = {
			.fd = seat->fd,
			.at = (uint64_t)(unit * OB_BINDING_BLOCKS + i) << OB_VERIFY_SHIFT,
			.log = seat->log ? seat->log : LOG_DEFAULT,
			.wrong = seat->wrong ? seat->wrong : say,
			.arg = seat->arg,
		};

		ret = ob_verify_open(b->block[i], &o, &b->block[i], err);
	}
	return ret;
}

void verify_unit_end(struct unit *unit)
{
	struct ob_binding *b = unit->binding;
	struct ob_verify_stats ignored;

	for (unsigned int i = 0; b && i < b->nr_blocks; i++)
		if (ob_verify_stats(b->block[i], &ignored))
			b->block[i] = ob_verify_close(b->block[i]);
}
