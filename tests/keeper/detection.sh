#!/bin/bash
# SPDX-License-Identifier: BSD-2-Clause
#
# detection.sh OUTBOARD KILLS: what a keeper notices beside deaths and hangs: storms of interrupts, requests that are not answered, frames that are
# not sent, leaks.
. "${BASH_SOURCE[0]%/*}/../cli/tap.sh"
kills=$2
disk=$dir/disk

keeper_state() # EXPRESSION of k
{
	"$outboard" show "$pid" --json 2>/dev/null | python3 -c 'import json, sys; k = json.load(sys.stdin)["keeper"]; print(eval(sys.argv[1]))' "$1"
}

holds() # EXPRESSION of k
{
	[ "$(keeper_state "$1")" = True ]
}

client() # WRITES [DEPTH]: with no kills of its own; those that fail for a dead server are sent again
{
	"$kills" --target "$uri" --keeper "$pid" --log "$dir/acknowledged" --kills 0 --writes "$1" --depth "${2:-4}" --seed 5
}

run() # SPEC POLICY [SANDBOX]: injected storms and leaks make calls of their own, that no driver is allowed
{
	rm -f "$dir/acknowledged" "$disk"
	truncate -s 64M "$disk"
	# Heartbeats are slow here: another reason is what is asked for.
	serve run run "$1" --attach nbd --restart "on-failure,limit=0,backoff=0,heartbeat=5000,$2" --sandbox "${3:-auto}" || return
	uri=$(grep -o 'nbd://[^ ]*' "$dir/run")
}

reasons()
{
	cat "$dir/check"
	tail -n 5 "$dir/run"
}

end()
{
	"$outboard" stop --force "$pid" >/dev/null 2>&1
	ended
}

if run "fault[storm=50000]:qemu:nvme,file=$disk" storm=500 off; then
	check 'a storm is masked, again after it was let go, and nobody dies' wait_for holds 'k["storms"] >= 3 and k["deaths"] == 0'
	check 'it is told' grep -q 'interrupts a second without work; they are masked' "$dir/run"
	check 'the disk serves meanwhile' client 200
	check 'show tells a person' eval '"$outboard" show $pid | grep -q "interrupt storms: [0-9]"'
	end
fi

if run "fault[storm=50000]:qemu:nvme,file=$disk" storm=500,on-storm=restart off; then
	check 'a storm is a reason to restart, if so asked for' wait_for holds 'k["deaths_by"]["storm"] >= 2'
	check 'and the reason is told' holds '"interrupts a second without work" in k["last_death"]'
	end
fi

if run "qemu:nvme,file=$disk" age=30,memory=64M,descriptors=200; then
	check 'a control: under load, but with nothing wrong' client 5000
	check 'nothing is noticed' holds 'k["deaths"] == 0 and k["storms"] == 0 and k["iommu_faults"] == 0'
	end
fi

# Doorbells are lost: the device does not hear of a request, and with one at a time of no other. The driver has a time-out of its own,
# but it is more patient. A lost doorbell of a completion queue is harmless, hence so many.
if run "fault[write=1/100,after=400]:qemu:nvme,file=$disk" age=1; then
	check 'a client writes while doorbells are lost: nothing lost, no error' client 1200 1
	check 'requests without an answer were the reason to restart' wait_for holds 'k["deaths_by"]["age"] >= 1 and k["deaths"] == k["deaths_by"]["age"]'
	check 'and the reason is told' holds '"has not been answered for" in k["last_death"]'
	end
fi

# After so many accesses the card takes no register writes any more: it has a link, and its driver gives it frames, but it does not hear of them.
# Whoever answers is QEMU.
cat >"$dir/frames" <<'END'
while :; do
	ping -c 1 -W 1 10.0.2.2 >/dev/null && echo answered >>"$1"
	sleep 0.1
done
END
card() # SPEC OPTION...
{
	serve run run "$1" --attach tap,netns=new,address=10.0.2.15/24,up "${@:2}" -- sh "$dir/frames" "$dir/answers"
}
if card 'fault[write=1/1,after=1000]:qemu:e1000e,netdev=user' --restart on-failure,limit=0,backoff=0,heartbeat=5000,age=1; then
	check 'frames that a card does not send are a reason to restart' wait_for holds 'k["deaths_by"]["age"] >= 1'
	check 'and the reason is told' grep -q 'frames for fault.* have waited for .* and none is sent although it has a link' "$dir/run"
	answered=$(wc -l <"$dir/answers")
	answered_again() { [ "$(wc -l <"$dir/answers")" -gt "$answered" ]; }
	check 'the next process sends' wait_for answered_again
	end
fi

# A driver process cannot reach a QEMU that lives: each register reads as all ones, and nothing else tells.
export OUTBOARD_FAULT_POINTS='qtest.send=eio@3000'
if card qemu:e1000e,netdev=user --restart on-failure,limit=0,backoff=0,heartbeat=5000; then
	check 'a way to QEMU that is broken is a reason to restart' wait_for holds 'k["deaths_by"]["loop"] == 1 and k["deaths"] == 1'
	check 'and the reason is told' holds '"is gone while in use, for it alone: QEMU lives" in k["last_death"]'
	check 'as is what broke' grep -q 'cannot be reached: its qtest socket cannot be written: Input/output error' "$dir/run"
	answered=$(wc -l <"$dir/answers")
	check 'the next process has another' wait_for answered_again
	end
fi
export OUTBOARD_FAULT_POINTS='qtest.send=eio@3000+'
if card qemu:e1000e,netdev=user --restart on-failure,limit=3,backoff=0,heartbeat=5000; then
	check 'when no process can reach it any more the instance ends' wait_for gone "$pid"
	check 'after as many as the policy says' grep -q 'it was death number 4, and more than 3 in ' "$dir/run"
	ended
fi
if card qemu:e1000e,netdev=user --one-process; then
	check 'without a keeper it ends the instance' wait_for gone "$pid"
	ended
	check 'as a device that is gone' [ "$status" = 3 ]
fi

export OUTBOARD_FAULT_POINTS='nvme.after-doorbell=leak@1+'
if run "qemu:nvme,file=$disk" descriptors=40,memory=0 off; then
	check 'a client writes while descriptors leak: nothing lost, no error' client 1000
	check 'that was the reason to restart' wait_for holds 'k["deaths_by"]["leak"] >= 1 and k["deaths"] == k["deaths_by"]["leak"]'
	check 'and the reason is told' holds '"descriptors since it began to serve" in k["last_death"]'
	end
fi
if run "qemu:nvme,file=$disk" memory=16M,descriptors=0 off; then
	check 'a client writes while memory leaks: nothing lost, no error' client 1000
	check 'that was the reason to restart, too' wait_for holds 'k["deaths_by"]["leak"] >= 1 and "memory has grown by" in k["last_death"]'
	end
fi
finish
