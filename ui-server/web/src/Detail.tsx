// What is known of the selected card, line or flow.
import { type ComponentChildren, Fragment } from "preact";
import {
	bytes_text,
	count_text,
	duration_text,
	full_time_text,
	time_text,
	type Flow,
	type FlowId,
} from "./flow";
import {
	type Graph,
	type Line,
	type Node,
	node_terms,
	port_text,
	summary_of,
	total,
} from "./graph";
import type { Selection } from "./state";
import type { Edge } from "./drawn";
import type { Rates } from "./rates";
import { Spark } from "./Spark";

interface Props {
	selection: Selection;
	graph: Graph;
	now: number;
	on_filter(terms: string[]): void;
	on_select(selection: Selection): void;
	on_copy(text: string): void;
	flow_command(flow: Flow): string;
	command(terms: string[]): string;
	rates(edges: Edge[]): Rates | "waiting" | null; // null: nobody counts them
	on_unfold(group: string, on: boolean): void;
	overview: ComponentChildren;
}

// Long names of fields and reasons go on in the next line where a part of them ends.
function Breakable({ text }: { text: string }) {
	return (
		<>
			{text.split(/(?<=[._])/).map((part, i) => (
				<Fragment key={i}>
					{i > 0 && <wbr />}
					{part}
				</Fragment>
			))}
		</>
	);
}

function Fact({ name, children }: { name: string; children: ComponentChildren }) {
	return (
		<div class="fact">
			<dt>
				<Breakable text={name} />
			</dt>
			<dd>{children}</dd>
		</div>
	);
}

// A number that leads to its flows, where there are words for them.
function Flows({ n, terms, kind, props }: { n: number; terms: string[] | null; kind?: string; props: Props }) {
	if (!terms || !n) return <span class={kind ?? ""}>{count_text(n)}</span>;
	return (
		<button
			type="button"
			class={`link ${kind ?? ""}`}
			title="Only these flows"
			onClick={() => props.on_filter(terms)}
		>
			{count_text(n)}
		</button>
	);
}

// @terms: of the filter line, for all of their flows; null: there are no such words.
function Counts({ edges, terms, props }: { edges: Edge[]; terms: string[] | null; props: Props }) {
	const { now } = props;
	const sum = summary_of(edges);
	const of = (...more: string[]) => terms && [...terms, ...more];
	const rates = edges.some((e) => e.change) ? null : props.rates(edges);
	return (
		<dl>
			{rates && <Spark rates={rates} />}
			<Fact name="Forwarded">
				<Flows n={sum.forwarded} terms={of("verdict=FORWARDED")} props={props} />
			</Fact>
			{sum.dropped > 0 && (
				<Fact name="Dropped">
					<strong>
						<Flows n={sum.dropped} terms={of("verdict=DROPPED")} kind="dropped" props={props} />
					</strong>
					{sum.last_dropped > 0 && (
						<span class="quiet">
							{" "}
							· last {duration_text(Math.max(0, now - sum.last_dropped))} ago
						</span>
					)}
				</Fact>
			)}
			{sum.audited > 0 && (
				<Fact name="Audit">
					<strong>
						<Flows n={sum.audited} terms={of("verdict=AUDIT")} kind="audited" props={props} />
					</strong>{" "}
					<span class="quiet">would be dropped</span>
				</Fact>
			)}
			{sum.reasons.map(([reason, n]) => (
				<Fact key={reason} name="Reason">
					<code>
						<Breakable text={reason} />
					</code>{" "}
					<Flows n={n} terms={of("verdict=DROPPED", `reason=${reason}`)} props={props} />
				</Fact>
			))}
			{sum.deciders.map((d) => (
				<Fact key={d.policy} name="Decided by">
					<code>{d.policy}</code> <span class="quiet">{d.on}</span>
				</Fact>
			))}
			{sum.dropped > 0 &&
				sum.deciders.length === 0 &&
				sum.reasons.some(([r]) => r === "POLICY_DENIED") && (
					<Fact name="Decided by">
						no policy allows it <span class="quiet">default deny</span>
					</Fact>
				)}
			{sum.bytes > 0 && <Fact name="Bytes">{bytes_text(sum.bytes)}</Fact>}
			{sum.first > 0 && (
				<Fact name="Seen">
					<span title={full_time_text(sum.first)}>{time_text(sum.first).slice(0, 8)}</span> –{" "}
					<span title={full_time_text(sum.last)}>{time_text(sum.last).slice(0, 8)}</span>
				</Fact>
			)}
		</dl>
	);
}

