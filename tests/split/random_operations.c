/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * random_operations --seed N --count N INTERFACE: random operations on a network interface, of ethtool, mii-tool and ifconfig, and a line for each: what was
 * asked, what came of it (result and errno), and all bytes that came back, as words with their numbers. The same seed asks the same, so that two drivers can be
 * compared (equal.sh); nothing that it asks depends on an answer.
 *
 * With --longest it asks as fast as it can, without tests and identification, which take seconds of their own, and at the end says how long
 * the longest took: "operations N failed N longest MS NAME". With --questions it changes nothing, with --only it does just that.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <getopt.h>
#include <inttypes.h>
#include <linux/ethtool.h>
#include <linux/mii.h>
#include <linux/sockios.h>
#include <net/if.h>
#include <net/if_arp.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <time.h>
#include <unistd.h>

enum {
	MOST_BYTES = 1 << 18, /* a daemon that lies may make the kernel answer with that many */
	FRESH = 8192,	      /* zeros for a question */
	LINK_WAITS = 600,     /* tenths of a second that a link may take to come back, */
	RESCUE = 200,	      /* when it is helped, */
	STEADY = 50,	      /* and how long it has to be there */
};

struct machine {
	const char *name; /* of the interface */
	int socket;
	uint64_t seed;
	bool gone; /* the link, perhaps */
	int result, error;
	struct ifreq ifr;
	/* Last, as some of these end with an array of any length. */
	union {
		uint32_t words[MOST_BYTES / 4];
		char bytes[MOST_BYTES];
		struct ethtool_value value;
		struct ethtool_cmd settings;
		struct ethtool_drvinfo drvinfo;
		struct ethtool_regs registers;
		struct ethtool_wolinfo wake;
		struct ethtool_eeprom eeprom;
		struct ethtool_coalesce coalesce;
		struct ethtool_ringparam ring;
		struct ethtool_pauseparam pause;
		struct ethtool_gstrings strings;
		struct ethtool_stats statistics;
		struct ethtool_test test;
		struct ethtool_sset_info counts;
		struct ethtool_perm_addr address;
		struct ethtool_gfeatures features;
		struct ethtool_sfeatures set_features;
		struct ethtool_link_settings link;
	} u;
};

/* splitmix64 */
static uint64_t any(struct machine *m)
{
	uint64_t z = m->seed += 0x9e3779b97f4a7c15;

	z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9;
	z = (z ^ z >> 27) * 0x94d049bb133111eb;
	return z ^ z >> 31;
}

static uint32_t below(struct machine *m, uint32_t n)
{
	return any(m) % n;
}

/* Mostly one of the sensible, now and then anything. */
#define ONE_OF(m, ...)                                                                             \
	one_of((m), (const uint32_t[]){__VA_ARGS__}, sizeof((uint32_t[]){__VA_ARGS__}) / 4)
static uint32_t one_of(struct machine *m, const uint32_t *list, size_t n)
{
	return below(m, 8) ? list[below(m, n)] : (uint32_t)any(m);
}

static void say_words(const void *data, size_t bytes)
{
	const unsigned char *at = data;

	for (size_t i = 0; i < bytes; i += 4) {
		uint32_t word = 0;

		memcpy(&word, at + i, bytes - i < 4 ? bytes - i : 4);
		printf(" %zu:%" PRIx32, i / 4, word);
	}
}

/* ---- ethtool ------------------------------------------------------------------------------- */

static void ethtool(struct machine *m, uint32_t command, size_t in, size_t out)
{
	m->u.words[0] = command;
	printf(" ask");
	say_words(m->u.words, in);
	m->ifr.ifr_data = m->u.bytes;
	m->result = ioctl(m->socket, SIOCETHTOOL, &m->ifr);
	m->error = m->result ? errno : 0;
	printf(" = %d %d", m->result, m->error);
	if (!m->result)
		say_words(m->u.words, out);
}

static void get_drvinfo(struct machine *m)
{
	ethtool(m, ETHTOOL_GDRVINFO, 4, sizeof(m->u.drvinfo));
}

static void get_message_level(struct machine *m)
{
	ethtool(m, ETHTOOL_GMSGLVL, 4, sizeof(m->u.value));
}

