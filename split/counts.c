/* SPDX-License-Identifier: BSD-2-Clause */
/* Counts of calls, read; split/counts.h. */
#include <errno.h>
#include <string.h>

#include "split/counts.h"

enum {
	NAME_ROOM = 128,
};

struct phase {
	char name[NAME_ROOM];
	bool use;
	double seconds;
};

struct reader {
	struct factoring *f;
	const char *path;
	unsigned int line, known;
	VECTOR(struct phase) phases;
	struct ob_error *err;
};

static int bad(struct reader *r, const char *why)
{
	return ob_error_set(r->err, -EINVAL, "%s:%u: %s", r->path, r->line, why);
}

static const struct phase *find_phase(const struct reader *r, const char *name)
{
	for (size_t i = 0; i < r->phases.n; i++)
		if (!strcmp(r->phases.at[i].name, name))
			return &r->phases.at[i];
	return NULL;
}

static int read_phase(struct reader *r, const char *name, const char *kind, double seconds)
{
	struct phase *p;

	if (strcmp(kind, "use") && strcmp(kind, "configuration"))
		return bad(r, "a phase is of the kind 'use' or 'configuration'");
	if (!(seconds > 0))
		return bad(r, "a phase takes some seconds");
	if (find_phase(r, name))
		return bad(r, "this phase was there already");
	p = vector_add(&r->phases);
	if (!p)
		return ob_error_set(r->err, -ENOMEM, "no memory for counts");
	snprintf(p->name, sizeof(p->name), "%s", name);
	p->use = !strcmp(kind, "use");
	p->seconds = seconds;
	return 0;
}

/* Functions of one name in several files cannot be told apart here: it counts for each of them. */
static int read_call(struct reader *r, const char *phase, char *name, unsigned long long count)
{
	const struct phase *p = find_phase(r, phase);

	if (!p)
		return bad(r, "there is no such phase before it");
	name[strcspn(name, ".")] = '\0';
	for (size_t i = 0; i < r->f->graph->facts->functions.n; i++) {
		struct place *at = &r->f->places[i];

		if (!at->function || !at->function->defined || strcmp(at->function->name, name))
			continue;
		at->count += count;
		if (p->use && count / p->seconds > at->rate)
			at->rate = count / p->seconds;
		r->known++;
	}
	return 0;
}

static int read_line(struct reader *r, const char *line)
{
	char one[NAME_ROOM], two[NAME_ROOM];
	unsigned long long count;
	double seconds;
	int end = 0;

	if (*line == '#' || line[strspn(line, " \t\n")] == '\0')
		return 0;
	if (sscanf(line, "phase %127s %127s %lf %n", one, two, &seconds, &end) == 3 && end &&
	    !line[end])
		return read_phase(r, one, two, seconds);
	end = 0;
	if (sscanf(line, "call %127s %127s %llu %n", one, two, &count, &end) == 3 && end &&
	    !line[end])
		return read_call(r, one, two, count);
	end = 0;
	if (sscanf(line, "driver %127s %n", one, &end) == 1 && end && !line[end])
		return 0;
	return bad(
		r,
		"neither 'driver NAME' nor 'phase NAME KIND SECONDS' nor 'call PHASE FUNCTION COUNT'");
}

int counts_read(struct factoring *f, FILE *in, const char *path, struct ob_error *err)
{
	struct reader r = {.f = f, .path = path, .err = err};
	char *line = NULL;
	size_t room = 0;
	int ret = 0;

	while (!ret && getline(&line, &room, in) > 0) {
		r.line++;
		ret = read_line(&r, line);
	}
	if (!ret && ferror(in))
		ret = ob_error_set(err, -EIO, "%s: %s", path, strerror(errno));
	if (!ret && !r.known) {
		ret = ob_error_set(err, -EINVAL, "%s has counts of no function of this driver",
				   path);
		ob_error_fix(err, "split/count takes them, for a driver by its module's name");
	}
	free(line);
	vector_free(&r.phases);
	f->counted = !ret;
	return ret;
}

bool counts_hot(const struct place *p)
{
	return p->rate >= COUNTS_HOT;
}

bool counts_moves(const struct place *p)
{
	return p->verdict == VERDICT_MUST || p->verdict == VERDICT_MIGHT;
}
