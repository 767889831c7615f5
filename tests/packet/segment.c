/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * segment.c - the statements `in`, `out` and `icmp`: segments injected and expected.
 *
 * Packets in are built here byte by byte; the checksum alone is the engine's own code.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/csum.h"
#include "base/endian.h"
#include "base/err.h"
#include "option.h"
#include "script.h"
#include "wire/protocol.h"

enum { ANY_FLAGS = 1 << 14, ANY_PUSH = 1 << 15, PAYLOAD_MAX = 65000, DEFAULT_TTL = 64 };

static const struct {
	char letter;
	uint16_t flag;
} letters[] = {
	{ 'S', TCP_SYN }, { 'F', TCP_FIN }, { 'R', TCP_RST },  { 'P', TCP_PSH },   { 'A', TCP_ACK },
	{ 'U', TCP_URG }, { 'E', TCP_ECE }, { 'W', TCP_CWR },  { 'N', TCP_AE },    { 'p', ANY_PUSH },
	{ '-', 0 },	  { '*', ANY_FLAGS },
};

/* A number of a segment: given, any, or to be bound to a name. */
struct field {
	bool given, any;
	char bind[VALUE_NAME];
	int64_t value;
};

struct seg {
	uint16_t flags;
	int64_t seq;
	const char *bind_seq; /* NULL = seq counts */
	uint32_t len;
	struct field ack, win, urg, tos, ttl;
	const char *options; /* NULL = not given */
	const char *from, *to;
	int64_t offset, port, pad; /* -1 = right ones */
	int64_t salt;
	int ecn;		   /* -1 = not given */
	bool bad_checksum, ip_options, one;
};

/* --- words --- */

static bool parse_flags(struct script *s, const char *word, uint16_t *flags)
{
	*flags = 0;
	for (; word && *word; word++) {
		unsigned i = 0;

		while (i < FS_ARRAY_SIZE(letters) && letters[i].letter != *word)
			i++;
		if (i == FS_ARRAY_SIZE(letters))
			return script_fail(s, "no such flag: %c", *word);
		*flags |= letters[i].flag;
	}
	return true;
}

/* SEQ or SEQ..END; of a segment expected also ?NAME. */
static bool parse_range(struct script *s, const char *word, struct seg *g)
{
	int64_t end;

	if (word && word[0] == '?') {
		g->bind_seq = word + 1;
		return true;
	}
	if (!word || !value_parse(&s->values, &word, &g->seq))
		return script_fail(s, "no sequence number: %s", s->values.error);
	end = g->seq;
	if (strncmp(word, "..", 2) == 0) {
		word += 2;
		if (!value_parse(&s->values, &word, &end))
			return script_fail(s, "%s", s->values.error);
	}
	if (*word || end < g->seq || end - g->seq > PAYLOAD_MAX)
		return script_fail(s, "a range is SEQ..END");
	g->len = (uint32_t)(end - g->seq);
	return true;
}

static bool parse_field(struct script *s, struct words *w, struct field *f)
{
	const char *word = words_next(w);

	if (!word)
		return script_fail(s, "a value is missing");
	f->given = true;
	if (strcmp(word, "*") == 0) {
		f->any = true;
	} else if (word[0] == '?') {
		f->any = true;
		snprintf(f->bind, sizeof(f->bind), "%s", word + 1);
	} else if (!value_eval(&s->values, word, &f->value)) {
		return script_fail(s, "%s", s->values.error);
	}
	return true;
}

/* Payload bytes where a range would not say it: of a SYN. Of one expected also ?NAME. */
static bool parse_len(struct script *s, struct words *w, struct seg *g)
{
	int64_t len = s->rig->out ? s->rig->out->len : 0;

	if (w->at < w->n && w->word[w->at][0] == '?') {
		if (!value_set(&s->values, words_next(w) + 1, len))
			return script_fail(s, "%s", s->values.error);
	} else if (!words_number(s, w, &len)) {
		return false;
	}
	g->len = (uint32_t)len;
	return true;
}

