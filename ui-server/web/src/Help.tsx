// Which key does what.
import { useEffect, useRef } from "preact/hooks";

export function Help({ close }: { close(): void }) {
	const keys: [string, string][] = [
		["/", "filter"],
		["Space", "pause, resume"],
		["← → ↑ ↓", "walk the map, or the table"],
		["Enter", "on the map: only flows of this card; in the table: its details"],
		["click", "on the map: select a card or a line"],
		["double click", "on the map: only flows of it"],
		["+ − 0", "on the map: closer, farther, all of it"],
		["Shift ← →", "in the strip, or the record below it: mark a time; Enter looks at it"],
		["a", "on the map: arrange it anew"],
		["Esc", "back"],
		["?", "these keys"],
	];
	const box = useRef<HTMLDialogElement>(null);
	useEffect(() => box.current?.showModal(), []);
	return (
		<dialog
			ref={box}
			class="help"
			aria-label="Keys"
			onClose={close}
			onClick={() => box.current?.close()}
		>
			<h2>Keys</h2>
			<dl>
				{keys.map(([key, text]) => (
					<div class="fact" key={key}>
						<dt>
							<kbd>{key}</kbd>
						</dt>
						<dd>{text}</dd>
					</div>
				))}
			</dl>
			<form method="dialog">
				<button>Close</button>
			</form>
		</dialog>
	);
}
