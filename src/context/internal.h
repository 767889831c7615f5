/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * internal.h - what the files of src/context share among themselves.
 *
 * Unless marked, all with the stack's lock held.
 */
#ifndef FSOCK_CONTEXT_INTERNAL_H
#define FSOCK_CONTEXT_INTERNAL_H

#include <stdbool.h>
#include <stdint.h>

#include "base/barrier.h"
#include "context/context.h"

#ifndef SO_NETNS_COOKIE
#define SO_NETNS_COOKIE 71
#endif

struct epoll_set;

/* --- lock.c --- */

/* As context_lock(), but false as well when the holder is stopped. No lock before. */
bool context_lock_unless_stopped(struct context *ctx);

/* The same, but false as well when anybody has it. No lock before but sisters'. */
bool context_trylock(struct context *ctx);

/*
 * Lock held. What is left of the call is to drive or to hand out: of the memory that is shared nothing is half done but while
 * the engine or a port computes. A thread that dies from here on in a port's system call, as it does that is killed for
 * what it sent, leaves a stack that others go on with. Ends with the lock, or by context_stir(), for what might be
 * found to do on the way: it takes a socket or a port apart around a drain.
 */
void context_calm(struct context *ctx);
void context_stir(struct context *ctx);

/*
 * Of a call of this thread that was at stack address @frame, and one that is at @here: is the first one
 * over, left by longjmp()? Of two that are under way the later one is a signal handler's, whose frames
 * lie below. No lock needed.
 */
bool context_frame_is_gone(uintptr_t frame, uintptr_t here);

/* The stack was given up while its lock's holder, who is stopped and will go on, or whoever had the lock after, is a
 * thread of this process: its call still uses what is let go of. No lock needed. */
bool context_is_in_use(const struct context *ctx);

/* This thread's id, cached. No lock needed. */
uint32_t context_tid(void);

/* The thread of this number runs no more; of a process whose first thread ended it says so too. */
bool context_is_dead(uint32_t tid);

/* --- start.c --- */

/* One more stack for the process of @home, with its options, nothing in it yet. NULL: memory, address space,
 * descriptors. And back. */
struct context *context_make_sister(struct context *home, unsigned index);
void context_discard_sister(struct context *ctx);

/* In a child: control sockets of its own, for the inherited ones answer the parent too. */
int context_reopen_control(struct context *ctx);

/* In a program that was executed: a context over the stack that @passed tells of; NULL: it cannot be had. No lock, no
 * other thread. Then it is complete: this process has it, as if it had made it. */
struct exec_record;
struct context *context_take_up(context_ppoll_fn *libc_ppoll, const struct exec_record *passed);
void context_taken_up(struct context *ctx);

/* --- process.c --- */

/* In a program that was executed, and has its ports and descriptors: go on in the slot of the former one, whose other
 * sockets and sets end. False: it cannot, and what it inherited goes on in the kernel. */
bool context_resume(struct context *ctx);

/* Exec has returned: a child that could not join for it leaves the rest to the kernel, too. No lock. */
void context_not_executed(struct context *ctx);

/* What processes that are gone held is nobody's any more. */
void context_bury_dead(struct context *ctx);

/* May this process take the lock? Makes a newborn child ready; false in a foreign one. No lock. */
bool context_is_here(struct context *ctx);

/* Leave marked sockets to the kernel, as a process in another PID namespace asked. */
void context_let_go(struct context *ctx);

/* This process is a child that has not run fsock code yet: drop what belongs to the parent. No lock. */
void context_after_fork(struct context *ctx);

/*
 * Take part in driving an inherited stack: a slot, the ports' descriptors, references for every
 * inherited descriptor. 0; -EPERM, -ESRCH, -EUSERS: it cannot, and its sockets go to the kernel.
 */
int context_join(struct context *ctx);

/* Why it could not: enum fs_reason, once context_join() failed. */
int context_join_reason(const struct context *ctx);

/* True if this process drives the stack, after trying to join. */
static inline bool context_joined(struct context *ctx)
{
	return ctx->slot < STATS_MAX_PROCS || context_join(ctx) == 0;
}

/* --- broken.c --- */

/* The stack is broken: let go of steering, so that the kernel has its packets back, and of connections, which are
 * reset. When it returns it is done, by whichever thread. False: not yet, context_is_in_use(). No lock. */
