/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Device specifications: [wrapper[key=value,...]:]...backend:device[,key=value]...
 *
 * The parser works on its own copy of the text and never allocates. A comma inside a value is
 * written twice, as QEMU does it.
 */
#include <ctype.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "access/access_private.h"
#include "access/sysfs.h"

static bool name_char(char c)
{
	return isalnum((unsigned char)c) || c == '-' || c == '_' || c == '.';
}

static int check_name(const char *name, const char *what, const char *text, struct ob_error *err)
{
	const char *p;

	if (!*name) {
		ob_error_set(err, -EINVAL, "device specification '%s': %s is empty", text, what);
		return -EINVAL;
	}
	for (p = name; *p; p++)
		if (!name_char(*p))
			return ob_error_set(err, -EINVAL,
					    "device specification '%s': '%s' is not a valid %s",
					    text, name, what);
	return 0;
}

/*
 * Split "key=value,key=value" in place; "first" tells that the part's name stands in front.
 */
static int split_options(char *p, struct ob_spec_part *part, const char *text, struct ob_error *err)
{
	while (p) {
		struct ob_spec_option *opt;
		char *key = p, *out = p, *eq;

		/* Find the end of this option, undoubling commas as we go. */
		for (;;) {
			if (*p == ',' && p[1] == ',') {
				*out++ = ',';
				p += 2;
				continue;
			}
			if (!*p || *p == ',')
				break;
			*out++ = *p++;
		}
		p = *p ? p + 1 : NULL;
		*out = '\0';

		if (part->n == OB_SPEC_OPTIONS)
			return ob_error_set(err, -EINVAL,
					    "device specification '%s' has more than %d options",
					    text, OB_SPEC_OPTIONS);
		opt = &part->opt[part->n];
		eq = strchr(key, '=');
		if (eq)
			*eq = '\0';
		opt->key = key;
		opt->value = eq ? eq + 1 : "";
		opt->used = false;
		if (check_name(key, "option name", text, err))
			return -EINVAL;
		for (unsigned int i = 0; i < part->n; i++)
			if (!strcmp(part->opt[i].key, key))
				return ob_error_set(
					err, -EINVAL,
					"device specification '%s' has the option '%s' twice", text,
					key);
		part->n++;
	}
	return 0;
}

/* "0000:03:00.0" or "03:00.0", up to the options. */
static bool is_address(const char *p)
{
	size_t len = strcspn(p, ",");
	char name[SYSFS_NAME];
	struct ob_bdf bdf;

	if (len >= sizeof(name))
		return false;
	memcpy(name, p, len);
	name[len] = '\0';
	return sysfs_parse_bdf(name, &bdf);
}

/* One wrapper: "name:" or "name[options]:". Returns the text after it, or NULL if there is none. */
static char *take_wrapper(char *p, struct ob_spec *spec, struct ob_error *err, int *ret)
{
	char *end = p, *options = NULL;
	struct ob_spec_part *part;

	*ret = 0;
	while (name_char(*end))
		end++;
	if (*end == '[') {
		options = end + 1;
		*end = '\0';
		end = strchr(options, ']');
		if (!end || end[1] != ':') {
			*ret = ob_error_set(err, -EINVAL,
					    "device specification '%s': '[' without ']:'",
					    spec->text);
			return NULL;
		}
		*end++ = '\0';
	} else {
		/* A wrapper without options looks like a backend; it is one when two follow. */
		const char *rest = *end == ':' ? end + 1 : NULL;

		while (rest && name_char(*rest))
			rest++;
		if (!rest || (*rest != ':' && *rest != '['))
			return NULL;
		/* "vfio:0000:03:00.0", "vfio:a3:00.0": what follows is a device. */
		if (isdigit((unsigned char)end[1]) || is_address(end + 1))
			return NULL;
	}
	if (spec->nr_wrappers == OB_SPEC_WRAPPERS) {
		*ret = ob_error_set(err, -EINVAL,
				    "device specification '%s' has more than %d wrappers",
				    spec->text, OB_SPEC_WRAPPERS);
		return NULL;
	}
	*end = '\0';
	part = &spec->wrapper[spec->nr_wrappers++];
	part->name = p;
	part->n = 0;
	*ret = check_name(p, "wrapper", spec->text, err);
	if (!*ret && options && *options)
		*ret = split_options(options, part, spec->text, err);
	return *ret ? NULL : end + 1;
}

