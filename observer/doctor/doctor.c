#include "observer/doctor/doctor.h"

#include <errno.h>
#include <linux/capability.h>
#include <linux/magic.h>
#include <netinet/in.h>
#include <openssl/pem.h>
#include <openssl/x509v3.h>
#include <stdarg.h>
#include <stdio.h>
#include <sys/socket.h>
#include <sys/statfs.h>
#include <sys/syscall.h>
#include <sys/utsname.h>
#include <unistd.h>

#include "clickhouse/schema.h"
#include "doctor/finding.h"
#include "observer/kubernetes/follow.h"
#include "observer/kubernetes/may.h"
#include "observer/paths.h"
#include "observer/source/reasons.h"
#include "rpc/address.h"

enum { TEXT_BYTES = 1024, SOON_DAYS = 7, ADDRESSES = 16 };
#define SKEW_WARN_NS (2 * NS_PER_S) /* the server's clock is told in whole seconds */
#define SKEW_FAIL_NS (5 * NS_PER_S)

struct doctor {
	const struct obs_options *o;
	const char *node;
	struct findings findings;
};

/* @fix "" where nothing is to be done. */
static void say(struct doctor *d, enum verdict v, const char *check, const char *fix,
		const char *fmt, ...) FORMAT(5, 6);
static void say(struct doctor *d, enum verdict v, const char *check, const char *fix,
		const char *fmt, ...)
{
	AUTO_BUF struct buf b = buf_init(16 << 10);
	va_list ap;

	va_start(ap, fmt);
	findings_put(&d->findings, &b, v, check, fix, fmt, ap);
	va_end(ap);
	(void)fwrite(b.p, 1, b.len, stdout);
}

/* ---- this machine */

static void check_kernel(struct doctor *d)
{
	AUTO(reasons_free) struct reasons *reasons = NULL;
	struct utsname u;
	struct err e;

	if (uname(&u) < 0)
		say(d, VERDICT_WARN, "kernel", "", "its version is not known");
	else
		say(d, VERDICT_OK, "kernel", "", "Linux %s", u.release);
	if (!d->o->bpf)
		return;
	if (access("/sys/kernel/btf/vmlinux", R_OK) != 0) {
		say(d, VERDICT_FAIL, "btf",
		    "mount /sys, read-only, into the container; else take a kernel with "
		    "CONFIG_DEBUG_INFO_BTF, or --no-bpf",
		    "/sys/kernel/btf/vmlinux: %s", strerror(errno));
		return;
	}
	say(d, VERDICT_OK, "btf", "", "/sys/kernel/btf/vmlinux is there");
	/* not by version: distributions bring it to older kernels, too */
	if (reasons_new(&reasons, &e) == ERR_OK)
		say(d, VERDICT_OK, "drops", "", "this kernel tells why it drops packets");
	else
		say(d, VERDICT_FAIL, "drops", "take a newer kernel, or --no-bpf with --nflog-group",
		    "%s", e.msg);
}

static void check_bpffs(struct doctor *d)
{
	struct statfs fs;

	if (!d->o->cilium.perf)
		return;
	if (statfs("/sys/fs/bpf", &fs) == 0 && fs.f_type == BPF_FS_MAGIC)
		say(d, VERDICT_OK, "mount", "", "/sys/fs/bpf is a BPF file system");
	else
		say(d, VERDICT_FAIL, "mount",
		    "mount it: mount -t bpf bpf /sys/fs/bpf; in a pod a host path",
		    "/sys/fs/bpf is no BPF file system, where Cilium's map is looked for");
}

/* True if the effective set holds it. */
static bool has_right(unsigned number)
{
	struct __user_cap_header_struct head = { .version = _LINUX_CAPABILITY_VERSION_3 };
	struct __user_cap_data_struct data[2] = { { 0 } };

	if (syscall(SYS_capget, &head, data) < 0)
		return false;
	return data[CAP_TO_INDEX(number)].effective & CAP_TO_MASK(number);
}

