/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * test_host_policy.c - which chains, filters and disciplines count (design-hazards row 10).
 */
#include "host/policy.h"

#include <arpa/inet.h>
#include <errno.h>
#include <linux/netfilter.h>
#include <linux/netfilter/nf_tables.h>
#include <linux/netfilter/nfnetlink.h>
#include <linux/pkt_cls.h>
#include <linux/rtnetlink.h>

#include "host_message.h"

static const uint32_t own[] = { 41, 42 };
static const struct host_policy_query both = { .v4 = true, .v6 = true, .own = own, .n_own = 2 };
static const struct host_policy_query v4 = { .v4 = true };
static const struct host_policy_query v6 = { .v6 = true };

/* A base chain "t c" with @rules rules; @devices are names each with its final 0, NULL = none. */
struct chain {
	uint8_t family;
	uint32_t hook;
	uint32_t rules;
	uint32_t policy;
	const char *device;
	const char *devices[2];
};

static struct host_nl_req empty(void)
{
	return (struct host_nl_req){ .len = NETLINK_HEAD };
}

static struct host_nl_req chain_request(const struct chain *chain)
{
	struct nfgenmsg head = { .nfgen_family = chain->family };
	struct host_nl_req req, hook = empty(), devices = empty();

	host_nl_req_init(&req, 0, 0, &head, sizeof(head));
	host_nl_req_put(&req, NFTA_CHAIN_TABLE, "t", 2);
	host_nl_req_put(&req, NFTA_CHAIN_NAME, "c", 2);
	host_nl_req_put_u32(&hook, NFTA_HOOK_HOOKNUM, htonl(chain->hook));
	if (chain->device)
		host_nl_req_put(&hook, NFTA_HOOK_DEV, chain->device, strlen(chain->device) + 1);
	for (size_t i = 0; i < 2 && chain->devices[i]; i++)
		host_nl_req_put(&devices, NFTA_DEVICE_NAME, chain->devices[i],
				strlen(chain->devices[i]) + 1);
	if (devices.len > NETLINK_HEAD)
		message_nest(&hook, NFTA_HOOK_DEVS, &devices);
	message_nest(&req, NFTA_CHAIN_HOOK, &hook);
	host_nl_req_put_u32(&req, NFTA_CHAIN_POLICY, htonl(chain->policy));
	host_nl_req_put_u32(&req, NFTA_CHAIN_USE, htonl(chain->rules));
	return req;
}

static int chain_counts(const struct chain *chain, const struct host_policy_query *query,
			const char *ifname)
{
	struct host_nl_req req = chain_request(chain);
	struct host_nl_msg msg = message_of(&req, 0);
	char what[64] = "";
	int ret = host_policy_parse_chain(&msg, query, ifname, what, sizeof(what));

	assert_int_equal(ret == 1, what[0] != 0);
	return ret;
}

static void host_policy_parse_chain__by_family_and_hook(void **state)
{
	struct chain chain = { .rules = 1, .policy = NF_ACCEPT };

	for (chain.hook = 0; chain.hook < 8; chain.hook++) {
		bool touches = chain.hook <= NF_INET_INGRESS && chain.hook != NF_INET_FORWARD;

		chain.family = NFPROTO_INET;
		assert_int_equal(chain_counts(&chain, &both, ""), touches);
		chain.family = NFPROTO_IPV4;
		assert_int_equal(chain_counts(&chain, &v4, ""), touches);
		assert_int_equal(chain_counts(&chain, &v6, ""), 0);
		chain.family = NFPROTO_IPV6;
		assert_int_equal(chain_counts(&chain, &v6, ""), touches);
		assert_int_equal(chain_counts(&chain, &v4, ""), 0);
		chain.family = NFPROTO_NETDEV;
		assert_int_equal(chain_counts(&chain, &both, ""), chain.hook < 2);
		chain.family = NFPROTO_BRIDGE;
		assert_int_equal(chain_counts(&chain, &both, ""), 0);
		chain.family = NFPROTO_ARP;
		assert_int_equal(chain_counts(&chain, &both, ""), 0);
	}
}

