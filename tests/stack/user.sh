#!/bin/bash
# SPDX-License-Identifier: BSD-2-Clause
#
# user.sh OUTBOARD MODEL: `outboard net` on QEMU's user network: DHCP, ping, downloads from a web server on this
# machine's loopback, files served to it; and what is said when any of it cannot be.
# shellcheck source=tests/stack/net.sh disable=SC2154
. "$(dirname "$0")/net.sh"
model=$2
command -v busybox >/dev/null || { echo "1..0 # SKIP no busybox"; exit 0; }

mkdir "$dir/www" "$dir/www/sub" "$dir/www/.hidden"
head -c 16777216 /dev/urandom >"$dir/www/random"
: >"$dir/www/empty"
echo front >"$dir/www/index.html"
echo deep >"$dir/www/sub/index.html"
echo secret >"$dir/secret"
echo secret >"$dir/www/.hidden/file"
ln -s ../secret "$dir/www/escape"
sum=$(sha256sum <"$dir/www/random" | cut -d' ' -f1)

check "a web server for the test runs" serve_http "$dir/www"
started+=("$httpd")
disown

user=qemu:$model,netdev=user
spec=$user,fwd=10.0.2.100:80-$port

ob net "$spec"
expect_out "DHCP gives an address" 0 "10.0.2.15/24 by DHCP" "driver e1000"
ob net "$spec" --json
check "and --json the same" jq -e '.address == "10.0.2.15" and .dhcp_server == "10.0.2.2" and .lease_seconds > 0 and .mbps > 0' "$dir/out"
ob net "$spec" ping 10.0.2.2 --count 5 --interval 10 --json
check "the gateway answers every ping" jq -e '.sent == 5 and .answered == 5 and .min_ms > 0' "$dir/out"
ob net "$spec" --address 10.0.2.15/24 --gateway 10.0.2.2 ping 10.0.2.2 -n 1
expect_out "with a fixed address, too" 0 "1 answered"
ob net "$spec" ping 10.0.2.2 -n 2 -i 10 --size 1472
expect_out "a ping as long as a frame comes back" 0 "1472 bytes from"

for mode in adaptive poll interrupt; do
	ob net "$spec" --mode $mode http-get http://10.0.2.100/random --sha256 "$sum" --json -o "$dir/got"
	check "a download arrives whole, mode $mode" jq -e --arg sum "$sum" '.bytes == 16777216 and .sha256 == $sum and .cpu_seconds > 0' "$dir/out"
	check "and lies in its file, mode $mode" cmp "$dir/got" "$dir/www/random"
done
ob net "$spec" http-get http://10.0.2.100/index.html -o -
check "a download on standard output is nothing else" test "$(cat "$dir/out")" = front
ob net "$spec" http-get http://10.0.2.100/empty
expect_out "an empty file is one" 0 e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855

ob net "$spec" http-get http://10.0.2.100/random --sha256 "$(tr 0-9a-f 1-9a-f0 <<<"$sum")" -o "$dir/wrong"
expect "another SHA-256 than wanted is an error" 1 "$sum"
check "and the file is removed" test ! -e "$dir/wrong"
ob net "$spec" http-get http://10.0.2.100/nothing
expect "a page that is not there" 5 "404"
ob net "$spec" http-get http://10.0.2.2:9/
expect "a port that is refused" 1 "10.0.2.2:9 refused the connection"
ob net "$spec" http-get http://10.0.2.77/ --timeout 6
expect "an address that nobody has" 1 "10.0.2.77 (ARP)"
ob net "$spec" ping 10.0.2.77 -n 1 --timeout 6
expect "the same by ping" 1 "10.0.2.77 (ARP)"
ob net "$user" --address 10.0.2.15/24 ping 192.0.2.1 -n 1
expect "another network without a gateway" 1 "no gateway"
ob net "$user" ping 10.0.2.15 -n 1
expect "one's own address" 1 "own address"
ob net "$user" http-get http://example.org/
expect "names are not resolved, and it says so" 2 "not an IPv4 or IPv6 address"
ob net "qemu:$model,netdev=none" --timeout 6
expect "nobody who answers DHCP" 1 "no DHCP server answered"
ob net qemu:nvme,null=1M
expect "a disk is refused" 5 "no network card"
ob net "$user" --address 10.0.2.15
expect "an address needs its prefix length" 2 "10.0.2.15/24"
ob net "$user" --address 10.0.2.15/24 --gateway 10.1.0.1
expect "a gateway must be in the network" 2 "not in the network"
ob net "$user" http-get https://10.0.2.2/
expect "there is no TLS" 2 "no TLS"
ob net "$user" http-serve "$dir/nowhere"
expect "a directory that is not there" 5 "cannot be served"

