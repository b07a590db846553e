/* SPDX-License-Identifier: BSD-2-Clause */
/* What a replay found, for the program and for tests; the backend is in replay.c. */
#ifndef ACCESS_RECORD_REPLAY_H
#define ACCESS_RECORD_REPLAY_H

#include <outboard/device.h>

/**
 * struct ob_replay_result - how far a driver has come
 * @record: number of the record that is next, or at which the driver departed
 * @records: in the recording
 * @departed: it did something else; @text says what
 * @ended: nothing is left but what closing a device does
 */
struct ob_replay_result {
	uint64_t record, records;
	bool departed, ended;
	char text[640];
};

/** ob_replay_result() - -EINVAL where the device is none of "replay" */
int ob_replay_result(struct ob_device *dev, struct ob_replay_result *result);

#endif
