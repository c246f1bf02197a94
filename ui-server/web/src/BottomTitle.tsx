// What stands above the table: of what its flows are, or, while ranges are compared, which of two tables it is.
export type Bottom = "differences" | "flows";

const names: Record<Bottom, string> = { differences: "Differences", flows: "Flows" };

export function BottomSwitch({ shown, on_show }: { shown: Bottom; on_show(which: Bottom): void }) {
	return (
		<div class="segments switch" role="group" aria-label="Below the map">
			{(Object.keys(names) as Bottom[]).map((which) => (
				<button key={which} type="button" aria-pressed={shown === which} onClick={() => on_show(which)}>
					{names[which]}
				</button>
			))}
		</div>
	);
}

// @of: what they are narrowed to; "": they are all.
export function FlowsTitle({ of, on_all }: { of: string; on_all(): void }) {
	return (
		<h2>
			Flows
			{of && (
				<>
					<span class="quiet"> of </span>
					{of}
					<button type="button" class="link" onClick={on_all}>
						show all
					</button>
				</>
			)}
		</h2>
	);
}
