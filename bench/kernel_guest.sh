#!/bin/bash
# SPDX-License-Identifier: BSD-2-Clause
#
# kernel_guest.sh disk|net BUILD [ATTACHMENT...]: what bench/kernel.sh runs in the rig. The same device twice in one boot: in the
# hands of the kernel's driver, then of Outboard's. Prints a line "SIDE<TAB>LOAD<TAB>JSON" for each load, in the order in which
# the marks come; "skip<TAB>SIDE<TAB>REASON" for what this kernel does not have.
set -u
kind=$1 build=$2
shift 2
outboard=$build/cli/outboard
client=$build/bench/outboard-bench-client
inprocess=$build/bench/outboard-bench-inprocess
quick=${BENCH_QUICK:-1}
# shellcheck source=bench/experiments/guest.bash
. "$(dirname "$0")/experiments/guest.bash"

load() # SIDE NAME COMMAND...
{
	local side=$1 name=$2 line
	shift 2
	if ! line=$("$@"); then
		echo "kernel_guest: $side, $name: failed" >&2
		exit 1
	fi
	printf '%s\t%s\t%s\n' "$side" "$name" "$line"
}

# A User-mode Linux with the device BDF by VFIO does COMMANDS, in bash, with $client. Prints what that said, which is JSON, with the number of
# the device's interrupts between two calls of "interrupts", the warming up among it.
in_uml() # BDF COMMANDS
{
	local dir=/dev/shm/uml try
	mkdir -p /dev/shm
	mountpoint -q /dev/shm || mount -t tmpfs -o exec shm /dev/shm || exit 1
	# Its memory is a file there, which it maps for the device at its own addresses. Where instructions are the
	# clock, it sometimes stands still, mostly with a console that is a file, which epoll does not take: a boot is made again, as long as nothing
	# was marked.
	for try in 1 2 3; do
		rm -rf "$dir" && mkdir "$dir"
		printf 'client=%s\n%s\n' "$client" "$2" >"$dir/commands"
		TMPDIR=/dev/shm timeout 60 "$BENCH_UML" mem=192M rootfstype=hostfs rootflags=/ rw "init=$(dirname "$0")/uml/init" "OUTBOARD_UML=$dir" \
			"vfio_uml.device=$1" con0=fd:0,fd:1 con=null </dev/null 2>&1 | cat >"$dir/console"
		[ ! -e "$dir/interrupts" ] || break
		echo "kernel_guest: User-mode Linux did not come up, try $try" >&2
	done
	if ! grep -qx 0 "$dir/status"; then
		tail -n 20 "$dir/console" "$dir/said" >&2
		return 1
	fi
	sed "s/}\$/, \"interrupts\": $(awk '{ n = $1 - n } END { print n }' "$dir/interrupts")}/" "$dir/said"
}

# ---- disks --------------------------------------------------------------------------

disk_loads() # SIDE DEVICE [CLIENT-OPTION...]
{
	local side=$1 path=$2
	shift 2
	load "$side" "4 KiB read, depth 32" "$client" --test disk --path "$path" "$@" --count $((20000 / quick))
	load "$side" "4 KiB write, depth 32" "$client" --test disk --path "$path" "$@" --op write --count $((20000 / quick))
	load "$side" "4 KiB read, depth 1" "$client" --test disk --path "$path" "$@" --depth 1 --count $((4000 / quick))
	load "$side" "4 KiB write, depth 1" "$client" --test disk --path "$path" "$@" --op write --depth 1 --count $((4000 / quick))
	load "$side" "128 KiB read, depth 32" "$client" --test disk --path "$path" "$@" --size 131072 --count $((4000 / quick))
	load "$side" "128 KiB write, depth 32" "$client" --test disk --path "$path" "$@" --op write --size 131072 --count $((4000 / quick))
}

