/* SPDX-License-Identifier: BSD-2-Clause */
/* outboard char: uses a character device from this process alone, without a node in /dev. */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "cli/cli.h"
#include "cli/open_one.h"

enum {
	OPT_DRIVER = CLI_LONG,
	PIECE = 65536,
	WORDS = 64,
	REPLY = 4096, /* as much as a node in /dev gives for one line (attach/cuse_node.h) */
};

static const struct cli_option options[] = {
	{OPT_DRIVER, "driver", "NAME", "use this driver: a name, or the path of a shared object"},
	{0, NULL, NULL, NULL},
};

static const struct cli_usage usage = {
	.command = "char",
	.synopsis = "SPEC [--driver NAME] read [BYTES] | write [FILE] | talk | say LINE...",
	.about =
		"Opens a character device and reads from it to standard output, writes a file or standard\n"
		"input to it, talks: does both until its input ends, or says lines to it and prints its\n"
		"answers. Root is not needed. What reads and\n"
		"writes mean is the device's: a watchdog is kept alive by each write, sound is WAV files, a CAN\n"
		"frame is a line like 123#DEADBEEF.",
	.options = options,
};

static int failed(const struct ob_binding *b, long ret, const char *what)
{
	const char *name = ob_device_info(b->dev)->name;
	struct ob_error err = {0};

	if (ob_device_gone(b->dev))
		ob_error_set(&err, -ENODEV, "%s vanished while it was in use", name);
	else
		ob_error_set(&err, (int)ret, "%s: %s: %s", name, what, strerror((int)-ret));
	cli_error("char", &err);
	return ob_device_gone(b->dev) ? CLI_GONE : cli_exit_code((int)ret);
}

static int unable(const struct ob_binding *b, const char *what, const char *fix)
{
	struct ob_error err = {0};

	ob_error_set(&err, -EOPNOTSUPP, "%s (driver %s) cannot be %s", ob_device_info(b->dev)->name,
		     b->driver->name, what);
	ob_error_fix(&err, "%s", fix);
	return cli_error("char", &err);
}

static const char *other_way(const struct ob_char_ops *ops)
{
	return ops->answer ? "outboard char SPEC say LINE" : "outboard char SPEC read, or write";
}

/* Until there is something to read from @fd, if any, or from the device, serving it. False when the device is gone. */
static bool wait_for(struct ob_binding *b, int fd, bool readable)
{
	struct ob_char *chr = b->chr;
	struct pollfd pfd[] = {
		{.fd = fd, .events = POLLIN},
		{.fd = ob_device_removal_fd(b->dev), .events = POLLIN},
		{.fd = chr->ops->serve ? chr->fd : -1, .events = POLLIN},
	};

	for (;;) {
		if (chr->ops->serve)
			chr->ops->serve(chr);
		if (readable && chr->ops->waiting(chr))
			return true;
		if (poll(pfd, 3, -1) < 0 && errno != EINTR)
			return false;
		if (ob_device_gone(b->dev))
			return false;
		if (pfd[0].revents)
			return true;
	}
}

/* ---- read ------------------------------------------------------------------------------------ */

/* What the device has, at most @len bytes, to standard output. Return: bytes; 0 for no more of either; or a negative errno value */
static long pass_on(struct ob_char *chr, char *buf, unsigned long len, uint64_t *off)
{
	long got = chr->ops->read(chr, buf, len, *off);

	if (got > 0 && (fwrite(buf, 1, (size_t)got, stdout) != (size_t)got || fflush(stdout)))
		return 0; /* main() says what is wrong with the output */
	if (got > 0)
		*off += (uint64_t)got;
	return got;
}

static int read_from(struct ob_binding *b, unsigned long long left)
{
	struct ob_char *chr = b->chr;
	uint64_t off = 0;
	char *buf;
	int ret = CLI_OK;

	if (!chr->ops->read)
		return unable(b, "read", other_way(chr->ops));
	buf = malloc(PIECE);
	if (!buf)
		return failed(b, -ENOMEM, "read");
	while (left) {
		long got = pass_on(chr, buf, left < PIECE ? left : PIECE, &off);

		if (got == -EAGAIN && chr->ops->waiting) {
			if (wait_for(b, -1, true))
				continue;
			got = -ENODEV;
		}
		if (got < 0) {
			ret = failed(b, got, "read");
			break;
		}
		if (!got)
			break;
		left -= (unsigned long long)got;
	}
	free(buf);
	return ret;
}

/* ---- write ------------------------------------------------------------------------------------- */

static long write_all(struct ob_char *chr, const char *buf, size_t len, uint64_t *off)
{
	while (len) {
		long put = chr->ops->write(chr, buf, len, *off);

		if (put <= 0)
			return put ? put : -EIO;
		buf += put;
		len -= (size_t)put;
		*off += (uint64_t)put;
	}
	return 0;
}

static int write_to(struct ob_binding *b, const char *file)
{
	int fd = file ? open(file, O_RDONLY | O_CLOEXEC) : STDIN_FILENO;
	char *buf = malloc(PIECE);
	uint64_t off = 0;
	int ret = CLI_OK;

	if (!b->chr->ops->write)
		ret = unable(b, "written", other_way(b->chr->ops));
	else if (fd < 0)
		ret = failed(b, -errno, file);
	else if (!buf)
		ret = failed(b, -ENOMEM, "write");
	while (!ret) {
		ssize_t got;
		long done;

		if (!wait_for(b, fd, false)) {
			ret = failed(b, -errno, "write");
			break;
		}
		got = read(fd, buf, PIECE);
		if (got < 0)
			ret = failed(b, -errno, file ? file : "standard input");
		if (got <= 0)
			break;
		done = write_all(b->chr, buf, (size_t)got, &off);
		if (done)
			ret = failed(b, done, "write");
	}
	free(buf);
	if (file && fd >= 0)
		close(fd);
	return ret;
}

