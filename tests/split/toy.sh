#!/bin/bash
# SPDX-License-Identifier: BSD-2-Clause
#
# toy.sh OUTBOARD: `outboard factor` on drivers of a few lines, against a kernel's headers of a few lines: each rule by itself, and source that is
# malformed, of another kernel, or not C. Nothing is downloaded.
here=$(dirname "$(readlink -f "$0")")
. "$here/../cli/tap.sh"

# What a folder of headers is known by, and the part of a kernel that these drivers use.
headers=$dir/headers
mkdir -p "$headers/include/generated" "$headers/include/linux" "$dir/driver"
touch "$headers"/include/generated/autoconf.h "$headers"/include/linux/{kconfig,compiler-version,compiler_types}.h
cat >"$headers/include/linux/kernel.h" <<'END'
typedef struct { int x; } spinlock_t;
struct mutex { int x; };
struct net_device { void *priv; int mtu; };
struct net_device_ops { int (*ndo_open)(struct net_device *); int (*ndo_start_xmit)(void *, struct net_device *); };
struct ethtool_ops { int (*get_link)(struct net_device *); int (*set_link)(struct net_device *); int (*get_regs)(struct net_device *); int (*set_wol)(struct net_device *); };
struct odd_ops { int (*odd)(struct net_device *); };
struct mii_if_info { int (*mdio_read)(struct net_device *, int); };
int request_irq(int irq, int (*handler)(int, void *), unsigned long flags, const char *name, void *dev);
void spin_lock(spinlock_t *l);
void spin_unlock(spinlock_t *l);
void mutex_lock(struct mutex *l);
void mutex_unlock(struct mutex *l);
unsigned int readl(const volatile void *a);
void *dma_alloc_coherent(void *dev, long size);
int mii_link_ok(struct mii_if_info *mii);
void *memset(void *p, int c, unsigned long n);
END

driver() # FILE: its text on standard input
{
	cat >"$dir/driver/$1"
}

factor() # ARGUMENTS...
{
	ob factor --kernel-headers "$headers" "$dir/driver" "$@"
}

# That all of what is asked of the JSON document is true.
holds() # NAME JQ-EXPRESSION...
{
	local name=$1 expression
	shift
	for expression in "$@"; do
		if ! jq -e "def f(n): .functions[] | select(.name == n); $expression" "$dir/out" >"$dir/check" 2>&1; then
			echo "($expression)" >>"$dir/check"
			reasons | not_ok "$name"
			return
		fi
	done
	ok "$name"
}

driver toy.c <<'END'
#include <linux/kernel.h>
#include "toy.h"
#define FLUSH(p) readl((p)->regs)
#define SET(x, v) ({ (x) = (v); })

static int reset(struct toy *t) { FLUSH(t); return 0; }
static int slow(struct toy *t) { t->speed++; SET(t->irq, 7); return t->seen == 4; }
static int pure(int v) { return v + 1; }
static int locked(struct toy *t) { int r; spin_lock(&t->lock); r = pure(t->speed); under(t); spin_unlock(&t->lock); return r; }
static int waits(struct toy *t) { mutex_lock(&t->sleepy); after(t); mutex_unlock(&t->sleepy); return 0; }
static int branch(struct toy *t) { spin_lock(&t->lock); if (t->seen) { spin_unlock(&t->lock); return 0; } under(t); spin_unlock(&t->lock); free_of(t); return 0; }
static int handler(int irq, void *dev) { struct toy *t = dev; spin_lock(&t->lock); t->seen = 1; t->work(t, pure); spin_unlock(&t->lock); return 0; }
static int twice(struct toy *t, int (*g)(int)) { return g(1); }
static int xmit(void *skb, struct net_device *d) { return 0; }
static int mdio(struct net_device *d, int reg) { struct toy *t = d->priv; return readl(t->regs); }
static int get_link(struct net_device *d) { struct toy *t = d->priv; return mii_link_ok(&t->mii) + pure(1); }
static int set_link(struct net_device *d) { struct toy *t = d->priv; return locked(t) + reset(t) + (t->fast ? slow : reset)(t); }
static int get_regs(struct net_device *d) { return waits(d->priv) + by_table(0) + branch(d->priv); }
static int open(struct net_device *d)
{
	struct toy *t = d->priv;
	int (*h)(int, void *) = handler;

	t->ring = dma_alloc_coherent(0, sizeof(t->seen));
	t->work = twice;
	return request_irq(t->irq, h, 0, "toy", t);
}
static int odd(struct net_device *d) { return helps_odd(d); }
static int dead(void) { return 1; }
static int of_int(int v) { return v; }
static int of_long(long v) { return v; }
static int set_wol(struct net_device *d) { long v = 1; return _Generic(v, int: of_int, long: of_long)(v); }
static int assembler(struct net_device *d) { asm volatile("nop"); return 0; }
static const struct net_device_ops ops = { open, .ndo_start_xmit = xmit };
static const struct ethtool_ops eops = { .get_link = get_link, .set_link = (void *)set_link, .get_regs = get_regs, .set_wol = set_wol };
static const struct ethtool_ops eops2[] = { { .get_link = assembler } };
static struct odd_ops oops = { .odd = odd };
static struct mii_if_info mii = { .mdio_read = mdio };
static int (*table[])(int) = { pure };
static int by_table(int i) { return table[i](i); }
END
driver toy.h <<'END'
struct toy { spinlock_t lock; struct mutex sleepy; void *regs; void *ring; struct { int speed; }; int irq, seen, fast; struct mii_if_info mii;
	int (*work)(struct toy *, int (*)(int)); };
