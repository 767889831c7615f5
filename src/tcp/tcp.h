/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * tcp.h - TCP (RFC 9293 and what docs/tcp-conformance.md lists) between ip and the sockets.
 *
 * Does:     connections and listeners of one stack: segments in, calls in, segments out, time in. All
 *           answers of a burst of input leave at its end (tcp_burst_end()), so that ACKs aggregate.
 * Does not: choose routes or local ports (the host resolves, the context leases), know descriptors,
 *           threads or clocks, obtain memory: slabs and bucket arrays are handed in.
 * Threads:  holder of the stack's lock only.
 * Errors:   0 or a count, or -errno.
 *
 * How a connection ends: the user calls tcp_close() (or tcp_abort()) once, after which the pointer is the
 * engine's; it finishes FIN, retransmissions and TIME-WAIT alone and frees the memory. Until then the user
 * may look at a connection in any state, CLOSED included.
 */
#ifndef FSOCK_TCP_TCP_H
#define FSOCK_TCP_TCP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>
#include <sys/uio.h>

#include "base/addr.h"
#include "base/clock.h"
#include "base/fbuf.h"
#include "base/list.h"
#include "base/seq.h"
#include "base/siphash.h"
#include "base/slab.h"
#include "base/table.h"
#include "base/timer.h"

struct ip_dst;
struct ip_env;
struct ip_stack;
struct packet;
struct tcp_conn;
struct tcp_listener;

/*
 * enum tcp_state - RFC 9293 3.3.2, with Linux's numbers, which tcpi_state shows. Only state.c writes it. LISTEN
 * is a struct tcp_listener, TIME-WAIT a struct tcp_tw, SYN-RECEIVED mostly a struct tcp_req: a tcp_conn is in
 * SYN-RECEIVED only after a simultaneous open or with Fast Open.
 *
 * ESTABLISHED  entered from SYN-SENT, SYN-RECEIVED or at accept. Send and receive.
 * SYN_SENT     tcp_connect(). Send queues (and goes with the SYN with Fast Open), receive waits.
 * SYN_RECEIVED see above. Send and receive queue.
 * FIN_WAIT1    we closed first, our FIN is not acked. Receive only.
 * FIN_WAIT2    our FIN is acked. Receive only; an orphan gives up after fin_timeout.
 * TIME_WAIT    of a tcp_tw; a tcp_conn only passes through it, or its user still has it: then it has
 *		handed its place to a tcp_tw and is as CLOSED without error.
 * CLOSED       before connect, after reset, timeout or LAST-ACK. `error` says why. Data received
 *		before an orderly end can still be read.
 * CLOSE_WAIT   the peer closed. Send; receive gives what is there, then 0.
 * LAST_ACK     then we closed, too. What remains is our FIN.
 * LISTEN       a tcp_listener's.
 * CLOSING      both closed at once: our FIN is not acked, the peer's arrived.
 */
enum tcp_state {
	TCP_ESTABLISHED = 1,
	TCP_SYN_SENT,
	TCP_SYN_RECEIVED,
	TCP_FIN_WAIT1,
	TCP_FIN_WAIT2,
	TCP_TIME_WAIT,
	TCP_CLOSED,
	TCP_CLOSE_WAIT,
	TCP_LAST_ACK,
	TCP_LISTEN,
	TCP_CLOSING,
	TCP_N_STATES
};

extern const char *const tcp_state_name[TCP_N_STATES]; /* "ESTABLISHED" ..., as ss(8) abbreviates them not */

/* What may be done now (levels), and what just became possible (edges in tcp_ops.event). */
enum tcp_ready {
	TCP_READY_IN = 1 << 0,	  /* receive gives bytes, 0 or an error; accept gives a connection */
	TCP_READY_OUT = 1 << 1,	  /* send takes bytes or gives an error */
	TCP_READY_PRI = 1 << 2,	  /* urgent data not read yet */
	TCP_READY_ERR = 1 << 3,	  /* an error waits in SO_ERROR */
	TCP_READY_HUP = 1 << 4,	  /* both directions are shut, or never connected: POLLHUP */
	TCP_READY_RDHUP = 1 << 5, /* the peer shut, or we shut reading */
};

