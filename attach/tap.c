/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Attachment "tap": the device as a network interface of the kernel. Linux
 * Documentation/networking/tuntap.rst; ours is docs/attach-net.md. Frames move in tap_io.c; here the
 * interface is made, kept like the device, and removed.
 */
#include <errno.h>
#include <linux/if_tun.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "attach/attach.h"
#include "attach/kept.h"
#include "attach/tap.h"
#include "attach/tap_io.h"
#include "attach/tap_link.h"
#include "attach/tap_make.h"
#include "attach/tap_netns.h"
#include "attach/vhost_net.h"

enum {
	KEPT_OTHERS = 5, /* descriptors of a kept tap besides its queues' */
	LINK_GRACE_MS = 5000,
};

enum vhost_use {
	VHOST_AUTO,
	VHOST_ON,
	VHOST_OFF,
};

struct options {
	const char *name;
	const char *netns;
	const char *address;
	uint64_t queues;
	uint64_t mtu;
	uint64_t owner;
	bool has_owner;
	bool up, csum, gso, gro;
	enum vhost_use vhost;
};

struct tap {
	struct attach_net at; /* first */
	struct ob_net *net;
	struct ob_loop *loop;
	struct tap_netns ns;
	struct tap_link link;
	struct options opt; /* its strings are not valid after open */
	char name[IFNAMSIZ];
	char place[96];
	bool vhost;   /* frames move by vhost-net */
	bool premade; /* a persistent interface that somebody else made, and keeps */
	bool kept;    /* an earlier driver process made it: clients use it */
	uint64_t link_grace_ns;
	bool up;
	bool promisc;	/* as the device was told */
	bool said_gone; /* logged */
	bool dropped_sources;
	struct ob_net_link carrier;
	bool carrier_unknown; /* who had the interface before may have died while there was no link */
	uint64_t calls;	      /* system calls but those of the queues */
	unsigned int nr_queues;
	struct tap_queue queue[OB_NET_QUEUES];
	/* A source is removed by its arg, so each has one of its own. */
	struct tap_side {
		struct tap *tap;
		struct tap_queue *q;
	} rx[OB_NET_QUEUES];
};

static struct tap *tap_of(const struct ob_attach *at)
{
	return (struct tap *)at;
}

/* ---- probe ------------------------------------------------------------------------------ */

static int tap_probe(struct ob_error *err)
{
	bool here;

	/* Without the right to make one here it is enough to be allowed a namespace of one's own. */
	return tap_netns_can_create(&here, err);
}

static int vhost_net_attach_probe(struct ob_error *err)
{
	int ret = vhost_net_probe(err);

	return ret ? ret : tap_probe(err);
}

/* ---- making the interface --------------------------------------------------------------- */

static int check_name(const char *name, struct ob_error *err)
{
	size_t n = strlen(name);

	/* dev_valid_name() of the kernel; one %d is its numbering. */
	if (!n || n >= IFNAMSIZ || !strcmp(name, ".") || !strcmp(name, "..") ||
	    strpbrk(name, "/: \t\n")) {
		ob_error_set(err, -EINVAL, "tap: '%s' cannot be the name of an interface", name);
		ob_error_fix(err, "1 to %d characters without '/', ':' and spaces, e.g. name=ob0",
			     IFNAMSIZ - 1);
		return -EINVAL;
	}
	return 0;
}

static int get_vhost(struct ob_spec_part *part, struct options *o, struct ob_error *err)
{
	const char *text = ob_spec_get(part, "vhost");

	if (!text || !strcmp(text, "auto"))
		return 0;
	if (!strcmp(text, "on"))
		o->vhost = VHOST_ON;
	else if (!strcmp(text, "off"))
		o->vhost = VHOST_OFF;
	else
		return ob_error_set(err, -EINVAL, "tap: vhost=%s is none of auto, on, off", text);
	return 0;
}

static int get_options(struct ob_spec_part *part, struct ob_net *net, struct options *o,
		       struct ob_error *err)
{
	int ret;

