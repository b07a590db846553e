// SPDX-License-Identifier: GPL-2.0-only
/*
 * The kernel's own TCP/IP for the host: an interface with an address, and sockets that never wait. What happens to a socket sets bits that the
 * host looks at when it comes out of the kernel. Boundary: linux/kit/ip.h.
 */
#include <asm/outboard.h>
#include <kit/ip.h>
#include <linux/etherdevice.h>
#include <linux/if_arp.h>
#include <linux/inetdevice.h>
#include <linux/ip.h>
#include <linux/netdevice.h>
#include <linux/route.h>
#include <linux/rtnetlink.h>
#include <linux/slab.h>
#include <linux/tcp.h>
#include <linux/udp.h>
#include <net/arp.h>
#include <net/inet_hashtables.h>
#include <net/inet_sock.h>
#include <net/route.h>
#include <net/tcp.h>

enum {
	BACKLOG = 64,
	DHCP_CLIENT = 68,
	/*
	 * What the last resets need to leave a ring, since the driver's stop would throw them away; and for a peer that has not received all, so that it asks whether
	 * the reset is meant (RFC 5961, 3.2), to ask and be answered.
	 */
	LEAVE_MS = 50,
};

struct endpoint {
	struct ob_ip_socket pub;
	struct socket *sock;
	enum ob_ip_kind kind;
};

static unsigned long changes;

/* An answer of a DHCP server, until the host takes it. */
static u8 kept[OB_IP_FRAME_MAX];
static unsigned int kept_len;
static bool diverting;

static struct endpoint *endpoint_of(const struct ob_ip_socket *s)
{
	return container_of(s, struct endpoint, pub);
}

static struct sockaddr_in address_of(__be32 address, unsigned int port)
{
	return (struct sockaddr_in){
		.sin_family = AF_INET,
		.sin_addr.s_addr = address,
		.sin_port = htons(port),
	};
}

/* ---- what happens to a socket --------------------------------------------------------------- */

static void tell(struct sock *sk, unsigned int bits)
{
	struct endpoint *e;

	read_lock_bh(&sk->sk_callback_lock);
	e = sk->sk_user_data;
	if (e) {
		e->pub.ready |= bits;
		changes++;
	}
	read_unlock_bh(&sk->sk_callback_lock);
}

static void data_ready(struct sock *sk)
{
	tell(sk, OB_IP_READABLE);
}

static void state_change(struct sock *sk)
{
	tell(sk, OB_IP_CHANGED | OB_IP_READABLE);
}

static void error_report(struct sock *sk)
{
	tell(sk, OB_IP_CHANGED);
}

static void write_space(struct sock *sk)
{
	if (sk->sk_type == SOCK_STREAM) {
		if (!sk_stream_is_writeable(sk) || !sk->sk_socket)
			return;
		/* Else each acknowledgement would come here. */
		clear_bit(SOCK_NOSPACE, &sk->sk_socket->flags);
	}
	tell(sk, OB_IP_WRITABLE);
}

/* Also takes a connection from its listener, whose words it has inherited. */
static void listen_to(struct endpoint *e)
{
	struct sock *sk = e->sock->sk;

	write_lock_bh(&sk->sk_callback_lock);
	sk->sk_user_data = e;
	sk->sk_data_ready = data_ready;
	sk->sk_state_change = state_change;
	sk->sk_error_report = error_report;
	sk->sk_write_space = write_space;
	write_unlock_bh(&sk->sk_callback_lock);
}

/* ---- the interface --------------------------------------------------------------------------- */

static bool is_dhcp_answer(struct sk_buff *skb)
{
	const struct iphdr *ip;
	const struct udphdr *udp;

	if (skb->protocol != htons(ETH_P_IP) || !pskb_may_pull(skb, sizeof(*ip)))
		return false;
	ip = (const void *)skb->data;
	if (ip->protocol != IPPROTO_UDP || ip->ihl < 5 || ip_is_fragment(ip) ||
	    !pskb_may_pull(skb, ip->ihl * 4 + sizeof(*udp)))
		return false;
	ip = (const void *)skb->data;
	udp = (const void *)(skb->data + ip->ihl * 4);
	return udp->dest == htons(DHCP_CLIENT);
}

