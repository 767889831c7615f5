/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * xdp_io.c - the data path of the xdp provider: receive, transmit, kick, and the care of the rings.
 *
 * Does not attach, steer or look into frames. One-frame exchanges are the case to keep short: then
 * receive() touches the RX ring, one descriptor and one fbuf; transmit() and kick() one descriptor,
 * one fbuf and the system call. FILL and COMPLETION are served in batches.
 *
 * Each queue receives into rings of its own, all from the port's one pool. Who is looked at first
 * changes with each burst that a queue filled, so that every queue has its turn.
 */
#include "provider/xdp/xdp_port.h"

#include <errno.h>
#include <string.h>

#include "provider/vnet/vnet.h"
#include "sys/sys.h"

enum {
	AHEAD = 6, /* descriptors between a frame's prefetch and its turn */
	KICK_SPARE_ROUNDS = 8, /* send calls beyond those the budget explains, then kick() gives up */
};

/* --- chunks in and out of the kernel's hands --- */

static inline void chunk_lend(struct fbuf *f)
{
	f->next = NULL;
	f->link = f;
}

/* The fbuf at @addr if it was lent, now ours again; NULL for any other address. */
static inline struct fbuf *chunk_take_back(const struct xdp_port *p, uint64_t addr)
{
	const struct fbuf_pool *pool = p->base.pool;
	uint64_t i = addr >> pool->chunk_shift;
	struct fbuf *f;

	if (i >= pool->first_count)
		return NULL;
	f = &pool->first[i];
	if (f->link != f)
		return NULL;
	f->link = NULL;
	return f;
}

/* Free what has been sent. Order means nothing: addresses do. */
void xdp_io_reclaim(struct xdp_port *p)
{
	struct xsk_ring *r = &p->queue[0].xsk.completion;
	uint32_t n = xsk_ring_ready(r);

	if (n == 0)
		return;
	for (uint32_t i = 0; i < n; i++) {
		struct fbuf *f = chunk_take_back(p, *xsk_ring_addr(r, r->cached_cons + i));

		if (f)
			fbuf_free(f);
		else
			p->base.stats.rx_bad++;
	}
	r->cached_cons += n;
	xsk_ring_release(r);
	p->tx_in_flight -= FS_MIN(n, p->tx_in_flight);
}

/*
 * How many chunks reception may take. It goes below the low-water mark: that is what makes sockets
 * copy out what they hold (design hazard 5), and a short FILL ring would lose frames meanwhile. A
 * quarter of the mark is kept for senders.
 */
static uint32_t refill_allowance(const struct xdp_port *p)
{
	const struct fbuf_pool *pool = p->base.pool;
	uint32_t keep = pool->low_water / 4;

	return pool->n_free > keep ? pool->n_free - keep : 0;
}

/* How many chunks the kernel's hands lack. Fewer than none, where the depth was reduced. */
static inline int32_t rx_missing(const struct xdp_queue *q)
{
	return (int32_t)(q->rx_target - q->rx_posted);
}

/*
 * How deep FILL is. The kernel takes its chunks in turn, so that all of them pass through the caches in each round: 8
 * MiB of them cost one flow of super-frames a third of its rate (docs/decisions/0029). So while super-frames are most
 * of what comes, and no more than a quarter of the depth is used at once, it is halved, down to this. Whoever sends
 * them keeps to a window, and repeats what is lost. All others have the whole ring.
 */
static uint32_t shallow(const struct xdp_queue *q)
{
	return FS_MIN((uint32_t)XDP_SHALLOW, q->xsk.fill.size / 4);
}

/* @used: chunks that took part in reception since the last time. */
static void review_depth(struct xdp_queue *q, uint32_t used)
{
	uint32_t whole = q->xsk.fill.size;

	q->rx_used += used;
	q->rx_peak = FS_MAX(q->rx_peak, used);
	if (q->rx_target < whole && used > q->rx_target / 2) { /* its reader is away at times */
		q->rx_target = whole;
		q->rx_calm = FS_MIN(q->rx_calm * 2, (uint32_t)XDP_CALM_MAX);
	}
	if (q->rx_used < whole * q->rx_calm)
		return;
	if (q->rx_super < q->rx_used / 2)
		q->rx_target = whole;
	else if (q->rx_peak <= q->rx_target / 4)
		q->rx_target = FS_MAX(q->rx_target / 2, shallow(q));
	q->rx_used = q->rx_super = q->rx_peak = 0;
}