static void set_message_level(struct machine *m)
{
	/* Not those that tell of each frame. */
	m->u.value.data = ONE_OF(m, 0, 1, 2, 7, 0x37, 0x2000) & ~0x0fc0u;
	ethtool(m, ETHTOOL_SMSGLVL, 8, 0);
}

static void get_registers(struct machine *m)
{
	m->u.registers.len = 2048;
	ethtool(m, ETHTOOL_GREGS, sizeof(m->u.registers), sizeof(m->u.registers));
	if (!m->result)
		say_words(m->u.registers.data, m->u.registers.len);
}

static void get_wake(struct machine *m)
{
	ethtool(m, ETHTOOL_GWOL, 4, sizeof(m->u.wake));
}

static void set_wake(struct machine *m)
{
	m->u.wake.wolopts = ONE_OF(m, 0, WAKE_MAGIC, WAKE_UCAST, WAKE_PHY, WAKE_MAGIC | WAKE_BCAST);
	ethtool(m, ETHTOOL_SWOL, sizeof(m->u.wake), 0);
}

static void negotiate(struct machine *m)
{
	m->gone = true;
	ethtool(m, ETHTOOL_NWAY_RST, 4, 0);
}

static void get_link(struct machine *m)
{
	ethtool(m, ETHTOOL_GLINK, 4, sizeof(m->u.value));
}

static void get_eeprom(struct machine *m)
{
	m->u.eeprom.offset = below(m, 256);
	m->u.eeprom.len = ONE_OF(m, 1, 2, 5, 16, 64, 128) % 1024;
	ethtool(m, ETHTOOL_GEEPROM, sizeof(m->u.eeprom), sizeof(m->u.eeprom));
	if (!m->result)
		say_words(m->u.eeprom.data, m->u.eeprom.len);
}

static void set_eeprom(struct machine *m)
{
	m->u.eeprom.magic = ONE_OF(m, 0x100e8086, 0x1234, 0x12098086);
	m->u.eeprom.offset = below(m, 150);
	m->u.eeprom.len = ONE_OF(m, 1, 2, 3, 8) % 64;
	for (int i = 0; i < 64; i++)
		m->u.eeprom.data[i] = any(m);
	ethtool(m, ETHTOOL_SEEPROM, sizeof(m->u.eeprom) + 8, sizeof(m->u.eeprom));
}

static void get_coalesce(struct machine *m)
{
	ethtool(m, ETHTOOL_GCOALESCE, 4, sizeof(m->u.coalesce));
}

static void set_coalesce(struct machine *m)
{
	m->u.coalesce.rx_coalesce_usecs = ONE_OF(m, 0, 1, 3, 4, 10, 100, 10000, 100000);
	ethtool(m, ETHTOOL_SCOALESCE, sizeof(m->u.coalesce), 0);
}

static void get_ring(struct machine *m)
{
	ethtool(m, ETHTOOL_GRINGPARAM, 4, sizeof(m->u.ring));
}

static void set_ring(struct machine *m)
{
	m->gone = true;
	m->u.ring.rx_pending = ONE_OF(m, 16, 32, 64, 100, 128, 256, 4096);
	m->u.ring.tx_pending = ONE_OF(m, 16, 32, 64, 100, 128, 256);
	m->u.ring.rx_mini_pending = below(m, 10) ? 0 : 1;
	ethtool(m, ETHTOOL_SRINGPARAM, sizeof(m->u.ring), 0);
}

static void get_pause(struct machine *m)
{
	ethtool(m, ETHTOOL_GPAUSEPARAM, 4, sizeof(m->u.pause));
}

static void set_pause(struct machine *m)
{
	m->gone = true;
	m->u.pause.autoneg = below(m, 2);
	m->u.pause.rx_pause = below(m, 2);
	m->u.pause.tx_pause = below(m, 2);
	ethtool(m, ETHTOOL_SPAUSEPARAM, sizeof(m->u.pause), 0);
}

static void get_counts(struct machine *m)
{
	m->u.counts.sset_mask = ONE_OF(m, 1, 2, 3, 0x13);
	ethtool(m, ETHTOOL_GSSET_INFO, sizeof(m->u.counts), sizeof(m->u.counts) + 16);
}

static void get_strings(struct machine *m)
{
	m->u.strings.string_set = ONE_OF(m, ETH_SS_TEST, ETH_SS_STATS);
	m->u.strings.len = 0;
	ethtool(m, ETHTOOL_GSTRINGS, sizeof(m->u.strings), sizeof(m->u.strings));
	if (!m->result)
		say_words(m->u.strings.data, m->u.strings.len * (size_t)ETH_GSTRING_LEN);
}