bool context_abandon(struct context *ctx);

/* --- owner.c --- */

/* Obtain the ports of the stack that this process does not hold yet, and take over those whose owner
 * ended. One that cannot be taken over is lost, its sockets go to the kernel. 0 or -errno: of the first
 * that others hold and this process may not; those before it are held. */
int context_hold_ports(struct context *ctx);

/* In a program that was executed: hold the ports that the former one held (ctx->handle_opened), by its descriptors, which
 * stay open and are not needed any more. */
void context_resume_ports(struct context *ctx);

/* Hold none any more: those of this process's are nobody's, until another one that holds them takes them over. */
void context_drop_ports(struct context *ctx);

/* Take over if an owner ended: a system call, none where this process owns what it holds. */
void context_look_at_owners(struct context *ctx);

/* What this process holds of @port has changed: others may ask for it. */
void context_note_hold(struct context *ctx, unsigned port);

/* Steer by @rule on @port, which this process holds. The first rule of TCP's makes the guard, whose link others may
 * ask for. 0; -E2BIG: table full; -errno. */
int context_rule_add(struct context *ctx, unsigned port, const struct steer_rule *rule);

/* The process of @slot holds nothing any more. */
void context_forget_holds(struct context *ctx, unsigned slot);

/* Close the descriptors that tell of owners' ends: in a child. No lock needed. */
void context_unwatch_owners(struct context *ctx);

/* Ports came or went: let go of those that another process closed, whatever their slots hold now
 * (port.c). */
void context_ports_compare(struct context *ctx);

/* May the shadow of @s be read now? The two sources take turns while both have datagrams. */
static inline bool context_kernel_due(const struct context *ctx, const struct sock *s)
{
	const struct fbuf *first = s->pcb.queue.head;

	if (first && __builtin_expect(first->late, 0))
		return true;
	if (first && !s->kernel_turn)
		return false;
	return s->kernel_hot || s->way != SOCK_FAST || s->unsteered ||
	       ctx->now - s->kernel_looked >= FS_US(ctx->config.kernel_look);
}

enum { CONTEXT_LATE_READS = 512 /* more than a socket holds that nobody has read, as a rule */ };

/* The shadow of @s has nothing that was sent before @first, if that is the first of its queue. */
static inline void context_not_late(struct sock *s, const struct fbuf *first)
{
	if (first && s->pcb.queue.head == first)
		s->pcb.queue.head->late = false;
	s->late_reads = 0;
}

/* It had something, and may so for ever, if somebody else sends that. */
static inline void context_read_late(struct sock *s)
{
	if (s->pcb.queue.head && s->pcb.queue.head->late && ++s->late_reads >= CONTEXT_LATE_READS)
		context_not_late(s, s->pcb.queue.head);
}

/* A call showed the datagram that is next on one way: the receive that follows takes that one. */
static inline void context_promise(struct sock *s, bool shadows)
{
	s->kernel_turn = shadows;
	if (shadows && s->kernel_hot == 0)
		s->kernel_hot = 1;
}

/* The live socket behind @fd, of either protocol, or NULL. */
static inline struct sock *context_live_sock(struct context *ctx, int fd)
{
	struct fd_entry *e = fd_entry_at(&ctx->fds, fd);
	struct sock *s = e ? e->object : NULL;

	return e && fd_kind_is_sock(e->kind) && s->generation == e->generation ? s : NULL;
}

/* Take the lock for a call on the socket @fd, of the kind FD_SOCK or FD_STREAM: its live socket, or NULL without the
 * lock. No lock before. */
static inline struct sock *context_enter_kind(struct context *ctx, int fd, enum fd_kind kind)
{
	uint8_t protocol = kind == FD_STREAM ? SOCK_TCP : SOCK_UDP;
	struct sock *s;

	if (fd_kind_of(&ctx->fds, fd) != kind || !context_lock(ctx))
		return NULL;
	s = context_live_sock(ctx, fd);
	if (s && s->protocol == protocol && context_joined(ctx)) {
		if (__builtin_expect(ctx->ports_seen != ctx->stack->ports_serial, 0))
			context_ports_compare(ctx);
		return s;
	}
	context_unlock(ctx);
	return NULL;
}

/* The same of a datagram socket. */
static inline struct sock *context_enter(struct context *ctx, int fd)
{
	return context_enter_kind(ctx, fd, FD_SOCK);
}

