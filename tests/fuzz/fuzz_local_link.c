/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * fuzz_local_link.c - one side of a link beside another that writes anything into the arena.
 *
 * The input is a byte that says which side we are, then steps of four bytes: what (enum step), and three arguments.
 * Half of the steps are the hostile side's: bytes anywhere, cells with the right turn, words of a connection near to
 * what they should be. The others are calls of our user, who keeps to the contract.
 * After each step everything that is our own is as it should be: what is handed out, what is in use, positions within
 * their rings, nothing written outside of the arena. When our user has closed all and the other side is dead, nothing
 * is left.
 */
#include <errno.h>
#include <stdbool.h>
#include <string.h>

#include "base/counter.h"
#include "fuzz.h"
#include "local/link.h"

enum {
	SLOTS = 4,
	UNITS = 64,
	LISTENER = 7,
	HELD = 6,
	GUARD = 4096,
	BYTES = 3000,
	ARENA_MOST = 3 << 20,
	OWN_MOST = 1 << 14
};

enum step {
	/* the other side */
	WRITE_ANY,   /* a, b: where, in 16ths of the arena's lines; c: the byte */
	WRITE_CELL,  /* a: kind, b: slot, c: into each argument that the kind has */
	WRITE_WORD,  /* a: which slot, b: which word, c: how far off */
	ITS_BYTES,   /* a: which slot: c bytes more, as a writer shows them */
	ITS_READS,   /* a: which slot: c bytes were read */
	ITS_DATAGRAM, /* a: kind; b: length; c: how far off the head is shown, or that much of ours was read */
	/* our user; a: which of those that it holds */
	POLL,
	CONNECT,
	ACCEPT,
	SEND,	     /* b: flags, c: how many */
	RECEIVE,     /* b: flags, c: how many */
	SHUT,	     /* b: how */
	CLOSE,	     /* b: abort */
	WAIT,	     /* b: for what */
	LOOK,	     /* inq, outq, mark, readiness */
	SLEEP,
	PUT,	     /* b, c: how many bytes */
	TAKE,	     /* b: how many, passed or not */
	CLOSE_LISTENER,
	DIED,
	GROW,	     /* b: by how much */
	/* the other side once more */
	ITS_TURN,    /* a: which slot; b: unit, and by how much its ring is larger; c: how far off its turn is */
	N_STEPS
};

static uint8_t memory[GUARD + ARENA_MOST + GUARD] __attribute__((aligned(LOCAL_PAGE)));
static uint8_t own[OWN_MOST] __attribute__((aligned(FS_CACHE_LINE)));

struct world {
	struct local_link *link;
	struct local_listener listener;
	struct local_agreed agreed;
	uint64_t counters[FS_CTR_N];
	struct local_conn *held[HELD];
	uint64_t next; /* the hostile side's cells */
	uint64_t wire[2 * SLOTS][2]; /* what of each connection a capture has, that came and that left */
	bool is_deaf;
};

static void on_event(void *context, struct local_conn *conn, uint32_t edges)
{
	FUZZ_CHECK(edges != 0);
	FUZZ_CHECK(conn->state == LOCAL_CONNECTING || conn->state == LOCAL_ESTABLISHED || conn->state == LOCAL_OVER);
}

static void on_incoming(void *context, struct local_listener *listener)
{
	FUZZ_CHECK(listener->waiting > 0);
}

static struct local_listener *find(void *context, uint64_t id, const struct ip_addr *local, uint16_t port)
{
	struct world *w = context;

	return id == LISTENER && !w->is_deaf ? &w->listener : NULL;
}

static void on_moved(void *context, struct local_conn *conn)
{
}

/* Behind a guard, and before another one. */
static uint8_t *arena(void)
{
	return memory + GUARD;
}

/* Whatever the other side writes: no byte twice, none that is not in the arena. What it says to have read is its own. */
static void on_tap(void *context, const struct local_conn *conn, const struct local_segment *segment)
{
	struct world *w = context;
	uint64_t *there = w->wire[conn - conn->link->conn];
	struct local_piece piece[2];

	if (segment->what == LOCAL_SEEN_SYN)
		there[0] = there[1] = 0;
	FUZZ_CHECK(segment->seq == there[segment->out]);
	there[segment->out] += segment->len + (segment->what == LOCAL_SEEN_FIN);
	local_tap_bytes(conn, segment, piece);
	FUZZ_CHECK(piece[0].len + piece[1].len == segment->len);
	for (unsigned i = 0; i < 2; i++)
		FUZZ_CHECK(piece[i].len == 0 || (piece[i].at >= arena() && piece[i].len <= w->agreed.len &&
						 piece[i].at + piece[i].len <= arena() + w->agreed.len));
}

