/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * xdp_probe.c - drives a port of a provider, or two, by commands, one line each on stdin, and answers each with
 * one line of JSON. test_xdp.py and test_packet.py start one at either end of a veth pair.
 *
 *      xdp_probe interface=IF local=A remote=A mac=M [provider=NAME] [option=TEXT] [chunks=N] [first=N] [queues=N]
 *
 *      open | close | exit                    exit leaves without close
 *      steer PORT [tcp] | unsteer PORT [tcp]
 *      send PORT SIZE COUNT                   datagrams with a checked pattern, kicked once each
 *      fill PORT SIZE [LIMIT]                 transmit without kick until refused, or LIMIT of them
 *      kick | arm | stats | pool
 *      recv COUNT MS                          take COUNT frames, or what comes within MS; check them. gso and
 *                                             csum are the last one's; partial: TCP whose field is a partial sum
 *      super tcp|udp SIZE GSO [PART [EMPTY]]  one super-frame of SIZE payload bytes, PART of them in each part;
 *                                             EMPTY parts have none
 *      stamp 0|1                              frames' times of arrival are wanted, or not
 *      wait MS                                poll the port's descriptor
 *      fork idle                              a child that drops the ports and stays
 *      fork hold                              a child that joins those which are open and stays
 *      fork drive                             the same, and takes the following commands
 *      second COMMAND                         to a port of its own pool beside the first, of the queues behind its
 */
#include <errno.h>
#include <inttypes.h>
#include <netinet/in.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <signal.h>
#include <unistd.h>

#include "../../bench/raw_port.h"

enum { BURST = 32, LINE = 256, FILL_LIMIT = 100000 };

enum { PORTS = 2 };

struct probe {
	struct raw_port_args args;
	bool open;
	struct raw_port *rp;
	struct raw_flow flow;
	uint32_t sequence;
};

static const struct provider_ops *ops_of(const struct probe *p)
{
	return p->rp->handle.ops;
}

/* --- frames with a checked pattern --- */

static uint8_t pattern(uint32_t i)
{
	return (uint8_t)(i * 7 + i / 251);
}

static void fill_parts(struct fbuf *f, uint32_t total, const uint8_t *headers, uint32_t n_headers)
{
	uint32_t at = 0;

	f->total = total;
	for (struct fbuf *part = f; part; part = part->next) {
		part->len = FS_MIN(total - at, fbuf_tailroom(part));
		for (uint32_t i = 0; i < part->len; i++, at++)
			part->data[i] = at < n_headers ? headers[at] : pattern(at);
	}
}

static struct fbuf *datagram(struct probe *p, uint16_t port, uint32_t size)
{
	uint8_t headers[RAW_TCP_HEADERS];
	uint32_t n_headers;
	struct fbuf *f;

	p->flow.src_port = p->flow.dst_port = port;
	n_headers = raw_headers(&p->flow, size, headers);
	f = fbuf_alloc_chain(p->rp->pool, n_headers + size);
	if (f)
		fill_parts(f, n_headers + size, headers, n_headers);
	return f;
}

/* Does the frame hold what datagram() or super_frame() put in? Headers may have been rewritten. */
static bool intact(const struct fbuf *f, uint32_t n_headers)
{
	uint32_t at = 0, sum = 0;

	for (const struct fbuf *part = f; part; part = part->next) {
		for (uint32_t i = 0; i < part->len; i++, at++)
			if (at >= n_headers && part->data[i] != pattern(at))
				return false;
		sum += part->len;
	}
	return sum == f->total;
}

/* Link, IP and transport header of a frame, whose first part has them. */
static uint32_t headers_of(const struct fbuf *f)
{
	bool v6 = f->data[12] == 0x86;
	uint32_t l4 = v6 ? 54 : 34;

	return l4 + (f->data[v6 ? 20 : 23] == IPPROTO_TCP ? f->data[l4 + 12] / 16 * 4u : 8);
}

/* Does TCP's checksum field hold the sum of the pseudo-header alone? */
static bool is_partial(const struct probe *p, const struct fbuf *f)
{
	const struct raw_flow back = { .src = p->flow.dst, .dst = p->flow.src };
	uint32_t l4 = f->data[12] == 0x86 ? 54 : 34;
	uint8_t sum[2];

	raw_partial(&back, IPPROTO_TCP, f->total - l4, sum);
	return memcmp(sum, f->data + l4 + 16, sizeof(sum)) == 0;
}

static uint32_t parts_of(const struct fbuf *f)
{
	uint32_t n = 0;

	for (; f; f = f->next)
		n++;
	return n;
}

