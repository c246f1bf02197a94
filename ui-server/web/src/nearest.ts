// What somebody may have meant who mistyped a word. Pure.

const TYPOS_MOST = 2;

// Letters to put in, leave out, change, or swap with the next one, from @a to @b.
function typos(a: string, b: string): number {
	let [before, last] = [[] as number[], Array.from({ length: b.length + 1 }, (_, i) => i)];
	for (let i = 1; i <= a.length; i++) {
		const now = [i];
		for (let j = 1; j <= b.length; j++) {
			const same = a[i - 1] === b[j - 1] ? 0 : 1;
			const swapped = i > 1 && j > 1 && a[i - 1] === b[j - 2] && a[i - 2] === b[j - 1] ? before[j - 2]! + 1 : Infinity;
			now.push(Math.min(now[j - 1]! + 1, last[j]! + 1, last[j - 1]! + same, swapped));
		}
		[before, last] = [last, now];
	}
	return last[b.length]!;
}

// The one of @words that is nearest to @word, the first of several; null: none is near.
export function nearest(word: string, words: string[]): string | null {
	const costs = words.map((w) => typos(word, w));
	const least = Math.min(...costs);
	return least <= TYPOS_MOST && least < word.length ? words[costs.indexOf(least)]! : null;
}
