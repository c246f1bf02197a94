/* The parts of lib/filter that read the user's text: selectors, patterns, addresses, regular
 * expressions, request URIs. Expected sentences and answers are those of the reference's libraries
 * (Kubernetes, Go's netip, regexp and net/url). */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include <cmocka.h>

#include "base/buf.h"
#include "filter/glob.h"
#include "base/gotext.h"
#include "filter/netip.h"
#include "regex/regex.h"
#include "filter/requri.h"
#include "filter/selector.h"
#include "quote_cases.h"

/* --- selectors -------------------------------------------------------------------------------- */

static bool selects(const char *text, const char *label)
{
	AUTO(selector_free) struct selector *s = NULL;
	struct str labels[2] = { STR("k8s:other=1"), str_of(label) };
	struct err e;

	if (selector_new(str_of(text), &s, &e) != ERR_OK)
		fail_msg("%s: %s", text, e.msg);
	return selector_match(s, labels, 2);
}

static void a_selector_compares_keys_and_values(void **state)
{
	(void)state;
	assert_true(selects("", "k8s:app=foo"));
	assert_true(selects("app", "k8s:app=foo"));
	assert_false(selects("!app", "k8s:app=foo"));
	assert_true(selects("!app", "k8s:apple=foo"));
	assert_true(selects("app=foo", "k8s:app=foo"));
	assert_true(selects("app==foo", "k8s:app=foo"));
	assert_false(selects("app!=foo", "k8s:app=foo"));
	assert_true(selects("app!=foo", "k8s:app=bar"));
	assert_true(selects("app!=foo", "k8s:none"));
	assert_true(selects(" app in ( bar ,foo) , other ", "k8s:app=foo"));
	assert_false(selects("app in (bar,foo),!other", "k8s:app=foo"));
	assert_true(selects("app notin (bar)", "k8s:app=foo"));
	assert_true(selects("app notin (bar)", "k8s:none"));
	assert_false(selects("app notin (foo,bar)", "k8s:app=foo"));
	assert_true(selects("app=", "k8s:app"));
	assert_true(selects("app in ()", "k8s:app="));
	assert_true(selects("app in (,x)", "k8s:app="));
	assert_true(selects("app in (x,)", "k8s:app="));
	assert_true(selects("in in (notin)", "k8s:in=notin"));
	assert_true(selects("app=in", "k8s:app=in"));
}

static void a_selector_knows_the_sources_of_labels(void **state)
{
	(void)state;
	assert_true(selects("k8s:app", "k8s:app=foo"));
	assert_true(selects("any:app", "k8s:app=foo"));
	assert_false(selects("container:app", "k8s:app=foo"));
	assert_true(selects("reserved:host", "reserved:host"));
	assert_true(selects("reserved:host", "$host"));
	assert_true(selects("reserved:host", "reserved.host"));
	assert_true(selects("reserved:host", "reserved:=host"));
	assert_true(selects("unspec:app", "app=foo"));
	assert_true(selects("unspec:app", ":app=foo"));
	/* ParseSelectDotLabel of pkg/labels: a selector without a source asks for any, however it
	 * says so */
	assert_true(selects("unspec:app", "k8s:app=foo"));
	assert_true(selects("unspec:app=foo", "container:app=foo"));
	assert_false(selects("unspec:app!=foo", "k8s:app=foo"));
	assert_true(selects("app=b", "k8s:app=b"));
	assert_false(selects("app=b", "a:k8s:app=b"));
	/* what follows the first '=' is the value */
	assert_false(selects("x=a", "k8s:x=a:b=c"));
	assert_true(selects("k8s:a.b.c/d=e", "k8s:a.b.c/d=e"));
	/* the source ends at the first dot, wherever it came from */
	assert_true(selects("a.b:c", "a:b.c=1"));
}

static void cidr_labels_are_compared_by_containment(void **state)
{
	(void)state;
	assert_true(selects("cidr:10.0.0.0/8", "cidr:10.0.0.0/8"));
	assert_true(selects("cidr:10.0.0.0/8", "cidr:10.1.2.3/32"));
	assert_false(selects("cidr:10.1.2.3/32", "cidr:10.0.0.0/8"));
	assert_false(selects("cidr:10.0.0.0/8", "cidr:11.0.0.0/8"));
	assert_false(selects("10.0.0.0/8", "cidr:10.1.2.3/32"));
	assert_false(selects("cidr:10.0.0.0/8", "k8s:10.1.2.3/32"));
	/* and by nothing else, so that what is no prefix is never found: Cilium 1.19,
	 * Label.HasKey in pkg/labels/labels.go */
	assert_false(selects("cidr:lan", "cidr:lan"));
	assert_true(selects("lan", "cidr:lan"));
}

