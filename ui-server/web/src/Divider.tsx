// A bar between two panels, to be dragged, or moved with the arrow keys.
import { size_limits, sized } from "./address";
import { useRef } from "preact/hooks";
import type { Panels } from "./state";

type Sized = keyof typeof size_limits;

// What the panel behind a bar would measure if it began at the pointer.
const measure: Record<Sized, (box: DOMRect, at: PointerEvent) => number> = {
	flows: (box, at) => ((box.bottom - at.clientY) / box.height) * 100,
	details: (box, at) => box.right - at.clientX,
};
const names: Record<Sized, string> = { flows: "Height of the table", details: "Width of the details" };
const keys: Record<Sized, { more: string; less: string; step: number }> = {
	flows: { more: "ArrowUp", less: "ArrowDown", step: 4 },
	details: { more: "ArrowLeft", less: "ArrowRight", step: 20 },
};

const BAR = "5px";

// Where the panels are, and the bars between those that are shown.
export function grid_of(panels: Panels) {
	const [map, details, flows] = (["map", "details", "flows"] as const).map((p) => !panels.hidden.includes(p));
	const details_width = map ? `min(${panels.details}px, 60%)` : "minmax(0, 1fr)";
	const columns = [map && "minmax(0, 1fr)", map && details && BAR, details && details_width];
	const rows = [
		(map || details) && `minmax(0, ${100 - panels.flows}fr)`,
		(map || details) && flows && BAR,
		flows && `minmax(0, ${panels.flows}fr)`,
	];
	return {
		gridTemplateColumns: columns.filter(Boolean).join(" "),
		gridTemplateRows: rows.filter(Boolean).join(" "),
	};
}

interface Props {
	of: Sized;
	panels: Panels;
	on_panels(panels: Panels, is_done: boolean): void;
}

export function Divider({ of, panels, on_panels }: Props) {
	const [least, most] = size_limits[of];
	const now = useRef(panels); // while somebody drags, too
	now.current = panels;
	const drag = (event: PointerEvent) => {
		const bar = event.currentTarget as HTMLElement;
		bar.setPointerCapture(event.pointerId);
		bar.onpointermove = (move) => {
			const box = bar.parentElement!.getBoundingClientRect();
			on_panels(sized(now.current, of, measure[of](box, move)), false);
		};
		bar.onpointerup = bar.onpointercancel = () => {
			bar.onpointermove = bar.onpointerup = bar.onpointercancel = null;
			on_panels(now.current, true);
		};
	};
	const on_key = (event: KeyboardEvent) => {
		const { more, less, step } = keys[of];
		const by = event.key === more ? step : event.key === less ? -step : 0;
		if (!by) return;
		event.preventDefault();
		on_panels(sized(now.current, of, now.current[of] + by), true);
	};
	return (
		<div
			class={of === "details" ? "divider upright" : "divider"}
			role="separator"
			aria-orientation={of === "details" ? "vertical" : "horizontal"}
			aria-label={names[of]}
			aria-valuenow={panels[of]}
			aria-valuemin={least}
			aria-valuemax={most}
			tabIndex={0}
			onPointerDown={drag}
			onKeyDown={on_key}
		/>
	);
}