/* --- commands --- */

static void do_open(struct probe *p)
{
	int rc = raw_port_open(p->rp, &p->args);

	p->open = rc == 0;
	printf("{\"rc\":%d,\"why\":\"%s\"", rc, p->rp->why);
	if (rc == 0)
		printf(",\"queues\":%u,\"max_parts\":%u,\"max_gso\":%u,\"sheds\":%d,\"fd\":%d", p->rp->port->n_queues,
		       p->rp->port->caps.max_parts,
		       p->rp->port->caps.max_gso, p->rp->port->caps.sheds_udp_partial,
		       ops_of(p)->wait_fd(&p->rp->handle));
	printf("}\n");
}

static void do_steer(struct probe *p, const char *argument, bool add)
{
	struct steer_rule rule = {
		.protocol = strstr(argument, "tcp") ? IPPROTO_TCP : IPPROTO_UDP,
		.local_port = (uint16_t)atoi(argument),
		.verdict = STEER_STACK,
	};
	int rc = add ? ops_of(p)->steer_add(&p->rp->handle, &rule)
		     : ops_of(p)->steer_remove(&p->rp->handle, &rule);

	printf("{\"rc\":%d}\n", rc);
}

static void do_send(struct probe *p, const char *arguments)
{
	unsigned port, size, count, sent = 0;
	int rc = 0;

	if (sscanf(arguments, "%u %u %u", &port, &size, &count) != 3)
		count = 0;
	while (sent < count && rc == 0) {
		struct fbuf *f = datagram(p, (uint16_t)port, size);

		if (!f || ops_of(p)->transmit(&p->rp->handle, &f, 1) != 1) {
			fbuf_free(f);
			rc = -ENOBUFS;
			break;
		}
		sent++;
		rc = ops_of(p)->kick(&p->rp->handle);
	}
	printf("{\"rc\":%d,\"sent\":%u,\"error\":%d}\n", rc, sent, p->rp->port->error);
}

static void do_fill(struct probe *p, const char *arguments)
{
	unsigned port = 0, size = 0, limit = FILL_LIMIT, n = 0;

	sscanf(arguments, "%u %u %u", &port, &size, &limit);
	while (n < limit) {
		struct fbuf *f = datagram(p, (uint16_t)port, size);

		if (!f || ops_of(p)->transmit(&p->rp->handle, &f, 1) != 1) {
			fbuf_free(f);
			break;
		}
		n++;
	}
	printf("{\"accepted\":%u,\"pending\":%u}\n", n, ops_of(p)->tx_pending(&p->rp->handle));
}

static void do_kick(struct probe *p)
{
	int rc = ops_of(p)->kick(&p->rp->handle);

	printf("{\"rc\":%d,\"pending\":%u,\"error\":%d}\n", rc, ops_of(p)->tx_pending(&p->rp->handle),
	       p->rp->port->error);
}

static void do_arm(struct probe *p)
{
	bool work = ops_of(p)->arm(&p->rp->handle);

	printf("{\"work\":%s,\"error\":%d}\n", work ? "true" : "false", p->rp->port->error);
	ops_of(p)->disarm(&p->rp->handle);
}

static void do_recv(struct probe *p, const char *arguments)
{
	unsigned count = 0, ms = 0, n = 0, bad = 0, parts = 0, partial = 0, stamped = 0;
	struct fbuf last = { 0 };
	uint64_t bytes = 0;
	uint32_t longest = 0;
	int64_t end;

	sscanf(arguments, "%u %u", &count, &ms);
	end = raw_now() + (int64_t)ms * 1000000;
	while (n < count) {
		struct fbuf *frames[BURST];
		unsigned got = ops_of(p)->receive(&p->rp->handle, frames, FS_MIN(BURST, count - n));
		int64_t now = raw_now();

		ops_of(p)->heartbeat(&p->rp->handle, now);
		for (unsigned i = 0; i < got; i++) {
			bytes += frames[i]->total;
			longest = FS_MAX(longest, frames[i]->total);
			bad += !intact(frames[i], headers_of(frames[i]));
			partial += is_partial(p, frames[i]);
			stamped += frames[i]->stamp > 0 && frames[i]->stamp <= now;
			last = *frames[i];
			parts = FS_MAX(parts, parts_of(frames[i]));
			fbuf_free(frames[i]);
		}
		n += got;
		if (got == 0 && now > end)
			break;
	}
	printf("{\"frames\":%u,\"bytes\":%" PRIu64 ",\"longest\":%u,\"bad\":%u,\"parts\":%u,\"gso\":%u,\"csum\":%u,"
	       "\"partial\":%u,\"stamped\":%u,\"error\":%d}\n",
	       n, bytes, longest, bad, parts, last.gso_size, last.csum, partial, stamped, p->rp->port->error);
}

