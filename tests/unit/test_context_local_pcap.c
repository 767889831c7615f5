/* SPDX-License-Identifier: BSD-2-Clause */
/* The format of the file: read back by words and bytes, sums by a loop of its own. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include <errno.h>
#include <stdio.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <unistd.h>

#include "context/local_pcap.h"

#include "local/conn.h"

enum { ROOM = 1 << 18, RING = 1 << 16, SECTION = 28 + 48, ETHERNET = 14, FLOOR = 100, SNAP = 65535 };

static uint8_t file[ROOM], ring_out[RING], ring_in[RING];
static struct local_conn conn;
static struct local_pcap pcap;
static char path[64];
static int memory;
static size_t size, at;

static struct ip_addr v4(uint8_t last)
{
	return ip_addr_v4((uint8_t[]){ 127, 0, 0, last });
}

static int setup(void **state)
{
	memset(&pcap, 0, sizeof(pcap));
	memory = memfd_create("capture", MFD_CLOEXEC);
	snprintf(path, sizeof(path), "/proc/self/fd/%d", memory);
	for (unsigned i = 0; i < RING; i++) {
		ring_out[i] = (uint8_t)(i * 7 + i / 256);
		ring_in[i] = (uint8_t)(i * 11 + i / 256);
	}
	conn = (struct local_conn){ .local = v4(1), .remote = v4(2), .local_port = 4000,
				    .remote_port = 80, .tap = { .serial = 3, .dialled = true } };
	conn.tx = (struct local_tx){ .ring = ring_out, .mask = RING - 1 };
	conn.rx = (struct local_rx){ .ring = ring_in, .mask = RING - 1 };
	return memory < 0;
}

static int teardown(void **state)
{
	if (pcap.fd > 0)
		close(pcap.fd);
	close(memory);
	return 0;
}

static uint32_t word(size_t offset)
{
	uint32_t w;

	assert_true(offset + 4 <= size);
	memcpy(&w, file + offset, 4);
	return w;
}

static uint32_t big(const uint8_t *p, unsigned n)
{
	return n == 0 ? 0 : big(p, n - 1) << 8 | p[n - 1];
}

/* Ones' complement sum over big-endian 16-bit words. */
static uint32_t sum_of(uint32_t sum, const uint8_t *p, size_t len)
{
	for (size_t i = 0; i < len; i++)
		sum += (uint32_t)p[i] << (i % 2 ? 0 : 8);
	while (sum >> 16)
		sum = (sum & 0xffff) + (sum >> 16);
	return sum;
}

static void look(void)
{
	size = (size_t)pread(memory, file, sizeof(file), 0);
	at = 0;
}

static void open_with(uint32_t snap)
{
	assert_int_equal(local_pcap_open(&pcap, path, snap, FLOOR), 0);
	assert_true(pcap.fd >= FLOOR);
}

static void write_one(enum local_seen what, bool out, uint64_t seq, uint64_t ack, size_t len)
{
	struct local_segment segment = { .what = what, .out = out, .seq = seq, .ack = ack, .len = len };

	assert_int_equal(local_pcap_write(&pcap, &conn, &segment, 0x1234567890abcdefULL), 0);
}

static void expect_section(void)
{
	assert_int_equal(word(at), 0x0a0d0d0a);
	assert_int_equal(word(at + 4), 28);
	assert_int_equal(word(at + 8), 0x1a2b3c4d);
	assert_int_equal(word(at + 12), 1);
	assert_int_equal(word(at + 24), 28);
	at += 28;
	assert_int_equal(word(at), 1);
	assert_int_equal(word(at + 4), 48);
	assert_int_equal(word(at + 8), 1); /* LINKTYPE_ETHERNET */
	assert_int_equal(word(at + 12), 262144);
	assert_int_equal(word(at + 16), 11 << 16 | 2);
	assert_memory_equal(file + at + 20, "fsock links\0", 12);
	assert_int_equal(word(at + 32), 1 << 16 | 9);
	assert_int_equal(word(at + 36), 9); /* ns */
	assert_int_equal(word(at + 40), 0);
	assert_int_equal(word(at + 44), 48);
}

/* A block of a packet of @whole bytes behind its Ethernet header, of which @kept are there, at what is returned. */
static const uint8_t *expect_packet(bool out, size_t whole, size_t kept)
{
	size_t padded = (kept + ETHERNET + 3) & ~(size_t)3, len = 28 + padded + 12 + 4;
	const uint8_t *packet = file + at + 28;
	bool v6 = packet[ETHERNET] >> 4 == 6;

	assert_int_equal(word(at), 6);
	assert_int_equal(word(at + 4), len);
	assert_int_equal(word(at + 8), 0);
	assert_int_equal(word(at + 12), 0x12345678);
	assert_int_equal(word(at + 16), 0x90abcdef);
	assert_int_equal(word(at + 20), kept + ETHERNET);
	assert_int_equal(word(at + 24), whole + ETHERNET);
	assert_int_equal(word(at + 28 + padded), 4 << 16 | 2);
	assert_int_equal(word(at + 32 + padded), out ? 2 : 1);
	assert_int_equal(word(at + 36 + padded), 0);
	assert_int_equal(word(at + 40 + padded), len);
	for (size_t i = ETHERNET + kept; i < padded; i++)
		assert_int_equal(packet[i], 0);
	assert_memory_equal(packet, "\0\0\0\0\0\0\0\0\0\0\0\0", 12); /* as of the loopback interface */
	assert_int_equal(big(packet + 12, 2), v6 ? 0x86dd : 0x0800);
	at += len;
	return packet + ETHERNET;
}

