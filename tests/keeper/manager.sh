#!/bin/bash
# SPDX-License-Identifier: BSD-2-Clause
#
# manager.sh OUTBOARD UNIT: a keeper below a manager of services. manager.py plays systemd's part: it listens at the socket, holds what it is given,
# and hands it to the next keeper when one was killed.
. "${BASH_SOURCE[0]%/*}/../cli/tap.sh"
unit=$2
here=${BASH_SOURCE[0]%/*}

play() # SCENARIO
{
	timeout -k 5 300 python3 "$here/manager.py" "$outboard" "$1"
}

check 'it is ready when it serves, tells how it fares, and that it ends' play life
check 'its command has none of what was meant for it' play below
check 'it says that it is alive, and not when it is stopped' play watchdog
check 'a keeper is killed: the next one listens at the same port, and a connection that waited there is served' play socket
check 'what is none of ours, or is not whole, is left alone' play strange
if [ "$(id -u)" = 0 ] && [ -c /dev/net/tun ]; then
	check 'a keeper is killed: the interface stays, with its address' play interface
else
	skip 'a keeper is killed: the interface stays, with its address' 'needs root and /dev/net/tun'
fi

# ---- the unit --------------------------------------------------------------------------------------------

verified()
{
	cp "$unit" "$dir/outboard@x.service" && sed -i "s|^ExecStart=[^ ]*|ExecStart=$outboard|; s|^ExecStop=[^ ]*|ExecStop=$outboard|" "$dir/outboard@x.service" &&
		soon systemd-analyze verify --man=no "$dir/outboard@x.service" >"$dir/said" 2>&1 || { cat "$dir/said"; return 1; }
	# Before 254 it does not know one of the keys, and says so.
	! grep -v DelegateSubgroup "$dir/said"
}
if command -v systemd-analyze >/dev/null; then
	check 'systemd finds nothing wrong with the unit' verified
else
	skip 'systemd finds nothing wrong with the unit' 'no systemd-analyze'
fi
finish
