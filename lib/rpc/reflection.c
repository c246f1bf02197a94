/*
 * Server reflection (grpc.reflection.v1, and v1alpha, which has the same messages): lets grpcurl
 * and the like find out what is served. Answers come from the descriptors that proto/ builds in.
 *
 * Only v1 is listed as a service: the descriptor of v1alpha is not among ours, and a client that
 * walks the list asks for each one's.
 */
#include <stdlib.h>

#include "google/protobuf/descriptor.pb-c.h"
#include "grpc/reflection/v1/reflection.pb-c.h"
#include "proto/descriptors.h"
#include "rpc/serving.h"

typedef Grpc__Reflection__V1__ServerReflectionRequest Request;
typedef Grpc__Reflection__V1__ServerReflectionResponse Response;
typedef Google__Protobuf__FileDescriptorProto File;
typedef Google__Protobuf__DescriptorProto Message;

struct reflection {
	Google__Protobuf__FileDescriptorSet *set;
	ProtobufCBinaryData *bytes; /* of each file of the set; borrowed from proto_descriptors */
	char **services;            /* what the server offers */
	size_t service_count;
};

static bool read_varint(const uint8_t **p, const uint8_t *end, uint64_t *ret)
{
	*ret = 0;
	for (unsigned shift = 0; *p < end && shift < 64; shift += 7) {
		uint8_t byte = *(*p)++;
		*ret |= (uint64_t)(byte & 0x7f) << shift;
		if (byte < 0x80)
			return true;
	}
	return false;
}

/* FileDescriptorSet is `repeated FileDescriptorProto file = 1`: where each one's own bytes lie. */
static bool slice_set(struct reflection *r)
{
	const uint8_t *p = proto_descriptors, *end = p + proto_descriptors_bytes;
	enum { FILE_TAG = 1 << 3 | 2 };

	for (size_t i = 0; i < r->set->n_file; i++) {
		uint64_t tag, len;
		if (!read_varint(&p, end, &tag) || tag != FILE_TAG || !read_varint(&p, end, &len) ||
		    len > (uint64_t)(end - p))
			return false;
		r->bytes[i] = (ProtobufCBinaryData){ (size_t)len, (uint8_t *)(uintptr_t)p };
		p += len;
	}
	return p == end;
}

static bool add_service(struct reflection *r, struct str name)
{
	for (size_t i = 0; i < r->service_count; i++)
		if (str_is(name, r->services[i]))
			return true;
	char *copy = str_dup(name);
	if (!copy)
		return false;
	r->services[r->service_count++] = copy;
	return true;
}

enum err_code reflection_new(const struct rpc_server *s, struct reflection **ret, struct err *e)
{
	struct reflection *r = calloc(1, sizeof *r);
	if (!r)
		return err_set(e, ERR_NOMEM, "reflection service");
	r->set = google__protobuf__file_descriptor_set__unpack(NULL, proto_descriptors_bytes,
							       proto_descriptors);
	r->services = calloc(s->method_count + 2, sizeof *r->services);
	r->bytes = r->set ? calloc(r->set->n_file + 1, sizeof *r->bytes) : NULL;
	bool ok = r->bytes && r->services && slice_set(r) &&
		  add_service(r, STR("grpc.health.v1.Health")) &&
		  add_service(r, STR("grpc.reflection.v1.ServerReflection"));
	for (size_t i = 0; ok && i < s->method_count; i++) {
		struct str path = str_from(str_of(s->methods[i].path), 1);
		ok = add_service(r, str_upto(path, str_find(path, '/')));
	}
	if (!ok) {
		reflection_free(r);
		return err_set(e, ERR_NOMEM, "reflection service");
	}
	*ret = r;
	return ERR_OK;
}

void reflection_free(struct reflection *r)
{
	if (!r)
		return;
	for (size_t i = 0; i < r->service_count; i++)
		free(r->services[i]);
	free(r->services);
	free(r->bytes);
	if (r->set)
		google__protobuf__file_descriptor_set__free_unpacked(r->set, NULL);
	free(r);
}

/* ---- looking up */

/* If @symbol is @name or lies within it, *ret_rest is what follows the dot ("" for the name
 * itself). */
static bool is_within(struct str symbol, const char *name, struct str *ret_rest)
{
	size_t n = strlen(name);

	if (!str_has_prefix(symbol, str_of(name)) || (symbol.len > n && symbol.p[n] != '.') ||
	    symbol.len == n + 1)
		return false;
	*ret_rest = str_from(symbol, n + 1);
	return true;
}

static bool in_enums(Google__Protobuf__EnumDescriptorProto **enums, size_t n, struct str symbol)
{
	for (size_t i = 0; i < n; i++) {
		if (str_is(symbol, enums[i]->name))
			return true;
		/* As in C++, an enum's values live beside it, not in it. */
		for (size_t v = 0; v < enums[i]->n_value; v++)
			if (str_is(symbol, enums[i]->value[v]->name))
				return true;
	}
	return false;
}

