/* SPDX-License-Identifier: BSD-2-Clause */
/* Datagrams over a link: each whole and once, room, who is told, what cannot be, what comes back when it has ended. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "local_rig.h"

enum { RING = 1 << LOCAL_DATAGRAM_ORDER, HEAD = sizeof(struct local_datagram) };

static uint8_t bytes[LOCAL_DATAGRAM_MOST + 1];

static struct local_datagram head_of(uint32_t len)
{
	return (struct local_datagram){
		.len = len, .kind = LOCAL_DATAGRAM, .hops = 64, .src_port = (uint16_t)(len + 1), .dst_port = RIG_PORT
	};
}

/* Side @side sends @len bytes that follow from it, in three pieces of which one is empty. */
static bool put(struct rig *r, unsigned side, uint32_t len)
{
	struct local_datagram head = head_of(len);
	struct iovec iov[3] = { { bytes, len / 3 }, { NULL, 0 }, { bytes + len / 3, len - len / 3 } };

	for (uint32_t i = 0; i < len; i++)
		bytes[i] = (uint8_t)(i * 7 + len);
	return local_datagram_put(r->side[side].link, &head, iov, 3);
}

static void is_that_of(const struct local_shown *shown, uint32_t len)
{
	uint32_t i = 0;

	assert_int_equal(shown->head.len, len);
	assert_int_equal(shown->head.kind, LOCAL_DATAGRAM);
	assert_int_equal(shown->head.src_port, (uint16_t)(len + 1));
	assert_int_equal(shown->head.dst_port, RIG_PORT);
	for (int part = 0; part < shown->n; part++)
		for (size_t at = 0; at < shown->part[part].iov_len; at++, i++)
			assert_int_equal(((uint8_t *)shown->part[part].iov_base)[at], (uint8_t)(i * 7 + len));
	assert_int_equal(i, len);
}

/* What side @side is shown next is the one of @len bytes; it passes it. */
static void took(struct rig *r, unsigned side, uint32_t len)
{
	struct local_shown shown;

	assert_true(local_datagram_next(r->side[side].link, &shown));
	is_that_of(&shown, len);
	local_datagram_pass(r->side[side].link);
}

static void took_nothing(struct rig *r, unsigned side)
{
	struct local_shown shown;

	assert_false(local_datagram_next(r->side[side].link, &shown));
}

static void local_datagram__whole_both_ways(void **state)
{
	static const uint32_t lens[] = { 0, 1, 15, 16, 17, 1400, 65507, LOCAL_DATAGRAM_MOST };
	struct rig *r = *state;

	for (unsigned side = 0; side < 2; side++) {
		took_nothing(r, 1 - side);
		for (unsigned i = 0; i < FS_ARRAY_SIZE(lens); i++)
			assert_true(put(r, side, lens[i]));
		for (unsigned i = 0; i < FS_ARRAY_SIZE(lens); i++)
			took(r, 1 - side, lens[i]);
		took_nothing(r, 1 - side);
	}
	assert_int_equal(r->side[0].link->tx_bytes, r->side[1].link->rx_bytes);
	assert_int_equal(r->side[0].counters[FS_CTR_local_bytes_out], r->side[1].counters[FS_CTR_local_bytes_in]);
}

/* Over the end of the ring with heads, with bytes, and exactly at it. */
static void local_datagram__around(void **state)
{
	struct rig *r = *state;

	for (uint32_t i = 0; i < 4000; i++) {
		uint32_t len = (i * 37) % 3000;

		assert_true(put(r, 0, len));
		assert_true(put(r, 0, len + 1));
		took(r, 1, len);
		took(r, 1, len + 1);
	}
	assert_true(r->side[1].link->datagrams.rx.pos > 4 * RING);
}

static void local_datagram_next__stays_until_it_is_passed(void **state)
{
	struct rig *r = *state;
	struct local_shown shown;

	put(r, 0, 9);
	put(r, 0, 10);
	for (int i = 0; i < 2; i++) {
		assert_true(local_datagram_next(r->side[1].link, &shown));
		is_that_of(&shown, 9);
	}
	local_datagram_pass(r->side[1].link);
	took(r, 1, 10);
}

/* None in part; and room is there as soon as one was passed, whatever the reader has shown of it. */
static void local_datagram_put__no_room(void **state)
{
	struct rig *r = *state;
	unsigned n = 0;

	while (put(r, 0, 1000))
		n++;
	assert_int_equal(n, RING / (HEAD + 1008));
	assert_false(put(r, 0, 1000));
	took(r, 1, 1000);
	assert_true(put(r, 0, 1000));
	assert_false(put(r, 0, 1000));
	for (; n > 0; n--)
		took(r, 1, 1000);
	took_nothing(r, 1);
	assert_int_equal(r->side[0].link->ended, LOCAL_LINK_UP);
}

static void local_datagram_put__rings_once_for_who_sleeps(void **state)
{
	struct rig *r = *state;

	put(r, 0, 1);
	assert_false(local_link_rings(r->side[0].link));
	local_link_arm(r->side[1].link);
	put(r, 0, 1);
	assert_true(local_link_rings(r->side[0].link));
	put(r, 0, 1);
	assert_false(local_link_rings(r->side[0].link));
}