function Ports({ edges, terms, props }: { edges: Edge[]; terms: string[] | null; props: Props }) {
	const of = (e: Edge, verdict: string) =>
		terms && [
			...terms,
			...(e.port ? [`port=${e.port}`] : []),
			...(/^(tcp|udp|sctp)$/i.test(e.protocol) ? [`protocol=${e.protocol.toLowerCase()}`] : []),
			`verdict=${verdict}`,
		];
	const by = [...edges]
		.sort((a, b) => (b.dropped ?? 0) - (a.dropped ?? 0) || total(b) - total(a))
		.slice(0, 12);
	return (
		<table class="ports">
			<thead>
				<tr>
					<th>Port</th>
					<th class="number">Forwarded</th>
					<th class="number">Dropped</th>
				</tr>
			</thead>
			<tbody>
				{by.map((e) => (
					<tr key={e.id}>
						<td>
							<code>{port_text(e)}</code>
						</td>
						<td class="number">
							<Flows n={e.forwarded ?? 0} terms={of(e, "FORWARDED")} props={props} />
						</td>
						<td class="number">
							<Flows
								n={e.dropped ?? 0}
								terms={of(e, "DROPPED")}
								kind={e.dropped ? "dropped" : ""}
								props={props}
							/>
						</td>
					</tr>
				))}
			</tbody>
		</table>
	);
}

// Before and now, by port.
function Compared({ edges }: { edges: Edge[] }) {
	const counts = (e: Edge, what: "forwarded" | "dropped") => {
		const was = (e.change === "gone" ? e : e.was)?.[what] ?? 0;
		const is = e.change === "gone" ? 0 : (e[what] ?? 0);
		return (
			<>
				<span class="quiet">{count_text(was)} → </span>
				<span class={what === "dropped" && is ? "dropped" : ""}>{count_text(is)}</span>
			</>
		);
	};
	return (
		<table class="ports">
			<thead>
				<tr>
					<th>Port</th>
					<th class="number">Forwarded</th>
					<th class="number">Dropped</th>
				</tr>
			</thead>
			<tbody>
				{edges.slice(0, 12).map((e) => (
					<tr key={e.id}>
						<td>
							<code>{port_text(e)}</code>
							{e.change !== "same" && <div class="quiet">{e.change}</div>}
						</td>
						<td class="number">{counts(e, "forwarded")}</td>
						<td class="number">{counts(e, "dropped")}</td>
					</tr>
				))}
			</tbody>
		</table>
	);
}

function name_of(node: Node): string {
	return node.group ? `${node.group}/${node.name}` : node.name;
}

function EdgeDetail({
	lines,
	from,
	to,
	props,
}: {
	lines: Line[];
	from: Node;
	to: Node;
	props: Props;
}) {
	const edges = lines[0]?.edges ?? [];
	const terms = [
		...node_terms(from, "from"),
		...node_terms(to, "to"),
	];
	return (
		<>
			<h2>
				<button
					type="button"
					class="link"
					onClick={() => props.on_select({ kind: "card", key: from.key })}
				>
					{name_of(from)}
				</button>
				<span class="quiet"> → </span>
				<button
					type="button"
					class="link"
					onClick={() => props.on_select({ kind: "card", key: to.key })}
				>
					{name_of(to)}
				</button>
			</h2>
			{edges.some((e) => e.change) ? (
				<Compared edges={edges} />
			) : (
				<>
					<Counts edges={edges} terms={terms.length ? terms : null} props={props} />
					<Ports edges={edges} terms={terms.length ? terms : null} props={props} />
				</>
			)}
			{terms.length > 0 && (
				<p class="actions">
					<button type="button" onClick={() => props.on_filter(terms)}>
						Only these flows
					</button>
					<button type="button" onClick={() => props.on_copy(props.command(terms))}>
						Copy as command
					</button>
				</p>
			)}
		</>
	);
}

function Peers({
	title,
	lines,
	end,
	props,
}: {
	title: string;
	lines: Line[];
	end: "from" | "to";
	props: Props;
}) {
	const seen = new Map<string, Line[]>();
	for (const line of lines) seen.set(line[end], [...(seen.get(line[end]) ?? []), line]);
	if (!seen.size) return null;
	return (
		<>
			<h3>{title}</h3>
			<ul class="peers">
				{[...seen].slice(0, 20).map(([key, list]) => {
					const node = props.graph.nodes.find((n) => n.key === key);
					const dropped = list.some((l) => l.outcome === "dropped");
					return (
						<li key={key}>
							<button
								type="button"
								class="link"
								onClick={() =>
									props.on_select({ kind: "edge", from: list[0]!.from, to: list[0]!.to })
								}
							>
								{node ? name_of(node) : key}
							</button>
							<span class={dropped ? "dropped" : "quiet"}>
								{dropped ? "✕ " : ""}
								{count_text(list.reduce((n, l) => n + l.count, 0))}
							</span>
						</li>
					);
				})}
			</ul>
		</>
	);
}

function Narrowing({ terms, text, props }: { terms: string[]; text: string; props: Props }) {
	return terms.length ? (
		<button type="button" onClick={() => props.on_filter(terms)}>
			{text}
		</button>
	) : null;
}

