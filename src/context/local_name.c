/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * local_name.c - who is found on this host, and by whom: names of listeners, dialling, callers, and ends.
 */
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/reason.h"
#include "base/siphash.h"
#include "context/internal.h"
#include "context/local_internal.h"
#include "host/diag_unix.h"
#include "host/meet.h"
#include "host/meet_dir.h"
#include "local/conn.h"
#include "local/link.h"
#include "sys/sys.h"

#define LOOK_NS FS_MS(1)      /* between looks of a thread that does not sleep */
#define FRESH_NS FS_MS(500)   /* a listener is taken to be where it was found */
#define NOBODY_NS FS_MS(20)   /* and nobody to be there, the second time in so long */
#define PATIENCE_NS FS_SEC(1) /* for a caller to say what it brings */

enum {
	BROUGHT = 3,	/* descriptors of a hello: memory, the caller's bell, the listener's */
	PORTS_OF_ROOT = 1024, /* those below it */
	OVERFLOW_UID = 65534, /* who has none in this user namespace */
	HELLO_MAGIC = 0x4f4c4846, /* "FHLO" */
};

/* What a caller says. */
struct hello {
	uint32_t magic;
	uint32_t spare;
	uint64_t netns; /* SO_NETNS_COOKIE; 0 = not known */
};

/* --- whom to trust --- */

/* Of the same user, or, as far as connections of TCP go, of one whom the program's own user names: who sends datagrams says
 * himself who he is, and a Unix socket's file shows what one of the same user may. In a directory there may be users of
 * other namespaces, who all seem to be one, and processes of whom no more is known than that. */
static bool is_trusted(const struct context *ctx, int fd, bool in_dir, uint8_t protocol, struct host_meet_peer *peer)
{
	if (host_meet_peer(fd, peer) < 0)
		return false;
	if (peer->uid != geteuid())
		return !in_dir && protocol == SOCK_TCP && config_users_have(ctx->config.local_users, peer->uid);
	return !in_dir || (peer->uid != OVERFLOW_UID && peer->who);
}

/* --- names --- */

/* Who dials sees the user that the name was made by, or said last that it listens: who has changed (setuid()) says so
 * again, or those of the new user would not come, and those of the old one in vain. */
static void renew_names(struct context *ctx)
{
	struct context_local *l = &ctx->local;
	uint32_t user = geteuid();

	/* But of a Unix socket it goes on to say who called listen() (SO_PEERCRED). */
	for (unsigned i = 0; i < l->n_names && l->user != user; i++)
		if (l->name[i].called.protocol)
			sys_listen(l->name[i].fd, HOST_MEET_BACKLOG);
	l->user = user;
}

int local_name_publish(struct context *ctx, struct sock *s, const struct host_meet_name *name, bool in_dir)
{
	struct context_local *l = &ctx->local;
	struct local_name n = { .sock = s, .generation = s->generation, .in_dir = in_dir, .called = *name };
	bool shared = s->protocol == SOCK_TCP && s->stream.reuseport; /* listeners of one port share names out among them */

	/* Half of them are for listeners, within the namespace. */
	if (l->n_names >= (in_dir || s->protocol == SOCK_UDP ? LOCAL_NAMES / 2 : LOCAL_NAMES))
		return -EMFILE;
	renew_names(ctx);
	do
		n.fd = in_dir ? host_meet_publish_in(l->dir, &n.called, ctx->fd_floor) :
				host_meet_publish(&n.called, ctx->fd_floor);
	while (n.fd == -EADDRINUSE && shared && ++n.called.nth < LOCAL_GROUP);
	if (n.fd < 0)
		return n.fd;
	l->name[l->n_names++] = n;
	return 0;
}

void local_name_drop(struct context *ctx, unsigned i)
{
	struct context_local *l = &ctx->local;
	struct local_name *n = &l->name[i];

	sys_close(n->fd);
	if (n->in_dir && !fs_load_relaxed(&ctx->confined))
		host_meet_bury_in(l->dir, &n->called);
	*n = l->name[--l->n_names];
}

