/* SPDX-License-Identifier: BSD-2-Clause */
/* A link: the arena that is agreed, messages without room, doorbells, what the other side may not say, its death. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "local_rig.h"

/* --- the arena --- */

static void local_arena_read__only_what_was_written(void **state)
{
	struct rig *r = *state;
	struct local_agreed bad[7], got;

	for (unsigned i = 0; i < FS_ARRAY_SIZE(bad); i++)
		bad[i] = r->agreed;
	bad[0].magic++;
	bad[1].len--;
	bad[2].slots = 0;
	bad[3].slots = LOCAL_SLOTS_MAX + 1;
	bad[4].units = LOCAL_UNITS_MAX + 64;
	bad[5].units = 65;
	bad[6].slots += 100;
	for (unsigned i = 0; i < FS_ARRAY_SIZE(bad); i++)
		assert_int_equal(local_arena_read(&bad[i], r->agreed.len, &got), -EPROTO);
	assert_int_equal(local_arena_read(r->arena, r->agreed.len - 1, &got), -EPROTO);
	assert_int_equal(local_arena_read(r->arena, 10, &got), -EPROTO);
	bad[0] = r->agreed;
	bad[0].version++;
	assert_int_equal(local_arena_read(&bad[0], r->agreed.len, &got), -EPROTONOSUPPORT);
}

/* --- messages --- */

/* The next cell of side 0, as a hostile process writes it: about slot 0, which side 0 owns, unless it is changed. */
static struct local_cell *forge(struct rig *r, uint32_t kind)
{
	struct local_out *out = &r->side[0].link->out;
	struct local_cell *cell = &out->cells[out->next % LOCAL_CELLS];

	memset(cell, 0, sizeof(*cell));
	cell->open = (struct local_open_args){ .listener = RIG_LISTENER, .local_port = RIG_PORT, .order = { 12, 12 } };
	cell->head = (uint32_t)(out->next++ / LOCAL_CELLS + 1) << 8 | kind;
	return cell;
}

/* Side 1 polls, and its link is no more because of @why, which it counts. */
static void ends_by(struct rig *r, enum local_end why)
{
	local_link_poll(r->side[1].link, RIG_ALL);
	assert_string_equal(local_end_name[r->side[1].link->ended], local_end_name[why]);
	assert_int_equal(r->side[1].counters[FS_CTR_local_links_broken], 1);
}

static void local_link_poll__no_such_kind(void **state)
{
	forge(*state, LOCAL_N_KINDS);
	ends_by(*state, LOCAL_LINK_BAD_KIND);
}

static void local_link_poll__kind_of_nothing(void **state)
{
	forge(*state, 0);
	ends_by(*state, LOCAL_LINK_BAD_KIND);
}

static void local_link_poll__no_such_slot(void **state)
{
	forge(*state, LOCAL_OPEN)->slot = 2 * RIG_SLOTS;
	ends_by(*state, LOCAL_LINK_BAD_SLOT);
}

static void local_link_poll__opens_our_slot(void **state)
{
	forge(*state, LOCAL_OPEN)->slot = RIG_SLOTS;
	ends_by(*state, LOCAL_LINK_BAD_SLOT);
}

static void local_link_poll__opens_twice(void **state)
{
	forge(*state, LOCAL_OPEN);
	forge(*state, LOCAL_OPEN);
	ends_by(*state, LOCAL_LINK_BAD_SLOT);
}

static void local_link_poll__about_nothing(void **state)
{
	forge(*state, LOCAL_BYTES);
	ends_by(*state, LOCAL_LINK_BAD_SLOT);
}

static void local_link_poll__after_its_last(void **state)
{
	forge(*state, LOCAL_OPEN);
	forge(*state, LOCAL_CLOSE);
	forge(*state, LOCAL_BYTES);
	ends_by(*state, LOCAL_LINK_BAD_SLOT);
}

static void local_link_poll__answers_itself(void **state)
{
	forge(*state, LOCAL_OPEN);
	forge(*state, LOCAL_ACCEPTED);
	ends_by(*state, LOCAL_LINK_BAD_KIND);
}

static void local_link_poll__answers_twice(void **state)
{
	struct rig *r = *state;

	rig_dial(r, 1);
	forge(r, LOCAL_ACCEPTED)->slot = RIG_SLOTS;
	forge(r, LOCAL_ACCEPTED)->slot = RIG_SLOTS;
	ends_by(r, LOCAL_LINK_BAD_KIND);
}

static void local_link_poll__goes_on_unanswered(void **state)
{
	struct rig *r = *state;

	rig_dial(r, 1);
	forge(r, LOCAL_SHUTDOWN)->slot = RIG_SLOTS;
	ends_by(r, LOCAL_LINK_BAD_KIND);
}

