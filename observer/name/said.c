#include "observer/name/said.h"

enum { IDENTITY_KUBE_APISERVER = 7 };

size_t said_reserved_labels(uint32_t identity, struct str ret[2])
{
	/* pkg/identity/numericidentity.go and reserved.go of Cilium 1.19 */
	static const char *const labels[] = {
		"reserved:unknown",     "reserved:host",           "reserved:world",
		"reserved:unmanaged",   "reserved:health",         "reserved:init",
		"reserved:remote-node", "reserved:kube-apiserver", "reserved:ingress",
		"reserved:world-ipv4",  "reserved:world-ipv6",
	};

	if (identity >= ARRAY_LEN(labels))
		return 0;
	ret[0] = str_of(labels[identity]);
	if (identity != IDENTITY_KUBE_APISERVER)
		return 1;
	ret[1] = STR("reserved:remote-node");
	return 2;
}

/* Length of the prefix in "cidr:10.0.0.0/8" or "cidr:fd00--/64" (IPv6 with - for :); -1 if it is
 * none. */
static int cidr_bits(struct str label)
{
	char text[FLOW_IP_TEXT_BYTES];
	uint8_t ip[16], bits;

	if (!said_is_cidr(label))
		return -1;
	label = str_from(label, strlen("cidr:"));
	size_t slash = str_find(label, '/');
	if (slash == label.len || slash >= sizeof text ||
	    !parse_u8(str_from(label, slash + 1), &bits))
		return -1;
	for (size_t i = 0; i < slash; i++)
		text[i] = label.p[i] == '-' ? ':' : label.p[i];
	if (!ip_parse(str_n(text, slash), ip) || bits > (memchr(text, ':', slash) ? 128 : 32))
		return -1;
	return bits;
}

size_t said_longest_cidr(const struct str *labels, size_t count)
{
	size_t best = SIZE_MAX;
	int longest = 0;

	for (size_t i = 0; i < count; i++) {
		int bits = cidr_bits(labels[i]);
		if (bits > longest) {
			longest = bits;
			best = i;
		}
	}
	return best;
}

size_t said_filter_labels(uint32_t identity, struct str *labels, size_t count)
{
	size_t kept = 0;

	if (!said_is_node_local(identity))
		return count;
	size_t longest = said_longest_cidr(labels, count);
	for (size_t i = 0; i < count; i++)
		if (i == longest || !said_is_cidr(labels[i]))
			labels[kept++] = labels[i];
	return kept;
}

struct str said_cluster(const struct str *labels, size_t count)
{
	const struct str prefix = STR("k8s:io.cilium.k8s.policy.cluster=");

	for (size_t i = 0; i < count; i++)
		if (str_has_prefix(labels[i], prefix))
			return str_from(labels[i], prefix.len);
	return STR("");
}

static void take_labels(struct endpoint *to, const struct endpoint *from)
{
	to->labels = from->labels;
	to->label_count = from->label_count;
	to->cluster = from->cluster;
}

/* Those of @ep's labels that are shown, in @room or, of more than it holds, in *@own. */
static void show_labels(struct endpoint *ep, struct str room[SAID_LABELS_ROOM], struct str **own)
{
	struct str *to = room;

	if (!said_is_node_local(ep->identity) || !ep->label_count)
		return;
	if (ep->label_count > SAID_LABELS_ROOM)
		to = *own = malloc(ep->label_count * sizeof *to);
	if (!to)
		return;
	memcpy(to, ep->labels, ep->label_count * sizeof *to);
	ep->label_count = said_filter_labels(ep->identity, to, ep->label_count);
	ep->labels = to;
}

/* @known is who has the address, NULL if nobody does. */
static struct endpoint_id combine(struct flow_dict *dict, const struct snapshot *s,
				  const struct endpoint *known, bool local, uint32_t identity)
{
	struct endpoint ep = { .identity = identity };
	struct str labels[SAID_LABELS_ROOM];
	AUTO(own_free) struct str *own = NULL;
	const struct endpoint *of_identity =
		flow_dict_get_endpoint(dict, snapshot_identity(s, identity));

	if (known) {
		ep = *known;
		ep.identity = identity;
	}
	if (local) {
		show_labels(&ep, labels, &own);
		return flow_dict_endpoint(dict, &ep);
	}
	/* Of others only the address's own names stay. */
	ep.id = 0;
	ep.workload_count = 0;
	if (of_identity) {
		take_labels(&ep, of_identity);
	} else if (said_reserved_labels(identity, labels)) {
		ep.labels = labels;
		ep.label_count = said_reserved_labels(identity, labels);
		ep.cluster = STR("");
	} else if (snapshot_has_identities(s)) {
		ep.label_count = 0;
		ep.cluster = STR("");
	}
	return flow_dict_endpoint(dict, &ep);
}

struct endpoint_id said_endpoint_slow_(struct said *said, struct flow_dict *dict,
				       const struct snapshot *s, uint64_t version, struct who who,
				       uint32_t identity)
{
	if (!(who.bits & WHO_CLAIMED))
		who.ep = (struct endpoint_id){ 0 };
	else if (!identity)
		identity = who.identity;
	size_t at = (who.ep.v * 31 + identity * UINT32_C(0x9e3779b1)) >> 8 & (SAID_SLOTS - 1);
	if (said->slots[at].version != version || said->slots[at].identity != identity ||
	    said->slots[at].ep.v != who.ep.v || said->slots[at].bits != who.bits) {
		said->slots[at].result = combine(dict, s, flow_dict_get_endpoint(dict, who.ep),
						 who.bits & WHO_LOCAL, identity);
		said->slots[at].version = version;
		said->slots[at].identity = identity;
		said->slots[at].ep = who.ep;
		said->slots[at].bits = who.bits;
	}
	return said->slots[at].result;
}