void local_drop_names(struct context *ctx, const struct sock *s)
{
	struct context_local *l = &ctx->local;

	for (unsigned i = l->n_names; i-- > 0;) {
		if (l->name[i].sock != s || l->name[i].generation != s->generation)
			continue;
		sys_shutdown(l->name[i].fd, SHUT_RDWR);
		local_name_drop(ctx, i);
	}
}

static int publish_all(struct context *ctx, struct sock *s)
{
	struct host_meet_name of_unix = { .addr = s->stream.local };
	struct host_meet_name name = {
		.addr = s->stream.local, .port = s->stream.local_port, .protocol = SOCK_TCP, .v6 = s->stream.v6
	};
	int ret = local_name_publish(ctx, s, s->stream.is_unix ? &of_unix : &name, false);

	if (ret == 0 && s->stream.v6 && !s->stream.v6_only && ip_addr_is_any(&s->stream.local)) {
		name.v6 = false;
		ret = local_name_publish(ctx, s, &name, false);
	}
	if (ret < 0)
		local_drop_names(ctx, s);
	return ret;
}

/* Does the kernel alone carry another listener of its port? */
static bool is_among_declined(const struct context *ctx, const struct sock *s)
{
	struct list *e;

	if (!s->stream.reuseport)
		return false;
	LIST_FOR_EACH(e, &ctx->stack->all_streams) {
		const struct sock *other = FS_CONTAINER_OF(e, struct sock, all);

		if (other->stream.declined && stream_shares_port(&s->stream, &other->stream))
			return true;
	}
	return false;
}

static int verdict(struct context *ctx, const struct sock *s, int fd)
{
	if (!ctx->config.local || ctx->index != 0)
		return FS_REASON_loopback;
	if (s->stream.is_unix)
		return s->stream.declined		 ? FS_REASON_option :
		       context_same_namespace(ctx, fd) ? 0 :
							 FS_REASON_namespace;
	if (s->stream.declined || is_among_declined(ctx, s) || s->stream.listening.defer_accept ||
	    (s->stream.ifindex && s->stream.ifindex != CONTEXT_LOOPBACK))
		return FS_REASON_option;
	if (!context_same_namespace(ctx, fd))
		return FS_REASON_namespace;
	return context_policy_verdict(ctx, CONTEXT_LOOPBACK);
}

int local_publish(struct context *ctx, struct sock *s, int fd, uint32_t backlog)
{
	int reason = verdict(ctx, s, fd);

	if (reason == 0 && local_table(ctx) < 0)
		reason = FS_REASON_memory;
	if (reason == 0 && publish_all(ctx, s) < 0)
		reason = FS_REASON_port_shared;
	if (reason)
		return reason;
	local_listener_init(&s->stream.local_listener, backlog, s);
	list_push_back(&ctx->stack->local->listeners, &s->stream.of_local);
	s->stream.by_links = true;
	if (!s->stream.is_unix)
		local_scope_publish(ctx, s);
	context_ports_came(ctx); /* sleepers watch the names */
	return 0;
}

/* --- the same of datagrams --- */

void local_publish_datagrams(struct context *ctx, struct sock *s)
{
	bool v6 = s->pcb.flags & UDP_PCB_V6;
	struct host_meet_name name = {
		.addr = s->pcb.local, .port = s->pcb.local_port, .protocol = SOCK_UDP, .v6 = v6
	};
	int ret = local_name_publish(ctx, s, &name, false);

	if (ret == 0 && v6 && !(s->pcb.flags & UDP_PCB_V6ONLY) && ip_addr_is_any(&s->pcb.local)) {
		name.v6 = false;
		ret = local_name_publish(ctx, s, &name, false);
	}
	if (ret < 0)
		local_drop_names(ctx, s);
	else
		context_ports_came(ctx); /* sleepers watch the names */
}

bool local_has_datagrams(const struct context *ctx)
{
	return ctx->config.local && ctx->config.local_udp && ctx->index == 0;
}

int local_datagrams_verdict(struct context *ctx, const struct sock *s, int fd)
{
	if (!local_has_datagrams(ctx))
		return FS_REASON_loopback;
	if (ip_addr_is_multicast(&s->pcb.local))
		return FS_REASON_multicast;
	if (s->pcb.flags & UDP_PCB_REUSEPORT)
		return FS_REASON_port_shared;
	if (s->pcb.ifindex && s->pcb.ifindex != CONTEXT_LOOPBACK)
		return FS_REASON_option;
	if (!context_same_namespace(ctx, fd))
		return FS_REASON_namespace;
	if (local_table(ctx) < 0)
		return FS_REASON_memory;
	return context_policy_verdict(ctx, CONTEXT_LOOPBACK);
}

