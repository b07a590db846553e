# SPDX-License-Identifier: BSD-2-Clause
# The front door. meson builds (scripts/build); every command here does its own set-up.
.PHONY: all demo check bench install clean format fuzz

all:
	@scripts/setup demo || true
	@scripts/build plain
	@echo "built: build/outboard"

# A NIC and two disks driven from user space, shown working. Under a minute, once built.
demo:
	@scripts/demo

# Every test there is; ends with "N passed, N failed".
check:
	@scripts/check

# 30 seconds for every fuzz target: scripts/fuzz -t SECONDS TARGET for others.
fuzz:
	@scripts/setup check
	@scripts/fuzz

bench:
	@scripts/setup check
	@scripts/build plain
	@scripts/bench

# PREFIX=/usr make install; DESTDIR is honoured.
install: all
	@meson install -C build --no-rebuild
	@[ -n "$(DESTDIR)" ] || [ "$$(id -u)" -ne 0 ] || ldconfig # so that programs find the library

format:
	@git ls-files -co --exclude-standard '*.c' '*.h' | xargs clang-format-14 -i

clean:
	@rm -rf build
