#!/bin/bash
# SPDX-License-Identifier: BSD-2-Clause
#
# kept_download.sh OUTBOARD MIB KILLS [SECONDS [RUN-OPTION...]]: a file of MIB MiB is downloaded by one TCP connection through an e1000e below a keeper, whose
# driver process is killed KILLS times, SECONDS (0.4) apart. Interface, address and routes must be as before, the
# checksum that of the file. Prints one JSON document; exit code 0 when all is well.
set -u
outboard=$(readlink -f "$1") mib=$2 kills=$3 pause=${4:-0.4}
shift "$(($# < 4 ? $# : 4))"
here=$(cd "$(dirname "$0")" && pwd)
# shellcheck source=tests/checks.sh
. "$here/../checks.sh"
httpd=
trap '[ -z "$httpd" ] || kill "$httpd"; rm -rf "$dir"' EXIT
head -c "${mib}M" /dev/urandom >"$dir/file"
# In the interface's namespace.
cat >"$dir/download" <<'END'
ip link set "$OUTBOARD_IF" up && ip address add 10.0.2.15/24 dev "$OUTBOARD_IF" || exit
ip route add default via 10.0.2.2
# A link may take some seconds to come up the first time.
for i in $(seq 30); do ping -c 1 -W 1 10.0.2.2 >/dev/null && break; done
before=$(ip -o address show dev "$OUTBOARD_IF" scope global; ip route)
timeout 600 busybox wget -Y off -q -O - http://10.0.2.100/file | sha256sum | cut -d' ' -f1 >sum &
killed=0
while [ $killed -lt "$1" ]; do
	for child in $(cat /proc/$OUTBOARD_PID/task/$OUTBOARD_PID/children); do
		[ "$(cat /proc/$child/comm 2>/dev/null)" = outboard-driver ] && kill -KILL "$child" && killed=$((killed + 1))
	done
	sleep "$2"
done
wait
[ "$before" = "$(ip -o address show dev "$OUTBOARD_IF" scope global; ip route)" ] || exit
echo "$killed" >killed
END
serve_http "$dir" || exit
began=$(date +%s%N)
(cd "$dir" && timeout 900 "$outboard" run -q "qemu:e1000e,netdev=user,fwd=10.0.2.100:80-$port" --attach tap,netns=new \
	--restart on-failure,limit=0,backoff=0,heartbeat=2000 --json=state "$@" -- bash download "$kills" "$pause" 2>"$dir/said")
code=$?
took=$(($(date +%s%N) - began))
equal=false
[ "$(cat "$dir/sum")" != "$(sha256sum <"$dir/file" | cut -d' ' -f1)" ] || equal=true
recovery=$(python3 -c 'import json, sys; print(json.dumps(json.load(open(sys.argv[1]))["keeper"].get("recovery_ms", {})))' "$dir/state")
printf '{"mib":%u,"kills":%u,"seconds":%u.%03u,"exit":%u,"equal":%s,"recovery_ms":%s}\n' "$mib" "$(cat "$dir/killed")" \
	$((took / 1000000000)) $((took / 1000000 % 1000)) "$code" "$equal" "${recovery:-{\}}"
[ "$code" = 0 ] && [ $equal = true ] || {
	tail -n 5 "$dir/said" >&2
	exit 1
}
