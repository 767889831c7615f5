/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * guest.c - a library that uses sockets when a program does not yet, or no more: in its constructor, in a child that the
 * constructor makes, at the end of the main thread, in atexit() and in its destructor. GUEST names which, by letters.
 *
 * As a plug-in it is asked to talk, and does so by the functions it finds itself.
 */
#include <stdbool.h>
#include <sys/wait.h>

#include "talk.h"

extern int __cxa_thread_atexit_impl(void (*end)(void *), void *arg, void *library);
extern void *__dso_handle;

static const struct talk_calls calls = { socket, connect, send, recv, close };

static bool wanted(int when)
{
	const char *which = getenv("GUEST");

	return which && strchr(which, when);
}

void guest_talk(const char *who);

void guest_talk(const char *who)
{
	talk(&calls, who);
}

static void at_exit(void)
{
	talk(&calls, "atexit");
}

static void thread_ends(void *who)
{
	talk(&calls, who);
}

static void talk_in_child(void)
{
	pid_t child = fork();

	if (child == 0) {
		talk(&calls, "child");
		_exit(0);
	}
	waitpid(child, NULL, 0);
	talk(&calls, "parent");
}

__attribute__((constructor)) static void begin(void)
{
	if (wanted('c'))
		talk(&calls, "constructor");
	if (wanted('f'))
		talk_in_child();
	if (wanted('a'))
		atexit(at_exit);
	if (wanted('t'))
		__cxa_thread_atexit_impl(thread_ends, "thread", &__dso_handle);
}

__attribute__((destructor)) static void end(void)
{
	if (wanted('d'))
		talk(&calls, "destructor");
}