/* The end of what context_enter() began: wake who sleeps for what came, and unlock. */
static inline void context_leave(struct context *ctx)
{
	context_ring(ctx);
	context_unlock(ctx);
}

/* --- heir.c --- */

#define CONTEXT_IN_MESSAGE (1ULL << STACK_HEIRS) /* of sock.heirs, beside those of children: passed.h */

/* Around fork(): note a child that inherits what this process has open; in it: it lives (no lock). */
void context_heir_expected(struct context *ctx);
void context_heir_born(struct context *ctx);

/* The child has references of its own now. */
void context_heir_joined(struct context *ctx);

/* A child that has not joined is about to close @fd. */
void context_heir_closed(struct context *ctx, int fd);

/* Forget children that ended or called exec, and end what waited for them. @sees: the calling thread has the program's
 * rights; what waits for children that even these do not show is no longer steered. */
void context_look_at_heirs(struct context *ctx, bool sees);

/* Heirs that ended inherit nothing any more; what that leaves without a holder is for context_settle(). */
void context_forget_gone_heirs(struct context *ctx, bool sees);

/* End @s, or every socket and set, if nobody holds it or uses it; true: it did. */
bool context_sock_settle(struct context *ctx, struct sock *s);
void context_set_settle(struct context *ctx, struct epoll_set *set);
void context_settle(struct context *ctx);

/* --- process.c --- */

/* This process is about to end: records of sockets that others hold are theirs to report. */
void context_hand_on_records(struct context *ctx);

/* @fd is among the numbers of @s: the record tells of it if its maker ended, which closed the record, or closed the
 * socket. Before the number is counted. */
void context_record_revive(struct context *ctx, struct sock *s, int fd);

/* Close the records of processes that ended and never had a slot. */
void context_reap_strangers(struct context *ctx);

/* What is known of a process of this fork tree, whose number of the stack's memory is @memory_fd. GONE: it
 * ended, or became another program by exec. UNSEEN: it lives, and as what cannot be seen. No lock needed. */
enum context_presence { CONTEXT_GONE, CONTEXT_UNSEEN, CONTEXT_HERE };
enum context_presence context_presence(const struct context *ctx, uint32_t pid, int memory_fd);

/* This process has the stack's memory under another number now. No lock needed. */
void context_memory_moved(struct context *ctx);

/* Free what those who are gone held, and take over their ports. */
void context_reap(struct context *ctx);

/* --- port.c --- */

/*
 * The port of interface @ifindex, opened if it may be. Index, or -1 with *reason (enum fs_reason) and
 * ctx->why set.
 */
int context_port(struct context *ctx, uint32_t ifindex, int *reason);

/* In a sister: the port of its share of queues beside @home, that of home's. 0, also where it has none; -errno. Both
 * locks held. */
int context_port_beside(struct context *ctx, const struct provider_handle *home);

/* The same as context_port() without opening: -1 = not open. */
int context_port_find(const struct context *ctx, uint32_t ifindex);
/* The longest super-frame of UDP it takes now; 0 = none. */
uint16_t context_port_udp_gso(const struct provider_port *port);

/* Interfaces that may be accelerated, the first @n of them; returns how many. *reason says why when 0. */
unsigned context_interfaces(struct context *ctx, uint32_t *ifindex, unsigned n, int *reason);

/* The last holder of the port in @slot ended: open it anew and steer its sockets again, or lose it. */
void context_port_reopen(struct context *ctx, unsigned slot);

/* Tell engine and steering what the interface of a port is now. 0 or -errno. */
struct host_link;
int context_port_configure(struct context *ctx, unsigned slot, const struct host_link *link);

/* What sleepers watch is not what it was: a port, a link or a name came or went. Who sleeps from here on watches the new,
 * the helper thread at once, if nobody sleeps. The new ports_serial. */
uint32_t context_ports_changed(struct context *ctx);

/* The same, and who sleeps already is rung: he is to watch what came, too. */
uint32_t context_ports_came(struct context *ctx);

/* Close the port in @slot; nothing is steered there any more. */
void context_port_close(struct context *ctx, unsigned slot);

/* --- interface.c --- */

/* The provider said so in port->error: it is down, or lost. */
void context_port_failed(struct context *ctx, unsigned port);