static void assert_tcp_sum(const uint8_t *addresses, size_t n, const uint8_t *tcp, size_t len)
{
	uint32_t sum = sum_of(6 + (uint32_t)len, addresses, n);

	assert_int_equal(sum_of(sum, tcp, len), 0xffff);
}

static void local_pcap_open__adds_a_section(void **state)
{
	open_with(SNAP);
	close(pcap.fd);
	open_with(SNAP);
	look();
	assert_int_equal(size, 2 * SECTION);
	expect_section();
	at = SECTION;
	expect_section();
}

static void local_pcap_open__nothing_but_a_capture(void **state)
{
	int pipes[2];

	assert_int_equal(pwrite(memory, "precious", 8, 0), 8);
	assert_int_equal(local_pcap_open(&pcap, path, SNAP, FLOOR), -EINVAL);
	assert_int_equal(pcap.fd, 0);
	look();
	assert_int_equal(size, 8);
	assert_int_equal(pipe(pipes), 0);
	snprintf(path, sizeof(path), "/proc/self/fd/%d", pipes[1]);
	assert_int_equal(local_pcap_open(&pcap, path, SNAP, FLOOR), -EINVAL);
	assert_int_equal(local_pcap_open(&pcap, "/nowhere/at/all", SNAP, FLOOR), -ENOENT);
	assert_int_equal(pcap.fd, 0);
	close(pipes[0]);
	close(pipes[1]);
}

static void local_pcap_write__v4_around_the_end_of_the_ring(void **state)
{
	const uint8_t *p;

	open_with(SNAP);
	write_one(LOCAL_SEEN_BYTES, true, RING - 5, 77, 12); /* an odd part before the end */
	look();
	at = SECTION;
	p = expect_packet(true, 52, 52);
	assert_int_equal(at, size);
	assert_int_equal(p[0], 0x45);
	assert_int_equal(big(p + 2, 2), 52);
	assert_int_equal(p[9], 6);
	assert_int_equal(sum_of(0, p, 20), 0xffff);
	assert_memory_equal(p + 12, ((uint8_t[]){ 127, 0, 0, 1, 127, 0, 0, 2 }), 8);
	assert_int_equal(big(p + 20, 2), 4000);
	assert_int_equal(big(p + 22, 2), 80);
	assert_int_equal(p[32], 0x50);
	assert_int_equal(p[33], 0x18); /* ACK, PSH */
	assert_memory_equal(p + 40, ring_out + RING - 5, 5);
	assert_memory_equal(p + 45, ring_out, 7);
	assert_tcp_sum(p + 12, 8, p + 20, 32);
}

static void local_pcap_write__v6_that_comes(void **state)
{
	const uint8_t *p;

	conn.local = ip_addr_v6((uint8_t[16]){ [15] = 1 });
	conn.remote = ip_addr_v6((uint8_t[16]){ 0xfd, 0x77, [15] = 2 });
	open_with(SNAP);
	write_one(LOCAL_SEEN_BYTES, false, 9, 0, 3);
	look();
	at = SECTION;
	p = expect_packet(false, 63, 63);
	assert_int_equal(p[0], 0x60);
	assert_int_equal(big(p + 4, 2), 23);
	assert_int_equal(p[6], 6);
	assert_memory_equal(p + 8, conn.remote.b, 16);
	assert_memory_equal(p + 24, conn.local.b, 16);
	assert_int_equal(big(p + 40, 2), 80);
	assert_int_equal(big(p + 42, 2), 4000);
	assert_memory_equal(p + 60, ring_in + 9, 3);
	assert_tcp_sum(p + 8, 32, p + 40, 23);
}

