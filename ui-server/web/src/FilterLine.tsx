// The one filter line, with what could complete it; and beside it the two filters that everybody wants.
import { useLayoutEffect, useRef } from "preact/hooks";
import { completions, values_of, with_values, words } from "./filter";
import { visible } from "./flow";
import { outcome_terms } from "./graph";
import { useNowState } from "./now_state";

interface Props {
	line: string;
	problem: string;
	still: string | null; // the line that is shown meanwhile; null: it is this one
	seen: Record<string, string[]>;
	clusters: string[];
	namespaces: string[];
	on_line(line: string): void;
}

const verdicts: [string, string][] = [
	["All", ""],
	["Forwarded", "FORWARDED"],
	["Dropped", "DROPPED"],
	["Audit", "AUDIT"],
];
const protocols = ["tcp", "udp", "icmp", "sctp", "http", "dns"];
const COMPLETIONS_SHOWN = 10;

// One value of a word, or any; one that is asked for can be chosen whether it was seen or not.
function Choice({
	name,
	any,
	values,
	line,
	text = visible,
	on_line,
}: {
	name: string;
	any: string;
	values: string[];
	line: string;
	text?(value: string): string;
	on_line(line: string): void;
}) {
	const asked = values_of(line, name);
	return (
		<select
			aria-label={name[0]!.toUpperCase() + name.slice(1)}
			value={asked[0] ?? ""}
			onChange={({ currentTarget: { value } }) => on_line(with_values(line, name, value ? [value] : []))}
		>
			<option value="">{any}</option>
			{[...new Set([...values, ...asked])].map((value) => (
				<option key={value} value={value}>
					{text(value)}
				</option>
			))}
		</select>
	);
}

// Which of the verdicts' buttons a line is about; "?": none of them.
function pressed(asked: string[]): string {
	const is_of = (value: string) =>
		value === "" ? !asked.length : asked.includes(value) && asked.every((v) => v === value || of_outcome(value).includes(v));
	return verdicts.find(([, value]) => is_of(value))?.[1] ?? "?";
}

function of_outcome(verdict: string): string[] {
	const terms = (["forwarded", "dropped", "audited"] as const).map(outcome_terms);
	return (terms.find((list) => list.includes(`verdict=${verdict}`)) ?? []).map((term) => term.slice("verdict=".length));
}

export function FilterLine(props: Props) {
	const [draft, draft_now, set_draft] = useNowState(props.line);
	const [open, open_now, set_open] = useNowState(false);
	const [chosen, chosen_now, set_chosen] = useNowState(-1);
	const input = useRef<HTMLInputElement>(null);
	// A line that was asked here does not come back into the input: its author may be typing on.
	const own = useRef(props.line);
	useLayoutEffect(() => {
		if (props.line !== own.current) set_draft(props.line);
		own.current = props.line;
	}, [props.line]);
	const submit = (line: string) => {
		own.current = line;
		props.on_line(line);
	};

	const choices_of = (text: string) => completions(text, props.seen).slice(0, COMPLETIONS_SHOWN);
	const choices = open ? choices_of(draft) : [];
	const verdict = pressed(values_of(props.line, "verdict"));
	const take = (choice: string) => {
		set_draft(choice);
		set_chosen(-1);
		if (!choice.endsWith("=")) submit(choice.trim());
		input.current?.focus();
	};
	const on_key = (event: KeyboardEvent) => {
		const [draft, open, chosen] = [draft_now(), open_now(), chosen_now()];
		const choices = open ? choices_of(draft) : [];
		if (event.key === "ArrowDown" || event.key === "ArrowUp") {
			set_open(true);
			const by = event.key === "ArrowDown" ? 1 : -1;
			set_chosen((chosen + by + choices.length + 1) % (choices.length + 1));
			event.preventDefault();
		} else if (
			event.key === "Tab" &&
			open &&
			choices.length &&
			(chosen >= 0 || /\S$/.test(draft))
		) {
			take(choices[Math.max(0, chosen)]!);
			event.preventDefault();
		} else if (event.key === "Enter") {
			if (chosen >= 0 && choices[chosen]) take(choices[chosen]!);
			else {
				set_open(false);
				submit(input.current?.value.trim() ?? "");
			}
		} else if (event.key === "Escape") {
			event.stopPropagation();
			if (open && choices.length) set_open(false);
			else {
				set_draft(props.line);
				input.current?.blur();
			}
		}
	};
	const select = (name: string, value: string) =>
		props.on_line(with_values(props.line, name, value ? [value] : []));
	const { line, on_line, clusters, namespaces } = props;
	const choice = { line, on_line };
	const has_clusters = clusters.length > 1 || values_of(line, "cluster").length > 0;
	return (
		<div class="filters" role="search">
			{has_clusters && <Choice {...choice} name="cluster" any="all clusters" values={clusters} />}
			<Choice {...choice} name="namespace" any="all namespaces" values={namespaces} />
			<div class="segments" role="group" aria-label="Verdict">
				{verdicts.map(([text, value]) => (
					<button
						key={text}
						type="button"
						class={value.toLowerCase()}
						aria-pressed={verdict === value}
						onClick={() => select("verdict", value)}
					>
						{text}
					</button>
				))}
			</div>
			<Choice
				{...choice}
				name="protocol"
				any="any protocol"
				values={protocols}
				text={(value) => value.toUpperCase()}
			/>
			<div class="line">
				<input
					ref={input}
					id="filter"
					type="text"
					spellcheck={false}
					autocomplete="off"
					role="combobox"
					aria-label="Filter"
					aria-expanded={choices.length > 0}
					aria-controls="completions"
					aria-invalid={props.problem !== ""}
					aria-describedby="filter-problem"
					{...(chosen >= 0 ? { "aria-activedescendant": `completion-${chosen}` } : {})}
					placeholder="Filter: from-pod=shop/ not port=53"
					value={draft}
					onFocus={() => set_open(true)}
					onBlur={() => set_open(false)}
					onInput={(e) => {
						set_draft(e.currentTarget.value);
						set_open(true);
						set_chosen(-1);
						if (e.currentTarget.value === "") submit("");
					}}
					onKeyDown={on_key}
				/>
				{props.line && (
					<button
						type="button"
						class="clear"
						title="Without filters"
						aria-label="Clear the filter"
						onClick={() => props.on_line("")}
					>
						×
					</button>
				)}
				<ul
					id="completions"
					class="completions"
					role="listbox"
					aria-label="Completions"
					hidden={!choices.length}
				>
					{choices.map((choice, i) => {
						const word = /\S+\s?$/.exec(choice)?.[0] ?? choice;
						return (
							<li
								key={choice}
								id={`completion-${i}`}
								role="option"
								aria-selected={i === chosen}
								onPointerDown={(e) => {
									e.preventDefault();
									take(choice);
								}}
							>
								<code>{word}</code>
								{word.endsWith("=") && <span class="quiet">{words[word.slice(0, -1)]?.help}</span>}
							</li>
						);
					})}
				</ul>
				<p id="filter-problem" class="problem" role="alert">
					{props.problem}
					{props.problem && props.still !== null && (
						<span class="still">
							Still shown: {props.still ? <code>{props.still}</code> : "all flows"}
						</span>
					)}
				</p>
			</div>
		</div>
	);
}
