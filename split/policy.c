/* SPDX-License-Identifier: BSD-2-Clause */
/* Reads policies; split/policy.h and docs/factor.md describe them. */
#include <dirent.h>
#include <errno.h>
#include <fnmatch.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include <json-c/json.h>

#include "split/policy.h"
#include "split/slots.h"

enum {
	FILE_LIMIT = 1 << 20, /* a policy is some kilobytes */
	DEPTH = 4,	      /* of files that include others */
};

const char *const set_names[SETS] = {
	[SET_STAY] = "stay", [SET_MUST] = "must",	  [SET_MIGHT] = "might",
	[SET_INIT] = "init", [SET_UNLISTED] = "unlisted", [SET_DEAD] = "dead",
};

const char *const api_names[APIS] = {
	[API_NONE] = "none", [API_PLAIN] = "plain", [API_SLEEP] = "sleep", [API_PORT] = "port",
	[API_MMIO] = "mmio", [API_DMA] = "dma",	    [API_SKB] = "skb",	   [API_IRQ] = "irq",
};

/* ---- matching --------------------------------------------------------------------------- */

static bool is_pattern(const char *text)
{
	return strpbrk(text, "*?[(") != NULL;
}

static bool fits(const char *pattern, const char *text)
{
	if (!is_pattern(pattern))
		return !strcmp(pattern, text);
	return !fnmatch(pattern, text, FNM_EXTMATCH);
}

bool matches(const patterns *p, const char *text)
{
	for (size_t i = 0; i < p->n; i++)
		if (fits(p->at[i], text))
			return true;
	return false;
}

const struct root_rule *policy_root(const struct policy *p, const char *node)
{
	const struct root_rule *first = NULL;

	for (size_t i = 0; i < p->roots.n; i++) {
		const struct root_rule *r = &p->roots.at[i];

		for (size_t k = 0; k < r->at.n; k++) {
			if (!strcmp(r->at.at[k], node))
				return r;
			if (!first && is_pattern(r->at.at[k]) && fits(r->at.at[k], node))
				first = r;
		}
	}
	return first;
}

enum api policy_api(const struct policy *p, const char *function)
{
	for (size_t i = 0; i < p->apis.n; i++)
		if (matches(&p->apis.at[i].calls, function))
			return p->apis.at[i].api;
	return API_NONE;
}

const struct lock_rule *policy_lock(const struct policy *p, const char *function)
{
	for (size_t i = 0; i < p->locks.n; i++)
		if (fits(p->locks.at[i].acquire, function))
			return &p->locks.at[i];
	return NULL;
}

const struct length_rule *policy_length(const struct policy *p, const char *node)
{
	for (size_t i = 0; i < p->lengths.n; i++)
		if (matches(&p->lengths.at[i].at, node))
			return &p->lengths.at[i];
	return NULL;
}

const struct buffer_rule *policy_buffer(const struct policy *p, const char *node,
					unsigned int param)
{
	char text[512];

	snprintf(text, sizeof(text), "%s#%u", node, param);
	for (size_t i = 0; i < p->buffers.n; i++)
		if (matches(&p->buffers.at[i].at, text))
			return &p->buffers.at[i];
	return NULL;
}

const struct inline_rule *policy_inline(const struct policy *p, const char *function)
{
	for (size_t i = 0; i < p->inlines.n; i++)
		if (matches(&p->inlines.at[i].calls, function))
			return &p->inlines.at[i];
	return NULL;
}

const struct kept_rule *policy_kept(const struct policy *p, const char *function)
{
	for (size_t i = 0; i < p->kept_calls.n; i++)
		if (!strcmp(p->kept_calls.at[i].call, function))
			return &p->kept_calls.at[i];
	return NULL;
}

const char *policy_stays(const struct policy *p, const char *node)
{
	for (size_t i = 0; i < p->stays.n; i++)
		if (matches(&p->stays.at[i].at, node))
			return p->stays.at[i].why;
	return NULL;
}

/* ---- reading ----------------------------------------------------------------------------- */

struct reading {
	struct policy *p;
	const char *path;
	struct ob_error *err;
};

static int wrong(struct reading *r, const char *what, const char *of)
{
	return ob_error_set(r->err, -EINVAL, "the policy %s: %s%s%s", r->path, what, of ? " " : "",
			    of ? of : "");
}

static void free_patterns(patterns *p)
{
	for (size_t i = 0; i < p->n; i++)
		free(p->at[i]);
	vector_free(p);
}

