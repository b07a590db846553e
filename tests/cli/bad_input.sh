#!/bin/bash
# SPDX-License-Identifier: BSD-2-Clause
#
# Bad input: each is answered with a sentence that names the bad part, and with its exit code.
# usage: bad_input.sh OUTBOARD
# shellcheck source=tests/cli/tap.sh disable=SC2154
. "$(dirname "$0")/tap.sh"

# ---- specifications ---------------------------------------------------------------------

bad_spec() # SPEC TEXT...
{
	local spec=$1
	shift
	ob run "$spec" --attach "nbd,socket=$dir/s" -- true
	expect "specification '$spec'" 2 "$@"
	ob selftest "$spec" --json
	if [ "$status" -eq 2 ] && [ "$(jq -r .error.exit "$dir/out")" = 2 ] &&
		jq -e '.error.what | length > 10' "$dir/out" >/dev/null; then
		ok "specification '$spec' with --json"
	else
		show_last | not_ok "specification '$spec' with --json"
	fi
}

bad_spec "" "''"
bad_spec "nvme" "'nvme'" "backend"
bad_spec "qemu:" "'qemu:'"
bad_spec "pci:nvme" "'pci'" "qemu"
bad_spec "qemu:nvme,null=64M,bogus=1" "bogus"
bad_spec "qemu:nvme,null=64M,null=1M" "null" "twice"
bad_spec "qemu:nvme,null=12x" "12x"
bad_spec "qemu:nvme,null=64M,arena=1T" "1T"
bad_spec "qemu:nvme,null=64M,cache=fast" "fast" "writeback"
bad_spec "qemu:nvme,null=64M,iommu=maybe" "maybe"
bad_spec "qemu:nvme,null=64M,,=" "64M"
bad_spec "qemu:e1000e,netdev=carrier-pigeon" "carrier-pigeon"
bad_spec "qemu:e1000e,mac=nonsense" "nonsense"
bad_spec "qemu:e1000e,ids=1095" "1095:0680"
bad_spec "qemu:e1000e,ids=ffff:0001" "ffff:0001"
bad_spec "qemu:e1000e,fwd=here" "here"
bad_spec "nope[a=1]:qemu:edu" "nope" "fault"
bad_spec "fault[read=2]:qemu:edu" "2"
bad_spec "fault[nosuch=1]:qemu:edu" "nosuch"
bad_spec "fault[read=0.1:qemu:edu" "["
bad_spec "qemu:ed u" "ed u"
bad_spec "qemu:nvme,file=$(printf 'x%.0s' $(seq 600))" "longer"

ob selftest qemu:nosuchmodel
expect "a model that QEMU does not have is named" 1 "nosuchmodel"

# ---- images ------------------------------------------------------------------------------

ob run "qemu:nvme,file=$dir/missing.img" --attach "nbd,socket=$dir/s" -- true
expect "a missing image is named" 5 "$dir/missing.img"

head -c 100 /dev/zero >"$dir/short.img"
for model in nvme piix3-ide; do
	ob run "qemu:$model,file=$dir/short.img" --attach "nbd,socket=$dir/s" -- true
	if [ "$status" -ne 0 ] && grep -qF short.img "$dir/err"; then
		ok "$model: an image shorter than a sector is refused and named"
	else
		show_last | not_ok "$model: an image shorter than a sector is refused and named"
	fi
done
mkdir "$dir/folder"
ob run "qemu:nvme,file=$dir/folder" --attach "nbd,socket=$dir/s" -- true
check "a directory is no image" grep -qF "$dir/folder" "$dir/err"
check "and the exit code says so" test "$status" -ne 0

truncate -s 1M "$dir/disk.img"
chmod 444 "$dir/disk.img"
as_user=()
[ "$(id -u)" -ne 0 ] || as_user=(setpriv --reuid 65534 --regid 65534 --clear-groups)
chmod 755 "$dir"
"${as_user[@]}" timeout 60 "$outboard" run "qemu:nvme,file=$dir/disk.img" -- true \
	>"$dir/out" 2>"$dir/err" </dev/null
status=$?
if grep -q 'Permission denied' "$dir/err" && ! grep -qF "$dir/disk.img" "$dir/err"; then
	skip "a read-only image opened for writing is refused" "the build directory is closed to others"
else
	expect "a read-only image opened for writing is refused, with the way out" 5 "$dir/disk.img" "readonly"
fi
ob run "qemu:nvme,file=$dir/disk.img,readonly" --attach "nbd,socket=$dir/s" -- true
expect "with readonly it is taken" 0
chmod 644 "$dir/disk.img"