static void greater_and_less_compare_whole_numbers(void **state)
{
	(void)state;
	assert_true(selects("n>6", "k8s:n=7"));
	assert_false(selects("n > 7", "k8s:n=7"));
	assert_true(selects("n<8", "k8s:n=7"));
	assert_true(selects("n<8", "k8s:n=-9223372036854775808"));
	assert_false(selects("n<8", "k8s:n=-9223372036854775809"));
	assert_false(selects("n<8", "k8s:n=abc"));
	assert_false(selects("n<8", "k8s:n"));
	assert_false(selects("n<8", "k8s:m=1"));
	assert_true(selects("n>9223372036854775806", "k8s:n=9223372036854775807"));
}

#define NAME_RULE                                                                                  \
	"must consist of alphanumeric characters, '-', '_' or '.', and must start and end with "   \
	"an alphanumeric "                                                                         \
	"character (e.g. 'MyName',  or 'my.name',  or '123-abc', regex used for validation is "    \
	"'([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9]')"
#define VALUE_RULE                                                                                 \
	"a valid label must be an empty string or consist of alphanumeric characters, '-', '_' "   \
	"or '.', and must start "                                                                  \
	"and end with an alphanumeric character (e.g. 'MyValue',  or 'my_value',  or '12345', "    \
	"regex used for "                                                                          \
	"validation is '(([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9])?')"

static void bad_selectors_are_refused_in_kubernetes_words(void **state)
{
	static const char *const cases[][2] = {
		{ "app foo", "unable to parse requirement: found 'foo', expected: in, notin, =, "
			     "==, !=, gt, lt" },
		{ "app in", "unable to parse requirement: found '' expected: '('" },
		{ "app in foo", "unable to parse requirement: found 'foo' expected: '('" },
		{ "app in (",
		  "unable to parse requirement: found '', expected: ',', ')' or identifier" },
		{ "app in (=",
		  "unable to parse requirement: found '=', expected: ',', ')' or identifier" },
		{ "app in (a", "unable to parse requirement: found '', expected: ',' or ')'" },
		{ "app in (a b)", "unable to parse requirement: found 'b', expected: ',' or ')'" },
		{ "app in (a,",
		  "unable to parse requirement: found '', expected: ',', or identifier" },
		{ "app in (a,!)",
		  "unable to parse requirement: found '!', expected: ',', or identifier" },
		{ "app=foo,", "found '', expected: identifier after ','" },
		{ "app=foo bar", "found 'bar', expected: ',' or 'end of string'" },
		{ "!app=foo", "found '=', expected: ',' or 'end of string'" },
		{ "!!app", "unable to parse requirement: found '!', expected: identifier" },
		{ "app===foo", "unable to parse requirement: found '=', expected: identifier" },
		{ "n>=7", "unable to parse requirement: found '=', expected: identifier" },
		{ "n>x", "unable to parse requirement: values[0]: Invalid value: \"x\": for 'Gt', "
			 "'Lt' operators, the "
			 "value must be an integer" },
		{ "x=a:b", "unable to parse requirement: values[0][any.x]: Invalid value: "
			   "\"a:b\": " VALUE_RULE },
		{ "k8s:=x", "unable to parse requirement: <nil>: Invalid value: \"k8s.\": name "
			    "part " NAME_RULE },
		{ "/x", "unable to parse requirement: <nil>: Invalid value: \"any./x\": prefix "
			"part a lowercase RFC 1123 "
			"subdomain must consist of lower case alphanumeric characters, '-' or '.', "
			"and must start and end "
			"with an alphanumeric character (e.g. 'example.com', regex used for "
			"validation is "
			"'[a-z0-9]([-a-z0-9]*[a-z0-9])?(\\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*')" },
		{ "a/", "unable to parse requirement: <nil>: Invalid value: \"any.a/\": name part "
			"must be non-empty; name "
			"part " NAME_RULE },
		{ " ", "unable to parse requirement: <nil>: Invalid value: \"any.\": name "
		       "part " NAME_RULE },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		AUTO(selector_free) struct selector *s = NULL;
		struct err e = { .msg = "" };

		assert_int_equal(selector_new(str_of(cases[i][0]), &s, &e), ERR_INVALID);
		assert_string_equal(e.msg, cases[i][1]);
		assert_null(s);
	}
}

