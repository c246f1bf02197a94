#include "store/inside.h"

/* "Tych": the file says whose it is (file(1) shows it as an SQLite application id). */
enum { APPLICATION_ID = 0x54796368 };

/*
 * steps[v] takes a file of version v to v + 1; a new file goes through all of them. Steps that have
 * been released are never changed. docs/store.md describes what is there.
 *
 * Segments and their bytes are two tables, so that looking through zones touches no bytes, and a
 * damaged page of bytes costs one segment.
 */
static const char *const steps[] = {
	"CREATE TABLE meta (name TEXT PRIMARY KEY, value) WITHOUT ROWID;"

	"CREATE TABLE endpoint (id INTEGER PRIMARY KEY AUTOINCREMENT, hash INTEGER NOT NULL,"
	" day INTEGER NOT NULL, identity INTEGER, cluster TEXT, namespace TEXT, pod TEXT,"
	" workload TEXT, workload_kind TEXT, labels TEXT, wire BLOB NOT NULL);"
	"CREATE INDEX endpoint_hash ON endpoint (hash);"
	"CREATE TABLE service (id INTEGER PRIMARY KEY AUTOINCREMENT, hash INTEGER NOT NULL,"
	" day INTEGER NOT NULL, name TEXT, namespace TEXT, wire BLOB NOT NULL);"
	"CREATE INDEX service_hash ON service (hash);"
	"CREATE TABLE node (id INTEGER PRIMARY KEY AUTOINCREMENT, hash INTEGER NOT NULL,"
	" day INTEGER NOT NULL, name TEXT, labels TEXT, wire BLOB NOT NULL);"
	"CREATE INDEX node_hash ON node (hash);"
	"CREATE TABLE kernel_reason (id INTEGER PRIMARY KEY AUTOINCREMENT, hash INTEGER NOT NULL,"
	" day INTEGER NOT NULL, wire BLOB NOT NULL);"
	"CREATE INDEX kernel_reason_hash ON kernel_reason (hash);"

	"CREATE TABLE entry (number INTEGER PRIMARY KEY, kind INTEGER NOT NULL,"
	" hash BLOB NOT NULL, body TEXT, first_seq INTEGER, last_seq INTEGER, count INTEGER,"
	" from_ns INTEGER, to_ns INTEGER, sealed_ns INTEGER, root BLOB);"
	"CREATE TABLE checkpoint (id INTEGER PRIMARY KEY, entry INTEGER NOT NULL,"
	" text TEXT NOT NULL, signature BLOB NOT NULL, key BLOB NOT NULL);"
	"CREATE INDEX checkpoint_entry ON checkpoint (entry);"

	"CREATE TABLE segment (first_seq INTEGER PRIMARY KEY, last_seq INTEGER NOT NULL,"
	" count INTEGER NOT NULL, blocks INTEGER NOT NULL, level INTEGER NOT NULL,"
	" from_ns INTEGER NOT NULL, to_ns INTEGER NOT NULL, untimed INTEGER NOT NULL,"
	" sealed_ns INTEGER NOT NULL, last_entry INTEGER NOT NULL, damaged INTEGER NOT NULL,"
	" bytes INTEGER NOT NULL, sum INTEGER NOT NULL, zone BLOB NOT NULL);"
	"CREATE INDEX segment_small ON segment (first_seq) WHERE level < 9;"
	"CREATE INDEX segment_sealed ON segment (sealed_ns);"
	"CREATE TABLE segment_data (first_seq INTEGER PRIMARY KEY, data BLOB NOT NULL);"

	"CREATE TABLE gap (id INTEGER PRIMARY KEY, entry INTEGER NOT NULL, cause INTEGER NOT NULL,"
	" from_ns INTEGER NOT NULL, to_ns INTEGER NOT NULL, lost INTEGER NOT NULL,"
	" first_seq INTEGER NOT NULL, last_seq INTEGER NOT NULL, node TEXT NOT NULL,"
	" detail TEXT NOT NULL);"
	"CREATE INDEX gap_to ON gap (to_ns);"
	"CREATE TABLE policy (id INTEGER PRIMARY KEY, entry INTEGER NOT NULL, kind TEXT NOT NULL,"
	" namespace TEXT NOT NULL, name TEXT NOT NULL, uid TEXT NOT NULL,"
	" resource_version TEXT NOT NULL, text TEXT NOT NULL, from_ns INTEGER NOT NULL,"
	" to_ns INTEGER NOT NULL);"
	"CREATE INDEX policy_name ON policy (kind, namespace, name);"

	"CREATE TABLE party (id INTEGER PRIMARY KEY AUTOINCREMENT, namespace TEXT NOT NULL,"
	" name TEXT NOT NULL, day INTEGER NOT NULL, UNIQUE (namespace, name));"
	"CREATE TABLE edge (minute INTEGER NOT NULL, src INTEGER NOT NULL, dst INTEGER NOT NULL,"
	" port INTEGER NOT NULL, l4 INTEGER NOT NULL, verdict INTEGER NOT NULL,"
	" drop_desc INTEGER NOT NULL, policy INTEGER NOT NULL, dns INTEGER NOT NULL,"
	" node INTEGER NOT NULL, flows INTEGER NOT NULL, packets INTEGER NOT NULL,"
	" bytes INTEGER NOT NULL, l7_ok INTEGER NOT NULL, l7_errors INTEGER NOT NULL,"
	" PRIMARY KEY (minute, src, dst, port, l4, verdict, drop_desc, policy, dns, node))"
	" WITHOUT ROWID;"
	"CREATE VIEW edges AS SELECT e.minute, coalesce(n.name, '') AS node,"
	" s.namespace AS src_namespace, s.name AS src, d.namespace AS dst_namespace,"
	" d.name AS dst, coalesce(x.name, '') AS dst_dns, e.port AS dst_port, e.l4, e.verdict,"
	" e.drop_desc, coalesce(p.name, '') AS policy, e.flows, e.packets, e.bytes, e.l7_ok,"
	" e.l7_errors FROM edge e JOIN party s ON s.id = e.src JOIN party d ON d.id = e.dst"
	" LEFT JOIN party x ON x.id = e.dns LEFT JOIN party p ON p.id = e.policy"
	" LEFT JOIN party n ON n.id = e.node;",

	/* Large segments are sorted onto shelves: those that are there are due (level 8). */
	"ALTER TABLE segment ADD COLUMN shelves INTEGER NOT NULL DEFAULT 0;"
	"CREATE TABLE shelf (id INTEGER PRIMARY KEY, count INTEGER NOT NULL, sum INTEGER NOT NULL,"
	" zone_sum INTEGER NOT NULL, zone BLOB NOT NULL);"
	"UPDATE segment SET level = 8 WHERE level = 9 AND count >= 16384 AND damaged = 0;",

	/* Policies say who gave them. */
	"ALTER TABLE policy ADD COLUMN origin TEXT NOT NULL DEFAULT '';",

	/* The ends of edges have a cluster and a kind of workload. Those of before have NULL, and are
	 * shown with the ones of the only party of their names that has them, if there is one. The
	 * table is made anew for its UNIQUE; its rows keep their numbers, and so does what gives
	 * them out. */
	"DROP VIEW edges;"
	"CREATE TABLE party_4 (id INTEGER PRIMARY KEY AUTOINCREMENT, namespace TEXT NOT NULL,"
	" name TEXT NOT NULL, cluster TEXT, kind TEXT, day INTEGER NOT NULL,"
	" UNIQUE (namespace, name, cluster, kind));"
	"INSERT INTO party_4 SELECT id, namespace, name, NULL, NULL, day FROM party;"
	"DELETE FROM sqlite_sequence WHERE name = 'party_4';"
	"INSERT INTO sqlite_sequence SELECT 'party_4', seq FROM sqlite_sequence"
	" WHERE name = 'party';"
	"DROP TABLE party;"
	"ALTER TABLE party_4 RENAME TO party;"
	"CREATE VIEW party_known AS SELECT p.id, p.namespace, p.name,"
	" coalesce(p.cluster, (SELECT CASE count(*) WHEN 1 THEN max(k.cluster) END FROM party k"
	" WHERE k.namespace = p.namespace AND k.name = p.name AND k.cluster IS NOT NULL), '')"
	" AS cluster,"
	" coalesce(p.kind, (SELECT CASE count(*) WHEN 1 THEN max(k.kind) END FROM party k"
	" WHERE k.namespace = p.namespace AND k.name = p.name AND k.cluster IS NOT NULL), '')"
	" AS kind FROM party p;"
	"CREATE VIEW edges AS SELECT e.minute, coalesce(n.name, '') AS node,"
	" s.cluster AS src_cluster, s.namespace AS src_namespace, s.name AS src,"
	" s.kind AS src_kind, d.cluster AS dst_cluster, d.namespace AS dst_namespace,"
	" d.name AS dst, d.kind AS dst_kind, coalesce(x.name, '') AS dst_dns,"
	" e.port AS dst_port, e.l4, e.verdict, e.drop_desc, coalesce(p.name, '') AS policy,"
	" e.flows, e.packets, e.bytes, e.l7_ok, e.l7_errors FROM edge e"
	" JOIN party_known s ON s.id = e.src JOIN party_known d ON d.id = e.dst"
	" LEFT JOIN party x ON x.id = e.dns LEFT JOIN party p ON p.id = e.policy"
	" LEFT JOIN party n ON n.id = e.node;",

	/* A minute of the service map is one row: a fifth of the bytes. The view means the table that
	 * each connection has of them (edge_table.h). */
	"CREATE TABLE edge_minute (id INTEGER PRIMARY KEY, sum INTEGER NOT NULL,"
	" data BLOB NOT NULL);"
	"INSERT INTO edge_minute SELECT id, edge_sum(data), data FROM (SELECT minute << 20 | piece"
	" AS id, edge_pack(src, dst, port, l4, verdict, drop_desc, policy, dns, node, flows,"
	" packets, bytes, l7_ok, l7_errors) AS data FROM (SELECT *, (row_number() OVER (PARTITION"
	" BY minute ORDER BY src, dst, port, l4, verdict, drop_desc, policy, dns, node) - 1)"
	" / 16384 AS piece FROM edge) GROUP BY minute, piece);"
	"DROP TABLE edge;",
};

