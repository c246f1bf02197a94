// State of a component whose handlers see what it is now, not what it was when it was last drawn: two events may come
// between two drawings.
import { useRef, useState } from "preact/hooks";

export function useNowState<T>(first: T): [value: T, now: () => T, set: (to: T) => void] {
	const [, draw] = useState(0);
	const state = useRef(first);
	const set = (to: T) => {
		if (Object.is(to, state.current)) return;
		state.current = to;
		draw((n) => n + 1);
	};
	return [state.current, () => state.current, set];
}