static int add_text(patterns *p, const char *prefix, const char *text)
{
	char **slot = vector_add(p);

	if (!slot)
		return -ENOMEM;
	if (asprintf(slot, "%s%s", prefix, text) < 0) {
		p->n--;
		return -ENOMEM;
	}
	return 0;
}

/* "request_irq#1" is an argument, "net_device_ops.ndo_open" a field; with a colon in it, it is a node as facts have it. */
static const char *prefix_of(const char *node)
{
	if (strchr(node, ':'))
		return "";
	return strchr(node, '#') ? "param:" : "field:";
}

static int read_patterns(struct reading *r, struct json_object *o, const char *key, bool nodes,
			 patterns *out)
{
	struct json_object *list, *item;
	int ret = 0;

	if (!json_object_object_get_ex(o, key, &list))
		return 0;
	if (!json_object_is_type(list, json_type_array))
		return wrong(r, "not a list:", key);
	for (size_t i = 0; !ret && i < json_object_array_length(list); i++) {
		const char *text;

		item = json_object_array_get_idx(list, i);
		if (!json_object_is_type(item, json_type_string))
			return wrong(r, "not a text in the list", key);
		text = json_object_get_string(item);
		ret = add_text(out, nodes ? prefix_of(text) : "", text);
	}
	return ret;
}

static const char *text_of(struct json_object *o, const char *key)
{
	struct json_object *value;

	if (!json_object_object_get_ex(o, key, &value) ||
	    !json_object_is_type(value, json_type_string))
		return NULL;
	return json_object_get_string(value);
}

static int index_of(const char *const *names, int n, const char *text)
{
	for (int i = 0; text && i < n; i++)
		if (!strcmp(names[i], text))
			return i;
	return -1;
}

static int read_root(struct reading *r, struct json_object *o)
{
	struct root_rule *rule = vector_add(&r->p->roots);
	int set = index_of(set_names, SET_UNLISTED, text_of(o, "set"));
	const char *why = text_of(o, "why");

	if (!rule)
		return -ENOMEM;
	if (set < 0)
		return wrong(r, "a root whose \"set\" is none of stay, must, might, init", NULL);
	if (!why)
		return wrong(r, "a root without a \"why\"", NULL);
	rule->set = set;
	rule->why = strdup(why);
	return rule->why ? read_patterns(r, o, "at", true, &rule->at) : -ENOMEM;
}

static int read_callback(struct reading *r, struct json_object *o)
{
	struct callback_rule *rule = vector_add(&r->p->callbacks);
	const char *library = text_of(o, "library");
	int ret;

	if (!rule)
		return -ENOMEM;
	if (!library)
		return wrong(r, "a call-back without a \"library\"", NULL);
	rule->library = strdup(library);
	if (!rule->library)
		return -ENOMEM;
	ret = read_patterns(r, o, "calls", false, &rule->calls);
	return ret ? ret : read_patterns(r, o, "into", true, &rule->into);
}

static int read_lock(struct reading *r, struct json_object *o)
{
	struct lock_rule *rule = vector_add(&r->p->locks);
	const char *acquire = text_of(o, "acquire"), *release = text_of(o, "release");
	const char *name = text_of(o, "name");
	struct json_object *sleeps;

	if (!rule)
		return -ENOMEM;
	if (!acquire || !release)
		return wrong(r, "a lock without \"acquire\" or \"release\"", NULL);
	/* They go to outboard-facts with colons between them. */
	if (strchr(acquire, ':') || strchr(release, ':') || (name && strchr(name, ':')))
		return wrong(r, "a colon in a lock's", "names");
	rule->acquire = strdup(acquire);
	rule->release = strdup(release);
	rule->name = strdup(name ? name : "");
	rule->sleeps =
		json_object_object_get_ex(o, "sleeps", &sleeps) && json_object_get_boolean(sleeps);
	return rule->acquire && rule->release && rule->name ? 0 : -ENOMEM;
}

static int read_api(struct reading *r, struct json_object *o)
{
	struct api_rule *rule = vector_add(&r->p->apis);
	int api = index_of(api_names, APIS, text_of(o, "kind"));

	if (!rule)
		return -ENOMEM;
	if (api < 0)
		return wrong(
			r,
			"an api whose \"kind\" is none of plain, sleep, port, mmio, dma, skb, irq",
			NULL);
	rule->api = api;
	return read_patterns(r, o, "calls", false, &rule->calls);
}

