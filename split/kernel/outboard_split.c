// SPDX-License-Identifier: GPL-2.0-only
/*
 * The kernel's side of a split driver: calls wait here for the daemon's answer, which is not trusted. protocol.h has the records.
 *
 * A call lives on its caller's stack of waiting: the caller alone applies what was answered, after the wait, where it holds what the original
 * function's caller held (RTNL). What the daemon asks for while it serves is executed in its own context, under the call's mutex; a
 * caller that gives up takes that mutex before it goes, so that nothing touches its objects any more.
 */
#include <linux/completion.h>
#include <linux/fs.h>
#include <linux/list.h>
#include <linux/miscdevice.h>
#include <linux/mm.h>
#include <linux/mutex.h>
#include <linux/poll.h>
#include <linux/ratelimit.h>
#include <linux/refcount.h>
#include <linux/slab.h>
#include <linux/spinlock.h>
#include <linux/uaccess.h>
#include <linux/wait.h>

#include "outboard_split.h"
#include "protocol.h"

enum {
	MOST_WAITING = 64,
	MOST_LENGTHS = 256,
	LONGEST_WAIT = 60000, /* ms */
	TEXT_STEP = 32,	      /* bytes of a string */
	LINES_A_SECOND = 100, /* of messages */
	UNANSWERED = 5,	      /* seconds: a program writes back at once what it read */
};

enum state {
	QUEUED,
	TAKEN, /* the daemon has read it */
	ANSWERED,
	FAILED, /* the daemon refused, died, or answered wrongly */
	LEFT,	/* its caller waits no longer */
};

struct call {
	struct list_head list;
	refcount_t refs; /* its caller's, and one for each thread of the daemon that is at it */
	u64 unique;
	enum state state;
	unsigned int calls; /* of functions that are kept */
	bool region;	    /* one was executed */
	const struct ob_split_op *op;
	struct ob_split_object *objects;
	void *request, *answer;
	size_t answer_size;
	struct completion done;
	struct mutex mutex; /* the objects are the daemon's thread's, or the caller's */
};

static unsigned int split_timeout_ms = 1000;
module_param(split_timeout_ms, uint, 0644);
MODULE_PARM_DESC(split_timeout_ms, "how long a call waits for the daemon");
static ulong split_layout, split_requests, split_answered, split_timeouts, split_killed, split_lost,
	split_absent, split_unknown, split_bad, split_calls;
module_param(split_layout, ulong, 0444);
module_param(split_requests, ulong, 0444);
module_param(split_answered, ulong, 0444);
module_param(split_timeouts, ulong, 0444);
module_param(split_killed, ulong, 0444);
module_param(split_lost, ulong, 0444);
module_param(split_absent, ulong, 0444);
module_param(split_unknown, ulong, 0444);
module_param(split_bad, ulong, 0444);
module_param(split_calls, ulong, 0444);

static DEFINE_SPINLOCK(lock); /* of all below, of states and of the numbers above */
static LIST_HEAD(queued);
static LIST_HEAD(taken);
static unsigned int waiting;
static u64 last_unique;
/* By operation: jiffies until when its callers may have zeros; 0: they have none. */
static unsigned long *unanswered;
static bool opened, ready; /* there is a daemon; it has said hello */
static DECLARE_WAIT_QUEUE_HEAD(requests);

static void put_call(struct call *c)
{
	if (!refcount_dec_and_test(&c->refs))
		return;
	kvfree(c->request);
	kvfree(c->answer);
	kfree(c);
}

/* ---- items ------------------------------------------------------------------------------- */

struct buffer {
	u8 *at; /* NULL: count only */
	size_t n, room;
};

static void put_bytes(struct buffer *b, const void *from, size_t n)
{
	if (b->at && b->n + n <= b->room) {
		/* An object that was reached through a pointer may be gone; then zeros are as good as anything. */
		if (from && copy_from_kernel_nofault(b->at + b->n, from, n))
			memset(b->at + b->n, 0, n);
		else if (!from)
			memset(b->at + b->n, 0, n);
	}
	b->n += n;
}

