/* SPDX-License-Identifier: BSD-2-Clause */
/* ethtool's questions (ethtool(8)), their answers as JSON, and the way ethtool prints them. */
#include <errno.h>
#include <fnmatch.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cli/cli.h"
#include "cli/ethtool_query.h"

enum {
	VALUES = 512,
	TESTS = 32,
	EEPROM_MAX = 4096,
	EEPROM_STEP = 16,
	FEATURES = 64,
};

static struct json_object *unsupported(const struct ob_net *net, const char *what,
				       struct ob_error *err)
{
	ob_error_set(err, -EOPNOTSUPP, "%s: driver %s has no %s", ob_device_info(net->dev)->name,
		     net->driver, what);
	return NULL;
}

static struct json_object *query_link(struct ob_net *net, struct ob_error *err)
{
	struct json_object *o = json_object_new_object();
	struct ob_net_link link = {0};
	char mac[18];

	if (net->ops->link)
		net->ops->link(net, &link);
	snprintf(mac, sizeof(mac), "%02x:%02x:%02x:%02x:%02x:%02x", net->mac[0], net->mac[1],
		 net->mac[2], net->mac[3], net->mac[4], net->mac[5]);
	cli_put_u64(o, "mbps", link.up ? link.mbps : 0);
	cli_put_bool(o, "full_duplex", link.full_duplex);
	cli_put_bool(o, "autoneg", link.autoneg);
	cli_put_str(o, "mac", mac);
	cli_put_u64(o, "mtu", net->mtu);
	cli_put_u64(o, "msg_level", net->msg_level);
	cli_put_bool(o, "link", link.up);
	return o;
}

static struct json_object *query_info(struct ob_net *net, struct ob_error *err)
{
	const struct ob_device_info *info = ob_device_info(net->dev);
	struct json_object *o = json_object_new_object();
	char bdf[20];

	snprintf(bdf, sizeof(bdf), "%04x:%02x:%02x.%x", info->bdf.domain, info->bdf.bus,
		 info->bdf.dev, info->bdf.fn);
	cli_put_str(o, "driver", net->driver);
	cli_put_str(o, "version", OUTBOARD_VERSION);
	cli_put_str(o, "firmware-version", net->version);
	cli_put_str(o, "expansion-rom-version", "");
	cli_put_str(o, "bus-info", bdf);
	cli_put_str(o, "device", info->spec);
	cli_put_bool(o, "supports-statistics", net->ops->counters);
	cli_put_bool(o, "supports-test", net->ops->self_test);
	cli_put_bool(o, "supports-eeprom-access", net->ops->eeprom);
	cli_put_bool(o, "supports-register-dump", net->ops->registers);
	cli_put_bool(o, "supports-priv-flags", false);
	return o;
}

/* Counters (-S) and registers (-d). */
static struct json_object *query_values(struct ob_net *net, bool registers, struct ob_error *err)
{
	struct ob_net_value *v;
	struct json_object *o, *list, *one;
	int n;

	v = calloc(VALUES, sizeof(*v));
	if (!v) {
		ob_error_set(err, -ENOMEM, "out of memory");
		return NULL;
	}
	n = registers ? net->ops->registers(net, v, VALUES) : net->ops->counters(net, v, VALUES);
	if (n < 0) {
		ob_error_set(err, n, "%s: reading its %s failed: %s",
			     ob_device_info(net->dev)->name, registers ? "registers" : "counters",
			     strerror(-n));
		free(v);
		return NULL;
	}
	o = json_object_new_object();
	list = registers ? cli_put_array(o, "registers") : cli_put_object(o, "counters");
	for (int i = 0; i < n && i < VALUES; i++) {
		v[i].name[sizeof(v[i].name) - 1] = '\0';
		if (!registers) {
			cli_put_u64(list, v[i].name, v[i].value);
			continue;
		}
		one = json_object_new_object();
		cli_put_str(one, "name", v[i].name);
		cli_put_u64(one, "offset", v[i].offset);
		cli_put_u64(one, "value", v[i].value);
		json_object_array_add(list, one);
	}
	free(v);
	return o;
}

static struct json_object *query_ring(struct ob_net *net, struct ob_error *err)
{
	struct json_object *o = json_object_new_object();
	struct ob_net_ring ring = {0};

