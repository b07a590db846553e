#!/bin/bash
# SPDX-License-Identifier: BSD-2-Clause
# Faults in drivers' code: the same seed makes the same fault, in one place; all classes come; and each way to end is told from the others.
# Arguments: source folder, build folder, sanitizers.
set -u
here=$1 bin=$2 sanitize=$3
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
case $sanitize in
*address*)
	echo "1..0 # SKIP the objects are those without sanitizers"
	exit 0
	;;
esac
n=0
ok() # WHETHER NAME
{
	n=$((n + 1))
	if [ "$1" = 0 ]; then echo "ok $n - $2"; else echo "not ok $n - $2"; fi
}
mutate()
{
	"$bin/mutate" --seed "$1" --number "$2" "$bin/nvme.so" "$3"
}

echo "1..9"
"$bin/mutate" --count "$bin/nvme.so" >"$dir/places"
sed 's/^/# /' "$dir/places"
[ "$(wc -l <"$dir/places")" = 9 ] && ! grep -q ' 0$' "$dir/places"
ok $? "each class has places"

mutate 5 7 "$dir/a" >"$dir/a.line" && mutate 5 7 "$dir/b" >"$dir/b.line" &&
	cmp "$dir/a" "$dir/b" && cmp "$dir/a.line" "$dir/b.line"
ok $? "the same seed and number make the same fault"
mutate 6 7 "$dir/b" >/dev/null && ! cmp -s "$dir/a" "$dir/b"
ok $? "another seed makes another one"

# Where the printed place begins, and no longer than an instruction; the file is as long as it was. What decodes is told.
bad=0
: >"$dir/lines"
for i in $(seq 1 150); do
	mutate 1 "$i" "$dir/m" >"$dir/line" || bad=1
	cat "$dir/line" >>"$dir/lines"
	at=$(($(cut -f3 "$dir/line")))
	cmp -l "$bin/nvme.so" "$dir/m" >"$dir/differences"
	# cmp counts from 1.
	awk -v at="$at" '$1 - 1 < at || $1 - 1 >= at + 15 { exit 1 } END { if (!NR) exit 1 }' "$dir/differences" || {
		bad=1
		sed 's/^/# /' "$dir/line"
	}
done
ok $bad "150 faults, each in the one instruction that is printed"
[ "$(cut -f2 "$dir/lines" | sort -u | wc -l)" = 9 ]
ok $? "all classes are among them"
awk -F '\t' '$2 != "bit" && ($7 == "(no instruction)" || $6 == $7) { exit 1 }' "$dir/lines"
ok $? "but for bits, each is another instruction"

# Faults by hand, in a driver as small as can be.
end() # C-CODE [TIMEOUT-MS]: how a driver ends whose probe has it
{
	cat >"$dir/d.c" <<-END
		#include <signal.h>
		#include <stdlib.h>
		#include <unistd.h>
		#include <outboard/driver.h>
		static int probe(struct ob_binding *b, struct ob_error *err) { $1; return -5; }
		static void remove_(struct ob_binding *b) { }
		static const struct ob_pci_id ids[] = {{.vendor = 0x1b36, .device = 0x10}, {0}};
		const struct ob_driver outboard_driver = {.name = "d", .ids = ids, .probe = probe, .remove = remove_};
	END
	${CC:-cc} -shared -fPIC -I"$here/../../include" -o "$dir/d.so" "$dir/d.c" &&
		"$bin/mutant" --timeout-ms "${2:-60000}" "$dir/d.so" fuzz:nvme | cut -f1
}
[ "$(end '')" = error ] && [ "$(end 'raise(SIGSEGV)')" = "crashed 11" ] && [ "$(end '_exit(3)')" = "ended 3" ] &&
	[ "$(end 'for (;;) pause()' 500)" = hung ] && [ "$(end 'ob_dma_alloc(ob_device_dma(b->dev), 64, 64, "x", 0)')" = error ]
ok $? "error, crash, end and hang are told from each other"

bad=0
for driver in edu e1000 ide nvme; do
	# Its first instruction is reached, one of what it never does here is not.
	probe=$(nm "$bin/$driver.so" | awk '$3 ~ /(^|_)probe$/ { print "0x" $1; exit }')
	[ "$("$bin/mutant" --watch "$probe" "$bin/$driver.so" "fuzz:$driver")" = "passed	reached" ] || bad=1
done
ok $bad "drivers without a fault pass, and what is executed is seen"

"$here/mutants.sh" --build "$bin/../.." --count 20 --seed 3 --driver edu --json "$dir/json" >"$dir/table" 2>&1
status=$?
sed 's/^/# /' "$dir/table"
[ $status = 0 ] && jq -e '.all.faults == 20 and .all.reached ==
	.all.passed + .all.error + .all.wrong + .all.kept + .all.crashed + .all.ended + .all.hung' "$dir/json" >/dev/null
ok $? "a campaign adds up"
