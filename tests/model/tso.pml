/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * tso.pml - memory in which a processor's stores wait before others see them, and its loads overtake them: what a full
 * barrier is for. Each of two processors, 0 and 1, has a queue of stores.
 *
 * A processor here never loads what it has itself stored and what may still wait: no forwarding is modelled.
 */
#define STORES 3

byte mem[WORDS];
chan waiting0 = [STORES] of { byte, byte };
chan waiting1 = [STORES] of { byte, byte };

#define STORE(cpu, word, value) waiting##cpu ! word, value
#define LOAD(word)		mem[word]
#define BARRIER(cpu)		(len(waiting##cpu) == 0)
/* An exchange is a barrier, too. */
#define EXCHANGE(cpu, word, value, was) atomic { len(waiting##cpu) == 0 -> was = mem[word]; mem[word] = value }

/* The stores of a processor come to memory in order, some time. */
active proctype memory0()
{
	byte word, value;
end:
	do
	:: atomic { waiting0 ? word, value -> mem[word] = value }
	od
}

active proctype memory1()
{
	byte word, value;
end:
	do
	:: atomic { waiting1 ? word, value -> mem[word] = value }
	od
}