/* The port can work no more: close it. Its sockets wait, for @reason, until its interface returns. */
void context_port_lost(struct context *ctx, unsigned port, int reason);

/* The same of a port that was drained, or has nothing in it. */
void context_port_forget(struct context *ctx, unsigned port, int reason);

/* Links or addresses changed: bring ports up to date, and steer again what waited for that. */
void context_ports_refresh(struct context *ctx);

/* Once a second: try again what could not be had when its interface returned. */
void context_ports_retry(struct context *ctx);

/* Does a port that works hold an entry of @s? */
bool context_is_served(const struct context *ctx, const struct sock *s);

/* Say of @s, on the fast path, whether it is served now; else @reason, with ctx->why. */
void context_sock_review(struct context *ctx, struct sock *s, int reason);

/* --- housekeep.c --- */

enum { CONTEXT_LOOPBACK = 1 /* index of the loopback interface, in every namespace */ };

/* Does host policy allow to accelerate on @ifindex (DESIGN D14)? 0, or FS_REASON_policy and ctx->why. */
int context_policy_verdict(struct context *ctx, int ifindex);

/* Bring the shared statistics up to date, all at once. */
void context_publish(struct context *ctx);

/* A thread is about to sleep, perhaps for good: so that nobody reads figures of the time before, bring those of
 * the ports up to date. False: that was done within the last millisecond, do not sleep longer without asking again. */
bool context_publish_idle(struct context *ctx);

/* --- resolve.c --- */

/* What else than the destination decides about the way. */
struct context_choice {
	struct ip_addr bound;	/* source address; any = the kernel's choice */
	uint32_t oif;		/* interface to leave by; 0 = any */
	uint32_t mark;
	uint8_t tos;		/* without ECN bits */
	bool quiet;		/* to a group: not looped back to members on this host */
	bool tcp;		/* asked for a segment, not for a datagram: rules may tell them apart */
};

/* What the options of @s choose for datagrams of one family. */
void context_choice(const struct sock *s, bool v6, struct context_choice *choice);

void context_choice_tos(struct context_choice *choice, uint8_t tos);

/* The choice but for the address, as one word, and back: what tcp_options.choice holds. */
uint64_t context_choice_pack(const struct context_choice *choice);
void context_choice_unpack(uint64_t packed, struct context_choice *choice);

/* Where a datagram to @remote goes. Borrowed until the next call here; NULL = not to be cached. */
struct ip_dst *context_resolve_by(struct context *ctx, const struct ip_addr *remote,
				  const struct context_choice *choice);

/* @s was told that its path takes less than was thought: the next datagram there asks anew. */
void context_doubt_route(struct context *ctx, struct sock *s);

/* An option or an address of @s changed: its next datagram asks anew. */
void context_forget_route(struct context *ctx, struct sock *s);

/* Where a datagram of @s to @remote goes. Counted reference held by s->dst; never NULL: an entry of
 * way IP_DST_KERNEL when nothing else is possible, or NULL when the cache is full. */
struct ip_dst *context_resolve(struct context *ctx, struct sock *s, const struct ip_addr *remote);

/* A route of ours is by a neighbour that the kernel knows; learn what it says. A group's station follows
 * from its address. */
struct neigh *context_next_hop(struct context *ctx, int ifindex, unsigned port, const struct ip_addr *hop);

/* The next hop of @dst was not known: has the kernel found it meanwhile? True: it is now. */
bool context_neigh_retry(struct context *ctx, struct ip_dst *dst);

/* The same, and if not the kernel asks for it, ten times a second at most: who sends no datagram that would have it
 * ask. */
void context_neigh_want(struct context *ctx, struct ip_dst *dst);

/* A neighbour changed in the kernel's table. */
void context_neigh_changed(struct context *ctx, const struct host_neigh *neigh);

/* The kernel forgot a neighbour. */
void context_neigh_gone(struct context *ctx, const struct host_neigh *neigh);

/* Keep neighbours in use fresh (DESIGN D5). */
void context_neigh_refresh(struct context *ctx);

/* --- lifecycle.c --- */

/* As context_enter(), after a look whether @fd still is the socket it was: for calls that are rare. */
struct sock *context_enter_checked(struct context *ctx, int fd);

/* Was the socket @fd made in the network namespace the stack knows? */
bool context_same_namespace(const struct context *ctx, int fd);

