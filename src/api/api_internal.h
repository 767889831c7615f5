/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * api_internal.h - endpoints, channels and groups as the files of src/api share them.
 *
 * Objects live in private memory: endpoints and groups in pages of their own, channels in their endpoint's. The stack's
 * half of a channel is the struct sock behind its descriptor, as for a socket of the preload; of a connection on the
 * fast path, which has no descriptor, the engine's connection.
 *
 * Locks: a struct api_lock is held for a few instructions, never while the stack's lock is asked for
 * or a system call waits.
 */
#ifndef FSOCK_API_API_INTERNAL_H
#define FSOCK_API_API_INTERNAL_H

#include <fsock/fsock.h>
#include <assert.h>
#include <sched.h>
#include <stddef.h>

#include "base/barrier.h"
#include "base/list.h"
#include "base/slab.h"
#include "context/bare.h"
#include "context/context.h"
#include "context/waitset.h"

enum {
	API_HOLD_DEFAULT = 256,
	API_HOLD_MAX = 65536,
	API_BUFFER_BYTES = 65536, /* the largest datagram there is */
	API_HELD_BUFFER = 1,	  /* in rxinfo.held: the rest points to an api_buffer, else to a frame */
};

/*
 * enum api_kind - what a channel is
 *
 * API_DATAGRAM of UDP; a kernel socket, for good.
 * API_FRESH    of TCP, neither connected nor listening. A kernel socket where it is bound to a port. exits: all below.
 * API_LISTENER of TCP; a kernel socket.
 * API_FAST     a connection of the engine's, or one on its way; a kernel socket only where the program chose the port.
 *              exits: FRESH, when it is dissolved or failed.
 *              KERNEL, when the connection moved: who calls next finds it so (api_kind()).
 * API_KERNEL   a connection that has a socket: of the kernel's, or over a link to a program of this host; also, without a
 *              context, what a fresh channel is from the beginning.
 */
enum api_kind { API_DATAGRAM, API_FRESH, API_LISTENER, API_FAST, API_KERNEL };

struct api_lock {
	uint32_t taken;
};

struct fsock_ep {
	union fsock_addr local;	 /* port 0 */
	socklen_t len;
	uint32_t ringbuf;	 /* bytes; 0 = the kernel's default */
	uint32_t hold_max;	 /* datagrams */
	int reason;		 /* enum fs_reason: why there is no context, else 0 */
	struct context *ctx;	 /* borrowed; NULL = kernel only */
	bool tcp;
	bool elsewhere;		 /* opened in another network namespace than the stack's: it connects as the kernel does */
	struct api_lock lock;	 /* of: */
	struct list channels;	 /* owned, by fsock_channel.of_ep */
	struct slab slab;	 /* of them */
	struct api_region *regions; /* its memory, owned */
};

/*
 * A datagram in memory of ours: one that the kernel's way brought, or in more pieces than a caller
 * expects. Private pages, touched as far as it is long.
 */
struct api_buffer {
	struct api_buffer *next;
	uint8_t data[API_BUFFER_BYTES];
};

struct fsock_channel {
	union {
		struct bare bare; /* API_FRESH, API_FAST. First: by its address a group's events name the channel */
		struct { /* the others. A thread that comes late to one that moved still finds bare.conn and bare.moved */
			const struct tcp_conn *none; /* NULL */
			/* Also of API_FAST over a link, in the same places. Under the endpoint's lock: */
			struct api_buffer *lent; /* received in place and not released */
			struct api_buffer *spare;
			uint32_t n_lent;
			bool wants_out;	 /* API_KERNEL: a send found no room, or it connects; its group tells */
			bool paused;	 /* API_KERNEL: FSOCK_PAUSED */
			bool was_by_link; /* these two: 0, or as they were */
			uint8_t was_moved;
			uint32_t hold_max;
			bool stamps;	 /* FSOCK_RX_STAMPS; any thread */
		};
	};
	struct context *ctx;	 /* borrowed; NULL = kernel only */
	int fd;			 /* the shadow, owned; -1 = none */
	uint16_t port;		 /* own, host order; of a fresh channel as asked for */
	uint8_t kind;		 /* enum api_kind */
	bool v6;
	int64_t rx_timeout;	 /* ns, -1 = for ever; any thread */
	int64_t tx_timeout;
	struct fsock_ep *ep;
	struct list of_ep;
	struct fsock_group *group; /* it is in; NULL = none. By group->lock: */
	struct list of_group;
	void *data;		 /* the program's, for the group's events */
};
static_assert(sizeof(struct fsock_channel) <= 128, "private memory of a connection");
static_assert(offsetof(struct fsock_channel, bare) == 0, "events of groups carry either's address");
static_assert(offsetof(struct fsock_channel, was_moved) == offsetof(struct fsock_channel, bare.moved) &&
		      offsetof(struct fsock_channel, was_by_link) == offsetof(struct fsock_channel, bare.by_link),
	      "they stay");