/* A frame of @total bytes in parts of @part of payload, 0 = as many as fit; @empty ones of none behind the first. */
static struct fbuf *chain(struct probe *p, uint32_t total, uint32_t part, int empty, const uint8_t *headers,
			  uint32_t n_headers)
{
	struct fbuf *head = NULL, **next = &head;

	for (uint32_t at = 0; at < total;) {
		struct fbuf *f = *next = fbuf_alloc(p->rp->pool);

		if (!f) {
			fbuf_free(head);
			return NULL;
		}
		next = &f->next;
		if (at > 0 && empty-- > 0)
			continue;
		f->len = FS_MIN(total - at, fbuf_tailroom(f));
		if (part)
			f->len = FS_MIN(f->len, part + (at == 0 ? n_headers : 0));
		for (uint32_t i = 0; i < f->len; i++, at++)
			f->data[i] = at < n_headers ? headers[at] : pattern(at);
	}
	head->total = total;
	return head;
}

static void do_super(struct probe *p, const char *arguments)
{
	uint8_t headers[RAW_TCP_HEADERS];
	unsigned size = 0, gso = 0, part = 0, n_headers, taken = 0;
	int empty = 0;
	char kind[8] = "";
	struct fbuf *f;

	sscanf(arguments, "%7s %u %u %u %d", kind, &size, &gso, &part, &empty);
	p->flow.src_port = p->flow.dst_port = 5000;
	if (strcmp(kind, "tcp") == 0) {
		n_headers = raw_tcp_headers(&p->flow, 0, size, headers);
	} else {
		n_headers = raw_headers(&p->flow, size, headers);
		raw_partial(&p->flow, IPPROTO_UDP, 8 + size, headers + n_headers - 2);
	}
	f = chain(p, n_headers + size, part, empty, headers, n_headers);
	if (f) {
		f->gso_size = (uint16_t)gso;
		f->csum = FBUF_CSUM_PARTIAL;
		taken = ops_of(p)->transmit(&p->rp->handle, &f, 1);
		if (taken == 0)
			fbuf_free(f);
		ops_of(p)->kick(&p->rp->handle);
	}
	printf("{\"taken\":%u,\"bad\":%" PRIu64 ",\"error\":%d}\n", taken, p->rp->port->stats.tx_bad,
	       p->rp->port->error);
}

static void do_stamp(struct probe *p, const char *argument)
{
	p->rp->port->stamp = atoi(argument);
	do_arm(p);
}

static void do_wait(struct probe *p, const char *argument)
{
	struct pollfd fd = { .fd = ops_of(p)->wait_fd(&p->rp->handle), .events = POLLIN };
	int rc = poll(&fd, 1, atoi(argument));

	printf("{\"rc\":%d,\"in\":%d,\"err\":%d}\n", rc, !!(fd.revents & POLLIN), !!(fd.revents & POLLERR));
}

static void do_stats(struct probe *p)
{
	const struct provider_stats *s = &p->rp->port->stats;

	ops_of(p)->refresh_stats(&p->rp->handle);
	printf("{\"rx\":%" PRIu64 ",\"tx\":%" PRIu64 ",\"tx_full\":%" PRIu64 ",\"tx_bad\":%" PRIu64
	       ",\"rx_bad\":%" PRIu64 ",\"rx_no_frame\":%" PRIu64 ",\"rx_invalid\":%" PRIu64
	       ",\"tx_invalid\":%" PRIu64 ",\"redirected\":%" PRIu64 ",\"partial\":%" PRIu64
	       ",\"no_queue\":%" PRIu64 ",\"ring_full\":%" PRIu64 ",\"rx_dropped\":%" PRIu64
	       ",\"kicks\":%" PRIu64 ",\"max_gso\":%u,\"error\":%d,\"programs\":[%u,%u,%u]}\n",
	       s->rx_frames, s->tx_frames, s->tx_full, s->tx_bad, s->rx_bad, s->rx_no_frame,
	       s->kernel_rx_invalid, s->kernel_tx_invalid, s->steer_redirected,
	       s->steer_passed_partial, s->steer_passed_no_queue, s->kernel_rx_ring_full,
	       s->kernel_rx_dropped, s->kicks, p->rp->port->caps.max_gso, p->rp->port->error,
	       p->rp->port->programs[0], p->rp->port->programs[1], p->rp->port->programs[2]);
}

