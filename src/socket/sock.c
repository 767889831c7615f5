/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * sock.c - see sock.h.
 */
#include "socket/sock.h"

#include <string.h>
#include <sys/epoll.h>

#include "local/link.h"
#include "socket/epoll.h"
#include "tcp/conn.h"

void sock_init(struct sock *s, struct stats_sock *record, uint8_t protocol, bool v6, uint32_t generation)
{
	memset(s, 0, sizeof(*s));
	list_init(&s->all);
	list_init(&s->items);
	s->record = record;
	s->generation = generation;
	s->protocol = protocol;
	if (protocol == SOCK_TCP) {
		s->stream.v6 = v6;
		s->stream.peek_off = -1;
		list_init(&s->stream.of_local);
	} else {
		s->pcb.flags = v6 ? UDP_PCB_V6 : 0;
	}
}

static uint32_t datagram_ready(const struct sock *s)
{
	uint32_t ready = s->pcb.queue.head ? EPOLLIN | EPOLLRDNORM : 0;

	if (__builtin_expect(s->errors.head != NULL, 0))
		ready |= s->error_is_pri ? EPOLLERR | EPOLLPRI : EPOLLERR;
	return ready;
}

_Static_assert((int)LOCAL_READY_IN == (int)TCP_READY_IN && (int)LOCAL_READY_OUT == (int)TCP_READY_OUT &&
		       (int)LOCAL_READY_PRI == (int)TCP_READY_PRI && (int)LOCAL_READY_ERR == (int)TCP_READY_ERR &&
		       (int)LOCAL_READY_HUP == (int)TCP_READY_HUP && (int)LOCAL_READY_RDHUP == (int)TCP_READY_RDHUP,
	       "sock_poll_bits() knows both");

/* It came to nothing, which is not told of: the shadow connects instead (context/stream_local.c). Or connect() has not
 * looked yet who answered. */
static bool is_in_vain(const struct stream *s)
{
	return list_is_linked(&s->of_local) && (s->local_conn->state == LOCAL_OVER || s->local_conn->ahead);
}

static uint32_t local_stream_ready(const struct stream *s)
{
	if (is_in_vain(s))
		return 0;
	return sock_poll_bits(local_ready(s->local_conn));
}

/* As tcp_poll() in the kernel. */
static uint32_t stream_ready(const struct stream *s)
{
	uint32_t told = s->copied != s->told || s->error ? EPOLLERR : 0;

	if (s->local_conn)
		return local_stream_ready(s) | told;
	if (stream_has_by_link(s))
		return EPOLLIN | EPOLLRDNORM;
	return s->conn ? sock_poll_bits(tcp_ready(s->conn)) | told :
	       stream_listens(s) && stream_waiting(s) ? EPOLLIN | EPOLLRDNORM : told;
}

uint32_t sock_ready(const struct sock *s)
{
	return s->protocol == SOCK_TCP ? stream_ready(&s->stream) : datagram_ready(s);
}

uint32_t sock_poll_bits(uint32_t ready)
{
	return (ready & TCP_READY_IN ? EPOLLIN | EPOLLRDNORM : 0) | (ready & TCP_READY_OUT ? EPOLLOUT | EPOLLWRNORM : 0) |
	       (ready & TCP_READY_PRI ? EPOLLPRI : 0) | (ready & TCP_READY_ERR ? EPOLLERR : 0) |
	       (ready & TCP_READY_HUP ? EPOLLHUP : 0) |
	       (ready & TCP_READY_RDHUP ? EPOLLRDHUP | EPOLLIN | EPOLLRDNORM : 0);
}

bool sock_ask(const struct sock *s, uint32_t events)
{
	uint32_t wants = (events & (EPOLLIN | EPOLLRDNORM | EPOLLRDHUP) ? LOCAL_READY_IN : 0) |
			 (events & (EPOLLOUT | EPOLLWRNORM) ? LOCAL_READY_OUT : 0);

	if (!sock_is_local(s) || is_in_vain(&s->stream))
		return false;
	return local_conn_wait(s->stream.local_conn, wants) != 0;
}

void sock_ask_more(const struct sock *s)
{
	if (sock_is_local(s))
		local_conn_ask(s->stream.local_conn);
}

unsigned sock_refs(const struct sock *s)
{
	unsigned n = 0;

	for (unsigned i = 0; i < STATS_MAX_PROCS; i++)
		n += s->refs[i];
	return n;
}

bool sock_is_used(const struct sock *s)
{
	for (unsigned i = 0; i < STATS_MAX_PROCS; i++)
		if (s->users[i])
			return true;
	return false;
}

uint32_t sock_sleepers(const struct sock *s)
{
	uint32_t slots = s->sleepers.slots;
	struct list *e;

	LIST_FOR_EACH(e, &s->items)
		slots |= FS_CONTAINER_OF(e, struct epoll_item, of_member)->set->sleepers.slots;
	return slots;
}

