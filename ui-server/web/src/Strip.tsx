// Flows and drops per second, over the last minutes or a past range. Drag to look at a part, or mark it with the keyboard.
import { CURVE_HEIGHT as HEIGHT, ceiling, outline } from "./curve";
import { count_text, duration_text, rate_text as rate, time_text } from "./flow";
import { useNowState } from "./now_state";
import { begun, completed } from "./rates";
import { PULSE_SECONDS, with_history } from "./state";
import { type Cursor, has_mark, within } from "./time_cursor";
import { TimeHandle } from "./TimeHandle";
import { gone_text, looked_since, type Missing, missing_in, oldest_of, type Range, shade_of, stretches } from "./time_range";
import type { Coverage, Pulse } from "./wire";

interface Props {
	pulse: Pulse;
	past: { range: Range; flows: number; answered: number } | null; // flows: as its map counts them; null: live
	coverage: Coverage[];
	history: Pulse | null; // of the record, for the time before this page looked; null: it is not of the same flows
	followed_from: number; // ms since the epoch
	away_since: number; // the same, of the server; 0: it is not
	on_range(from: number, to: number): void; // ms since the epoch
}

export function Strip({ pulse: seen, past, coverage, history, followed_from, away_since, on_range }: Props) {
	const pulse = history
		? with_history(seen, history, oldest_of(coverage), followed_from)
		: past
			? completed(begun(seen, past.answered / 1000), past.answered / 1000)
			: seen;
	const [from, from_now, set_from] = useNowState<number | null>(null); // where dragging began
	const [pointed, , set_pointed] = useNowState<number | null>(null);
	const [, cursor_now, set_cursor] = useNowState<Cursor | null>(null); // of the keyboard
	// The second that goes on is not counted to its end.
	const step = pulse.step ?? 1;
	const last = past ? pulse.flows.length : -1;
	const flows = pulse.flows.slice(0, last).map((n) => n / step);
	const drops = pulse.drops.slice(0, last).map((n) => n / step);
	const span = past ? duration_text(past.range.until - past.range.since) : "5 min";
	const counted = seen.flows.reduce((sum, n) => sum + n, 0);
	const top = ceiling(Math.max(past ? 0.01 : 1, ...flows));
	const width = past ? Math.max(2, seen.flows.length) : PULSE_SECONDS;
	const start = past ? 0 : width - flows.length;
	const now = flows.at(-1) ?? 0;
	const time = (x: number) => (pulse.from + (x - start) * step) * 1000;
	const extent = flows.length ? { since: time(0), until: time(width - 1), step: step * 1000, zero: time(0) } : null;
	const cursor = extent && cursor_now() && within(cursor_now(), extent);
	const x_of = (ms: number) => Math.round((ms / 1000 - pulse.from) / step) + start;
	const at = pointed ?? (cursor && x_of(cursor.at));
	const marked_from = pointed !== null ? from : cursor && has_mark(cursor) ? x_of(cursor.marked_from) : null;
	const i = at === null ? -1 : at - start;
	const of_nodes = extent ? missing_in(past ? coverage : looked_since(coverage, followed_from), extent) : [];
	const of_all: Missing[] =
		extent && away_since && away_since < extent.until
			? [{ since: Math.max(away_since, extent.since), until: extent.until, node: "all nodes", cause: "server away", lost: 0 }]
			: [];
	const missing = [...of_all, ...of_nodes];
	const hatched = [
		...stretches(of_nodes, coverage.length).map((m) => ({ ...m, shade: shade_of(m, coverage.length) })),
		...of_all.map((m) => ({ ...m, shade: 1 })),
	];
	const rates = (ms: number) => {
		const n = x_of(ms) - start;
		return [
			n >= 0 && n < flows.length && `${rate(flows[n]!)} flows per second`,
			n >= 0 && drops[n] && `${rate(drops[n])} drops per second`,
			gone_text(missing, ms),
		]
			.filter(Boolean)
			.join(", ");
	};
	const place = (e: PointerEvent) => {
		const box = (e.currentTarget as Element).getBoundingClientRect();
		const share = Math.min(1, Math.max(0, (e.clientX - box.left) / box.width));
		return Math.round(share * (width - 1));
	};
	const share = (ms: number) => `${((ms - extent!.since) / Math.max(1, extent!.until - extent!.since)) * 100}%`;
	const clock = (ms: number) => time_text(ms).slice(0, 8);
	return (
		<section class="strip" aria-label={`Flows per second, ${span}`}>
			<div class="track">
				<svg
					viewBox={`0 0 ${width - 1} ${HEIGHT}`}
					preserveAspectRatio="none"
					role="img"
					aria-label={`${rate(now)} flows per second at the end, at most ${rate(Math.max(0, ...flows))} in ${span}`}
					onPointerDown={(e) => {
						e.currentTarget.setPointerCapture(e.pointerId);
						set_from(place(e));
					}}
					onPointerUp={(e) => {
						const first = from_now();
						set_from(null);
						// Of one place, the minute that it is in.
						if (first !== null && flows.length) on_range(time(first), time(place(e)));
					}}
					onPointerCancel={() => set_from(null)}
					onPointerMove={(e) => set_pointed(place(e))}
					onPointerLeave={() => set_pointed(null)}
				>
					{(past ? [] : [60, 120, 180, 240]).map((x) => (
						<path key={x} class="minute" d={`M${PULSE_SECONDS - 1 - x} 0V${HEIGHT}`} />
					))}
					{flows.length > 1 && (
						<>
							<path class="flows-area" d={`${outline(flows, top, start)}V${HEIGHT}H${start}Z`} />
							<path class="flows-line" d={outline(flows, top, start)} />
							<path class="drops-area" d={`${outline(drops, top, start)}V${HEIGHT}H${start}Z`} />
						</>
					)}
					{marked_from !== null && at !== null && (
						<path class="marked" d={`M${marked_from} 0H${at}V${HEIGHT}H${marked_from}Z`} />
					)}
					{i >= 0 && i < flows.length && <path class="cursor" d={`M${at} 0V${HEIGHT}`} />}
				</svg>
				{i >= 0 && i < flows.length && (
					<div class="tip at-strip" style={at! < width / 2 ? { right: "12px" } : { left: "12px" }}>
						{clock(time(at!))} · {rate(flows[i] ?? 0)} flows/s
						{drops[i] ? <span class="dropped"> · {rate(drops[i] ?? 0)} drops/s</span> : null}
						{gone_text(missing, time(at!)) && <span class="warn"> · {gone_text(missing, time(at!))}</span>}
					</div>
				)}
				{hatched.map((m, i) => (
					<span
						key={i}
						class="missing"
						style={{ left: share(m.since), right: `calc(100% - ${share(m.until)})`, opacity: m.shade }}
					/>
				))}
				<TimeHandle
					name={`Time in the strip, ${span}`}
					extent={extent}
					cursor={cursor_now}
					time={clock}
					text={rates}
					on_cursor={set_cursor}
					on_take={on_range}
				/>
			</div>
			{past && counted < past.flows && (
				<p class="notice at-strip">
					counts the newest {count_text(counted)} of {count_text(past.flows)} flows
				</p>
			)}
			<div class="scale">
				<span>{flows.some((n) => n > 0) && `${rate(top)}/s`}</span>
				<span class="quiet">{span}</span>
			</div>
		</section>
	);
}
