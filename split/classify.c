/* SPDX-License-Identifier: BSD-2-Clause */
/* The rules; split/classify.h and docs/factor.md describe them. */
#include <errno.h>
#include <stdarg.h>
#include <string.h>

#include "split/classify.h"

const char *const verdict_names[VERDICTS] = {
	[VERDICT_STAYS] = "stays",	  [VERDICT_REPLICATE] = "replicate",
	[VERDICT_MUST] = "must move",	  [VERDICT_MIGHT] = "might move",
	[VERDICT_CANNOT] = "cannot move", [VERDICT_DEAD] = "never called",
};

const char *const difficulty_names[DIFFICULTIES] = {
	[DIFFICULTY_PURE] = "pure data",
	[DIFFICULTY_CALLBACK] = "library call-back",
	[DIFFICULTY_REGISTERS] = "registers",
	[DIFFICULTY_LOCKED] = "locked",
	[DIFFICULTY_RING] = "rings, DMA, interrupts",
};

/* ---- who reaches what --------------------------------------------------------------------- */

/* Breadth first, so that the way that is told is a shortest one. */
static int reach(struct factoring *f, enum set set)
{
	const struct graph *g = f->graph;
	size_t n = g->facts->functions.n, head = 0, tail = 0;
	struct function **queue = calloc(n + 1, sizeof(*queue));

	if (!queue)
		return -ENOMEM;
	for (size_t i = 0; i < g->roots.n; i++) {
		const struct root *r = &g->roots.at[i];
		struct way *w = &place_of(f, r->function)->ways[set];

		if ((r->rule ? r->rule->set : SET_UNLISTED) != set || w->reached)
			continue;
		w->reached = true;
		w->root = r;
		queue[tail++] = r->function;
	}
	while (head < tail) {
		struct function *fn = queue[head++];

		for (size_t i = 0; i < g->out[fn->index].n; i++) {
			const struct edge *e = &g->out[fn->index].at[i];
			struct way *w = &place_of(f, e->to)->ways[set];

			if (w->reached)
				continue;
			w->reached = true;
			w->by = e;
			queue[tail++] = e->to;
		}
	}
	free(queue);
	return 0;
}

size_t reached_from(const struct graph *g, struct function *from, struct function **list,
		    unsigned char *seen)
{
	size_t n = 1;

	memset(seen, 0, g->facts->functions.n);
	list[0] = from;
	seen[from->index] = 1;
	for (size_t head = 0; head < n; head++) {
		for (size_t i = 0; i < g->out[list[head]->index].n; i++) {
			struct function *to = g->out[list[head]->index].at[i].to;

			if (!seen[to->index]) {
				seen[to->index] = 1;
				list[n++] = to;
			}
		}
	}
	return n;
}

/* ---- reasons --------------------------------------------------------------------------------- */

typedef VECTOR(struct reason) reasons;

static int add_reason(struct place *p, bool note, const char *path, unsigned int line,
		      const char *fmt, ...) __attribute__((format(printf, 5, 6)));

static int add_reason(struct place *p, bool note, const char *path, unsigned int line,
		      const char *fmt, ...)
{
	struct reason *r = note ? vector_add(&p->notes) : vector_add(&p->reasons);
	va_list ap;
	int n;

	if (!r)
		return -ENOMEM;
	va_start(ap, fmt);
	n = vasprintf(&r->text, fmt, ap);
	va_end(ap);
	if (n < 0) {
		r->text = NULL;
		return -ENOMEM;
	}
	r->path = path;
	r->line = line;
	return 0;
}

/* ---- locks -------------------------------------------------------------------------------------- */

/* A lock that its holder may sleep with, wherever it is taken. */
static bool lock_sleeps(const struct policy *p, const struct lock_use *l)
{
	const struct lock_rule *rule = policy_lock(p, l->api);

	return rule && rule->sleeps;
}