static bool in_messages(Message **messages, size_t n, struct str symbol)
{
	struct str rest;

	for (size_t i = 0; i < n; i++) {
		const Message *m = messages[i];
		if (!is_within(symbol, m->name, &rest))
			continue;
		if (rest.len == 0 || in_enums(m->enum_type, m->n_enum_type, rest) ||
		    in_messages(m->nested_type, m->n_nested_type, rest))
			return true;
		for (size_t f = 0; f < m->n_field; f++)
			if (str_is(rest, m->field[f]->name))
				return true;
	}
	return false;
}

static bool in_services(const File *file, struct str symbol)
{
	struct str rest;

	for (size_t i = 0; i < file->n_service; i++) {
		if (!is_within(symbol, file->service[i]->name, &rest))
			continue;
		if (rest.len == 0)
			return true;
		for (size_t m = 0; m < file->service[i]->n_method; m++)
			if (str_is(rest, file->service[i]->method[m]->name))
				return true;
	}
	return false;
}

/* Index of the file that defines @symbol, or the number of files. */
static size_t find_symbol(const struct reflection *r, struct str symbol)
{
	size_t i = 0;

	for (; i < r->set->n_file; i++) {
		const File *f = r->set->file[i];
		struct str rest = symbol;
		if (f->package && *f->package && !is_within(symbol, f->package, &rest))
			continue;
		if (in_messages(f->message_type, f->n_message_type, rest) ||
		    in_enums(f->enum_type, f->n_enum_type, rest) || in_services(f, rest))
			break;
	}
	return i;
}

static size_t find_file(const struct reflection *r, const char *name)
{
	size_t i = 0;

	while (i < r->set->n_file && strcmp(r->set->file[i]->name, name) != 0)
		i++;
	return i;
}

/* ---- answering */

static void send_answer(struct rpc_call *call, const Response *answer)
{
	size_t size = grpc__reflection__v1__server_reflection_response__get_packed_size(answer);
	uint8_t *out = rpc_call_reserve(call, size);

	if (!out) {
		rpc_call_end(call, RPC_RESOURCE_EXHAUSTED, "no room for the answer");
		return;
	}
	(void)grpc__reflection__v1__server_reflection_response__pack(answer, out);
	rpc_call_commit(call, size);
}

static void answer_error(struct rpc_call *call, Response *answer, enum rpc_status status,
			 const char *text)
{
	Grpc__Reflection__V1__ErrorResponse error;

	grpc__reflection__v1__error_response__init(&error);
	error.error_code = (int32_t)status;
	error.error_message = (char *)(uintptr_t)text;
	answer->message_response_case =
		GRPC__REFLECTION__V1__SERVER_REFLECTION_RESPONSE__MESSAGE_RESPONSE_ERROR_RESPONSE;
	answer->error_response = &error;
	send_answer(call, answer);
}

/* The file asked for comes first, then what it imports, each once. */
static void gather(const struct reflection *r, size_t i, bool *seen, ProtobufCBinaryData *out,
		   size_t *n)
{
	if (i >= r->set->n_file || seen[i])
		return;
	seen[i] = true;
	out[(*n)++] = r->bytes[i];
	for (size_t d = 0; d < r->set->file[i]->n_dependency; d++)
		gather(r, find_file(r, r->set->file[i]->dependency[d]), seen, out, n);
}

static void answer_file(struct rpc_call *call, const struct reflection *r, Response *answer,
			size_t i)
{
	Grpc__Reflection__V1__FileDescriptorResponse files =
		GRPC__REFLECTION__V1__FILE_DESCRIPTOR_RESPONSE__INIT;

	if (i == r->set->n_file) {
		answer_error(call, answer, RPC_NOT_FOUND, "not found");
		return;
	}
	bool *seen = calloc(r->set->n_file, sizeof *seen);
	files.file_descriptor_proto = calloc(r->set->n_file, sizeof *files.file_descriptor_proto);
	if (seen && files.file_descriptor_proto) {
		gather(r, i, seen, files.file_descriptor_proto, &files.n_file_descriptor_proto);
		answer->message_response_case =
			GRPC__REFLECTION__V1__SERVER_REFLECTION_RESPONSE__MESSAGE_RESPONSE_FILE_DESCRIPTOR_RESPONSE;
		answer->file_descriptor_response = &files;
		send_answer(call, answer);
	} else {
		rpc_call_end(call, RPC_RESOURCE_EXHAUSTED, "out of memory");
	}
	free(files.file_descriptor_proto);
	free(seen);
}

