/*
 * tycho evidence: bundles that prove what a node or a cluster recorded.
 */
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/random.h>
#include <sys/stat.h>

#include "base/buf.h"
#include "base/state.h"
#include "cli/connect.h"
#include "cli/explain.h"
#include "cli/file.h"
#include "cli/history.h"
#include "cli/observe.h"
#include "cli/pubkey.h"
#include "evidence/collect.h"
#include "evidence/export.h"
#include "evidence/key.h"
#include "evidence/redact.h"
#include "evidence/verify.h"
#include "tycho/v1/evidence.pb-c.h"

enum {
	REQUEST_MAX_BYTES = 4 << 20, /* servers take no more */
	TEXT_MAX_BYTES = 64 << 20,
	FILE_MAX_BYTES = 256 << 20,
	CLASSES = 3,
	KEY_FILE_BYTES = 1 << 20,
	PATH_BYTES = 4096,
};

/* --- export ---------------------------------------------------------------------------------- */

static const struct flag_def export_defs[] = {
	{ .name = "output",
	  .short_ = 'o',
	  .type = FLAG_STRING,
	  .placeholder = "FILE",
	  .values = "FILE",
	  .help = "The bundle to make: FILE.tar.zst" },
	{ .name = "since",
	  .type = FLAG_STRING,
	  .placeholder = "TIME",
	  .help = "Only from this time on; as 'tycho observe --since'. Without: since ever." },
	{ .name = "until",
	  .type = FLAG_STRING,
	  .placeholder = "TIME",
	  .help = "Only up to this time. Without: up to now." },
	{ .name = "redact",
	  .type = FLAG_STRING_SLICE,
	  .placeholder = "CLASS",
	  .values = "ip labels dns",
	  .help = "Replace values by keyed hashes, on the node: ip (addresses), labels (their "
		  "values), dns (names); repeatable. The proofs hold all the same. Filters, and "
		  "URLs and headers of HTTP records, stay as they are." },
	{ .name = "csv", .type = FLAG_BOOL, .help = "Add the flows as CSV, too" },
	{ .name = "overwrite",
	  .type = FLAG_BOOL,
	  .help = "Replace FILE.tar.zst if it is there; without, it is left alone and nothing is "
		  "asked" },
};
static const struct flag_set export_flags = { "Evidence", export_defs, ARRAY_LEN(export_defs) };
static const struct flag_set *const export_sets[] = { &export_flags, &filter_flags,
						      &raw_filter_flags };

static enum err_code read_classes(const struct cli *cli, Tycho__V1__Redaction list[CLASSES],
				  size_t *ret_count, struct err *e)
{
	unsigned classes = 0;
	const char *name;

	for (size_t i = 0; (name = flags_item(cli->flags, "redact", i)); i++) {
		unsigned class_ = redact_class(str_of(name));
		if (!class_)
			return err_set(e, ERR_INVALID,
				       "--redact %s: ip, labels and dns are what can be redacted",
				       name);
		classes |= class_;
	}
	*ret_count = 0;
	for (int bit = 1; bit <= CLASSES; bit++)
		if (classes & 1u << bit)
			list[(*ret_count)++] = (Tycho__V1__Redaction)bit;
	return ERR_OK;
}

static enum err_code pack(const struct cli *cli, const struct observe_request *r, struct buf *out,
			  struct err *e)
{
	Tycho__V1__ExportRequest request;
	Google__Protobuf__Timestamp since = GOOGLE__PROTOBUF__TIMESTAMP__INIT;
	Google__Protobuf__Timestamp until = GOOGLE__PROTOBUF__TIMESTAMP__INIT;
	Tycho__V1__Redaction redact[CLASSES];
	uint8_t nonce[EXPORT_NONCE_BYTES];
	AUTO_BUF struct buf words = buf_init(TEXT_MAX_BYTES);
	char empty[] = "";

