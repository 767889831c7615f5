/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * habit.c - see habit.h.
 */
#include "context/habit.h"

#include <stddef.h>

#include "base/err.h"

bool habit_say(struct habit *habit, enum habit_word word, const void *who, fs_ns now)
{
	bool goes_on = habit->who == who || (habit->last == HABIT_END && word == HABIT_CONNECT);

	if (habit->said > 0 && !goes_on)
		habit_end(habit);
	if (habit->said == 0) {
		habit->first = (uint8_t)word;
		habit->began = now;
		habit->left = FS_MAX(habit->after[word].usual, (uint8_t)1);
	}
	habit->said = (uint8_t)FS_MIN(habit->said + 1, (int)HABIT_MAX);
	habit->left -= habit->left > 0;
	habit->last = (uint8_t)word;
	habit->who = who;
	habit->ended = now;
	return habit->left > 0;
}

void habit_end(struct habit *habit)
{
	uint8_t said = habit->ended - habit->began > HABIT_PAUSE_NS ? 1 : habit->said;
	uint8_t *usual = &habit->after[habit->first].usual, *least = &habit->after[habit->first].least;
	uint8_t *more = &habit->after[habit->first].more;

	if (said > *usual) {
		*least = *more ? FS_MIN(*least, said) : said;
		if (++*more == HABIT_PROVEN) {
			*usual = *least;
			*more = 0;
		}
	} else if (said > 0) {
		*usual = said;
		*more = 0;
	}
	habit->said = habit->left = 0;
	habit->who = NULL;
}
