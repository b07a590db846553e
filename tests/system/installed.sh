#!/bin/bash
# SPDX-License-Identifier: BSD-2-Clause
#
# The library as others use it: installed into a directory, found by pkg-config, every example built against
# it, shared and static, without a warning; the program and its manual pages are there. Prints TAP.
# usage: installed.sh SOURCE-ROOT BUILD-ROOT
set -u

source=$1 build=$2
dir=$(mktemp -d) || exit 1
trap 'rm -rf "$dir"' EXIT
n=0 failed=0

report() # STATUS NAME LOG
{
	n=$((n + 1))
	if [ "$1" -eq 0 ]; then
		echo "ok $n - $2"
	else
		failed=$((failed + 1))
		head -n 40 "$3" | sed 's/^/# /'
		echo "not ok $n - $2"
	fi
}

DESTDIR=$dir/root meson install -C "$build" --no-rebuild --quiet >"$dir/log" 2>&1
report $? "installs below DESTDIR" "$dir/log"

pc=$(find "$dir/root" -name outboard.pc | head -n 1)
[ -n "$pc" ]
report $? "brings a pkg-config file" "$dir/log"
export PKG_CONFIG_SYSROOT_DIR=$dir/root
PKG_CONFIG_PATH=$(dirname "$pc")
export PKG_CONFIG_PATH

# The usual prefixes: nobody has to set a variable.
name="is found by pkg-config without being told where"
where=$(dirname "${pc#"$dir/root"}")
env -u PKG_CONFIG_SYSROOT_DIR pkg-config --variable pc_path pkg-config >"$dir/log" 2>&1
echo "it is in $where" >>"$dir/log"
case $where in
/usr/*) tr ':' '\n' <"$dir/log" | grep -qxF "$where"; report $? "$name" "$dir/log" ;;
*) n=$((n + 1)); echo "ok $n - $name # SKIP the prefix is none that pkg-config knows" ;;
esac

program=$(find "$dir/root" -path '*/bin/outboard')
library=$(dirname "$(find "$dir/root" -name 'liboutboard.so' | head -n 1)")
export LD_LIBRARY_PATH=$library
"$program" version >"$dir/log" 2>&1 && grep -q "$(pkg-config --modversion outboard)" "$dir/log"
report $? "the installed program runs and has pkg-config's version" "$dir/log"

pages=$(find "$dir/root" -path '*/man/*' -type f | wc -l)
echo "$pages pages" >"$dir/log"
[ "$pages" -ge 1 ]
report $? "manual pages are installed" "$dir/log"

{
	soname=$(objdump -p "$library/liboutboard.so" | sed -n 's/ *SONAME *//p')
	echo "soname $soname"
	nm -D "$library/liboutboard.so" | grep ' T ' | grep -v '@@OUTBOARD_' && echo "symbols without a version"
} >"$dir/log" 2>&1
grep -q '^soname liboutboard.so\.[0-9]' "$dir/log" && ! grep -q without "$dir/log"
report $? "the shared library has a soname and versioned symbols" "$dir/log"

for header in "$source"/include/outboard/*.h; do
	name=$(basename "$header")
	echo "#include <outboard/$name>" >"$dir/one.c"
	# shellcheck disable=SC2046
	cc -std=c11 -Wall -Wextra -Wno-unused-parameter -Werror -fsyntax-only \
		$(pkg-config --cflags outboard) "$dir/one.c" >>"$dir/headers.log" 2>&1 ||
		echo "$name" >>"$dir/headers.log"
	echo "int main(void) { return 0; }" >>"$dir/one.c"
done
[ ! -s "$dir/headers.log" ]
report $? "every public header compiles by itself" "$dir/headers.log"

for example in "$source"/examples/*.c; do
	[ -e "$example" ] || continue
	name=$(basename "$example" .c)
	package=outboard archives=liboutboard.a
	grep -q '<outboard/stack.h>' "$example" && package=outboard-stack archives="liboutboard-stack.a liboutboard.a"
	for kind in shared static; do
		libs=$(pkg-config --libs $package)
		# The archives by their names: the linker would take the shared libraries beside them.
		[ $kind = shared ] || libs="$(for a in $archives; do find "$dir/root" -name "$a"; done | tr '\n' ' ') $(
			pkg-config --libs --static $package |
			tr ' ' '\n' | grep -v -e '^-loutboard' -e '^-L' | tr '\n' ' ')"
		# shellcheck disable=SC2046,SC2086
		cc -std=gnu11 -D_GNU_SOURCE -Wall -Werror $(pkg-config --cflags $package) "$example" \
			-o "$dir/$name-$kind" $libs >"$dir/log" 2>&1
		report $? "examples/$name.c builds against the $kind library" "$dir/log"
	done
done
echo "1..$n"
[ $failed -eq 0 ]
