/* SPDX-License-Identifier: BSD-2-Clause */
/* The Internet checksum (RFC 1071) as one would write it on a blackboard: what class/net's is compared with. */
#ifndef TESTS_NET_PLAIN_SUM_H
#define TESTS_NET_PLAIN_SUM_H

#include <stddef.h>
#include <stdint.h>

static inline uint16_t plain_sum(const uint8_t *p, size_t len, uint32_t sum)
{
	for (size_t i = 0; i + 1 < len; i += 2)
		sum += (uint32_t)(p[i] << 8 | p[i + 1]);
	if (len & 1)
		sum += (uint32_t)(p[len - 1] << 8);
	while (sum >> 16)
		sum = (sum & 0xffff) + (sum >> 16);
	return (uint16_t)sum;
}

#endif
