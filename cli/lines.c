/* SPDX-License-Identifier: BSD-2-Clause */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "cli/cli.h"
#include "cli/lines.h"

static _Noreturn void become(const char *path, char **argv, int pipe_fd, int fd)
{
	/* dup2() onto itself would leave it to be closed. */
	if (pipe_fd == fd ? fcntl(pipe_fd, F_SETFD, 0) : dup2(pipe_fd, fd) < 0)
		_exit(CLI_NOEXEC);
	if (fd != STDOUT_FILENO)
		dup2(STDERR_FILENO, STDOUT_FILENO);
	argv[0] = (char *)path;
	execv(path, argv);
	_exit(CLI_NOEXEC);
}

int cli_program_lines(const char *path, char **argv, int fd, void (*take)(void *arg, char *line),
		      void *arg, int *status, struct ob_error *err)
{
	char *line = NULL;
	size_t room = 0;
	int fds[2];
	FILE *from;
	pid_t pid;

	if (pipe2(fds, O_CLOEXEC))
		return ob_error_set(err, -errno, "no pipe to %s: %s", path, strerror(errno));
	fflush(stdout);
	pid = fork();
	if (pid < 0) {
		close(fds[0]);
		close(fds[1]);
		return ob_error_set(err, -EAGAIN, "cannot start %s: %s", path, strerror(errno));
	}
	if (!pid)
		become(path, argv, fds[1], fd);
	close(fds[1]);
	from = fdopen(fds[0], "r");
	while (from && getline(&line, &room, from) > 0) {
		line[strcspn(line, "\n")] = '\0';
		take(arg, line);
	}
	free(line);
	if (from)
		fclose(from);
	else
		close(fds[0]);
	while (waitpid(pid, status, 0) < 0 && errno == EINTR)
		;
	return 0;
}
