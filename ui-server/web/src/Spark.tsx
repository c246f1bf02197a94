// The rate of what is selected, over the last minutes or a past range, as a small curve.
import { CURVE_HEIGHT, outline, steps } from "./curve";
import { duration_text, rate_text } from "./flow";
import type { Rates } from "./rates";

const POINTS = 60; // of the last minutes

interface Props {
	name: string; // of two that stand beside each other; else ""
	rates: Rates | "waiting";
	top: number; // of the scale
	on_flows: (() => void) | null; // to what is counted; null: there are no words for it
}

export function Spark({ name, rates, top: highest, on_flows }: Props) {
	const title = name && <span class="quiet">{name}: </span>;
	if (rates === "waiting")
		return (
			<figure class="spark">
				<svg role="img" aria-label={`${name} Rates, not here yet`.trim()} />
				<figcaption class="quiet">{title}reading the record…</figcaption>
			</figure>
		);
	const { flows, drops, step_s, is_past, unknown } = rates;
	const most = Math.max(0, ...flows);
	const top = Math.max(0.001, highest);
	const span = duration_text(Math.max(1, flows.length) * step_s * 1000);
	const sum = (counts: number[]) => counts.reduce((all, n) => all + n, 0);
	const said = (counts: number[]) => (is_past ? sum(counts) / Math.max(1, counts.length - unknown) : (counts.at(-1) ?? 0));
	const [now, dropped] = [said(flows), said(drops)];
	// A step of a past range is as wide as its time; the last minutes end at the right.
	const start = is_past ? 0 : POINTS - flows.length;
	const width = is_past ? flows.length : POINTS - 1;
	const path = (counts: number[]) => (is_past ? steps(counts, top, 0, 1) : outline(counts, top, start));
	const area = (counts: number[]) => `${path(counts)}V${CURVE_HEIGHT}H${start}Z`;
	return (
		<figure class="spark">
			<svg
				viewBox={`0 0 ${Math.max(1, width)} ${CURVE_HEIGHT}`}
				preserveAspectRatio="none"
				role="img"
				aria-label={`${name && `${name}: `}${rate_text(now)} flows per second ${is_past ? "on average" : "now"}, at most ${rate_text(most)} in ${span}`}
			>
				{flows.length > (is_past ? 0 : 1) && (
					<>
						<path class="flows-area" d={area(flows)} />
						<path class="flows-line" d={path(flows)} />
						{drops.some((n) => n > 0) && <path class="drops-area" d={area(drops)} />}
					</>
				)}
			</svg>
			<figcaption>
				{flows.length ? (
					<>
						{title}
						{on_flows ? (
							<button type="button" class="link" title="Only these flows" onClick={on_flows}>
								{rate_text(now)}/s
							</button>
						) : (
							`${rate_text(now)}/s`
						)}
						{is_past && <span class="quiet"> on average</span>}
						{dropped > 0 && <span class="dropped"> · {rate_text(dropped)}/s dropped</span>}
						<span class="quiet"> · most {rate_text(most)}/s</span>
					</>
				) : (
					<span class="quiet">{title}rate: counted from now on</span>
				)}
			</figcaption>
		</figure>
	);
}