static bool parse_attribute(struct script *s, struct words *w, const char *word, struct seg *g)
{
	static const char *const ecn[] = { "notect", "ect1", "ect0", "ce" };
	struct {
		const char *name;
		struct field *field;
	} fields[] = { { "ack", &g->ack }, { "win", &g->win }, { "urg", &g->urg }, { "tos", &g->tos }, { "ttl", &g->ttl } };
	struct {
		const char *name;
		int64_t *number;
	} numbers[] = { { "offset", &g->offset }, { "port", &g->port }, { "pad", &g->pad }, { "salt", &g->salt } };

	for (unsigned i = 0; i < FS_ARRAY_SIZE(fields); i++)
		if (strcmp(word, fields[i].name) == 0)
			return parse_field(s, w, fields[i].field);
	for (unsigned i = 0; i < FS_ARRAY_SIZE(numbers); i++)
		if (strcmp(word, numbers[i].name) == 0)
			return words_number(s, w, numbers[i].number);
	for (unsigned i = 0; i < FS_ARRAY_SIZE(ecn); i++)
		if (strcmp(word, ecn[i]) == 0) {
			g->ecn = (int)i;
			return true;
		}
	if (word[0] == '<')
		g->options = word + 1;
	else if (strcmp(word, "badsum") == 0)
		g->bad_checksum = true;
	else if (strcmp(word, "ipoptions") == 0)
		g->ip_options = true;
	else if (strcmp(word, "one") == 0)
		g->one = true;
	else if (strcmp(word, "from") == 0)
		g->from = words_next(w);
	else if (strcmp(word, "to") == 0)
		g->to = words_next(w);
	else if (strcmp(word, "len") == 0)
		return parse_len(s, w, g);
	else
		return script_fail(s, "a segment has no `%s'", word);
	return true;
}

static bool parse_segment(struct script *s, struct words *w, struct seg *g)
{
	char *word = words_next(w);

	*g = (struct seg){ .offset = -1, .port = -1, .pad = 0, .ecn = -1 };
	if (!parse_flags(s, word, &g->flags) || !parse_range(s, words_next(w), g))
		return false;
	while ((word = words_next(w)) != NULL)
		if (!parse_attribute(s, w, word, g))
			return false;
	return true;
}

/* --- in --- */

static size_t build_v4(uint8_t *p, const struct ip_addr *src, const struct ip_addr *dst, const struct seg *g,
		       size_t l4_len)
{
	/* An experimental option (RFC 4727) nobody knows, and its end. */
	static const uint8_t unknown[4] = { 0x5e, 3, 0, 0 };
	size_t len = g->ip_options ? 24 : 20;
	be16_t sum;

	memset(p, 0, len);
	p[0] = (uint8_t)(0x40 | len / 4);
	be16_store(p + 2, (uint16_t)(len + l4_len));
	p[6] = 0x40;
	p[8] = g->ttl.given ? (uint8_t)g->ttl.value : DEFAULT_TTL;
	p[9] = WIRE_PROTO_TCP;
	p[1] = (uint8_t)(g->tos.value | (g->ecn > 0 ? g->ecn : 0));
	memcpy(p + 12, src->b + 12, 4);
	memcpy(p + 16, dst->b + 12, 4);
	if (g->ip_options)
		memcpy(p + 20, unknown, 4);
	sum = csum_finish(csum_inline(p, len));
	memcpy(p + 10, &sum, 2);
	return len;
}

static size_t build_v6(uint8_t *p, const struct ip_addr *src, const struct ip_addr *dst, const struct seg *g,
		       size_t l4_len)
{
	/* Hop-by-hop with an option that is to be skipped when unknown. */
	size_t extra = g->ip_options ? 8 : 0;
	uint32_t traffic = (uint32_t)(g->tos.value | (g->ecn > 0 ? g->ecn : 0));

	memset(p, 0, 48);
	be32_store(p, 6U << 28 | traffic << 20);
	be16_store(p + 4, (uint16_t)(l4_len + extra));
	p[6] = extra ? 0 : WIRE_PROTO_TCP;
	p[7] = g->ttl.given ? (uint8_t)g->ttl.value : DEFAULT_TTL;
	memcpy(p + 8, src->b, 16);
	memcpy(p + 24, dst->b, 16);
	if (extra) {
		p[40] = WIRE_PROTO_TCP;
		p[42] = 0x1e;
		p[43] = 4;
	}
	return 40 + extra;
}

