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

#include "observer/doctor/inside.h"
#include "observer/paths.h"
#include "observer/source/reasons.h"
#include "rpc/address.h"

enum { SOON_DAYS = 7, ADDRESSES = 16 };

void doctor_say(struct doctor *d, enum verdict v, const char *check, const char *fix,
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
		doctor_say(d, VERDICT_WARN, "kernel", "", "its version is not known");
	else
		doctor_say(d, VERDICT_OK, "kernel", "", "Linux %s", u.release);
	if (!d->o->bpf)
		return;
	if (access("/sys/kernel/btf/vmlinux", R_OK) != 0) {
		doctor_say(d, VERDICT_FAIL, "btf",
			   "mount /sys, read-only, into the container; else take a kernel with "
			   "CONFIG_DEBUG_INFO_BTF, or --no-bpf",
			   "/sys/kernel/btf/vmlinux: %s", strerror(errno));
		return;
	}
	doctor_say(d, VERDICT_OK, "btf", "", "/sys/kernel/btf/vmlinux is there");
	/* not by version: distributions bring it to older kernels, too */
	if (reasons_new(&reasons, &e) == ERR_OK)
		doctor_say(d, VERDICT_OK, "drops", "", "this kernel tells why it drops packets");
	else
		doctor_say(d, VERDICT_FAIL, "drops",
			   "take a newer kernel, or --no-bpf with --nflog-group", "%s", e.msg);
}

static void check_bpffs(struct doctor *d)
{
	struct statfs fs;

	if (!d->o->cilium.perf)
		return;
	if (statfs("/sys/fs/bpf", &fs) == 0 && fs.f_type == BPF_FS_MAGIC)
		doctor_say(d, VERDICT_OK, "mount", "", "/sys/fs/bpf is a BPF file system");
	else
		doctor_say(d, VERDICT_FAIL, "mount",
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
		doctor_say(d, has ? VERDICT_OK : VERDICT_FAIL, "rights",
			   has ? ""
			       : "run as root, or give it: AmbientCapabilities of a unit, "
				 "capabilities.add of a container (which then runs as user 0)",
			   "%s, for %s%s", rights[i].name, rights[i].what,
			   has ? "" : ": not given");
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
		doctor_say(d, VERDICT_FAIL, "bpf",
			   "take a seccomp profile that lets who has CAP_BPF call bpf "
			   "(observer.seccompProfile of the chart), and no user namespace",
			   "the call bpf is refused, though CAP_BPF is given: %s", strerror(errno));
	else
		doctor_say(d, VERDICT_OK, "bpf", "", "the call bpf is let through");
}

static void check_folder(struct doctor *d)
{
	char usual[PATHS_BYTES];

	paths_default_state(usual);
	const char *dir = d->o->state_dir ? d->o->state_dir : usual;
	if (access(dir, W_OK | X_OK) == 0)
		doctor_say(d, VERDICT_OK, "state", "", "%s can be written", dir);
	else
		doctor_say(d, errno == ENOENT ? VERDICT_WARN : VERDICT_FAIL, "state",
			   errno == ENOENT
				   ? "it is made at the start; in a pod mount a host path there, "
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
		doctor_say(d, VERDICT_FAIL, "port", "", "%s: %s", text, e.msg);
		return;
	}
	if (address.is_unix || !address.port)
		return;
	bool any = !*address.host;
	if (!any && address_resolve(&address, list, ADDRESSES, &n, &e) != ERR_OK) {
		doctor_say(d, VERDICT_FAIL, "port", "name an address of this machine", "%s: %s",
			   text, e.msg);
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
		doctor_say(d, VERDICT_WARN, "port", "", "%s: cannot be tried", text);
		return;
	}
	if (bind(fd, (const struct sockaddr *)&to, sizeof to) == 0 && listen(fd, 1) == 0)
		doctor_say(d, VERDICT_OK, "port", "", "%s is free", text);
	else
		doctor_say(d, VERDICT_FAIL, "port",
			   errno == EADDRINUSE
				   ? "another program has it (ss -ltnp), perhaps an observer "
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

void doctor_certificate(struct doctor *d, const char *path, bool is_server)
{
	AUTO_BUF struct buf names = buf_init(DOCTOR_TEXT_BYTES);
	int days = 0, seconds = 0;

	if (!path)
		return;
	FILE *f = fopen(path, "re");
	X509 *cert = f ? PEM_read_X509(f, NULL, NULL, NULL) : NULL;
	int os = errno;
	if (f)
		(void)fclose(f);
	if (!cert) {
		doctor_say(d, VERDICT_FAIL, "certificate", "give a readable PEM file", "%s: %s",
			   path, f ? "no certificate in it" : strerror(os));
		return;
	}
	put_names(cert, &names);
	bool known = ASN1_TIME_diff(&days, &seconds, NULL, X509_get0_notAfter(cert)) == 1;
	bool over = !known || days < 0 || seconds < 0;
	if (over || days < SOON_DAYS)
		doctor_say(d, over ? VERDICT_FAIL : VERDICT_WARN, "certificate", "renew it",
			   "%s %s", path, over ? "has expired" : "expires within a week");
	else
		doctor_say(d, VERDICT_OK, "certificate", "", "%s is good for %d more days%s%s",
			   path, days, names.len ? ", for " : "",
			   names.len ? buf_cstr(&names) : "");
	if (is_server && !names.len)
		doctor_say(d, VERDICT_WARN, "certificate",
			   "make it anew with a subject alternative name",
			   "%s holds no DNS name: clients and relays look for one", path);
	X509_free(cert);
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
	doctor_export(&d);
	for (size_t i = 0; i < o->serve.listen_count; i++)
		check_port(&d, o->serve.listen[i]);
	if (o->serve.metrics_listen)
		check_port(&d, o->serve.metrics_listen);
	doctor_certificate(&d, o->serve.tls.cert_file, true);
	doctor_kubernetes(&d);
	doctor_clickhouse(&d);
	return d.findings.failed;
}