static void check_rights(struct doctor *d)
{
	enum { SYS_ADMIN = 21, SYSLOG = 34, PERFMON = 38, BPF = 39 };
	const bool bpf = d->o->bpf || d->o->cilium.perf;
	const struct {
		unsigned number;
		const char *name, *what;
		bool is_needed;
	} rights[] = {
		{ BPF, "CAP_BPF", "kernel programs", bpf },
		{ PERFMON, "CAP_PERFMON", "kernel programs", bpf },
		{ CAP_NET_ADMIN, "CAP_NET_ADMIN", "hooks and netfilter logs",
		  d->o->bpf || d->o->nflog.group_count },
		{ SYSLOG, "CAP_SYSLOG", "the kernel's log where kernel.dmesg_restrict is 1",
		  d->o->kernel_log != NULL },
	};

	for (size_t i = 0; i < ARRAY_LEN(rights); i++) {
		if (!rights[i].is_needed)
			continue;
		/* what the first two were before Linux 5.8 */
		bool has = has_right(rights[i].number) ||
			   (rights[i].number >= PERFMON && has_right(SYS_ADMIN));
		say(d, has ? VERDICT_OK : VERDICT_FAIL, "rights",
		    has ? ""
			: "run as root, or give it: AmbientCapabilities of a unit, "
			  "capabilities.add of a container (which then runs as user 0)",
		    "%s, for %s%s", rights[i].name, rights[i].what, has ? "" : ": not given");
	}
}

/* A command that there is not: who may call bpf at all is told that it is invalid. Capabilities do
 * not say it: containers have a seccomp profile besides. */
static void check_call(struct doctor *d)
{
	enum { BPF = 39, NO_COMMAND = 0x7fffffff };
	uint64_t attributes[2] = { 0 };

	if (!(d->o->bpf || d->o->cilium.perf) || !has_right(BPF))
		return;
	if (syscall(SYS_bpf, NO_COMMAND, attributes, sizeof attributes) < 0 && errno != EINVAL)
		say(d, VERDICT_FAIL, "bpf",
		    "take a seccomp profile that lets who has CAP_BPF call bpf "
		    "(observer.seccompProfile of the chart), and no user namespace",
		    "the call bpf is refused, though CAP_BPF is given: %s", strerror(errno));
	else
		say(d, VERDICT_OK, "bpf", "", "the call bpf is let through");
}

static void check_folder(struct doctor *d)
{
	char usual[PATHS_BYTES];

	paths_default_state(usual);
	const char *dir = d->o->state_dir ? d->o->state_dir : usual;
	if (access(dir, W_OK | X_OK) == 0)
		say(d, VERDICT_OK, "state", "", "%s can be written", dir);
	else
		say(d, errno == ENOENT ? VERDICT_WARN : VERDICT_FAIL, "state",
		    errno == ENOENT ? "it is made at the start; in a pod mount a host path there, "
				      "or history goes with the pod"
				    : "let its owner be the one who runs the observer, or name "
				      "another with --state-dir",
		    "%s: %s", dir, strerror(errno));
}

static void check_port(struct doctor *d, const char *text)
{
	struct address address, list[ADDRESSES];
	struct err e;
	size_t n = 0;

	if (address_parse(str_of(text), &address, &e) != ERR_OK) {
		say(d, VERDICT_FAIL, "port", "", "%s: %s", text, e.msg);
		return;
	}
	if (address.is_unix || !address.port)
		return;
	bool any = !*address.host;
	if (!any && address_resolve(&address, list, ADDRESSES, &n, &e) != ERR_OK) {
		say(d, VERDICT_FAIL, "port", "name an address of this machine", "%s: %s", text,
		    e.msg);
		return;
	}
	AUTO_FD int fd = -1;
	uint8_t ip[16] = { 0 };
	struct sockaddr_in6 to = { .sin6_family = AF_INET6, .sin6_port = htons(address.port) };
	if (any || (ip_parse(str_of(list[0].host), ip) && memcpy(&to.sin6_addr, ip, 16)))
		fd = socket(AF_INET6, SOCK_STREAM | SOCK_CLOEXEC, 0);
	int one = 1, zero = 0;
	if (fd < 0 || setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one) < 0 ||
	    setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &zero, sizeof zero) < 0) {
		say(d, VERDICT_WARN, "port", "", "%s: cannot be tried", text);
		return;
	}
	if (bind(fd, (const struct sockaddr *)&to, sizeof to) == 0 && listen(fd, 1) == 0)
		say(d, VERDICT_OK, "port", "", "%s is free", text);
	else
		say(d, VERDICT_FAIL, "port",
		    errno == EADDRINUSE ? "another program has it (ss -ltnp), perhaps an observer "
					  "that runs; stop it, or take another port"
					: "",
		    "%s: %s", text, strerror(errno));
}