static int copy_text(struct json_object *o, const char *key, char **out)
{
	const char *text = text_of(o, key);

	*out = text ? strdup(text) : NULL;
	return text && !*out ? -ENOMEM : 0;
}

static long long number_of(struct json_object *o, const char *key)
{
	struct json_object *value;

	return json_object_object_get_ex(o, key, &value) ? json_object_get_int64(value) : 0;
}

/* "field:ethtool_ops.get_strings#2": prefix_of() would take it for an argument of a function. */
static int read_fields(struct reading *r, struct json_object *o, patterns *out)
{
	patterns plain = {0};
	int ret = read_patterns(r, o, "at", false, &plain);

	for (size_t i = 0; !ret && i < plain.n; i++)
		ret = add_text(out, "field:", plain.at[i]);
	free_patterns(&plain);
	return ret;
}

static int read_length(struct reading *r, struct json_object *o)
{
	struct length_rule *rule = vector_add(&r->p->lengths);
	int ret;

	if (!rule)
		return -ENOMEM;
	ret = copy_text(o, "of", &rule->of);
	if (!ret)
		ret = copy_text(o, "key", &rule->key);
	if (!ret)
		ret = copy_text(o, "failed", &rule->failed);
	if (ret)
		return ret;
	rule->most = number_of(o, "most");
	if (!rule->of || !rule->key || rule->most <= 0)
		return wrong(r, "a length without \"of\", \"key\" or \"most\"", NULL);
	ret = read_patterns(r, o, "users", true, &rule->users);
	return ret ? ret : read_fields(r, o, &rule->at);
}

static int read_buffer(struct reading *r, struct json_object *o)
{
	struct buffer_rule *rule = vector_add(&r->p->buffers);
	int ret;

	if (!rule)
		return -ENOMEM;
	ret = copy_text(o, "bytes", &rule->bytes);
	if (ret)
		return ret;
	rule->most = number_of(o, "most");
	if (!rule->bytes || rule->most <= 0)
		return wrong(r, "a buffer without \"bytes\" or \"most\"", NULL);
	return read_fields(r, o, &rule->at);
}

static int read_inline(struct reading *r, struct json_object *o)
{
	struct inline_rule *rule = vector_add(&r->p->inlines);
	int ret;

	if (!rule)
		return -ENOMEM;
	ret = read_patterns(r, o, "calls", false, &rule->calls);
	return ret ? ret : read_patterns(r, o, "reads", false, &rule->reads);
}

static int read_stay(struct reading *r, struct json_object *o)
{
	struct stay_rule *rule = vector_add(&r->p->stays);
	int ret;

	if (!rule)
		return -ENOMEM;
	ret = copy_text(o, "why", &rule->why);
	if (!ret && !rule->why)
		return wrong(r, "one that stays without a \"why\"", NULL);
	return ret ? ret : read_patterns(r, o, "at", true, &rule->at);
}

static int read_back(struct reading *r, struct json_object *o)
{
	struct back_rule *rule = vector_add(&r->p->written_back);
	const char *get = text_of(o, "get"), *set = text_of(o, "set");

	if (!rule)
		return -ENOMEM;
	if (!get || !set)
		return wrong(r, "what is written back, without \"get\" or \"set\"", NULL);
	if (asprintf(&rule->get, "field:%s", get) < 0)
		rule->get = NULL;
	if (asprintf(&rule->set, "field:%s", set) < 0)
		rule->set = NULL;
	return rule->get && rule->set ? 0 : -ENOMEM;
}

/* "object STRUCT", "register STRUCT.FIELD", "value MOST", "any", "out", "null" */
static int read_argument(struct reading *r, struct kept_rule *rule, const char *text)
{
	static const char *const kinds[] = {
		[ARGUMENT_OBJECT] = "object", [ARGUMENT_REGISTER] = "register",
		[ARGUMENT_VALUE] = "value",   [ARGUMENT_ANY] = "any",
		[ARGUMENT_OUT] = "out",	      [ARGUMENT_NULL] = "null",
	};
	struct argument_rule *a = vector_add(&rule->arguments);
	const char *space = text ? strchr(text, ' ') : NULL;
	char kind[16], *end = NULL;
	int found;

	if (!a)
		return -ENOMEM;
	snprintf(kind, sizeof(kind), "%.*s", text ? (int)strcspn(text, " ") : 0, text ? text : "");
	found = index_of(kinds, sizeof(kinds) / sizeof(kinds[0]), kind);
	a->kind = found < 0 ? ARGUMENT_NULL : (enum argument_kind)found;
	if (found < 0 || (a->kind <= ARGUMENT_VALUE) != (space != NULL))
		return wrong(
			r,
			"an argument that is none of \"object STRUCT\", "
			"\"register STRUCT.FIELD\", \"value MOST\", \"any\", \"out\", \"null\":",
			text);
	if (a->kind == ARGUMENT_VALUE) {
		a->most = strtoll(space + 1, &end, 0);
		return *end || a->most < 0 ? wrong(r, "no number:", text) : 0;
	}
	if (space)
		a->of = strdup(space + 1);
	return space && !a->of ? -ENOMEM : 0;
}