void sock_publish_conn(const struct tcp_conn *c, struct stats_sock *r)
{
	r->local_port = c->end.local_port;
	r->remote_port = c->end.remote_port;
	memcpy(r->local, c->end.local.b, sizeof(r->local));
	memcpy(r->remote, c->end.remote.b, sizeof(r->remote));
	r->rx_fast = c->data_in;
	r->tx_fast = c->data_out;
	r->rx_bytes = c->bytes_received;
	r->tx_bytes = c->bytes_acked + tcp_outq(c);
	r->queued_bytes = tcp_inq(c);
	r->unread_bytes = (uint32_t)tcp_outq(c);
	r->state = (uint8_t)c->state;
}

uint8_t sock_local_state(const struct local_conn *c)
{
	if (local_is_over(c))
		return TCP_CLOSED;
	if (c->flags & LOCAL_FIN_SENT)
		return TCP_FIN_WAIT2;
	if (c->flags & LOCAL_FIN_RECEIVED)
		return TCP_CLOSE_WAIT;
	return c->state == LOCAL_CONNECTING ? TCP_SYN_SENT : TCP_ESTABLISHED;
}

/* Of a Unix socket the listener's name, whichever end it is; zeros of an abstract one as '@', as ss(8) shows them. */
static void publish_name(const struct stream *s, struct stats_sock *r)
{
	enum { FAMILY = sizeof(uint16_t), ROOM = sizeof(r->unix_name) - 1 };
	const uint8_t *name = s->peer_len ? s->peer_name : s->own_name;
	size_t len = s->peer_len ? s->peer_len : s->own_len, skip;

	len = len > FAMILY ? len - FAMILY : 0;
	if (len > 0 && name[FAMILY] && name[FAMILY + len - 1] == 0)
		len--; /* the kernel counts a path's zero */
	skip = len > ROOM ? len - ROOM : 0;
	memset(r->unix_name, 0, sizeof(r->unix_name));
	for (size_t i = skip; i < len; i++)
		r->unix_name[i - skip] = (char)(name[FAMILY + i] ? name[FAMILY + i] : '@');
}

void sock_publish_local(struct local_conn *c, struct stats_sock *r)
{
	r->local_port = c->local_port;
	r->remote_port = c->remote_port;
	memcpy(r->local, c->local.b, sizeof(r->local));
	memcpy(r->remote, c->remote.b, sizeof(r->remote));
	r->rx_bytes = c->rx.pos;
	r->tx_bytes = c->tx.head;
	r->queued_bytes = local_inq(c);
	r->unread_bytes = (uint32_t)local_outq(c);
	r->state = sock_local_state(c);
	r->link = (uint8_t)c->link->number;
	r->peer_pid = c->link->peer_pid;
	local_conn_count(c);
}

static void publish_stream(const struct stream *s, struct stats_sock *r)
{
	if (s->local_conn) {
		sock_publish_local(s->local_conn, r);
		if (s->is_unix)
			publish_name(s, r);
		return;
	}
	r->link = 0;
	r->peer_pid = 0;
	r->drops = stream_listens(s) ? s->listener.overflows : 0;
	r->queued_frames = stream_listens(s) ? s->listener.n_ready : 0;
	if (s->conn) {
		sock_publish_conn(s->conn, r);
		return;
	}
	r->local_port = s->local_port;
	r->remote_port = 0;
	if (s->is_unix)
		publish_name(s, r);
	else
		memcpy(r->local, s->local.b, sizeof(r->local));
	r->queued_bytes = 0;
	r->unread_bytes = stream_listens(s) ? s->listener.backlog : 0;
	r->state = stream_is_listener(s) ? TCP_LISTEN : 0;
	if (!s->by_links)
		return;
	r->link = STATS_ANY_LINK;
	r->queued_frames += s->local_listener.waiting;
	r->unread_bytes = s->local_listener.backlog;
}

/* What it is now, the kernel knows. */
static void publish_left(struct stats_sock *r)
{
	r->state = 0;
	r->link = 0;
	r->peer_pid = 0;
	r->queued_bytes = r->unread_bytes = 0;
}

/* Has its connection left it, closed or moved to the kernel? What it was and did stays in the record. */
static bool is_over(const struct sock *s)
{
	return s->protocol == SOCK_TCP && s->way == SOCK_KERNEL && !sock_is_engines(s) && s->record->remote_port;
}

void sock_publish(struct sock *s)
{
	struct stats_sock *r = s->record;

	if (is_over(s)) {
		publish_left(r);
		return;
	}
	r->accelerated = s->way == SOCK_FAST && !s->unsteered && !(s->links_only && r->reason);
	if (s->protocol == SOCK_TCP) {
		publish_stream(&s->stream, r);
		return;
	}
	r->link = !s->linked ? 0 : s->link && (s->pcb.flags & UDP_PCB_CONNECTED) ? s->link : STATS_ANY_LINK;
	r->local_port = s->pcb.local_port;
	r->remote_port = s->pcb.remote_port;
	memcpy(r->local, s->pcb.local.b, sizeof(r->local));
	memcpy(r->remote, s->pcb.remote.b, sizeof(r->remote));
	r->drops = s->pcb.drops;
	r->queued_frames = s->pcb.queue.frames;
	r->queued_bytes = s->pcb.charged;
}