static const struct local_ops ops = { on_event, on_incoming, find, on_moved, on_tap, NULL, NULL };

static void world_init(struct world *w, unsigned side)
{
	struct local_config config = {
		.ops = &ops, .context = w, .counters = w->counters, .arena = arena(), .side = side
	};

	*w = (struct world){ .agreed = local_agree(SLOTS, UNITS) };
	FUZZ_CHECK(w->agreed.len <= ARENA_MOST && local_link_len(&w->agreed) <= OWN_MOST);
	/* What lies in the byte rings of connections changes nothing, and is left as it is. */
	memset(memory, 0xa5, GUARD);
	memset(arena() + w->agreed.len, 0xa5, GUARD);
	memset(arena(), 0, local_data_at(SLOTS, UNITS, 0));
	memset(arena() + local_datagrams_at(SLOTS, UNITS, 0), 0, (size_t)2 << LOCAL_DATAGRAM_ORDER);
	local_arena_write(arena(), &w->agreed);
	FUZZ_CHECK(local_arena_read(arena(), w->agreed.len, &config.agreed) == 0);
	memset(own, 0, local_link_len(&w->agreed));
	w->link = local_link_init(own, &config);
	w->link->taps = true;
	local_listener_init(&w->listener, 2, NULL);
}

/* --- the other side --- */

static void write_cell(struct world *w, uint8_t kind, uint8_t slot, uint8_t c)
{
	struct local_cell *cells = (struct local_cell *)(void *)(arena() + local_cells_at(1 - w->link->side));
	struct local_cell *cell = &cells[w->next % LOCAL_CELLS];

	memset(cell, 0, sizeof(*cell));
	cell->slot = slot & 0x80 ? slot * UINT32_C(0x1010101) : slot % (2 * SLOTS + 1);
	if (kind % LOCAL_N_KINDS == LOCAL_OPEN) {
		cell->open.listener = c & 1 ? LISTENER : 0;
		cell->open.ring[0] = c >> 2;
		cell->open.ring[1] = c & 2 ? UINT32_MAX - 1 : (uint32_t)c >> 3;
		cell->open.order[0] = (uint8_t)(LOCAL_ORDER_MIN + (c >> 4) % 4);
		cell->open.order[1] = c == 0xff ? c : LOCAL_ORDER_MIN;
		cell->open.is_unix = kind >> 6 & 1;
		cell->open.ahead = c & 0x0f;
	} else {
		cell->word[0] = c;
	}
	cell->head = (uint32_t)(w->next / LOCAL_CELLS + 1) << 8 | (kind & 0x80 ? kind : kind % (LOCAL_N_KINDS + 1));
	w->next++;
}

static struct local_slot *slot_at(uint8_t slot)
{
	return (struct local_slot *)(void *)(arena() + local_slots_at()) + slot % (2 * SLOTS);
}

static void write_word(const struct world *w, uint8_t slot, uint8_t which, int8_t off)
{
	const struct local_conn *conn = &w->link->conn[slot % (2 * SLOTS)];
	struct local_stream_words *words = &slot_at(slot)->way[which & 1];
	uint64_t from[] = { conn->rx.pos, conn->rx.seen_head, conn->tx.head, conn->rx.pos + conn->rx.mask + 1,
			    UINT64_MAX };
	uint64_t value = from[(which >> 4) % FS_ARRAY_SIZE(from)] + (uint64_t)(int64_t)off;

	switch (which >> 1 & 7) {
	case 0:
		words->head = value;
		break;
	case 1:
		words->tail = value;
		break;
	case 2:
		words->read = value;
		break;
	case 3:
		words->urgent = value;
		break;
	case 4:
		words->writer_waits = (uint32_t)value;
		break;
	case 5:
		words->reader_waits = (uint32_t)value;
		break;
	case 6:
		((struct local_header *)(void *)arena())->side[which & 1].taken = (uint32_t)value;
		break;
	default:
		((struct local_header *)(void *)arena())->side[which & 1].asleep = 1;
	}
}

