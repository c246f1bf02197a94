// A range's two ends, to be typed: what dragging over the strip does, to the minute.
import { range_between, type Range } from "./time_range";

// As <input type="datetime-local"> wants it: local, to the minute.
function local_text(ms: number): string {
	return new Date(ms - new Date(ms).getTimezoneOffset() * 60_000).toISOString().slice(0, 16);
}

interface Props {
	name: string;
	range: Range;
	on_range(range: Range): void;
}

export function RangeInputs({ name, range, on_range }: Props) {
	const input = (end: "since" | "until", label: string) => (
		<label>
			<span class="quiet">{label}</span>
			<input
				type="datetime-local"
				aria-label={`${name}, ${label}`}
				value={local_text(range[end])}
				onChange={(e) => {
					const time = new Date(e.currentTarget.value).getTime();
					const other = end === "since" ? range.until : range.since;
					if (time >= 0) on_range(range_between(time, other));
				}}
			/>
		</label>
	);
	return (
		<fieldset class="range">
			<legend>{name}</legend>
			{input("since", "from")}
			{input("until", "to")}
		</fieldset>
	);
}