/* Who connects is told of no move before the answer, and follows nobody. */
static void local_link_poll__moves_unanswered(void **state)
{
	struct rig *r = *state;
	struct local_conn *dialling = rig_dial(r, 1);

	forge(r, LOCAL_MOVED)->slot = RIG_SLOTS;
	ends_by(r, LOCAL_LINK_BAD_KIND);
	assert_false(dialling->flags & (LOCAL_PEER_MOVED | LOCAL_ANSWERED));
	assert_int_equal(dialling->state, LOCAL_OVER);
	assert_int_equal(r->side[1].moved, 0);
	local_close(dialling);
}

static void local_link_poll__shuts_twice(void **state)
{
	forge(*state, LOCAL_OPEN);
	forge(*state, LOCAL_SHUTDOWN);
	forge(*state, LOCAL_SHUTDOWN);
	ends_by(*state, LOCAL_LINK_BAD_KIND);
}

static void local_link_poll__rings_out_of_its_half(void **state)
{
	struct rig *r = *state;

	forge(r, LOCAL_OPEN)->open.ring[1] = RIG_UNITS;
	ends_by(r, LOCAL_LINK_BAD_RING);
	assert_true(local_link_is_idle(r->side[1].link));
}

static void local_link_poll__ring_too_large(void **state)
{
	forge(*state, LOCAL_OPEN)->open.order[0] = 12 + 7;
	ends_by(*state, LOCAL_LINK_BAD_RING);
}

static void local_link_poll__ring_of_no_size(void **state)
{
	forge(*state, LOCAL_OPEN)->open.order[0] = 200;
	ends_by(*state, LOCAL_LINK_BAD_RING);
}

/* Its other connections are reset, and what users had is theirs until they close. */
static void local_link_fail__resets_all(void **state)
{
	struct rig *r = *state;
	struct local_conn *ends[2], *dialling;
	char byte;

	rig_connect(r, ends);
	rig_send(ends[0], "lost", 4, 0);
	rig_dial(r, 0);
	local_link_poll(r->side[1].link, RIG_ALL); /* that one waits in the listener */
	dialling = rig_dial(r, 1);
	forge(r, LOCAL_N_KINDS);
	ends_by(r, LOCAL_LINK_BAD_KIND);
	assert_true(rig_edges(r, 1) & LOCAL_READY_ERR);
	assert_int_equal(rig_recv(ends[1], &byte, 1, 0), -ECONNRESET);
	assert_int_equal(rig_recv(ends[1], &byte, 1, 0), 0);
	assert_int_equal(rig_send(ends[1], "x", 1, 0), -EPIPE);
	assert_int_equal(local_take_error(dialling), ECONNRESET);
	assert_false(local_link_is_idle(r->side[1].link));
	local_close(ends[1]);
	local_close(dialling);
	local_listener_close(&r->side[1].listener);
	assert_true(local_link_is_idle(r->side[1].link));
	assert_int_equal(local_connect(r->side[1].link, &(struct local_call){ .send_order = 12, .receive_order = 12 },
				       NULL, &dialling),
			 -ENOTCONN);
}

/* --- no room for messages --- */

/* Connections come and go while the other side does not look: nothing is lost, nothing is said twice. */
static void local_say__waits_for_room(void **state)
{
	struct rig *r = *state;
	struct local_link *one = r->side[1].link;
	struct local_conn *ends[2];
	unsigned told = 0;

	rig_connect(r, ends);
	rig_settle(r);
	local_link_rings(one);
	while (local_out_has_room(&one->out)) { /* one event for each byte that is asked for */
		char byte;

		assert_int_equal(local_conn_wait(ends[0], LOCAL_READY_IN), 0);
		assert_int_equal(rig_send(ends[1], "b", 1, 0), 1);
		assert_int_equal(rig_recv(ends[0], &byte, 1, 0), 1);
		told++;
	}
	assert_int_equal(local_shutdown(ends[1], LOCAL_SHUT_WRITING), 0);
	local_close(ends[1]);
	assert_true(one->owing != LOCAL_NO_SLOT);
	assert_false(local_link_rings(one));
	assert_int_equal(local_link_poll(r->side[0].link, RIG_ALL), told);
	assert_true(local_link_rings(r->side[0].link)); /* side 1 is to be told that there is room */
	assert_int_equal(r->side[0].told->state, LOCAL_ESTABLISHED);
	assert_int_equal(local_link_poll(one, RIG_ALL), 0);
	assert_int_equal(one->owing, LOCAL_NO_SLOT);
	assert_int_equal(local_link_poll(r->side[0].link, RIG_ALL), 2);
	assert_true(ends[0]->flags & LOCAL_FIN_RECEIVED);
	local_close(ends[0]);
	rig_settle(r);
	assert_true(local_link_is_idle(one));
	assert_true(local_link_is_idle(r->side[0].link));
}