/* What the caller does for the engine; a const table per process, found through ip_env.tcp_ops. The first
 * argument is ip_env.context. None of them may call back into TCP. */
struct tcp_ops {
	/* @conn became ready for @edges (enum tcp_ready). Also for more of the same: a segment in a queue that
	 * was not empty is TCP_READY_IN again, as EPOLLET wants. NULL = nobody listens. */
	void (*event)(void *context, struct tcp_conn *conn, uint32_t edges);

	/* @listener has a connection for accept that it had not. NULL = nobody listens. */
	void (*incoming)(void *context, struct tcp_listener *listener);

	/* Where does @remote lie from @local (any = not bound)? @choice as in ip_dst_find(). The destination
	 * (borrowed), or NULL: no route. Asked when a connection begins and when its destination went stale. */
	struct ip_dst *(*resolve)(void *context, const struct ip_addr *remote, const struct ip_addr *local,
				  uint64_t choice);

	/* The engine lets go of @conn, which its user had closed: last call for it, memory is gone after.
	 * @data is tcp_conn.user. NULL = nobody needs to know. */
	void (*released)(void *context, struct tcp_conn *conn, void *user);

	/* A sister may know whose @frame is, whole from its link header on: it goes to @stack. @passed: who has looked
	 * at it by now. Takes the frame. Never NULL where tcp_stack.shares is set. */
	void (*pass_on)(void *context, struct fbuf *frame, unsigned stack, uint32_t passed);
};

/* What a stack does where no connection says otherwise. tcp_config_default() is Linux's defaults. */
struct tcp_config {
	uint32_t rto_min_us;	   /* 200 ms: DEVIATION from RFC 6298 2.4 (1 s), with Linux */
	uint32_t rto_initial_us;   /* 1 s: RFC 6298 2.1 */
	uint32_t rto_max_us;	   /* 120 s */
	uint32_t delack_min_us;	   /* 40 ms */
	uint32_t delack_max_us;	   /* 200 ms; below 500: RFC 9293 3.8.6.3, MUST-40 */
	bool hold_acks;		   /* those that an answer may carry wait for tcp_release_acks(); false = as Linux */
	uint32_t initial_cwnd;	   /* 10 segments: RFC 6928 */
	uint32_t rcvbuf[3];	   /* smallest, initial, largest receive buffer by auto-tuning, bytes */
	uint32_t sndbuf[3];
	uint32_t max_reordering;   /* segments */
	uint32_t tw_us;		   /* TIME-WAIT: 60 s, Linux's 2 MSL */
	uint32_t fin_timeout_us;   /* FIN-WAIT-2 of orphans: 60 s */
	uint32_t max_tw;	   /* entries; beyond, the oldest goes */
	uint32_t challenge_per_s;  /* challenge ACKs a second and connection: RFC 5961 7 */
	uint32_t base_mss;	   /* 1024: where black-hole escape goes to (RFC 8899 class) */
	uint8_t syn_retries;	   /* 6 */
	uint8_t synack_retries;	   /* 5 */
	uint8_t retries1, retries2; /* 3, 15: RFC 9293 3.8.3's R1, R2 */
	uint8_t orphan_retries;	   /* 8 */
	uint8_t ecn;		   /* 0 never, 1 ask and accept, 2 accept */
	uint8_t syncookies;	   /* 0 never, 1 when the SYN queue is full, 2 always */
	uint8_t fastopen;	   /* bit 0 client, bit 1 server */
	uint8_t congestion;	   /* index in cc.def */
	bool timestamps, sack, window_scaling;
	bool rfc1337;		   /* ignore RST in TIME-WAIT */
	bool slow_start_after_idle;
	bool mtu_probing;	   /* black-hole escape */
};

/* First member of whatever is in the table of connections. */
struct tcp_end {
	struct table_node node;
	struct ip_addr local, remote;
	uint16_t local_port, remote_port; /* host order */
	uint8_t kind;			  /* enum tcp_end_kind */
	uint8_t spare[3];
};