static int read_kept(struct reading *r, struct json_object *o)
{
	struct kept_rule *rule = vector_add(&r->p->kept_calls);
	struct json_object *list, *value;
	int ret;

	if (!rule)
		return -ENOMEM;
	ret = copy_text(o, "call", &rule->call);
	if (!ret)
		ret = copy_text(o, "why", &rule->why);
	if (ret)
		return ret;
	if (!rule->call || !rule->why || !json_object_object_get_ex(o, "arguments", &list) ||
	    !json_object_is_type(list, json_type_array) ||
	    json_object_array_length(list) > OB_SPLIT_ARGUMENTS)
		return wrong(r, "a kept call without \"call\", \"why\" or \"arguments\"",
			     rule->call);
	rule->is_void =
		json_object_object_get_ex(o, "void", &value) && json_object_get_boolean(value);
	for (size_t i = 0; !ret && i < json_object_array_length(list); i++)
		ret = read_argument(r, rule,
				    json_object_get_string(json_object_array_get_idx(list, i)));
	if (!json_object_object_get_ex(o, "registers", &list))
		return ret;
	for (size_t i = 0; !ret && i < json_object_array_length(list); i++) {
		const char *text = json_object_get_string(json_object_array_get_idx(list, i));
		long long *at = vector_add(&rule->registers);
		char *end;

		if (!at)
			return -ENOMEM;
		*at = strtoll(text ? text : "", &end, 0);
		if (*end || *at < 0)
			return wrong(r, "no offset:", text);
	}
	return ret;
}

static int each(struct reading *r, struct json_object *doc, const char *key,
		int (*read)(struct reading *r, struct json_object *o))
{
	struct json_object *list;
	int ret = 0;

	if (!json_object_object_get_ex(doc, key, &list))
		return 0;
	if (!json_object_is_type(list, json_type_array))
		return wrong(r, "not a list:", key);
	for (size_t i = 0; !ret && i < json_object_array_length(list); i++) {
		struct json_object *o = json_object_array_get_idx(list, i);

		if (!json_object_is_type(o, json_type_object))
			return wrong(r, "not an object in the list", key);
		ret = read(r, o);
	}
	return ret;
}

static int known_keys(struct reading *r, struct json_object *doc)
{
	static const char *const keys[] = {"class",	 "title",      "include",      "detect",
					   "ignore",	 "roots",      "callbacks",    "locks",
					   "api",	 "comment",    "otherwise",    "lengths",
					   "buffers",	 "inline",     "stays",	       "daemon",
					   "answers",	 "kept",       "follow",       "private",
					   "kept_calls", "never_kept", "written_back", "callers"};

	json_object_object_foreach(doc, key, value)
	{
		if (index_of(keys, sizeof(keys) / sizeof(keys[0]), key) < 0)
			return wrong(r, "nobody reads its key", key);
		(void)value;
	}
	return 0;
}

static int parse(struct reading *r, struct json_object **doc)
{
	struct json_tokener *tokener = NULL;
	FILE *f = fopen(r->path, "re");
	char *text = NULL;
	size_t n, end;
	int ret = 0;

	if (!f)
		return ob_error_set(r->err, -errno, "the policy %s: %s", r->path, strerror(errno));
	text = malloc(FILE_LIMIT);
	tokener = json_tokener_new();
	if (!text || !tokener) {
		ret = -ENOMEM;
		goto out;
	}
	n = fread(text, 1, FILE_LIMIT, f);
	*doc = n < FILE_LIMIT ? json_tokener_parse_ex(tokener, text, n) : NULL;
	if (!*doc || !json_object_is_type(*doc, json_type_object)) {
		unsigned int line = 1;

		end = json_tokener_get_parse_end(tokener);
		for (size_t i = 0; i < end && i < n; i++)
			line += text[i] == '\n';
		ret = ob_error_set(r->err, -EINVAL, "the policy %s is no JSON object: line %u: %s",
				   r->path, line,
				   json_tokener_error_desc(json_tokener_get_error(tokener)));
		json_object_put(*doc);
		*doc = NULL;
	}
out:
	if (tokener)
		json_tokener_free(tokener);
	free(text);
	fclose(f);
	return ret;
}

