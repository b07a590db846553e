/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * VDUSE devices: made, given to the kernel's virtio driver through vdpa (linux/vdpa.h), served as far as the device's kind
 * does not matter, and taken back. Contract in vduse.h; the kernel's side is drivers/vdpa/vdpa_user/vduse_dev.c.
 */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <linux/virtio_config.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <unistd.h>

#include "attach/vduse.h"

enum {
	/* Rounds between two looks for a control message before the driver is ready: each is a system call. */
	LOOK_EVERY = 64,
	/*
	 * Afterwards they are rare. A message keeps the loop from sleeping, but it is also woken by the driver and the device: one is
	 * looked for when it slept so many times and there was nothing in the rings, and with each tick.
	 */
	IDLE_SLEEPS = 4,
};

static void vduse_log(const struct vduse *v, enum ob_log_level level, const char *fmt, ...)
	__attribute__((format(printf, 3, 4)));

static void vduse_log(const struct vduse *v, enum ob_log_level level, const char *fmt, ...)
{
	char line[400];
	va_list ap;
	int n;

	if (!v->dev->log)
		return;
	n = snprintf(line, sizeof(line), "%s: ", v->name);
	va_start(ap, fmt);
	vsnprintf(line + n, sizeof(line) - (size_t)n, fmt, ap);
	va_end(ap);
	v->dev->log(v->dev->log_arg, level, line);
}

/* ---- interrupts ------------------------------------------------------------------- */

void vduse_interrupt(struct vduse *v, unsigned int queue)
{
	uint32_t index = queue;

	v->syscalls++;
	if (!ioctl(v->memory.fd, VDUSE_VQ_INJECT_IRQ, &index))
		v->irq_due &= ~(1u << queue);
	else
		/* The kernel notes DRIVER_OK only after our answer to it: try again soon. */
		v->irq_due |= 1u << queue;
}

static void retry_interrupts(struct vduse *v)
{
	for (uint32_t due = v->irq_due; due; due &= due - 1)
		vduse_interrupt(v, (unsigned int)__builtin_ctz(due));
}

/* ---- memory ----------------------------------------------------------------------- */

/* The cache of the device's mappings knows memory by its address: what goes is told. */
static void drop_regions(struct vduse *v)
{
	struct vduse_memory *m = &v->memory;

	for (unsigned int i = 0; i < m->nr_regions; i++)
		if (v->dev->dma)
			ob_dma_forget(v->dev->dma, m->region[i].base,
				      m->region[i].last - m->region[i].start + 1);
	vduse_unmap_all(m);
}

/*
 * The kernel counts the pages against RLIMIT_MEMLOCK, also root's (vduse_dev_reg_umem()). Where we may, the limit is
 * raised by what is needed.
 */
static void raise_memlock(const struct vduse *v)
{
	struct rlimit l;
	rlim_t want;

	/* Not by a confined process, which has no such call; its keeper has set the limit. */
	if (broker_asked() || getrlimit(RLIMIT_MEMLOCK, &l) || l.rlim_cur == RLIM_INFINITY)
		return;
	want = l.rlim_cur + v->config.bounce;
	if (l.rlim_max != RLIM_INFINITY && l.rlim_max < want)
		l.rlim_max = want;
	l.rlim_cur = want;
	setrlimit(RLIMIT_MEMLOCK, &l);
}

void vduse_before_pop(struct vduse *v)
{
	struct vduse_iova_umem umem = {
		.uaddr = (uintptr_t)v->config.umem,
		.iova = 0,
		.size = v->config.bounce,
	};
	int rc;

	if (ob_likely(!v->umem_wanted))
		return;
	v->umem_wanted = false;
	rc = ioctl(v->memory.fd, VDUSE_IOTLB_REG_UMEM, &umem) ? -errno : 0;
	if (rc == -ENOMEM) {
		raise_memlock(v);
		rc = ioctl(v->memory.fd, VDUSE_IOTLB_REG_UMEM, &umem) ? -errno : 0;
	}
	/* -EEXIST: before a reset. */
	if (!rc || rc == -EEXIST) {
		v->memory.umem = v->config.umem;
		v->memory.bounce = v->config.bounce;
		return;
	}
	vduse_log(
		v, OB_LOG_WARN,
		"the bounce area does not become the device's memory (%s), payload is copied once "
		"more%s",
		strerror(-rc),
		rc == -ENOMEM ? "; to fix: ulimit -l, or a smaller bounce area" : "");
}