// The filter line's words for all flows of a card; null where it both asks and is asked: one word is about one side.
function one_side(node: Node, incoming: Line[], outgoing: Line[]): string[] | null {
	if (!node.card || (incoming.length && outgoing.length)) return null;
	const terms = node_terms(node, incoming.length ? "to" : "from");
	return terms.length ? terms : null;
}

function CardDetail({ node, props }: { node: Node; props: Props }) {
	const incoming = props.graph.lines.filter((l) => l.to === node.key);
	const outgoing = props.graph.lines.filter((l) => l.from === node.key);
	const edges = [...new Set([...incoming, ...outgoing].flatMap((l) => l.edges))];
	return (
		<>
			<h2>{name_of(node)}</h2>
			<p class="quiet">
				{node.card ? node.kind : `${node.folded} cards, folded`}
				{node.ports.length > 0 && ` · serves ${node.ports.slice(0, 6).join(", ")}`}
			</p>
			<Counts edges={edges} terms={one_side(node, incoming, outgoing)} props={props} />
			<p class="actions">
				{node.card ? (
					<>
						<Narrowing terms={node_terms(node, "from")} text="Flows from here" props={props} />
						<Narrowing terms={node_terms(node, "to")} text="Flows to here" props={props} />
					</>
				) : (
					<button type="button" onClick={() => props.on_unfold(node.name, true)}>
						Unfold
					</button>
				)}
				{props.graph.folds && node.card && (
					<button type="button" onClick={() => props.on_unfold(node.group || "outside", false)}>
						Fold {node.group || "outside"}
					</button>
				)}
			</p>
			<Peers title="Asked by" lines={incoming} end="from" props={props} />
			<Peers title="Asks" lines={outgoing} end="to" props={props} />
		</>
	);
}

// Every field, as `tycho observe -o json` names them.
function leaves(value: unknown, path: string): [string, string][] {
	if (Array.isArray(value))
		return value.every((v) => typeof v !== "object")
			? [[path, value.join(", ")]]
			: value.flatMap((v, i) => leaves(v, `${path}[${i}]`));
	if (value && typeof value === "object")
		return Object.entries(value).flatMap(([k, v]) => leaves(v, path ? `${path}.${k}` : k));
	return [[path, String(value)]];
}

function FlowDetail({ flow, props }: { flow: Flow; props: Props }) {
	return (
		<>
			<h2>
				{String(flow.verdict ?? "Flow")} <span class="quiet">{time_text(flow.time)}</span>
			</h2>
			<p class="actions">
				<button type="button" onClick={() => props.on_copy(JSON.stringify({ flow }))}>
					Copy as JSON
				</button>
				<button type="button" onClick={() => props.on_copy(props.flow_command(flow))}>
					Copy as command
				</button>
			</p>
			<dl class="fields">
				{leaves(flow, "").map(([name, value]) => (
					<Fact key={name} name={name}>
						<code>{value}</code>
					</Fact>
				))}
			</dl>
		</>
	);
}

// A flow that the address is about.
function Sought({ flow, is_gone }: { flow: FlowId; is_gone: boolean }) {
	return (
		<>
			<h2>
				Flow <span class="quiet">{time_text(flow.time)}</span>
			</h2>
			<p class="quiet">
				{is_gone
					? `It is kept no longer, neither in memory nor in the record: it was seen ${full_time_text(flow.time)}.`
					: "Asking for it…"}
			</p>
		</>
	);
}

function Body(props: Props) {
	const { selection, graph } = props;
	const node = (key: string) => graph.nodes.find((n) => n.key === key);
	switch (selection.kind) {
		case "nothing":
			return <>{props.overview}</>;
		case "flow":
			return <FlowDetail flow={selection.row.flow} props={props} />;
		case "sought":
			return <Sought flow={selection.flow} is_gone={selection.is_gone} />;
		case "card": {
			const card = node(selection.key);
			return card ? (
				<CardDetail node={card} props={props} />
			) : (
				<p class="quiet">Not seen with this filter.</p>
			);
		}
		case "edge": {
			const from = node(selection.from);
			const to = node(selection.to);
			const lines = graph.lines.filter((l) => l.from === selection.from && l.to === selection.to);
			return from && to && lines.length ? (
				<EdgeDetail lines={lines} from={from} to={to} props={props} />
			) : (
				<p class="quiet">Not seen with this filter.</p>
			);
		}
	}
}

export function Detail(props: Props) {
	return (
		<aside class="detail" aria-label="Details" tabIndex={-1}>
			{props.selection.kind !== "nothing" && (
				<button
					type="button"
					class="close"
					title="Back (Esc)"
					aria-label="Back"
					onClick={() => props.on_select({ kind: "nothing" })}
				>
					×
				</button>
			)}
			<Body {...props} />
		</aside>
	);
}