/* Numbers of both directions fit to each other from SYN to FIN, and are others for the next connection. */
static void local_pcap_write__numbers(void **state)
{
	static const struct {
		enum local_seen what;
		bool out;
		uint64_t seq, ack;
		size_t len;
		uint8_t flags;
	} talk[] = {
		{ LOCAL_SEEN_SYN, true, 0, 0, 0, 0x02 },      { LOCAL_SEEN_SYN_ACK, false, 0, 0, 0, 0x12 },
		{ LOCAL_SEEN_ACK, true, 0, 0, 0, 0x10 },      { LOCAL_SEEN_BYTES, true, 0, 0, 8, 0x18 },
		{ LOCAL_SEEN_BYTES, false, 0, 8, 4, 0x18 },   { LOCAL_SEEN_FIN, true, 8, 4, 0, 0x11 },
		{ LOCAL_SEEN_RESET, false, 4, 9, 0, 0x14 },
	};
	uint32_t isn[2], first;

	open_with(SNAP);
	for (unsigned i = 0; i < sizeof(talk) / sizeof(*talk); i++)
		write_one(talk[i].what, talk[i].out, talk[i].seq, talk[i].ack, talk[i].len);
	conn.tap.serial++;
	write_one(LOCAL_SEEN_SYN, true, 0, 0, 0);
	conn.tap = (struct local_tap){ .serial = 3 };
	conn.local_port = 80;
	conn.remote_port = 4000;
	write_one(LOCAL_SEEN_SYN, false, 0, 0, 0);
	look();
	at = SECTION;
	isn[1] = big(file + at + 28 + ETHERNET + 24, 4);
	first = isn[1];
	isn[0] = big(file + at + 104 + 28 + ETHERNET + 24, 4);
	assert_int_not_equal(isn[0], isn[1]);
	for (unsigned i = 0; i < sizeof(talk) / sizeof(*talk); i++) {
		bool syn = talk[i].flags & 2, ack = talk[i].flags & 0x10;
		size_t len = (syn ? 44 : 40) + talk[i].len;
		const uint8_t *tcp = expect_packet(talk[i].out, len, len) + 20;

		assert_int_equal(big(tcp + 4, 4), isn[talk[i].out] + !syn + (uint32_t)talk[i].seq);
		assert_int_equal(big(tcp + 8, 4), ack ? isn[!talk[i].out] + 1 + (uint32_t)talk[i].ack : 0);
		assert_int_equal(tcp[13], talk[i].flags);
		assert_tcp_sum(tcp - 8, 8, tcp, len - 20);
		if (syn)
			assert_memory_equal(tcp + 20, ((uint8_t[]){ 2, 4, LOCAL_PCAP_MSS >> 8, 0 }), 4);
	}
	assert_int_not_equal(big(expect_packet(true, 44, 44) + 24, 4), first);
	assert_int_equal(big(expect_packet(false, 44, 44) + 24, 4), first); /* as the other end sees the first */
	assert_int_equal(at, size);
}

static void local_pcap_write__long_ones_in_parts(void **state)
{
	const uint8_t *p;

	open_with(SNAP);
	write_one(LOCAL_SEEN_BYTES, true, 100, 0, LOCAL_PCAP_MSS + 1);
	look();
	at = SECTION;
	p = expect_packet(true, 40 + LOCAL_PCAP_MSS, 40 + LOCAL_PCAP_MSS);
	assert_memory_equal(p + 40, ring_out + 100, LOCAL_PCAP_MSS);
	assert_tcp_sum(p + 12, 8, p + 20, 20 + LOCAL_PCAP_MSS);
	assert_int_equal(big(expect_packet(true, 41, 41) + 24, 4), big(p + 24, 4) + LOCAL_PCAP_MSS);
}

/* The sum is that of the whole packet, as on a wire. */
static void local_pcap_write__cut(void **state)
{
	const uint8_t *p;
	uint32_t sum;

	open_with(LOCAL_PCAP_SNAP_MIN);
	write_one(LOCAL_SEEN_BYTES, true, RING - 50, 0, 1000);
	look();
	at = 0;
	expect_section();
	at = SECTION;
	p = expect_packet(true, 1040, LOCAL_PCAP_SNAP_MIN - ETHERNET);
	assert_int_equal(at, size);
	assert_memory_equal(p + 40, ring_out + RING - 50, 50);
	assert_memory_equal(p + 90, ring_out, 24);
	sum = sum_of(6 + 1020, p + 12, 8);
	sum = sum_of(sum_of(sum, p + 20, 20), ring_out + RING - 50, 50);
	assert_int_equal(sum_of(sum, ring_out, 950), 0xffff);
}

/* The program is not ended by SIGXFSZ, and nothing half is in the file. */
static void local_pcap_write__as_far_as_the_limit(void **state)
{
	struct rlimit before, little;
	struct local_segment segment = { .what = LOCAL_SEEN_BYTES, .out = true, .len = 100 };

	open_with(SNAP);
	assert_int_equal(getrlimit(RLIMIT_FSIZE, &before), 0);
	little = (struct rlimit){ .rlim_cur = SECTION + 100, .rlim_max = before.rlim_max };
	assert_int_equal(setrlimit(RLIMIT_FSIZE, &little), 0);
	assert_int_equal(local_pcap_write(&pcap, &conn, &segment, 0), -EFBIG);
	setrlimit(RLIMIT_FSIZE, &before);
	assert_int_equal(pcap.fd, 0);
	look();
	assert_int_equal(size, SECTION);
}

#define CASE(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(void)
{
	static const struct CMUnitTest tests[] = {
		CASE(local_pcap_open__adds_a_section),
		CASE(local_pcap_open__nothing_but_a_capture),
		CASE(local_pcap_write__v4_around_the_end_of_the_ring),
		CASE(local_pcap_write__v6_that_comes),
		CASE(local_pcap_write__numbers),
		CASE(local_pcap_write__long_ones_in_parts),
		CASE(local_pcap_write__cut),
		CASE(local_pcap_write__as_far_as_the_limit),
	};

	return cmocka_run_group_tests_name("context_local_pcap", tests, NULL, NULL);
}
