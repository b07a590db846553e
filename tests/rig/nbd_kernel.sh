#!/bin/bash
# SPDX-License-Identifier: BSD-2-Clause
#
# A disk as /dev/nbdN by the kernel's NBD client is a disk to all who use one; when its server or its device dies its users get
# errors, nobody hangs, and nothing is left.
#
# rig-nightly-kernels: 6.1 7.2
# rig-modprobe: nbd xfs
# rig-options: --memory 2G --cpus 2
# rig-allow-log: I/O error|lost async page write|lost sync page write|JBD2|EXT4-fs|critical (medium|target) error|block nbd|beyond end of device
# rig-timeout: 900
set -u
kind=nbd-kernel
# Linux 6.1 and 6.12 write zeroes where they are asked to zero.
zeroes_counter=writes
thorough='6.1.*'
. tests/rig/disk_checks.bash

nothing_left()
{
	[ -z "$(ls /sys/block/nbd*/pid 2>/dev/null)" ] && [ -z "$(caretakers)" ]
}

check 'it is there' serve 384 nbd-kernel
looks_right()
{
	attribute size 786432 && attribute queue/logical_block_size 512 && attribute queue/write_cache 'write back' &&
		attribute queue/fua 1 && attribute ro 0
}
check 'size, blocks and cache are the disk'\''s' looks_right
check 'a hardware queue for each connection' eval '[ "$(ls -d "/sys/block/${NAME#/dev/}/mq"/* | wc -l)" = 2 ]'
use_it p2
! is_thorough || other_disks
options()
{
	for options in connections=1 connections=16 memory=4M,depth=4 timeout=30; do
		check "with $options" eval "serve 64 nbd-kernel,$options && load --rw=randrw --bs=4k-256k --direct=1 --ioengine=libaio && stop"
	done
	check 'the number that was asked for' eval 'serve 16 nbd-kernel,index=3 && [ "$NAME" = /dev/nbd3 ]'
	taken()
	{
		exec 5>&4
		first=$server
		! serve 16 nbd-kernel,index=3 && grep -q 'nbd-client -d /dev/nbd3' "$dir/out" && echo stop >&5 && exec 5>&- &&
			wait_for gone "$first"
	}
	check 'a number that is taken is refused' taken
	server=
}
! is_thorough || options
deaths
check 'nothing is left at the end' wait_for nothing_left
finish
