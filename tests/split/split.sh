#!/bin/bash
# SPDX-License-Identifier: BSD-2-Clause
#
# split.sh OUTBOARD: `outboard split` on a driver of a few lines, against a kernel's headers of a few lines: each rule that lets a function move
# or keeps it, and what is written. Nothing is downloaded or built.
here=$(dirname "$(readlink -f "$0")")
. "$here/../cli/tap.sh"

headers=$dir/headers
mkdir -p "$headers/include/generated" "$headers/include/linux" "$dir/driver"
touch "$headers"/include/generated/autoconf.h "$headers"/include/linux/{kconfig,compiler-version,compiler_types}.h
cat >"$headers/include/linux/kernel.h" <<'END'
typedef struct { int x; } spinlock_t;
typedef unsigned int u32;
typedef unsigned char u8;
struct device { int id; };
struct net_device; struct net_device_ops { int (*ndo_start_xmit)(void *, struct net_device *); int (*ndo_open)(struct net_device *); };
struct net_device { const struct ethtool_ops *ethtool_ops; int mtu, ifindex; };
struct ethtool_drvinfo { char driver[32]; u32 n_stats; };
struct ethtool_eeprom { u32 len, offset, magic; };
struct ethtool_ringparam { u32 rx, tx; };
struct ethtool_ops {
	void (*get_drvinfo)(struct net_device *, struct ethtool_drvinfo *);
	u32 (*get_msglevel)(struct net_device *);
	void (*set_msglevel)(struct net_device *, u32);
	int (*set_index)(struct net_device *, u32);
	int (*set_mtu)(struct net_device *, u32);
	int (*locked)(struct net_device *);
	int (*get_link)(struct net_device *);
	int (*region_both)(struct net_device *, int);
	int (*region_cases)(struct net_device *, int);
	int (*region_guarded)(struct net_device *, int);
	int (*region_return)(struct net_device *);
	int (*region_goto)(struct net_device *);
	int (*region_other_block)(struct net_device *);
	int (*region_pointer)(struct net_device *);
	int (*region_value)(struct net_device *, int);
	int (*region_guard_value)(struct net_device *, int);
	int (*region_loop)(struct net_device *);
	int (*region_two)(struct net_device *);
	int (*region_static)(struct net_device *);
	int (*region_array)(struct net_device *);
	int (*region_user)(struct net_device *);
	int (*region_written)(struct net_device *);
	int (*region_calls)(struct net_device *);
	int (*region_falls)(struct net_device *, int);
	int (*region_many)(struct net_device *, int);
	int (*region_jump)(struct net_device *, int);
	int (*region_index)(struct net_device *, u32);
	int (*region_inner)(struct net_device *);
	int (*region_drops)(struct net_device *);
	int (*region_holds)(struct net_device *);
	int (*region_gives)(struct net_device *);
	int (*region_default)(struct net_device *, int);
	int (*region_half)(struct net_device *);
	int (*registers)(struct net_device *);
	int (*direct)(struct net_device *);
	int (*variable)(struct net_device *);
	int (*written)(struct net_device *);
	int (*table)(struct net_device *, int);
	int (*nested)(struct net_device *);
	int (*both)(struct net_device *);
	int (*many)(struct net_device *);
	int (*ring)(struct net_device *);
	int (*pointer)(struct net_device *);
	int (*unsized)(struct net_device *, u32 *);
	int (*get_sset_count)(struct net_device *, int);
	void (*get_strings)(struct net_device *, u32, u8 *);
	int (*get_eeprom)(struct net_device *, struct ethtool_eeprom *, u8 *);
	int (*set_eeprom)(struct net_device *, struct ethtool_eeprom *, u8 *);
	int (*bits)(struct net_device *);
	int (*through)(struct net_device *);
	char *(*address)(struct net_device *);
	int (*get_regs_len)(struct net_device *);
	int (*get_eeprom_len)(struct net_device *);
	void (*get_regs)(struct net_device *, void *);
	int (*asks)(struct net_device *);
	int (*asks_kernel)(struct net_device *);
	int (*asks_register)(struct net_device *);
	int (*asks_result)(struct net_device *);
	int (*asks_harm)(struct net_device *);
	int (*asks_other)(struct net_device *);
	int (*asks_typed)(struct net_device *);
	int (*asks_atomic)(struct net_device *);
	int (*asks_pointed)(struct net_device *);
	void (*get_ringparam)(struct net_device *, struct ethtool_ringparam *);
	int (*set_ringparam)(struct net_device *, struct ethtool_ringparam *);
};
_Bool device_can_wakeup(struct device *dev);
void kfree(const void *p);
void *netdev_priv(const struct net_device *dev);
void spin_lock(spinlock_t *l);
void spin_unlock(spinlock_t *l);
unsigned int readl(const volatile void *a);
void *memcpy(void *to, const void *from, unsigned long n);
int unknown(int x);
unsigned long copy_to_user(void *to, const void *from, unsigned long n);
END
cat >"$dir/driver/toy.c" <<'END'
#include <linux/kernel.h>
struct ring { int count; };
struct e1000_hw { unsigned char *hw_addr; int phy; };
struct toy {
	u32 msg_enable, index, flags, seen, depth;
	unsigned int fast:1, slow:1;
	spinlock_t lock, second;
	struct ring *rings, *one;
	struct { int inner; } part;
	void *regs;
	struct net_device *dev;
	int (*hook)(struct net_device *);
	u8 eeprom[64];
	int data[8];
	struct e1000_hw hw, *other;
	struct device device;
};
static int debug;
static int counter;
static const int sizes[4] = {1, 2, 3, 4};

