#include "store/segment.h"

#include <zstd.h>

/*
 * Bytes: "tyS" and the format's number, the number of records (4 bytes, least significant first),
 * the bytes of all ext (4), then a zstd frame: member after member, each with its first bytes, its
 * second bytes, …; then the ext bytes.
 */
static const char magic[4] = { 't', 'y', 'S', 1 };
enum { HEAD_BYTES = 12 };

struct part {
	uint16_t offset, bytes;
	enum flow_member member;
};
#define PART(m, name)                                                                              \
	{                                                                                          \
		offsetof(struct flow, name), sizeof((struct flow){ 0 }.name), (m)                  \
	}
static const struct part parts[] = {
	PART(FLOW_MEMBER_SEQ, seq),
	PART(FLOW_MEMBER_KIND, kind),
	PART(FLOW_MEMBER_BITS, bits),
	PART(FLOW_MEMBER_TIME, time),
	PART(FLOW_MEMBER_UUID, uuid),
	PART(FLOW_MEMBER_VERDICT, verdict),
	PART(FLOW_MEMBER_TYPE, type),
	PART(FLOW_MEMBER_SRC_IP, src_ip),
	PART(FLOW_MEMBER_DST_IP, dst_ip),
	PART(FLOW_MEMBER_SRC_XLATED, src_xlated),
	PART(FLOW_MEMBER_MACS, src_mac),
	PART(FLOW_MEMBER_MACS, dst_mac),
	PART(FLOW_MEMBER_IP_VERSION, ip_version),
	PART(FLOW_MEMBER_REPLY, is_reply),
	PART(FLOW_MEMBER_DIRECTION, direction),
	PART(FLOW_MEMBER_AUTH_TYPE, auth_type),
	PART(FLOW_MEMBER_L4, l4),
	PART(FLOW_MEMBER_SRC_PORT, l4_bytes),
	PART(FLOW_MEMBER_POINTS, trace_point),
	PART(FLOW_MEMBER_POINTS, trace_reason),
	PART(FLOW_MEMBER_POINTS, capture_point),
	PART(FLOW_MEMBER_POINTS, sock_point),
	PART(FLOW_MEMBER_EVENT, event_type),
	PART(FLOW_MEMBER_EVENT, event_sub_type),
	PART(FLOW_MEMBER_DROP, drop_reason),
	PART(FLOW_MEMBER_DROP, drop_desc),
	PART(FLOW_MEMBER_POLICY_MATCH, policy_match_type),
	PART(FLOW_MEMBER_PROXY_PORT, proxy_port),
	PART(FLOW_MEMBER_SRC_EP, src_ep),
	PART(FLOW_MEMBER_DST_EP, dst_ep),
	PART(FLOW_MEMBER_SERVICES, src_svc),
	PART(FLOW_MEMBER_SERVICES, dst_svc),
	PART(FLOW_MEMBER_NODE, node),
	PART(FLOW_MEMBER_INTERFACE, ifindex),
	PART(FLOW_MEMBER_INTERFACE, ifname),
	PART(FLOW_MEMBER_TRACE_ID, ip_trace_id),
	PART(FLOW_MEMBER_SOCKET, socket_cookie),
	PART(FLOW_MEMBER_SOCKET, cgroup_id),
	PART(FLOW_MEMBER_COUNTS, packets),
	PART(FLOW_MEMBER_COUNTS, bytes),
	PART(FLOW_MEMBER_NETNS, netns),
	PART(FLOW_MEMBER_KERNEL_REASON, kernel_reason),
	PART(FLOW_MEMBER_EXT, ext_len),
};

static size_t record_bytes(void)
{
	size_t bytes = 0;

	for (size_t i = 0; i < ARRAY_LEN(parts); i++)
		bytes += parts[i].bytes;
	return bytes;
}

static void put_u32(uint8_t *to, uint32_t v)
{
	for (int i = 0; i < 4; i++)
		to[i] = (uint8_t)(v >> 8 * i);
}

static uint32_t get_u32(const uint8_t *p)
{
	return p[0] | (uint32_t)p[1] << 8 | (uint32_t)p[2] << 16 | (uint32_t)p[3] << 24;
}

struct segment_encoder {
	ZSTD_CCtx *zstd;
	uint8_t *columns;
	size_t size;
	struct flow
		*flows; /* [room]; their ext are at the same place in @ext, one after the other */
	size_t count, room;
	struct buf ext;
};