/* Before any protocol sees it: one without an address hears nothing. */
static rx_handler_result_t divert_frame(struct sk_buff **pskb)
{
	struct sk_buff *skb = *pskb;

	if (!is_dhcp_answer(skb))
		return RX_HANDLER_PASS;
	skb_push(skb, ETH_HLEN);
	if (!kept_len && skb->len <= sizeof(kept) && !skb_copy_bits(skb, 0, kept, skb->len)) {
		kept_len = skb->len;
		changes++;
	}
	consume_skb(skb);
	return RX_HANDLER_CONSUMED;
}

static long divert(struct net_device *dev, bool on)
{
	int ret = 0;

	if (on == diverting)
		return 0;
	rtnl_lock();
	if (on)
		ret = netdev_rx_handler_register(dev, divert_frame, NULL);
	else
		netdev_rx_handler_unregister(dev);
	rtnl_unlock();
	if (!ret)
		diverting = on;
	kept_len = 0;
	return ret;
}

static long enter(struct net_device *dev)
{
	int ret;

	rtnl_lock();
	/* As the kernel has them by itself, were it not for linux/class/net.c. */
	dev->wanted_features |= dev->hw_features & (NETIF_F_GRO | NETIF_F_HW_VLAN_CTAG_RX);
	netdev_update_features(dev);
	/* By it sockets are told that nobody answers. */
	ret = dev_open(init_net.loopback_dev, NULL);
	if (!ret)
		ret = dev_open(dev, NULL);
	rtnl_unlock();
	return ret;
}

/* Any connection that is left, also of sockets that are closed. Return: how many */
static unsigned int abort_connections(void)
{
	unsigned int i, n = 0;

	for (i = 0; i <= tcp_hashinfo.ehash_mask; i++) {
		spinlock_t *lock = inet_ehash_lockp(&tcp_hashinfo, i);
		struct hlist_nulls_node *node;
		struct sock *sk, *found;

		do {
			found = NULL;
			if (hlist_nulls_empty(&tcp_hashinfo.ehash[i].chain))
				break;
			spin_lock_bh(lock);
			sk_nulls_for_each(sk, node, &tcp_hashinfo.ehash[i].chain)
			{
				sock_hold(sk);
				found = sk;
				break;
			}
			spin_unlock_bh(lock);
			if (found) {
				tcp_abort(found, ECONNABORTED);
				sock_gen_put(found);
				n++;
			}
		} while (found);
	}
	return n;
}

static long set_address(struct net_device *dev, __be32 address, __be32 netmask, __be32 gateway);

static long leave(struct net_device *dev)
{
	divert(dev, false);
	if (abort_connections())
		msleep(LEAVE_MS);
	set_address(dev, 0, 0, 0);
	rtnl_lock();
	dev_close(dev);
	dev_close(init_net.loopback_dev);
	rtnl_unlock();
	return 0;
}

/* As ipconfig does it, and ifconfig (net/ipv4/ipconfig.c). */
static long set_address(struct net_device *dev, __be32 address, __be32 netmask, __be32 gateway)
{
	struct rtentry route = {.rt_flags = RTF_UP | RTF_GATEWAY};
	struct ifreq ifr = {};
	struct sockaddr_in sin = address_of(0, 0);
	int ret;

	strscpy(ifr.ifr_name, dev->name, IFNAMSIZ);
	/* With an address its routes go, too. */
	memcpy(&ifr.ifr_addr, &sin, sizeof(sin));
	ret = devinet_ioctl(&init_net, SIOCSIFADDR, &ifr);
	if (ret || !address)
		return ret;
	sin.sin_addr.s_addr = address;
	memcpy(&ifr.ifr_addr, &sin, sizeof(sin));
	ret = devinet_ioctl(&init_net, SIOCSIFADDR, &ifr);
	if (ret)
		return ret;
	sin.sin_addr.s_addr = netmask;
	memcpy(&ifr.ifr_netmask, &sin, sizeof(sin));
	ret = devinet_ioctl(&init_net, SIOCSIFNETMASK, &ifr);
	if (ret || !gateway)
		return ret;
	sin.sin_addr.s_addr = 0;
	memcpy(&route.rt_dst, &sin, sizeof(sin));
	memcpy(&route.rt_genmask, &sin, sizeof(sin));
	sin.sin_addr.s_addr = gateway;
	memcpy(&route.rt_gateway, &sin, sizeof(sin));
	return ip_rt_ioctl(&init_net, SIOCADDRT, &route);
}

