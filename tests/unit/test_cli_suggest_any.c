/* Whatever flows there are, as policies: what was forwarded is allowed, and no name gets out of its place. */
#include <netinet/in.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>

#include <cmocka.h>

#include "policy/policy.h"
#include "suggest_world.h"

/* --- whatever flows there are ----------------------------------------------------------------- */

static uint64_t next(uint64_t *seed)
{
	*seed = *seed * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
	return *seed >> 33;
}

enum { PODS = 24, ENDS = PODS + 5, FLOWS = 120, ROUNDS = 150 };

static struct endpoint_id random_pod(struct world *w, uint64_t *seed)
{
	static const char *const spaces[] = { "shop", "far", "kube-system" };
	static const char *const labels[] = {
		"k8s:app=a",  "k8s:app=b",  "k8s:k8s-app=kube-dns",   "k8s:tier=1",
		"k8s:tier=2", "k8s:zone=x", "k8s:pod-template-hash=9"
	};
	char text[256] = "k8s:all=1", name[32], workload[32] = "";

	for (size_t i = 0; i < ARRAY_LEN(labels); i++)
		if (next(seed) % 3 == 0) {
			strcat(text, ",");
			strcat(text, labels[i]);
		}
	(void)snprintf(name, sizeof name, "p-%u", (unsigned)(next(seed) % 1000));
	if (next(seed) % 4)
		(void)snprintf(workload, sizeof workload, "w%u", (unsigned)(next(seed) % 8));
	return pod(w, spaces[next(seed) % 3], name, workload, next(seed) % 12 ? text : "");
}

static struct flow random_flow(struct world *w, const struct endpoint_id *ends, uint64_t *seed)
{
	static const uint8_t l4[] = { FLOW_L4_TCP, FLOW_L4_TCP, FLOW_L4_UDP, FLOW_L4_SCTP,
				      FLOW_L4_ICMP4 };
	static const uint16_t ports[] = { 53, 80, 443, 5432, 9153 };
	struct flow f = flow_of(ends[next(seed) % ENDS], ends[next(seed) % ENDS],
				ports[next(seed) % ARRAY_LEN(ports)]);

	if (next(seed) % 8 == 0)
		f = drop_of(f.src_ep, f.dst_ep, f.dst_port);
	f.l4 = l4[next(seed) % ARRAY_LEN(l4)];
	if (f.l4 == FLOW_L4_ICMP4) {
		memset(f.l4_bytes, 0, sizeof f.l4_bytes);
		f.icmp_type = 8;
	}
	f.dst_ip[15] ^= (uint8_t)(next(seed) % 3);
	f.time.v += next(seed) % 1000 * NS_PER_S;
	if (next(seed) % 3 == 0)
		with_name(w, &f, next(seed) % 2 ? "a.example" : "b.example.");
	return f;
}

static void shuffle(struct flow *flows, size_t n, uint64_t *seed)
{
	for (size_t i = n - 1; i > 0; i--) {
		size_t j = next(seed) % (i + 1);
		struct flow f = flows[i];

		flows[i] = flows[j];
		flows[j] = f;
	}
}

static struct policy_row *row_of(const struct policy_set *set, const struct endpoint *ep)
{
	struct policy_row *row = malloc(policy_row_bytes(set));
	const struct policy_end end = { .namespace_ = ep->namespace_,
					.pod = ep->pod,
					.labels = ep->labels,
					.label_count = ep->label_count };

	assert_non_null(row);
	policy_row_fill(set, &end, row);
	return row;
}

static void denies(const struct policy_set *set, enum policy_direction direction,
		   const struct policy_row *subject, const struct policy_row *peer,
		   const uint8_t address[16], uint16_t port)
{
	static struct policy_answer answer;
	uint8_t ip[1][16];

	memcpy(ip[0], address, 16);
	const struct policy_query query = {
		.direction = direction,
		.subject = subject,
		.peer = { peer, (const uint8_t(*)[16])ip, 1, NULL, 0 },
		.protocol = IPPROTO_TCP,
		.port = port,
	};
	policy_ask(set, &query, &answer);
	if (!policy_verdict_denies(answer.verdict) && answer.verdict != POLICY_LOCALHOST)
		fail_msg("port %u is %s", port, policy_verdict_name(answer.verdict));
}

/* A port, a workload and an address that none of the flows has are denied to and from the pods asked
 * for. */
