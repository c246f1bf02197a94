// The last line: what is known, and what is not. Never hidden.
import { count_text, duration_text, full_time_text, time_text } from "./flow";
import { missing_in, oldest_of } from "./time_range";
import { ROWS_KEPT, type State } from "./state";

function nodes_text(state: State): string {
	if (state.status.kind !== "known") return "";
	const { num_connected_nodes: here, num_unavailable_nodes: gone = 0 } = state.status.status;
	return here === undefined ? "" : `${here} of ${here + gone} nodes`;
}

interface Props {
	state: State;
	now: number;
	on_filter(terms: string[]): void;
}

export function StatusLine({ state, now, on_filter }: Props) {
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
				<span class={server?.num_unavailable_nodes ? "warn" : ""}>{nodes_text(state)}</span>
			)}
			<span data-fact="flows">{count_text(t.flows)} flows</span>
			{t.dropped ? (
				<button
					type="button"
					class="link dropped"
					data-fact="dropped"
					title="Only these flows"
					onClick={() => on_filter(["verdict=DROPPED"])}
				>
					{count_text(t.dropped)} dropped
				</button>
			) : (
				<span data-fact="dropped">0 dropped</span>
			)}
			<span
				data-fact="lost"
				class={t.lost ? "warn" : ""}
				title="Events that the server, or the kernel below it, had no room for"
			>
				{count_text(t.lost)} lost
			</span>
			{t.gaps > 0 && (
				<span
					data-fact="gaps"
					class="warn"
					title="The server was restarted; nobody watched meanwhile"
				>
					{t.gaps} {t.gaps === 1 ? "gap" : "gaps"} ({duration_text(t.gap_ms)}, restarted)
				</span>
			)}
			{state.left_out > 0 && (
				<span
					data-fact="left-out"
					class="warn"
					title={`They came faster than the table takes them, which keeps the newest ${count_text(ROWS_KEPT)}`}
				>
					{count_text(state.left_out)} not in the table
				</span>
			)}
			{state.untracked > 0 && (
				<span data-fact="untracked" class="warn">
					{count_text(state.untracked)} flows not on the map: it is full
				</span>
			)}
			{t.oldest > 0 && (
				<span title={full_time_text(t.oldest)}>since {time_text(t.oldest).slice(0, 8)}</span>
			)}
			{t.newest > 0 && now - t.newest > 5000 && !state.range && (
				<span>last flow {duration_text(now - t.newest)} ago</span>
			)}
			{history > 0 && (
				<span data-fact="history" title={`since ${full_time_text(history)}`}>
					history of {duration_text(Math.max(0, now - history))}
				</span>
			)}
			{!state.has_record && (
				<span
					data-fact="no-record"
					class="warn"
					title="This server, as Hubble, keeps no record that can be asked about: gaps are not known, and the map of a past range is that of its newest flows"
				>
					no record
				</span>
			)}
			{missing.length > 0 && (
				<span
					data-fact="missing"
					class="warn"
					title={missing
						.map((m) => `${m.node}: ${duration_text(m.until - m.since)}, ${m.cause}`)
						.join("\n")}
				>
					{missing.length} {missing.length === 1 ? "gap" : "gaps"} in range ({missing[0]!.node},{" "}
					{duration_text(missing[0]!.until - missing[0]!.since)}, {missing[0]!.cause}
					{missing.length > 1 ? ", …" : ""})
				</span>
			)}
			<span class="spacer" />
			{!state.range && (
				<span
					data-fact="lag"
					class={lag > 2000 ? "warn" : ""}
					title="From a flow's time to this page"
				>
					lag {duration_text(lag)}
				</span>
			)}
			<a href="/licenses.txt" title="Licences of what this page is made with">
				tycho {state.version}
			</a>
		</footer>
	);
}