/* ---- control messages -------------------------------------------------------------- */

int vduse_read_queue(struct vduse *v, unsigned int i, uint64_t features, bool resume)
{
	struct vduse_vq_info info = {.index = i};
	struct virtqueue *q = &v->queue[i];
	struct virtqueue_layout layout;
	int rc;

	memset(q, 0, sizeof(*q));
	if (ioctl(v->memory.fd, VDUSE_VQ_GET_INFO, &info))
		return -errno;
	if (!info.ready)
		return 0;
	/* What the driver was offered is what it may choose from. */
	if (info.num > v->config.queue_size)
		return -EINVAL;
	layout = (struct virtqueue_layout){
		.num = info.num,
		.desc = info.desc_addr,
		.avail = info.driver_addr,
		.used = info.device_addr,
		.event_idx = features >> VIRTIO_RING_F_EVENT_IDX & 1,
		.indirect = features >> VIRTIO_RING_F_INDIRECT_DESC & 1,
	};
	rc = virtqueue_init(q, &layout, &v->map, &v->shared->queue[i], resume);
	if (rc)
		q->num = 0;
	return rc;
}

static int start_queue(struct vduse *v, unsigned int i)
{
	struct vduse_vq_eventfd kick = {.index = i, .fd = v->kick_fd};
	int rc = vduse_read_queue(v, i, atomic_load(&v->features), false);

	if (rc || !v->queue[i].num)
		return rc;
	return ioctl(v->memory.fd, VDUSE_VQ_SETUP_KICKFD, &kick) ? -errno : 0;
}

static int start(struct vduse *v)
{
	uint64_t features;
	int rc;

	if (ioctl(v->memory.fd, VDUSE_DEV_GET_FEATURES, &features))
		return -errno;
	if (!(features >> VIRTIO_F_VERSION_1 & 1) || features & ~v->config.features) {
		vduse_log(v, OB_LOG_ERROR, "the driver wants features 0x%" PRIx64, features);
		return -EINVAL;
	}
	atomic_store(&v->features, features);
	v->umem_wanted = v->config.umem && !v->memory.umem;
	for (unsigned int i = 0; i < v->config.queues; i++) {
		rc = start_queue(v, i);
		if (rc) {
			vduse_log(v, OB_LOG_ERROR, "queue %u cannot be used: %s", i, strerror(-rc));
			return rc;
		}
	}
	rc = v->ops->start(v->front);
	v->running = !rc;
	atomic_store(&v->shared->running, v->running);
	return rc;
}

/* ---- what a killed process has left ----------------------------------------------- */

int vduse_pop(struct vduse *v, unsigned int i, struct virtqueue_chain *chain)
{
	struct virtqueue *q = &v->queue[i];

	if (ob_unlikely(v->resuming >> i & 1)) {
		int head = virtqueue_resumed(q, &v->resumed[i]);

		if (head >= 0)
			return virtqueue_fetch(q, (uint16_t)head, chain);
		v->resuming &= ~(1u << i);
	}
	return virtqueue_pop(q, chain);
}

void vduse_unpop(struct vduse *v, unsigned int i, uint16_t head)
{
	if (v->resuming >> i & 1)
		v->resumed[i]--;
	else
		virtqueue_unpop(&v->queue[i], &head, 1);
}

