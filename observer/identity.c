#include "observer/identity.h"

#include <stdio.h>
#include <string.h>

#include "base/buf.h"
#include "base/str.h"
#include "observer/host.h"

enum { CLUSTER_MAX_BYTES = 200 };

/* Names of nodes and clusters may have dots; in a certificate's name each is one label, so that one
 * wildcard is good for all nodes of a cluster. */
static void put_label(struct buf *b, const char *name)
{
	for (; *name; name++)
		buf_char(b, *name == '.' ? '-' : *name);
}

/* The name that Hubble's relay, and ours, expect in the certificate. */
static void name_for_tls(struct identity *id, const char *cluster)
{
	struct buf b = buf_fixed(id->tls_name, sizeof id->tls_name - 1);

	put_label(&b, id->node);
	buf_char(&b, '.');
	put_label(&b, cluster);
	buf_lit(&b, ".hubble-grpc.cilium.io");
	id->tls_name[b.len] = '\0';
}

enum err_code identity_of(const char *node, const char *cluster, struct identity *ret,
			  struct err *e)
{
	if (node && (!*node || strlen(node) >= sizeof ret->node))
		return err_set(e, ERR_INVALID, "--node-name: a name of 1 to %zu bytes is needed",
			       sizeof ret->node - 1);
	if (node)
		(void)snprintf(ret->node, sizeof ret->node, "%s", node);
	else
		host_name(ret->node, sizeof ret->node);
	if (cluster && strlen(cluster) > CLUSTER_MAX_BYTES)
		return err_set(e, ERR_INVALID, "--cluster: a name of at most %d bytes is needed",
			       CLUSTER_MAX_BYTES);
	if (strchr(ret->node, '/') || (cluster && strchr(cluster, '/')))
		return err_set(e, ERR_INVALID, "--node-name and --cluster must not contain '/'");
	/* A Go client gives up a stream that carries one string of other bytes. */
	if (!utf8_is_valid(str_of(ret->node)) || (cluster && !utf8_is_valid(str_of(cluster))))
		return err_set(e, ERR_INVALID, "--node-name and --cluster must be valid UTF-8");
	bool in_cluster = cluster && *cluster && strcmp(cluster, "default") != 0;
	(void)snprintf(ret->full, sizeof ret->full, "%.*s%s%s", CLUSTER_MAX_BYTES,
		       in_cluster ? cluster : "", in_cluster ? "/" : "", ret->node);
	name_for_tls(ret, in_cluster ? cluster : "default");
	return ERR_OK;
}
