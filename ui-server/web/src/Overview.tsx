// What is said in the details while nothing is selected.
import { Fragment } from "preact";
import type { Ways } from "./filter";
import { count_text } from "./flow";
import { outcome_terms } from "./graph";
import { RangeInputs } from "./RangeInputs";
import type { State } from "./state";
import type { Range } from "./time_range";

export function Overview({
	state,
	on_copy,
	command,
	on_compare,
	on_flows,
	on_all,
}: {
	state: State;
	on_copy(text: string): void;
	command: string;
	on_compare(range: Range, against: Range | null): void;
	on_flows(ways: Ways): void;
	on_all(): void; // flows of this view
}) {
	const { range, against } = state;
	const refused = state.edges
		.filter((e) => e?.dropped)
		.sort((a, b) => (b.dropped ?? 0) - (a.dropped ?? 0));
	const reasons = new Map<string, number>();
	for (const edge of refused)
		for (const [reason, n] of Object.entries(edge.reasons ?? {}))
			reasons.set(reason, (reasons.get(reason) ?? 0) + n);
	return (
		<>
			<h2>
				{state.totals.dropped ? (
					<button type="button" class="link dropped" onClick={() => on_flows([outcome_terms("dropped")])}>
						{count_text(state.totals.dropped)} dropped
					</button>
				) : (
					"Nothing dropped"
				)}
			</h2>
			<p class="quiet">
				of{" "}
				<button type="button" class="link" title="All of this view" onClick={on_all}>
					{count_text(state.totals.flows)} flows
				</button>
				{state.shown_line ? " with this filter" : ""}
			</p>
			{reasons.size > 0 && (
				<>
					<h3>Why</h3>
					<ul class="peers">
						{[...reasons]
							.sort((a, b) => b[1] - a[1])
							.slice(0, 8)
							.map(([reason, n]) => (
								<li key={reason}>
									<code>{reason}</code>
									<button
										type="button"
										class="link dropped"
										title="Only these flows"
										onClick={() => on_flows([[...outcome_terms("dropped"), `reason=${reason}`]])}
									>
										{count_text(n)}
									</button>
								</li>
							))}
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
