/* SPDX-License-Identifier: BSD-2-Clause */
/* The bytes of a recording, and who wrote what in memory that two share. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include <cmocka.h>

#include <outboard/irq.h>

#include "access/record/replay.h"
#include "access/record/shadow.h"

enum {
	PAGE = 4096,
	ARENA = 16 * PAGE,
	IOVA = 0x100000,
};

/* ---- bytes -------------------------------------------------------------------------------- */

static void numbers_come_back(void **state)
{
	const uint64_t numbers[] = {0, 1, 127, 128, 300, UINT32_MAX, 1ull << 63, UINT64_MAX};
	struct record_bytes b = {0};
	const uint8_t *p;
	uint64_t got;

	for (unsigned int i = 0; i < 8; i++)
		record_bytes_number(&b, numbers[i]);
	p = b.p;
	for (unsigned int i = 0; i < 8; i++) {
		assert_true(record_take_number(&p, b.p + b.len, &got));
		assert_int_equal(got, numbers[i]);
	}
	assert_false(record_take_number(&p, b.p + b.len, &got));
	record_bytes_free(&b);
}

static void numbers_that_are_none(void **state)
{
	const uint8_t more[] = {0x80, 0x80},
		      large[] = {0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x02};
	const uint8_t *p = more;
	uint64_t got;

	assert_false(record_take_number(&p, more + sizeof(more), &got));
	p = large;
	assert_false(record_take_number(&p, large + sizeof(large), &got));
}

static void pieces_come_back(void **state)
{
	struct record_bytes b = {0};
	struct record_piece piece;
	uint64_t last = 0;
	uint8_t data[200];
	const uint8_t *p;

	for (unsigned int i = 0; i < sizeof(data); i++)
		data[i] = (uint8_t)i;
	record_add_piece(&b, &last, 16, data, 4, false);
	record_add_piece(&b, &last, 100, data, sizeof(data), false);
	p = b.p;
	last = 0;
	assert_int_equal(record_next_piece(&p, b.p + b.len, &last, false, ARENA, &piece), 1);
	assert_int_equal(piece.off, 16);
	assert_int_equal(piece.held, 4);
	assert_memory_equal(piece.data, data, 4);
	assert_int_equal(record_next_piece(&p, b.p + b.len, &last, false, ARENA, &piece), 1);
	assert_int_equal(piece.off, 100);
	assert_int_equal(piece.len, sizeof(data));
	assert_int_equal(piece.held, 16);
	assert_int_not_equal(piece.hash, 0);
	assert_int_equal(record_next_piece(&p, b.p + b.len, &last, false, ARENA, &piece), 0);
	/* Beyond an arena that is one byte too small. */
	p = b.p;
	last = 0;
	assert_int_equal(record_next_piece(&p, b.p + b.len, &last, false, 299, &piece), 1);
	assert_int_equal(record_next_piece(&p, b.p + b.len, &last, false, 299, &piece), -EBADMSG);
	record_bytes_free(&b);
}

/* ---- who wrote what ------------------------------------------------------------------------- */

struct pair {
	struct shadow s;
	char *device;
	struct record_bytes sent, memory;
};

static void pair_setup(struct pair *t)
{
	memset(t, 0, sizeof(*t));
	t->device = calloc(1, ARENA);
	assert_non_null(t->device);
	assert_int_equal(shadow_create(&t->s, ARENA, t->device), 0);
	shadow_give(&t->s, PAGE, 2 * PAGE, OB_DMA_READ | OB_DMA_WRITE);
}

static void pair_free(struct pair *t)
{
	shadow_destroy(&t->s);
	free(t->device);
	record_bytes_free(&t->sent);
	record_bytes_free(&t->memory);
}

static bool fetched(struct pair *t)
{
	uint64_t from = t->s.first;

	t->memory.len = 0;
	if (!shadow_look(&t->s))
		return false;
	assert_false(shadow_fetch(&t->s, &from, &t->memory));
	return true;
}