/* A head whose bytes are not all there yet is none; a writer that is killed in the middle leaves it so. */
static void local_datagram_next__not_all_there(void **state)
{
	struct rig *r = *state;
	struct local_tx *tx = &r->side[0].link->datagrams.tx;

	put(r, 0, 100);
	tx->words->head = HEAD + 90;
	took_nothing(r, 1);
	tx->words->head = HEAD - 1;
	r->side[1].link->datagrams.rx.seen_head = 0;
	took_nothing(r, 1);
	assert_int_equal(r->side[1].link->ended, LOCAL_LINK_UP);
	tx->words->head = HEAD + 112;
	took(r, 1, 100);
}

/* --- what cannot be --- */

/* The next of side 0 has what a hostile process writes there. */
static struct local_datagram *forge(struct rig *r)
{
	struct local_tx *tx = &r->side[0].link->datagrams.tx;
	uint64_t at = tx->head & tx->mask;

	put(r, 0, 100);
	return (struct local_datagram *)(void *)(tx->ring + at);
}

static void ends(struct rig *r)
{
	took_nothing(r, 1);
	assert_int_equal(r->side[1].link->ended, LOCAL_LINK_BAD_DATAGRAM);
	assert_int_equal(r->side[1].counters[FS_CTR_local_links_broken], 1);
	took_nothing(r, 1);
	local_datagram_pass(r->side[1].link);
	assert_false(put(r, 1, 1));
}

static void local_datagram_next__too_long(void **state)
{
	forge(*state)->len = LOCAL_DATAGRAM_MOST + 1;
	ends(*state);
}

static void local_datagram_next__no_kind(void **state)
{
	forge(*state)->kind = 0;
	ends(*state);
}

static void local_datagram_next__no_such_kind(void **state)
{
	forge(*state)->kind = LOCAL_N_DATAGRAM_KINDS;
	ends(*state);
}

static void local_datagram_next__impossible_position(void **state)
{
	struct rig *r = *state;

	r->side[0].link->datagrams.tx.words->head = RING + 1;
	ends(r);
}

static void local_datagram_put__impossible_position(void **state)
{
	struct rig *r = *state;
	bool sent = true;

	r->side[0].link->datagrams.tx.words->read = UINT64_C(1) << 40;
	for (unsigned i = 0; sent && i < RING / HEAD; i++)
		sent = put(r, 0, 1000);
	assert_int_equal(r->side[0].link->ended, LOCAL_LINK_BAD_POSITION);
}

/* --- the end --- */

static void local_datagram_unread__each_once(void **state)
{
	struct rig *r = *state;
	struct local_link *link = r->side[0].link;
	struct local_shown shown;

	for (uint32_t len = 0; len < 5; len++)
		put(r, 0, len);
	took(r, 1, 0);
	took(r, 1, 1);
	assert_false(local_datagram_unread(link, &shown));
	local_link_died(link);
	for (uint32_t len = 2; len < 5; len++) {
		assert_true(local_datagram_unread(link, &shown));
		is_that_of(&shown, len);
	}
	assert_false(local_datagram_unread(link, &shown));
	assert_false(put(r, 0, 1));
}

static void local_datagram_unread__spoilt(void **state)
{
	struct rig *r = *state;
	struct local_shown shown;

	forge(r);
	forge(r)->len = RING;
	put(r, 0, 100);
	local_link_died(r->side[0].link);
	assert_true(local_datagram_unread(r->side[0].link, &shown));
	assert_false(local_datagram_unread(r->side[0].link, &shown));
	assert_false(local_datagram_unread(r->side[0].link, &shown));
}

static void local_datagram_unread__what_the_dead_had_read_cannot_be(void **state)
{
	struct rig *r = *state;
	struct local_shown shown;

	put(r, 0, 100);
	r->side[0].link->datagrams.tx.words->read = 5000;
	local_link_died(r->side[0].link);
	while (local_datagram_unread(r->side[0].link, &shown))
		assert_true(shown.head.len <= LOCAL_DATAGRAM_MOST);
}

#define CASE(name) cmocka_unit_test_setup_teardown(name, rig_setup, rig_teardown)

int main(void)
{
	static const struct CMUnitTest tests[] = {
		CASE(local_datagram__whole_both_ways),
		CASE(local_datagram__around),
		CASE(local_datagram_next__stays_until_it_is_passed),
		CASE(local_datagram_put__no_room),
		CASE(local_datagram_put__rings_once_for_who_sleeps),
		CASE(local_datagram_next__not_all_there),
		CASE(local_datagram_next__too_long),
		CASE(local_datagram_next__no_kind),
		CASE(local_datagram_next__no_such_kind),
		CASE(local_datagram_next__impossible_position),
		CASE(local_datagram_put__impossible_position),
		CASE(local_datagram_unread__each_once),
		CASE(local_datagram_unread__spoilt),
		CASE(local_datagram_unread__what_the_dead_had_read_cannot_be),
	};

	return cmocka_run_group_tests_name("local_datagram", tests, NULL, NULL);
}