/* Segments of a connection with timestamps carry them unless the script says otherwise. */
static bool options_in(struct script *s, struct flow *f, const struct seg *g, struct options *o)
{
	const char *text = g->options;

	if (!text)
		text = f->our_ts && f->peer_ts && !(g->flags & TCP_RST) ? "nop, nop, ts . ." : "";
	if (!option_parse(s, f, text, false, o))
		return false;
	option_pad(o);
	if ((g->flags & TCP_SYN) && o->has_ts) {
		f->peer_ts = true;
		f->peer_ts_base = o->ts_val - (uint32_t)script_ms(s);
	}
	return true;
}

static void build_tcp(uint8_t *p, struct flow *f, const struct seg *g, const struct options *o)
{
	uint32_t position = (uint32_t)g->seq + ((g->flags & TCP_SYN) != 0);
	size_t hdr_len = 20 + (size_t)o->n;

	if (g->win.given)
		f->window = (uint16_t)g->win.value;
	memset(p, 0, 20);
	be16_store(p, f->remote_port);
	be16_store(p + 2, g->port >= 0 ? (uint16_t)g->port : f->local_port);
	be32_store(p + 4, f->peer_iss + (uint32_t)g->seq);
	be32_store(p + 8, g->ack.given ? f->iss + (uint32_t)g->ack.value : 0);
	be16_store(p + 12, (uint16_t)((g->offset >= 0 ? (size_t)g->offset : hdr_len / 4) << 12 | (g->flags & TCP_FLAGS)));
	be16_store(p + 14, f->window);
	be16_store(p + 18, (uint16_t)g->urg.value);
	memcpy(p + 20, o->bytes, o->n);
	for (uint32_t i = 0; i < g->len; i++)
		p[hdr_len + i] = script_byte(position + i, (uint8_t)g->salt);
}

static bool run_in(struct script *s, struct words *w)
{
	static uint8_t packet[RIG_FRAME_MAX];
	const struct ip_addr *mine = rig_local(s->rig, s->v6), *peer = rig_peer(s->rig, s->v6);
	struct ip_addr src = *peer, dst = *mine;
	struct flow *f = s->current;
	struct options o;
	size_t l4_len, at;
	struct seg g;
	be16_t sum;

	if (!script_quiet(s) || !parse_segment(s, w, &g) || !options_in(s, f, &g, &o))
		return false;
	if ((g.flags & TCP_ACK) && !g.ack.given)
		return script_fail(s, "flag A without `ack'");
	if ((g.from && !script_address(s, g.from, &src)) || (g.to && !script_address(s, g.to, &dst)))
		return false;
	l4_len = 20 + (size_t)o.n + g.len;
	at = s->v6 ? build_v6(packet, &src, &dst, &g, l4_len) : build_v4(packet, &src, &dst, &g, l4_len);
	build_tcp(packet + at, f, &g, &o);
	sum = csum_finish(csum_add(csum_pseudo(&src, &dst, WIRE_PROTO_TCP, (uint32_t)l4_len),
				   csum_inline(packet + at, l4_len)));
	if (g.bad_checksum)
		sum.raw ^= 0x0101;
	memcpy(packet + at + 16, &sum, 2);
	memset(packet + at + l4_len, 0x5a, (size_t)g.pad);
	rig_inject(s->rig, s->v6, packet, (uint32_t)(at + l4_len + (size_t)g.pad));
	return true;
}

/* --- out --- */

struct flow *segment_flow(struct script *s, const struct rig_out *o)
{
	struct flow *f = NULL;