static void each_sees_what_the_other_wrote(void **state)
{
	struct record_piece piece;
	uint64_t last = 0;
	struct pair t;
	const uint8_t *p;

	pair_setup(&t);
	strcpy(t.s.driver + PAGE + 10, "command");
	assert_string_equal(t.device + PAGE + 10, "");
	shadow_send(&t.s, &t.sent);
	assert_string_equal(t.device + PAGE + 10, "command");
	p = t.sent.p;
	assert_int_equal(record_next_piece(&p, p + t.sent.len, &last, false, ARENA, &piece), 1);
	assert_int_equal(piece.off, PAGE + 10);
	assert_int_equal(piece.len, 7);

	/* Nothing new: nothing is told, neither way. */
	t.sent.len = 0;
	shadow_send(&t.s, &t.sent);
	assert_int_equal(t.sent.len, 0);
	assert_false(fetched(&t));

	strcpy(t.device + 2 * PAGE, "answer");
	assert_string_equal(t.s.driver + 2 * PAGE, "");
	assert_true(fetched(&t));
	assert_string_equal(t.s.driver + 2 * PAGE, "answer");
	/* The device's bytes are not taken for the driver's. */
	shadow_send(&t.s, &t.sent);
	assert_int_equal(t.sent.len, 0);
	pair_free(&t);
}

/* A descriptor: the driver writes its first half again, the device its last byte. */
static void bytes_of_one_word_have_two_writers(void **state)
{
	struct pair t;

	pair_setup(&t);
	memcpy(t.s.driver + PAGE, "AAAA", 4);
	shadow_send(&t.s, &t.sent);
	t.device[PAGE + 7] = 'd';
	memcpy(t.s.driver + PAGE, "BBBB", 4);
	assert_true(fetched(&t));
	assert_memory_equal(t.s.driver + PAGE, "BBBB\0\0\0d", 8);
	shadow_send(&t.s, &t.sent);
	assert_memory_equal(t.device + PAGE, "BBBB\0\0\0d", 8);
	pair_free(&t);
}

static void only_what_was_given_is_seen(void **state)
{
	struct pair t;

	pair_setup(&t);
	t.s.driver[0] = 1;
	t.device[3 * PAGE] = 1;
	shadow_send(&t.s, &t.sent);
	assert_int_equal(t.sent.len, 0);
	assert_int_equal(t.device[0], 0);
	assert_false(fetched(&t));
	/* What lay there before it was given is nobody's answer. */
	shadow_give(&t.s, 3 * PAGE, PAGE, OB_DMA_READ | OB_DMA_WRITE);
	assert_false(fetched(&t));
	assert_int_equal(t.device[3 * PAGE], 0);
	/* Memory that the device may only read is not looked at. */
	shadow_give(&t.s, 4 * PAGE, PAGE, OB_DMA_READ);
	t.device[4 * PAGE] = 1;
	assert_false(fetched(&t));
	shadow_take(&t.s, PAGE, 2 * PAGE);
	t.device[PAGE] = 1;
	assert_false(fetched(&t));
	pair_free(&t);
}

static void memory_is_applied_as_it_was_fetched(void **state)
{
	struct record r = {.kind = RECORD_MEMORY};
	struct shadow copy;
	struct pair t;

	pair_setup(&t);
	for (unsigned int i = 0; i < 1000; i++)
		t.device[PAGE + i * 7] = (char)i;
	assert_true(fetched(&t));
	assert_int_equal(shadow_create(&copy, ARENA, NULL), 0);
	r.data = t.memory.p;
	r.len = t.memory.len;
	shadow_apply(&copy, &r);
	assert_memory_equal(copy.driver, t.s.driver, ARENA);
	shadow_destroy(&copy);
	pair_free(&t);
}

/* ---- a recording made by hand, and played ---------------------------------------------------- */

struct made {
	char path[64];
	struct recording_writer *w;
};

static void begin(struct made *m)
{
	struct recording_info info = {
		.name = "made",
		.vendor = 0x1234,
		.device = 0x5678,
		.vectors = {0, 1, 0, 2},
		.arena = ARENA,
		.iova = IOVA,
	};
	struct ob_error err = {0};
	int fd;

	info.bar[0].kind = OB_BAR_MEM;
	info.bar[0].size = PAGE;
	strcpy(m->path, "/tmp/outboard-recording-XXXXXX");
	fd = mkstemp(m->path);
	assert_true(fd >= 0);
	close(fd);
	assert_int_equal(recording_create(m->path, &info, &m->w, &err), 0);
}