void local_unpublish(struct context *ctx, struct sock *s)
{
	local_drop_names(ctx, s);
	list_remove(&s->stream.of_local);
}

/* Who listens anew may be another process, or this one as another user: those who call then have a link of that one's. */
static void end_links_of(struct context *ctx, const struct ip_addr *id)
{
	struct stack_local *l = ctx->stack->local;

	for (unsigned i = 0; i < l->n; i++) {
		struct stack_link *link = &l->link[i];

		if (link->serial && link->of_unix && link->link->side == 1 && ip_addr_equal(&link->unix_id, id))
			link->unix_id = (struct ip_addr){ 0 };
	}
}

void local_withdraw(struct context *ctx, struct sock *s)
{
	const struct stack_local *l = ctx->stack->local;

	if (!s->stream.by_links)
		return;
	s->stream.by_links = false;
	local_unpublish(ctx, s);
	local_listener_close(&s->stream.local_listener);
	if (s->stream.is_unix)
		end_links_of(ctx, &s->stream.local);
	for (unsigned i = 0; i < l->n; i++)
		if (l->link[i].serial)
			local_told(ctx, l->link[i].link);
}

/* --- finding --- */

static struct local_link *link_at(const struct context *ctx, unsigned index, uint32_t serial)
{
	const struct stack_link *l = &ctx->stack->local->link[index];

	return serial && l->serial == serial && l->link->ended == LOCAL_LINK_UP ? l->link : NULL;
}

/* By what that listener was found last, or NULL. */
static struct local_found *found_before(struct context *ctx, const struct ip_addr *addr, uint16_t port)
{
	for (unsigned i = 0; i < LOCAL_FOUND; i++) {
		struct local_found *f = &ctx->local.found[i];

		if (f->port == port && f->until && ip_addr_equal(&f->addr, addr))
			return f;
	}
	return NULL;
}

/* The place for a listener that was not found before: the one that was found first. */
static struct local_found *place_found(struct context *ctx, const struct ip_addr *addr, uint16_t port)
{
	struct local_found *f = &ctx->local.found[ctx->local.next_found++ % LOCAL_FOUND];

	*f = (struct local_found){ .addr = *addr, .port = port };
	return f;
}

/* Whose turn it is of those that were found, and are still there. */
static struct local_link *next_found(const struct context *ctx, struct local_found *f)
{
	for (unsigned i = 0; i < f->n; i++) {
		unsigned turn = f->next++ % f->n;
		struct local_link *link = link_at(ctx, f->link[turn], f->serial[turn]);

		if (link)
			return link;
	}
	return NULL;
}

/* Whoever listens under @name: connected to, and trusted, or -errno. */
static int dial(struct context *ctx, const struct host_meet_name *name, bool in_dir, struct host_meet_peer *peer)
{
	int fd = in_dir ? host_meet_dial_in(ctx->local.dir, name, ctx->fd_floor) : host_meet_dial(name, ctx->fd_floor);

	if (fd >= 0 && !is_trusted(ctx, fd, in_dir, name->protocol, peer)) {
		sys_close(fd);
		return -EACCES;
	}
	return fd;
}

/* The link to the stack of the process @who, if there is one. */
static int link_to(const struct context *ctx, uint64_t who)
{
	const struct stack_local *l = ctx->stack->local;

	for (unsigned i = 0; who && i < l->n; i++)
		if (l->link[i].who == who && !l->link[i].of_unix && link_at(ctx, i, l->link[i].serial))
			return (int)i;
	return -1;
}

static void note_peer(struct context *ctx, unsigned index, const struct host_meet_peer *peer)
{
	struct stack_link *l = &ctx->stack->local->link[index];

	l->who = peer->who;
	l->uid = peer->uid;
	l->strange = peer->uid != geteuid();
	l->link->peer_pid = peer->pid;
}

