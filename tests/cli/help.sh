#!/bin/bash
# SPDX-License-Identifier: BSD-2-Clause
#
# What the program says of itself: help, suggestions, and what it does without arguments.
# usage: help.sh OUTBOARD VERSION
# shellcheck source=tests/cli/tap.sh disable=SC2154
. "$(dirname "$0")/tap.sh"
version=$2

# A network namespace of one's own has no instances of others.
alone=(unshare --net)
"${alone[@]}" true 2>/dev/null || alone=(unshare --map-root-user --net)
if "${alone[@]}" true 2>/dev/null; then
	"${alone[@]}" "$outboard" >"$dir/out" 2>"$dir/err"
	status=$?
	expect_out "without arguments, and with nothing running, it tells how to begin" 0 \
		"outboard devices" "outboard selftest qemu:" "outboard run qemu:"
else
	skip "without arguments it tells how to begin" "no network namespace of one's own"
fi

ob help
commands=$(sed -n 's/^  \([a-z]\{2,\}\) .*/\1/p' "$dir/out")
check "help lists the commands" test "$(wc -w <<<"$commands")" -ge 10
ob help --json
check "help --json is JSON and lists as many" test \
	"$(jq '.commands | length' "$dir/out")" = "$(wc -w <<<"$commands")"

for command in $commands; do
	ob "$command" --help
	expect_out "$command --help explains it" 0 "Usage: outboard $command" "--json" "More: man outboard-$command"
	cp "$dir/out" "$dir/help"
	ob help "$command"
	check "help $command says the same" cmp "$dir/out" "$dir/help"

	ob "$command" --no-such-option
	expect "$command names an option that it does not have" 2 "'--no-such-option'"
done

ob help selftset
expect "help suggests the nearest command" 2 "'selftset'" "'selftest'"
ob runn
expect "an unknown command gets a suggestion" 2 "'runn'" "'run'"
ob quux
expect "one that is far from all gets none" 2 "'quux'" "outboard help"
check "and says nothing of a meaning" test -z "$(grep 'did you mean' "$dir/err")"
ob run --atach loop
expect "an unknown option gets a suggestion" 2 "'--atach'" "'--attach'"
ob devices --jsno
expect "so does a misspelt common option" 2 "'--jsno'" "'--json'"
ob selftest -x qemu:edu
expect "an unknown letter is named" 2 "'-x'"
ob run qemu:edu --mode
expect "an option without its value is named" 2 "'--mode'"

ob version
expect_out "version is that of the build" 0 "outboard $version" "edu" "nvme" "tap"
ob version --json
check "version --json is JSON with the same" test "$(jq -r .version "$dir/out")" = "$version"
check "and says for each attachment whether it can be used here" jq -e \
	'[.attachments[] | .usable == true or (.error.what | length > 0)] | all' "$dir/out"
ob specs
expect_out "specs explains specifications" 0 "qemu:MODEL" "fault" "netns="
ob specs fault
expect_out "specs of one name lists its options" 0 "seed=" "gone="
ob specs --json
check "specs --json is JSON" jq -e '.backends[0].help | length > 100' "$dir/out"
ob specs nosuch
expect "specs names what it does not know" 2 "'nosuch'"

finish
