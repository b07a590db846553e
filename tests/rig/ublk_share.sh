#!/bin/bash
# SPDX-License-Identifier: BSD-2-Clause
#
# Memory that a client shares with the disk's driver: what is transferred from and to it is copied by nobody, neither kernel nor us.
#
# rig-kernels: 7.2
# rig-nightly-kernels: 6.12
# rig-modprobe: ublk_drv
# rig-options: --memory 2G
# rig-timeout: 300
set -u
. tests/rig/ublk_server.bash
share=/dev/shm/ublk-share
truncate -s 32M $share

copies() # FIO-OPTION...: how many per request
{
	local copies requests
	copies=$(stat_of kernel_copies) requests=$(($(stat_of in) + $(stat_of out)))
	load --rw=randrw --direct=1 --ioengine=libaio "$@" || return
	copies=$(($(stat_of kernel_copies) - copies)) requests=$(($(stat_of in) + $(stat_of out) - requests))
	echo "$requests requests, $copies copies by the kernel, $(stat_of own_copies) by us"
	[ "$requests" -ge 200 ] && [ "$(stat_of own_copies)" = 0 ] || return
	copies_are=$((copies * 100 / requests))
}

serve 128,iommu ublk,share=$share >"$dir/log"
if [[ $DETAIL != *'shared memory'* ]]; then
	check 'without the kernel'\''s help it works with one copy' eval 'copies && [ $copies_are = 100 ]'
	check 'and that is said' grep -q 'Linux 7.1' "$dir/err"
	check 'stopped' stop
	rm -f $share
	finish
fi
check 'a client with memory of its own: one copy each' eval 'copies && [ $copies_are = 100 ]'
check 'a client with the shared memory: no copies' eval "copies --mem=mmapshared:$share && [ \$copies_are = 0 ]"
sed 's/^/# /' "$dir/check"
check 'requests longer than the device takes at once' \
	eval "copies --mem=mmapshared:$share --bs=4k-256k --size=64M --io_size=32M && [ \$copies_are -lt 5 ]"
check 'the page cache has memory of its own' \
	eval 'soon dd if=/dev/urandom of=$NAME bs=64k count=16 conv=fsync status=none && [ "$(stat_of own_copies)" = 0 ]'
check 'stopped' stop
check 'switched off: one copy' eval "serve 128,iommu ublk,share=$share,zero-copy=off && copies --mem=mmapshared:$share &&
	[ \$copies_are = 100 ] && stop"
refused() # WORDS SHARE
{
	! serve 16,iommu "ublk,share=$2" && grep -q "$1" "$dir/out"
}
check 'a file that is not there is refused' refused 'truncate -s' /dev/shm/not-there
check 'a device that cannot be given the memory is refused' \
	eval "! serve 16 ublk,share=$share && grep -q IOMMU $dir/out"

# Killed and taken over, with requests of the shared memory under way.
check 'it is there' serve 128,iommu,file=/dev/shm/ublk-share-disk ublk,share=$share,grace=120
load --rw=randrw --direct=1 --ioengine=libaio --size=32M --io_size=16M --mem=mmapshared:$share 4>&- &
client=$!
wait_for eval '[ "$(stat_of in)" -gt 64 ]'
kill_server
check 'killed and taken over with the same share' \
	eval "serve 128,iommu,file=/dev/shm/ublk-share-disk ublk,share=$share && [[ \$DETAIL == *'taken over'* ]]"
check 'every byte is verified' eval "wait_for gone $client && wait $client"
check 'without copies' eval '[ "$(stat_of kernel_copies)" -lt 50 ]'
check 'stopped (taken over)' stop
check 'nothing is left' wait_for nothing_left
rm -f $share /dev/shm/ublk-share-disk
finish