/* Of its ring of datagrams only what lies at the next position matters. */
static void write_datagram(struct world *w, uint8_t kind, uint8_t len, int8_t off)
{
	struct local_rx *rx = &w->link->datagrams.rx;
	struct local_datagram head = { .kind = kind & 0x80 ? kind : kind % (LOCAL_N_DATAGRAM_KINDS + 1),
				       .len = len == 0xff ? UINT32_MAX : (uint32_t)len * len };
	uint64_t at = rx->words->head;

	if (kind & 0x40) {
		w->link->datagrams.tx.words->read += (uint8_t)off;
		return;
	}
	for (size_t i = 0; i < sizeof(head); i++)
		((uint8_t *)rx->ring)[(at + i) & rx->mask] = ((uint8_t *)&head)[i];
	rx->words->head = at + ((sizeof(head) + head.len + 15) & ~(uint64_t)15) + (uint64_t)(int64_t)off;
}

static void turn_its_ring(struct world *w, unsigned way, const uint8_t *in)
{
	const struct local_conn *conn = &w->link->conn[in[1] % (2 * SLOTS)];
	struct local_stream_words *words = &slot_at(in[1])->way[1 - way];

	words->grown = (uint64_t)(in[2] >> 3) << 8 | (uint64_t)(LOCAL_ORDER_MIN + (in[2] & 7));
	words->turn = conn->rx.pos + in[3];
	if (in[3] & 1)
		words->head = words->turn + ((uint64_t)in[3] << (in[2] & 7));
}

static void other_side(struct world *w, const uint8_t *in)
{
	unsigned way = slot_at(in[1]) - slot_at(0) < SLOTS ? w->link->side : 1 - w->link->side;
	size_t at = ((size_t)in[1] << 8 | in[2]) * w->agreed.len >> 16;

	switch (in[0] % N_STEPS) {
	case WRITE_ANY:
		arena()[at] = in[3];
		break;
	case WRITE_CELL:
		write_cell(w, in[1], in[2], in[3]);
		break;
	case WRITE_WORD:
		write_word(w, in[1], in[2], (int8_t)in[3]);
		break;
	case ITS_DATAGRAM:
		write_datagram(w, in[1], in[2], (int8_t)in[3]);
		break;
	case ITS_BYTES:
		slot_at(in[1])->way[1 - way].head += in[3];
		break;
	case ITS_TURN:
		turn_its_ring(w, way, in);
		break;
	default:
		slot_at(in[1])->way[way].read += in[3];
		slot_at(in[1])->way[way].tail += in[3];
	}
}

/* --- our user --- */

static struct local_conn **place(struct world *w)
{
	for (unsigned i = 0; i < HELD; i++)
		if (!w->held[i])
			return &w->held[i];
	return NULL;
}

static void move_bytes(struct local_conn *conn, bool send, uint8_t flags, uint8_t n)
{
	static uint8_t bytes[BYTES];
	size_t len = (size_t)n * 11, first = n % 2 ? len : len / 3;
	struct iovec iov[2] = { { bytes, first }, { bytes + first, len - first } };
	ssize_t moved;

	moved = send ? local_send(conn, iov, n % 2 ? 1 : 2, flags & LOCAL_SEND_OOB) :
		       local_recv(conn, iov, n % 2 ? 1 : 2, flags & 7, flags >> 3);
	FUZZ_CHECK(moved <= (ssize_t)FS_MAX(len, (size_t)1));
	FUZZ_CHECK(moved >= 0 || moved == -EAGAIN || moved == -EPIPE || moved == -ECONNRESET || moved == -EINVAL ||
		   -moved <= 4095);
}

/* Bytes of the ring, and of the one before it. */
static uint64_t held_by(uint32_t mask, const struct local_turn *before)
{
	return (uint64_t)mask + 1 + (before->turn ? (uint64_t)before->mask + 1 : 0);
}

