/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The least that drives one device model of QEMU: a parked machine, a qtest socket, memory that both see,
 * posted writes. For the floors that Outboard is compared with; nothing of Outboard is in it.
 */
#ifndef BENCH_FLOOR_MACHINE_H
#define BENCH_FLOOR_MACHINE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

/* Guest address X is byte X of @ram. Keep off the first MiB. */
#define FLOOR_RAM (64u << 20)
/* Where floor_machine_enable() puts BAR 0. */
#define FLOOR_BAR 0xc0000000u

struct floor_machine {
	pid_t pid;
	int fd;
	char *ram;
	unsigned int posted; /* writes whose "OK" was not read */
	uint64_t syscalls;
	bool dead;
};

/* @args: further arguments of QEMU's, ended by NULL. False when it did not start. */
bool floor_machine_start(struct floor_machine *m, const char *qemu, const char *const *args);
void floor_machine_stop(struct floor_machine *m);

/* BAR 0 of device @slot to FLOOR_BAR; memory and bus master on. */
void floor_machine_enable(struct floor_machine *m, unsigned int slot);
uint64_t floor_read(struct floor_machine *m, char width, uint64_t addr);
void floor_write(struct floor_machine *m, char width, uint64_t addr, uint64_t val);
/* A command whose reply is only "OK"; does not wait for it. */
void floor_post(struct floor_machine *m, const char *text, size_t len);
/* Take the replies that are there; notices a QEMU that ended. */
void floor_poll(struct floor_machine *m);

#endif
