#!/bin/bash
# SPDX-License-Identifier: BSD-2-Clause
#
# cycles_disk.sh LINUX-CYCLES DRIVER MODEL CYCLES COUNT: tests/linux/cycles.c with a disk that is a file.
file=$(mktemp) || exit 1
trap 'rm -f "$file"' EXIT
truncate -s 16M "$file"
"$1" "$2" "qemu:$3,file=$file" "$4" "$5"