/* The process before this one was killed while the driver used it: the rings are as it left them, and so is the bounce area. */
static int resume(struct vduse *v, struct ob_error *err)
{
	uint64_t features = 0;
	int rc = ioctl(v->memory.fd, VDUSE_DEV_GET_FEATURES, &features) ? -errno : 0;

	if (!rc && (features & ~v->config.features)) {
		rc = ob_error_set(err, -EOPNOTSUPP,
				  "%s is in use with what this driver does not offer", v->name);
		ob_error_why(err, "features 0x%" PRIx64, features & ~v->config.features);
		return rc;
	}
	atomic_store(&v->features, features);
	v->umem_wanted = v->config.umem;
	for (unsigned int i = 0; i < v->config.queues && !rc; i++) {
		struct vduse_vq_eventfd kick = {.index = i, .fd = v->kick_fd};
		uint64_t after = 0;

		rc = vduse_read_queue(v, i, features, true);
		if (rc || !v->queue[i].num)
			continue;
		if (virtqueue_resumed(&v->queue[i], &after) >= 0)
			v->resuming |= 1u << i;
		v->resumed[i] = 0;
		/* It may have been killed before it raised the interrupt for what it gave back. */
		v->irq_due |= 1u << i;
		if (ioctl(v->memory.fd, VDUSE_VQ_SETUP_KICKFD, &kick))
			rc = -errno;
	}
	if (!rc)
		rc = v->ops->start(v->front);
	if (rc)
		return ob_error_set(err, rc, "%s cannot be gone on with: %s", v->name,
				    strerror(-rc));
	v->running = true;
	return 0;
}

static void forget_queues(struct vduse *v)
{
	memset(v->queue, 0, sizeof(v->queue));
	/* Nothing is out any more: a successor has nothing to end. */
	atomic_store(&v->shared->running, false);
	memset(v->shared->queue, 0, sizeof(v->shared->queue));
	v->irq_due = 0;
	v->resuming = 0;
	drop_regions(v);
}

static void answer(struct vduse *v, const struct vduse_dev_response *response)
{
	v->syscalls++;
	if (write(v->memory.fd, response, sizeof(*response)) != (ssize_t)sizeof(*response))
		vduse_log(v, OB_LOG_ERROR, "the kernel did not take an answer: %s",
			  strerror(errno));
}

/* Returns false when the answer comes later. */
static bool set_status(struct vduse *v, uint8_t status, struct vduse_dev_response *response)
{
	if (!status) {
		if (!v->running)
			return true;
		v->running = false;
		v->resetting = true;
		v->reset_answer = *response;
		if (v->ops->stop(v->front))
			vduse_stopped(v);
		return false;
	}
	if ((status & VIRTIO_CONFIG_S_DRIVER_OK) && !v->running && start(v)) {
		response->result = VDUSE_REQ_RESULT_FAILED;
		forget_queues(v);
	}
	return true;
}

void vduse_stopped(struct vduse *v)
{
	if (!v->resetting)
		return;
	v->resetting = false;
	forget_queues(v);
	answer(v, &v->reset_answer);
}

static void handle(struct vduse *v, const struct vduse_dev_request *request)
{
	struct vduse_dev_response response = {.request_id = request->request_id};
	uint32_t index;

	switch (request->type) {
	case VDUSE_GET_VQ_STATE:
		index = request->vq_state.index;
		if (index >= v->config.queues) {
			response.result = VDUSE_REQ_RESULT_FAILED;
			break;
		}
		response.vq_state.index = index;
		response.vq_state.split.avail_index = v->queue[index].last_avail;
		break;
	case VDUSE_SET_STATUS:
		if (!set_status(v, request->s.status, &response))
			return;
		break;
	case VDUSE_UPDATE_IOTLB:
		/* virtio_vdpa never moves memory; under a running queue we could not follow it. */
		if (v->running)
			response.result = VDUSE_REQ_RESULT_FAILED;
		else
			drop_regions(v);
		break;
	case VDUSE_SET_VQ_GROUP_ASID:
		/* One group, one address space. */
		if (request->vq_group_asid.asid)
			response.result = VDUSE_REQ_RESULT_FAILED;
		break;
	default:
		response.result = VDUSE_REQ_RESULT_FAILED;
		break;
	}
	answer(v, &response);
}