	for (unsigned i = 0; i < s->n_flows && !f; i++)
		if (s->flow[i].local_port == o->h.src_port && s->flow[i].remote_port == o->h.dst_port)
			f = &s->flow[i];
	if (!f)
		return NULL;
	if ((o->h.flags & TCP_SYN) && !f->iss_known) {
		f->iss_known = true;
		f->iss = o->h.seq;
	}
	if (o->h.options & TCP_HAS_TIMESTAMP) {
		if (!f->ts_known)
			f->ts_base = o->h.ts_val - (uint32_t)script_ms(s);
		f->ts_known = true;
		f->last_ts = o->h.ts_val;
		f->our_ts |= (o->h.flags & TCP_SYN) != 0;
	}
	return f;
}

const char *segment_text(const struct flow *flow, const struct rig_out *o)
{
	static const char *const ecn[] = { "", " ect1", " ect0", " ce" };
	static char text[512];
	static const struct flow nobody;
	const struct flow *f = flow ? flow : &nobody;
	uint32_t seq = o->h.seq - f->iss;
	char flags[16], options[256], range[24] = "", ack[24] = "", urg[16] = "", *p = flags;

	for (unsigned i = 0; i < FS_ARRAY_SIZE(letters); i++)
		if (letters[i].flag <= TCP_FLAGS && (o->h.flags & letters[i].flag))
			*p++ = letters[i].letter;
	if (p == flags)
		*p++ = '-';
	*p = '\0';
	if (o->len > 0 && (o->h.flags & TCP_SYN))
		snprintf(range, sizeof(range), " len %u", o->len);
	else if (o->len > 0)
		snprintf(range, sizeof(range), "..%u", seq + o->len);
	option_text(f, o->options, o->n_options, options, sizeof(options));
	if (o->h.flags & TCP_ACK)
		snprintf(ack, sizeof(ack), " ack %u", o->h.ack - f->peer_iss);
	if (o->h.flags & TCP_URG)
		snprintf(urg, sizeof(urg), " urg %u", o->h.urgent);
	snprintf(text, sizeof(text), "%s %u%s%s win %u%s <%s>%s%s", flags, seq, range, ack, o->h.window, urg,
		 options, ecn[o->tos & 3], flow ? "" : " (of no flow)");
	return text;
}

static bool mismatch(struct script *s, const struct flow *f, const struct rig_out *o, const char *what)
{
	return script_fail(s, "%s differs\n  expected: %s\n  got:      out %s", what, s->text, segment_text(f, o));
}

static bool match_field(struct script *s, const struct field *f, int64_t got)
{
	if (!f->given)
		return true;
	if (f->bind[0] && !value_set(&s->values, f->bind, got))
		return false;
	return f->any || f->value == got;
}

static bool match_flags(const struct seg *g, uint16_t got, bool last)
{
	uint16_t want = g->flags;

	if (want & ANY_FLAGS)
		return true;
	if (!last)
		want &= (uint16_t)~(TCP_PSH | TCP_FIN);
	if (want & ANY_PUSH)
		return (want & TCP_FLAGS & ~TCP_PSH) == (got & ~TCP_PSH);
	return (want & TCP_FLAGS) == got;
}

static const char *match_payload(const struct rig_out *o, uint32_t position, uint8_t salt)
{
	for (uint32_t i = 0; i < o->len; i++)
		if (o->payload[i] != script_byte(position + i, salt))
			return "payload";
	return NULL;
}

/* What differs between @g from sequence number @seq on and the segment; NULL = nothing. */
static const char *match(struct script *s, const struct flow *f, const struct seg *g, const struct rig_out *o,
			 uint32_t seq, bool last)
{
	struct options want;

	if (!match_flags(g, o->h.flags, last))
		return "flags";
	if (o->h.seq - f->iss != seq)
		return "sequence number";
	if ((o->h.flags & TCP_ACK) && !g->ack.given && !(g->flags & ANY_FLAGS))
		return "acknowledgement number (give one, or *)";
	if ((o->h.flags & TCP_ACK) && !match_field(s, &g->ack, (uint32_t)(o->h.ack - f->peer_iss)))
		return "acknowledgement number";
	if (!match_field(s, &g->win, o->h.window))
		return "window";
	if ((o->h.flags & TCP_URG) && !g->urg.given)
		return "urgent pointer (give one)";
	if (!match_field(s, &g->urg, o->h.urgent))
		return "urgent pointer";
	if ((o->tos & 3) != (g->ecn > 0 ? g->ecn : 0))
		return "ECN field";
	if (!match_field(s, &g->tos, o->tos & ~3) || !match_field(s, &g->ttl, o->ttl))
		return "TOS or hop limit";
	if (!o->df)
		return "don't-fragment bit";
	if (!g->options && o->h.n_sack > 0)
		return "SACK option (expect it)";
	if (g->options && !option_parse(s, f, g->options, true, &want))
		return "";
	if (g->options && !option_match(s, &want, o->options, o->n_options))
		return "options";
	return match_payload(o, seq + ((o->h.flags & TCP_SYN) != 0), (uint8_t)g->salt);
}