/* What `outboard split` has to know beyond the analysis. */
static int read_split(struct reading *r, struct json_object *doc)
{
	const struct {
		const char *key;
		patterns *out;
	} lists[] = {{"daemon", &r->p->daemon},	  {"answers", &r->p->answers},
		     {"kept", &r->p->kept},	  {"follow", &r->p->follow},
		     {"private", &r->p->private}, {"never_kept", &r->p->never_kept},
		     {"callers", &r->p->callers}};
	int ret = each(r, doc, "lengths", read_length);

	if (!ret)
		ret = each(r, doc, "buffers", read_buffer);
	if (!ret)
		ret = each(r, doc, "inline", read_inline);
	if (!ret)
		ret = each(r, doc, "stays", read_stay);
	if (!ret)
		ret = each(r, doc, "kept_calls", read_kept);
	if (!ret)
		ret = each(r, doc, "written_back", read_back);
	for (size_t i = 0; !ret && i < sizeof(lists) / sizeof(lists[0]); i++)
		ret = read_patterns(r, doc, lists[i].key, false, lists[i].out);
	return ret;
}

static int read_file(struct policy *p, const char *dir, const char *name, int depth,
		     struct ob_error *err)
{
	struct reading r = {.p = p, .err = err};
	struct json_object *doc = NULL;
	patterns include = {0};
	char path[PATH_MAX];
	int ret;

	if (depth == DEPTH)
		return ob_error_set(err, -EINVAL, "the policy %s: files include each other", name);
	if (strchr(name, '/'))
		snprintf(path, sizeof(path), "%s", name);
	else
		snprintf(path, sizeof(path), "%s/%s.json", dir, name);
	r.path = path;
	for (size_t i = 0; i < p->included.n; i++)
		if (!strcmp(p->included.at[i], path))
			return 0;
	ret = parse(&r, &doc);
	if (ret)
		return ret;
	ret = known_keys(&r, doc);
	if (!ret && !depth) {
		const char *title = text_of(doc, "title"), *class = text_of(doc, "class");

		p->name = strdup(class ? class : name);
		p->title = strdup(title ? title : "");
		ret = p->name && p->title ? read_patterns(&r, doc, "detect", true, &p->detect)
					  : -ENOMEM;
		if (!ret)
			ret = read_patterns(&r, doc, "otherwise", true, &p->otherwise);
	}
	if (!ret)
		ret = each(&r, doc, "roots", read_root);
	if (!ret)
		ret = each(&r, doc, "callbacks", read_callback);
	if (!ret)
		ret = each(&r, doc, "locks", read_lock);
	if (!ret)
		ret = each(&r, doc, "api", read_api);
	if (!ret)
		ret = read_patterns(&r, doc, "ignore", false, &p->ignore);
	if (!ret)
		ret = read_split(&r, doc);
	if (!ret)
		ret = read_patterns(&r, doc, "include", false, &include);
	if (!ret) {
		char **slot = vector_add(&p->included);

		if (slot)
			*slot = strdup(path);
		if (!slot || !*slot)
			ret = -ENOMEM;
	}
	json_object_put(doc);
	for (size_t i = 0; !ret && i < include.n; i++)
		ret = read_file(p, dir, include.at[i], depth + 1, err);
	free_patterns(&include);
	if (ret == -ENOMEM)
		ob_error_set(err, ret, "no memory for the policy %s", path);
	return ret;
}

int policy_load(struct policy **out, const char *dir, const char *name, struct ob_error *err)
{
	struct policy *p = calloc(1, sizeof(*p));
	int ret;

	*out = NULL;
	if (!p)
		return ob_error_set(err, -ENOMEM, "no memory for a policy");
	ret = read_file(p, dir, name, 0, err);
	/* A class, rather than a file that one of them includes. */
	if (ret == -ENOENT && !p->name && !strchr(name, '/')) {
		char *list = policy_list(dir);

		ob_error_set(err, ret, "there is no policy for a class '%s'", name);
		ob_error_why(err, "there are %s in %s", list ? list : "none", dir);
		free(list);
	}
	if (ret) {
		policy_free(p);
		return ret;
	}
	*out = p;
	return 0;
}

