/* SPDX-License-Identifier: BSD-2-Clause */
/* What the tests' own servers (serve_block, serve_net) share: serving, a command, what it cost. */
#ifndef TESTS_SERVE_H
#define TESTS_SERVE_H

#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include <outboard/outboard.h>

static inline int fail(const char *what, const struct ob_error *err)
{
	char text[1400];

	fprintf(stderr, "%s: %s\n", what, ob_error_text(err, text, sizeof(text)));
	return 2;
}

static inline void *serve(void *loop)
{
	return (void *)(intptr_t)ob_loop_run(loop);
}

/*
 * Run @argv, which ends with us, and return its exit code. @enter, if any, is called in the child with @at in front
 * of it: 0, or a negative errno value.
 */
static inline int run_command(char **argv, int (*enter)(const struct ob_attach *),
			      const struct ob_attach *at)
{
	int status;
	pid_t pid = fork();

	if (!pid) {
		sigset_t none;
		int ret = enter ? enter(at) : 0;

		if (ret) {
			fprintf(stderr, "namespace: %s\n", strerror(-ret));
			_exit(126);
		}
		sigemptyset(&none);
		sigprocmask(SIG_SETMASK, &none, NULL);
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		execvp(argv[0], argv);
		perror(argv[0]);
		_exit(127);
	}
	if (pid < 0 || waitpid(pid, &status, 0) != pid)
		return 2;
	return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}

static inline double cpu_seconds(void)
{
	struct rusage u;

	getrusage(RUSAGE_SELF, &u);
	return (double)(u.ru_utime.tv_sec + u.ru_stime.tv_sec) +
	       (double)(u.ru_utime.tv_usec + u.ru_stime.tv_usec) / 1e6;
}

#endif