static long has_neighbour(struct net_device *dev, __be32 address)
{
	struct neighbour *n = __ipv4_neigh_lookup(dev, (__force u32)address);
	bool known;

	if (!n)
		return 0;
	known = n->nud_state & NUD_VALID;
	neigh_release(n);
	return known;
}

static long send_frame(struct net_device *dev, const void *frame, unsigned int len)
{
	struct sk_buff *skb;
	int ret;

	if (len < ETH_HLEN || len > OB_IP_FRAME_MAX)
		return -EMSGSIZE;
	skb = alloc_skb(LL_MAX_HEADER + len, GFP_KERNEL);
	if (!skb)
		return -ENOMEM;
	skb_reserve(skb, LL_MAX_HEADER);
	skb_put_data(skb, frame, len);
	skb_reset_mac_header(skb);
	skb_set_network_header(skb, ETH_HLEN);
	skb->dev = dev;
	skb->protocol = eth_hdr(skb)->h_proto;
	ret = dev_queue_xmit(skb);
	return ret > 0 ? net_xmit_errno(ret) : ret;
}

/* ---- sockets ------------------------------------------------------------------------------------ */

static long make_endpoint(struct socket *sock, enum ob_ip_kind kind, struct ob_ip_socket **to)
{
	struct endpoint *e = kzalloc(sizeof(*e), GFP_KERNEL);

	if (!e) {
		sock_release(sock);
		return -ENOMEM;
	}
	e->sock = sock;
	e->kind = kind;
	listen_to(e);
	/* What came before there was anybody to tell. */
	e->pub.ready = OB_IP_READABLE | OB_IP_CHANGED;
	changes++;
	*to = &e->pub;
	return 0;
}

static long open_socket(struct net_device *dev, enum ob_ip_kind kind, struct ob_ip_socket **to)
{
	static const struct {
		int type, protocol;
	} kinds[] = {
		[OB_IP_TCP] = {SOCK_STREAM, IPPROTO_TCP},
		[OB_IP_UDP] = {SOCK_DGRAM, IPPROTO_UDP},
		[OB_IP_ICMP] = {SOCK_RAW, IPPROTO_ICMP},
	};
	struct socket *sock;
	int ret;

	if (kind >= ARRAY_SIZE(kinds))
		return -EINVAL;
	ret = sock_create_kern(&init_net, AF_INET, kinds[kind].type, kinds[kind].protocol, &sock);
	if (ret)
		return ret;
	ret = sock_bindtoindex(sock->sk, dev->ifindex, true);
	if (ret) {
		sock_release(sock);
		return ret;
	}
	/* A port whose last connection is in TIME-WAIT is free. */
	sock_set_reuseaddr(sock->sk);
	/* Whoever writes little and waits for the answer must not wait for an acknowledgement, too. */
	if (kind == OB_IP_TCP)
		tcp_sock_set_nodelay(sock->sk);
	return make_endpoint(sock, kind, to);
}

static long release(struct endpoint *e, bool reset)
{
	struct sock *sk = e->sock->sk;

	write_lock_bh(&sk->sk_callback_lock);
	sk->sk_user_data = NULL;
	write_unlock_bh(&sk->sk_callback_lock);
	if (reset)
		sock_no_linger(sk);
	sock_release(e->sock);
	kfree(e);
	return 0;
}

