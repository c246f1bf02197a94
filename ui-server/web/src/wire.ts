// Made from ui-server/wire.schema.json by ui-server/make-wire: change that. docs/wire.md is the protocol in words.
import type { Flow, FlowFilter } from "./flow";

export const PROTOCOL = 1;
export const SUBPROTOCOL = "tycho-ui.v1";

// The first message on each connection.
export interface Hello {
	type: "hello";
	protocol: number; // version of this protocol, as in the subprotocol's name
	version: string; // of tycho-ui
	login?: boolean; // there is a session, which `POST /logout` ends; else left out
}

// What the upstream server says of itself. Second on each connection, and again every two seconds, while the upstream is away each second. `namespaces`, `coverage` and `history` come with the first and then only when they have changed: who keeps what came last has all.
export interface Status {
	type: "status";
	server: string; // address of the upstream, as given with --server
	status?: ServerStatus; // left out while the upstream does not answer
	reason?: string; // why it does not, in one sentence; exactly where `status` is left out
	namespaces?: Namespaces; // for completion; left out where the upstream does not tell, or tells the same as before
	record?: boolean; // false: the upstream keeps no record that can be asked about (tycho.v1.History is unknown to it, as to Hubble): there are no coverage and no gaps, and the map of a past range is that of its newest flows. Left out while unknown
	coverage?: Coverage[]; // of each node's record; asked for every ten seconds, left out where there is none, or where nothing is new but `newest` and the second of `oldest`
	history?: Pulse; // of all of the record and all nodes, whatever is filtered; left out where the upstream does not tell (GetServiceMap's rates), or tells the same as before
}

// A question that is not answered: filters that no server takes, too many views. What was watched before is not watched any more.
export interface Refused {
	type: "refused";
	watch: number; // of the question; 0 if it had none
	reason: string; // one sentence
}

// What is new since the last one, five times a second at most. Nothing is queued for a slow page: the next one has all that is new by then, and a page that says [Taken](#taken) gets it only when it has read the last.
export interface Update {
	type: "update";
	watch: number; // of the question that this answers
	sent: number; // ms since the epoch, by the server's clock
	state: Upstream;
	caught_up?: boolean; // of what comes, not of a range, whose `state` says so: the upstream has answered from history, of all its nodes. The newest flows from before the question, --history of each node, are in the messages up to and with this one. Left out until then, while `state` may be `live` already, and there from then on, also while the upstream is away
	totals: Totals;
	map?: MapDelta; // left out where nothing has changed; every 500 ms at most, less often for large maps and many pages
	pulse: Pulse;
	rows: Flow[]; // the newest flows since the last update, oldest first
	left_out: number; // flows since the last update that are not in `rows`; totals, pulse and map have them
}

// How the stream of this view is.
export type Upstream =
	| { kind: "connecting" }
	| { kind: "live" }
	| { kind: "past" }
	| { kind: "away"; since: number; reason: string };

// Of all flows that this view has seen, in the table or not.
export interface Totals {
	flows: number; // flows
	dropped: number; // of them, dropped or in error
	lost: number; // events that the upstream had no room for (flow.LostEvent)
	gaps: number; // times that the upstream was a new process: nobody watched meanwhile
	gap_ms: number; // ms of these, together
	oldest: number; // ms since the epoch, of the oldest flow; 0: none yet
	newest: number; // ms since the epoch, of the newest flow; 0: none yet
	lag_ms: number; // ms, the longest from a flow's time to its arrival in the last 200 ms
}

// Rates. What comes again replaces what came before: flows come late.
export interface Pulse {
	from: number; // s since the epoch, of the first number
	step?: number; // s that each number is of; 1 if it is left out
	flows: number[]; // flows in each step
	drops: number[]; // of them, dropped; as many numbers
}

