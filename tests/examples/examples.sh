#!/bin/bash
# SPDX-License-Identifier: BSD-2-Clause
#
# examples.sh BUILD SOURCE ECHO_PEER: the examples do what they say, from the build directory and compiled
# by hand against an installed tree with nothing but pkg-config. Prints TAP.
set -u

build=$1 source=$2 peer=$3
. "$(dirname "$0")/../checks.sh"
server=
trap '[ -z "$server" ] || kill $server; rm -rf "$dir"' EXIT

reads_the_disk() # FOLDER SPEC
{
	"$1/disk-read" "$2" 1049088 1500160 >"$dir/out" &&
		dd if="$dir/disk.img" bs=512 skip=2049 count=2930 status=none | cmp - "$dir/out"
}

fails_with() # EXIT-CODE TEXT COMMAND...
{
	local code=$1 text=$2 got
	shift 2
	"$@" >"$dir/out" 2>"$dir/err"
	got=$?
	cat "$dir/err"
	[ $got -eq "$code" ] && grep -q -- "$text" "$dir/err"
}

computes()
{
	[ "$("$1/linked-driver")" = "10! = 3628800" ] && [ "$("$1/linked-driver" 12)" = "12! = 479001600" ]
}

# A web server on this machine's loopback, as 10.0.2.100 on QEMU's user network.
serve_disk()
{
	python3 -u - "$dir" >"$dir/port" 2>/dev/null <<'PY' &
import functools, http.server, sys
handler = functools.partial(http.server.SimpleHTTPRequestHandler, directory=sys.argv[1])
s = http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler)
print(s.server_port)
s.serve_forever()
PY
	server=$!
	disown
	wait_for test -s "$dir/port"
}

fetches() # FOLDER
{
	soon "$1/http-get" "qemu:e1000e,netdev=user,fwd=10.0.2.100:80-$(cat "$dir/port")" 10.0.2.100 /disk.img |
		cmp - "$dir/disk.img"
}

all_examples() # FOLDER WHERE
{
	check "$2: disk-read reads an NVMe disk" reads_the_disk "$1" "qemu:nvme,file=$dir/disk.img"
	check "$2: disk-read reads an IDE disk" reads_the_disk "$1" "qemu:piix3-ide,file=$dir/disk.img"
	check "$2: linked-driver computes with its own driver" computes "$1"
	check "$2: nic-echo returns every frame" "$peer" "$1/nic-echo" e1000e 500
	check "$2: http-get fetches a file, byte for byte" fetches "$1"
}

head -c 4194304 /dev/urandom >"$dir/disk.img"
serve_disk
all_examples "$build/examples" built
check "http-get refuses a disk" \
	fails_with 1 'no network card' "$build/examples/http-get" "qemu:nvme,file=$dir/disk.img" 10.0.2.2
check "disk-read tells of an image that is not there" \
	fails_with 1 /nowhere "$build/examples/disk-read" qemu:nvme,file=/nowhere 0 512
check "disk-read tells of a range beyond the end" \
	fails_with 1 4194304 "$build/examples/disk-read" "qemu:nvme,file=$dir/disk.img" 4194304 512
check "linked-driver tells of what it cannot compute" \
	fails_with 1 '13!' "$build/examples/linked-driver" 13
check "nic-echo refuses a disk" \
	fails_with 1 'no network card' "$build/examples/nic-echo" "qemu:nvme,file=$dir/disk.img"

# A newcomer's way: installed library, pkg-config, one line.
compile_all()
{
	local pc example package flags=()
	meson install -C "$build" --no-rebuild --destdir "$dir/root" || return 1
	pc=$(find "$dir/root" -name outboard.pc)
	[ -n "$pc" ] || return 1
	export PKG_CONFIG_PATH=${pc%/*} PKG_CONFIG_SYSROOT_DIR=$dir/root
	lib=$(dirname "${pc%/*}")
	# A library with sanitizers in it needs a program that has them, too.
	nm -D "$lib/liboutboard.so" | grep -q __asan_init && flags=(-fsanitize=address,undefined)
	mkdir "$dir/bin"
	for example in disk-read linked-driver nic-echo http-get; do
		package=outboard
		[ $example != http-get ] || package=outboard-stack
		# shellcheck disable=SC2046 # words are wanted
		"${CC:-cc}" -Wall -Werror "${flags[@]}" "$source/examples/$example.c" -o "$dir/bin/$example" \
			$(pkg-config --cflags --libs $package) || return 1
	done
}
check "installed: every example compiles with pkg-config alone" compile_all
export LD_LIBRARY_PATH=${lib:-/nowhere}
all_examples "$dir/bin" installed
finish_checks
