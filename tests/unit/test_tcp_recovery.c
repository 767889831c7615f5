/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * test_tcp_recovery.c - states of loss recovery, windows in them (PRR), timeouts, and taking back what was a mistake.
 */
#include "tcp_ack_rig.h"

enum { RTT_US = 100000, SACK = TCP_CONN_SACK, TS = TCP_CONN_TS };

/* @n segments are out, a round trip ago, with a window of as many; @more are queued. */
static void open_sent(struct rig *r, uint32_t flags, unsigned n, unsigned more)
{
	rig_open(r, flags);
	rig_warm(r, RTT_US);
	r->c.cc.cwnd = n;
	rig_write(r, n + more);
	rig_send(r, n);
	tcp_cwnd_validate(&r->c, true);
	r->echo_at = r->now;
	r->now += FS_US(RTT_US);
	r->sent[0] = '\0';
}

static void sack_and_send(struct rig *r, int ack, int left, int right)
{
	rig_sack(r, ack, { (uint32_t)left, (uint32_t)right });
	rig_output(r);
}

static void ack_and_send(struct rig *r, int ack)
{
	rig_ack(r, ack);
	rig_output(r);
}

/* --- fast recovery with SACK --- */

/* T3042-1: the first two duplicates let one new segment go each; the window stands. */
static void tcp_loss_on_ack__limited_transmit(void **state)
{
	struct rig r;

	open_sent(&r, SACK, 10, 10);
	sack_and_send(&r, 0, 1, 2);
	rig_expect_sent(&r, "N10");
	sack_and_send(&r, 0, 1, 3);
	rig_expect_sent(&r, "N11");
	assert_int_equal(r.c.cc.cwnd, 10);
	assert_int_equal(tcp_in_flight(&r.c), 10);
	assert_int_equal(r.c.cc.ca_state, TCP_CA_DISORDER);
	rig_close(&r);
}

/* T6675-2: pipe in segments: out, less SACKed, less lost, plus sent again. */
static void tcp_in_flight__pipe(void **state)
{
	struct rig r;

	open_sent(&r, SACK, 10, 10);
	assert_int_equal(tcp_in_flight(&r.c), 10);
	rig_sack(&r, 0, { 2, 5 });
	assert_int_equal(r.c.lost_out, 2);
	assert_int_equal(tcp_in_flight(&r.c), 5);
	rig_again(&r, r.c.first);
	assert_int_equal(tcp_in_flight(&r.c), 6);
	rig_close(&r);
}

/* T6675-2: lost segments in order, then new data; the recovery point; no second reduction in the window. */
static void tcp_loss_on_ack__recovery(void **state)
{
	struct rig r;

	open_sent(&r, SACK, 10, 0);
	rig_sack(&r, 0, { 1, 2 }, { 3, 5 });
	assert_int_equal(r.c.cc.ca_state, TCP_CA_RECOVERY);
	assert_int_equal(r.c.high_seq, rig_seq(&r, 10));
	assert_int_equal(r.c.cc.ssthresh, 5);
	rig_expect_count(&r, FS_CTR_tcp_recoveries, 1);
	rig_output(&r);
	rig_expect_sent(&r, "R0");
	rig_sack(&r, 0, { 3, 6 }, { 1, 2 });
	rig_output(&r);
	rig_sack(&r, 0, { 3, 7 }, { 1, 2 });
	rig_output(&r);
	rig_expect_sent(&r, "R2");
	/* Another one of the same window is lost: the same recovery. */
	rig_sack(&r, 0, { 8, 9 }, { 3, 7 }, { 1, 2 });
	assert_int_equal(r.c.cc.ssthresh, 5);
	assert_int_equal(r.c.cc.ca_state, TCP_CA_RECOVERY);
	rig_expect_count(&r, FS_CTR_tcp_recoveries, 0);
	rig_output(&r);
	r.now += FS_US(RTT_US);
	ack_and_send(&r, 7);
	assert_int_equal(r.c.cc.ca_state, TCP_CA_RECOVERY);
	ack_and_send(&r, 9);
	assert_int_equal(r.c.cc.ca_state, TCP_CA_RECOVERY);
	r.now += FS_US(RTT_US);
	rig_ack(&r, 10);
	assert_int_equal(r.c.cc.ca_state, TCP_CA_OPEN);
	assert_int_equal(r.c.cc.cwnd, 5);
	rig_close(&r);
}

