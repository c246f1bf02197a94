// What differs between two ranges, as a table: one row for each connection, the most telling first.
import type { ComponentChildren } from "preact";
import { useRef, useState } from "preact/hooks";
import type { Difference } from "./compare";
import { count_text, reason_text, visible } from "./flow";
import { card_name, port_text } from "./graph";
import type { Card } from "./drawn";
import { ROW_PX, show_row, useRowsInView } from "./windowed";

interface Props {
	differences: Difference[];
	empty: string;
	title: ComponentChildren;
	on_select(difference: Difference): void;
	on_open(by_key: boolean): void; // its details
}

function Name({ card }: { card: Card }) {
	return (
		<span class="who">
			{card.namespace && (
				<span class="space">
					<bdi>{visible(card.namespace)}</bdi>/
				</span>
			)}
			<bdi>{card_name(card)}</bdi>
		</span>
	);
}

function Counted({ before, now }: { before: number; now: number }) {
	return (
		<span role="cell" class="counted">
			<span class="quiet">{count_text(before)} → </span>
			{count_text(now)}
		</span>
	);
}

function Line({
	difference: d,
	at,
	selected,
	on_select,
}: {
	difference: Difference;
	at: number; // of the table's rows
	selected: boolean;
	on_select(): void;
}) {
	const dropped = [d.before?.dropped ?? 0, d.now?.dropped ?? 0] as const;
	return (
		<div
			class={`row${dropped[1] ? " dropped" : ""}${selected ? " selected" : ""}`}
			role="row"
			aria-selected={selected}
			data-change={d.change}
			aria-rowindex={at + 1}
			style={{ top: `${at * ROW_PX}px` }}
			onClick={on_select}
		>
			<span role="cell" class="change">
				{d.change}
			</span>
			<span role="cell">
				<Name card={d.from} />
			</span>
			<span role="cell" class="way" aria-label="asks">
				→
			</span>
			<span role="cell">
				<Name card={d.to} />
			</span>
			<span role="cell" class="port">
				{port_text((d.now ?? d.before)!)}
			</span>
			<Counted before={dropped[0]} now={dropped[1]} />
			<Counted before={d.before?.forwarded ?? 0} now={d.now?.forwarded ?? 0} />
			<span role="cell" class="why">
				{Object.keys((d.now ?? d.before)?.reasons ?? {}).map(reason_text).join(", ")}
			</span>
		</div>
	);
}

export function Differences({ differences, empty, title, on_select, on_open }: Props) {
	const box = useRef<HTMLDivElement>(null);
	const [at, set_at] = useState("");
	const [first, last] = useRowsInView(box, differences.length);
	const go = (i: number) => {
		const d = differences[Math.min(differences.length - 1, Math.max(0, i))];
		if (!d) return;
		set_at(d.key);
		show_row(box.current!, differences.indexOf(d));
		on_select(d);
	};
	const on_key = (event: KeyboardEvent) => {
		const here = differences.findIndex((d) => d.key === at);
		if (event.key === "ArrowDown") go(here + 1);
		else if (event.key === "ArrowUp") go(here - 1);
		else if (event.key === "Enter" && here >= 0) on_open(true);
		else return;
		event.preventDefault();
	};
	return (
		<section id="panel-flows" class="flows differences" aria-label="Differences">
			<div class="bar">{title}</div>
			<div
				class="body"
				ref={box}
				tabIndex={0}
				role="table"
				aria-label="Differences, the most telling first"
				aria-rowcount={differences.length}
				onKeyDown={on_key}
			>
				<div role="rowgroup" class="head">
					<div role="row">
						{["Change", "From", "", "To", "Port", "Dropped", "Forwarded", "Why"].map((name) => (
							<span
								role="columnheader"
								key={name}
								class={name === "Dropped" || name === "Forwarded" ? "counted" : name.toLowerCase()}
							>
								{name || <span class="unseen">Way</span>}
							</span>
						))}
					</div>
				</div>
				<div class="rows" role="rowgroup" style={{ height: `${differences.length * ROW_PX}px` }}>
					{differences.slice(first, last).map((d, i) => (
						<Line
							key={d.key}
							difference={d}
							at={first + i}
							selected={d.key === at}
							on_select={() => {
								go(first + i);
								on_open(false);
							}}
						/>
					))}
				</div>
				{differences.length === 0 && <p class="empty">{empty}</p>}
			</div>
		</section>
	);
}
