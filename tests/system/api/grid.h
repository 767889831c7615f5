/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * grid.h - a socket in each state there is, and every call on it: what the grid_*.c programs share beside stream.h.
 *
 * A case is one state. `it` is a socket in that state, without blocking; TRY() makes one call on it and prints one
 * line: what the call returned, errno, and for what the socket is ready afterwards by poll() and by an epoll set that
 * held it before. A state that the first call ends, an error that waits, is made anew for each TRY().
 */
#ifndef FST_GRID_H
#define FST_GRID_H

#include "stream.h"

enum {
	STATE_FIN_WAIT1 = 4,	/* of tcpi_state */
	STATE_FIN_WAIT2 = 5,
	STATE_CLOSE = 7,
	STATE_LAST_ACK = 9,
	CLOSED_FD = 190,		/* no descriptor has this number */
	GRID_DATA = 100,		/* bytes, or size of each of three datagrams, that wait in a state "with data" */
};

struct grid_state {
	const char *name;
	int (*make)(void);
	bool passing;		/* the first call ends it */
	bool touched;		/* fsock answers itself: memory out of reach is touched in the program (deviations.txt) */
};

/* The states of streams, of datagram sockets and of descriptors that are neither; a name of NULL ends a table. */
extern const struct grid_state grid_streams[], grid_datagrams[], grid_others[];

extern int it;
extern const struct grid_state *grid_now;

/* Make `it` a socket in the state @name of @table. */
void grid_enter(const struct grid_state *table, const char *name);

/* The same state again, by another socket where a call may have ended it. */
void grid_renew(void);
void grid_again(void);	/* in any case */
void grid_renew_for_flag(void);	/* of datagram sockets: a flag may leave one to the kernel */

/* No socket any more. */
void grid_leave(void);

/* From now on TRY() keeps the socket, also in a state that the first call ends; or no longer. */
void grid_once(bool on);

bool grid_is_datagram(void);

/* Print @text, what it returned, and what `it` is ready for. */
void grid_said(const char *text, long ret, int err);

#define TRY(expr) \
	do { \
		long grid_ret_; \
		grid_renew(); \
		errno = ERRNO_MARK; \
		grid_ret_ = (long)(expr); \
		grid_said(#expr, grid_ret_, errno); \
	} while (0)

/* @what with each bit of an int for `bit`, under the name @label. */
#define TRY_BITS(label, expr) \
	do { \
		char grid_name_[64]; \
		int shift_, bit; \
		for (shift_ = 0; shift_ < 32; shift_++) { \
			long grid_ret_; \
			bit = (int)(1u << shift_); \
			snprintf(grid_name_, sizeof(grid_name_), "%s %#x", label, (unsigned)bit); \
			grid_renew_for_flag(); \
			errno = ERRNO_MARK; \
			grid_ret_ = (long)(expr); \
			grid_said(grid_name_, grid_ret_, errno); \
		} \
	} while (0)

/* Memory nobody may touch. */
void *out_of_reach(void);

#endif
