/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * test_tcp_urgent.c - urgent data received: MSG_OOB, the mark, SO_OOBINLINE (RFC 6093, T6093-1).
 */
#include <errno.h>

#include "tcp_rig.h"

enum { URG = TCP_ACK | TCP_URG, FIN = TCP_FIN | TCP_ACK };

static void send_text(struct tcp_rig *r, const char *bytes, uint16_t flags, uint16_t urgent)
{
	uint32_t at = r->c->rcv_nxt - r->irs - 1;

	rig_seg_in(r, (struct rig_seg){ .seq = at, .data = bytes, .len = strlen(bytes), .flags = flags, .urgent = urgent });
	rig_drain(r);
}

/* One call gives exactly @text. */
static void reads(struct tcp_rig *r, const char *text)
{
	char got[100];

	assert_int_equal(rig_recv(r, got, sizeof(got)), strlen(text));
	assert_memory_equal(got, text, strlen(text));
}

static ssize_t oob(struct tcp_rig *r, uint32_t flags, char *got)
{
	return rig_recv_flags(r, got, 1, TCP_RECV_OOB | flags);
}

static void tcp_urgent__the_byte_is_before_the_pointer(void **state)
{
	struct tcp_rig r;
	char got = 0;

	rig_connected(&r, &rig_sacking);
	send_text(&r, "abcDef", URG, 4); /* MUST-62: the pointer is behind D */
	assert_true(r.edges & TCP_READY_PRI);
	assert_true(tcp_ready(r.c) & TCP_READY_PRI);
	assert_false(tcp_at_mark(r.c));
	assert_int_equal(tcp_inq(r.c), 3); /* up to the mark: MUST-33 */
	assert_int_equal(oob(&r, 0, &got), 1);
	assert_int_equal(got, 'D');
	assert_false(tcp_ready(r.c) & TCP_READY_PRI);
	assert_int_equal(oob(&r, 0, &got), -EINVAL);
	reads(&r, "abc");
	assert_true(tcp_at_mark(r.c));
	reads(&r, "ef");
	assert_false(tcp_at_mark(r.c));
	assert_int_equal(rig_recv(&r, &got, 1), -EAGAIN);
	trig_close(&r);
}

static void tcp_urgent__pointer_of_zero_is_the_first_byte(void **state)
{
	struct tcp_rig r;
	char got = 0;

	rig_connected(&r, &rig_sacking);
	send_text(&r, "xyz", URG, 0);
	assert_true(tcp_at_mark(r.c));
	assert_int_equal(oob(&r, 0, &got), 1);
	assert_int_equal(got, 'x');
	reads(&r, "yz");
	trig_close(&r);
}

static void tcp_urgent__peek_and_trunc(void **state)
{
	struct tcp_rig r;
	char got = 0;

	rig_connected(&r, &rig_sacking);
	send_text(&r, "aB", URG, 2);
	assert_int_equal(oob(&r, TCP_RECV_PEEK, &got), 1);
	assert_int_equal(got, 'B');
	assert_int_equal(oob(&r, TCP_RECV_TRUNC, &got), 1);
	assert_int_equal(oob(&r, 0, &got), -EINVAL);
	trig_close(&r);
}

static void tcp_urgent__inline_is_part_of_the_stream(void **state)
{
	struct tcp_rig r;
	char got;

	rig_connected(&r, &rig_sacking);
	r.c->options.oob_inline = true;
	send_text(&r, "abcDef", URG, 4);
	assert_int_equal(oob(&r, 0, &got), -EINVAL);
	assert_int_equal(tcp_inq(r.c), 6);
	reads(&r, "abc"); /* it stops at the mark all the same */
	assert_true(tcp_at_mark(r.c));
	reads(&r, "Def");
	assert_false(tcp_at_mark(r.c));
	trig_close(&r);
}

static void tcp_urgent__not_read_it_is_lost_when_passed(void **state)
{
	struct tcp_rig r;
	char got;

	rig_connected(&r, &rig_sacking);
	send_text(&r, "abCd", URG, 3);
	reads(&r, "ab");
	reads(&r, "d");
	assert_int_equal(oob(&r, 0, &got), -EINVAL);
	assert_false(tcp_ready(r.c) & TCP_READY_PRI);
	trig_close(&r);
}

