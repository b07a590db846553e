#!/bin/sh
# SPDX-License-Identifier: BSD-2-Clause
# Random mixed I/O with self-describing data on NVMe disks, in every way of waiting and mapping, and on a
# device that loses doorbells and interrupts. Argument: the program verify_disk.
set -u
verify=$1
seed=${SEED:-1}
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
n=0
fails=0

# Whatever is slow here is hung: a minute for a second's work.
run() # NAME WANTED-EXIT-CODE ARGUMENTS...
{
	name=$1 want=$2
	shift 2
	n=$((n + 1))
	truncate -s 0 "$dir/a.img" "$dir/b.img"
	truncate -s 32M "$dir/a.img" "$dir/b.img"
	timeout 120 "$verify" --seed "$seed" "$@" >"$dir/out" 2>&1
	code=$?
	sed 's/^/# /' "$dir/out"
	if [ $code -eq "$want" ]; then
		echo "ok $n - $name"
	else
		echo "not ok $n - $name"
		echo "# exit code $code, not $want"
		fails=$((fails + 1))
	fi
}

# The last run's output must have this.
says() # NAME PATTERN
{
	n=$((n + 1))
	if grep -Eq "$2" "$dir/out"; then
		echo "ok $n - $1"
	else
		echo "not ok $n - $1"
		echo "# no '$2' in the output above"
		fails=$((fails + 1))
	fi
}

a=file=$dir/a.img
ab=$a,file2=$dir/b.img

run "a disk that forgets what is written is found out" 1 qemu:nvme,null=32M --bytes 4M
says "and told as errors, not as failures" "0 failed, [1-9][0-9]* errors"
run "adaptive" 0 "qemu:nvme,$a" --bytes 64M
run "polled" 0 "qemu:nvme,$a" --bytes 64M --mode poll
says "polled without an interrupt" "interrupts 0,"
run "by interrupts, MSI-X" 0 "qemu:nvme,$a" --bytes 64M --mode interrupt --irq msix
run "by interrupts, INTx" 0 "qemu:nvme,$a" --bytes 32M --mode interrupt --irq intx
run "four queues" 0 "qemu:nvme,$a" --bytes 64M --queues 4
run "a depth of one" 0 "qemu:nvme,$a" --bytes 8M --depth 1
run "a depth of 256" 0 "qemu:nvme,$a" --bytes 64M --depth 256 --max 64K
run "requests of half a megabyte" 0 "qemu:nvme,$a" --bytes 128M --max 512K --depth 16
run "the second namespace" 0 "qemu:nvme,$ab" --bytes 32M --disk 1
run "without an IOMMU" 0 "qemu:nvme,$a,iommu=off" --bytes 32M
run "pages mapped for each request only" 0 "qemu:nvme,$a,dma=strict" --bytes 8M
run "pages mapped lazily" 0 "qemu:nvme,$a,dma=lazy" --bytes 16M
run "behind a bridge" 0 "qemu:nvme,$a,bridge=root-port" --bytes 16M
run "a small MDTS" 0 "qemu:nvme,$a,prop.mdts=2" --bytes 16M
run "an unbuffered image" 0 "qemu:nvme,$a,cache=none" --bytes 16M
run "every twentieth interrupt lost" 0 "fault[irq=0.05,seed=$seed]:qemu:nvme,$a" --bytes 8M --mode interrupt
run "spurious interrupts" 0 "fault[spurious=0.3,seed=$seed]:qemu:nvme,$a" --bytes 16M --mode interrupt
# The first accesses set the controller up; later four doorbells are lost. At a depth of one no other follows.
run "lost doorbells: nothing acknowledged is lost" 0 \
	"fault[write=0.2,seed=$seed,after=60,max=4]:qemu:nvme,$a" --bytes 4M --depth 1 --mode poll --timeout 300 --tolerate
says "lost doorbells are noticed" "timeouts [1-9].*resets [1-9]"
echo "1..$n"
[ $fails -eq 0 ]