static void host_policy_parse_chain__empty_and_accepting_is_none(void **state)
{
	struct chain chain = { .family = NFPROTO_INET,
			       .hook = NF_INET_LOCAL_IN,
			       .policy = NF_ACCEPT };

	assert_int_equal(chain_counts(&chain, &both, ""), 0);
	chain.policy = NF_DROP;
	assert_int_equal(chain_counts(&chain, &both, ""), 1);
}

static void host_policy_parse_chain__names_what_it_found(void **state)
{
	struct chain chain = { .family = NFPROTO_INET, .hook = NF_INET_LOCAL_OUT, .rules = 3 };
	struct host_nl_req req = chain_request(&chain);
	struct host_nl_msg msg = message_of(&req, 0);
	char what[64], tight[8];

	assert_int_equal(host_policy_parse_chain(&msg, &both, "", what, sizeof(what)), 1);
	assert_string_equal(what, "nftables chain t c at hook output");
	assert_int_equal(host_policy_parse_chain(&msg, &both, "", tight, sizeof(tight)), 1);
	assert_string_equal(tight, "nftable");
}

static void host_policy_parse_chain__bound_to_devices(void **state)
{
	struct chain one = { .family = NFPROTO_NETDEV, .rules = 1, .device = "eth0" };
	struct chain two = { .family = NFPROTO_INET,
			     .hook = NF_INET_INGRESS,
			     .rules = 1,
			     .devices = { "eth1", "eth0" } };

	assert_int_equal(chain_counts(&one, &both, "eth0"), 1);
	assert_int_equal(chain_counts(&one, &both, "eth01"), 0);
	assert_int_equal(chain_counts(&one, &both, ""), 1);
	assert_int_equal(chain_counts(&two, &both, "eth0"), 1);
	assert_int_equal(chain_counts(&two, &both, "eth2"), 0);
}

static void host_policy_parse_chain__unknown_device_form_counts(void **state)
{
	struct nfgenmsg head = { .nfgen_family = NFPROTO_NETDEV };
	struct host_nl_req req, hook = empty(), devices = empty();
	struct host_nl_msg msg;
	char what[64];

	host_nl_req_put(&devices, NFTA_DEVICE_NAME + 1, "et", 3);
	host_nl_req_put_u32(&hook, NFTA_HOOK_HOOKNUM, 0);
	message_nest(&hook, NFTA_HOOK_DEVS, &devices);
	host_nl_req_init(&req, 0, 0, &head, sizeof(head));
	message_nest(&req, NFTA_CHAIN_HOOK, &hook);
	host_nl_req_put_u32(&req, NFTA_CHAIN_USE, htonl(1));
	msg = message_of(&req, 0);
	assert_int_equal(host_policy_parse_chain(&msg, &both, "eth0", what, sizeof(what)), 1);
	assert_string_equal(what, "nftables chain ? ? at hook ingress");
}

static void host_policy_parse_chain__not_a_base_chain(void **state)
{
	struct nfgenmsg head = { .nfgen_family = NFPROTO_INET };
	struct host_nl_req req;
	struct host_nl_msg msg;
	char what[64];

	host_nl_req_init(&req, 0, 0, &head, sizeof(head));
	host_nl_req_put_u32(&req, NFTA_CHAIN_USE, htonl(9));
	msg = message_of(&req, 0);
	assert_int_equal(host_policy_parse_chain(&msg, &both, "", what, sizeof(what)), 0);
}

static int parse_chain(const struct host_nl_msg *msg)
{
	char what[64];

	return host_policy_parse_chain(msg, &both, "eth0", what, sizeof(what));
}

static void host_policy_parse_chain__torture(void **state)
{
	struct chain chain = {
		.family = NFPROTO_NETDEV, .rules = 1, .device = "lo", .devices = { "eth1", "eth0" }
	};
	struct host_nl_req req = chain_request(&chain);
	struct host_nl_msg msg = message_of(&req, 0);

	message_torture(&msg, parse_chain);
}

/* --- traffic control --- */

