#!/bin/bash
# SPDX-License-Identifier: BSD-2-Clause
#
# restart.sh OUTBOARD KILLS NVME.so WRONG.so: `outboard run --restart` from outside. Driver processes are killed, stopped and replaced under
# clients of a disk and of a network interface, who notice a pause and nothing else.
. "${BASH_SOURCE[0]%/*}/../cli/tap.sh"
kills=$2 next=$3 wrong=$4
disk=$dir/disk
# Heartbeats are slow here: a loop that waits for a QEMU that a busy machine does not let run looks as if it hung.
truncate -s 64M "$disk"

drivers() # PID: of the keeper
{
	local child
	for child in $(children "$1"); do
		[ "$(cat "/proc/$child/comm" 2>/dev/null)" != outboard-driver ] || echo "$child"
	done
}

keeper_state() # KEY
{
	"$outboard" show "$pid" --json | python3 -c 'import json, sys; print(json.load(sys.stdin)["keeper"][sys.argv[1]])' "$1"
}

state_is() # KEY VALUE
{
	[ "$(keeper_state "$1" 2>/dev/null)" = "$2" ]
}

# ---- what is said of policies ------------------------------------------------------------------------

ob run qemu:nvme,null=1M --restart sometimes
expect 'a policy that there is not' 2 "'sometimes' is none of never, or on-failure"
ob run qemu:nvme,null=1M --restart on-failure,often=3
expect 'an option that there is not' 2 often
ob run qemu:nvme,null=1M --restart on-failure,limit=1000
expect 'a limit beyond what is counted' 2 limit

# ---- a disk ---------------------------------------------------------------------------------------------

client() # KILLS
{
	"$kills" --target "$uri" --keeper "$pid" --log "$dir/acknowledged" --kills "$1" --seed 5
}

if serve run run "qemu:nvme,file=$disk" --attach nbd --restart on-failure,limit=0,backoff=0,heartbeat=2000; then
	uri=$(grep -o 'nbd://[^ ]*' "$dir/run")
	check '40 kills while a client writes: nothing lost, no error' client 40
	check 'they were counted, and it serves' eval 'state_is deaths 40 && state_is state serving'
	check 'it is one keeper and one driver process' eval '[ "$(drivers $pid | wc -l)" = 1 ]'
	check 'show tells a person' eval '"$outboard" show $pid | grep -q "driver process [0-9]*, the 41st; 40 died, 0 of them hung"'

	kill -STOP "$(drivers "$pid")"
	check 'a driver process that is stopped is noticed, and another serves' wait_for eval 'state_is hangs 1 && state_is state serving'
	check 'and the reason is told' eval 'keeper_state last_death | grep -q "its thread is stopped"'
	check 'clients go on' client 1

	ob upgrade "$pid" --driver "$next" --json
	check 'an upgrade to the driver in a file' eval '[ $status = 0 ] && is_json "$dir/out" && grep -q pause_ms "$dir/out"'
	check 'it is what serves now' eval '"$outboard" show $pid --json | grep -q "\"upgrades\": *1"'
	ob upgrade "$pid" --driver "$wrong"
	expect 'a driver for other devices: the one before serves again' 1 'does not come up; the one before serves again' 'does not drive'
	check 'clients go on after it' client 1
	ob upgrade "$pid" --driver /nowhere/driver.so
	expect 'a file that there is not' 5 'No such file'
	ob upgrade "$pid" --device 3 --driver nvme
	expect 'a device that there is not' 2 'no number 3'
	ob upgrade nobody --driver nvme
	expect 'an instance that there is not' 1 nobody
	upgrades()
	{
		"$kills" --target "$uri" --keeper "$pid" --log "$dir/acknowledged" --kills 10 --seed 5 \
			--with "$outboard upgrade $pid --driver $next"
	}
	check 'ten upgrades while the client writes: nothing lost, no error' upgrades

	kill -INT "$pid"
	ended
	check 'interrupted, it ends in order' [ "$status" -lt 128 ]
fi

# ---- policies ---------------------------------------------------------------------------------------------

next_driver() # PID-BEFORE
{
	local now
	now=$(drivers "$pid")
	[ -n "$now" ] && [ "$now" != "$1" ] && state_is state serving
}

if serve run run qemu:nvme,null=1M --attach nbd --restart on-failure,limit=2,backoff=0,heartbeat=0; then
	for i in 1 2; do
		before=$(drivers "$pid")
		kill -KILL "$before"
		check "death $i is followed by another process" wait_for next_driver "$before"
	done
	kill -KILL "$(drivers "$pid")"
	check 'the third is not' ended
	check 'it says so' eval '[ $status = 1 ] && grep -q "death number 3, and more than 2 in 60 s" "$dir/run" && grep -q "signal 9" "$dir/run"'
fi
rm "$dir/acknowledged"
if serve run run "qemu:nvme,file=$disk" --attach nbd --restart never; then
	uri=$(grep -o 'nbd://[^ ]*' "$dir/run")
	check 'a control: without a second process the client fails' eval '! "$kills" --target "$uri" --keeper "$pid" \
		--log "$dir/acknowledged" --kills 1 --every 0 --patience 1 >"$dir/control" 2>&1 && grep -q "client_errors\":[1-9]" "$dir/control"'
	ended
fi
if serve run run qemu:nvme,null=1M --attach nbd --restart never; then
	kill -KILL "$(drivers "$pid")"
	check 'never is never' ended
	check 'and what would be' eval '[ $status = 1 ] && grep -q -- "--restart=on-failure" "$dir/run"'
fi
# ---- what no restart mends -------------------------------------------------------------------------------------

