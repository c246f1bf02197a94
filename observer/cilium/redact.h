/*
 * redact - what of an L7 record is not shown: passwords in URLs always, more if asked for.
 *
 * Source: Hubble's --hubble-redact-* (reference/cilium-events.md 6.6).
 */
#ifndef TYCHO_OBSERVER_CILIUM_REDACT_H
#define TYCHO_OBSERVER_CILIUM_REDACT_H

#include "base/buf.h"

#define REDACTED "HUBBLE_REDACTED"

/* All false: only the password in a URL is replaced. Lists are borrowed for life. */
struct redact {
	bool enabled;       /* switches the others on, and URL passwords to @http_userinfo */
	bool http_urlquery; /* query and fragment are cut off */
	bool http_userinfo; /* passwords are replaced */
	bool kafka_apikey;
	/* Header names, any case, each text one or several with commas between. Values of all but
	 * @allow are replaced, or only those of @deny; enabled with both empty: all values. */
	const char *const *headers_allow, *const *headers_deny;
	size_t allow_count, deny_count;
};

/* Appends @url as it may be shown. Apart from that its text stays: the agent has written it. */
void redact_url_put(struct buf *b, const struct redact *r, struct str url);
/* Names that a header may have (RFC 9110 §5.1), with commas and blanks between: others would redact
 * nothing. */
bool redact_are_headers(struct str list);
/* True if the header's values are to be replaced. */
bool redact_hides_header(const struct redact *r, struct str name);

#endif
