/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * script.h - a packet script that is being run: one engine, flows, variables, where we are.
 *
 * The language is described in README.md of this folder; statements are functions of struct script and the words
 * of their line, in tables of segment.c, call.c and script.c.
 *
 * Does not: read files, print (run_script.c).
 * Threads:  one.
 * Errors:   a statement returns false after script_fail(); the script ends there.
 */
#ifndef FSOCK_TESTS_PACKET_SCRIPT_H
#define FSOCK_TESTS_PACKET_SCRIPT_H

#include <stdbool.h>
#include <stdint.h>

#include "base/seq.h"
#include "rig.h"
#include "value.h"

enum { SCRIPT_WORDS = 40, SCRIPT_FLOWS = 24, SCRIPT_LISTENERS = 4, SCRIPT_LINE = 512 };

/* One 4-tuple: ours and what the script plays. Numbers of a script are relative to the two initial ones. */
struct flow {
	char name[VALUE_NAME];
	uint16_t local_port, remote_port;
	bool connects;		/* we are the client */
	struct tcp_conn *conn;	/* NULL = none, or closed */
	struct tcp_options options;
	struct tcp_listen_options listening;
	bool has_options;	/* `set` was used */
	bool iss_known, ts_known;
	tcp_seq iss, peer_iss;
	uint32_t ts_base;	/* our timestamp at the script's beginning */
	bool our_ts, peer_ts;	/* our SYN, the peer's SYN had the option: segments in carry it by themselves */
	uint32_t peer_ts_base;
	uint32_t last_ts;	/* our last timestamp, to be echoed */
	uint16_t window;	/* what the peer announced last, as in the field */
	uint32_t written, read;	/* positions in the streams: 1 is the first byte */
	uint32_t edges;		/* since `events` looked last */
};

struct script {
	struct rig *rig; /* NULL until the first statement that is no setting */
	struct rig_config config;
	bool v6;
	struct values values;
	struct flow flow[SCRIPT_FLOWS];
	unsigned n_flows;
	struct flow *current;
	struct tcp_listener listener[SCRIPT_LISTENERS];
	unsigned n_listeners;
	uint32_t incoming; /* times the engine told of a connection to accept, since `incoming` looked last */
	uint64_t counted[FS_CTR_N]; /* as `counter` saw them last */
	bool skip;	   /* the script is not for this family */
	const char *text;  /* the line being run */
	char message[2048];
};

struct words {
	char *word[SCRIPT_WORDS];
	unsigned n, at; /* at: the next one to look at */
};

struct statement {
	const char *name;
	bool (*run)(struct script *s, struct words *w);
	bool setting; /* before the engine exists */
};

void script_begin(struct script *s, bool v6);

/* Run one line; false: s->message says why not. */
bool script_line(struct script *s, const char *line);

/* All lines were run: nothing may be left over, and nothing leaks. */
bool script_end(struct script *s);

/* It failed earlier: free everything. */
void script_drop(struct script *s);

/* --- for statements --- */

bool script_fail(struct script *s, const char *format, ...) __attribute__((format(printf, 2, 3)));

/* The next word, or NULL. */
char *words_next(struct words *w);
/* Is it @word? Then it is taken. */
bool words_take(struct words *w, const char *word);
/* The next word is a number. */
bool words_number(struct script *s, struct words *w, int64_t *to);

/* "= RESULT" at the end, @fallback without: a number, or an error as its negative. */
bool words_result(struct script *s, struct words *w, int64_t fallback, int64_t *to);

/* The address @text of the script's family. */
bool script_address(struct script *s, const char *text, struct ip_addr *to);

/* Everything sent so far has been expected. */
bool script_quiet(struct script *s);

/* Byte @position of a stream; @salt makes another one of it. */
static inline uint8_t script_byte(uint32_t position, uint8_t salt)
{
	return (uint8_t)(position * 7 + (position >> 8) * 13 + 3 + salt);
}

static inline int64_t script_ms(const struct script *s)
{
	return (s->rig->now - s->rig->start) / FS_MS(1);
}

/* --- segment.c --- */

extern const struct statement segment_statements[];

/* A segment in the script's notation. Static. */
const char *segment_text(const struct flow *flow, const struct rig_out *o);

/* The flow @o belongs to (NULL = none); its numbers become known by it. */
struct flow *segment_flow(struct script *s, const struct rig_out *o);

/* --- call.c --- */

extern const struct statement call_statements[];

/* Close what scripts leave open. */
void call_finish(struct script *s);

#endif
