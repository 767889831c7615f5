/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * test_tcp_info_layout.c - struct tcp_info_layout is the kernel's struct tcp_info.
 *
 * A program of its own: <linux/tcp.h> does not go with the engine's headers. The kernel's struct grows; what this
 * header knows of it must be as here.
 */
#include <assert.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>
#include <linux/tcp.h>

#include "tcp/info.h"

#define SAME(ours, theirs)                                                                                    \
	static_assert(offsetof(struct tcp_info_layout, ours) == offsetof(struct tcp_info, theirs), #ours);    \
	static_assert(sizeof(((struct tcp_info_layout *)0)->ours) == sizeof(((struct tcp_info *)0)->theirs), #ours)

#define SAME_NAME(name) SAME(name, tcpi_##name)

SAME_NAME(state);
SAME_NAME(ca_state);
SAME_NAME(retransmits);
SAME_NAME(probes);
SAME_NAME(backoff);
SAME_NAME(options);
SAME_NAME(rto);
SAME_NAME(ato);
SAME_NAME(snd_mss);
SAME_NAME(rcv_mss);
SAME_NAME(unacked);
SAME_NAME(sacked);
SAME_NAME(lost);
SAME_NAME(retrans);
SAME_NAME(fackets);
SAME_NAME(last_data_sent);
SAME_NAME(last_ack_sent);
SAME_NAME(last_data_recv);
SAME_NAME(last_ack_recv);
SAME_NAME(pmtu);
SAME_NAME(rcv_ssthresh);
SAME_NAME(rtt);
SAME_NAME(rttvar);
SAME_NAME(snd_ssthresh);
SAME_NAME(snd_cwnd);
SAME_NAME(advmss);
SAME_NAME(reordering);
SAME_NAME(rcv_rtt);
SAME_NAME(rcv_space);
SAME_NAME(total_retrans);
SAME_NAME(pacing_rate);
SAME_NAME(max_pacing_rate);
SAME_NAME(bytes_acked);
SAME_NAME(bytes_received);
SAME_NAME(segs_out);
SAME_NAME(segs_in);
SAME_NAME(notsent_bytes);
SAME_NAME(min_rtt);
SAME_NAME(data_segs_in);
SAME_NAME(data_segs_out);
SAME_NAME(delivery_rate);
SAME_NAME(busy_time);
SAME_NAME(rwnd_limited);
SAME_NAME(sndbuf_limited);
SAME_NAME(delivered);
SAME_NAME(delivered_ce);
SAME_NAME(bytes_sent);
SAME_NAME(bytes_retrans);
SAME_NAME(dsack_dups);
SAME_NAME(reord_seen);
SAME_NAME(rcv_ooopack);
SAME_NAME(snd_wnd);

static_assert(TCP_INFO_TIMESTAMPS == TCPI_OPT_TIMESTAMPS, "timestamps");
static_assert(TCP_INFO_SACK == TCPI_OPT_SACK, "sack");
static_assert(TCP_INFO_WSCALE == TCPI_OPT_WSCALE, "wscale");
static_assert(TCP_INFO_ECN == TCPI_OPT_ECN, "ecn");
static_assert(TCP_INFO_ECN_SEEN == TCPI_OPT_ECN_SEEN, "ecn seen");
static_assert(TCP_INFO_SYN_DATA == TCPI_OPT_SYN_DATA, "syn data");
static_assert((int)TCP_INFO_FASTOPEN_NO_COOKIE == (int)TFO_COOKIE_UNAVAILABLE, "no cookie");
static_assert((int)TCP_INFO_FASTOPEN_NOT_TAKEN == (int)TFO_DATA_NOT_ACKED, "not taken");
static_assert((int)TCP_INFO_FASTOPEN_SYN_LOST == (int)TFO_SYN_RETRANSMITTED, "SYN lost");

/* Bit fields have no offsets: written by one name, read by the other. */
static void tcp_info_layout__bit_fields(void **state)
{
	struct tcp_info_layout ours;
	struct tcp_info theirs;

	memset(&ours, 0, sizeof(ours));
	memset(&theirs, 0, sizeof(theirs));
	ours.snd_wscale = 5;
	ours.rcv_wscale = 10;
	ours.delivery_rate_app_limited = 1;
	ours.fastopen_client_fail = 2;
	memcpy(&theirs, &ours, sizeof(theirs) < sizeof(ours) ? sizeof(theirs) : sizeof(ours));
	assert_int_equal(theirs.tcpi_snd_wscale, 5);
	assert_int_equal(theirs.tcpi_rcv_wscale, 10);
	assert_int_equal(theirs.tcpi_delivery_rate_app_limited, 1);
	assert_int_equal(theirs.tcpi_fastopen_client_fail, 2);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(tcp_info_layout__bit_fields),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