/* Nothing is sent again twice for one loss. */
static void tcp_loss_next__each_once(void **state)
{
	struct rig r;

	open_sent(&r, SACK, 10, 0);
	rig_sack(&r, 0, { 1, 2 }, { 4, 7 });
	r.c.cc.cwnd = 100;
	rig_output(&r);
	rig_expect_sent(&r, "R0 R2 R3");
	rig_output(&r);
	rig_expect_sent(&r, "");
	rig_close(&r);
}

/* --- T6937-1: PRR --- */

/* RFC 6937 4, first example: a window of 20, the first segment lost, Reno's half. The window falls by one segment
 * every second ACK; each row: what the ACK of segment 1, 2 ... lets go. */
static void tcp_prr__one_loss_of_twenty(void **state)
{
	static const char *const sent[] = { "N20", "N21", "R0", "", "N22", "", "N23", "", "N24", "", "N25",
					    "",	   "N26", "",	"N27", "", "N28", "",	 "" };
	struct rig r;

	open_sent(&r, SACK, 20, 40);
	for (int i = 1; i < 20; i++) {
		sack_and_send(&r, 0, 1, i + 1);
		rig_expect_sent(&r, sent[i - 1]);
	}
	/* 16 delivered in recovery let ceil(16 * 10 / 20) = 8 go; then ssthresh is reached. */
	assert_int_equal(r.c.prr_delivered, 17);
	assert_int_equal(r.c.prr_out, 8);
	assert_int_equal(tcp_in_flight(&r.c), 10);
	r.now += FS_US(RTT_US);
	rig_ack(&r, 22); /* what was out when recovery began */
	assert_int_equal(r.c.cc.ca_state, TCP_CA_OPEN);
	assert_int_equal(r.c.cc.cwnd, 10);
	rig_close(&r);
}

/* RFC 6937 4, second example: the first 15 of 20 are lost. The window is not let down to what is left at once: what is
 * delivered may be sent, and no burst follows. */
static void tcp_prr__fifteen_losses_of_twenty(void **state)
{
	static const char *const sent[] = { "N20", "N21", "R0", "R1", "R2" };
	struct rig r;

	open_sent(&r, SACK, 20, 40);
	for (int i = 15; i < 20; i++) {
		r.now += FS_MS(1);
		sack_and_send(&r, 0, 15, i + 1);
		rig_expect_sent(&r, sent[i - 15]);
	}
	assert_int_equal(r.c.cc.ssthresh, 10);
	assert_int_equal(tcp_in_flight(&r.c), 5); /* 20, 21 and the three again */
	/* The retransmissions arrive: slow start towards ssthresh, one more for each ACK that advances. */
	r.now += FS_US(RTT_US);
	rig_sack(&r, 0, { 15, 21 });
	rig_output(&r);
	rig_expect_sent(&r, "R3");
	rig_sack(&r, 1, { 15, 22 });
	rig_output(&r);
	rig_expect_sent(&r, "R4 R5 R6");
	rig_close(&r);
}

/* Below ssthresh: while more is being lost, no more than was delivered (RFC 9937). */
static void tcp_prr__bounds(void **state)
{
	static const struct {
		uint32_t in_flight, delivered, lost, prr_delivered, prr_out;
		bool advanced;
		uint32_t cwnd;
	} row[] = {
		/* above ssthresh: ceil(prr_delivered * 10 / 20) - prr_out */
		{ 18, 1, 0, 0, 0, false, 19 },
		{ 18, 1, 0, 1, 1, false, 18 },
		{ 17, 1, 0, 2, 1, false, 18 },
		{ 15, 4, 0, 0, 0, false, 17 },
		/* below: conservative */
		{ 4, 1, 0, 0, 0, false, 5 },
		{ 4, 1, 0, 3, 1, false, 7 },  /* what was not used before */
		{ 4, 1, 1, 3, 3, true, 5 },
		/* below: slow start */
		{ 4, 1, 0, 3, 3, true, 6 },
		{ 9, 3, 0, 0, 0, true, 10 },  /* up to ssthresh */
		{ 10, 3, 0, 9, 9, true, 10 },
		/* the first retransmission always */
		{ 10, 1, 0, 0, 0, false, 11 },
		/* nothing delivered, nothing changed */
		{ 4, 0, 0, 0, 0, true, 77 },
	};

	for (unsigned i = 0; i < FS_ARRAY_SIZE(row); i++) {
		struct rig r;

		rig_open(&r, SACK);
		r.c.packets_out = row[i].in_flight;
		r.c.cc.cwnd = 77;
		r.c.cc.prior_cwnd = 20;
		r.c.cc.ssthresh = 10;
		r.c.prr_delivered = row[i].prr_delivered;
		r.c.prr_out = row[i].prr_out;
		tcp_prr(&r.c, row[i].delivered, row[i].advanced, row[i].lost);
		assert_int_equal(r.c.cc.cwnd, row[i].cwnd);
		r.c.packets_out = 0;
		rig_close(&r);
	}
}