static bool name_sleeps(const struct factoring *f, const char *name, size_t length)
{
	const struct facts *facts = f->graph->facts;

	for (size_t i = 0; i < facts->functions.n; i++) {
		const struct function *fn = facts->functions.at[i];

		for (size_t k = 0; k < fn->locks.n; k++)
			if (fn->locks.at[k].what == LOCK_ACQUIRE &&
			    !strncmp(fn->locks.at[k].name, name, length) &&
			    !fn->locks.at[k].name[length])
				return lock_sleeps(f->graph->policy, &fn->locks.at[k]);
	}
	return false;
}

/* The first of the locks held, a list with commas, that forbids to sleep; NULL */
static const char *held_atomic(const struct factoring *f, const char *held, char name[128])
{
	while (held && *held) {
		size_t n = strcspn(held, ",");

		if (!name_sleeps(f, held, n)) {
			snprintf(name, 128, "%.*s", (int)n, held);
			return name;
		}
		held += n + (held[n] == ',');
	}
	return NULL;
}

static bool in_kernel(const struct place *p)
{
	return p->set == SET_STAY || p->set == SET_INIT || p->verdict == VERDICT_CANNOT;
}

/* Somebody in the kernel who takes the lock, too. */
static const struct function *kernels_holder(const struct factoring *f, const char *lock)
{
	const struct facts *facts = f->graph->facts;

	for (size_t i = 0; i < facts->functions.n; i++) {
		const struct function *fn = facts->functions.at[i];

		if (!fn->defined || !in_kernel(&f->places[i]))
			continue;
		for (size_t k = 0; k < fn->locks.n; k++)
			if (fn->locks.at[k].what == LOCK_ACQUIRE && fn->locks.at[k].name == lock)
				return fn;
	}
	return NULL;
}

/* ---- what a body does ------------------------------------------------------------------------------ */

static enum api api_of(const struct factoring *f, const struct call *c)
{
	enum api api = c->to->defined ? API_NONE : policy_api(f->graph->policy, c->to->name);

	if (api == API_NONE && c->macro && !c->to->defined)
		api = policy_api(f->graph->policy, c->macro);
	return api;
}

static const char *called(const struct call *c)
{
	return c->macro ? c->macro : c->to->name;
}

static void look_at_body(struct factoring *f, struct place *p)
{
	const struct function *fn = p->function;

	for (size_t i = 0; i < fn->calls.n; i++)
		p->apis |= 1u << api_of(f, &fn->calls.at[i]);
	for (size_t i = 0; i < fn->locks.n; i++)
		if (fn->locks.at[i].what == LOCK_ACQUIRE &&
		    !lock_sleeps(f->graph->policy, &fn->locks.at[i]))
			p->locks = true;
	p->apis &= ~(1u << API_NONE | 1u << API_PLAIN);
}

/* What keeps the body in the kernel by itself, whatever becomes of others. */
static int fixed_reasons(struct factoring *f, struct place *p)
{
	static const char *const words[APIS] = {[API_DMA] = "DMA: ",
						[API_SKB] = "socket buffers or NAPI: ",
						[API_IRQ] = "interrupts: "};
	const struct function *fn = p->function;
	unsigned int said = 0;
	int ret = 0;

	if (fn->broken)
		ret = add_reason(p, false, fn->path, fn->error_line, "it does not compile: %s",
				 fn->error);
	if (!ret && fn->asm_line)
		ret = add_reason(p, false, fn->path, fn->asm_line, "assembler in its text");
	for (size_t i = 0; !ret && i < fn->calls.n; i++) {
		enum api api = api_of(f, &fn->calls.at[i]);

		if (!words[api] || said & 1u << api)
			continue;
		said |= 1u << api;
		ret = add_reason(p, false, fn->path, fn->calls.at[i].line, "%s%s", words[api],
				 called(&fn->calls.at[i]));
	}
	for (size_t i = 0; !ret && i < fn->locks.n; i++) {
		const struct lock_use *l = &fn->locks.at[i];
		const struct lock_rule *rule = policy_lock(f->graph->policy, l->api);

		if (l->what == LOCK_DROP)
			ret = add_reason(p, false, fn->path, l->line,
					 "gives back %s, which its caller took", l->name);
		else if (l->what == LOCK_ACQUIRE && rule && *rule->name && !rule->sleeps)
			ret = add_reason(p, false, fn->path, l->line,
					 "%s: only the kernel has that", l->name);
		else if (l->what == LOCK_ACQUIRE && !strcmp(l->name, "?"))
			ret = add_reason(p, false, fn->path, l->line,
					 "takes a lock that it was given: which one is not known");
	}
	if (!ret && p->set == SET_UNLISTED) {
		const struct way *w = &p->ways[SET_UNLISTED];

		if (w->root)
			ret = add_reason(
				p, false, w->root->path, w->root->line,
				"the kernel gets its address in %s, of which the policy says "
				"nothing",
				node_name(w->root->node));
		else
			ret = add_reason(p, false, w->by->from->path, w->by->line,
					 "called by %s, of whose caller the policy says nothing",
					 w->by->from->name);
	}
	if (p->reasons.n)
		p->verdict = VERDICT_CANNOT;
	return ret;
}

