/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * link.c - the arena, messages both ways, and the end of a link.
 *
 * Each message is an active one: its kind is an index into a table of handlers (conn.c), and one place, may_come(),
 * judges whether it may come at all. So no handler asks what another one has ruled out, and moving bytes asks for no
 * message.
 *
 * Not here: what a message does to its connection (conn.c).
 */
#include "local/link.h"

#include <errno.h>
#include <string.h>

#include "base/barrier.h"
#include "base/counter.h"
#include "base/err.h"
#include "local/bell.h"
#include "local/link_internal.h"

const char *const local_end_name[LOCAL_LINK_N_ENDS] = {
	"up", "died", "bad kind", "bad slot", "bad ring", "bad position", "bad datagram"
};

/* --- the arena --- */

struct local_agreed local_agree(uint32_t slots, uint32_t units)
{
	fs_assert(slots > 0 && slots <= LOCAL_SLOTS_MAX && units > 0 && units <= LOCAL_UNITS_MAX && units % 64 == 0);
	return (struct local_agreed){
		.magic = LOCAL_MAGIC,
		.version = LOCAL_VERSION,
		.len = local_arena_len(slots, units),
		.slots = slots,
		.units = units,
	};
}

void local_arena_write(void *arena, const struct local_agreed *agreed)
{
	memcpy(arena, agreed, sizeof(*agreed));
}

int local_arena_read(const void *arena, size_t len, struct local_agreed *agreed)
{
	struct local_agreed a;

	if (len < sizeof(struct local_header))
		return -EPROTO;
	memcpy(&a, arena, sizeof(a));
	/* The copy is all that is looked at from here on: the compiler may not read the arena again. */
	fs_program_order();
	if (a.magic != LOCAL_MAGIC)
		return -EPROTO;
	if (a.version != LOCAL_VERSION)
		return -EPROTONOSUPPORT;
	if (a.slots == 0 || a.slots > LOCAL_SLOTS_MAX || a.units == 0 || a.units > LOCAL_UNITS_MAX ||
	    a.units % 64 != 0 || a.len != len || len != local_arena_len(a.slots, a.units))
		return -EPROTO;
	*agreed = a;
	return 0;
}

/* --- a link's own memory: the link, its connections, the map of its half --- */

static size_t conns_at(void)
{
	return (sizeof(struct local_link) + FS_CACHE_LINE - 1) & ~(size_t)(FS_CACHE_LINE - 1);
}

static size_t map_at(const struct local_agreed *agreed)
{
	return conns_at() + (size_t)LOCAL_SIDES * agreed->slots * sizeof(struct local_conn);
}

size_t local_link_len(const struct local_agreed *agreed)
{
	return map_at(agreed) + agreed->units / 8;
}

struct local_link *local_link_init(void *memory, const struct local_config *config)
{
	const struct local_agreed *agreed = &config->agreed;
	struct local_link *link = memory;
	uint8_t *arena = config->arena, *map = (uint8_t *)memory + map_at(agreed);
	struct local_header *header = config->arena;
	unsigned side = config->side, other = 1 - side;

	*link = (struct local_link){
		.ops = config->ops,
		.context = config->context,
		.counters = config->counters,
		.arena = arena,
		.conn = (struct local_conn *)(void *)((uint8_t *)memory + conns_at()),
		.slots = agreed->slots,
		.units = agreed->units,
		.side = side,
		.ours = &header->side[side],
		.theirs = &header->side[other],
		.owing = LOCAL_NO_SLOT,
		.owing_last = LOCAL_NO_SLOT,
		.free_slot = LOCAL_NO_SLOT,
	};
	list_init(&link->starving);
	link->out.cells = (struct local_cell *)(void *)(arena + local_cells_at(side));
	link->out.taken = &link->theirs->taken;
	link->in.cells = (const struct local_cell *)(const void *)(arena + local_cells_at(other));
	link->in.taken = &link->ours->taken;
	local_half_init(&link->half, (uint64_t *)(void *)map, agreed->units);
	local_datagrams_init(link, header);
	fs_store_relaxed(&link->ours->joined, 1);
	return link;
}

