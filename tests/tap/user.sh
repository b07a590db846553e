#!/bin/bash
# SPDX-License-Identifier: BSD-2-Clause
#
# user.sh MODEL: a network card on QEMU's user network as an interface in a namespace of its own: DHCP, ping, a
# download over HTTP from a server on this machine's loopback, and the loop asleep when nothing happens.
# shellcheck source=tests/tap/nets.sh
. "$(dirname "$0")/nets.sh"
need_tap
model=$1

mkdir "$dir/www"
head -c 16777216 /dev/urandom >"$dir/www/file"
serve_http "$dir/www"

cat >"$dir/dhcp" <<'END'
#!/bin/sh
[ "$1" = bound ] || exit 0
ip address add "$ip/$mask" dev "$interface" && echo "$ip"
END
chmod +x "$dir/dhcp"

start a "qemu:$model,netdev=user,fwd=10.0.2.100:80-$port" tap,netns=new,name=net0,up

address=$(in_net a busybox udhcpc -i net0 -s "$dir/dhcp" -f -q -n -t 20 -T 1 2>"$dir/dhcp.log" | tail -n 1)
judge "$([ "$address" = 10.0.2.15 ]; echo $?)" "an address by DHCP" "$address $(cat "$dir/dhcp.log")"
check "the gateway answers, nothing is lost" \
	in_net a sh -c 'ping -c 20 -i 0.02 -W 5 10.0.2.2 | grep -q " 0% packet loss"'
check "a file comes over HTTP" in_net a timeout 100 busybox wget -q -O "$dir/got" http://10.0.2.100/file
check "the file is the same" cmp "$dir/www/file" "$dir/got"
kill "$httpd"
wait "$httpd" 2>/dev/null

# Nothing to do: a tick each 100 ms and no more. Counted by context switches of the loop's thread, not time.
switches()
{
	awk '/^voluntary_ctxt/ { n += $2 } END { print n }' /proc/"${server[a]}"/task/*/status
}
sleep 1
before=$(switches)
sleep 3
after=$(switches)
judge "$((after - before > 600))" "an idle attachment sleeps" "$((after - before)) switches in 3 s"

finish a
v=$(counter a errors)
judge "$((v != 0))" "no errors" "$v"
done_testing
