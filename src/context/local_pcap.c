/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * local_pcap.c - see local_pcap.h.
 */
#include "context/local_pcap.h"

#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/uio.h>

#include "base/csum.h"
#include "base/err.h"
#include "local/conn.h"
#include "sys/sys.h"
#include "wire/eth.h"
#include "wire/ipv4.h"
#include "wire/ipv6.h"
#include "wire/tcp.h"

/* draft-ietf-opsawg-pcapng 4 */
enum {
	BLOCK_SECTION = 0x0a0d0d0a,
	BLOCK_INTERFACE = 1,
	BLOCK_PACKET = 6,
	BYTE_ORDER_MAGIC = 0x1a2b3c4d,
	/* With addresses of zeros, as Linux's loopback has. Raw IP, which would do, libpcap 1.10 takes for two kinds where
	 * a file has two sections. */
	LINK_ETHERNET = 1,
	SNAP_MOST = 262144, /* libpcap wants one for all sections; packets say themselves what they have */
	OPTION_IF_NAME = 2,
	OPTION_IF_TSRESOL = 9,
	OPTION_EPB_FLAGS = 2,
	INBOUND = 1,
	OUTBOUND = 2,
};

enum {
	HEADERS = ETH_HDR_LEN + IPV6_HDR_LEN + TCP_MAX_HDR_LEN,
	TTL = 64,
	WINDOW = 65535,
};

#define ISN_STEP UINT32_C(0x9e3779b1) /* odd: no two connections in a row have numbers near each other's */

struct words {
	uint32_t word[32];
	uint32_t n;
};

static void put(struct words *w, uint32_t word)
{
	w->word[w->n++] = word;
}

static void put_text(struct words *w, uint16_t option, const char *text, uint16_t len)
{
	put(w, (uint32_t)len << 16 | option);
	memcpy(&w->word[w->n], text, len); /* the rest of the last word is 0 */
	w->n += (len + 3u) / 4;
}

static void put_length(struct words *w, uint32_t block)
{
	uint32_t len = (w->n - block + 1) * sizeof(uint32_t);

	w->word[block + 1] = len;
	put(w, len);
}

/* A section with its one interface. */
static void make_section(struct words *w)
{
	uint32_t interface;

	put(w, BLOCK_SECTION);
	put(w, 0);
	put(w, BYTE_ORDER_MAGIC);
	put(w, 1); /* version 1.0 */
	put(w, UINT32_MAX);
	put(w, UINT32_MAX); /* how long the section is, is not known */
	put_length(w, 0);
	interface = w->n;
	put(w, BLOCK_INTERFACE);
	put(w, 0);
	put(w, LINK_ETHERNET);
	put(w, SNAP_MOST);
	put_text(w, OPTION_IF_NAME, "fsock links", 11);
	put_text(w, OPTION_IF_TSRESOL, "\011", 1); /* ns */
	put(w, 0);
	put_length(w, interface);
}

static int turn_off(struct local_pcap *pcap, int error)
{
	if (pcap->fd > 0)
		sys_close(pcap->fd);
	pcap->fd = 0;
	return error;
}

/* All of it or nothing, behind what others wrote meanwhile. */
static int append(struct local_pcap *pcap, const struct iovec *iov, int n)
{
	struct rlimit limit;
	size_t len = 0;
	ssize_t wrote;

	for (int i = 0; i < n; i++)
		len += iov[i].iov_len;
	/* Beyond that the kernel would send SIGXFSZ, which ends the program. */
	if (getrlimit(RLIMIT_FSIZE, &limit) == 0 && limit.rlim_cur != RLIM_INFINITY &&
	    (uint64_t)sys_lseek(pcap->fd, 0, SEEK_END) + len > limit.rlim_cur)
		return turn_off(pcap, -EFBIG);
	do
		wrote = sys_pwritev2(pcap->fd, iov, n, -1, 0);
	while (wrote == -EINTR);
	if (wrote == (ssize_t)len)
		return 0;
	return turn_off(pcap, wrote < 0 ? (int)wrote : -ENOSPC);
}

