/* SPDX-License-Identifier: BSD-2-Clause */
/* The Internet checksum: every variant against a byte-wise reference. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "base/csum.h"
#include "base/err.h"

enum { LEN_MAX = 2100, ALIGN_MAX = 64 };

/* RFC 1071 in its simplest form: 16-bit words in network order, carries folded back. */
static uint16_t reference(const uint8_t *p, size_t len)
{
	uint32_t sum = 0;

	for (size_t i = 0; i < len; i++) {
		sum += i & 1 ? p[i] : (uint32_t)p[i] << 8;
		sum = (sum & 0xffff) + (sum >> 16);
	}
	return (uint16_t)sum;
}

/* A folded sum as the number the reference computes. */
static uint16_t in_host_order(uint64_t sum)
{
	return be16_get(csum_partial(sum));
}

static bool processor_has(enum csum_kind kind)
{
#if defined(__x86_64__)
	if (kind == CSUM_AVX2)
		return __builtin_cpu_supports("avx2");
#endif
	return true;
}

static void fill(uint8_t *p, size_t len, uint32_t seed)
{
	for (size_t i = 0; i < len; i++) {
		seed = seed * 1664525 + 1013904223;
		p[i] = (uint8_t)(seed >> 24);
	}
}

/* Every alignment and length over @data, which has ALIGN_MAX + LEN_MAX bytes. */
static void check_sums(const struct csum_ops *ops, const uint8_t *data)
{
	for (size_t align = 0; align < ALIGN_MAX; align++) {
		const uint8_t *p = data + align;
		uint32_t want = 0;

		for (size_t len = 0; len <= LEN_MAX; len++) {
			if (in_host_order(ops->sum(p, len)) != want)
				fail_msg("%s: align %zu len %zu", ops->name, align, len);
			if (in_host_order(csum_bytes(ops, p, len)) != want)
				fail_msg("csum_bytes %s: align %zu len %zu", ops->name, align, len);
			want += len & 1 ? p[len] : (uint32_t)p[len] << 8;
			want = (want & 0xffff) + (want >> 16);
		}
	}
}

static void check_all_variants(const uint8_t *data)
{
	for (enum csum_kind kind = 0; kind < CSUM_N_KINDS; kind++) {
		if (processor_has(kind))
			check_sums(csum_ops(kind), data);
	}
}

static uint8_t data[ALIGN_MAX + LEN_MAX + 1] __attribute__((aligned(64)));

static void csum_sum__random_data(void **state)
{
	fill(data, sizeof(data), 1);
	check_all_variants(data);
}

static void csum_sum__all_ones_carry_everywhere(void **state)
{
	memset(data, 0xff, sizeof(data));
	check_all_variants(data);
}

static void csum_sum__all_zero_stays_zero(void **state)
{
	memset(data, 0, sizeof(data));
	check_all_variants(data);
}

static void csum_sum__one_byte_in_zeros(void **state)
{
	memset(data, 0, sizeof(data));
	for (size_t at = 0; at < 200; at++) {
		data[at] = 0x81;
		for (enum csum_kind kind = 0; kind < CSUM_N_KINDS; kind++) {
			if (processor_has(kind))
				assert_int_equal(in_host_order(csum_ops(kind)->sum(data, 200)),
						 at & 1 ? 0x81 : 0x8100);
		}
		data[at] = 0;
	}
}

static void csum_sum__a_super_frame(void **state)
{
	static uint8_t big[65535];

	memset(big, 0xff, sizeof(big));
	big[1] = 0x7f;
	for (enum csum_kind kind = 0; kind < CSUM_N_KINDS; kind++) {
		if (processor_has(kind))
			assert_int_equal(in_host_order(csum_ops(kind)->sum(big, sizeof(big))),
					 reference(big, sizeof(big)));
	}
}

static void check_copy(const struct csum_ops *ops, size_t from, size_t to, size_t len)
{
	static uint8_t out[ALIGN_MAX + LEN_MAX + 1];

	memset(out, 0xee, sizeof(out));
	if (in_host_order(ops->copy(out + to, data + from, len)) != reference(data + from, len) ||
	    in_host_order(csum_copy(ops, out + to, data + from, len)) != reference(data + from, len))
		fail_msg("%s: sum, from %zu to %zu len %zu", ops->name, from, to, len);
	if (memcmp(out + to, data + from, len) != 0)
		fail_msg("%s: bytes, from %zu to %zu len %zu", ops->name, from, to, len);
	if (out[to + len] != 0xee || (to > 0 && out[to - 1] != 0xee))
		fail_msg("%s: wrote outside, from %zu to %zu len %zu", ops->name, from, to, len);
}

static void csum_copy__alignments_and_lengths(void **state)
{
	fill(data, sizeof(data), 2);
	for (enum csum_kind kind = 0; kind < CSUM_N_KINDS; kind++) {
		if (!processor_has(kind))
			continue;
		for (size_t len = 0; len <= 300; len++)
			check_copy(csum_ops(kind), len % 13, len % 17, len);
		for (size_t align = 0; align < ALIGN_MAX; align++) {
			for (size_t len = 0; len <= LEN_MAX; len += 61)
				check_copy(csum_ops(kind), align, (align * 7) % ALIGN_MAX, len);
		}
	}
}

