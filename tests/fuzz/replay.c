/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * replay.c - runs a fuzz target over files of a corpus, for compilers without libFuzzer.
 *
 * Usage: replay_<target> DIRECTORY. Every regular file of it is one input, and so is each of its
 * prefixes of up to PREFIXES bytes. The bytes end at an unreadable page, so that a read past them
 * faults without a sanitizer too. Fails when the directory holds no file.
 */
#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "fuzz.h"

enum { PAGE = 4096, ROOM = 20 * PAGE, PREFIXES = 128 };

static void die(const char *what)
{
	perror(what);
	exit(2);
}

/* ROOM bytes followed by an unreadable page. */
static uint8_t *guarded_memory(void)
{
	uint8_t *map = mmap(NULL, ROOM + PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS,
			    -1, 0);

	if (map == MAP_FAILED || mprotect(map + ROOM, PAGE, PROT_NONE) < 0)
		die("mmap");
	return map;
}

static void run(uint8_t *memory, const uint8_t *bytes, size_t len)
{
	memcpy(memory + ROOM - len, bytes, len);
	LLVMFuzzerTestOneInput(memory + ROOM - len, len);
}

static void replay(const char *path, uint8_t *memory)
{
	static uint8_t bytes[ROOM];
	FILE *file = fopen(path, "rb");
	size_t len;

	if (file == NULL)
		die(path);
	len = fread(bytes, 1, sizeof(bytes), file);
	if (ferror(file) || !feof(file))
		die(path);
	fclose(file);
	for (size_t n = 0; n < len && n < PREFIXES; n++)
		run(memory, bytes, n);
	run(memory, bytes, len);
}

int main(int argc, char **argv)
{
	uint8_t *memory = guarded_memory();
	struct dirent *entry;
	unsigned files = 0;
	DIR *dir;

	if (argc != 2) {
		fprintf(stderr, "usage: %s DIRECTORY\n", argv[0]);
		return 2;
	}
	dir = opendir(argv[1]);
	if (dir == NULL)
		die(argv[1]);
	while ((entry = readdir(dir)) != NULL) {
		char path[4096];

		if (entry->d_name[0] == '.')
			continue;
		snprintf(path, sizeof(path), "%s/%s", argv[1], entry->d_name);
		replay(path, memory);
		files++;
	}
	closedir(dir);
	printf("%u files\n", files);
	return files > 0 ? 0 : 1;
}