static void names_and_values_may_have_63_bytes_and_no_more(void **state)
{
	char text[300];
	AUTO(selector_free) struct selector *s = NULL;
	AUTO(selector_free) struct selector *t = NULL;
	struct err e;

	(void)state;
	/* "any." counts: it is part of the name while Kubernetes looks at it */
	(void)snprintf(text, sizeof text, "%059d=%063d", 0, 0);
	assert_int_equal(selector_new(str_of(text), &s, &e), ERR_OK);
	(void)snprintf(text, sizeof text, "%060d", 0);
	assert_int_equal(selector_new(str_of(text), &t, &e), ERR_INVALID);
	assert_non_null(strstr(e.msg, "name part must be no more than 63 bytes"));
	(void)snprintf(text, sizeof text, "a=%064d", 0);
	assert_int_equal(selector_new(str_of(text), &t, &e), ERR_INVALID);
	assert_non_null(strstr(e.msg, "must be no more than 63 bytes"));
	assert_int_equal(selector_new(STR("a/b/c=d"), &t, &e), ERR_INVALID);
	assert_non_null(strstr(e.msg, "\"any.a/b/c\": a valid label key must consist of"));
}

/* --- patterns --------------------------------------------------------------------------------- */

static bool glob_takes(const char *pattern, const char *name)
{
	AUTO(glob_free) struct glob *g = NULL;

	assert_int_equal(glob_new(str_of(pattern), &g, NULL), ERR_OK);
	return glob_match(g, str_of(name));
}

static void a_star_stands_for_any_run_of_letters_digits_dots_and_hyphens(void **state)
{
	(void)state;
	assert_true(glob_takes("*.cilium.io", "www.cilium.io"));
	assert_true(glob_takes("*.cilium.io", "a.b-c.cilium.io"));
	assert_false(glob_takes("*.cilium.io", "cilium.io"));
	assert_true(glob_takes("*cilium.io", "cilium.io"));
	assert_false(glob_takes("*.io", "under_score.io"));
	assert_true(glob_takes("under_*.io", "under_score.io"));
	assert_true(glob_takes(" WWW.Cilium.IO. ", "www.cilium.io"));
	assert_false(glob_takes("www.cilium.io", "WWW.cilium.io"));
	assert_false(glob_takes("www.cilium.io", "www.cilium.io."));
	assert_false(glob_takes("www.cilium.io", "wwwxcilium.io"));
	assert_true(glob_takes("**", ""));
	/* the Kelvin sign and the dotted I are a k and an i to Go's strings.ToLower */
	assert_true(glob_takes("\xe2\x84\xaa\xc4\xb0", "ki"));
}

/* What a pattern means, by definition: try every length for every star. */
static bool slow_match(const char *p, const char *n)
{
	if (!*p)
		return !*n;
	if (*p != '*')
		return *p == *n && slow_match(p + 1, n + 1);
	for (;; n++) {
		if (slow_match(p + 1, n))
			return true;
		if (!*n || *n == '_')
			return false;
	}
}

static void patterns_match_as_if_every_length_of_every_star_was_tried(void **state)
{
	static const char letters[] = "ab_*";
	uint32_t random = 12345;
	size_t matched = 0;

	(void)state;
	for (int round = 0; round < 200000; round++) {
		char pattern[10], name[12];
		size_t p = 0, n = 0;

		random = random * 1664525 + 1013904223;
		for (size_t len = 1 + (random >> 28) % 8; p < len;
		     p++, random = random * 1664525 + 1013904223)
			pattern[p] = letters[random >> 30];
		for (size_t len = (random >> 27) % 11; n < len;
		     n++, random = random * 1664525 + 1013904223)
			name[n] = letters[(random >> 24) % 3];
		pattern[p] = name[n] = '\0';
		bool expected = slow_match(pattern, name);
		matched += expected;
		if (glob_takes(pattern, name) != expected)
			fail_msg("pattern %s, name %s", pattern, name);
	}
	assert_true(matched > 1000);
}