/* Which interface has the address @local: its index, or 0. */
uint32_t context_interface_of(struct context *ctx, const struct ip_addr *local);

/* Records of sockets that were opened while the lock's holder was stopped. */
void context_record_late(struct context *ctx);

/* Steer @s: its port now belongs to the stack. 0, or the reason it does not. */
int context_accelerate(struct context *ctx, struct sock *s, int fd);

/* What several calls of context_steer() would ask the kernel again. Zeroed = nothing is known. */
struct context_places {
	bool listed, found;
	unsigned n;		       /* interfaces that may be accelerated */
	uint32_t ifindex[IP_MAX_PORTS];
	int reason;		       /* why there are none */
	struct ip_addr local;	       /* this address */
	uint32_t carrier;	       /* is this interface's */
};

/* Put the entry of @s in wherever it is missing. 0, or the reason it is nowhere. */
int context_steer(struct context *ctx, struct sock *s, struct context_places *places);

/* Let the providers of ports that are this process's do what has become sensible. */
void context_tend_ports(struct context *ctx);

/* Take the entries of @s out. */
void context_unsteer(struct context *ctx, struct sock *s);

/* Has @s any? */
bool context_is_steered(const struct sock *s);

/* @s, undecided, is about to talk to @remote: steer it if it is time. */
void context_try_client(struct context *ctx, struct sock *s, int fd, const struct ip_addr *remote);

/* The same of one who is about to send to another program of this host, if that can be had by a link: true, and it is fast
 * by links alone. */
bool context_try_local(struct context *ctx, struct sock *s, int fd, const struct ip_addr *remote, uint16_t port);

/* One that is fast by links alone sends to others by an interface: what they answer shall come there, too. */
void context_steer_too(struct context *ctx, struct sock *s, int fd);

/* Does a socket outside this stack share @s's local port (hazard 16)? */
bool context_port_is_shared(struct context *ctx, struct sock *s);

/* Another socket has @s's port as well: datagrams to the address itself go to the shadows from now on. */
void context_unicast_off(struct context *ctx, struct sock *s);

/* @s is bound to another interface, or none (0): steer it where it belongs now. */
void context_rebind(struct context *ctx, struct sock *s, int fd, uint32_t ifindex);

/* Leave @s to the kernel for good. */
void context_demote(struct context *ctx, struct sock *s, int reason, const char *detail);

/* The same at the program's wish: what has arrived is queued first, as it stands in the kernel's queue. Not from
 * within context_take(). */
void context_dismiss(struct context *ctx, struct sock *s, int reason, const char *detail);

/* The port was opened anew, with empty tables: enter its sockets again. */
void context_resteer(struct context *ctx, unsigned port);

/* Sockets that a process without the ports' descriptors left to the kernel: take their entries out. */
void context_unsteer_left(struct context *ctx);

/* Every socket, for a reason that concerns all (policy, owner gone). port < 0 = all ports. */
void context_demote_all(struct context *ctx, int port, int reason, const char *detail);

/* The kernel said that @fd is no socket, or it is time to look: is it still the one we know (P21)? */
void context_check_descriptor(struct context *ctx, int fd);

/* The same, unless it was asked within the last millisecond. A program that closes a socket by an instruction of its own
 * and has its number again so soon adds the new file to a set in vain: its events are lost, not late. */
#define CONTEXT_CHECKED_NS FS_MS(1)
void context_check_old_descriptor(struct context *ctx, int fd);

/* @fd means nothing of ours any more: what it held is let go of. */
void context_fd_forget(struct context *ctx, int fd);

/* The last descriptor is gone and nobody sleeps on it: end the socket. */
void context_sock_free(struct context *ctx, struct sock *s);

/* Read local and remote address from the shadow into the pcb. */
void context_read_names(struct sock *s, int fd);

/* Does @fd mean the shadow of @s still? 155 ns (hazard 26): slow paths only. */
bool context_names(int fd, const struct sock *s);

/* --- lent.c --- */

/* The last descriptor of @s that anyone here knows goes: if it was lent, its shadow is as it was, and has what waits.
 * @reason: enum fs_reason, what its record says from then on; FS_REASON_none = no more than it did. */
void context_give_back(struct context *ctx, struct sock *s, int reason);

/* The same of all that nobody but this process holds, which ends (FS_REASON_none) or executes a program. */
void context_give_back_all(struct context *ctx, int reason);

