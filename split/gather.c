/* SPDX-License-Identifier: BSD-2-Clause */
/* Runs outboard-facts; split/gather.h. */
#include <errno.h>
#include <signal.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include "split/gather.h"

enum {
	/* Seconds of processor that one file may take; the longest of the kernel's need four. */
	TIME_LIMIT = 120,
	EXIT_NOEXEC = 126,
};

struct job {
	const char *file;
	pid_t pid; /* 0: not started, -1: done */
	int out, messages, status;
};

/* ---- one file ----------------------------------------------------------------------------- */

/* Policies include each other: once each is enough. */
static int add_lock(texts *a, const struct lock_rule *l)
{
	char *text;
	int ret = 0;

	if (asprintf(&text, "%s:%s:%s", l->acquire, l->release, l->name) < 0)
		return -ENOMEM;
	for (size_t i = 0; i < a->n; i++)
		if (!strcmp(a->at[i], text))
			goto out;
	ret = texts_add(a, "--lock");
	if (!ret)
		ret = texts_add(a, "%s", text);
out:
	free(text);
	return ret;
}

static int arguments_of(texts *a, const struct gathering *g, const char *file, struct ob_error *err)
{
	int ret = texts_add(a, "%s", g->program);
	char **end;

	if (!ret)
		ret = texts_add(a, "--root");
	if (!ret)
		ret = texts_add(a, "%s", g->sources->root);
	for (size_t p = 0; !ret && p < g->n_policies; p++)
		for (size_t i = 0; !ret && i < g->policies[p]->locks.n; i++)
			ret = add_lock(a, &g->policies[p]->locks.at[i]);
	if (!ret)
		ret = texts_add(a, "%s", file);
	if (!ret)
		ret = texts_add(a, "--");
	if (ret)
		return ob_error_set(err, ret, "no memory for the options of %s", file);
	ret = flags_find(a, g->sources, g->headers, file, err);
	if (ret)
		return ret;
	/* execv() wants a NULL at the end. */
	end = vector_add(a);
	return end ? 0 : ob_error_set(err, -ENOMEM, "no memory for the options of %s", file);
}

static void run(const struct gathering *g, const struct job *j, char **argv, pid_t parent)
{
	const struct rlimit limit = {TIME_LIMIT, TIME_LIMIT + 1};

	prctl(PR_SET_PDEATHSIG, SIGKILL);
	if (getppid() != parent)
		_exit(EXIT_NOEXEC);
	setrlimit(RLIMIT_CPU, &limit);
	signal(SIGPIPE, SIG_DFL);
	if (dup2(j->out, STDOUT_FILENO) < 0 || dup2(j->messages, STDERR_FILENO) < 0)
		_exit(EXIT_NOEXEC);
	execv(g->program, argv);
	dprintf(STDERR_FILENO, "%s: %s\n", g->program, strerror(errno));
	_exit(EXIT_NOEXEC);
}

static int start(const struct gathering *g, struct job *j, struct ob_error *err)
{
	pid_t parent = getpid();
	texts arguments = {0};
	int ret;

	ret = arguments_of(&arguments, g, j->file, err);
	if (ret)
		goto out;
	j->out = memfd_create("facts", MFD_CLOEXEC);
	j->messages = memfd_create("messages", MFD_CLOEXEC);
	if (j->out < 0 || j->messages < 0) {
		ret = ob_error_set(err, -errno, "no memory for the facts of %s", j->file);
		goto out;
	}
	j->pid = fork();
	if (!j->pid)
		run(g, j, arguments.at, parent);
	if (j->pid < 0) {
		j->pid = 0;
		ret = ob_error_set(err, -errno, "cannot start %s: %s", g->program, strerror(errno));
	}
out:
	texts_free(&arguments);
	return ret;
}

/* ---- what came of it -------------------------------------------------------------------------- */

static const char *relative(const struct sources *s, const char *file)
{
	return file + strlen(s->root) + 1;
}