static void use(struct world *w, struct local_conn **held, const uint8_t *in)
{
	struct local_conn *conn = *held;
	uint8_t ahead[LOCAL_AHEAD_MAX];

	if (!conn)
		return;
	FUZZ_CHECK(local_take_ahead(conn, ahead) <= sizeof(ahead));
	switch (in[0] % N_STEPS) {
	case SEND:
	case RECEIVE:
		move_bytes(conn, in[0] % N_STEPS == SEND, in[2], in[3]);
		break;
	case SHUT:
		local_shutdown(conn, in[2] & 3);
		break;
	case CLOSE:
		*held = NULL;
		if (in[2] & 1)
			local_abort(conn);
		else
			local_close(conn);
		break;
	case GROW:
		local_grow(conn, LOCAL_ORDER_MIN + in[2] % 8);
		break;
	case WAIT:
		local_conn_wait(conn, in[2] & (LOCAL_READY_IN | LOCAL_READY_OUT));
		break;
	default:
		local_conn_set_inline(conn, in[2] & 1);
		FUZZ_CHECK(local_inq(conn) <= held_by(conn->rx.mask, &conn->rx.before));
		FUZZ_CHECK(local_outq(conn) <= held_by(conn->tx.mask, &conn->tx.before));
		local_at_mark(conn);
		local_ready(conn);
		if (in[2] & 2)
			local_take_error(conn);
	}
}

static void connect_one(struct world *w, uint8_t order)
{
	struct local_call call = { .listener = LISTENER, .send_order = (uint8_t)(LOCAL_ORDER_MIN + order % 6),
				   .receive_order = LOCAL_ORDER_MIN, .is_unix = order & 0x80, .ahead = "name",
				   .ahead_len = order & 0x80 ? 4 : 0 };
	struct local_conn **to = place(w);
	int rc = to ? local_connect(w->link, &call, NULL, to) : 0;

	FUZZ_CHECK(rc == 0 || rc == -ENOBUFS || (rc == -ENOTCONN && w->link->ended));
}

static void put_one(struct world *w, uint32_t len)
{
	static uint8_t bytes[LOCAL_DATAGRAM_MOST];
	struct local_datagram head = { .kind = LOCAL_DATAGRAM, .len = FS_MIN(len, (uint32_t)LOCAL_DATAGRAM_MOST) };
	struct iovec iov[2] = { { bytes, head.len / 2 }, { bytes, head.len - head.len / 2 } };

	local_datagram_put(w->link, &head, iov, 2);
	FUZZ_CHECK(w->link->datagrams.tx.head - w->link->datagrams.tx.seen_tail <= 1 << LOCAL_DATAGRAM_ORDER);
}

/* All that is shown lies in the ring of the other side, or, of what comes back, in ours. */
static void check_shown(const struct local_shown *shown, const uint8_t *ring)
{
	size_t sum = 0;

	FUZZ_CHECK(shown->head.kind > 0 && shown->head.kind < LOCAL_N_DATAGRAM_KINDS && shown->n <= 2);
	for (int i = 0; i < shown->n; i++) {
		const uint8_t *at = shown->part[i].iov_base;

		FUZZ_CHECK(at >= ring && shown->part[i].iov_len <= 1 << LOCAL_DATAGRAM_ORDER);
		FUZZ_CHECK(at + shown->part[i].iov_len <= ring + (1 << LOCAL_DATAGRAM_ORDER));
		sum += shown->part[i].iov_len;
	}
	FUZZ_CHECK(sum == shown->head.len);
}

static void take_some(struct world *w, unsigned n)
{
	struct local_shown shown;

	for (; n > 0 && local_datagram_next(w->link, &shown); n--) {
		check_shown(&shown, w->link->datagrams.rx.ring);
		if (n > 1)
			local_datagram_pass(w->link);
	}
}

static void take_back(struct world *w)
{
	struct local_shown shown;
	unsigned n = 0;

	while (local_datagram_unread(w->link, &shown)) {
		check_shown(&shown, w->link->datagrams.tx.ring);
		FUZZ_CHECK(++n <= (1 << LOCAL_DATAGRAM_ORDER) / sizeof(shown.head));
	}
}