/* A long range may come as several segments unless `one' is said. */
static bool run_out(struct script *s, struct words *w)
{
	uint32_t seq, end;
	struct seg g;

	/* Numbers become known by the very segment: words are looked at after it. */
	if (s->rig->error[0])
		return script_fail(s, "a frame was sent with: %s", s->rig->error);
	if (s->rig->out)
		segment_flow(s, s->rig->out);
	if (!parse_segment(s, w, &g))
		return false;
	if (g.bind_seq && s->rig->out) {
		g.seq = (uint32_t)(s->rig->out->h.seq - s->current->iss);
		if (!value_set(&s->values, g.bind_seq, g.seq))
			return script_fail(s, "%s", s->values.error);
	}
	seq = (uint32_t)g.seq;
	end = seq + g.len;
	do {
		struct rig_out *o = rig_take(s->rig);
		struct flow *f = o ? segment_flow(s, o) : NULL;
		const char *differs = NULL;
		bool last;

		if (!o)
			return script_fail(s, "nothing was sent\n  expected: %s", s->text);
		last = g.one || o->len == 0 || o->len >= end - seq;
		if (f != s->current)
			differs = "flow";
		else if (o->len > end - seq || (last && o->len != end - seq))
			differs = "length";
		else
			differs = match(s, f, &g, o, seq, last);
		if (differs && *differs)
			mismatch(s, f, o, differs);
		seq += o->len;
		free(o);
		if (differs)
			return false;
	} while (seq != end);
	return true;
}

/* --- icmp --- */

/* icmp soft|hard ERRNO seq N, icmp toobig MTU seq N: an error that quotes a segment of ours. */
static bool run_icmp(struct script *s, struct words *w)
{
	struct flow *f = s->current;
	struct tcp_icmp icmp = { .local = *rig_local(s->rig, s->v6),
				 .remote = *rig_peer(s->rig, s->v6),
				 .local_port = f->local_port,
				 .remote_port = f->remote_port };
	int64_t seq = 0, mtu = 0;
	const char *word;

	if (!script_quiet(s))
		return false;
	if (words_take(w, "toobig")) {
		icmp.kind = TCP_ICMP_TOO_BIG;
		icmp.error = value_errno("EMSGSIZE");
		if (!words_number(s, w, &mtu))
			return false;
		icmp.mtu = (uint32_t)mtu;
	} else {
		icmp.kind = words_take(w, "hard") ? TCP_ICMP_HARD : TCP_ICMP_SOFT;
		words_take(w, "soft");
		word = words_next(w);
		icmp.error = word ? value_errno(word) : 0;
		if (icmp.error == 0)
			return script_fail(s, "icmp soft|hard ERRNO seq N");
	}
	if (!words_take(w, "seq") || !words_number(s, w, &seq))
		return script_fail(s, "icmp needs `seq N'");
	icmp.seq = f->iss + (uint32_t)seq;
	tcp_icmp_input(&s->rig->tcp, &s->rig->env, &icmp, s->rig->now);
	rig_settle(s->rig);
	return true;
}

const struct statement segment_statements[] = {
	{ "in", run_in, false },
	{ "out", run_out, false },
	{ "icmp", run_icmp, false },
	{ NULL, NULL, false },
};
