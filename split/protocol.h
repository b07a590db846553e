/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What a split driver's module and its daemon say to each other over /dev/outboard-split-DRIVER; for the kernel and for programs.
 *
 * One daemon at a time has the device open (-EBUSY for a second one). It says with OB_SPLIT_HELLO which layout it was compiled for, and from
 * then on read(2) gives it one request at a time, whole, and write(2) takes one reply at a time. Several requests may be read before
 * the first is answered; replies come in any order. While it serves a request, it may ask the module for things with
 * OB_SPLIT_DOWN. poll(2) tells of requests. When the last descriptor is closed, all requests end with -EIO.
 *
 *   read:   struct ob_split_request, items
 *   write:  struct ob_split_reply, items (none where error is not 0)
 *   items:  struct ob_split_item and its bytes, padded to 8, again and again
 *
 * What an item is, the operation's table of slots says, which both sides were generated with: a field of one of the objects that the
 * function reaches. Object 0 is its frame: its parameters and its result. The
 * request has the slots that the function reads, the reply those that it changed. A pointer travels as a token:
 *
 *   0                                       NULL
 *   (object + 1) << 48 | offset             into an object of this request
 *   OB_SPLIT_GLOBAL << 48 | number          a variable of the driver, whose table is generated
 *   OB_SPLIT_OPAQUE << 48 | any             another address, which the daemon does not get to know
 *
 * As an argument of a function that is kept, the last one is that many bytes behind an address that the daemon does not know: a register.
 *
 * Nothing that the daemon sends is trusted. These are refused with the error told, and counted: a record that is too short, or whose len is not
 * what was written, or with an item that is no slot of this operation, that the function does not write, of another size, or not behind the slots before it (-EINVAL);
 * a reply to a request that nobody waits for (any more) (-ENOENT). The caller of a request that was answered in a wrong way gets -EIO at once.
 */
#ifndef OB_SPLIT_PROTOCOL_H
#define OB_SPLIT_PROTOCOL_H

#include <linux/ioctl.h>
#include <linux/types.h>

enum {
	OB_SPLIT_VERSION = 3,
	OB_SPLIT_GLOBAL = 0xfffe, /* upper 16 bits of a token */
	OB_SPLIT_OPAQUE = 0xffff,
	OB_SPLIT_MOST_CALLS = 256,     /* of functions that are kept, in a request */
	OB_SPLIT_MAX_RECORD = 1 << 20, /* bytes, with the header */
	OB_SPLIT_MAX_TEXT =
		512, /* of a message, and of a string that a field points to; with its end */
	OB_SPLIT_OF_NETDEV =
		0x100, /* bit of a message's level: it begins with the name of the interface that the operation is about */
};

/**
 * struct ob_split_request - what read(2) gives; -EMSGSIZE where there is no room for it, and it is kept
 * @len: of the record, with this header
 * @op: the number of the operation
 * @unique: of the request; never 0, never given twice while the module is loaded
 * @flags: 0
 */
struct ob_split_request {
	__u32 len;
	__u32 op;
	__u64 unique;
	__u32 flags;
	__u32 reserved;
};

/**
 * struct ob_split_reply - what write(2) takes
 * @error: 0, or a negative errno: the function was not executed, and its caller gets -EIO
 */
struct ob_split_reply {
	__u32 len;
	__s32 error;
	__u64 unique;
};

struct ob_split_item {
	__u32 slot;
	__u32 bytes; /* without the padding */
};

/**
 * struct ob_split_hello - the daemon asks to be sent requests
 * @version: OB_SPLIT_VERSION
 * @layout: a number over all tables of slots; -EPROTO where it is not the module's, which is left here
 * @operations: set to how many there are
 * @timeout_ms: set to how long callers wait
 */
struct ob_split_hello {
	__u32 version;
	__u32 operations;
	__u64 layout;
	__u32 timeout_ms;
	__u32 reserved;
};

enum ob_split_what {
	/*
	 * Call function number @level of those that this operation calls and the kernel keeps; OB_SPLIT_MOST_CALLS times in a request
	 * (-EBUSY). @in has 8 bytes for each argument, a number or a token, and the slots changed up to then; @out the result, the
	 * arguments with those that were set, and what is read, anew. -EINVAL: the operation does not call it; an argument is not what the
	 * table allows; or the slots are not.
	 *
	 * A locked region of the operation itself has a number, too. Its first argument is 0, the others are the numbers that it shares with what is
	 * around it. -EINVAL also where the operation, called as it was, does not come to it; -EBUSY after one was executed.
	 */
	OB_SPLIT_CALL,
	/* A message for the kernel's log; @in is text. How many of them get there is limited. */
	OB_SPLIT_LOG,
};

/**
 * struct ob_split_down - what the daemon asks for while it serves @unique (-ENOENT: nobody waits for that any more)
 * @what: enum ob_split_what
 * @level: of a message, 0 to 7 as in syslog, and OB_SPLIT_OF_NETDEV; or the number of a function
 * @in: address of @in_len bytes
 * @out: address of @out_room bytes, of which @out_len are set
 */
struct ob_split_down {
	__u64 unique;
	__u32 what;
	__u32 level;
	__u64 in;
	__u64 out;
	__u32 in_len;
	__u32 out_room;
	__u32 out_len;
	__u32 reserved;
};

#define OB_SPLIT_HELLO _IOWR('O', 0x50, struct ob_split_hello)
#define OB_SPLIT_DOWN  _IOWR('O', 0x51, struct ob_split_down)

/*
 * Parameters of the module, beside the driver's own, in /sys/module/DRIVER/parameters: split_timeout_ms may be changed at any time; the others
 * can only be read: split_layout, split_requests (begun), split_answered, split_timeouts, split_killed (callers), split_lost (with a daemon that died),
 * split_absent (nobody was there to ask), split_unknown (replies that nobody waited for), split_bad (records that were refused),
 * split_calls (of functions that are kept).
 */

#endif
