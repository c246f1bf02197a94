/* A sample of Cilium's: the first byte says where it comes from and how it is read. What comes out
 * must be a message that others can read. */
#include <stdlib.h>

#include "base/buf.h"
#include "flow/flow.pb-c.h"
#include "flow/json.h"
#include "flow/wire.h"
#include "observer/cilium/cilium.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { FROM_MONITOR = 1, OLD = 2, KEEP = 4, REDACT = 8, READERS = 16 };

static struct flow_dict *dict;
static struct name_table *names;

static void must(bool ok)
{
	if (!ok)
		abort();
}

/* One pod of this node, one elsewhere, an identity, a service, a cgroup. */
static void make_world(void)
{
	static const struct str label = { "k8s:app=cart", 12 };
	struct name_prefix p[2] = {
		{ .ip = { [10] = 0xff, [11] = 0xff, 10, 0, 0, 12 },
		  .bits = 128,
		  .local = true,
		  .verbatim = true,
		  .endpoint = { .id = 12, .identity = 3000, .labels = &label, .label_count = 1 } },
		{ .ip = { [10] = 0xff, [11] = 0xff, 10, 0, 0, 34 },
		  .bits = 128,
		  .verbatim = true,
		  .endpoint = { .identity = 3001, .pod = STR("web-0") } },
	};
	const struct name_identity identity = { 3001, &label, 1 };
	struct name_service service = { .port = 80, .service.name = STR("web") };
	struct name_cgroup cgroup = { .cgroup = 1 };
	const struct name_config config = { .cluster = "c", .node = "n" };

	memcpy(service.ip, p[1].ip, 16);
	memcpy(cgroup.ip4, p[0].ip, 16);
	must(flow_dict_new(1 << 16, &dict, NULL) == ERR_OK);
	must(name_table_new(&config, dict, &names, NULL) == ERR_OK);
	must(name_update(names, 0,
			 &(struct name_view){ .prefixes = p,
					      .prefix_count = 2,
					      .services = &service,
					      .service_count = 1,
					      .identities = &identity,
					      .identity_count = 1,
					      .cgroups = &cgroup,
					      .cgroup_count = 1 },
			 NULL) == ERR_OK);
}

static struct cilium *reader_of(uint8_t mode)
{
	static struct cilium *readers[READERS];
	struct cilium **c = &readers[mode % READERS];

	if (!dict)
		make_world();
	if (!*c) {
		const struct cilium_config config = {
			.dict = dict,
			.names = names,
			.release = mode & OLD ? CILIUM_RELEASE_1_18 : CILIUM_RELEASE_1_19,
			.keep_unknown_cgroups = mode & KEEP,
			.redact = { .enabled = mode & REDACT, .http_urlquery = true },
			.learn_dns = true,
		};
		must(cilium_new(&config, c, NULL) == ERR_OK);
	}
	return *c;
}

static void check(const struct flow *f)
{
	static const ProtobufCMessageDescriptor *const types[] = {
		[FLOW_KIND_FLOW] = &flow__flow__descriptor,
		[FLOW_KIND_AGENT] = &flow__agent_event__descriptor,
		[FLOW_KIND_DEBUG] = &flow__debug_event__descriptor,
	};
	AUTO_BUF struct buf wire = buf_init(4 << 20), json = buf_init(16 << 20);

	if (f->kind == FLOW_KIND_FLOW)
		flow_encode(&wire, f, dict);
	else
		buf_put(&wire, f->ext, f->ext_len);
	must(!wire.failed);
	must(json_put_message(&json, types[f->kind], buf_str(&wire), NULL) == ERR_OK);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	AUTO_BUF struct buf ext = buf_init(1 << 16);
	struct flow f = { .time = { 1 }, .bits = FLOW_HAS_TIME };

	if (!size)
		return 0;
	const struct cilium_sample in = { .bytes = str_n(data + 1, size - 1),
					  .cpu = 3,
					  .monitor = data[0] & FROM_MONITOR };
	struct cilium *c = reader_of(data[0]);
	if (flow_dict_counts(dict).overflows)
		return 0; /* a long run has filled the dictionary; names are then left out */
	if (cilium_event(c, &in, &f, &ext) == CILIUM_TAKEN && !ext.failed) {
		f.ext = (const uint8_t *)ext.p;
		f.ext_len = (uint32_t)ext.len;
		check(&f);
	}
	return 0;
}
