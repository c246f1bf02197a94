/*
 * response - the members of tycho.v1.ExportResponse, by number: nodes write them and collectors
 * read them field by field.
 */
#ifndef TYCHO_EVIDENCE_RESPONSE_H
#define TYCHO_EVIDENCE_RESPONSE_H

enum {
	RESPONSE_NODE = 1,
	RESPONSE_ENTRIES,
	RESPONSE_BLOCK,
	RESPONSE_CHECKPOINT,
	RESPONSE_POLICY,
	RESPONSE_STATEMENT,
	RESPONSE_ERROR,
};

#endif
