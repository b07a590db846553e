/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * NVM Express, as far as this driver uses it: registers, queue entries, identify data, and the
 * driver's own structures. Section numbers are of the NVM Express Base Specification 1.4 (June 2019).
 */
#ifndef DRIVERS_NVME_NVME_H
#define DRIVERS_NVME_NVME_H

#include <pthread.h>
#include <stddef.h>

#include <outboard/driver.h>

/* All of NVMe is little-endian, and so is every machine that this driver is built for. */
_Static_assert(__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__, "NVMe structures are little-endian");

/* ---- 3.1 registers --------------------------------------------------------------- */

enum nvme_register {
	NVME_CAP = 0x00,   /* 3.1.1, 64 bits */
	NVME_VS = 0x08,	   /* 3.1.2 */
	NVME_INTMS = 0x0c, /* 3.1.3, not to be touched with MSI-X */
	NVME_INTMC = 0x10, /* 3.1.4 */
	NVME_CC = 0x14,	   /* 3.1.5 */
	NVME_CSTS = 0x1c,  /* 3.1.6 */
	NVME_AQA = 0x24,   /* 3.1.8 */
	NVME_ASQ = 0x28,   /* 3.1.9, 64 bits */
	NVME_ACQ = 0x30,   /* 3.1.10, 64 bits */
	NVME_DOORBELLS = 0x1000,
};

#define NVME_CAP_MQES(cap)   ((unsigned int)((cap)&0xffff))	  /* entries - 1 */
#define NVME_CAP_TO(cap)     ((unsigned int)((cap) >> 24 & 0xff)) /* 500 ms units */
#define NVME_CAP_DSTRD(cap)  ((unsigned int)((cap) >> 32 & 0xf))
#define NVME_CAP_NVM(cap)    ((cap) >> 37 & 1) /* CSS bit 0: NVM command set */
#define NVME_CAP_MPSMIN(cap) ((unsigned int)((cap) >> 48 & 0xf))

#define NVME_CC_EN	     (1u << 0)
#define NVME_CC_SHN_MASK     (3u << 14)
#define NVME_CC_SHN_NORMAL   (1u << 14)
#define NVME_CC_IOSQES(n)    ((unsigned int)(n) << 16)
#define NVME_CC_IOCQES(n)    ((unsigned int)(n) << 20)

#define NVME_CSTS_RDY	     (1u << 0)
#define NVME_CSTS_CFS	     (1u << 1)
#define NVME_CSTS_SHST_MASK  (3u << 2)
#define NVME_CSTS_SHST_DONE  (2u << 2)

enum {
	NVME_PAGE = 4096, /* CC.MPS = 0; the only size that every controller has to offer (3.1.1) */
	NVME_PAGE_SHIFT = 12,
	NVME_SQES = 6, /* 2^6 = 64 bytes, 4.2 */
	NVME_CQES = 4, /* 2^4 = 16 bytes, 4.6 */
};

/* ---- 4.2 submission queue entry -------------------------------------------------- */

struct nvme_sqe {
	union {
		struct {
			uint32_t
				cdw0; /* opcode, fuse, psdt (0: PRPs), command id in the upper half */
			uint32_t nsid;
		};
		uint64_t cdw0_1;
	};
	uint64_t cdw2_3;
	uint64_t mptr;
	uint64_t prp1;
	uint64_t prp2;
	union {
		struct {
			uint32_t cdw10;
			uint32_t cdw11;
		};
		uint64_t slba; /* 6.9, 6.15, 6.17 */
	};
	union {
		struct {
			uint32_t cdw12;
			uint32_t cdw13;
		};
		uint64_t cdw12_13;
	};
	uint64_t cdw14_15;
};
_Static_assert(sizeof(struct nvme_sqe) == 1 << NVME_SQES, "4.2: 64 bytes");
_Static_assert(offsetof(struct nvme_sqe, prp1) == 24, "4.2: DPTR at 24");
_Static_assert(offsetof(struct nvme_sqe, slba) == 40, "4.2: CDW10 at 40");
_Static_assert(offsetof(struct nvme_sqe, cdw12) == 48, "4.2: CDW12 at 48");

