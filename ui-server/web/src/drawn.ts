// What the map is made of: cards and edges as the server counts them, and what the page adds to them.
import type * as wire from "./wire";

// How an edge of one range differs from the same edge of another; "same" also where only what was forwarded differs.
export type Change =
	"new" | "gone" | "now dropped" | "no longer dropped" | "more drops" | "fewer drops" | "same";

export interface Card extends Omit<wire.Card, "kind"> {
	kind: wire.CardKind | "local"; // local: link-local, or multicast, peers as one
	count?: number; // of local: addresses that it stands for
}

export interface Edge extends wire.Edge {
	ids?: number[]; // of the edges that this one is the sum of; left out: of itself
	// While two ranges are compared:
	change?: Change;
	was?: wire.Edge;
	delta?: number; // drops, to those expected from before
}