static void put_item(struct buffer *b, u32 slot, const void *from, u32 n)
{
	struct ob_split_item item = {.slot = slot, .bytes = n};

	put_bytes(b, &item, sizeof(item));
	put_bytes(b, from, n);
	put_bytes(b, NULL, ALIGN(n, 8) - n);
}

static u64 token_of(const struct call *c, const void *p)
{
	if (!p)
		return 0;
	for (unsigned int i = 1; i < c->op->n_objects; i++) {
		const struct ob_split_object *o = &c->objects[i];

		if (o->base && p >= o->base && p < o->base + o->size)
			return (u64)(i + 1) << 48 | (u64)(p - o->base);
	}
	return (u64)OB_SPLIT_OPAQUE << 48 | 1;
}

static void put_text(struct buffer *b, u32 slot, const char *text)
{
	char copy[OB_SPLIT_MAX_TEXT];
	size_t n = 0;

	/* Some bytes at once: each copy costs as much as many bytes. Never beyond a page, which may be the last. */
	while (text && n < sizeof(copy) - 1) {
		size_t some = min3(sizeof(copy) - 1 - n, (size_t)TEXT_STEP,
				   (size_t)(PAGE_SIZE - offset_in_page(text + n)));
		size_t found;

		if (copy_from_kernel_nofault(&copy[n], text + n, some))
			break;
		found = strnlen(&copy[n], some);
		n += found;
		if (found < some)
			break;
	}
	copy[n] = '\0';
	put_item(b, slot, copy, text ? n + 1 : 0);
}

static void put_items(struct buffer *b, const struct call *c)
{
	for (u32 i = 0; i < c->op->n_slots; i++) {
		const struct ob_split_slot *s = &c->op->slots[i];
		const struct ob_split_object *o = &c->objects[s->object];
		void *at = o->base + s->offset, *p = NULL;
		u64 token;

		if (!o->base || !(s->flags & OB_SPLIT_IN))
			continue;
		if (s->flags & (OB_SPLIT_POINTER | OB_SPLIT_TEXT)) {
			if (copy_from_kernel_nofault(&p, at, sizeof(p)))
				p = NULL;
			token = token_of(c, p);
			if (s->flags & OB_SPLIT_TEXT)
				put_text(b, i, p);
			else
				put_item(b, i, &token, sizeof(token));
		} else {
			put_item(b, i, at, s->flags & OB_SPLIT_WHOLE ? o->size : s->size);
		}
	}
}

/* Each is a slot of this operation that may be changed, of its size, and there once. */
static bool items_are_good(const struct call *c, const u8 *items, size_t size)
{
	s64 last = -1;

	while (size) {
		const struct ob_split_item *item = (const void *)items;
		const struct ob_split_slot *s;
		const struct ob_split_object *o;
		u32 want;

		/* In rising order: so none is there twice. */
		if (size < sizeof(*item) || item->slot >= c->op->n_slots || item->slot <= last)
			return false;
		last = item->slot;
		s = &c->op->slots[item->slot];
		o = &c->objects[s->object];
		want = s->flags & OB_SPLIT_WHOLE ? o->size : s->size;
		if (!(s->flags & OB_SPLIT_OUT) || !o->base || item->bytes != want ||
		    size - sizeof(*item) < ALIGN((size_t)want, 8))
			return false;
		items += sizeof(*item) + ALIGN((size_t)want, 8);
		size -= sizeof(*item) + ALIGN((size_t)want, 8);
	}
	return true;
}

