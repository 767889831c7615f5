/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * play.h - what happens in a simulated world: connections between programs on its hosts.
 *
 * A flow is a connection to be made, an end is a program's view of it: what it sends, how it reads, how it
 * closes. Programs learn of readiness by events only, as with EPOLLET: an edge that is missing lets them starve,
 * which shows.
 *
 * Does:     connect, accept, send, receive, compare what arrives with what must arrive, close, and say when all is over.
 * Does not: judge engines (check.h), choose behaviours (draw.h).
 * Threads:  one.
 * Errors:   sim_fail().
 */
#ifndef FSOCK_TESTS_SIM_PLAY_H
#define FSOCK_TESTS_SIM_PLAY_H

#include <stdbool.h>
#include <stdint.h>

#include "host.h"
#include "tcp/tcp.h"
#include "world.h"

enum {
	SIM_PORT = 7000,	 /* of the first listener */
	SIM_CLIENT_PORT = 20000, /* of the first client */
	SIM_MAX_LISTENERS = 8,
	SIM_MAP = 4096,
	SIM_HELD = 8,
	SIM_PATIENCE_S = 700, /* to finish on good links: twice the longest timeout and the handshake's */
};

/*
 * How a program ends its half.
 *
 * SHUT     shuts writing when all is sent, reads to the end, closes.
 * PASSIVE  waits for the peer's end first.
 * CLOSE    closes as soon as all is handed to send, whatever still comes.
 * RESET    the same with linger 0.
 * ABORT    aborts once so many bytes have moved.
 */
enum sim_ending { SIM_END_SHUT, SIM_END_PASSIVE, SIM_END_CLOSE, SIM_END_RESET, SIM_END_ABORT };

/* What a program does. Zero: sends nothing, reads all at once, SHUT. */
struct sim_plan {
	uint64_t send;		 /* bytes */
	uint32_t write_min, write_max; /* bytes a call; 0 = 1 .. 65536 */
	fs_ns write_gap;	 /* between calls; 0 = as fast as it is taken */
	uint32_t read_max;	 /* bytes a call; 0 = 65536 */
	fs_ns read_gap;
	uint64_t pause_after;	 /* bytes received, then nothing is read for */
	fs_ns pause_for;	 /* so long; 0 = never */
	fs_ns stay_for;		 /* SHUT, PASSIVE: between both ends and close() */
	uint64_t abort_after;	 /* ABORT: bytes moved in both directions */
	uint32_t urgent_every;	 /* every so many bytes one is urgent; 0 = none */
	uint8_t ending;		 /* enum sim_ending */
	uint8_t more_percent;	 /* of writes say that more follows */
	uint8_t peek_percent;	 /* of reads look first */
	uint8_t skip_percent;	 /* of reads throw bytes away */
	bool in_place;		 /* reads frames where they lie */
	bool fiddles;		 /* changes options now and then */
	bool by_hand;		 /* does nothing by itself: sim_program_call() */
	struct tcp_options options;
	bool use_options;
};

/* What a check remembers of an end between two looks; check.c. */
struct sim_track {
	bool seen;
	uint8_t state;
	tcp_seq rcv_nxt, copied_seq, snd_una, snd_nxt;
	tcp_seq right_edge;	/* announced */
	tcp_seq send_edge;	/* highest the peer ever allowed */
	tcp_seq high_sent;	/* end of the highest data sent */
	bool sent_any, edge_known; /* send_edge says something */
	uint32_t level;		/* enum tcp_ready */
	uint32_t told;		/* edges reported since the last look */
	tcp_seq acked_out;	/* acknowledgement number sent last */
	bool acked_any;
	uint32_t bare_acks;	/* in a row, on this end's side */
	fs_ns bare_at;
	uint64_t looks;
};

struct sim_flow;

struct sim_end {
	struct sim_flow *flow;
	struct sim_end *peer;
	struct sim_end *map_next;
	struct sim_end *woken_next;
	struct sim_host *host;	/* whose engine has it */
	struct tcp_conn *conn;	/* NULL = not yet, or closed */
	struct sim_plan plan;
	bool server, woken, mapped;
	uint16_t local_port, remote_port;
	struct ip_addr local, remote;
	tcp_seq iss;		/* a client's */
	uint64_t key;		/* of what it sends */
	uint64_t sent, received;
	fs_ns received_at; /* the last of it */
	uint64_t next_urgent;
	uint32_t edges;
	bool readable, writable; /* as far as the program knows */
	bool connected, eof, shut, done, paused;
	bool frozen;		/* its connection is on the move: no calls */
	fs_ns reads_at, writes_at; /* not before */
	fs_ns leaves_at;	/* close() not before; 0 = not known yet */
	fs_ns wakes_at;		/* an event is under way for then; FS_NEVER = none */
	int error;		/* positive */
	uint32_t connect_tries;
	struct fbuf *held[SIM_HELD];
	unsigned n_held;
	struct sim_random random;
	struct sim_track track;
};

