// Long lists: only the rows in view exist.
import { useEffect, useState } from "preact/hooks";
import type { RefObject } from "preact";

export const ROW_PX = 24;
const HEAD_PX = 26; // of the head, which stays on top of the rows
const SPARE_ROWS = 8;

// Which rows of @count are in view of the scrolling @box: from the first up to, without, the second. The third: look again,
// after scrolling it; the browser says so too late, when an empty place has been seen.
export function useRowsInView(
	box: RefObject<HTMLElement>,
	count: number,
): [number, number, () => void] {
	const [view, set_view] = useState({ top: 0, height: 400 });
	const look = () => set_view({ top: box.current!.scrollTop, height: box.current!.clientHeight });
	useEffect(() => {
		const element = box.current!;
		const observer = new ResizeObserver(look);
		observer.observe(element);
		element.addEventListener("scroll", look, { passive: true });
		return () => {
			observer.disconnect();
			element.removeEventListener("scroll", look);
		};
	}, []);
	const first = Math.max(0, Math.floor(view.top / ROW_PX) - SPARE_ROWS);
	const last = Math.min(count, Math.ceil((view.top + view.height) / ROW_PX) + SPARE_ROWS);
	return [first, last, look];
}

// Scrolls so much that row @i is seen.
export function show_row(element: HTMLElement, i: number): void {
	const top = i * ROW_PX;
	if (top < element.scrollTop) element.scrollTop = top;
	const end = HEAD_PX + top + ROW_PX;
	if (end > element.scrollTop + element.clientHeight) element.scrollTop = end - element.clientHeight;
}
