// The last line: what is known, and what is not. Never hidden.
import type { ComponentChildren } from "preact";
import type { Ways } from "./filter";
import { ago_text, count_text, duration_text, full_time_text, short_time_text, time_text } from "./flow";
import { outcome_terms } from "./graph";
import { knowledge } from "./health";
import { ROWS_KEPT, type State } from "./state";
import { missing_in, oldest_of } from "./time_range";

function nodes_text(state: State): string {
	if (state.status.kind !== "known") return "";
	const { num_connected_nodes: here, num_unavailable_nodes: gone = 0 } = state.status.status;
	return here === undefined ? "" : `${count_text(here)} of ${count_text(here + gone)} nodes`;
}

interface Props {
	state: State;
	now: number;
	on_flows(ways: Ways): void;
	on_all(): void; // flows of this view
	on_coverage(): void;
	on_newest(): void; // flow
}

// One of the facts, which leads to what it is about.
function Fact(props: { name?: string; kind?: string; title?: string; children: ComponentChildren; on_click(): void }) {
	return (
		<button
			type="button"
			class={`fact-link ${props.kind ?? ""}`}
			data-fact={props.name}
			title={props.title}
			onClick={props.on_click}
		>
			{props.children}
		</button>
	);
}

export function StatusLine({ state, now, on_flows, on_all, on_coverage, on_newest }: Props) {
	const t = state.totals;
	const server = state.status.kind === "known" ? state.status.status : null;
	const history = oldest_of(state.coverage);
	const missing = missing_in(
		state.coverage,
		state.range ?? { since: t.oldest || now, until: Math.max(now, t.oldest) },
	);
	const lag = Math.max(t.lag_ms, state.page_lag);
	return (
		<footer class="status" aria-label="Coverage">
			<span title={server?.version ?? ""}>{state.server}</span>
			{nodes_text(state) && (
				<Fact name="nodes" kind={server?.num_unavailable_nodes ? "warn" : ""} title="Which they are" on_click={on_coverage}>
					{nodes_text(state)}
				</Fact>
			)}
			{knowledge(state) === "known" ? (
				<>
					<span>
						<Fact name="flows" title="All of this view" on_click={on_all}>
							{count_text(t.flows)} flows
						</Fact>
						{t.oldest > 0 && (
							<span title={full_time_text(t.oldest)}> since {time_text(t.oldest).slice(0, 8)}</span>
						)}
					</span>
					{t.dropped ? (
						<Fact
							name="dropped"
							kind="dropped"
							title="Only these flows"
							on_click={() => on_flows([outcome_terms("dropped")])}
						>
							{count_text(t.dropped)} dropped
						</Fact>
					) : (
						<span data-fact="dropped">0 dropped</span>
					)}
					<Fact
						name="lost"
						kind={t.lost ? "warn" : ""}
						title="Events that the server, or the kernel below it, had no room for"
						on_click={on_coverage}
					>
						{count_text(t.lost)} lost
					</Fact>
				</>
			) : (
				<span data-fact="nothing-known">nothing known yet</span>
			)}
			{t.gaps > 0 && (
				<Fact name="gaps" kind="warn" title="The server was restarted; nobody watched meanwhile" on_click={on_coverage}>
					{t.gaps} {t.gaps === 1 ? "gap" : "gaps"} ({duration_text(t.gap_ms)}, restarted)
				</Fact>
			)}
			{state.left_out > 0 && (
				<Fact
					name="left-out"
					kind="warn"
					title={`They came faster than the table takes them, which keeps the newest ${count_text(ROWS_KEPT)}`}
					on_click={on_coverage}
				>
					{count_text(state.left_out)} not in the table
				</Fact>
			)}
			{state.untracked > 0 && (
				<Fact name="untracked" kind="warn" on_click={on_coverage}>
					{count_text(state.untracked)} flows not on the map: it is full
				</Fact>
			)}
			{t.newest > 0 && now - t.newest > 5000 && !state.range && (
				<Fact title="The newest flow" on_click={on_newest}>
					last flow {ago_text(now - t.newest)}
				</Fact>
			)}
			{history > 0 && (
				<Fact name="history" title={full_time_text(history)} on_click={on_coverage}>
					history since {short_time_text(history)}
				</Fact>
			)}
			{!state.has_record && (
				<Fact
					name="no-record"
					kind="warn"
					title="This server, as Hubble, keeps no record that can be asked about: gaps are not known, and the map of a past range is that of its newest flows"
					on_click={on_coverage}
				>
					no record
				</Fact>
			)}
			{missing.length > 0 && (
				<Fact
					name="missing"
					kind="warn"
					title={missing
						.map((m) => `${m.node}: ${duration_text(m.until - m.since)}, ${m.cause}`)
						.join("\n")}
					on_click={on_coverage}
				>
					{missing.length} {missing.length === 1 ? "gap" : "gaps"} in range ({missing[0]!.node},{" "}
					{duration_text(missing[0]!.until - missing[0]!.since)}, {missing[0]!.cause}
					{missing.length > 1 ? ", …" : ""})
				</Fact>
			)}
			<span class="end">
				{state.link.kind === "open" && state.upstream.kind === "live" && (
					<Fact
						name="lag"
						kind={lag > 2000 ? "warn" : ""}
						title="From a flow's time to this page"
						on_click={on_coverage}
					>
						lag {duration_text(lag)}
					</Fact>
				)}
				<a href="/licenses.txt" title="Licences of what this page is made with">
					tycho {state.version}
				</a>
			</span>
		</footer>
	);
}
