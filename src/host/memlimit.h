/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * memlimit.h - how much memory the control group leaves to this process.
 *
 * A memfd is charged to the memory controller like anonymous memory; /dev/shm has no say in it (hazard 30).
 * Who goes beyond the limit is killed, so it is looked at before much is taken.
 *
 * Threads:  any.
 * Errors:   none: what cannot be read is no limit. Without address space for the question nothing is left.
 */
#ifndef FSOCK_HOST_MEMLIMIT_H
#define FSOCK_HOST_MEMLIMIT_H

#include <stdint.h>

/*
 * Bytes that the process may still take before memory.max of its control group, or of one above, is reached;
 * UINT64_MAX = no limit is known. Page cache that the kernel can give up counts as free. Both versions of the
 * hierarchy, at their usual mounts below @root: "" but for tests, which also have @root/proc/self/cgroup.
 */
uint64_t host_memory_left(const char *root);

#endif
