// Who presses, by keyboard, a button that goes away with what it did is not left nowhere: the part of the page that it was in has the
// focus then.
import { useLayoutEffect, useRef } from "preact/hooks";

// Of each part: what is focused in it, or after it; the first that is there.
const homes: [string, string[]][] = [
	[".line", ["#filter"]],
	[".history, .compare", [".compare .chip[aria-pressed=true]", ".history button", ".history select"]],
	[".detail", ["#panel-detail"]],
	[".flows", [".flows [role=table]"]],
	[".map", [".canvas"]],
	[".status", [".status button"]],
];

export function useFocusKept(): void {
	const last = useRef<{ element: HTMLElement; homes: string[] } | null>(null);
	useLayoutEffect(() => {
		const on_focus = ({ target }: FocusEvent) => {
			const element = target as HTMLElement;
			const of = element.matches(":focus-visible") && homes.find(([part]) => element.closest(part));
			last.current = of ? { element, homes: of[1] } : null;
		};
		document.addEventListener("focusin", on_focus);
		return () => document.removeEventListener("focusin", on_focus);
	}, []);
	// Each time that something is drawn.
	useLayoutEffect(() => {
		const lost = last.current;
		if (!lost || lost.element.isConnected) return;
		last.current = null;
		if (document.activeElement !== document.body) return;
		for (const home of lost.homes) {
			const element = document.querySelector<HTMLElement>(home);
			element?.focus();
			if (element && document.activeElement === element) return;
		}
	});
}