static_assert(offsetof(struct fsock_channel, lent) == offsetof(struct fsock_channel, bare.held) &&
		      offsetof(struct fsock_channel, spare) == offsetof(struct fsock_channel, bare.held_last) &&
		      offsetof(struct fsock_channel, n_lent) == offsetof(struct fsock_channel, bare.n_held),
	      "what is lent stays when a connection over a link moves");

struct fsock_group {
	struct context *ctx;	 /* borrowed; NULL = kernel only */
	int epfd;		 /* the kernel's half of the set, owned; its members' data are channels */
	struct waitset wait;	 /* opened when asked for */
	struct api_lock lock;	 /* of: */
	struct list members;	 /* borrowed, by fsock_channel.of_group */
};

/* --- group.c --- */

/* Take a channel that ends out of its group. */
void api_group_forget(struct fsock_channel *ch);

/* Around a change of what a channel is: it leaves its group's sets, and enters them anew. */
void api_group_suspend(struct fsock_channel *ch);
void api_group_resume(struct fsock_channel *ch);

/* API_KERNEL: wants_out or paused changed. */
void api_group_refresh(struct fsock_channel *ch);

/* --- endpoint.c --- */

/* The context, made if need be; NULL, and *reason. */
struct context *api_context(int *reason);

/* A channel without a socket, in no list; NULL = no memory. api_channel_destroy() ends it. */
struct fsock_channel *api_channel_alloc(struct fsock_ep *ep, enum api_kind kind);

/* It is the program's: the endpoint has it. */
void api_channel_publish(struct fsock_channel *ch);

/* Close what a channel is made of, but for its place in the endpoint. */
void api_channel_destroy(struct fsock_channel *ch);

/* setsockopt() on the channel's socket, and the same as an option that the context is to know of, as if the program had
 * set it. */
int api_set_told(const struct fsock_channel *ch, int level, int name, int value);

/* The endpoint's address with @port. */
union fsock_addr api_address(const struct fsock_ep *ep, uint16_t port);

/* ch->port as the kernel says, which may have chosen it. 0 or -errno. */
int api_read_port(struct fsock_channel *ch);

/* --- connection.c: of TCP --- */

/* fsock_bind() of what api_channel_alloc() made. */
int api_connection_bind(struct fsock_channel *ch, unsigned flags, uint16_t port);

/* The kernel carries its connection on, @ch->bare says since when: it becomes API_KERNEL, in its group too. */
enum api_kind api_adopt(struct fsock_channel *ch);

/* fsock_connect(). */
int api_connection_connect(struct fsock_channel *ch, const struct sockaddr *peer, socklen_t len);

/* --- socket.c: calls on the channel's socket --- */

/* When a call that waits @wait ns, -1 = for ever, gives up: host_clock_kernel()'s, or FS_NEVER. */
fs_ns api_deadline(fs_ns wait);

/* Wait for @events of it until then. 0: look again; -ETIMEDOUT, -EINTR. */
int api_socket_wait(const struct fsock_channel *ch, short events, fs_ns deadline);

/* As recv(2) and send(2). Over a link they wait for @wait ns, -1 = for ever, 0 = not, and say -ETIMEDOUT or what was
 * moved in the end; else (*@kernel), with -EAGAIN or what there was room for, the caller may wait. */
