/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * room.pml - a writer that finds a ring full is told of room: writer_waits and tail of src/local/stream.c.
 *
 * The reader shows where it is after a quarter of the ring, or when it sees that the writer may be told; it looks for
 * the writer's flag with a barrier only then. The writer asks for half. A reader that has taken all and rests may have
 * kept a quarter to itself: that this makes nobody wait is what is shown here. Numbers are of a ring of eight.
 *
 * Variants that must fail: -DNO_BARRIER_WRITER, -DNO_BARRIER_READER, -DNO_LOOK, -DSHOWN=9 (the reader keeps the whole
 * ring to itself, unless it sees the flag).
 */
#define WORDS	     3
#define HEAD	     0
#define TAIL	     1
#define WRITER_WAITS 2 /* the tail that it waits for, and one; 0 = it does not */
#include "tso.pml"

#define SIZE  8
#ifndef BYTES
#define BYTES 20
#endif
#ifndef SHOWN
#define SHOWN 2
#endif

byte doorbell;

/* local_tx_put(), and local_tx_wait() where there is no room. */
active proctype writer()
{
	byte head, tail;

	do
	:: head == BYTES -> break
	:: head < BYTES && head - tail < SIZE ->
		head++;
		STORE(0, HEAD, head)
	:: head < BYTES && head - tail == SIZE ->
		tail = LOAD(TAIL);
		if
		:: head - tail == SIZE ->
			STORE(0, WRITER_WAITS, head - SIZE / 2 + 1);
#ifndef NO_BARRIER_WRITER
			BARRIER(0);
#endif
#ifndef NO_LOOK
			tail = LOAD(TAIL);
#endif
			if
			:: tail < head - SIZE / 2 ->
				doorbell == 1 -> doorbell = 0;
				tail = LOAD(TAIL)
			:: else
			fi
		:: else
		fi
	od
}

/* local_rx_pass(), and local_rx_give_back(). */
active proctype reader()
{
	byte pos, shown, head, target, was;

	do
	:: pos == BYTES -> break
	:: else ->
		(LOAD(HEAD) != pos) -> head = LOAD(HEAD);
		if
		:: pos = head /* all of it */
		:: pos++
		fi;
		target = LOAD(WRITER_WAITS);
		if
		:: pos - shown >= SHOWN || (target != 0 && pos >= target - 1) ->
			STORE(1, TAIL, pos);
			shown = pos;
#ifndef NO_BARRIER_READER
			BARRIER(1);
#endif
			target = LOAD(WRITER_WAITS);
			if
			:: target != 0 && pos >= target - 1 ->
				EXCHANGE(1, WRITER_WAITS, 0, was);
				if
				:: was -> doorbell = 1
				:: else
				fi
			:: else
			fi
		:: else
		fi
	od
}