/* What a new link is made of. */
static void close_all(const int *fds, unsigned n)
{
	for (unsigned i = 0; i < n; i++)
		if (fds[i] >= 0)
			sys_close(fds[i]);
}

static int make_parts(struct context *ctx, uint64_t len, int *fds)
{
	int ret;

	fds[0] = host_meet_memory("fsock-link", len, ctx->fd_floor);
	fds[1] = sys_fd_raise(sys_eventfd(0, O_CLOEXEC | O_NONBLOCK), ctx->fd_floor);
	fds[2] = sys_fd_raise(sys_eventfd(0, O_CLOEXEC | O_NONBLOCK), ctx->fd_floor);
	if (fds[0] >= 0 && fds[1] >= 0 && fds[2] >= 0)
		return 0;
	ret = fds[0] < 0 ? fds[0] : -EMFILE;
	close_all(fds, BROUGHT);
	return ret;
}

/* A new link with who answered at @control. Its index or -errno; @control is the caller's then. @file: what is shown to
 * it, too; -1 = nothing. */
static int make_link(struct context *ctx, int control, const struct host_meet_peer *peer, bool beyond, int file)
{
	unsigned n = file >= 0 ? BROUGHT + 1 : BROUGHT;
	struct hello hello = { .magic = HELLO_MAGIC, .netns = ctx->netns_cookie };
	struct local_agreed agreed = local_own_size();
	int index = local_place(ctx), fds[BROUGHT + 1] = { 0, 0, 0, file }, ret;
	struct local_hold hold;

	if (index < 0)
		return -ENOBUFS;
	ret = context_has_memory(LOCAL_LEAST) ? make_parts(ctx, agreed.len, fds) : -ENOMEM;
	if (ret < 0)
		return ret;
	hold = (struct local_hold){ .control = control, .bell = fds[1], .far_bell = fds[2] };
	ret = local_begin(ctx, (unsigned)index, 0, fds[0], agreed.len, &hold);
	if (ret < 0) {
		close_all(fds, BROUGHT);
		return ret;
	}
	note_peer(ctx, (unsigned)index, peer);
	ctx->stack->local->link[index].beyond = beyond;
	ret = host_meet_send(control, &hello, sizeof(hello), fds, n);
	sys_close(fds[0]);
	if (ret < 0)
		local_lost(ctx, (unsigned)index); /* it goes with the next round; @control is its */
	return index;
}

/* The link with who answered at @fd, which is this function's: the one there is, or a new one. Its index or -errno.
 * @from as for local_find(), which was asked for @to: what holds for the interface between them holds for each
 * connection by it, so it is asked for with a link that there is, too. */
static int link_with(struct context *ctx, int fd, const struct host_meet_peer *peer, const struct ip_addr *to,
		     const struct ip_addr *from)
{
	bool allowed = !from || local_scope_verdict(ctx, to, from) == 0;
	int index = allowed ? link_to(ctx, peer->who) : -EACCES;

	if (allowed && index < 0 && (from || context_policy_verdict(ctx, CONTEXT_LOOPBACK) == 0)) {
		ctx->local.next_look = 0; /* it may be this very stack that was called */
		index = make_link(ctx, fd, peer, from != NULL, -1);
		if (index >= 0)
			return index;
		ctx->local.no_memory |= index == -ENOMEM || index == -EFBIG;
	}
	sys_close(fd); /* where there is a link it was asked who is there, no more */
	return index;
}

/* The listeners under @name, each by its link, into @f, as far as links can be had. False: nobody listens there. */
static bool find_all(struct context *ctx, struct host_meet_name *name, const struct ip_addr *from,
		     struct local_found *f)
{
	struct host_meet_peer peer = { 0 };
	int fd = 0, index;

	for (name->nth = 0; name->nth < LOCAL_GROUP && fd >= 0; name->nth++) {
		fd = dial(ctx, name, from != NULL, &peer);
		index = fd < 0 ? fd : link_with(ctx, fd, &peer, &name->addr, from);
		if (index < 0)
			continue;
		f->link[f->n] = (uint8_t)index;
		f->serial[f->n++] = ctx->stack->local->link[index].serial;
	}
	return name->nth > 1 || fd != -ECONNREFUSED;
}

