// Whether a media query holds, now and whenever it changes. It is asked anew each time: Chromium, when it is busy, now and then
// tells nobody of a change, and what was asked before stays as it was. The page is drawn each second at least.
import { useEffect, useMemo, useState } from "preact/hooks";

export function useMedia(text: string): boolean {
	const query = useMemo(() => matchMedia(text), [text]);
	const [, draw_again] = useState({});
	useEffect(() => {
		const on_change = () => draw_again({});
		on_change();
		query.addEventListener("change", on_change);
		return () => query.removeEventListener("change", on_change);
	}, [query]);
	return matchMedia(text).matches;
}

// Panels are tabs there; page.css has it, too. Paper has all of them, however narrow it is.
export const NARROW = "screen and (max-width: 760px)";

export type Scheme = "auto" | "light" | "dark";

// Whether dark colours are in force, by choice or by the system's; never on paper.
export function useDark(scheme: Scheme): boolean {
	const system = useMedia("(prefers-color-scheme: dark)");
	const paper = useMedia("print");
	return !paper && (scheme === "auto" ? system : scheme === "dark");
}
