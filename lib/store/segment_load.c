/* Records put together again from what they refer to. */
#include "flow/uuid.h"
#include "store/segment_read.h"

#define M(name) FLOW_MEMBER(FLOW_MEMBER_##name)

const flow_members segment_members_of_shape =
	M(BITS) | M(KIND) | M(VERDICT) | M(TYPE) | M(IP_VERSION) | M(REPLY) | M(DIRECTION) |
	M(AUTH_TYPE) | M(POINTS) | M(EVENT) | M(DROP) | M(POLICY_MATCH) | M(PROXY_PORT) | M(NODE) |
	M(KERNEL_REASON) | M(TCP_FLAGS);
const flow_members segment_members_of_talk = M(SRC_IP) | M(DST_IP) | M(SRC_EP) | M(DST_EP) |
					     M(SERVICES) | M(L4) | M(SRC_PORT) | M(DST_PORT) |
					     M(KIND);
static const flow_members of_ends = M(SRC_IP) | M(DST_IP) | M(SRC_EP) | M(DST_EP) | M(SERVICES);
static const flow_members of_l4 = M(L4) | M(SRC_PORT) | M(DST_PORT) | M(TCP_FLAGS);
static const flow_members of_point = M(INTERFACE) | M(NETNS) | M(MACS);
static const flow_members of_rare = M(TRACE_ID) | M(SOCKET) | M(SRC_XLATED);

static unsigned needed(flow_members m)
{
	return (m & (segment_members_of_shape | segment_members_of_talk) ? NEED_SHAPES : 0) |
	       (m & of_point ? NEED_POINTS : 0) | (m & of_rare ? NEED_RARES : 0) |
	       (m & M(EXT) ? NEED_EXTS : 0) | (m & M(TIME) ? NEED_TIME : 0) |
	       (m & M(COUNTS) ? NEED_COUNTS : 0) | (m & M(SEQ) ? NEED_SEQ : 0) |
	       (m & M(UUID) ? NEED_UUID : 0);
}

/* One loop for each member: no questions inside. @row: the record's place. */
#define EACH(statement)                                                                            \
	do {                                                                                       \
		for (size_t i = 0; i < n; i++) {                                                   \
			struct flow *f = &out[i];                                                  \
			const uint32_t row = rows[i];                                              \
			statement;                                                                 \
		}                                                                                  \
	} while (0)

static void load_shapes(const struct segment *s, flow_members m, const uint32_t *rows, size_t n,
			struct flow *out)
{
	const uint32_t *of = s->shape_of;
	const struct shape_row *shapes = s->shapes;

	if (m & (M(BITS) | M(KIND)))
		EACH(f->bits = shapes[of[row]].bits; f->kind = shapes[of[row]].kind);
	if (m & M(VERDICT))
		EACH(f->verdict = shapes[of[row]].verdict);
	if (m & M(TYPE))
		EACH(f->type = shapes[of[row]].type);
	if (m & M(IP_VERSION))
		EACH(f->ip_version = shapes[of[row]].ip_version);
	if (m & M(REPLY))
		EACH(f->is_reply = shapes[of[row]].is_reply);
	if (m & M(DIRECTION))
		EACH(f->direction = shapes[of[row]].direction);
	if (m & M(AUTH_TYPE))
		EACH(f->auth_type = shapes[of[row]].auth_type);
	if (m & M(POINTS))
		EACH(const struct shape_row *r = &shapes[of[row]]; f->trace_point = r->trace_point;
		     f->trace_reason = r->trace_reason; f->capture_point = r->capture_point;
		     f->sock_point = r->sock_point);
	if (m & M(EVENT))
		EACH(f->event_type = (int32_t)shapes[of[row]].event_type;
		     f->event_sub_type = (int32_t)shapes[of[row]].event_sub_type);
	if (m & M(DROP))
		EACH(f->drop_reason = shapes[of[row]].drop_reason;
		     f->drop_desc = shapes[of[row]].drop_desc);
	if (m & M(POLICY_MATCH))
		EACH(f->policy_match_type = shapes[of[row]].policy_match_type);
	if (m & M(PROXY_PORT))
		EACH(f->proxy_port = shapes[of[row]].proxy_port);
	if (m & M(NODE))
		EACH(f->node.v = shapes[of[row]].node);
	if (m & M(KERNEL_REASON))
		EACH(f->kernel_reason = shapes[of[row]].kernel_reason);
}

