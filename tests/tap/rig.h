/* SPDX-License-Identifier: BSD-2-Clause */
/* A tap of a device that does as it is told, looked at from within its network namespace. */
#ifndef TESTS_TAP_RIG_H
#define TESTS_TAP_RIG_H

#include <net/if.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "attach/attach.h"
#include "attach/tap.h"
#include "tests/dma/fake.h"
#include "tests/tap/fake_net.h"

/* Experimental EtherType (RFC 5342, B.2): nobody else's frames have it. */
#define ETHERTYPE_TEST 0x88b5

struct rig {
	struct fake *device;
	struct fake_net *f;
	struct ob_loop *loop;
	struct ob_attach *at;
	int packet; /* a packet socket on the interface, from within its namespace */
	int inet;
	char name[IFNAMSIZ];
	int index;
};

int socket_in(struct rig *r, int domain, int type, int protocol);
int interface_ioctl(struct rig *r, unsigned long request, struct ifreq *ifr);
void rig_up(struct rig *r, bool up);
void rig_device(struct rig *r, unsigned int queues);
void rig_attach(struct rig *r, const char *text);
void rig_open(struct rig *r, unsigned int queues, const char *text);
void rig_close(struct rig *r);
struct ob_attach_stats stats_of(struct rig *r);
void serve(struct rig *r, double for_seconds);
unsigned int of_test(struct rig *r, unsigned int q, struct sent_frame **list, unsigned int max);
unsigned int serve_until_sent(struct rig *r, unsigned int n, struct sent_frame **list,
			      unsigned int max);
uint32_t test_frame(uint8_t *b, uint32_t len, uint32_t seed);
void send_frame(struct rig *r, const void *b, uint32_t len);
int run_in(struct rig *r, const char *command);

/** rig_run() - the tests as TAP, or one line that says why there can be no tap here */
int rig_run(const struct CMUnitTest *tests, size_t n);

#endif
