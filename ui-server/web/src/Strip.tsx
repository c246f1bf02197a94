// Flows and drops per second over the last minutes.
import { useState } from "preact/hooks";
import { count_text, time_text } from "./flow";
import { PULSE_SECONDS } from "./state";
import type { Pulse } from "./wire";

const HEIGHT = 100; // of the drawing; scaled to the strip

// Smooth numbers for the top of the scale, so that it does not twitch.
function ceiling(most: number): number {
	const power = 10 ** Math.floor(Math.log10(Math.max(1, most)));
	return [1, 2, 5, 10].map((n) => n * power).find((n) => n >= most) ?? most;
}

function outline(counts: number[], top: number): string {
	const start = PULSE_SECONDS - counts.length;
	return counts
		.map((n, i) => `${i ? "L" : "M"}${start + i} ${(HEIGHT - (n / top) * (HEIGHT - 6)).toFixed(1)}`)
		.join("");
}

export function Strip({ pulse }: { pulse: Pulse }) {
	const [at, set_at] = useState<number | null>(null);
	// The second that goes on is not counted to its end.
	const flows = pulse.flows.slice(0, -1);
	const drops = pulse.drops.slice(0, -1);
	const top = ceiling(Math.max(1, ...flows));
	const start = PULSE_SECONDS - flows.length;
	const i = at === null ? -1 : at - start;
	const now = flows.at(-1) ?? 0;
	return (
		<section class="strip" aria-label="Flows per second, last five minutes">
			<svg
				viewBox={`0 0 ${PULSE_SECONDS - 1} ${HEIGHT}`}
				preserveAspectRatio="none"
				role="img"
				aria-label={`${now} flows per second now, at most ${Math.max(0, ...flows)} in the last five minutes`}
				onPointerMove={(e) => {
					const box = e.currentTarget.getBoundingClientRect();
					set_at(Math.round(((e.clientX - box.left) / box.width) * (PULSE_SECONDS - 1)));
				}}
				onPointerLeave={() => set_at(null)}
			>
				{[60, 120, 180, 240].map((x) => (
					<path key={x} class="minute" d={`M${PULSE_SECONDS - 1 - x} 0V${HEIGHT}`} />
				))}
				{flows.length > 1 && (
					<>
						<path class="flows-area" d={`${outline(flows, top)}V${HEIGHT}H${start}Z`} />
						<path class="flows-line" d={outline(flows, top)} />
						<path class="drops-area" d={`${outline(drops, top)}V${HEIGHT}H${start}Z`} />
					</>
				)}
				{i >= 0 && i < flows.length && <path class="cursor" d={`M${at} 0V${HEIGHT}`} />}
			</svg>
			<div class="scale">
				<span>{count_text(top)}/s</span>
				<span class="quiet">5 min</span>
			</div>
			{i >= 0 && i < flows.length && (
				<div class="tip at-strip">
					{time_text((pulse.from + i) * 1000).slice(0, 8)} · {count_text(flows[i] ?? 0)} flows/s
					{drops[i] ? <span class="dropped"> · {count_text(drops[i] ?? 0)} drops/s</span> : null}
				</div>
			)}
		</section>
	);
}
