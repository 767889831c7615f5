/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * barrier.h - the only place with memory ordering (style rule 22).
 *
 * Words shared between threads or processes are plain integers or pointers; every access to them goes
 * through these wrappers, and each use says what must be seen before what. Wrappers evaluate their
 * arguments once.
 *
 * Does not: lock, wait or spin.
 * Threads:  any.
 */
#ifndef FSOCK_BASE_BARRIER_H
#define FSOCK_BASE_BARRIER_H

/* Value of *p, with no order towards other words. */
#define fs_load_relaxed(p) __atomic_load_n((p), __ATOMIC_RELAXED)
#define fs_store_relaxed(p, v) __atomic_store_n((p), (v), __ATOMIC_RELAXED)

/* What the writer stored before its release is visible after an acquire that saw it. */
#define fs_load_acquire(p) __atomic_load_n((p), __ATOMIC_ACQUIRE)
#define fs_store_release(p, v) __atomic_store_n((p), (v), __ATOMIC_RELEASE)

/* Former value; acquire and release at once. */
#define fs_exchange(p, v) __atomic_exchange_n((p), (v), __ATOMIC_ACQ_REL)
#define fs_fetch_add(p, v) __atomic_fetch_add((p), (v), __ATOMIC_ACQ_REL)
#define fs_fetch_sub(p, v) __atomic_fetch_sub((p), (v), __ATOMIC_ACQ_REL)
#define fs_fetch_or(p, v) __atomic_fetch_or((p), (v), __ATOMIC_ACQ_REL)
#define fs_fetch_and(p, v) __atomic_fetch_and((p), (v), __ATOMIC_ACQ_REL)

/* Store @v if *p still is *expected, else put the value found in *expected. True when stored. */
#define fs_compare_exchange(p, expected, v)                                                        \
	__atomic_compare_exchange_n((p), (expected), (v), 0, __ATOMIC_ACQ_REL, __ATOMIC_ACQUIRE)

/*
 * Orders an earlier store before a later load, which acquire and release do not. Needed where two
 * sides each store a flag and then look at the other's: "set sleeping, look again, sleep" (DESIGN D8).
 */
#if defined(__x86_64__)
/* A locked operation on memory we own anyway: what compilers make of a fence too, but gcc refuses
 * fences in ThreadSanitizer builds. */
#define fs_full_barrier() __asm__ __volatile__("lock orl $0, (%%rsp)" ::: "memory", "cc")
#else
#define fs_full_barrier() __atomic_thread_fence(__ATOMIC_SEQ_CST)
#endif

/*
 * Keeps the compiler from moving memory accesses across: for what is looked at when the thread is dead, whose stores up to
 * one instruction have all happened then, and none behind it.
 */
#define fs_program_order() __asm__ __volatile__("" ::: "memory")

/* Have the line of @p here by the time it is written. What is stored leaves in order: a line that is with another processor
 * holds up all stores behind it. (gcc makes of __builtin_prefetch(p, 1) a request to read unless told otherwise.) */
#if defined(__x86_64__)
#define fs_prefetch_to_write(p) __asm__ __volatile__("prefetchw %0" : : "m"(*(const char *)(p)))
#else
#define fs_prefetch_to_write(p) __builtin_prefetch((p), 1)
#endif

/* Tell the processor that this is a spin loop. */
#if defined(__x86_64__)
#define fs_cpu_relax() __builtin_ia32_pause()
#elif defined(__aarch64__)
#define fs_cpu_relax() __asm__ __volatile__("isb" ::: "memory")
#else
#define fs_cpu_relax() __asm__ __volatile__("" ::: "memory")
#endif

#endif