/* --- group.c --- */

/* A membership or IP_MULTICAST_ALL of @s was changed on the shadow: learn it and steer accordingly. */
void context_group_option(struct context *ctx, struct sock *s, int fd, int level, int name,
			  const void *value, size_t len);

/* An option of @s changed how its datagrams to groups leave: read it back. */
void context_group_sending(struct context *ctx, struct sock *s, int fd, int level, int name,
			   const void *value, size_t len);

/* What the options of @s choose for datagrams to groups. */
struct context_choice;
void context_group_choice(const struct sock *s, bool v6, struct context_choice *choice);

/* The kernel's @route to the group of @d, as the fast path may take it. */
struct host_route;
void context_group_resolved(struct context *ctx, const struct host_route *route,
			    const struct context_choice *choice, struct ip_dst *d);

/* Who could receive groups on @port changed: steer those that only sockets of this stack receive. */
void context_groups_review(struct context *ctx, uint16_t port);

/* @port was opened anew, with empty tables: enter the groups of @s again. */
void context_groups_resteer(struct context *ctx, struct sock *s, unsigned port);

/* Take out the entries that @s put in, unless others need them; end its memberships as well. */
void context_groups_unsteer(struct context *ctx, struct sock *s);
void context_groups_forget(struct context *ctx, struct sock *s);

/* Has @s an entry on that port of the stack; on any? */
bool context_groups_on(const struct context *ctx, const struct sock *s, unsigned port);
bool context_groups_left(const struct sock *s);

/* Does @s take a group that a port that works is steered for? */
bool context_groups_served(const struct context *ctx, const struct sock *s);

/* The port of @ifindex closed. @for_good: the interface went, and with it memberships there. */
void context_groups_gone(struct context *ctx, uint32_t ifindex, bool for_good);

/* Once a second: foreigners on ports of steered groups (hazard 16). */
void context_groups_check(struct context *ctx);

/* --- option.c --- */

/* Of a new socket: what the system presets. */
void context_read_options(struct sock *s, int fd);

/* SO_TIMESTAMP, SO_TIMESTAMPING or their kin were set to @o. */
struct sock_opt;
void context_note_stamps(struct context *ctx, struct sock *s, const struct sock_opt *o);

/* A wider receive buffer for the shadow of a steered socket, and back to what the program set: before its
 * descriptor is libc's alone. */
void context_widen(struct sock *s, int fd);
void context_narrow(struct sock *s, int fd);
/* Around what keeps this process from reading for some time: room for what comes meanwhile. What the shadows hold
 * beyond their limit they keep. */
void context_brace(struct context *ctx, bool on);

/* --- drive.c --- */

/* context_poll() where nothing is half done (context_calm()), as in calls that begin with it. */
unsigned context_poll_calm(struct context *ctx);

/* context_poll() of this stack alone: sisters are not looked at. */
unsigned context_poll_alone(struct context *ctx);

/* Prepare the engine over the bucket arrays, sized as stack.h says; keys: ip, udp, neigh. */
struct siphash_key;
void context_engine_init(struct context *ctx, const struct siphash_key key[3],
			 struct table_node **port_buckets, struct table_node **flow_buckets,
			 struct table_node **dst_buckets, struct table_node **neigh_buckets);

/* Functions and this process's context for the engine: at start, and in a child. */
void context_lend(struct context *ctx);

/* --- segments.c --- */

/* Prepare the TCP engine, if it is not. 0, -ENOMEM, -EIO. */
int segments_open(struct context *ctx);

/* Lend it this process's functions. */
void segments_lend(struct context *ctx);

/* Room for what a burst of @n frames may begin, and for the bytes of those that are long. */
void segments_expect(struct context *ctx, struct fbuf *const frames[], unsigned n);

/* Everything that input and calls asked for is built and leaves. */
void segments_send(struct context *ctx);

/* Timers that are due; then what they and the input asked for leaves soon. */
void segments_tick(struct context *ctx);

/* What waits at the ports leaves, and what waits in connections for calls to come. */
void segments_flush(struct context *ctx);

/* segments_send() and segments_flush(), but in a turn of several events or of several calls that send what leaves may
 * wait for the others (turn.h). */
void segments_send_soon(struct context *ctx);
void segments_flush_soon(struct context *ctx);