ssize_t api_socket_recv(const struct fsock_channel *ch, void *buf, size_t len, int flags, fs_ns wait, bool *kernel);
ssize_t api_socket_send(const struct fsock_channel *ch, const void *buf, size_t len, int flags, fs_ns wait, bool *kernel);

/* As the system calls of these names, with -errno. */
int api_socket_connect(const struct fsock_channel *ch, const struct sockaddr *peer, socklen_t len);
int api_socket_shutdown(const struct fsock_channel *ch, int how);
int api_socket_name(const struct fsock_channel *ch, bool peer, union fsock_addr *name);
int api_socket_get(const struct fsock_channel *ch, int level, int name, void *value, socklen_t *len);
int api_socket_ioctl(const struct fsock_channel *ch, unsigned long request); /* the answer, or -errno */

/* --- stream.c: fsock_recv() and so on of connections --- */

ssize_t api_stream_recv(struct fsock_channel *ch, unsigned flags, void *buf, size_t len, struct fsock_rxinfo *info);
int api_stream_recv_batch(struct fsock_channel *ch, unsigned flags, struct fsock_datagram *datagrams, unsigned n);
int api_stream_release(struct fsock_channel *ch, struct fsock_rxinfo *info);
ssize_t api_stream_send(struct fsock_channel *ch, unsigned flags, const void *buf, size_t len,
			const struct fsock_txinfo *info);

/* --- stream_option.c: options of TCP --- */

int api_stream_setopt(struct fsock_channel *ch, int option, const void *value, size_t len);
int api_stream_getopt(struct fsock_channel *ch, int option, void *value, size_t *len);

/* The options of @from for the channel's kernel socket. */
void api_stream_copy_options(const struct fsock_channel *ch, const struct tcp_options *from);

/* --- option.c --- */

/* The answer to a question: @bytes at @from, to @value, which has room for *len. */
int api_put(void *value, size_t *len, const void *from, size_t bytes);

/* --- buffer.c --- */

/* An empty buffer; NULL = no memory. Owner: the caller. */
struct api_buffer *api_buffer_get(struct fsock_channel *ch);

/* Give back what api_buffer_get() gave. */
void api_buffer_put(struct fsock_channel *ch, struct api_buffer *buffer);

/* @buffer goes to the program... */
void api_buffer_lend(struct fsock_channel *ch, struct api_buffer *buffer);

/* ... and comes back. -EINVAL: it was not lent; any pointer. */
int api_buffer_return(struct fsock_channel *ch, const struct api_buffer *buffer);

/* Free them all. */
void api_buffer_end(struct fsock_channel *ch);

/* inline definitions */

/* How long a call may wait, ns; 0 = not. */
static inline fs_ns api_patience(const int64_t *timeout, bool nonblock)
{
	return nonblock ? 0 : FS_MIN(fs_load_relaxed(timeout), FS_SPAN_MAX);
}

/* What the channel is by now. A call on API_FRESH or API_FAST that says CONTEXT_KERNEL is to ask anew. */
static inline enum api_kind api_kind(struct fsock_channel *ch)
{
	enum api_kind kind = (enum api_kind)fs_load_acquire(&ch->kind);

	return kind == API_FAST && __builtin_expect(fs_load_acquire(&ch->bare.moved) != 0, 0) ? api_adopt(ch) : kind;
}

/* Is what it receives in place lent in buffers of ours? */
static inline bool api_lends_buffers(struct fsock_channel *ch)
{
	enum api_kind kind = api_kind(ch);

	return kind == API_KERNEL || (kind == API_FAST && ch->bare.by_link);
}

/* Is it a connection that has no kernel socket to speak of? */
static inline bool api_is_bare(struct fsock_channel *ch)
{
	enum api_kind kind = api_kind(ch);

	return kind == API_FRESH || kind == API_FAST;
}

static inline void api_lock(struct api_lock *lock)
{
	uint32_t no = 0;

	while (!fs_compare_exchange(&lock->taken, &no, 1)) {
		no = 0;
		sched_yield();
	}
}

static inline void api_unlock(struct api_lock *lock)
{
	fs_store_release(&lock->taken, 0);
}

#endif
