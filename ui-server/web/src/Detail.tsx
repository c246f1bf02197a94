// What is known of the selected card, line or flow.
import { type ComponentChildren, Fragment } from "preact";
import { useState } from "preact/hooks";
import { policies, who } from "./columns";
import type { Edge } from "./drawn";
import { type Ways, with_terms } from "./filter";
import {
	ago_text,
	bytes_text,
	count_text,
	full_time_text,
	outcome_of,
	port_of,
	protocol_of,
	reason_text,
	time_text,
	visible,
	why_of,
	type Flow,
	type FlowId,
	type Outcome,
} from "./flow";
import { flow_term } from "./flow_term";
import {
	edges_of,
	folded_text,
	type Graph,
	is_of_pair,
	type Line,
	name_of,
	type Node,
	node_terms,
	outcome_terms,
	port_text,
	type Summary,
	summary_of,
	total,
	ways_between,
	ways_of_node,
} from "./graph";
import type { Rates } from "./rates";
import { Some } from "./Some";
import { Spark } from "./Spark";
import type { Selection } from "./state";
import type { Range } from "./time_range";

// Null: nobody counts them. "wordless": there are no words to ask for them by.
export type Curve = Rates | "waiting" | "wordless" | null;

interface Props {
	selection: Selection;
	graph: Graph;
	now: number;
	before: Range | null; // while two ranges are compared: the earlier one
	on_flows(ways: Ways, of?: Range): void; // @of: another range than the one that is shown
	on_select(selection: Selection): void;
	on_back(): void; // nothing is selected any more
	on_copy(text: string): void;
	flow_command(flow: Flow): string;
	command(ways: Ways): string;
	rates(edges: Edge[]): { now: Curve; before: Curve };
	on_unfold(group: string, on: boolean): void;
	overview: ComponentChildren;
	coverage: ComponentChildren;
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

// A number that leads to its flows, where there are words for them. @of: those of another range.
function Flows({
	n,
	ways,
	kind = "",
	of,
	children,
	props,
}: {
	n: number;
	ways: Ways | null;
	kind?: string;
	of?: Range | undefined;
	children?: ComponentChildren;
	props: Props;
}) {
	const text = children ?? count_text(n);
	if (!ways || !n) return <span class={kind}>{text}</span>;
	return (
		<button type="button" class={`link ${kind}`} title="Only these flows" onClick={() => props.on_flows(ways, of)}>
			{text}
		</button>
	);
}

// Rates of all that is selected; while two ranges are compared, of both, at one scale.
function Curves({ edges, ways, props }: { edges: Edge[]; ways: Ways | null; props: Props }) {
	const { now, before } = props.rates(edges);
	if (now === "wordless")
		return (
			<p class="quiet spark" data-fact="no-rate">
				No rate: the filter line has no words for all of these flows at once.
			</p>
		);
	if (!now) return null;
	const most = (rates: Curve) => (rates && typeof rates === "object" ? Math.max(0, ...rates.flows) : 0);
	const top = Math.max(most(now), most(before));
	const on_flows = ways && ((of?: Range) => props.on_flows(ways, of));
	return (
		<>
			{before && before !== "wordless" && (
				<Spark name="Before" rates={before} top={top} on_flows={on_flows && (() => on_flows(props.before!))} />
			)}
			<Spark name={before ? "Now" : ""} rates={now} top={top} on_flows={on_flows && (() => on_flows())} />
		</>
	);
}

function NoPolicy() {
	return (
		<Fact name="Decided by">
			no policy allows it <span class="quiet">default deny</span>
		</Fact>
	);
}

// Since when, and until when; of the same second once.
function DropTimes({ sum, now }: { sum: Summary; now: number }) {
	const { first_dropped: first, last_dropped: last } = sum;
	if (!last) return null;
	const clock = (ms: number) => <span title={full_time_text(ms)}>{time_text(ms).slice(0, 8)}</span>;
	return (
		<span class="quiet">
			{first > 0 && last - first >= 1000 && <> · since {clock(first)}</>} · last{" "}
			<span title={full_time_text(last)}>{ago_text(now - last)}</span>
		</span>
	);
}

// @ways: of the filter line, to all of their flows; null: there are no such words.
function Counts({ edges, ways, props }: { edges: Edge[]; ways: Ways | null; props: Props }) {
	const { now } = props;
	const sum = summary_of(edges);
	const of = (...more: string[]) => with_terms(ways, more);
	const facts = (
		<dl>
			<Fact name="Forwarded">
				<Flows n={sum.forwarded} ways={of(...outcome_terms("forwarded"))} props={props} />
			</Fact>
			{sum.dropped > 0 && (
				<Fact name="Dropped">
					<strong>
						<Flows n={sum.dropped} ways={of(...outcome_terms("dropped"))} kind="dropped" props={props} />
					</strong>
					<DropTimes sum={sum} now={now} />
				</Fact>
			)}
			{sum.audited > 0 && (
				<Fact name="Audit">
					<strong>
						<Flows n={sum.audited} ways={of(...outcome_terms("audited"))} kind="audited" props={props} />
					</strong>{" "}
					<span class="quiet">would be dropped</span>
				</Fact>
			)}
			{sum.reasons.map(([reason, n]) => (
				<Fact key={reason} name="Reason">
					<code>
						<Breakable text={reason_text(reason)} />
					</code>{" "}
					<Flows n={n} ways={of(...outcome_terms("dropped"), `reason=${reason}`)} kind="dropped" props={props} />
				</Fact>
			))}
			{sum.unnamed > 0 && sum.reasons.length > 0 && (
				<Fact name="Reason">
					<span class="quiet">other reasons</span> {count_text(sum.unnamed)}
				</Fact>
			)}
			{sum.deciders.map((d) => (
				<Fact key={d.policy} name="Decided by">
					<code>{d.policy}</code> <span class="quiet">{d.on}</span>
				</Fact>
			))}
			{sum.dropped > 0 &&
				sum.deciders.length === 0 &&
				sum.reasons.some(([r]) => r === "POLICY_DENIED") && <NoPolicy />}
			{sum.bytes > 0 && (
				<Fact name="Bytes">
					<Flows n={sum.bytes} ways={ways} props={props}>
						{bytes_text(sum.bytes)}
					</Flows>
				</Fact>
			)}
			{sum.first > 0 && (
				<Fact name="Seen">
					<span title={full_time_text(sum.first)}>{time_text(sum.first).slice(0, 8)}</span> –{" "}
					<span title={full_time_text(sum.last)}>{time_text(sum.last).slice(0, 8)}</span>
				</Fact>
			)}
		</dl>
	);
	return (
		<>
			<Curves edges={edges} ways={ways} props={props} />
			{facts}
		</>
	);
}

const PORTS_SHOWN = 12;

// By port; while two ranges are compared, before and now.
function Ports({ edges, ways_of, props }: { edges: Edge[]; ways_of(edge: Edge): Ways | null; props: Props }) {
	const comparing = edges.some((e) => e.change);
	const [all, set_all] = useState(false);
	const by = comparing
		? edges
		: [...edges].sort((a, b) => (b.dropped ?? 0) - (a.dropped ?? 0) || total(b) - total(a));
	const left = by.length - PORTS_SHOWN;
	return (
		<>
			<table class="ports">
				<thead>
					<tr>
						<th>Port</th>
						<th class="number">Forwarded</th>
						<th class="number">Dropped</th>
					</tr>
				</thead>
				<tbody>
					{(all ? by : by.slice(0, PORTS_SHOWN)).map((e) => (
						<tr key={e.id}>
							<td>
								<code>{port_text(e)}</code>
								{e.change && e.change !== "same" && <div class="quiet">{e.change}</div>}
							</td>
							{(["forwarded", "dropped"] as const).map((what) => (
								<td key={what} class="number">
									<Compared edges={[e]} what={what} ways={ways_of(e)} props={props} />
								</td>
							))}
						</tr>
					))}
				</tbody>
			</table>
			{!all && left > 0 && (
				<button type="button" class="link" onClick={() => set_all(true)}>
					{count_text(left)} more ports
				</button>
			)}
		</>
	);
}

// How many; while two ranges are compared, how many before and now.
function Compared({
	edges,
	what,
	ways,
	props,
}: {
	edges: Edge[];
	what: Exclude<Outcome, "unknown">;
	ways: Ways | null;
	props: Props;
}) {
	const sum = (count: (e: Edge) => number | undefined) => edges.reduce((n, e) => n + (count(e) ?? 0), 0);
	const is = sum((e) => (e.change === "gone" ? 0 : e[what]));
	const was = sum((e) => (e.change === "gone" ? e : e.was)?.[what]);
	const own = with_terms(ways, outcome_terms(what));
	const kind = what === "forwarded" || !is ? "" : what;
	return (
		<>
			{edges.some((e) => e.change) && (
				<span class="quiet">
					<Flows n={was} ways={own} of={props.before ?? undefined} kind="quiet" props={props} /> →{" "}
				</span>
			)}
			<Flows n={is} ways={own} kind={kind} props={props} />
		</>
	);
}

// Of all that is selected, before and now.
function ComparedCounts({ edges, ways, props }: { edges: Edge[]; ways: Ways | null; props: Props }) {
	const has = (what: Outcome) => edges.some((e) => e[what] || e.was?.[what]);
	const counts = (name: string, what: Exclude<Outcome, "unknown">) => (
		<Fact name={name}>
			<Compared edges={edges} what={what} ways={ways} props={props} />
		</Fact>
	);
	return (
		<>
			<Curves edges={edges} ways={ways} props={props} />
			<dl>
				{counts("Forwarded", "forwarded")}
				{counts("Dropped", "dropped")}
				{has("audited") && counts("Audit", "audited")}
			</dl>
		</>
	);
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
	const edges = edges_of(lines);
	const ways = ways_between(from, to, edges);
	const all = { edges, ways, props };
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
			{edges.some((e) => e.change) ? <ComparedCounts {...all} /> : <Counts {...all} />}
			<Ports edges={edges} ways_of={(e) => ways_between(from, to, [e])} props={props} />
			{ways && (
				<p class="actions">
					<button type="button" onClick={() => props.on_flows(ways)}>
						Only these flows
					</button>
					<button type="button" onClick={() => props.on_copy(props.command(ways))}>
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
	const node = (key: string) => props.graph.nodes.find((n) => n.key === key);
	return (
		<>
			<h3>{title}</h3>
			<ul class="peers">
				<Some list={[...seen]} most={20}>
					{([key, list]: [string, Line[]]) => {
						const [{ from, to }] = list as [Line];
						const peer = node(key);
						const ways = ways_between(node(from), node(to), edges_of(list));
						const sum = (of: Line[]) => of.reduce((n, l) => n + l.count, 0);
						const dropped = sum(list.filter((l) => l.outcome === "dropped"));
						return (
							<li key={key}>
								<button
									type="button"
									class="link"
									onClick={() => props.on_select({ kind: "edge", from, to })}
								>
									{peer ? name_of(peer) : key}
								</button>
								<span class="counts">
									{dropped > 0 && (
										<Flows n={dropped} ways={with_terms(ways, outcome_terms("dropped"))} kind="dropped" props={props}>
											✕ {count_text(dropped)}
										</Flows>
									)}
									{sum(list) > dropped && <Flows n={sum(list)} ways={ways} kind="quiet" props={props} />}
								</span>
							</li>
						);
					}}
				</Some>
			</ul>
		</>
	);
}

function Narrowing({ terms, text, props }: { terms: string[]; text: string; props: Props }) {
	return terms.length ? (
		<button type="button" onClick={() => props.on_flows([terms])}>
			{text}
		</button>
	) : null;
}

const SERVED_SHOWN = 6;

// Each leads to the flows to it, and the answers from it.
function Served({ node, props }: { node: Node; props: Props }) {
	const ways = (port: string): Ways | null => {
		const number = /^\d+/.exec(port)?.[0];
		const [to, from] = (["to", "from"] as const).map((side) => node_terms(node, side)) as [string[], string[]];
		return number && to.length ? [[...to, `to-port=${number}`], [...from, `from-port=${number}`]] : null;
	};
	const left = node.ports.length - SERVED_SHOWN;
	return (
		<>
			{" · serves "}
			{node.ports.slice(0, SERVED_SHOWN).map((port, i) => (
				<Fragment key={port}>
					{i > 0 && ", "}
					<Flows n={1} ways={ways(port)} props={props}>
						{port}
					</Flows>
				</Fragment>
			))}
			{left > 0 && ` and ${count_text(left)} more`}
		</>
	);
}

function CardDetail({ node, props }: { node: Node; props: Props }) {
	const incoming = props.graph.lines.filter((l) => l.to === node.key);
	const outgoing = props.graph.lines.filter((l) => l.from === node.key);
	const edges = [...new Set([...edges_of([...incoming, ...outgoing]), ...node.own])];
	const all = { edges, ways: ways_of_node(node), props };
	return (
		<>
			<h2>{name_of(node)}</h2>
			<p class="quiet">
				{node.card ? node.kind : `${folded_text(node)}, folded`}
				{node.ports.length > 0 && <Served node={node} props={props} />}
			</p>
			{edges.some((e) => e.change) ? <ComparedCounts {...all} /> : <Counts {...all} />}
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
				{all.ways && (
					<button type="button" onClick={() => props.on_copy(props.command(all.ways!))}>
						Copy as command
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

// Goes on in the next line where the clock begins, and nowhere else.
function Time({ text }: { text: string }) {
	const at = text.indexOf("T") + 1;
	return (
		<>
			<span class="whole">{text.slice(0, at)}</span>
			<span class="whole">{text.slice(at)}</span>
		</>
	);
}

// Who asked whom, what became of it and why: what most want to know of a flow, before all else that it says.
function FlowSummary({ flow }: { flow: Flow }) {
	const [port, protocol, outcome] = [port_of(flow), protocol_of(flow), outcome_of(flow)];
	const why = why_of(flow);
	const denied = (["ingress", "egress"] as const).flatMap((side) => {
		const names = policies(flow, [`${side}_denied_by`]);
		return names ? [{ side, names }] : [];
	});
	return (
		<>
			<p class="ends">
				<bdi>{who(flow, "source")}</bdi> → <bdi>{who(flow, "destination")}</bdi>{" "}
				<code>{port ? `${port}/${protocol}` : protocol}</code>
				{flow.is_reply && <span class="quiet"> answer</span>}
			</p>
			<dl>
				{why && (
					<Fact name={outcome === "dropped" ? "Reason" : "Summary"}>
						{outcome === "dropped" ? (
							<code>
								<Breakable text={why} />
							</code>
						) : (
							<bdi>{why}</bdi>
						)}
					</Fact>
				)}
				{denied.map(({ side, names }) => (
					<Fact key={side} name="Decided by">
						<code>{names}</code> <span class="quiet">{side}</span>
					</Fact>
				))}
				{outcome === "dropped" && !denied.length && why === "POLICY_DENIED" && <NoPolicy />}
			</dl>
		</>
	);
}

function FlowDetail({ flow, props }: { flow: Flow; props: Props }) {
	return (
		<>
			<h2>
				<span class={outcome_of(flow)}>{String(flow.verdict ?? "Flow")}</span>{" "}
				<span class="quiet" title={full_time_text(flow.time)}>
					{time_text(flow.time)}
				</span>
			</h2>
			<FlowSummary flow={flow} />
			<p class="actions">
				<button type="button" onClick={() => props.on_copy(JSON.stringify({ flow }))}>
					Copy as JSON
				</button>
				<button type="button" onClick={() => props.on_copy(props.flow_command(flow))}>
					Copy as command
				</button>
			</p>
			<dl class="fields">
				{leaves(flow, "").map(([name, value]) => {
					const term = flow_term(flow, name);
					return (
						<Fact key={name} name={name}>
							<code>
								<Flows n={1} ways={term ? [[term]] : null} props={props}>
									{name === "time" ? <Time text={value} /> : visible(value)}
								</Flows>
							</code>
						</Fact>
					);
				})}
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
		case "coverage":
			return <>{props.coverage}</>;
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
			const lines = graph.lines.filter((l) => is_of_pair(l, selection.from, selection.to));
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
		<aside id="panel-detail" class="detail" aria-label="Details" tabIndex={-1}>
			{props.selection.kind !== "nothing" && (
				<button
					type="button"
					class="close"
					title="Back (Esc)"
					aria-label="Back"
					onClick={props.on_back}
				>
					×
				</button>
			)}
			<Body {...props} />
		</aside>
	);
}
