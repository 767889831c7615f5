/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * fuzz_udp_input.c - frames into a stack with two endpoints: a dual-stack wildcard and a connected one.
 *
 * The input is a sequence of records: a byte of flags (enum below), a byte that says where the first
 * part of the frame ends (0 = one part), two bytes of length (little endian), the frame.
 * After each record every frame is either in exactly one counter of drops or in a queue, the accounting
 * of each queue is the sum over it, and what is in no queue is back in its pool.
 */
#include <stdbool.h>
#include <string.h>

#include "base/counter.h"
#include "fuzz.h"
#include "ip/ip.h"
#include "udp/udp.h"
#include "wire/eth.h"
#include "wire/ipv4.h"

enum record_flags {
	MEND = 1,     /* give IPv4 the right header checksum and vouch for UDP's */
	PARTIAL = 2,  /* the sum is marked as partial */
	LOW = 4,      /* the pinned pool is below its low water */
	READ = 8,     /* take the oldest datagram off each queue afterwards */
	SMALL = 16,   /* receive buffers of one datagram */
	SUPER = 32,   /* a super-frame */
	TRUST = 64,   /* the port trusts partial sums */
	TAGGED = 128, /* the provider stripped a VLAN tag */
};

enum { CHUNKS = 48, CHUNK = 512, HEADROOM = 128, BUCKETS = 8, ENDPOINTS = 2 };

struct world {
	struct ip_stack ip;
	struct udp_stack udp;
	struct ip_env env;
	struct udp_pcb pcb[ENDPOINTS];
	struct fbuf_pool pinned, payload;
	struct fbuf bufs[2][CHUNKS];
	uint8_t memory[2][CHUNKS * CHUNK];
	uint64_t counters[FS_CTR_N];
	struct table_node *dsts[BUCKETS], *neighs[BUCKETS], *ports[BUCKETS], *flows[BUCKETS];
	uint64_t records;
	bool supers; /* one of them was a super-frame */
};

static void world_init(struct world *w)
{
	static const uint8_t v4[4] = { 10, 0, 0, 2 }, peer[4] = { 10, 0, 0, 1 };
	static const uint8_t v6[16] = { 0xfd, [15] = 2 };
	static const struct siphash_key key = { { 1, 2 } };
	struct ip_port port = {
		.ifindex = 1, .mtu = 1500, .up = true, .n_local = 2, .mac = { { 2, 0, 0, 0, 0, 2 } }
	};

	memset(w->counters, 0, sizeof(w->counters));
	w->records = 0;
	fbuf_pool_init(&w->pinned, CHUNK, HEADROOM);
	fbuf_pool_init(&w->payload, CHUNK, 0);
	fbuf_pool_add(&w->pinned, w->bufs[0], w->memory[0], CHUNKS);
	fbuf_pool_add(&w->payload, w->bufs[1], w->memory[1], CHUNKS);
	ip_init(&w->ip, &key, &w->payload, w->counters, w->dsts, BUCKETS);
	neigh_table_init(&w->ip.neigh, &key, w->neighs, BUCKETS);
	udp_init(&w->udp, &w->ip, &key, w->ports, BUCKETS, w->flows, BUCKETS);
	w->env = (struct ip_env){ .csum = csum_ops(CSUM_SCALAR),
				  .input = udp_input,
				  .udp = &w->udp };
	port.local[0] = ip_addr_v4(v4);
	port.local[1] = ip_addr_v6(v6);
	port.pool = &w->pinned;
	FUZZ_CHECK(ip_port_set(&w->ip, 0, &port) == 0);
	w->pcb[0] = (struct udp_pcb){ .local_port = 53, .flags = UDP_PCB_V6 };
	w->pcb[1] = (struct udp_pcb){ .local = ip_addr_v4(v4),
				      .remote = ip_addr_v4(peer),
				      .local_port = 53,
				      .remote_port = 4000,
				      .flags = UDP_PCB_CONNECTED };
	for (unsigned i = 0; i < ENDPOINTS; i++)
		udp_insert(&w->udp, &w->pcb[i]);
}

/* The frame in chunks of the pinned pool; NULL when they do not suffice, as a provider would find. */
static struct fbuf *make_frame(struct world *w, const uint8_t *bytes, size_t len, size_t first)
{
	struct fbuf *head = NULL, **link = &head;
	size_t at = 0;

	do {
		struct fbuf *f = fbuf_alloc(&w->pinned);
		size_t here = len - at;

		if (!f) {
			fbuf_free(head);
			return NULL;
		}
		here = FS_MIN(here, (size_t)fbuf_tailroom(f));
		if (at == 0 && first > 0)
			here = FS_MIN(here, first);
		if (here > 0)
			memcpy(f->data, bytes + at, here);
		f->len = (uint32_t)here;
		*link = f;
		link = &f->next;
		at += here;
	} while (at < len);
	head->total = (uint32_t)len;
	return head;
}