uint8_t *local_ring_in(const struct local_link *link, unsigned side, uint64_t unit, unsigned order)
{
	if (order < LOCAL_ORDER_MIN || order > LOCAL_ORDER_MAX || unit >= link->units ||
	    unit + local_units_of(order) > link->units)
		return NULL;
	return link->arena + local_data_at(link->slots, link->units, side) + (size_t)unit * LOCAL_UNIT;
}

/* --- slots --- */

struct local_conn *local_slot_get(struct local_link *link)
{
	struct local_conn *conn;

	if (link->free_slot != LOCAL_NO_SLOT) {
		conn = &link->conn[link->free_slot];
		link->free_slot = conn->next;
	} else if (link->fresh < link->slots) {
		conn = &link->conn[link->side * link->slots + link->fresh++];
	} else {
		return NULL;
	}
	*conn = (struct local_conn){ .link = link };
	link->in_use++;
	return conn;
}

void local_slot_put(struct local_conn *conn)
{
	struct local_link *link = conn->link;
	uint32_t slot = local_slot_of(conn);

	link->in_use--;
	conn->state = LOCAL_FREE;
	if (conn->grown_order)
		local_half_put(&link->half, conn->grown, local_units_of(conn->grown_order));
	if (!local_slot_is_of(link, slot, link->side))
		return;
	for (unsigned way = 0; way < 2; way++)
		local_half_put(&link->half, conn->ring[way], local_units_of(conn->order[way]));
	conn->next = link->free_slot;
	link->free_slot = slot;
}

/* --- messages out --- */

/* There is room for a message, or the other side knows that we wait for it. */
static bool make_room(struct local_link *link)
{
	if (local_out_has_room(&link->out))
		return true;
	local_bell_arm(&link->ours->stuck, 1);
	if (!local_out_has_room(&link->out))
		return false;
	local_bell_disarm(&link->ours->stuck);
	return true;
}

/* Say what is owed by the first that owes. False: there is no room for it all. */
static bool pay_first(struct local_link *link, bool *said)
{
	struct local_conn *conn = &link->conn[link->owing];

	while (conn->owed) {
		unsigned kind = (unsigned)__builtin_ctz(conn->owed);
		struct local_cell cell = { .head = kind, .slot = local_slot_of(conn) };

		if (!make_room(link))
			return false;
		local_conn_fill(conn, kind, &cell);
		local_out_put(&link->out, &cell);
		conn->owed &= conn->owed - 1;
		*said = true;
	}
	link->owing = conn->next;
	if (link->owing == LOCAL_NO_SLOT)
		link->owing_last = LOCAL_NO_SLOT;
	conn->is_owing = false;
	local_conn_settle(conn);
	return true;
}

static void pay(struct local_link *link)
{
	bool said = false;

	while (link->owing != LOCAL_NO_SLOT && pay_first(link, &said))
		;
	if (said && local_bell_due(&link->theirs->asleep))
		link->rings = true;
}

void local_say(struct local_conn *conn, enum local_kind kind)
{
	struct local_link *link = conn->link;

	if (link->ended != LOCAL_LINK_UP)
		return;
	conn->owed |= UINT32_C(1) << kind;
	if (conn->is_owing)
		return; /* behind others, or there is no room: local_link_poll() goes on */
	conn->is_owing = true;
	conn->next = LOCAL_NO_SLOT;
	if (link->owing_last == LOCAL_NO_SLOT)
		link->owing = local_slot_of(conn);
	else
		link->conn[link->owing_last].next = local_slot_of(conn);
	link->owing_last = local_slot_of(conn);
	pay(link);
}

/* --- messages in --- */

