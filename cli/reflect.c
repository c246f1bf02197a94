/*
 * reflect (hidden) - the .proto files that a server says it speaks, one JSON line each. For people
 * who build clients.
 */
#include "base/buf.h"
#include "cli/command.h"
#include "cli/connect.h"
#include "flow/json.h"
#include "google/protobuf/descriptor.pb-c.h"
#include "grpc/reflection/v1/reflection.pb-c.h"

enum { NAMES_MOST = 4096, LINE_MOST_BYTES = 16 << 20, REQUEST_MOST_BYTES = 4096 };
/* Older servers know this name only; the messages are those of v1. */
static const char method[] = "/grpc.reflection.v1alpha.ServerReflection/ServerReflectionInfo";

typedef Grpc__Reflection__V1__ServerReflectionRequest reflection_request;
typedef Grpc__Reflection__V1__ServerReflectionResponse reflection_response;

/* Names to ask for, each once, in the order they were heard of. */
struct names {
	char *items[NAMES_MOST];
	size_t count;
};

struct reflection {
	struct rpc_channel *channel;
	struct names services, files;
};

static enum err_code names_add(struct names *n, const char *name, struct err *e)
{
	for (size_t i = 0; i < n->count; i++)
		if (strcmp(n->items[i], name) == 0)
			return ERR_OK;
	if (n->count == NAMES_MOST)
		return err_set(e, ERR_NOMEM, "the server names more than %d files", NAMES_MOST);
	if (!(n->items[n->count] = str_dup(str_of(name))))
		return err_set(e, ERR_NOMEM, "reflection");
	n->count++;
	return ERR_OK;
}

static enum err_code take_file(struct reflection *r, struct str file, struct err *e)
{
	AUTO_BUF struct buf line = buf_init(LINE_MOST_BYTES);
	Google__Protobuf__FileDescriptorProto *f = google__protobuf__file_descriptor_proto__unpack(
		NULL, file.len, (const uint8_t *)file.p);

	if (!f || !f->name) {
		google__protobuf__file_descriptor_proto__free_unpacked(f, NULL);
		return err_set(e, ERR_PARSE, "the server's file descriptor cannot be read");
	}
	size_t known = r->files.count;
	enum err_code code = names_add(&r->files, f->name, e);
	bool fresh = r->files.count > known;
	google__protobuf__file_descriptor_proto__free_unpacked(f, NULL);
	if (code != ERR_OK || !fresh)
		return code;
	if (json_put_message(&line, &google__protobuf__file_descriptor_proto__descriptor, file,
			     e) != ERR_OK)
		return e->code;
	buf_char(&line, '\n');
	return cli_write(buf_str(&line), e);
}

/* What every server has: Hubble's command does not tell of them. */
static bool is_of_grpc(const char *service)
{
	return strcmp(service, "grpc.health.v1.Health") == 0 ||
	       strcmp(service, "grpc.reflection.v1alpha.ServerReflection") == 0;
}

static enum err_code take_answer(struct reflection *r, const reflection_response *answer,
				 struct err *e)
{
	enum err_code code = ERR_OK;

	if (answer->message_response_case ==
	    GRPC__REFLECTION__V1__SERVER_REFLECTION_RESPONSE__MESSAGE_RESPONSE_LIST_SERVICES_RESPONSE) {
		const Grpc__Reflection__V1__ListServiceResponse *list =
			answer->list_services_response;
		for (size_t i = 0; code == ERR_OK && i < list->n_service; i++)
			if (!is_of_grpc(list->service[i]->name))
				code = names_add(&r->services, list->service[i]->name, e);
	} else if (
		answer->message_response_case ==
		GRPC__REFLECTION__V1__SERVER_REFLECTION_RESPONSE__MESSAGE_RESPONSE_FILE_DESCRIPTOR_RESPONSE) {
		const Grpc__Reflection__V1__FileDescriptorResponse *files =
			answer->file_descriptor_response;
		for (size_t i = 0; code == ERR_OK && i < files->n_file_descriptor_proto; i++)
			code = take_file(r,
					 str_n(files->file_descriptor_proto[i].data,
					       files->file_descriptor_proto[i].len),
					 e);
	} else if (
		answer->message_response_case ==
		GRPC__REFLECTION__V1__SERVER_REFLECTION_RESPONSE__MESSAGE_RESPONSE_ERROR_RESPONSE) {
		code = err_set(e, ERR_NOT_FOUND, "reflection: %s",
			       answer->error_response->error_message);
	}
	return code;
}

static enum err_code ask(struct reflection *r, const reflection_request *request, struct err *e)
{
	AUTO(rpc_stream_free) struct rpc_stream *stream = NULL;
	AUTO_BUF struct buf wire = buf_init(REQUEST_MOST_BYTES);
	struct str message;
	enum err_code code;
	char *to = buf_reserve(
		&wire,
		grpc__reflection__v1__server_reflection_request__get_packed_size(request) + 1);

	if (!to)
		return err_set(e, ERR_INVALID, "reflection: a name is too long");
	wire.len = grpc__reflection__v1__server_reflection_request__pack(request, (uint8_t *)to);
	if (rpc_stream_open(r->channel, method, buf_str(&wire), &stream, e) != ERR_OK)
		return e->code;
	while ((code = rpc_stream_next(stream, 0, &message, e)) == ERR_OK) {
		reflection_response *answer =
			grpc__reflection__v1__server_reflection_response__unpack(
				NULL, message.len, (const uint8_t *)message.p);
		if (!answer)
			return err_set(e, ERR_PARSE, "the server's reflection cannot be read");
		code = take_answer(r, answer, e);
		grpc__reflection__v1__server_reflection_response__free_unpacked(answer, NULL);
		if (code != ERR_OK)
			return code;
	}
	return code == ERR_CLOSED ? ERR_OK : code;
}

static enum err_code ask_all(struct reflection *r, struct err *e)
{
	reflection_request request;
	char everything[] = "*";

	grpc__reflection__v1__server_reflection_request__init(&request);
	request.message_request_case =
		GRPC__REFLECTION__V1__SERVER_REFLECTION_REQUEST__MESSAGE_REQUEST_LIST_SERVICES;
	request.list_services = everything;
	if (ask(r, &request, e) != ERR_OK)
		return e->code;
	request.message_request_case =
		GRPC__REFLECTION__V1__SERVER_REFLECTION_REQUEST__MESSAGE_REQUEST_FILE_CONTAINING_SYMBOL;
	for (size_t i = 0; i < r->services.count; i++) {
		request.file_containing_symbol = r->services.items[i];
		if (ask(r, &request, e) != ERR_OK)
			return e->code;
	}
	return ERR_OK;
}

static enum err_code run_reflect(struct cli *cli, struct err *e)
{
	AUTO_CONNECTION struct connection c = { 0 };
	struct reflection *r = calloc(1, sizeof *r);

	if (!r)
		return err_set(e, ERR_NOMEM, "reflection");
	enum err_code code = connection_open(cli->settings, &c, e);
	r->channel = c.channel;
	if (code == ERR_OK)
		code = ask_all(r, e);
	for (size_t i = 0; i < r->services.count; i++)
		free(r->services.items[i]);
	for (size_t i = 0; i < r->files.count; i++)
		free(r->files.items[i]);
	free(r);
	return code;
}

const struct command reflect_command = {
	.name = "reflect",
	.help = "Print the .proto files that a server speaks",
	.ignores_words = true,
	.hidden = true,
	.uses_server = true,
	.run = run_reflect,
};