/* --- without SACK --- */

/* T5681-1, T6582-1: the third duplicate; one segment again; new data for further duplicates; a partial ACK means that
 * the next hole is lost, too, and does not end recovery. */
static void tcp_loss_on_ack__newreno(void **state)
{
	struct rig r;

	open_sent(&r, 0, 10, 20);
	ack_and_send(&r, 0);
	rig_expect_sent(&r, "N10");
	ack_and_send(&r, 0);
	rig_expect_sent(&r, "N11");
	ack_and_send(&r, 0);
	rig_expect_sent(&r, "R0");
	assert_int_equal(r.c.cc.ca_state, TCP_CA_RECOVERY);
	assert_int_equal(r.c.cc.ssthresh, 5);
	for (int i = 0; i < 5; i++)
		ack_and_send(&r, 0);
	assert_int_equal(r.c.dup_acks, 8);
	r.sent[0] = '\0';
	r.now += FS_US(RTT_US);
	ack_and_send(&r, 4); /* 4 is lost, too */
	assert_true(strncmp(r.sent, "R4", 2) == 0);
	assert_int_equal(r.c.cc.ca_state, TCP_CA_RECOVERY);
	assert_int_equal(r.c.cc.ssthresh, 5);
	r.now += FS_US(RTT_US);
	/* All that was out: held until something beyond is acked, or old duplicates would begin it anew. */
	ack_and_send(&r, 12);
	assert_int_equal(r.c.cc.ca_state, TCP_CA_RECOVERY);
	assert_int_equal(r.c.high_seq, rig_seq(&r, 12));
	for (int i = 0; i < 4; i++)
		rig_ack(&r, 12);
	rig_expect_count(&r, FS_CTR_tcp_recoveries, 1);
	ack_and_send(&r, 13);
	assert_int_equal(r.c.cc.ca_state, TCP_CA_OPEN);
	rig_expect_count(&r, FS_CTR_tcp_recoveries, 0);
	rig_close(&r);
}

/* A recovery that began for nothing: ACKs of what was sent once are no partial ones, and draw no retransmissions. */
static void tcp_loss_on_ack__newreno_in_vain(void **state)
{
	struct rig r;

	open_sent(&r, 0, 10, 20);
	for (int i = 0; i < 3; i++)
		ack_and_send(&r, 0);
	rig_expect_sent(&r, "N10 N11 R0");
	r.now += FS_MS(1); /* the original arrives, late */
	for (int i = 1; i < 10; i++)
		ack_and_send(&r, i);
	assert_null(strchr(r.sent, 'R'));
	assert_int_equal(r.c.total_lost, 1);
	rig_close(&r);
}

/* RFC 6582 4.1: duplicates that answer the retransmissions of a timeout begin no recovery. */
static void tcp_loss_on_ack__newreno_after_timeout(void **state)
{
	struct rig r;

	open_sent(&r, 0, 10, 20);
	tcp_timer_set(&r.c, TCP_TIMER_RTX, r.now + FS_MS(200));
	rig_timeout(&r);
	r.c.frto = TCP_FRTO_OFF;
	ack_and_send(&r, 1);
	ack_and_send(&r, 3);
	ack_and_send(&r, 10);
	assert_int_equal(r.c.cc.ca_state, TCP_CA_LOSS); /* until something beyond is acked */
	for (int i = 0; i < 6; i++)
		ack_and_send(&r, 10);
	r.sent[0] = '\0';
	ack_and_send(&r, 11);
	assert_int_equal(r.c.cc.ca_state, TCP_CA_OPEN);
	assert_null(strchr(r.sent, 'R'));
	rig_close(&r);
}

/* A receiver that sends duplicates for nothing does not make more leave than its window held. */
static void tcp_loss_on_ack__duplicates_without_end(void **state)
{
	struct rig r;

	open_sent(&r, 0, 4, 100);
	for (int i = 0; i < 200; i++)
		ack_and_send(&r, 0);
	assert_true(r.c.packets_out <= 4 + 4);
	rig_close(&r);
}

/* --- ECN (T3168-3) --- */

static void ece(struct rig *r, int ack)
{
	struct tcp_in in = rig_in(r, ack);

	in.h.flags |= TCP_ECE;
	rig_take(r, &in);
	rig_output(r);
}

