/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A VDUSE device whose server has died: the caretaker becomes its server, ends what was under way, and all that comes, as
 * failed, and has the kernel remove the device meanwhile: it waits for every request before it lets go.
 *
 * Runs in a fork of a threaded process: nothing but system calls (signal-safety(7)).
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/netlink.h>
#include <linux/virtio_config.h>
#include <poll.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "attach/vduse.h"

enum {
	/* The dead server's descriptors close one after the other; some seconds where much memory is freed. */
	OPEN_MS = 60000,
	POLL_MS = 10,
	/* File systems give up after many single errors; what does not end in this time never will. */
	SERVE_MS = 600000,
	PIECES = 1024,
};

static void sleep_ms(unsigned int ms)
{
	struct timespec ts = {.tv_sec = ms / 1000, .tv_nsec = (long)(ms % 1000) * 1000000};

	nanosleep(&ts, NULL);
}

/* strcpy() into @to, which has room; returns the end. */
static char *put(char *to, const char *from)
{
	while (*from)
		*to++ = *from++;
	*to = '\0';
	return to;
}

static int reopen(struct vduse *v)
{
	char path[sizeof("/dev/vduse/") + sizeof(v->name)];
	int fd = -1;

	put(put(path, "/dev/vduse/"), v->name);
	for (unsigned int ms = 0; ms < OPEN_MS && fd < 0; ms += POLL_MS) {
		fd = open(path, O_RDWR | O_NONBLOCK | O_CLOEXEC);
		if (fd < 0 && errno != EBUSY)
			return -1;
		if (fd < 0)
			sleep_ms(POLL_MS);
	}
	return fd;
}

/* The last byte of a request is its status, where the device has one. */
static void end_failed(struct vduse *v, struct virtqueue *q, const struct virtqueue_chain *c)
{
	if (v->config.fail_byte >= 0 && c->nr_in) {
		const struct virtqueue_piece *last = &c->piece[c->nr_out + c->nr_in - 1];

		((uint8_t *)last->base)[last->len - 1] = (uint8_t)v->config.fail_byte;
	}
	virtqueue_push(q, c->head, v->config.fail_byte >= 0);
}

static void take_over(struct vduse *v, unsigned int i, uint64_t features)
{
	static struct virtqueue_piece piece[PIECES];
	struct virtqueue_chain c = {.piece = piece, .max = PIECES};
	struct vduse_vq_eventfd kick = {.index = i, .fd = v->kick_fd};
	struct virtqueue *q = &v->queue[i];
	uint64_t after = 0;
	int head;

	if (vduse_read_queue(v, i, features, true) || !q->num)
		return;
	while ((head = virtqueue_resumed(q, &after)) >= 0)
		if (virtqueue_fetch(q, (uint16_t)head, &c) > 0)
			end_failed(v, q, &c);
	ioctl(v->memory.fd, VDUSE_VQ_SETUP_KICKFD, &kick);
}

static void fail_all(struct vduse *v, unsigned int i)
{
	static struct virtqueue_piece piece[PIECES];
	struct virtqueue_chain c = {.piece = piece, .max = PIECES};
	struct virtqueue *q = &v->queue[i];
	uint32_t index = i;

	if (!q->num)
		return;
	do
		while (virtqueue_pop(q, &c) > 0)
			end_failed(v, q, &c);
	while (virtqueue_enable_notify(q));
	/* One interrupt too many does no harm, one too few does. */
	if (q->published != q->last_used) {
		virtqueue_publish(q);
		ioctl(v->memory.fd, VDUSE_VQ_INJECT_IRQ, &index);
	}
}

/* Everything is agreed to; a reset ends the queues. */
static void answer_messages(struct vduse *v)
{
	struct vduse_dev_request request;
	struct vduse_dev_response response;

	while (read(v->memory.fd, &request, sizeof(request)) == (ssize_t)sizeof(request)) {
		memset(&response, 0, sizeof(response));
		response.request_id = request.request_id;
		if (request.type == VDUSE_SET_STATUS && !request.s.status) {
			for (unsigned int i = 0; i < VDUSE_QUEUES; i++)
				v->queue[i].num = 0;
			vduse_unmap_all(&v->memory);
		}
		if (request.type == VDUSE_GET_VQ_STATE) {
			response.vq_state.index = request.vq_state.index;
			if (request.vq_state.index < VDUSE_QUEUES)
				response.vq_state.split.avail_index =
					v->queue[request.vq_state.index].last_avail;
		}
		if (write(v->memory.fd, &response, sizeof(response)) < 0)
			return;
	}
}

/* The kernel works on the order in the sending process, which is therefore another. */
static pid_t order_removal(struct vduse *v)
{
	struct sockaddr_nl kernel = {.nl_family = AF_NETLINK};
	pid_t pid = fork();

	if (pid)
		return pid;
	(void)!sendto(mnl_socket_get_fd(v->netlink.sock), v->delete_request, v->delete_len, 0,
		      (struct sockaddr *)&kernel, sizeof(kernel));
	_exit(0);
}

static void serve_until_removed(struct vduse *v, pid_t remover)
{
	struct pollfd p[2] = {
		{.fd = v->memory.fd, .events = POLLIN},
		{.fd = v->kick_fd, .events = POLLIN},
	};
	uint64_t count;

	for (unsigned int ms = 0; ms < SERVE_MS; ms += POLL_MS) {
		if (poll(p, 2, POLL_MS) > 0 && p[1].revents)
			(void)!read(v->kick_fd, &count, sizeof(count));
		answer_messages(v);
		for (unsigned int i = 0; i < VDUSE_QUEUES; i++)
			fail_all(v, i);
		if (waitpid(remover, NULL, WNOHANG))
			return;
	}
}

void vduse_take_down(void *arg)
{
	struct vduse *v = arg;
	char name[VDUSE_NAME_MAX] = "";
	uint64_t features = 0;
	pid_t remover;

	put(name, v->name);
	/* Nothing of it is mapped here: the fork has left its shared memory behind. */
	memset(&v->memory, 0, sizeof(v->memory));
	memset(v->queue, 0, sizeof(v->queue));
	v->memory.fd = reopen(v);
	if (v->memory.fd < 0)
		return;
	if (!ioctl(v->memory.fd, VDUSE_DEV_GET_FEATURES, &features))
		for (unsigned int i = 0; i < v->config.queues; i++)
			take_over(v, i, features);
	remover = order_removal(v);
	if (remover > 0)
		serve_until_removed(v, remover);
	vduse_unmap_all(&v->memory);
	close(v->memory.fd);
	for (unsigned int ms = 0; ms < OPEN_MS; ms += POLL_MS) {
		if (!ioctl(v->control_fd, VDUSE_DESTROY_DEV, name) || errno != EBUSY)
			break;
		sleep_ms(POLL_MS);
	}
}
