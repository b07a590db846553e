#!/bin/bash
# SPDX-License-Identifier: BSD-2-Clause
#
# A disk as /dev/vdX through VDUSE is a disk to all who use one, with as few copies and system calls as promised; when its server or
# its device dies its users get errors, nobody hangs, and nothing is left.
#
# rig-nightly-kernels: 7.2
# rig-modprobe: vduse virtio_vdpa virtio_blk xfs
# rig-options: --memory 2G --cpus 2
# rig-allow-log: I/O error|lost async page write|lost sync page write|JBD2|EXT4-fs|critical (medium|target) error|beyond end of device
# rig-timeout: 900
set -u
kind=vduse-blk
zeroes_counter=zeroes
thorough='6.12*'
. tests/rig/disk_checks.bash

nothing_left()
{
	[ "$(echo /dev/vduse/*)" = /dev/vduse/control ] && [ -z "$(ls /sys/bus/vdpa/devices)" ] && [ -z "$(caretakers)" ]
}

check 'it is there' serve 384 vduse-blk,queues=2
looks_right()
{
	attribute size 786432 && attribute queue/logical_block_size 512 && attribute queue/write_cache 'write back' &&
		attribute ro 0 && attribute serial R1
}
check 'size, blocks, cache and serial number are the disk'\''s' looks_right
check 'as many queues as asked for' eval '[ "$(ls -d "/sys/block/${NAME#/dev/}/mq"/* | wc -l)" = 2 ]'

cost()
{
	local calls copies own requests
	calls=$(stat_of syscalls) copies=$(stat_of kernel_copies) own=$(stat_of own_copies) requests=$(stat_of out)
	soon fio --name=cost --filename="$NAME" --size=64M --io_size=32M --bs=4k --iodepth=32 --rw=randread --direct=1 \
		--ioengine=libaio >"$dir/fio" || return
	calls=$(($(stat_of syscalls) - calls)) copies=$(($(stat_of kernel_copies) - copies))
	own=$(($(stat_of own_copies) - own)) requests=$(($(stat_of out) - requests))
	echo "$requests requests, $calls system calls, $copies copies by the kernel, $own by us"
	[ "$requests" -ge 8192 ] && [ "$copies" = "$requests" ] && [ "$own" = 0 ] && [ $((calls * 2)) -lt "$requests" ]
}
# On a machine that has nothing else to do they are fewer; on any, requests share calls.
check 'at depth 32 requests share system calls, and have one copy each' cost
sed 's/^/# /' "$dir/check"
use_it 2
! is_thorough || other_disks
options()
{
	for options in queues=1,size=8 bounce=1M memory=4M,depth=4 queues=16; do
		check "with $options" eval "serve 64 vduse-blk,$options && load --rw=randrw --bs=4k-256k --direct=1 --ioengine=libaio && stop"
	done
	refused() # WORDS ATTACHMENT
	{
		! serve 16 "$2" && grep -q "$1" "$dir/out"
	}
	check 'too many queues are refused' refused queues vduse-blk,queues=99
	check 'a size that is no power of two is refused' refused 'power of two' vduse-blk,size=100
	check 'two at once, each with its own' eval 'serve 16 vduse-blk && first=$NAME pid=$server && exec 5>&4 && serve 32 vduse-blk &&
		[ "$NAME" != "$first" ] && attribute size 65536 && stop && echo stop >&5 && exec 5>&- && wait_for gone $pid'
}
! is_thorough || options
deaths
check 'nothing is left at the end' wait_for nothing_left
finish
