/*
 * The way to a server: name ► connect ► tls.
 */
#include "cli/doctor.h"

#include <errno.h>
#include <stdio.h>
#include <sys/stat.h>
#include <time.h>

#include "base/time.h"
#include "rpc/probe.h"

enum { EXPIRES_SOON_S = 7 * 24 * 3600 };

static bool check_name(struct doctor *d)
{
	const char *server = settings_text(d->cli->settings, "server");
	char list[DOCTOR_TEXT_BYTES] = "";
	struct err e;

	if (address_parse(str_of(server), &d->address, &e) != ERR_OK) {
		doctor_say(d, VERDICT_FAIL, "name",
			   "give --server as host:port, tls://host:port or unix:///path", "%s",
			   e.msg);
		return false;
	}
	if (d->address.is_unix) {
		d->found[0] = d->address;
		d->found_count = 1;
		return true;
	}
	if (!*d->address.host)
		(void)snprintf(d->address.host, sizeof d->address.host, "localhost");
	if (address_resolve(&d->address, d->found, DOCTOR_ADDRESSES, &d->found_count, &e) !=
	    ERR_OK) {
		doctor_say(d, VERDICT_FAIL, "name",
			   "check the name and this machine's name service (/etc/resolv.conf), or "
			   "give "
			   "the "
			   "address instead",
			   "%s", e.msg);
		return false;
	}
	for (size_t i = 0; i < d->found_count; i++) {
		size_t len = strlen(list);
		(void)snprintf(list + len, sizeof list - len, "%s%s", i ? ", " : "",
			       d->found[i].host);
	}
	doctor_say(d, VERDICT_OK, "name", "", "%s is %s", d->address.host, list);
	return true;
}

static const char *connect_fix(const struct doctor *d, const struct err *e)
{
	struct stat is;

	switch (e->os) {
	case ECONNREFUSED:
		/* the kernel says the same of whatever else has the name */
		if (d->address.is_unix && stat(d->address.path, &is) == 0 && !S_ISSOCK(is.st_mode))
			return "it is no socket: give the one that the observer or relay listens "
			       "at";
		return d->address.is_unix ? "the socket is there but nobody serves it: start the "
					    "observer or relay"
					  : "nothing listens there: start the server, check the "
					    "port, and see what "
					    "--listen it was given";
	case ENOENT:
		return "there is no such socket: start the observer or relay, or check the path";
	case EACCES:
		return "you may not open the socket: it is for its owner and group; join the group "
		       "or "
		       "use sudo";
	case ENETUNREACH:
	case EHOSTUNREACH:
		return "no way leads there: check the address, this machine's routes and the "
		       "network "
		       "between";
	default:
		break;
	}
	return e->code == ERR_TIMEOUT
		       ? "nothing comes back: look for a firewall or network policy on "
			 "the way, and whether the machine is up"
		       : "";
}

/* @return a connection, or -1. */
static int check_connect(struct doctor *d)
{
	const struct address *list = d->found;
	const size_t n = d->found_count;
	int fd = -1;

	for (size_t i = 0; i < n; i++) {
		int one = -1;
		struct err e = { 0 };
		char where[ADDRESS_TARGET_BYTES];
		if (d->address.is_unix)
			(void)snprintf(where, sizeof where, "%s", list[i].path);
		else
			(void)snprintf(where, sizeof where, "%s%s%s:%u",
				       strchr(list[i].host, ':') ? "[" : "", list[i].host,
				       strchr(list[i].host, ':') ? "]" : "",
				       (unsigned)list[i].port);
		if (probe_connect(&list[i], d->timeout_ns, &one, &e) == ERR_OK) {
			doctor_say(d, VERDICT_OK, "connect", "", "%s answers", where);
			if (fd < 0)
				fd = one;
			else
				(void)close(one);
			continue;
		}
		/* One of several will do ("localhost" is two addresses); that all fail will not. */
		bool is_last = i + 1 == n && fd < 0;
		doctor_say(d, is_last ? VERDICT_FAIL : VERDICT_WARN, "connect",
			   is_last ? connect_fix(d, &e) : "", "%s: %s", where, e.msg);
	}
	return fd;
}

static const char *expected_name(const struct doctor *d)
{
	return d->tls.server_name ? d->tls.server_name : d->address.host;
}