static void take_items(struct call *c, const u8 *items, size_t size)
{
	const u8 *end = items + size;

	while (items < end) {
		const struct ob_split_item *item = (const void *)items;
		const struct ob_split_slot *s = &c->op->slots[item->slot];
		u8 *at = c->objects[s->object].base + s->offset;
		const u8 *from = items + sizeof(*item);

		if (s->flags & OB_SPLIT_BITS) {
			u32 mask = GENMASK(s->bit + s->bits - 1, s->bit);
			u32 *word = (u32 *)at;

			*word = (*word & ~mask) | (*(const u32 *)from & mask);
		} else {
			memcpy(at, from, item->bytes);
			if (s->flags & OB_SPLIT_STRING && item->bytes)
				at[item->bytes - 1] = '\0';
		}
		items += sizeof(*item) + ALIGN((size_t)item->bytes, 8);
	}
}

/* ---- callers ------------------------------------------------------------------------------- */

static int make_request(struct call *c)
{
	struct ob_split_request head = {.op = c->op->number, .unique = c->unique};
	struct buffer b = {.n = sizeof(head)};

	put_items(&b, c);
	if (b.n > OB_SPLIT_MAX_RECORD)
		return -EIO;
	head.len = b.room = b.n;
	b.at = kvmalloc(b.n, GFP_KERNEL);
	if (!b.at)
		return -ENOMEM;
	c->request = b.at;
	memcpy(b.at, &head, sizeof(head));
	b.n = sizeof(head);
	put_items(&b, c);
	/* A string that a field points to may have got shorter; the daemon sees no more than was written. */
	if (b.n < b.room)
		memset(b.at + b.n, 0, b.room - b.n);
	((struct ob_split_request *)c->request)->len = min(b.n, b.room);
	return b.n > b.room ? -EIO : 0;
}

static int enqueue(struct call *c)
{
	int ret = 0;

	spin_lock(&lock);
	split_requests++;
	if (waiting == MOST_WAITING) {
		ret = -EBUSY;
	} else {
		if (!ready)
			split_absent++;
		waiting++;
		list_add_tail(&c->list, &queued);
	}
	spin_unlock(&lock);
	if (!ret)
		wake_up_interruptible(&requests);
	return ret;
}

static int wait_for_answer(struct call *c)
{
	unsigned int ms = clamp_t(unsigned int, READ_ONCE(split_timeout_ms), 1, LONGEST_WAIT);
	long left = wait_for_completion_killable_timeout(&c->done, msecs_to_jiffies(ms) + 1);
	int ret;

	spin_lock(&lock);
	switch (c->state) {
	case ANSWERED:
		split_answered++;
		ret = 0;
		break;
	case FAILED:
		ret = -EIO;
		break;
	default:
		ret = left < 0 ? -EINTR : -ETIMEDOUT;
		if (left < 0)
			split_killed++;
		else
			split_timeouts++;
		break;
	}
	if (ret)
		c->state = LEFT;
	list_del_init(&c->list);
	waiting--;
	spin_unlock(&lock);
	return ret;
}

static int ask(const struct ob_split_op *op, struct ob_split_object *objects)
{
	struct call *c;
	int ret;

	might_sleep();
	c = kzalloc(sizeof(*c), GFP_KERNEL);
	if (!c)
		return -ENOMEM;
	refcount_set(&c->refs, 1);
	INIT_LIST_HEAD(&c->list);
	init_completion(&c->done);
	mutex_init(&c->mutex);
	c->op = op;
	c->objects = objects;
	for (unsigned int i = 0; i < op->n_slots; i++)
		if (op->slots[i].flags & OB_SPLIT_WHOLE &&
		    objects[op->slots[i].object].size > op->slots[i].size) {
			put_call(c);
			return -EIO;
		}
	spin_lock(&lock);
	c->unique = ++last_unique;
	spin_unlock(&lock);
	ret = make_request(c);
	if (!ret)
		ret = enqueue(c);
	if (!ret) {
		ret = wait_for_answer(c);
		/* Whoever of the daemon's threads is at the objects, finishes; no other comes: the call is in no list. */
		mutex_lock(&c->mutex);
		if (!ret)
			take_items(c, c->answer + sizeof(struct ob_split_reply),
				   c->answer_size - sizeof(struct ob_split_reply));
		c->objects = NULL;
		mutex_unlock(&c->mutex);
	}
	put_call(c);
	return ret;
}