/* One reduction in a round trip, however many echoes; CWR with the next new data. */
static void tcp_enter_cwr__once_in_a_round_trip(void **state)
{
	struct rig r;

	open_sent(&r, SACK | TCP_CONN_ECN, 10, 100);
	ece(&r, 1);
	assert_int_equal(r.c.cc.ca_state, TCP_CA_CWR);
	assert_int_equal(r.c.cc.ssthresh, 5);
	assert_true(tcp_has(&r.c, TCP_CONN_CWR_PENDING));
	rig_expect_count(&r, FS_CTR_tcp_ecn_reductions, 1);
	for (int i = 2; i <= 10; i++)
		ece(&r, i);
	assert_int_equal(r.c.cc.ssthresh, 5);
	rig_expect_count(&r, FS_CTR_tcp_ecn_reductions, 0);
	assert_int_equal(r.c.cc.ca_state, TCP_CA_CWR);
	assert_int_equal(r.c.delivered_ce, 10);
	/* What was sent after the reduction is acked: over. */
	r.now += FS_US(RTT_US);
	ack_and_send(&r, 11);
	assert_int_equal(r.c.cc.ca_state, TCP_CA_OPEN);
	assert_int_equal(r.c.cc.cwnd, 5);
	ece(&r, 12);
	assert_int_equal(r.c.cc.ca_state, TCP_CA_CWR);
	assert_int_equal(r.c.cc.ssthresh, 2);
	rig_expect_count(&r, FS_CTR_tcp_ecn_reductions, 1);
	/* An echo with the ACK that ends it is of what was sent before. */
	ece(&r, rig_number(&r, r.c.high_seq));
	assert_int_equal(r.c.cc.ssthresh, 2);
	rig_expect_count(&r, FS_CTR_tcp_ecn_reductions, 0);
	rig_close(&r);
}

/* Not agreed on: an echo is noise. Nor is one together with SYN. */
static void tcp_enter_cwr__not_agreed_on(void **state)
{
	struct rig r;

	open_sent(&r, SACK, 10, 10);
	ece(&r, 1);
	assert_int_equal(r.c.cc.ca_state, TCP_CA_OPEN);
	assert_int_equal(r.c.delivered_ce, 0);
	rig_close(&r);
}

/* Loss after an echo in the same window: retransmission, but no second reduction, and no way back. */
static void tcp_enter_recovery__after_an_echo(void **state)
{
	struct rig r;

	open_sent(&r, SACK | TCP_CONN_ECN, 20, 20);
	ece(&r, 1);
	assert_int_equal(r.c.cc.ssthresh, 10);
	sack_and_send(&r, 1, 2, 6);
	assert_int_equal(r.c.cc.ca_state, TCP_CA_RECOVERY);
	assert_int_equal(r.c.cc.ssthresh, 10);
	assert_int_equal(r.c.cc.prior_ssthresh, 0);
	rig_close(&r);
}

/* --- timeouts --- */

/* RFC 5681 3.1: half the window as threshold, one segment; everything is lost; slow start from there. */
static void tcp_loss_on_rto__begins_anew(void **state)
{
	struct rig r;

	open_sent(&r, 0, 10, 10);
	rig_timeout(&r);
	assert_int_equal(r.c.cc.ca_state, TCP_CA_LOSS);
	assert_int_equal(r.c.cc.ssthresh, 5);
	assert_int_equal(r.c.cc.cwnd, 1);
	assert_int_equal(r.c.lost_out, 10);
	rig_expect_sent(&r, "R0");
	/* Acks of retransmissions only: what was lost goes again, two for one. F-RTO's new data would come first. */
	r.c.frto = TCP_FRTO_OFF;
	r.now += FS_US(RTT_US);
	ack_and_send(&r, 1);
	rig_expect_sent(&r, "R1 R2");
	r.now += FS_US(RTT_US);
	ack_and_send(&r, 3);
	rig_expect_sent(&r, "R3 R4 R5 R6");
	r.now += FS_US(RTT_US);
	ack_and_send(&r, 7);
	assert_int_equal(r.c.cc.cwnd, 5);
	rig_close(&r);
}