enum tcp_end_kind { TCP_END_CONN = 1, TCP_END_REQ, TCP_END_TW };

enum { TCP_LISTENER_LIMIT_MAX = 65535 };

/* How a listener's and a connection's segments differ from the destination's template. 0 = not. */
struct tcp_style {
	uint8_t tos, hop_limit;
};

/* Options of a connection as its user set them; a listener's are what accepted ones begin with. */
struct tcp_options {
	uint32_t sndbuf, rcvbuf;   /* as getsockopt reports; 0 = auto-tuned */
	uint32_t user_timeout_ms;  /* 0 = retries2 decides */
	uint32_t notsent_lowat;	   /* bytes; 0 = no limit */
	uint32_t rcvlowat;	   /* bytes; 0 = 1 */
	uint32_t window_clamp;	   /* 0 = none */
	uint32_t max_pacing_rate;  /* bytes per second, 0 = none */
	int32_t linger_s;	   /* -1 = off; 0: close resets */
	uint64_t choice;	   /* what routes hang on, for tcp_ops.resolve */
	uint16_t keep_idle_s, keep_interval_s; /* 0 = 7200, 75 */
	int16_t linger2_s;	   /* FIN-WAIT-2 of an orphan; 0 = config, -1 = none at all */
	uint16_t mss;		   /* TCP_MAXSEG; 0 = what the path allows */
	uint8_t keep_count;	   /* 0 = 9 */
	uint8_t syn_count;	   /* 0 = config */
	uint8_t congestion;	   /* index in cc.def */
	struct tcp_style style[2]; /* IPv4, IPv6 */
	bool nodelay : 1, cork : 1, keepalive : 1, oob_inline : 1, fastopen_connect : 1, fastopen_no_cookie : 1,
		quickack_off : 1;
	bool recverr : 1;	   /* IP_RECVERR: ICMP errors are pending errors, even where the connection goes on */
};

/* Options of a listener alone: accepted connections know nothing of them. */
struct tcp_listen_options {
	uint16_t fastopen_queue;   /* pending Fast Open requests allowed; 0 = off */
	uint8_t defer_accept;	   /* retransmissions of the SYN-ACK; 0 = off */
	bool v6_only;		   /* no IPv4 */
};

/* A listening endpoint, embedded in a socket, zeroed at birth. Overflow behaves as Linux's does (T4987). */
struct tcp_listener {
	/* --- written by the socket before tcp_listen() --- */
	struct ip_addr local;	  /* any = wildcard */
	uint16_t local_port;	  /* host order */
	bool is_v6;		  /* AF_INET6 socket: takes IPv4 too unless own.v6_only */
	bool reuseport;		  /* shares address and port with its likes: connections are spread */
	uint32_t ifindex;	  /* 0 = any */
	struct tcp_options options;
	struct tcp_listen_options own;
	void *user;

	/* --- written by listen.c --- */
	uint32_t backlog;	  /* of accept(); SYN queue as well */
	uint32_t n_reqs;	  /* in the SYN queue */
	uint32_t n_young;	  /* of them, whose SYN-ACK was not sent again yet */
	uint32_t n_ready;	  /* in the accept queue */
	uint32_t n_fastopen;	  /* of the accept queue or on the way there, handshake not complete */
	struct list reqs;	  /* struct tcp_req */
	struct list ready;	  /* struct tcp_conn, through its `queue` */
	struct table_node node;	  /* by local port */
	struct tcp_stack *stack;  /* NULL = not listening */
	uint32_t overflows;	  /* of the accept queue */
	fs_ns cookies_at;	  /* when a cookie was sent last; 0 = never */
	bool retired;		  /* takes no more */
};

/*
 * What a client knows of the servers it may send data to with its SYN (RFC 7413 4.1.3): a small table whose
 * oldest entries give way.
 */
