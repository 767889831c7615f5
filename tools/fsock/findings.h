/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * findings.h - what `fsock doctor` has looked at, as a list that is printed at the end.
 */
#ifndef FSOCK_TOOLS_FINDINGS_H
#define FSOCK_TOOLS_FINDINGS_H

#include <stdbool.h>

#include <cjson/cJSON.h>

struct config;
struct host_caps;

enum finding_level {
	FINDING_FINE,
	FINDING_NOTE,  /* worth knowing; nothing to mend, or less speed only */
	FINDING_WRONG, /* stands in the way of acceleration: exit status 1 */
};

enum { FINDINGS_MAX = 128 };

struct finding {
	enum finding_level level;
	const char *area; /* borrowed: a literal */
	char name[32];	  /* one word, stable */
	char text[320];	  /* one sentence */
	char mend[200];	  /* what to run, "" = nothing */
};

struct findings {
	unsigned n;
	struct finding list[FINDINGS_MAX];
};

/* Add one; the text is formatted. Returns it, so that mend can be filled further. */
struct finding *finding_add(struct findings *findings, enum finding_level level, const char *area,
			    const char *name, const char *format, ...)
	__attribute__((format(printf, 5, 6)));

/* Fill the mend of @finding. */
void finding_mend(struct finding *finding, const char *format, ...)
	__attribute__((format(printf, 2, 3)));

bool findings_any_wrong(const struct findings *findings);
void findings_print(const struct findings *findings);
cJSON *findings_json(const struct findings *findings);

/* --- who looks --- */

/* doctor_kernel.c: privileges, kernel features, limits. */
void doctor_privileges(struct findings *findings, const struct host_caps *caps);
void doctor_kernel(struct findings *findings, const struct host_caps *caps);
void doctor_limits(struct findings *findings, const struct host_caps *caps,
		   const struct config *config);

/* doctor_links.c: interfaces and the policy around them. Returns an array of what each is like. */
cJSON *doctor_links(struct findings *findings, const struct config *config, bool print);

#endif