static struct host_nl_req tc_request(const char *kind, size_t len)
{
	struct tcmsg head = { .tcm_ifindex = 7 };
	struct host_nl_req req;

	host_nl_req_init(&req, 0, 0, &head, sizeof(head));
	host_nl_req_put(&req, TCA_KIND, kind, len);
	return req;
}

static void host_policy_parse_qdisc__plain_or_not(void **state)
{
	static const struct {
		const char *kind;
		int ret;
	} cases[] = { { "noqueue", 0 },	 { "pfifo_fast", 0 }, { "mq", 0 },
		      { "fq_codel", 0 }, { "fq", 0 },	      { "clsact", 0 },
		      { "tbf", 1 },	 { "fqx", 1 },	      { "netem", 1 },
		      { "", 1 } };
	char what[64];

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct host_nl_req req = tc_request(cases[i].kind, strlen(cases[i].kind) + 1);
		struct host_nl_msg msg = message_of(&req, 0);

		assert_int_equal(host_policy_parse_qdisc(&msg, 7, what, sizeof(what)),
				 cases[i].ret);
		assert_int_equal(host_policy_parse_qdisc(&msg, 8, what, sizeof(what)), 0);
	}
}

/* A bpf filter's message; @id 0 = without the attribute. */
static struct host_nl_req bpf_request(uint32_t id)
{
	struct host_nl_req req = tc_request("bpf", 4), options = empty();

	host_nl_req_put(&options, TCA_BPF_NAME, "x", 2);
	if (id)
		host_nl_req_put_u32(&options, TCA_BPF_ID, id);
	message_nest(&req, TCA_OPTIONS, &options);
	return req;
}

static int filter_counts(const struct host_nl_req *req, char *what, size_t size)
{
	struct host_nl_msg msg = message_of(req, 0);

	return host_policy_parse_filter(&msg, &both, what, size);
}

static void host_policy_parse_filter__foreign_and_own(void **state)
{
	struct host_nl_req req = tc_request("u32", 4);
	char what[64];

	assert_int_equal(filter_counts(&req, what, sizeof(what)), 1);
	assert_string_equal(what, "tc filter of kind u32");
	req = tc_request("bpf", 4); /* the classifier itself */
	assert_int_equal(filter_counts(&req, what, sizeof(what)), 0);
	req = bpf_request(42);
	assert_int_equal(filter_counts(&req, what, sizeof(what)), 0);
	req = bpf_request(43);
	assert_int_equal(filter_counts(&req, what, sizeof(what)), 1);
	assert_string_equal(what, "tc filter with BPF program 43");
	req = bpf_request(0);
	assert_int_equal(filter_counts(&req, what, sizeof(what)), 1);
	req = tc_request("bpf", 3); /* not terminated: nobody we know */
	assert_int_equal(filter_counts(&req, what, sizeof(what)), 1);
}

static int parse_filter(const struct host_nl_msg *msg)
{
	char what[64];

	host_policy_parse_qdisc(msg, 7, what, sizeof(what));
	return host_policy_parse_filter(msg, &both, what, sizeof(what));
}

static void host_policy_parse_filter__torture(void **state)
{
	struct host_nl_req req = bpf_request(43);
	struct host_nl_msg msg = message_of(&req, 0);

	message_torture(&msg, parse_filter);
	msg.len = 3;
	assert_int_equal(parse_filter(&msg), -EBADMSG);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(host_policy_parse_chain__by_family_and_hook),
		cmocka_unit_test(host_policy_parse_chain__empty_and_accepting_is_none),
		cmocka_unit_test(host_policy_parse_chain__names_what_it_found),
		cmocka_unit_test(host_policy_parse_chain__bound_to_devices),
		cmocka_unit_test(host_policy_parse_chain__unknown_device_form_counts),
		cmocka_unit_test(host_policy_parse_chain__not_a_base_chain),
		cmocka_unit_test(host_policy_parse_chain__torture),
		cmocka_unit_test(host_policy_parse_qdisc__plain_or_not),
		cmocka_unit_test(host_policy_parse_filter__foreign_and_own),
		cmocka_unit_test(host_policy_parse_filter__torture),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