static void our_user(struct world *w, const uint8_t *in)
{
	struct local_conn **to;

	switch (in[0] % N_STEPS) {
	case POLL:
		local_link_poll(w->link, in[1]);
		break;
	case CONNECT:
		connect_one(w, in[1]);
		break;
	case ACCEPT:
		to = place(w);
		if (to)
			*to = local_accept(&w->listener, NULL);
		break;
	case SLEEP:
		local_link_arm(w->link);
		local_link_poll(w->link, LOCAL_CELLS);
		local_link_rings(w->link);
		break;
	case PUT:
		put_one(w, (uint32_t)in[2] << 8 | in[3]);
		break;
	case TAKE:
		take_some(w, in[2]);
		break;
	case CLOSE_LISTENER:
		local_listener_close(&w->listener);
		break;
	case DIED:
		if (in[1] == 0xff)
			local_link_died(w->link);
		w->is_deaf = in[1] & 1;
		break;
	default:
		use(w, &w->held[in[1] % HELD], in);
	}
}

/* --- what must be --- */

static void check_conn(const struct local_conn *conn, bool is_ours, uint32_t *units)
{
	FUZZ_CHECK(conn->state < LOCAL_N_STATES);
	FUZZ_CHECK(conn->rx.seen_head - conn->rx.pos <= held_by(conn->rx.mask, &conn->rx.before));
	FUZZ_CHECK(conn->rx.ring >= arena() && conn->rx.ring + conn->rx.mask < arena() + ARENA_MOST);
	FUZZ_CHECK(conn->rx.before.turn == 0 || conn->rx.before.mask < conn->rx.mask);
	FUZZ_CHECK(conn->tx.head - conn->tx.seen_tail <= (uint64_t)conn->tx.mask + 1);
	FUZZ_CHECK((conn->listener != NULL) == (conn->state == LOCAL_QUEUED));
	for (unsigned way = 0; way < 2; way++) {
		uint32_t n = local_units_of(conn->order[way]);

		FUZZ_CHECK(conn->ring[way] + n <= UNITS);
		*units += is_ours ? n : 0;
	}
	if (conn->grown_order)
		*units += local_units_of(conn->grown_order);
}

static void check_world(const struct world *w)
{
	const struct local_link *link = w->link;
	uint32_t in_use = 0, units = 0, waiting = 0, held = 0, with_user = 0, free_slots = 0;

	for (uint32_t i = 0; i < 2 * SLOTS; i++) {
		const struct local_conn *conn = &link->conn[i];

		if (conn->state == LOCAL_FREE)
			continue;
		in_use++;
		check_conn(conn, i / SLOTS == link->side, &units);
		waiting += conn->state == LOCAL_QUEUED;
		with_user += conn->state != LOCAL_QUEUED && conn->state != LOCAL_LEFT;
	}
	for (uint32_t i = link->free_slot; i != LOCAL_NO_SLOT; i = link->conn[i].next)
		FUZZ_CHECK(link->conn[i].state == LOCAL_FREE && ++free_slots <= SLOTS);
	for (unsigned i = 0; i < HELD; i++)
		held += w->held[i] != NULL;
	FUZZ_CHECK(in_use == link->in_use && units == link->half.used && waiting == w->listener.waiting &&
		   held == with_user);
	FUZZ_CHECK(link->ended < LOCAL_LINK_N_ENDS);
	FUZZ_CHECK(link->datagrams.rx.seen_head - link->datagrams.rx.pos <= 1 << LOCAL_DATAGRAM_ORDER);
	FUZZ_CHECK(link->counters[FS_CTR_local_links_broken] == (link->ended > LOCAL_LINK_DIED));
}

static void check_guards(const struct world *w)
{
	for (size_t i = 0; i < GUARD; i++)
		FUZZ_CHECK(memory[i] == 0xa5 && arena()[w->agreed.len + i] == 0xa5);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static struct world w;

	if (size == 0)
		return 0;
	world_init(&w, data[0] & 1);
	for (data++, size--; size >= 4; data += 4, size -= 4) {
		if (data[0] % N_STEPS < POLL || data[0] % N_STEPS == ITS_TURN)
			other_side(&w, data);
		else
			our_user(&w, data);
		check_world(&w);
	}
	for (unsigned i = 0; i < HELD; i++)
		if (w.held[i])
			local_close(w.held[i]);
	memset(w.held, 0, sizeof(w.held));
	local_listener_close(&w.listener);
	local_link_died(w.link);
	take_back(&w);
	local_listener_close(&w.listener); /* of what came with its last words */
	check_world(&w);
	check_guards(&w);
	FUZZ_CHECK(local_link_is_idle(w.link) && w.link->half.used == 0);
	return 0;
}
