#!/bin/bash
# SPDX-License-Identifier: BSD-2-Clause
#
# What a keeper sees of a device of this machine (VFIO): messages as the kernel counts them, which are masked when they are too many, and
# what the kernel's log says of the IOMMU. With a limit of 1 interrupt a second the disk's own are a storm now and then. The line in the
# log is written here: our drivers do nothing that would make the kernel write it (tests/rig/vfio_isolation.sh does, and reads the same).
#
# rig-device: nvme,empty=64M
# rig-modprobe: vfio-pci vfio_iommu_type1
# rig-timeout: 600
set -u
. tests/checks.sh
"$OUTBOARD" bind "$RIG_NVME" >"$dir/log" 2>&1 || sed 's/^/# /' "$dir/log"

keeper=
start() # POLICY
{
	: >"$dir/said" # what the last one said is not this one's word
	"$OUTBOARD" run "vfio:$RIG_NVME" --attach nbd --restart "on-failure,limit=0,backoff=0,heartbeat=5000,$1" >"$dir/said" 2>"$dir/err" &
	keeper=$!
	wait_for eval 'grep -q " through nbd" "$dir/said" || gone $keeper' && uri=$(grep -o 'nbd://[^ ]*' "$dir/said")
}
stop()
{
	"$OUTBOARD" stop --force "$keeper" && wait_for gone "$keeper"
}
holds() # EXPRESSION of k
{
	[ "$("$OUTBOARD" show "$keeper" --json 2>/dev/null | python3 -c 'import json, sys; k = json.load(sys.stdin)["keeper"]; print(eval(sys.argv[1]))' "$1")" = True ]
}
reasons()
{
	cat "$dir/check"
	tail -n 5 "$dir/said" "$dir/err"
}
counted()
{
	local irq sum=0
	for irq in "/sys/bus/pci/devices/$RIG_NVME/msi_irqs/"*; do
		sum=$((sum + $(tr , + <"/sys/kernel/irq/${irq##*/}/per_cpu_count")))
	done
	[ $sum -gt 0 ]
}
read_all()
{
	soon nbdcopy "$uri" null:
}

check 'it serves' start iommu-fault=restart
check 'the disk is read' read_all
check 'the kernel counts its messages where the keeper looks' counted
check 'nothing is noticed' holds 'k["deaths"] == 0 and k["storms"] == 0 and k["iommu_faults"] == 0'
tell() # BDF
{
	echo "DMAR: [DMA Write NO_PASID] Request device [$1] fault addr 0x2000000 [fault reason 0x05] PTE Write access is not set" >/dev/kmsg
}
check "another device's access is blocked" tell 7f:1f.7
check 'an access of the disk is blocked' tell "${RIG_NVME#0000:}"
check 'that was the reason to restart' wait_for holds 'k["deaths_by"]["iommu-fault"] == 1 and k["iommu_faults"] == 1 and k["state"] == "serving"'
check 'and the reason is told' holds '"DMA write at 0x2000000 was blocked by the IOMMU" in k["last_death"]'
check 'the disk is read after it' read_all
check 'it ends' stop

check 'it serves with a limit of 1 interrupt a second' start storm=1
storms()
{
	read_all && holds 'k["storms"] >= 2 and k["deaths"] == 0'
}
check 'messages are masked and let go, nobody dies, and the disk is read meanwhile' wait_for storms
check 'it is told' grep -q 'interrupts a second without work; they are masked' "$dir/err"
check 'it ends' stop
rm -rf "$dir"
finish_checks
