/* SPDX-License-Identifier: BSD-2-Clause */
/* One step after the other; split/factor.h. */
#include <errno.h>
#include <string.h>
#include <sys/resource.h>
#include <time.h>

#include "split/factor.h"
#include "split/gather.h"

static double now(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return t.tv_sec + t.tv_nsec / 1e9;
}

/* Of this process and of the parsers that it has waited for. */
static double processor(void)
{
	double sum = 0;

	for (int i = 0; i < 2; i++) {
		struct rusage u;

		getrusage(i ? RUSAGE_CHILDREN : RUSAGE_SELF, &u);
		sum += u.ru_utime.tv_sec + u.ru_stime.tv_sec +
		       (u.ru_utime.tv_usec + u.ru_stime.tv_usec) / 1e6;
	}
	return sum;
}

/* Something of the driver's is stored to a place that is of this class alone. */
static bool is_of(const struct facts *f, const patterns *places)
{
	for (size_t i = 0; i < f->flows.n; i++)
		if (matches(places, f->flows.at[i].to))
			return true;
	return false;
}

typedef VECTOR(struct policy *) policies;

static int load(policies *all, const char *dir, const char *name, struct ob_error *err)
{
	struct policy **slot = vector_add(all);

	if (!slot)
		return ob_error_set(err, -ENOMEM, "no memory for a policy");
	return policy_load(slot, dir, name, err);
}

/* The class that was asked for comes first; without one, all that there are, and last what they have in common. */
static int load_all(policies *all, const struct factor_request *q, struct ob_error *err)
{
	char *list = policy_list(q->policies), *at = list, *name;
	int ret = q->class ? load(all, q->policies, q->class, err) : 0;

	while (!ret && (name = strsep(&at, " ")))
		if (*name)
			ret = load(all, q->policies, name, err);
	free(list);
	return ret ? ret : load(all, q->policies, "any", err);
}

/* Takes it out of the list. */
static struct policy *choose(policies *all, const struct facts *f, bool first)
{
	struct policy *p;
	size_t n = 0;

	while (!first && n + 1 < all->n && !is_of(f, &all->at[n]->detect))
		n++;
	/* A network driver has files for debugging, too, which do not make it a character device's. */
	for (size_t i = 0; n + 1 == all->n && i < n; i++)
		if (is_of(f, &all->at[i]->otherwise))
			n = i;
	p = all->at[n];
	all->at[n] = NULL;
	return p;
}

static void free_all(policies *all)
{
	for (size_t i = 0; i < all->n; i++)
		policy_free(all->at[i]);
	vector_free(all);
}

int factor(struct analysis *a, const struct factor_request *q, struct ob_error *err)
{
	struct gathering g = {.program = q->program,
			      .sources = q->sources,
			      .headers = q->headers,
			      .jobs = q->jobs,
			      .copy = q->copy};
	policies all = {0};
	double started = now(), used = processor();
	int ret;

	memset(a, 0, sizeof(*a));
	a->facts = facts_create();
	if (!a->facts)
		return ob_error_set(err, -ENOMEM, "no memory for facts");
	ret = load_all(&all, q, err);
	/* Which class it is follows from the facts, which locks are held is in them: those of all classes are looked for. */
	g.policies = all.at;
	g.n_policies = all.n;
	if (!ret)
		ret = gather(a->facts, &g, err);
	if (!ret)
		a->policy = choose(&all, a->facts, q->class);
	free_all(&all);
	if (!ret)
		ret = policy_add_driver(a->policy, q->policies, q->name, err);
	if (ret)
		goto failed;
	ret = resolve(&a->graph, a->facts, a->policy, err);
	if (!ret)
		ret = classify(&a->factoring, a->graph, err);
	if (ret)
		goto failed;
	a->result = (struct result){.name = q->name,
				    .factoring = a->factoring,
				    .facts = a->facts,
				    .graph = a->graph,
				    .policy = a->policy,
				    .sources = q->sources,
				    .headers = q->headers,
				    .seconds = now() - started,
				    .cpu = processor() - used};
	return 0;
failed:
	analysis_free(a);
	return ret;
}

void analysis_free(struct analysis *a)
{
	factoring_free(a->factoring);
	graph_free(a->graph);
	policy_free(a->policy);
	facts_free(a->facts);
	memset(a, 0, sizeof(*a));
}