/* ---- certificates */

static void put_names(X509 *cert, struct buf *b)
{
	GENERAL_NAMES *names = X509_get_ext_d2i(cert, NID_subject_alt_name, NULL, NULL);

	for (int i = 0; names && i < sk_GENERAL_NAME_num(names); i++) {
		const GENERAL_NAME *name = sk_GENERAL_NAME_value(names, i);
		if (name->type != GEN_DNS)
			continue;
		buf_printf(b, "%s%.*s", b->len ? ", " : "", ASN1_STRING_length(name->d.dNSName),
			   (const char *)ASN1_STRING_get0_data(name->d.dNSName));
	}
	GENERAL_NAMES_free(names);
}

static void check_certificate(struct doctor *d, const char *path, bool is_server)
{
	AUTO_BUF struct buf names = buf_init(TEXT_BYTES);
	int days = 0, seconds = 0;

	if (!path)
		return;
	FILE *f = fopen(path, "re");
	X509 *cert = f ? PEM_read_X509(f, NULL, NULL, NULL) : NULL;
	int os = errno;
	if (f)
		(void)fclose(f);
	if (!cert) {
		say(d, VERDICT_FAIL, "certificate", "give a readable PEM file", "%s: %s", path,
		    f ? "no certificate in it" : strerror(os));
		return;
	}
	put_names(cert, &names);
	bool known = ASN1_TIME_diff(&days, &seconds, NULL, X509_get0_notAfter(cert)) == 1;
	bool over = !known || days < 0 || seconds < 0;
	if (over || days < SOON_DAYS)
		say(d, over ? VERDICT_FAIL : VERDICT_WARN, "certificate", "renew it", "%s %s", path,
		    over ? "has expired" : "expires within a week");
	else
		say(d, VERDICT_OK, "certificate", "", "%s is good for %d more days%s%s", path, days,
		    names.len ? ", for " : "", names.len ? buf_cstr(&names) : "");
	if (is_server && !names.len)
		say(d, VERDICT_WARN, "certificate", "make it anew with a subject alternative name",
		    "%s holds no DNS name: clients and relays look for one", path);
	X509_free(cert);
}

/* ---- Kubernetes */

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
	say(d,
	    off > SKEW_FAIL_NS   ? VERDICT_FAIL
	    : off > SKEW_WARN_NS ? VERDICT_WARN
				 : VERDICT_OK,
	    "clock",
	    off > SKEW_WARN_NS ? "set both clocks (NTP, chrony): certificates and tokens are "
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
		say(d, VERDICT_OK, "kubernetes", "", "%s: not in this cluster", name);
		return true;
	}
	if (list.status != 200) {
		say(d, VERDICT_FAIL, "kubernetes", kube_fix(d, &list), "%s cannot be listed: %s",
		    name, list.why);
		return list.status != 0 && list.status != 401;
	}
	kube_follow_ask(f, NULL, true, &watch);
	if (watch.status != 200)
		say(d, VERDICT_FAIL, "kubernetes", kube_fix(d, &watch), "%s cannot be watched: %s",
		    name, watch.why);
	else
		say(d, VERDICT_OK, "kubernetes", "", "%s can be listed and watched", name);
	return true;
}

static void check_node(struct doctor *d, struct kube_follow *f)
{
	struct kube_answer a;

	kube_follow_ask(f, d->node, false, &a);
	if (a.status == 200 && a.items == 0)
		say(d, VERDICT_FAIL, "node", "give --node-name the node's name in Kubernetes",
		    "there is no node '%s': no pod would be this node's own", d->node);
	else if (a.status == 200 && a.items > 0)
		say(d, VERDICT_OK, "node", "", "'%s' is a node of the cluster", d->node);
}