static void tcp_urgent__only_the_urgent_byte_is_not_readable(void **state)
{
	struct tcp_rig r;
	char got;

	rig_connected(&r, &rig_sacking);
	send_text(&r, "U", URG, 1);
	assert_true(tcp_at_mark(r.c));
	assert_false(tcp_ready(r.c) & TCP_READY_IN);
	assert_int_equal(tcp_inq(r.c), 0);
	assert_int_equal(oob(&r, 0, &got), 1);
	assert_int_equal(rig_recv(&r, &got, 1), -EAGAIN);
	trig_close(&r);
}

/* Nor where the low mark does not count, as the buffer is used up: who was told would read nothing, again and again. */
static void tcp_urgent__only_the_urgent_byte_in_a_full_buffer(void **state)
{
	struct tcp_rig r;
	char got;

	rig_connected(&r, &rig_sacking);
	send_text(&r, "U", URG, 1);
	r.c->rcvbuf = r.c->rcv_charge;
	assert_false(tcp_ready(r.c) & TCP_READY_IN);
	assert_int_equal(rig_recv(&r, &got, 1), -EAGAIN);
	trig_close(&r);
}

static void tcp_urgent__the_mark_comes_before_the_byte(void **state)
{
	struct tcp_rig r;
	char got = 0;

	rig_connected(&r, &rig_sacking);
	send_text(&r, "ab", URG, 5);
	assert_true(r.edges & TCP_READY_PRI); /* SIGURG */
	assert_false(tcp_ready(r.c) & TCP_READY_PRI);
	assert_int_equal(oob(&r, 0, &got), -EAGAIN);
	reads(&r, "ab");
	r.edges = 0;
	send_text(&r, "cdEf", TCP_ACK, 0); /* without URG */
	assert_true(r.edges & TCP_READY_PRI);
	reads(&r, "cd");
	assert_int_equal(oob(&r, 0, &got), 1);
	assert_int_equal(got, 'E');
	reads(&r, "f");
	trig_close(&r);
}

static void tcp_urgent__out_of_order(void **state)
{
	struct tcp_rig r;
	char got = 0;

	rig_connected(&r, &rig_sacking);
	rig_seg_in(&r, (struct rig_seg){ .seq = 3, .data = "dEf", .len = 3, .flags = URG, .urgent = 2 });
	assert_int_equal(oob(&r, 0, &got), 1);
	assert_int_equal(got, 'E');
	rig_drain(&r);
	send_text(&r, "abc", TCP_ACK, 0);
	reads(&r, "abcd");
	reads(&r, "f");
	trig_close(&r);
}

/* MUST-31, MUST-32: told again as the pointer moves; what was urgent before is ordinary. */
static void tcp_urgent__a_later_mark_overtakes(void **state)
{
	struct tcp_rig r;
	char got = 0;

	rig_connected(&r, &rig_sacking);
	send_text(&r, "aBc", URG, 2);
	r.edges = 0;
	send_text(&r, "deF", URG, 3);
	assert_true(r.edges & TCP_READY_PRI);
	assert_int_equal(oob(&r, 0, &got), 1);
	assert_int_equal(got, 'F');
	reads(&r, "aBcde");
	assert_int_equal(rig_recv(&r, &got, 1), -EAGAIN);
	trig_close(&r);
}

static void tcp_urgent__the_old_byte_at_the_mark_is_not_read_again(void **state)
{
	struct tcp_rig r;
	char got = 0;

	rig_connected(&r, &rig_sacking);
	send_text(&r, "aBc", URG, 2);
	reads(&r, "a");
	assert_int_equal(oob(&r, 0, &got), 1);
	send_text(&r, "deF", URG, 3);
	reads(&r, "cde");
	assert_int_equal(oob(&r, 0, &got), 1);
	assert_int_equal(got, 'F');
	trig_close(&r);
}