static int e1000_led_off(struct e1000_hw *hw) { return readl(hw->hw_addr); }
static int e1000_setup_led(struct toy *hw) { return hw->flags; }
static int xmit(void *skb, struct net_device *dev)
{
	struct toy *t = netdev_priv(dev);

	spin_lock(&t->lock);
	if (t->msg_enable & 2)
		t->data[t->index] = e1000_led_off(&t->hw);
	spin_unlock(&t->lock);
	return 0;
}
static int sum(int a, int b)
{
#define SUM_IS 7
	return a + b;
}
static int only_here(struct toy *t)
{
#define ONLY_IS 8
	return sum(t->part.inner, 1);
}
static int opens(struct net_device *dev);
static void get_drvinfo(struct net_device *dev, struct ethtool_drvinfo *info) { memcpy(info->driver, "toy", 4); }
static u32 get_msglevel(struct net_device *dev)
{
	struct toy *t = netdev_priv(dev);
	return t->msg_enable;
}
static void set_msglevel(struct net_device *dev, u32 value)
{
	struct toy *t = netdev_priv(dev);
	t->msg_enable = value;
}
static int set_index(struct net_device *dev, u32 value)
{
	struct toy *t = netdev_priv(dev);
	t->index = value;
	return 0;
}
static int set_mtu(struct net_device *dev, u32 value) { dev->mtu = value; return 0; }
static int locked(struct net_device *dev)
{
	struct toy *t = netdev_priv(dev);
	int flags;

	spin_lock(&t->lock);
	flags = t->flags;
	spin_unlock(&t->lock);
	return flags + 7;
}
static int get_link(struct net_device *dev)
{
	struct toy *t = netdev_priv(dev);
	struct ring *at = t->one;
	int r = 3, i;

	spin_lock(&t->lock);
	if (t->seen)
		for (i = 0; i < 4; i++)
			at->count += readl(t->regs);
	else
		r = 4;
	spin_unlock(&t->lock);
	return r;
}
/* What was computed before comes to the region where it decides on a branch alone. */
static int region_both(struct net_device *dev, int what)
{
	struct toy *t = netdev_priv(dev);
	int r = what & 3, s = 0;

	r += what;
	spin_lock(&t->lock);
	if (r)
		s = t->flags;
	spin_unlock(&t->lock);
	return r + s;
}
#define KIND_B 2
static int region_cases(struct net_device *dev, int what)
{
	struct toy *t = netdev_priv(dev);
	int i;

	switch (what) {
	case 1:
		spin_lock(&t->lock);
		for (i = 0; i < 4; i++)
			t->data[i] = 1;
		spin_unlock(&t->lock);
		return 2;
	case KIND_B:
	case 3: {
		spin_lock(&t->lock);
		for (i = 0; i < 4; i++)
			t->data[i] = 2;
		spin_unlock(&t->lock);
		break;
	}
	}
	return 0;
}
static int region_guarded(struct net_device *dev, int what)
{
	struct toy *t = netdev_priv(dev);

	if (!t->seen || what > 4)
		return -1;
	if (what & 1) {
		spin_lock(&t->lock);
		t->data[0] = 5;
		spin_unlock(&t->lock);
	} else if (t->fast) {
		spin_lock(&t->lock);
		t->data[0] = 6;
		spin_unlock(&t->lock);
	}
	return 1;
}
static int region_return(struct net_device *dev)
{
	struct toy *t = netdev_priv(dev);

	spin_lock(&t->lock);
	if (t->flags) {
		spin_unlock(&t->lock);
		return 1;
	}
	spin_unlock(&t->lock);
	return 0;
}
static int region_goto(struct net_device *dev)
{
	struct toy *t = netdev_priv(dev);

	spin_lock(&t->lock);
	if (t->flags)
		goto out;
	t->data[0] = 1;
out:
	spin_unlock(&t->lock);
	return 0;
}
static int region_other_block(struct net_device *dev)
{
	struct toy *t = netdev_priv(dev);

	spin_lock(&t->lock);
	if (t->flags)
		spin_unlock(&t->lock);
	else
		spin_unlock(&t->lock);
	return 0;
}
static int region_pointer(struct net_device *dev)
{
	struct toy *t = netdev_priv(dev);
	int *at = t->data;

	at += 2;
	spin_lock(&t->lock);
	*at = 1;
	spin_unlock(&t->lock);
	return 0;
}
static int region_value(struct net_device *dev, int what)
{
	struct toy *t = netdev_priv(dev);

	what += 2;
	spin_lock(&t->lock);
	t->data[what] = 1;
	spin_unlock(&t->lock);
	return 0;
}
static int region_guard_value(struct net_device *dev, int what)
{
	struct toy *t = netdev_priv(dev);

	what += 2;
	if (what == 5) {
		spin_lock(&t->lock);
		t->data[0] = 1;
		spin_unlock(&t->lock);
	}
	return 0;
}
static int region_loop(struct net_device *dev)
{
	struct toy *t = netdev_priv(dev);
	int i;

	for (i = 0; i < 3; i++) {
		spin_lock(&t->lock);
		t->data[0] = 1;
		spin_unlock(&t->lock);
	}
	return 0;
}
static int region_two(struct net_device *dev)
{
	struct toy *t = netdev_priv(dev);

	if (t->seen) {
		spin_lock(&t->lock);
		t->data[0] = 1;
		spin_unlock(&t->lock);
	}
	spin_lock(&t->lock);
	t->data[0] = 2;
	spin_unlock(&t->lock);
	return 0;
}
static int region_static(struct net_device *dev)
{
	struct toy *t = netdev_priv(dev);
	static int calls;

	spin_lock(&t->lock);
	t->data[0] = calls++;
	spin_unlock(&t->lock);
	return 0;
}
static int region_array(struct net_device *dev)
{
	struct toy *t = netdev_priv(dev);
	int copy[4];

	spin_lock(&t->lock);
	memcpy(copy, t->data, sizeof(copy));
	spin_unlock(&t->lock);
	return copy[1];
}
static int copies(struct toy *t) { return copy_to_user(t->regs, t->data, 4); }
static int region_user(struct net_device *dev)
{
	struct toy *t = netdev_priv(dev);

	spin_lock(&t->lock);
	copies(t);
	spin_unlock(&t->lock);
	return 0;
}
static int region_written(struct net_device *dev)
{
	struct toy *t = netdev_priv(dev);

	t->seen = 1;
	if (t->seen) {
		spin_lock(&t->lock);
		t->data[0] = 1;
		spin_unlock(&t->lock);
	}
	return 0;
}
static int region_calls(struct net_device *dev)
{
	struct toy *t = netdev_priv(dev);

	if (unknown(t->flags))
		return 1;
	spin_lock(&t->lock);
	t->data[0] = 1;
	spin_unlock(&t->lock);
	return 0;
}
static int region_falls(struct net_device *dev, int what)
{
	struct toy *t = netdev_priv(dev);
	int r = 0;

	switch (what) {
	case 1:
		r = 4;
	case 2:
		spin_lock(&t->lock);
		t->data[0] = 1;
		spin_unlock(&t->lock);
	}
	return r;
}
static int region_many(struct net_device *dev, int what)
{
	struct toy *t = netdev_priv(dev);
	int a, b, c, d, e, f;

	spin_lock(&t->lock);
	a = b = c = d = e = f = t->flags;
	spin_unlock(&t->lock);
	return a + b + c + d + e + f;
}
static int region_jump(struct net_device *dev, int what)
{
	struct toy *t = netdev_priv(dev);

	if (what) {
		what++;
		if (what == 4)
			return 1;
	}
	spin_lock(&t->lock);
	t->data[0] = 1;
	spin_unlock(&t->lock);
	return 0;
}
/* The field goes back to the kernel, where the region counts with it. */
static int region_index(struct net_device *dev, u32 value)
{
	struct toy *t = netdev_priv(dev);

	t->depth = value;
	spin_lock(&t->lock);
	t->data[t->depth] = 1;
	spin_unlock(&t->lock);
	return 0;
}
static int takes(struct toy *t)
{
	spin_lock(&t->lock);
	t->data[0] = 1;
	spin_unlock(&t->lock);
	return 0;
}
static int region_inner(struct net_device *dev) { return takes(netdev_priv(dev)); }
static int region_drops(struct net_device *dev)
{
	struct toy *t = netdev_priv(dev);

	spin_unlock(&t->lock);
	spin_lock(&t->lock);
	return 0;
}
static int registers(struct net_device *dev)
{
	struct toy *t = netdev_priv(dev);
	return readl(t->regs);
}
static int direct(struct net_device *dev) { return SUM_IS; }
static int variable(struct net_device *dev) { return counter + debug; }
static int written(struct net_device *dev) { return counter++; }
static int table(struct net_device *dev, int i) { return sizes[i & 3] + ONLY_IS; }
static int nested(struct net_device *dev) { return only_here(netdev_priv(dev)); }
static int both(struct net_device *dev) { return sum(1, 2); }
static int many(struct net_device *dev)
{
	struct toy *t = netdev_priv(dev);
	return t->rings[1].count;
}
static int ring(struct net_device *dev)
{
	struct toy *t = netdev_priv(dev);
	return t->one->count;
}
static int pointer(struct net_device *dev)
{
	struct toy *t = netdev_priv(dev);
	t->one = t->rings;
	return 0;
}
static int unsized(struct net_device *dev, u32 *what) { return *what; }
static int get_sset_count(struct net_device *dev, int set) { return set == 1 ? 2 : -1; }
static void get_strings(struct net_device *dev, u32 set, u8 *data) { memcpy(data, "abc", 4); }
static int get_eeprom(struct net_device *dev, struct ethtool_eeprom *e, u8 *data)
{
	struct toy *t = netdev_priv(dev);

	e->magic = 5;
	memcpy(data, t->eeprom + e->offset, e->len);
	return 0;
}
static int set_eeprom(struct net_device *dev, struct ethtool_eeprom *e, u8 *data) { e->len = 0; return 0; }
static int bits(struct net_device *dev)
{
	struct toy *t = netdev_priv(dev);

	t->slow = 1;
	return t->fast;
}
static int through(struct net_device *dev)
{
	struct toy *t = netdev_priv(dev);
	return t->hook(dev);
}
static char *address(struct net_device *dev) { return 0; }
static int get_regs_len(struct net_device *dev)
{
	struct toy *t = netdev_priv(dev);
	return t->hw.phy;
}
static int region_holds(struct net_device *dev)
{
	struct toy *t = netdev_priv(dev);

	spin_lock(&t->lock);
	spin_lock(&t->second);
	spin_unlock(&t->lock);
	return 0;
}
static int region_gives(struct net_device *dev)
{
	struct toy *t = netdev_priv(dev);

	spin_lock(&t->lock);
	spin_unlock(&t->second);
	spin_unlock(&t->lock);
	return 0;
}
static int region_default(struct net_device *dev, int what)
{
	struct toy *t = netdev_priv(dev);

	switch (what) {
	case 1:
		return 1;
	default:
		spin_lock(&t->lock);
		t->data[0] = 1;
		spin_unlock(&t->lock);
	}
	return 0;
}
static int region_half(struct net_device *dev)
{
	struct toy *t = netdev_priv(dev);

	spin_lock(&t->lock);
	t->data[0] = 1;
#ifdef KIND_B
	t->data[0] = 2;
	spin_unlock(&t->lock);
#endif
	return 0;
}
static int get_eeprom_len(struct net_device *dev)
{
	if (dev->mtu)
		return sizeof(((struct toy *)0)->eeprom);
	return -1;
}
static void get_regs(struct net_device *dev, void *p) { struct toy *t = netdev_priv(dev); *(u32 *)p = readl(t->regs); }
static int mdio_read(struct net_device *dev, int phy, int reg)
{
	struct toy *t = netdev_priv(dev);
	int value;

	spin_lock(&t->lock);
	value = readl(t->regs);
	spin_unlock(&t->lock);
	return value;
}
static void mdio_write(struct net_device *dev, int phy, int reg, int value)
{
	struct toy *t = netdev_priv(dev);
	kfree(t->rings);
}
static int e1000_read_phy_reg(struct e1000_hw *hw, u32 reg, unsigned short *value)
{
	*value = readl(hw->hw_addr + reg);
	return 0;
}
static int e1000_led_on(struct e1000_hw *hw, int which) { return readl(hw->hw_addr + which); }
static int asks(struct net_device *dev) { return mdio_read(dev, 1, 2) & 1; }
static int asks_kernel(struct net_device *dev)
{
	struct toy *t = netdev_priv(dev);
	return device_can_wakeup(&t->device);
}
static int asks_register(struct net_device *dev)
{
	struct toy *t = netdev_priv(dev);
	return readl(t->hw.hw_addr + 8);
}
static int asks_result(struct net_device *dev)
{
	struct toy *t = netdev_priv(dev);
	unsigned short value = 0;

	e1000_read_phy_reg(&t->hw, 1, &value);
	return value;
}
static int asks_harm(struct net_device *dev) { mdio_write(dev, 1, 2, 3); return 0; }
static int asks_other(struct net_device *dev)
{
	struct toy *t = netdev_priv(dev);
	return e1000_led_on(&t->hw, 1);
}
static int asks_typed(struct net_device *dev) { return e1000_setup_led(netdev_priv(dev)); }
static int asks_atomic(struct net_device *dev)
{
	struct toy *t = netdev_priv(dev);
	return e1000_led_off(&t->hw);
}
static int e1000_cleanup_led(struct e1000_hw *hw) { return readl(hw->hw_addr); }
static int asks_pointed(struct net_device *dev)
{
	struct toy *t = netdev_priv(dev);
	return t->other->phy + e1000_cleanup_led(t->other);
}
static void get_ringparam(struct net_device *dev, struct ethtool_ringparam *ring) { ring->rx = 5; }
static int set_ringparam(struct net_device *dev, struct ethtool_ringparam *ring)
{
	struct toy *t = netdev_priv(dev);
	t->index = ring->rx;
	return 0;
}
static const struct ethtool_ops ethtool = {
	.get_drvinfo = get_drvinfo, .get_msglevel = get_msglevel, .set_msglevel = set_msglevel, .set_index = set_index, .set_mtu = set_mtu,
	.locked = locked, .registers = registers, .direct = direct, .variable = variable, .written = written, .table = table, .nested = nested,
	.both = both, .many = many, .ring = ring, .pointer = pointer, .unsized = unsized, .get_sset_count = get_sset_count, .get_strings = get_strings,
	.get_eeprom = get_eeprom, .set_eeprom = set_eeprom, .bits = bits, .through = through, .address = address, .get_regs_len = get_regs_len, .get_eeprom_len = get_eeprom_len, .get_regs = get_regs,
	.asks = asks, .asks_kernel = asks_kernel, .asks_register = asks_register, .asks_result = asks_result, .asks_harm = asks_harm, .asks_other = asks_other,
	.asks_typed = asks_typed, .asks_atomic = asks_atomic, .asks_pointed = asks_pointed,
	.get_ringparam = get_ringparam, .set_ringparam = set_ringparam,
	.get_link = get_link, .region_both = region_both, .region_cases = region_cases, .region_guarded = region_guarded, .region_return = region_return,
	.region_goto = region_goto, .region_other_block = region_other_block, .region_pointer = region_pointer, .region_value = region_value,
	.region_guard_value = region_guard_value, .region_loop = region_loop, .region_two = region_two, .region_static = region_static,
	.region_array = region_array, .region_user = region_user, .region_written = region_written, .region_calls = region_calls, .region_falls = region_falls,
	.region_many = region_many, .region_jump = region_jump, .region_index = region_index, .region_inner = region_inner, .region_drops = region_drops,
	.region_holds = region_holds, .region_gives = region_gives, .region_default = region_default, .region_half = region_half,
};
static const struct net_device_ops ops = {.ndo_start_xmit = xmit, .ndo_open = opens};
static int opens(struct net_device *dev)
{
	dev->ethtool_ops = &ethtool;
	return sum(direct(dev), unknown(ops.ndo_open != 0));
}
END