static void look(struct vduse *v)
{
	struct vduse_dev_request request;
	ssize_t n;

	/* One at a time: the next comes after the answer. */
	while (!v->resetting && !v->broken) {
		v->syscalls++;
		n = read(v->memory.fd, &request, sizeof(request));
		if (n == (ssize_t)sizeof(request)) {
			handle(v, &request);
			continue;
		}
		if (n < 0 && (errno == EAGAIN || errno == EINTR))
			return;
		v->broken = true;
		vduse_log(v, OB_LOG_ERROR, "the kernel has given it up: %s",
			  n < 0 ? strerror(errno) : "no whole message");
	}
}

/* ---- the loop's sources ------------------------------------------------------------- */

static unsigned int vduse_poll(void *arg, unsigned int budget)
{
	struct vduse *v = arg;
	unsigned int work;

	if (!v->running) {
		if (v->armed || !v->rounds_to_look--) {
			v->rounds_to_look = LOOK_EVERY;
			v->armed = false;
			look(v);
		}
		return 0;
	}
	if (ob_unlikely(v->irq_due))
		retry_interrupts(v);
	work = v->ops->work(v->front, budget);
	if (work) {
		v->idle_sleeps = 0;
	} else if (v->armed) {
		v->armed = false;
		if (++v->idle_sleeps == IDLE_SLEEPS) {
			v->idle_sleeps = 0;
			look(v);
		}
	}
	return work;
}

static void vduse_tick(void *arg, uint64_t now_ns)
{
	look(arg);
}

static bool vduse_arm(void *arg, bool on)
{
	struct vduse *v = arg;
	bool pending = false;

	v->armed |= on;
	for (unsigned int i = 0; v->running && i < v->config.queues; i++) {
		if (!v->queue[i].num)
			continue;
		if (on)
			pending |= virtqueue_enable_notify(&v->queue[i]);
		else
			virtqueue_disable_notify(&v->queue[i]);
	}
	return pending;
}

/* So that the descriptor is watched; messages are looked for by vduse_poll(). */
static unsigned int message_poll(void *arg, unsigned int budget)
{
	return 0;
}

static int add_sources(struct vduse *v)
{
	int rc = ob_loop_add(v->loop, &(struct ob_loop_source){
					      .name = "vduse",
					      .poll = vduse_poll,
					      .arm = vduse_arm,
					      .tick = vduse_tick,
					      .arg = v,
					      .fd = v->kick_fd,
				      });

	if (rc)
		return rc;
	return ob_loop_add(v->loop, &(struct ob_loop_source){
					    .name = "vduse messages",
					    .poll = message_poll,
					    .arg = v,
					    .fd = v->memory.fd,
					    .level = true,
				    });
}

static void close_fd(int *fd)
{
	if (*fd >= 0)
		close(*fd);
	*fd = -1;
}

/* ---- create ------------------------------------------------------------------------- */

int vduse_keep(const struct vduse *v, int care_fd)
{
	struct kept k = {.fd = {v->log_fd, care_fd}, .nr_fds = 2, .note_size = sizeof(v->name)};

	memcpy(k.key, v->key, sizeof(k.key));
	memcpy(k.note, v->name, sizeof(v->name));
	return kept_put(&k);
}

/* Neither this process nor another cuts off what the caretaker reads. */
static int make_log(struct vduse *v)
{
	v->log_fd = memfd_create("vduse in-flight log", MFD_CLOEXEC | MFD_ALLOW_SEALING);
	if (v->log_fd < 0 || ftruncate(v->log_fd, sizeof(*v->shared)) ||
	    fcntl(v->log_fd, F_ADD_SEALS, F_SEAL_SHRINK))
		return -errno;
	return 0;
}