	*o = (struct options){.queues = net->queues, .csum = true, .gso = true, .gro = true};
	o->name = ob_spec_get(part, "name");
	if (!o->name)
		o->name = TAP_NAME_DEFAULT;
	ret = check_name(o->name, err);
	o->netns = ob_spec_get(part, "netns");
	o->address = ob_spec_get(part, "address");
	if (!ret)
		ret = ob_spec_get_u64(part, "queues", 1, net->queues, &o->queues, err);
	if (!ret)
		ret = ob_spec_get_u64(part, "mtu", 68, net->mtu_max, &o->mtu, err);
	if (!ret) {
		o->owner = UINT64_MAX;
		ret = ob_spec_get_u64(part, "owner", 0, UINT32_MAX - 1, &o->owner, err);
		o->has_owner = o->owner != UINT64_MAX;
	}
	if (!ret)
		ret = ob_spec_get_bool(part, "up", &o->up, err);
	if (!ret)
		ret = ob_spec_get_bool(part, "csum", &o->csum, err);
	if (!ret)
		ret = ob_spec_get_bool(part, "gso", &o->gso, err);
	if (!ret)
		ret = ob_spec_get_bool(part, "gro", &o->gro, err);
	if (!ret)
		ret = get_vhost(part, o, err);
	return ret;
}

static int make_interface(struct tap *t, struct ob_error *err)
{
	struct broker_tap want = {
		.queues = t->nr_queues,
		.has_netns = t->opt.netns,
		.has_owner = t->opt.has_owner,
		.owner = (uid_t)t->opt.owner,
	};
	struct broker_tap_made made = {0};
	int ret;

	snprintf(want.name, sizeof(want.name), "%s", t->opt.name);
	if (t->opt.netns && strlen(t->opt.netns) >= sizeof(want.netns))
		return ob_error_set(err, -ENAMETOOLONG, "netns=%.40s... is too long", t->opt.netns);
	snprintf(want.netns, sizeof(want.netns), "%s", t->opt.netns ? t->opt.netns : "");
	ret = tap_make(&want, &t->ns, &made, err);
	if (ret)
		return ret;
	t->premade = made.premade;
	memcpy(t->name, made.name, sizeof(t->name));
	t->name[IFNAMSIZ - 1] = '\0';
	return 0;
}

static int set_offloads(struct tap *t, struct ob_error *err)
{
	unsigned int offload = 0;

	if (vhost_net_set_header(t->ns.tun[0], t->vhost))
		return ob_error_set(err, -errno, "tap: header of %s: %s", t->name, strerror(errno));
	/*
	 * Segmentation frames are taken whatever the device can do: what it cannot is done here, for less
	 * than the kernel's stack and a system call, or a ring's entry, for each segment cost.
	 */
	if (t->opt.csum)
		offload |= TUN_F_CSUM;
	if (t->opt.csum && t->opt.gso)
		offload |= TUN_F_TSO4 | TUN_F_TSO6;
	if (ioctl(t->ns.tun[0], TUNSETOFFLOAD, offload))
		return ob_error_set(err, -errno, "tap: offloads of %s: %s", t->name,
				    strerror(errno));
	return 0;
}

/* ---- kept over the death of a driver process ---------------------------------------------- */

/* What the next one cannot see of the interface itself. */
struct kept_note {
	bool premade;
};

static void tap_key(const struct tap *t, char key[KEPT_KEY])
{
	kept_key(key, "tap", t->net->dev, 0);
}

