/* SPDX-License-Identifier: BSD-2-Clause */
/* SHA-256: FIPS 180-4, sections 4.1.2, 5 and 6.2. */
#include <stdio.h>
#include <string.h>

#include "cli/sha256.h"

enum {
	BLOCK = 64,
	LENGTH_AT = 56, /* of the message in bits, at the end of the last block */
};

/* 4.2.2: the first 32 bits of the fractions of the cube roots of the first 64 primes. */
static const uint32_t k[64] = {
	0x428a2f98, 0x71374491, 0xb5c0fbcf, 0xe9b5dba5, 0x3956c25b, 0x59f111f1, 0x923f82a4,
	0xab1c5ed5, 0xd807aa98, 0x12835b01, 0x243185be, 0x550c7dc3, 0x72be5d74, 0x80deb1fe,
	0x9bdc06a7, 0xc19bf174, 0xe49b69c1, 0xefbe4786, 0x0fc19dc6, 0x240ca1cc, 0x2de92c6f,
	0x4a7484aa, 0x5cb0a9dc, 0x76f988da, 0x983e5152, 0xa831c66d, 0xb00327c8, 0xbf597fc7,
	0xc6e00bf3, 0xd5a79147, 0x06ca6351, 0x14292967, 0x27b70a85, 0x2e1b2138, 0x4d2c6dfc,
	0x53380d13, 0x650a7354, 0x766a0abb, 0x81c2c92e, 0x92722c85, 0xa2bfe8a1, 0xa81a664b,
	0xc24b8b70, 0xc76c51a3, 0xd192e819, 0xd6990624, 0xf40e3585, 0x106aa070, 0x19a4c116,
	0x1e376c08, 0x2748774c, 0x34b0bcb5, 0x391c0cb3, 0x4ed8aa4a, 0x5b9cca4f, 0x682e6ff3,
	0x748f82ee, 0x78a5636f, 0x84c87814, 0x8cc70208, 0x90befffa, 0xa4506ceb, 0xbef9a3f7,
	0xc67178f2,
};

static inline uint32_t rotr(uint32_t x, unsigned int n)
{
	return x >> n | x << (32 - n);
}

static uint32_t big_endian(const uint8_t *p)
{
	return (uint32_t)p[0] << 24 | (uint32_t)p[1] << 16 | (uint32_t)p[2] << 8 | p[3];
}

/* 6.2.2, step 3: a to h change places by their order in the call. */
static inline void step(uint32_t a, uint32_t b, uint32_t c, uint32_t *d, uint32_t e, uint32_t f,
			uint32_t g, uint32_t *h, uint32_t kw)
{
	uint32_t t1 = *h + (rotr(e, 6) ^ rotr(e, 11) ^ rotr(e, 25)) + ((e & f) ^ (~e & g)) + kw;

	*d += t1;
	*h = t1 + (rotr(a, 2) ^ rotr(a, 13) ^ rotr(a, 22)) + ((a & b) ^ (a & c) ^ (b & c));
}

static void compress(uint32_t state[8], const uint8_t *p)
{
	uint32_t w[64], v[8];
	uint32_t a = state[0], b = state[1], c = state[2], d = state[3];
	uint32_t e = state[4], f = state[5], g = state[6], h = state[7];

	for (int t = 0; t < 16; t++)
		w[t] = big_endian(p + t * 4);
	for (int t = 16; t < 64; t++) {
		uint32_t x = w[t - 15], y = w[t - 2];

		w[t] = (rotr(y, 17) ^ rotr(y, 19) ^ y >> 10) + w[t - 7] +
		       (rotr(x, 7) ^ rotr(x, 18) ^ x >> 3) + w[t - 16];
	}
	for (int t = 0; t < 64; t += 8) {
		step(a, b, c, &d, e, f, g, &h, k[t] + w[t]);
		step(h, a, b, &c, d, e, f, &g, k[t + 1] + w[t + 1]);
		step(g, h, a, &b, c, d, e, &f, k[t + 2] + w[t + 2]);
		step(f, g, h, &a, b, c, d, &e, k[t + 3] + w[t + 3]);
		step(e, f, g, &h, a, b, c, &d, k[t + 4] + w[t + 4]);
		step(d, e, f, &g, h, a, b, &c, k[t + 5] + w[t + 5]);
		step(c, d, e, &f, g, h, a, &b, k[t + 6] + w[t + 6]);
		step(b, c, d, &e, f, g, h, &a, k[t + 7] + w[t + 7]);
	}
	v[0] = a;
	v[1] = b;
	v[2] = c;
	v[3] = d;
	v[4] = e;
	v[5] = f;
	v[6] = g;
	v[7] = h;
	for (int i = 0; i < 8; i++)
		state[i] += v[i];
}

void sha256_begin(struct sha256 *s)
{
	/* 5.3.3 */
	static const uint32_t h[8] = {0x6a09e667, 0xbb67ae85, 0x3c6ef372, 0xa54ff53a,
				      0x510e527f, 0x9b05688c, 0x1f83d9ab, 0x5be0cd19};

	memset(s, 0, sizeof(*s));
	memcpy(s->h, h, sizeof(h));
}

void sha256_add(struct sha256 *s, const void *data, size_t len)
{
	const uint8_t *p = data;
	size_t have = s->len % BLOCK;

	s->len += len;
	if (have) {
		size_t n = len < BLOCK - have ? len : BLOCK - have;

		memcpy(s->block + have, p, n);
		p += n;
		len -= n;
		if (have + n < BLOCK)
			return;
		compress(s->h, s->block);
	}
	for (; len >= BLOCK; p += BLOCK, len -= BLOCK)
		compress(s->h, p);
	memcpy(s->block, p, len);
}

void sha256_hex(struct sha256 *s, char hex[65])
{
	static const uint8_t one[BLOCK] = {0x80};
	uint64_t bits = s->len * 8;
	size_t have = s->len % BLOCK;
	uint8_t length[8];

	for (int i = 0; i < 8; i++)
		length[i] = (uint8_t)(bits >> (56 - 8 * i));
	sha256_add(s, one, (have < LENGTH_AT ? LENGTH_AT : LENGTH_AT + BLOCK) - have);
	sha256_add(s, length, sizeof(length));
	for (int i = 0; i < 8; i++)
		snprintf(hex + i * 8, 9, "%08x", s->h[i]);
}