	tycho__v1__export_request__init(&request);
	since.seconds = r->since.s;
	since.nanos = r->since.ns;
	until.seconds = r->until.s;
	until.nanos = r->until.ns;
	request.since = r->has_since ? &since : NULL;
	request.until = r->has_until ? &until : NULL;
	request.whitelist = r->allow.items;
	request.n_whitelist = r->allow.count;
	request.blacklist = r->deny.items;
	request.n_blacklist = r->deny.count;
	request.redact = redact;
	if (getrandom(nonce, sizeof nonce, 0) != sizeof nonce)
		return err_os(e, "random bytes");
	request.nonce = (ProtobufCBinaryData){ sizeof nonce, nonce };
	if (read_classes(cli, redact, &request.n_redact, e) != ERR_OK ||
	    explain_put_scope(r, &words, e) != ERR_OK)
		return e->code;
	while (words.len && words.p[words.len - 1] == '\n')
		words.len--;
	(void)buf_cstr(&words);
	request.words = words.p ? words.p : empty;
	char *to = buf_reserve(out, tycho__v1__export_request__get_packed_size(&request) + 1);
	if (!to)
		return err_set(e, ERR_INVALID,
			       "the filters are larger than a server takes (%d bytes)",
			       REQUEST_MAX_BYTES);
	out->len = tycho__v1__export_request__pack(&request, (uint8_t *)to);
	return ERR_OK;
}

static enum err_code on_message(void *ctx, struct str message, struct err *e)
{
	return evidence_collect_put(ctx, message, e);
}

static enum err_code tell_export(const struct evidence_collect *c, const char *path, struct err *e)
{
	struct evidence_collect_counts n = evidence_collect_counts(c);
	AUTO_BUF struct buf out = buf_init(TEXT_MAX_BYTES);

	for (size_t i = 0; i < n.unanswered; i++) {
		struct str name = { "", 0 }, why = { "", 0 };
		evidence_collect_unanswered(c, i, &name, &why);
		buf_printf(&out, "%.*s did not answer: %.*s\n", STR_FMT(name), STR_FMT(why));
	}
	if (n.named) {
		buf_lit(&out, "not redacted: the filters name ");
		redact_put_words(&out, n.named);
		buf_lit(&out, ", and stand in the bundle as they were given\n");
	}
	if (n.plain_http)
		buf_printf(&out,
			   "not redacted: URLs and headers of %llu HTTP record%s; --not --protocol "
			   "http leaves them out\n",
			   (unsigned long long)n.plain_http, n.plain_http == 1 ? "" : "s");
	cli_say(buf_str(&out));
	buf_reset(&out);
	buf_printf(&out, "%s: %llu flows of %zu node%s%s\n", path, (unsigned long long)n.flows,
		   n.nodes, n.nodes == 1 ? "" : "s",
		   n.unanswered ? "; the bundle says which did not answer" : "");
	return cli_write(buf_str(&out), e);
}

/* Where the bundle is to go. One that is there may be the only proof of its time. */
static enum err_code check_output(const struct cli *cli, const char *path, struct err *e)
{
	struct stat st;

	if (!*path)
		return err_set(e, ERR_INVALID, "where is the bundle to go? -o FILE.tar.zst");
	if (strcmp(path, "-") == 0)
		return err_set(e, ERR_INVALID, "a bundle goes into a file: -o FILE.tar.zst");
	if (!flags_bool(cli->flags, "overwrite") && lstat(path, &st) == 0 &&
	    (S_ISREG(st.st_mode) || S_ISLNK(st.st_mode)))
		return err_set(e, ERR_EXISTS, "not without --overwrite: %s is there already", path);
	return ERR_OK;
}

static enum err_code run_export(struct cli *cli, struct err *e)
{
	const char *path = flags_text(cli->flags, "output");
	AUTO_OBSERVE_REQUEST struct observe_request r = { 0 };
	struct history_range range;
	AUTO_BUF struct buf request = buf_init(REQUEST_MAX_BYTES);
	AUTO(evidence_collect_free) struct evidence_collect *c = NULL;
	char tool[64];

	if (check_output(cli, path, e) != ERR_OK)
		return e->code;
	if (observe_filter_check(cli->filter, e) != ERR_OK ||
	    history_read_range(cli, &range, e) != ERR_OK ||
	    observe_read_filters(cli, &r, e) != ERR_OK || observe_check_filters(&r, e) != ERR_OK)
		return e->code;
	r.has_since = range.has_since;
	r.has_until = range.has_until;
	r.since = range.since;
	r.until = range.until;
	if (pack(cli, &r, &request, e) != ERR_OK)
		return e->code;
	(void)snprintf(tool, sizeof tool, "tycho %s", cli_version());
	const struct evidence_collect_config config = { .path = path,
							.keep = !flags_bool(cli->flags,
									    "overwrite"),
							.request = buf_str(&request),
							.tool = tool,
							.csv = flags_bool(cli->flags, "csv"),
							.now = wall_now() };
	if (evidence_collect_new(&config, &c, e) != ERR_OK)
		return e->code;
	const struct stream_handler handler = { .on_message = on_message, .ctx = c };
	if (connection_stream(cli->settings, "/tycho.v1.Evidence/Export", buf_str(&request),
			      &handler, e) != ERR_OK ||
	    evidence_collect_finish(c, e) != ERR_OK)
		return e->code;
	if (tell_export(c, path, e) != ERR_OK)
		return e->code;
	history_remark(cli->settings, &range, HISTORY_OF_FLOWS);
	return ERR_OK;
}

