/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Attachments give a class device back to the system: a tap interface, an NBD export, a loop device.
 */
#ifndef OUTBOARD_ATTACH_H
#define OUTBOARD_ATTACH_H

#include <outboard/access.h>
#include <outboard/driver.h>
#include <outboard/loop.h>

#ifdef __cplusplus
extern "C" {
#endif

struct ob_attach;

/**
 * struct ob_attach_info - what an attachment made, for tables
 * @kind: "tap", "nbd", "loop"
 * @name: interface name, /dev node, or URI
 * @detail: e.g. "netns of pid 123", "2 queues, vnet header"
 */
struct ob_attach_info {
	const char *kind;
	char name[128];
	char detail[128];
};

/**
 * struct ob_attach_stats - what went through
 * @requests: block requests or frames, from the client's side: in = to the device
 * @kernel_copies: times a payload was copied by the kernel's interface, per direction of the payload
 * @own_copies: times Outboard copied one
 * @syscalls: made by the attachment
 */
struct ob_attach_stats {
	uint64_t requests_in, requests_out;
	uint64_t bytes_in, bytes_out;
	uint64_t kernel_copies, own_copies;
	uint64_t syscalls;
	uint64_t errors;
	uint64_t dropped;
};

/**
 * struct ob_attach_ops - a mechanism
 *
 * All but open, close and those said to be otherwise run in the loop's thread.
 */
struct ob_attach_ops {
	const char *name;
	const char *summary;
	enum ob_class class_;
	const char *options; /* for errors and --help, "name=IF,netns=NAME|new,queues=N" */
	bool confined; /* works in a process without rights, below a keeper: what it needs of the system the broker does */
	bool outlives; /* the process: below a keeper the next one goes on with it, and clients wait */

	/** @probe: can this system do it, for this user? 0, or why not. Changes nothing. */
	int (*probe)(struct ob_error *err);

	/**
	 * @open: make the device and add its sources to @loop; not visible to clients yet.
	 * @part: options of the attachment's own spec; those it takes are marked used
	 * @index: which disk of the binding (0 for a network)
	 */
	int (*open)(struct ob_binding *b, unsigned int index, struct ob_spec_part *part,
		    struct ob_loop *loop, struct ob_attach **at, struct ob_error *err);

	/**
	 * @publish: make it visible. May block until the loop has served the kernel's first
	 * requests, so it is called from another thread while the loop runs.
	 */
	int (*publish)(struct ob_attach *at, struct ob_error *err);

	/**
	 * @unpublish: no client request comes any more. Called from another thread while the
	 * loop still runs; -EBUSY when a client holds it, unless @force.
	 */
	int (*unpublish)(struct ob_attach *at, bool force, struct ob_error *err);

	/** @close: remove what open made; the loop has ended. */
	void (*close)(struct ob_attach *at);

	void (*info)(struct ob_attach *at, struct ob_attach_info *info);
	void (*stats)(struct ob_attach *at, struct ob_attach_stats *stats);
};

/**
 * struct ob_attach - what is common of all
 * @clients: that may come while it serves, each with a descriptor in this process; filled by open
 */
struct ob_attach {
	const struct ob_attach_ops *ops;
	struct ob_binding *binding;
	struct ob_loop *loop;
	unsigned int clients;
};

/** ob_attachments() - all mechanisms in order of preference, ended by NULL */
const struct ob_attach_ops *const *ob_attachments(void);

/** ob_attach_probe() - as @ops->probe, or as it was found by ob_attach_probe_all() */
int ob_attach_probe(const struct ob_attach_ops *ops, struct ob_error *err);

/** ob_attach_probe_all() - probe all now, for a process that will not have the rights to. Not thread-safe */
void ob_attach_probe_all(void);

/**
 * ob_attach_open() - open an attachment by its text
 * @text: "tap,name=ob0", "nbd,port=10809", "loop", or "auto" for the best that probe allows
 *
 * Return: 0; -EINVAL; -EOPNOTSUPP with what is missing; what open returned.
 */
int ob_attach_open(struct ob_binding *b, unsigned int index, const char *text, struct ob_loop *loop,
		   struct ob_attach **at, struct ob_error *err);
int ob_attach_publish(struct ob_attach *at, struct ob_error *err);
int ob_attach_unpublish(struct ob_attach *at, bool force, struct ob_error *err);
void ob_attach_close(struct ob_attach *at);

#ifdef __cplusplus
}
#endif
#endif