disk()
{
	local attachment options spec driver
	modprobe nvme || exit 1
	wait_for test -b /dev/nvme0n1
	disk_loads kernel /dev/nvme0n1
	if [[ " $* " == *' ublk-shared '* ]]; then
		# Memory of the client's that the driver knows, for as many requests as are under way at the longest; in huge pages. What
		# that memory alone brings shows in a row of the kernel's driver.
		echo 2 >/proc/sys/vm/nr_hugepages
		mkdir -p /dev/hugepages && mount -t hugetlbfs huge /dev/hugepages && truncate -s 4M /dev/hugepages/clients || exit 1
		disk_loads kernel-huge /dev/nvme0n1 --memory /dev/hugepages/clients
	fi
	to_vfio "$RIG_NVME" || exit 1
	modprobe -r nvme
	load in-process "4 KiB read, depth 32" "$inprocess" --spec "vfio:$RIG_NVME" --test disk --count $((20000 / quick))
	load in-process "4 KiB write, depth 32" "$inprocess" --spec "vfio:$RIG_NVME" --test disk --op write --count $((20000 / quick))
	load in-process "4 KiB read, depth 1" "$inprocess" --spec "vfio:$RIG_NVME" --test disk --depth 1 --count $((4000 / quick))
	load in-process "128 KiB read, depth 32" "$inprocess" --spec "vfio:$RIG_NVME" --test disk --size 131072 \
		--count $((4000 / quick))
	if [ -n "$BENCH_LINUX" ]; then
		load linux "4 KiB read, depth 32" "$inprocess" --driver linux:nvme --spec "vfio:$RIG_NVME" --test disk --count $((20000 / quick))
		load linux "4 KiB write, depth 32" "$inprocess" --driver linux:nvme --spec "vfio:$RIG_NVME" --test disk --op write --count $((20000 / quick))
		load linux "4 KiB read, depth 1" "$inprocess" --driver linux:nvme --spec "vfio:$RIG_NVME" --test disk --depth 1 \
			--count $((4000 / quick))
		load linux "128 KiB read, depth 32" "$inprocess" --driver linux:nvme --spec "vfio:$RIG_NVME" --test disk --size 131072 \
			--count $((4000 / quick))
	fi
	if [ -n "$BENCH_UML" ]; then
		for depth in 32 1; do
			load uml "4 KiB read, depth $depth" in_uml "$RIG_NVME" \
				"mount -t devtmpfs dev /mnt; interrupts; \$client --test disk --path /mnt/nvme0n1 --depth $depth --count $((4000 / quick)); interrupts"
		done
	fi
	# What they need, where the kernel has it.
	modprobe -aq vduse virtio_vdpa virtio_blk nbd
	for attachment in "$@" ${BENCH_LINUX:+"linux $1"}; do
		export -f disk_loads load
		export client quick
		options='' spec=${attachment#linux }
		driver=''
		[ "$spec" = "$attachment" ] || driver='--driver linux:nvme'
		if [ "$attachment" = ublk-shared ]; then
			options='--memory /dev/hugepages/clients' spec=ublk,share=/dev/hugepages/clients
		fi
		# shellcheck disable=SC2086
		"$outboard" run "vfio:$RIG_NVME" $driver --attach "$spec" --quiet --json="$RIG_RESULTS/$attachment.json" -- \
			bash -c "disk_loads '$attachment' \$OUTBOARD_DEV $options" 2>"$RIG_RESULTS/err"
		case $? in
		0) ;;
		5) printf 'skip\t%s\t%s\n' "$attachment" "$(head -n 1 "$RIG_RESULTS/err")" ;;
		*) cat "$RIG_RESULTS/err" >&2; exit 1 ;;
		esac
	done
}

# ---- networks ------------------------------------------------------------------------