/* What has to be so for a message to come. */
enum rule {
	BEGINS = 1 << 0,  /* the slot is theirs, and free */
	ANSWERS = 1 << 1, /* the slot is ours, and was not answered */
	ONCE = 1 << 2,	  /* the stream that comes has not ended */
};

static const uint8_t rules[LOCAL_N_KINDS] = {
	[LOCAL_OPEN] = BEGINS,
	[LOCAL_ACCEPTED] = ANSWERS,
	[LOCAL_REFUSED] = ANSWERS,
	[LOCAL_SHUTDOWN] = ONCE,
};

static enum local_end may_come(const struct local_link *link, const struct local_conn *conn, uint32_t kind)
{
	bool is_ours = local_slot_is_of(link, (uint32_t)(conn - link->conn), link->side);
	bool is_in_use = conn->state != LOCAL_FREE && !local_has(conn, LOCAL_PEER_LEFT);

	if (rules[kind] & BEGINS)
		return is_ours || conn->state != LOCAL_FREE ? LOCAL_LINK_BAD_SLOT : LOCAL_LINK_UP;
	if (!is_in_use)
		return LOCAL_LINK_BAD_SLOT;
	if (((rules[kind] & ANSWERS) != 0) == (is_ours ? local_has(conn, LOCAL_ANSWERED) : true))
		return LOCAL_LINK_BAD_KIND;
	if ((rules[kind] & ONCE) && local_has(conn, LOCAL_FIN_RECEIVED))
		return LOCAL_LINK_BAD_KIND;
	return LOCAL_LINK_UP;
}

static void take_message(struct local_link *link, const struct local_cell *cell)
{
	struct local_conn *conn;
	enum local_end bad;

	if (cell->head == 0 || cell->head >= LOCAL_N_KINDS) {
		local_link_fail(link, LOCAL_LINK_BAD_KIND);
		return;
	}
	if (cell->slot >= LOCAL_SIDES * link->slots) {
		local_link_fail(link, LOCAL_LINK_BAD_SLOT);
		return;
	}
	conn = &link->conn[cell->slot];
	bad = may_come(link, conn, cell->head);
	if (bad != LOCAL_LINK_UP) {
		local_link_fail(link, bad);
		return;
	}
	if (cell->head == LOCAL_OPEN) {
		*conn = (struct local_conn){ .link = link };
		link->in_use++;
	}
	local_conn_handle(conn, cell);
}

unsigned local_link_poll(struct local_link *link, unsigned most)
{
	struct local_cell cell;
	unsigned n = 0;

	while (n < most && link->ended == LOCAL_LINK_UP && local_in_get(&link->in, &cell)) {
		take_message(link, &cell);
		n++;
	}
	if (link->ended != LOCAL_LINK_UP)
		return n;
	if (local_in_show(&link->in, n < most) && local_bell_due(&link->theirs->stuck))
		link->rings = true;
	if (link->owing != LOCAL_NO_SLOT)
		pay(link);
	return n;
}

void local_link_arm(struct local_link *link)
{
	if (link->ended == LOCAL_LINK_UP)
		local_bell_arm(&link->ours->asleep, 1);
}

/* --- the end --- */

static void end(struct local_link *link, enum local_end why)
{
	link->ended = why;
	link->owing = link->owing_last = LOCAL_NO_SLOT;
	for (uint32_t i = 0; i < LOCAL_SIDES * link->slots && link->in_use > 0; i++)
		if (link->conn[i].state != LOCAL_FREE)
			local_conn_lose(&link->conn[i], why);
}

void local_link_fail(struct local_link *link, enum local_end why)
{
	if (link->ended != LOCAL_LINK_UP)
		return;
	link->counters[FS_CTR_local_links_broken]++;
	end(link, why);
}

void local_link_died(struct local_link *link)
{
	/* What the dead said counts; it does not say more than the ring holds. */
	local_link_poll(link, LOCAL_CELLS);
	if (link->ended == LOCAL_LINK_UP)
		end(link, LOCAL_LINK_DIED);
}