/* Fuzzing does not find checksums by itself. */
static void mend(struct fbuf *frame)
{
	uint8_t *ip = frame->data + ETH_HDR_LEN;
	size_t hdr_len;
	be16_t field;

	frame->csum = FBUF_CSUM_VERIFIED;
	if (frame->len < ETH_HDR_LEN + IPV4_HDR_LEN)
		return;
	hdr_len = (size_t)(ip[0] & 15) * 4;
	if (hdr_len < IPV4_HDR_LEN || frame->len < ETH_HDR_LEN + hdr_len || ip[0] >> 4 != 4)
		return;
	memset(ip + 10, 0, 2);
	field = csum_finish(csum_inline(ip, hdr_len));
	memcpy(ip + 10, &field, 2);
}

static void check_queue(const struct world *w, const struct udp_pcb *pcb, uint32_t *pinned,
			uint32_t *copied)
{
	uint32_t charged = 0, frames = 0, parts[2] = { 0, 0 };

	for (const struct fbuf *f = pcb->queue.head; f; f = f->link) {
		uint32_t total = 0;

		for (const struct fbuf *part = f; part; part = part->next) {
			FUZZ_CHECK(part->pool == f->pool);
			parts[f->pool == &w->payload]++;
			total += part->len;
		}
		FUZZ_CHECK(total == f->total && f->charge == total + UDP_CHARGE_OVERHEAD);
		FUZZ_CHECK(f->dst_port == pcb->local_port);
		charged += f->charge;
		frames++;
	}
	FUZZ_CHECK(charged == pcb->charged && frames == pcb->queue.frames);
	FUZZ_CHECK(parts[0] == pcb->pinned && parts[1] == pcb->copied);
	*pinned += parts[0];
	*copied += parts[1];
}

static void check_world(const struct world *w)
{
	uint32_t pinned = 0, copied = 0, idle = 0;
	uint64_t fates = w->counters[FS_CTR_rx_datagrams];

	for (unsigned i = 0; i < ENDPOINTS; i++) {
		check_queue(w, &w->pcb[i], &pinned, &copied);
		idle += w->pcb[i].queue.frames == 0;
	}
	FUZZ_CHECK(w->pinned.n_free + pinned == w->pinned.n_total);
	FUZZ_CHECK(w->payload.n_free + copied == w->payload.n_total);
	FUZZ_CHECK(w->udp.idle == idle);
	for (uint32_t i = 0; i < FS_CTR_N; i++)
		if (strncmp(fs_counter_info(i)->name, "drop_", 5) == 0)
			fates += w->counters[i];
	/* A super-frame may have as many fates as datagrams. */
	FUZZ_CHECK(w->supers ? fates >= w->records : fates == w->records);
}

static void run_record(struct world *w, unsigned flags, size_t first, const uint8_t *bytes,
		       size_t len)
{
	struct fbuf *frame = make_frame(w, bytes, len, first);

	w->pinned.low_water = flags & LOW ? CHUNKS : 0;
	w->ip.port[0].trust_partial = flags & TRUST;
	for (unsigned i = 0; i < ENDPOINTS; i++)
		w->pcb[i].limit = flags & SMALL ? 1 : UINT32_MAX;
	if (frame) {
		frame->csum = flags & PARTIAL ? FBUF_CSUM_PARTIAL : FBUF_CSUM_UNKNOWN;
		frame->gso_size = flags & SUPER ? 100 : 0;
		frame->vlan = flags & TAGGED ? 5 : 0;
		if (flags & MEND)
			mend(frame);
		w->records++;
		w->supers |= frame->gso_size != 0;
		ip_input(&w->ip, &w->env, &frame, 1, 1);
	}
	for (unsigned i = 0; i < ENDPOINTS && (flags & READ); i++)
		fbuf_free(udp_receive(&w->pcb[i]));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static struct world w; /* large; made anew for each input */

	world_init(&w);
	while (size >= 4) {
		size_t len = (size_t)(data[2] | data[3] << 8);

		len = FS_MIN(len, size - 4);
		run_record(&w, data[0], data[1], data + 4, len);
		check_world(&w);
		data += 4 + len;
		size -= 4 + len;
	}
	for (unsigned i = 0; i < ENDPOINTS; i++) {
		udp_remove(&w.udp, &w.pcb[i]);
		udp_purge(&w.pcb[i]);
		FUZZ_CHECK(w.pcb[i].charged == 0);
	}
	FUZZ_CHECK(ip_port_clear(&w.ip, 0) == 0);
	FUZZ_CHECK(w.pinned.n_free == CHUNKS && w.payload.n_free == CHUNKS && w.udp.idle == 0);
	return 0;
}
