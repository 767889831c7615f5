/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * world.c - time, events, memory and failure of the simulated world.
 *
 * Does not know what an event means. The one file with state outside structs: which world runs, for
 * assertions that know of none.
 */
#include "world.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "alloc.h"
#include "base/err.h"
#include "host.h"
#include "pcap.h"

enum { MAX_STEPS_AT_ONCE = 200000 };

struct sim_memory {
	struct sim_memory *next;
	max_align_t bytes[];
};

static struct sim_world *running;
const char *sim_doing = "";

struct sim_world *sim_world_create(uint64_t seed, fs_ns start, uint8_t poison)
{
	struct sim_world *w = calloc(1, sizeof(*w));

	if (!w)
		abort();
	w->seed = seed;
	w->now = w->began = start;
	w->poison = poison;
	w->max_steps = MAX_STEPS_AT_ONCE;
	return w;
}

void sim_world_destroy(struct sim_world *w)
{
	while (w->memory) {
		struct sim_memory *m = w->memory;

		w->memory = m->next;
		free(m);
	}
	free(w->heap);
	free(w);
}

bool sim_world_run(struct sim_world *w, void (*body)(struct sim_world *w, void *argument), void *argument)
{
	volatile bool good = false;

	running = w;
	sim_alloc_direct(&w->alloc);
	sim_doing = "";
	if (setjmp(w->back) == 0) {
		body(w, argument);
		good = true;
	}
	sim_alloc_direct(NULL);
	running = NULL;
	return good;
}

void sim_world_within(struct sim_world *outer, uint64_t seed, const char *what,
		      void (*body)(struct sim_world *w, void *argument), void *argument)
{
	struct sim_world *w = sim_world_create(seed, outer->began, 0);
	char message[SIM_MESSAGE];
	bool good = sim_world_run(w, body, argument);

	memcpy(message, w->message, sizeof(message));
	sim_world_destroy(w);
	running = outer;
	sim_alloc_direct(&outer->alloc);
	if (!good)
		sim_fail(outer, "%s: %.400s", what, message);
}

void sim_fail(struct sim_world *w, const char *format, ...)
{
	va_list args;
	int n;

	n = snprintf(w->message, sizeof(w->message), "event %llu at %lld.%09lld s (%s): ",
		     (unsigned long long)w->steps, (long long)(w->now / FS_SEC(1)),
		     (long long)(w->now % FS_SEC(1)), sim_doing);
	va_start(args, format);
	vsnprintf(w->message + n, sizeof(w->message) - (size_t)n, format, args);
	va_end(args);
	if (running != w) {
		fprintf(stderr, "%s\n", w->message);
		abort();
	}
	longjmp(w->back, 1);
}

_Noreturn void fs_assert_failed(const char *expression, const char *file, int line)
{
	if (running)
		sim_fail(running, "%s:%d: %s does not hold", file, line, expression);
	fprintf(stderr, "%s:%d: %s does not hold\n", file, line, expression);
	abort();
}

/* --- memory --- */

static void *memory_get(struct sim_world *w, size_t size)
{
	struct sim_memory *m = malloc(sizeof(*m) + size + FS_CACHE_LINE);
	uintptr_t at;

	if (!m)
		abort();
	m->next = w->memory;
	w->memory = m;
	at = ((uintptr_t)m->bytes + FS_CACHE_LINE - 1) & ~(uintptr_t)(FS_CACHE_LINE - 1);
	return (void *)at;
}

void *sim_alloc(struct sim_world *w, size_t size)
{
	void *p = memory_get(w, size);

	/* What malloc() maps freshly is zero: nothing to write, nothing to touch. */
	if (w->poison)
		memset(p, w->poison, size);
	return p;
}

void *sim_zalloc(struct sim_world *w, size_t size)
{
	void *p = memory_get(w, size);

	memset(p, 0, size);
	return p;
}

/* --- events --- */

static bool is_before(const struct sim_event *a, const struct sim_event *b)
{
	return a->at != b->at ? a->at < b->at : a->order < b->order;
}

void sim_at(struct sim_world *w, fs_ns at, sim_event_fn *fn, void *object, uint64_t argument)
{
	struct sim_event e = { FS_MAX(at, w->now), w->order++, fn, object, argument };
	size_t i;

	if (w->n_events == w->heap_room) {
		w->heap_room = w->heap_room ? w->heap_room * 2 : 64;
		w->heap = realloc(w->heap, w->heap_room * sizeof(*w->heap));
		if (!w->heap)
			abort();
	}
	for (i = w->n_events++; i > 0 && is_before(&e, &w->heap[(i - 1) / 2]); i = (i - 1) / 2)
		w->heap[i] = w->heap[(i - 1) / 2];
	w->heap[i] = e;
}

static struct sim_event take_first(struct sim_world *w)
{
	struct sim_event first = w->heap[0], last = w->heap[--w->n_events];
	size_t i = 0;

	for (;;) {
		size_t child = 2 * i + 1;

		if (child >= w->n_events)
			break;
		if (child + 1 < w->n_events && is_before(&w->heap[child + 1], &w->heap[child]))
			child++;
		if (!is_before(&w->heap[child], &last))
			break;
		w->heap[i] = w->heap[child];
		i = child;
	}
	if (w->n_events > 0)
		w->heap[i] = last;
	return first;
}

static void set_time(struct sim_world *w, fs_ns now)
{
	if (now > w->now) {
		w->now = now;
		w->instant_steps = 0;
	}
	for (unsigned i = 0; i < w->n_links; i++)
		sim_link_advance(w->link[i], w->now);
}

/* Events come before hosts, hosts in their order: what is due at once happens in one order only. */
bool sim_step(struct sim_world *w, fs_ns until)
{
	fs_ns at = w->n_events > 0 ? w->heap[0].at : FS_NEVER;
	struct sim_host *host = NULL;

	for (unsigned i = 0; i < w->n_hosts; i++) {
		fs_ns due = sim_host_due(w->host[i]);

		if (due < at) {
			at = due;
			host = w->host[i];
		}
	}
	if (at > until || at == FS_NEVER) {
		set_time(w, until == FS_NEVER ? w->now : until);
		return false;
	}
	set_time(w, at);
	w->steps++;
	if (++w->instant_steps > w->max_steps)
		sim_fail(w, "%u steps and no time passed", w->instant_steps);
	sim_note(w, (uint64_t)w->now);
	if (host) {
		sim_host_drive(host);
	} else {
		struct sim_event e = take_first(w);

		e.fn(w, e.object, e.argument);
	}
	sim_doing = "";
	return true;
}
