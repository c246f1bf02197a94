// Flows as proto3 JSON has them (proto/flow/flow.proto), as far as the page reads them, and the words for them.

export interface Endpoint {
	ID?: number;
	identity?: number;
	cluster_name?: string;
	namespace?: string;
	labels?: string[];
	pod_name?: string;
	workloads?: { name?: string; kind?: string }[];
}

interface Ports {
	source_port?: number;
	destination_port?: number;
}

export interface Flow {
	time?: string;
	uuid?: string;
	verdict?: string | number; // a number where this server's API is newer than the page
	IP?: { source?: string; destination?: string };
	l4?: {
		TCP?: Ports & { flags?: Record<string, boolean> };
		UDP?: Ports;
		SCTP?: Ports;
		ICMPv4?: { type?: number; code?: number };
		ICMPv6?: { type?: number; code?: number };
		VRRP?: object;
		IGMP?: object;
	};
	source?: Endpoint;
	destination?: Endpoint;
	source_names?: string[];
	destination_names?: string[];
	node_name?: string;
	is_reply?: boolean;
	drop_reason_desc?: string | number;
	traffic_direction?: string;
	Summary?: string;
	tycho?: { kernel_drop_reason?: string };
	[field: string]: unknown;
}

// What one flow is told from all others by. A uuid that the server gives none of is "".
export interface FlowId {
	time: string;
	uuid: string;
}

export function flow_id({ time = "", uuid = "" }: Flow): FlowId {
	return { time, uuid };
}

export function is_flow(flow: Partial<FlowId>, { time, uuid }: FlowId): boolean {
	return flow.time === time && (flow.uuid ?? "") === uuid;
}

// flow.FlowFilter, as far as the filter line can ask for it.
export interface FlowFilter {
	uuid?: string[];
	source_cluster_name?: string[];
	destination_cluster_name?: string[];
	source_pod?: string[];
	destination_pod?: string[];
	source_ip?: string[];
	destination_ip?: string[];
	source_fqdn?: string[];
	destination_fqdn?: string[];
	source_label?: string[];
	destination_label?: string[];
	source_port?: string[];
	destination_port?: string[];
	source_workload?: { name: string; kind?: string }[];
	destination_workload?: { name: string; kind?: string }[];
	source_identity?: number[];
	destination_identity?: number[];
	verdict?: string[];
	protocol?: string[];
	drop_reason_desc?: (string | number)[];
	node_name?: string[];
	http_status_code?: string[];
	reply?: boolean[];
}

export type Outcome = "forwarded" | "dropped" | "audited" | "unknown";

export function outcome_of(flow: Flow): Outcome {
	switch (flow.verdict) {
		case "FORWARDED":
		case "REDIRECTED":
		case "TRACED":
		case "TRANSLATED":
			return "forwarded";
		case "DROPPED":
		case "ERROR":
			return "dropped";
		case "AUDIT":
			return "audited";
		default:
			return "unknown";
	}
}

// Control characters, marks that turn the way of writing, and spaces without width, none of which can be seen, as \u202e: a name
// must not look like another one. Joiners stay, which some scripts are written with.
const unseen = /[\p{Cc}\u00ad\u061c\u200b\u200e\u200f\u2028-\u202e\u2060-\u206f\ufeff]/gu;
export function visible(text: string): string {
	return text.replace(unseen, (c) => `\\u${c.charCodeAt(0).toString(16).padStart(4, "0")}`);
}

// Reserved identities that have a name of their own (Cilium 1.19).
const reserved: Record<number, string> = {
	1: "host",
	2: "world",
	3: "unmanaged",
	4: "health",
	5: "init",
	6: "remote-node",
	7: "kube-apiserver",
	8: "ingress",
	9: "world-ipv4",
	10: "world-ipv6",
};

export interface Side {
	group: string; // namespace, or ""
	name: string;
	address: string;
}

export function side_of(flow: Flow, side: "source" | "destination"): Side {
	const end = flow[side] as Endpoint | undefined;
	const address = flow.IP?.[side] ?? "";
	const dns = (side === "source" ? flow.source_names : flow.destination_names)?.[0];
	const pod = end?.pod_name ?? end?.workloads?.[0]?.name;
	if (pod) return { group: visible(end?.namespace ?? ""), name: visible(pod), address };
	if (dns) return { group: "", name: visible(dns), address };
	const known = end?.identity === undefined ? undefined : reserved[end.identity];
	if (known && !known.startsWith("world")) return { group: "", name: known, address };
	return { group: visible(end?.namespace ?? ""), name: address || known || "unknown", address };
}