# A server that takes the request and says nothing, and one that says half.
python3 - "$dir" >"$dir/mute.log" 2>&1 <<'PY' &
import socket, sys, threading
def listen(name, answer):
    s = socket.socket(); s.bind(("127.0.0.1", 0)); s.listen()
    open(sys.argv[1] + "/" + name + ".tmp", "w").write(str(s.getsockname()[1]))
    import os; os.rename(sys.argv[1] + "/" + name + ".tmp", sys.argv[1] + "/" + name)
    while True:
        c, _ = s.accept(); c.recv(1000); c.sendall(answer)
        keep.append(c); print(name, flush=True)
keep = []
threading.Thread(target=listen, args=("half", b"HTTP/1.0 200 OK\r\nContent-Length: 100\r\n\r\nhalf")).start()
threading.Thread(target=listen, args=("noise", b"\0\1\2\3" * 4000)).start()
listen("mute", b"")
PY
started+=($!)
disown # its end is not worth a line
wait_for test -s "$dir/mute" -a -s "$dir/half" -a -s "$dir/noise"
ob net "$user,fwd=10.0.2.100:80-$(cat "$dir/mute")" http-get http://10.0.2.100/ --timeout 6
expect "a server that says nothing ends in an error" 1 "nothing was received for 6 s"
ob net "$user,fwd=10.0.2.100:80-$(cat "$dir/half")" http-get http://10.0.2.100/ --timeout 6 -o "$dir/half.out"
expect "so does one that says half" 1 "nothing was received for 6 s"
check "and no half file is left" test ! -e "$dir/half.out"
ob net "$user,fwd=10.0.2.100:80-$(cat "$dir/noise")" http-get http://10.0.2.100/
expect "one that talks nonsense is told from a web server" 1 "endless head"

# Ctrl-C while it waits.
asked() # TIMES: the silent server had a request so often
{
	[ "$(grep -c mute "$dir/mute.log")" -ge "$1" ]
}
before=$(grep -c mute "$dir/mute.log")
net_bg ctrl_c "$user,fwd=10.0.2.100:80-$(cat "$dir/mute")" http-get http://10.0.2.100/ --timeout 100
wait_for asked $((before + 1))
kill -INT "$pid"
finish_bg ctrl_c
expect "Ctrl-C ends it at once, as it should" 130 "interrupted"

# The other way: files from here, by this machine's own client.
port=$(free_port)
net_bg server "$user,listen=$port-80" http-serve "$dir/www"
check "a server in the process begins" wait_for said server.out "serving"
get() # PATH
{
	timeout 60 busybox wget -Y off -q -O "$dir/fetched" "http://127.0.0.1:$port$1"
}
check "it serves a directory's front page" get /
check "and that is it" grep -q front "$dir/fetched"
check "and those below" get /sub/
check "a large file" get /random
check "which arrives whole" cmp "$dir/fetched" "$dir/www/random"
together()
{
	local i pids=()
	for i in 1 2 3 4 5 6; do
		timeout 60 busybox wget -Y off -q -O "$dir/part.$i" "http://127.0.0.1:$port/random" &
		pids+=($!)
	done
	for i in "${pids[@]}"; do wait "$i" || return 1; done
	for i in 1 2 3 4 5 6; do cmp "$dir/part.$i" "$dir/www/random" || return 1; done
}
check "six at a time" together
for path in /secret /../secret /%2e%2e/secret /escape /.hidden/file /nothing; do
	rm -f "$dir/fetched"
	get $path
	check "$path is not served" test ! -s "$dir/fetched"
done
kill -INT "$pid"
finish_bg server
expect_out "Ctrl-C is a server's usual end" 0 "requests" "GET /random HTTP/1"

# The device dies in the middle.
before=$(grep -c mute "$dir/mute.log")
net_bg dies "$user,fwd=10.0.2.100:80-$(cat "$dir/mute")" http-get http://10.0.2.100/ --timeout 100
wait_for asked $((before + 1))
for qemu in $(qemu_of $pid); do kill -9 "$qemu"; done
finish_bg dies
expect "a device that vanishes ends it" 3 "vanished"
# At its EEPROM, its reset, its rings, its traffic.
for access in 100 300 500 700; do
	ob net "fault[gone=$access]:$spec" http-get http://10.0.2.100/random --timeout 60
	expect "so does one that vanishes at its register access $access" 3
done
finish