struct tcp_fastopen_entry {
	struct ip_addr local, remote; /* remote any = free */
	fs_ns used_at;
	fs_ns failed_at;	  /* when a SYN with the option was lost last */
	uint16_t mss;		  /* the server's */
	uint8_t failures;	  /* in a row */
	uint8_t len;		  /* of the cookie; 0 = none known */
	uint8_t cookie[16];
};
enum { TCP_FASTOPEN_CACHE = 64 };

struct tcp_shares;

struct tcp_stack {
	struct ip_stack *ip;	  /* borrowed */
	struct tcp_end *last;	  /* the last segment's: a burst of one connection skips the hash. NULL = no hint */
	struct tcp_config config; /* any time */
	struct table ends;	  /* struct tcp_end */
	struct table listeners;	  /* struct tcp_listener */
	struct slab conns, reqs, tws; /* memory handed in by the context */
	struct fbuf_pool *segments; /* borrowed, not pinned: a chunk each for segments that leave as parts of super-frames.
				   * NULL = none, as after tcp_init() */
	struct timer_wheel wheel;
	struct list dirty;	  /* connections with something to send at the burst's end */
	struct list held;	  /* those whose ACK is held for an answer, by the same link, oldest first */
	bool may_hold;		  /* barrier.h, for those who ask without the lock: false = nobody is in .held; true = somebody
				   * was when tcp_release_acks() looked last, or came since */
	struct list tw_age;	  /* struct tcp_tw, oldest first */
	uint32_t n_tw;
	struct siphash_key key;	  /* of the tables. Sisters have the same, and the same secrets */
	struct tcp_shares *shares; /* which tuples sisters know (shares.h); NULL = it has none */
	uint8_t index;		  /* of this stack there. The first one, home, answers for what nobody knows */
	struct siphash_key secret[3]; /* enum tcp_secret; random, from the context */
	uint32_t n_conns;	  /* not freed yet, closed ones included */
	uint32_t n_orphans;	  /* of them, closed by their users */
	struct list holders;	  /* connections with pinned chunks in their receive queue, oldest first */
	struct tcp_fastopen_entry fastopen[TCP_FASTOPEN_CACHE]; /* fastopen.c */
	fs_ns stray_until;	  /* what belongs to nobody is dropped so long; 0 = it gets a RST as RFC 9293 3.10.7.1 says. The
				   * user sets it when somebody else answers for a port, whom the peer reaches with
				   * its next */
	fs_ns read_stamp;	  /* fbuf.stamp of the last segment that tcp_recv() was asked to tell of; 0 = unknown, or nothing was read */
};

enum tcp_secret {
	TCP_SECRET_ISN,	    /* RFC 6528, timestamp offsets */
	TCP_SECRET_COOKIE,  /* SYN cookies */
	TCP_SECRET_FASTOPEN,
	TCP_N_SECRETS
};

/* --- the stack --- */

void tcp_config_default(struct tcp_config *config);

/*
 * Prepare; keys are random (@key for tables, @secret[TCP_N_SECRETS]), bucket arrays (powers of two) are
 * borrowed for the stack's life. Then slab_add() gives conns, reqs and tws memory; a full slab refuses new
 * ones and counts it.
 */
void tcp_init(struct tcp_stack *tcp, struct ip_stack *ip, const struct siphash_key *key,
	      const struct siphash_key *secret, struct table_node **end_buckets, uint32_t n_end,
	      struct table_node **listener_buckets, uint32_t n_listener, fs_ns now);

/* ip_env.tcp_input of a stack: one segment, its header at frame->data. Takes the frame. */
void tcp_input(const struct ip_env *env, const struct packet *p, struct fbuf *frame, fs_ns now);

/* ip_env.tcp_quick: the same for a whole frame with its link header, if it is the next one of a dialogue: takes it.
 * False: it is not, and nothing happened. */
bool tcp_quick_input(const struct ip_env *env, struct fbuf *frame, fs_ns now);

/* A burst of input is over: send what it asks for. Also after calls that say they only mark. */
void tcp_burst_end(struct tcp_stack *tcp, const struct ip_env *env, fs_ns now);