enum nvme_admin_opcode {
	NVME_ADMIN_DELETE_SQ = 0x00,	/* 5.6 */
	NVME_ADMIN_CREATE_SQ = 0x01,	/* 5.4 */
	NVME_ADMIN_GET_LOG_PAGE = 0x02, /* 5.14 */
	NVME_ADMIN_DELETE_CQ = 0x04,	/* 5.5 */
	NVME_ADMIN_CREATE_CQ = 0x05,	/* 5.3 */
	NVME_ADMIN_IDENTIFY = 0x06,	/* 5.15 */
	NVME_ADMIN_ABORT = 0x08,	/* 5.1 */
	NVME_ADMIN_SET_FEATURES = 0x09, /* 5.21 */
	NVME_ADMIN_GET_FEATURES = 0x0a, /* 5.9 */
};

enum nvme_io_opcode {
	NVME_IO_FLUSH = 0x00,	     /* 6.8 */
	NVME_IO_WRITE = 0x01,	     /* 6.15 */
	NVME_IO_READ = 0x02,	     /* 6.9 */
	NVME_IO_WRITE_ZEROES = 0x08, /* 6.17 */
	NVME_IO_DSM = 0x09,	     /* 6.7 */
};

#define NVME_RW_FUA	 (1u << 30) /* CDW12 of Write and Write Zeroes */
#define NVME_ZEROES_DEAC (1u << 25) /* CDW12 of Write Zeroes: may deallocate */
#define NVME_DSM_AD	 (1u << 2)  /* CDW11 of Dataset Management: deallocate */

enum {
	NVME_CNS_NAMESPACE = 0x00,
	NVME_CNS_CONTROLLER = 0x01,
	NVME_CNS_ACTIVE_LIST = 0x02,
	NVME_FEATURE_VWC = 0x06,    /* 5.21.1.6 */
	NVME_FEATURE_QUEUES = 0x07, /* 5.21.1.7 */
	NVME_LOG_HEALTH = 0x02,	    /* 5.14.1.2 */
};

/* 6.7: one range of a Dataset Management command */
struct nvme_dsm_range {
	uint32_t attributes;
	uint32_t blocks;
	uint64_t slba;
};
_Static_assert(sizeof(struct nvme_dsm_range) == 16, "6.7: 16 bytes");

/* ---- 4.6 completion queue entry -------------------------------------------------- */

struct nvme_cqe {
	uint32_t result;
	uint32_t reserved;
	uint64_t dw2_3; /* sq head, sq id, command id, phase and status, 16 bits each */
};
_Static_assert(sizeof(struct nvme_cqe) == 1 << NVME_CQES, "4.6: 16 bytes");

/* Its two halves: sq head and sq id; command id, phase and status (SC, SCT, CRD, M, DNR). */
#define NVME_CQE_LOW(word)    ((uint32_t)(word))
#define NVME_CQE_HIGH(word)   ((uint32_t)((word) >> 32))
#define NVME_CQE_SQ_HEAD(low) ((low)&0xffff)
#define NVME_CQE_SQ_ID(low)   ((low) >> 16)
#define NVME_CQE_CID(high)    ((uint16_t)(high))
#define NVME_CQE_PHASE	      (1u << 16)
#define NVME_CQE_STATUS(high) ((high) >> 17)

/* 4.6.1: status code and its type together: bits 7:0 and 10:8 */
#define NVME_STATUS_CODE(status) ((status)&0x7ff)
#define NVME_STATUS(sct, sc)	 ((sct) << 8 | (sc))

