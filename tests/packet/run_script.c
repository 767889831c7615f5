/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * run_script SCRIPT... - run packet scripts, each with IPv4 and IPv6; results as TAP.
 *
 * A directory stands for the scripts in it. Exit status 0: all passed.
 *
 * Loops are here, the one thing about a script that is not a line: `loop N' ... `done', not nested.
 */
#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "script.h"

enum { SCRIPTS_MAX = 1024, LINES_MAX = 1000 };

static char *names[SCRIPTS_MAX];
static unsigned n_names;

static void add(const char *name)
{
	if (n_names == SCRIPTS_MAX || (names[n_names++] = strdup(name)) == NULL)
		abort();
}

static int by_name(const void *a, const void *b)
{
	return strcmp(*(char *const *)a, *(char *const *)b);
}

static void add_directory(const char *path, DIR *dir)
{
	unsigned first = n_names;
	struct dirent *entry;

	while ((entry = readdir(dir)) != NULL) {
		size_t len = strlen(entry->d_name);
		char name[1024];

		if (len < 4 || strcmp(entry->d_name + len - 4, ".pkt") != 0)
			continue;
		snprintf(name, sizeof(name), "%s/%s", path, entry->d_name);
		add(name);
	}
	qsort(names + first, n_names - first, sizeof(names[0]), by_name);
}

static char *without_newline(char *line)
{
	line[strcspn(line, "\r\n")] = '\0';
	return line;
}

/* The script's lines; NULL behind the last. Static. */
static char **read_lines(const char *name)
{
	static char text[LINES_MAX][SCRIPT_LINE + 2];
	static char *line[LINES_MAX + 1];
	FILE *file = fopen(name, "r");
	unsigned n = 0;

	if (!file) {
		printf("Bail out! cannot open %s\n", name);
		exit(2);
	}
	while (n < LINES_MAX && fgets(text[n], sizeof(text[n]), file)) {
		line[n] = without_newline(text[n]);
		n++;
	}
	line[n] = NULL;
	fclose(file);
	return line;
}

/* Run all lines. False: it failed at line *@at, counted from 0. */
static bool run_lines(struct script *s, char *const *line, unsigned *at)
{
	unsigned loop = 0, left = 0;

	for (*at = 0; line[*at]; (*at)++) {
		if (strncmp(line[*at], "loop ", 5) == 0) {
			loop = *at;
			left = (unsigned)strtoul(line[*at] + 5, NULL, 10);
		} else if (strcmp(line[*at], "done") == 0) {
			if (left > 1) {
				left--;
				*at = loop;
			}
		} else if (!script_line(s, line[*at])) {
			return false;
		}
	}
	return true;
}

static void complain(const char *name, unsigned number, const char *message)
{
	printf("# %s:%u: ", name, number);
	for (const char *p = message; *p; p++) {
		putchar(*p);
		if (*p == '\n')
			putchar('#');
	}
	putchar('\n');
}

/* True: passed, or not for this family (*@applies). */
static bool run(const char *name, char *const *line, bool v6, bool *applies)
{
	static struct script s;
	unsigned at;
	bool ok;

	script_begin(&s, v6);
	ok = run_lines(&s, line, &at);
	if (ok)
		ok = script_end(&s);
	else
		script_drop(&s);
	*applies = !s.skip;
	if (!ok)
		complain(name, at + 1, s.message);
	return ok;
}

/* Run it in each family that it is for, of which there must be one; returns how many failed. */
static unsigned run_both(const char *name, unsigned *test)
{
	const char *slash = strrchr(name, '/'), *base = slash ? slash + 1 : name;
	char **line = read_lines(name);
	unsigned failed = 0, families = 0;

	for (unsigned v6 = 0; v6 < 2; v6++) {
		bool applies, ok = run(name, line, v6, &applies);

		if (!applies)
			continue;
		families++;
		failed += !ok;
		printf("%sok %u - %s %s\n", ok ? "" : "not ", ++*test, base, v6 ? "v6" : "v4");
	}
	if (families > 0)
		return failed;
	printf("not ok %u - %s is for no family\n", ++*test, base);
	return 1;
}

int main(int argc, char **argv)
{
	unsigned failed = 0, test = 0;

	for (int i = 1; i < argc; i++) {
		DIR *dir = opendir(argv[i]);

		if (!dir) {
			add(argv[i]);
			continue;
		}
		add_directory(argv[i], dir);
		closedir(dir);
	}
	setvbuf(stdout, NULL, _IOLBF, 0);
	for (unsigned i = 0; i < n_names; i++) {
		failed += run_both(names[i], &test);
		free(names[i]);
	}
	printf("1..%u\n", test);
	return n_names == 0 ? 2 : failed > 0;
}
