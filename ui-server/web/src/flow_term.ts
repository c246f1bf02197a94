// The filter line's word for flows with the same value in a field as this one. Pure.
import type { Endpoint, Flow } from "./flow";

const sides = { source: "from", destination: "to" } as const;

// A value with a space would be two words.
function term(name: string, value: unknown): string | null {
	const text = value === undefined || value === null ? "" : String(value);
	return text && !/\s/.test(text) ? `${name}=${text}` : null;
}

function of_end(end: Endpoint, field: string, side: "from" | "to"): string | null {
	const { namespace, pod_name, identity, cluster_name } = end;
	switch (field) {
		case "identity":
			return term(`${side}-identity`, identity);
		case "cluster_name":
			return term(`${side}-cluster`, cluster_name);
		case "namespace":
			return term(`${side}-namespace`, namespace);
		case "pod_name":
			return namespace && pod_name ? term(`${side}-pod`, `${namespace}/${pod_name}`) : null;
	}
	const at = Number(/^workloads\[(\d+)\]\.name$/.exec(field)?.[1] ?? NaN);
	const workload = end.workloads?.[at];
	return workload ? term(`${side}-workload`, [workload.kind, workload.name].filter(Boolean).join("/")) : null;
}

// @path: as the details name the field, such as "l4.TCP.destination_port". Null: there is no such word.
export function flow_term(flow: Flow, path: string): string | null {
	const [, end, field] = /^(source|destination)\.(.+)$/.exec(path) ?? [];
	if (end && field) return of_end(flow[end as "source" | "destination"] ?? {}, field, sides[end as "source" | "destination"]);
	const port = /^l4\.(TCP|UDP|SCTP)\.(source|destination)_port$/.exec(path);
	if (port) {
		const [, protocol, side] = port as unknown as [string, "TCP" | "UDP" | "SCTP", "source" | "destination"];
		return term(`${sides[side]}-port`, flow.l4?.[protocol]?.[`${side}_port`]);
	}
	switch (path) {
		case "verdict":
			return typeof flow.verdict === "string" ? term("verdict", flow.verdict) : null;
		case "IP.source":
			return term("from-ip", flow.IP?.source);
		case "IP.destination":
			return term("to-ip", flow.IP?.destination);
		case "source_names":
			return flow.source_names?.length === 1 ? term("from-dns", flow.source_names[0]) : null;
		case "destination_names":
			return flow.destination_names?.length === 1 ? term("to-dns", flow.destination_names[0]) : null;
		case "drop_reason_desc":
			return term("reason", flow.drop_reason_desc);
		case "node_name":
			return term("node", flow.node_name);
		default:
			return null;
	}
}
