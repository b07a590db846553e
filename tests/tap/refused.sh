#!/bin/bash
# SPDX-License-Identifier: BSD-2-Clause
#
# What somebody reads who cannot have a tap, and that an ordinary user can where the system allows user
# namespaces.
# shellcheck source=tests/tap/nets.sh
. "$(dirname "$0")/nets.sh"
[ "$(id -u)" -eq 0 ] || skip_all "only root can take /dev/net/tun away, and be another user"
need_tap

export serve=$bin/tap-serve-net
spec=qemu:e1000e,netdev=none
chmod 711 "$dir"

# Whether the program was refused and said so: CODE must not be 0 and the text must be there.
refused() # NAME TEXT COMMAND...
{
	local name=$1 text=$2 out status
	shift 2
	out=$("$@" 2>&1)
	status=$?
	if [ $status -ne 0 ] && [ $status -lt 120 ] && grep -qF -- "$text" <<<"$out" &&
		! grep -q "Sanitizer\|runtime error" <<<"$out"; then
		judge 0 "$name"
	else
		judge 1 "$name" "exit code $status: $out"
	fi
}

# In a mount namespace of its own, with the given commands before.
elsewhere() # SHELL-COMMANDS
{
	unshare -m sh -c "mount -t tmpfs none /dev/net; $1"
}
node="mknod /dev/net/tun c 10 200"
nobody="setpriv --reuid=65534 --regid=65534 --clear-groups --bounding-set=-all --inh-caps=-all"

refused "no /dev/net/tun: says which module" "modprobe tun" \
	elsewhere "\$serve $spec tap,netns=new -- true"
refused "/dev/net/tun not to be opened: says by whom it can be" "mode 600" \
	elsewhere "$node; chmod 600 /dev/net/tun; $nobody \$serve $spec tap,netns=new -- true"
refused "a node without a driver behind it" "has no driver" \
	elsewhere "mknod /dev/net/tun c 10 222; \$serve $spec tap,netns=new -- true"
refused "an ordinary user in the namespace of the system: says what is possible" "netns=new" \
	elsewhere "$node; chmod 666 /dev/net/tun; $nobody \$serve $spec tap -- true"
refused "no namespaces at all: says which setting" "user.max_user_namespaces" \
	elsewhere "$node; chmod 666 /dev/net/tun; unshare -Ur sh -c '
		echo 0 >/proc/sys/user/max_user_namespaces
		echo 0 >/proc/sys/user/max_net_namespaces
		exec \$serve $spec tap,netns=new -- true'"
refused "an interface that exists" "there is an interface lo" \
	elsewhere "$node; \$serve $spec tap,netns=new,name=lo -- true"
refused "a namespace that does not exist" "ip netns list" \
	"$serve" "$spec" tap,netns=nowhere -- true
refused "an option that does not exist: says which do" "netns=new" \
	"$serve" "$spec" tap,netns=new,speed=10 -- true

# An ordinary user, with a device node as udev makes it.
mkdir -m 777 "$dir/user"
elsewhere "$node; chmod 666 /dev/net/tun; cd $dir/user; $nobody \$serve qemu:e1000e,netdev=user \
	tap,netns=new,name=mine,address=10.0.2.15/24 -- sh -c '
	id -u; ip -o link show mine; ping -c 3 -i 0.2 -W 5 10.0.2.2'" >"$dir/out" 2>&1
judge $? "an ordinary user has an interface that works" "$(cat "$dir/out")"
check "and is root in there" grep -qx 0 "$dir/out"
done_testing
