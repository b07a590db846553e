#!/bin/bash
# SPDX-License-Identifier: BSD-2-Clause
#
# nbd_tools.sh MODEL: other people's NBD clients (libnbd's tools, qemu-img, fio) at an export of a device
# that is driven from user space. Prints TAP; ATTACH_BIN is where the programs are.
set -u
. "$(dirname "$0")/tap.sh"
model=$1
for tool in nbdinfo nbdcopy qemu-img qemu-io fio; do
	command -v $tool >/dev/null || { echo "1..0 # SKIP no $tool"; rm -rf "$dir"; exit 0; }
done

image=$dir/disk.img
head -c 64M /dev/urandom >"$dir/random"
truncate -s 64M "$image"
spec=qemu:$model,file=$image

info_is_right()
{
	soon nbdinfo --json "$NAME" >"$dir/info" || return 1
	grep -q '"export-size": 67108864,' "$dir/info" &&
		grep -q '"can_multi_conn": true' "$dir/info" &&
		grep -q '"can_flush": true' "$dir/info" &&
		grep -q '"block_size_minimum": 512' "$dir/info" &&
		soon nbdinfo --list "$NAME"
}

copy_in_and_out() # OPTIONS...
{
	rm -f "$dir/out"
	soon nbdcopy "$@" "$dir/random" "$NAME" &&
		soon nbdcopy "$@" "$NAME" "$dir/out" && cmp "$dir/random" "$dir/out"
}

qemu_reads_and_writes()
{
	soon qemu-img convert -n -O raw "$dir/random" "$NAME" &&
		soon qemu-img compare -f raw -F raw "$dir/random" "$NAME" &&
		soon qemu-io -f raw -c 'write -P 7 1M 64k' -c 'write -z 1M 4k' -c flush \
			-c 'read -P 0 1M 4k' -c 'read -P 7 1028k 60k' "$NAME" >"$dir/io" &&
		! grep -iE 'fail|error' "$dir/io"
}

load() # NAME OPTIONS...
{
	soon fio --name=load --ioengine=nbd --uri="$NAME" --size=64M --io_size=48M --bsrange=4k-128k \
		--iodepth=32 --verify=crc32c --verify_fatal=1 --randrepeat=1 "$@" >"$dir/fio" 2>&1 &&
		grep -q 'err= 0' "$dir/fio" || { cat "$dir/fio"; return 1; }
}

image_is_random()
{
	cmp "$dir/random" "$image"
}

start_server "$spec" nbd || { reasons | not_ok "an export of $model is ready"; finish; }
check "nbdinfo tells what the disk is" info_is_right
check "nbdcopy writes and reads the whole disk" copy_in_and_out
check "nbdcopy does so on four connections" copy_in_and_out --connections=4
check "what was written is in the image behind the device" image_is_random
check "qemu-img and qemu-io read, write and zero" qemu_reads_and_writes
check "fio verifies mixed random requests at depth 32" load --rw=randrw
check "stops when its clients have gone" stop_server
check "no payload was copied here" [ "$(stat_of own_copies)" = 0 ]
check "nothing failed" [ "$(stat_of errors)$(stat_of disk_errors)" = 00 ]

for mode in poll interrupt; do
	SERVE_MODE=$mode start_server "$spec" nbd
	check "fio verifies in mode $mode" load --rw=randwrite --io_size=16M
	stop_server
done

start_server "$spec" "nbd,socket=$dir/nbd.sock,export=disk"
check "a UNIX socket with an export name" copy_in_and_out
stop_server
check "the socket is removed at the end" [ ! -e "$dir/nbd.sock" ]

# QEMU's NVMe model does not tell that its image is read-only: its error comes with the write.
read_only_export()
{
	cp "$image" "$dir/before"
	soon nbdcopy "$NAME" "$dir/out" && cmp "$dir/out" "$image" &&
		! soon nbdcopy "$dir/random" "$NAME" && cmp "$dir/before" "$image"
}
if start_server "$spec,readonly" nbd; then
	check "a read-only image is read, and a write of it fails" read_only_export
	stop_server
elif grep -q 'cannot be read-only' "$dir/server"; then
	skip "a read-only image is read, and a write of it fails" "$(cat "$dir/server")"
else
	reasons | not_ok "a read-only image is read, and a write of it fails"
fi

# ---- sudden ends ------------------------------------------------------------------------

port_is_free()
{
	! busybox nc -z 127.0.0.1 "$1" 2>/dev/null || return 1
}
port_of()
{
	local rest=${NAME##*:}
	echo "${rest%%/*}"
}

start_server "$spec" nbd
soon fio --name=busy --ioengine=nbd --uri="$NAME" --rw=randwrite --bs=64k --iodepth=16 --size=64M \
	--time_based --runtime=60 >"$dir/fio" 2>&1 &
client=$!
written()
{
	! cmp -s "$dir/before" "$image"
}
cp "$image" "$dir/before"
wait_for written
kill_server
check "kill -9: the client gets an error at once" wait_for gone $client
wait $client 2>/dev/null
check "kill -9: QEMU ends" wait_for gone "$qemu"
check "kill -9: the port is free" port_is_free "$(port_of)"

start_server "$spec" nbd
soon fio --name=busy --ioengine=nbd --uri="$NAME" --rw=randread --bs=64k --iodepth=16 --size=64M \
	--time_based --runtime=60 >"$dir/fio" 2>&1 &
client=$!
wait_for sh -c "[ -s '$dir/fio' ]; sleep 0.3"
kill -KILL "$qemu"
check "death of the device: the client gets I/O errors at once" wait_for gone $client
wait $client 2>/dev/null
check "death of the device: the export is still there and says so" \
	sh -c 'nbdinfo "$1" && ! nbdcopy "$1" /dev/null' sh "$NAME"
stop_server
finish