/* In a child of @parent: let go of its port, and take it up again. 0 or -errno. */
static int fork_port(struct probe *p, int parent, bool join)
{
	struct provider_hold from = { .pid = parent };

	memcpy(from.fd, p->rp->handle.fd, sizeof(from.fd));
	ops_of(p)->fork_child(&p->rp->handle);
	return join ? ops_of(p)->join(&p->rp->handle, p->rp->port, &from, RAW_FD_FLOOR) : 0;
}

static void do_fork(struct probe ports[PORTS], const char *how)
{
	int parent = getpid(), rc = 0, pid;

	fflush(stdout);
	pid = fork();
	if (pid != 0) {
		if (strcmp(how, "drive") == 0)
			waitpid(pid, NULL, 0);
		return; /* the child answers */
	}
	for (int i = 0; i < PORTS && rc == 0; i++)
		rc = ports[i].open ? fork_port(&ports[i], parent, strcmp(how, "idle") != 0) : 0;
	printf("{\"pid\":%d,\"rc\":%d}\n", getpid(), rc);
	if (strcmp(how, "drive") == 0) {
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		return;
	}
	fflush(stdout);
	close(0);
	close(1);
	close(2);
	for (;;)
		pause();
}

static void do_simple(struct probe *p, const char *line)
{
	if (strcmp(line, "open") == 0) {
		do_open(p);
	} else if (strcmp(line, "close") == 0) {
		ops_of(p)->close(&p->rp->handle);
		p->open = false;
		printf("{\"free\":%u}\n", p->rp->pool->n_free);
	} else if (strcmp(line, "kick") == 0) {
		do_kick(p);
	} else if (strcmp(line, "arm") == 0) {
		do_arm(p);
	} else if (strcmp(line, "stats") == 0) {
		do_stats(p);
	} else if (strcmp(line, "pool") == 0) {
		printf("{\"free\":%u,\"total\":%u}\n", p->rp->pool->n_free, p->rp->pool->n_total);
	} else {
		printf("{\"rc\":%d}\n", -ENOSYS);
	}
}

static const char *argument_of(const char *line, const char *verb)
{
	size_t len = strlen(verb);

	return strncmp(line, verb, len) == 0 && line[len] == ' ' ? line + len + 1 : NULL;
}

static void command(struct probe ports[PORTS], const char *line)
{
	const char *argument = argument_of(line, "second");
	struct probe *p = argument ? &ports[1] : &ports[0];

	line = argument ? argument : line;
	if ((argument = argument_of(line, "steer")))
		do_steer(p, argument, true);
	else if ((argument = argument_of(line, "unsteer")))
		do_steer(p, argument, false);
	else if ((argument = argument_of(line, "send")))
		do_send(p, argument);
	else if ((argument = argument_of(line, "fill")))
		do_fill(p, argument);
	else if ((argument = argument_of(line, "recv")))
		do_recv(p, argument);
	else if ((argument = argument_of(line, "super")))
		do_super(p, argument);
	else if ((argument = argument_of(line, "stamp")))
		do_stamp(p, argument);
	else if ((argument = argument_of(line, "wait")))
		do_wait(p, argument);
	else if ((argument = argument_of(line, "fork")))
		do_fork(ports, argument);
	else
		do_simple(p, line);
	fflush(stdout);
}

/* Byte by byte from the descriptor: a forked child goes on where its parent stopped reading. */
static bool read_line(char *line)
{
	size_t n = 0;

	while (n < LINE - 1 && read(0, line + n, 1) == 1) {
		if (line[n] == '\n') {
			line[n] = '\0';
			return true;
		}
		n++;
	}
	return false;
}

int main(int argc, char **argv)
{
	struct probe ports[PORTS] = { 0 };
	char line[LINE];

	for (int i = 0; i < PORTS; i++) {
		struct probe *p = &ports[i];

		if (raw_parse(argc, argv, &p->args, &p->flow) < 0)
			return 2;
		if (i > 0) {
			p->args.first += p->args.queues;
			p->args.beside = &ports[0].rp->handle;
			p->args.local = p->flow.dst; /* not its to say: nothing would come */
		}
		p->rp = raw_port_create(&p->args);
		if (!p->rp)
			return 1;
		p->flow.src_mac = p->rp->mac;
	}
	while (read_line(line) && strcmp(line, "exit") != 0)
		command(ports, line);
	fflush(stdout);
	_exit(0);
}