# Rules that are about this driver alone.
cp -r "$here/../../split/policy" "$dir/policies"
cat >"$dir/policies/drivers/toy.json" <<'END'
{
  "kept_calls": [
    {"call": "mdio_read", "arguments": ["object net_device", "value 31", "value 31"], "why": "reads"},
    {"call": "mdio_write", "void": true, "arguments": ["object net_device", "value 31", "value 31", "value 65535"], "why": "writes"},
    {"call": "e1000_read_phy_reg", "arguments": ["object e1000_hw", "value 31", "out"], "why": "reads"},
    {"call": "e1000_setup_led", "arguments": ["object e1000_hw"], "why": "the LED alone"},
    {"call": "e1000_cleanup_led", "arguments": ["object e1000_hw"], "why": "the LED alone"},
    {"call": "e1000_led_on", "arguments": ["object e1000_hw"], "why": "the LED alone"},
    {"call": "e1000_led_off", "arguments": ["object e1000_hw"], "why": "the LED alone"},
    {"call": "readl", "arguments": ["register e1000_hw.hw_addr"], "registers": ["0x0", "0x8"], "why": "reads"}
  ]
}
END

ob split --kernel-headers "$headers" --policies "$dir/policies" "$dir/driver/toy.c" -o "$dir/made" --json
cp "$dir/out" "$dir/report"
expect 'a driver is split' 0