/* --- doorbells --- */

static void local_link_arm__told_once(void **state)
{
	struct rig *r = *state;
	struct local_link *zero = r->side[0].link, *one = r->side[1].link;

	rig_dial(r, 0);
	assert_false(local_link_rings(zero)); /* it is awake */
	local_link_arm(one);
	assert_int_equal(local_link_poll(one, RIG_ALL), 1); /* what came before is there to be taken */
	rig_dial(r, 0);
	assert_true(local_link_rings(zero));
	assert_false(local_link_rings(zero));
	rig_dial(r, 0);
	assert_false(local_link_rings(zero));
}

/* A sleeper that waits for bytes of one connection: a message and a bell, and none for who spins. */
static void local_conn_wait__rings(void **state)
{
	struct rig *r = *state;
	struct local_conn *ends[2];

	rig_connect(r, ends);
	rig_send(ends[0], "a", 1, 0);
	assert_false(local_link_rings(r->side[0].link));
	assert_int_equal(local_link_poll(r->side[1].link, RIG_ALL), 0);
	assert_reads(ends[1], "a");
	assert_int_equal(local_conn_wait(ends[1], LOCAL_READY_IN), 0);
	local_link_arm(r->side[1].link);
	rig_send(ends[0], "b", 1, 0);
	assert_true(local_link_rings(r->side[0].link));
	assert_int_equal(local_link_poll(r->side[1].link, RIG_ALL), 1);
	assert_int_equal(rig_edges(r, 1), LOCAL_READY_IN);
	rig_send(ends[0], "c", 1, 0);
	assert_false(local_link_rings(r->side[0].link));
	assert_reads(ends[1], "bc");
}

/* --- death --- */

static void local_link_died__all_read(void **state)
{
	struct rig *r = *state;
	struct local_conn *ends[2];
	char byte;

	rig_connect(r, ends);
	rig_send(ends[0], "last words", 10, 0);
	local_link_died(r->side[1].link);
	assert_int_equal(r->side[1].counters[FS_CTR_local_links_broken], 0);
	assert_true(rig_edges(r, 1) & LOCAL_READY_IN);
	assert_reads(ends[1], "last words");
	assert_int_equal(rig_recv(ends[1], &byte, 1, 0), 0);
	assert_int_equal(rig_send(ends[1], "x", 1, 0), 1); /* as TCP, which learns of it by this */
	assert_int_equal(rig_send(ends[1], "x", 1, 0), -EPIPE);
	local_close(ends[1]);
	assert_true(local_link_is_idle(r->side[1].link));
}

/* The dead had not read what was sent to it: its kernel would have reset the connection. */
static void local_link_died__unread(void **state)
{
	struct rig *r = *state;
	struct local_conn *ends[2];
	char byte;

	rig_connect(r, ends);
	rig_send(ends[1], "never read", 10, 0);
	rig_send(ends[0], "last words", 10, 0);
	local_link_died(r->side[1].link);
	assert_reads(ends[1], "last words");
	assert_int_equal(rig_recv(ends[1], &byte, 1, 0), -ECONNRESET);
	assert_int_equal(rig_send(ends[1], "x", 1, 0), -EPIPE);
}

/* What it said and nobody had looked at counts. */
static void local_link_died__after_shutdown(void **state)
{
	struct rig *r = *state;
	struct local_conn *ends[2];
	char byte;

	rig_connect(r, ends);
	rig_send(ends[1], "never read", 10, 0);
	local_shutdown(ends[0], LOCAL_SHUT_WRITING);
	local_link_died(r->side[1].link);
	assert_int_equal(rig_recv(ends[1], &byte, 1, 0), 0);
	assert_int_equal(rig_send(ends[1], "x", 1, 0), -EPIPE);
}

static void local_link_died__before_its_answer(void **state)
{
	struct rig *r = *state;
	struct local_conn *conn = rig_dial(r, 1);

	local_link_died(r->side[1].link);
	assert_int_equal(local_take_error(conn), ECONNREFUSED);
	local_close(conn);
	assert_true(local_link_is_idle(r->side[1].link));
}

static void local_link_died__while_it_waits_for_accept(void **state)
{
	struct rig *r = *state;
	struct local_conn *conn = rig_dial(r, 0);

	rig_send(conn, "hello", 5, 0);
	local_link_died(r->side[1].link);
	conn = local_accept(&r->side[1].listener, NULL);
	assert_reads(conn, "hello");
	local_close(conn);
	assert_true(local_link_is_idle(r->side[1].link));
}

