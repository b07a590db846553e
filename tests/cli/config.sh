#!/bin/bash
# SPDX-License-Identifier: BSD-2-Clause
#
# config.sh OUTBOARD: `outboard run --config`: what a file says is done, what is typed goes before it, and what is wrong is named with its line.
. "${BASH_SOURCE[0]%/*}/tap.sh"
file=$dir/some-disk.conf

write() # FILE'S TEXT
{
	printf '%b' "$1" >"$file"
}

wrong() # NAME TEXT ERROR...
{
	local name=$1
	write "$2"
	shift 2
	ob run --config "$file"
	expect "$name" 2 "$@"
}

state() # EXPRESSION of s
{
	[ "$("$outboard" show "$pid" --json | python3 -c 'import json, sys; s = json.load(sys.stdin); print(eval(sys.argv[1]))' "$1")" = True ]
}

# ---- what is wrong ----------------------------------------------------------------------------------------

wrong 'a line that is no setting' '[instance]\n\nmode poll\n' 'some-disk.conf:3' "'mode poll' is no setting" 'KEY = VALUE'
wrong 'a setting outside of all sections' '# one\nmode = poll\n' 'some-disk.conf:2' 'in front of the first'
wrong 'a section that there is not' '[devices]\n' 'some-disk.conf:1' '[devices]' 'instance, device, restart and sandbox'
wrong 'a section without an end' '[device\n' 'some-disk.conf:1' "'[device' is no section"
wrong 'an option that there is not' '[instance]\nmod = poll\n' 'some-disk.conf:2' "did you mean '--mode'"
wrong 'a value that is none' '[instance]\nmode = fast\n' 'some-disk.conf:2' 'fast'
wrong 'a switch that is neither on nor off' '[instance]\nquiet = maybe\n' 'some-disk.conf:2' 'neither yes nor no'
wrong 'a number that is none' '[instance]\nqueues = many\n' 'some-disk.conf:2' 'many'
wrong 'an option of the policy that there is not' '[restart]\nlimit = 3\n\noften = 3\n' 'some-disk.conf:4' often
wrong 'a policy that there is not' '[restart]\nlimit = 3\npolicy = sometimes\n' 'some-disk.conf:3' sometimes
wrong 'several settings in one' '[restart]\nlimit = 3,within=5\n' 'some-disk.conf:2' 'a comma'
wrong 'a device without a specification' '[device]\ndriver = nvme\n' 'some-disk.conf:2' 'spec comes first'
wrong 'a device with two' '[device]\nspec = qemu:edu\nspec = qemu:edu\n' 'some-disk.conf:3' 'a second spec'
wrong 'a setting that devices do not have' '[device]\nspec = qemu:edu\nmode = poll\n' 'some-disk.conf:3' "no setting 'mode'"
wrong 'another file' '[instance]\nconfig = other\n' 'some-disk.conf:2' 'cannot name another'
wrong 'no device at all' '[instance]\nmode = poll\n' 'A SPEC is missing'
ob run --config "$dir/nowhere.conf"
expect 'a file that there is not' 5 nowhere.conf 'No such file'
ob run --config nowhere
expect 'a name is one in /etc/outboard' 5 /etc/outboard/nowhere.conf
ob run --config "$file" --config "$file"
expect 'two files' 2 'given twice'
head -c 100000 /dev/zero | tr '\0' '#' >"$file"
ob run --config "$file"
expect 'a file that is too long' 1 'longer than'
printf '[inst\0ance]\n' >"$file"
ob run --config "$file"
expect 'a file that is no text' 2 'is no text'
write '[instance]\nmode = fast\n'
ob run --config "$file" --json
check 'errors as JSON have the place, too' eval '[ $status = 2 ] && is_json "$dir/out" && grep -q "some-disk.conf:2" "$dir/out"'

# ---- what is done -----------------------------------------------------------------------------------------

write '# a disk\n[instance]\n mode=interrupt \nquiet = no\n\n[device]\nspec = qemu:nvme,null=1M\ndriver = nvme\nattach = nbd\n\n[device]\nspec = qemu:piix3-ide,null=2M\nattach = nbd\n\n[restart]\npolicy = on-failure\nlimit = 7\nheartbeat = 5000\n'
if serve run run --config "$file"; then
	check 'both devices serve' eval '[ "$(grep -c " through nbd" "$dir/run")" = 2 ]'
	check 'the mode is the one of the file' state 's["mode"] == "interrupt"'
	check 'its name is the file'"'"'s' state 's["name"] == "some-disk"'
	check 'and the policy is' state 's["keeper"]["limit"] == 7 and s["keeper"]["heartbeat_ms"] == 5000'
	"$outboard" stop some-disk >/dev/null
	check 'it is stopped by its name' ended
fi
if serve run run --config "$file" --mode adaptive --restart on-failure,limit=3,heartbeat=5000 --name other qemu:nvme,null=4M --attach nbd; then
	check 'what is typed goes before it: devices' eval '[ "$(grep -c " through nbd" "$dir/run")" = 1 ] && grep -q "4 MiB" "$dir/run"'
	check 'and the rest' state 's["mode"] == "adaptive" and s["name"] == "other" and s["keeper"]["limit"] == 3'
	"$outboard" stop other >/dev/null
	check 'it ends' ended
fi
finish
