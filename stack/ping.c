/* SPDX-License-Identifier: BSD-2-Clause */
/* Echo requests: RFC 792 (ICMP), RFC 4443 (ICMPv6); what stacks have in common, and lwIP's. */
#include <errno.h>
#include <string.h>
#include <unistd.h>

#include <lwip/icmp.h>
#include <lwip/icmp6.h>
#include <lwip/inet_chksum.h>
#include <lwip/ip.h>
#include <lwip/raw.h>

#include "stack/stack_private.h"

int stack_ping_begin(struct stack_ping *p, uint16_t seq, size_t len, struct ob_error *err)
{
	uint16_t id = (uint16_t)getpid();

	if (len > STACK_PING_MAX)
		return ob_error_set(err, -EINVAL, "at most %d bytes fit into an echo request",
				    STACK_PING_MAX);
	p->id[0] = (uint8_t)(id >> 8);
	p->id[1] = (uint8_t)id;
	p->id[2] = (uint8_t)(seq >> 8);
	p->id[3] = (uint8_t)seq;
	p->reply_type = IP_IS_V6_VAL(p->to) ? ICMP6_TYPE_EREP : ICMP_ER;
	return 0;
}

static uint8_t pattern(const struct stack_ping *p, size_t i)
{
	return (uint8_t)(i + p->id[3]);
}

void stack_ping_build(struct stack_ping *p, uint8_t *echo)
{
	uint16_t sum;

	memset(echo, 0, STACK_ECHO_HDR);
	echo[0] = IP_IS_V6_VAL(p->to) ? ICMP6_TYPE_EREQ : ICMP_ECHO;
	memcpy(echo + 4, p->id, 4);
	for (size_t i = 0; i < p->len; i++)
		echo[STACK_ECHO_HDR + i] = pattern(p, i);
	/* That of ICMPv6 has a pseudo header, which is lwIP's to know. */
	if (!IP_IS_V6_VAL(p->to)) {
		sum = inet_chksum(echo, (u16_t)(STACK_ECHO_HDR + p->len));
		memcpy(echo + 2, &sum, 2);
	}
	p->sent_ns = ob_clock_ns();
}

bool stack_ping_is_answer(const struct stack_ping *p, const uint8_t *echo)
{
	return echo[0] == p->reply_type && !memcmp(echo + 4, p->id, 4);
}

void stack_ping_take(struct stack_ping *p, const uint8_t *payload, size_t len)
{
	p->ns = ob_clock_ns() - p->sent_ns;
	p->answered = true;
	p->damaged = len < p->len;
	for (size_t i = 0; i < p->len && !p->damaged; i++)
		p->damaged = payload[i] != pattern(p, i);
}

bool stack_ping_answered(void *arg)
{
	return ((struct stack_ping *)arg)->answered;
}

/* ---- lwIP ------------------------------------------------------------------------------------ */

static u8_t on_icmp(void *arg, struct raw_pcb *pcb, struct pbuf *p, const ip_addr_t *from)
{
	u16_t skip = ip_current_header_tot_len(), len;
	uint8_t echo[STACK_ECHO_HDR + STACK_PING_MAX];
	struct stack_ping *ping = arg;

	if (ping->answered || !ip_addr_cmp(from, &ping->to))
		return 0; /* lwIP's, or nobody's */
	len = pbuf_copy_partial(p, echo, sizeof(echo), skip);
	if (len < STACK_ECHO_HDR || !stack_ping_is_answer(ping, echo))
		return 0;
	stack_ping_take(ping, echo + STACK_ECHO_HDR, len - STACK_ECHO_HDR);
	pbuf_free(p);
	return 1;
}

static err_t send_request(struct stack_ping *ping, struct raw_pcb *pcb)
{
	struct pbuf *p = pbuf_alloc(PBUF_IP, (u16_t)(STACK_ECHO_HDR + ping->len), PBUF_RAM);
	err_t ret;

	if (!p)
		return ERR_MEM;
	stack_ping_build(ping, p->payload);
	ret = raw_sendto(pcb, p, &ping->to);
	pbuf_free(p);
	return ret;
}

int lwip_ping(struct stack_ping *ping, unsigned int timeout_ms)
{
	struct ob_stack *s = ping->stack;
	struct raw_pcb *pcb;
	int ret;

	pcb = raw_new_ip_type(IP_GET_TYPE(&ping->to),
			      IP_IS_V6_VAL(ping->to) ? IP6_NEXTH_ICMP6 : IP_PROTO_ICMP);
	if (!pcb)
		return -ENOMEM;
	pcb->chksum_reqd = IP_IS_V6_VAL(ping->to);
	pcb->chksum_offset = 2;
	raw_bind_netif(pcb, &s->netif);
	raw_recv(pcb, on_icmp, ping);
	if (send_request(ping, pcb) != ERR_OK)
		ret = -ENETUNREACH;
	else
		ret = ob_stack_wait(s, stack_ping_answered, ping, timeout_ms);
	raw_remove(pcb);
	return ret;
}
