// SPDX-License-Identifier: BSD-2-Clause
/*
 * What travels with a call: the objects that a function reaches, and of each the fields that are read or written anywhere in what it calls. A field is
 * known by its type: it travels for each object of that type.
 */
#include <ctype.h>
#include <errno.h>
#include <fnmatch.h>
#include <stdio.h>
#include <string.h>

#include "split/split.h"

enum {
	DEPTH = 6 /* of structs in structs */
};

struct used {
	const char *key;
	unsigned int use, line;
	const struct function *by;
	bool covered;
};

struct planning {
	struct split *s;
	struct entry_plan *e;
	VECTOR(struct used) used;
};

/* "const struct foo *" is "foo"; NULL where it is no pointer to a struct. */
static const char *pointee(struct split *s, const char *type)
{
	char name[256];
	const char *at = type;
	size_t n;

	if (!strncmp(at, "const ", 6))
		at += 6;
	if (!strncmp(at, "struct ", 7))
		at += 7;
	else
		return NULL;
	n = strcspn(at, " *");
	if (strcmp(at + n, " *") != 0 && strcmp(at + n, "*") != 0 && strcmp(at + n, " *const") != 0)
		return NULL;
	snprintf(name, sizeof(name), "%.*s", (int)n, at);
	return facts_text(s->facts, name);
}

static bool is_of(const char *key, const char *type)
{
	size_t n = strlen(type);

	return !strncmp(key, type, n) && key[n] == '.' && !strchr(key + n + 1, '.');
}

static int note(struct planning *p, const char *key, unsigned int use, unsigned int line,
		const struct function *by)
{
	struct used *u;

	if (!use)
		return 0;
	for (size_t i = 0; i < p->used.n; i++) {
		if (!strcmp(p->used.at[i].key, key)) {
			p->used.at[i].use |= use;
			return 0;
		}
	}
	u = vector_add(&p->used);
	if (!u)
		return -ENOMEM;
	*u = (struct used){.key = key, .use = use, .line = line, .by = by};
	return 0;
}

static int note_all(struct planning *p)
{
	int ret = 0;

	for (size_t i = 0; i < p->e->n_closure; i++) {
		const struct function *fn = p->e->closure[i];

		for (size_t k = 0; !ret && k < fn->fields.n; k++)
			ret = note(p, fn->fields.at[k].key, fn->fields.at[k].use,
				   fn->fields.at[k].line, fn);
		for (size_t k = 0; k < fn->calls.n; k++) {
			const struct inline_rule *r =
				policy_inline(p->s->policy, fn->calls.at[k].to->name);

			for (size_t m = 0; r && !ret && m < r->reads.n; m++)
				ret = note(p, facts_text(p->s->facts, r->reads.at[m]), USE_READ,
					   fn->calls.at[k].line, fn);
		}
	}
	return ret;
}

static struct object *add_object(struct planning *p, enum object_kind kind, const char *type)
{
	struct object *o;

	if (p->e->objects.n == OB_SPLIT_OBJECTS)
		return NULL;
	o = vector_add(&p->e->objects);
	if (o) {
		o->kind = kind;
		o->type = type;
	}
	return o;
}

static struct slot *add_slot(struct planning *p, unsigned int object, unsigned int flags,
			     const char *path)
{
	struct slot *slot = vector_add(&p->e->slots);

	if (!slot)
		return NULL;
	slot->object = object;
	slot->flags = flags;
	if (path) {
		slot->path = strdup(path);
		if (!slot->path)
			return NULL;
	}
	return slot;
}

/* ---- may it be written? --------------------------------------------------------------------------- */

static bool is_drivers(const struct split *s, const char *key)
{
	char type[256];

	snprintf(type, sizeof(type), "%.*s", (int)strcspn(key, "."), key);
	for (size_t i = 0; i < s->facts->records.n; i++)
		if (!strcmp(s->facts->records.at[i].name, type))
			return true;
	return false;
}

static bool goes_by(struct split *s, const struct function *fn, const char *key)
{
	for (size_t k = 0; k < fn->values.n; k++)
		if (!strcmp(fn->values.at[k].key, key))
			return !refuse(s,
				       "writes %s, on which more than a branch of %s in "
				       "the kernel depends (%s:%u)",
				       key, fn->name, fn->path, fn->values.at[k].line);
	return false;
}

