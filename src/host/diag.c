/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * diag.c - sockets by local port: sock_diag(7), or the tables of proc(5).
 *
 * Does not decide by SO_REUSEADDR or SO_REUSEPORT: whether the kernel would let both bind is
 * settled when this is asked; what matters is whether a datagram could belong to either.
 */
#include "host/diag.h"

#include <errno.h>
#include <linux/inet_diag.h>
#include <linux/netlink.h>
#include <linux/sock_diag.h>
#include <netinet/in.h>

#include "host/netlink.h"
#include "sys/sys.h"

enum {
	ALL_STATES = -1,
	ATTR_MAX = INET_DIAG_SKV6ONLY,
	LINE_MAX_LEN = 512, /* of the /proc tables: 128 and 150 today */
};

/* What is known of a socket of somebody. */
struct other {
	struct ip_addr addr;
	uint16_t port;
	bool v6;      /* of that family; else IPv4 */
	bool v6_only; /* does not take IPv4 */
	int ifindex;
};

/* :: of a socket that takes both families, or one family's wildcard. */
static bool takes(const struct other *other, bool v4)
{
	if (!other->v6)
		return v4;
	if (ip_addr_is_v4(&other->addr))
		return v4; /* an IPv6 socket bound to a mapped address */
	if (ip_addr_is_any(&other->addr))
		return !v4 || !other->v6_only;
	return !v4;
}

static bool overlaps(const struct other *other, const struct host_port_query *query)
{
	if (other->port != query->port)
		return false;
	if (other->ifindex && query->ifindex && other->ifindex != query->ifindex)
		return false;
	if (!(query->v4 && takes(other, true)) && !(query->v6 && takes(other, false)))
		return false;
	return ip_addr_is_any(&other->addr) || ip_addr_is_any(&query->addr) ||
	       ip_addr_equal(&other->addr, &query->addr);
}

/* --- sock_diag --- */

int host_port_parse(const struct host_nl_msg *msg, const struct host_port_query *query)
{
	struct host_nl_attr table[ATTR_MAX + 1];
	struct inet_diag_msg head;
	struct other other;
	uint64_t cookie;
	int ret = host_nl_msg_attrs(msg, sizeof(head), table, ATTR_MAX + 1);

	if (ret < 0)
		return ret;
	memcpy(&head, msg->data, sizeof(head));
	cookie = (uint64_t)head.id.idiag_cookie[1] << 32 | head.id.idiag_cookie[0];
	for (unsigned i = 0; i < query->n_own; i++) {
		if (query->own[i] == cookie)
			return 0;
	}
	other = (struct other){
		.addr = head.idiag_family == AF_INET ? ip_addr_v4(head.id.idiag_src)
						     : ip_addr_v6(head.id.idiag_src),
		.port = __builtin_bswap16(head.id.idiag_sport),
		.v6 = head.idiag_family == AF_INET6,
		.v6_only = host_nl_u8(&table[INET_DIAG_SKV6ONLY], 0),
		.ifindex = (int)head.id.idiag_if,
	};
	return overlaps(&other, query);
}

struct search {
	const struct host_port_query *query;
	bool found;
};

static int search_answer(const struct host_nl_msg *msg, void *arg)
{
	struct search *search = arg;
	int ret;

	if (msg->type != SOCK_DIAG_BY_FAMILY)
		return 0;
	ret = host_port_parse(msg, search->query);
	if (ret > 0)
		search->found = true;
	return ret > 0 ? HOST_NL_STOP : ret;
}

/* Sockets of one family. 1, 0 or -errno; -ENOENT = the kernel has no diagnosis of the protocol. */
static int diag_family(struct host_nl *nl, const struct host_port_query *query, uint8_t family)
{
	struct inet_diag_req_v2 head = {
		.sdiag_family = family,
		.sdiag_protocol = query->proto,
		.idiag_states = (uint32_t)ALL_STATES,
		.id.idiag_sport = __builtin_bswap16(query->port),
		.id.idiag_cookie = { INET_DIAG_NOCOOKIE, INET_DIAG_NOCOOKIE },
	};
	struct search search = { .query = query };
	struct host_nl_req req;
	int ret;

	host_nl_req_init(&req, SOCK_DIAG_BY_FAMILY, NLM_F_DUMP, &head, sizeof(head));
	ret = host_nl_call(nl, &req, search_answer, &search);
	return search.found ? 1 : ret;
}

