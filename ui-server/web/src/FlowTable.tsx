// The newest flows, newest first. Only the rows in view exist; what stands in view stays while others come.
import { useLayoutEffect, useRef } from "preact/hooks";
import {
	count_text,
	full_time_text,
	outcome_of,
	port_of,
	protocol_of,
	side_of,
	time_text,
	why_of,
	type Side,
} from "./flow";
import type { Row } from "./state";
import { ROW_PX, show_row, useRowsInView } from "./windowed";

interface Props {
	rows: Row[]; // newest last
	selected: number; // id of a row, 0 for none
	left_out: number;
	since_pause: number;
	empty: string;
	on_select(row: Row | null): void;
	on_download(): void;
}

function Name({ side }: { side: Side }) {
	return (
		<span class="who" title={side.address}>
			{side.group && <span class="space">{side.group}/</span>}
			{side.name}
		</span>
	);
}

function Line({
	row,
	top,
	selected,
	on_select,
}: {
	row: Row;
	top: number;
	selected: boolean;
	on_select(row: Row): void;
}) {
	const { flow } = row;
	const outcome = outcome_of(flow);
	const port = port_of(flow);
	return (
		<div
			class={`row ${outcome}${selected ? " selected" : ""}`}
			role="row"
			aria-selected={selected}
			style={{ top: `${top}px` }}
			onClick={() => on_select(row)}
		>
			<span role="cell" class="time" title={full_time_text(flow.time)}>
				{time_text(flow.time)}
			</span>
			<span role="cell" class="verdict">
				{String(flow.verdict ?? "UNKNOWN")}
			</span>
			<span role="cell">
				<Name side={side_of(flow, "source")} />
			</span>
			<span role="cell" class="way" aria-label={flow.is_reply ? "answers" : "asks"}>
				{flow.is_reply ? "↩" : "→"}
			</span>
			<span role="cell">
				<Name side={side_of(flow, "destination")} />
			</span>
			<span role="cell" class="port">
				{port ?? ""} <span class="quiet">{protocol_of(flow)}</span>
			</span>
			<span role="cell" class="why" title={why_of(flow)}>
				{why_of(flow)}
			</span>
			<span role="cell" class="node quiet">
				{flow.node_name ?? ""}
			</span>
		</div>
	);
}

export function FlowTable(props: Props) {
	const { rows } = props;
	const box = useRef<HTMLDivElement>(null);
	const newest = useRef(rows.at(-1)?.id ?? 0);

	// Rows that came on top move what the reader looks at down by as much, unless they look at the top.
	useLayoutEffect(() => {
		const id = rows.at(-1)?.id ?? 0;
		const came = id - newest.current;
		newest.current = id;
		const element = box.current!;
		if (came > 0 && element.scrollTop > ROW_PX / 2) element.scrollTop += came * ROW_PX;
	}, [rows]);
	const [first, last] = useRowsInView(box, rows.length);
	const shown = [];
	for (let i = first; i < last; i++) {
		const row = rows[rows.length - 1 - i]!;
		shown.push(
			<Line
				key={row.id}
				row={row}
				top={i * ROW_PX}
				selected={row.id === props.selected}
				on_select={props.on_select}
			/>,
		);
	}
	const step = (by: number) => {
		const at = rows.findIndex((r) => r.id === props.selected);
		const to = at < 0 ? rows.length - 1 : Math.min(rows.length - 1, Math.max(0, at - by));
		const row = rows[to];
		if (!row) return;
		props.on_select(row);
		show_row(box.current!, rows.length - 1 - to);
	};
	const on_key = (event: KeyboardEvent) => {
		if (event.key === "ArrowDown") step(1);
		else if (event.key === "ArrowUp") step(-1);
		else return;
		event.preventDefault();
	};
	return (
		<section class="flows" aria-label="Flows">
			<div class="head" role="presentation">
				<span>Time</span>
				<span>Verdict</span>
				<span>From</span>
				<span />
				<span>To</span>
				<span>Port</span>
				<span>Why</span>
				<span class="node">Node</span>
				<button
					type="button"
					class="link download"
					title="Download the flows of this table as JSON lines"
					aria-label="Download"
					disabled={rows.length === 0}
					onClick={props.on_download}
				>
					⤓
				</button>
			</div>
			<div
				class="body"
				ref={box}
				tabIndex={0}
				role="table"
				aria-label="Flows, newest first"
				aria-rowcount={rows.length}
				onKeyDown={on_key}
			>
				<div class="rows" role="rowgroup" style={{ height: `${rows.length * ROW_PX}px` }}>
					{shown}
				</div>
				{rows.length === 0 && <p class="empty">{props.empty}</p>}
			</div>
			{(props.left_out > 0 || props.since_pause > 0) && (
				<p class="notice" role="status">
					{props.since_pause > 0 && (
						<span class="since">{count_text(props.since_pause)} more since the pause</span>
					)}
					{props.left_out > 0 && (
						<span class="left-out">
							{count_text(props.left_out)} flows came faster than this table takes them and are not
							in it; the map counts them
						</span>
					)}
				</p>
			)}
		</section>
	);
}