static int find_kept(struct tap *t, struct ob_error *err)
{
	struct tap_netns *ns = &t->ns;
	struct ifreq ifr = {0};
	struct kept_note note;
	char key[KEPT_KEY];
	struct kept k;

	tap_key(t, key);
	if (!kept_find(key, &k))
		return 0;
	t->nr_queues = k.nr_fds - KEPT_OTHERS;
	memcpy(&note, k.note, sizeof(note));
	t->premade = note.premade;
	ns->ctl = k.fd[0];
	ns->rtnl = k.fd[1];
	ns->mcast = k.fd[2];
	ns->net = k.fd[3];
	ns->user = k.fd[4];
	ns->queues = t->nr_queues;
	for (unsigned int i = 0; i < OB_NET_QUEUES; i++)
		ns->tun[i] = i < t->nr_queues ? k.fd[KEPT_OTHERS + i] : -1;
	/* It may have been renamed, or deleted, meanwhile. */
	if (ioctl(ns->tun[0], TUNGETIFF, &ifr))
		return ob_error_set(err, -errno, "tap: the interface of %s is gone: %s",
				    ob_device_info(t->net->dev)->name, strerror(errno));
	memcpy(t->name, ifr.ifr_name, sizeof(t->name));
	t->name[IFNAMSIZ - 1] = '\0';
	t->kept = true;
	return 0;
}

static int keep(const struct tap *t, struct ob_error *err)
{
	const struct tap_netns *ns = &t->ns;
	const struct kept_note note = {.premade = t->premade};
	struct kept k = {.fd = {ns->ctl, ns->rtnl, ns->mcast, ns->net, ns->user},
			 .nr_fds = KEPT_OTHERS + t->nr_queues,
			 .note_size = sizeof(note)};
	int ret;

	tap_key(t, k.key);
	memcpy(k.note, &note, sizeof(note));
	memcpy(k.fd + KEPT_OTHERS, ns->tun, t->nr_queues * sizeof(int));
	ret = kept_put(&k);
	return ret ? ob_error_set(err, ret, "tap: %s cannot be kept: %s", t->name, strerror(-ret))
		   : 0;
}

/*
 * After a restart the device's link takes its time to come up again; a carrier that goes away for a moment would only make the
 * kernel drop what waits.
 */
static bool link_is_coming(struct tap *t, bool up)
{
	if (!t->link_grace_ns)
		return false;
	if (up || ob_clock_ns() > t->link_grace_ns)
		t->link_grace_ns = 0;
	return t->link_grace_ns != 0;
}

/* ---- like the device ------------------------------------------------------------------------ */

static void set_carrier(struct tap *t, struct ob_net_link now)
{
	int up = now.up;

	if (link_is_coming(t, now.up))
		return;
	if (!t->carrier_unknown && now.up == t->carrier.up && now.mbps == t->carrier.mbps &&
	    now.full_duplex == t->carrier.full_duplex)
		return;
	/* Refused while the interface is down (EINVAL on old kernels): tried again at the next tick. */
	t->calls++;
	if ((t->carrier_unknown || now.up != t->carrier.up) &&
	    ioctl(t->ns.tun[0], TUNSETCARRIER, &up))
		return;
	if (now.up && now.mbps) {
		t->calls++;
		tap_link_set_speed(&t->link, now.mbps, now.full_duplex);
	}
	t->carrier = now;
	t->carrier_unknown = false;
}

/* Address and MTU of the device on the interface, or, where this may not be changed, the other way. */
static int make_alike(struct tap *t, struct ob_error *err)
{
	struct ob_net *net = t->net;
	int ret;

	if (t->opt.mtu && t->opt.mtu != net->mtu) {
		ret = net->ops->set_mtu ? net->ops->set_mtu(net, (unsigned int)t->opt.mtu)
					: -EOPNOTSUPP;
		if (ret)
			return ob_error_set(err, ret, "tap: %s cannot have an MTU of %u",
					    ob_device_info(net->dev)->name,
					    (unsigned int)t->opt.mtu);
	}
	ret = tap_link_set_mac(&t->link, net->mac);
	if (ret && t->premade && net->ops->set_mac && !net->ops->set_mac(net, t->link.mac))
		ret = 0;
	if (ret)
		return ob_error_set(err, ret, "tap: hardware address of %s: %s", t->name,
				    strerror(-ret));
	if (t->link.mtu == net->mtu)
		return 0;
	ret = tap_link_set_mtu(&t->link, net->mtu);
	if (ret && t->premade && net->ops->set_mtu && !net->ops->set_mtu(net, t->link.mtu))
		ret = 0;
	if (ret)
		return ob_error_set(err, ret, "tap: MTU %u of %s: %s", net->mtu, t->name,
				    strerror(-ret));
	return 0;
}