qemu_dies() # then a driver process that has not seen it
{
	local driver qemu
	driver=$(drivers "$pid")
	qemu=$(qemu_of "$pid")
	kill -STOP "$driver"
	kill -KILL "$qemu"
	# It is a zombie before its last thread has ended, when it still has its sockets.
	wait_for grep -q "error: qemu:nvme: QEMU (pid $qemu) was ended" "$dir/run" || return
	kill -KILL "$driver"
	ended
	[ "$status" = 3 ] && [ "$(grep -c 'driver process [0-9]* died' "$dir/run")" = 1 ] &&
		grep -q 'qemu:nvme is gone while in use' "$dir/run" && grep -q "because: QEMU (pid $qemu) was ended by signal 9" "$dir/run" && return
	echo "status $status"
	cat "$dir/run"
	return 1
}
loses_qemu()
{
	local code
	serve run run qemu:nvme,null=1M --attach nbd --restart on-failure,limit=0,backoff=0,heartbeat=0 && qemu_dies
	code=$?
	kill -KILL "$pid" 2>/dev/null
	return $code
}
check 'a device that is gone with its QEMU: the instance ends, and says what happened' loses_qemu
# COMMAND has its driver process killed as it ends, and no later one comes so far as to take back what was attached.
dies_at_end()
{
	OUTBOARD_FAULT_POINTS='device.opened=segv@2+' timeout -s KILL 100 "$outboard" run qemu:nvme,null=1M --attach nbd \
		--restart on-failure,limit=0,backoff=0 -- sh -c 'kill -KILL $(cat /proc/$OUTBOARD_PID/task/*/children | tr " " "\n" |
			while read p; do grep -lx outboard-driver /proc/$p/comm; done 2>/dev/null | cut -d/ -f3)' >"$dir/run" 2>&1
	status=$?
	[ "$status" = 1 ] && grep -q 'the instance was ending, and 5 driver processes died' "$dir/run"
}
check 'COMMAND has ended, and driver processes die all the time: the instance ends' dies_at_end
if serve run run qemu:nvme,null=1M --attach nbd --restart on-failure; then
	everything=$(children "$pid")
	kill -KILL "$pid"
	all_gone()
	{
		local p
		for p in $everything; do
			gone "$p" || return
		done
	}
	check 'a keeper that is killed takes all with it' wait_for all_gone
fi
ob run qemu:nvme,null=1M --attach nbd,port=70000 --restart on-failure
expect 'what cannot begin is told as without a keeper' 2 70000
handed_over()
{
	python3 - "$outboard" <<'END'
import socket, subprocess, sys
ours, theirs = socket.socketpair()
run = subprocess.run([sys.argv[1], "run", "qemu:nvme,null=1M", "--attach", f"nbd,fd={theirs.fileno()}", "--restart", "on-failure"],
                     pass_fds=[theirs.fileno()], stderr=subprocess.PIPE, text=True, timeout=60)
sys.exit(run.returncode != 5 or "hand over a listening socket" not in run.stderr)
END
}
check 'a connection that is handed over could not be gone on with' handed_over
ob run qemu:edu --driver "$wrong.not" --attach nbd --restart on-failure
expect 'a driver that there is not' 5 "$wrong.not"
ob upgrade --driver nvme
expect 'which instance?' 2 'which instance'

# ---- an end while driver processes die, one after the other --------------------------------------------------

# Its first driver process dies when it serves; those after it as they begin, or in their loop, too.
ends() # POINTS BACKOFF
{
	local deaths='[ $(grep -c " died: " "$dir/run") -ge 2 ]'
	export OUTBOARD_FAULT_POINTS=$1
	serve run run "qemu:nvme,file=$disk" --attach nbd --restart "on-failure,limit=0,backoff=$2,most=$2,heartbeat=0" || return
	kill -KILL $(drivers "$pid")
	wait_for eval "$deaths" || return
	kill -TERM "$pid"
	# Not after the back-offs of the last ones, which are minutes.
	wait_for gone "$pid"
}
check 'it ends although its driver processes die as they begin' ends device.opened=segv@2+ 0
check 'and although each waits for a back-off' ends device.opened=segv@2+ 60000
check 'it ends although they die as they serve' ends loop.wait=segv@100+ 0
unset OUTBOARD_FAULT_POINTS

# ---- a network interface --------------------------------------------------------------------------------------

# As a driver leaves it that has lost its link, and then dies.
carrier_comes_back()
{
	timeout -s KILL 100 "$outboard" run -q qemu:e1000e,netdev=user --attach tap,netns=new --restart on-failure,heartbeat=2000 -- bash -c '
		has_carrier() { ip link show dev "$OUTBOARD_IF" | grep -q LOWER_UP; }
		gets_carrier() { for i in $(seq 200); do has_carrier && return; sleep 0.1; done; return 1; }
		ip link set dev "$OUTBOARD_IF" up && gets_carrier || exit 10
		ip link set dev "$OUTBOARD_IF" carrier off && ! has_carrier || exit 11
		for child in $(cat /proc/$OUTBOARD_PID/task/$OUTBOARD_PID/children); do
			[ "$(cat /proc/$child/comm)" != outboard-driver ] || kill -KILL "$child"
		done
		gets_carrier || exit 12' >"$dir/run" 2>&1
	status=$?
	[ "$status" = 0 ]
}
check 'an interface without a carrier has one when its next driver process has a link' carrier_comes_back
check 'a download by TCP survives five kills; interface, address and route stay' \
	"${BASH_SOURCE[0]%/*}/../campaign/kept_download.sh" "$outboard" 48 5
finish