/* The connection of @s keeps what is not sent yet, since more follows (turn_says()), until that comes or
 * segments_flush(). */
void segments_keep(struct context *ctx, struct sock *s);

/* It did come: nothing of @s waits any more. */
static inline void segments_kept(struct context *ctx, const struct sock *s)
{
	if (ctx->soon.sock == s)
		ctx->soon.sock = NULL;
}

/* Frames that wait at the ports. */
uint32_t segments_waiting(const struct context *ctx);

/* ACKs that were held before @before for what the program may answer leave, soon; FS_NEVER = all, and at once. */
void segments_release(struct context *ctx, fs_ns before);

/* May there be any? Also without the lock, where it is a guess: a thread that waits asks before it takes the lock for them. */
static inline bool segments_held(const struct context *ctx)
{
	return fs_load_acquire(&ctx->env.tcp) && fs_load_relaxed(&ctx->stack->tcp.may_hold);
}

/* When segments_tick() has to do something, FS_NEVER = not before something else happens. */
static inline fs_ns segments_next(const struct context *ctx)
{
	return ctx->stack->tcp.ip ? tcp_next(&ctx->stack->tcp) : FS_NEVER;
}

/* --- stream_end.c --- */

/* A socket of TCP was made in the stack's network namespace: @fd. */
void stream_open(struct context *ctx, int fd, int domain, bool nonblock);

/* Leave it to the kernel for good, as context_demote(): not one that has a connection of the engine's. */
void stream_demote(struct context *ctx, struct sock *s, int reason, const char *detail);

/* A descriptor of this process's that means @s, or -1. */
int stream_number(struct context *ctx, const struct sock *s);

/* Its last descriptor is gone. */
void stream_end(struct context *ctx, struct sock *s);

/* The engine is done with a connection. */
void stream_released(struct context *ctx, struct tcp_conn *conn);

/* --- bare.c --- */

/* The process of @slot ends or is gone: its bare connections are closed. */
void bare_bury(struct context *ctx, unsigned slot);

/* --- stream_listen.c --- */

/* This process joins, an heir of @s: @fd is its number here. */
void stream_inherited(const struct sock *s, int fd);

/* Take the entries of a listener out; what it accepted keeps flow entries. */
void stream_unsteer(struct context *ctx, struct sock *s);

/* @port was opened or opened anew: its tables are empty. */
void stream_resteer(struct context *ctx, unsigned port);

/* It closed, since its interface went or is another: who was served there waits for it to return. */
void stream_port_gone(struct context *ctx, unsigned port);

/* Open ports and put entries in for those who wait, as far as interfaces with their addresses are there. True: nobody
 * waits any more. */
bool stream_return(struct context *ctx);

/* --- multiplex.c --- */

/* Put @item into the kernel's set @epfd, or take it out where the stack knows all there is of it, whichever is to be
 * done. 0 or -errno. */
struct epoll_item;
int context_tell_epoll(struct context *ctx, int epfd, struct epoll_item *item);

/* --- memory.c --- */

/* @len zeroed bytes of stack memory; NULL = none. Other processes learn by arena_len. */
void *context_grow(struct context *ctx, size_t len);

/* Does the control group's limit leave @len bytes twice, so that the program has as much (hazard 30)? Reads files:
 * not for every packet. */
bool context_has_memory(size_t len);

/* Objects of the stack's slabs, which grow as needed. NULL = memory or limit. */
struct sock *context_sock_alloc(struct context *ctx);
struct epoll_set *context_set_alloc(struct context *ctx);
struct udp_group *context_group_alloc(struct context *ctx);
bool context_items_reserve(struct context *ctx);

/* The pool for data copied out of the pinned pools, empty. */
void context_payload_init(struct context *ctx);

/* More room for data copied out of the pinned pools, up to the option payload_max. False: there is no more. */
bool context_payload_reserve(struct context *ctx);

/* Room for @bytes that are about to be sent, as far as a megabyte and the option payload_max go. What finds none is not
 * lost: it takes other pools, or waits. */
void context_segments_reserve(struct context *ctx, size_t bytes);

/* --- descriptors (memory.c) --- */

/* The entry of @fd, made if needed; NULL = number too high or no memory. */
struct fd_entry *context_fd_entry(struct context *ctx, int fd);
void context_fd_set(struct context *ctx, int fd, enum fd_kind kind, void *object, uint32_t generation);

#endif