static int by_table(int i);
static inline void under(struct toy *t) { t->irq = 1; }
static inline void after(struct toy *t) { }
static inline void free_of(struct toy *t) { }
static inline int helps_odd(struct net_device *d) { return d->mtu; }
END

factor --json
expect 'a driver is analysed' 0
holds 'its class is found by what it registers' '.class == "net"' '.errors == []'
holds 'an interrupt handler that comes by way of a local is a root, and stays' 'f("handler").verdict == "stays"' \
	'f("handler").ways.stay[0].root == "request_irq#1"'
holds 'a call through a field goes to all that is stored there' '.sites[] | select(.node == "field:toy.work") | .targets == ["twice@toy.c"]' \
	'f("twice").set == "stay"'
holds 'a function that is passed to a call through a field arrives' \
	'.sites[] | select(.node == "param:twice@toy.c#1") | .targets == ["pure@toy.c"] and .state == "resolved"'
holds 'an array of functions is one place' '.sites[] | select(.node == "global:table@toy.c") | .targets == ["pure@toy.c"]'
holds 'both arms of a conditional are called' '[f("set_link").calls[] | select(.kind == "direct") | .to] | index("slow@toy.c") != null and index("reset@toy.c") != null'
holds 'of _Generic one is called' '[f("set_wol").calls[].to] == ["of_long@toy.c"]' 'f("of_int").verdict == "never called"'
holds 'positional, designated and cast initializers are the fields that they are' 'f("open").ways.might[0].root == "net_device_ops.ndo_open"' \
	'f("set_link").ways.must[0].root == "ethtool_ops.set_link"'
holds 'configuration must move' 'f("get_link").verdict == "must move"' 'f("slow").verdict == "must move"'
holds 'registers are no obstacle, but are told' 'f("reset").verdict == "must move"' 'f("reset").apis == ["mmio"]' 'f("reset").notes[0].text | contains("FLUSH")'
holds 'who takes a lock that an interrupt handler takes cannot move' 'f("locked").verdict == "cannot move"' \
	'f("locked").reasons[0].text | contains("takes toy.lock, as handler")'
holds 'nor can who is called with it held' 'f("under").verdict == "cannot move"' 'f("under").reasons[0].text | contains("with toy.lock held")'
holds 'a lock is held behind a branch that gave it back and left' '[f("branch").calls[] | select(.to | startswith("under")) | .held] == ["toy.lock"]' \
	'[f("branch").calls[] | select(.to | startswith("free_of")) | .held] == [null]'
holds 'a mutex does not keep anybody' 'f("waits").verdict == "must move"' 'f("after").verdict == "must move"'
holds 'DMA does' 'f("open").verdict == "cannot move"' 'f("open").reasons[0].text | startswith("DMA")'
holds 'assembler does' 'f("assembler").verdict == "cannot move"' 'f("assembler").reasons[0].text | contains("assembler")'
holds 'a library that calls back makes a way' 'f("mdio").set == "must"' 'f("mdio").ways.must[1].via == "mii_link_ok"'
holds 'what is needed on both sides and writes nothing is replicated' 'f("pure").verdict == "replicate"' 'f("pure").both'
holds 'a place of which the policy says nothing keeps what the kernel gets there, and what that calls' 'f("odd").verdict == "cannot move"' 'f("odd").set == "unlisted"' \
	'f("helps_odd").verdict == "cannot move"' 'f("odd").reasons[0].text | contains("odd_ops.odd")'
holds 'who is never called is told' 'f("dead").verdict == "never called"'
holds 'reads and writes are told apart, also in macros and in unnamed structs' 'f("slow").reads | sort == ["toy.seen", "toy.speed"]' 'f("slow").writes | sort == ["toy.irq", "toy.speed"]'
holds 'sizeof reads nothing' '[f("open").reads[] | select(. == "toy.seen")] == []'
holds 'entry points say what they need' '[.entries[] | select(.function == "get_link@toy.c") | .needs] == ["registers"]' \
	'[.entries[] | select(.function == "set_link@toy.c") | .needs] == ["locked"]'