enum err_code segment_encoder_new(int zstd_level, struct segment_encoder **ret, struct err *e)
{
	AUTO(segment_encoder_free) struct segment_encoder *enc = calloc(1, sizeof *enc);

	if (enc)
		enc->ext = buf_init(SEGMENT_EXT_MAX);
	if (enc)
		enc->zstd = ZSTD_createCCtx();
	if (!enc || !enc->zstd)
		return err_set(e, ERR_NOMEM, "segment");
	if (ZSTD_isError(ZSTD_CCtx_setParameter(enc->zstd, ZSTD_c_compressionLevel, zstd_level)))
		return err_set(e, ERR_INVALID, "zstd level %d", zstd_level);
	*ret = TAKE(enc);
	return ERR_OK;
}

void segment_encoder_free(struct segment_encoder *enc)
{
	if (!enc)
		return;
	(void)ZSTD_freeCCtx(enc->zstd);
	free(enc->columns);
	free(enc->flows);
	buf_done(&enc->ext);
	free(enc);
}

enum err_code segment_add(struct segment_encoder *enc, const struct flow *flows, size_t n,
			  struct err *e)
{
	size_t ext = enc->ext.len;

	for (size_t i = 0; i < n; i++)
		ext += flows[i].ext_len;
	if (n > SEGMENT_MAX - enc->count || ext > SEGMENT_EXT_MAX)
		return err_set(e, ERR_INVALID,
			       "a segment holds at most %d records and %d bytes of messages",
			       SEGMENT_MAX, SEGMENT_EXT_MAX);
	if (enc->count + n > enc->room) {
		size_t room = enc->room * 2 > enc->count + n ? enc->room * 2 : enc->count + n;
		struct flow *more = realloc(enc->flows, room * sizeof *more);

		if (!more)
			return err_set(e, ERR_NOMEM, "segment of %zu records", enc->count + n);
		enc->flows = more;
		enc->room = room;
	}
	if (!buf_reserve(&enc->ext, ext - enc->ext.len + 1)) {
		enc->ext.failed = false;
		return err_set(e, ERR_NOMEM, "segment with %zu bytes of messages", ext);
	}
	for (size_t i = 0; i < n; i++) {
		enc->flows[enc->count++] = flows[i];
		buf_put(&enc->ext, flows[i].ext, flows[i].ext_len);
	}
	return ERR_OK;
}

size_t segment_added(const struct segment_encoder *enc)
{
	return enc->count;
}

void segment_encoder_reset(struct segment_encoder *enc)
{
	enc->count = 0;
	buf_reset(&enc->ext);
}

enum err_code segment_encode(struct segment_encoder *enc, const struct flow *flows, size_t n,
			     struct buf *out, struct err *e)
{
	segment_encoder_reset(enc);
	enum err_code code = segment_add(enc, flows, n, e);
	return code == ERR_OK ? segment_finish(enc, out, e) : code;
}

static uint8_t *split_part(uint8_t *to, const struct part *p, const struct flow *flows, size_t n)
{
	for (size_t b = 0; b < p->bytes; b++)
		for (size_t i = 0; i < n; i++)
			*to++ = ((const uint8_t *)&flows[i])[p->offset + b];
	return to;
}

enum err_code segment_finish(struct segment_encoder *enc, struct buf *out, struct err *e)
{
	size_t n = enc->count, size = n * record_bytes() + enc->ext.len;

	if (!n)
		return err_set(e, ERR_INVALID, "a segment of no records");
	enc->count = 0;
	if (size > enc->size) {
		free(enc->columns);
		enc->columns = malloc(size);
		enc->size = enc->columns ? size : 0;
	}
	size_t bound = ZSTD_compressBound(size);
	uint8_t *head = (uint8_t *)buf_reserve(out, HEAD_BYTES + bound);
	if (!enc->columns || !head)
		return err_set(e, ERR_NOMEM, "segment of %zu records", n);
	uint8_t *to = enc->columns;
	for (size_t i = 0; i < ARRAY_LEN(parts); i++)
		to = split_part(to, &parts[i], enc->flows, n);
	if (enc->ext.len)
		memcpy(to, enc->ext.p, enc->ext.len);
	memcpy(head, magic, sizeof magic);
	put_u32(head + 4, (uint32_t)n);
	put_u32(head + 8, (uint32_t)enc->ext.len);
	buf_reset(&enc->ext);
	size_t got = ZSTD_compress2(enc->zstd, head + HEAD_BYTES, bound, enc->columns, size);
	if (ZSTD_isError(got))
		return err_set(e, ERR_INTERNAL, "compress: %s", ZSTD_getErrorName(got));
	out->len += HEAD_BYTES + got;
	return ERR_OK;
}