int ob_split_call(const struct ob_split_op *op, struct ob_split_object *objects)
{
	int ret = ask(op, objects);

	WRITE_ONCE(unanswered[op->number], ret ? (jiffies + UNANSWERED * HZ) | 1 : 0);
	/* Many of the operations return nothing: their callers cannot be told otherwise. */
	if (ret)
		pr_notice_ratelimited("%s: %s was not answered: error %d\n", KBUILD_MODNAME,
				      op->name, ret);
	return ret;
}

bool ob_split_unanswered(const struct ob_split_op *op)
{
	unsigned long until = READ_ONCE(unanswered[op->number]);

	return until && time_before(jiffies, until);
}

static DEFINE_MUTEX(lengths_mutex);
static struct told {
	const struct ob_split_op *op;
	int of;
	long long key, value;
} lengths[MOST_LENGTHS];
static unsigned int n_lengths;

long long ob_split_length(const struct ob_split_op *op, int of, long long key, long long value,
			  long long least, long long most)
{
	struct told *t = NULL;

	if (value < 0)
		return value < -MAX_ERRNO ? -EIO : value;
	/* The kernel takes a set of nothing for a bug of the driver's, and warns of it. */
	if (!value)
		return -EOPNOTSUPP;
	if (value < least || value > most)
		return -EIO;
	mutex_lock(&lengths_mutex);
	for (unsigned int i = 0; i < MOST_LENGTHS && !t; i++)
		if (lengths[i].op == op && lengths[i].of == of && lengths[i].key == key)
			t = &lengths[i];
	if (t && t->value != value) {
		value = -EIO;
	} else if (!t) {
		/* The oldest is forgotten: its device is long gone. */
		t = &lengths[n_lengths++ % MOST_LENGTHS];
		*t = (struct told){.op = op, .of = of, .key = key, .value = value};
	}
	mutex_unlock(&lengths_mutex);
	return value;
}

/* ---- the daemon ------------------------------------------------------------------------------ */

static int split_open(struct inode *inode, struct file *file)
{
	int ret = 0;

	spin_lock(&lock);
	if (opened)
		ret = -EBUSY;
	opened = true;
	spin_unlock(&lock);
	return ret ? ret : nonseekable_open(inode, file);
}

/* Also when it is killed: what it had read ends now, what it had not is the next one's, while its caller waits. */
static int split_release(struct inode *inode, struct file *file)
{
	struct call *c, *next;

	spin_lock(&lock);
	list_for_each_entry_safe(c, next, &taken, list)
	{
		split_lost++;
		c->state = FAILED;
		list_del_init(&c->list);
		complete(&c->done);
	}
	opened = ready = false;
	spin_unlock(&lock);
	return 0;
}

static ssize_t split_read(struct file *file, char __user *to, size_t size, loff_t *at)
{
	struct ob_split_request *request;
	struct call *c;
	ssize_t ret;

	if (!READ_ONCE(ready))
		return -EPROTO;
	for (;;) {
		spin_lock(&lock);
		c = list_first_entry_or_null(&queued, struct call, list);
		if (c) {
			request = c->request;
			ret = request->len <= size ? (ssize_t)request->len : -EMSGSIZE;
			if (ret > 0) {
				refcount_inc(&c->refs);
				c->state = TAKEN;
				list_move_tail(&c->list, &taken);
			}
		}
		spin_unlock(&lock);
		if (c && ret < 0)
			return ret;
		if (c)
			break;
		if (file->f_flags & O_NONBLOCK)
			return -EAGAIN;
		ret = wait_event_interruptible(requests, !list_empty_careful(&queued));
		if (ret)
			return ret;
	}
	if (copy_to_user(to, request, ret))
		ret = -EFAULT; /* it is taken: the caller's time runs out */
	put_call(c);
	return ret;
}