static const struct command export_command = {
	.name = "export",
	.help = "Make a bundle of flows with proofs",
	.details =
		"Asks an observer, or through a relay every node, for the flows of a range of time "
		"that match the filters of 'tycho observe', and writes them into one file with all "
		"that proves them: the chain's entries, inclusion proofs, signed checkpoints, what "
		"is not covered, the policies of that time, and a report to read.\n"
		"\n"
		"Only what the node has in its store is exported: not the last unsealed second. "
		"Whether the record of that time is whole is said on stderr, as 'tycho observe' "
		"does, and stands in the bundle.",
	.examples = "  tycho evidence export --since 2026-08-01 --until 2026-11-01 -o q3.tar.zst\n"
		    "  tycho evidence export --since 24h --to-namespace cde --redact ip,labels \\\n"
		    "    -o cde.tar.zst",
	.sets = export_sets,
	.set_count = ARRAY_LEN(export_sets),
	.uses_server = true,
	.run = run_export,
};

/* --- verify ------------------------------------------------------------------------------------
 */

static const struct flag_def verify_defs[] = {
	{ .name = "pubkey",
	  .type = FLAG_STRING_ARRAY,
	  .placeholder = "KEY",
	  .values = "FILE",
	  .help = "Believe this key only: a PEM file, or a fingerprint (64 hex digits); "
		  "repeatable. Without: the keys in the bundle are believed, and shown." },
	{ .name = "checkpoints",
	  .type = FLAG_STRING,
	  .placeholder = "FILE",
	  .values = "FILE",
	  .help = "Checkpoints that were kept elsewhere (--checkpoint-to of the observer): the "
		  "bundle's chain must agree with them, with one at least" },
};
static const struct flag_set verify_flags = { "Evidence", verify_defs, ARRAY_LEN(verify_defs) };
static const struct flag_set *const verify_sets[] = { &verify_flags };

/* A bundle is mapped: where it was cut off meanwhile, or its disk fails, there is no error to be
 * returned, but a signal. */
static struct buf unreadable; /* what is then to be said */

static void on_bus_error(int number)
{
	(void)number;
	(void)!write(STDERR_FILENO, unreadable.p, unreadable.len);
	_exit(EXIT_FAILURE);
}

static enum err_code verify_one(const struct evidence_verify_config *config, struct buf *summary,
				struct err *e)
{
	const struct sigaction end = { .sa_handler = on_bus_error };
	struct sigaction before;
	char sentence[PATH_BYTES];

	unreadable = buf_fixed(sentence, sizeof sentence);
	buf_printf(
		&unreadable,
		"%.*s: it cannot be read to its end: it was cut off meanwhile, or its disk fails\n",
		(int)sizeof sentence / 2, config->path);
	(void)sigaction(SIGBUS, &end, &before);
	enum err_code code = evidence_verify(config, summary, e);
	(void)sigaction(SIGBUS, &before, NULL);
	return code;
}

static enum err_code verify_all(const struct cli *cli, struct evidence_verify_config *config,
				struct err *e)
{
	size_t n = flags_word_count(cli->flags);
	AUTO_BUF struct buf summary = buf_init(TEXT_MAX_BYTES);
	enum err_code code =
		n ? ERR_OK : err_set(e, ERR_INVALID, "which bundle? tycho evidence verify BUNDLE…");

	for (size_t i = 0; i < n && code == ERR_OK; i++) {
		config->path = flags_word(cli->flags, i);
		code = verify_one(config, &summary, e);
	}
	struct err on_write;
	if (summary.len && cli_write(buf_str(&summary), &on_write) != ERR_OK && code == ERR_OK) {
		*e = on_write;
		code = e->code;
	}
	return code;
}

static enum err_code run_verify(struct cli *cli, struct err *e)
{
	AUTO(pubkeys_free) struct pubkeys *keys = NULL;
	AUTO_BUF struct buf checkpoints = buf_init(FILE_MAX_BYTES);
	struct evidence_verify_config config = { .keys = NULL };
	const char *path = flags_text(cli->flags, "checkpoints");