fate() # FATE FUNCTION...
{
	local want=$1 function
	shift
	for function in "$@"; do
		if jq -e --arg f "$function" --arg w "$want" '.list[] | select(.name == $f) | .fate == $w' "$dir/report" >/dev/null; then
			ok "$function: $want"
		else
			jq --arg f "$function" '.list[] | select(.name == $f)' "$dir/report" | not_ok "$function: $want"
		fi
	done
}

stays() # FUNCTION TEXT
{
	if jq -r --arg f "$1" '.list[] | select(.name == $f and .fate == "stays") | .why' "$dir/report" | grep -qF -- "$2"; then
		ok "$1 stays: $2"
	else
		jq --arg f "$1" '.list[] | select(.name == $f)' "$dir/report" | not_ok "$1 stays: $2"
	fi
}

fate 'moved, with a stub' get_drvinfo get_msglevel set_msglevel variable table nested both ring get_sset_count get_strings get_eeprom bits asks asks_kernel asks_register asks_result \
	locked get_link region_both region_cases region_guarded get_eeprom_len
fate 'moved' only_here
fate 'on both sides' sum
stays xmit 'nobody may wait'
stays set_index 'on which more than a branch of xmit in the kernel depends'
stays set_mtu 'writes net_device.mtu, which is the kernel'
stays region_return 'takes toy.lock, as xmit'
at() # FUNCTION TEXT: the line of the first one behind the function's begin
{
	awk -v f="static int $1(" -v t="$2" 'index($0, f) == 1 { in_it = 1 } in_it && index($0, t) { print NR; exit }' "$dir/driver/toy.c"
}
whole() # FUNCTION TEXT: its region is no function of its own
{
	stays "$1" "its locked region is no function of its own: $2 (toy.c:"
}
whole region_return "line $(at region_return 'return 1') jumps out of it, or into it"
whole region_goto "line $(at region_goto 'goto out') jumps out of it, or into it"
whole region_other_block 'it is not given back in the same block'
whole region_pointer 'it uses the address at, which is computed before it'
whole region_value 'more than a branch of it depends on what, which is computed before it'
whole region_guard_value 'what decides on it is computed before it'
whole region_loop 'it stands in a loop'
whole region_two 'another one comes before it'
whole region_static 'it uses the static variable calls'
whole region_array 'it shares copy, which is no number, with what is before or behind it'
whole region_falls 'another case falls through to it'
whole region_jump "whether it is come to depends on line $(at region_jump 'return 1')"
stays region_user 'calls copy_to_user in a locked region, which is about who calls'
stays region_written 'writes toy.seen, on which a locked region depends'
stays region_calls "calls the kernel's unknown"
stays region_many 'shares more than 5 numbers with a locked region'
stays region_index 'on which more than a branch of region_index in the kernel depends'
stays region_inner 'calls takes, which takes toy.lock'
stays region_drops 'gives back'
stays region_holds 'it ends with a lock held'
stays region_gives "gives back its caller's toy.second while it has another lock"
whole region_half 'it has one end of an #if'
whole region_default 'it stands behind default: or a range'
stays registers 'uses registers: readl'
stays direct 'opens, which stays, calls it'
stays written "writes the driver's variable counter"
stays many 'of an object that is not known to be reached'
stays pointer 'writes the address toy.one'
stays unsized 'no rule tells how large it is what what points to'
stays set_eeprom 'writes ethtool_eeprom.len, by which the kernel goes'
stays through 'calls through toy.hook'
stays address 'returns an address'
stays get_regs_len 'tells how long what get_regs, which stays, works on is'
stays mdio_read 'takes toy.lock'
stays asks_harm 'calls mdio_write, which would be kept, but uses kfree'
stays asks_other 'which has 2 parameters, not 1 as in its rule'
stays asks_typed 'calls e1000_setup_led, whose parameter hw is not as in its rule'
stays asks_atomic "calls e1000_led_off, which would be kept, but relies on its callers' lock"
stays asks_pointed 'calls e1000_cleanup_led, with e1000_hw that is not known to be reached'
stays opens 'the kernel calls it on its own, too'