/* ---- while it runs ------------------------------------------------------------------------ */

static unsigned int poll_device(void *arg, unsigned int budget)
{
	struct tap_side *side = arg;

	return side->q->vhost ? vhost_net_from_device(side->q, budget)
			      : tap_queue_from_device(side->q, budget);
}

static bool arm_device(void *arg, bool on)
{
	struct tap_side *side = arg;
	struct ob_net *net = side->tap->net;
	bool pending = net->ops->irq_arm ? net->ops->irq_arm(net, side->q->index, on) : false;

	if (side->q->vhost)
		pending |= vhost_net_full(side->q, on);
	return pending;
}

static void apply_filters(struct tap *t)
{
	struct ob_net *net = t->net;
	/* More than the interface's own address and the groups it joined: a bridge, a capture. */
	bool promisc = t->link.promisc || t->link.all_multicast;

	if (!promisc && net->ops->set_multicast &&
	    net->ops->set_multicast(net, (const uint8_t(*)[6])t->link.macs, t->link.nr_macs))
		promisc = true;
	if (!net->ops->set_multicast)
		promisc = true;
	if (memcmp(t->link.mac, net->mac, 6) != 0)
		promisc = true;
	if (promisc == t->promisc || !net->ops->set_promisc)
		return;
	if (!net->ops->set_promisc(net, promisc))
		t->promisc = promisc;
}

/* The administrator changed the interface: so changes the device, or the interface back. */
static void follow_interface(struct tap *t)
{
	struct ob_net *net = t->net;

	memcpy(t->name, t->link.name, sizeof(t->name));
	if (memcmp(t->link.mac, net->mac, 6) &&
	    (!net->ops->set_mac || net->ops->set_mac(net, t->link.mac)))
		ob_device_log(net->dev, OB_LOG_WARN,
			      "%s has another hardware address than the device, which cannot take "
			      "it: now receives everything",
			      t->name);
	if (t->link.mtu != net->mtu &&
	    (!net->ops->set_mtu || net->ops->set_mtu(net, t->link.mtu))) {
		ob_device_log(net->dev, OB_LOG_WARN,
			      "%s: the device cannot have an MTU of %u (at most %u), back to %u",
			      t->name, t->link.mtu, net->mtu_max, net->mtu);
		t->calls++;
		tap_link_set_mtu(&t->link, net->mtu);
	}
	apply_filters(t);
}

/* What an administrator has changed since it was made is the device's, too. */
static int follow_kept(struct tap *t)
{
	t->link_grace_ns = ob_clock_ns() + LINK_GRACE_MS * 1000000ull;
	/* Whatever it was told last: it is told again. */
	t->carrier_unknown = true;
	follow_interface(t);
	return 0;
}

static void interface_gone(struct tap *t)
{
	if (t->said_gone)
		return;
	t->said_gone = true;
	ob_device_log(t->net->dev, OB_LOG_ERROR,
		      "interface %s was deleted by somebody else; frames are dropped", t->name);
	/* Its descriptors are in error for ever, which would wake the loop for ever. */
	for (unsigned int i = 0; i < t->nr_queues; i++) {
		t->queue[i].tap_gone = true;
		ob_loop_remove(t->loop, &t->queue[i]);
	}
}

static void look_at_unsent(struct tap *t, bool up, uint64_t now_ns)
{
	t->at.unsent_ns = 0;
	for (unsigned int i = 0; i < t->nr_queues; i++) {
		struct tap_queue *q = &t->queue[i];
		uint64_t ns = unsent_look(&q->unsent, &q->send,
					  t->vhost ? vhost_net_buffers : tap_queue_buffers, q, up,
					  now_ns);

		t->at.unsent_ns = ns > t->at.unsent_ns ? ns : t->at.unsent_ns;
	}
}