void segment_shape_members(const struct shape_row *r, struct flow *f)
{
	f->bits = r->bits;
	f->kind = r->kind;
	f->verdict = r->verdict;
	f->type = r->type;
	f->ip_version = r->ip_version;
	f->is_reply = r->is_reply;
	f->direction = r->direction;
	f->auth_type = r->auth_type;
	f->trace_point = r->trace_point;
	f->trace_reason = r->trace_reason;
	f->capture_point = r->capture_point;
	f->sock_point = r->sock_point;
	f->event_type = (int32_t)r->event_type;
	f->event_sub_type = (int32_t)r->event_sub_type;
	f->drop_reason = r->drop_reason;
	f->drop_desc = r->drop_desc;
	f->policy_match_type = r->policy_match_type;
	f->proxy_port = r->proxy_port;
	f->node.v = r->node;
	f->kernel_reason = r->kernel_reason;
	f->tcp_flags = r->tcp_flags;
}

static inline void put_ports(const struct segment *s, uint32_t talk, bool swapped, struct flow *f)
{
	const struct talk *t = &s->talks[talk];
	const struct link *l = &s->links[t->link];

	f->l4 = (uint8_t)l->l4;
	f->src_port = swapped ? l->port : t->port;
	f->dst_port = swapped ? t->port : l->port;
}

static inline void put_ends(const struct segment *s, uint32_t talk, bool swapped, bool addresses,
			    struct flow *f)
{
	const struct link *l = &s->links[s->talks[talk].link];
	const struct host *src = &s->hosts[swapped ? l->b : l->a],
			  *dst = &s->hosts[swapped ? l->a : l->b];

	f->src_ep.v = src->ep;
	f->dst_ep.v = dst->ep;
	f->src_svc.v = src->svc;
	f->dst_svc.v = dst->svc;
	if (addresses) {
		memcpy(f->src_ip, src->ip, sizeof f->src_ip);
		memcpy(f->dst_ip, dst->ip, sizeof f->dst_ip);
	}
}

void segment_talk_members(const struct segment *s, uint32_t talk, bool swapped, struct flow *f)
{
	put_ports(s, talk, swapped, f);
	put_ends(s, talk, swapped, true, f);
}

static void load_l4(const struct segment *s, const uint32_t *rows, size_t n, struct flow *out)
{
	EACH(const struct shape_row *shape = &s->shapes[s->shape_of[row]];
	     put_ports(s, s->talk_of[row], shape->swapped, f); f->tcp_flags = shape->tcp_flags);
}

static void load_ends(const struct segment *s, bool addresses, const uint32_t *rows, size_t n,
		      struct flow *out)
{
	EACH(put_ends(s, s->talk_of[row], s->shapes[s->shape_of[row]].swapped, addresses, f));
}

static inline void put_point(const struct segment *s, uint32_t row, struct flow *f)
{
	const struct point_row *r = &s->points[s->point_of[row]];

	f->ifindex = r->ifindex;
	f->netns = r->netns;
	memcpy(f->src_mac, r->src_mac, sizeof f->src_mac);
	memcpy(f->dst_mac, r->dst_mac, sizeof f->dst_mac);
	memcpy(f->ifname, r->ifname, sizeof f->ifname);
}

static inline void put_rare(const struct segment *s, uint32_t row, struct flow *f)
{
	const struct rare_row *r = &s->rares[s->rare_of ? s->rare_of[row] : 0];

	f->ip_trace_id = r->ip_trace_id;
	f->socket_cookie = r->socket_cookie;
	f->cgroup_id = r->cgroup_id;
	memcpy(f->src_xlated, r->src_xlated, sizeof f->src_xlated);
}

static inline void put_ext(const struct segment *s, uint32_t row, struct flow *f)
{
	const uint32_t *at = &s->ext_at[s->ext_of[row]];

	f->ext_len = at[1] - at[0];
	f->ext = f->ext_len ? s->ext_bytes + at[0] : NULL;
}

static void load_points(const struct segment *s, const uint32_t *rows, size_t n, struct flow *out)
{
	EACH(put_point(s, row, f));
}

static void load_rares(const struct segment *s, const uint32_t *rows, size_t n, struct flow *out)
{
	EACH(put_rare(s, row, f));
}

static void load_exts(const struct segment *s, const uint32_t *rows, size_t n, struct flow *out)
{
	EACH(put_ext(s, row, f));
}

static inline uint64_t seq_of(const struct segment *s, uint32_t row)
{
	return s->seq ? s->seq[row] : s->start.seq + 1 + row;
}

static inline void put_uuid(const struct segment *s, uint32_t row, struct flow *f)
{
	const uint64_t *given = s->uuid_from ? s->uuid_seed[row] : s->start.seed;

	if (!s->uuid_from || s->uuid_from[row] <= UUID_SEED)
		flow_uuid_make(given, seq_of(s, row), f->uuid);
	else
		memcpy(f->uuid, given, sizeof f->uuid);
}

