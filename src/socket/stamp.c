/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * stamp.c - see stamp.h. The rules are those of sock_set_timestamp(), __sock_recv_timestamp() and
 * __ip_append_data().
 */
#include "socket/stamp.h"

void stamps_set(struct stamps *t, bool on, bool ns, bool new_layout)
{
	t->receive = on;
	t->ns = on && ns;
	if (on)
		t->new_layout = new_layout;
}

void stamps_set_flags(struct stamps *t, uint32_t flags, bool new_layout)
{
	if ((flags & STAMP_OPT_ID) && !(t->flags & STAMP_OPT_ID)) {
		t->number = 0;
		t->shadow = 0;
		t->n_runs = 0;
	}
	t->flags = flags;
	t->new_layout = new_layout;
}

bool stamps_wanted(const struct stamps *t)
{
	return t->receive || t->keep_last || (t->flags & STAMP_RX_SOFTWARE);
}

bool stamps_concern(const struct stamps *t)
{
	return stamps_wanted(t) || (t->flags & (STAMP_SOFTWARE | STAMP_RAW_HARDWARE));
}

bool stamps_tell_software(const struct stamps *t, bool error)
{
	return (t->flags & STAMP_SOFTWARE) &&
	       (error || (t->flags & STAMP_RX_SOFTWARE) || !(t->flags & STAMP_OPT_RX_FILTER));
}

bool stamps_tell_device(const struct stamps *t, bool error)
{
	return (t->flags & STAMP_RAW_HARDWARE) &&
	       (error || (t->flags & STAMP_RX_HARDWARE) || !(t->flags & STAMP_OPT_RX_FILTER));
}

static bool numbered(const struct stamps *t, uint32_t flags)
{
	return (t->flags & STAMP_OPT_ID) && (flags & STAMP_TX_NUMBERED);
}

uint32_t stamps_number(struct stamps *t, uint32_t flags)
{
	return numbered(t, flags) ? t->number++ : 0;
}

void stamps_shadow_sent(struct stamps *t, uint32_t flags)
{
	uint32_t ahead = t->number - t->shadow;

	if (!numbered(t, flags))
		return;
	if (t->n_runs == 0 || t->run[(t->n_runs - 1) % STAMP_RUNS].ahead != ahead) {
		uint32_t at = t->n_runs++ % STAMP_RUNS;

		t->run[at].from = t->shadow;
		t->run[at].ahead = ahead;
	}
	t->shadow++;
	t->number++;
}

uint32_t stamps_translate(const struct stamps *t, uint32_t shadow)
{
	uint32_t ahead = 0;

	for (uint32_t i = 0; i < t->n_runs && i < STAMP_RUNS; i++) {
		uint32_t at = (t->n_runs - 1 - i) % STAMP_RUNS;

		ahead = t->run[at].ahead;
		if ((int32_t)(shadow - t->run[at].from) >= 0)
			break;
	}
	return shadow + ahead;
}