/* Nor was anybody a moment ago: not a server that is about to begin, as a rule, but one that is the kernel's. */
static bool missed_before(const struct context *ctx, const struct local_found *f)
{
	return f->n == 0 && f->until && ctx->now - f->until < NOBODY_NS;
}

struct local_link *local_find(struct context *ctx, const struct ip_addr *addr, uint16_t port,
			      const struct ip_addr *from)
{
	struct host_meet_name name = { .addr = *addr, .port = port, .protocol = SOCK_TCP, .v6 = !ip_addr_is_v4(addr) };
	struct local_found *f, found = { .addr = *addr, .port = port };
	struct local_link *link;

	if (!ctx->config.local || ctx->index != 0 || local_table(ctx) < 0)
		return NULL;
	f = found_before(ctx, addr, port);
	if (f && ctx->now < f->until) {
		link = next_found(ctx, f);
		ctx->local.no_memory = !link && f->no_memory;
		if (link || f->n == 0)
			return link; /* or nobody, as a moment ago */
	}
	if (!find_all(ctx, &name, from, &found)) {
		name.by_any = from != NULL;
		if (!name.by_any)
			name.addr = (struct ip_addr){ 0 };
		find_all(ctx, &name, from, &found);
	}
	if (!f)
		f = place_found(ctx, addr, port);
	found.next = f->next;
	found.until = ctx->now + (found.n ? FRESH_NS : missed_before(ctx, f) ? NOBODY_NS : 0);
	found.no_memory = found.n == 0 && ctx->local.no_memory;
	*f = found;
	return next_found(ctx, f);
}

/* --- Unix sockets --- */

/* The last bit says which of the two it is: no file system counts so far. */
enum { OF_NO_PATH = 0x80 };

static struct ip_addr unix_id(uint64_t a, uint64_t b, bool is_path)
{
	struct ip_addr id = { .d = { a, b } };

	id.b[15] = (uint8_t)(is_path ? id.b[15] & ~OF_NO_PATH : id.b[15] | OF_NO_PATH);
	return id;
}

struct ip_addr local_unix_path(uint64_t device, uint64_t inode)
{
	return unix_id(device, inode, true);
}

/* No secret: who calls compares the whole name. */
struct ip_addr local_unix_abstract(const void *name, size_t len)
{
	static const struct siphash_key key[] = { { { 1, 2 } }, { { 3, 4 } } };

	return unix_id(siphash24(&key[0], name, len), siphash24(&key[1], name, len), false);
}

bool local_unix_is_path(const struct ip_addr *id)
{
	return !(id->b[15] & OF_NO_PATH);
}

/* Did this very process make link @i, as who it is now? Numbers of processes are used again. */
static bool is_callers(const struct context *ctx, unsigned i)
{
	const struct stack_link *l = &ctx->stack->local->link[i];

	return ctx->local.hold[i].called && l->caller == ctx->pid && l->caller_uid == geteuid() &&
	       l->caller_gid == getegid();
}

/* Links whose listener went, or which the process that called by them left to relatives, go when they carry nothing. */
static void sweep_unix(struct context *ctx)
{
	const struct stack_local *l = ctx->stack->local;

	for (unsigned i = 0; i < l->n; i++)
		if (l->link[i].serial && l->link[i].caller && local_link_is_idle(l->link[i].link) &&
		    (ip_addr_is_any(&l->link[i].unix_id) || context_is_dead(l->link[i].caller)))
			local_lost(ctx, i);
}

/* Anybody may have the name under which @called is met: is it @pid's, who listens there? */
static bool is_listeners(struct context *ctx, const struct local_called *called, uint32_t pid)
{
	struct host_unix_query query = { .name = called->name, .name_len = called->name_len };
	struct stat st;

	if (called->file >= 0) {
		if (sys_fstat(called->file, &st) < 0)
			return false;
		query.device = st.st_dev;
		query.inode = st.st_ino;
	}
	return host_unix_is_held(&query, pid, ctx->fd_floor, ctx->nl_buf, HOST_NL_BUF_GOOD);
}

/* Is @pid another process of this stack? Who moves its connection holds the lock that the other would need to follow. */
static bool is_relatives(const struct context *ctx, uint32_t pid)
{
	for (unsigned i = 0; i < STATS_MAX_PROCS; i++)
		if (i != ctx->slot && ctx->stack->proc[i].pid == pid && pid != ctx->pid)
			return true;
	return false;
}

