/* SPDX-License-Identifier: BSD-2-Clause */
/* Echo requests: RFC 792 (ICMP), RFC 4443 (ICMPv6). */
#include <errno.h>
#include <string.h>
#include <unistd.h>

#include <lwip/icmp.h>
#include <lwip/icmp6.h>
#include <lwip/inet_chksum.h>
#include <lwip/ip.h>
#include <lwip/raw.h>

#include "stack/stack_private.h"

enum {
	ECHO_HDR = 8,
	PING_MAX = 1472, /* a frame; what is sent is not fragmented */
};

struct ping {
	struct ob_stack *stack;
	ip_addr_t to;
	uint8_t reply_type;
	uint8_t id[4]; /* identifier and sequence number, as in the packet */
	size_t len;
	uint64_t sent_ns, ns;
	bool answered, damaged;
};

static uint8_t pattern(const struct ping *p, size_t i)
{
	return (uint8_t)(i + p->id[3]);
}

static u8_t on_icmp(void *arg, struct raw_pcb *pcb, struct pbuf *p, const ip_addr_t *from)
{
	u16_t skip = ip_current_header_tot_len();
	uint8_t echo[ECHO_HDR];
	struct ping *ping = arg;

	if (pbuf_copy_partial(p, echo, sizeof(echo), skip) != sizeof(echo) ||
	    echo[0] != ping->reply_type || memcmp(echo + 4, ping->id, 4) ||
	    !ip_addr_cmp(from, &ping->to))
		return 0; /* lwIP's, or nobody's */
	if (!ping->answered) {
		ping->ns = ob_clock_ns() - ping->sent_ns;
		ping->answered = true;
		ping->damaged = p->tot_len < skip + ECHO_HDR + ping->len;
		for (size_t i = 0; i < ping->len && !ping->damaged; i++)
			ping->damaged =
				pbuf_get_at(p, (u16_t)(skip + ECHO_HDR + i)) != pattern(ping, i);
	}
	pbuf_free(p);
	return 1;
}

static bool is_answered(void *arg)
{
	return ((struct ping *)arg)->answered;
}

static err_t send_request(struct ping *ping, struct raw_pcb *pcb)
{
	struct pbuf *p = pbuf_alloc(PBUF_IP, (u16_t)(ECHO_HDR + ping->len), PBUF_RAM);
	uint8_t *echo;
	u16_t sum;
	err_t ret;

	if (!p)
		return ERR_MEM;
	echo = p->payload;
	memset(echo, 0, ECHO_HDR);
	echo[0] = IP_IS_V6_VAL(ping->to) ? ICMP6_TYPE_EREQ : ICMP_ECHO;
	memcpy(echo + 4, ping->id, 4);
	for (size_t i = 0; i < ping->len; i++)
		echo[ECHO_HDR + i] = pattern(ping, i);
	/* That of ICMPv6 has a pseudo header, which is lwIP's to know. */
	if (!IP_IS_V6_VAL(ping->to)) {
		sum = inet_chksum(echo, p->len);
		memcpy(echo + 2, &sum, 2);
	}
	ping->sent_ns = ob_clock_ns();
	ret = raw_sendto(pcb, p, &ping->to);
	pbuf_free(p);
	return ret;
}

int ob_stack_ping(struct ob_stack *s, const char *address, uint16_t seq, size_t len,
		  unsigned int timeout_ms, uint64_t *ns, struct ob_error *err)
{
	uint16_t id = (uint16_t)getpid();
	struct ping ping = {.stack = s, .len = len};
	struct raw_pcb *pcb;
	char hop[48];
	int ret;

	ret = ob_stack_parse_address(s, address, &ping.to, err);
	if (ret)
		return ret;
	if (len > PING_MAX)
		return ob_error_set(err, -EINVAL, "at most %d bytes fit into an echo request",
				    PING_MAX);
	ping.id[0] = (uint8_t)(id >> 8);
	ping.id[1] = (uint8_t)id;
	ping.id[2] = (uint8_t)(seq >> 8);
	ping.id[3] = (uint8_t)seq;
	ping.reply_type = IP_IS_V6_VAL(ping.to) ? ICMP6_TYPE_EREP : ICMP_ER;
	pcb = raw_new_ip_type(IP_GET_TYPE(&ping.to),
			      IP_IS_V6_VAL(ping.to) ? IP6_NEXTH_ICMP6 : IP_PROTO_ICMP);
	if (!pcb)
		return ob_error_set(err, -ENOMEM, "no memory for an echo request");
	pcb->chksum_reqd = IP_IS_V6_VAL(ping.to);
	pcb->chksum_offset = 2;
	raw_bind_netif(pcb, &s->netif);
	raw_recv(pcb, on_icmp, &ping);
	if (send_request(&ping, pcb) != ERR_OK)
		ret = ob_error_set(err, -ENETUNREACH, "no way to send an echo request to %s",
				   address);
	else
		ret = ob_stack_wait(s, is_answered, &ping, timeout_ms);
	raw_remove(pcb);
	if (ret == -ENETUNREACH)
		return ret;
	if (ret == -ETIMEDOUT && !stack_has_neighbour(s, &ping.to, hop, sizeof(hop))) {
		ret = stack_wait_failed(s, -EHOSTUNREACH, err, "%s cannot be reached", address);
		if (err && !*err->why)
			ob_error_why(err, "nobody on this network answers to %s (ARP)", hop);
		return ret;
	}
	if (ret)
		return stack_wait_failed(s, ret, err, "%s did not answer", address);
	if (ping.damaged)
		return ob_error_set(err, -EBADMSG, "%s sent back other bytes", address);
	*ns = ping.ns;
	return 0;
}