/* ---- talk ---------------------------------------------------------------------------------------- */

static int talk(struct ob_binding *b)
{
	struct ob_char *chr = b->chr;
	uint64_t in_off = 0, out_off = 0;
	char *buf;
	long ret;

	if (!chr->ops->waiting)
		return unable(b, "talked to", other_way(chr->ops));
	buf = malloc(PIECE);
	if (!buf)
		return failed(b, -ENOMEM, "talk");
	for (;;) {
		if (!wait_for(b, STDIN_FILENO, true)) {
			ret = -errno;
			break;
		}
		if (chr->ops->waiting(chr)) {
			ret = pass_on(chr, buf, PIECE, &out_off);
			if (ret > 0 || ret == -EAGAIN)
				continue;
			break;
		}
		ret = read(STDIN_FILENO, buf, PIECE);
		if (ret <= 0) {
			ret = ret ? -errno : 0;
			break;
		}
		ret = write_all(chr, buf, (size_t)ret, &in_off);
		if (ret)
			break;
	}
	free(buf);
	return ret ? failed(b, ret, "talk") : CLI_OK;
}

/* ---- say ----------------------------------------------------------------------------------------- */

static int say(struct ob_binding *b, char **lines, unsigned int n)
{
	struct ob_char *chr = b->chr;
	char reply[REPLY];

	if (!chr->ops->answer)
		return unable(b, "asked by lines", other_way(chr->ops));
	for (unsigned int i = 0; i < n; i++) {
		long got = chr->ops->answer(chr, lines[i], reply, sizeof(reply));

		if (got < 0 || (unsigned long)got > sizeof(reply))
			return failed(b, got < 0 ? got : -EIO, lines[i]);
		fwrite(reply, 1, (size_t)got, stdout);
	}
	return CLI_OK;
}

/* ---- the command ------------------------------------------------------------------------------------ */

static int use(struct ob_binding *b, char **words, unsigned int n)
{
	struct ob_char *chr = b->chr;
	struct ob_error err = {0};
	int ret;

	if (!chr) {
		ob_error_set(&err, -EOPNOTSUPP, "%s is no character device",
			     ob_device_info(b->dev)->name);
		ob_error_fix(&err, "outboard run %s", ob_device_info(b->dev)->spec);
		return cli_error("char", &err);
	}
	ret = chr->ops->open ? chr->ops->open(chr) : 0;
	if (ret)
		return failed(b, ret, "open");
	if (!strcmp(words[0], "read"))
		ret = read_from(b, n > 1 ? strtoull(words[1], NULL, 10) : ~0ull);
	else if (!strcmp(words[0], "write"))
		ret = write_to(b, n > 1 ? words[1] : NULL);
	else if (!strcmp(words[0], "talk"))
		ret = talk(b);
	else
		ret = say(b, words + 1, n - 1);
	if (chr->ops->close)
		chr->ops->close(chr);
	if (!ret && ob_device_gone(b->dev))
		ret = failed(b, -ENODEV, "close");
	return ret;
}

/* What was typed behind the device makes sense? */
static int check(char **words, unsigned int n)
{
	static const char *const names[] = {"read", "write", "talk", "say"};
	const char *near;

	if (!n)
		return cli_bad(&usage, "what shall be done? read, write, talk or say");
	if (!strcmp(words[0], "say"))
		return n > 1 ? CLI_OK : cli_bad(&usage, "say what? A line is missing");
	if (!strcmp(words[0], "read") && n == 2 &&
	    (strspn(words[1], "0123456789") != strlen(words[1]) || strlen(words[1]) > 18))
		return cli_bad(&usage, "'%s' is no number of bytes", words[1]);
	if (!strcmp(words[0], "talk"))
		return n == 1 ? CLI_OK : cli_bad(&usage, "what is '%s' for?", words[1]);
	if (strcmp(words[0], "read") && strcmp(words[0], "write")) {
		near = cli_nearest(words[0], names, 4, sizeof(names[0]));
		return cli_bad(&usage,
			       "there is no '%s'%s%s%s; there are read, write, talk and say",
			       words[0], near ? "; did you mean '" : "", near ? near : "",
			       near ? "'?" : "");
	}
	return n <= 2 ? CLI_OK : cli_bad(&usage, "what is '%s' for?", words[2]);
}

int cmd_char(int argc, char **argv)
{
	const struct ob_driver_config config = {.mode = OB_MODE_ADAPTIVE};
	const char *spec = NULL, *driver = NULL;
	char *words[WORDS];
	unsigned int n = 0;
	struct ob_error err = {0};
	struct ob_binding *b;
	struct cli_args args;
	int opt, ret;

	cli_args_init(&args, &usage, argc, argv);
	while ((opt = cli_next(&args)) != CLI_END) {
		if (opt == OPT_DRIVER)
			driver = args.value;
		else if (opt != CLI_WORD)
			return args.exit_code;
		else if (!spec)
			spec = args.value;
		else if (n < WORDS)
			words[n++] = (char *)args.value;
		else
			return cli_bad(&usage, "more than %d lines", WORDS - 1);
	}
	if (!spec)
		return cli_bad(&usage, "which device? A SPEC is missing, e.g. qemu:edu");
	ret = check(words, n);
	if (ret)
		return ret;
	ret = open_one(spec, driver, &config, &b, &err);
	if (ret)
		return cli_error("char", &err);
	ret = use(b, words, n);
	close_one(b);
	return ret;
}