/* What --drop-events asks for beside reading. */
static void check_events(struct doctor *d, const struct kube_config *config)
{
	static const char *const verbs[] = { "create", "patch" };
	struct err e;

	for (size_t i = 0; d->o->drop_events.on && i < ARRAY_LEN(verbs); i++) {
		bool may = false;
		if (kube_may(config, verbs[i], "", "events", &may, &e) != ERR_OK)
			say(d, VERDICT_WARN, "kubernetes", "",
			    "whether the right to %s events is given is not known: %s", verbs[i],
			    e.msg);
		else
			say(d, may ? VERDICT_OK : VERDICT_FAIL, "kubernetes",
			    may ? ""
				: "give the role create and patch on events (apiGroups \"\"), in a "
				  "ClusterRole (docs/kubernetes.md, Rights)",
			    "Event: the right to %s is %sgiven", verbs[i], may ? "" : "not ");
	}
}

static void check_kubernetes(struct doctor *d)
{
	AUTO(kube_config_free) struct kube_config *config = NULL;
	struct kube_follow f;
	struct err e;
	bool clock = false, go_on = true;

	if (!d->o->kubernetes)
		return;
	if (kube_config_read(d->o->kubeconfig, d->o->kube_context, &config, &e) != ERR_OK) {
		say(d, VERDICT_FAIL, "kubernetes", "", "%s", e.msg);
		return;
	}
	check_certificate(d, config->cert_pem ? NULL : config->cert_file, false);
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

/* ---- ClickHouse */

static const char *clickhouse_fix(enum err_code code)
{
	switch (code) {
	case ERR_PERMISSION:
		return "give --clickhouse-user and --clickhouse-password-file of a user who may "
		       "SELECT and INSERT there, and for https --clickhouse-ca-file";
	case ERR_UNAVAILABLE:
	case ERR_TIMEOUT:
		return "see whether the server runs, and whether this machine may reach it";
	case ERR_PARSE:
		return "give the URL of ClickHouse's HTTP port: 8123, or 8443 for https";
	case ERR_NOT_FOUND:
		return "make the database: CREATE DATABASE";
	default:
		return "";
	}
}

static void check_table(struct doctor *d, struct clickhouse *c, const struct clickhouse_table *t)
{
	struct err e;
	enum err_code code = clickhouse_table_check(c, t, &e);

	if (code == ERR_OK)
		say(d, VERDICT_OK, "clickhouse", "", "table %s of %s fits", t->name,
		    clickhouse_server(c));
	else if (code == ERR_NOT_FOUND && !clickhouse_code(c))
		say(d, VERDICT_WARN, "clickhouse",
		    "the observer makes it if its user may; else: deploy/clickhouse/schema.sql",
		    "%s", e.msg);
	else
		say(d, VERDICT_FAIL, "clickhouse", clickhouse_fix(code), "%s", e.msg);
}

static void check_clickhouse(struct doctor *d)
{
	AUTO(clickhouse_free) struct clickhouse *c = NULL;
	AUTO_BUF struct buf answer = buf_init(TEXT_BYTES);
	const struct clickhouse_statement s = { .sql = STR(
							"SELECT version() FORMAT TabSeparated") };
	struct clickhouse_config config = d->o->clickhouse;
	struct err e;

	if (!config.url)
		return;
	config.quiet_ms = CLICKHOUSE_CONNECT_MS;
	enum err_code code = clickhouse_new(&config, &c, &e);
	if (code == ERR_OK)
		code = clickhouse_ask(c, s, &answer, &e);
	if (code != ERR_OK) {
		say(d, VERDICT_FAIL, "clickhouse", clickhouse_fix(code), "%s", e.msg);
		return;
	}
	struct str version = str_trim(buf_str(&answer));
	say(d, VERDICT_OK, "clickhouse", "", "%s answers, version %s", clickhouse_server(c),
	    EXCERPT(version));
	check_table(d, c, &clickhouse_flows);
	check_table(d, c, &clickhouse_gaps);
}

unsigned doctor_examine(const struct obs_options *o, const char *node, bool json)
{
	struct doctor d = { .o = o,
			    .node = node,
			    .findings = { .json = json, .check_columns = 11 } };

	check_kernel(&d);
	check_bpffs(&d);
	check_rights(&d);
	check_call(&d);
	check_folder(&d);
	for (size_t i = 0; i < o->serve.listen_count; i++)
		check_port(&d, o->serve.listen[i]);
	if (o->serve.metrics_listen)
		check_port(&d, o->serve.metrics_listen);
	check_certificate(&d, o->serve.tls.cert_file, true);
	check_kubernetes(&d);
	check_clickhouse(&d);
	return d.findings.failed;
}
