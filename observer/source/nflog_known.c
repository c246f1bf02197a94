/*
 * Log prefixes that others write.
 *
 * Calico   felix/rules/nflog.go and felix/types/policy_id.go (3.31; before 3.31 without the kind);
 *          "calico-packet: ", "calico-drop: ": LogPrefix and dropActionOverride of
 *          FelixConfiguration (docs.tigera.io, reference/resources/felixconfig).
 */
#include "observer/source/nflog.h"

enum {
	/* Longer ones are cut in the middle and hold a hash there. */
	CALICO_HASHED_BYTES = 63,
};

struct kind {
	const char *is, *kind;
};

/* Kinds of policies as Calico shortens them. Its own NetworkPolicy is not Kubernetes'. */
static const struct kind calico_kinds[] = {
	{ "knp", "NetworkPolicy" },
	{ "np", "CalicoNetworkPolicy" },
	{ "gnp", "GlobalNetworkPolicy" },
	{ "snp", "StagedNetworkPolicy" },
	{ "sgnp", "StagedGlobalNetworkPolicy" },
	{ "sknp", "StagedKubernetesNetworkPolicy" },
	{ "kcnp", "ClusterNetworkPolicy" },
};

static const char *kind_of(struct str s)
{
	for (size_t i = 0; i < ARRAY_LEN(calico_kinds); i++)
		if (str_is(s, calico_kinds[i].is))
			return calico_kinds[i].kind;
	return NULL;
}

/* "knp/shop/db", "gnp/all"; before 3.31 "shop/knp.default.db", "shop/tier.db", "tier.db". */
static void read_calico_policy(struct str s, struct raw_event *ev)
{
	static const struct str kube = { "knp.default.", 12 };
	size_t slash = str_find(s, '/');
	const char *kind = slash < s.len ? kind_of(str_upto(s, slash)) : NULL;

	if (kind) {
		s = str_from(s, slash + 1);
		slash = str_find(s, '/');
		ev->policy_kind = str_of(kind);
	} else {
		ev->policy_kind =
			slash < s.len ? STR("CalicoNetworkPolicy") : STR("GlobalNetworkPolicy");
	}
	if (slash < s.len) {
		ev->policy_namespace = str_upto(s, slash);
		s = str_from(s, slash + 1);
	}
	if (!kind && str_has_prefix(s, kube)) {
		s = str_from(s, kube.len);
		ev->policy_kind = STR("NetworkPolicy");
	}
	ev->policy = s;
}

/*
 * A O D III | NAME        A action: (A)llow, (D)eny, (N)ext tier or (P)ass
 *                         O owner: (P)olicy, p(R)ofile;  D direction: (I)ngress, (E)gress
 *                         III index of the rule; absent: nothing in NAME, a tier or a policy,
 *                         matched
 */
static bool read_calico(struct str s, struct raw_event *ev)
{
	if (s.len < 3 || !memchr("ADNP", s.p[0], 4) || !memchr("PR", s.p[1], 2) ||
	    !memchr("IE", s.p[2], 2))
		return false;
	size_t bar = str_find(s, '|');
	bool rule = bar > 3;

	for (size_t i = 3; i < bar; i++)
		if (s.p[i] < '0' || s.p[i] > '9')
			return false;
	/* "DRI" alone is a packet that no profile took; with anything else there is a name */
	if (bar == s.len ? s.len != 3 || s.p[0] != 'D' || s.p[1] != 'R' : bar + 1 == s.len)
		return false;
	ev->direction = s.p[2] == 'I' ? RAW_DIR_INGRESS : RAW_DIR_EGRESS;
	/* what goes to the next tier is not decided yet */
	ev->verdict = s.p[0] == 'A' ? RAW_ALLOW : s.p[0] == 'D' ? RAW_DENY : RAW_AUDIT;
	if (bar == s.len || s.len >= CALICO_HASHED_BYTES)
		return true;
	struct str name = str_from(s, bar + 1);
	if (s.p[1] == 'R') {
		ev->policy = name;
		ev->policy_kind = STR("Profile");
	} else if (!rule && str_find(name, '/') == name.len) {
		ev->policy = name;
		ev->policy_kind = STR("Tier");
	} else {
		read_calico_policy(name, ev);
	}
	return true;
}

/* "calico-drop: " was denied. "calico-packet: " says only that a Log rule was passed; what
 * FelixConfiguration puts between the two words of its prefix is taken for the policy's name. */
static bool read_calico_log(struct str s, struct raw_event *ev)
{
	static const struct str drop = { "calico-drop:", 12 }, packet = { "calico-packet", 13 };

	if (str_has_prefix(s, drop)) {
		ev->verdict = RAW_DENY;
		return true;
	}
	if (!str_has_prefix(s, packet))
		return false;
	s = str_trim(str_from(s, packet.len));
	if (!s.len || s.p[s.len - 1] != ':')
		return false;
	s.len--;
	ev->policy = str_trim(s);
	return true;
}

bool nflog_known_read(struct str prefix, struct raw_event *ev)
{
	return read_calico(prefix, ev) || read_calico_log(prefix, ev);
}