static void denies_others(struct world *w, const char *text, const struct flow *f)
{
	static const struct policy_config config = { .meaning = POLICY_AS_KUBERNETES };
	static const uint8_t nowhere[16] = { [10] = 0xff, [11] = 0xff, 203, 0, 113, 200 };
	AUTO(policy_builder_free) struct policy_builder *b = NULL;
	AUTO(policy_set_free) struct policy_set *set = NULL;
	const struct endpoint *ends[] = { flow_dict_get_endpoint(w->dict, f->src_ep),
					  flow_dict_get_endpoint(w->dict, f->dst_ep) };
	struct endpoint_id new = pod(w, "elsewhere", "n-0", "n", "k8s:app=a,k8s:tier=1");
	struct endpoint_id world = entity(w, "reserved:world");

	assert_int_equal(policy_builder_new(&config, &b, NULL), ERR_OK);
	assert_int_equal(policy_builder_add_text(b, str_of(text), NULL), ERR_OK);
	assert_int_equal(policy_builder_finish(b, &set, NULL), ERR_OK);
	AUTO(own_free) struct policy_row *source = row_of(set, ends[0]);
	AUTO(own_free) struct policy_row *destination = row_of(set, ends[1]);
	AUTO(own_free) struct policy_row *other = row_of(set, flow_dict_get_endpoint(w->dict, new));
	AUTO(own_free)
	struct policy_row *outside = row_of(set, flow_dict_get_endpoint(w->dict, world));
	for (int i = 0; i < 2; i++) {
		enum policy_direction direction = i ? POLICY_INGRESS : POLICY_EGRESS;
		struct policy_row *subject = i ? destination : source;

		if (!ends[i]->namespace_.len || str_is(ends[i]->namespace_, "kube-system"))
			continue;
		denies(set, direction, subject, i ? source : destination, i ? f->src_ip : f->dst_ip,
		       7777);
		denies(set, direction, subject, other, nowhere, 80);
		denies(set, direction, subject, outside, nowhere, 443);
	}
}

static void whatever_was_forwarded_is_allowed_and_nothing_else(void **state)
{
	struct world *w = *state;
	static const char *const others[] = { "reserved:world", "reserved:host",
					      "reserved:remote-node", "reserved:kube-apiserver",
					      "reserved:unknown" };
	static struct flow flows[FLOWS];
	struct endpoint_id ends[ENDS];

	for (uint64_t round = 0; round < ROUNDS; round++) {
		uint64_t seed = round;
		struct suggest_config config = round % 2 ? cilium() : plain;

		print_message("seed %u\n", (unsigned)seed);
		flow_dict_reset(w->dict);
		buf_reset(&w->ext);
		(void)buf_reserve(&w->ext, 1 << 15); /* flows point into it */
		if (next(&seed) % 3 == 0)
			config.bits4 = 24;
		config.with_denied = next(&seed) % 3 == 0;
		for (size_t i = 0; i < ENDS; i++)
			ends[i] = i < PODS ? random_pod(w, &seed) : entity(w, others[i - PODS]);
		for (size_t i = 0; i < FLOWS; i++)
			flows[i] = random_flow(w, ends, &seed);
		struct made m = made_of(w, &config, flows, FLOWS);
		assert_int_equal(m.code, ERR_OK);
		for (size_t i = 0; i < FLOWS; i += 7)
			denies_others(w, buf_cstr(&m.text), &flows[i]);
		shuffle(flows, FLOWS, &seed);
		struct made again = made_of(w, &config, flows, FLOWS);
		assert_string_equal(buf_cstr(&m.text), buf_cstr(&again.text));
		buf_done(&m.text);
		buf_done(&again.text);
	}
}

/* --- names from outside ----------------------------------------------------------------------- */

static void no_name_gets_out_of_a_comment_or_a_text(void **state)
{
	struct world *w = *state;
	static const char *const names[] = {
		"x\nkind: Secret",
		"x\r\n---\n",
		"x\xc2\x85kind: Secret",
		"x\xe2\x80\xa8kind: Secret",
		"x\xe2\x80\xae",
		"\x1b[31m",
		"# x",
		"\t",
		"null",
		"\xef\xbb\xbf",
		"\xf0\x9f\x98\x80",
	};

	for (size_t i = 0; i < ARRAY_LEN(names); i++) {
		struct endpoint_id a = pod(w, "shop", names[i], names[i], "k8s:app=on"),
				   b = pod(w, names[i], "b", names[i], "k8s:app=1e3");
		const struct flow flows[] = { flow_of(a, a, 80), flow_of(a, b, 81) };
		struct made m = made_of(w, &plain, flows, 2);
		json_t *documents = NULL, *one;
		size_t k;

		HOLDS(m, "app: \"on\"\n");
		assert_int_equal(policy_yaml(buf_str(&m.text), &documents, NULL), ERR_OK);
		json_array_foreach(documents, k, one)
		{
			assert_string_equal(json_string_value(json_object_get(one, "kind")),
					    "NetworkPolicy");
			assert_int_equal(json_object_size(one), 4);
		}
		json_decref(documents);
		for (size_t j = 0; j < m.text.len; j++) {
			unsigned char c = (unsigned char)m.text.p[j];
			assert_true(c == '\n' || (c >= 0x20 && c != 0x7f));
		}
		LACKS(m, "\xc2\x85");
		LACKS(m, "\xe2\x80");
		LACKS(m, "\n\n");
		buf_done(&m.text);
	}
}