static void load(const struct segment *s, flow_members members, const uint32_t *rows, size_t n,
		 struct flow *out)
{
	if (members & segment_members_of_shape)
		load_shapes(s, members, rows, n, out);
	if (members & of_l4)
		load_l4(s, rows, n, out);
	if (members & of_ends)
		load_ends(s, members & (M(SRC_IP) | M(DST_IP)), rows, n, out);
	if (members & of_point)
		load_points(s, rows, n, out);
	if (members & of_rare)
		load_rares(s, rows, n, out);
	if (members & M(EXT))
		load_exts(s, rows, n, out);
	if (members & M(TIME))
		EACH(f->time.v = s->time[row]);
	if (members & M(SEQ))
		EACH(f->seq = seq_of(s, row));
	if (members & M(COUNTS))
		EACH(f->packets = s->counts[row].packets; f->bytes = s->counts[row].bytes);
	if (members & M(UUID))
		EACH(put_uuid(s, row, f));
}

/* Members that are worked out for expected records only. */
static bool may_load(const struct segment *s, flow_members members, const uint32_t *rows, size_t n)
{
	if (!s->expected || !(members & (of_point | of_rare | M(EXT) | M(COUNTS))))
		return true;
	for (size_t i = 0; i < n; i++)
		if (!segment_expects(s, rows[i]))
			return false;
	return true;
}

static enum err_code not_expected(struct err *e)
{
	return err_set(e, ERR_INVALID, "records that were not expected to be loaded");
}

static enum err_code may_load_rows(const struct segment *s, flow_members members,
				   const uint32_t *rows, size_t n, struct err *e)
{
	for (size_t i = 0; i < n; i++)
		if (rows[i] >= s->count)
			return err_set(e, ERR_INVALID, "records beyond the segment");
	return may_load(s, members, rows, n) ? ERR_OK : not_expected(e);
}

enum err_code segment_load_rows(struct segment *s, flow_members members, const uint32_t *rows,
				size_t n, struct flow *out, struct err *e)
{
	enum err_code code = may_load_rows(s, members, rows, n, e);

	if (code == ERR_OK)
		code = segment_need(s, needed(members), e);
	if (code == ERR_OK)
		load(s, members, rows, n, out);
	return code;
}

enum err_code segment_load_whole(struct segment *s, const uint32_t *rows, const uint32_t *places,
				 size_t n, struct flow *out, struct err *e)
{
	enum err_code code = may_load_rows(s, FLOW_MEMBERS_ALL, rows, n, e);

	if (code == ERR_OK)
		code = segment_need(s, needed(FLOW_MEMBERS_ALL), e);
	for (size_t i = 0; i < n && code == ERR_OK; i++) {
		struct flow *f = &out[places[i]];
		uint32_t row = rows[i], talk = s->talk_of[row];
		const struct shape_row *shape = &s->shapes[s->shape_of[row]];

		memset(f, 0, sizeof *f);
		segment_shape_members(shape, f);
		put_ports(s, talk, shape->swapped, f);
		put_ends(s, talk, shape->swapped, true, f);
		put_point(s, row, f);
		put_rare(s, row, f);
		put_ext(s, row, f);
		f->time.v = s->time[row];
		f->seq = seq_of(s, row);
		f->packets = s->counts[row].packets;
		f->bytes = s->counts[row].bytes;
		put_uuid(s, row, f);
	}
	return code;
}

enum err_code segment_load(struct segment *s, flow_members members, size_t from, size_t n,
			   struct flow *out, struct err *e)
{
	enum { PIECE = 64 }; /* records that stay in the first cache from loop to loop */
	uint32_t rows[PIECE];

	if (from > s->count || n > s->count - from)
		return err_set(e, ERR_INVALID, "records beyond the segment");
	enum err_code code = segment_need(s, needed(members), e);
	for (size_t i = 0; code == ERR_OK && i < n; i += PIECE) {
		size_t k = n - i < PIECE ? n - i : PIECE;

		for (size_t r = 0; r < k; r++)
			rows[r] = (uint32_t)(from + i + r);
		if (!may_load(s, members, rows, k))
			return not_expected(e);
		load(s, members, rows, k, out + i);
	}
	return code;
}

enum err_code segment_numbers(struct segment *s, const uint32_t *rows, size_t n, uint64_t *ret,
			      struct err *e)
{
	enum err_code code = may_load_rows(s, FLOW_MEMBER(FLOW_MEMBER_SEQ), rows, n, e);

	if (code == ERR_OK)
		code = segment_need(s, NEED_SEQ, e);
	for (size_t i = 0; i < n && code == ERR_OK; i++)
		ret[i] = seq_of(s, rows[i]);
	return code;
}