factor --explain mdio
expect_out 'one function is explained, with the way from its root' 0 'mdio (toy.c:' 'ethtool_ops.get_link' 'by mii_link_ok' 'must move'
factor --explain no_such
expect 'one that there is not is told' 5 "'no_such'"
factor
expect_out 'the report for people has all of them' 0 'must move' 'cannot move' 'replicate' 'never called' 'ENTRY POINT' 'net_device_ops.ndo_start_xmit'
factor --facts "$dir/facts"
check 'facts are written, and are the same again' eval 'cp "$dir/facts" "$dir/facts.1" && factor --facts "$dir/facts" && cmp "$dir/facts" "$dir/facts.1" && grep -q "^end" "$dir/facts"'
if command -v dot >/dev/null; then
	factor --svg "$dir/picture.svg"
	check 'the picture has a box for each function' test "$(grep -c '<g id="node' "$dir/picture.svg")" = "$(grep -c '^function' "$dir/facts")"
	factor --svg "$dir/no/such/folder.svg"
	expect 'a picture that cannot be written is told' 1 'dot could not make'
fi
mkdir "$dir/bin"
ln -s "$(command -v timeout)" "$dir/bin"
PATH=$dir/bin factor --svg "$dir/x.svg"
check 'so is that there is no dot' grep -q 'apt-get install graphviz' "$dir/err"

# ---- what is wrong with sources -------------------------------------------------------------

driver bad.c <<'END'
#include <linux/kernel.h>
static int good(struct net_device *d) { return d->mtu; }
static int broken(struct net_device *d)
{
	return d->no_such_field;
}
static const struct ethtool_ops bad_ops = { .get_link = broken, .set_link = good };
END
factor --json
expect 'a driver of another kernel is analysed as far as it goes' 0
holds 'the error is told with file and line' '[.errors[] | select(.path == "bad.c" and .line == 5 and (.text | contains("no_such_field")))] | length == 1'
holds 'the function in which it stands cannot move' 'f("broken").verdict == "cannot move"' 'f("broken").reasons[0].text | contains("does not compile")'
holds 'the others are there' 'f("good").verdict == "must move"' 'f("get_link").verdict == "must move"'
factor
expect_out 'people are told, too' 0 'NOT ANALYSED' 'bad.c:5:'

driver bad.c <<'END'
#include <linux/kernel.h>
#include "generated-by-nobody.h"
static int good(struct net_device *d) { return d->mtu; }
static const struct ethtool_ops bad_ops = { .set_link = good };
END
factor --json
holds 'a header that is missing, like one that is generated, is told, and the rest analysed' '[.errors[] | select(.line == 2 and (.text | contains("generated-by-nobody.h")))] | length == 1' \
	'f("good").verdict == "must move"'

printf 'int half(void) { if (1 {\n' | driver bad.c
factor --json
expect 'source that ends in the middle is no end of the analysis' 0
holds 'but an error in its line' '[.errors[] | select(.path == "bad.c" and .line == 1)] | length > 0' 'f("get_link").verdict == "must move"'
head -c 20000 /dev/urandom | driver bad.c
factor --json
expect 'nor is what is no source at all' 0
holds 'the rest is there' 'f("get_link").verdict == "must move"'
printf 'int deep = %s1%s;\n' "$(printf '(%.0s' {1..200000})" "$(printf ')%.0s' {1..200000})" | driver bad.c
factor --json
expect 'nor is what the parser may die of' 0
holds 'that is told with the file' '[.errors[] | select(.path == "bad.c")] | length > 0' 'f("get_link").verdict == "must move"'
rm "$dir/driver/bad.c"
printf '.text\n' | driver fast.S
factor --json
holds 'assembler is told as not analysed' '.skipped[0].why | contains("assembler")'
rm "$dir/driver/fast.S"

# Options as kbuild leaves them, in a folder that another compiler would not find its way in.
mkdir -p "$dir/driver/deep"
printf '#include "hidden.h"\n#ifndef QUOTED\n#error not quoted\n#endif\nint hidden(void) { return HIDDEN; }\n' | driver hidden.c
echo '#define HIDDEN 1' >"$dir/driver/deep/hidden.h"
factor --json
holds 'a header that only the Makefile knows where to find' '[.errors[] | select(.text | contains("hidden.h"))] | length == 1'
printf 'obj-m += hidden.o\nccflags-y := \\\n\t-I$(src)/deep -DQUOTED\n' | driver Makefile
factor --json
holds 'is found by the Makefile' '.errors == []'
rm "$dir/driver/Makefile"
cat >"$dir/driver/.hidden.o.cmd" <<END
savedcmd_hidden.o := gcc -Wp,-MMD,x.d -nostdinc -I$dir/driver/deep -D'QUOTED="a b"' -mfunction-return=thunk-extern -fplugin=none -c -o hidden.o hidden.c ; ./tools/objtool hidden.o

