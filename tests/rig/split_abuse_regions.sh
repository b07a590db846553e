#!/bin/bash
# SPDX-License-Identifier: BSD-2-Clause
#
# The same as split_abuse.sh for pcnet32, whose locked regions stay in the kernel: in whatever order a daemon asks for them, with whatever numbers, one is executed in a
# request, and only where the function that moved comes to it.
#
# rig-where: host
# rig-timeout: 900
exec tests/split/split_and_abuse.sh pcnet32 1000