/*
 * Of ACKs that are held (tcp_config.hold_acks), mark those that were before @before: a tcp_burst_end() sends them. The
 * program was told of what came, and has had the time to answer. Without this call they leave as delayed ACKs do. When
 * none is left, tcp_stack.may_hold says so.
 */
void tcp_release_acks(struct tcp_stack *tcp, fs_ns before);

/* Fire what is due, and send. When to come again: tcp_next(), FS_NEVER = no timer. */
void tcp_advance(struct tcp_stack *tcp, const struct ip_env *env, fs_ns now);
fs_ns tcp_next(const struct tcp_stack *tcp);

/*
 * An ICMP error quotes a segment of ours (RFC 9293 3.9.2.2, RFC 5927): @quoted is the first bytes of the quoted
 * TCP header (8 at least) between @local and @remote.
 */
struct tcp_icmp {
	struct ip_addr local, remote;
	uint16_t local_port, remote_port;
	tcp_seq seq;	 /* of the quoted segment */
	uint8_t kind;	 /* enum tcp_icmp_kind */
	uint32_t mtu;	 /* TOO_BIG: next hop's; 0 = an old router that does not say */
	int error;	 /* the kernel's errno for it, positive */
};
enum tcp_icmp_kind { TCP_ICMP_SOFT, TCP_ICMP_HARD, TCP_ICMP_TOO_BIG };

/*
 * The above from an ICMP message (@v6: ICMPv6) whose checksum is right: @len bytes behind the IP header. False: it is
 * none of TCP's: no error, one that has no say any more (source quench: MUST-55), or about somebody else's packet.
 */
bool tcp_icmp_read(struct tcp_icmp *icmp, bool v6, const void *message, size_t len);

/* What it does. Returns the MTU of the path to @icmp->remote where it taught a smaller one, for other connections to
 * begin with; else 0. */
uint32_t tcp_icmp_input(struct tcp_stack *tcp, const struct ip_env *env, const struct tcp_icmp *icmp, fs_ns now);

/* --- connections --- */

/* A connection in CLOSED with the stack's default options, or NULL: no memory. Its user owns it until
 * tcp_close() or tcp_abort(). */
struct tcp_conn *tcp_open(struct tcp_stack *tcp, void *user);

/*
 * Begin to connect from a local address and port, which are the caller's to choose (@local any: the route's)
 * and must be free against this remote. 0: on the way, an event tells (with Fast Open, and data to come with
 * tcp_send(), nothing leaves yet). -EADDRNOTAVAIL: the 4-tuple is taken (a TIME-WAIT that may be reused gives
 * way), -ENETUNREACH, -EISCONN, -EALREADY, -ENOMEM.
 */
int tcp_connect(struct tcp_conn *conn, const struct ip_env *env, const struct ip_addr *local,
		uint16_t local_port, const struct ip_addr *remote, uint16_t remote_port, fs_ns now);

/* Would tcp_connect() take this 4-tuple? @local: not any. */
bool tcp_tuple_is_free(const struct tcp_stack *tcp, const struct ip_addr *local, uint16_t local_port,
		       const struct ip_addr *remote, uint16_t remote_port, fs_ns now);

enum tcp_send_flags { TCP_SEND_MORE = 1 << 0, TCP_SEND_OOB = 1 << 1 };

/*
 * Copy bytes of @iov into frames, sum them in the same pass, and send what window, Nagle and cork allow.
 * Returns bytes taken (may be fewer than given), or -EAGAIN (no room: TCP_READY_OUT tells), -EPIPE (shut
 * or ended: the front door raises SIGPIPE), -ENOTCONN, -ENOMEM (no frame and nothing queued that would
 * free one), or the pending error (ECONNRESET ...), which is thereby taken.
 */
ssize_t tcp_send(struct tcp_conn *conn, const struct ip_env *env, const struct iovec *iov, int n,
		 uint32_t flags, fs_ns now);

/*
 * Room for bytes that the caller's kernel puts into segments itself (sendfile(2), splice(2)): one copy. Lives on the
 * caller's stack. Nothing else may be done with the connection between tcp_reserve() and tcp_commit(), and each
 * tcp_reserve() that returned 0 is followed by a tcp_commit().
 */