static void refill(struct xdp_port *p, struct xdp_queue *q)
{
	struct xsk_ring *r = &q->xsk.fill;
	uint32_t want = (uint32_t)rx_missing(q);
	uint32_t may = refill_allowance(p);

	if (may < want && p->tx_in_flight > 0) {
		xdp_io_reclaim(p);
		may = refill_allowance(p);
	}
	if (may == 0) {
		p->base.stats.rx_no_frame++;
		return;
	}
	want = FS_MIN(want, may);
	want = FS_MIN(want, xsk_ring_room(r, want));
	for (uint32_t i = 0; i < want; i++) {
		struct fbuf *f = fbuf_alloc(p->base.pool);

		chunk_lend(f);
		*xsk_ring_addr(r, r->cached_prod + i) = (uint64_t)f->index
							<< p->base.pool->chunk_shift;
	}
	r->cached_prod += want;
	q->rx_posted += want;
	xsk_ring_publish(r);
	review_depth(q, want);
}

void xdp_io_init(struct xdp_port *p)
{
	p->tx_batch = FS_MIN((uint32_t)XDP_RECLAIM_BATCH, p->queue[0].xsk.tx.size / 4);
	for (uint32_t i = 0; i < p->base.n_queues; i++) {
		struct xdp_queue *q = &p->queue[i];

		q->index = p->base.first_queue + i;
		q->rx_target = q->xsk.fill.size;
		q->rx_calm = XDP_CALM_MIN;
		q->rx_batch = FS_MIN((uint32_t)XDP_REFILL_BATCH, shallow(q) / 2);
		refill(p, q);
		q->rx_used = q->rx_peak = 0;
	}
}

void xdp_io_reclaim_all(struct xdp_port *p)
{
	struct fbuf_pool *pool = p->base.pool;

	fbuf_free(p->tx_super);
	p->tx_super = NULL;
	for (uint32_t i = 0; i < PROVIDER_MAX_QUEUES; i++) {
		struct xdp_queue *q = &p->queue[i];

		fbuf_free(q->rx_head);
		q->rx_head = q->rx_tail = NULL;
		q->rx_posted = 0;
	}
	for (uint32_t i = 0; i < pool->first_count; i++) {
		struct fbuf *f = &pool->first[i];

		if (f->link != f)
			continue;
		f->link = NULL;
		fbuf_free(f);
	}
	p->tx_in_flight = p->tx_unkicked = 0;
}

/* For good. */
static bool is_over(const struct xdp_port *p)
{
	return p->base.error == -ENODEV || p->base.error == -ENOLINK;
}

bool xdp_io_check(struct xdp_port *p, int rc)
{
	switch (rc) {
	case -ENXIO: /* no longer bound: the interface was removed */
	case -ENODEV:
		p->base.error = -ENODEV;
		break;
	case -ENETDOWN:
		if (!is_over(p))
			p->base.error = -ENETDOWN;
		break;
	default:
		if (rc >= 0 && !is_over(p))
			p->base.error = 0;
	}
	return p->base.error != 0;
}

/* --- reception --- */

/* One descriptor, checked and turned into its fbuf; NULL when it is not what we lent. */
static inline struct fbuf *rx_part(const struct xdp_port *p, const struct xdp_desc *d)
{
	const struct fbuf_pool *pool = p->base.pool;
	uint64_t addr = d->addr;
	uint32_t len = d->len;
	struct fbuf *f = chunk_take_back(p, addr);

	if (!f)
		return NULL;
	f->data = pool->memory + addr;
	if (len > pool->chunk_size - (uint32_t)(addr & (pool->chunk_size - 1))) {
		fbuf_free(f);
		return NULL;
	}
	f->len = len;
	return f;
}

/*
 * What another CPU wrote last is far away: a frame's headers, beside them what metadata there are, and both
 * lines of its fbuf. The address is not checked yet; to prefetch a bad one does no harm. Always inline: of a
 * function that does nothing else gcc finds that it does nothing, and leaves the call out.
 */