struct sim_flow {
	struct sim_flow *next;
	unsigned index;
	bool v6;
	bool orderly;	/* everything must arrive both ways, and no error */
	bool delivers;	/* everything the client sends must arrive */
	bool mutual;	/* both ends connect */
	bool refused;	/* nobody listens */
	fs_ns start;
	struct sim_end end[2]; /* client, server */
};

struct sim_listening {
	struct tcp_listener listener;
	struct sim_host *host;
	fs_ns accept_delay;
	bool pending; /* an accept is under way */
};

/* All that is played in a world; sim_world.above. */
struct sim_play {
	struct sim_world *world;
	struct sim_flow *flows, **flows_tail;
	unsigned n_flows, n_done; /* n_done: both ends */
	struct sim_listening listening[SIM_MAX_LISTENERS];
	unsigned n_listening;
	struct sim_end *map[SIM_MAP];
	struct sim_end *woken[SIM_MAX_HOSTS], **woken_tail[SIM_MAX_HOSTS];
	struct sim_random random;
	bool harsh;	 /* the network may kill a connection: its errors are no failure */
	bool spoiled;	 /* forged segments may have been taken for the peer's: streams are not compared any more */
	bool starved;	 /* memory is made to fail: calls may say so, connections may die of it */
	uint64_t strays; /* connections accepted that nobody began: late duplicates */
	uint64_t bytes;	 /* received and right */
	uint16_t next_port;
	uint16_t port_span; /* client ports are reused after so many; 0 = 30000 */
};

/* Connected to @w: w->watch, w->above. */
struct sim_play *sim_play_create(struct sim_world *w);

/* @host listens on @port with these options (NULL = the stack's). */
struct sim_listening *sim_play_listen(struct sim_play *play, struct sim_host *host, uint16_t port, uint32_t backlog,
				      const struct tcp_options *options, fs_ns accept_delay);

/* From @client to @server's @port at @start: a client that behaves as @plan[0] and a server as @plan[1]. */
struct sim_flow *sim_play_flow(struct sim_play *play, struct sim_host *client, struct sim_host *server, uint16_t port,
			       const struct sim_plan plan[2], fs_ns start);

/* The flow's server connects, too, at the same time: from its port to @port of the client. */
void sim_play_mutual(struct sim_play *play, struct sim_flow *flow, uint16_t port);

/* Stop listening everywhere. */
void sim_play_unlisten(struct sim_play *play);

/* Run until every flow is over or it is @until. True: they are. */
bool sim_play_run(struct sim_play *play, fs_ns until);

/* Everything is over and closed: run until engines have forgotten all, and check that nothing is left. */
void sim_play_finish(struct sim_play *play);

/* The end whose connection this is; NULL = none. */
struct sim_end *sim_play_find(struct sim_play *play, const struct sim_host *host, const struct ip_addr *remote,
			      uint16_t local_port, uint16_t remote_port);

/* Sum of @count over connections of @host which ended and whose programs have them still. */
uint32_t sim_play_closed_chunks(const struct sim_play *play, const struct sim_host *host, const struct fbuf_pool *pool,
				uint32_t (*count)(const struct tcp_conn *c, const struct fbuf_pool *pool));

/* What flow and side an end is, for messages: "flow 3 client". Valid until the next call. */
const char *sim_end_name(const struct sim_end *end);

/* The program runs at @at, or when an event comes. */
void sim_end_wake_at(struct sim_end *end, fs_ns at);

/* The connection @conn of @host is this end's from now on (also after it moved). */
void sim_end_adopt(struct sim_end *end, struct sim_host *host, struct tcp_conn *conn);

/* The program is done with it. */
void sim_end_finish(struct sim_end *end);

/* --- callbacks of engines: tcp_ops --- */
void sim_play_event(void *context, struct tcp_conn *conn, uint32_t edges);
void sim_play_incoming(void *context, struct tcp_listener *listener);
void sim_play_released(void *context, struct tcp_conn *conn, void *user);

/* --- program.c: one turn of an end's program --- */
void sim_program_run(struct sim_end *end);

/* One call by hand: @what chooses which. */
void sim_program_call(struct sim_end *end, uint8_t what, uint16_t argument);

/* Its user aborts it. */
void sim_program_kill(struct sim_end *end);

#endif
