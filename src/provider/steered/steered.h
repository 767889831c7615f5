/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * steered.h - what providers have in common whose frames src/steer picks.
 *
 * Does:     provider.h's rules and counters in src/steer's words.
 * Does not: hold anything; attach.
 * Threads:  holder of the stack's lock only.
 * Errors:   0 or -errno, as src/steer gives them.
 */
#ifndef FSOCK_PROVIDER_STEERED_STEERED_H
#define FSOCK_PROVIDER_STEERED_STEERED_H

#include "provider/provider.h"
#include "steer/steer.h"

/* A rule of provider.h's steer_add() and steer_remove(). */
int steered_add(struct steer *s, const struct steer_rule *rule);
int steered_remove(struct steer *s, const struct steer_rule *rule);

/* Take copies of another process's descriptors of the port, those of @shared. The handle has its n_fds and
 * keeps what it got when this fails. 0, -ESRCH: that process is gone or going, -errno. */
int steered_fetch(struct provider_handle *handle, const struct provider_hold *from, bool (*shared)(int),
		  int fd_floor);

/* Bring the counters that steering keeps up to date. */
void steered_stats(const struct steer_shared *shared, struct provider_stats *to);

#endif
