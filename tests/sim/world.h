/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * world.h - the simulated world: its clock, its events, its chance, its memory, and how it fails.
 *
 * A run is a function of its seed: no wall clock, no threads, no order that depends on addresses. What
 * happens is hashed, so that two runs of one seed can be compared.
 *
 * Does:     virtual time, a heap of events (those of one time in the order they were added), memory that is freed
 *           with the world, failing with a message that says how to come back.
 * Does not: know hosts or frames (host.h).
 * Threads:  one. One world at a time has assertions and allocation failures directed to it.
 * Errors:   none: whatever goes wrong in the simulator itself ends the program.
 */
#ifndef FSOCK_TESTS_SIM_WORLD_H
#define FSOCK_TESTS_SIM_WORLD_H

#include <setjmp.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/clock.h"
#include "random.h"

struct fbuf;
struct sim_world;
struct sim_host;
struct sim_link;
struct sim_pcap;

enum {
	SIM_MAX_HOSTS = 20,
	SIM_MAX_LINKS = 20,
	SIM_MESSAGE = 600,
};

typedef void sim_event_fn(struct sim_world *w, void *object, uint64_t argument);

struct sim_event {
	fs_ns at;
	uint64_t order; /* of addition: breaks ties */
	sim_event_fn *fn;
	void *object;
	uint64_t argument;
};

/* Which allocations of hosts fail (alloc.c): those counted from @first on, @count of them. */
struct sim_alloc_plan {
	uint64_t seen;	/* so far */
	uint64_t first; /* 1 = the first one; 0 = none fails */
	uint64_t count;
	uint64_t failed;
};

/* What the layer above the hosts wants to know. NULL = nothing. */
struct sim_watch {
	/* @host is about to send a frame by @port, or has received one (and not looked at it). */
	void (*sending)(struct sim_world *w, struct sim_host *host, unsigned port, const struct fbuf *frame);
	void (*received)(struct sim_world *w, struct sim_host *host, unsigned port, const struct fbuf *frame);
	/* Which engine gets it, where a host has a sibling. */
	struct sim_host *(*steer)(struct sim_world *w, struct sim_host *host, const struct fbuf *frame);
	/* Frames and timers were worked off: let programs run. */
	void (*programs)(struct sim_world *w, struct sim_host *host);
	/* Change a frame on its way out. */
	void (*mangle)(struct sim_world *w, struct sim_host *host, unsigned port, struct fbuf *frame);
	/* @host rests: look at it. */
	void (*resting)(struct sim_world *w, struct sim_host *host);
};

struct sim_world {
	fs_ns now, began;
	uint64_t seed;
	uint64_t steps; /* taken: "event number" in messages */
	uint64_t hash;	/* of everything that happened */
	struct sim_event *heap;
	size_t n_events, heap_room;
	uint64_t order;
	struct sim_host *host[SIM_MAX_HOSTS];
	unsigned n_hosts;
	struct sim_link *link[SIM_MAX_LINKS];
	unsigned n_links;
	struct sim_watch watch;
	void *above;		/* the layer above: struct sim_play */
	void *trouble;		/* trouble.c */
	void *more;		/* a scenario's */
	struct sim_pcap *pcap;	/* NULL = nobody wants it */
	struct sim_alloc_plan alloc;
	struct sim_memory *memory;
	uint8_t poison;		/* fresh memory is filled with it */
	uint32_t max_steps;	/* at one instant: a loop that takes no time */
	uint32_t instant_steps;
	jmp_buf back;		/* set by sim_world_run() */
	char message[SIM_MESSAGE];
};

/* A world at time @start. */
struct sim_world *sim_world_create(uint64_t seed, fs_ns start, uint8_t poison);
void sim_world_destroy(struct sim_world *w);

/* Run @body; false: it failed, w->message says why. Assertions of the code under test end here, too. */
bool sim_world_run(struct sim_world *w, void (*body)(struct sim_world *w, void *argument), void *argument);

/* Run @body in a world of its own while @outer's own stops; it begins when that did. @outer fails with it, and says @what. */
void sim_world_within(struct sim_world *outer, uint64_t seed, const char *what,
		      void (*body)(struct sim_world *w, void *argument), void *argument);

/* It failed. Time, event number and the name of what is running are put in front. */
_Noreturn void sim_fail(struct sim_world *w, const char *format, ...) __attribute__((format(printf, 2, 3)));
#define SIM_CHECK(w, e, ...) ((e) ? (void)0 : sim_fail((w), #e ": " __VA_ARGS__))

/* Memory until the world ends. */
void *sim_alloc(struct sim_world *w, size_t size);  /* poisoned */
void *sim_zalloc(struct sim_world *w, size_t size); /* zero */

/* Call @fn at @at (not in the past: then now, after what is due now already). */
void sim_at(struct sim_world *w, fs_ns at, sim_event_fn *fn, void *object, uint64_t argument);

/* Take the next step if it is due by @until; false: nothing is, and it is @until now. */
bool sim_step(struct sim_world *w, fs_ns until);

/* Put @value into the hash of what happened. */
static inline void sim_note(struct sim_world *w, uint64_t value);

/* Names a failure after what is at work, e.g. "h1 drive". */
extern const char *sim_doing;

/* inline definitions */

static inline void sim_note(struct sim_world *w, uint64_t value)
{
	w->hash = sim_mix(w->hash * 0x9e3779b97f4a7c15ULL + value);
}

#endif
