/*
 * wire - numbers of the websocket protocol. Made from ui-server/wire.schema.json by
 * ui-server/make-wire: change that. docs/wire.md says what they mean.
 */
#ifndef TYCHO_UI_WIRE_H
#define TYCHO_UI_WIRE_H

#define UI_WIRE_SUBPROTOCOL "tycho-ui.v1"

/* clang-format off */
enum ui_wire {
	UI_WIRE_VERSION = 1, /* of the protocol */
	UI_WIRE_ASK_BYTES = 65536, /* bytes */
	UI_WIRE_ASK_FILTERS = 64, /* filters */
	UI_WIRE_PAGES = 512, /* pages */
	UI_WIRE_ASKS = 20, /* questions */
	UI_WIRE_CONNECTIONS = 1024, /* connections */
	UI_WIRE_VIEWS = 32, /* views */
	UI_WIRE_AHEAD = 2, /* messages */
	UI_WIRE_ROWS = 1500, /* flows */
	UI_WIRE_ROWS_REFUSED = 500, /* flows */
	UI_WIRE_PULSE_SECONDS = 300, /* steps */
	UI_WIRE_REASONS = 3, /* names */
};

enum ui_wire_close {
	UI_CLOSE_STOPPING = 1001,
	UI_CLOSE_PROTOCOL = 1002,
	UI_CLOSE_NO_TEXT = 1007,
	UI_CLOSE_TOO_LONG = 1009,
	UI_CLOSE_SESSION = 4001,
};
/* clang-format on */

#endif
