/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Registers and descriptors of Intel's 82540EM, 82545EM and 82574L gigabit Ethernet controllers.
 * "SDM": PCI/PCI-X Family of Gigabit Ethernet Controllers Software Developer's Manual (317453).
 * "82574": Intel 82574 GbE Controller Family Datasheet (317694). A section in a comment is the SDM's
 * unless it says 82574.
 */
#ifndef DRIVERS_E1000_REGS_H
#define DRIVERS_E1000_REGS_H

#include <assert.h>
#include <stdint.h>

/* ---- general (13.4.1 to 13.4.8; 82574 10.2.2) ---------------------------------------- */
enum {
	E1000_CTRL = 0x0000,
	E1000_STATUS = 0x0008,
	E1000_EECD = 0x0010,
	E1000_EERD = 0x0014,
	E1000_CTRL_EXT = 0x0018,
	E1000_MDIC = 0x0020,
	E1000_FCAL = 0x0028,
	E1000_FCAH = 0x002c,
	E1000_FCT = 0x0030,
	E1000_VET = 0x0038,
	E1000_FCTTV = 0x0170,
	E1000_LEDCTL = 0x0e00,
	E1000_PBA = 0x1000,
	E1000_EXTCNF_CTRL = 0x0f00, /* 82574 only */
};

#define CTRL_FD			 (1u << 0)
#define CTRL_GIO_MASTER_DISABLE	 (1u << 2) /* 82574 */
#define CTRL_LRST		 (1u << 3) /* 8254x: link reset (TBI) */
#define CTRL_ASDE		 (1u << 5)
#define CTRL_SLU		 (1u << 6)
#define CTRL_ILOS		 (1u << 7)
#define CTRL_FRCSPD		 (1u << 11)
#define CTRL_FRCDPLX		 (1u << 12)
#define CTRL_RST		 (1u << 26)
#define CTRL_RFCE		 (1u << 27)
#define CTRL_TFCE		 (1u << 28)
#define CTRL_VME		 (1u << 30)
#define CTRL_PHY_RST		 (1u << 31)

#define STATUS_FD		 (1u << 0)
#define STATUS_LU		 (1u << 1)
#define STATUS_SPEED_SHIFT	 6 /* two bits: 00 = 10, 01 = 100, 1x = 1000 Mb/s */
#define STATUS_GIO_MASTER_ENABLE (1u << 19)

#define EECD_PRES		 (1u << 8)
#define EECD_AUTO_RD		 (1u << 9) /* 82574: configuration was loaded from NVM */

#define EERD_START		 (1u << 0)
#define EERD_DONE_8254X		 (1u << 4)
#define EERD_DONE_82574		 (1u << 1)
#define EERD_ADDR_SHIFT_8254X	 8
#define EERD_ADDR_SHIFT_82574	 2
#define EERD_DATA_SHIFT		 16

#define CTRL_EXT_EIAME		 (1u << 24)
#define CTRL_EXT_IAME		 (1u << 27)
#define CTRL_EXT_DRV_LOAD	 (1u << 28)
#define CTRL_EXT_PBA_CLR	 (1u << 31)

#define MDIC_REG_SHIFT		 16
#define MDIC_PHY_SHIFT		 21
#define MDIC_OP_WRITE		 (1u << 26)
#define MDIC_OP_READ		 (2u << 26)
#define MDIC_READY		 (1u << 28)
#define MDIC_ERROR		 (1u << 30)

#define EXTCNF_CTRL_MDIO_SW_OWN	 (1u << 5)

/* ---- interrupts (13.4.17 to 13.4.21; 82574 10.2.4) ----------------------------------- */
enum {
	E1000_ICR = 0x00c0,
	E1000_ITR = 0x00c4,
	E1000_ICS = 0x00c8,
	E1000_IMS = 0x00d0,
	E1000_IMC = 0x00d8,
	E1000_EIAC = 0x00dc, /* 82574 from here */
	E1000_IAM = 0x00e0,
	E1000_IVAR = 0x00e4,
	E1000_EITR0 = 0x00e8,
};

#define INT_TXDW	(1u << 0)
#define INT_TXQE	(1u << 1)
#define INT_LSC		(1u << 2)
#define INT_RXSEQ	(1u << 3)
#define INT_RXDMT0	(1u << 4)
#define INT_RXO		(1u << 6)
#define INT_RXT0	(1u << 7)
#define INT_MDAC	(1u << 9)
#define INT_TXD_LOW	(1u << 15)
#define INT_SRPD	(1u << 16)
#define INT_ACK		(1u << 17)
#define INT_MNG		(1u << 18)
#define INT_RXQ0	(1u << 20) /* 82574 with MSI-X */
#define INT_RXQ1	(1u << 21)
#define INT_TXQ0	(1u << 22)
#define INT_TXQ1	(1u << 23)
#define INT_OTHER	(1u << 24)