struct segment {
	ZSTD_DCtx *zstd;
	struct str bytes;
	size_t count, ext_bytes;
	bool is_loaded;
	uint8_t *columns;
	uint32_t *ext_at; /* [count]: where each record's ext begins among all */
	size_t size;
};

enum err_code segment_new(struct segment **ret, struct err *e)
{
	AUTO(segment_free) struct segment *s = calloc(1, sizeof *s);

	if (s)
		s->zstd = ZSTD_createDCtx();
	if (!s || !s->zstd)
		return err_set(e, ERR_NOMEM, "segment");
	*ret = TAKE(s);
	return ERR_OK;
}

void segment_free(struct segment *s)
{
	if (!s)
		return;
	(void)ZSTD_freeDCtx(s->zstd);
	free(s->columns);
	free(s->ext_at);
	free(s);
}

static enum err_code damaged(struct err *e)
{
	return err_set(e, ERR_PARSE, "damaged segment");
}

enum err_code segment_open(struct segment *s, struct str bytes, struct err *e)
{
	const uint8_t *p = (const uint8_t *)bytes.p;

	s->count = 0;
	s->is_loaded = false;
	if (bytes.len < HEAD_BYTES || memcmp(p, magic, sizeof magic) != 0)
		return damaged(e);
	uint32_t count = get_u32(p + 4), ext = get_u32(p + 8);
	if (count < 1 || count > SEGMENT_MAX || ext > SEGMENT_EXT_MAX)
		return damaged(e);
	s->bytes = str_from(bytes, HEAD_BYTES);
	s->count = count;
	s->ext_bytes = ext;
	return ERR_OK;
}

size_t segment_count(const struct segment *s)
{
	return s->count;
}

static enum err_code decompress(struct segment *s, struct err *e)
{
	size_t size = s->count * record_bytes() + s->ext_bytes, at = 0;

	free(s->columns);
	free(s->ext_at);
	s->columns = malloc(size);
	s->ext_at = malloc(s->count * sizeof *s->ext_at);
	if (!s->columns || !s->ext_at)
		return err_set(e, ERR_NOMEM, "segment of %zu records", s->count);
	if (ZSTD_decompressDCtx(s->zstd, s->columns, size, s->bytes.p, s->bytes.len) != size)
		return damaged(e);
	const uint8_t *lens = s->columns + size - s->ext_bytes - 4 * s->count;
	for (size_t i = 0; i < s->count; i++) {
		size_t len = 0;

		for (size_t b = 4; b-- > 0;)
			len = len << 8 | lens[b * s->count + i];
		s->ext_at[i] = (uint32_t)at;
		at += len;
		if (at > s->ext_bytes)
			return damaged(e);
	}
	s->size = size;
	s->is_loaded = true;
	return ERR_OK;
}

enum err_code segment_load(struct segment *s, flow_members members, size_t from, size_t n,
			   struct flow *out, struct err *e)
{
	if (from > s->count || n > s->count - from)
		return err_set(e, ERR_INVALID, "records beyond the segment");
	enum err_code code = s->is_loaded ? ERR_OK : decompress(s, e);
	if (code != ERR_OK)
		return code;
	const uint8_t *column = s->columns;
	for (size_t k = 0; k < ARRAY_LEN(parts); column += parts[k++].bytes * s->count) {
		flow_members asked = FLOW_MEMBER(parts[k].member);

		if (parts[k].member == FLOW_MEMBER_SRC_PORT)
			asked |= FLOW_MEMBER(FLOW_MEMBER_DST_PORT) |
				 FLOW_MEMBER(FLOW_MEMBER_TCP_FLAGS);
		if (!(members & asked))
			continue;
		for (size_t b = 0; b < parts[k].bytes; b++)
			for (size_t i = 0; i < n; i++)
				((uint8_t *)&out[i])[parts[k].offset + b] =
					column[b * s->count + from + i];
	}
	if (members & FLOW_MEMBER(FLOW_MEMBER_EXT))
		for (size_t i = 0; i < n; i++)
			out[i].ext = out[i].ext_len ? s->columns + s->size - s->ext_bytes +
							      s->ext_at[from + i]
						    : NULL;
	return ERR_OK;
}