static void csum_combine__every_split(void **state)
{
	const struct csum_ops *ops = csum_ops(CSUM_SCALAR);

	fill(data, sizeof(data), 3);
	for (size_t len = 0; len <= 130; len++) {
		for (size_t cut = 0; cut <= len; cut++) {
			uint64_t sum = csum_bytes(ops, data, cut);

			sum = csum_combine(sum, csum_bytes(ops, data + cut, len - cut), cut);
			assert_int_equal(in_host_order(sum), reference(data, len));
		}
	}
}

static void csum_combine__many_odd_parts(void **state)
{
	const struct csum_ops *ops = csum_ops(CSUM_SCALAR);
	uint64_t sum = 0;
	size_t at = 0;

	memset(data, 0xff, sizeof(data));
	data[7] = 1;
	for (size_t part = 1; at + part <= 2000; at += part, part += 2)
		sum = csum_combine(sum, csum_bytes(ops, data + at, part), at);
	assert_int_equal(in_host_order(sum), reference(data, at));
}

static void csum_add__carry_comes_back(void **state)
{
	assert_int_equal(csum_fold(csum_add(UINT64_MAX, 1)), 1);
	assert_int_equal(csum_fold(csum_add(UINT64_MAX, UINT64_MAX)), 0xffff);
	assert_int_equal(csum_fold(UINT64_MAX), 0xffff);
	assert_int_equal(csum_fold(0xffffffff00000000), 0xffff);
	assert_int_equal(csum_fold(0), 0);
}

/* A datagram of Wireshark's kind, computed by hand: 10.0.0.1:1 -> 10.0.0.2:2, payload "hi". */
static void csum_pseudo__v4_datagram(void **state)
{
	uint8_t dgram[] = { 0, 1, 0, 2, 0, 10, 0, 0, 'h', 'i' };
	struct ip_addr src = ip_addr_v4("\x0a\0\0\x01"), dst = ip_addr_v4("\x0a\0\0\x02");
	uint64_t pseudo = csum_pseudo(&src, &dst, 17, sizeof(dgram));
	be16_t field;

	/* 0a00+0001+0a00+0002 + 0011+000a + 0001+0002+000a+0000+6869 = 7c94 */
	field = csum_finish_udp(csum_add(pseudo, csum_inline(dgram, sizeof(dgram))));
	assert_int_equal(be16_get(field), 0xffff - 0x7c94);
	memcpy(dgram + 6, &field, 2);
	assert_true(csum_is_valid(csum_add(pseudo, csum_inline(dgram, sizeof(dgram)))));
	for (size_t bit = 0; bit < 8 * sizeof(dgram); bit++) {
		dgram[bit / 8] ^= (uint8_t)(1 << bit % 8);
		assert_false(csum_is_valid(csum_add(pseudo, csum_inline(dgram, sizeof(dgram)))));
		dgram[bit / 8] ^= (uint8_t)(1 << bit % 8);
	}
}

static void csum_pseudo__v6_is_the_sum_of_its_bytes(void **state)
{
	uint8_t bytes[40];
	struct ip_addr src, dst;

	fill(bytes, sizeof(bytes), 4);
	memset(bytes + 36, 0, 4);
	bytes[39] = 17;
	be32_store(bytes + 32, 0x00012345);
	src = ip_addr_v6(bytes);
	dst = ip_addr_v6(bytes + 16);
	assert_int_equal(in_host_order(csum_pseudo(&src, &dst, 17, 0x12345)),
			 reference(bytes, sizeof(bytes)));
	memset(bytes, 0xff, 32); /* carries out of 64 bits */
	src = ip_addr_v6(bytes);
	assert_int_equal(in_host_order(csum_pseudo(&src, &src, 17, 0x12345)),
			 reference(bytes, sizeof(bytes)));
}

static void csum_finish_udp__never_zero(void **state)
{
	assert_int_equal(be16_get(csum_finish(0xffff)), 0);
	assert_int_equal(be16_get(csum_finish_udp(0xffff)), 0xffff);
	assert_int_equal(be16_get(csum_finish_udp(be16_make(1).raw)), 0xfffe);
}

static void csum_ops__unknown_kind_is_scalar(void **state)
{
	assert_ptr_equal(csum_ops(CSUM_N_KINDS), csum_ops(CSUM_SCALAR));
	assert_string_equal(csum_ops(CSUM_SCALAR)->name, "scalar");
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(csum_sum__random_data),
		cmocka_unit_test(csum_sum__all_ones_carry_everywhere),
		cmocka_unit_test(csum_sum__all_zero_stays_zero),
		cmocka_unit_test(csum_sum__one_byte_in_zeros),
		cmocka_unit_test(csum_sum__a_super_frame),
		cmocka_unit_test(csum_copy__alignments_and_lengths),
		cmocka_unit_test(csum_combine__every_split),
		cmocka_unit_test(csum_combine__many_odd_parts),
		cmocka_unit_test(csum_add__carry_comes_back),
		cmocka_unit_test(csum_pseudo__v4_datagram),
		cmocka_unit_test(csum_pseudo__v6_is_the_sum_of_its_bytes),
		cmocka_unit_test(csum_finish_udp__never_zero),
		cmocka_unit_test(csum_ops__unknown_kind_is_scalar),
	};

	return cmocka_run_group_tests_name("base_csum", tests, NULL, NULL);
}