static void tick(void *arg, uint64_t now_ns)
{
	struct tap *t = arg;
	struct ob_net_link link;
	bool gone = t->link.gone;

	if (t->net->ops->tick)
		t->net->ops->tick(t->net, now_ns);
	for (unsigned int i = 0; i < t->nr_queues; i++)
		gone |= t->queue[i].tap_gone;
	if (gone) {
		t->at.unsent_ns = 0;
		interface_gone(t);
		return;
	}
	link = attach_link(t->net);
	set_carrier(t, link);
	look_at_unsent(t, link.up, now_ns);
	if (tap_link_refresh(&t->link, &t->calls))
		follow_interface(t);
}

/* ---- open and close ------------------------------------------------------------------------- */

static int add_sources(struct tap *t, struct ob_error *err)
{
	struct ob_loop_source source = {.name = "tap", .tick = tick, .arg = t, .fd = -1};
	int ret = ob_loop_add(t->loop, &source);

	for (unsigned int i = 0; i < t->nr_queues && !ret; i++) {
		t->rx[i] = (struct tap_side){t, &t->queue[i]};
		source = (struct ob_loop_source){
			.name = "device to tap",
			.poll = poll_device,
			.arm = arm_device,
			.arg = &t->rx[i],
			.fd = t->net->irq_fd[i],
		};
		ret = ob_loop_add(t->loop, &source);
		if (ret)
			break;
		source = (struct ob_loop_source){
			.name = "tap to device",
			.poll = t->vhost ? vhost_net_to_device : tap_queue_to_device,
			.arm = t->vhost ? vhost_net_waits : tap_queue_waits,
			.arg = &t->queue[i],
			.fd = t->queue[i].watch,
			.level = !t->vhost,
		};
		ret = ob_loop_add(t->loop, &source);
	}
	if (ret)
		return ob_error_set(err, ret, "tap: the loop takes no more sources");
	return 0;
}

static void remove_sources(struct tap *t)
{
	for (unsigned int i = 0; i < t->nr_queues; i++) {
		ob_loop_remove(t->loop, &t->rx[i]);
		ob_loop_remove(t->loop, &t->queue[i]);
	}
	ob_loop_remove(t->loop, t);
}

static int open_queue(struct tap *t, unsigned int i, struct ob_error *err)
{
	struct tap_queue *q = &t->queue[i];

	q->net = t->net;
	q->loop = t->loop;
	q->index = i;
	q->fd = t->ns.tun[i];
	q->send.tso = ob_net_can_tso(t->net);
	q->send.csum = ob_net_can_csum(t->net);
	q->gro = t->opt.gro;
	return t->vhost ? vhost_net_open(q, err) : tap_queue_open(q, err);
}

static void close_queues(struct tap *t)
{
	for (unsigned int i = 0; i < t->nr_queues; i++) {
		if (t->vhost)
			vhost_net_close(&t->queue[i]);
		else
			tap_queue_close(&t->queue[i]);
	}
}

static void tap_close(struct ob_attach *at)
{
	struct tap *t = tap_of(at);

	remove_sources(t);
	/* The kernel first, so that nothing is in its hands that the device gets back. */
	for (unsigned int i = 0; i < t->nr_queues; i++)
		vhost_net_stop(&t->queue[i]);
	/* The device gives back what it was sending, into pools that still exist. */
	ob_net_stop(t->net);
	close_queues(t);
	/* The interface goes with its last descriptor, a namespace of its own with its last user. */
	tap_netns_close(&t->ns);
	free(t);
}

static void describe_place(struct tap *t)
{
	const char *where = t->opt.netns;

	if (!where)
		snprintf(t->place, sizeof(t->place), "here");
	else if (!strcmp(where, "new"))
		snprintf(t->place, sizeof(t->place), "netns of its own%s",
			 t->ns.user >= 0 ? " (and user namespace)" : "");
	else
		snprintf(t->place, sizeof(t->place), "netns %.80s", where);
}

/* Is vhost-net wanted and to be had? */
static int choose_vhost(struct tap *t, struct ob_error *err)
{
	struct ob_error why = {0};
	int ret;

	if (t->opt.vhost == VHOST_OFF)
		return 0;
	ret = vhost_net_probe(&why);
	if (ret && t->opt.vhost == VHOST_ON) {
		if (err)
			*err = why;
		return ret;
	}
	t->vhost = !ret;
	return 0;
}