	net->ops->ring(net, &ring);
	/* A driver of the kernel's is asked for it, and may have none. */
	if (!ring.rx_max && !ring.tx_max) {
		json_object_put(o);
		return unsupported(net, "ring parameters", err);
	}
	cli_put_u64(o, "rx", ring.rx);
	cli_put_u64(o, "tx", ring.tx);
	cli_put_u64(o, "rx_max", ring.rx_max);
	cli_put_u64(o, "tx_max", ring.tx_max);
	return o;
}

static struct json_object *query_test(struct ob_net *net, struct ob_error *err)
{
	struct ob_net_test tests[TESTS];
	struct json_object *o = json_object_new_object(), *list, *one;
	bool failed = false;
	int n;

	memset(tests, 0, sizeof(tests));
	n = net->ops->self_test(net, tests, TESTS);
	list = cli_put_array(o, "tests");
	for (int i = 0; i < n && i < TESTS; i++) {
		one = json_object_new_object();
		cli_put_str(one, "name", tests[i].name);
		json_object_object_add(one, "result", json_object_new_int(tests[i].result));
		cli_put_str(one, "detail", tests[i].detail);
		json_object_array_add(list, one);
		failed |= tests[i].result < 0;
	}
	cli_put_bool(o, "passed", n > 0 && !failed);
	return o;
}

static struct json_object *query_eeprom(struct ob_net *net, struct ob_error *err)
{
	unsigned char bytes[EEPROM_STEP];
	char hex[2 * EEPROM_MAX + 1];
	struct json_object *o;
	unsigned int n = 0;
	int got = 0;

	/* The device does not tell its size: until it has no more. */
	while (n < EEPROM_MAX) {
		got = net->ops->eeprom(net, n, bytes, EEPROM_STEP);
		if (got <= 0)
			break;
		for (int i = 0; i < got && i < EEPROM_STEP; i++, n++)
			snprintf(hex + 2 * n, 3, "%02x", bytes[i]);
	}
	if (!n) {
		ob_error_set(err, got ? got : -EIO, "%s: reading its EEPROM failed: %s",
			     ob_device_info(net->dev)->name, strerror(got ? -got : EIO));
		return NULL;
	}
	o = json_object_new_object();
	cli_put_u64(o, "bytes", n);
	cli_put_str(o, "hex", hex);
	return o;
}

static void put_features(struct json_object *list, struct ob_net *net)
{
	struct ob_net_feature f[FEATURES];
	int n;

	memset(f, 0, sizeof(f));
	n = net->ops->features(net, f, FEATURES);
	for (int i = 0; i < n && i < FEATURES; i++) {
		struct json_object *one = json_object_new_object();

		f[i].name[sizeof(f[i].name) - 1] = '\0';
		cli_put_str(one, "name", f[i].name);
		cli_put_bool(one, "on", f[i].on);
		cli_put_bool(one, "wanted", f[i].wanted);
		cli_put_bool(one, "fixed", f[i].fixed);
		json_object_array_add(list, one);
	}
}

static struct json_object *query_features(struct ob_net *net, struct ob_error *err)
{
	struct json_object *o = json_object_new_object();

	cli_put_bool(o, "rx-checksumming", ob_net_can_rx_csum(net));
	cli_put_bool(o, "tx-checksumming", ob_net_can_csum(net));
	cli_put_bool(o, "tcp-segmentation-offload", ob_net_can_tso(net));
	if (net->ops->features)
		put_features(cli_put_array(o, "features"), net);
	return o;
}

struct json_object *ethtool_query(struct ob_net *net, char what, struct ob_error *err)
{
	switch (what) {
	case '.':
		return query_link(net, err);
	case 'i':
		return query_info(net, err);
	case 'S':
		return net->ops->counters ? query_values(net, false, err)
					  : unsupported(net, "statistics of its own", err);
	case 'd':
		return net->ops->registers ? query_values(net, true, err)
					   : unsupported(net, "register dump", err);
	case 'g':
		return net->ops->ring ? query_ring(net, err)
				      : unsupported(net, "ring parameters", err);
	case 't':
		return net->ops->self_test ? query_test(net, err)
					   : unsupported(net, "self-test", err);
	case 'e':
		return net->ops->eeprom ? query_eeprom(net, err) : unsupported(net, "EEPROM", err);
	case 'k':
		return query_features(net, err);
	}
	ob_error_set(err, -EINVAL, "there is no question '%c'", what);
	return NULL;
}

/* ---- as ethtool prints ------------------------------------------------------------------------ */

static const char *yes(struct json_object *o, const char *key)
{
	return cli_get_bool(o, key) ? "yes" : "no";
}

