/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Finds an attachment by its text and guards its life: open, publish, unpublish, close.
 * Contract: include/outboard/attach.h.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "attach/attach.h"

static const char *class_name(enum ob_class class_)
{
	switch (class_) {
	case OB_CLASS_NET:
		return "network interface";
	case OB_CLASS_BLOCK:
		return "disk";
	case OB_CLASS_CHAR:
		break;
	}
	return "character device";
}

/* Does the binding have what an attachment of this class gives back? */
static bool has_class(const struct ob_binding *b, unsigned int index, enum ob_class class_)
{
	switch (class_) {
	case OB_CLASS_NET:
		return b->net && index == 0;
	case OB_CLASS_BLOCK:
		return index < b->nr_blocks && index < OB_BINDING_BLOCKS && b->block[index];
	case OB_CLASS_CHAR:
		break;
	}
	return b->chr && index == 0;
}

/* What was found before: by ob_attach_probe_all(), for it and the processes that it forks. */
static struct probed {
	const struct ob_attach_ops *ops;
	int ret;
	struct ob_error err;
} * probed;

int ob_attach_probe(const struct ob_attach_ops *ops, struct ob_error *err)
{
	for (const struct probed *p = probed; p && p->ops; p++) {
		if (p->ops != ops)
			continue;
		if (p->ret)
			*err = p->err;
		return p->ret;
	}
	return ops->probe(err);
}

void ob_attach_probe_all(void)
{
	const struct ob_attach_ops *const *a = ob_attachments();
	struct probed *list;
	unsigned int n = 0;

	while (a[n])
		n++;
	list = probed ? NULL : calloc(n + 1, sizeof(*list));
	for (unsigned int i = 0; list && i < n; i++) {
		list[i].ops = a[i];
		list[i].ret = a[i]->probe(&list[i].err);
	}
	if (list)
		probed = list;
}

static void list_names(char *buf, size_t size, bool all, enum ob_class class_)
{
	size_t n = 0;

	buf[0] = '\0';
	for (const struct ob_attach_ops *const *a = ob_attachments(); *a && n < size; a++)
		if (all || (*a)->class_ == class_)
			n += (size_t)snprintf(buf + n, size - n, "%s%s", n ? ", " : "", (*a)->name);
}

/* The best attachment for what this device is, and why better ones were passed over. */
static int choose(struct ob_binding *b, unsigned int index, const struct ob_attach_ops **found,
		  struct ob_error *err)
{
	char why[sizeof(err->why)] = "";
	struct ob_error missing;
	unsigned int tried = 0;
	size_t n = 0;
	int rc;

	for (const struct ob_attach_ops *const *a = ob_attachments(); *a; a++) {
		if (!has_class(b, index, (*a)->class_))
			continue;
		tried++;
		memset(&missing, 0, sizeof(missing));
		rc = ob_attach_probe(*a, &missing);
		if (!rc) {
			*found = *a;
			return 0;
		}
		if (n < sizeof(why))
			n += (size_t)snprintf(why + n, sizeof(why) - n, "%s%s: %s", n ? "; " : "",
					      (*a)->name, missing.what);
	}
	if (!tried)
		return ob_error_set(err, -EOPNOTSUPP, "%s has no number %u that could be attached",
				    ob_device_info(b->dev)->name, index);
	ob_error_set(err, -EOPNOTSUPP, "nothing on this system can attach number %u of %s", index,
		     ob_device_info(b->dev)->name);
	ob_error_why(err, "%s", why);
	/* Where there is a choice, which remedy is best is not ours to say. */
	if (tried == 1 && missing.fix[0])
		ob_error_fix(err, "%s", missing.fix);
	return -EOPNOTSUPP;
}

static int find(struct ob_binding *b, unsigned int index, const char *name,
		const struct ob_attach_ops **found, struct ob_error *err)
{
	char list[128];

	for (const struct ob_attach_ops *const *a = ob_attachments(); *a; a++) {
		if (strcmp((*a)->name, name))
			continue;
		if (!has_class(b, index, (*a)->class_)) {
			ob_error_set(err, -EINVAL, "'%s' attaches a %s, and %s has none%s", name,
				     class_name((*a)->class_), ob_device_info(b->dev)->name,
				     index ? " with this number" : "");
			return -EINVAL;
		}
		*found = *a;
		return ob_attach_probe(*a, err);
	}
	list_names(list, sizeof(list), true, OB_CLASS_CHAR);
	ob_error_set(err, -EINVAL, "there is no attachment '%s'", name);
	ob_error_fix(err, "possible: auto, %s", list);
	return -EINVAL;
}

int ob_attach_open(struct ob_binding *b, unsigned int index, const char *text, struct ob_loop *loop,
		   struct ob_attach **at, struct ob_error *err)
{
	const struct ob_attach_ops *ops = NULL;
	struct ob_error parse = {0};
	char device[OB_SPEC_TEXT + 8];
	struct ob_attach *made = NULL;
	struct ob_spec spec;
	int rc;

	*at = NULL;
	/* An attachment's text is the device part of a specification, so that both have one grammar. */
	if (strlen(text) >= OB_SPEC_TEXT - 8)
		return ob_error_set(err, -EINVAL, "attachment is longer than %d characters",
				    OB_SPEC_TEXT - 9);
	snprintf(device, sizeof(device), "attach:%s", text);
	rc = ob_spec_parse(device, &spec, &parse);
	if (!rc && spec.nr_wrappers)
		rc = ob_error_set(&parse, -EINVAL, "it has a ':' after its name");
	if (rc) {
		ob_error_set(err, rc, "attachment '%s' is not NAME,OPTION=VALUE,...", text);
		ob_error_why(err, "%s", parse.what);
		return rc;
	}

	if (!strcmp(spec.device.name, "auto"))
		rc = choose(b, index, &ops, err);
	else
		rc = find(b, index, spec.device.name, &ops, err);
	if (rc)
		return rc;
	spec.device.name = ops->name;

	rc = ops->open(b, index, &spec.device, loop, &made, err);
	if (rc)
		return rc;
	rc = ob_spec_leftover(&spec, ops->options, err);
	if (rc) {
		ops->close(made);
		return rc;
	}
	made->ops = ops;
	made->binding = b;
	made->loop = loop;
	*at = made;
	return 0;
}

int ob_attach_publish(struct ob_attach *at, struct ob_error *err)
{
	return at->ops->publish(at, err);
}

int ob_attach_unpublish(struct ob_attach *at, bool force, struct ob_error *err)
{
	return at->ops->unpublish(at, force, err);
}

void ob_attach_close(struct ob_attach *at)
{
	if (at)
		at->ops->close(at);
}