__attribute__((always_inline)) static inline void rx_prefetch(const struct xdp_port *p, const struct xdp_desc *d)
{
	const struct fbuf_pool *pool = p->base.pool;
	uintptr_t data = (uintptr_t)pool->memory + d->addr;
	uintptr_t f = (uintptr_t)pool->first + (d->addr >> pool->chunk_shift) * sizeof(struct fbuf);

	__builtin_prefetch((const void *)f, 1);
	__builtin_prefetch((const void *)(f + FS_CACHE_LINE), 1);
	__builtin_prefetch((const void *)data);
	__builtin_prefetch((const void *)(data + FS_CACHE_LINE));
	if (p->stamp_key)
		__builtin_prefetch((const void *)(data - sizeof(struct steer_stamp)), 1);
}

/* Give up the frame under way; what is still to come of it is skipped. */
static void rx_abort(struct xdp_port *p, struct xdp_queue *q, bool more)
{
	fbuf_free(q->rx_head);
	q->rx_head = q->rx_tail = NULL;
	q->rx_skip = more;
	p->base.stats.rx_bad++;
}

/* Add a part of a frame of several. Returns the frame when this was the last, else NULL. */
static struct fbuf *rx_assemble(const struct xdp_port *p, struct xdp_queue *q, struct fbuf *part, bool more)
{
	struct fbuf *head = q->rx_head;

	if (head) {
		q->rx_tail->next = part;
		head->total += part->len;
	} else {
		q->rx_head = head = part;
		head->total = part->len;
	}
	q->rx_tail = part;
	if (more)
		return NULL;
	q->rx_head = q->rx_tail = NULL;
	if (head->total > p->base.caps.max_frame)
		q->rx_super += (head->total + p->base.pool->chunk_size - 1) / p->base.pool->chunk_size;
	return head;
}

/* A descriptor that is not simply one whole frame. Returns a frame that became whole, or NULL. */
static struct fbuf *rx_unusual(struct xdp_port *p, struct xdp_queue *q, struct fbuf *part, bool more)
{
	if (q->rx_skip) {
		fbuf_free(part);
		q->rx_skip = more;
		return NULL;
	}
	if (!part) {
		rx_abort(p, q, more);
		return NULL;
	}
	return rx_assemble(p, q, part, more);
}

/*
 * The ring was empty, so nobody waits for us: a good moment for what would otherwise lengthen some
 * later exchange by the time of a whole batch.
 */
static inline void rx_idle(struct xdp_port *p, struct xdp_queue *q)
{
	if (rx_missing(q) >= XDP_IDLE_BATCH && refill_allowance(p) > 0)
		refill(p, q);
	if (p->tx_in_flight >= XDP_IDLE_BATCH)
		xdp_io_reclaim(p);
	/*
	 * A look at an empty ring answers steering too, or a redirect that was lost to a full ring
	 * would stay unanswered and pass for stale. Time 0: as of the question.
	 */
	steer_heartbeat(p->shared, q->index, 0);
}

void xdp_io_switch_stamps(struct xdp_port *p)
{
	bool was = p->stamp_key != 0;

	if (p->base.stamp && !was)
		steer_stamps_on(p->shared);
	if (!p->base.stamp && was)
		steer_stamps_off(p->shared);
	/* A port beside this one may have changed it. */
	p->stamp_key = p->base.stamp ? fs_load_relaxed(&p->shared->stamp_key) : 0;
}

/* Who looks at metadata ends them: memory behind the next frame there must not tell its time. */
static __attribute__((noinline)) void read_stamps(struct xdp_port *p, struct fbuf **frames, unsigned n)
{
	static const struct steer_stamp none;

	xdp_io_switch_stamps(p);
	for (unsigned i = 0; i < n; i++) {
		struct fbuf *f = frames[i];
		struct steer_stamp stamp;

		if (fbuf_headroom(f) < sizeof(stamp))
			continue;
		memcpy(&stamp, f->data - sizeof(stamp), sizeof(stamp));
		if ((stamp.ns ^ stamp.mark) != p->stamp_key || p->stamp_key == 0)
			continue;
		f->stamp = (fs_ns)stamp.ns;
		memcpy(f->data - sizeof(stamp), &none, sizeof(none));
	}
}