static __poll_t split_poll(struct file *file, poll_table *wait)
{
	poll_wait(file, &requests, wait);
	return EPOLLOUT | EPOLLWRNORM | (list_empty_careful(&queued) ? 0 : EPOLLIN | EPOLLRDNORM);
}

/* Of a call that the daemon has read, and whose caller still waits. */
static struct call *find_call(u64 unique)
{
	struct call *c;

	spin_lock(&lock);
	list_for_each_entry(c, &taken, list)
	{
		if (c->unique == unique && c->state == TAKEN) {
			refcount_inc(&c->refs);
			spin_unlock(&lock);
			return c;
		}
	}
	split_unknown++;
	spin_unlock(&lock);
	return NULL;
}

static void count_bad(void)
{
	spin_lock(&lock);
	split_bad++;
	spin_unlock(&lock);
}

/* False: another reply, or the caller's leaving, came first. */
static bool finish(struct call *c, enum state state, void *answer, size_t size)
{
	bool first;

	spin_lock(&lock);
	first = c->state == TAKEN;
	if (first) {
		c->state = state;
		c->answer = answer;
		c->answer_size = size;
		complete(&c->done);
	} else {
		split_unknown++;
	}
	spin_unlock(&lock);
	return first;
}

static ssize_t split_write(struct file *file, const char __user *from, size_t size, loff_t *at)
{
	struct ob_split_reply *reply;
	struct call *c;
	ssize_t ret = size;
	bool good;

	if (!READ_ONCE(ready))
		return -EPROTO;
	if (size < sizeof(*reply) || size > OB_SPLIT_MAX_RECORD) {
		count_bad();
		return -EINVAL;
	}
	reply = kvmalloc(size, GFP_KERNEL);
	if (!reply)
		return -ENOMEM;
	if (copy_from_user(reply, from, size)) {
		kvfree(reply);
		return -EFAULT;
	}
	c = find_call(reply->unique);
	if (!c) {
		kvfree(reply);
		return -ENOENT;
	}
	/* The objects' sizes are read, which are the caller's as long as it waits. */
	mutex_lock(&c->mutex);
	good = reply->len == size && reply->error <= 0 && reply->error >= -MAX_ERRNO &&
	       (!reply->error || size == sizeof(*reply)) && c->objects &&
	       items_are_good(c, (u8 *)(reply + 1), size - sizeof(*reply));
	if (!finish(c, good && !reply->error ? ANSWERED : FAILED,
		    good && !reply->error ? reply : NULL, size)) {
		ret = -ENOENT;
		kvfree(reply);
	} else if (!good || reply->error) {
		kvfree(reply);
	}
	mutex_unlock(&c->mutex);
	if (!good && ret > 0) {
		count_bad();
		ret = -EINVAL;
	}
	put_call(c);
	return ret;
}

static int say_hello(struct ob_split_hello __user *to)
{
	struct ob_split_hello hello;
	u64 layout = ob_split_layout(ob_split_ops, ob_split_n_ops);
	bool good;

	if (copy_from_user(&hello, to, sizeof(hello)))
		return -EFAULT;
	good = hello.version == OB_SPLIT_VERSION && hello.layout == layout;
	hello = (struct ob_split_hello){.version = OB_SPLIT_VERSION,
					.operations = ob_split_n_ops,
					.layout = layout,
					.timeout_ms = READ_ONCE(split_timeout_ms)};
	if (copy_to_user(to, &hello, sizeof(hello)))
		return -EFAULT;
	if (!good)
		return -EPROTO;
	WRITE_ONCE(ready, true);
	return 0;
}

static void *object_at(const struct call *c, const struct ob_split_place *p)
{
	void *base = c->objects[p->object].base;

	return base ? base + p->offset : NULL;
}