/* T6298-2: doubling, up to the ceiling; the threshold falls once while nothing is acked (RFC 5681 4.3). */
static void tcp_loss_on_rto__again(void **state)
{
	struct rig r;
	fs_ns at;

	open_sent(&r, 0, 10, 0);
	at = r.c.due[TCP_TIMER_RTX];
	for (unsigned i = 1; i < 12; i++) {
		fs_ns rto = FS_MIN(FS_US((fs_ns)r.c.rtt.rto_us << i), FS_US(r.tcp.config.rto_max_us));

		rig_timeout(&r);
		assert_int_equal(r.now, at);
		assert_int_equal(r.c.due[TCP_TIMER_RTX] - r.now, rto);
		at = r.c.due[TCP_TIMER_RTX];
		assert_int_equal(r.c.cc.ssthresh, 5);
		assert_int_equal(r.c.retrans_out, 1);
	}
	rig_close(&r);
}

/* Progress, then another timeout: a new reduction. */
static void tcp_loss_on_rto__after_progress(void **state)
{
	struct rig r;

	open_sent(&r, 0, 16, 0);
	rig_timeout(&r);
	assert_int_equal(r.c.cc.ssthresh, 8);
	r.c.frto = TCP_FRTO_OFF;
	r.now += FS_US(RTT_US);
	ack_and_send(&r, 1);
	ack_and_send(&r, 3);
	assert_int_equal(r.c.cc.cwnd, 4);
	rig_timeout(&r);
	assert_int_equal(r.c.cc.ssthresh, 2);
	rig_close(&r);
}

/* What was sent so shortly before that its ACK may be under way is not lost (RFC 8985 6.3). */
static void tcp_loss_on_rto__spares_what_was_just_sent(void **state)
{
	struct rig r;

	open_sent(&r, SACK, 4, 10);
	r.c.cc.cwnd = 10;
	r.now = r.c.due[TCP_TIMER_LOSS] - FS_MS(1);
	rig_send(&r, 2);
	r.c.loss_timer = TCP_LOSS_TIMER_NONE;
	r.c.due[TCP_TIMER_RTX] = r.now + FS_MS(1);
	r.sent[0] = '\0';
	rig_timeout(&r);
	assert_int_equal(r.c.lost_out, 4);
	assert_int_equal(r.c.cc.cwnd, 3);
	rig_expect_sent(&r, "R0");
	rig_close(&r);
}

/* A FIN or SYN that is out alone is no congestion to tell anybody of. */
static void tcp_loss_on_rto__no_data_out(void **state)
{
	struct rig r;

	rig_open(&r, SACK);
	r.c.flags |= TCP_CONN_FIN_QUEUED | TCP_CONN_FIN_SENT;
	r.c.snd_nxt++;
	tcp_loss_on_rto(&r.c, r.now);
	assert_int_equal(r.c.cc.ca_state, TCP_CA_OPEN);
	assert_int_equal(r.c.cc.cwnd, 10);
	rig_close(&r);
}

/* --- F-RTO (T5682, RFC 5682 2.1 and 3.1) --- */

/* The originals arrive late: an ACK over what was sent once says so; nothing more is sent again. */
static void follow_frto__spurious(void **state)
{
	struct rig r;

	for (unsigned sack = 0; sack < 2; sack++) {
		open_sent(&r, sack ? SACK : 0, 10, 10);
		r.c.loss_timer = TCP_LOSS_TIMER_NONE;
		tcp_timer_set(&r.c, TCP_TIMER_RTX, r.now + FS_MS(200));
		rig_timeout(&r);
		rig_expect_sent(&r, "R0");
		assert_int_equal(r.c.frto, TCP_FRTO_ON);
		r.now += FS_MS(1);
		/* 2.b: it advances: two new segments instead of what counts as lost. */
		ack_and_send(&r, 1);
		assert_int_equal(r.c.frto, TCP_FRTO_PROBE);
		rig_expect_sent(&r, "N10 N11");
		/* 3.b: it advances again, over what was sent once. */
		r.now += FS_MS(1);
		rig_ack(&r, 2);
		assert_int_equal(r.c.cc.ca_state, TCP_CA_OPEN);
		assert_int_equal(r.c.lost_out, 0);
		assert_true(r.c.cc.cwnd >= 10);
		assert_int_equal(r.c.cc.ssthresh, TCP_SSTHRESH_NONE);
		rig_expect_count(&r, FS_CTR_tcp_undone, 1);
		rig_output(&r);
		assert_null(strchr(r.sent, 'R'));
		rig_close(&r);
	}
}

/* Two segments at once by the first ACK: one of them was sent once. */
static void follow_frto__first_ack_decides(void **state)
{
	struct rig r;

	open_sent(&r, SACK, 10, 10);
	tcp_timer_set(&r.c, TCP_TIMER_RTX, r.now + FS_MS(200));
	rig_timeout(&r);
	rig_ack(&r, 2);
	assert_int_equal(r.c.cc.ca_state, TCP_CA_OPEN);
	assert_int_equal(r.c.cc.cwnd, 10 + 2);
	rig_close(&r);
}

