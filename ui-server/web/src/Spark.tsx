// The rate of what is selected, over the last minutes, as a small curve.
import { CURVE_HEIGHT, outline } from "./curve";
import { rate_text } from "./flow";
import type { Rates } from "./rates";

const POINTS = 60;

export function Spark({ rates }: { rates: Rates }) {
	const { flows, drops } = rates;
	const most = Math.max(0.001, ...flows);
	const start = POINTS - flows.length;
	const now = flows.at(-1) ?? 0;
	const dropped = drops.at(-1) ?? 0;
	const minutes = Math.max(1, Math.round((flows.length * rates.step_s) / 60));
	return (
		<figure class="spark">
			<svg
				viewBox={`0 0 ${POINTS - 1} ${CURVE_HEIGHT}`}
				preserveAspectRatio="none"
				role="img"
				aria-label={`${rate_text(now)} flows per second now, at most ${rate_text(Math.max(0, ...flows))} in ${minutes} min`}
			>
				{flows.length > 1 && (
					<>
						<path class="flows-area" d={`${outline(flows, most, start)}V${CURVE_HEIGHT}H${start}Z`} />
						<path class="flows-line" d={outline(flows, most, start)} />
						{drops.some((n) => n > 0) && (
							<path class="drops-area" d={`${outline(drops, most, start)}V${CURVE_HEIGHT}H${start}Z`} />
						)}
					</>
				)}
			</svg>
			<figcaption>
				{flows.length ? (
					<>
						{rate_text(now)}/s
						{dropped > 0 && <span class="dropped"> · {rate_text(dropped)}/s dropped</span>}
						<span class="quiet"> · most {rate_text(most)}/s</span>
					</>
				) : (
					<span class="quiet">rate: counted from now on</span>
				)}
			</figcaption>
		</figure>
	);
}
