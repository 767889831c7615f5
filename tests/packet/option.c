/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * option.c - TCP options of packet scripts.
 *
 * They are written here byte by byte, not with wire/tcp.h: what the engine emits is compared with a second
 * opinion.
 */
#include "option.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/endian.h"
#include "base/err.h"

static bool put(struct options *o, uint64_t value, uint8_t len, bool any)
{
	if (o->n + len > OPTION_BYTES)
		return false;
	for (uint8_t i = 0; i < len; i++) {
		o->bytes[o->n] = (uint8_t)(value >> 8 * (len - 1 - i));
		o->mask[o->n++] = any ? 0 : 0xff;
	}
	return true;
}

static bool bind_at(struct script *s, struct options *o, const char *name, uint32_t base, uint8_t len, bool cookie)
{
	struct option_bind *b = &o->bind[o->n_binds];

	if (o->n_binds == OPTION_BINDS || strlen(name) >= sizeof(b->name))
		return script_fail(s, "too many names to bind, or a long one");
	o->n_binds++;
	snprintf(b->name, sizeof(b->name), "%s", name);
	b->base = base;
	b->at = o->n;
	b->len = len;
	b->cookie = cookie;
	return true;
}

/* @text: a number to which @base is added, `*` or `?NAME`. */
static bool put_number(struct script *s, struct options *o, const char *text, uint32_t base, uint8_t len)
{
	int64_t number = 0;

	if (!text)
		return script_fail(s, "an option lacks a value");
	if (text[0] == '?' && !bind_at(s, o, text + 1, base, len, false))
		return false;
	if (text[0] == '?' || strcmp(text, "*") == 0)
		return put(o, 0, len, true) || script_fail(s, "options too long");
	if (!value_eval(&s->values, text, &number))
		return script_fail(s, "%s", s->values.error);
	number += base;
	return put(o, len == 4 ? (uint32_t)number : (uint64_t)number, len, false) ||
	       script_fail(s, "options too long");
}

static bool put_ts(struct script *s, const struct flow *flow, struct words *w, bool out, struct options *o)
{
	uint32_t val_base = out ? flow->ts_base : 0, ecr_base = out ? 0 : flow->ts_base;
	const char *val = words_next(w), *ecr = words_next(w);
	uint32_t clock = out ? flow->ts_base : flow->peer_ts_base;
	uint8_t at;

	put(o, 8, 1, false);
	put(o, 10, 1, false);
	at = o->n;
	if (val && strcmp(val, ".") == 0)
		put(o, (uint32_t)(clock + script_ms(s)), 4, false);
	else if (!put_number(s, o, val, val_base, 4))
		return false;
	o->has_ts = true;
	o->ts_val = be32_load(o->bytes + at);
	if (ecr && strcmp(ecr, ".") == 0 && !out)
		return put(o, flow->last_ts, 4, false);
	/* A SYN's echo is 0 and nobody's clock. */
	if (ecr && strcmp(ecr, "none") == 0)
		return put(o, 0, 4, false);
	return put_number(s, o, ecr, ecr_base, 4);
}

static bool put_sack(struct script *s, const struct flow *flow, struct words *w, bool out, struct options *o)
{
	uint32_t base = out ? flow->peer_iss : flow->iss;
	uint8_t at = o->n;
	char *word;

	put(o, 5, 1, false);
	put(o, 2, 1, false);
	while ((word = words_next(w)) != NULL) {
		char *right = strchr(word, ':');

		if (!right)
			return script_fail(s, "a SACK block is LEFT:RIGHT");
		*right++ = '\0';
		if (!put_number(s, o, word, base, 4) || !put_number(s, o, right, base, 4))
			return false;
	}
	o->bytes[at + 1] = (uint8_t)(o->n - at);
	return true;
}

static bool put_cookie(struct script *s, const char *word, uint8_t len_at, struct options *o)
{
	const struct value *value;
	size_t n;

	if (word[0] == '?') {
		/* Of eight bytes: what our server grants. */
		if (!bind_at(s, o, word + 1, 0, 8, true))
			return false;
		put(o, 0, 8, true);
		o->bytes[len_at] = 10;
		return true;
	}
	if (word[0] == '$') {
		value = value_find(&s->values, word + 1);
		if (!value || value->n_bytes == 0)
			return script_fail(s, "no such cookie: %s", word);
		for (unsigned i = 0; i < value->n_bytes; i++)
			put(o, value->bytes[i], 1, false);
		o->bytes[len_at] = (uint8_t)(2 + value->n_bytes);
		return true;
	}
	n = strlen(word);
	if (strncmp(word, "0x", 2) != 0 || n % 2 != 0)
		return script_fail(s, "a cookie is $NAME, ?NAME or 0x...");
	for (size_t i = 2; i < n; i += 2) {
		char hex[3] = { word[i], word[i + 1], '\0' };

		put(o, strtoul(hex, NULL, 16), 1, false);
	}
	o->bytes[len_at] = (uint8_t)(n / 2 + 1);
	return true;
}

static bool put_fastopen(struct script *s, struct words *w, struct options *o)
{
	uint8_t len_at = (uint8_t)(o->n + 1);
	char *word = words_next(w);

	put(o, 34, 1, false);
	put(o, 2, 1, false);
	return !word || put_cookie(s, word, len_at, o);
}

static bool put_raw(struct script *s, struct words *w, struct options *o)
{
	char *word;

	while ((word = words_next(w)) != NULL)
		if (!put_number(s, o, word, 0, 1))
			return false;
	return true;
}

