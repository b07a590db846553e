/* SPDX-License-Identifier: BSD-2-Clause */
/* What VDUSE needs of the system: vduse.h. The kernel's side is drivers/vdpa/vdpa_user/vduse_dev.c, and linux/vdpa.h. */
#include <errno.h>
#include <linux/capability.h>
#include <linux/vdpa.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "attach/vduse.h"

static int find_vduse(const struct nlmsghdr *nlh, void *arg)
{
	const struct nlattr *attr[VDPA_ATTR_MGMTDEV_DEV_NAME + 1];
	bool *found = arg;

	genetlink_attrs(nlh, attr, VDPA_ATTR_MGMTDEV_DEV_NAME + 1);
	*found |= attr[VDPA_ATTR_MGMTDEV_DEV_NAME] != NULL;
	return MNL_CB_OK;
}

int vduse_netlink(struct genetlink *g, struct ob_error *err)
{
	int rc = genetlink_open(g, VDPA_GENL_NAME, VDPA_GENL_VERSION, err);

	if (rc == -ENOENT) {
		ob_error_set(err, -EOPNOTSUPP, "VDUSE is not there");
		ob_error_why(err, "the kernel has no generic netlink family 'vdpa'");
		ob_error_fix(err, "modprobe -a vduse virtio_vdpa (Linux 5.15 and later, with "
				  "CONFIG_VDPA_USER)");
		return -EOPNOTSUPP;
	}
	return rc;
}

static int find_manager(struct genetlink *g, struct ob_error *err)
{
	char request[GENETLINK_REQUEST];
	struct nlmsghdr *nlh = genetlink_begin(g, request, VDPA_CMD_MGMTDEV_GET);
	bool found = false;

	mnl_attr_put_strz(nlh, VDPA_ATTR_MGMTDEV_DEV_NAME, "vduse");
	genetlink_talk(g, nlh, find_vduse, &found, NULL, 0);
	if (found)
		return 0;
	ob_error_set(err, -EOPNOTSUPP, "VDUSE is not there");
	ob_error_why(err, "vdpa has no management device 'vduse'");
	ob_error_fix(err, "modprobe vduse");
	return -EOPNOTSUPP;
}

int vduse_explain_control(int rc, struct ob_error *err)
{
	ob_error_set(err, rc, VDUSE_CONTROL " cannot be used: %s", strerror(-rc));
	if (rc == -ENOENT)
		ob_error_fix(err, "modprobe vduse");
	else if (rc == -EACCES)
		ob_error_fix(err, "run it as root");
	return rc;
}

int vduse_probe(const char *driver, struct ob_error *err)
{
	struct genetlink g;
	char path[64];
	int rc;

	if (access(VDUSE_CONTROL, R_OK | W_OK))
		return vduse_explain_control(-errno, err);
	if (!genetlink_allowed(CAP_NET_ADMIN)) {
		ob_error_set(err, -EPERM, "a VDUSE device cannot be given to the kernel's driver");
		ob_error_why(err, "vdpa takes it from CAP_NET_ADMIN only");
		ob_error_fix(err, "run it as root");
		return -EPERM;
	}
	rc = vduse_netlink(&g, err);
	if (!rc) {
		rc = find_manager(&g, err);
		genetlink_close(&g);
	}
	if (rc)
		return rc;
	if (access("/sys/bus/vdpa/drivers/virtio_vdpa", F_OK)) {
		ob_error_set(err, -EOPNOTSUPP,
			     "no driver would make a virtio device of a VDUSE device");
		ob_error_fix(err, "modprobe virtio_vdpa");
		return -EOPNOTSUPP;
	}
	snprintf(path, sizeof(path), "/sys/bus/virtio/drivers/%s", driver);
	if (access(path, F_OK)) {
		ob_error_set(err, -EOPNOTSUPP, "the kernel's virtio driver %s is not there",
			     driver);
		ob_error_fix(err, "modprobe %s", driver);
		return -EOPNOTSUPP;
	}
	return 0;
}