static void get_statistics(struct machine *m)
{
	ethtool(m, ETHTOOL_GSTATS, sizeof(m->u.statistics), sizeof(m->u.statistics));
	if (!m->result)
		say_words(m->u.statistics.data, m->u.statistics.n_stats * (size_t)8);
}

static void test(struct machine *m)
{
	m->gone = true;
	m->u.test.flags = below(m, 2) ? ETH_TEST_FL_OFFLINE : 0;
	ethtool(m, ETHTOOL_TEST, sizeof(m->u.test), sizeof(m->u.test));
	if (!m->result)
		say_words(m->u.test.data, m->u.test.len * (size_t)8);
}

static void identify(struct machine *m)
{
	m->u.value.data = 1;
	ethtool(m, ETHTOOL_PHYS_ID, 8, 0);
}

static void get_address(struct machine *m)
{
	m->u.address.size = 6;
	ethtool(m, ETHTOOL_GPERMADDR, 8, sizeof(m->u.address) + 8);
}

static void get_features(struct machine *m)
{
	m->u.features.size = 2;
	ethtool(m, ETHTOOL_GFEATURES, 8, 8 + 2 * sizeof(m->u.features.features[0]));
}

static void set_features(struct machine *m)
{
	m->gone = true;
	m->u.set_features.size = 2;
	m->u.set_features.features[0].valid = 1u << below(m, 32);
	m->u.set_features.features[0].requested = below(m, 2) ? ~0u : 0;
	m->u.set_features.features[1].valid = below(m, 2) ? 1u << below(m, 24) : 0;
	m->u.set_features.features[1].requested = below(m, 2) ? ~0u : 0;
	ethtool(m, ETHTOOL_SFEATURES, 24, 0);
}

static void get_settings(struct machine *m)
{
	ethtool(m, ETHTOOL_GSET, 4, sizeof(m->u.settings));
}

/* Asked twice: first with no words for the modes, which tells how many there are. */
static void get_link_settings(struct machine *m)
{
	int words;

	ethtool(m, ETHTOOL_GLINKSETTINGS, sizeof(m->u.link), sizeof(m->u.link));
	words = -m->u.link.link_mode_masks_nwords;
	if (m->result || words <= 0)
		return;
	memset(&m->u, 0, FRESH);
	m->u.link.link_mode_masks_nwords = words;
	ethtool(m, ETHTOOL_GLINKSETTINGS, sizeof(m->u.link),
		sizeof(m->u.link) + 12 * (size_t)words);
}

static void set_settings(struct machine *m)
{
	uint32_t speed = ONE_OF(m, 10, 100, 1000);

	m->gone = true;
	m->u.settings.autoneg = below(m, 2);
	m->u.settings.advertising = ONE_OF(m, 0xf, 0x2f, 0x6f, 0x20);
	m->u.settings.speed = speed;
	m->u.settings.speed_hi = speed >> 16;
	m->u.settings.duplex = below(m, 2);
	m->u.settings.port = ONE_OF(m, PORT_TP, PORT_MII, PORT_BNC);
	m->u.settings.phy_address = below(m, 3);
	m->u.settings.eth_tp_mdix_ctrl = below(m, 3);
	ethtool(m, ETHTOOL_SSET, sizeof(m->u.settings), 0);
}

/* What this kernel, or this driver, has not, or has no right argument. */
static void anything(struct machine *m)
{
	static const uint32_t harmless[] = {ETHTOOL_GCHANNELS,	 ETHTOOL_GEEE,
					    ETHTOOL_GPFLAGS,	 ETHTOOL_GRXFH,
					    ETHTOOL_GMODULEINFO, ETHTOOL_GET_TS_INFO,
					    ETHTOOL_GTUNABLE,	 ETHTOOL_GFECPARAM,
					    ETHTOOL_GRXCSUM,	 0x4711};

	ethtool(m, harmless[below(m, sizeof(harmless) / sizeof(harmless[0]))], 4, 4);
}

/* ---- ioctls of the interface ------------------------------------------------------------------ */