#define IVAR_RXQ0(vec)	((uint32_t)(8 | (vec)) << 0)
#define IVAR_TXQ0(vec)	((uint32_t)(8 | (vec)) << 8)
#define IVAR_OTHER(vec) ((uint32_t)(8 | (vec)) << 16)

/* ---- receive (13.4.22 to 13.4.31, 13.5; 82574 10.2.5) --------------------------------- */
enum {
	E1000_RCTL = 0x0100,
	E1000_RDBAL = 0x2800,
	E1000_RDBAH = 0x2804,
	E1000_RDLEN = 0x2808,
	E1000_RDH = 0x2810,
	E1000_RDT = 0x2818,
	E1000_RDTR = 0x2820,
	E1000_RXDCTL = 0x2828,
	E1000_RADV = 0x282c,
	E1000_RXCSUM = 0x5000,
	E1000_RFCTL = 0x5008, /* 82574 */
	E1000_MTA = 0x5200,
	E1000_RAL0 = 0x5400,
	E1000_RAH0 = 0x5404,
	E1000_VFTA = 0x5600,
	E1000_WUC = 0x5800,
	E1000_MANC = 0x5820,
};

#define RCTL_EN		  (1u << 1)
#define RCTL_UPE	  (1u << 3)
#define RCTL_MPE	  (1u << 4)
#define RCTL_LPE	  (1u << 5)
#define RCTL_LBM_MAC	  (1u << 6)
#define RCTL_BAM	  (1u << 15)
#define RCTL_BSIZE_2048	  (0u << 16)
#define RCTL_SECRC	  (1u << 26)

#define RXCSUM_IPOFL	  (1u << 8)
#define RXCSUM_TUOFL	  (1u << 9)

#define RFCTL_ISCSI_DIS	  (1u << 0)
#define RFCTL_NFSW_DIS	  (1u << 6)
#define RFCTL_NFSR_DIS	  (1u << 7)
#define RFCTL_ACK_DIS	  (1u << 12)
#define RFCTL_EXTEN	  (1u << 15)

#define RAH_AV		  (1u << 31)
#define E1000_MTA_WORDS	  128
#define E1000_RAR_ENTRIES 15 /* 82574: 16, the last may belong to management */

/* ---- transmit (13.4.33 to 13.4.45; 82574 10.2.6) --------------------------------------- */
enum {
	E1000_TCTL = 0x0400,
	E1000_TIPG = 0x0410,
	E1000_TDBAL = 0x3800,
	E1000_TDBAH = 0x3804,
	E1000_TDLEN = 0x3808,
	E1000_TDH = 0x3810,
	E1000_TDT = 0x3818,
	E1000_TIDV = 0x3820,
	E1000_TXDCTL = 0x3828,
	E1000_TADV = 0x382c,
	E1000_TARC0 = 0x3840, /* 82574 */
};

#define TCTL_EN		  (1u << 1)
#define TCTL_PSP	  (1u << 3)
#define TCTL_CT(n)	  ((uint32_t)(n) << 4)
#define TCTL_COLD(n)	  ((uint32_t)(n) << 12)
#define TCTL_RTLC	  (1u << 24)

#define TXDCTL_PTHRESH(n) ((uint32_t)(n))
#define TXDCTL_WTHRESH(n) ((uint32_t)(n) << 16)
#define TXDCTL_COUNT_DESC (1u << 22) /* 82574: must be 1 */
#define TXDCTL_GRAN	  (1u << 24) /* thresholds in descriptors, not in cache lines */

#define TARC_ENABLE	  (1u << 10)

/* ---- statistics (13.7; 82574 10.2.7): 32 bits, cleared by a read ----------------------- */
enum {
	E1000_CRCERRS = 0x4000,
	E1000_ALGNERRC = 0x4004,
	E1000_SYMERRS = 0x4008,
	E1000_RXERRC = 0x400c,
	E1000_MPC = 0x4010,
	E1000_SCC = 0x4014,
	E1000_ECOL = 0x4018,
	E1000_MCC = 0x401c,
	E1000_LATECOL = 0x4020,
	E1000_COLC = 0x4028,
	E1000_DC = 0x4030,
	E1000_TNCRS = 0x4034,
	E1000_CEXTERR = 0x403c,
	E1000_RLEC = 0x4040,
	E1000_XONRXC = 0x4048,
	E1000_XONTXC = 0x404c,
	E1000_XOFFRXC = 0x4050,
	E1000_XOFFTXC = 0x4054,
	E1000_GPRC = 0x4074,
	E1000_BPRC = 0x4078,
	E1000_MPRC = 0x407c,
	E1000_GPTC = 0x4080,
	E1000_GORCL = 0x4088,
	E1000_GORCH = 0x408c,
	E1000_GOTCL = 0x4090,
	E1000_GOTCH = 0x4094,
	E1000_RNBC = 0x40a0,
	E1000_RUC = 0x40a4,
	E1000_RFC = 0x40a8,
	E1000_ROC = 0x40ac,
	E1000_RJC = 0x40b0,
	E1000_TPR = 0x40d0,
	E1000_TPT = 0x40d4,
	E1000_MPTC = 0x40f0,
	E1000_BPTC = 0x40f4,
	E1000_TSCTC = 0x40f8,
	E1000_TSCTFC = 0x40fc,
};