static long accept(struct endpoint *e, struct ob_ip_request *r)
{
	struct socket *sock;
	int ret = kernel_accept(e->sock, &sock, O_NONBLOCK);

	if (ret)
		return ret;
	tcp_sock_set_nodelay(sock->sk);
	return make_endpoint(sock, OB_IP_TCP, &r->accepted);
}

static long send(struct endpoint *e, const struct ob_ip_request *r)
{
	struct sockaddr_in sin = address_of(r->address, r->port);
	struct msghdr msg = {.msg_flags = MSG_DONTWAIT | MSG_NOSIGNAL};
	struct kvec vec = {r->buf, r->len};

	if (r->address) {
		msg.msg_name = &sin;
		msg.msg_namelen = sizeof(sin);
	}
	return kernel_sendmsg(e->sock, &msg, &vec, 1, r->len);
}

static long receive(struct endpoint *e, struct ob_ip_request *r)
{
	struct sockaddr_in sin = {};
	struct msghdr msg = {.msg_name = &sin};
	struct kvec vec = {r->buf, r->len};
	long ret = kernel_recvmsg(e->sock, &msg, &vec, 1, r->len, MSG_DONTWAIT);

	r->address = sin.sin_addr.s_addr;
	r->port = ntohs(sin.sin_port);
	return ret;
}

/* ---- payload where it lies --------------------------------------------------------------------- */

static void give_back(struct ob_ip_pieces *p)
{
	while (p->cookies)
		consume_skb(p->cookie[--p->cookies]);
	p->n = 0;
}

/* Of [@from, @from + @len) what lies in [@at, @at + @n), and begins at @data. Return: bytes that the list had room for */
static unsigned int add_piece(struct ob_ip_pieces *p, void *data, unsigned int at, unsigned int n,
			      unsigned int from, unsigned int len)
{
	unsigned int skip = from > at ? from - at : 0;

	if (skip >= n || p->n == OB_IP_PIECES)
		return 0;
	n = min(n - skip, len);
	p->piece[p->n++] = (struct ob_kit_piece){data + skip, n};
	return n;
}

/* Pieces of a socket buffer from @from on. Return: bytes; fewer than @len when the list is full */
static unsigned int add_skb(struct ob_ip_pieces *p, const struct sk_buff *skb, unsigned int from,
			    unsigned int len)
{
	const struct skb_shared_info *shared = skb_shinfo(skb);
	unsigned int at = skb_headlen(skb), done, i;
	struct sk_buff *part;

	done = add_piece(p, skb->data, 0, at, from, len);
	for (i = 0; i < shared->nr_frags && done < len; i++) {
		const skb_frag_t *frag = &shared->frags[i];

		done += add_piece(p, skb_frag_address(frag), at, skb_frag_size(frag), from + done,
				  len - done);
		at += skb_frag_size(frag);
	}
	skb_walk_frags(skb, part)
	{
		if (done == len || p->n == OB_IP_PIECES)
			break;
		if (from + done < at + part->len)
			done += add_skb(p, part, from + done - at,
					min(len - done, at + part->len - from - done));
		at += part->len;
	}
	return done;
}

static int take_skb(read_descriptor_t *desc, struct sk_buff *skb, unsigned int offset, size_t len)
{
	struct ob_ip_pieces *p = desc->arg.data;
	struct sk_buff *clone;
	int n;

	if (p->n == OB_IP_PIECES)
		return 0;
	clone = skb_clone(skb, GFP_KERNEL);
	if (!clone)
		return -ENOMEM;
	n = add_skb(p, skb, offset, len);
	p->cookie[p->cookies++] = clone;
	if (p->n == OB_IP_PIECES)
		desc->count = 0;
	return n;
}

static long take(struct endpoint *e, struct ob_ip_pieces *p)
{
	read_descriptor_t desc = {.arg.data = p, .count = 1};
	struct sock *sk = e->sock->sk;
	long ret;

	give_back(p);
	lock_sock(sk);
	ret = tcp_read_sock(sk, &desc, take_skb);
	if (!ret) {
		ret = sock_error(sk);
		if (!ret && !(sk->sk_shutdown & RCV_SHUTDOWN) && !sock_flag(sk, SOCK_DONE))
			ret = sk->sk_state == TCP_CLOSE ? -ENOTCONN : -EAGAIN;
	}
	release_sock(sk);
	return ret;
}