enum { SCHEMA_VERSION = ARRAY_LEN(steps) };

/*
 * What step v adds to a file of version v, as far as readers ask for it: views of the connection's
 * own that stand before the tables. A column that is there says what it says, also if the file is
 * taken to a newer version meanwhile.
 */
static const char *const views[] = {
	NULL, /* of version 0 there is nothing to be read */
	"CREATE TEMP VIEW segment AS SELECT *, 0 AS shelves FROM main.segment;",
	"CREATE TEMP VIEW policy AS SELECT *, '' AS origin FROM main.policy;",
	"CREATE TEMP VIEW edges AS SELECT *, '' AS src_cluster, '' AS src_kind,"
	" '' AS dst_cluster, '' AS dst_kind FROM main.edges;",
	"", /* edge is there, in one form or the other */
};
_Static_assert(ARRAY_LEN(views) == SCHEMA_VERSION, "a version that cannot be read");

static enum err_code look(struct db *db, const char *path, uint64_t *ret_version, struct err *e)
{
	uint64_t id = 0, version = 0, tables = 0;
	enum err_code code = db_number(db, "PRAGMA application_id", 0, &id, e);

	if (code == ERR_OK)
		code = db_number(db, "PRAGMA user_version", 0, &version, e);
	if (code == ERR_OK)
		code = db_number(db, "SELECT count(*) FROM sqlite_schema", 0, &tables, e);
	if (code != ERR_OK)
		return code;
	if (id != APPLICATION_ID && tables)
		return err_set(e, ERR_UNSUPPORTED, "'%s' is a database, but not Tycho's", path);
	if (version > SCHEMA_VERSION)
		return err_set(e, ERR_UNSUPPORTED,
			       "'%s' was written by a newer Tycho (version %llu of the file; this "
			       "program knows up to %d): use that one, or another folder",
			       path, (unsigned long long)version, SCHEMA_VERSION);
	*ret_version = version;
	return ERR_OK;
}