static int open_tap(struct ob_binding *b, struct ob_spec_part *part, enum vhost_use vhost,
		    struct ob_loop *loop, struct ob_attach **at, struct ob_error *err)
{
	struct tap *t = calloc(1, sizeof(*t));
	int ret;

	if (!t)
		return ob_error_set(err, -ENOMEM, "no memory for a tap");
	t->net = b->net;
	t->loop = loop;
	for (unsigned int i = 0; i < OB_NET_QUEUES; i++)
		t->queue[i].watch = -1;
	t->carrier.up = true; /* as TUNSETIFF leaves it */
	ret = get_options(part, b->net, &t->opt, err);
	if (!ret && vhost != VHOST_AUTO)
		t->opt.vhost = vhost;
	if (!ret)
		ret = choose_vhost(t, err);
	if (ret)
		goto free_tap;
	t->nr_queues = (unsigned int)t->opt.queues;
	t->up = t->opt.up || t->opt.address;
	ret = find_kept(t, err);
	if (ret)
		goto close_netns;
	if (!t->kept)
		ret = make_interface(t, err);
	if (ret)
		goto free_tap;
	describe_place(t);
	ret = set_offloads(t, err);
	if (!ret)
		ret = tap_link_open(&t->ns, t->name, &t->link, err);
	if (!ret)
		ret = t->kept ? follow_kept(t) : make_alike(t, err);
	if (!ret && t->opt.address && !t->kept)
		ret = tap_link_add_address(&t->link, t->opt.address, err);
	if (!ret && !t->kept)
		ret = keep(t, err);
	if (ret)
		goto close_netns;

	for (unsigned int i = 0; i < t->nr_queues && !ret; i++) {
		unsent_init(&t->queue[i].unsent, b);
		ret = open_queue(t, i, err);
	}
	if (ret)
		goto close_queues;
	ret = ob_net_start(b->net, err);
	if (ret)
		goto close_queues;
	apply_filters(t);
	set_carrier(t, attach_link(t->net));
	ret = add_sources(t, err);
	if (ret)
		goto stop;
	*at = &t->at.at;
	return 0;

stop:
	remove_sources(t);
	for (unsigned int i = 0; i < t->nr_queues; i++)
		vhost_net_stop(&t->queue[i]);
	ob_net_stop(b->net);
close_queues:
	close_queues(t);
close_netns:
	tap_netns_close(&t->ns);
free_tap:
	free(t);
	return ret;
}

static int tap_open(struct ob_binding *b, unsigned int index, struct ob_spec_part *part,
		    struct ob_loop *loop, struct ob_attach **at, struct ob_error *err)
{
	return open_tap(b, part, VHOST_AUTO, loop, at, err);
}

static int vhost_net_attach_open(struct ob_binding *b, unsigned int index,
				 struct ob_spec_part *part, struct ob_loop *loop,
				 struct ob_attach **at, struct ob_error *err)
{
	return open_tap(b, part, VHOST_ON, loop, at, err);
}

/*
 * These two come from another thread, so the name is asked of the kernel and not of the watcher, and
 * nothing of the watcher is written.
 */
static int change_up(struct tap *t, bool up)
{
	struct tap_link l = {.ctl = t->ns.ctl, .tun = t->ns.tun[0]};
	struct ifreq ifr = {0};

	if (ioctl(t->ns.tun[0], TUNGETIFF, &ifr))
		return -errno;
	memcpy(l.name, ifr.ifr_name, sizeof(l.name));
	l.name[IFNAMSIZ - 1] = '\0';
	return tap_link_set_up(&l, up);
}

static int tap_publish(struct ob_attach *at, struct ob_error *err)
{
	struct tap *t = tap_of(at);
	int ret = t->up ? change_up(t, true) : 0;

	return ret ? ob_error_set(err, ret, "tap: %s cannot be set up: %s", t->name, strerror(-ret))
		   : 0;
}

