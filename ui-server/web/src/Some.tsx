// A long list's beginning.
import type { ComponentChildren } from "preact";
import { useState } from "preact/hooks";
import { count_text } from "./flow";

// The first @most of a list; the others when somebody asks for them.
export function Some<T>({ list, most, children }: { list: T[]; most: number; children(item: T): ComponentChildren }) {
	const [all, set_all] = useState(false);
	const left = list.length - most;
	return (
		<>
			{(all ? list : list.slice(0, most)).map(children)}
			{!all && left > 0 && (
				<li>
					<button type="button" class="link" onClick={() => set_all(true)}>
						{count_text(left)} more
					</button>
				</li>
			)}
		</>
	);
}
