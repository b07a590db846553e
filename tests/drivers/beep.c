/* SPDX-License-Identifier: BSD-2-Clause */
/* The beep driver: the counter's output is watched through port 61h, and the sound in a WAV file. */
#include "tests/drivers/device.h"

#include "drivers/beep/beep.h"

static int call(struct bound *d, unsigned int cmd, uint64_t val, uint64_t *out)
{
	struct ob_char *chr = d->b->chr;
	int rc = chr->ops->ioctl(chr, cmd, &val);

	if (out)
		*out = val;
	return rc;
}

/* A quarter either way: counter and observer have different clocks, and the machine may be busy. */
static void expect_near(uint64_t hz, uint64_t want)
{
	if (hz * 4 < want * 3 || hz * 4 > want * 5)
		fail_msg("%llu Hz where %llu were expected", (unsigned long long)hz,
			 (unsigned long long)want);
}

static void the_output_toggles_at_the_programmed_frequency(void **state)
{
	static const unsigned int notes[] = {55, 440, 1000};
	struct bound d = bind_spec("qemu:ports", NULL);
	int rc = 0;
	uint64_t hz;

	for (size_t i = 0; i < sizeof(notes) / sizeof(notes[0]); i++) {
		assert_int_equal(call(&d, BEEP_START, notes[i], &hz), 0);
		expect_near(hz, notes[i]);
		rc = call(&d, BEEP_MEASURE, 10000, &hz);
		if (rc == -EAGAIN)
			break;
		assert_int_equal(rc, 0);
		expect_near(hz, notes[i]);
	}
	release(&d);
	/* (cmocka's skip() says "not ok"; the other tests have seen the speaker in any case.) */
	if (rc)
		print_message("# this machine is too busy to watch all of it\n");
}

/* (QEMU's counter runs on without its gate, real ones stand still; so the gate is what is looked at.) */
static void stop_and_remove_close_the_gate(void **state)
{
	struct bound d = bind_spec("qemu:ports", NULL);
	struct ob_bar port;

	assert_int_equal(ob_ports_claim(d.dev, 0x61, 1, &port, NULL), 0);
	assert_int_equal(ob_read8(&port, 0) & 3, 0);
	assert_int_equal(call(&d, BEEP_START, 440, NULL), 0);
	assert_int_equal(ob_read8(&port, 0) & 3, 3);
	assert_int_equal(call(&d, BEEP_STOP, 0, NULL), 0);
	assert_int_equal(ob_read8(&port, 0) & 3, 0);
	assert_int_equal(call(&d, BEEP_START, 440, NULL), 0);
	ob_driver_unbind(d.b);
	assert_int_equal(ob_read8(&port, 0) & 3, 0);
	ob_device_close(d.dev);
}

static void the_selftest_passes(void **state)
{
	struct bound d = bind_spec("qemu:ports", NULL);

	assert_int_equal(expect_selftest(&d), 3);
	release(&d);
}

static void impossible_values_are_refused(void **state)
{
	struct bound d = bind_spec("qemu:ports", NULL);

	assert_int_equal(call(&d, BEEP_START, 0, NULL), -ERANGE);
	assert_int_equal(call(&d, BEEP_START, BEEP_MIN_HZ - 1, NULL), -ERANGE);
	assert_int_equal(call(&d, BEEP_START, BEEP_MAX_HZ + 1, NULL), -ERANGE);
	assert_int_equal(call(&d, BEEP_START, BEEP_MIN_HZ, NULL), 0);
	assert_int_equal(call(&d, BEEP_MEASURE, 0, NULL), -ERANGE);
	assert_int_equal(call(&d, BEEP_MEASURE, 1000000, NULL), -ERANGE);
	assert_int_equal(call(&d, 99, 0, NULL), -ENOTTY);
	release(&d);
}

/* Zero crossings of the left channel between the first and the last sound: twice the frequency. */
static uint64_t wav_frequency(const char *path)
{
	static int16_t samples[2 * 44100 * 20];
	unsigned int crossings = 0;
	long first = -1, last = -1;
	int16_t before = 0;
	size_t n;
	FILE *f = fopen(path, "re");
	char header[44];

	assert_non_null(f);
	assert_int_equal(fread(header, 1, sizeof(header), f), sizeof(header));
	assert_memory_equal(header, "RIFF", 4);
	n = fread(samples, 4, sizeof(samples) / 4, f);
	fclose(f);
	for (size_t i = 0; i < n; i++) {
		int16_t s = samples[2 * i];

		if (!s)
			continue;
		if (before && (s < 0) != (before < 0)) {
			crossings++;
			if (first < 0)
				first = (long)i;
			last = (long)i;
		}
		before = s;
	}
	if (crossings < 10)
		fail_msg("no sound in %s: %zu samples, %u crossings", path, n, crossings);
	return (uint64_t)(crossings - 1) * 44100 / 2 / (uint64_t)(last - first);
}

static void the_speaker_plays_the_note(void **state)
{
	char wav[64], spec[128];
	struct bound d;

	make_image(wav, 0);
	snprintf(spec, sizeof(spec), "qemu:ports,wav=%s", wav);
	d = bind_spec(spec, NULL);
	assert_int_equal(call(&d, BEEP_START, 440, NULL), 0);
	usleep(500000);
	assert_int_equal(call(&d, BEEP_STOP, 0, NULL), 0);
	usleep(100000);
	release(&d);
	expect_near(wav_frequency(wav), 440);
	unlink(wav);
}

static void a_machine_without_ports_is_told_apart(void **state)
{
	struct ob_error err = {0};
	struct ob_binding *b;
	struct ob_device *dev;

	/* edu's machine has no timer, and beep does not drive a PCI device in any case. */
	assert_int_equal(ob_device_open("qemu:edu", &dev, &err), 0);
	assert_int_equal(ob_driver_bind(dev, ob_driver_find("beep"), NULL, &b, &err), -ENODEV);
	ob_device_close(dev);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(the_output_toggles_at_the_programmed_frequency),
		cmocka_unit_test(stop_and_remove_close_the_gate),
		cmocka_unit_test(the_selftest_passes),
		cmocka_unit_test(impossible_values_are_refused),
		cmocka_unit_test(the_speaker_plays_the_note),
		cmocka_unit_test(a_machine_without_ports_is_told_apart),
	};

	cmocka_set_message_output(CM_OUTPUT_TAP);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
