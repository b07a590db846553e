/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Facts of a driver (split/facts.h): whatever they say, they are refused, or all that is made of them can be made: a call graph, a place for each function, a
 * report. The parser that writes them died perhaps, or read what is no C.
 */
#include <errno.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "fuzz/fuzz.h"
#include "split/report.h"

static const char policy_text[] =
	"{\"class\": \"fuzzed\", \"roots\": ["
	"{\"at\": [\"request_irq#1\"], \"set\": \"stay\", \"why\": \"irq\"},"
	"{\"at\": [\"ops.*\"], \"set\": \"must\", \"why\": \"ops\"},"
	"{\"at\": [\"driver.*\"], \"set\": \"might\", \"why\": \"driver\"}],"
	"\"callbacks\": [{\"library\": \"l\", \"calls\": [\"back\"], \"into\": [\"ops.cb\"]}],"
	"\"locks\": [{\"acquire\": \"lock\", \"release\": \"unlock\"}],"
	"\"api\": [{\"kind\": \"dma\", \"calls\": [\"dma*\"]}, {\"kind\": \"mmio\", \"calls\": [\"readl\"]}]}";

static struct policy *load(void)
{
	char path[] = "/tmp/fuzz-policy-XXXXXX";
	struct policy *p = NULL;
	int fd = mkstemp(path);

	CHECK(fd >= 0);
	CHECK(write(fd, policy_text, strlen(policy_text)) == (ssize_t)strlen(policy_text));
	close(fd);
	CHECK(!policy_load(&p, "/", path, NULL));
	unlink(path);
	return p;
}

static void check(struct factoring *f)
{
	const struct facts *facts = f->graph->facts;
	unsigned int sum = 0;

	for (size_t i = 0; i < facts->functions.n; i++) {
		const struct place *p = &f->places[i];

		if (!p->function->defined)
			continue;
		CHECK(p->verdict < VERDICTS && p->set < SETS);
		/* Who is anywhere is there for a reason. */
		CHECK(p->set == SET_DEAD || p->ways[p->set].root || p->ways[p->set].by);
		CHECK(p->verdict != VERDICT_CANNOT || p->reasons.n);
	}
	for (int v = 0; v < VERDICTS; v++)
		sum += f->verdicts[v].functions;
	CHECK(sum == f->all.functions);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static struct policy *policy;
	struct headers headers = {"/headers", "/headers"};
	struct sources sources = {.root = "/driver"};
	struct ob_error err = {0};
	struct facts *facts = facts_create();
	struct factoring *f = NULL;
	struct graph *g = NULL;
	FILE *from, *null;
	bool whole;
	int ret;

	if (!policy)
		policy = load();
	from = size ? fmemopen((void *)data, size, "r") : NULL;
	if (!facts || !from) {
		facts_free(facts);
		return 0;
	}
	ret = facts_read(facts, from, "input", &whole, &err);
	fclose(from);
	CHECK(ret == 0 || (ret == -EPROTO && err.what[0]));
	/* What stood before the line that is none is known. */
	facts_blame(facts);
	CHECK(!resolve(&g, facts, policy, &err));
	CHECK(!classify(&f, g, &err));
	check(f);
	null = fopen("/dev/null", "w");
	if (null) {
		struct result r = {.name = "fuzzed",
				   .factoring = f,
				   .facts = facts,
				   .graph = g,
				   .policy = policy,
				   .sources = &sources,
				   .headers = &headers};
		struct json_object *doc;

		report_text(&r, null);
		report_dot(&r, null);
		for (size_t i = 0; i < facts->functions.n; i++)
			if (facts->functions.at[i]->defined)
				report_explain(&r, facts->functions.at[i], null);
		doc = report_json(&r);
		CHECK(doc);
		json_object_put(doc);
		fclose(null);
	}
	factoring_free(f);
	graph_free(g);
	facts_free(facts);
	return 0;
}
