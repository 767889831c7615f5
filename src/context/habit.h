/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * habit.h - how many calls in a row send something for one socket, as far as the thread's last ones tell (decision
 * 0034).
 *
 * A web server answers with two calls, the header and the file, or with three: then it closes the connection. A client
 * that makes a connection for each request closes one and begins the next. What such calls send could leave together,
 * if only one knew at the first that others follow. Threads do the same again and again, so: the number is what it
 * was the last HABIT_PROVEN times that it began with the same kind of call, the least of them. Once fewer, and no more
 * than that are expected; once a pause between the first and the last, and none, until there were as many again.
 *
 * Does not: read a clock, send, or hold anything. Threads: state of one thread. Errors: none.
 */
#ifndef FSOCK_CONTEXT_HABIT_H
#define FSOCK_CONTEXT_HABIT_H

#include <stdbool.h>
#include <stdint.h>

#include "base/clock.h"

enum {
	HABIT_PROVEN = 8,
	HABIT_MAX = 8, /* calls that are counted */
};

#define HABIT_PAUSE_NS FS_US(30) /* between the first and the last call */

/* What sends. A connect after the end of another connection goes on with that. */
enum habit_word { HABIT_DATA, HABIT_END, HABIT_CONNECT, HABIT_WORDS };

/* All zero: a thread that has sent nothing. */
struct habit {
	struct {
		uint8_t usual; /* calls in a row that begin so; 0 and 1 = no others are expected */
		uint8_t least; /* of those that were more, which are... */
		uint8_t more;  /* ... so many, without an exception */
	} after[HABIT_WORDS];
	uint8_t said;  /* calls of the row under way */
	uint8_t first; /* the kind of the first of them */
	uint8_t last;
	uint8_t left;  /* so many more are expected */
	const void *who; /* the socket they are for; never looked into */
	fs_ns began, ended; /* when the first and the last were made */
};

/* The thread makes such a call for socket @who. True: others are expected. */
bool habit_say(struct habit *habit, enum habit_word word, const void *who, fs_ns now);

/* The thread has nothing more to say: it waits. */
void habit_end(struct habit *habit);

#endif