/* Once in each of its two callers: a port of one queue shall not pay for those of many. */
__attribute__((always_inline)) static inline unsigned
queue_receive(struct xdp_port *p, struct xdp_queue *q, struct fbuf **frames, unsigned n)
{
	struct xsk_ring *rx = &q->xsk.rx;
	uint32_t ready = xsk_ring_ready(rx);
	uint32_t at = rx->cached_cons, end = at + ready;
	uint64_t bytes = 0;
	unsigned got = 0;

	while (at != end && got < n) {
		const struct xdp_desc *d = xsk_ring_desc(rx, at++);
		bool more = d->options & XDP_PKT_CONTD;
		struct fbuf *f;

		if (end - at >= AHEAD)
			rx_prefetch(p, xsk_ring_desc(rx, at + AHEAD - 1));
		f = rx_part(p, d);
		if (f && !more && !q->rx_head && !q->rx_skip)
			f->total = f->len;
		else
			f = rx_unusual(p, q, f, more);
		if (!f)
			continue;
		f->port = p->base.index;
		bytes += f->total;
		frames[got++] = f;
	}
	if (at == rx->cached_cons) {
		rx_idle(p, q);
		return 0;
	}
	q->rx_posted -= at - rx->cached_cons;
	rx->cached_cons = at;
	xsk_ring_release(rx);
	p->base.stats.rx_frames += got;
	p->base.stats.rx_bytes += bytes;
	if (__builtin_expect(p->base.stamp, 0))
		read_stamps(p, frames, got);
	if (rx_missing(q) >= (int32_t)q->rx_batch)
		refill(p, q);
	return got;
}

/* Every queue once, as long as there is room. The turn passes on from the queue that used up the room. */
__attribute__((noinline)) static unsigned receive_in_turn(struct xdp_port *p, struct fbuf **frames, unsigned n)
{
	uint32_t at = p->rx_next < p->base.n_queues ? p->rx_next : 0;
	unsigned got = 0;

	for (uint32_t i = 0; i < p->base.n_queues && got < n; i++) {
		got += queue_receive(p, &p->queue[at], frames + got, n - got);
		at = at + 1 == p->base.n_queues ? 0 : at + 1;
	}
	p->rx_next = at;
	return got;
}

/* The queues and the side, who goes first changing as among the queues. */
__attribute__((noinline)) static unsigned receive_with_side(struct provider_handle *handle, struct fbuf **frames,
							    unsigned n)
{
	struct xdp_port *p = xdp_port_of(handle);
	unsigned got = p->side_first ? xdp_side_take(handle, frames, n) : receive_in_turn(p, frames, n);

	if (got == n)
		p->side_first = !p->side_first;
	else if (p->side_first)
		got += receive_in_turn(p, frames + got, n - got);
	else
		got += xdp_side_take(handle, frames + got, n - got);
	return got;
}

unsigned xdp_receive(struct provider_handle *handle, struct fbuf **frames, unsigned n)
{
	struct xdp_port *p = xdp_port_of(handle);

	if (__builtin_expect(xdp_side_here(handle), 0))
		return receive_with_side(handle, frames, n);
	if (__builtin_expect(p->base.n_queues == 1, 1))
		return queue_receive(p, &p->queue[0], frames, n);
	return receive_in_turn(p, frames, n);
}

/* --- transmission --- */

/* Descriptors a frame needs; 0 = it cannot be sent. Parts may be empty after fbuf_pull(). */
static uint32_t tx_parts(const struct xdp_port *p, const struct fbuf *frame)
{
	uint32_t n = 0;

	for (const struct fbuf *part = frame; part; part = part->next)
		n += part->len > 0;
	return n <= p->base.caps.max_parts ? n : 0;
}

/* True when every part lies in the pinned pool. */
static bool tx_pinned(const struct xdp_port *p, const struct fbuf *frame)
{
	for (const struct fbuf *part = frame; part; part = part->next)
		if (part->pool != p->base.pool)
			return false;
	return true;
}

static inline void tx_put(struct xsk_ring *tx, struct fbuf *part, bool more)
{
	struct xdp_desc *d = xsk_ring_desc(tx, tx->cached_prod++);

	d->addr = fbuf_offset(part);
	d->len = part->len;
	d->options = more ? XDP_PKT_CONTD : 0;
	chunk_lend(part);
}

/* Put a frame of @parts descriptors, room for which is known, into the ring. */
static void tx_put_chain(struct xdp_port *p, struct fbuf *frame, uint32_t parts)
{
	struct fbuf *part = frame;

	while (part) {
		struct fbuf *next = part->next;

		if (part->len > 0) {
			tx_put(&p->queue[0].xsk.tx, part, --parts > 0);
		} else {
			part->next = NULL;
			fbuf_free(part);
		}
		part = next;
	}
}