/* 3.1: or a SACK for what was sent once. */
static void follow_frto__sack_of_an_original(void **state)
{
	struct rig r;

	open_sent(&r, SACK, 10, 10);
	tcp_timer_set(&r.c, TCP_TIMER_RTX, r.now + FS_MS(200));
	rig_timeout(&r);
	rig_sack(&r, 0, { 4, 5 });
	rig_expect_count(&r, FS_CTR_tcp_undone, 1);
	assert_int_equal(r.c.cc.ca_state, TCP_CA_DISORDER); /* for 4 arrived and those before it did not, so far */
	assert_int_equal(r.c.lost_out, 0);
	rig_close(&r);
}

/* 3.a: duplicates after the new data: the losses are real. */
static void follow_frto__losses_are_real(void **state)
{
	struct rig r;

	for (unsigned sack = 0; sack < 2; sack++) {
		open_sent(&r, sack ? SACK : 0, 10, 10);
		tcp_timer_set(&r.c, TCP_TIMER_RTX, r.now + FS_MS(200));
		rig_timeout(&r);
		r.now += FS_US(RTT_US);
		ack_and_send(&r, 1);
		rig_expect_sent(&r, "R0 N10 N11");
		r.now += FS_US(RTT_US);
		if (sack)
			sack_and_send(&r, 1, 10, 11);
		else
			ack_and_send(&r, 1);
		assert_int_equal(r.c.frto, TCP_FRTO_OFF);
		assert_int_equal(r.c.cc.ca_state, TCP_CA_LOSS);
		assert_true(strncmp(r.sent, "R1", 2) == 0);
		rig_expect_count(&r, FS_CTR_tcp_undone, 0);
		rig_close(&r);
	}
}

/* 2.a: the first answer is a duplicate: conventional recovery. */
static void follow_frto__nothing_new_to_send(void **state)
{
	struct rig r;

	open_sent(&r, SACK, 10, 0);
	tcp_timer_set(&r.c, TCP_TIMER_RTX, r.now + FS_MS(200));
	rig_timeout(&r);
	r.now += FS_US(RTT_US);
	ack_and_send(&r, 1);
	assert_int_equal(r.c.frto, TCP_FRTO_OFF);
	rig_expect_sent(&r, "R0 R1 R2");
	rig_close(&r);
}

/* 2.1: not in the middle of another recovery. */
static void follow_frto__not_in_recovery(void **state)
{
	struct rig r;

	open_sent(&r, SACK, 10, 10);
	sack_and_send(&r, 0, 1, 5);
	assert_int_equal(r.c.cc.ca_state, TCP_CA_RECOVERY);
	rig_timeout(&r);
	assert_int_equal(r.c.frto, TCP_FRTO_OFF);
	rig_close(&r);
}

/* --- undo (T4015) --- */

/* Eifel, RFC 3522: the ACK of what was sent again echoes a timestamp older than that. */
static void tcp_undo__by_timestamp(void **state)
{
	struct rig r;

	open_sent(&r, SACK | TS, 10, 10);
	r.now += FS_MS(2);
	sack_and_send(&r, 0, 1, 5);
	rig_expect_sent(&r, "R0");
	assert_int_equal(r.c.cc.ssthresh, 5);
	r.now += FS_MS(50);
	rig_ack(&r, 10); /* echo_at is when the originals left */
	assert_int_equal(r.c.cc.ca_state, TCP_CA_OPEN);
	assert_true(r.c.cc.cwnd >= 10);
	assert_int_equal(r.c.cc.ssthresh, TCP_SSTHRESH_NONE);
	rig_expect_count(&r, FS_CTR_tcp_undone, 1);
	rig_close(&r);
}

/* It was the retransmission: its own timestamp comes back. */
static void tcp_undo__not_by_the_retransmission(void **state)
{
	struct rig r;

	open_sent(&r, SACK | TS, 10, 10);
	r.now += FS_MS(2);
	sack_and_send(&r, 0, 1, 10);
	r.echo_at = r.now;
	r.now += FS_US(RTT_US);
	rig_ack(&r, 10);
	assert_int_equal(r.c.cc.ca_state, TCP_CA_OPEN);
	assert_int_equal(r.c.cc.cwnd, 5);
	rig_expect_count(&r, FS_CTR_tcp_undone, 0);
	rig_close(&r);
}

