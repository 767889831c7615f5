/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * test_udp_link.c - two engines over a link that loses, damages, doubles and reorders, in virtual
 * time: what arrives is what was sent, and what does not arrive is in a counter.
 */
#include "udp_rig.h"

#include "provider/fault/fault.h"

enum { MESSAGES = 2000, BURST = 16, PEERS = 2 };

struct side {
	struct rig_host h;
	struct udp_pcb pcb;
	struct provider_handle handle;
	struct provider_port *port; /* owned */
};

struct net {
	struct fault_link link;
	struct side side[PEERS];
	fs_ns now;
};

/* A message names its number and is filled with it. */
struct message {
	uint32_t number;
	uint8_t fill[60];
};

static struct message message_make(uint32_t number)
{
	struct message m = { .number = number };

	memset(m.fill, (int)(number * 37), sizeof(m.fill));
	return m;
}

static void net_open(struct net *n, const struct fault_config *config, uint64_t seed)
{
	memset(n, 0, sizeof(*n));
	fault_link_init(&n->link, config, seed);
	for (unsigned i = 0; i < PEERS; i++) {
		struct side *s = &n->side[i];
		char option[FAULT_OPTION_LEN], why[PROVIDER_WHY_LEN];
		struct provider_open_args args = { .ifindex = RIG_IFINDEX,
						   .ifname = "fst0",
						   .driver = "",
						   .mtu = RIG_MTU,
						   .option = option,
						   .pool = &s->h.pinned,
						   .why = why };

		rig_open(&s->h, i);
		rig_bind(&s->h, &s->pcb, (struct ip_addr){ 0 }, 1000, UDP_PCB_V6);
		fault_option(&n->link, i, option);
		s->port = calloc(1, provider_fault.port_size);
		assert_int_equal(provider_fault.open(&s->handle, s->port, &args), 0);
	}
}

static void net_close(struct net *n)
{
	for (unsigned i = 0; i < PEERS; i++)
		provider_fault.close(&n->side[i].handle);
	for (unsigned i = 0; i < PEERS; i++) {
		rig_unbind(&n->side[i].h, &n->side[i].pcb);
		rig_close_udp(&n->side[i].h);
		free(n->side[i].port);
	}
}

/* What a driver does: all that waits goes to the provider, all that arrived to the engine. */
static void side_drive(struct side *s, fs_ns now)
{
	struct fbuf_queue *out = &s->h.ip.port[0].out;
	struct fbuf *frames[BURST];
	unsigned n;

	while (out->head) {
		frames[0] = fbuf_queue_pop(out);
		while (provider_fault.transmit(&s->handle, frames, 1) == 0)
			assert_int_equal(provider_fault.kick(&s->handle), 0);
	}
	assert_int_equal(provider_fault.kick(&s->handle), 0);
	while ((n = provider_fault.receive(&s->handle, frames, BURST)) > 0)
		ip_input(&s->h.ip, &s->h.env, frames, n, now);
}

static void net_advance(struct net *n, fs_ns to)
{
	n->now = to;
	fault_link_advance(&n->link, to);
	for (unsigned i = 0; i < PEERS; i++)
		side_drive(&n->side[i], to);
}

/* Everything queued is a message as it was sent. Returns how many. */
static unsigned read_all(struct side *s, unsigned *seen)
{
	struct message got, want;
	struct fbuf *frame;
	unsigned n = 0;

	for (; (frame = udp_receive(&s->pcb)) != NULL; n++) {
		assert_int_equal(frame->total, sizeof(got));
		fbuf_copy_out(frame, 0, &got, sizeof(got));
		fbuf_free(frame);
		assert_true(got.number < MESSAGES);
		want = message_make(got.number);
		assert_memory_equal(&got, &want, sizeof(got));
		seen[got.number]++;
	}
	return n;
}

static uint64_t drops(const struct rig_host *h)
{
	uint64_t sum = 0;

	for (uint32_t i = 0; i < FS_CTR_N; i++)
		if (strncmp(fs_counter_info(i)->name, "drop_", 5) == 0)
			sum += h->counters[i];
	return sum;
}