	enum err_code code = pubkeys_read(cli->flags, &keys, e);
	if (code == ERR_OK && *path)
		code = cli_read(path, &checkpoints, e);
	if (code != ERR_OK)
		return code;
	config.keys = keys->list;
	config.key_count = keys->count;
	if (*path) /* an empty file is one, too */
		config.checkpoints = checkpoints.len ? buf_str(&checkpoints) : STR("");
	return verify_all(cli, &config, e);
}

static const struct command verify_command = {
	.name = "verify",
	.words = "BUNDLE…",
	.help = "Check a bundle, offline",
	.details =
		"Checks that every flow of a bundle is what its node recorded and signed, and that "
		"none was changed, removed, added or moved: prints a summary and succeeds, or "
		"names "
		"the first thing wrong and fails. Asks nobody and needs nothing but the bundle; "
		"who "
		"got the node's key, or its checkpoints, by another way can check against them.",
	.examples = "  tycho evidence verify q3.tar.zst\n"
		    "  tycho evidence verify q3.tar.zst --pubkey worker-1.pem \\\n"
		    "    --checkpoints /var/log/tycho-checkpoints.jsonl",
	.sets = verify_sets,
	.set_count = ARRAY_LEN(verify_sets),
	.run = run_verify,
};

/* --- keys --------------------------------------------------------------------------------------
 */

static const struct flag_def keys_defs[] = {
	{ .name = "pem", .type = FLAG_BOOL, .help = "Print the public key as PEM, too" },
};
static const struct flag_set keys_flags = { "Evidence", keys_defs, ARRAY_LEN(keys_defs) };
static const struct flag_set *const keys_sets[] = { &keys_flags };

static enum err_code put_key(const char *path, bool pem, struct buf *out, struct err *e)
{
	AUTO(evidence_key_free) struct evidence_key *key = NULL;
	AUTO_BUF struct buf file = buf_init(KEY_FILE_BYTES);

	if (cli_read(path, &file, e) != ERR_OK)
		return e->code;
	/* Of a public key, what it is says nothing of who may read it. */
	if (evidence_key_of_pem(buf_str(&file), &key, NULL) != ERR_OK &&
	    evidence_key_open(path, false, &key, e) != ERR_OK)
		return e->code;
	buf_printf(out, "%s  %s\n", evidence_key_fingerprint(key), path);
	if (pem)
		evidence_key_put_pem(key, out);
	return ERR_OK;
}

/* Where an observer without options keeps it. */
static void usual_key(char *out, size_t size)
{
	char folder[4000];

	state_folder(folder, sizeof folder);
	(void)snprintf(out, size, "%s/evidence.key", folder);
}

static enum err_code run_keys(struct cli *cli, struct err *e)
{
	size_t n = flags_word_count(cli->flags);
	bool pem = flags_bool(cli->flags, "pem");
	AUTO_BUF struct buf out = buf_init(TEXT_MAX_BYTES);
	char usual[4096];

	usual_key(usual, sizeof usual);
	if (!n && put_key(usual, pem, &out, e) != ERR_OK)
		return e->code != ERR_NOT_FOUND
			       ? e->code
			       : err_set(e, ERR_NOT_FOUND,
					 "there is no %s: no observer has run here without "
					 "--evidence-key, --store or --state-dir; name the file",
					 usual);
	for (size_t i = 0; i < n; i++)
		if (put_key(flags_word(cli->flags, i), pem, &out, e) != ERR_OK)
			return e->code;
	return cli_write(buf_str(&out), e);
}

static const struct command keys_command = {
	.name = "keys",
	.words = "[FILE…]",
	.help = "Print the fingerprints of keys",
	.details =
		"Prints the fingerprint of the key with which the observer of this machine signs "
		"its record, or of other key files, private or public.",
	.examples = "  tycho evidence keys --pem\n"
		    "  tycho evidence keys worker-1.pem",
	.sets = keys_sets,
	.set_count = ARRAY_LEN(keys_sets),
	.run = run_keys,
};

static const struct command *const children[] = { &export_command, &keys_command, &verify_command };

const struct command evidence_command = {
	.name = "evidence",
	.help = "Prove what was recorded, and check such proofs",
	.children = children,
	.child_count = ARRAY_LEN(children),
};
