/* What an API server may send as a list: cut in two anywhere, the same comes out; objects that come
 * out are taken in or left out, and names can be made of them. */
#include <stdint.h>

#include "observer/kubernetes/split.h"
#include "observer/kubernetes/world.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

struct seen {
	struct kube_world *world;
	uint64_t hash;
	enum kube_kind kind;
};

static enum err_code item(void *ctx, struct str json, struct err *e)
{
	struct seen *s = ctx;
	json_t *object = json_loadb(json.p, json.len, 0, NULL);

	(void)e;
	s->hash = hash_bytes(json.p, json.len, s->hash);
	if (object) {
		(void)kube_world_put(s->world, s->kind, object);
		s->kind = (s->kind + 1) % KUBE_KINDS;
	}
	json_decref(object);
	return ERR_OK;
}

static enum err_code member(void *ctx, struct str key, struct str json, struct err *e)
{
	struct seen *s = ctx;

	(void)e;
	s->hash = hash_bytes(key.p, key.len, s->hash + 1);
	s->hash = hash_bytes(json.p, json.len, s->hash);
	return ERR_OK;
}

static uint64_t run(struct str in, size_t cut)
{
	struct seen seen = { 0 };
	const struct kube_split_to to = { item, member, &seen };
	struct kube_split split;
	struct kube_view view;

	if (kube_world_new("", "n", &seen.world, NULL) != ERR_OK)
		abort();
	kube_split_init(&split, &to);
	enum err_code code = kube_split_feed(&split, str_upto(in, cut), NULL);
	if (code == ERR_OK)
		code = kube_split_feed(&split, str_from(in, cut), NULL);
	if (kube_world_view(seen.world, &view, NULL) != ERR_OK)
		abort();
	kube_view_done(&view);
	kube_world_free(seen.world);
	bool complete = code == ERR_OK && kube_split_is_complete(&split);
	kube_split_done(&split);
	return seen.hash * 31 + (uint64_t)code * 2 + complete;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	const struct str in = str_n(data, size);

	if (run(in, size) != run(in, size / 2) || run(in, size) != run(in, size / 3))
		abort();
	return 0;
}