/* It died as it copied: what it had not shown does not count. */
static void local_link_died__in_a_copy(void **state)
{
	struct rig *r = *state;
	struct local_conn *ends[2];
	char byte;

	rig_connect(r, ends);
	rig_send(ends[0], "whole", 5, 0);
	memcpy(ends[0]->tx.ring + 5, "half", 4);
	local_link_died(r->side[1].link);
	assert_reads(ends[1], "whole");
	assert_int_equal(rig_recv(ends[1], &byte, 1, 0), 0);
}

static void local_link_died__with_an_impossible_position(void **state)
{
	struct rig *r = *state;
	struct local_conn *ends[2];
	char byte;

	rig_connect(r, ends);
	ends[1]->rx.words->head = UINT64_MAX;
	local_link_died(r->side[1].link);
	assert_int_equal(rig_recv(ends[1], &byte, 1, 0), -ECONNRESET);
}

/* Each byte once: by one who asks, and by the end; of connections that were, and of others on the same slot. */
static void local_conn_count__each_byte_once(void **state)
{
	struct rig *r = *state;
	struct local_conn *ends[2];
	char bytes[10];

	for (unsigned i = 1; i <= 3; i++) {
		rig_connect(r, ends);
		rig_send(ends[0], "0123456789", 10, 0);
		rig_recv(ends[1], bytes, 4, 0);
		local_conn_count(ends[0]);
		local_conn_count(ends[1]);
		assert_int_equal(ends[1]->link->rx_bytes, 10 * i - 6);
		local_conn_count(ends[1]);
		rig_recv(ends[1], bytes, 6, 0);
		rig_send(ends[1], "x", 1, 0);
		rig_recv(ends[0], bytes, 1, 0);
		local_close(ends[0]);
		local_close(ends[1]);
		rig_settle(r);
		assert_int_equal(r->side[0].link->tx_bytes, 10 * i);
		assert_int_equal(r->side[0].link->rx_bytes, i);
		assert_int_equal(r->side[1].link->tx_bytes, i);
		assert_int_equal(r->side[1].link->rx_bytes, 10 * i);
	}
}

/* Room that was used once stays used, as far as memory goes; both sides know of both halves. */
static void local_link_reached__of_both_halves(void **state)
{
	struct rig *r = *state;
	struct local_conn *ends[2];

	rig_connect(r, ends);
	rig_dial(r, 1);
	rig_dial(r, 1);
	rig_settle(r);
	for (unsigned i = 0; i < 2; i++) {
		assert_int_equal(r->side[i].link->half.reached, i == 0 ? 2 : 4);
		assert_int_equal(r->side[i].link->far_reached, i == 0 ? 4 : 2);
	}
	local_close(ends[0]);
	local_close(ends[1]);
	rig_settle(r);
	assert_int_equal(r->side[0].link->half.reached, 2);
	assert_int_equal(r->side[1].link->far_reached, 2);
}

#define CASE(f) cmocka_unit_test_setup_teardown(f, rig_setup, rig_teardown)

int main(void)
{
	static const struct CMUnitTest tests[] = {
		CASE(local_arena_read__only_what_was_written),
		CASE(local_link_poll__no_such_kind),
		CASE(local_link_poll__kind_of_nothing),
		CASE(local_link_poll__no_such_slot),
		CASE(local_link_poll__opens_our_slot),
		CASE(local_link_poll__opens_twice),
		CASE(local_link_poll__about_nothing),
		CASE(local_link_poll__after_its_last),
		CASE(local_link_poll__answers_itself),
		CASE(local_link_poll__answers_twice),
		CASE(local_link_poll__goes_on_unanswered),
		CASE(local_link_poll__moves_unanswered),
		CASE(local_link_poll__shuts_twice),
		CASE(local_link_poll__rings_out_of_its_half),
		CASE(local_link_poll__ring_too_large),
		CASE(local_link_poll__ring_of_no_size),
		CASE(local_link_fail__resets_all),
		CASE(local_say__waits_for_room),
		CASE(local_link_arm__told_once),
		CASE(local_conn_wait__rings),
		CASE(local_link_died__all_read),
		CASE(local_link_died__unread),
		CASE(local_link_died__after_shutdown),
		CASE(local_link_died__before_its_answer),
		CASE(local_link_died__while_it_waits_for_accept),
		CASE(local_link_died__in_a_copy),
		CASE(local_link_died__with_an_impossible_position),
		CASE(local_conn_count__each_byte_once),
		CASE(local_link_reached__of_both_halves),
	};

	return cmocka_run_group_tests_name("local_link", tests, NULL, NULL);
}
