/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * info.c - fields of TCP_INFO.
 *
 * A file of its own: the kernel's header and the engine's name some constants alike.
 */
#include "info.h"

#include <linux/tcp.h>
#include <stddef.h>
#include <string.h>

#include "base/err.h"

static_assert(sizeof(struct tcp_info) <= INFO_BYTES, "all of it fits");

static const struct {
	const char *name;
	uint16_t offset, size;
} fields[] = {
#define FIELD(f) { #f, offsetof(struct tcp_info, tcpi_##f), sizeof(((struct tcp_info *)0)->tcpi_##f) }
	FIELD(state),	   FIELD(ca_state),	FIELD(retransmits),   FIELD(probes),	FIELD(backoff),
	FIELD(options),	   FIELD(rto),		FIELD(ato),	      FIELD(snd_mss),	FIELD(rcv_mss),
	FIELD(unacked),	   FIELD(sacked),	FIELD(lost),	      FIELD(retrans),	FIELD(pmtu),
	FIELD(rcv_ssthresh), FIELD(rtt),	FIELD(rttvar),	      FIELD(snd_ssthresh), FIELD(snd_cwnd),
	FIELD(advmss),	   FIELD(reordering),	FIELD(rcv_rtt),	      FIELD(rcv_space),	FIELD(total_retrans),
	FIELD(bytes_acked), FIELD(bytes_received), FIELD(notsent_bytes), FIELD(min_rtt),	FIELD(delivered),
	FIELD(delivered_ce), FIELD(dsack_dups),	FIELD(reord_seen),    FIELD(segs_out),	FIELD(segs_in),
	FIELD(busy_time),  FIELD(rwnd_limited), FIELD(sndbuf_limited), FIELD(bytes_sent),
	FIELD(bytes_retrans), FIELD(data_segs_in), FIELD(data_segs_out), FIELD(delivery_rate), FIELD(last_ack_recv),
	FIELD(snd_wnd),
#undef FIELD
};

bool info_field(const uint8_t *info, const char *name, int64_t *to)
{
	for (unsigned i = 0; i < FS_ARRAY_SIZE(fields); i++) {
		uint64_t value = 0;

		if (strcmp(fields[i].name, name) != 0)
			continue;
		memcpy(&value, info + fields[i].offset, fields[i].size);
		*to = (int64_t)value;
		return true;
	}
	return false;
}
