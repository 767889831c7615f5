/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * udp_rig.h - datagram engines in a test: hosts of ip_rig.h with UDP, and a wire between them.
 */
#ifndef FSOCK_TESTS_UNIT_UDP_RIG_H
#define FSOCK_TESTS_UNIT_UDP_RIG_H

#include "ip_rig.h"

/* inline definitions */

static inline void rig_readable(void *context, void *pcb)
{
	struct rig_host *h = context;

	h->readable_calls++;
	h->readable = pcb;
}

static inline void rig_open_sized(struct rig_host *h, unsigned i, const struct rig_sizes *sizes)
{
	static const struct siphash_key key = { { 5, 6 } };

	rig_open_ip(h, i, sizes);
	udp_init(&h->udp, &h->ip, &key, h->port_buckets, RIG_BUCKETS, h->flow_buckets, RIG_BUCKETS);
	h->env = (struct ip_env){ .csum = csum_ops(CSUM_SCALAR),
				  .input = udp_input,
				  .readable = rig_readable,
				  .context = h,
				  .udp = &h->udp };
}

static inline void rig_open(struct rig_host *h, unsigned i)
{
	rig_open_sized(h, i, &(struct rig_sizes){ RIG_PINNED, RIG_PAYLOAD, RIG_CHUNK });
}

/* Every endpoint is out, then as rig_close(). */
static inline void rig_close_udp(struct rig_host *h)
{
	assert_int_equal(h->udp.by_port.count, 0);
	assert_int_equal(h->udp.by_flow.count, 0);
	assert_int_equal(h->udp.idle, 0);
	rig_close(h);
}

/* A bound endpoint; @local any = wildcard. */
static inline void rig_bind(struct rig_host *h, struct udp_pcb *pcb, struct ip_addr local,
			    uint16_t port, uint32_t flags)
{
	*pcb = (struct udp_pcb){
		.local = local, .local_port = port, .flags = flags, .limit = RIG_LIMIT
	};
	udp_insert(&h->udp, pcb);
}

static inline void rig_connect(struct rig_host *h, struct udp_pcb *pcb, struct ip_addr remote,
			       uint16_t remote_port)
{
	udp_remove(&h->udp, pcb);
	pcb->remote = remote;
	pcb->remote_port = remote_port;
	pcb->flags |= UDP_PCB_CONNECTED;
	udp_insert(&h->udp, pcb);
}

static inline void rig_unbind(struct rig_host *h, struct udp_pcb *pcb)
{
	udp_remove(&h->udp, pcb);
	udp_purge(pcb);
	assert_int_equal(pcb->charged, 0);
	assert_int_equal(pcb->pinned, 0);
	assert_int_equal(pcb->copied, 0);
	assert_int_equal(pcb->queue.frames, 0);
}

/* The wire: everything @from has built arrives at @to. Returns frames moved. */
static inline unsigned rig_carry(struct rig_host *from, struct rig_host *to)
{
	static uint8_t bytes[RIG_FRAME_MAX];
	struct fbuf *frame;
	unsigned n = 0;

	while ((frame = fbuf_queue_pop(&from->ip.port[0].out)) != NULL) {
		uint32_t len = fbuf_copy_out(frame, 0, bytes, sizeof(bytes));
		uint8_t csum = frame->csum;
		uint16_t gso_size = frame->gso_size;

		assert_int_equal(len, frame->total);
		fbuf_free(frame);
		frame = rig_fbuf(to, bytes, len, 0);
		frame->csum = csum;
		frame->gso_size = gso_size;
		rig_input_fbuf(to, frame);
		n++;
	}
	return n;
}

static inline int rig_send(struct rig_host *h, struct udp_pcb *pcb, struct ip_dst *dst,
			   uint16_t port, const void *bytes, size_t len)
{
	struct iovec iov = { (void *)(uintptr_t)bytes, len };

	assert_true(ip_dst_ready(&h->ip, dst));
	return udp_send(&h->udp, &h->env, pcb, dst, port, &iov, 1, len);
}

/* The next datagram on @pcb is exactly this. */
static inline void rig_expect(struct udp_pcb *pcb, const void *bytes, size_t len)
{
	static uint8_t got[RIG_FRAME_MAX];
	struct fbuf *frame = udp_receive(pcb);

	assert_non_null(frame);
	assert_int_equal(frame->total, len);
	assert_int_equal(fbuf_copy_out(frame, 0, got, sizeof(got)), len);
	if (len > 0)
		assert_memory_equal(got, bytes, len);
	fbuf_free(frame);
}

#endif
