/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * grid.h - text in columns as wide as their widest cell.
 *
 * Does:     collect rows, print them with two blanks between columns, numbers to the right.
 * Does not: cut, wrap, colour.
 * Errors:   out of memory ends the program; a tool has nothing better to do.
 */
#ifndef FSOCK_TOOLS_GRID_H
#define FSOCK_TOOLS_GRID_H

#include <stdio.h>

enum { GRID_MAX_COLUMNS = 12 };

struct grid {
	unsigned n_columns;
	unsigned n_cells; /* heads included, a multiple of n_columns when a row is complete */
	unsigned room;	  /* cells allocated */
	char **cells;	  /* owned, row by row; row 0 are the heads */
};

/* @heads: the column heads separated by '|'. */
void grid_init(struct grid *grid, const char *heads);

/* Add the next cell. */
void grid_add(struct grid *grid, const char *format, ...) __attribute__((format(printf, 2, 3)));

/* Print unless there are no rows. Each line is preceded by @indent. */
void grid_print(const struct grid *grid, const char *indent, FILE *to);

void grid_free(struct grid *grid);

#endif
