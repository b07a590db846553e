# SPDX-License-Identifier: BSD-2-Clause
# shellcheck shell=bash
# Sourced in the rig's guest by what compares a driver with its split one: loads and unloads the one that is asked for. The environment says which:
# SPLIT_DRIVER is its name; SPLIT_MODULE the file of the module, or empty for the distribution's; SPLIT_DAEMON the program that
# has the moved functions, or empty for a module that is whole.

# What a driver of this name cannot be loaded without: the symbols of other modules.
needed_modules()
{
	modprobe --show-depends "$SPLIT_DRIVER" | awk '{ print $2 }' | sed '$d'
}

module_file()
{
	if [ -n "${SPLIT_MODULE:-}" ]; then
		echo "$SPLIT_MODULE"
	else
		modinfo -n "$SPLIT_DRIVER"
	fi
}

split_device=/dev/outboard-split-$SPLIT_DRIVER
daemon_pid=''

start_daemon()
{
	[ -n "${SPLIT_DAEMON:-}" ] || return 0
	until_true test -c "$split_device" || return 1
	"$SPLIT_DAEMON" --device "$split_device" >>"$RIG_RESULTS/daemon.log" 2>&1 &
	daemon_pid=$!
	until_true daemon_has_it
}

daemon_has_it()
{
	kill -0 "$daemon_pid" 2>/dev/null &&
		find "/proc/$daemon_pid/fd" -lname "$split_device" 2>/dev/null | grep -q .
}

# It has the device open, so the module cannot be unloaded before it ends.
stop_daemon()
{
	[ -n "$daemon_pid" ] || return 0
	kill "$daemon_pid" 2>/dev/null
	wait "$daemon_pid" 2>/dev/null
	daemon_pid=''
}

load_driver() # PARAMETER=VALUE...
{
	local module
	for module in $(needed_modules); do
		insmod "$module" 2>/dev/null # is there already, the second time
	done
	insmod "$(module_file)" "$@" && start_daemon
}

unload_driver()
{
	stop_daemon
	rmmod "$SPLIT_DRIVER"
}

until_true() # COMMAND...: ten seconds, of the guest's
{
	local i
	for i in $(seq 100); do
		"$@" && return 0
		sleep 0.1
	done
	return 1
}

interface_of() # BDF
{
	ls "/sys/bus/pci/devices/$1/net" 2>/dev/null | head -n 1
}

has_interface() # BDF
{
	[ -n "$(interface_of "$1")" ]
}

has_carrier() # INTERFACE
{
	[ "$(cat "/sys/class/net/$1/carrier" 2>/dev/null)" = 1 ]
}

link_up() # INTERFACE
{
	ip link set "$1" up && settle "$1"
}

# An operation may end the link seconds after it was done (a watchdog looks every two), and a driver looks at its PHY some seconds after the link is there.
# These are seconds of a machine that has nothing else to do.
settle() # INTERFACE
{
	sleep 3
	until_true has_carrier "$1" && sleep 4
}
