/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * findings.c - collecting and printing what `fsock doctor` found.
 */
#include "findings.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "base/err.h"
#include "json.h"

static const char *const level_names[] = { "ok", "note", "wrong" };
static_assert(FS_ARRAY_SIZE(level_names) == FINDING_WRONG + 1, "one name per level");

struct finding *finding_add(struct findings *findings, enum finding_level level, const char *area,
			    const char *name, const char *format, ...)
{
	struct finding *f = &findings->list[FS_MIN(findings->n, (unsigned)FINDINGS_MAX - 1)];
	va_list args;

	if (findings->n < FINDINGS_MAX)
		findings->n++;
	f->level = level;
	f->area = area;
	f->mend[0] = '\0';
	snprintf(f->name, sizeof(f->name), "%s", name);
	va_start(args, format);
	vsnprintf(f->text, sizeof(f->text), format, args);
	va_end(args);
	return f;
}

void finding_mend(struct finding *finding, const char *format, ...)
{
	va_list args;

	va_start(args, format);
	vsnprintf(finding->mend, sizeof(finding->mend), format, args);
	va_end(args);
}

bool findings_any_wrong(const struct findings *findings)
{
	for (unsigned i = 0; i < findings->n; i++) {
		if (findings->list[i].level == FINDING_WRONG)
			return true;
	}
	return false;
}

void findings_print(const struct findings *findings)
{
	const char *area = "";

	for (unsigned i = 0; i < findings->n; i++) {
		const struct finding *f = &findings->list[i];

		if (strcmp(area, f->area) != 0)
			printf("%s\n", f->area);
		area = f->area;
		printf("  %-5s %-16s %s\n", level_names[f->level], f->name, f->text);
		if (f->mend[0])
			printf("  %-5s %-16s mend: %s\n", "", "", f->mend);
	}
}

cJSON *findings_json(const struct findings *findings)
{
	cJSON *list = cJSON_CreateArray();

	for (unsigned i = 0; i < findings->n; i++) {
		const struct finding *f = &findings->list[i];
		cJSON *object = cJSON_CreateObject();

		cJSON_AddStringToObject(object, "area", f->area);
		cJSON_AddStringToObject(object, "name", f->name);
		cJSON_AddStringToObject(object, "level", level_names[f->level]);
		cJSON_AddStringToObject(object, "text", f->text);
		json_add_text(object, "mend", f->mend);
		cJSON_AddItemToArray(list, object);
	}
	return list;
}