enum { TCP_RESERVE_MAX = 48 };
struct tcp_reservation {
	struct iovec iov[TCP_RESERVE_MAX]; /* to be filled in order */
	struct fbuf *seg[TCP_RESERVE_MAX]; /* whose memory that is: the engine's */
	unsigned n, first;		   /* entries; before the first fresh segment: 1 = the connection's last goes on */
};

/* Room for up to @len bytes, fewer where the buffer ends. 0, or why not as tcp_send(). */
int tcp_reserve(struct tcp_conn *conn, struct tcp_reservation *r, size_t len);

/* The first @len bytes of @r are there, and sent as by tcp_send(); the rest is given back. With neither bytes nor
 * TCP_SEND_MORE, what was held back for more leaves. */
void tcp_commit(struct tcp_conn *conn, const struct ip_env *env, struct tcp_reservation *r, size_t len,
		uint32_t flags, fs_ns now);

enum tcp_recv_flags {
	TCP_RECV_PEEK = 1 << 0,
	TCP_RECV_OOB = 1 << 1,
	TCP_RECV_TRUNC = 1 << 2, /* discard */
	TCP_RECV_STAMP = 1 << 3, /* sets tcp_stack.read_stamp */
};

/*
 * Copy received bytes out; stops at the urgent mark as Linux does. @offset: with PEEK, where to begin
 * (SO_PEEK_OFF). Returns bytes, 0 at the peer's end, or -EAGAIN, -ENOTCONN, -EINVAL (OOB: none), or the
 * pending error, which is thereby taken. A window that opens is announced.
 */
ssize_t tcp_recv(struct tcp_conn *conn, const struct ip_env *env, const struct iovec *iov, int n,
		 uint32_t flags, uint32_t offset, fs_ns now);

/* In place: the oldest frame of received bytes, NULL = none. It counts against the window until
 * tcp_release() takes it back; in any order, also after the connection ended, but before tcp_close(). */
struct fbuf *tcp_hold(struct tcp_conn *conn);
/* The same, of at most @parts (1 or more) chunks: what is behind them is the oldest frame then. */
struct fbuf *tcp_hold_some(struct tcp_conn *conn, unsigned parts);
void tcp_release(struct tcp_conn *conn, const struct ip_env *env, struct fbuf *frame, fs_ns now);

/* Shut a direction (bits). 0 or -ENOTCONN. */
enum tcp_shut { TCP_SHUT_RD = 1 << 0, TCP_SHUT_WR = 1 << 1 };
int tcp_shutdown(struct tcp_conn *conn, const struct ip_env *env, uint32_t how, fs_ns now);

/* The user is done with it: FIN after what is queued, or RST if received bytes were not read (RFC 9293 3.6.1,
 * SHLD-3) or linger says 0. The pointer is the engine's from here on. */
void tcp_close(struct tcp_conn *conn, const struct ip_env *env, fs_ns now);

/* The same with RST at once and everything queued thrown away. Also after tcp_close(), by whoever knows that the
 * connection is not gone. */
void tcp_abort(struct tcp_conn *conn, const struct ip_env *env, fs_ns now);

/* Levels, enum tcp_ready. */
uint32_t tcp_ready(const struct tcp_conn *conn);

/* The pending error, positive, and none any more; 0 = none. */
int tcp_take_error(struct tcp_conn *conn);

/* SO_ERROR: the same, or else what the network said since the last ACK, which ended nothing (MUST-56, as Linux). */
int tcp_take_any_error(struct tcp_conn *conn);

/* SIOCINQ: bytes that can be read now. SIOCOUTQ: not acked yet, FIN included. SIOCOUTQNSD: not sent yet.
 * SIOCATMARK: the next byte read is the urgent one. */
uint32_t tcp_inq(const struct tcp_conn *conn);
uint32_t tcp_outq(const struct tcp_conn *conn);
uint32_t tcp_outq_unsent(const struct tcp_conn *conn);
bool tcp_at_mark(const struct tcp_conn *conn);

