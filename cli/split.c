/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * outboard split: a Linux driver made into a kernel module and a daemon. The cut is made in split/; here is what was typed, and the steps behind:
 * building, and the trial in a virtual machine. docs/split.md.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "cli/cli.h"
#include "cli/driver_source.h"
#include "split/split.h"

enum {
	OPT_BUILD = DRIVER_NEXT,
	OPT_RUN,
	NOTHING = 77, /* exit code of the rig: there is no such kernel or no QEMU here */
};

static const struct cli_option options[] = {
	{'o', "output", "DIR", "write it there (default: split-DRIVER)"},
	{OPT_BUILD, "build", NULL, "build the module and the daemon"},
	{OPT_RUN, "run", NULL, "build, and compare with the original in a virtual machine"},
	DRIVER_OPTIONS,
	{0, NULL, NULL, NULL},
};

static const struct cli_usage usage = {
	.command = "split",
	.synopsis = "DRIVER|DIR|FILE... [OPTIONS]",
	.about =
		"Makes a kernel module and a daemon of a Linux driver's source: functions that the\n"
		"kernel does not need on its fast paths are executed by an ordinary process.",
	.options = options,
};

struct request {
	struct driver_source source;
	const char *output;
	bool build, run;
};

/* Its output goes to stderr: ours is for what was asked for. */
static int run_program(const char *const *argv, struct ob_error *err)
{
	int status = 0;
	pid_t pid;

	fflush(stdout);
	pid = fork();
	if (pid < 0)
		return ob_error_set(err, -errno, "cannot start %s: %s", argv[0], strerror(errno));
	if (!pid) {
		dup2(STDERR_FILENO, STDOUT_FILENO);
		execvp(argv[0], (char *const *)argv);
		_exit(CLI_NOEXEC);
	}
	while (waitpid(pid, &status, 0) < 0 && errno == EINTR)
		;
	if (WIFEXITED(status) && !WEXITSTATUS(status))
		return 0;
	return ob_error_set(err,
			    WIFEXITED(status) && WEXITSTATUS(status) == NOTHING ? -ENOENT : -EIO,
			    "%s failed; the reason stands above", argv[0]);
}

static int build(const struct request *q, const char *out, struct ob_error *err)
{
	static const char *const halves[] = {"kernel", "daemon"};
	char dir[PATH_MAX + 8], headers[PATH_MAX + 16];
	int ret = 0;

	snprintf(headers, sizeof(headers), "HEADERS=%s", q->source.parsed.build);
	for (size_t i = 0; !ret && i < sizeof(halves) / sizeof(halves[0]); i++) {
		/* Type information for debuggers wants pahole, which is not asked for here. */
		const char *argv[] = {
			"make", "-s", "-C", dir, headers, "CONFIG_DEBUG_INFO_BTF_MODULES=", NULL};

		snprintf(dir, sizeof(dir), "%s/%s", out, halves[i]);
		ret = run_program(argv, err);
	}
	return ret;
}

static int trial(const struct request *q, const char *out, struct ob_error *err)
{
	char path[PATH_MAX];
	int ret = find_part("the trial", "share/outboard/split/trial",
			    OUTBOARD_SOURCE "/split/trial", path, err);
	const char *argv[] = {path, out, q->source.name,
			      q->source.kernel ? q->source.kernel : "6.12", NULL};

	return ret ? ret : run_program(argv, err);
}

static int cut(struct request *q, const struct analysis *a, struct ob_error *err)
{
	struct split s = {.factoring = a->factoring,
			  .graph = a->graph,
			  .facts = a->facts,
			  .policy = a->policy,
			  .sources = &q->source.sources,
			  .headers = &q->source.parsed,
			  .driver = q->source.name};
	char program[PATH_MAX], out[PATH_MAX];
	struct split_parts parts = {.program = program, .out = out};
	int ret;

	if (q->output)
		snprintf(out, sizeof(out), "%s", q->output);
	else
		snprintf(out, sizeof(out), "split-%s", q->source.name);
	ret = find_part("the folder of runtimes", "share/outboard/split", OUTBOARD_SOURCE "/split",
			program, err);
	if (!ret)
		ret = split_choose(&s, err);
	if (!ret && !s.entries.n) {
		ret = ob_error_set(err, -ENOTSUP, "no function of %s can move", q->source.name);
		ob_error_fix(err, "outboard factor says why");
	}
	if (!ret)
		ret = split_emit(&s, &parts, err);
	if (!ret)
		ret = split_account(&s, out, err);
	if (!ret && !cli_json())
		split_text(&s, stdout);
	if (!ret && (q->build || q->run))
		ret = build(q, out, err);
	if (!ret && cli_json())
		cli_print_json(split_json(&s));
	if (!ret && q->run)
		ret = trial(q, out, err);
	split_free(&s);
	return ret;
}

static int split(struct request *q, struct ob_error *err)
{
	struct analysis a;
	int ret = driver_analyse(&a, &q->source, NULL, err);

	if (!ret) {
		ret = cut(q, &a, err);
		analysis_free(&a);
	}
	sources_free(&q->source.sources);
	return ret;
}

int cmd_split(int argc, char **argv)
{
	static struct request q;
	struct ob_error err = {0};
	struct cli_args args;
	int opt;

	cli_args_init(&args, &usage, argc, argv);
	while ((opt = cli_next(&args)) != CLI_END) {
		switch (opt) {
		case CLI_STOP:
			return args.exit_code;
		case 'o':
			q.output = args.value;
			break;
		case OPT_BUILD:
			q.build = true;
			break;
		case OPT_RUN:
			q.run = true;
			break;
		default:
			if (!driver_option(&q.source, &args, opt))
				return args.exit_code;
			break;
		}
	}
	if (!q.source.n)
		return cli_bad(&usage,
			       "which driver? Its name, or a folder or files with its source");
	return split(&q, &err) ? cli_error("split", &err) : CLI_OK;
}