# The card under test is in the namespace "own", its peer, always the kernel's, in "peer".
net_loads() # SIDE INTERFACE
{
	load "$1" "frames of 64 bytes, sent" ip netns exec own "$client" --test frames --path "$2" --size 64 \
		--count $((20000 / quick))
	load "$1" "TCP, sent" "$client" --test tcp --from-ns own --to-ns peer --to 10.7.0.2 --size 65536 --count $((600 / quick))
	load "$1" "TCP, received" "$client" --test tcp --from-ns peer --to-ns own --to 10.7.0.1 --size 65536 --count $((600 / quick))
	load "$1" "UDP 1400, sent" "$client" --test udp --from-ns own --to-ns peer --to 10.7.0.2 --size 1400 --count $((8000 / quick))
	load "$1" "UDP 1400, received" "$client" --test udp --from-ns peer --to-ns own --to 10.7.0.1 --size 1400 --count $((8000 / quick))
	load "$1" "UDP ping" "$client" --test ping --from-ns own --to-ns peer --to 10.7.0.2 --size 56 --count $((2000 / quick))
}

forward_of() # SIDE INPROCESS-OPTION...
{
	local side=$1
	shift
	load "$side" "64 bytes forwarded, twice" "$inprocess" "$@" --test forward --size 64 --count $((20000 / quick))
}

net()
{
	local own peer attachment spec driver module=e1000e ours=$RIG_E1000E theirs=$RIG_E1000_82545EM
	if [ "$BENCH_CARD" = e1000-82545em ]; then
		module=e1000 ours=$RIG_E1000_82545EM theirs=$RIG_E1000E
	fi
	modprobe e1000e && modprobe e1000 || exit 1
	two_cards "$ours" "$theirs"
	net_loads kernel "$own"
	# Frames go round between the two, and nobody else has to make any.
	sends_back peer "$peer"
	sends_back own "$own"
	load kernel "64 bytes forwarded, twice" ip netns exec own "$client" --test forward --path "$own" --size 64 --count $((20000 / quick))
	sends_back_no_more own "$own"
	own_to_vfio "$ours"
	modprobe -r "$module"
	load in-process "frames of 64 bytes, sent" "$inprocess" --spec "vfio:$ours" --test frames --size 64 \
		--count $((20000 / quick))
	[ -z "$BENCH_LINUX" ] || load linux "frames of 64 bytes, sent" "$inprocess" --driver "linux:$module" --spec "vfio:$ours" --test frames \
		--size 64 --count $((20000 / quick))
	forward_of in-process --spec "vfio:$ours"
	[ -z "$BENCH_LINUX" ] || forward_of linux --driver "linux:$module" --spec "vfio:$ours"
	[ -z "$BENCH_UML" ] || load uml "64 bytes forwarded, twice" in_uml "$ours" "$(declare -f sends_back)
		modprobe() { :; } # all is in it
		ip link set eth0 up
		for i in \$(seq 100); do ip link show eth0 | grep -q LOWER_UP && break; sleep 0.1; done
		sends_back '' eth0 && interrupts && \$client --test forward --path eth0 --size 64 --count $((20000 / quick)) && interrupts"
	# Nothing of the system's is in the way of one that polls, so what the kernel executes then is the peer's part.
	forward_of "(peer)" --spec "vfio:$ours" --wait poll
	sends_back_no_more peer "$peer"
	for attachment in "$@" ${BENCH_LINUX:+"linux $1"}; do
		export -f net_loads load settled wait_for
		export client quick
		# It takes vhost-net by itself where it can.
		spec=${attachment#linux } driver=''
		[ "$spec" = "$attachment" ] || driver="--driver linux:$module"
		[ "$spec" != tap ] || spec=tap,vhost=off
		# shellcheck disable=SC2016,SC2086
		"$outboard" run "vfio:$ours" $driver --attach "$spec,netns=own,address=10.7.0.1/24" --quiet \
			--json="$RIG_RESULTS/$attachment.json" -- \
			bash -c "ip -n own link set \$OUTBOARD_IF up; wait_for settled; net_loads '$attachment' \$OUTBOARD_IF" \
			2>"$RIG_RESULTS/err"
		case $? in
		0) ;;
		5) printf 'skip\t%s\t%s\n' "$attachment" "$(head -n 1 "$RIG_RESULTS/err")" ;;
		*) cat "$RIG_RESULTS/err" >&2; exit 1 ;;
		esac
	done
}

"$kind" "$@"