int policy_add_driver(struct policy *p, const char *dir, const char *driver, struct ob_error *err)
{
	char path[PATH_MAX];

	if (snprintf(path, sizeof(path), "%s/drivers/%s.json", dir, driver) >= PATH_MAX ||
	    strchr(driver, '/') || access(path, F_OK))
		return 0;
	return read_file(p, dir, path, 1, err);
}

void policy_free(struct policy *p)
{
	if (!p)
		return;
	for (size_t i = 0; i < p->roots.n; i++) {
		free_patterns(&p->roots.at[i].at);
		free(p->roots.at[i].why);
	}
	for (size_t i = 0; i < p->callbacks.n; i++) {
		free(p->callbacks.at[i].library);
		free_patterns(&p->callbacks.at[i].calls);
		free_patterns(&p->callbacks.at[i].into);
	}
	for (size_t i = 0; i < p->locks.n; i++) {
		free(p->locks.at[i].acquire);
		free(p->locks.at[i].release);
		free(p->locks.at[i].name);
	}
	for (size_t i = 0; i < p->apis.n; i++)
		free_patterns(&p->apis.at[i].calls);
	for (size_t i = 0; i < p->included.n; i++)
		free(p->included.at[i]);
	for (size_t i = 0; i < p->lengths.n; i++) {
		free_patterns(&p->lengths.at[i].at);
		free_patterns(&p->lengths.at[i].users);
		free(p->lengths.at[i].of);
		free(p->lengths.at[i].key);
		free(p->lengths.at[i].failed);
	}
	for (size_t i = 0; i < p->buffers.n; i++) {
		free_patterns(&p->buffers.at[i].at);
		free(p->buffers.at[i].bytes);
	}
	for (size_t i = 0; i < p->inlines.n; i++) {
		free_patterns(&p->inlines.at[i].calls);
		free_patterns(&p->inlines.at[i].reads);
	}
	for (size_t i = 0; i < p->stays.n; i++) {
		free_patterns(&p->stays.at[i].at);
		free(p->stays.at[i].why);
	}
	for (size_t i = 0; i < p->kept_calls.n; i++) {
		struct kept_rule *rule = &p->kept_calls.at[i];

		for (size_t k = 0; k < rule->arguments.n; k++)
			free(rule->arguments.at[k].of);
		vector_free(&rule->arguments);
		vector_free(&rule->registers);
		free(rule->call);
		free(rule->why);
	}
	vector_free(&p->kept_calls);
	for (size_t i = 0; i < p->written_back.n; i++) {
		free(p->written_back.at[i].get);
		free(p->written_back.at[i].set);
	}
	vector_free(&p->written_back);
	vector_free(&p->lengths);
	vector_free(&p->buffers);
	vector_free(&p->inlines);
	vector_free(&p->stays);
	free_patterns(&p->daemon);
	free_patterns(&p->answers);
	free_patterns(&p->kept);
	free_patterns(&p->follow);
	free_patterns(&p->private);
	free_patterns(&p->never_kept);
	free_patterns(&p->callers);
	vector_free(&p->included);
	vector_free(&p->roots);
	vector_free(&p->callbacks);
	vector_free(&p->locks);
	vector_free(&p->apis);
	free_patterns(&p->detect);
	free_patterns(&p->otherwise);
	free_patterns(&p->ignore);
	free(p->name);
	free(p->title);
	free(p);
}

static int is_policy(const struct dirent *e)
{
	const char *dot = strrchr(e->d_name, '.');

	return dot && !strcmp(dot, ".json") && strcmp(e->d_name, "any.json") != 0;
}

char *policy_list(const char *dir)
{
	struct dirent **list;
	char *text = NULL;
	size_t size = 0;
	FILE *f;
	int n = scandir(dir, &list, is_policy, alphasort);

	if (n < 0)
		return NULL;
	f = open_memstream(&text, &size);
	for (int i = 0; i < n; i++) {
		if (f)
			fprintf(f, "%s%.*s", i ? " " : "", (int)strlen(list[i]->d_name) - 5,
				list[i]->d_name);
		free(list[i]);
	}
	free(list);
	if (f)
		fclose(f);
	return text;
}
