/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * grid.c - text in columns.
 */
#include "grid.h"

#include <stdarg.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "base/err.h"

static void *or_die(void *memory)
{
	if (!memory) {
		fputs("fsock: out of memory\n", stderr);
		abort();
	}
	return memory;
}

static void add_cell(struct grid *grid, char *text)
{
	if (grid->n_cells == grid->room) {
		grid->room = grid->room ? 2 * grid->room : 64;
		grid->cells = or_die(reallocarray(grid->cells, grid->room, sizeof(*grid->cells)));
	}
	grid->cells[grid->n_cells++] = or_die(text);
}

void grid_init(struct grid *grid, const char *heads)
{
	memset(grid, 0, sizeof(*grid));
	while (*heads) {
		size_t len = strcspn(heads, "|");

		fs_assert(grid->n_columns < GRID_MAX_COLUMNS);
		add_cell(grid, strndup(heads, len));
		grid->n_columns++;
		heads += heads[len] ? len + 1 : len;
	}
}

void grid_add(struct grid *grid, const char *format, ...)
{
	char *text;
	va_list args;

	va_start(args, format);
	if (vasprintf(&text, format, args) < 0)
		text = NULL;
	va_end(args);
	add_cell(grid, text);
}

/* A column is to the right when all its cells below the head are numbers or a dash. */
static bool is_numeric(const struct grid *grid, unsigned column)
{
	for (unsigned i = grid->n_columns + column; i < grid->n_cells; i += grid->n_columns) {
		const char *cell = grid->cells[i];

		if (cell[strspn(cell, "0123456789.+-")] != '\0')
			return false;
	}
	return true;
}

void grid_print(const struct grid *grid, const char *indent, FILE *to)
{
	int width[GRID_MAX_COLUMNS] = { 0 };
	bool right[GRID_MAX_COLUMNS];

	if (grid->n_cells <= grid->n_columns)
		return;
	for (unsigned i = 0; i < grid->n_cells; i++) {
		int len = (int)strlen(grid->cells[i]);

		width[i % grid->n_columns] = FS_MAX(width[i % grid->n_columns], len);
	}
	for (unsigned c = 0; c < grid->n_columns; c++)
		right[c] = is_numeric(grid, c);
	for (unsigned i = 0; i < grid->n_cells; i++) {
		unsigned c = i % grid->n_columns;
		bool last = c + 1 == grid->n_columns;

		/* No trailing blanks: the last column is padded only on its left. */
		fprintf(to, "%s%*s%s", c == 0 ? indent : "  ",
			right[c] ? width[c]
			: last	 ? 0
				 : -width[c],
			grid->cells[i], last ? "\n" : "");
	}
}

void grid_free(struct grid *grid)
{
	for (unsigned i = 0; i < grid->n_cells; i++)
		free(grid->cells[i]);
	free(grid->cells);
	memset(grid, 0, sizeof(*grid));
}