source_hidden.o := hidden.c
END
factor --json
holds 'and by what kbuild left' '.errors == []'

# ---- what is wrong with what was typed --------------------------------------------------------

ob factor
expect 'without a driver it says so' 2 'which driver'
ob factor "$dir/no-such-folder/driver.c" --kernel-headers "$headers"
expect 'one that is not there is named' 5 'no-such-folder'
ob factor "$dir/headers/include/generated" --kernel-headers "$headers"
expect 'a folder without C is told' 5 'no C file'
ob factor "$dir/driver" --kernel-headers "$dir"
expect 'a folder without headers is told' 5 'autoconf.h'
rm "$headers/include/linux/kconfig.h"
factor
expect 'so is half a folder of headers' 5 'kconfig.h'
touch "$headers/include/linux/kconfig.h"
factor --class nett
expect 'a class that there is not gets those that there are' 5 "'nett'" 'net'
factor --kernel 2.4 --kernel-headers "$headers"
expect 'headers that are given are taken' 0
OUTBOARD_LINUX_CACHE=$dir/cache ob factor "$dir/driver" --kernel 2.4
expect 'a kernel that cannot be had is told' 2 "'2.4'"
OUTBOARD_LINUX_CACHE=$dir/cache ob factor 'no such driver' --kernel 2.4
expect 'so it is for a driver by its name' 2 "'2.4'"

# ---- policies -------------------------------------------------------------------------------------

policy() # its text on standard input
{
	cat >"$dir/policy.json"
	factor --class "$dir/policy.json" --json
}

policy <<<'{"class": "toys", "include": ["any"], "roots": [{"at": ["odd_ops.*"], "set": "must", "why": "toys"}]}'
expect 'a policy of one'\''s own is taken' 0
holds 'and says what the class is' '.class == "toys"' 'f("odd").verdict == "must move"' 'f("get_link").set == "unlisted"'
policy <<<'{"class": "toys",'
expect 'one that is no JSON is told with its line' 2 'policy.json' 'line'
policy <<<'{"roots": [{"at": ["x.y"], "set": "perhaps", "why": ""}]}'
expect 'a set that there is not is told' 2 'stay, must, might, init'
policy <<<'{"roots": {"at": 1}}'
expect 'what is not a list is told' 2 'not a list: roots'
policy <<<'{"rootes": []}'
expect 'a key that nobody reads is told' 2 'rootes'
policy <<<'{"include": ["no-such"]}'
expect 'so is a file that is not there' 5 'no-such'
policy <<<'{"locks": [{"acquire": "a:b", "release": "c"}]}'
expect 'so is a lock that is not a name' 2 'colon'

# ---- counts ---------------------------------------------------------------------------------------

counts() # [OPTION]...: their text on standard input
{
	cat >"$dir/counts"
	factor --counts "$dir/counts" "$@"
}

counts --json <<'END'
# of a kernel
driver toy
phase load configuration 1
phase use-it use 2.5
call load get_link 1000
call use-it get_link.isra.0 12
call use-it handler 5000
call use-it not_of_this_driver 7
END
expect 'counts of calls are read' 0
holds 'beside each function stands how often it was called, and how often a second in use' 'f("get_link") | .count == 1012 and (.rate * 10 | round) == 48 and .hot == false' \
	'f("handler") | .count == 5000 and .rate == 2000 and .hot' 'f("set_link") | .count == 0 and .hot == false'
ob factor --kernel-headers "$headers" "$dir/driver" --json
holds 'without counts nothing is said of them' 'f("handler") | has("hot") | not'
counts <<<'phase p use 2
call p handler 5000'
expect_out 'of what stays nothing is warned' 0 'no function that would move was called'
counts <<<'phase p use 2
call p set_link 11'
expect_out 'what would move and is hot is warned of' 0 WARNING 'set_link would move'
counts <<<'phase p use 2
call q set_link 11'
expect 'a phase that there is not is told with its line' 2 'counts:2'
counts <<<'phase p use 0'
expect 'so is one of no time' 2 'counts:1'
counts <<<'phase p use 2
call p handler many'
expect 'so is a count that is none' 2 'counts:2'
counts <<<'phase p use 2
call p pcnet32_open 1'
expect 'counts of another driver are told' 2 'no function of this driver'
factor --counts "$dir/no-such"
expect 'so is a file that is not there' 5 'no-such'
finish
