// What tycho-ui says on the websocket; docs/ui.md describes it. Names of fields are the wire's.
import type { Flow, FlowFilter } from "./flow";

export const PROTOCOL = 1;

export type CardKind =
	"workload" | "pod" | "reserved" | "identity" | "name" | "cidr" | "address" | "rest" | "nowhere";

export interface Card {
	id: number;
	kind: CardKind;
	name?: string;
	cluster?: string;
	namespace?: string;
	workload?: string; // "Deployment"
	identity?: number;
}

// Counts are left out where they are zero; times are milliseconds since the epoch.
export interface Edge {
	id: number;
	from: number;
	to: number;
	protocol: string;
	port?: number;
	forwarded?: number;
	dropped?: number;
	audited?: number;
	unknown?: number;
	bytes?: number;
	first?: number;
	last?: number;
	last_dropped?: number;
	reasons?: Record<string, number>;
	denied_by?: string;
	denied_on?: "ingress" | "egress";
}

export interface MapDelta {
	full: boolean;
	cards: Card[];
	edges: Edge[];
	untracked: number; // flows that found no room on the map
}

export interface Pulse {
	from: number; // second since the epoch
	step?: number; // seconds that each number is of; 1 if it is left out
	flows: number[];
	drops: number[];
}

export interface Totals {
	flows: number;
	dropped: number;
	lost: number;
	gaps: number;
	gap_ms: number;
	oldest: number;
	newest: number;
	lag_ms: number;
}

export type Upstream =
	{ kind: "connecting" } | { kind: "live" } | { kind: "past" } | { kind: "away"; since: number; reason: string };

// 64-bit numbers of ServerStatusResponse are strings, as in proto3 JSON.
export interface ServerStatus {
	num_flows?: string;
	max_flows?: string;
	seen_flows?: string;
	uptime_ns?: string;
	num_connected_nodes?: number;
	num_unavailable_nodes?: number;
	unavailable_nodes?: string[];
	version?: string;
	flows_rate?: number;
}

// tycho.v1.GetCoverageResponse
export interface Gap {
	cause?: string;
	from?: string;
	to?: string;
	lost?: string;
	node_name?: string;
}
export interface Coverage {
	node_name?: string;
	oldest?: string;
	newest?: string;
	gaps?: Gap[];
	error?: string;
}

export type Message =
	| { type: "hello"; protocol: number; version: string; login?: boolean }
	| {
			type: "status";
			server: string;
			status?: ServerStatus;
			reason?: string;
			coverage?: Coverage[];
			namespaces?: { namespaces?: { cluster?: string; namespace?: string }[] };
	  }
	| { type: "refused"; watch: number; reason: string }
	| {
			type: "update";
			watch: number;
			sent: number;
			state: Upstream;
			totals: Totals;
			map?: MapDelta;
			pulse: Pulse;
			rows: Flow[];
			left_out: number;
	  };

export interface Watch {
	type: "watch";
	watch: number;
	since?: number; // a past range, instead of what comes
	until?: number;
	allow: FlowFilter[];
	deny: FlowFilter[];
}

export function read_message(text: string): Message {
	return JSON.parse(text) as Message;
}
