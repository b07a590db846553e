/* SPDX-License-Identifier: BSD-2-Clause */
/* Programs of bench/ switch callgrind's counting on and off; without its header they build and cannot count. */
#ifndef BENCH_CALLGRIND_H
#define BENCH_CALLGRIND_H

#ifdef HAVE_CALLGRIND
#include <valgrind/callgrind.h>
#else
#define CALLGRIND_TOGGLE_COLLECT
#define RUNNING_ON_VALGRIND 0
#endif

#endif
