// The newest flows, newest first. Only the rows in view exist; what stands in view stays while others come.
import type { ComponentChildren } from "preact";
import { useLayoutEffect, useRef, useState } from "preact/hooks";
import { type Column, columns, least_px, narrow, template_of, usual, with_column } from "./columns";
import { count_text, full_time_text, outcome_of, port_of, protocol_of, side_of, type Side } from "./flow";
import { NARROW, useMedia } from "./media";
import type { Row } from "./state";
import { ROW_PX, show_row, useRowsInView } from "./windowed";

interface Props {
	rows: Row[]; // newest last
	shown: Column[];
	selected: number; // id of a row, 0 for none
	left_out: number;
	earlier: number;
	since_pause: number;
	on_resume(): void;
	on_coverage(): void;
	empty: ComponentChildren;
	title: ComponentChildren;
	on_select(row: Row | null): void;
	on_open(by_key: boolean): void; // the details of what is selected
	on_columns(shown: Column[]): void;
	on_download(): void;
}

function Name({ side }: { side: Side }) {
	return (
		<span class="who" title={side.address}>
			{side.group && (
				<span class="space">
					<bdi>{side.group}</bdi>/
				</span>
			)}
			<bdi>{side.name}</bdi>
		</span>
	);
}

function Cell({ column, row }: { column: Column; row: Row }) {
	const { flow } = row;
	const text = columns[column].text(flow);
	switch (column) {
		case "time":
			return (
				<span role="cell" class="time" title={full_time_text(flow.time)}>
					{text}
				</span>
			);
		case "from":
		case "to":
			return (
				<span role="cell">
					<Name side={side_of(flow, column === "from" ? "source" : "destination")} />
				</span>
			);
		case "way":
			return (
				<span role="cell" class="way" aria-label={text === "✕" ? "dropped" : flow.is_reply ? "answers" : "asks"}>
					{text}
				</span>
			);
		case "port":
			return (
				<span role="cell" class="port">
					{port_of(flow) ?? ""} <span class="quiet">{protocol_of(flow)}</span>
				</span>
			);
		default:
			return (
				<span role="cell" class={column} title={text}>
					{text}
				</span>
			);
	}
}

function Line({
	row,
	shown,
	at,
	selected,
	on_select,
}: {
	row: Row;
	shown: Column[];
	at: number; // of the table's rows
	selected: boolean;
	on_select(row: Row): void;
}) {
	return (
		<div
			class={`row ${outcome_of(row.flow)}${selected ? " selected" : ""}`}
			role="row"
			aria-selected={selected}
			aria-rowindex={at + 1}
			style={{ top: `${at * ROW_PX}px` }}
			onClick={() => on_select(row)}
		>
			{shown.map((c) => (
				<Cell key={c} column={c} row={row} />
			))}
		</div>
	);
}

function Chooser({ shown, on_columns }: { shown: Column[]; on_columns(shown: Column[]): void }) {
	const [open, set_open] = useState(false);
	const box = useRef<HTMLDivElement>(null);
	return (
		<div
			class="chooser"
			ref={box}
			onFocusOut={(e) => {
				if (!box.current?.contains(e.relatedTarget as Node | null)) set_open(false);
			}}
			onKeyDown={(e) => {
				if (e.key !== "Escape" || !open) return;
				e.stopPropagation();
				set_open(false);
				box.current?.querySelector("button")?.focus();
			}}
		>
			<button
				type="button"
				class="small"
				aria-expanded={open}
				aria-controls="columns"
				onClick={() => set_open((is) => !is)}
			>
				Columns
			</button>
			{open && (
				<fieldset id="columns" tabIndex={-1}>
					<legend class="unseen">Columns of the table</legend>
					{(Object.keys(columns) as Column[])
						.filter((c) => columns[c].name)
						.map((c) => (
							<label key={c}>
								<input
									type="checkbox"
									checked={shown.includes(c)}
									onChange={(e) => on_columns(with_column(shown, c, e.currentTarget.checked))}
								/>
								{columns[c].name}
							</label>
						))}
					<button type="button" class="small" onClick={() => on_columns(usual)}>
						As usual
					</button>
				</fieldset>
			)}
		</div>
	);
}

export function FlowTable(props: Props) {
	const { rows } = props;
	const box = useRef<HTMLDivElement>(null);
	const is_narrow = useMedia(NARROW);
	const shown = is_narrow ? narrow : props.shown;
	const newest = useRef(rows.at(-1)?.id ?? 0);

	const [first, last, look] = useRowsInView(box, rows.length);

	// Rows that came on top move what the reader looks at down by as much, unless they look at the top.
	useLayoutEffect(() => {
		let came = 0;
		while (came < rows.length && rows[rows.length - 1 - came]!.id > newest.current) came++;
		newest.current = rows.at(-1)?.id ?? newest.current;
		const element = box.current!;
		if (came === 0 || element.scrollTop <= ROW_PX / 2) return;
		element.scrollTop += came * ROW_PX;
		look();
	}, [rows]);
	const open_row = (row: Row) => {
		props.on_select(row);
		props.on_open(false);
	};
	const lines = [];
	for (let i = first; i < last; i++) {
		const row = rows[rows.length - 1 - i]!;
		lines.push(
			<Line
				key={row.id}
				row={row}
				shown={shown}
				at={i}
				selected={row.id === props.selected}
				on_select={open_row}
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
		else if (event.key === "Enter" && props.selected) props.on_open(true);
		else return;
		event.preventDefault();
	};
	const style = is_narrow
		? {}
		: { "--columns": template_of(shown), "--least": `${least_px(shown)}px` };
	return (
		<section id="panel-flows" class="flows" aria-label="Flows" style={style}>
			<div class="bar">
				{props.title}
				<p class="unseen" role="status">
					{props.since_pause > 0 && "More flows have come since the pause. "}
					{props.left_out > 0 && "Some flows come too fast for the table."}
				</p>
				<p class="notice">
					{props.since_pause > 0 && (
						<button type="button" class="link since" title="Show them: go on (Space)" onClick={props.on_resume}>
							{count_text(props.since_pause)} more since the pause
						</button>
					)}
					{props.earlier > 0 && (
						<button type="button" class="link left-out quiet" title="Map and counts have them" onClick={props.on_coverage}>
							{count_text(props.earlier)} earlier ones on the map only
						</button>
					)}
					{props.left_out > 0 && (
						<button
							type="button"
							class="link left-out"
							title="They came faster than this table takes them; map and counts have them"
							onClick={props.on_coverage}
						>
							{count_text(props.left_out)} too fast for the table, on the map only
						</button>
					)}
				</p>
				<Chooser shown={props.shown} on_columns={props.on_columns} />
				<button
					type="button"
					class="small"
					title="Download the flows of this table as JSON lines"
					disabled={rows.length === 0}
					onClick={props.on_download}
				>
					Download
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
				<div role="rowgroup" class="head">
					<div role="row">
						{shown.map((c) => (
							<span role="columnheader" key={c}>
								{columns[c].name || <span class="unseen">Way</span>}
							</span>
						))}
					</div>
				</div>
				<div class="rows" role="rowgroup" style={{ height: `${rows.length * ROW_PX}px` }}>
					{lines}
				</div>
			</div>
			{rows.length === 0 && (
				<p class="empty">
					<span>{props.empty}</span>
				</p>
			)}
		</section>
	);
}
