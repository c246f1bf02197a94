// What the record covers, and which part of it is looked at: drag to look at a part, or choose how far back.
import { useState } from "preact/hooks";
import { duration_text, full_time_text } from "./flow";
import { missing_in, oldest_of, range_between, type Range } from "./time_range";
import type { Coverage } from "./wire";

interface Props {
	coverage: Coverage[];
	range: Range | null;
	against: Range | null; // what it is compared with
	now: number;
	on_range(range: Range | null): void;
}

const spans: [string, number][] = [
	["Last 5 min", 5],
	["Last hour", 60],
	["Last 6 h", 360],
	["Last 24 h", 1440],
	["Last 7 d", 10080],
];

export function History({ coverage, range, against, now, on_range }: Props) {
	const [drag, set_drag] = useState<{ from: number; to: number } | null>(null);
	const oldest = oldest_of(coverage);
	if (!oldest && !range) return null;
	const start = Math.min(oldest || now, range?.since ?? now, against?.since ?? now, now - 60_000);
	const end = Math.max(now, range?.until ?? 0, against?.until ?? 0);
	const percent = (time: number) =>
		`${((Math.min(end, Math.max(start, time)) - start) / (end - start)) * 100}%`;
	const block = (from: number, to: number) => ({
		left: percent(from),
		right: `calc(100% - ${percent(to)})`,
	});
	const time_at = (event: PointerEvent) => {
		const box = (event.currentTarget as HTMLElement).getBoundingClientRect();
		return start + ((event.clientX - box.left) / box.width) * (end - start);
	};
	const dragged = drag && range_between(drag.from, drag.to);
	return (
		<section class="history" aria-label="Time">
			<div
				class="record"
				title={`Record since ${full_time_text(start)}. Drag to look at a part of it.`}
				onPointerDown={(e) => {
					e.currentTarget.setPointerCapture(e.pointerId);
					set_drag({ from: time_at(e), to: time_at(e) });
				}}
				onPointerMove={(e) => drag && set_drag({ ...drag, to: time_at(e) })}
				onPointerUp={(e) => {
					if (drag) on_range(range_between(drag.from, time_at(e)));
					set_drag(null);
				}}
				onPointerCancel={() => set_drag(null)}
			>
				{missing_in(coverage, { since: start, until: end }).map((m, i) => (
					<span
						key={i}
						class="missing"
						style={block(m.since, m.until)}
						title={`${m.node}: ${m.cause}, ${duration_text(m.until - m.since)}`}
					/>
				))}
				{against && <span class="marked before" style={block(against.since, against.until)} />}
				{range && <span class="marked" style={block(range.since, range.until)} />}
				{dragged && <span class="marked" style={block(dragged.since, dragged.until)} />}
				<span class="label">{duration_text(end - start)} ago</span>
				<span class="label">now</span>
			</div>
			<select
				aria-label="Time range"
				value={range ? "past" : "live"}
				onChange={(e) => {
					const value = e.currentTarget.value;
					if (value === "live") on_range(null);
					else if (value !== "past") on_range(range_between(now - Number(value) * 60_000, now));
				}}
			>
				<option value="live">Live</option>
				{range && <option value="past">Past range</option>}
				{spans.map(([text, minutes]) => (
					<option key={text} value={minutes}>
						{text}
					</option>
				))}
			</select>
		</section>
	);
}
