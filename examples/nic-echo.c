/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * nic-echo SPEC: send every frame back to where it came from, until Ctrl-C. The smallest user of bursts
 * and of the adaptive loop: it polls while frames come and sleeps on the interrupt when none do.
 *
 *   nic-echo qemu:e1000e,netdev=user
 */
#include <signal.h>
#include <stdio.h>
#include <string.h>

#include <outboard/outboard.h>

enum {
	BURST = 32,
};

static struct ob_loop *loop; /* for the signal handler */

static void interrupted(int signo)
{
	ob_loop_stop(loop);
}

static int complain(const struct ob_error *err)
{
	char text[1400];

	fprintf(stderr, "nic-echo: %s\n", ob_error_text(err, text, sizeof(text)));
	return 1;
}

/* Source and destination address change places; the frame is not copied. */
static unsigned int echo(void *arg, unsigned int budget)
{
	struct ob_net *net = arg;
	struct ob_pkt *pkts[BURST];
	unsigned int n, sent;

	n = ob_net_rx_burst(net, 0, pkts, budget < BURST ? budget : BURST);
	for (unsigned int i = 0; i < n; i++) {
		uint8_t mac[6];

		pkts[i]->flags = 0; /* what reception found is no wish for sending */
		if (pkts[i]->len < 14)
			continue;
		memcpy(mac, pkts[i]->data, 6);
		memcpy(pkts[i]->data, pkts[i]->data + 6, 6);
		memcpy(pkts[i]->data + 6, mac, 6);
	}
	/* With n = 0, too: it takes back the buffers of frames that were sent. */
	sent = ob_net_tx_burst(net, 0, pkts, n);
	while (sent < n)
		ob_pkt_free(pkts[sent++]); /* the ring is full: drop */
	return n;
}

static bool arm(void *arg, bool on)
{
	struct ob_net *net = arg;

	return net->ops->irq_arm(net, 0, on);
}

static void tick(void *arg, uint64_t now_ns)
{
	struct ob_net *net = arg;

	if (net->ops->tick)
		net->ops->tick(net, now_ns);
	if (ob_device_gone(net->dev))
		ob_loop_stop(loop);
}

int main(int argc, char **argv)
{
	struct ob_error err = {0};
	struct ob_binding *binding;
	struct ob_device *dev;
	struct ob_net *net;
	int rc = 1;

	if (argc != 2) {
		fprintf(stderr, "usage: nic-echo SPEC\n");
		return 2;
	}
	if (ob_device_open(argv[1], &dev, &err))
		return complain(&err);
	if (ob_driver_bind(dev, NULL, NULL, &binding, &err)) {
		complain(&err);
		goto close;
	}
	net = binding->net;
	if (!net) {
		fprintf(stderr, "nic-echo: %s is no network card\n", argv[1]);
		goto unbind;
	}
	if (ob_loop_create(OB_MODE_ADAPTIVE, &loop))
		goto unbind;
	if (ob_net_start(net, &err)) {
		complain(&err);
		goto destroy;
	}
	if (!ob_loop_add(loop, &(struct ob_loop_source){
				       .name = "echo",
				       .poll = echo,
				       .arm = arm,
				       .tick = tick,
				       .arg = net,
				       .fd = net->irq_fd[0],
			       })) {
		signal(SIGINT, interrupted);
		signal(SIGTERM, interrupted);
		puts("echoing");
		fflush(stdout);
		rc = ob_loop_run(loop) || ob_device_gone(dev);
	}
	ob_net_stop(net);
destroy:
	ob_loop_destroy(loop);
unbind:
	ob_driver_unbind(binding);
close:
	ob_device_close(dev);
	return rc;
}