if serve holder run "qemu:nvme,file=$dir/disk.img" --attach "nbd,socket=$dir/s1"; then
	ob run "qemu:nvme,file=$dir/disk.img" --attach "nbd,socket=$dir/s2" -- true
	expect "a busy image names the process that holds it" 4 "$dir/disk.img" "$pid"
	ob run "qemu:piix3-ide,file=$dir/disk.img" --attach "nbd,socket=$dir/s2" --json -- true
	expect "for another model, too" 4 "$pid"
	kill -TERM "$pid"
	ended
else
	not_ok "a busy image names the process that holds it" </dev/null
fi

# ---- what the system lacks -----------------------------------------------------------------

ob selftest qemu:edu,qemu=/nonexistent/qemu
expect "a QEMU that is not there is named" 5 "/nonexistent/qemu"
PATH=/nonexistent "$outboard" selftest qemu:edu >"$dir/out" 2>"$dir/err"
status=$?
expect "no QEMU in PATH: what to install" 5 "qemu-system-x86"
ob selftest qemu:edu,qemu=/bin/true
check "a QEMU that is none is an error" test "$status" -eq 1
ob selftest qemu:edu,qemu=/etc/passwd
check "a QEMU that cannot be run is named" grep -qF /etc/passwd "$dir/err"

if unshare --mount true 2>/dev/null; then
	mounts=(unshare --mount)
elif unshare --map-root-user --mount true 2>/dev/null; then
	mounts=(unshare --map-root-user --mount)
else
	mounts=()
fi
if [ ${#mounts[@]} -gt 0 ] && [ -d /dev/net ] &&
	"${mounts[@]}" mount -t tmpfs none /dev/net 2>/dev/null; then
	# shellcheck disable=SC2016
	"${mounts[@]}" sh -c 'mount -t tmpfs none /dev/net && exec timeout 60 "$outboard" run qemu:e1000e -- true' \
		>"$dir/out" 2>"$dir/err" </dev/null
	status=$?
	expect "no /dev/net/tun is said" 5 "/dev/net/tun"
else
	skip "no /dev/net/tun is said" "no mount namespace of one's own"
fi

# ---- options -------------------------------------------------------------------------------

bad_option() # TEXT ARGUMENTS...
{
	local text=$1
	shift
	ob run qemu:nvme,null=1M "$@" -- true
	expect "run $*" 2 "$text"
}

bad_option "did you mean 'nvme'" --driver nvm
bad_option "'floppy'" --driver floppy
bad_option "possible: auto" --attach carrier
bad_option "'bogus'" --attach nbd,bogus=1
bad_option "'99999999'" --attach nbd,port=99999999
bad_option "'tap' attaches" --attach tap
bad_option "lazy" --mode lazy
bad_option "'gsi'" --irq gsi
bad_option "'many'" --queues many
bad_option "'0'" --depth 0
bad_option "'100'" --rt-priority 100
bad_option "'one'" --cpu one
bad_option "'--attach' was given 3 times for 2" qemu:edu --attach nbd --attach nbd --attach nbd
bad_option "fits none of the 2" qemu:nvme,null=1M --attach tap
ob run qemu:nvme,null=1M --
expect "-- without a command" 2 "command is missing"
ob run
expect "run without a SPEC" 2 "SPEC is missing"
ob run qemu:nvme,null=1M --private-mounts
expect "--private-mounts without a command" 2 "'--private-mounts'"
ob run qemu:nvme,null=1M --driver ./nosuch.so -- true
expect "a driver file that is not there is named" 5 "./nosuch.so"
ob run qemu:nvme,null=1M --driver "$dir/disk.img" -- true
expect "a file that is no driver is named" 1 "$dir/disk.img"
ob run qemu:nvme,null=1M --driver edu -- true
check "a driver for another device does not touch it" grep -q "edu does not drive" "$dir/err"
ob run qemu:edu -- true
expect "what cannot be attached is said" 5 "CUSE"
ob stop nosuch-instance
expect "stop names an instance that does not run" 1 "'nosuch-instance'"
ob show nosuch-instance
expect "so does show" 1 "'nosuch-instance'"
ob show --count 3
expect "--count needs --watch" 2 "--watch"
ob show --watch=never
expect "--watch=never" 2 "'never'"
ob ethtool qemu:nvme,null=1M
expect "ethtool wants a network device" 5 "no network device"
ob probe 99:99.9
check "probe names an address that is none" grep -qF '99:99.9' "$dir/err"
ob probe ffff:00:00.0
check "and one where nothing is" grep -qF 'ffff:00:00.0' "$dir/err"
finish