int ob_spec_parse(const char *text, struct ob_spec *spec, struct ob_error *err)
{
	char *p, *next, *comma, *colon;
	int ret = 0;

	memset(spec, 0, sizeof(*spec));
	if (strlen(text) >= sizeof(spec->text))
		return ob_error_set(err, -EINVAL,
				    "device specification is longer than %zu characters",
				    sizeof(spec->text) - 1);
	strcpy(spec->text, text);
	strcpy(spec->copy, text);

	p = spec->copy;
	while (!is_address(p) && (next = take_wrapper(p, spec, err, &ret)))
		p = next;
	if (ret)
		return ret;
	if (is_address(p)) {
		/* Which backend is for ob_device_open() to say: it depends on the machine. */
		spec->backend = "";
		spec->device.name = p;
		comma = strchr(p, ',');
		if (!comma)
			return 0;
		*comma = '\0';
		return split_options(comma + 1, &spec->device, text, err);
	}

	colon = strchr(p, ':');
	comma = strchr(p, ',');
	if (!colon || (comma && comma < colon)) {
		ob_error_set(err, -EINVAL, "device specification '%s' names no backend", text);
		ob_error_fix(err, "write it as BACKEND:DEVICE, e.g. qemu:nvme,file=disk.img "
				  "(`outboard specs` lists them)");
		return -EINVAL;
	}
	*colon = '\0';
	spec->backend = p;
	ret = check_name(p, "backend", text, err);
	if (ret)
		return ret;
	p = colon + 1;
	comma = strchr(p, ',');
	if (comma)
		*comma = '\0';
	spec->device.name = p;
	if (!*p) {
		ob_error_set(err, -EINVAL, "device specification '%s' names no device after '%s:'",
			     text, spec->backend);
		return -EINVAL;
	}
	/* A device may be a file, of replay: */
	for (const char *c = p; *c; c++)
		if (!name_char(*c) && *c != ':' && *c != '/')
			return ob_error_set(err, -EINVAL,
					    "device specification '%s': '%s' is not a device", text,
					    p);
	if (!comma)
		return 0;
	return split_options(comma + 1, &spec->device, text, err);
}

const char *ob_spec_get(struct ob_spec_part *part, const char *key)
{
	for (unsigned int i = 0; i < part->n; i++) {
		if (strcmp(part->opt[i].key, key))
			continue;
		part->opt[i].used = true;
		return part->opt[i].value;
	}
	return NULL;
}

int ob_spec_get_u64(struct ob_spec_part *part, const char *key, uint64_t min, uint64_t max,
		    uint64_t *val, struct ob_error *err)
{
	const char *text = ob_spec_get(part, key);
	unsigned int shift = 0;
	unsigned long long n;
	char *end;

	if (!text)
		return 0;
	errno = 0;
	n = strtoull(text, &end, 0);
	switch (*end) {
	case 'k':
	case 'K':
		shift = 10;
		break;
	case 'M':
		shift = 20;
		break;
	case 'G':
		shift = 30;
		break;
	}
	if (shift)
		end++;
	if (!isdigit((unsigned char)*text) || *end || errno || n > (UINT64_MAX >> shift))
		return ob_error_set(err, -EINVAL,
				    "%s: option %s='%s' is not a number (like 64, 0x40, 64M)",
				    part->name, key, text);
	n <<= shift;
	if (n < min || n > max)
		return ob_error_set(err, -EINVAL,
				    "%s: option %s='%s' is out of range, %llu to %llu are possible",
				    part->name, key, text, (unsigned long long)min,
				    (unsigned long long)max);
	*val = n;
	return 0;
}

int ob_spec_get_bool(struct ob_spec_part *part, const char *key, bool *val, struct ob_error *err)
{
	static const char *const yes[] = {"on", "yes", "true", "1", "", NULL};
	static const char *const no[] = {"off", "no", "false", "0", NULL};
	const char *text = ob_spec_get(part, key);

	if (!text)
		return 0;
	for (unsigned int i = 0; yes[i]; i++) {
		if (!strcmp(text, yes[i])) {
			*val = true;
			return 0;
		}
	}
	for (unsigned int i = 0; no[i]; i++) {
		if (!strcmp(text, no[i])) {
			*val = false;
			return 0;
		}
	}
	return ob_error_set(err, -EINVAL, "%s: option %s='%s' is neither on nor off", part->name,
			    key, text);
}

int ob_spec_get_choice(struct ob_spec_part *part, const char *key, const char *const *choices,
		       unsigned int *val, struct ob_error *err)
{
	const char *text = ob_spec_get(part, key);
	char list[256] = "";

	if (!text)
		return 0;
	for (unsigned int i = 0; choices[i]; i++) {
		if (!strcmp(text, choices[i])) {
			*val = i;
			return 0;
		}
		if (strlen(list) + strlen(choices[i]) + 3 < sizeof(list)) {
			strcat(list, i ? ", " : "");
			strcat(list, choices[i]);
		}
	}
	return ob_error_set(err, -EINVAL, "%s: option %s='%s' is not possible, these are: %s",
			    part->name, key, text, list);
}

static int leftover(const struct ob_spec_part *part, const char *possible, const char *text,
		    struct ob_error *err)
{
	for (unsigned int i = 0; i < part->n; i++) {
		if (part->opt[i].used)
			continue;
		ob_error_set(err, -EINVAL, "%s has no option '%s' (in '%s')", part->name,
			     part->opt[i].key, text);
		if (possible && *possible)
			ob_error_fix(err, "possible: %s", possible);
		return -EINVAL;
	}
	return 0;
}

int ob_spec_leftover(const struct ob_spec *spec, const char *possible, struct ob_error *err)
{
	int ret = leftover(&spec->device, possible, spec->text, err);

	for (unsigned int i = 0; !ret && i < spec->nr_wrappers; i++)
		ret = leftover(&spec->wrapper[i], NULL, spec->text, err);
	return ret;
}