/* Also after a timeout, where nothing new can be sent for F-RTO. */
static void tcp_undo__timeout_by_timestamp(void **state)
{
	struct rig r;

	open_sent(&r, SACK | TS, 2, 0);
	tcp_timer_set(&r.c, TCP_TIMER_RTX, r.now + FS_MS(200));
	rig_timeout(&r);
	r.now += FS_MS(1);
	rig_ack(&r, 1);
	assert_int_equal(r.c.cc.ca_state, TCP_CA_OPEN);
	assert_int_equal(r.c.cc.ssthresh, TCP_SSTHRESH_NONE);
	assert_int_equal(r.c.cc.cwnd, 2 + 1);
	assert_int_equal(r.c.lost_out, 0);
	rig_close(&r);
}

/* D-SACKs for all that was sent again (T2883-1): nothing was lost. One of two is not enough. */
static void tcp_undo__by_dsack(void **state)
{
	struct rig r;

	open_sent(&r, SACK, 10, 10);
	rig_sack(&r, 0, { 2, 6 });
	r.c.cc.cwnd = 20;
	rig_again(&r, tcp_loss_next(&r.c, NULL));
	rig_again(&r, tcp_loss_next(&r.c, NULL));
	rig_expect_sent(&r, "R0 R1");
	rig_ack(&r, 6); /* the originals */
	r.now += FS_US(RTT_US);
	rig_sack(&r, 6, { 0, 1 });
	assert_int_equal(r.c.undo_retrans, 1);
	assert_int_equal(r.c.cc.ca_state, TCP_CA_RECOVERY);
	rig_sack(&r, 6, { 1, 2 });
	assert_int_equal(r.c.cc.ca_state, TCP_CA_OPEN);
	assert_true(r.c.cc.cwnd >= 10);
	assert_int_equal(r.c.cc.ssthresh, TCP_SSTHRESH_NONE);
	rig_expect_count(&r, FS_CTR_tcp_undone, 1);
	rig_close(&r);
}

/* The last D-SACK comes when recovery is over: still. */
static void tcp_undo__by_late_dsack(void **state)
{
	struct rig r;

	open_sent(&r, SACK, 10, 10);
	sack_and_send(&r, 0, 1, 10);
	r.now += FS_MS(1);
	rig_ack(&r, 10);
	assert_int_equal(r.c.cc.ca_state, TCP_CA_OPEN);
	assert_int_equal(r.c.cc.cwnd, 5);
	rig_sack(&r, 10, { 0, 1 });
	assert_true(r.c.cc.cwnd >= 10);
	assert_int_equal(r.c.cc.ssthresh, TCP_SSTHRESH_NONE);
	rig_close(&r);
}

/* An echo of congestion in between: there was a reason for the reduction. */
static void tcp_undo__not_after_an_echo(void **state)
{
	struct tcp_in in;
	struct rig r;

	open_sent(&r, SACK | TS | TCP_CONN_ECN, 10, 10);
	r.now += FS_MS(2);
	sack_and_send(&r, 0, 1, 10);
	in = rig_in(&r, 10);
	in.h.flags |= TCP_ECE;
	rig_take(&r, &in);
	assert_int_equal(r.c.cc.ssthresh, 5);
	assert_true(r.c.cc.cwnd <= 6);
	rig_close(&r);
}

/* A receiver that repeats D-SACKs gets no window for it: one for each retransmission is all it can prove. */
static void tcp_undo__lies_gain_nothing(void **state)
{
	struct rig r;

	open_sent(&r, SACK, 10, 10);
	for (int i = 0; i < 20; i++)
		rig_sack(&r, 0, { (uint32_t)-3, (uint32_t)-2 });
	sack_and_send(&r, 0, 1, 10);
	rig_expect_sent(&r, "R0 N10 N11 N12 N13");
	r.now += FS_US(RTT_US);
	rig_sack(&r, 10, { 0, 1 });
	assert_int_equal(r.c.cc.cwnd, 5);
	rig_expect_count(&r, FS_CTR_tcp_undone, 0);
	rig_close(&r);
}

/* --- path MTU --- */

