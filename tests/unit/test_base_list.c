/* SPDX-License-Identifier: BSD-2-Clause */
/* Intrusive list. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "base/list.h"

static struct list head, e[4];

static int setup(void **state)
{
	list_init(&head);
	memset(e, 0, sizeof(e)); /* an element of zeros is in no list */
	return 0;
}

/* The list holds exactly these elements; -1 ends. Both directions are looked at. */
static void assert_list(const int *want)
{
	const struct list *at = &head;

	for (; *want >= 0; want++) {
		assert_ptr_equal(at->next, &e[*want]);
		assert_ptr_equal(e[*want].prev, at);
		at = &e[*want];
	}
	assert_ptr_equal(at->next, &head);
	assert_ptr_equal(head.prev, at);
}

#define ASSERT_LIST(...) assert_list((const int[]){ __VA_ARGS__ })

static void list_push__both_ends(void **state)
{
	ASSERT_LIST(-1);
	assert_true(list_is_empty(&head));
	list_push_back(&head, &e[1]);
	list_push_back(&head, &e[2]);
	list_push_front(&head, &e[0]);
	ASSERT_LIST(0, 1, 2, -1);
	assert_false(list_is_empty(&head));
	assert_ptr_equal(list_first(&head), &e[0]);
	assert_ptr_equal(list_last(&head), &e[2]);
}

static void list_insert_before__middle(void **state)
{
	list_push_back(&head, &e[0]);
	list_push_back(&head, &e[1]);
	list_insert_before(&e[1], &e[2]);
	ASSERT_LIST(0, 2, 1, -1);
}

static void list_remove__anywhere_and_twice(void **state)
{
	for (int i = 0; i < 4; i++)
		list_push_back(&head, &e[i]);
	list_remove(&e[1]);
	ASSERT_LIST(0, 2, 3, -1);
	assert_false(list_is_linked(&e[1]));
	list_remove(&e[1]);
	list_remove(&e[0]);
	list_remove(&e[3]);
	ASSERT_LIST(2, -1);
	assert_true(list_is_linked(&e[2]));
	list_remove(&e[2]);
	ASSERT_LIST(-1);
}

static void list_remove__never_linked(void **state)
{
	assert_false(list_is_linked(&e[0]));
	list_remove(&e[0]);
	assert_false(list_is_linked(&e[0]));
}

static void list_pop_front__in_order_then_null(void **state)
{
	list_push_back(&head, &e[0]);
	list_push_back(&head, &e[1]);
	assert_ptr_equal(list_pop_front(&head), &e[0]);
	assert_ptr_equal(list_pop_front(&head), &e[1]);
	assert_null(list_pop_front(&head));
	assert_null(list_first(&head));
	assert_null(list_last(&head));
}

static void list_splice_back__moves_all(void **state)
{
	struct list other;

	list_init(&other);
	list_push_back(&head, &e[0]);
	list_splice_back(&head, &other);
	ASSERT_LIST(0, -1);
	list_push_back(&other, &e[1]);
	list_push_back(&other, &e[2]);
	list_splice_back(&head, &other);
	ASSERT_LIST(0, 1, 2, -1);
	assert_true(list_is_empty(&other));
}

static void list_for_each_safe__removing_all(void **state)
{
	struct list *at, *following;
	int met = 0;

	for (int i = 0; i < 4; i++)
		list_push_back(&head, &e[i]);
	LIST_FOR_EACH(at, &head)
		assert_ptr_equal(at, &e[met++]);
	LIST_FOR_EACH_SAFE(at, following, &head) {
		assert_ptr_equal(at, &e[4 - met--]);
		list_remove(at);
	}
	ASSERT_LIST(-1);
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup(list_push__both_ends, setup),
		cmocka_unit_test_setup(list_insert_before__middle, setup),
		cmocka_unit_test_setup(list_remove__anywhere_and_twice, setup),
		cmocka_unit_test_setup(list_remove__never_linked, setup),
		cmocka_unit_test_setup(list_pop_front__in_order_then_null, setup),
		cmocka_unit_test_setup(list_splice_back__moves_all, setup),
		cmocka_unit_test_setup(list_for_each_safe__removing_all, setup),
	};

	return cmocka_run_group_tests_name("base_list", tests, NULL, NULL);
}