static void add(struct made *m, struct record r)
{
	recording_add(m->w, &r);
}

static void add_read(struct made *m, uint64_t off, uint64_t val, uint64_t count)
{
	add(m, (struct record){
		       .kind = RECORD_READ, .off = off, .size = 4, .val = val, .count = count});
}

static void add_write(struct made *m, uint64_t off, uint64_t val)
{
	add(m, (struct record){.kind = RECORD_WRITE, .off = off, .size = 4, .val = val});
}

static void add_memory(struct made *m, enum record_when when, uint64_t off, const char *text)
{
	struct record_bytes b = {0};
	uint64_t last = 0;

	if (text)
		record_add_piece(&b, &last, off, text, strlen(text), true);
	add(m, (struct record){.kind = RECORD_MEMORY, .flags = when, .data = b.p, .len = b.len});
	record_bytes_free(&b);
}

static void quiet(void *arg, enum ob_log_level level, const char *line)
{
}

static struct ob_device *play(struct made *m)
{
	struct ob_error err = {0};
	struct ob_device *dev;
	char spec[80];

	assert_int_equal(recording_close(m->w), 0);
	snprintf(spec, sizeof(spec), "replay:%s", m->path);
	assert_int_equal(ob_device_open(spec, &dev, &err), 0);
	unlink(m->path);
	ob_device_set_log(dev, quiet, NULL);
	return dev;
}

static struct ob_replay_result result_of(struct ob_device *dev)
{
	struct ob_replay_result result;

	assert_int_equal(ob_replay_result(dev, &result), 0);
	return result;
}

static void a_driver_may_wait_longer_or_shorter(void **state)
{
	struct ob_bar *bar;
	struct ob_device *dev;
	struct made m;

	begin(&m);
	add_read(&m, 0, 1, 3);
	add_read(&m, 0, 2, 1);
	add_read(&m, 4, 7, 5);
	add_write(&m, 8, 1);
	add_read(&m, 12, 9, 2);
	add_write(&m, 8, 2);
	dev = play(&m);
	bar = ob_device_bar(dev, 0);
	/* As often as it was recorded where the value then changes. */
	for (unsigned int i = 0; i < 3; i++)
		assert_int_equal(ob_read32(bar, 0), 1);
	assert_int_equal(ob_read32(bar, 0), 2);
	/* Five times were recorded, two are enough for this one. */
	assert_int_equal(ob_read32(bar, 4), 7);
	assert_int_equal(ob_read32(bar, 4), 7);
	ob_write32(bar, 8, 1);
	/* And here it takes longer. */
	for (unsigned int i = 0; i < 10; i++)
		assert_int_equal(ob_read32(bar, 12), 9);
	ob_write32(bar, 8, 2);
	assert_true(result_of(dev).ended);
	assert_false(result_of(dev).departed);
	ob_device_close(dev);
}

static void one_read_is_one_read(void **state)
{
	struct ob_device *dev;
	struct ob_bar *bar;
	struct made m;

	begin(&m);
	add_read(&m, 0, 1, 1);
	add_write(&m, 8, 1);
	dev = play(&m);
	bar = ob_device_bar(dev, 0);
	assert_int_equal(ob_read32(bar, 0), 1);
	assert_int_equal(ob_read32(bar, 0), UINT32_MAX);
	assert_true(result_of(dev).departed);
	assert_int_equal(result_of(dev).record, 2);
	assert_true(ob_device_gone(dev));
	ob_device_close(dev);
}