/* One of the places or registers that the table has, or NULL. */
static void *argument_address(const struct call *c, const struct ob_split_argument *a, u64 token)
{
	void *registers = NULL;

	if (a->kind == OB_SPLIT_OBJECT) {
		for (unsigned int i = 0; i < a->n_places; i++)
			if (token == ((u64)(a->places[i].object + 1) << 48 | a->places[i].offset))
				return object_at(c, &a->places[i]);
		return NULL;
	}
	for (unsigned int i = 0; i < a->n_registers; i++) {
		void *at = object_at(c, &a->places[0]);

		if (token != ((u64)OB_SPLIT_OPAQUE << 48 | a->registers[i]) || !at ||
		    copy_from_kernel_nofault(&registers, at, sizeof(registers)) || !registers)
			continue;
		return registers + a->registers[i];
	}
	return NULL;
}

static bool arguments_are_good(const struct call *c, const struct ob_split_kept *k, const u64 *v,
			       void **p)
{
	for (unsigned int i = 0; i < k->n_arguments; i++) {
		const struct ob_split_argument *a = &k->arguments[i];

		switch (a->kind) {
		case OB_SPLIT_OBJECT:
		case OB_SPLIT_REGISTER:
			p[i] = argument_address(c, a, v[i]);
			if (!p[i])
				return false;
			break;
		case OB_SPLIT_VALUE:
			if (v[i] > a->most)
				return false;
			break;
		case OB_SPLIT_NOTHING:
		case OB_SPLIT_CALLER:
			if (v[i])
				return false;
			if (a->kind == OB_SPLIT_CALLER)
				p[i] = c->objects[OB_SPLIT_FRAME].base;
			break;
		default:
			break;
		}
	}
	return true;
}

static const struct ob_split_kept *find_kept(const struct call *c, u32 number)
{
	for (unsigned int i = 0; i < c->op->n_kept; i++)
		if (c->op->kept[i].number == number)
			return &c->op->kept[i];
	return NULL;
}

/*
 * The caller has its mutex, and copies what is in @out to the daemon's memory when it has not: that memory may be a file's whose server never answers, and
 * whoever waits for the mutex may have all of network configuration wait.
 */
static int call_kept(struct call *c, struct ob_split_down *down, const u8 *in, void **out)
{
	const struct ob_split_kept *k = find_kept(c, down->level);
	const size_t head = k ? k->n_arguments * sizeof(u64) : 0;
	u64 v[1 + OB_SPLIT_ARGUMENTS] = {0};
	void *p[OB_SPLIT_ARGUMENTS] = {NULL};
	struct buffer b = {.n = 0};

	if (k && down->in_len >= head)
		memcpy(&v[1], in, head);
	if (!k || down->in_len < head || !arguments_are_good(c, k, &v[1], p) ||
	    !items_are_good(c, in + head, down->in_len - head)) {
		count_bad();
		return -EINVAL;
	}
	/* No way through a function leads through two of its regions, or through one twice. */
	if (c->calls == OB_SPLIT_MOST_CALLS || (k->region && c->region))
		return -EBUSY;
	c->calls++;
	spin_lock(&lock);
	split_calls++;
	spin_unlock(&lock);
	take_items(c, in + head, down->in_len - head);
	v[0] = k->call(p, &v[1]);
	if (k->region && !v[0]) {
		count_bad();
		return -EINVAL;
	}
	c->region |= k->region;
	put_bytes(&b, v, sizeof(v[0]) + head);
	put_items(&b, c);
	if (b.n > OB_SPLIT_MAX_RECORD || b.n > down->out_room)
		return -EMSGSIZE;
	b.room = b.n;
	b.n = 0;
	b.at = kvzalloc(b.room, GFP_KERNEL);
	if (!b.at)
		return -ENOMEM;
	put_bytes(&b, v, sizeof(v[0]) + head);
	put_items(&b, c);
	down->out_len = min(b.n, b.room);
	*out = b.at;
	return 0;
}