/* Is it a file that is empty, or has a capture? */
static int check_file(int fd)
{
	struct stat st;
	uint32_t first;

	if (fstat(fd, &st) < 0 || !S_ISREG(st.st_mode))
		return -EINVAL;
	if (st.st_size == 0)
		return 0;
	return sys_pread(fd, &first, sizeof(first), 0) == sizeof(first) && first == BLOCK_SECTION ? 0 : -EINVAL;
}

int local_pcap_open(struct local_pcap *pcap, const char *path, uint32_t snap, int fd_floor)
{
	struct words section = { .n = 0 };
	struct iovec iov = { .iov_base = section.word };
	int ret, fd = sys_openat(AT_FDCWD, path, O_RDWR | O_CREAT | O_APPEND | O_CLOEXEC | O_NONBLOCK | O_NOCTTY, 0600);

	fd = sys_fd_raise(fd, fd_floor);
	*pcap = (struct local_pcap){ .fd = FS_MAX(fd, 0), .snap = FS_MAX(snap, (uint32_t)LOCAL_PCAP_SNAP_MIN) };
	if (fd < 0)
		return fd;
	ret = check_file(fd);
	if (ret < 0)
		return turn_off(pcap, ret);
	make_section(&section);
	iov.iov_len = section.n * sizeof(uint32_t);
	return append(pcap, &iov, 1);
}

/* --- packets --- */

static const uint16_t flags[LOCAL_N_SEEN] = {
	[LOCAL_SEEN_SYN] = TCP_SYN,
	[LOCAL_SEEN_SYN_ACK] = TCP_SYN | TCP_ACK,
	[LOCAL_SEEN_ACK] = TCP_ACK,
	[LOCAL_SEEN_BYTES] = TCP_ACK | TCP_PSH,
	[LOCAL_SEEN_FIN] = TCP_FIN | TCP_ACK,
	[LOCAL_SEEN_RESET] = TCP_RST | TCP_ACK,
};

/* The sequence number of position 0, behind the SYN's. Where both ends capture from the link's beginning on it is the
 * same to both, so that in one file they are one connection, each of whose packets came by twice. */
static uint32_t first_number(const struct local_conn *conn, bool out)
{
	uint16_t dialler = conn->tap.dialled ? conn->local_port : conn->remote_port;

	return (conn->tap.serial * 2 + (out == conn->tap.dialled)) * ISN_STEP + dialler + 1;
}

static void fill_tcp(const struct local_conn *conn, const struct local_segment *segment, struct tcp_hdr *tcp)
{
	uint16_t bits = flags[segment->what];
	uint32_t seq = first_number(conn, segment->out) + (uint32_t)segment->seq;

	*tcp = (struct tcp_hdr){
		.src_port = segment->out ? conn->local_port : conn->remote_port,
		.dst_port = segment->out ? conn->remote_port : conn->local_port,
		.seq = bits & TCP_SYN ? seq - 1 : seq,
		.ack = bits & TCP_ACK ? first_number(conn, !segment->out) + (uint32_t)segment->ack : 0,
		.flags = bits,
		.window = WINDOW,
		.options = bits & TCP_SYN ? TCP_HAS_MSS : 0,
		.mss = LOCAL_PCAP_MSS,
	};
}