/* ---- descriptors, all little-endian -------------------------------------------------- */

/*
 * Receive. What the driver writes is the same in both formats: the address in @addr, zero in @status.
 * What the device writes back differs; see RXD_* below.
 *
 * Legacy (3.2.3):            length 15:0, checksum 31:16, status 39:32, errors 47:40, special 63:48.
 * Extended (82574 7.1.6.2):  status 19:0, errors 31:20, length 47:32, VLAN tag 63:48.
 *
 * Either way all that is needed lies in @status, so one load of 64 bits gets a consistent picture.
 */
struct e1000_rx_desc {
	uint64_t addr;
	uint64_t status;
};
static_assert(sizeof(struct e1000_rx_desc) == 16, "SDM 3.2.3");

/* Status and error bits, in place in @status. */
#define RXD_LEGACY_DD	   (1ull << 32)
#define RXD_LEGACY_EOP	   (1ull << 33)
#define RXD_LEGACY_IXSM	   (1ull << 34)
#define RXD_LEGACY_TCPCS   (1ull << 37)
#define RXD_LEGACY_CE	   (1ull << 40)
#define RXD_LEGACY_SE	   (1ull << 41)
#define RXD_LEGACY_SEQ	   (1ull << 42)
#define RXD_LEGACY_CXE	   (1ull << 44)
#define RXD_LEGACY_TCPE	   (1ull << 45)
#define RXD_LEGACY_IPE	   (1ull << 46)
#define RXD_LEGACY_RXE	   (1ull << 47)

#define RXD_EXTENDED_DD	   (1ull << 0)
#define RXD_EXTENDED_EOP   (1ull << 1)
#define RXD_EXTENDED_IXSM  (1ull << 2)
#define RXD_EXTENDED_TCPCS (1ull << 5)
#define RXD_EXTENDED_CE	   (1ull << 24)
#define RXD_EXTENDED_SE	   (1ull << 25)
#define RXD_EXTENDED_SEQ   (1ull << 26)
#define RXD_EXTENDED_CXE   (1ull << 28)
#define RXD_EXTENDED_TCPE  (1ull << 29)
#define RXD_EXTENDED_IPE   (1ull << 30)
#define RXD_EXTENDED_RXE   (1ull << 31)

/*
 * Transmit: legacy (3.3.3), TCP/IP context (3.3.6) and TCP/IP data (3.3.7) descriptors; 82574 7.2.10.
 * @cmd is length and command, @status is status and options (or header length and MSS).
 */
struct e1000_tx_desc {
	uint64_t addr;
	union {
		struct {
			uint32_t cmd;
			uint32_t status;
		};
		uint64_t cmd_and_status;
	};
};
static_assert(sizeof(struct e1000_tx_desc) == 16, "SDM 3.3.3");

#define TXD_EOP		 (1u << 24)
#define TXD_IFCS	 (1u << 25)
#define TXD_TSE		 (1u << 26) /* context and data descriptors */
#define TXD_RS		 (1u << 27)
#define TXD_DEXT	 (1u << 29)
#define TXD_DTYP_DATA	 (1u << 20)
#define TXD_DTYP_CONTEXT (0u << 20)
#define TXD_TUCMD_TCP	 (1u << 24) /* context descriptors */
#define TXD_TUCMD_IPV4	 (1u << 25)
#define TXD_STATUS_DD	 (1u << 0)
#define TXD_POPTS_IXSM	 (1u << 8)
#define TXD_POPTS_TXSM	 (1u << 9)

/* ---- PHY (IEEE 802.3 clause 22 and annex 28B; chapter 8) ------------------------------- */
enum {
	PHY_BMCR = 0,
	PHY_BMSR = 1,
	PHY_ID1 = 2,
	PHY_ID2 = 3,
	PHY_ANAR = 4,
	PHY_ANLPAR = 5,
	PHY_CTRL1000 = 9,
	PHY_STAT1000 = 10,
};

#define BMCR_ANRESTART	0x0200
#define BMCR_ANENABLE	0x1000
#define BMCR_LOOPBACK	0x4000
#define BMCR_FD		0x0100
#define BMCR_SPEED1000	0x0040
#define BMSR_LINK	0x0004
#define ANAR_ALL_100_10 0x01e1 /* 10 and 100 Mb/s, half and full, selector 802.3 */
#define CTRL1000_FD	0x0200

/* EEPROM (5.6): 64 words; the sum of all is 0xbaba (5.6.36), words 0 to 2 are the address (5.6.1). */
enum {
	EEPROM_WORDS = 64,
	EEPROM_SUM = 0xbaba,
};

#endif