static bool node_takes(const char *pattern, const char *name)
{
	struct node_glob g;

	assert_int_equal(node_glob_init(&g, str_of(pattern), NULL), ERR_OK);
	bool yes = node_glob_match(&g, str_of(name));
	node_glob_done(&g);
	return yes;
}

static void a_node_pattern_has_a_cluster_and_a_node(void **state)
{
	(void)state;
	assert_true(node_takes("k8s1", "k8s1"));
	assert_true(node_takes("k8s1", "prod/k8s1"));
	assert_true(node_takes("default/k8s1", "k8s1"));
	assert_false(node_takes("default/k8s1", "prod/k8s1"));
	assert_true(node_takes("prod/", "prod/k8s1"));
	assert_true(node_takes("/k8s1", "prod/k8s1"));
	assert_true(node_takes("/", "prod/k8s_1"));
	assert_false(node_takes("prod/", "prod/a..b"));
	assert_false(node_takes("prod/", "prod/"));
	assert_false(node_takes("*", "a/b/c"));
	assert_false(node_takes("*", ""));
}

static void bad_patterns_are_named(void **state)
{
	static const char *const cases[][2] = {
		{ "", "empty pattern" },
		{ ".", "empty pattern" },
		{ "a..", "multiple trailing dots in pattern" },
		{ "a b", "' ': invalid rune in pattern" },
		{ "\xc3\xbc", "'\xc3\xbc': invalid rune in pattern" },
		{ "a/b", "'/': invalid rune in pattern" },
	};
	struct node_glob g;
	struct err e;

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		struct glob *glob;

		assert_int_equal(glob_new(str_of(cases[i][0]), &glob, &e), ERR_INVALID);
		assert_string_equal(e.msg, cases[i][1]);
	}
	assert_int_equal(node_glob_init(&g, STR("a/b/c"), &e), ERR_INVALID);
	assert_string_equal(e.msg, "too many slashes in pattern");
	assert_int_equal(node_glob_init(&g, STR("a/b c"), &e), ERR_INVALID);
	assert_string_equal(e.msg, "' ': invalid rune in pattern");
}

/* --- addresses -------------------------------------------------------------------------------- */

static void bad_addresses_are_explained_as_netip_does(void **state)
{
	static const char *const cases[][2] = {
		{ "", "unable to parse IP" },
		{ "x", "unable to parse IP" },
		{ "10.0.0", "IPv4 address too short" },
		{ "1.2.3.4.5", "IPv4 address too long" },
		{ "1.2.3.256", "IPv4 field has value >255" },
		{ "1.2.3.04", "IPv4 field has octet with leading zero" },
		{ "1..3.4", "IPv4 field must have at least one digit (at \".3.4\")" },
		{ "1.2.3.x", "unexpected character (at \"x\")" },
		{ "%eth0", "missing IPv6 address" },
		{ "fe80::1%", "zone must be a non-empty string" },
		{ "1:2", "address string too short" },
		{ "12345::", "each group must have 4 or less digits (at \"12345::\")" },
		{ ":1", "each colon-separated field must have at least one digit (at \":1\")" },
		{ "1::2::3", "multiple :: in address (at \":3\")" },
		{ "1:2:3:4:5:6:7:8:9", "trailing garbage after address (at \"9\")" },
		{ "1:2:3:4:5:6:7:8::", "the :: must expand to at least one field of zeros" },
		{ "1:2:3:4:5:6:7:", "colon must be followed by more characters (at \":\")" },
		{ "::1:2:3:4:5:6:7:8", "the :: must expand to at least one field of zeros" },
		{ "::g", "each colon-separated field must have at least one digit (at \"g\")" },
		{ "::1g", "unexpected character, want colon (at \"g\")" },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		char expected[200];
		struct netip ip;
		struct err e = { .msg = "" };

		(void)snprintf(expected, sizeof expected, "ParseAddr(\"%s\"): %s", cases[i][0],
			       cases[i][1]);
		assert_int_equal(netip_parse(str_of(cases[i][0]), &ip, &e), ERR_INVALID);
		assert_string_equal(e.msg, expected);
	}
}