/* All headers of a packet, with right sums over @payload too. Returns their length. */
static size_t make_headers(const struct local_conn *conn, const struct local_segment *segment,
			   const struct local_piece payload[2], uint8_t *to)
{
	const struct ip_addr *src = segment->out ? &conn->local : &conn->remote;
	const struct ip_addr *dst = segment->out ? &conn->remote : &conn->local;
	bool v4 = ip_addr_is_v4(src) && ip_addr_is_v4(dst);
	size_t eth_len = eth_emit(&(struct eth_hdr){ .type = v4 ? ETH_TYPE_IPV4 : ETH_TYPE_IPV6 }, to, HEADERS);
	size_t ip_len = v4 ? IPV4_HDR_LEN : IPV6_HDR_LEN, tcp_len, whole;
	const struct csum_ops *sums = csum_ops(CSUM_SCALAR);
	struct tcp_hdr tcp;
	uint64_t sum;

	to += eth_len;
	fill_tcp(conn, segment, &tcp);
	tcp_len = tcp_emit(&tcp, to + ip_len, TCP_MAX_HDR_LEN);
	whole = tcp_len + segment->len;
	sum = csum_combine(csum_bytes(sums, payload[0].at, payload[0].len),
			   csum_bytes(sums, payload[1].at, payload[1].len), payload[0].len);
	sum = csum_add(sum, csum_bytes(sums, to + ip_len, tcp_len));
	tcp.checksum = be16_get(csum_finish(csum_add(sum, csum_pseudo(src, dst, IPPROTO_TCP, (uint32_t)whole))));
	tcp_emit(&tcp, to + ip_len, TCP_MAX_HDR_LEN);
	if (v4)
		ipv4_emit(&(struct ipv4_hdr){ .src = *src, .dst = *dst, .total_len = (uint16_t)(ip_len + whole),
					      .hdr_len = IPV4_HDR_LEN, .ttl = TTL, .protocol = IPPROTO_TCP,
					      .dont_fragment = true }, to, ip_len);
	else
		ipv6_emit(&(struct ipv6_hdr){ .src = *src, .dst = *dst, .payload_len = (uint16_t)whole,
					      .next_header = IPPROTO_TCP, .hop_limit = TTL }, to, ip_len);
	return eth_len + ip_len + tcp_len;
}

static int write_packet(struct local_pcap *pcap, const struct local_conn *conn, const struct local_segment *segment,
			uint64_t now)
{
	struct words head = { .n = 0 }, tail = { .n = 0 };
	struct local_piece payload[2];
	uint8_t headers[HEADERS];
	uint32_t kept, padding, whole;
	struct iovec iov[5];
	size_t len;

	local_tap_bytes(conn, segment, payload);
	len = make_headers(conn, segment, payload, headers);
	whole = (uint32_t)(len + segment->len);
	kept = FS_MIN(whole, pcap->snap);
	padding = -kept & 3;
	payload[0].len = FS_MIN(payload[0].len, kept - len);
	payload[1].len = FS_MIN(payload[1].len, kept - len - payload[0].len);
	put(&head, BLOCK_PACKET);
	put(&head, 0);
	put(&head, 0); /* the section's only interface */
	put(&head, (uint32_t)(now >> 32));
	put(&head, (uint32_t)now);
	put(&head, kept);
	put(&head, whole);
	put(&tail, 4u << 16 | OPTION_EPB_FLAGS);
	put(&tail, segment->out ? OUTBOUND : INBOUND);
	put(&tail, 0);
	head.word[1] = (head.n + tail.n + 1) * (uint32_t)sizeof(uint32_t) + kept + padding;
	put(&tail, head.word[1]);
	iov[0] = (struct iovec){ head.word, head.n * sizeof(uint32_t) };
	iov[1] = (struct iovec){ headers, len };
	for (unsigned i = 0; i < 2; i++)
		iov[2 + i] = (struct iovec){ (void *)(uintptr_t)payload[i].at, payload[i].len };
	memmove((uint8_t *)tail.word + padding, tail.word, tail.n * sizeof(uint32_t));
	memset(tail.word, 0, padding);
	iov[4] = (struct iovec){ tail.word, padding + tail.n * sizeof(uint32_t) };
	return append(pcap, iov, FS_ARRAY_SIZE(iov));
}

int local_pcap_write(struct local_pcap *pcap, const struct local_conn *conn, const struct local_segment *segment,
		     uint64_t now)
{
	struct local_segment part = *segment;
	size_t left = segment->len;
	int ret = 0;

	do {
		part.len = FS_MIN(left, (size_t)LOCAL_PCAP_MSS);
		ret = write_packet(pcap, conn, &part, now);
		part.seq += part.len;
		left -= part.len;
	} while (ret == 0 && left > 0);
	return ret;
}
