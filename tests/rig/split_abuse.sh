#!/bin/bash
# SPDX-License-Identifier: BSD-2-Clause
#
# Whatever a split driver's daemon answers or does (tests/split/abusive_daemon.c), nothing in the kernel breaks, whoever asks is answered in time, frames go on, and an
# honest daemon takes over. A short form, for e1000, whose daemon asks for functions that the kernel kept; tests/split/abuse.sh has --replies and --seed.
#
# rig-where: host
# rig-timeout: 900
exec tests/split/split_and_abuse.sh e1000 1000
