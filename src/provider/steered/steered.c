/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * steered.c - rules and counters, between provider.h and src/steer.
 */
#include "provider/steered/steered.h"

#include <errno.h>

#include "sys/sys.h"

static struct steer_flow flow_of(const struct steer_rule *rule)
{
	return (struct steer_flow){
		.protocol = rule->protocol,
		.local_port = rule->local_port,
		.remote_port = rule->remote_port,
		.local = rule->local,
		.remote = rule->remote,
	};
}

static uint8_t wild_of(const struct steer_rule *rule)
{
	if (rule->v6_only)
		return STEER_WILD_V6;
	return rule->v4_only ? STEER_WILD_V4 : STEER_WILD_BOTH;
}

static struct steer_port port_of(const struct steer_rule *rule)
{
	return (struct steer_port){
		.protocol = rule->protocol,
		.wild = wild_of(rule),
		.port = rule->local_port,
		.local = rule->local,
	};
}

int steered_add(struct steer *s, const struct steer_rule *rule)
{
	struct steer_port port;
	struct steer_flow flow;

	if (rule->flow) {
		flow = flow_of(rule);
		return steer_flow_add(s, &flow, (enum steer_flow_verdict)rule->verdict);
	}
	port = port_of(rule);
	return steer_port_add(s, &port);
}

int steered_remove(struct steer *s, const struct steer_rule *rule)
{
	struct steer_port port;
	struct steer_flow flow;

	if (rule->flow) {
		flow = flow_of(rule);
		return steer_flow_remove(s, &flow);
	}
	port = port_of(rule);
	return steer_port_remove(s, &port);
}

int steered_fetch(struct provider_handle *handle, const struct provider_hold *from, bool (*shared)(int),
		  int fd_floor)
{
	int pidfd = sys_pidfd_open(from->pid, 0);
	int rc = 0;

	if (pidfd < 0)
		return pidfd == -EINVAL ? -ESRCH : pidfd;
	for (int i = 0; i < handle->n_fds && rc >= 0; i++) {
		if (!shared(i) || from->fd[i] < 0)
			continue;
		rc = sys_fd_raise(sys_pidfd_getfd(pidfd, from->fd[i], 0), fd_floor);
		handle->fd[i] = rc;
	}
	sys_close(pidfd);
	return rc == -EBADF ? -ESRCH : rc < 0 ? rc : 0; /* one that is exiting has no descriptors */
}

void steered_stats(const struct steer_shared *shared, struct provider_stats *to)
{
	struct steer_counts sum;

	steer_stats(shared, &sum);
	to->steer_passed_stale = sum.passed_stale;
	to->steer_passed_partial = sum.passed_partial;
	to->steer_passed_no_queue = sum.passed_no_queue;
	to->steer_redirected = sum.redirected;
	to->guard_dropped = sum.guard_dropped;
}
