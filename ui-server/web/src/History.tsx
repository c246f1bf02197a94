// What the record covers, and which part of it is looked at: drag to look at a part, mark it with the keyboard, or choose how far
// back.
import { CURVE_HEIGHT, ceiling, steps } from "./curve";
import { count_text, duration_text, full_time_text, short_time_text } from "./flow";
import { useNowState } from "./now_state";
import { completed } from "./rates";
import { type Cursor, has_mark, within } from "./time_cursor";
import { TimeHandle } from "./TimeHandle";
import { gone_text, MINUTE_MS, missing_in, oldest_of, range_between, type Range, shade_of, stretches } from "./time_range";
import type { Coverage, Pulse } from "./wire";

interface Props {
	coverage: Coverage[];
	history: Pulse; // over all of the record
	range: Range | null;
	against: Range | null; // what it is compared with
	now: number;
	on_range(range: Range | null): void;
	on_compare: (() => void) | null; // null: it is compared
}

const spans: [string, number][] = [
	["Last 5 min", 5],
	["Last hour", 60],
	["Last 6 h", 360],
	["Last 24 h", 1440],
	["Last 7 d", 10080],
];

export function History({ coverage, history, range, against, now, on_range, on_compare }: Props) {
	const [drag, drag_now, set_drag] = useNowState<{ from: number; to: number } | null>(null);
	const [pointed, , set_pointed] = useNowState<number | null>(null);
	const [, cursor_now, set_cursor] = useNowState<Cursor | null>(null); // of the keyboard
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
	const step = history.step ?? 1;
	const rate = (n: number) => count_text(Math.round((n / step) * (n < 10 * step ? 100 : 1)) / (n < 10 * step ? 100 : 1));
	const drawn = completed(history, now / 1000);
	const most = Math.max(0, ...drawn.flows);
	const top = ceiling(Math.max(1, most));
	const span_s = (end - start) / 1000;
	const from = (history.from - start / 1000) / span_s;
	const path = (counts: number[]) => {
		const line = steps(counts, top, from * 1000, (step / span_s) * 1000);
		return `${line}V${CURVE_HEIGHT}H${(from * 1000).toFixed(3)}Z`;
	};
	const sum = (counts: number[]) => counts.reduce((n, c) => n + c, 0);
	const extent = { since: start, until: end, step: Math.max(step * 1000, MINUTE_MS), zero: 0 };
	const cursor = cursor_now() && within(cursor_now(), extent);
	const at = pointed ?? (cursor && cursor.at);
	// What comes late is as what came last.
	const i_of = (ms: number) => {
		const n = Math.floor((ms / 1000 - history.from) / step);
		return n < history.flows.length ? n : ms <= now ? history.flows.length - 1 : -1;
	};
	const i = at === null ? -1 : i_of(at);
	const marked = drag ? range_between(drag.from, drag.to) : cursor && has_mark(cursor) ? range_between(cursor.marked_from, cursor.at) : null;
	const missing = missing_in(coverage, { since: start, until: end });
	const known = (ms: number) => {
		const n = i_of(ms);
		return [
			n >= 0 && `${rate(drawn.flows[n]!)} flows per second`,
			n >= 0 && drawn.drops[n]! > 0 && `${rate(drawn.drops[n]!)} drops per second`,
			gone_text(missing, ms),
		].filter(Boolean).join(", ");
	};
	return (
		<section class="history" aria-label="Time">
			<div
				class="record"
				onPointerDown={(e) => {
					e.currentTarget.setPointerCapture(e.pointerId);
					set_drag({ from: time_at(e), to: time_at(e) });
				}}
				onPointerMove={(e) => {
					set_pointed(time_at(e));
					const begun = drag_now();
					if (begun) set_drag({ ...begun, to: time_at(e) });
				}}
				onPointerLeave={() => set_pointed(null)}
				onPointerUp={(e) => {
					const begun = drag_now();
					set_drag(null);
					if (begun) on_range(range_between(begun.from, time_at(e)));
				}}
				onPointerCancel={() => set_drag(null)}
			>
				{history.flows.length > 0 && (
					<svg
						viewBox={`0 0 1000 ${CURVE_HEIGHT}`}
						preserveAspectRatio="none"
						role="img"
						aria-label={`The record since ${full_time_text(start)}: ${count_text(sum(history.flows))} flows, ${count_text(sum(history.drops))} of them dropped; ${rate(most)} flows per second at most`}
					>
						<path class="flows-area" d={path(drawn.flows)} />
						<path class="drops-area" d={path(drawn.drops)} />
					</svg>
				)}
				{stretches(missing, coverage.length).map((m, i) => (
					<span
						key={i}
						class="missing"
						style={{ ...block(m.since, m.until), opacity: shade_of(m, coverage.length) }}
						title={
							m.nodes > 1
								? `${count_text(m.nodes)} of ${count_text(coverage.length)} nodes, such as ${m.one.node}: ${m.one.cause}`
								: `${m.one.node}: ${m.one.cause}, ${duration_text(m.one.until - m.one.since)}`
						}
					/>
				))}
				{against && <span class="marked before" style={block(against.since, against.until)} />}
				{range && <span class="marked" style={block(range.since, range.until)} />}
				{marked && <span class="marked" style={block(marked.since, marked.until)} />}
				<span class="label" title={`Record since ${full_time_text(start)}. Drag to look at a part of it.`}>
					{short_time_text(start)}
				</span>
				<span class="label">now</span>
				{i >= 0 && (
					<div class="tip at-record" style={at! < (start + end) / 2 ? { right: "12px" } : { left: "12px" }}>
						{short_time_text((history.from + i * step) * 1000)} · {rate(drawn.flows[i]!)} flows/s
						{history.drops[i] ? (
							<span class="dropped"> · {rate(drawn.drops[i]!)} drops/s</span>
						) : null}
					</div>
				)}
				<TimeHandle
					name="Time in the record"
					extent={extent}
					cursor={cursor_now}
					time={short_time_text}
					text={known}
					on_cursor={set_cursor}
					on_take={(from, to) => on_range(range_between(from, to))}
				/>
			</div>
			{on_compare && (
				<button
					type="button"
					title="What has changed: this range beside another"
					onClick={on_compare}
				>
					Compare
				</button>
			)}
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