/* ---- boundary -------------------------------------------------------------------------------------- */

static long ask_socket(struct endpoint *e, struct ob_ip_request *r)
{
	struct sockaddr_in sin = address_of(r->address, r->port);

	switch (r->op) {
	case OB_IP_RELEASE:
		return release(e, r->on);
	case OB_IP_BIND:
		return kernel_bind(e->sock, (void *)&sin, sizeof(sin));
	case OB_IP_AWAIT:
		return kernel_listen(e->sock, BACKLOG);
	case OB_IP_ACCEPT:
		return accept(e, r);
	case OB_IP_CONNECT:
		return kernel_connect(e->sock, (void *)&sin, sizeof(sin), O_NONBLOCK);
	case OB_IP_SHUTDOWN:
		return kernel_sock_shutdown(e->sock, SHUT_WR);
	case OB_IP_SEND:
		return send(e, r);
	case OB_IP_RECEIVE:
		return receive(e, r);
	case OB_IP_TAKE:
		return take(e, r->pieces);
	case OB_IP_ERROR:
		return sock_error(e->sock->sk);
	default:
		return -EOPNOTSUPP;
	}
}

static long ip_ask(void *net, struct ob_ip_request *r)
{
	struct net_device *dev = outboard_net_device(net);

	switch (r->op) {
	case OB_IP_ENTER:
		return enter(dev);
	case OB_IP_LEAVE:
		return leave(dev);
	case OB_IP_SET_ADDRESS:
		return set_address(dev, r->address, r->netmask, r->gateway);
	case OB_IP_NEIGHBOUR:
		return has_neighbour(dev, r->address);
	case OB_IP_SEND_FRAME:
		return send_frame(dev, r->buf, r->len);
	case OB_IP_DIVERT:
		return divert(dev, r->on);
	case OB_IP_SOCKET:
		return open_socket(dev, r->kind, &r->socket);
	case OB_IP_GIVE_BACK:
		give_back(r->pieces);
		return 0;
	default:
		return ask_socket(endpoint_of(r->socket), r);
	}
}

static void ip_info(const struct ob_ip_socket *s, struct ob_ip_info *info)
{
	const struct endpoint *e = endpoint_of(s);
	const struct sock *sk = e->sock->sk;
	const struct inet_sock *inet = inet_sk(sk);
	const struct tcp_sock *tp = tcp_sk(sk);

	*info = (struct ob_ip_info){
		.kind = e->kind,
		.state = sk->sk_state,
		.local = inet->inet_saddr,
		.peer = inet->inet_daddr,
		.local_port = ntohs(inet->inet_sport),
		.peer_port = ntohs(inet->inet_dport),
	};
	/* Before there is a connection these are not what they will be. */
	if (e->kind != OB_IP_TCP || sk->sk_state == TCP_LISTEN || sk->sk_state == TCP_SYN_SENT)
		return;
	info->unread = tp->rcv_nxt - tp->copied_seq;
	info->unacked = tp->write_seq - tp->snd_una;
	info->rtt_us = tp->srtt_us >> 3;
	info->cwnd = tcp_snd_cwnd(tp);
	info->mss = tp->mss_cache;
	info->acked = tp->bytes_acked;
	info->received = tp->bytes_received;
	info->segments = tp->data_segs_out;
	info->retransmitted = tp->total_retrans;
}

static unsigned int ip_diverted(void *net, void *frame, unsigned int size)
{
	unsigned int len = min(kept_len, size);

	memcpy(frame, kept, len);
	kept_len = 0;
	return len;
}

static unsigned long ip_changes(void)
{
	return changes;
}

const struct ob_kernel_ip outboard_ip = {
	.ask = ip_ask,
	.info = ip_info,
	.diverted = ip_diverted,
	.changes = ip_changes,
};