# What was written has a text, or (with "no") has it not.
has() # NAME FILE TEXT [no]
{
	local want=0
	[ -z "${4:-}" ] || want=1
	grep -qF -- "$3" "$dir/made/$2"
	if [ $? -eq $want ]; then
		ok "$1"
	else
		grep -nF -- "${3%% *}" "$dir/made/$2" | head | not_ok "$1"
	fi
}

has 'a stub asks the daemon' kernel/src/toy.c 'ob_split_call(&ob_split_op_get_msglevel'
has 'a length is held to its first answer' kernel/src/toy.c 'ob_split_length(&ob_split_op_get_sset_count, dev->ifindex, set, ob_frame.ob_result'
has 'of a constant one no other answer is taken' kernel/src/toy.c 'ob_frame.ob_result, 64, 64)'
has 'a buffer is as large as was said' kernel/src/toy.c 'ob_split_positive(dev->ethtool_ops->get_sset_count(dev, set)) * ETH_GSTRING_LEN'
has 'a body that moved is not in the kernel' kernel/src/toy.c 'return t->msg_enable;' no
has 'what only moved functions call is not there at all' kernel/src/toy.c 'only_here' no
has 'what both need is in the kernel' kernel/src/toy.c 'return a + b;'
has 'what the preprocessor reads stays' kernel/src/toy.c '#define ONLY_IS 8'
has 'a body that moved is in the daemon' daemon/src/toy.c 'return t->msg_enable;'
has 'so is what it calls' daemon/src/toy.c 'return sum(t->part.inner, 1);'
has 'what stays is not in the daemon' daemon/src/toy.c 't->data[t->index] = e1000_led_off(&t->hw);' no
has 'a field that is read is sent' kernel/src/toy.c.tables.h '.flags = OB_SPLIT_IN, .offset = offsetof(struct toy, msg_enable)'
has 'one that is written comes back' kernel/src/toy.c.tables.h '.flags = OB_SPLIT_IN | OB_SPLIT_OUT, .offset = offsetof(struct toy, msg_enable)'
has 'bits are a part of their word' kernel/src/toy.c.tables.h '.size = 4, .bit = 1, .bits = 1'
has 'structs in structs are followed' kernel/src/toy.c.tables.h 'offsetof(struct toy, part.inner)'
has "a length of the caller's cannot be changed" kernel/src/toy.c.tables.h '.flags = OB_SPLIT_IN, .offset = offsetof(struct ethtool_eeprom, len)'
has 'text that is filled ends' kernel/src/toy.c.tables.h 'OB_SPLIT_STRING, .offset = offsetof(struct ethtool_drvinfo, driver)'
has "the module has the driver's name" kernel/Kbuild 'obj-m := toy.o'