/* Send MESSAGES from side 0 to side 1, one each microsecond; @seen counts arrivals by number. */
static unsigned run(struct net *n, struct ip_addr to, unsigned *seen)
{
	struct ip_dst *dst = rig_dst(&n->side[0].h, to);
	unsigned received = 0;

	for (uint32_t i = 0; i < MESSAGES; i++) {
		struct message m = message_make(i);

		assert_int_equal(rig_send(&n->side[0].h, &n->side[0].pcb, dst, 1000, &m, sizeof(m)),
				 0);
		net_advance(n, n->now + FS_US(1));
		received += read_all(&n->side[1], seen);
	}
	while (fault_link_next(&n->link) != FS_NEVER) {
		net_advance(n, fault_link_next(&n->link));
		received += read_all(&n->side[1], seen);
	}
	return received;
}

static void udp_link__perfect_wire_loses_nothing(void **state)
{
	static unsigned seen[MESSAGES];
	const struct fault_config perfect = { .delay = FS_US(20) };
	struct net n;

	memset(seen, 0, sizeof(seen));
	net_open(&n, &perfect, 1);
	assert_int_equal(run(&n, n.side[1].h.v4, seen), MESSAGES);
	assert_int_equal(run(&n, n.side[1].h.v6, seen), MESSAGES);
	for (unsigned i = 0; i < MESSAGES; i++)
		assert_int_equal(seen[i], 2);
	assert_int_equal(drops(&n.side[1].h), 0);
	net_close(&n);
}

/* Whatever the link does, each frame it delivers is read whole or counted as dropped. */
static void udp_link__every_loss_is_in_a_counter(void **state)
{
	const struct fault_config bad = { .delay = FS_US(20),
					  .jitter = FS_US(9),
					  .loss = 50000,
					  .duplicate = 50000,
					  .corrupt = 200000,
					  .reorder = 100000,
					  .reorder_by = FS_US(50) };

	for (uint64_t seed = 1; seed <= 5; seed++) {
		static unsigned seen[MESSAGES];
		struct fault_counts *counts;
		unsigned received;
		struct net n;

		memset(seen, 0, sizeof(seen));
		net_open(&n, &bad, seed);
		received = run(&n, seed & 1 ? n.side[1].h.v4 : n.side[1].h.v6, seen);
		counts = &n.link.to[1].counts;
		assert_int_equal(received + drops(&n.side[1].h), counts->delivered);
		assert_true(counts->lost > 0 && counts->corrupted > 0 && counts->doubled > 0);
		assert_true(drops(&n.side[1].h) > 0 &&
			    drops(&n.side[1].h) <= 2 * counts->corrupted);
		assert_int_equal(n.side[1].h.counters[FS_CTR_rx_datagrams], received);
		net_close(&n);
	}
}

/* A ping-pong in virtual time: each half trip takes the link's delay and nothing else. */
static void udp_link__ping_pong(void **state)
{
	const struct fault_config config = { .delay = FS_US(10) };
	struct ip_dst *to[PEERS];
	struct net n;

	net_open(&n, &config, 1);
	for (unsigned i = 0; i < PEERS; i++)
		to[i] = rig_dst(&n.side[i].h, n.side[!i].h.v4);
	for (unsigned trip = 0; trip < 100; trip++) {
		struct side *from = &n.side[trip & 1], *back = &n.side[!(trip & 1)];

		assert_int_equal(
			rig_send(&from->h, &from->pcb, to[trip & 1], 1000, &trip, sizeof(trip)), 0);
		net_advance(&n, n.now);
		assert_int_equal(back->pcb.queue.frames, 0);
		net_advance(&n, n.now + FS_US(10));
		rig_expect(&back->pcb, &trip, sizeof(trip));
	}
	assert_int_equal(n.now, 100 * FS_US(10));
	net_close(&n);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(udp_link__perfect_wire_loses_nothing),
		cmocka_unit_test(udp_link__every_loss_is_in_a_counter),
		cmocka_unit_test(udp_link__ping_pong),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