static void bad_prefixes_are_explained_as_netip_does(void **state)
{
	static const char *const cases[][2] = {
		{ "10.0.0.0/33", "netip.ParsePrefix(\"10.0.0.0/33\"): prefix length out of range" },
		{ "::/129", "netip.ParsePrefix(\"::/129\"): prefix length out of range" },
		{ "10.0.0.0/", "netip.ParsePrefix(\"10.0.0.0/\"): bad bits after slash: \"\"" },
		{ "10.0.0.0/08",
		  "netip.ParsePrefix(\"10.0.0.0/08\"): bad bits after slash: \"08\"" },
		{ "10.0.0.0/+8",
		  "netip.ParsePrefix(\"10.0.0.0/+8\"): bad bits after slash: \"+8\"" },
		{ "x/8", "netip.ParsePrefix(\"x/8\"): ParseAddr(\"x\"): unable to parse IP" },
		{ "fe80::%a/8",
		  "netip.ParsePrefix(\"fe80::%a/8\"): IPv6 zones cannot be present in a prefix" },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		struct netip_prefix p;
		struct err e = { .msg = "" };

		assert_int_equal(netip_prefix_parse(str_of(cases[i][0]), &p, &e), ERR_INVALID);
		assert_string_equal(e.msg, cases[i][1]);
	}
}

static bool contains(const char *prefix, const char *address)
{
	struct netip_prefix p;
	struct netip a;

	assert_int_equal(netip_prefix_parse(str_of(prefix), &p, NULL), ERR_OK);
	assert_int_equal(netip_parse(str_of(address), &a, NULL), ERR_OK);
	return netip_prefix_contains(&p, &a);
}

static void a_prefix_contains_addresses_of_its_own_family(void **state)
{
	(void)state;
	assert_true(contains("10.1.2.3/8", "10.255.0.0"));
	assert_false(contains("10.0.0.0/8", "11.0.0.0"));
	assert_true(contains("10.0.0.128/25", "10.0.0.255"));
	assert_false(contains("10.0.0.128/25", "10.0.0.127"));
	assert_true(contains("1.2.3.4/32", "1.2.3.4"));
	assert_false(contains("1.2.3.4/32", "1.2.3.5"));
	assert_true(contains("0.0.0.0/0", "1.2.3.4"));
	assert_false(contains("0.0.0.0/0", "::1"));
	assert_false(contains("0.0.0.0/0", "::ffff:1.2.3.4"));
	assert_true(contains("::/0", "::ffff:1.2.3.4"));
	assert_false(contains("::/0", "1.2.3.4"));
	assert_true(contains("fd00::/15", "fd01:ffff::1"));
	assert_false(contains("fe80::/10", "fe80::1%eth0"));
	assert_true(contains("::1:2:3/128", "0:0:0:0:0:1:2:3"));
}

/* --- regular expressions ---------------------------------------------------------------------- */

static bool re_matches(const char *pattern, const char *text)
{
	AUTO(regex_free) struct regex *r = NULL;
	struct err e;

	if (regex_new(str_of(pattern), &r, &e) != ERR_OK)
		fail_msg("%s: %s", pattern, e.msg);
	return regex_match(r, str_of(text));
}

static void patterns_mean_what_they_mean_to_re2(void **state)
{
	(void)state;
	assert_true(re_matches("", ""));
	assert_true(re_matches("b", "abc"));
	assert_true(re_matches("^/api/v[12]/", "/api/v2/x"));
	assert_false(re_matches("c$", "abc\n"));
	assert_true(re_matches("(?m)c$", "abc\n"));
	assert_true(re_matches("(?m)\\n^", "abc\n"));
	assert_false(re_matches("a.c", "a\nc"));
	assert_true(re_matches("a.c", "a\rc"));
	assert_true(re_matches("(?s)a.c", "a\nc"));
	assert_true(re_matches("(?i)HELLO", "hello"));
	assert_true(re_matches("(?i:H)ello", "hello"));
	assert_false(re_matches("(?i:H)ELLO", "hello"));
	assert_false(re_matches("\\s", "\v"));
	assert_false(re_matches("^[\\s]$", "\v"));
	assert_true(re_matches("^\\S$", "\v"));
	assert_true(re_matches("^[\\Sx]$", "\v"));
	assert_false(re_matches("^[\\S]$", "\t"));
	assert_true(re_matches("^\\v\\x41\\x{1F600}\\101\\_$", "\vA\xf0\x9f\x98\x80"
							       "A_"));
	assert_true(re_matches("^\\Qa.b\\E+$", "a.bbb"));
	assert_false(re_matches("^\\Qa.b\\E$", "axb"));
	assert_true(re_matches("^(?P<n>a)(?<m>b)$", "ab"));
	assert_true(re_matches("x{2,3}", "xx"));
	assert_true(re_matches("^x{,3}$", "x{,3}"));
	assert_true(re_matches("^a{$", "a{"));
	assert_true(re_matches("^\\pL+$", "\xc3\xbc"));
	assert_true(re_matches("^\\p{Greek}$", "\xce\xb1"));
	assert_false(re_matches("^\\P{Greek}$", "\xce\xb1"));
	assert_true(re_matches("^\\p{^Greek}[^\\p{Lu}]$", "ab"));
	assert_true(re_matches("^[[:alpha:]][[:^alpha:]]$", "a1"));
	assert_true(re_matches("^[]a-c-]+$", "]b-"));
	assert_true(re_matches("^[^a]$", "\n"));
	assert_true(re_matches("^[a-]$", "-"));
	assert_true(re_matches("^*a", "a"));
	assert_true(re_matches("(?U)a+", "aa"));
}