static const char *on(struct json_object *o, const char *key)
{
	return cli_get_bool(o, key) ? "on" : "off";
}

static void print_link(struct json_object *o, const char *name)
{
	bool up = cli_get_bool(o, "link");

	printf("Settings for %s:\n", name);
	if (up)
		printf("\tSpeed: %uMb/s\n", (unsigned int)cli_get_u64(o, "mbps"));
	else
		printf("\tSpeed: Unknown!\n");
	printf("\tDuplex: %s\n", !up				  ? "Unknown!"
				 : cli_get_bool(o, "full_duplex") ? "Full"
								  : "Half");
	printf("\tAuto-negotiation: %s\n", on(o, "autoneg"));
	printf("\tAddress: %s\n\tMTU: %u\n", cli_get_str(o, "mac"),
	       (unsigned int)cli_get_u64(o, "mtu"));
	printf("\tCurrent message level: 0x%08x\n\tLink detected: %s\n",
	       (unsigned int)cli_get_u64(o, "msg_level"), yes(o, "link"));
}

static void print_info(struct json_object *o)
{
	static const char *const keys[] = {"driver", "version", "firmware-version",
					   "expansion-rom-version", "bus-info"};
	static const char *const questions[] = {"supports-statistics", "supports-test",
						"supports-eeprom-access", "supports-register-dump",
						"supports-priv-flags"};

	for (size_t i = 0; i < sizeof(keys) / sizeof(keys[0]); i++)
		printf("%s: %s\n", keys[i], cli_get_str(o, keys[i]));
	for (size_t i = 0; i < sizeof(questions) / sizeof(questions[0]); i++)
		printf("%s: %s\n", questions[i], yes(o, questions[i]));
}

static void print_counters(struct json_object *o)
{
	struct json_object *counters = cli_get(o, "counters");
	struct json_object_iterator it = json_object_iter_begin(counters);
	struct json_object_iterator end = json_object_iter_end(counters);

	printf("NIC statistics:\n");
	for (; !json_object_iter_equal(&it, &end); json_object_iter_next(&it))
		printf("     %s: %llu\n", json_object_iter_peek_name(&it),
		       (unsigned long long)json_object_get_uint64(
			       json_object_iter_peek_value(&it)));
}

static void print_registers(struct json_object *o)
{
	struct json_object *list = cli_get(o, "registers");

	printf("MAC Registers\n-------------\n");
	for (size_t i = 0; i < cli_array_length(list); i++) {
		struct json_object *r = json_object_array_get_idx(list, i);

		printf("0x%05X: %-31s 0x%08llX\n", (unsigned int)cli_get_u64(r, "offset"),
		       cli_get_str(r, "name"), (unsigned long long)cli_get_u64(r, "value"));
	}
}

static void print_ring(struct json_object *o, const char *name)
{
	printf("Ring parameters for %s:\nPre-set maximums:\n"
	       "RX:\t\t%u\nRX Mini:\tn/a\nRX Jumbo:\tn/a\nTX:\t\t%u\n"
	       "Current hardware settings:\n"
	       "RX:\t\t%u\nRX Mini:\tn/a\nRX Jumbo:\tn/a\nTX:\t\t%u\n"
	       "RX Buf Len:\t\tn/a\nCQE Size:\t\tn/a\nTX Push:\toff\nTCP data split:\tn/a\n",
	       name, (unsigned int)cli_get_u64(o, "rx_max"), (unsigned int)cli_get_u64(o, "tx_max"),
	       (unsigned int)cli_get_u64(o, "rx"), (unsigned int)cli_get_u64(o, "tx"));
}

static bool print_tests(struct json_object *o)
{
	struct json_object *list = cli_get(o, "tests");
	bool passed = cli_get_bool(o, "passed");

	printf("The test result is %s\nThe test extra info:\n", passed ? "PASS" : "FAIL");
	for (size_t i = 0; i < cli_array_length(list); i++) {
		struct json_object *t = json_object_array_get_idx(list, i);

		const char *name = cli_get_str(t, "name");
		bool online = !strncmp(name, "Link", 4); /* the only one that disturbs nothing */

		printf("%-*s %s\t %d\n", online ? 11 : 14, name,
		       online ? "(on/offline)" : "(offline)",
		       json_object_get_int(cli_get(t, "result")));
	}
	printf("\n");
	/* ethtool has no room for more; what it was is told beside it. */
	for (size_t i = 0; i < cli_array_length(list); i++) {
		struct json_object *t = json_object_array_get_idx(list, i);

		if (json_object_get_int(cli_get(t, "result")))
			fprintf(stderr, "%s: %s\n", cli_get_str(t, "name"),
				cli_get_str(t, "detail"));
	}
	return passed;
}