enum nvme_status {
	NVME_SC_SUCCESS = NVME_STATUS(0, 0x00),
	NVME_SC_INVALID_OPCODE = NVME_STATUS(0, 0x01),
	NVME_SC_INVALID_FIELD = NVME_STATUS(0, 0x02),
	NVME_SC_ABORT_REQUESTED = NVME_STATUS(0, 0x07),
	NVME_SC_SQ_DELETED = NVME_STATUS(0, 0x08),
	NVME_SC_WRITE_PROTECTED = NVME_STATUS(0, 0x20),
	NVME_SC_LBA_RANGE = NVME_STATUS(0, 0x80),
	NVME_SC_CAPACITY = NVME_STATUS(0, 0x81),
	NVME_SC_RESERVED = NVME_STATUS(0, 0x83),
	NVME_SC_READ_ONLY_RANGE = NVME_STATUS(1, 0x82),
	NVME_SC_WRITE_FAULT = NVME_STATUS(2, 0x80),
	NVME_SC_READ_ERROR = NVME_STATUS(2, 0x81),
	NVME_SC_GUARD_CHECK = NVME_STATUS(2, 0x82),
	NVME_SC_APP_TAG_CHECK = NVME_STATUS(2, 0x83),
	NVME_SC_REF_TAG_CHECK = NVME_STATUS(2, 0x84),
	NVME_SC_ACCESS_DENIED = NVME_STATUS(2, 0x86),
	NVME_SC_UNWRITTEN = NVME_STATUS(2, 0x87),
};

/* ---- identify data, nvme_identify.c ---------------------------------------------- */

/* What the driver took from Identify Controller (5.15.2.2), checked. */
struct nvme_identity {
	char serial[32];
	char model[48];
	uint32_t max_transfer; /* bytes; MDTS, cut to NVME_MAX_TRANSFER */
	uint32_t namespaces;   /* NN */
	uint32_t shutdown_us;  /* RTD3E */
	uint8_t abort_limit;   /* ACL + 1 */
	bool volatile_cache;
	bool dsm, write_zeroes;
};

/* What it took from Identify Namespace (5.15.2.1). */
struct nvme_namespace {
	uint64_t size; /* bytes */
	uint8_t lba_shift;
	uint32_t physical_block_size;
	bool read_only;
	bool zeroes_deallocate; /* Write Zeroes knows DEAC, and deallocated blocks read as zero */
};

enum {
	NVME_IDENTIFY_BYTES = 4096,
	/*
	 * Longest transfer whatever MDTS allows: its PRP list takes 2 KiB of each request's memory,
	 * and longer ones are no faster.
	 */
	NVME_MAX_TRANSFER = 1 << 20,
};

/*
 * All three read @data, NVME_IDENTIFY_BYTES that nobody else writes (a copy, not the arena), believe
 * nothing, and return 0 or -EINVAL/-EOPNOTSUPP with the reason in @why.
 */
int nvme_identify_controller(const void *data, struct nvme_identity *id, char *why, size_t size);
int nvme_identify_namespace(const void *data, struct nvme_namespace *ns, char *why, size_t size);

/*
 * nvme_identify_list() - the ids in an active namespace list (5.15.2.3) that follow @after
 *
 * A list that does not ascend is cut where it stops to. Return: ids written to @nsid, at most @n.
 */
unsigned int nvme_identify_list(const void *data, uint32_t after, uint32_t *nsid, unsigned int n);

/* ---- queues, nvme_io.c ----------------------------------------------------------- */

struct nvme_ctrl;

enum nvme_fua {
	NVME_FUA_IN_COMMAND, /* or none at all */
	NVME_FUA_WRITING,    /* a flush follows */
	NVME_FUA_FLUSHING,
};

/*
 * One request on its way.
 * @command: the first eight bytes of its command as a read: opcode, command id, namespace
 * @cid: the command id among them: the slot's index in the low bits, above it a count of the slot's uses,
 *	so that a second completion of an earlier use is told from the completion of this one
 * @issued: tick at which it was issued last
 * @history: the four below at once; 0 for nearly every request
 * @resets: controller resets that it has been through
 * @timeouts: times it ran out of time
 * @aborting: an Abort command for it was sent
 * @fua: how far a write with FUA is that takes two commands: enum nvme_fua
 */
struct nvme_slot {
	struct ob_block_req *req; /* NULL: not in flight */
	union {
		uint64_t command;
		struct {
			uint16_t opcode;
			uint16_t cid;
			uint32_t nsid;
		};
	};
	union {
		uint32_t history;
		struct {
			uint8_t resets;
			uint8_t timeouts;
			uint8_t aborting;
			uint8_t fua;
		};
	};
	uint16_t issued;
	uint16_t index;
	uint64_t pad;
};
_Static_assert(sizeof(struct nvme_slot) == 32, "a slot is found by one shift, and crosses no line");

