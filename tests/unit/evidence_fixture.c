#include "evidence_fixture.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>

#include <cmocka.h>

#include "evidence/redact.h"
#include "flow/wire.h"
#include "tycho/v1/evidence.pb-c.h"

void evidence_make(struct evidence_fixture *ef, struct fixture *fx)
{
	struct err e = { 0 };

	*ef = (struct evidence_fixture){ .store = fx };
	(void)snprintf(ef->key_path, sizeof ef->key_path, "%s/key.pem", fx->dir);
	(void)snprintf(ef->bundle_path, sizeof ef->bundle_path, "%s/bundle.tar.zst", fx->dir);
	assert_int_equal(evidence_key_open(ef->key_path, true, &ef->key, &e), ERR_OK);
	fixture_open(fx);
	const struct checkpoints_config config = {
		.store = fx->store, .key = ef->key, .node = fx->config.node, .interval_ns = 1
	};
	assert_int_equal(checkpoints_new(&config, &ef->checkpoints, &e), ERR_OK);
}

void evidence_done(struct evidence_fixture *ef)
{
	checkpoints_free(ef->checkpoints);
	evidence_key_free(ef->key);
	(void)unlink(ef->key_path);
	(void)unlink(ef->bundle_path);
}

void evidence_checkpoint(struct evidence_fixture *ef)
{
	struct err e = { 0 };

	if (store_seal(ef->store->store, ef->store->now, &e) != ERR_OK ||
	    checkpoints_tick(ef->checkpoints, ef->store->now, &e) != ERR_OK)
		fail_msg("%s", e.msg);
}

static void stamp(Google__Protobuf__Timestamp *t, struct wall_ns w)
{
	google__protobuf__timestamp__init(t);
	t->seconds = (int64_t)(w.v / NS_PER_S);
	t->nanos = (int32_t)(w.v % NS_PER_S);
}

void evidence_request(const struct ask *ask, struct buf *out)
{
	Tycho__V1__ExportRequest r; /* its INIT macro casts a const away */
	Google__Protobuf__Timestamp since, until;
	Flow__FlowFilter filter = FLOW__FLOW_FILTER__INIT, *filters[] = { &filter };
	Flow__Verdict verdict = FLOW__VERDICT__DROPPED;
	Tycho__V1__Redaction redact[3];
	uint8_t nonce[EXPORT_NONCE_BYTES] = "0123456789abcdef";
	char port[8], *ports[] = { port }, words[] = "as the test asks";

	tycho__v1__export_request__init(&r);
	stamp(&since, ask->since);
	stamp(&until, ask->until);
	r.since = ask->since.v ? &since : NULL;
	r.until = ask->until.v ? &until : NULL;
	r.nonce = (ProtobufCBinaryData){ sizeof nonce, nonce };
	r.words = words;
	r.redact = redact;
	for (int bit = 1; bit <= 3; bit++)
		if (ask->redact & 1u << bit)
			redact[r.n_redact++] = (Tycho__V1__Redaction)bit;
	(void)snprintf(port, sizeof port, "%u", ask->port);
	if (ask->port) {
		filter.destination_port = ports;
		filter.n_destination_port = 1;
	}
	if (ask->verdict) {
		filter.verdict = &verdict;
		filter.n_verdict = 1;
	}
	if (ask->port || ask->verdict) {
		r.whitelist = filters;
		r.n_whitelist = 1;
	}
	uint8_t *to = (uint8_t *)buf_reserve(out, tycho__v1__export_request__get_packed_size(&r));
	assert_non_null(to);
	out->len += tycho__v1__export_request__pack(&r, to);
}

enum err_code evidence_run(struct evidence_fixture *ef, const struct ask *ask,
			   void (*each)(void *ctx, struct str message), void *ctx, struct err *e)
{
	AUTO(store_reader_free) struct store_reader *reader = fixture_reader(ef->store);
	AUTO(evidence_export_free) struct evidence_export *x = NULL;
	AUTO_BUF struct buf request = buf_init(1 << 16), out = buf_init(64 << 20);
	const struct evidence_export_config config = { .reader = reader,
						       .dict = ef->store->dict,
						       .key = ef->key,
						       .node = ef->store->config.node,
						       .version = "test",
						       .now = ef->store->now };

	evidence_request(ask, &request);
	enum err_code code = evidence_export_new(&config, buf_str(&request), &x, e);
	ef->calls = 0;
	for (bool more = true; more && code == ERR_OK;) {
		if (ef->happens && ef->calls && ef->calls == ef->happens_at)
			ef->happens(ef);
		ef->calls++;
		code = evidence_export_next(x, &out, &more, e);
		if (code == ERR_OK && out.len)
			each(ctx, buf_str(&out));
	}
	return code;
}

static void collect(void *ctx, struct str message)
{
	struct err e = { 0 };

	if (evidence_collect_put(ctx, message, &e) != ERR_OK)
		fail_msg("%s", e.msg);
}

enum err_code evidence_bundle(struct evidence_fixture *ef, const struct ask *ask, struct err *e)
{
	AUTO_BUF struct buf request = buf_init(1 << 16);
	AUTO(evidence_collect_free) struct evidence_collect *c = NULL;

	evidence_request(ask, &request);
	const struct evidence_collect_config config = { .path = ef->bundle_path,
							.request = buf_str(&request),
							.tool = "tycho test",
							.csv = ask->csv,
							.keep = ask->keep,
							.chunk_bytes = ask->chunk_bytes,
							.now = ef->store->now };
	enum err_code code = evidence_collect_new(&config, &c, e);
	if (code == ERR_OK)
		code = evidence_run(ef, ask, collect, c, e);
	return code == ERR_OK ? evidence_collect_finish(c, e) : code;
}

enum err_code evidence_check(struct evidence_fixture *ef, struct buf *summary, struct err *e)
{
	AUTO_BUF struct buf ignored = buf_init(1 << 20);
	const struct evidence_verify_config config = { .path = ef->bundle_path, .threads = 2 };

	return evidence_verify(&config, summary ? summary : &ignored, e);
}

char *read_all(const char *path, size_t *ret_len)
{
	FILE *f = fopen(path, "re");
	assert_non_null(f);
	assert_int_equal(fseek(f, 0, SEEK_END), 0);
	long size = ftell(f);
	rewind(f);
	char *p = malloc((size_t)size + 1);
	assert_non_null(p);
	assert_int_equal(fread(p, 1, (size_t)size, f), size);
	(void)fclose(f);
	*ret_len = (size_t)size;
	return p;
}