// Cards and edges that are new or have changed, with all their members: counts are of the whole view, not of the delta.
export interface MapDelta {
	full: boolean; // this is everything: forget what was before
	cards: Card[];
	edges: Edge[];
	untracked: number; // flows that found no room on the map
}

// One end of edges: the most telling name that flows have for it.
export interface Card {
	id: number; // from 0 on, of this view
	kind: CardKind;
	cluster?: string;
	namespace?: string;
	workload?: string; // its kind, such as Deployment
	name?: string; // left out of `rest` and `nowhere`
	identity?: number; // of `reserved` and `identity`
}

// `rest`: addresses beyond what the map has room for; `nowhere`: neither name nor address.
export type CardKind =
	| "workload"
	| "pod"
	| "reserved"
	| "identity"
	| "name"
	| "cidr"
	| "address"
	| "rest"
	| "nowhere";

// Requests from one card to another on one port; answers count with them. Numbers that are zero are left out.
export interface Edge {
	id: number; // from 0 on, of this view
	from: number; // card that asks
	to: number; // card that is asked
	protocol: string; // TCP, UDP, ICMPv4, …; IP where it is unknown
	port?: number; // of the asked side
	forwarded?: number; // flows
	dropped?: number; // flows, in error too
	audited?: number; // flows
	unknown?: number; // flows, of other verdicts
	bytes?: number; // bytes, where flows say so
	first?: number; // ms since the epoch, of the oldest flow
	last?: number; // ms since the epoch, of the newest flow
	first_dropped?: number; // ms since the epoch, of the oldest drop
	last_dropped?: number; // ms since the epoch, of the newest drop
	reasons?: Record<string, number>; // drops by reason: its name, or its number where it has none (a later version's flow.DropReason)
	denied_by?: string; // namespace/name of the last policy that is known to have denied or audited
	denied_on?: "ingress" | "egress"; // the side it did so on
}

// 64-bit numbers are strings, as in proto3 JSON. (observer.ServerStatusResponse)
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

// Where flows were from or to. (observer.GetNamespacesResponse)
export interface Namespaces {
	namespaces?: Namespace[];
}

// One of them. (observer.Namespace)
export interface Namespace {
	cluster?: string;
	namespace?: string;
}

// A node's record. (tycho.v1.GetCoverageResponse)
export interface Coverage {
	node_name?: string;
	oldest?: string; // RFC 3339
	newest?: string; // RFC 3339
	gaps?: Gap[];
	error?: string; // of a node that could not be asked
}

// What is missing from it. (tycho.v1.Gap)
export interface Gap {
	cause?: string;
	from?: string; // RFC 3339
	to?: string; // RFC 3339
	lost?: string; // records; left out where that is not known
	node_name?: string;
}

// The page's question, as often as it likes: the last one is answered. Members that the server does not know are passed over.
export interface Watch {
	type: "watch";
	watch: number; // the page's number for this question; comes back with each answer
	since?: number; // ms since the epoch: a past range, asked for once; together with `until`
	until?: number; // ms since the epoch, later than `since`; what begins then is of the next range
	allow?: FlowFilter[]; // as GetFlowsRequest.whitelist: flows that pass any; none or left out: all
	deny?: FlowFilter[]; // as GetFlowsRequest.blacklist: not those that pass any
	only?: "rates"; // of a range: `pulse` and `totals` are asked for, and neither flows nor a map
}

// How far the page has read. Browsers take messages off a connection that their page has no time for, and the server cannot see that: from the first Taken on, `ahead` messages may be on their way to this page or wait in its browser, and the next is sent when it has read one of them. A page says it once before its first question, and whenever it is done with a message. It is no question, and not counted as one.
export interface Taken {
	type: "taken";
	messages: number; // that this connection has brought and the page has read, of all types. A number that is less than one before, or more than were sent, changes nothing
}

// Whatever comes from the server.
export type Message = Hello | Status | Refused | Update;

export function read_message(text: string): Message {
	return JSON.parse(text) as Message;
}
