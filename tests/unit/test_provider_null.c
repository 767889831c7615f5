/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The plug point: a provider of the tests' own joins the product's registry by its folder
 * (null_provider/) and one line. The registry's source is compiled here once more with the longer
 * list; nothing of it is changed.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "provider/provider.h"

#define PROVIDERS_DEF "../../tests/unit/null_provider/providers.def" /* as seen from the registry */
#include "provider/registry.c"
#include "null_provider/null.c"

enum { CHUNKS = 8, CHUNK = 2048 };

#define PROVIDER(name) +1
enum {
	PROVIDERS_OF_PRODUCT = 0
#include "provider/providers.def"
	,
};
#undef PROVIDER

static struct fbuf bufs[CHUNKS];
static uint8_t memory[CHUNKS * CHUNK];

static void providers_def__one_line_adds_one(void **state)
{
	assert_int_equal(provider_count(), PROVIDERS_OF_PRODUCT + 1);
	assert_ptr_equal(provider_at(PROVIDERS_OF_PRODUCT), &provider_null);
	assert_ptr_equal(provider_by_name("null"), &provider_null);
	assert_string_equal(provider_at(0)->name, "xdp"); /* the others stay where they were */
}

static void null__opens_and_moves_frames_through_the_contract(void **state)
{
	const struct provider_ops *ops = provider_by_name("null");
	struct provider_handle handle;
	struct provider_port port = { 0 };
	struct fbuf_pool pool;
	char why[PROVIDER_WHY_LEN] = "";
	struct provider_open_args args = { .kind = PROVIDERS_OF_PRODUCT, .pool = &pool, .why = why };
	struct fbuf *frames[2];

	fbuf_pool_init(&pool, CHUNK, 64);
	fbuf_pool_add(&pool, bufs, memory, CHUNKS);
	assert_int_equal(ops->open(&handle, &port, &args), 0);
	assert_ptr_equal(provider_at(port.kind), ops);

	for (int i = 0; i < 2; i++) {
		frames[i] = fbuf_alloc(&pool);
		assert_int_equal(fbuf_append(frames[i], "0123456789", 10), 10);
	}
	assert_int_equal(handle.ops->transmit(&handle, frames, 2), 2);
	assert_int_equal(handle.ops->kick(&handle), 0);
	assert_int_equal(port.stats.tx_bytes, 20);
	assert_int_equal(pool.n_free, CHUNKS);
	assert_int_equal(handle.ops->receive(&handle, frames, 2), 0);
	handle.ops->close(&handle);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(providers_def__one_line_adds_one),
		cmocka_unit_test(null__opens_and_moves_frames_through_the_contract),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