static void finish(struct machine *m, unsigned long request, size_t out)
{
	m->result = ioctl(m->socket, request, &m->ifr);
	m->error = m->result ? errno : 0;
	printf(" = %d %d", m->result, m->error);
	if (!m->result)
		say_words(&m->ifr.ifr_ifru, out);
}

static void get_phy(struct machine *m)
{
	finish(m, SIOCGMIIPHY, sizeof(struct mii_ioctl_data));
}

static struct mii_ioctl_data *mii_of(struct machine *m)
{
	return (struct mii_ioctl_data *)&m->ifr.ifr_data;
}

static void get_mii(struct machine *m)
{
	struct mii_ioctl_data *mii = mii_of(m);

	mii->phy_id = ONE_OF(m, 0, 1, 2) & 0x1f;
	mii->reg_num = below(m, 40);
	printf(" ask phy %u register %u", mii->phy_id, mii->reg_num);
	finish(m, SIOCGMIIREG, sizeof(*mii));
}

static void set_mii(struct machine *m)
{
	struct mii_ioctl_data *mii = mii_of(m);

	m->gone = true;
	mii->phy_id = ONE_OF(m, 0, 1) & 0x1f;
	mii->reg_num = below(m, 2) ? MII_BMCR : below(m, 20);
	mii->val_in = mii->reg_num != MII_BMCR ? any(m)
		      : below(m, 2)	       ? BMCR_ANENABLE | BMCR_ANRESTART
					       : BMCR_ANENABLE | BMCR_SPEED100;
	printf(" ask phy %u register %u value %x", mii->phy_id, mii->reg_num, mii->val_in);
	finish(m, SIOCSMIIREG, sizeof(*mii));
}

static void set_mtu(struct machine *m)
{
	m->gone = true;
	m->ifr.ifr_mtu = ONE_OF(m, 68, 576, 1400, 1500, 1501, 4000, 9000, 16110, 16111);
	printf(" ask %d", m->ifr.ifr_mtu);
	finish(m, SIOCSIFMTU, 4);
}

static void get_mtu(struct machine *m)
{
	finish(m, SIOCGIFMTU, 4);
}

static void set_flag(struct machine *m, short flag, bool on)
{
	struct ifreq flags = m->ifr;

	printf(" ask %x %d", flag, on);
	m->result = ioctl(m->socket, SIOCGIFFLAGS, &flags);
	m->ifr.ifr_flags = on ? flags.ifr_flags | flag : flags.ifr_flags & ~flag;
	finish(m, SIOCSIFFLAGS, 2);
}

static void set_promiscuous(struct machine *m)
{
	set_flag(m, IFF_PROMISC, below(m, 2));
}

static void set_all_multicast(struct machine *m)
{
	set_flag(m, IFF_ALLMULTI, below(m, 2));
}

static void change_address(struct machine *m)
{
	m->ifr.ifr_hwaddr.sa_family = ARPHRD_ETHER;
	memcpy(m->ifr.ifr_hwaddr.sa_data, "\x52\x54", 2);
	m->ifr.ifr_hwaddr.sa_data[5] = 1 + below(m, 250);
	if (!below(m, 8))
		m->ifr.ifr_hwaddr.sa_data[0] = 1; /* of a group: refused */
	printf(" ask %02x:%02x", m->ifr.ifr_hwaddr.sa_data[0] & 0xff,
	       m->ifr.ifr_hwaddr.sa_data[5] & 0xff);
	finish(m, SIOCSIFHWADDR, 8);
}

static void get_hardware_address(struct machine *m)
{
	finish(m, SIOCGIFHWADDR, 8);
}

/* Changes nothing of the device, but takes the lock that all of network configuration does. */
static void set_queue(struct machine *m)
{
	m->ifr.ifr_qlen = 100 + below(m, 1000);
	printf(" ask %d", m->ifr.ifr_qlen);
	finish(m, SIOCSIFTXQLEN, 0);
}

static void multicast(struct machine *m)
{
	m->ifr.ifr_hwaddr.sa_family = AF_UNSPEC;
	memcpy(m->ifr.ifr_hwaddr.sa_data, "\x01\x00\x5e\x00\x00", 5);
	m->ifr.ifr_hwaddr.sa_data[5] = below(m, 12);
	printf(" ask %u", m->ifr.ifr_hwaddr.sa_data[5]);
	finish(m, below(m, 2) ? SIOCADDMULTI : SIOCDELMULTI, 0);
}

