/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * json.h - the few things cJSON lacks.
 * Errors: out of memory leaves a member out; cJSON's calls all take NULL.
 */
#ifndef FSOCK_TOOLS_JSON_H
#define FSOCK_TOOLS_JSON_H

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

#include <cjson/cJSON.h>

/* cJSON's numbers are doubles; counters have 64 bits. */
void json_add_u64(cJSON *object, const char *name, uint64_t value);

/* null for an empty or missing text. */
void json_add_text(cJSON *object, const char *name, const char *text);

/* Print on one line (@compact) or many, with a newline, and delete. */
void json_finish(cJSON *root, bool compact, FILE *to);

#endif
