// The map: a canvas for the drawing, and beside it, for screen readers, the same as a list.
import type { ComponentChild, ComponentChildren } from "preact";
import { useLayoutEffect, useRef, useState } from "preact/hooks";
import { Drawing, type Tip } from "./drawing";
import { count_text } from "./flow";
import { Sheet } from "./sheet";
import type { Graph } from "./graph";
import type { Selection } from "./state";

export interface Props {
	graph: Graph;
	structure: number; // grows when cards or lines come or go
	arrangement: number; // grows when what is shown is chosen anew: all cards are laid out anew
	is_young: boolean; // it has begun to come: nobody remembers places yet
	is_followed: boolean; // it is up to date: what changes has changed in the network
	span_s: number; // that the counts are of
	selection: Selection;
	scheme: string;
	empty: ComponentChildren;
	local: { shown: boolean; show(on: boolean): void } | null; // null: there are no such peers
	comparing: boolean;
	on_select(selection: Selection): void;
	on_isolate(selection: Selection): void;
	on_unfold(group: string): void;
}

const TIP_PX = 12; // from the pointer
const TIP_ROOM = { width: 280, height: 120 }; // px that hold what is said there

const buttons: { name: string; key: string; sign: ComponentChild; act(drawing: Drawing): void }[] = [
	{ name: "Closer", key: "+", sign: "+", act: (d) => d.zoom(1.25) },
	{ name: "Farther", key: "−", sign: "−", act: (d) => d.zoom(0.8) },
	{ name: "All of it", key: "0", sign: "⤢", act: (d) => d.fit() },
	{ name: "Arrange anew", key: "a", sign: <ArrangeSign />, act: (d) => d.arrange() },
];

// Cards that stand in their columns.
function ArrangeSign() {
	return (
		<svg viewBox="0 0 16 16" width="16" height="16" aria-hidden="true">
			<path d="M2 3h5v4H2zM2 9h5v4H2zM10 6h4v4h-4zM7 5h1.5v6H7M8.5 8H10" />
		</svg>
	);
}

// Beside the pointer, on the side that has room for it.
function beside({ x, y }: Tip, { clientWidth: width, clientHeight: height }: HTMLElement): Record<string, string> {
	return {
		...(x < width - TIP_ROOM.width ? { left: `${x + TIP_PX}px` } : { right: `${width - x + TIP_PX}px` }),
		...(y < height - TIP_ROOM.height ? { top: `${y + TIP_PX}px` } : { bottom: `${height - y + TIP_PX}px` }),
	};
}

export function ServiceMap(props: Props) {
	const box = useRef<HTMLDivElement>(null);
	const drawing = useRef<Drawing | null>(null);
	const [tip, set_tip] = useState<Tip | null>(null);

	useLayoutEffect(() => {
		const made = new Drawing(box.current!, props, set_tip);
		drawing.current = made;
		const observer = new ResizeObserver(() => made.resized());
		observer.observe(box.current!);
		const sheet = new Sheet(box.current!, made);
		return () => {
			sheet.destroy();
			observer.disconnect();
			made.destroy();
		};
	}, []);
	// At once: a key that comes before the next frame walks on from where the last one led.
	useLayoutEffect(() => drawing.current?.update(props));

	const { graph } = props;
	const refused = graph.lines.filter((l) => l.outcome === "dropped");
	const name = (key: string) => graph.nodes.find((n) => n.key === key)?.name ?? key;
	const on_key = (event: KeyboardEvent) => {
		const steps: Record<string, () => void> = {
			ArrowLeft: () => drawing.current?.walk(-1, 0),
			ArrowRight: () => drawing.current?.walk(1, 0),
			ArrowUp: () => drawing.current?.walk(0, -1),
			ArrowDown: () => drawing.current?.walk(0, 1),
			"+": () => drawing.current?.zoom(1.25),
			"-": () => drawing.current?.zoom(0.8),
			"0": () => drawing.current?.fit(),
			a: () => drawing.current?.arrange(),
			Enter: () => drawing.current?.enter(),
		};
		const step = steps[event.key];
		if (!step || event.ctrlKey || event.metaKey || event.altKey) return;
		event.preventDefault();
		step();
	};
	return (
		<section id="panel-map" class="map" aria-label="Service map" data-young={props.is_young}>
			<div
				class="canvas"
				ref={box}
				tabIndex={0}
				role="application"
				aria-label={`${graph.nodes.length} cards, ${graph.lines.length} lines, ${refused.length} of them dropped. Arrow keys walk, Enter filters.`}
				onKeyDown={on_key}
			/>
			<div class="zoom" role="group" aria-label="Zoom">
				{buttons.map(({ name, key, sign, act }) => (
					<button
						key={key}
						type="button"
						title={`${name} (${key})`}
						aria-label={name}
						onClick={() => drawing.current && act(drawing.current)}
					>
						{sign}
					</button>
				))}
				{props.local && (
					<button
						type="button"
						class="local"
						title="Link-local, multicast and broadcast addresses, each on a card of its own"
						aria-pressed={props.local.shown}
						onClick={() => props.local!.show(!props.local!.shown)}
					>
						Local peers
					</button>
				)}
			</div>
			<ul class="legend" aria-label="Legend">
				<li class="forwarded">forwarded</li>
				<li class="dropped">dropped</li>
				<li class="audited">audit</li>
				{props.comparing && <li class="gone">gone</li>}
				{props.comparing && <li class="same">unchanged</li>}
			</ul>
			{graph.nodes.length === 0 && (
				<p class="empty">
					<span>{props.empty}</span>
				</p>
			)}
			{tip && (
				<div class="tip" style={beside(tip, box.current!)}>
					{tip.lines.map((line) => (
						<div key={line}>{line}</div>
					))}
				</div>
			)}
			<ul class="unseen" aria-label="Lines of the map">
				{graph.lines.slice(0, 200).map((line) => (
					<li key={line.key} data-line={line.outcome}>
						{`${name(line.from)} to ${name(line.to)} ${line.port}: ${count_text(line.count)} ${line.outcome}${line.change ? `, ${line.change}` : ""}`}
					</li>
				))}
			</ul>
		</section>
	);
}
