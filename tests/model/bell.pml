/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * bell.pml - a reader that sleeps is told of every byte: src/local/bell.h as stream.c and link.c use it.
 *
 * Two flags, one behind the other. The reader asks for a message about the bytes of its connection (reader_waits),
 * then, with nothing else to do, for the doorbell when there is a message (asleep). Whoever loses a wake-up ends in a
 * state in which the reader sleeps for ever, which spin reports.
 *
 * Variants that must fail: -DNO_BARRIER_WRITER, -DNO_BARRIER_READER, -DNO_LOOK_BYTES, -DNO_LOOK_MESSAGES.
 */
#define WORDS	  4
#define HEAD	  0
#define MESSAGES  1
#define READER_WAITS 2
#define ASLEEP	  3
#include "tso.pml"

#ifndef BYTES
#define BYTES 3
#endif

byte doorbell; /* an eventfd: what the kernel does is in order */

/* local_bell_due() */
inline due(flag, is_due)
{
	byte was;

	is_due = false;
#ifndef NO_BARRIER_WRITER
	BARRIER(0);
#endif
	if
	:: LOAD(flag) -> EXCHANGE(0, flag, 0, was); is_due = was
	:: else
	fi
}

active proctype writer()
{
	byte head, messages;
	bool tells, rings;

	do
	:: head < BYTES ->
		head++;
		STORE(0, HEAD, head);
		due(READER_WAITS, tells);
		if
		:: tells ->
			messages++;
			STORE(0, MESSAGES, messages);
			due(ASLEEP, rings);
			if
			:: rings -> doorbell = 1
			:: else
			fi
		:: else
		fi
	:: else -> break
	od
}

/* local_bell_arm() */
inline arm(flag)
{
	STORE(1, flag, 1);
#ifndef NO_BARRIER_READER
	BARRIER(1)
#endif
}

active proctype reader()
{
	byte pos, taken, seen;
	bool asked;

	do
	:: pos == BYTES -> break
	:: else ->
		/* local_link_poll() */
		seen = LOAD(MESSAGES);
		if
		:: seen != taken -> taken = seen; asked = false
		:: else
		fi;
		/* local_recv(), else local_conn_wait() */
		if
		:: !asked ->
			seen = LOAD(HEAD);
			if
			:: seen != pos -> pos = seen
			:: else ->
				arm(READER_WAITS);
				asked = true;
#ifndef NO_LOOK_BYTES
				seen = LOAD(HEAD);
				if
				:: seen != pos -> asked = false
				:: else
				fi
#endif
			fi
		/* local_link_arm(), another look, and the sleep */
		:: else ->
			arm(ASLEEP);
			seen = taken;
#ifndef NO_LOOK_MESSAGES
			seen = LOAD(MESSAGES);
#endif
			if
			:: seen == taken -> doorbell == 1 -> doorbell = 0
			:: else
			fi
		fi
	od
}
