/* SPDX-License-Identifier: BSD-2-Clause */
/* What of the AF_XDP set-up can be known without a socket: ring sizes, the kernels refused. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "provider/xdp/xsk.h"

static void assert_sizes(uint32_t chunks, uint32_t rx, uint32_t tx)
{
	uint32_t r, t;

	xsk_sizes(chunks, &r, &t);
	assert_int_equal(r, rx);
	assert_int_equal(t, tx);
}

static void xsk_sizes__default_and_maximum(void **state)
{
	assert_sizes(4096, 2048, 1024);
	assert_sizes(1 << 20, XSK_RX_MAX, XSK_TX_MAX);
	assert_true(XSK_RX_MAX * sizeof(struct xdp_desc) < XSK_RING_SLOT);
}

static void xsk_sizes__scale_down_to_powers_of_two(void **state)
{
	assert_sizes(XSK_POOL_MIN, 32, 16);
	assert_sizes(100, 32, 16);
	assert_sizes(1000, 256, 128);
	assert_sizes(4095, 1024, 512);
}

/* Chunks for reception and those in transmission together never exceed the pool. */
static void xsk_sizes__leave_frames_for_both(void **state)
{
	for (uint32_t n = XSK_POOL_MIN; n < 10000; n++) {
		uint32_t rx, tx;

		xsk_sizes(n, &rx, &tx);
		assert_true(rx + tx <= n);
		assert_true(rx > 0 && (rx & (rx - 1)) == 0);
		assert_true(tx > 0 && (tx & (tx - 1)) == 0);
	}
}

static void xsk_release_tx_panics__only_6_17(void **state)
{
	assert_true(xsk_release_tx_panics("6.17"));
	assert_true(xsk_release_tx_panics("6.17.0-5-generic"));
	assert_true(xsk_release_tx_panics("6.17-rc3"));
	assert_false(xsk_release_tx_panics("6.170"));
	assert_false(xsk_release_tx_panics("6.16.12"));
	assert_false(xsk_release_tx_panics("6.18.44"));
	assert_false(xsk_release_tx_panics("16.17"));
	assert_false(xsk_release_tx_panics("6.1"));
	assert_false(xsk_release_tx_panics(""));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(xsk_sizes__default_and_maximum),
		cmocka_unit_test(xsk_sizes__scale_down_to_powers_of_two),
		cmocka_unit_test(xsk_sizes__leave_frames_for_both),
		cmocka_unit_test(xsk_release_tx_panics__only_6_17),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