/* Go's unicode/utf8: a byte that belongs to no character is read as U+FFFD, one by one. */
static void bytes_that_are_no_characters_match_like_one(void **state)
{
	(void)state;
	assert_true(re_matches("^/caf.$", "/caf\xe9"));
	assert_false(re_matches("^/caf..$", "/caf\xe9"));
	assert_true(re_matches("^..$", "\xe2\x82"));
	assert_true(re_matches("^.{3}x$", "\xed\xa0\x80x"));
	assert_true(re_matches("[^a]$", "a\xff"));
	assert_true(re_matches("x*$", "a\xff"));
	assert_true(re_matches("^a\\x{fffd}b$", "a\xff"
						"b"));
	assert_false(re_matches("\\xff", "\xff"));
	assert_false(re_matches("^a$", "a\xff"));
}

/* Go's regexp/syntax: "i" folds the letters of a category, too; since 1.25 categories have their long
 * names, and names are compared without case, blanks, hyphens and underscores. */
static void categories_are_what_they_are_to_go(void **state)
{
	(void)state;
	assert_true(re_matches("(?i)^\\p{Lu}$", "a"));
	assert_true(re_matches("(?i)^[\\p{Ll}]$", "A"));
	assert_false(re_matches("(?i)^\\P{Lu}$", "\xc3\xa9"));
	assert_false(re_matches("(?i)^[^\\p{Lu}]$", "a"));
	assert_false(re_matches("(?i)^\\p{Lu}$", "1"));
	assert_true(re_matches("^(?i:x(\\p{Lu}))$", "xa"));
	assert_false(re_matches("^(?i:x)\\p{Lu}$", "xa"));
	assert_false(re_matches("(?i)^(?-i)\\p{Lu}$", "a"));
	assert_true(re_matches("^(x|y(?i))\\p{Lu}$", "yA"));
	assert_false(re_matches("^(x|y(?i))\\p{Lu}$", "ya"));
	assert_true(re_matches("^\\p{Letter}\\p{Decimal_Number}\\p{punct}$", "a1."));
	assert_true(re_matches("^\\p{uppercase letter}\\p{LC}\\p{ASCII}\\p{Assigned}$", "Aa1x"));
	assert_false(re_matches("\\p{Unassigned}|\\P{Any}|\\P{ascii}", "a"));
	assert_true(re_matches("^\\p{old-italic}$", "\xf0\x90\x8c\x80"));
}

/* Go's regexp/syntax: flags are no part of the sequence, and end a stack of repetitions. */
static void flags_do_not_part_an_atom_from_its_repetition(void **state)
{
	(void)state;
	assert_true(re_matches("^ba(?i)*$", "b"));
	assert_true(re_matches("^ba(?i)*$", "baa"));
	assert_false(re_matches("^ba(?i)*$", "bA"));
	assert_true(re_matches("^(?:ab|c(?s))(?i)+C$", "abcabc"));
	assert_true(re_matches("^(ab)(?U)(?i){2}c$", "ababC"));
	assert_false(re_matches("^(ab)(?i){2}c$", "abc"));
	assert_true(re_matches("^a?(?i)+a$", "aa")); /* "a?+a" would give nothing back */
	assert_true(re_matches("^[ab](?m)*(?s){2}\\d(?i)?$", "abab"));
	assert_true(re_matches("^(?i:x(?-i)+)y$", "xXxy"));
}