/* The driver's messages are printed as if it were here; the daemon's text is nothing but text. */
static int print_message(struct call *c, const struct ob_split_down *down, u8 *text)
{
	static DEFINE_RATELIMIT_STATE(limit, HZ, LINES_A_SECOND);
	char level[] = {KERN_SOH_ASCII, '0' + (down->level & 7), '\0'};
	u32 n = down->in_len;

	if (!n || n > OB_SPLIT_MAX_TEXT)
		return -EINVAL;
	while (n && text[n - 1] == '\n')
		n--;
	for (u32 i = 0; i < n; i++)
		if (text[i] < ' ' || text[i] > '~')
			text[i] = '?';
	ratelimit_set_flags(&limit, RATELIMIT_MSG_ON_RELEASE);
	if (!__ratelimit(&limit))
		return 0;
	if (down->level & OB_SPLIT_OF_NETDEV && c->op->netdev)
		netdev_printk(level, c->objects[c->op->netdev].base, "%.*s\n", (int)n, text);
	else
		printk("%s%.*s\n", level, (int)n, text);
	return 0;
}

static long split_down(struct ob_split_down __user *to)
{
	struct ob_split_down down;
	struct call *c;
	u8 *in;
	void *out = NULL;
	long ret;

	if (copy_from_user(&down, to, sizeof(down)))
		return -EFAULT;
	if (down.in_len > OB_SPLIT_MAX_RECORD) {
		count_bad();
		return -EINVAL;
	}
	in = kvmalloc(down.in_len + 1, GFP_KERNEL);
	if (!in)
		return -ENOMEM;
	if (copy_from_user(in, u64_to_user_ptr(down.in), down.in_len)) {
		kvfree(in);
		return -EFAULT;
	}
	c = find_call(down.unique);
	if (!c) {
		kvfree(in);
		return -ENOENT;
	}
	down.out_len = 0;
	mutex_lock(&c->mutex);
	if (!c->objects || READ_ONCE(c->state) != TAKEN)
		ret = -ENOENT;
	else if (down.what == OB_SPLIT_CALL)
		ret = call_kept(c, &down, in, &out);
	else if (down.what == OB_SPLIT_LOG)
		ret = print_message(c, &down, in);
	else
		ret = -EINVAL;
	mutex_unlock(&c->mutex);
	put_call(c);
	kvfree(in);
	if (!ret && out && copy_to_user(u64_to_user_ptr(down.out), out, down.out_len))
		ret = -EFAULT;
	kvfree(out);
	if (put_user(down.out_len, &to->out_len))
		return -EFAULT;
	return ret;
}

static long split_ioctl(struct file *file, unsigned int command, unsigned long argument)
{
	if (command == OB_SPLIT_HELLO)
		return say_hello((void __user *)argument);
	if (!READ_ONCE(ready))
		return -EPROTO;
	return command == OB_SPLIT_DOWN ? split_down((void __user *)argument) : -ENOTTY;
}

static const struct file_operations operations = {
	.owner = THIS_MODULE,
	.open = split_open,
	.release = split_release,
	.read = split_read,
	.write = split_write,
	.poll = split_poll,
	.unlocked_ioctl = split_ioctl,
};

static struct miscdevice device = {
	.minor = MISC_DYNAMIC_MINOR,
	.name = ob_split_device,
	.fops = &operations,
	.mode = 0600,
};

int ob_split_start(void)
{
	int ret;

	split_layout = ob_split_layout(ob_split_ops, ob_split_n_ops);
	unanswered = kcalloc(ob_split_n_ops, sizeof(*unanswered), GFP_KERNEL);
	if (!unanswered)
		return -ENOMEM;
	ret = misc_register(&device);
	if (ret)
		kfree(unanswered);
	return ret;
}

/* The module has no users left: no daemon is there, and nobody waits. */
void ob_split_stop(void)
{
	misc_deregister(&device);
	kfree(unanswered);
}
