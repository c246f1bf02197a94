// What is said in the details while nothing is selected.
import { Fragment } from "preact";
import { type Ways, with_terms } from "./filter";
import { count_text, kernel_names, reason_text } from "./flow";
import { type Graph, type Line, name_of, outcome_terms, summary_of, ways_between } from "./graph";
import { knowledge } from "./health";
import { RangeInputs } from "./RangeInputs";
import { Some } from "./Some";
import type { Selection, State } from "./state";
import type { Range } from "./time_range";

// What is said where nothing was dropped: that it is so only where something is known.
function nothing_text(state: State): string {
	switch (knowledge(state)) {
		case "away":
			return "Nothing known";
		case "asked":
			return "Asking the server…";
		case "known":
			if (!state.totals.flows) return "No flows";
			return state.range || state.has_caught_up ? "Nothing dropped" : "Nothing dropped so far";
	}
}

// Whose requests to whom are refused, and by which policy.
function Refused({
	line,
	graph,
	on_select,
	on_flows,
}: {
	line: Line;
	graph: Graph;
	on_select(selection: Selection): void;
	on_flows(ways: Ways): void;
}) {
	const node = (key: string) => graph.nodes.find((n) => n.key === key)!;
	const [from, to] = [node(line.from), node(line.to)];
	const refusing = line.edges.filter((e) => e.dropped);
	const ways = with_terms(ways_between(from, to, refusing), outcome_terms("dropped"));
	const { deciders } = summary_of(refusing);
	return (
		<li>
			<span>
				<button
					type="button"
					class="link"
					onClick={() => on_select({ kind: "edge", from: line.from, to: line.to })}
				>
					<bdi>{name_of(from)}</bdi> → <bdi>{name_of(to)}</bdi>
				</button>{" "}
				<code>{line.port}</code>
				{deciders.length > 0 && (
					<div class="quiet">
						by <code>{deciders.map((d) => d.policy).join(", ")}</code>
					</div>
				)}
			</span>
			{ways ? (
				<button type="button" class="link dropped" title="Only these flows" onClick={() => on_flows(ways)}>
					{count_text(line.count)}
				</button>
			) : (
				<span class="dropped">{count_text(line.count)}</span>
			)}
		</li>
	);
}

export function Overview({
	state,
	graph,
	on_copy,
	command,
	on_compare,
	on_flows,
	on_all,
	on_select,
}: {
	state: State;
	graph: Graph;
	on_copy(text: string): void;
	command: string;
	on_compare(range: Range, against: Range | null): void;
	on_flows(ways: Ways): void;
	on_all(): void; // flows of this view
	on_select(selection: Selection): void;
}) {
	const { range, against } = state;
	// What stands above is the sum of what stands below.
	const totals = state.mapped ?? state.totals;
	const { reasons, unnamed } = summary_of(state.edges.filter((e) => e?.dropped));
	const refused = graph.lines.filter((l) => l.outcome === "dropped" && l.change !== "gone").sort((a, b) => b.count - a.count);
	return (
		<>
			<h2>
				{totals.dropped ? (
					<button type="button" class="link dropped" onClick={() => on_flows([outcome_terms("dropped")])}>
						{count_text(totals.dropped)} dropped
					</button>
				) : (
					nothing_text(state)
				)}
			</h2>
			{totals.flows > 0 && (
				<p class="quiet">
					of{" "}
					<button type="button" class="link" title="All of this view" onClick={on_all}>
						{count_text(totals.flows)} flows
					</button>
					{state.shown_line ? " with this filter" : ""}
				</p>
			)}
			{refused.length > 0 && (
				<>
					<h3>Between whom</h3>
					<ul class="peers">
						<Some list={refused} most={5}>
							{(line: Line) => (
								<Refused key={line.key} line={line} graph={graph} on_select={on_select} on_flows={on_flows} />
							)}
						</Some>
					</ul>
				</>
			)}
			{reasons.length > 0 && (
				<>
					<h3>Why</h3>
					<ul class="peers">
						<Some list={reasons} most={8}>
							{([reason, n]: [string, number]) => (
								<li key={reason}>
									<span>
										<code>{reason_text(reason)}</code>
										<span class="quiet"> {kernel_names(state.rows, reason)}</span>
									</span>
									<button
										type="button"
										class="link dropped"
										title="Only these flows"
										onClick={() => on_flows([[...outcome_terms("dropped"), `reason=${reason}`]])}
									>
										{count_text(n)}
									</button>
								</li>
							)}
						</Some>
						{unnamed > 0 && (
							<li>
								<span class="quiet">other reasons</span>
								<span>{count_text(unnamed)}</span>
							</li>
						)}
					</ul>
				</>
			)}
			{range && (
				<RangeInputs
					name={against ? "Now" : "Range"}
					range={range}
					on_range={(r) => on_compare(r, against && against.range)}
				/>
			)}
			{range && against && (
				<RangeInputs
					name="Before"
					range={against.range}
					on_range={(r) => on_compare(range, r)}
				/>
			)}
			<h3>This view as a command</h3>
			<p class="command">
				<code>
					{command.split(" ").map((word, i) => (
						<Fragment key={i}>
							{i > 0 && " "}
							<span>{word}</span>
						</Fragment>
					))}
				</code>
			</p>
			<p class="actions">
				<button type="button" onClick={() => on_copy(command)}>
					Copy
				</button>
			</p>
			<p class="quiet">Click a card, a line or a flow to see all that is known of it.</p>
		</>
	);
}