/* The daemon may send anything; so nothing in the kernel may go by it but a branch. */
static bool may_write(struct planning *p, const struct object *o, const struct used *u)
{
	struct split *s = p->s;

	if (o->fixed)
		return refuse(s, "writes %s, which its caller gave as const (%s:%u)", u->key,
			      u->by->path, u->line);
	if (matches(&s->policy->kept, u->key))
		return refuse(s, "writes %s, by which the kernel goes (%s:%u)", u->key, u->by->path,
			      u->line);
	if (o->answer)
		return true;
	if (!is_drivers(s, u->key))
		return refuse(s, "writes %s, which is the kernel's (%s:%u)", u->key, u->by->path,
			      u->line);
	for (size_t i = 0; i < s->facts->functions.n; i++) {
		const struct function *fn = s->facts->functions.at[i];
		enum fate fate = s->fates[i].fate;

		if (split_outlines(s, fn) &&
		    (goes_by(s, fn->outlined, u->key) || goes_by(s, fn->way, u->key)))
			return false;
		if (fn->defined && fate != FATE_ENTRY && fate != FATE_MOVED &&
		    goes_by(s, fn, u->key))
			return false;
	}
	return true;
}

/* ---- fields --------------------------------------------------------------------------------------- */

static const char *embedded(struct split *s, const char *type)
{
	char name[256];
	const char *at = type;

	if (!strncmp(at, "const ", 6))
		at += 6;
	if (!strncmp(at, "struct ", 7))
		at += 7;
	else if (!strncmp(at, "union ", 6))
		at += 6;
	snprintf(name, sizeof(name), "%.*s", (int)strcspn(at, "["), at);
	return facts_text(s->facts, name);
}

static bool any_of(const struct planning *p, const char *type)
{
	for (size_t i = 0; i < p->used.n; i++)
		if (is_of(p->used.at[i].key, type))
			return true;
	return false;
}

static bool add_fields(struct planning *p, unsigned int object, const char *type,
		       const char *prefix, int depth);

static bool add_bits(struct planning *p, unsigned int object, const struct field *f,
		     const char *prefix, unsigned int flags)
{
	struct slot *slot;

	if (f->offset < 0 || f->path || f->bits > 32 || f->offset % 32 + f->bits > 32)
		return refuse(p->s, "uses the bit field %s, which has no place of its own", f->key);
	slot = add_slot(p, object, flags | OB_SPLIT_BITS, prefix);
	if (!slot)
		return refuse(p->s, "there is no memory to plan it");
	slot->key = f->key;
	slot->word = f->offset / 32 * 4;
	slot->bit = f->offset % 32;
	slot->bits = f->bits;
	return true;
}

static bool add_field(struct planning *p, unsigned int object, struct used *u, const char *prefix,
		      int depth)
{
	const struct object *o = &p->e->objects.at[object];
	const struct field *f = facts_field(p->s->facts, u->key);
	const char *name = strrchr(u->key, '.') + 1;
	bool writes = u->use & USE_WRITE && !split_is_handle(p->s, p->e, u->key, NULL), text;
	unsigned int flags = OB_SPLIT_IN | (writes ? OB_SPLIT_OUT : 0);
	struct slot *slot;
	char path[512];

	u->covered = true;
	snprintf(path, sizeof(path), "%s%s%s", prefix, *prefix ? "." : "",
		 f && f->path ? f->path : name);
	/* A rule names fields of the kernel that the driver's own text does not mention: names, or structs in structs. */
	if (!f) {
		const struct {
			const char *key, *type;
		} known[] = {{"pci_dev.dev", "device"}, {"device.kobj", "kobject"}};

		for (size_t i = 0; i < sizeof(known) / sizeof(known[0]); i++)
			if (!strcmp(u->key, known[i].key))
				return add_fields(p, object, known[i].type, path, depth + 1);
		flags |= strcmp(u->key, "net_device.state") ? OB_SPLIT_TEXT : 0;
	} else if (!strcmp(f->kind, "struct") || !strcmp(f->kind, "union")) {
		const char *inner = embedded(p->s, f->type);

		if (any_of(p, inner))
			return add_fields(p, object, inner, path, depth + 1);
		if (split_is_handle(p->s, p->e, u->key, inner))
			return true;
		/* Its address goes somewhere, and what is done with it there is nothing but reading. */
		if (writes && !o->answer)
			return refuse(p->s, "uses %s as a whole (%s:%u)", u->key, u->by->path,
				      u->line);
	} else if (!strcmp(f->kind, "pointer") || !strcmp(f->kind, "function")) {
		if (writes)
			return refuse(p->s, "writes the address %s (%s:%u)", u->key, u->by->path,
				      u->line);
		text = !strcmp(f->type, "const char *") || !strcmp(f->type, "char *");
		flags |= text ? OB_SPLIT_TEXT : OB_SPLIT_POINTER;
	} else if (!strcmp(f->kind, "array")) {
		if (strchr(f->type, '*') || (strstr(f->type, "struct ") && writes))
			return refuse(p->s, "uses the array %s (%s:%u)", u->key, u->by->path,
				      u->line);
		if (strstr(f->type, "struct "))
			for (size_t i = 0; i < p->used.n; i++)
				if (is_of(p->used.at[i].key, embedded(p->s, f->type)))
					p->used.at[i].covered = true;
		if (writes && !strncmp(f->type, "char[", 5))
			flags |= OB_SPLIT_STRING;
	} else if (!strcmp(f->kind, "flexible")) {
		return refuse(p->s, "uses %s, whose size nobody tells (%s:%u)", u->key, u->by->path,
			      u->line);
	}
	if (writes && !may_write(p, o, u))
		return false;
	if (f && !strcmp(f->kind, "bits"))
		return add_bits(p, object, f, prefix, flags);
	slot = add_slot(p, object, flags, path);
	if (!slot)
		return refuse(p->s, "there is no memory to plan it");
	slot->key = u->key;
	return true;
}