static int dial_unix(struct context *ctx, const struct local_called *called)
{
	struct host_meet_name name = { .addr = called->id };
	struct host_meet_peer peer;
	struct stack_link *l;
	int fd = dial(ctx, &name, false, &peer), index;

	if (fd < 0)
		return fd;
	if (is_relatives(ctx, peer.pid) || !is_listeners(ctx, called, peer.pid)) {
		sys_close(fd);
		return -EACCES;
	}
	sweep_unix(ctx);
	ctx->local.next_look = 0; /* it may be this very stack that was called */
	index = make_link(ctx, fd, &peer, false, called->file);
	if (index < 0) {
		ctx->local.no_memory |= index == -ENOMEM || index == -EFBIG;
		sys_close(fd);
		return index;
	}
	l = &ctx->stack->local->link[index];
	l->of_unix = true;
	l->unix_id = called->id;
	ctx->local.hold[index].called = true;
	l->caller = ctx->pid;
	l->caller_uid = geteuid();
	l->caller_gid = getegid();
	return index;
}

/* Nobody is asked for @id for a while. */
static void miss_unix(struct context *ctx, const struct ip_addr *id, fs_ns how_long)
{
	struct local_found *f = found_before(ctx, id, 0);

	if (!f)
		f = place_found(ctx, id, 0);
	f->until = ctx->now + how_long;
	f->no_memory = ctx->local.no_memory;
}

struct local_link *local_find_unix(struct context *ctx, const struct local_called *called)
{
	const struct stack_local *l;
	const struct local_found *f;
	int index = -1;

	if (!ctx->config.local || ctx->index != 0 || local_table(ctx) < 0)
		return NULL;
	l = ctx->stack->local;
	f = found_before(ctx, &called->id, 0);
	if (f && ctx->now < f->until) {
		ctx->local.no_memory = f->no_memory;
		return NULL; /* it did not answer a moment ago */
	}
	for (unsigned i = 0; index < 0 && i < l->n; i++)
		if (l->link[i].of_unix && ip_addr_equal(&l->link[i].unix_id, &called->id) && is_callers(ctx, i) &&
		    link_at(ctx, i, l->link[i].serial))
			index = (int)i;
	if (index < 0)
		index = dial_unix(ctx, called);
	if (index < 0)
		miss_unix(ctx, &called->id, NOBODY_NS);
	return index < 0 ? NULL : l->link[index].link;
}

static void forget_unix(struct context *ctx, const struct local_conn *conn, bool refused)
{
	bool anew = refused && conn->link->ended == LOCAL_LINK_UP;

	ctx->stack->local->link[conn->link->number - 1].unix_id = (struct ip_addr){ 0 };
	/* Whose link was cut short is not let in: that will be so for a while. */
	miss_unix(ctx, &conn->remote, anew ? 0 : FRESH_NS);
}

bool local_unix_admits(const struct context *ctx, const struct local_conn *conn)
{
	const struct stack_link *l = &ctx->stack->local->link[conn->link->number - 1];

	return l->of_unix && conn->link->side == 1 && conn->local_port == 0 && ip_addr_equal(&conn->local, &l->unix_id);
}

bool local_is_of_unix(const struct context *ctx, const struct local_link *link)
{
	return ctx->stack->local->link[link->number - 1].of_unix;
}

int local_unix_peer(const struct context *ctx, const struct local_conn *conn, int name, void *value, socklen_t *len)
{
	return sys_getsockopt(ctx->local.hold[conn->link->number - 1].control, SOL_SOCKET, name, value, len);
}

bool local_is_beyond(const struct context *ctx, const struct local_link *link)
{
	return ctx->stack->local->link[link->number - 1].beyond;
}

int local_find_datagrams(struct context *ctx, const struct ip_addr *addr, uint16_t port)
{
	struct host_meet_name name = { .addr = *addr, .port = port, .protocol = SOCK_UDP, .v6 = !ip_addr_is_v4(addr) };
	struct local_found found = { .n = 0 };

	if (!find_all(ctx, &name, NULL, &found)) {
		name.addr = (struct ip_addr){ 0 };
		find_all(ctx, &name, NULL, &found);
	}
	return found.n == 1 ? found.link[0] : -1;
}