static int tap_unpublish(struct ob_attach *at, bool force, struct ob_error *err)
{
	struct tap *t = tap_of(at);

	/* Somebody else's interface is left as it is; one that was deleted needs nothing. */
	if (!t->premade)
		change_up(t, false);
	return 0;
}

static void tap_info(struct ob_attach *at, struct ob_attach_info *info)
{
	const struct tap *t = tap_of(at);

	memset(info, 0, sizeof(*info));
	info->kind = t->vhost ? "vhost-net" : "tap";
	snprintf(info->name, sizeof(info->name), "%s", t->name);
	snprintf(info->detail, sizeof(info->detail), "%s, %u queue%s%s", t->place, t->nr_queues,
		 t->nr_queues > 1 ? "s" : "", t->vhost ? "" : ", vnet header");
}

static void tap_stats(struct ob_attach *at, struct ob_attach_stats *stats)
{
	const struct tap *t = tap_of(at);

	memset(stats, 0, sizeof(*stats));
	stats->syscalls = t->calls;
	for (unsigned int i = 0; i < t->nr_queues; i++) {
		const struct ob_attach_stats *s = &t->queue[i].stats;

		stats->requests_in += s->requests_in;
		stats->requests_out += s->requests_out;
		stats->bytes_in += s->bytes_in;
		stats->bytes_out += s->bytes_out;
		stats->kernel_copies += s->kernel_copies;
		stats->own_copies += s->own_copies;
		stats->syscalls += s->syscalls;
		stats->errors += s->errors;
		stats->dropped += s->dropped;
	}
}

const struct ob_attach_ops ob_attach_tap = {
	.name = "tap",
	.summary = "a network interface, with checksum and segmentation offload",
	.class_ = OB_CLASS_NET,
	.options = "name=IF, netns=new|NAME|PATH|pid:N, up, address=CIDR, mtu=N, queues=N, "
		   "owner=UID, csum=on|off, gso=on|off, gro=on|off, vhost=auto|on|off",
	.confined = true,
	.outlives = true,
	.probe = tap_probe,
	.open = tap_open,
	.publish = tap_publish,
	.unpublish = tap_unpublish,
	.close = tap_close,
	.info = tap_info,
	.stats = tap_stats,
};

const struct ob_attach_ops ob_attach_vhost_net = {
	.name = "vhost-net",
	.summary = "a network interface by rings shared with the kernel",
	.class_ = OB_CLASS_NET,
	.options = "name=IF, netns=new|NAME|PATH|pid:N, up, address=CIDR, mtu=N, queues=N, "
		   "owner=UID, csum=on|off, gso=on|off, gro=on|off",
	.confined = true,
	.outlives = true,
	.probe = vhost_net_attach_probe,
	.open = vhost_net_attach_open,
	.publish = tap_publish,
	.unpublish = tap_unpublish,
	.close = tap_close,
	.info = tap_info,
	.stats = tap_stats,
};

static bool is_tap(const struct ob_attach *at)
{
	return at && (at->ops == &ob_attach_tap || at->ops == &ob_attach_vhost_net);
}

/* ---- for the program -------------------------------------------------------------------------- */

int ob_attach_tap_netns_fd(const struct ob_attach *at)
{
	return is_tap(at) ? tap_of(at)->ns.net : -1;
}

int ob_attach_tap_enter(const struct ob_attach *at)
{
	const struct tap *t;

	if (!is_tap(at))
		return 0;
	t = tap_of(at);
	if (t->ns.user >= 0 && setns(t->ns.user, CLONE_NEWUSER))
		return -errno;
	if (t->ns.net >= 0 && setns(t->ns.net, CLONE_NEWNET))
		return -errno;
	return 0;
}

void ob_attach_tap_stats(const struct ob_attach *at, struct ob_attach_tap_stats *stats)
{
	memset(stats, 0, sizeof(*stats));
	if (!is_tap(at))
		return;
	for (unsigned int i = 0; i < tap_of(at)->nr_queues; i++)
		stats->merged += tap_of(at)->queue[i].merged;
}