static int find_log(struct vduse *v)
{
	struct kept k;

	kept_key(v->key, v->config.kind, v->dev, v->config.index);
	if (!kept_find(v->key, &k))
		return make_log(v);
	k.note[sizeof(v->name) - 1] = '\0';
	/* Of a keeper that has died, and with it the device. */
	if (!vduse_name_is_ours(k.note)) {
		for (unsigned int i = 0; i < k.nr_fds; i++)
			close_fd(&k.fd[i]);
		return make_log(v);
	}
	v->taken_over = v->in_use = true;
	v->log_fd = k.fd[0];
	memcpy(v->name, k.note, sizeof(v->name));
	if (k.fd[1] >= 0)
		caretaker_adopt(&v->care, k.fd[1]);
	return 0;
}

static int open_log(struct vduse *v, struct ob_error *err)
{
	int rc = find_log(v);

	if (!rc)
		v->shared = mmap(NULL, sizeof(*v->shared), PROT_READ | PROT_WRITE, MAP_SHARED,
				 v->log_fd, 0);
	if (!rc && v->shared == MAP_FAILED) {
		rc = -errno;
		v->shared = NULL;
	}
	return rc ? ob_error_set(err, rc, "vduse: no memory for its log: %s", strerror(-rc)) : 0;
}

static struct broker_call call_of(const struct broker_vduse *arg, struct broker_vduse *res)
{
	return (struct broker_call){
		.arg = arg,
		.arg_size = sizeof(*arg),
		.res = res,
		.res_size = res ? sizeof(*res) : 0,
	};
}

static struct broker_vduse describe(const struct vduse *v)
{
	const struct vduse_config *c = &v->config;
	struct broker_vduse a = {
		.taken_over = v->taken_over,
		.fail_byte = c->fail_byte,
		.device_id = c->device_id,
		.queues = c->queues,
		.queue_size = c->queue_size,
		.features = c->features,
		.bounce = c->bounce,
	};

	memcpy(a.name, v->name, sizeof(a.name));
	memcpy(a.key, v->key, sizeof(a.key));
	return a;
}

static int make_device(struct vduse *v, struct ob_error *err)
{
	struct broker_vduse a, made;
	struct broker_call c;
	int rc = -EEXIST;

	if (v->config.space_size > VDUSE_CONFIG || v->config.queues > VDUSE_QUEUES)
		return ob_error_set(err, -EINVAL, "vduse: configuration too large");
	/* Another attachment, or what a process with our number left, may have a name. */
	for (unsigned int i = 0; i < VDUSE_NAMES && rc == -EEXIST; i++) {
		if (!v->taken_over) {
			vduse_name(v->name, i);
			rc = vduse_keep(v, -1);
			if (rc)
				break;
		}
		a = describe(v);
		a.space_size = v->config.space_size;
		memcpy(a.space, v->config.space, a.space_size);
		c = call_of(&a, &made);
		rc = broker_call(BROKER_VDUSE_MAKE, &c, err);
	}
	if (rc) {
		v->name[0] = '\0';
		return rc;
	}
	v->memory.fd = c.res_fd[0];
	v->in_use = made.attached;
	if (!made.bounce_error)
		return 0;
	vduse_log(
		v, OB_LOG_WARN,
		"the bounce area has another size than was wanted (%s); payload is copied once more",
		strerror(-made.bounce_error));
	v->config.umem = NULL;
	return 0;
}

static int set_up_queues(struct vduse *v, struct ob_error *err)
{
	for (unsigned int i = 0; i < v->config.queues; i++) {
		struct vduse_vq_config q = {
			.index = i,
			.max_size = (uint16_t)v->config.queue_size,
		};

		if (ioctl(v->memory.fd, VDUSE_VQ_SETUP, &q))
			return ob_error_set(err, -errno, "%s: queue %u of %u entries: %s", v->name,
					    i, v->config.queue_size, strerror(errno));
	}
	return 0;
}

int vduse_create(struct vduse *v, struct ob_device *dev, const struct vduse_config *config,
		 const struct vduse_ops *ops, void *front, struct ob_loop *loop,
		 struct ob_error *err)
{
	int rc;