/* What keeps it there because of what others do; true when that is new. */
static int mutual_reasons(struct factoring *f, struct place *p)
{
	const struct function *fn = p->function;
	const struct function *holder;

	for (size_t i = 0; i < fn->locks.n; i++) {
		const struct lock_use *l = &fn->locks.at[i];

		if (l->what != LOCK_ACQUIRE || lock_sleeps(f->graph->policy, l))
			continue;
		holder = kernels_holder(f, l->name);
		if (!holder || holder == fn)
			continue;
		p->verdict = VERDICT_CANNOT;
		return add_reason(
			p, false, fn->path, l->line, "takes %s, as %s (%s:%u) does, which %s",
			l->name, holder->name, holder->path, holder->line,
			place_of(f, holder)->verdict == VERDICT_CANNOT ? "cannot move" : "stays");
	}
	return 0;
}

static int spread_atomic(struct factoring *f, struct place *p, bool *changed)
{
	const struct graph *g = f->graph;
	char name[128];

	for (size_t i = 0; i < g->out[p->function->index].n; i++) {
		const struct edge *e = &g->out[p->function->index].at[i];
		struct place *to = place_of(f, e->to);
		const char *lock = held_atomic(f, e->held, name);

		if (to->atomic || in_kernel(to) || (!lock && !p->atomic))
			continue;
		to->atomic = true;
		to->verdict = VERDICT_CANNOT;
		*changed = true;
		if (lock ? add_reason(to, false, p->function->path, e->line,
				      "called by %s with %s held: it may not wait for a daemon",
				      p->function->name, lock)
			 : add_reason(to, false, p->function->path, e->line,
				      "called by %s, which is called with a lock held",
				      p->function->name))
			return -ENOMEM;
	}
	return 0;
}

static int judge(struct factoring *f)
{
	const struct facts *facts = f->graph->facts;
	bool changed;
	int ret = 0;

	for (size_t i = 0; !ret && i < facts->functions.n; i++) {
		struct place *p = &f->places[i];

		if (!p->function->defined)
			continue;
		look_at_body(f, p);
		if (p->set == SET_MUST || p->set == SET_MIGHT || p->set == SET_UNLISTED)
			ret = fixed_reasons(f, p);
	}
	/* Who stays because of another makes others stay; the set only grows. */
	do {
		changed = false;
		for (size_t i = 0; !ret && i < facts->functions.n; i++) {
			struct place *p = &f->places[i];

			if (!p->function->defined)
				continue;
			if ((p->set == SET_MUST || p->set == SET_MIGHT) &&
			    p->verdict != VERDICT_CANNOT) {
				ret = mutual_reasons(f, p);
				changed |= p->verdict == VERDICT_CANNOT;
			}
			if (!ret && in_kernel(p))
				ret = spread_atomic(f, p, &changed);
		}
	} while (changed && !ret);
	return ret;
}

/* ---- shared fields -------------------------------------------------------------------------------------- */

static int by_key(const void *a, const void *b)
{
	const char *x = *(const char *const *)a, *y = *(const char *const *)b;

	return x < y ? -1 : x > y;
}

