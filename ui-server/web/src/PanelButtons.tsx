// Which parts of the page are shown. One always is.
import type { Panel, Panels } from "./state";

const panels: { panel: Panel; name: string; part: string }[] = [
	{ panel: "map", name: "Map", part: "M2 3h7.5v6H2z" },
	{ panel: "details", name: "Details", part: "M9.5 3H14v6H9.5z" },
	{ panel: "flows", name: "Flows", part: "M2 9h12v4H2z" },
];

export function PanelButtons({ panels: now, on_panels }: { panels: Panels; on_panels(panels: Panels): void }) {
	const shown = panels.filter(({ panel }) => !now.hidden.includes(panel));
	return (
		<div class="segments panels" role="group" aria-label="Panels">
			{panels.map(({ panel, name, part }) => {
				const is_shown = !now.hidden.includes(panel);
				const hidden = is_shown ? [...now.hidden, panel] : now.hidden.filter((p) => p !== panel);
				return (
					<button
						key={panel}
						type="button"
						class="sign"
						title={`${is_shown ? "Hide" : "Show"} the ${name.toLowerCase()}`}
						aria-label={`${name} panel`}
						aria-pressed={is_shown}
						disabled={is_shown && shown.length === 1}
						onClick={() => on_panels({ ...now, hidden })}
					>
						<svg viewBox="0 0 16 16" width="16" height="16" aria-hidden="true">
							<path class="part" d={part} />
							<path class="frame" d="M2 3h12v10H2zM2 9h12M9.5 3v6" />
						</svg>
					</button>
				);
			})}
		</div>
	);
}