static bool add_fields(struct planning *p, unsigned int object, const char *type,
		       const char *prefix, int depth)
{
	if (depth > DEPTH)
		return refuse(p->s, "structs in structs are too deep at %s", type);
	for (size_t i = 0; i < p->used.n; i++)
		if (is_of(p->used.at[i].key, type) &&
		    !add_field(p, object, &p->used.at[i], prefix, depth))
			return false;
	return true;
}

/* ---- objects --------------------------------------------------------------------------------------- */

static bool is_known(const struct planning *p, const char *type)
{
	for (size_t i = 0; i < p->e->objects.n; i++)
		if (p->e->objects.at[i].type && !strcmp(p->e->objects.at[i].type, type))
			return true;
	return false;
}

static bool no_room(struct planning *p)
{
	return refuse(p->s, "reaches more than %d objects", OB_SPLIT_OBJECTS);
}

static bool add_params(struct planning *p)
{
	const struct function *fn = p->e->function;

	for (unsigned int i = 0; i < fn->params.n; i++) {
		const struct param *a = &fn->params.at[i];
		const struct buffer_rule *buffer = policy_buffer(p->s->policy, p->e->root->node, i);
		const char *type = pointee(p->s, a->type);
		bool pointer = strchr(a->type, '*');
		struct object *o;

		if (!add_slot(p, OB_SPLIT_FRAME, OB_SPLIT_IN | (pointer ? OB_SPLIT_POINTER : 0),
			      a->name))
			return refuse(p->s, "there is no memory to plan it");
		if (!pointer)
			continue;
		if (!buffer && !type)
			return refuse(p->s, "no rule tells how large it is what %s points to",
				      a->name);
		o = add_object(p, buffer ? OBJECT_BUFFER : OBJECT_PARAM, buffer ? NULL : type);
		if (!o)
			return no_room(p);
		o->param = i;
		o->buffer = buffer;
		o->fixed = !strncmp(a->type, "const ", 6);
		o->answer = type && matches(&p->s->policy->answers, type);
	}
	return true;
}

/* The struct as which the driver uses its part of another object. */
static const char *private_type(const struct planning *p, const char *call)
{
	const struct facts *f = p->s->facts;
	const char *found = NULL;

	for (size_t i = 0; i < f->becomes.n; i++) {
		const char *type = f->becomes.at[i].type;

		if (strcmp(f->becomes.at[i].callee, call) != 0 || strncmp(type, "struct ", 7) != 0)
			continue;
		if (found && strcmp(found, type + 7) != 0)
			return NULL;
		found = type + 7;
	}
	return found;
}