struct touched {
	const char *key;
	unsigned int stay, must; /* enum use, and 4 for any use */
};

static struct touched *find(struct touched *list, size_t n, const char *key)
{
	return bsearch(&key, list, n, sizeof(*list), by_key);
}

static struct touched *touched_fields(const struct factoring *f, size_t *count)
{
	const struct facts *facts = f->graph->facts;
	struct touched *list;
	size_t n = 0, kept = 0;

	for (size_t i = 0; i < facts->functions.n; i++)
		n += facts->functions.at[i]->fields.n;
	list = calloc(n + 1, sizeof(*list));
	if (!list)
		return NULL;
	n = 0;
	for (size_t i = 0; i < facts->functions.n; i++)
		for (size_t k = 0; k < facts->functions.at[i]->fields.n; k++)
			list[n++].key = facts->functions.at[i]->fields.at[k].key;
	qsort(list, n, sizeof(*list), by_key);
	for (size_t i = 0; i < n; i++)
		if (!kept || list[kept - 1].key != list[i].key)
			list[kept++] = list[i];
	for (size_t i = 0; i < facts->functions.n; i++) {
		const struct function *fn = facts->functions.at[i];
		const struct place *p = &f->places[i];

		for (size_t k = 0; k < fn->fields.n; k++) {
			struct touched *t = find(list, kept, fn->fields.at[k].key);

			if (p->set == SET_STAY)
				t->stay |= fn->fields.at[k].use | 4;
			else if (p->set == SET_MUST)
				t->must |= fn->fields.at[k].use | 4;
		}
	}
	*count = kept;
	return list;
}

/* Why both sides cannot each have a copy of it; NULL when they can. What it depends on: @what, at @line. */
static const char *not_a_copy(const struct factoring *f, const struct place *p, const char **what,
			      unsigned int *line)
{
	const struct function *fn = p->function;

	*what = "";
	*line = fn->line;
	if (fn->locks.n) {
		*line = fn->locks.at[0].line;
		return "takes or gives back a lock";
	}
	if (fn->asm_line || fn->broken)
		return "its text is not all C";
	for (size_t k = 0; k < fn->calls.n; k++) {
		const struct call *c = &fn->calls.at[k];

		if (c->to->defined || api_of(f, c) == API_PLAIN)
			continue;
		*what = called(c);
		*line = c->line;
		return "calls the kernel's ";
	}
	/* Both sides would write it, so each would have to see what the other wrote. */
	for (size_t k = 0; k < fn->globals.n + fn->fields.n; k++) {
		const struct access *a =
			k < fn->globals.n ? &fn->globals.at[k] : &fn->fields.at[k - fn->globals.n];

		if (!(a->use & USE_WRITE))
			continue;
		*what = a->key;
		*line = a->line;
		return "writes ";
	}
	if (fn->sites.n) {
		*what = node_name(fn->sites.at[0].node);
		*line = fn->sites.at[0].line;
		return "calls through ";
	}
	for (size_t k = 0; k < f->graph->out[fn->index].n; k++) {
		const struct edge *e = &f->graph->out[fn->index].at[k];

		if (place_of(f, e->to)->verdict == VERDICT_REPLICATE || e->to == fn)
			continue;
		*what = e->to->name;
		*line = e->line;
		return "calls ";
	}
	return NULL;
}

/* Who needs it: bit 0 for code in the kernel, bit 1 for code that moves. */
static unsigned int *needed_by(const struct factoring *f)
{
	const struct graph *g = f->graph;
	unsigned int *needed = calloc(g->facts->functions.n + 1, sizeof(*needed));

	for (size_t i = 0; needed && i < g->facts->functions.n; i++) {
		const struct place *p = &f->places[i];
		unsigned int side = p->verdict == VERDICT_REPLICATE				? 3
				    : in_kernel(p)						? 1
				    : p->verdict == VERDICT_MUST || p->verdict == VERDICT_MIGHT ? 2
												: 0;

		for (size_t k = 0; k < g->out[i].n; k++)
			needed[g->out[i].at[k].to->index] |= side;
		/* The kernel calls a root where it is: a stub is there. */
		if (p->ways[SET_MUST].root && p->set == SET_MUST)
			needed[i] |= 2;
	}
	return needed;
}

