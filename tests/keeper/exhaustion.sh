#!/bin/bash
# SPDX-License-Identifier: BSD-2-Clause
#
# exhaustion.sh OUTBOARD KILLS GREEDY.so SANITIZERS: drivers that take all that there is of memory, descriptors or threads. Their process is
# ended, or does not begin; what it took is named; another serves, and the client sees nothing of it.
. "${BASH_SOURCE[0]%/*}/../cli/tap.sh"
kills=$2 greedy=$(readlink -f "$3")
case $4 in
*address*)
	echo '1..0 # SKIP sanitizers take memory without limit, and the object is one without'
	exit 0
	;;
esac
chmod o+r "$greedy"
disk=$dir/disk

keeper_state() # KEY
{
	"$outboard" show "$pid" --json 2>/dev/null | python3 -c 'import json, sys; print(json.load(sys.stdin)["keeper"][sys.argv[1]])' "$1"
}

reasons()
{
	cat "$dir/check"
	tail -n 8 "$dir/run"
}

client() # WRITES: those that fail for a dead server are sent again
{
	"$kills" --target "$uri" --keeper "$pid" --log "$dir/acknowledged" --kills 0 --writes "$1" --seed 5
}

died() # TIMES
{
	[ "$(keeper_state deaths)" -ge "$1" ] 2>/dev/null
}

names() # PATTERN: of the last death, as show tells it to a person
{
	"$outboard" show "$pid" >"$dir/shown" 2>&1
	grep -qE "$1" "$dir/shown"
}

# A socket with a name, which a process that cannot begin is not to take away. The first driver process, or the one that follows the first, takes all; the client writes before, meanwhile and afterwards.
greed() # WHAT POINT@PASSING SANDBOX NAMED-AS
{
	rm -f "$dir/acknowledged" "$disk"
	truncate -s 64M "$disk"
	export OUTBOARD_FAULT_POINTS="$2"
	# Heartbeats are slow here: another reason is what is asked for.
	serve run run "qemu:nvme,file=$disk" --driver "$greedy" --attach "nbd,socket=$dir/socket" --restart on-failure,limit=0,backoff=0,heartbeat=5000 \
		--sandbox "$3" || {
		not_ok "$1: it serves" <"$dir/run"
		return
	}
	uri=$(grep -o 'nbd+unix://[^ ]*' "$dir/run")
	# One that is greedy at its start does not follow by itself.
	case $2 in *early*) kill -KILL "$(drivers)" ;; esac
	check "$1: a client writes, nothing lost, no error" client 500
	check "$1: its process has died of it" wait_for died 1
	check "$1: show says of what" wait_for names "$4"
	check "$1: and the client goes on" client 200
	"$outboard" stop --force "$pid" >/dev/null 2>&1
	ended
}

drivers()
{
	local child
	for child in $(children "$pid"); do
		[ "$(cat "/proc/$child/comm" 2>/dev/null)" != outboard-driver ] || echo "$child"
	done
}

# Which of the two ends it first depends on what the system has: the cgroup counts shared memory, too.
greed 'memory while it serves' 'greedy.memor*=enomem@1' auto,memory=64M \
	'it leaks: it has taken [0-9]+ of the 64 MiB of memory that it may have|it used more memory than its cgroup may'
greed 'descriptors while it serves' 'greedy.descriptor*=enomem@1' auto 'signal 31 .*: it made a system call that its sandbox forbids'
ulimit -S -n 300
greed 'descriptors while it serves, without a sandbox' 'greedy.descriptor*=enomem@1' off 'it leaks: it has opened all 300 descriptors that it may have'
greed 'descriptors while it is bound' 'greedy.early-descriptor*=enomem@2' auto 'it could not begin: .*Too many open files'
greed 'threads while it is bound' 'greedy.early-thread*=enomem@2' auto 'it could not begin: .*(thread|Resource temporarily)'

# A control: what clients take is no greed, and there is room for all that may come.
all_greeted() # CLIENTS
{
	python3 - "${uri##*:}" "$1" <<'END'
import socket, sys
socket.setdefaulttimeout(30)
clients = [socket.create_connection(("127.0.0.1", int(sys.argv[1]))) for _ in range(int(sys.argv[2]))]
sys.exit(any(c.recv(8) != b"NBDMAGIC" for c in clients))
END
}
unset OUTBOARD_FAULT_POINTS
if serve run run qemu:nvme,null=64M --attach nbd,connections=64 --restart on-failure,limit=0,heartbeat=5000; then
	uri=$(grep -o 'nbd://[^ ]*' "$dir/run")
	check 'a control: as many clients of NBD as may come are served in the sandbox' all_greeted 64
	check 'and its process lives' eval '[ "$(keeper_state deaths)" = 0 ]'
	"$outboard" stop --force "$pid" >/dev/null 2>&1
	ended
fi
finish
