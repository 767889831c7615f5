/* SPDX-License-Identifier: BSD-2-Clause */
/* Who a process is, and what of it a change shows in. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>
#include <grp.h>
#include <linux/capability.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <sched.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "host/identity.h"

enum { SAME = 10, OTHER, OTHER_UNTIL_EXEC, DENIED };

/* 0 or -1, as the call that makes it. */
typedef int change_fn(void);

static int verdict(change_fn *change)
{
	struct host_identity before, after;

	host_identity_read(&before);
	if (change() < 0)
		return DENIED;
	host_identity_read(&after);
	if (host_identity_equal(&before, &after))
		return SAME;
	return host_identity_equal_past_exec(&before, &after) ? OTHER_UNTIL_EXEC : OTHER;
}

/* In a child, which is another from then on. */
static void expect(change_fn *change, int expected)
{
	pid_t child = fork();
	int status;

	assert_true(child >= 0);
	if (child == 0)
		_exit(verdict(change));
	assert_int_equal(waitpid(child, &status, 0), child);
	assert_true(WIFEXITED(status));
	if (WEXITSTATUS(status) == DENIED)
		skip();
	assert_int_equal(WEXITSTATUS(status), expected);
}

static int nothing(void)
{
	return 0;
}

static int another_user(void)
{
	return setresuid(-1, 65534, -1);
}

static int another_saved_user(void)
{
	return setresuid(-1, -1, 65534);
}

static int another_group(void)
{
	return setresgid(65534, -1, -1);
}

static int other_groups(void)
{
	static const gid_t groups[] = { 65534, 65533 };

	return setgroups(2, groups);
}

static int another_root(void)
{
	return chroot("/proc/self");
}

static int own_users(void)
{
	return unshare(CLONE_NEWUSER);
}

static int no_new_privileges(void)
{
	return prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
}

static int filtered(void)
{
	struct sock_filter allow = BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW);
	struct sock_fprog program = { .len = 1, .filter = &allow };

	return prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program);
}

/* Not seen by no_new_privs: it was set before. */
static int one_filter_more(void)
{
	return no_new_privileges() < 0 || filtered() < 0 ? -1 : filtered();
}

static int less_permitted(void)
{
	struct __user_cap_header_struct head = { .version = _LINUX_CAPABILITY_VERSION_3 };
	struct __user_cap_data_struct data[_LINUX_CAPABILITY_U32S_3] = { 0 };

	if (syscall(SYS_capget, &head, data) < 0 || !(data[0].permitted & 1U << CAP_NET_ADMIN))
		return -1;
	data[0].permitted &= ~(1U << CAP_NET_ADMIN);
	data[0].effective &= data[0].permitted;
	return (int)syscall(SYS_capset, &head, data);
}

static int less_to_be_had(void)
{
	return prctl(PR_CAPBSET_DROP, CAP_NET_ADMIN, 0, 0, 0);
}

static void host_identity_equal__while_nothing_changes(void **state)
{
	expect(nothing, SAME);
}

static void host_identity_equal__not_of_other_ids(void **state)
{
	expect(another_user, OTHER);
	expect(another_saved_user, OTHER);
	expect(another_group, OTHER);
	expect(other_groups, OTHER);
}

static void host_identity_equal__not_below_another_root(void **state)
{
	expect(another_root, OTHER);
}

static void host_identity_equal__not_in_another_namespace_of_users(void **state)
{
	expect(own_users, OTHER);
}

static void host_identity_equal__not_with_filters(void **state)
{
	expect(no_new_privileges, OTHER);
	expect(one_filter_more, OTHER);
}

static void host_identity_equal__not_with_less_rights(void **state)
{
	expect(less_permitted, OTHER_UNTIL_EXEC);
	expect(less_to_be_had, OTHER);
}

static void host_identity_equal__not_where_nothing_is_known(void **state)
{
	struct host_identity none = { 0 }, half;

	assert_false(host_identity_equal(&none, &none));
	host_identity_read(&half);
	assert_true(host_identity_equal(&half, &half));
	half.user_namespace = 0;
	assert_false(host_identity_equal(&half, &half));
	host_identity_read(&half);
	half.said = 0;
	assert_false(host_identity_equal_past_exec(&half, &half));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(host_identity_equal__while_nothing_changes),
		cmocka_unit_test(host_identity_equal__not_of_other_ids),
		cmocka_unit_test(host_identity_equal__not_below_another_root),
		cmocka_unit_test(host_identity_equal__not_in_another_namespace_of_users),
		cmocka_unit_test(host_identity_equal__not_with_filters),
		cmocka_unit_test(host_identity_equal__not_with_less_rights),
		cmocka_unit_test(host_identity_equal__not_where_nothing_is_known),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