static int find_replicas(struct factoring *f)
{
	const struct facts *facts = f->graph->facts;
	bool changed;

	do {
		unsigned int *needed = needed_by(f);

		changed = false;
		if (!needed)
			return -ENOMEM;
		for (size_t i = 0; i < facts->functions.n; i++) {
			struct place *p = &f->places[i];
			const char *what;
			unsigned int line;

			/* One that cannot move only because of a caller who cannot wait is no other than one that stays. */
			if (!p->function->defined || p->verdict == VERDICT_REPLICATE ||
			    needed[i] != 3 || (p->verdict == VERDICT_CANNOT && !p->atomic) ||
			    p->set == SET_INIT || not_a_copy(f, p, &what, &line))
				continue;
			p->verdict = VERDICT_REPLICATE;
			for (size_t k = 0; k < p->reasons.n; k++)
				free(p->reasons.at[k].text);
			p->reasons.n = 0;
			changed = true;
		}
		free(needed);
	} while (changed);
	return 0;
}

/* ---- what moving takes ------------------------------------------------------------------------------------ */

static int add_notes(struct factoring *f, struct place *p)
{
	const struct function *fn = p->function;
	int ret = 0;

	if (p->both && p->verdict == VERDICT_STAYS) {
		const char *what, *why;
		unsigned int line;

		why = not_a_copy(f, p, &what, &line);
		return add_reason(p, true, fn->path, line,
				  "moved functions call it down in the kernel%s%s%s",
				  why ? ": it " : "", why ? why : "", what);
	}
	if (p->verdict != VERDICT_MUST && p->verdict != VERDICT_MIGHT)
		return 0;
	for (size_t i = 0; !ret && i < fn->calls.n; i++) {
		enum api api = api_of(f, &fn->calls.at[i]);

		if (api != API_PORT && api != API_MMIO)
			continue;
		ret = add_reason(
			p, true, fn->path, fn->calls.at[i].line,
			"registers (%s): by request, or mapped where the kernel leaves them "
			"alone",
			called(&fn->calls.at[i]));
		break;
	}
	for (size_t i = 0; !ret && i < fn->locks.n; i++) {
		const struct lock_use *l = &fn->locks.at[i];
		const struct function *holder;

		if (l->what != LOCK_ACQUIRE)
			continue;
		holder = kernels_holder(f, l->name);
		if (holder)
			ret = add_reason(p, true, fn->path, l->line,
					 "takes %s, as %s does in the kernel: by request", l->name,
					 holder->name);
	}
	for (size_t i = 0; !ret && i < f->graph->out[fn->index].n; i++) {
		const struct edge *e = &f->graph->out[fn->index].at[i];
		const struct place *to = place_of(f, e->to);

		if (in_kernel(to) && to->verdict != VERDICT_REPLICATE)
			ret = add_reason(p, true, fn->path, e->line, "calls %s down in the kernel",
					 e->to->name);
	}
	return ret;
}

/* ---- entry points --------------------------------------------------------------------------------------------- */

static void harder(struct entry *e, enum difficulty d, const struct function *fn, const char *what,
		   unsigned int line)
{
	if (d <= e->difficulty)
		return;
	e->difficulty = d;
	e->worst = fn;
	e->what = what;
	e->line = line;
}