/* What became of a frame offered to one of the slow paths below. */
enum tx_fate { TX_TAKEN, TX_LATER };

static enum tx_fate tx_drop(struct xdp_port *p, struct fbuf *frame)
{
	p->base.stats.tx_bad++;
	fbuf_free(frame);
	return TX_TAKEN;
}

static enum tx_fate tx_chain(struct xdp_port *p, struct fbuf *frame)
{
	struct fbuf *send = frame;
	uint32_t parts;

	if (!tx_pinned(p, frame)) {
		send = fbuf_clone_into(frame, p->base.pool);
		if (!send)
			return TX_LATER;
	}
	parts = tx_parts(p, send);
	if (parts > 0 && xsk_ring_room(&p->queue[0].xsk.tx, parts) < parts) {
		if (send != frame)
			fbuf_free(send);
		return TX_LATER;
	}
	if (send != frame)
		fbuf_free(frame);
	if (parts == 0)
		return tx_drop(p, send);
	p->base.stats.tx_bytes += send->total;
	tx_put_chain(p, send, parts);
	return TX_TAKEN;
}

static void tx_publish(struct xdp_port *p, uint32_t former_prod)
{
	struct xsk_ring *tx = &p->queue[0].xsk.tx;
	uint32_t n = tx->cached_prod - former_prod;

	if (n == 0)
		return;
	xsk_ring_publish(tx);
	p->tx_unkicked += n;
	p->tx_in_flight += n;
}

/*
 * A super-frame leaves at once, through the side socket. What is in the ring before it goes first,
 * or segments of one connection would overtake each other.
 */
static enum tx_fate tx_super(struct provider_handle *handle, struct fbuf *frame,
			     uint32_t *former_prod)
{
	struct xdp_port *p = xdp_port_of(handle);
	int rc;

	tx_publish(p, *former_prod);
	*former_prod = p->queue[0].xsk.tx.cached_prod;
	if (handle->fd[XDP_FD_VNET] < 0)
		handle->fd[XDP_FD_VNET] = vnet_open(p->base.ifindex, handle->fd[XDP_FD_QUEUE]);
	if (handle->fd[XDP_FD_VNET] < 0) {
		handle->fd[XDP_FD_VNET] = -1;
		p->base.caps.max_gso = 0;
		return tx_drop(p, frame);
	}
	if (p->tx_super)
		fbuf_free(p->tx_super);
	p->tx_super = frame;
	if (p->tx_unkicked > 0 && xdp_kick(handle) < 0) {
		p->tx_super = NULL;
		return TX_LATER;
	}
	provider_call_begins(&p->base);
	rc = vnet_send(handle->fd[XDP_FD_VNET], p->base.ifindex, frame);
	provider_call_ends(&p->base);
	p->tx_super = NULL;
	if (rc == -EAGAIN)
		return TX_LATER;
	if (rc == -EOPNOTSUPP)
		p->base.caps.max_gso = 0;
	if (rc < 0) {
		xdp_io_check(p, rc);
		return tx_drop(p, frame);
	}
	p->base.stats.tx_bytes += frame->total;
	fbuf_free(frame);
	return TX_TAKEN;
}

unsigned xdp_transmit(struct provider_handle *handle, struct fbuf *const *frames, unsigned n)
{
	struct xdp_port *p = xdp_port_of(handle);
	struct xsk_ring *tx = &p->queue[0].xsk.tx;
	uint32_t former_prod = tx->cached_prod;
	unsigned i;

	for (i = 0; i < n; i++) {
		struct fbuf *f = frames[i];
		enum tx_fate fate;

		if (!f->next && f->pool == p->base.pool && f->gso_size == 0 && f->len > 0) {
			if (xsk_ring_room(tx, 1) == 0)
				break;
			p->base.stats.tx_bytes += f->len;
			tx_put(tx, f, false);
			continue;
		}
		fate = f->gso_size ? tx_super(handle, f, &former_prod) : tx_chain(p, f);
		if (fate == TX_LATER)
			break;
	}
	tx_publish(p, former_prod);
	p->base.stats.tx_frames += i;
	p->base.stats.tx_full += n - i;
	return i;
}

int xdp_transmit_stamped(struct provider_handle *handle, struct fbuf *frame, fs_ns *stamp)
{
	struct xdp_port *p = xdp_port_of(handle);

	if (p->tx_unkicked > 0)
		return -EAGAIN; /* it would overtake them */
	return vnet_transmit_stamped(&handle->fd[XDP_FD_STAMP], handle->fd[XDP_FD_QUEUE], &p->base, frame, stamp);
}