static void answer_services(struct rpc_call *call, const struct reflection *r, Response *answer)
{
	Grpc__Reflection__V1__ListServiceResponse list =
		GRPC__REFLECTION__V1__LIST_SERVICE_RESPONSE__INIT;
	Grpc__Reflection__V1__ServiceResponse *all = calloc(r->service_count, sizeof *all);
	list.service = calloc(r->service_count, sizeof *list.service);

	if (all && list.service) {
		for (size_t i = 0; i < r->service_count; i++) {
			grpc__reflection__v1__service_response__init(&all[i]);
			all[i].name = r->services[i];
			list.service[i] = &all[i];
		}
		list.n_service = r->service_count;
		answer->message_response_case =
			GRPC__REFLECTION__V1__SERVER_REFLECTION_RESPONSE__MESSAGE_RESPONSE_LIST_SERVICES_RESPONSE;
		answer->list_services_response = &list;
		send_answer(call, answer);
	} else {
		rpc_call_end(call, RPC_RESOURCE_EXHAUSTED, "out of memory");
	}
	free(list.service);
	free(all);
}

/* proto3 has no extensions: a known type has none of them. */
static void answer_extensions(struct rpc_call *call, const struct reflection *r, Response *answer,
			      char *type)
{
	Grpc__Reflection__V1__ExtensionNumberResponse none;

	if (find_symbol(r, str_of(type)) == r->set->n_file) {
		answer_error(call, answer, RPC_NOT_FOUND, "not found");
		return;
	}
	grpc__reflection__v1__extension_number_response__init(&none);
	none.base_type_name = type;
	answer->message_response_case =
		GRPC__REFLECTION__V1__SERVER_REFLECTION_RESPONSE__MESSAGE_RESPONSE_ALL_EXTENSION_NUMBERS_RESPONSE;
	answer->all_extension_numbers_response = &none;
	send_answer(call, answer);
}

static void on_question(struct rpc_call *call, struct str bytes)
{
	const struct reflection *r = call->server->reflection;
	Request *q = grpc__reflection__v1__server_reflection_request__unpack(
		NULL, bytes.len, (const uint8_t *)bytes.p);
	if (!q) {
		rpc_call_end(call, RPC_INVALID_ARGUMENT, "not a ServerReflectionRequest");
		return;
	}
	Response answer;
	grpc__reflection__v1__server_reflection_response__init(&answer);
	answer.valid_host = q->host;
	answer.original_request = q;
	switch (q->message_request_case) {
	case GRPC__REFLECTION__V1__SERVER_REFLECTION_REQUEST__MESSAGE_REQUEST_FILE_BY_FILENAME:
		answer_file(call, r, &answer, find_file(r, q->file_by_filename));
		break;
	case GRPC__REFLECTION__V1__SERVER_REFLECTION_REQUEST__MESSAGE_REQUEST_FILE_CONTAINING_SYMBOL:
		answer_file(call, r, &answer, find_symbol(r, str_of(q->file_containing_symbol)));
		break;
	case GRPC__REFLECTION__V1__SERVER_REFLECTION_REQUEST__MESSAGE_REQUEST_FILE_CONTAINING_EXTENSION:
		answer_error(call, &answer, RPC_NOT_FOUND, "not found");
		break;
	case GRPC__REFLECTION__V1__SERVER_REFLECTION_REQUEST__MESSAGE_REQUEST_ALL_EXTENSION_NUMBERS_OF_TYPE:
		answer_extensions(call, r, &answer, q->all_extension_numbers_of_type);
		break;
	case GRPC__REFLECTION__V1__SERVER_REFLECTION_REQUEST__MESSAGE_REQUEST_LIST_SERVICES:
		answer_services(call, r, &answer);
		break;
	default:
		rpc_call_end(call, RPC_INVALID_ARGUMENT,
			     "no question in the ServerReflectionRequest");
	}
	grpc__reflection__v1__server_reflection_request__free_unpacked(q, NULL);
}

static void converse(struct rpc_call *call, struct str bytes, void *ctx)
{
	(void)ctx;
	call_converse(call, on_question, NULL);
	on_question(call, bytes);
}

void (*reflection_method(struct str path))(struct rpc_call *, struct str, void *)
{
	return str_is(path, "/grpc.reflection.v1.ServerReflection/ServerReflectionInfo") ||
			       str_is(path, "/grpc.reflection.v1alpha.ServerReflection/"
					    "ServerReflectionInfo")
		       ? converse
		       : NULL;
}

/* "/package.Service/Method" */
enum rpc_kind reflection_kind(const struct reflection *r, struct str path)
{
	struct str whole = str_from(path, 1), service = str_upto(whole, str_find(whole, '/'));
	struct str name = str_from(whole, service.len + 1);
	size_t at = find_symbol(r, service), dot = str_find_last(service, '.');
	const File *file = at < r->set->n_file ? r->set->file[at] : NULL;

	if (dot < service.len)
		service = str_from(service, dot + 1);
	for (size_t i = 0; file && i < file->n_service; i++)
		for (size_t j = 0; j < file->service[i]->n_method; j++) {
			const Google__Protobuf__MethodDescriptorProto *m =
				file->service[i]->method[j];
			if (!str_is(service, file->service[i]->name) || !str_is(name, m->name))
				continue;
			return !m->server_streaming  ? RPC_UNARY
			       : m->client_streaming ? RPC_BIDI_STREAM
						     : RPC_SERVER_STREAM;
		}
	return RPC_UNARY;
}