/* What nvme_queue_setup() needs to make a queue of memory that is there. */
struct nvme_queue_memory {
	struct nvme_sqe *sq;
	struct nvme_cqe *cq;
	void *prp;
	ob_iova sq_iova, cq_iova, prp_iova;
};

/*
 * An I/O queue pair. It belongs to one namespace and to the thread that serves that queue of it, so
 * that no thread ever takes completions of another's; with @busy the tick can stop that thread for
 * a time-out scan or a reset.
 */
struct nvme_queue {
	/* submission */
	struct nvme_sqe *sq;
	struct nvme_slot **free; /* stack */
	const struct ob_bar *bar;
	uint32_t nr_free;
	uint32_t depth;
	uint32_t sq_tail;
	uint32_t sq_entries;
	uint32_t sq_doorbell, cq_doorbell;
	uint16_t now; /* tick; written by the tick */
	uint8_t lba_shift;
	bool kick; /* the SQ got an entry whose doorbell is due */
	int busy;
	int fate; /* status of every request since the controller was given up, or 0 */

	/* completion */
	struct nvme_cqe *cq __attribute__((aligned(64)));
	struct nvme_slot *slot;
	uint32_t cq_want; /* NVME_CQE_PHASE or 0: the phase of entries that are new */
	uint32_t id_word; /* queue id << 16, as in the lower word of an entry */
	uint32_t cq_head;
	uint32_t cq_entries;
	uint32_t slot_mask;
	uint32_t unacked; /* taken, but the controller was not told yet */
	uint32_t ack_at;
	uint16_t cid_step; /* slot_mask + 1 */
	uint8_t quiet_in;  /* rounds with work until interrupts are masked, 0: not counting */
	bool irq_masked;
	bool live;		    /* created in the controller */
	struct ob_block_req *ended; /* ended without a completion; linked through req->priv */

	/* the rest */
	struct nvme_ctrl *ctrl;
	struct nvme_queue_memory mem;
	uint32_t prp_bytes; /* PRP list per slot */
	uint16_t qid;
	uint16_t vector;
	uint32_t nsid;
	bool interrupts;
	bool deac;
	bool fua_by_flush; /* the controller ignores FUA: write, then flush */
	uint16_t bad;	   /* refused completions since the last reset */
	struct ob_irq *irq;
	int fd; /* what its thread sleeps on, -1 */
	bool own_fd;
	char sq_label[16], cq_label[16];
	uint32_t bad_reported;
	uint64_t completed_at_reset;
	/* counters, one writer each */
	uint64_t completed, doorbells, bad_completions, timeouts, aborts, irqs;
};

struct nvme_queue_params {
	uint16_t qid;
	uint16_t depth;
	uint16_t sq_entries, cq_entries; /* powers of two, > depth */
	uint32_t nsid;
	uint8_t lba_shift;
	bool deac;
	bool fua_by_flush;
	uint32_t max_transfer;
	uint32_t doorbell_stride; /* bytes */
};

/* nvme_prp_bytes() - room for the PRP list of a request of @max_transfer bytes; divides a page */
uint32_t nvme_prp_bytes(uint32_t max_transfer);
/* nvme_queue_setup() - fill zeroed @q; its rings are the caller's, only slots are allocated. 0, -ENOMEM */
int nvme_queue_setup(struct nvme_queue *q, struct nvme_ctrl *ctrl, const struct ob_bar *bar,
		     const struct nvme_queue_params *params, const struct nvme_queue_memory *mem);