static void random_text(char *out, size_t room, uint64_t *seed)
{
	static const char *const pieces[] = {
		"\n",           "\r", "#", " #",  ": ",   "- ",     "---\n", "\"",       "'",
		"\\",           "\t", "a", "web", "null", "\x7f",   "\x1b",  "\xc2\x85", "\xff",
		"\xe2\x80\xa9", "{}", "[", "&x",  "*x",   "!!str ", "|\n"
	};

	*out = 0;
	for (uint64_t n = next(seed) % 6; n; n--) {
		const char *piece = pieces[next(seed) % ARRAY_LEN(pieces)];

		if (strlen(out) + strlen(piece) + 1 < room)
			strcat(out, piece);
	}
}

/* Policies are as many as without odd names, and of the same parts. */
static void odd_names_make_no_other_objects(void **state)
{
	struct world *w = *state;

	for (uint64_t round = 0; round < 500; round++) {
		uint64_t seed = round;
		char name[64], kind[64], label[96] = "k8s:app=", dns[64];
		struct suggest_config config = round % 2 ? cilium() : plain;
		json_t *documents = NULL, *one;
		size_t k;

		print_message("seed %u\n", (unsigned)seed);
		flow_dict_reset(w->dict);
		buf_reset(&w->ext);
		random_text(name, sizeof name, &seed);
		random_text(kind, sizeof kind, &seed);
		random_text(label + strlen(label), 64, &seed);
		random_text(dns, sizeof dns, &seed);
		struct endpoint_id a = pod(w, "shop", name, kind, label),
				   b = pod(w, "shop", "b", "b", "k8s:role=b"),
				   out = entity(w, "reserved:world");
		struct flow flows[] = { flow_of(a, b, 80), flow_of(a, out, 81), drop_of(b, a, 82) };
		with_name(w, &flows[1], dns);
		struct made m = made_of(w, &config, flows, ARRAY_LEN(flows));
		assert_int_equal(m.code, ERR_OK);
		assert_int_equal(policy_yaml(buf_str(&m.text), &documents, NULL), ERR_OK);
		assert_int_equal(json_array_size(documents), m.counts.policies);
		json_array_foreach(documents, k, one)
		{
			assert_int_equal(json_object_size(one), 4);
			assert_int_equal(json_object_size(json_object_get(one, "metadata")), 2);
			assert_int_equal(json_object_size(json_object_get(one, "spec")),
					 config.kind == SUGGEST_CILIUM ? 3 : 4);
		}
		json_decref(documents);
		for (size_t j = 0; j < m.text.len; j++) {
			unsigned char c = (unsigned char)m.text.p[j];
			assert_true(c == '\n' || (c >= 0x20 && c != 0x7f));
		}
		buf_done(&m.text);
	}
}

static void a_name_without_end_is_cut(void **state)
{
	struct world *w = *state;
	AUTO(own_free) char *name = calloc(1, 100001);

	memset(name, 'x', 100000);
	struct endpoint_id a = pod(w, "shop", "a", name, "k8s:app=a");
	const struct flow f = flow_of(a, a, 80);
	struct made m = made_of(w, &plain, &f, 1);

	assert_int_equal(m.code, ERR_OK);
	assert_true(m.text.len < 4096);
	buf_done(&m.text);
}

/* As policies see them: by labels, with an empty value or without one, whoever the label is from. */
static void labels_say_who_an_end_is(void **state)
{
	struct world *w = *state;
	struct endpoint_id a = pod(w, "shop", "a", "a", "k8s:app=a"),
			   other = pod(w, "shop", "b", "b",
				       "k8s:app=b,k8s:io.kubernetes.pod.namespace=far"),
			   old = pod(w, "far", "c", "c",
				     "k8s:app=c,any:io.cilium.k8s.namespace.labels.x=1"),
			   host = entity(w, "reserved:host=");
	const struct flow flows[] = { flow_of(other, a, 80), flow_of(old, a, 81),
				      flow_of(host, a, 82) };
	struct made m = made_of(w, &plain, flows, ARRAY_LEN(flows));

	HOLDS(m, "TCP 80: 1 flow; its labels say another namespace than its name\n");
	HOLDS(m, "TCP 81: 1 flow; its namespace has no label kubernetes.io/metadata.name\n");
	LACKS(m, "port: 82");
	buf_done(&m.text);
	const struct suggest_config of_cilium = cilium();
	m = made_of(w, &of_cilium, flows, ARRAY_LEN(flows));
	HOLDS(m, "fromEntities:\n    - host\n");
	buf_done(&m.text);
}

int main(void)
{
#define T(f) cmocka_unit_test_setup_teardown(f, suggest_setup, suggest_teardown)
	const struct CMUnitTest tests[] = {
		T(whatever_was_forwarded_is_allowed_and_nothing_else),
		T(no_name_gets_out_of_a_comment_or_a_text),
		T(odd_names_make_no_other_objects),
		T(a_name_without_end_is_cut),
		T(labels_say_who_an_end_is),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