	v->dev = dev;
	v->config = *config;
	v->ops = ops;
	v->front = front;
	v->loop = loop;
	v->kick_fd = v->memory.fd = v->log_fd = -1;
	v->map.translate = vduse_translate;
	v->map.arg = &v->memory;
	rc = open_log(v, err);
	if (rc) {
		close_fd(&v->log_fd);
		return rc;
	}
	v->kick_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (v->kick_fd < 0) {
		rc = ob_error_set(err, -errno, "vduse: no eventfd: %s", strerror(errno));
		goto fail;
	}
	rc = make_device(v, err);
	if (!rc && !v->in_use)
		rc = set_up_queues(v, err);
	if (rc)
		goto fail;
	if (atomic_load(&v->shared->running))
		rc = resume(v, err);
	if (rc)
		goto fail;
	rc = add_sources(v);
	if (rc) {
		ob_error_set(err, rc, "%s: cannot be added to the loop: %s", v->name,
			     strerror(-rc));
		goto fail;
	}
	return 0;

fail:
	vduse_destroy(v);
	return rc;
}

void vduse_destroy(struct vduse *v)
{
	struct broker_vduse a;
	struct broker_call c;

	if (!v->shared)
		return;
	ob_loop_remove(v->loop, v);
	/* Nobody serves it any more: what the kernel waits for is ended by the caretaker. */
	if (v->attached && v->care.pid) {
		close_fd(&v->memory.fd);
		caretaker_act(&v->care);
		v->name[0] = '\0';
	}
	/* Clients use it, and this process did not come so far as to go on with it: another may, or the caretaker ends it. */
	if (v->in_use && v->taken_over && !v->attached) {
		caretaker_leave(&v->care);
		v->name[0] = '\0';
	}
	caretaker_dismiss(&v->care);
	drop_regions(v);
	close_fd(&v->memory.fd);
	if (v->name[0]) {
		a = describe(v);
		c = call_of(&a, NULL);
		broker_call(BROKER_VDUSE_DESTROY, &c, NULL);
	}
	close_fd(&v->kick_fd);
	munmap(v->shared, sizeof(*v->shared));
	v->shared = NULL;
	close_fd(&v->log_fd);
}

/* ---- attach and detach --------------------------------------------------------------- */

static int start_caretaker(struct vduse *v, struct ob_error *err)
{
	struct broker_vduse a = describe(v);
	struct broker_call c = call_of(&a, NULL);
	int rc;

	if (v->care.pid)
		return 0; /* of a former driver process, and waits for the end of them all */
	c.fd[0] = v->log_fd;
	c.nr_fds = 1;
	rc = broker_call(BROKER_VDUSE_CARE, &c, err);
	if (rc < 0)
		return rc;
	v->care.others = broker_asked();
	v->care.pid = v->care.others ? -1 : rc;
	v->care.fd = c.res_fd[0];
	return 0;
}

int vduse_attach(struct vduse *v, bool net, char child[VDUSE_CHILD], struct ob_error *err)
{
	struct broker_vduse a = describe(v), res;
	struct broker_call c = call_of(&a, &res);
	int rc = start_caretaker(v, err);

	if (rc)
		return rc;
	a.net = net;
	memcpy(a.child, child, sizeof(a.child));
	rc = broker_call(BROKER_VDUSE_ATTACH, &c, err);
	if (rc) {
		/* Without a broker nobody knows how far it came: the caretaker sees to it. */
		if (rc == -EPIPE)
			caretaker_leave(&v->care);
		else
			v->in_use = false;
		caretaker_dismiss(&v->care);
		return rc;
	}
	memcpy(child, res.child, sizeof(res.child));
	v->attached = true;
	return 0;
}

int vduse_detach(struct vduse *v, bool net, bool force, struct ob_error *err)
{
	struct broker_vduse a = describe(v);
	struct broker_call c = call_of(&a, NULL);
	int rc;

	if (!v->attached)
		return 0;
	a.net = net;
	a.force = force;
	rc = broker_call(BROKER_VDUSE_DETACH, &c, err);
	if (rc)
		return rc;
	v->attached = v->in_use = false;
	caretaker_dismiss(&v->care);
	return 0;
}
