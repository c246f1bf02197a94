// While two ranges are compared: which, how much differs, and what may be missing from either.
import { Fragment } from "preact";
import { doubts, tally, type Difference } from "./compare";
import type { Change } from "./drawn";
import { count_text, full_time_text, time_text } from "./flow";
import type { Against } from "./state";
import { range_before, type Range } from "./time_range";
import type { Coverage } from "./wire";

export type Mark = "range" | "against"; // what dragging over the strip sets

interface Props {
	range: Range;
	against: Against;
	coverage: Coverage[];
	differences: Difference[] | null; // null: not both ranges are here yet
	untracked: number;
	mark: Mark;
	only: Change | null; // which differences are in the table; null: all
	on_only(change: Change | null): void;
	on_coverage(): void;
	on_mark(mark: Mark): void;
	on_against(range: Range | null): void;
}

const DAY_MS = 86_400_000;

function short_text({ since, until }: Range): string {
	const day = (ms: number) =>
		new Date(ms).toLocaleDateString(undefined, { day: "numeric", month: "short" });
	const clock = (ms: number) => time_text(ms).slice(0, 5);
	return day(since) === day(until - 1)
		? `${day(since)} ${clock(since)} – ${clock(until)}`
		: `${day(since)} ${clock(since)} – ${day(until)} ${clock(until)}`;
}

export function CompareBar(props: Props) {
	const { range, against, differences } = props;
	const length = range.until - range.since;
	const same_length = length === against.range.until - against.range.since;
	const doubt = doubts(props.coverage, against.range, range);
	if (props.untracked) doubt.push(`${count_text(props.untracked)} flows found no room on the map`);
	const chip = (mark: Mark, text: string, r: Range) => (
		<button
			type="button"
			class="chip"
			aria-pressed={props.mark === mark}
			title={`${full_time_text(r.since)} – ${full_time_text(r.until)}. Dragging over the strip sets the range that is pressed.`}
			onClick={() => props.on_mark(mark)}
		>
			<span class="quiet">{text}</span> {short_text(r)}
		</button>
	);
	return (
		<section class="compare" aria-label="Comparison">
			{chip("against", "Before", against.range)}
			<span class="quiet" aria-hidden="true">
				→
			</span>
			{chip("range", "Now", range)}
			<select
				aria-label="Compare with"
				value=""
				onChange={(e) => {
					const by = Number(e.currentTarget.value);
					if (by) props.on_against(range_before(range, by));
				}}
			>
				<option value="">compare with…</option>
				<option value={length}>just before</option>
				<option value={3_600_000}>an hour before</option>
				<option value={DAY_MS}>a day before</option>
				<option value={7 * DAY_MS}>a week before</option>
			</select>
			<p class="tally" role="status">
				{against.kind === "away"
					? against.reason
					: !differences
						? "Reading both ranges…"
						: differences.length
							? tally(differences).map(([change, n], i) => (
									<Fragment key={change}>
										{i > 0 && " · "}
										<button
											type="button"
											class="link"
											aria-pressed={props.only === change}
											title={props.only === change ? "All differences" : "Only these in the table"}
											onClick={() => props.on_only(props.only === change ? null : change)}
										>
											{count_text(n)} {change}
										</button>
									</Fragment>
								))
							: "No connection is new or gone, and no drop count has changed"}
			</p>
			{!same_length && (
				<p class="quiet">Ranges differ in length: counts before are scaled for the comparison.</p>
			)}
			{differences && doubt.length > 0 && (
				<p class="warn" data-fact="doubt">
					What was not seen cannot be compared:{" "}
					<button type="button" class="link" onClick={props.on_coverage}>
						{doubt.join("; ")}.
					</button>
				</p>
			)}
			<button type="button" onClick={() => props.on_against(null)}>
				End comparison
			</button>
		</section>
	);
}