static void down_and_up(struct machine *m)
{
	m->gone = true;
	set_flag(m, IFF_UP, false);
	if (below(m, 2)) {
		struct ifreq keep = m->ifr;

		memset(&m->u, 0, FRESH);
		get_link_settings(m);
		m->ifr = keep;
		change_address(m);
		m->ifr = keep;
	}
	set_flag(m, IFF_UP, true);
}

/* As /sys has the counters that `ip -s link` shows. */
static void link_statistics(struct machine *m)
{
	static const char *const names[] = {"rx_packets", "rx_bytes",	      "rx_errors",
					    "rx_dropped", "multicast",	      "tx_packets",
					    "tx_bytes",	  "tx_errors",	      "tx_dropped",
					    "collisions", "rx_missed_errors", "rx_crc_errors"};
	char path[128], line[64];

	m->result = 0;
	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
		FILE *in;

		snprintf(path, sizeof(path), "/sys/class/net/%s/statistics/%s", m->name, names[i]);
		in = fopen(path, "r");
		if (!in || !fgets(line, sizeof(line), in))
			strcpy(line, "?");
		line[strcspn(line, "\n")] = '\0';
		printf(" %s=%s", names[i], line);
		if (in)
			fclose(in);
	}
}

/* ---- which, how often ---------------------------------------------------------------------- */

static const struct operation {
	const char *name;
	unsigned int weight;
	void (*run)(struct machine *m);
} operations[] = {
	{"drvinfo", 60, get_drvinfo},
	{"message-level", 60, get_message_level},
	{"set-message-level", 60, set_message_level},
	{"registers", 60, get_registers},
	{"wake", 40, get_wake},
	{"set-wake", 20, set_wake},
	{"negotiate", 4, negotiate},
	{"link", 60, get_link},
	{"eeprom", 40, get_eeprom},
	{"set-eeprom", 10, set_eeprom},
	{"coalesce", 40, get_coalesce},
	{"set-coalesce", 20, set_coalesce},
	{"ring", 60, get_ring},
	{"set-ring", 8, set_ring},
	{"pause", 40, get_pause},
	{"set-pause", 6, set_pause},
	{"counts", 40, get_counts},
	{"strings", 40, get_strings},
	{"statistics", 60, get_statistics},
	{"test", 2, test},
	{"identify", 3, identify},
	{"address", 20, get_address},
	{"features", 30, get_features},
	{"set-features", 6, set_features},
	{"settings", 60, get_settings},
	{"link-settings", 60, get_link_settings},
	{"set-settings", 6, set_settings},
	{"anything", 30, anything},
	{"phy", 30, get_phy},
	{"mii", 60, get_mii},
	{"set-mii", 6, set_mii},
	{"mtu", 20, get_mtu},
	{"set-mtu", 6, set_mtu},
	{"promiscuous", 10, set_promiscuous},
	{"all-multicast", 10, set_all_multicast},
	{"set-address", 10, change_address},
	{"hardware-address", 20, get_hardware_address},
	{"set-queue", 4, set_queue},
	{"multicast", 40, multicast},
	{"down-up", 3, down_and_up},
	{"link-statistics", 40, link_statistics},
};

static bool is_question(const struct operation *o)
{
	return strncmp(o->name, "set-", 4) && o->run != negotiate && o->run != set_promiscuous &&
	       o->run != set_all_multicast && o->run != multicast && o->run != down_and_up;
}

static const struct operation *choose(struct machine *m)
{
	uint32_t all = 0, at;
	size_t i;

	for (i = 0; i < sizeof(operations) / sizeof(operations[0]); i++)
		all += operations[i].weight;
	at = below(m, all);
	for (i = 0; at >= operations[i].weight; i++)
		at -= operations[i].weight;
	return &operations[i];
}

static bool has_carrier(const char *name)
{
	char path[64], answer = '0';
	FILE *in;

	snprintf(path, sizeof(path), "/sys/class/net/%s/carrier", name);
	in = fopen(path, "r");
	if (!in || fread(&answer, 1, 1, in) != 1)
		answer = '0';
	if (in)
		fclose(in);
	return answer == '1';
}

/*
 * What takes the link away brings it back some time later, which is not the same to the millisecond: so that the next answers can be
 * compared it is waited for, and negotiated anew where an operation forbade it.
 */
