/* SPDX-License-Identifier: BSD-2-Clause */
/* Generic netlink (Linux, Documentation/userspace-api/netlink/intro.rst) on libmnl; contract in genetlink.h. */
#include <errno.h>
#include <linux/capability.h>
#include <linux/genetlink.h>
#include <linux/netlink.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "attach/genetlink.h"

/* ---- answers --------------------------------------------------------------------- */

struct attributes {
	const struct nlattr **attr;
	unsigned int nr;
};

static int keep_attribute(const struct nlattr *attr, void *arg)
{
	struct attributes *a = arg;
	uint16_t type = mnl_attr_get_type(attr);

	if (type < a->nr)
		a->attr[type] = attr;
	return MNL_CB_OK;
}

void genetlink_attrs(const struct nlmsghdr *nlh, const struct nlattr **attr, unsigned int nr)
{
	struct attributes a = {attr, nr};

	memset(attr, 0, nr * sizeof(*attr));
	mnl_attr_parse(nlh, sizeof(struct genlmsghdr), keep_attribute, &a);
}

/* The sentence that newer kernels add to an error: "Extended ACK" of the document above. */
static void read_reason(const struct nlmsghdr *nlh, char *why, size_t size)
{
	const struct nlmsgerr *e = mnl_nlmsg_get_payload(nlh);
	unsigned int offset = sizeof(*e);
	const struct nlattr *attr[NLMSGERR_ATTR_MSG + 1] = {NULL};
	struct attributes a = {attr, NLMSGERR_ATTR_MSG + 1};

	if (!(nlh->nlmsg_flags & NLM_F_ACK_TLVS))
		return;
	/* Without "capped" the request is repeated behind its header, which is part of *e. */
	if (!(nlh->nlmsg_flags & NLM_F_CAPPED))
		offset += e->msg.nlmsg_len - (unsigned int)sizeof(e->msg);
	if (offset >= mnl_nlmsg_get_payload_len(nlh))
		return;
	mnl_attr_parse(nlh, offset, keep_attribute, &a);
	if (attr[NLMSGERR_ATTR_MSG] &&
	    mnl_attr_validate(attr[NLMSGERR_ATTR_MSG], MNL_TYPE_NUL_STRING) >= 0)
		snprintf(why, size, "%s", mnl_attr_get_str(attr[NLMSGERR_ATTR_MSG]));
}

/*
 * One received buffer, which may hold several messages.
 *
 * Return: > 0: more is to come; 0: acknowledged; < 0: refused.
 */
static int take(struct genetlink *g, const char *buf, int n, mnl_cb_t answer, void *arg, char *why,
		size_t size)
{
	const struct nlmsghdr *nlh = (const struct nlmsghdr *)buf;

	for (; mnl_nlmsg_ok(nlh, n); nlh = mnl_nlmsg_next(nlh, &n)) {
		if (nlh->nlmsg_seq != g->seq)
			continue; /* the answer to a request that was given up */
		if (nlh->nlmsg_type == NLMSG_ERROR) {
			const struct nlmsgerr *e = mnl_nlmsg_get_payload(nlh);

			if (mnl_nlmsg_get_payload_len(nlh) < sizeof(*e))
				return -EPROTO;
			if (e->error && why)
				read_reason(nlh, why, size);
			return e->error > 0 ? -EPROTO : e->error;
		}
		if (nlh->nlmsg_type == NLMSG_DONE)
			return 0;
		if (nlh->nlmsg_type == g->id && answer)
			answer(nlh, arg);
	}
	return 1;
}

/* ---- requests -------------------------------------------------------------------- */

struct nlmsghdr *genetlink_begin(struct genetlink *g, char request[GENETLINK_REQUEST], uint8_t cmd)
{
	struct nlmsghdr *nlh = mnl_nlmsg_put_header(request);
	struct genlmsghdr *genl = mnl_nlmsg_put_extra_header(nlh, sizeof(*genl));

	nlh->nlmsg_type = g->id;
	nlh->nlmsg_flags = NLM_F_REQUEST | NLM_F_ACK;
	genl->cmd = cmd;
	genl->version = g->version;
	return nlh;
}

