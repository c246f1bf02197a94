// Whether a media query holds, now and whenever it changes.
import { useEffect, useMemo, useState } from "preact/hooks";

export function useMedia(text: string): boolean {
	const query = useMemo(() => matchMedia(text), [text]);
	const [holds, set_holds] = useState(query.matches);
	useEffect(() => {
		const on_change = () => set_holds(query.matches);
		on_change();
		query.addEventListener("change", on_change);
		return () => query.removeEventListener("change", on_change);
	}, [query]);
	return holds;
}

// Panels are tabs there; page.css has it, too.
export const NARROW = "(max-width: 760px)";

export type Scheme = "auto" | "light" | "dark";

// Whether dark colours are in force, by choice or by the system's; never on paper.
export function useDark(scheme: Scheme): boolean {
	const system = useMedia("(prefers-color-scheme: dark)");
	const paper = useMedia("print");
	return !paper && (scheme === "auto" ? system : scheme === "dark");
}