static void departures_are_told(void **state)
{
	static const struct {
		uint64_t off, val;
		unsigned int size;
		const char *said;
	} wrong[] = {
		{8, 2, 4,
		 "expected 'write bar0+0x8 = 0x1 (4 bytes)', came 'write bar0+0x8 = 0x2 (4 bytes)'"},
		{12, 1, 4, "came 'write bar0+0xc = 0x1 (4 bytes)'"},
		{8, 1, 2, "came 'write bar0+0x8 = 0x1 (2 bytes)'"},
	};

	for (unsigned int i = 0; i < 3; i++) {
		struct ob_device *dev;
		struct ob_bar *bar;
		struct made m;

		begin(&m);
		add_write(&m, 8, 1);
		dev = play(&m);
		bar = ob_device_bar(dev, 0);
		if (wrong[i].size == 4)
			ob_write32(bar, wrong[i].off, (uint32_t)wrong[i].val);
		else
			ob_write16(bar, wrong[i].off, (uint16_t)wrong[i].val);
		assert_true(result_of(dev).departed);
		assert_int_equal(result_of(dev).record, 1);
		assert_non_null(strstr(result_of(dev).text, wrong[i].said));
		ob_device_close(dev);
	}
}

static void one_that_ends_early_departs_too(void **state)
{
	struct ob_device *dev;
	struct made m;

	begin(&m);
	add_write(&m, 8, 1);
	dev = play(&m);
	assert_false(result_of(dev).ended);
	assert_false(result_of(dev).departed);
	assert_non_null(strstr(result_of(dev).text, "came nothing more"));
	ob_device_close(dev);
}

/* Memory comes with what it came with, in order, and not before the write that caused it. */
static void memory_comes_at_looks(void **state)
{
	struct record map = {.kind = RECORD_MAP,
			     .off = IOVA,
			     .val = PAGE,
			     .flags = OB_DMA_READ | OB_DMA_WRITE,
			     .data = (const uint8_t *)"ring",
			     .len = 4};
	struct ob_device *dev;
	struct ob_bar *bar;
	struct made m;
	char *ring;

	begin(&m);
	add(&m, map);
	add_write(&m, 8, 1);
	add_memory(&m, RECORD_AT_LOOK, 0, "one");
	add_memory(&m, RECORD_AT_LOOK, 0, "two");
	add_write(&m, 8, 2);
	add_read(&m, 0, 5, 1);
	add_memory(&m, RECORD_AT_READ, 0, "six");
	add_memory(&m, RECORD_AT_LOOK, 0, NULL);
	add_memory(&m, RECORD_AT_LOOK, 0, "ten");
	dev = play(&m);
	bar = ob_device_bar(dev, 0);
	ring = ob_dma_alloc(ob_device_dma(dev), PAGE, PAGE, "ring", NULL);
	assert_non_null(ring);
	ob_device_look(dev);
	assert_string_equal(ring, "");
	ob_write32(bar, 8, 1);
	assert_string_equal(ring, "");
	ob_device_look(dev);
	assert_string_equal(ring, "one");
	ob_device_look(dev);
	assert_string_equal(ring, "two");
	ob_device_look(dev);
	assert_string_equal(ring, "two");
	ob_write32(bar, 8, 2);
	assert_int_equal(ob_read32(bar, 0), 5);
	assert_string_equal(ring, "six");
	ob_device_look(dev);
	assert_string_equal(ring, "six");
	ob_device_look(dev);
	assert_string_equal(ring, "ten");
	assert_true(result_of(dev).ended);
	ob_dma_free(ob_device_dma(dev), ring);
	ob_device_close(dev);
}

/* Without a look, it comes to one who waits long enough. */
static void memory_comes_at_rest(void **state)
{
	struct record map = {
		.kind = RECORD_MAP, .off = IOVA, .val = PAGE, .flags = OB_DMA_READ | OB_DMA_WRITE};
	struct ob_device *dev;
	volatile char *ring;
	struct made m;

	begin(&m);
	add(&m, map);
	add_write(&m, 8, 1);
	add_memory(&m, RECORD_AT_REST, 0, "x");
	dev = play(&m);
	ring = ob_dma_alloc(ob_device_dma(dev), PAGE, PAGE, "ring", NULL);
	assert_non_null(ring);
	ob_write32(ob_device_bar(dev, 0), 8, 1);
	for (unsigned int i = 0; i < 30000 && !ring[0]; i++)
		usleep(1000);
	assert_int_equal(ring[0], 'x');
	assert_true(result_of(dev).ended);
	ob_device_close(dev);
}