static bool put_plain(struct script *s, struct words *w, struct options *o, uint8_t kind, uint8_t len)
{
	put(o, kind, 1, false);
	put(o, (uint64_t)len + 2, 1, false);
	return len == 0 || put_number(s, o, words_next(w), 0, len);
}

static bool parse_one(struct script *s, const struct flow *flow, char *text, bool out, struct options *o)
{
	struct words w = { 0 };
	char *save = NULL, *name;

	for (char *p = strtok_r(text, " \t", &save); p && w.n < SCRIPT_WORDS; p = strtok_r(NULL, " \t", &save))
		w.word[w.n++] = p;
	name = words_next(&w);
	if (!name)
		return script_fail(s, "an empty option");
	if (o->n > OPTION_BYTES - 20)
		return script_fail(s, "options too long");
	if (strcmp(name, "nop") == 0)
		put(o, 1, 1, false);
	else if (strcmp(name, "eol") == 0)
		put(o, 0, 1, false);
	else if (strcmp(name, "mss") == 0)
		return put_plain(s, &w, o, 2, 2);
	else if (strcmp(name, "wscale") == 0)
		return put_plain(s, &w, o, 3, 1);
	else if (strcmp(name, "sackok") == 0)
		return put_plain(s, &w, o, 4, 0);
	else if (strcmp(name, "sack") == 0)
		return put_sack(s, flow, &w, out, o);
	else if (strcmp(name, "ts") == 0)
		return put_ts(s, flow, &w, out, o);
	else if (strcmp(name, "fo") == 0)
		return put_fastopen(s, &w, o);
	else if (strcmp(name, "raw") == 0)
		return put_raw(s, &w, o);
	else
		return script_fail(s, "no such option: %s", name);
	return true;
}

bool option_parse(struct script *s, const struct flow *flow, const char *text, bool out, struct options *o)
{
	char copy[SCRIPT_LINE], *save = NULL;

	memset(o, 0, sizeof(*o));
	snprintf(copy, sizeof(copy), "%s", text);
	for (char *p = strtok_r(copy, ",", &save); p; p = strtok_r(NULL, ",", &save))
		if (!parse_one(s, flow, p, out, o))
			return false;
	if (out && o->n % 4 != 0)
		return script_fail(s, "expected options are %u bytes long: write the padding, too", o->n);
	if (o->n > 40)
		return script_fail(s, "options of %u bytes", o->n);
	return true;
}

void option_pad(struct options *o)
{
	while (o->n % 4 != 0)
		put(o, 0, 1, false);
}

bool option_match(struct script *s, const struct options *want, const uint8_t *bytes, uint8_t n)
{
	if (want->n != n)
		return false;
	for (uint8_t i = 0; i < n; i++)
		if ((want->bytes[i] ^ bytes[i]) & want->mask[i])
			return false;
	for (uint8_t i = 0; i < want->n_binds; i++) {
		const struct option_bind *b = &want->bind[i];
		struct value *value = value_of(&s->values, b->name);
		uint64_t number = 0;

		if (!value)
			return false;
		for (uint8_t k = 0; k < b->len; k++)
			number = number << 8 | bytes[b->at + k];
		value->number = b->len == 4 ? (int64_t)(uint32_t)(number - b->base) : (int64_t)number;
		value->n_bytes = b->cookie ? b->len : 0;
		if (b->cookie)
			memcpy(value->bytes, bytes + b->at, b->len);
	}
	return true;
}

static int show(const struct flow *flow, const uint8_t *p, uint8_t len, char *to, size_t room)
{
	int n = 0;

	switch (p[0]) {
	case 2:
		return snprintf(to, room, "mss %u", be16_load(p + 2));
	case 3:
		return snprintf(to, room, "wscale %u", p[2]);
	case 4:
		return snprintf(to, room, "sackok");
	case 5:
		n = snprintf(to, room, "sack");
		for (uint8_t at = 2; at + 8 <= len && (size_t)n < room; at += 8)
			n += snprintf(to + n, room - (size_t)n, " %u:%u", be32_load(p + at) - flow->peer_iss,
				      be32_load(p + at + 4) - flow->peer_iss);
		return n;
	case 8:
		return snprintf(to, room, "ts %u %u", be32_load(p + 2) - flow->ts_base, be32_load(p + 6));
	case 34:
		n = snprintf(to, room, "fo");
		for (uint8_t at = 2; at < len && (size_t)n < room; at++)
			n += snprintf(to + n, room - (size_t)n, "%s%02x", at == 2 ? " 0x" : "", p[at]);
		return n;
	}
	n = snprintf(to, room, "raw");
	for (uint8_t at = 0; at < len && (size_t)n < room; at++)
		n += snprintf(to + n, room - (size_t)n, " %u", p[at]);
	return n;
}

void option_text(const struct flow *flow, const uint8_t *bytes, uint8_t n, char *to, size_t room)
{
	size_t used = 0;

	to[0] = '\0';
	for (uint8_t at = 0; at < n && used + 1 < room;) {
		uint8_t len = bytes[at] > 1 && at + 1 < n ? bytes[at + 1] : 1;

		if (at > 0)
			used += (size_t)snprintf(to + used, room - used, ", ");
		if (len == 0 || at + len > n)
			len = (uint8_t)(n - at);
		if (used >= room)
			break;
		if (bytes[at] <= 1)
			used += (size_t)snprintf(to + used, room - used, bytes[at] ? "nop" : "eol");
		else
			used += (size_t)show(flow, bytes + at, len, to + used, room - used);
		at = (uint8_t)(at + len);
	}
}
