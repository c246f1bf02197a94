// What a keyboard takes hold of a stretch of time by: a slider, which others than the one who uses it do not see.
import { duration_text } from "./flow";
import { type Cursor, type Extent, has_mark, moved, within } from "./time_cursor";

interface Props {
	name: string;
	extent: Extent | null; // null: no time is known yet
	cursor(): Cursor | null; // null: it is not used
	time(at: number): string;
	text(at: number): string; // what is known of the time
	on_cursor(cursor: Cursor | null): void;
	on_take(from: number, to: number): void;
}

export function TimeHandle({ name, extent, cursor, time, text, on_cursor, on_take }: Props) {
	const here = extent && within(cursor(), extent);
	const said = here && [
		time(here.at),
		text(here.at),
		has_mark(here) && `marked from ${time(here.marked_from)}, ${duration_text(Math.abs(here.at - here.marked_from))}`,
	];
	const on_key = (event: KeyboardEvent) => {
		if (!extent || event.ctrlKey || event.metaKey || event.altKey) return;
		const here = within(cursor(), extent); // two keys may come between two drawings
		const next = moved(here, event.key, event.shiftKey, extent);
		if (next) on_cursor(next);
		else if (event.key === "Enter" || event.key === " ") {
			on_take(here.marked_from, here.at);
			on_cursor({ ...here, marked_from: here.at });
		} else if (event.key === "Escape" && has_mark(here)) on_cursor({ ...here, marked_from: here.at });
		else return;
		event.preventDefault();
		event.stopPropagation();
	};
	return (
		<div
			class="handle"
			role="slider"
			tabIndex={0}
			aria-label={name}
			title="Arrow keys move, with Shift they mark; Enter looks at what is marked"
			aria-disabled={!here}
			aria-valuemin={extent?.since ?? 0}
			aria-valuemax={extent?.until ?? 0}
			aria-valuenow={here?.at ?? 0}
			aria-valuetext={said ? said.filter(Boolean).join(", ") : "nothing is known yet"}
			style={here && extent ? { left: `${((here.at - extent.since) / Math.max(1, extent.until - extent.since)) * 100}%` } : {}}
			onFocus={() => here && on_cursor(here)}
			onBlur={() => on_cursor(null)}
			onKeyDown={on_key}
		/>
	);
}