static void print_eeprom(struct json_object *o)
{
	const char *hex = cli_get_str(o, "hex");
	size_t n = strlen(hex) / 2;

	printf("Offset\t\tValues\n------\t\t------");
	for (size_t i = 0; i < n; i++) {
		if (i % 16 == 0)
			printf("\n0x%04zx:\t\t", i);
		printf("%.2s ", hex + 2 * i);
	}
	printf("\n");
}

/* What ethtool had a word for before the kernel had names: each stands for those that fit, and is on when one of them is. */
static const struct {
	const char *name, *pattern;
} groups[] = {
	{"rx-checksumming", "rx-checksum"},
	{"tx-checksumming", "tx-checksum-*"},
	{"scatter-gather", "tx-scatter-gather*"},
	{"tcp-segmentation-offload", "tx-tcp*-segmentation"},
	{"generic-segmentation-offload", "tx-generic-segmentation"},
	{"generic-receive-offload", "rx-gro"},
	{"large-receive-offload", "rx-lro"},
	{"rx-vlan-offload", "rx-vlan-hw-parse"},
	{"tx-vlan-offload", "tx-vlan-hw-insert"},
	{"ntuple-filters", "rx-ntuple-filter"},
	{"receive-hashing", "rx-hashing"},
};

static const char *asked_for(struct json_object *f)
{
	if (cli_get_bool(f, "fixed"))
		return " [fixed]";
	if (cli_get_bool(f, "on") == cli_get_bool(f, "wanted"))
		return "";
	return cli_get_bool(f, "wanted") ? " [requested on]" : " [requested off]";
}

static void print_group(struct json_object *list, const char *name, const char *pattern)
{
	bool many = strchr(pattern, '*'), any = false;
	size_t n = cli_array_length(list);

	for (size_t i = 0; i < n; i++) {
		struct json_object *f = json_object_array_get_idx(list, i);

		if (!fnmatch(pattern, cli_get_str(f, "name"), 0))
			any |= cli_get_bool(f, "on");
	}
	if (many)
		printf("%s: %s\n", name, any ? "on" : "off");
	for (size_t i = 0; i < n; i++) {
		struct json_object *f = json_object_array_get_idx(list, i);

		if (!fnmatch(pattern, cli_get_str(f, "name"), 0))
			printf("%s%s: %s%s\n", many ? "\t" : "",
			       many ? cli_get_str(f, "name") : name, on(f, "on"), asked_for(f));
	}
}

static void print_all_features(struct json_object *list)
{
	size_t k;

	for (k = 0; k < sizeof(groups) / sizeof(groups[0]); k++)
		print_group(list, groups[k].name, groups[k].pattern);
	for (size_t i = 0; i < cli_array_length(list); i++) {
		struct json_object *f = json_object_array_get_idx(list, i);
		const char *name = cli_get_str(f, "name");

		for (k = 0; k < sizeof(groups) / sizeof(groups[0]); k++)
			if (!fnmatch(groups[k].pattern, name, 0))
				break;
		if (k == sizeof(groups) / sizeof(groups[0]))
			printf("%s: %s%s\n", name, on(f, "on"), asked_for(f));
	}
}

static void print_features(struct json_object *o, const char *name)
{
	static const char *const keys[] = {"rx-checksumming", "tx-checksumming",
					   "tcp-segmentation-offload"};

	printf("Features for %s:\n", name);
	if (cli_array_length(cli_get(o, "features"))) {
		print_all_features(cli_get(o, "features"));
		return;
	}
	for (size_t i = 0; i < sizeof(keys) / sizeof(keys[0]); i++)
		printf("%s: %s\n", keys[i], on(o, keys[i]));
}

bool ethtool_print(struct json_object *answer, char what, const char *name)
{
	switch (what) {
	case '.':
		print_link(answer, name);
		break;
	case 'i':
		print_info(answer);
		break;
	case 'S':
		print_counters(answer);
		break;
	case 'd':
		print_registers(answer);
		break;
	case 'g':
		print_ring(answer, name);
		break;
	case 't':
		return print_tests(answer);
	case 'e':
		print_eeprom(answer);
		break;
	case 'k':
		print_features(answer, name);
		break;
	}
	return true;
}
