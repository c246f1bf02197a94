// What the last line counts, at length: which nodes answer, since when they keep a record, and what is missing from it.
import type { ComponentChildren } from "preact";
import type { Ways } from "./filter";
import { count_text, duration_text, full_time_text, short_time_text } from "./flow";
import { Some } from "./Some";
import { ROWS_KEPT, type State } from "./state";
import { missing_in, type Missing, oldest_of, range_between, type Range, sorted_nodes } from "./time_range";
import type { Coverage } from "./wire";

const GAPS_SHOWN = 50;
const NODES_SHOWN = 12;

interface Props {
	state: State;
	now: number;
	on_flows(ways: Ways): void;
	on_range(range: Range): void;
	on_copy(): void; // the view as a command
}

function Count({ name, n, said }: { name: string; n: ComponentChildren; said: string }) {
	return (
		<div class="fact">
			<dt>{name}</dt>
			<dd>
				<strong>{n}</strong> <span class="quiet">{said}</span>
			</dd>
		</div>
	);
}

// A gap, and a minute on either side of it.
function around({ since, until }: Missing): Range {
	return range_between(since - 60_000, until + 60_000);
}

export function CoverageDetail({ state, now, on_flows, on_range, on_copy }: Props) {
	const t = state.totals;
	const known = state.status.kind === "known" ? state.status.status : null;
	const asked = new Set(state.coverage.map((c) => c.node_name));
	const gone = (known?.unavailable_nodes ?? []).filter((name) => !asked.has(name));
	const oldest = oldest_of(state.coverage);
	const gaps = missing_in(state.coverage, { since: oldest, until: now }).filter((m) => m.cause !== "before its record");
	const nodes = sorted_nodes(state.coverage);
	const troubled = nodes.filter((c) => c.error).length + gone.length;
	const record_of = (text: string | undefined) => Date.parse(text ?? "");
	return (
		<>
			<h2>What is known</h2>
			<p class="quiet">and what is missing from it</p>
			<h3>Nodes</h3>
			{troubled > 0 && (
				<p class="warn">
					{count_text(troubled)} of {count_text(state.coverage.length + gone.length)} not reached
				</p>
			)}
			<ul class="peers nodes">
				{gone.map((name) => (
					<li key={name}>
						<span>{name}</span>
						<span class="warn">not connected</span>
					</li>
				))}
				<Some list={nodes} most={Math.max(NODES_SHOWN, troubled)}>
					{(c: Coverage) => (
						<li key={c.node_name}>
							<button
								type="button"
								class="link"
								title="Only flows that this node saw"
								onClick={() => on_flows([[`node=${c.node_name}`]])}
							>
								{c.node_name}
							</button>
							{c.error ? (
								<span class="warn" title={c.error}>
									not reached
								</span>
							) : record_of(c.oldest) > 0 ? (
								<button
									type="button"
									class="link"
									title={`Look at all of it, since ${full_time_text(c.oldest)}`}
									onClick={() => on_range(range_between(record_of(c.oldest), now))}
								>
									since {short_time_text(record_of(c.oldest))}
								</button>
							) : (
								<span class="quiet">no record</span>
							)}
						</li>
					)}
				</Some>
			</ul>
			{state.coverage.length === 0 && (
				<p class="quiet">
					{state.has_record
						? "Which nodes have a record is not known yet."
						: "This server keeps no record: gaps are not known, and a past range is that of its newest flows."}
				</p>
			)}
			{gaps.length > 0 && (
				<>
					<h3>Gaps in the record</h3>
					<ul class="peers gaps">
						{gaps.slice(-GAPS_SHOWN).map((m, i) => (
							<li key={i}>
								<button
									type="button"
									class="link"
									title={`Look at it, from ${full_time_text(m.since)} on`}
									onClick={() => on_range(around(m))}
								>
									{short_time_text(m.since)}
								</button>
								<span>
									{m.node}, {duration_text(m.until - m.since)}, {m.cause}
									{m.lost > 0 && `, ${count_text(m.lost)} lost`}
								</span>
							</li>
						))}
					</ul>
					{gaps.length > GAPS_SHOWN && <p class="quiet">and {count_text(gaps.length - GAPS_SHOWN)} before these</p>}
				</>
			)}
			<h3>This view</h3>
			<dl>
				<Count
					name="Lost"
					n={count_text(t.lost)}
					said="events that the server, or the kernel below it, had no room for: their flows are nowhere"
				/>
				{t.gaps > 0 && (
					<Count
						name="Restarts"
						n={count_text(t.gaps)}
						said={`of the server since this page looks; nobody watched for ${duration_text(t.gap_ms)}`}
					/>
				)}
				{state.left_out > 0 && (
					<Count
						name="Too fast"
						n={count_text(state.left_out)}
						said={`flows came faster than the table takes them, which keeps the newest ${count_text(ROWS_KEPT)}; map and counts have them`}
					/>
				)}
				{state.earlier > 0 && (
					<Count
						name="Earlier"
						n={count_text(state.earlier)}
						said="flows from before the table begins; map and counts have them"
					/>
				)}
				{state.untracked > 0 && (
					<Count name="Not on map" n={count_text(state.untracked)} said="flows found no room: the map is full" />
				)}
				{!state.range && (
					<Count
						name="Lag"
						n={duration_text(Math.max(t.lag_ms, state.page_lag))}
						said="from a flow's time to this page, at most, in the last 200 ms"
					/>
				)}
			</dl>
			<p class="actions">
				<button type="button" title="All flows of this view, none left out" onClick={on_copy}>
					Copy as command
				</button>
			</p>
		</>
	);
}
