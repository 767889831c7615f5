/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * json.c - small additions to cJSON.
 */
#include "json.h"

#include <inttypes.h>
#include <stdlib.h>

void json_add_u64(cJSON *object, const char *name, uint64_t value)
{
	char digits[24];

	snprintf(digits, sizeof(digits), "%" PRIu64, value);
	cJSON_AddRawToObject(object, name, digits);
}

void json_add_text(cJSON *object, const char *name, const char *text)
{
	if (text && *text)
		cJSON_AddStringToObject(object, name, text);
	else
		cJSON_AddNullToObject(object, name);
}

void json_finish(cJSON *root, bool compact, FILE *to)
{
	char *text = compact ? cJSON_PrintUnformatted(root) : cJSON_Print(root);

	if (text)
		fprintf(to, "%s\n", text);
	cJSON_free(text);
	cJSON_Delete(root);
}