export function protocol_of(flow: Flow): string {
	return Object.keys(flow.l4 ?? {})[0] ?? "";
}

// The port at the server's end: where the request went, or the answer came from.
export function port_of(flow: Flow): number | undefined {
	const ports = flow.l4?.TCP ?? flow.l4?.UDP ?? flow.l4?.SCTP;
	return flow.is_reply ? ports?.source_port : ports?.destination_port;
}

// A drop's reason that has no name, as one of a later version, is its number.
export const is_reason_number = (reason: string) => /^-?\d+$/.test(reason);
export function reason_text(reason: string): string {
	return is_reason_number(reason) ? `reason ${reason}` : reason;
}

export function why_of(flow: Flow): string {
	const [reason, kernel] = [String(flow.drop_reason_desc || ""), flow.tycho?.kernel_drop_reason];
	if (outcome_of(flow) !== "dropped" || !(reason || kernel)) return visible(flow.Summary ?? "");
	const says_more = reason && kernel && is_reason_number(reason);
	return visible(says_more ? `${kernel} (${reason_text(reason)})` : reason_text(reason || kernel!));
}

const KERNEL_NAMES_MOST = 3;

// The kernel's own names for a reason that is only a number, as far as the flows of @rows have some.
export function kernel_names(rows: { flow: Flow }[], reason: string): string {
	if (!is_reason_number(reason)) return "";
	const own = new Set<string>();
	for (const { flow } of rows)
		if (String(flow.drop_reason_desc) === reason) own.add(flow.tycho?.kernel_drop_reason ?? "");
	const names = [...own].filter(Boolean).sort();
	return visible(names.slice(0, KERNEL_NAMES_MOST).join(", ") + (names.length > KERNEL_NAMES_MOST ? ", …" : ""));
}

const clock = new Intl.DateTimeFormat(undefined, {
	hour: "2-digit",
	minute: "2-digit",
	second: "2-digit",
	fractionalSecondDigits: 3,
	hourCycle: "h23",
});
const full_clock = new Intl.DateTimeFormat(undefined, { dateStyle: "medium", timeStyle: "long" });

export function time_text(time: string | number | undefined): string {
	const date = new Date(time ?? NaN);
	return Number.isNaN(date.getTime()) ? "" : clock.format(date);
}
export function full_time_text(time: string | number | undefined): string {
	const date = new Date(time ?? NaN);
	return Number.isNaN(date.getTime()) ? "" : full_clock.format(date);
}

const short_clock = new Intl.DateTimeFormat(undefined, {
	day: "numeric",
	month: "short",
	hour: "2-digit",
	minute: "2-digit",
	hourCycle: "h23",
});
export function short_time_text(ms: number): string {
	return short_clock.format(ms);
}

// Flows as `tycho observe -o json` prints them, to be read again by `tycho` or by jq.
export function json_lines(flows: Flow[]): string {
	return flows
		.map((flow) => `${JSON.stringify({ flow, node_name: flow.node_name, time: flow.time })}\n`)
		.join("");
}

const whole = new Intl.NumberFormat("en");
export function count_text(n: number | bigint): string {
	return whole.format(n);
}

// Of something a second.
export function rate_text(n: number): string {
	if (n > 0 && n < 0.005) return "< 0.01";
	return count_text(n < 10 ? Math.round(n * 100) / 100 : Math.round(n));
}

export function duration_text(ms: number): string {
	if (ms < 1000) return `${Math.round(ms)} ms`;
	const s = ms / 1000;
	if (s < 60) return `${s < 10 ? s.toFixed(1) : Math.round(s)} s`;
	if (s < 3600) return `${Math.round(s / 60)} min`;
	if (s < 86400) return `${Math.round(s / 3600)} h`;
	return `${Math.round(s / 86400)} d`;
}

// Of what grows as one looks: in whole seconds.
export function whole_duration_text(ms: number): string {
	const s = Math.max(0, Math.floor(ms / 1000));
	return s < 60 ? `${s} s` : duration_text(s * 1000);
}
export function ago_text(ms: number): string {
	return ms < 2000 ? "just now" : `${whole_duration_text(ms)} ago`;
}

export function bytes_text(n: number): string {
	const units = ["B", "KiB", "MiB", "GiB", "TiB"];
	let i = 0;
	while (n >= 1024 && i < units.length - 1) {
		n /= 1024;
		i++;
	}
	return `${i && n < 10 ? n.toFixed(1) : Math.round(n)} ${units[i]}`;
}
