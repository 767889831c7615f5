/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * alloc.h - allocations that fail by count.
 *
 * The linker puts these in front of the engine's allocators (meson.build: --wrap), so that the code under test is
 * the product's own, object by object.
 * Threads: one.
 */
#ifndef FSOCK_TESTS_SIM_ALLOC_H
#define FSOCK_TESTS_SIM_ALLOC_H

struct sim_alloc_plan;

/* Allocations are counted and fail according to @plan from here on; NULL = all succeed. Borrowed. */
void sim_alloc_direct(struct sim_alloc_plan *plan);

/* What the harness itself allocates meanwhile neither counts nor fails: its answer is handed back to leave(). */
struct sim_alloc_plan *sim_alloc_enter(void);
void sim_alloc_leave(struct sim_alloc_plan *plan);

#endif
