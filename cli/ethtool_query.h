/* SPDX-License-Identifier: BSD-2-Clause */
/* ethtool's questions to a network device, answered as JSON and printed as ethtool prints them. */
#ifndef CLI_ETHTOOL_QUERY_H
#define CLI_ETHTOOL_QUERY_H

#include <json-c/json.h>

#include <outboard/net.h>

/* Letters of ethtool(8); '.' is ethtool without a letter: the link. */
#define ETHTOOL_QUESTIONS ".iSgdtek"

/**
 * ethtool_query() - ask; in the thread that runs the device
 * @what: one of ETHTOOL_QUESTIONS
 *
 * Return: the answer, or NULL with @err.
 */
struct json_object *ethtool_query(struct ob_net *net, char what, struct ob_error *err);

/** ethtool_print() - an answer, for people; returns false when a self-test in it failed */
bool ethtool_print(struct json_object *answer, char what, const char *name);

#endif