static void tcp_urgent__old_pointers_say_nothing(void **state)
{
	struct tcp_rig r;
	char got;

	rig_connected(&r, &rig_sacking);
	send_text(&r, "abc", TCP_ACK, 0);
	r.edges = 0;
	rig_seg_in(&r, (struct rig_seg){ .seq = 0, .data = "abc", .len = 3, .flags = URG, .urgent = 2 });
	assert_false(r.edges & TCP_READY_PRI);
	send_text(&r, "dEf", URG, 2);
	r.edges = 0;
	rig_seg_in(&r, (struct rig_seg){ .seq = 3, .data = "dEf", .len = 3, .flags = URG, .urgent = 2 });
	assert_false(r.edges & TCP_READY_PRI);
	rig_drain(&r);
	assert_int_equal(oob(&r, 0, &got), 1);
	trig_close(&r);
}

static void tcp_urgent__peek_at_the_stream_steps_over_it(void **state)
{
	struct tcp_rig r;
	char got[10];

	rig_connected(&r, &rig_sacking);
	send_text(&r, "abCd", URG, 3);
	assert_int_equal(rig_recv_flags(&r, got, 10, TCP_RECV_PEEK), 2);
	reads(&r, "ab");
	assert_int_equal(rig_recv_flags(&r, got, 10, TCP_RECV_PEEK), 1);
	assert_int_equal(got[0], 'd');
	reads(&r, "d");
	trig_close(&r);
}

static void tcp_urgent__in_place(void **state)
{
	struct fbuf *f;
	struct tcp_rig r;

	rig_connected(&r, &rig_sacking);
	send_text(&r, "abCde", URG, 3);
	f = tcp_hold(r.c);
	assert_int_equal(f->total, 2);
	assert_memory_equal(f->data, "ab", 2);
	assert_true(tcp_at_mark(r.c));
	tcp_release(r.c, &r.h.env, f, r.now);
	f = tcp_hold(r.c);
	assert_int_equal(f->total, 2);
	assert_memory_equal(f->data, "de", 2);
	tcp_release(r.c, &r.h.env, f, r.now);
	assert_null(tcp_hold(r.c));
	assert_int_equal(r.c->rcv_charge, 0);
	trig_close(&r);
}

static void tcp_urgent__at_the_end(void **state)
{
	struct tcp_rig r;
	char got;

	rig_connected(&r, &rig_sacking);
	assert_int_equal(oob(&r, 0, &got), -EINVAL);
	send_text(&r, "ab", URG, 5);
	rig_seg_in(&r, (struct rig_seg){ .seq = 2, .flags = FIN });
	assert_int_equal(oob(&r, 0, &got), 0);
	reads(&r, "ab");
	assert_int_equal(rig_recv(&r, &got, 1), 0);
	trig_close(&r);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(tcp_urgent__the_byte_is_before_the_pointer),
		cmocka_unit_test(tcp_urgent__pointer_of_zero_is_the_first_byte),
		cmocka_unit_test(tcp_urgent__peek_and_trunc),
		cmocka_unit_test(tcp_urgent__inline_is_part_of_the_stream),
		cmocka_unit_test(tcp_urgent__not_read_it_is_lost_when_passed),
		cmocka_unit_test(tcp_urgent__only_the_urgent_byte_is_not_readable),
		cmocka_unit_test(tcp_urgent__only_the_urgent_byte_in_a_full_buffer),
		cmocka_unit_test(tcp_urgent__the_mark_comes_before_the_byte),
		cmocka_unit_test(tcp_urgent__out_of_order),
		cmocka_unit_test(tcp_urgent__a_later_mark_overtakes),
		cmocka_unit_test(tcp_urgent__the_old_byte_at_the_mark_is_not_read_again),
		cmocka_unit_test(tcp_urgent__old_pointers_say_nothing),
		cmocka_unit_test(tcp_urgent__peek_at_the_stream_steps_over_it),
		cmocka_unit_test(tcp_urgent__in_place),
		cmocka_unit_test(tcp_urgent__at_the_end),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