has 'a function that stays is asked for by number' daemon/src/toy.c 'ob_split_ask('
has 'with its arguments' daemon/src/toy.c '{OB_SPLIT_WORD(dev), OB_SPLIT_WORD(phy), OB_SPLIT_WORD(reg), 0}'
has 'a number that it sets is taken over' daemon/src/toy.c '*value = ob_v[2];'
has "so is the kernel's" daemon/src/toy.c.frames.h '#define device_can_wakeup(ob_0)'
has 'its body is not in the daemon' daemon/src/toy.c 'value = readl(t->regs);' no
has 'it is in the kernel' kernel/src/toy.c 'value = readl(t->regs);'
has 'the module calls it with objects of its own' kernel/src/toy.c.tables.h 'mdio_read(p[0], v[1], v[2])'
has 'numbers have a limit' kernel/src/toy.c.tables.h '.kind = OB_SPLIT_VALUE, .most = 31'
has 'an object in another one has its place' kernel/src/toy.c.tables.h 'offsetof(struct toy, device)}'
has 'a struct whose address goes to such a function does not travel' kernel/src/toy.c.tables.h '.offset = offsetof(struct toy, device),' no
has 'registers have offsets that may be read' kernel/src/toy.c.tables.h '.registers = (const unsigned int[]){0, 0x8, }'
has 'a register lies behind an address of the kernel' kernel/src/toy.c.tables.h 'readl(p[0])'
has 'what was not answered is not written back' kernel/src/toy.c 'if (ob_split_unanswered(&ob_split_op_get_ringparam)) return -EIO; {'