static void weigh(const struct factoring *f, struct entry *e, const struct function *fn)
{
	const struct graph *g = f->graph;

	for (size_t i = 0; i < fn->calls.n; i++) {
		const struct call *c = &fn->calls.at[i];

		switch (api_of(f, c)) {
		case API_PORT:
		case API_MMIO:
			harder(e, DIFFICULTY_REGISTERS, fn, called(c), c->line);
			break;
		case API_DMA:
		case API_SKB:
		case API_IRQ:
			harder(e, DIFFICULTY_RING, fn, called(c), c->line);
			break;
		default:
			break;
		}
	}
	for (size_t i = 0; i < fn->locks.n; i++)
		if (fn->locks.at[i].what == LOCK_ACQUIRE &&
		    !lock_sleeps(g->policy, &fn->locks.at[i]))
			harder(e, DIFFICULTY_LOCKED, fn, fn->locks.at[i].name,
			       fn->locks.at[i].line);
	for (size_t i = 0; i < g->out[fn->index].n; i++)
		if (g->out[fn->index].at[i].kind == EDGE_LIBRARY)
			harder(e, DIFFICULTY_CALLBACK, fn, g->out[fn->index].at[i].via,
			       g->out[fn->index].at[i].line);
}

static int by_node(const void *a, const void *b)
{
	const struct entry *x = a, *y = b;
	int order = strcmp(x->root->node, y->root->node);

	return order ? order : strcmp(x->root->function->id, y->root->function->id);
}

static int find_entries(struct factoring *f, struct touched *fields, size_t n)
{
	const struct graph *g = f->graph;
	size_t functions = g->facts->functions.n;
	struct function **list = calloc(functions + 1, sizeof(*list));
	unsigned char *seen = calloc(functions + 1, 1);
	unsigned char *used = calloc(n + 1, 1);
	int ret = list && seen && used ? 0 : -ENOMEM;

	for (size_t i = 0; !ret && i < g->roots.n; i++) {
		const struct root *r = &g->roots.at[i];
		struct entry *e;
		size_t reached;

		if (!r->rule || r->rule->set != SET_MUST)
			continue;
		e = vector_add(&f->entries);
		if (!e) {
			ret = -ENOMEM;
			break;
		}
		e->root = r;
		reached = reached_from(g, r->function, list, seen);
		e->functions = reached;
		memset(used, 0, n);
		for (size_t k = 0; k < reached; k++) {
			weigh(f, e, list[k]);
			for (size_t m = 0; m < list[k]->fields.n; m++)
				used[find(fields, n, list[k]->fields.at[m].key) - fields] |=
					list[k]->fields.at[m].use;
		}
		for (size_t k = 0; k < n; k++) {
			e->reads += !!(used[k] & USE_READ);
			e->writes += !!(used[k] & USE_WRITE);
		}
	}
	if (f->entries.n)
		qsort(f->entries.at, f->entries.n, sizeof(*f->entries.at), by_node);
	free(list);
	free(seen);
	free(used);
	return ret;
}

/* ---- sums ------------------------------------------------------------------------------------------------------- */

static void count(struct set_size *s, const struct function *fn)
{
	s->functions++;
	s->lines += facts_lines(fn);
}

static void add_up(struct factoring *f, const struct touched *fields, size_t n)
{
	const struct graph *g = f->graph;

	for (size_t i = 0; i < g->facts->functions.n; i++) {
		const struct place *p = &f->places[i];
		const struct function *fn = p->function;
		bool target = false;

		if (!fn->defined)
			continue;
		count(&f->all, fn);
		count(&f->sets[p->set], fn);
		count(&f->verdicts[p->verdict], fn);
		if (p->both)
			count(&f->both, fn);
		if (p->set == SET_MUST) {
			bool critical = false;

			for (size_t k = 0; k < fn->locks.n; k++)
				for (size_t m = 0; fn->locks.at[k].what == LOCK_ACQUIRE &&
						   m < g->facts->functions.n;
				     m++) {
					const struct function *other = g->facts->functions.at[m];

					for (size_t q = 0;
					     f->places[m].set == SET_STAY && q < other->locks.n;
					     q++)
						critical |=
							other->locks.at[q].what == LOCK_ACQUIRE &&
							other->locks.at[q].name ==
								fn->locks.at[k].name;
				}
			f->must_locked += critical;
			f->must_registers += !!(p->apis & (1u << API_PORT | 1u << API_MMIO));
			f->must_dma += !!(p->apis & 1u << API_DMA);
		}
		for (size_t k = 0; k < g->out[i].n; k++) {
			const struct edge *e = &g->out[i].at[k];
			bool twice = false;

			for (size_t m = 0; m < k; m++)
				twice |= g->out[i].at[m].to == e->to;
			if (twice)
				continue;
			f->down_edges += p->set == SET_MUST && place_of(f, e->to)->set == SET_STAY;
			f->up_edges += p->set != SET_MUST && p->set != SET_STAY &&
				       place_of(f, e->to)->set == SET_MUST;
		}
		for (size_t m = 0; p->set == SET_STAY && !target && m < g->facts->functions.n; m++)
			for (size_t k = 0; f->places[m].set == SET_MUST && k < g->out[m].n; k++)
				target |= g->out[m].at[k].to == fn;
		f->down_targets += target;
	}
	for (size_t i = 0; i < n; i++) {
		f->fields_touched += !!fields[i].must;
		f->fields_shared += fields[i].must && fields[i].stay;
		f->fields_written += fields[i].must && fields[i].stay &&
				     (fields[i].must | fields[i].stay) & USE_WRITE;
	}
	for (size_t i = 0; i < g->roots.n; i++) {
		const struct root *r = &g->roots.at[i];
		enum set set = r->rule ? r->rule->set : SET_UNLISTED;

		/* A function that is listed twice counts once. */
		f->sets[set].roots += place_of(f, r->function)->ways[set].root == r;
	}
}

