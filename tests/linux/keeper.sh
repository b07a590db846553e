#!/bin/bash
# SPDX-License-Identifier: BSD-2-Clause
#
# keeper.sh OUTBOARD KILLS: unmodified drivers of the Linux kernel below a keeper: killed under a client who writes to a disk, replaced by the
# native driver and back under it, killed under a download. Skipped where neither the drivers nor the profiles of their classes are built.
kills=$2
# shellcheck source=tests/cli/tap.sh
. "$(dirname "$0")/../cli/tap.sh"
# shellcheck source=tests/linux/object.sh
. "$(dirname "$0")/object.sh"
object_of nvme block 6.12
disk_driver=linux:$object
object_of e1000e net 6.12
net_driver=linux:$object
truncate -s 64M "$dir/disk"

client() # KILLS [OPTION...]
{
	"$kills" --target "$uri" --keeper "$pid" --log "$dir/acknowledged" --seed 7 --kills "$@"
}

# In turn the one and the other.
cat >"$dir/replace" <<'END'
#!/bin/bash
if mkdir "$dir/native" 2>/dev/null; then
	exec "$outboard" upgrade "$1" --driver nvme
fi
rmdir "$dir/native"
exec "$outboard" upgrade "$1" --driver "$disk_driver"
END
chmod +x "$dir/replace"
export dir outboard disk_driver

if serve run run "qemu:nvme,file=$dir/disk" --driver "$disk_driver" --attach nbd --restart on-failure,limit=0,backoff=0,heartbeat=5000; then
	uri=$(grep -o 'nbd://[^ ]*' "$dir/run")
	check 'ten kills of the kernel'\''s nvme driver while a client writes: nothing lost, no error' client 10
	check 'six upgrades, to the native driver and back, while it writes: nothing lost, no error' client 6 --with "$dir/replace $pid"
	check 'it is the kernel'\''s that serves' eval '"$outboard" show $pid --json | grep -q "\"driver\": *\"linux:"'
	kill -INT "$pid"
	ended
	check 'interrupted, it ends in order' [ "$status" -lt 128 ]
fi
check 'a download by TCP survives three kills of the kernel'\''s e1000e driver' \
	"$(dirname "$0")/../campaign/kept_download.sh" "$outboard" 32 3 4 --driver "$net_driver"
finish