has 'a locked region is a function in the kernel' kernel/src/toy.c.tables.h 'flags = t->flags;'
has 'it is not in the daemon' daemon/src/toy.c 'flags = t->flags;' no
has 'what is behind it is there' daemon/src/toy.c 'return flags + 7;'
has 'and not in the kernel' kernel/src/toy.c 'return flags + 7;' no
has 'what it sets comes to the daemon' daemon/src/toy.c ' flags = ob_v[1]; }'
has 'without a value it is 0' kernel/src/toy.c.tables.h '__typeof__(int) flags __maybe_unused = 0;'
has 'parameters are those of the call' kernel/src/toy.c.tables.h 'dev __maybe_unused = ob_frame->dev;'
has 'addresses are computed by the kernel' kernel/src/toy.c.tables.h 'at __maybe_unused = (t->one'
has 'numbers that were computed travel' kernel/src/toy.c.tables.h ' r __maybe_unused = (__typeof__(int))v[1];'
has 'the conditions before it hold in the kernel' kernel/src/toy.c.tables.h '(!t->seen || what > 4'
has 'cases, too' kernel/src/toy.c.tables.h 'case (KIND_B'
has 'the runtime knows that it is one' kernel/src/toy.c.tables.h '.region = 1'
if [ "$(awk '/return flags [+] 7;/ { print NR; exit }' "$dir/driver/toy.c")" = "$(awk '/^#line/ { n = $2 - 1; next } { n++ } /return flags [+] 7;/ { print n; exit }' "$dir/made/daemon/src/toy.c")" ]; then
	ok "the daemon's lines keep their numbers, too"