/* --- the /proc tables --- */

static int hex_digit(char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	if (c >= 'A' && c <= 'F')
		return c - 'A' + 10;
	return -1;
}

/* @n hexadecimal digits at *@at, not beyond @end; false if they are not. */
static bool hex(const char **at, const char *end, int n, uint32_t *value)
{
	*value = 0;
	for (; n > 0; n--, (*at)++) {
		int digit = *at < end ? hex_digit(**at) : -1;

		if (digit < 0)
			return false;
		*value = *value << 4 | (uint32_t)digit;
	}
	return true;
}

int host_port_parse_line(const char *line, size_t len, const struct host_port_query *query)
{
	const char *end = line + len;
	const char *at = line;
	struct other other = { .port = 0 };
	uint32_t words[4];
	uint32_t port;
	int n = 0;

	/* "  12: 0100007F:0035 ...": each word as it lies in memory, the port as a number. */
	while (at < end && *at != ':')
		at++;
	if (end - at < 2 || at[1] != ' ')
		return 0;
	for (at += 2; n < 4 && at < end && *at != ':'; n++) {
		if (!hex(&at, end, 8, &words[n]))
			return 0;
	}
	if ((n != 1 && n != 4) || at == end || *at++ != ':' || !hex(&at, end, 4, &port))
		return 0;
	other.addr = n == 1 ? ip_addr_v4(words) : ip_addr_v6(words);
	other.v6 = n == 4;
	other.port = (uint16_t)port;
	return overlaps(&other, query);
}

/* Count the overlapping sockets in one table. */
static int table_count(const char *path, const struct host_port_query *query, char *buf,
		       size_t size)
{
	size_t have = 0;
	int count = 0;
	int fd = sys_openat(AT_FDCWD, path, O_RDONLY | O_CLOEXEC, 0);

	if (fd < 0)
		return fd == -ENOENT ? 0 : fd;
	for (;;) {
		ssize_t len = sys_read(fd, buf + have, size - have);
		size_t used = 0;

		if (len <= 0) {
			sys_close(fd);
			return len < 0 ? (int)len : count;
		}
		have += (size_t)len;
		for (size_t i = 0; i < have; i++) {
			if (buf[i] != '\n')
				continue;
			count += host_port_parse_line(buf + used, i - used, query);
			used = i + 1;
		}
		/* A line longer than any is not one of ours: forget it rather than stop. */
		if (used == 0 && have > LINE_MAX_LEN)
			used = have;
		memmove(buf, buf + used, have - used);
		have -= used;
	}
}

static int proc_shared(const struct host_port_query *query, void *buf, size_t size)
{
	bool udp = query->proto == IPPROTO_UDP;
	int v4 = table_count(udp ? "/proc/thread-self/net/udp" : "/proc/thread-self/net/tcp", query,
			     buf, size);
	int v6 = v4 < 0 ? v4
			: table_count(udp ? "/proc/thread-self/net/udp6"
					  : "/proc/thread-self/net/tcp6",
				      query, buf, size);

	if (v6 < 0)
		return v6;
	return v4 + v6 > (int)query->n_own;
}

int host_port_shared(const struct host_port_query *query, void *buf, size_t size)
{
	struct host_nl nl;
	int ret = host_nl_open(&nl, NETLINK_SOCK_DIAG, 0, buf, size);

	if (ret == 0) {
		ret = diag_family(&nl, query, AF_INET);
		if (ret == 0)
			ret = diag_family(&nl, query, AF_INET6);
		host_nl_close(&nl);
	}
	if (ret == -ENOENT || ret == -EPROTONOSUPPORT || ret == -EINVAL || ret == -EOPNOTSUPP)
		return proc_shared(query, buf, size);
	return ret;
}