int genetlink_talk(struct genetlink *g, struct nlmsghdr *request, mnl_cb_t answer, void *arg,
		   char *why, size_t size)
{
	char buf[8192];
	ssize_t n;
	int rc;

	if (why && size)
		why[0] = '\0';
	request->nlmsg_seq = ++g->seq;
	/* The kernel works on it in this very call. */
	if (mnl_socket_sendto(g->sock, request, request->nlmsg_len) < 0)
		return -errno;
	do {
		n = mnl_socket_recvfrom(g->sock, buf, sizeof(buf));
		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			return n ? -errno : -EPROTO;
		rc = take(g, buf, (int)n, answer, arg, why, size);
	} while (n < 0 || rc > 0);
	return rc;
}

/* ---- open ------------------------------------------------------------------------ */

static int keep_id(const struct nlmsghdr *nlh, void *arg)
{
	const struct nlattr *attr[CTRL_ATTR_FAMILY_ID + 1];
	struct genetlink *g = arg;

	genetlink_attrs(nlh, attr, CTRL_ATTR_FAMILY_ID + 1);
	if (attr[CTRL_ATTR_FAMILY_ID] &&
	    mnl_attr_validate(attr[CTRL_ATTR_FAMILY_ID], MNL_TYPE_U16) >= 0)
		g->id = mnl_attr_get_u16(attr[CTRL_ATTR_FAMILY_ID]);
	return MNL_CB_OK;
}

static int find_family(struct genetlink *g)
{
	struct genetlink ctrl = {
		.sock = g->sock,
		.id = GENL_ID_CTRL,
		.version = 1, /* linux/genetlink.h has no name for it */
		.seq = g->seq,
	};
	char request[GENETLINK_REQUEST];
	struct nlmsghdr *nlh = genetlink_begin(&ctrl, request, CTRL_CMD_GETFAMILY);
	int rc;

	mnl_attr_put_strz(nlh, CTRL_ATTR_FAMILY_NAME, g->name);
	rc = genetlink_talk(&ctrl, nlh, keep_id, g, NULL, 0);
	g->seq = ctrl.seq;
	if (!rc && !g->id)
		rc = -ENOENT;
	return rc;
}

int genetlink_open(struct genetlink *g, const char *name, uint8_t version, struct ob_error *err)
{
	int on = 1, rc;

	memset(g, 0, sizeof(*g));
	g->name = name;
	g->version = version;
	g->sock = mnl_socket_open2(NETLINK_GENERIC, SOCK_CLOEXEC);
	if (!g->sock || mnl_socket_bind(g->sock, 0, MNL_SOCKET_AUTOPID) < 0) {
		rc = -errno;
		ob_error_set(err, rc, "no generic netlink socket: %s", strerror(-rc));
		goto fail;
	}
	/* Since Linux 4.12; without it there are numbers only. */
	mnl_socket_setsockopt(g->sock, NETLINK_EXT_ACK, &on, sizeof(on));
	mnl_socket_setsockopt(g->sock, NETLINK_CAP_ACK, &on, sizeof(on));
	rc = find_family(g);
	if (rc) {
		ob_error_set(err, rc, "the kernel has no generic netlink family '%s'%s%s", name,
			     rc == -ENOENT ? "" : ": ", rc == -ENOENT ? "" : strerror(-rc));
		goto fail;
	}
	return 0;

fail:
	genetlink_close(g);
	return rc;
}

bool genetlink_allowed(unsigned int cap)
{
	struct __user_cap_header_struct header = {.version = _LINUX_CAPABILITY_VERSION_3};
	struct __user_cap_data_struct data[_LINUX_CAPABILITY_U32S_3] = {{0}};

	if (cap >= 32 * _LINUX_CAPABILITY_U32S_3 || syscall(SYS_capget, &header, data))
		return false;
	return data[cap / 32].effective >> cap % 32 & 1;
}

void genetlink_close(struct genetlink *g)
{
	if (g->sock)
		mnl_socket_close(g->sock);
	g->sock = NULL;
}