static bool add_private(struct planning *p)
{
	for (size_t i = 0; i < p->s->policy->private.n; i++) {
		const char *rule = p->s->policy->private.at[i], *colon = strchr(rule, ':'), *type;
		char call[128];

		if (!colon)
			continue;
		snprintf(call, sizeof(call), "%.*s", (int)(colon - rule), rule);
		type = private_type(p, call);
		for (unsigned int k = 0; type && k < p->e->objects.n; k++) {
			struct object *o;

			if (!p->e->objects.at[k].type ||
			    strcmp(p->e->objects.at[k].type, colon + 1))
				continue;
			o = add_object(p, OBJECT_PRIVATE, type);
			if (!o)
				return no_room(p);
			o->of = k;
			o->call = facts_text(p->s->facts, call);
			break;
		}
	}
	return true;
}

/* The path of the field to the object of this type, which lies in the other at any depth. */
static bool find_path(const struct planning *p, const char *type, const char *key, char *path,
		      size_t size, int depth)
{
	if (is_of(key, type)) {
		const struct field *f = facts_field(p->s->facts, key);

		snprintf(path, size, "%s", f && f->path ? f->path : strrchr(key, '.') + 1);
		return true;
	}
	for (size_t i = 0; depth < DEPTH && i < p->used.n; i++) {
		const struct field *f = facts_field(p->s->facts, p->used.at[i].key);
		char inner[256];

		if (!f || !is_of(f->key, type) || strcmp(f->kind, "struct") != 0 ||
		    !find_path(p, embedded(p->s, f->type), key, inner, sizeof(inner), depth + 1))
			continue;
		snprintf(path, size, "%s.%s", f->path ? f->path : strrchr(f->key, '.') + 1, inner);
		return true;
	}
	return false;
}

/*
 * The kernel's objects that the policy names. And the driver's own: they are copied so that a bad address does no harm, and are not written. But where one
 * address stands for many, nobody tells how many.
 */
static bool may_follow(const struct planning *p, const char *type)
{
	char key[300], whole[300];
	bool one = true, read_only = true;

	if (matches(&p->s->policy->follow, type))
		return true;
	snprintf(key, sizeof(key), "%s.", type);
	snprintf(whole, sizeof(whole), "struct %s", type);
	for (size_t i = 0; i < p->used.n; i++)
		if (is_of(p->used.at[i].key, type) && p->used.at[i].use & USE_WRITE)
			read_only = false;
	for (size_t i = 0; i < p->e->n_closure; i++)
		for (size_t k = 0; k < p->e->closure[i]->indexed.n; k++)
			if (!strcmp(p->e->closure[i]->indexed.at[k], whole))
				one = false;
	return is_drivers(p->s, key) && one && read_only;
}

static bool add_pointed(struct planning *p)
{
	for (size_t i = 0; i < p->used.n; i++) {
		const struct field *f = facts_field(p->s->facts, p->used.at[i].key);
		const char *type = f && !strcmp(f->kind, "pointer") ? pointee(p->s, f->type) : NULL;
		char path[512];

		if (!type || is_known(p, type) || !any_of(p, type) || !may_follow(p, type))
			continue;
		for (unsigned int k = 0; k < p->e->objects.n; k++) {
			const char *in = p->e->objects.at[k].type;
			struct object *o;

			if (!in || !find_path(p, in, f->key, path, sizeof(path), 0))
				continue;
			o = add_object(p, OBJECT_POINTED, type);
			if (!o)
				return no_room(p);
			o->of = k;
			o->field = strdup(path);
			if (!o->field)
				return refuse(p->s, "there is no memory to plan it");
			i = -1; /* it may point to others */
			break;
		}
	}
	return true;
}

static const char *type_of_variable(const struct split *s, const char *id)
{
	for (size_t i = 0; i < s->facts->variables.n; i++)
		if (!strcmp(s->facts->variables.at[i].id, id))
			return s->facts->variables.at[i].type;
	return NULL;
}

static bool changes(const struct split *s, const char *id)
{
	const char *type = type_of_variable(s, id);

	return type && !strstr(type, "const ") && !strpbrk(type, "*[(") && !strstr(type, "struct ");
}