static void patterns_that_re2_refuses_are_refused_in_its_words(void **state)
{
	static const char *const cases[][2] = {
		{ "(", "missing closing ): `(`" },
		{ "a)", "unexpected ): `a)`" },
		{ "[", "missing closing ]: `[`" },
		{ "x[a", "missing closing ]: `[a`" },
		{ "[]", "missing closing ]: `[]`" },
		{ "[z-a]", "invalid character class range: `z-a`" },
		{ "[[:foo:]]", "invalid character class range: `[:foo:]`" },
		{ "\\p{Nope}", "invalid character class range: `\\p{Nope}`" },
		{ "a\\p{Nope}*b**", "invalid character class range: `\\p{Nope}`" },
		{ "[\\p{Nope}", "invalid character class range: `\\p{Nope}`" },
		{ "\\pXa", "invalid character class range: `\\pX`" },
		{ "*a", "missing argument to repetition operator: `*`" },
		{ "a|*", "missing argument to repetition operator: `*`" },
		{ "(+)", "missing argument to repetition operator: `+`" },
		{ "(?i)*", "missing argument to repetition operator: `*`" },
		{ "{1001}", "invalid repeat count: `{1001}`" },
		{ "a*{2,1}?", "invalid repeat count: `{2,1}`" },
		{ "a**", "invalid nested repetition operator: `**`" },
		{ "a*+", "invalid nested repetition operator: `*+`" },
		{ "a{2}{3}", "invalid nested repetition operator: `{2}{3}`" },
		{ "a{1001}", "invalid repeat count: `{1001}`" },
		{ "a{3,2}", "invalid repeat count: `{3,2}`" },
		{ "(a{100}){11}", "invalid repeat count: `{11}`" },
		{ "\\1", "invalid escape sequence: `\\1`" },
		{ "(a)\\1", "invalid escape sequence: `\\1`" },
		{ "\\Z", "invalid escape sequence: `\\Z`" },
		{ "\\xg0a", "invalid escape sequence: `\\xg0`" },
		{ "\\x1", "invalid escape sequence: `\\x1`" },
		{ "\\x{110000}", "invalid escape sequence: `\\x{110000`" },
		{ "a\\", "trailing backslash at end of expression: ``" },
		{ "(?=a)", "invalid or unsupported Perl syntax: `(?=`" },
		{ "(?!x)", "invalid or unsupported Perl syntax: `(?!`" },
		{ "(?#c)", "invalid or unsupported Perl syntax: `(?#`" },
		{ "(?>a)", "invalid or unsupported Perl syntax: `(?>`" },
		{ "(?i-)", "invalid or unsupported Perl syntax: `(?i-)`" },
		{ "(?", "invalid or unsupported Perl syntax: `(?`" },
		{ "(?<=a)", "invalid named capture: `(?<=a)`" },
		{ "(?P<n", "invalid named capture: `(?P<n`" },
		{ "(?P<a b>x)", "invalid named capture: `(?P<a b>`" },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		AUTO(regex_free) struct regex *r = NULL;
		struct err e = { .msg = "" };
		char expected[200];

		(void)snprintf(expected, sizeof expected, "error parsing regexp: %s", cases[i][1]);
		assert_int_equal(regex_new(str_of(cases[i][0]), &r, &e), ERR_INVALID);
		assert_string_equal(e.msg, expected);
	}
}

static void a_hostile_pattern_gives_up(void **state)
{
	char text[64];

	(void)state;
	memset(text, 'a', sizeof text - 1);
	text[sizeof text - 1] = '\0';
	/* 2^63 ways to divide the text: only the limit makes this return */
	assert_false(re_matches("^(a+)+$b", text));
	assert_false(re_matches("^(a|aa)+$b", text));
}

/* --- request URIs ----------------------------------------------------------------------------- */