else
	head -n 40 "$dir/made/daemon/src/toy.c" | not_ok "the daemon's lines keep their numbers, too"
fi
# The regions are executed, in a process.
if cc -std=gnu11 -w -I "$here/regions_kernel" -I "$dir/made/kernel" -I "$headers/include" -o "$dir/regions" "$here/regions.c" >"$dir/out" 2>&1 &&
	"$dir/regions" >"$dir/out"; then
	while read -r line; do
		case $line in
		'ok '*) ok "${line#ok }" ;;
		*) not_ok "${line#not ok }" <"$dir/out" ;;
		esac
	done <"$dir/out"
else
	not_ok 'the regions can be executed' <"$dir/out"
fi
if jq -e '[.list[] | select(.name == "locked")][0] | .lines == 10 and .region_lines == 3' "$dir/report" >/dev/null; then
	ok "a region's lines are told"
else
	jq '.list[] | select(.name == "locked")' "$dir/report" | not_ok "a region's lines are told"
fi

last='return sum(direct(dev), unknown'
at=$(grep -nF "$last" "$dir/driver/toy.c" | cut -d: -f1)
if [ "$(awk -v last="$last" '/^#line/ { n = $2 - 1; next } { n++ } index($0, last) { print n }' "$dir/made/kernel/src/toy.c")" = "$at" ]; then
	ok 'lines keep their numbers'
else
	head -n 40 "$dir/made/kernel/src/toy.c" | not_ok 'lines keep their numbers'
fi
if jq -e '.moved_lines == ([.list[] | select(.fate | startswith("moved")) | .lines - (.region_lines // 0)] | add) and .region_lines == ([.list[] | .region_lines // 0] | add) and .functions == (.list | length)' "$dir/report" >/dev/null &&
	[ "$(jq -S . "$dir/report")" = "$(jq -S . "$dir/made/report.json")" ]; then
	ok 'the report is written, and its sums are right'
else
	diff <(jq -S . "$dir/report") <(jq -S . "$dir/made/report.json") | not_ok 'the report is written, and its sums are right'
fi

ob split --kernel-headers "$headers" "$dir/driver/toy.c" -o /proc/none
expect 'a folder that cannot be written' 5 '/proc/none'
cat >"$dir/driver/toy.c" <<'END'
#include <linux/kernel.h>
static int xmit(void *skb, struct net_device *dev) { return 0; }
const struct net_device_ops ops = {.ndo_start_xmit = xmit};
END
ob split --kernel-headers "$headers" "$dir/driver/toy.c" -o "$dir/none"
expect 'a driver of which nothing can move' 5 'no function of toy can move'
ob split
expect 'a driver is wanted' 2 'which driver?'
finish