static void settle(struct machine *m)
{
	const struct timespec tenth = {.tv_nsec = 100000000};

	int steady = 0;

	m->gone = false;
	for (int i = 0; i < LINK_WAITS; i++) {
		/* A watchdog, which looks every two seconds, may take it down; what the PHY says is looked at two seconds after it is up. */
		steady = has_carrier(m->name) ? steady + 1 : 0;
		if (steady == STEADY)
			return;
		if (i == RESCUE) {
			memset(&m->u, 0, FRESH);
			m->u.settings.cmd = ETHTOOL_SSET;
			m->u.settings.autoneg = 1;
			m->u.settings.advertising = 0xf;
			m->ifr.ifr_data = m->u.bytes;
			m->result = ioctl(m->socket, SIOCETHTOOL, &m->ifr);
			m->u.words[0] = ETHTOOL_NWAY_RST;
			m->result = ioctl(m->socket, SIOCETHTOOL, &m->ifr);
			printf(" helped");
		}
		nanosleep(&tenth, NULL);
	}
	printf(" no link");
}

static volatile sig_atomic_t stopped;

static void stop(int signal)
{
	(void)signal;
	stopped = 1;
}

static double milliseconds(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return t.tv_sec * 1e3 + t.tv_nsec / 1e6;
}

static void begin(struct machine *m)
{
	memset(&m->u, 0, FRESH);
	memset(&m->ifr, 0, sizeof(m->ifr));
	strcpy(m->ifr.ifr_name, m->name);
}

static void compare(struct machine *m, unsigned long count)
{
	for (unsigned long i = 0; i < count; i++) {
		const struct operation *operation = choose(m);

		begin(m);
		printf("%06lu %s", i, operation->name);
		operation->run(m);
		if (m->gone)
			settle(m);
		putchar('\n');
	}
}

static void hurry(struct machine *m, unsigned long count, bool questions, const char *only)
{
	const char *longest_name = "none";
	unsigned long failed = 0, done = 0;
	double longest = 0, began, took;
	/* What the operations say of themselves is not wanted. */
	int out = dup(STDOUT_FILENO);

	if (out < 0 || !freopen("/dev/null", "w", stdout))
		return;
	signal(SIGTERM, stop);
	while (done < count && !stopped) {
		const struct operation *operation = choose(m);

		if (only ? strcmp(operation->name, only) != 0
			 : operation->run == test || operation->run == identify ||
				    (questions && !is_question(operation)))
			continue;
		begin(m);
		m->result = 0;
		began = milliseconds();
		operation->run(m);
		took = milliseconds() - began;
		failed += m->result != 0;
		done++;
		if (took > longest) {
			longest = took;
			longest_name = operation->name;
		}
	}
	dprintf(out, "operations %lu failed %lu longest %.1f %s\n", done, failed, longest,
		longest_name);
	close(out);
}

int main(int argc, char **argv)
{
	static const struct option options[] = {
		{"seed", required_argument, NULL, 's'}, {"count", required_argument, NULL, 'n'},
		{"longest", no_argument, NULL, 'l'},	{"questions", no_argument, NULL, 'q'},
		{"only", required_argument, NULL, 'o'}, {0}};
	struct machine *m = calloc(1, sizeof(*m));
	bool longest = false, questions = false;
	const char *only = NULL;
	unsigned long count = 1000;
	int c;

	if (!m)
		return 1;
	m->seed = 1;
	while ((c = getopt_long(argc, argv, "s:n:", options, NULL)) != -1) {
		if (c == 's')
			m->seed = strtoull(optarg, NULL, 0);
		else if (c == 'n')
			count = strtoul(optarg, NULL, 0);
		else if (c == 'l')
			longest = true;
		else if (c == 'q')
			questions = true;
		else if (c == 'o')
			only = optarg;
		else
			return 2;
	}
	if (optind + 1 != argc || strlen(argv[optind]) >= IFNAMSIZ) {
		fprintf(stderr,
			"usage: random_operations [--seed N] [--count N] [--longest [--questions | --only NAME]] INTERFACE\n");
		return 2;
	}
	m->name = argv[optind];
	m->socket = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	if (m->socket < 0) {
		perror("random_operations: socket");
		return 1;
	}
	if (longest)
		hurry(m, count, questions, only);
	else
		compare(m, count);
	close(m->socket);
	free(m);
	return fflush(stdout) || ferror(stdout);
}
