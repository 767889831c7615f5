/* SPDX-License-Identifier: BSD-2-Clause */
/* IP addresses as values. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "base/addr.h"

static struct ip_addr v4(uint8_t a, uint8_t b, uint8_t c, uint8_t d)
{
	return ip_addr_v4((uint8_t[4]){ a, b, c, d });
}

static struct ip_addr v6(uint8_t first, uint8_t second, uint8_t last)
{
	return ip_addr_v6((uint8_t[16]){ [0] = first, [1] = second, [15] = last });
}

static void ip_addr_v4__is_mapped(void **state)
{
	static const uint8_t want[16] = { [10] = 0xff, [11] = 0xff, 192, 0, 2, 1 };
	struct ip_addr a = v4(192, 0, 2, 1), b = ip_addr_v6(want);

	assert_memory_equal(a.b, want, 16);
	assert_true(ip_addr_is_v4(&a));
	assert_true(ip_addr_equal(&a, &b));
	b.b[15]++;
	assert_false(ip_addr_equal(&a, &b));
	b = v6(0x20, 1, 1);
	assert_false(ip_addr_is_v4(&b));
}

/* A predicate holds for exactly these of a fixed set of addresses. */
static void assert_only(bool (*is)(const struct ip_addr *), const char *which)
{
	const struct ip_addr set[] = {
		v4(0, 0, 0, 0),	      v4(127, 1, 2, 3), v4(224, 0, 0, 1), v4(239, 255, 255, 255),
		v4(240, 0, 0, 1),     v4(169, 254, 0, 9), v4(10, 0, 0, 1),
		v6(0, 0, 0),	      v6(0, 0, 1),	v6(0xff, 2, 1),	  v6(0xfe, 0x80, 1),
		v6(0xfe, 0xbf, 1),    v6(0xfe, 0xc0, 1), v6(0x20, 1, 1),
	};

	for (size_t i = 0; i < sizeof(set) / sizeof(set[0]); i++)
		assert_int_equal(is(&set[i]), which[i] == '1');
}

static void ip_addr_is__each_kind(void **state)
{
	assert_only(ip_addr_is_any, "10000001000000");
	assert_only(ip_addr_is_loopback, "01000000100000");
	assert_only(ip_addr_is_multicast, "00110000010000");
	assert_only(ip_addr_is_link_local, "00000100001100");
	assert_only(ip_addr_is_v4, "11111110000000");
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(ip_addr_v4__is_mapped),
		cmocka_unit_test(ip_addr_is__each_kind),
	};

	return cmocka_run_group_tests_name("base_addr", tests, NULL, NULL);
}