static void the_path_of_a_request_uri_is_found(void **state)
{
	static const char *const cases[][2] = {
		{ "/", "/" },
		{ "/a/b?x=1", "/a/b" },
		{ "/a%20b%2Fc+d", "/a b/c+d" },
		{ "/a#b", "/a#b" },
		{ "//x/y", "//x/y" },
		{ "http://h:80/p?q", "/p" },
		{ "http://h", "" },
		{ "http://u:p@[::1]:80/p", "/p" },
		{ "http://[fe80::1%25eth0]/p", "/p" },
		{ "http:/p", "/p" },
		{ "http://[::ffff:1.2.3.4]/p", "/p" },
		{ "http://[fe80::1%25%20]/p", "/p" },
		{ "http://a:1:2/p", "/p" },
		{ "http://a]/p", "/p" },
		{ "mailto:x", "" },
		{ "*", "*" },
		/* not request URIs */
		{ "", NULL },
		{ "a/b", NULL },
		{ "?x", NULL },
		{ ":x", NULL },
		{ "/%zz", NULL },
		{ "/%2", NULL },
		{ "/a\x7f", NULL },
		{ "/a\nb", NULL },
		{ "1http://h/p", NULL },
		{ "http://h:x/p", NULL },
		{ "http://h /p", NULL },
		{ "http://[::1/p", NULL },
		{ "http://%41/p", NULL },
		{ "http://a b@h/p", NULL },
		/* brackets are for IPv6 addresses alone, and begin the host: net/url of Go 1.25.8
		 * and 1.26.1 on */
		{ "http://[x]/p", NULL },
		{ "http://[]/p", NULL },
		{ "http://[1.2.3.4]/p", NULL },
		{ "http://a[::1]/p", NULL },
		{ "http://[::1]a/p", NULL },
		{ "http://[fe80::1%25]/p", NULL },
		{ "http://[fe80::1%25%c3]/p", NULL },
		{ "http://[::1%25a%2f]/p", NULL },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		AUTO_BUF struct buf b = buf_init(1000);
		bool good = requri_path(str_of(cases[i][0]), &b);

		if (good != (cases[i][1] != NULL))
			fail_msg("%s", cases[i][0]);
		if (good)
			assert_string_equal(buf_cstr(&b), cases[i][1]);
	}
}

static void texts_are_quoted_as_go_does(void **state)
{
	char out[64];

	(void)state;
	assert_string_equal(go_quote(STR("a\"b\\\n\x01\xc3\xbc\xff"), out, sizeof out),
			    "\"a\\\"b\\\\\\n\\x01\xc3\xbc\\xff\"");
	assert_string_equal(go_quote(STR("\xe2\x80\x8b"), out, sizeof out), "\"\\u200b\"");
	assert_string_equal(go_quote_rune('\'', out, sizeof out), "'\\''");
	assert_string_equal(go_quote_rune(0x2603, out, sizeof out), "'\xe2\x98\x83'");
	assert_string_equal(go_quote_rune('\t', out, sizeof out), "'\\t'");
}

static const char *quote_text(const char *text, char *out, size_t size)
{
	return go_quote(str_of(text), out, size);
}

static void what_is_too_long_to_be_quoted_is_cut_between_characters(void **state)
{
	(void)state;
	assert_quotes_are_cut_between_characters(quote_text);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_selector_compares_keys_and_values),
		cmocka_unit_test(a_selector_knows_the_sources_of_labels),
		cmocka_unit_test(cidr_labels_are_compared_by_containment),
		cmocka_unit_test(greater_and_less_compare_whole_numbers),
		cmocka_unit_test(bad_selectors_are_refused_in_kubernetes_words),
		cmocka_unit_test(names_and_values_may_have_63_bytes_and_no_more),
		cmocka_unit_test(a_star_stands_for_any_run_of_letters_digits_dots_and_hyphens),
		cmocka_unit_test(patterns_match_as_if_every_length_of_every_star_was_tried),
		cmocka_unit_test(a_node_pattern_has_a_cluster_and_a_node),
		cmocka_unit_test(bad_patterns_are_named),
		cmocka_unit_test(bad_addresses_are_explained_as_netip_does),
		cmocka_unit_test(bad_prefixes_are_explained_as_netip_does),
		cmocka_unit_test(a_prefix_contains_addresses_of_its_own_family),
		cmocka_unit_test(patterns_mean_what_they_mean_to_re2),
		cmocka_unit_test(bytes_that_are_no_characters_match_like_one),
		cmocka_unit_test(categories_are_what_they_are_to_go),
		cmocka_unit_test(flags_do_not_part_an_atom_from_its_repetition),
		cmocka_unit_test(patterns_that_re2_refuses_are_refused_in_its_words),
		cmocka_unit_test(a_hostile_pattern_gives_up),
		cmocka_unit_test(the_path_of_a_request_uri_is_found),
		cmocka_unit_test(texts_are_quoted_as_go_does),
		cmocka_unit_test(what_is_too_long_to_be_quoted_is_cut_between_characters),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