/* Too large for the path: sent again, and the window stands (RFC 1191 6.4's sense). */
static void tcp_loss_on_mtu__no_congestion(void **state)
{
	struct rig r;

	open_sent(&r, SACK, 10, 0);
	tcp_seg(r.c.last)->len = 100;
	r.c.snd_nxt = r.c.snd_end = tcp_seg_end(r.c.last);
	r.c.mss = RIG_MSS - 1;
	tcp_loss_on_mtu(&r.c, r.now);
	assert_int_equal(r.c.lost_out, 9);
	assert_int_equal(r.c.cc.cwnd, 10);
	assert_int_equal(r.c.cc.ca_state, TCP_CA_LOSS);
	assert_int_not_equal(r.dirty, 0);
	rig_output(&r);
	rig_expect_sent(&r, "R0 R1 R2 R3 R4 R5 R6 R7 R8");
	tcp_loss_on_mtu(&r.c, r.now);
	r.c.mss = RIG_MSS;
	rig_close(&r);
}

static void tcp_loss_on_mtu__nothing_is_too_large(void **state)
{
	struct rig r;

	open_sent(&r, SACK, 10, 0);
	tcp_loss_on_mtu(&r.c, r.now);
	assert_int_equal(r.c.cc.ca_state, TCP_CA_OPEN);
	assert_int_equal(r.dirty, 0);
	rig_close(&r);
}

/* --- algorithms that own the window --- */

/* Recovery sends again, and leaves the window to the algorithm. */
static void tcp_loss_on_ack__window_of_the_algorithm(void **state)
{
	struct rig r;

	rig_open_as(&r, SACK, "none");
	rig_warm(&r, RTT_US);
	rig_write(&r, 10);
	rig_send(&r, 10);
	r.now += FS_US(RTT_US);
	r.sent[0] = '\0';
	sack_and_send(&r, 0, 1, 5);
	rig_expect_sent(&r, "R0");
	assert_int_equal(r.c.cc.cwnd, TCP_CWND_MAX);
	rig_timeout(&r);
	assert_int_equal(r.c.cc.cwnd, TCP_CWND_MAX);
	rig_expect_sent(&r, "R0 R5 R6 R7 R8 R9");
	r.now += FS_US(RTT_US);
	rig_ack(&r, 10);
	assert_int_equal(r.c.cc.ca_state, TCP_CA_OPEN);
	rig_close(&r);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(tcp_loss_on_ack__limited_transmit),
		cmocka_unit_test(tcp_in_flight__pipe),
		cmocka_unit_test(tcp_loss_on_ack__recovery),
		cmocka_unit_test(tcp_loss_next__each_once),
		cmocka_unit_test(tcp_prr__one_loss_of_twenty),
		cmocka_unit_test(tcp_prr__fifteen_losses_of_twenty),
		cmocka_unit_test(tcp_prr__bounds),
		cmocka_unit_test(tcp_loss_on_ack__newreno),
		cmocka_unit_test(tcp_loss_on_ack__newreno_in_vain),
		cmocka_unit_test(tcp_loss_on_ack__newreno_after_timeout),
		cmocka_unit_test(tcp_loss_on_ack__duplicates_without_end),
		cmocka_unit_test(tcp_enter_cwr__once_in_a_round_trip),
		cmocka_unit_test(tcp_enter_cwr__not_agreed_on),
		cmocka_unit_test(tcp_enter_recovery__after_an_echo),
		cmocka_unit_test(tcp_loss_on_rto__begins_anew),
		cmocka_unit_test(tcp_loss_on_rto__again),
		cmocka_unit_test(tcp_loss_on_rto__after_progress),
		cmocka_unit_test(tcp_loss_on_rto__spares_what_was_just_sent),
		cmocka_unit_test(tcp_loss_on_rto__no_data_out),
		cmocka_unit_test(follow_frto__spurious),
		cmocka_unit_test(follow_frto__first_ack_decides),
		cmocka_unit_test(follow_frto__sack_of_an_original),
		cmocka_unit_test(follow_frto__losses_are_real),
		cmocka_unit_test(follow_frto__nothing_new_to_send),
		cmocka_unit_test(follow_frto__not_in_recovery),
		cmocka_unit_test(tcp_undo__by_timestamp),
		cmocka_unit_test(tcp_undo__not_by_the_retransmission),
		cmocka_unit_test(tcp_undo__timeout_by_timestamp),
		cmocka_unit_test(tcp_undo__by_dsack),
		cmocka_unit_test(tcp_undo__by_late_dsack),
		cmocka_unit_test(tcp_undo__not_after_an_echo),
		cmocka_unit_test(tcp_undo__lies_gain_nothing),
		cmocka_unit_test(tcp_loss_on_mtu__no_congestion),
		cmocka_unit_test(tcp_loss_on_mtu__nothing_is_too_large),
		cmocka_unit_test(tcp_loss_on_ack__window_of_the_algorithm),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
