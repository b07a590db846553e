/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The threads that watch a device from its opening on. A process that is to change its namespaces must have one thread
 * (setns(2), unshare(2)), so whoever opens devices on the way there can have the others begin later.
 */
#ifndef ACCESS_THREADS_H
#define ACCESS_THREADS_H

#include <pthread.h>

/**
 * ob_thread_start() - a thread that takes no signals
 * @thread: filled at once, or, while threads are held, by ob_threads_go(); must live until then
 *
 * Return: 0 or a negative errno value.
 */
int ob_thread_start(pthread_t *thread, void *(*fn)(void *arg), void *arg);

/** ob_threads_hold() - from now on ob_thread_start() only remembers. Not thread-safe, as there is one thread */
void ob_threads_hold(void);

/** ob_threads_go() - start those that were remembered, and further ones at once. Return: 0 or a negative errno value */
int ob_threads_go(void);

#endif