static bool check_chain(struct doctor *d, const struct probe_tls *p)
{
	char day[32] = "";
	struct tm tm;
	time_t expires = (time_t)p->expires_s;
	bool good = true;

	if (gmtime_r(&expires, &tm))
		(void)strftime(day, sizeof day, "%Y-%m-%d", &tm);
	if (*p->chain) {
		good = d->tls.allow_insecure;
		doctor_say(d, good ? VERDICT_WARN : VERDICT_FAIL, "tls",
			   p->has_expired ? "renew the server's certificate"
			   : p->is_self_signed
				   ? "give this certificate itself with --tls-ca-cert-files, or "
				     "have it "
				     "signed by an authority"
				   : FIX("give the certificate of the authority '%s' with "
					 "--tls-ca-cert-files",
					 p->issuer),
			   "the certificate of '%s' is not believed: %s", p->subject, p->chain);
	} else if ((uint64_t)p->expires_s < wall_now().v / NS_PER_S + EXPIRES_SOON_S) {
		doctor_say(d, VERDICT_WARN, "tls", "renew it, or the server's chain of authorities",
			   "the certificate expires on %s", day);
	}
	if (!p->name_fits) {
		good = good && d->tls.allow_insecure;
		doctor_say(
			d, d->tls.allow_insecure ? VERDICT_WARN : VERDICT_FAIL, "tls",
			*p->names ? FIX("give --tls-server-name one of: %s%s", p->names,
					strchr(p->names, '*') ? " (any label in place of '*')" : "")
				  : "have the server's certificate made anew with a subject "
				    "alternative name",
			"the certificate is not for '%s'", expected_name(d));
	}
	if (good)
		doctor_say(d, VERDICT_OK, "tls", "", "%s, '%s' for %s, until %s", p->protocol,
			   p->subject, p->names, day);
	return good;
}

/* Takes @fd. */
static bool check_tls(struct doctor *d, int fd_take)
{
	AUTO_FD int fd = fd_take;
	struct probe_tls p;
	struct err e;

	if (!d->with_tls)
		return true;
	enum err_code code = probe_tls(fd, &d->tls, expected_name(d), d->timeout_ns, &p, &e);
	if (code == ERR_OK)
		return check_chain(d, &p);
	if (code == ERR_UNSUPPORTED || (code == ERR_CLOSED && !*p.subject)) {
		doctor_say(d, VERDICT_FAIL, "tls",
			   "leave out --tls, or give the server a certificate with --tls-cert-file "
			   "and "
			   "--tls-key-file",
			   "%s", e.msg);
	} else if (code == ERR_PERMISSION) {
		(void)check_chain(d, &p);
		doctor_say(d, VERDICT_FAIL, "tls",
			   d->tls.cert_file
				   ? "give --tls-client-cert-file a certificate that the server's "
				     "--tls-client-ca-file has signed and that has not expired"
				   : "the server wants a client certificate: give "
				     "--tls-client-cert-file "
				     "and "
				     "--tls-client-key-file",
			   "%s", e.msg);
	} else {
		doctor_say(d, VERDICT_FAIL, "tls",
			   code == ERR_TIMEOUT
				   ? "the port is open but its owner is silent: it may be frozen, "
				     "or no TLS server"
				   : "",
			   "%s", e.msg);
	}
	return false;
}

static bool open_connection(struct doctor *d)
{
	struct err e;

	if (connection_open(d->cli->settings, &d->connection, &e) == ERR_OK)
		return true;
	doctor_say(d, VERDICT_FAIL, "connect", "", "%s", e.msg);
	return false;
}

bool doctor_way(struct doctor *d)
{
	if (!check_name(d))
		return false;
	int fd = check_connect(d);
	return fd >= 0 && check_tls(d, fd) && open_connection(d);
}

void doctor_look_for_tls(struct doctor *d)
{
	struct probe_tls p;
	int raw = -1;

	if (d->with_tls || d->address.is_unix || !d->found_count ||
	    probe_connect(&d->found[0], d->timeout_ns, &raw, NULL) != ERR_OK)
		return;
	AUTO_FD int fd = raw;
	struct err e;
	(void)!probe_tls(fd, &d->tls, expected_name(d), d->timeout_ns, &p, &e);
	if (*p.subject)
		doctor_say(d, VERDICT_FAIL, "tls", "give --tls",
			   "the server speaks TLS (%s, for %s)", p.protocol, p.names);
}