/* --- options (option.c) --- */

/* Changes @options of a live connection and does what a change asks for at once: uncorking and TCP_NODELAY push,
 * keep-alive starts or stops, buffers move the window. -EINVAL as the kernel's setsockopt. */
int tcp_set_options(struct tcp_conn *conn, const struct ip_env *env, const struct tcp_options *options, fs_ns now);
const struct tcp_options *tcp_get_options(const struct tcp_conn *conn);
void tcp_options_default(struct tcp_options *options, const struct tcp_config *config);

/* TCP_QUICKACK: ack at once from here on, or delay again. */
void tcp_quickack(struct tcp_conn *conn, const struct ip_env *env, bool on, fs_ns now);

/* TCP_INFO. Layout and meaning are Linux's (struct tcp_info of linux/tcp.h); filled up to @len bytes, which may be
 * fewer than there are; returns the bytes filled. */
size_t tcp_info(const struct tcp_conn *conn, void *to, size_t len, fs_ns now);

/* The same of a listener: state, connections that wait for accept (unacked) and how many may (sacked). */
size_t tcp_listener_info(const struct tcp_listener *listener, void *to, size_t len);

/* --- listeners (listen.c) --- */

/* Begin to listen, or change the backlog. 0 or -EADDRINUSE (another listener has it, not both reuseport). */
int tcp_listen(struct tcp_stack *tcp, struct tcp_listener *listener, uint32_t backlog);

/* The oldest complete connection, now the caller's; NULL = none. */
struct tcp_conn *tcp_accept(struct tcp_listener *listener);

/* What tcp_accept() just gave is the oldest again: it was not wanted after all. */
void tcp_accept_undo(struct tcp_listener *listener, struct tcp_conn *c);

/* Take no more: half-open ones are forgotten, complete ones wait for tcp_accept() as before. Until tcp_unlisten(). */
void tcp_retire(struct tcp_listener *listener);

/* Stop: half-open ones are forgotten, complete ones reset. The memory is the caller's again. */
void tcp_unlisten(struct tcp_listener *listener, const struct ip_env *env, fs_ns now);

/* --- moving a connection (export.c), DESIGN D13 --- */

struct tcp_snapshot;

/*
 * Everything about a connection that TCP_REPAIR can carry, for another engine or the kernel. tcp_export() copies
 * the state and freezes the connection: it answers nothing any more; then tcp_export_queue() copies bytes of
 * its queues, and tcp_discard() frees it without a word on the wire. 0 or -EINVAL (a state that cannot move).
 */
int tcp_export(struct tcp_conn *conn, struct tcp_snapshot *to, fs_ns now);

/* The same of one that both sides ended, for the kernel: CLOSING, with our FIN acknowledged. -EINVAL where an error
 * ended it. */
int tcp_export_ended(struct tcp_conn *conn, struct tcp_snapshot *to, fs_ns now);

/* The oldest half-open connection of @listener, for the kernel, in SYN-RECEIVED. It is forgotten here. False: there
 * is none. */
bool tcp_export_request(struct tcp_listener *listener, struct tcp_snapshot *to);

enum tcp_queue { TCP_QUEUE_SEND, TCP_QUEUE_RECEIVE };
uint32_t tcp_export_queue(const struct tcp_conn *conn, enum tcp_queue which, uint32_t offset, void *to, uint32_t len);
void tcp_discard(struct tcp_conn *conn, const struct ip_env *env);

/* The other way round; then the queues' bytes in order with tcp_import_queue() (bytes taken or -ENOMEM), then
 * tcp_thaw(), from which on it lives. NULL: no memory, or the 4-tuple is taken. */
struct tcp_conn *tcp_import(struct tcp_stack *tcp, const struct ip_env *env, const struct tcp_snapshot *from,
			    void *user, fs_ns now);
int tcp_import_queue(struct tcp_conn *conn, enum tcp_queue which, const void *from, uint32_t len, fs_ns now);
void tcp_thaw(struct tcp_conn *conn, const struct ip_env *env, fs_ns now);

#endif