static int parser_failed(struct facts *f, const struct gathering *g, const struct job *j)
{
	char text[300], said[200] = "";
	struct source_error *e;
	ssize_t n = pread(j->messages, said, sizeof(said) - 1, 0);

	said[n < 0 ? 0 : n] = '\0';
	said[strcspn(said, "\n\t")] = '\0';
	if (WIFSIGNALED(j->status))
		snprintf(text, sizeof(text),
			 "the parser was ended by signal %d%s%s: nothing behind it is known",
			 WTERMSIG(j->status), *said ? ": " : "", said);
	else
		snprintf(text, sizeof(text), "the parser gave up%s%s: nothing behind it is known",
			 *said ? ": " : "", said);
	e = vector_add(&f->errors);
	if (!e)
		return -ENOMEM;
	e->path = facts_text(f, relative(g->sources, j->file));
	e->line = 1;
	e->text = facts_text(f, text);
	return 0;
}

static void copy_facts(FILE *from, FILE *to)
{
	char block[16384];
	size_t n;

	while ((n = fread(block, 1, sizeof(block), from)) > 0)
		fwrite(block, 1, n, to);
	rewind(from);
}

static int read_facts(struct facts *f, const struct gathering *g, struct job *j,
		      struct ob_error *err)
{
	FILE *from = fdopen(dup(j->out), "r");
	bool whole = false;
	int ret;

	if (!from)
		return ob_error_set(err, -ENOMEM, "no memory for the facts of %s", j->file);
	rewind(from);
	if (g->copy)
		copy_facts(from, g->copy);
	ret = facts_read(f, from, relative(g->sources, j->file), &whole, err);
	fclose(from);
	if (!WIFEXITED(j->status) || WEXITSTATUS(j->status) || !whole) {
		/* The line at which it died may be half a line. */
		if (ret == -EPROTO)
			ret = 0;
		if (!ret)
			ret = parser_failed(f, g, j);
	}
	return ret;
}

static void forget(struct job *j)
{
	int status;

	if (j->pid > 0) {
		kill(j->pid, SIGKILL);
		waitpid(j->pid, &status, 0);
	}
	if (j->out >= 0)
		close(j->out);
	if (j->messages >= 0)
		close(j->messages);
	j->out = j->messages = -1;
}

int gather(struct facts *f, const struct gathering *g, struct ob_error *err)
{
	size_t n = g->sources->files.n, started = 0, read = 0;
	long processors = sysconf(_SC_NPROCESSORS_ONLN);
	unsigned int most = g->jobs ? g->jobs : processors > 0 ? processors : 1;
	unsigned int running = 0;
	struct job *jobs = calloc(n + 1, sizeof(*jobs));
	int ret = 0;

	if (!jobs)
		return ob_error_set(err, -ENOMEM, "no memory for %zu files", n);
	for (size_t i = 0; i < n; i++)
		jobs[i] = (struct job){.file = g->sources->files.at[i], .out = -1, .messages = -1};
	while (!ret && read < n) {
		int status;
		pid_t pid;

		if (started < n && running < most) {
			ret = start(g, &jobs[started++], err);
			running++;
			continue;
		}
		/* Its own children alone: the program may have others. */
		pid = -1;
		for (size_t i = read; pid < 0 && i < started; i++) {
			if (jobs[i].pid > 0) {
				pid = jobs[i].pid;
				while (waitpid(pid, &status, 0) < 0 && errno == EINTR)
					;
				jobs[i].status = status;
				jobs[i].pid = -1;
				running--;
			}
		}
		/* In the order of the files, whoever is done first, so that the same driver gives the same facts. */
		while (!ret && read < started && jobs[read].pid == -1) {
			ret = read_facts(f, g, &jobs[read], err);
			forget(&jobs[read]);
			read++;
		}
	}
	for (size_t i = read; i < n; i++)
		forget(&jobs[i]);
	free(jobs);
	if (!ret)
		facts_blame(f);
	return ret;
}
