/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * stack/dhcp_message: frames from the network, read before there is an address. What is taken for
 * an answer is one that an interface can use. Input: a frame.
 */
#include <arpa/inet.h>
#include <stdlib.h>
#include <string.h>

#include "fuzz/fuzz.h"
#include "stack/dhcp.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static const uint8_t mac[6] = {0x52, 0x54, 0, 1, 2, 3};
	uint8_t *frame;
	struct dhcp_message m;

	if (size > DHCP_FRAME_MAX)
		return 0;
	/* Of exactly its size, so that a look beyond it is seen. */
	frame = malloc(size ? size : 1);
	CHECK(frame);
	memcpy(frame, data, size);
	/* The sums are made right now and then: hardly any input has them. */
	if (size >= 34 && (frame[0] & 1)) {
		size_t len = (frame[14] & 0xfu) * 4;
		uint32_t sum = 0;

		if (14 + len <= size && len >= 20) {
			frame[24] = frame[25] = 0;
			for (size_t i = 0; i < len; i += 2)
				sum += (uint32_t)frame[14 + i] << 8 | frame[15 + i];
			while (sum >> 16)
				sum = (sum & 0xffff) + (sum >> 16);
			frame[24] = (uint8_t)(~sum >> 8);
			frame[25] = (uint8_t)~sum;
		}
	}
	if (!dhcp_parse(frame, size, mac, 0x12345678, &m) && m.type != DHCP_NAK) {
		CHECK(m.type == DHCP_OFFER || m.type == DHCP_ACK);
		CHECK(dhcp_is_answer(frame, size));
		CHECK(m.address && m.address != 0xffffffff && m.server && m.netmask);
		CHECK(!(~ntohl(m.netmask) & (~ntohl(m.netmask) + 1)));
		CHECK(m.t1 <= m.t2 && m.t2 <= m.seconds);
	}
	free(frame);
	return 0;
}
