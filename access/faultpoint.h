/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Named points in the library and its drivers at which a process can be made to die, hang, leak or fail, at a given passing: for tests of
 * who restarts it. docs/fault-injection.md; faults of devices are access/fault.c's.
 */
#ifndef ACCESS_FAULTPOINT_H
#define ACCESS_FAULTPOINT_H

#include <errno.h>
#include <stdbool.h>
#include <stdint.h>

#include <outboard/error.h>

#ifdef __cplusplus
extern "C" {
#endif

/**
 * struct ob_fault_point - a point; made by the macros below
 * @name: "nvme.before-doorbell"
 * @can_fail: something that returns an error stands here
 * @count: where its passings are counted, from 1; 0 until the first
 */
struct ob_fault_point {
	const char *name;
	bool can_fail;
	unsigned int count;
};

/*
 * Whether points are looked at: false but in tests, so that a point costs a comparison with a byte of memory and a jump that is not taken.
 * The library has a name of its own for it, to find it without the table of what other objects may replace.
 */
extern bool ob_fault_points_on;
#ifdef OUTBOARD_LIBRARY
extern bool ob_fault_points_here __attribute__((visibility("hidden")));
#define OB_FAULT_POINTS_ON_ ob_fault_points_here
#else
#define OB_FAULT_POINTS_ON_ ob_fault_points_on
#endif

/** ob_fault_point_pass() - a point was reached. Return: 0, or a negative errno value for one that can fail */
int ob_fault_point_pass(struct ob_fault_point *point);

#define OB_FAULT_POINT_AT_(name_, can_fail_)                                                       \
	({                                                                                         \
		static struct ob_fault_point point_                                                \
			__attribute__((section("ob_fault_points"), used,                           \
				       aligned(8))) = {.name = (name_), .can_fail = (can_fail_)};  \
		__builtin_expect(OB_FAULT_POINTS_ON_, 0) ? ob_fault_point_pass(&point_) : 0;       \
	})

/** OB_FAULT_POINT() - here a process can die, hang, leak, or have a word of its memory changed */
#define OB_FAULT_POINT(name) ((void)OB_FAULT_POINT_AT_(name, false))

/** OB_FAULT_ERROR() - and here a call can fail, too. Value: 0 or a negative errno value */
#define OB_FAULT_ERROR(name) OB_FAULT_POINT_AT_(name, true)

/** OB_FAULT_CALL() - a system call that can fail, with -1 and errno */
#define OB_FAULT_CALL(name, call)                                                                  \
	({                                                                                         \
		int error_ = OB_FAULT_ERROR(name);                                                 \
		error_ ? (errno = -error_, -1) : (call);                                           \
	})

/**
 * ob_fault_points_arm() - say what shall happen where
 * @spec: as OUTBOARD_FAULT_POINTS, which the first device that is opened or held arms: "POINT=ACTION[@K],...", "count[=FILE]", "seed=N"; NULL
 *	for nothing any more
 *
 * What is armed before a fork() counts in parent and children together.
 *
 * Return: 0; -EINVAL, @err names the bad part.
 */
int ob_fault_points_arm(const char *spec, struct ob_error *err);

/** ob_fault_points_each() - the library's points, each name once, sorted; @fn's value other than 0 ends it */
int ob_fault_points_each(int (*fn)(void *arg, const struct ob_fault_point *point), void *arg);

/** ob_fault_points_environment() - arm what OUTBOARD_FAULT_POINTS says, the first time. Return: 0, or why it makes no sense */
int ob_fault_points_environment(struct ob_error *err);

/** ob_fault_points_help() - what a specification can say */
const char *ob_fault_points_help(void);

#ifdef __cplusplus
}
#endif
#endif