void nvme_queue_teardown(struct nvme_queue *q);
/* nvme_queue_rewind() - rings empty, as the controller's are after Create; requests stay in flight */
void nvme_queue_rewind(struct nvme_queue *q);
unsigned int nvme_queue_submit(struct nvme_queue *q, struct ob_block_req **reqs, unsigned int n);
unsigned int nvme_queue_complete(struct nvme_queue *q, struct ob_block_req **reqs, unsigned int n);
/* nvme_queue_reissue() - write the command of a slot in flight again; its doorbell is due */
void nvme_queue_reissue(struct nvme_queue *q, unsigned int index);
/* nvme_queue_ring() - ring the submission doorbell when it is due */
void nvme_queue_ring(struct nvme_queue *q);
/* nvme_queue_ack() - tell the controller about all entries that were taken */
void nvme_queue_ack(struct nvme_queue *q);
/* nvme_queue_pending() - is there something for nvme_queue_complete()? */
bool nvme_queue_pending(struct nvme_queue *q);
/* nvme_queue_end() - end the request of one slot without a completion */
void nvme_queue_end(struct nvme_queue *q, unsigned int index, int status);
/* nvme_queue_give_back() - collected, but to be collected again by somebody else */
void nvme_queue_give_back(struct nvme_queue *q, struct ob_block_req *req);
/* nvme_queue_end_all() - as nvme_queue_end(), for all in flight */
void nvme_queue_end_all(struct nvme_queue *q, int status);
int nvme_status_errno(unsigned int status);

/*
 * nvme_queue_enter() - have the queue to oneself until nvme_queue_leave()
 *
 * The queue's thread enters once per burst; nobody else is there but during a scan (a moment: wait)
 * or a reset (up to seconds: false).
 */
bool nvme_queue_enter(struct nvme_queue *q);
static inline void nvme_queue_leave(struct nvme_queue *q)
{
	__atomic_store_n(&q->busy, 0, __ATOMIC_RELEASE);
}

/* ---- controller, nvme_admin.c ---------------------------------------------------- */

enum {
	NVME_ADMIN_ENTRIES = 32,
	NVME_QUEUES = 64, /* I/O queue pairs that one process has use for */
};

struct nvme_admin_slot {
	bool busy, done;
	uint16_t cid;
	uint16_t status;
	uint32_t result;
};

struct nvme_admin {
	struct nvme_sqe *sq;
	struct nvme_cqe *cq;
	ob_iova sq_iova, cq_iova;
	uint16_t tail, head;
	uint32_t want; /* as nvme_queue.cq_want */
	struct nvme_admin_slot slot[NVME_ADMIN_ENTRIES];
	uint64_t bad;
};

struct nvme_disk {
	struct ob_block blk; /* first */
	struct nvme_ctrl *ctrl;
	uint32_t nsid;
	struct nvme_namespace ns;
	bool started;
	unsigned int nr_queues;
	struct nvme_queue *queue[OB_BLOCK_QUEUES];
};

enum nvme_irq_mode {
	NVME_IRQ_NONE,	 /* polled: no vector at all */
	NVME_IRQ_OWN,	 /* a vector for each queue, vector 0 for the admin queue */
	NVME_IRQ_SHARED, /* vector 0 for all */
};

struct nvme_ctrl {
	struct ob_device *dev;
	struct ob_dma *dma;
	const struct ob_bar *bar;
	uint64_t cap;
	uint32_t doorbell_stride;
	unsigned int ready_ms; /* CAP.TO */
	unsigned int admin_ms; /* longest wait for an admin command */
	bool ignores_fua;
	struct nvme_identity id;

	/* Held by whoever uses the admin queue: start, stop, the tick, the self-test. */
	pthread_mutex_t lock;
	struct nvme_admin admin;
	void *page; /* "nvme identify" */
	ob_iova page_iova;

	struct nvme_disk *disk[OB_BINDING_BLOCKS];
	unsigned int nr_disks;
	struct nvme_queue *queue[NVME_QUEUES];
	unsigned int nr_queues;

	enum nvme_irq_mode irq_mode;
	enum ob_irq_kind irq_kind;
	struct ob_irq *shared;

	/* nvme_recovery.c */
	uint16_t tick;
	uint16_t timeout_ticks;
	uint64_t last_tick_ns;
	int resetting;
	int fate;		  /* 0, or why the controller was given up */
	unsigned int idle_resets; /* in a row, without a completion between them */
	uint64_t resets;
};

