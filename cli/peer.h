/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Running instances, as others see them. Each `outboard run` listens on an abstract UNIX socket,
 * "outboard/instance/PID", so that nothing is left of one that was killed. A request is a line of words;
 * the answer is one JSON document, ended by the end of the connection.
 */
#ifndef CLI_PEER_H
#define CLI_PEER_H

#include <stdbool.h>
#include <stddef.h>

#include <json-c/json.h>

#include <outboard/error.h>

#define PEER_PREFIX "outboard/instance/"

/* Two PID namespaces over one network namespace may have the same PID: then ".1" and so on follow. */
enum {
	PEER_SAME_PID = 16,
	PEER_REQUEST = 1024,
};

/**
 * struct peer - a running instance
 * @id: what follows PEER_PREFIX
 * @pid: as this process sees it, 0 when it does not
 * @trusted: it is of this user or of root; another is neither asked nor believed
 * @state: what it says of itself, NULL when it is not trusted or does not answer
 */
struct peer {
	char id[24];
	int pid;
	unsigned int uid;
	bool trusted;
	struct json_object *state;
};

/** peers_running() - is there any instance of this user or of root? */
bool peers_running(void);

/** peers_list() - all instances, asked for @request ("show", "name"); returns how many */
size_t peers_list(const char *request, struct peer **peers);
void peers_free(struct peer *peers, size_t n);

/**
 * peer_find() - the one instance that a person named
 * @who: its name, its PID, that of one of its processes which drive devices or help with that, or its id; NULL: nobody was named,
 *       it is the only trusted one
 */
int peer_find(const char *who, struct peer *peer, struct ob_error *err);

/** peer_ask() - send a request and wait for the answer; an answer with "error" is a failure */
int peer_ask(const struct peer *peer, const char *request, int timeout_ms,
	     struct json_object **answer, struct ob_error *err);

/** peer_wait_end() - wait until it has ended, its socket being gone; false on time-out */
bool peer_wait_end(const struct peer *peer, int timeout_ms);

#endif