bool local_is_own(struct context *ctx, const struct ip_addr *addr)
{
	struct context_choice choice = { .tcp = true };
	const struct ip_dst *d = ip_addr_is_loopback(addr) ? NULL : context_resolve_by(ctx, addr, &choice);

	return ip_addr_is_loopback(addr) || (d && d->way == IP_DST_KERNEL && d->reason == FS_REASON_loopback);
}

bool local_may_have(const struct context *ctx, const struct local_link *link, uint16_t port)
{
	return port >= PORTS_OF_ROOT || ctx->stack->local->link[link->number - 1].uid == 0;
}

void local_forget(struct context *ctx, const struct local_conn *conn, bool refused)
{
	struct local_found *f = found_before(ctx, &conn->remote, conn->remote_port);

	if (conn->flags & LOCAL_UNIX) {
		forget_unix(ctx, conn, refused);
		return;
	}
	if (!f)
		return;
	/* The number of the process may be another one's by now. */
	for (unsigned i = 0; refused && i < f->n; i++)
		if (link_at(ctx, f->link[i], f->serial[i]) == conn->link)
			ctx->stack->local->link[f->link[i]].who = 0;
	f->n = 0;
	f->no_memory = conn->error == ENOMEM;
	f->until = refused ? 0 : ctx->now + FRESH_NS;
}

/* --- who dials --- */

static void drop_caller(struct context_local *l, unsigned i)
{
	l->coming[i] = l->coming[--l->n_coming];
}

static bool brings_file(const struct local_caller *from)
{
	return !from->protocol && local_unix_is_path(&from->unix_id);
}

/* Is @fd the file that the caller called, and may whoever is this user write to it? Who could not find it, in a mount
 * namespace or directory of his own, has no descriptor of it. */
static bool is_shown(const struct local_caller *from, int fd)
{
	struct ip_addr id;
	struct stat st;

	if (sys_fstat(fd, &st) < 0 || !S_ISSOCK(st.st_mode))
		return false;
	id = local_unix_path(st.st_dev, st.st_ino);
	return ip_addr_equal(&id, &from->unix_id) && sys_faccessat2(fd, "", W_OK, AT_EMPTY_PATH | AT_EACCESS) == 0;
}

/* What a caller brings is a link. 0 or -errno; the descriptors are the link's, or closed. */
static int take_link(struct context *ctx, int control, int *fds, const struct local_caller *from)
{
	struct local_hold hold = { .control = control, .bell = fds[2], .far_bell = fds[1] };
	int64_t len = host_meet_memory_len(fds[0]);
	int index = local_place(ctx), ret;
	struct host_meet_peer peer;

	ret = len < 0 || (uint64_t)len > MEM_LINK_BYTES ? -EPROTO : index;
	if (brings_file(from)) {
		if (ret >= 0 && !is_shown(from, fds[BROUGHT]))
			ret = -EPROTO;
		sys_close(fds[BROUGHT]);
	}
	if (ret >= 0 && (host_meet_bell(fds[1]) < 0 || host_meet_bell(fds[2]) < 0))
		ret = -EPROTO;
	if (ret >= 0 && !context_has_memory(LOCAL_LEAST))
		ret = -ENOMEM;
	if (ret >= 0)
		ret = local_begin(ctx, (unsigned)index, 1, fds[0], (uint64_t)len, &hold);
	sys_close(fds[0]);
	if (ret < 0) {
		close_all(fds + 1, BROUGHT - 1);
		return ret;
	}
	note_peer(ctx, (unsigned)index, &(struct host_meet_peer){ .uid = OVERFLOW_UID }); /* if it cannot be said any more */
	if (is_trusted(ctx, control, from->in_dir, from->protocol, &peer))
		note_peer(ctx, (unsigned)index, &peer);
	ctx->stack->local->link[index].beyond = from->in_dir;
	ctx->stack->local->link[index].of_unix = !from->protocol;
	ctx->stack->local->link[index].unix_id = from->unix_id;
	return 0;
}

/* What a caller says of itself is to go with where it calls: by a name of the namespace, from within it; by one of the
 * directory, where nobody looks for what is their own, from another one. */