static void other_memory_departs(void **state)
{
	struct record map = {.kind = RECORD_MAP,
			     .off = IOVA,
			     .val = PAGE,
			     .flags = OB_DMA_READ | OB_DMA_WRITE,
			     .data = (const uint8_t *)"ring",
			     .len = 4};
	struct record_bytes b = {0};
	struct ob_device *dev;
	uint64_t last = 0;
	struct made m;
	char *ring;

	begin(&m);
	add(&m, map);
	record_add_piece(&b, &last, 64, "command", 7, false);
	add(&m, (struct record){.kind = RECORD_SENT, .data = b.p, .len = b.len});
	add_write(&m, 8, 1);
	dev = play(&m);
	ring = ob_dma_alloc(ob_device_dma(dev), PAGE, PAGE, "ring", NULL);
	assert_non_null(ring);
	memcpy(ring + 64, "comment", 7);
	ob_write32(ob_device_bar(dev, 0), 8, 1);
	assert_true(result_of(dev).departed);
	assert_int_equal(result_of(dev).record, 2);
	assert_non_null(strstr(result_of(dev).text, "at 'ring+0x44' expected 61, came 65"));
	ob_device_close(dev);
	record_bytes_free(&b);
}

/* Two that came one after the other wake twice, though the second is next as soon as the first was given. */
static void interrupts_wait_for_their_reader(void **state)
{
	struct ob_device *dev;
	struct ob_irq *irq;
	struct made m;

	begin(&m);
	add(&m, (struct record){.kind = RECORD_IRQ_ENABLE, .off = OB_IRQ_MSIX, .count = 1});
	add_write(&m, 8, 1);
	add(&m, (struct record){.kind = RECORD_IRQ, .off = 0, .count = 1});
	add(&m, (struct record){.kind = RECORD_IRQ, .off = 0, .count = 1});
	add(&m, (struct record){.kind = RECORD_IRQ_DISABLE});
	dev = play(&m);
	assert_int_equal(ob_irq_enable(dev, OB_IRQ_MSIX, 1, NULL), 0);
	assert_int_equal(ob_irq_open(dev, 0, 0, &irq, NULL), 0);
	assert_int_equal(ob_irq_wait(irq, 0), 0);
	ob_write32(ob_device_bar(dev, 0), 8, 1);
	assert_int_equal(ob_irq_wait(irq, 30000), 1);
	assert_int_equal(ob_irq_wait(irq, 30000), 1);
	ob_irq_close(irq);
	ob_irq_disable(dev);
	assert_true(result_of(dev).ended);
	ob_device_close(dev);
}

static void a_removal_comes_where_it_came(void **state)
{
	struct ob_device *dev;
	struct made m;

	begin(&m);
	add_write(&m, 8, 1);
	add(&m, (struct record){.kind = RECORD_GONE});
	dev = play(&m);
	assert_false(ob_device_gone(dev));
	ob_write32(ob_device_bar(dev, 0), 8, 1);
	assert_true(ob_device_gone(dev));
	assert_false(result_of(dev).departed);
	ob_device_close(dev);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(numbers_come_back),
		cmocka_unit_test(numbers_that_are_none),
		cmocka_unit_test(pieces_come_back),
		cmocka_unit_test(each_sees_what_the_other_wrote),
		cmocka_unit_test(bytes_of_one_word_have_two_writers),
		cmocka_unit_test(only_what_was_given_is_seen),
		cmocka_unit_test(memory_is_applied_as_it_was_fetched),
		cmocka_unit_test(a_driver_may_wait_longer_or_shorter),
		cmocka_unit_test(one_read_is_one_read),
		cmocka_unit_test(departures_are_told),
		cmocka_unit_test(one_that_ends_early_departs_too),
		cmocka_unit_test(memory_comes_at_looks),
		cmocka_unit_test(memory_comes_at_rest),
		cmocka_unit_test(other_memory_departs),
		cmocka_unit_test(interrupts_wait_for_their_reader),
		cmocka_unit_test(a_removal_comes_where_it_came),
	};

	cmocka_set_message_output(CM_OUTPUT_TAP);
	return cmocka_run_group_tests_name("recording", tests, NULL, NULL);
}