/* What the kernel took of the TX ring, after a send call that left some. */
static void tx_note_progress(struct xdp_port *p)
{
	struct xsk_ring *tx = &p->queue[0].xsk.tx;
	uint32_t left;

	tx->cached_cons = fs_load_acquire(tx->consumer);
	left = tx->cached_prod - tx->cached_cons;
	p->tx_unkicked = FS_MIN(left, p->tx_unkicked);
}

int xdp_kick(struct provider_handle *handle)
{
	struct xdp_port *p = xdp_port_of(handle);
	struct provider_stats *stats = &p->base.stats;
	struct xsk *xsk = &p->queue[0].xsk;
	uint32_t rounds;
	int rc;

	if (p->tx_unkicked == 0)
		return 0;
	/* A full COMPLETION ring stops transmission, so it is emptied first. */
	if (p->tx_in_flight >= p->tx_batch)
		xdp_io_reclaim(p);
	rounds = p->tx_unkicked / xsk->tx_budget + KICK_SPARE_ROUNDS;
	do {
		provider_call_begins(&p->base);
		rc = (int)sys_sendto(handle->fd[XDP_FD_QUEUE], NULL, 0, MSG_DONTWAIT, NULL, 0);
		provider_call_ends(&p->base);
		stats->kicks++;
		if (rc >= 0) {
			/* In copy mode success means an empty ring: no need to ask its index. */
			if (!xsk->zero_copy)
				xsk->tx.cached_cons = xsk->tx.cached_prod;
			p->tx_unkicked = 0;
			if (p->base.error != 0)
				xdp_io_check(p, 0);
			return 0;
		}
		/*
		 * EAGAIN: budget used up, COMPLETION full, send buffer full or device busy. EBUSY: the
		 * device dropped a frame, which is completed nevertheless. ENOBUFS: no memory just now.
		 */
		if (rc != -EAGAIN && rc != -EBUSY && rc != -ENOBUFS)
			break;
		stats->kick_again++;
		xdp_io_reclaim(p);
	} while (--rounds > 0);

	tx_note_progress(p);
	if (xdp_io_check(p, rc))
		return -ENETDOWN;
	return rc == -EBUSY || rc == -ENOBUFS ? -EAGAIN : rc;
}

unsigned xdp_tx_pending(const struct provider_handle *handle)
{
	return xdp_port_of(handle)->tx_unkicked;
}

/* --- sleeping --- */

/*
 * Removal of the interface leaves an error on the socket, on which a sleeper would wake again and
 * again; reading it clears it. An interface that was only down may have come back.
 */
void xdp_io_probe(struct provider_handle *handle)
{
	struct xdp_port *p = xdp_port_of(handle);
	const int *fd = &handle->fd[XDP_FD_QUEUE];

	for (uint32_t i = 0; i < p->base.n_queues; i++) {
		socklen_t len = sizeof(int);
		int error = 0;

		if (sys_getsockopt(fd[i], SOL_SOCKET, SO_ERROR, &error, &len) == 0 && error != 0)
			xdp_io_check(p, -ENXIO);
	}
	if (xdp_side_here(handle))
		xdp_side_probe(handle);
	if (p->base.error == -ENETDOWN)
		xdp_io_check(p, (int)sys_sendto(fd[0], NULL, 0, MSG_DONTWAIT, NULL, 0));
}

bool xdp_arm(struct provider_handle *handle)
{
	struct xdp_port *p = xdp_port_of(handle);

	bool work = xdp_side_here(handle) && packet_rx_ready(&p->side_rx);

	xdp_io_switch_stamps(p);
	xdp_io_probe(handle);
	for (uint32_t i = 0; i < p->base.n_queues; i++) {
		struct xsk *xsk = &p->queue[i].xsk;

		if (xsk->zero_copy && xsk_ring_needs_wakeup(&xsk->fill))
			(void)sys_recvfrom(handle->fd[XDP_FD_QUEUE + i], NULL, 0, MSG_DONTWAIT, NULL, NULL);
		work |= xsk_ring_ready(&xsk->rx) > 0;
	}
	return work;
}

void xdp_disarm(struct provider_handle *handle)
{
	(void)handle; /* the descriptors signal reception at all times; nothing was switched on */
}