static bool is_fitting(const struct context *ctx, const struct local_caller *from, const struct hello *hello)
{
	bool same = hello->netns == ctx->netns_cookie;

	return hello->magic == HELLO_MAGIC && (from->in_dir ? !same || hello->netns == 0 : same);
}

/* False: there is nothing yet. */
static bool hear(struct context *ctx, const struct local_caller *from)
{
	struct hello hello;
	unsigned n = brings_file(from) ? BROUGHT + 1 : BROUGHT;
	int control = from->fd, fds[BROUGHT + 1], ret;

	ret = host_meet_receive(control, &hello, sizeof(hello), fds, n, ctx->fd_floor);
	if (ret == -EAGAIN)
		return false;
	if (ret == 0 && !is_fitting(ctx, from, &hello)) {
		close_all(fds, n);
		ret = -EPROTO;
	}
	if (ret == 0)
		ret = take_link(ctx, control, fds, from);
	if (ret < 0)
		sys_close(control);
	return true;
}

static void hear_all(struct context *ctx)
{
	struct context_local *l = &ctx->local;

	for (unsigned i = l->n_coming; i-- > 0;) {
		if (hear(ctx, &l->coming[i])) {
			drop_caller(l, i);
		} else if (ctx->now - l->coming[i].since > PATIENCE_NS) {
			sys_close(l->coming[i].fd);
			drop_caller(l, i);
		}
	}
}

static void answer(struct context *ctx, const struct local_name *name)
{
	struct context_local *l = &ctx->local;
	struct host_meet_peer peer;
	int fd;

	while (l->n_coming < LOCAL_COMING && (fd = host_meet_accept(name->fd, ctx->fd_floor)) >= 0) {
		if (!is_trusted(ctx, fd, name->in_dir, name->called.protocol, &peer)) {
			sys_close(fd);
			continue;
		}
		l->coming[l->n_coming++] = (struct local_caller){
			.fd = fd, .in_dir = name->in_dir, .since = ctx->now, .protocol = name->called.protocol
		};
		if (!name->called.protocol)
			l->coming[l->n_coming - 1].unix_id = name->called.addr;
		context_ports_came(ctx); /* sleepers watch it */
	}
}

/* --- looking --- */

/* Is the socket of that name found by it still, and this process's? */
static bool is_named(const struct context *ctx, const struct local_name *name)
{
	const struct sock *s = name->sock;

	return s->generation == name->generation && (s->protocol == SOCK_UDP ? s->linked : s->stream.by_links) &&
	       s->refs[ctx->slot];
}

static unsigned list_all(const struct context *ctx, struct pollfd *fds)
{
	const struct stack_local *shared = ctx->stack->local;
	unsigned n = 0;

	for (unsigned i = 0; i < ctx->local.n_names; i++)
		fds[n++] = (struct pollfd){ .fd = ctx->local.name[i].fd, .events = POLLIN };
	for (unsigned i = 0; i < shared->n; i++) {
		bool up = shared->link[i].serial && shared->link[i].link->ended == LOCAL_LINK_UP;

		fds[n++] = (struct pollfd){ .fd = up ? ctx->local.hold[i].control : -1, .events = POLLIN };
	}
	return n;
}

void local_look(struct context *ctx)
{
	struct context_local *l = &ctx->local;
	struct pollfd fds[LOCAL_NAMES + LOCAL_LINKS];
	struct timespec zero = { 0 };
	unsigned n_names, n;

	l->next_look = ctx->now + LOOK_NS;
	if (l->n_names)
		renew_names(ctx);
	for (unsigned i = l->n_names; i-- > 0;)
		if (!is_named(ctx, &l->name[i]))
			local_name_drop(ctx, i);
	n_names = l->n_names;
	n = list_all(ctx, fds);
	if (n && sys_ppoll(fds, n, &zero, NULL) > 0) {
		for (unsigned i = n_names; i < n; i++)
			if (fds[i].revents)
				local_lost(ctx, i - n_names);
		for (unsigned i = 0; i < n_names; i++)
			if (fds[i].revents)
				answer(ctx, &l->name[i]);
	}
	if (l->n_coming)
		hear_all(ctx);
}