enum err_code schema_read(struct db *db, const char *path, struct err *e)
{
	uint64_t version;
	enum err_code code = look(db, path, &version, e);

	if (code == ERR_OK && version == 0)
		return err_set(e, ERR_UNSUPPORTED,
			       "there is nothing in '%s' yet: let its observer open it once", path);
	for (; code == ERR_OK && version < SCHEMA_VERSION; version++)
		code = db_script(db, views[version], e);
	return code;
}

static enum err_code migrate(struct db *db, const char *path, struct err *e)
{
	uint64_t version;
	enum err_code code = look(db, path, &version, e); /* again: now nobody else writes */

	for (; code == ERR_OK && version < SCHEMA_VERSION; version++)
		code = db_script(db, steps[version], e);
	char pragmas[96];
	(void)snprintf(pragmas, sizeof pragmas,
		       "PRAGMA application_id = %d; PRAGMA user_version = %d", APPLICATION_ID,
		       SCHEMA_VERSION);
	if (code == ERR_OK)
		code = db_script(db, pragmas, e);
	return code;
}

enum err_code schema_prepare(struct db *db, const char *path, struct err *e)
{
	uint64_t version;
	enum err_code code = look(db, path, &version, e);

	/* auto_vacuum counts only before there is a table. What a power cut takes is what came
	 * after the log was last synced; the file itself stays sound (NORMAL). */
	if (code == ERR_OK)
		code = db_script(db,
				 "PRAGMA auto_vacuum = INCREMENTAL; PRAGMA journal_mode = WAL;"
				 "PRAGMA synchronous = NORMAL; PRAGMA wal_autocheckpoint = 0;"
				 "PRAGMA journal_size_limit = 4194304; PRAGMA cache_size = -1024;"
				 "PRAGMA temp_store = MEMORY; PRAGMA trusted_schema = OFF",
				 e);
	if (code != ERR_OK || version == SCHEMA_VERSION)
		return code;
	code = db_begin(db, e);
	if (code != ERR_OK)
		return code;
	code = migrate(db, path, e);
	if (code == ERR_OK)
		code = db_commit(db, e);
	if (code != ERR_OK)
		db_rollback(db);
	return code;
}
