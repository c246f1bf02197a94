/*
 * Of Kubernetes: what may be listed and watched, this node's name, the API server's clock.
 */
#include "observer/doctor/inside.h"

#include "observer/kubernetes/follow.h"
#include "observer/kubernetes/may.h"

#define SKEW_WARN_NS (2 * NS_PER_S) /* the server's clock is told in whole seconds */
#define SKEW_FAIL_NS (5 * NS_PER_S)

static const char *kube_fix(const struct doctor *d, const struct kube_answer *a)
{
	const bool in_pod = !d->o->kubeconfig;

	if (a->status == 401)
		return "the token or client certificate is not known to this server: see whether "
		       "it has expired, and whose it is";
	if (a->status == 403)
		return "give the role list and watch on this kind, in a ClusterRole "
		       "(docs/kubernetes.md, Rights)";
	if (a->status)
		return "see the API server's log";
	if (in_pod && strstr(a->why, "open the token"))
		return "give the pod the token of its service account "
		       "(automountServiceAccountToken)";
	if (strstr(a->why, "SSL") || strstr(a->why, "certificate"))
		return in_pod ? "see whether the service account's ca.crt is that of this server "
				"(the ConfigMap kube-root-ca.crt)"
			      : "give the right certificate-authority in the kubeconfig, and the "
				"name that the server's certificate is for";
	return in_pod ? "see whether the node reaches the service kubernetes in the namespace "
			"default: what proxies services (kube-proxy, the CNI), and firewalls"
		      : "see whether the server's address in the kubeconfig is right, and a "
			"network policy or firewall on the way";
}

static void check_clock(struct doctor *d, const struct kube_answer *a)
{
	if (!a->their_time.v)
		return;
	uint64_t now = a->asked.v, theirs = a->their_time.v;
	uint64_t off = now > theirs ? now - theirs : theirs - now;
	doctor_say(d,
		   off > SKEW_FAIL_NS   ? VERDICT_FAIL
		   : off > SKEW_WARN_NS ? VERDICT_WARN
					: VERDICT_OK,
		   "clock",
		   off > SKEW_WARN_NS
			   ? "set both clocks (NTP, chrony): certificates and tokens are "
			     "refused, and flows put in a wrong order"
			   : "",
		   "the API server's clock is %.0f s %s, known to a second", (double)off / 1e9,
		   theirs < now ? "behind" : "ahead");
}

/* @return whether asking on makes sense. */
static bool check_kind(struct doctor *d, struct kube_follow *f, bool *clock)
{
	const char *name = kube_kind_name(f->kind);
	struct kube_answer list, watch;

	kube_follow_ask(f, NULL, false, &list);
	if (!*clock) {
		check_clock(d, &list);
		*clock = list.their_time.v;
	}
	if (list.status == 404) {
		doctor_say(d, VERDICT_OK, "kubernetes", "", "%s: not in this cluster", name);
		return true;
	}
	if (list.status != 200) {
		doctor_say(d, VERDICT_FAIL, "kubernetes", kube_fix(d, &list),
			   "%s cannot be listed: %s", name, list.why);
		return list.status != 0 && list.status != 401;
	}
	kube_follow_ask(f, NULL, true, &watch);
	if (watch.status != 200)
		doctor_say(d, VERDICT_FAIL, "kubernetes", kube_fix(d, &watch),
			   "%s cannot be watched: %s", name, watch.why);
	else
		doctor_say(d, VERDICT_OK, "kubernetes", "", "%s can be listed and watched", name);
	return true;
}

static void check_node(struct doctor *d, struct kube_follow *f)
{
	struct kube_answer a;

	kube_follow_ask(f, d->node, false, &a);
	if (a.status == 200 && a.items == 0)
		doctor_say(d, VERDICT_FAIL, "node",
			   "give --node-name the node's name in Kubernetes",
			   "there is no node '%s': no pod would be this node's own", d->node);
	else if (a.status == 200 && a.items > 0)
		doctor_say(d, VERDICT_OK, "node", "", "'%s' is a node of the cluster", d->node);
}

/* What --drop-events asks for beside reading. */
static void check_events(struct doctor *d, const struct kube_config *config)
{
	static const char *const verbs[] = { "create", "patch" };
	struct err e;

	for (size_t i = 0; d->o->drop_events.on && i < ARRAY_LEN(verbs); i++) {
		bool may = false;
		if (kube_may(config, verbs[i], "", "events", &may, &e) != ERR_OK)
			doctor_say(d, VERDICT_WARN, "kubernetes", "",
				   "whether the right to %s events is given is not known: %s",
				   verbs[i], e.msg);
		else
			doctor_say(d, may ? VERDICT_OK : VERDICT_FAIL, "kubernetes",
				   may ? ""
				       : "give the role create and patch on events (apiGroups "
					 "\"\"), in a "
					 "ClusterRole (docs/kubernetes.md, Rights)",
				   "Event: the right to %s is %sgiven", verbs[i],
				   may ? "" : "not ");
	}
}

void doctor_kubernetes(struct doctor *d)
{
	AUTO(kube_config_free) struct kube_config *config = NULL;
	struct kube_follow f;
	struct err e;
	bool clock = false, go_on = true;

	if (!d->o->kubernetes)
		return;
	if (kube_config_read(d->o->kubeconfig, d->o->kube_context, &config, &e) != ERR_OK) {
		doctor_say(d, VERDICT_FAIL, "kubernetes", "", "%s", e.msg);
		return;
	}
	doctor_certificate(d, config->cert_pem ? NULL : config->cert_file, false);
	if (curl_global_init(CURL_GLOBAL_DEFAULT) != CURLE_OK)
		return;
	for (int kind = 0; kind < KUBE_KINDS && go_on; kind++) {
		if (kube_follow_init(&f, (enum kube_kind)kind, config, NULL, NULL, NULL, &e) ==
		    ERR_OK)
			go_on = check_kind(d, &f, &clock);
		if (go_on && kind == KUBE_NODES)
			check_node(d, &f);
		kube_follow_done(&f);
	}
	if (go_on)
		check_events(d, config);
}