/* Variables of the driver that may change, e.g. the module's parameters. choose.c has refused those that are more than a number. */
static bool add_variables(struct planning *p)
{
	for (size_t i = 0; i < p->e->n_closure; i++) {
		const struct function *fn = p->e->closure[i];

		for (size_t k = 0; k < fn->globals.n; k++) {
			const char *id = fn->globals.at[k].key;
			struct object *o;
			bool known = false;
			char name[256];

			for (size_t m = 0; m < p->e->objects.n; m++)
				known |= p->e->objects.at[m].kind == OBJECT_VARIABLE &&
					 !strncmp(id, p->e->objects.at[m].name,
						  strlen(p->e->objects.at[m].name)) &&
					 strchr("@", id[strlen(p->e->objects.at[m].name)]);
			if (known || !changes(p->s, id))
				continue;
			if (strcmp(fn->path, p->e->function->path) != 0)
				return refuse(p->s, "calls %s, which uses a variable of %s",
					      fn->name, fn->path);
			snprintf(name, sizeof(name), "%.*s", (int)strcspn(id, "@"), id);
			o = add_object(p, OBJECT_VARIABLE, NULL);
			if (!o)
				return no_room(p);
			o->name = facts_text(p->s->facts, name);
		}
	}
	return true;
}

/* What is in the driver's tables that do not change, the daemon has in its own. choose.c has refused other variables with structs in them. */
static void cover_tables(struct planning *p)
{
	for (size_t i = 0; i < p->e->n_closure; i++) {
		const struct function *fn = p->e->closure[i];

		for (size_t k = 0; k < fn->globals.n; k++) {
			const char *type = type_of_variable(p->s, fn->globals.at[k].key);
			const char *at = type ? strstr(type, "struct ") : NULL;
			char name[256];

			if (!at || strchr(type, '*'))
				continue;
			snprintf(name, sizeof(name), "%.*s", (int)strcspn(at + 7, " ["), at + 7);
			for (size_t m = 0; m < p->used.n; m++)
				if (is_of(p->used.at[m].key, name) && !is_known(p, name))
					p->used.at[m].covered = true;
		}
	}
}

/* ---- all ---------------------------------------------------------------------------------------------- */

static bool plan(struct planning *p)
{
	if (note_all(p) || !add_object(p, OBJECT_FRAME, NULL))
		return refuse(p->s, "there is no memory to plan it");
	if (!add_params(p) || !add_private(p) || !add_pointed(p) || !add_variables(p))
		return false;
	if (strcmp(p->e->function->type, "void") != 0 &&
	    !add_slot(p, OB_SPLIT_FRAME, OB_SPLIT_OUT, "ob_result"))
		return refuse(p->s, "there is no memory to plan it");
	for (unsigned int i = 1; i < p->e->objects.n; i++) {
		const struct object *o = &p->e->objects.at[i];

		if (o->type && !add_fields(p, i, o->type, "", 0))
			return false;
		if (!o->type &&
		    !add_slot(p, i,
			      OB_SPLIT_IN |
				      (o->kind == OBJECT_BUFFER
					       ? OB_SPLIT_WHOLE | (o->fixed ? 0 : OB_SPLIT_OUT)
					       : 0),
			      NULL))
			return refuse(p->s, "there is no memory to plan it");
	}
	if (!split_plan_kept(p->s, p->e) || !split_plan_regions(p->s, p->e))
		return false;
	cover_tables(p);
	for (size_t i = 0; i < p->used.n; i++)
		if (!p->used.at[i].covered)
			return refuse(p->s,
				      "%s %s of an object that is not known to be reached "
				      "(%s:%u)",
				      p->used.at[i].use & USE_WRITE ? "writes" : "reads",
				      p->used.at[i].key, p->used.at[i].by->path,
				      p->used.at[i].line);
	return true;
}

static void forget(struct entry_plan *e)
{
	for (size_t i = 0; i < e->objects.n; i++)
		free(e->objects.at[i].field);
	for (size_t i = 0; i < e->slots.n; i++)
		free(e->slots.at[i].path);
	e->objects.n = e->slots.n = 0;
	split_forget_kept(e);
}

bool split_plan_slots(struct split *s, struct entry_plan *e)
{
	struct planning p = {.s = s, .e = e};
	bool good;

	forget(e);
	e->length = policy_length(s->policy, e->root->node);
	good = plan(&p);
	vector_free(&p.used);
	return good;
}

void split_plan_free(struct entry_plan *e)
{
	forget(e);
	vector_free(&e->objects);
	vector_free(&e->slots);
	free(e->closure);
	free(e);
}