uint32_t nvme_csts(struct nvme_ctrl *ctrl);
/* nvme_enable(), nvme_disable() - 7.6.1 and 7.3.2; -ETIMEDOUT, -EIO (CSTS.CFS), -EPROTO (CC), -ENODEV */
int nvme_enable(struct nvme_ctrl *ctrl, struct ob_error *err);
int nvme_disable(struct nvme_ctrl *ctrl, struct ob_error *err);
/* nvme_restart() - both, with a reset of the function in between where the first does not work */
int nvme_restart(struct nvme_ctrl *ctrl, struct ob_error *err);
void nvme_shutdown(struct nvme_ctrl *ctrl);
int nvme_admin_alloc(struct nvme_ctrl *ctrl, struct ob_error *err);
void nvme_admin_free(struct nvme_ctrl *ctrl);
/* nvme_admin_send() - without waiting; the slot's index, or -EBUSY when all are in use */
int nvme_admin_send(struct nvme_ctrl *ctrl, struct nvme_sqe *cmd);
/* nvme_admin_poll() - take completions of the admin queue */
void nvme_admin_poll(struct nvme_ctrl *ctrl);
/*
 * nvme_admin_command() - send and wait
 *
 * Return: 0; a positive status (NVME_STATUS()) from the controller; -ETIMEDOUT, -ENODEV, -EBUSY.
 */
int nvme_admin_command(struct nvme_ctrl *ctrl, struct nvme_sqe *cmd, uint32_t *result);
/* nvme_identify() - fills @data, memory of this process's own; results as nvme_admin_command() */
int nvme_identify(struct nvme_ctrl *ctrl, uint8_t cns, uint32_t nsid, void *data);
int nvme_health(struct nvme_ctrl *ctrl, void *data512);
/* nvme_set_queues() - ask for @want I/O queue pairs; how many there are, or a negative value */
int nvme_set_queues(struct nvme_ctrl *ctrl, unsigned int want);
int nvme_create_queue(struct nvme_ctrl *ctrl, struct nvme_queue *q, struct ob_error *err);
/*
 * nvme_delete_sq(), nvme_delete_cq() - in this order; between them the last completions are taken.
 * 0 when the controller does not know the queue any more; else as nvme_admin_command()
 */
int nvme_delete_sq(struct nvme_ctrl *ctrl, struct nvme_queue *q);
int nvme_delete_cq(struct nvme_ctrl *ctrl, struct nvme_queue *q);
/* nvme_admin_error() - text for a failed admin command; returns a negative errno value */
int nvme_admin_error(struct nvme_ctrl *ctrl, struct ob_error *err, int rc, const char *what);

/* ---- nvme_recovery.c ------------------------------------------------------------- */

enum {
	NVME_TICK_MS = 100,
	NVME_TIMEOUT_MS = 30000, /* as Linux' nvme_core.io_timeout; the specification names none */
	/*
	 * Admin commands are answered from the controller's own memory, so these are plenty, but machines
	 * that emulate it can be busy.
	 */
	NVME_ADMIN_MIN_MS = 1000,
	NVME_ADMIN_MAX_MS = 10000,
	NVME_TRIES = 2,	     /* a request that ran out of time this often ends */
	NVME_MAX_RESETS = 5, /* a request that went through as many resets ends */
	NVME_RESET_TRIES = 3,
	NVME_IDLE_RESETS = 5, /* a controller that did nothing between as many resets is given up */
	NVME_BAD_LIMIT = 4,   /* refused completions on a queue before the controller is reset */
};

void nvme_tick(struct nvme_ctrl *ctrl, uint64_t now_ns);
/* nvme_reset() - called with the lock held; 0 when the controller works again */
int nvme_reset(struct nvme_ctrl *ctrl, const char *why);
void nvme_wake(struct nvme_queue *q);

/* ---- nvme_irq.c ------------------------------------------------------------------ */

int nvme_irq_setup(struct nvme_ctrl *ctrl, const struct ob_driver_config *config,
		   unsigned int *queues, struct ob_error *err);
int nvme_irq_attach(struct nvme_ctrl *ctrl, struct ob_error *err);
void nvme_irq_detach(struct nvme_ctrl *ctrl);
bool nvme_irq_arm(struct nvme_queue *q, bool on);
void nvme_irq_quiet(struct nvme_queue *q);

#endif