/* ---- all of it ---------------------------------------------------------------------------------------------------- */

static void choose_sets(struct factoring *f)
{
	static const enum verdict of[SETS] = {
		[SET_STAY] = VERDICT_STAYS,	 [SET_MUST] = VERDICT_MUST,
		[SET_MIGHT] = VERDICT_MIGHT,	 [SET_INIT] = VERDICT_STAYS,
		[SET_UNLISTED] = VERDICT_CANNOT, [SET_DEAD] = VERDICT_DEAD,
	};

	for (size_t i = 0; i < f->graph->facts->functions.n; i++) {
		struct place *p = &f->places[i];

		p->set = SET_DEAD;
		for (int s = SET_UNLISTED; s >= SET_STAY; s--)
			if (p->ways[s].reached)
				p->set = s;
		p->both = p->function->defined && p->ways[SET_STAY].reached &&
			  p->ways[SET_MUST].reached;
		p->verdict = of[p->set];
	}
}

int classify(struct factoring **out, struct graph *g, struct ob_error *err)
{
	struct factoring *f = calloc(1, sizeof(*f));
	struct touched *fields = NULL;
	size_t n = 0;
	int ret = -ENOMEM;

	*out = NULL;
	if (!f)
		goto failed;
	f->graph = g;
	f->places = calloc(g->facts->functions.n + 1, sizeof(*f->places));
	if (!f->places)
		goto failed;
	for (size_t i = 0; i < g->facts->functions.n; i++)
		f->places[i].function = g->facts->functions.at[i];
	for (int s = SET_STAY; s < SET_DEAD; s++)
		if (reach(f, s))
			goto failed;
	choose_sets(f);
	if (judge(f))
		goto failed;
	fields = touched_fields(f, &n);
	if (!fields || find_replicas(f) || find_entries(f, fields, n))
		goto failed;
	for (size_t i = 0; i < g->facts->functions.n; i++)
		if (f->places[i].function->defined && add_notes(f, &f->places[i]))
			goto failed;
	add_up(f, fields, n);
	free(fields);
	*out = f;
	return 0;
failed:
	free(fields);
	factoring_free(f);
	return ob_error_set(err, ret, "no memory to sort the driver's functions");
}

void factoring_free(struct factoring *f)
{
	if (!f)
		return;
	for (size_t i = 0; f->places && i < f->graph->facts->functions.n; i++) {
		for (size_t k = 0; k < f->places[i].reasons.n; k++)
			free(f->places[i].reasons.at[k].text);
		for (size_t k = 0; k < f->places[i].notes.n; k++)
			free(f->places[i].notes.at[k].text);
		vector_free(&f->places[i].reasons);
		vector_free(&f->places[i].notes);
	}
	free(f->places);
	vector_free(&f->entries);
	free(f);
}
