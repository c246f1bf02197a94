// The page: what is where, and which key does what. State comes in, wishes go out.
import { useEffect, useMemo, useRef, useState } from "preact/hooks";
import { sized } from "./address";
import type { Column } from "./columns";
import { compare, type Comparison } from "./compare";
import { CompareBar, type Mark } from "./CompareBar";
import { Detail } from "./Detail";
import { Differences } from "./Differences";
import { FilterLine } from "./FilterLine";
import { command_of, flow_command, parse_line, line_of } from "./filter";
import { count_text, duration_text, type Flow, full_time_text, json_lines, time_text } from "./flow";
import { is_of_card, is_of_edge } from "./match";
import { FlowTable } from "./FlowTable";
import { card_key, card_name, card_terms, type Graph, graph_of } from "./graph";
import { History } from "./History";
import { clusters_of, fold, type Folding, has_local, identity_of } from "./fold";
import { useMedia } from "./media";
import { RangeInputs } from "./RangeInputs";
import { ServiceMap } from "./ServiceMap";
import { type Panel, type Panels, type Selection, type State, visible_rows } from "./state";
import { PanelButtons } from "./PanelButtons";
import { rates_of } from "./rates";
import type { Pulse } from "./wire";
import { StatusLine } from "./StatusLine";
import { Strip } from "./Strip";
import { last_minutes, range_before, range_between, type Range } from "./time_range";

export type Scheme = "auto" | "light" | "dark";

export interface Wishes {
	line(line: string): void;
	range(range: Range | null): void;
	compare(range: Range, against: Range | null): void;
	local(on: boolean): void;
	select(selection: Selection): void;
	panels(panels: Panels, is_done: boolean): void;
	pause(on: boolean): void;
	unfold(group: string, on: boolean): void;
	columns(shown: Column[]): void;
	log_out(): void;
}

const YOUNG_MS = 2000; // a map is laid out anew with what comes so soon after its first cards

type Tab = "map" | "flows" | "detail";

const next_scheme: Record<Scheme, Scheme> = { auto: "light", light: "dark", dark: "auto" };
const scheme_sign: Record<Scheme, string> = { auto: "◐", light: "☀", dark: "☾" };

function health(state: State, now: number): { kind: string; text: string; reason: string } {
	if (state.link.kind === "broken")
		return {
			kind: "away",
			text: `no connection · ${duration_text(Math.max(0, now - state.link.since))}`,
			reason: `${state.link.reason}.`,
		};
	if (state.upstream.kind === "away")
		return {
			kind: "away",
			text: `server away · ${duration_text(Math.max(0, now - state.upstream.since))}`,
			reason: `The server does not answer: ${plain_reason(state.upstream.reason)}.`,
		};
	if (state.link.kind === "connecting" || state.upstream.kind === "connecting")
		return { kind: "connecting", text: "connecting", reason: "" };
	if (state.range)
		return {
			kind: "past",
			text: `${time_text(state.range.since).slice(0, 5)} – ${time_text(state.range.until).slice(0, 5)}`,
			reason: `${full_time_text(state.range.since)} – ${full_time_text(state.range.until)}`,
		};
	if (state.paused.kind === "yes") return { kind: "paused", text: "paused", reason: "" };
	return { kind: "live", text: "live", reason: "" };
}

// Without what only says that it was gRPC's.
function plain_reason(reason: string): string {
	return reason
		.replace(/^rpc error: code = \w+ desc = /, "")
		.replace(/^connection error: desc = "(.*)"$/, "$1")
		.replace(/^transport: Error while dialing: /, "")
		.replace(/\.$/, "");
}

// The record's rates, where they are of what is asked for.
function history_of({ line, history }: State): Pulse | null {
	if (line === "verdict=DROPPED") return { ...history, flows: history.drops };
	return line ? null : history;
}

function empty_text(state: State, what: string): string {
	if (state.link.kind === "broken" || state.upstream.kind === "away")
		return `No ${what} to show: there is no connection to the server.`;
	if (state.upstream.kind === "connecting") return "Asking the server…";
	if (state.range)
		return `No ${what} in this range${state.line ? " with this filter" : ""}. The last line says what is missing from it.`;
	const seen = state.history.flows.reduce((sum, n) => sum + n, 0);
	return state.line
		? `No ${what} with this filter. ${seen ? `Traffic seen: ${count_text(seen)} flows. ` : ""}Widen it, or wait: what comes is shown.`
		: `No ${what} yet. What comes is shown at once.`;
}

function Overview({
	state,
	on_copy,
	command,
	on_compare,
	on_filter,
}: {
	state: State;
	on_copy(text: string): void;
	command: string;
	on_compare(range: Range, against: Range | null): void;
	on_filter(terms: string[]): void;
}) {
	const { range, against } = state;
	const refused = state.edges
		.filter((e) => e?.dropped)
		.sort((a, b) => (b.dropped ?? 0) - (a.dropped ?? 0));
	const reasons = new Map<string, number>();
	for (const edge of refused)
		for (const [reason, n] of Object.entries(edge.reasons ?? {}))
			reasons.set(reason, (reasons.get(reason) ?? 0) + n);
	return (
		<>
			<h2>
				{state.totals.dropped ? (
					<button type="button" class="link dropped" onClick={() => on_filter(["verdict=DROPPED"])}>
						{count_text(state.totals.dropped)} dropped
					</button>
				) : (
					"Nothing dropped"
				)}
			</h2>
			<p class="quiet">
				of {count_text(state.totals.flows)} flows{state.line ? " with this filter" : ""}
			</p>
			{reasons.size > 0 && (
				<>
					<h3>Why</h3>
					<ul class="peers">
						{[...reasons]
							.sort((a, b) => b[1] - a[1])
							.slice(0, 8)
							.map(([reason, n]) => (
								<li key={reason}>
									<code>{reason}</code>
									<button
										type="button"
										class="link dropped"
										title="Only these flows"
										onClick={() => on_filter(["verdict=DROPPED", `reason=${reason}`])}
									>
										{count_text(n)}
									</button>
								</li>
							))}
					</ul>
				</>
			)}
			{range && (
				<RangeInputs
					name={against ? "Now" : "Range"}
					range={range}
					on_range={(r) => on_compare(r, against && against.range)}
				/>
			)}
			{range && against && (
				<RangeInputs
					name="Before"
					range={against.range}
					on_range={(r) => on_compare(range, r)}
				/>
			)}
			<h3>This view as a command</h3>
			<p class="command">
				<code>{command}</code>
			</p>
			<p class="actions">
				<button type="button" onClick={() => on_copy(command)}>
					Copy
				</button>
			</p>
			<p class="quiet">Click a card, a line or a flow to see all that is known of it.</p>
		</>
	);
}

function Help({ close }: { close(): void }) {
	const keys: [string, string][] = [
		["/", "filter"],
		["Space", "pause, resume"],
		["← → ↑ ↓", "walk the map, or the table"],
		["Enter", "on the map: only flows of this card"],
		["+ − 0", "on the map: closer, farther, all of it"],
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

interface Props {
	state: State;
	now: number;
	scheme: Scheme;
	columns: Column[];
	wishes: Wishes;
	on_scheme(scheme: Scheme): void;
}

export function App({ state, now, scheme, columns, wishes, on_scheme }: Props) {
	const seen_sides = useMemo(
		() => sides_of(state),
		[state.cards, state.edges, state.against, state.upstream, state.local],
	);
	const graph = useMemo(
		() => graph_of(seen_sides.cards, seen_sides.edges, state.unfolded),
		[seen_sides, state.unfolded],
	);
	const [tab, set_tab] = useState<Tab>("map");
	const [help, set_help] = useState(false);
	const [mark, set_mark] = useState<Mark>("range");
	const [bottom, set_bottom] = useState<"differences" | "flows">("differences");
	const [copied, set_copied] = useState(false);
	const main = useRef<HTMLElement>(null);
	const dark = useDark(scheme);

	const copy = (text: string) => {
		void navigator.clipboard?.writeText(text).then(() => {
			set_copied(true);
			setTimeout(() => set_copied(false), 1500);
		});
	};
	const filter = (terms: string[]) => {
		const parsed = parse_line(state.line);
		// What was asked of the same side, or by the same name, before is replaced.
		const about = (name: string) => /^(from|to)-/.exec(name)?.[1] ?? name;
		const asked = new Set(terms.map((t) => about(t.slice(0, t.indexOf("=")))));
		const kept = parsed.ok ? parsed.terms.filter((t) => t.not || !asked.has(about(t.name))) : [];
		wishes.line([line_of(kept), ...terms].filter(Boolean).join(" "));
		wishes.select({ kind: "nothing" });
	};
	const isolate = (selection: Selection) => {
		const card = (key: string) => graph.nodes.find((n) => n.key === key)?.card;
		if (selection.kind === "card") {
			const own = card(selection.key);
			if (own)
				filter(card_terms(own, graph.lines.some((l) => l.to === selection.key) ? "to" : "from"));
		} else if (selection.kind === "edge") {
			const [from, to] = [card(selection.from), card(selection.to)];
			filter([...(from ? card_terms(from, "from") : []), ...(to ? card_terms(to, "to") : [])]);
		}
	};

	useEffect(() => {
		const on_key = (event: KeyboardEvent) => {
			const target = event.target as HTMLElement;
			const typing = target.matches("input, select, textarea, button, summary");
			if (event.ctrlKey || event.metaKey || event.altKey || document.querySelector("dialog[open]"))
				return;
			if (event.key === "Escape") wishes.select({ kind: "nothing" });
			else if (typing) return;
			else if (event.key === "/") document.getElementById("filter")?.focus();
			else if (event.key === " " && !state.range) wishes.pause(state.paused.kind === "no");
			else if (event.key === "?") set_help(true);
			else return;
			event.preventDefault();
		};
		document.addEventListener("keydown", on_key);
		return () => document.removeEventListener("keydown", on_key);
	});

	const { against } = state;
	const set_range = (range: Range | null) => {
		if (range && state.range && against && mark === "against") wishes.compare(state.range, range);
		else wishes.range(range);
	};
	const begin_comparison = () => {
		const range = state.range ?? last_minutes(now, 5);
		set_mark("against");
		set_bottom("differences");
		wishes.compare(range, range_before(range, range.until - range.since));
	};

	const { panels } = state;
	const shows = (panel: Panel) => !panels.hidden.includes(panel);
	const drag = (which: "flows" | "details") => (event: PointerEvent) => {
		const bar = event.currentTarget as HTMLElement;
		bar.setPointerCapture(event.pointerId);
		let to = panels;
		bar.onpointermove = (move) => {
			const box = main.current!.getBoundingClientRect();
			const size =
				which === "flows" ? ((box.bottom - move.clientY) / box.height) * 100 : box.right - move.clientX;
			wishes.panels((to = sized(panels, which, size)), false);
		};
		bar.onpointerup = () => {
			bar.onpointermove = bar.onpointerup = null;
			wishes.panels(to, true);
		};
	};
	const resize = (which: "flows" | "details", by: number) => (event: KeyboardEvent) => {
		const [more, less] = which === "flows" ? ["ArrowUp", "ArrowDown"] : ["ArrowLeft", "ArrowRight"];
		const step = event.key === more ? by : event.key === less ? -by : 0;
		if (!step) return;
		event.preventDefault();
		wishes.panels(sized(panels, which, panels[which] + step), true);
	};
	const above = shows("map") || shows("details");
	const grid = {
		gridTemplateColumns: [
			shows("map") ? "minmax(0, 1fr)" : "",
			shows("map") && shows("details") ? "5px" : "",
			shows("details") ? (shows("map") ? `min(${panels.details}px, 60%)` : "minmax(0, 1fr)") : "",
		].join(" "),
		gridTemplateRows: [
			above ? `minmax(0, ${100 - panels.flows}fr)` : "",
			above && shows("flows") ? "5px" : "",
			shows("flows") ? `minmax(0, ${panels.flows}fr)` : "",
		].join(" "),
	};
	const seen = useMemo(() => seen_values(state), [state.cards, state.namespaces, state.edges]);
	const h = health(state, now);
	const selected = selected_on_map(state.selection, graph);
	const all_rows = visible_rows(state);
	const rows = useMemo(
		() => (selected ? all_rows.filter((row) => selected.has(row.flow)) : all_rows),
		[all_rows, state.selection, graph.nodes.length],
	);
	const title =
		against !== null ? (
			<div class="segments switch" role="group" aria-label="Below the map">
				{(["differences", "flows"] as const).map((which) => (
					<button
						key={which}
						type="button"
						aria-pressed={bottom === which}
						onClick={() => set_bottom(which)}
					>
						{which === "flows" ? "Flows" : "Differences"}
					</button>
				))}
			</div>
		) : (
			<h2>
				Flows
				{selected && (
					<>
						<span class="quiet"> of </span>
						{selected.name}
						<button
							type="button"
							class="link"
							onClick={() => wishes.select({ kind: "nothing" })}
						>
							show all
						</button>
					</>
				)}
			</h2>
		);
	const paused = state.paused.kind === "yes";
	const command = command_of(state.line, state.server || "localhost:4245", state.range);
	return (
		<div class="page" data-tab={tab} data-state={h.kind}>
			<header>
				<h1>
					<img src="/icon.svg" alt="" width="22" height="22" />
					tycho
				</h1>
				<FilterLine
					line={state.line}
					problem={state.line_problem}
					seen={seen}
					namespaces={state.namespaces}
					on_line={wishes.line}
				/>
				<div class="controls">
					<span class={`health ${h.kind}`} role="status" title={h.reason}>
						{h.text}
					</span>
					<PanelButtons panels={panels} on_panels={(p) => wishes.panels(p, true)} />
					{state.range ? (
						<button type="button" class="to-live" onClick={() => wishes.range(null)}>
							Back to live
						</button>
					) : (
						<button
							type="button"
							class="pause"
							aria-pressed={paused}
							title={paused ? "Resume (Space)" : "Pause the table (Space)"}
							onClick={() => wishes.pause(!paused)}
						>
							{paused ? "Resume" : "Pause"}
						</button>
					)}
					<button
						type="button"
						class="sign"
						title={`Colours: ${scheme}`}
						aria-label={`Colours: ${scheme}`}
						onClick={() => on_scheme(next_scheme[scheme])}
					>
						{scheme_sign[scheme]}
					</button>
					<button
						type="button"
						class="sign"
						title="Keys (?)"
						aria-label="Keys"
						onClick={() => set_help(true)}
					>
						?
					</button>
					{state.login && (
						<button type="button" onClick={wishes.log_out}>
							Log out
						</button>
					)}
				</div>
			</header>
			{h.kind === "away" && (
				<p class="banner" role="alert">
					{h.reason}{" "}
					<span>
						{state.totals.flows > 0 && "What is shown was seen before. "}
						It is asked again until it does.
					</span>
				</p>
			)}
			<Strip
				pulse={state.pulse}
				flows={state.range ? state.totals.flows : 0}
				history={state.range ? null : history_of(state)}
				followed_from={state.marks[0]?.at ?? now}
				on_range={(a, b) => set_range(range_between(a, b))}
			/>
			<History
				coverage={state.coverage}
				history={state.history}
				range={state.range}
				against={against && against.range}
				now={now}
				on_range={set_range}
				on_compare={against ? null : begin_comparison}
			/>
			{against && state.range && (
				<CompareBar
					range={state.range}
					against={against}
					coverage={state.coverage}
					differences={seen_sides.differences}
					untracked={state.untracked + against.untracked}
					mark={mark}
					on_mark={set_mark}
					on_against={(r) => wishes.compare(state.range!, r)}
				/>
			)}
			<nav class="tabs" role="tablist" aria-label="Panels">
				{(["map", "flows", "detail"] as const).map((t) => (
					<button
						key={t}
						type="button"
						role="tab"
						aria-selected={tab === t}
						onClick={() => set_tab(t)}
					>
						{t === "detail" ? "Details" : t === "map" ? "Map" : "Flows"}
					</button>
				))}
			</nav>
			<main ref={main} class={panels.hidden.map((p) => `no-${p}`).join(" ")} style={grid}>
				<ServiceMap
					graph={graph}
					structure={state.structure}
					arrangement={state.arrangement}
					is_young={!state.began_at || now - state.began_at < YOUNG_MS}
					is_followed={state.marks.length > 1}
					span_s={(state.totals.newest - state.totals.oldest) / 1000}
					selection={state.selection}
					scheme={dark ? "dark" : "light"}
					empty={empty_text(state, "connections")}
					local={
						state.local || has_local(state.cards)
							? { shown: state.local, show: wishes.local }
							: null
					}
					comparing={seen_sides.differences !== null}
					on_select={wishes.select}
					on_isolate={isolate}
					on_unfold={(group) => wishes.unfold(group, true)}
				/>
				<div
					class="divider upright"
					role="separator"
					aria-orientation="vertical"
					aria-label="Width of the details"
					aria-valuenow={panels.details}
					aria-valuemin={220}
					aria-valuemax={900}
					tabIndex={0}
					onPointerDown={drag("details")}
					onKeyDown={resize("details", 20)}
				/>
				<Detail
					selection={state.selection}
					graph={graph}
					now={now}
					on_filter={filter}
					on_select={wishes.select}
					on_copy={copy}
					flow_command={(flow) => flow_command(flow, state.server || "localhost:4245")}
					command={(terms) => command_of(terms.join(" "), state.server || "localhost:4245", state.range)}
					rates={(edges) => (state.marks.length ? rates_of(state.marks, edges) : null)}
					on_unfold={wishes.unfold}
					overview={
						<Overview
							state={state}
							on_copy={copy}
							command={command}
							on_compare={wishes.compare}
							on_filter={filter}
						/>
					}
				/>
				<div
					class="divider"
					role="separator"
					aria-orientation="horizontal"
					aria-label="Height of the table"
					aria-valuenow={panels.flows}
					tabIndex={0}
					onPointerDown={drag("flows")}
					onKeyDown={resize("flows", 4)}
				/>
				{against && bottom === "differences" ? (
					<Differences
						title={title}
						differences={seen_sides.differences ?? []}
						empty={
							seen_sides.differences
								? "No connection is new or gone, and no drop count has changed."
								: against.kind === "away"
									? against.reason
									: "Reading both ranges…"
						}
						on_select={(d) =>
							wishes.select({ kind: "edge", from: card_key(d.from), to: card_key(d.to) })
						}
					/>
				) : (
					<FlowTable
						title={title}
						rows={rows}
						shown={columns}
						on_columns={wishes.columns}
						selected={state.selection.kind === "flow" ? state.selection.row.id : 0}
						left_out={state.left_out}
						earlier={state.earlier}
						since_pause={state.paused.kind === "yes" ? state.next_row - state.paused.at : 0}
						empty={
							selected && all_rows.length
								? `None of the ${count_text(all_rows.length)} flows in the table. “Only these flows” asks for them.`
								: empty_text(state, "flows")
						}
						on_download={() => download(json_lines(rows.map((r) => r.flow)))}
						on_select={(row) => wishes.select(row ? { kind: "flow", row } : { kind: "nothing" })}
					/>
				)}
			</main>
			<StatusLine state={state} now={now} on_filter={filter} />
			{copied && (
				<p class="toast" role="status">
					Copied
				</p>
			)}
			{help && <Help close={() => set_help(false)} />}
		</div>
	);
}

// What is drawn: cards and edges as they came, local peers folded; or those of both ranges, once both are here.
type Drawn = Omit<Comparison, "differences"> & { differences: Comparison["differences"] | null };

function sides_of(state: State): Drawn {
	const { against, range } = state;
	const folding: Folding = {
		local: state.local,
		past: range !== null,
		clusters: clusters_of(state.cards, against?.cards ?? []),
	};
	const now = fold(state.cards, state.edges, folding);
	if (!against || !range || against.kind !== "here" || state.upstream.kind !== "past")
		return { ...now, differences: null };
	const share = (range.until - range.since) / (against.range.until - against.range.since);
	const before = fold(against.cards, against.edges, folding);
	return compare(before, now, share, (card) => identity_of(card, folding));
}

// What of the map the table is narrowed to.
function selected_on_map(
	selection: Selection,
	graph: Graph,
): { name: string; has(flow: Flow): boolean } | null {
	const card = (key: string) => graph.nodes.find((n) => n.key === key)?.card;
	if (selection.kind === "card") {
		const own = card(selection.key);
		return own ? { name: card_name(own), has: (flow) => is_of_card(flow, own) } : null;
	}
	if (selection.kind !== "edge") return null;
	const [from, to] = [card(selection.from), card(selection.to)];
	return from && to
		? {
				name: `${card_name(from)} → ${card_name(to)}`,
				has: (flow) => is_of_edge(flow, from, to),
			}
		: null;
}

function download(text: string): void {
	const link = document.createElement("a");
	link.href = URL.createObjectURL(new Blob([text], { type: "application/jsonl" }));
	link.download = "flows.jsonl";
	link.click();
	setTimeout(() => URL.revokeObjectURL(link.href), 60_000);
}

// Whether dark colours are in force, by choice or by the system's.
function useDark(scheme: Scheme): boolean {
	const system = useMedia("(prefers-color-scheme: dark)");
	return scheme === "auto" ? system : scheme === "dark";
}

// What the filter line can be completed with.
function seen_values(state: State): Record<string, string[]> {
	const cards = state.cards.filter(Boolean);
	const of = (values: (string | undefined)[]) =>
		[...new Set(values.filter((v): v is string => Boolean(v)))].sort().slice(0, 500);
	return {
		namespace: of([...state.namespaces, ...cards.map((c) => c.namespace)]),
		workload: of(cards.filter((c) => c.kind === "workload").map((c) => c.name)),
		pod: of(
			cards
				.filter((c) => c.kind === "pod")
				.map((c) => `${c.namespace ?? ""}/${c.name}`)
				.concat(cards.filter((c) => c.namespace).map((c) => `${c.namespace}/`)),
		),
		dns: of(cards.filter((c) => c.kind === "name").map((c) => c.name)),
		ip: of(cards.filter((c) => c.kind === "address").map((c) => c.name)),
		port: of(state.edges.map((e) => (e?.port ? String(e.port) : undefined))),
		protocol: ["tcp", "udp", "icmp", "sctp", "http", "dns"],
		verdict: ["FORWARDED", "DROPPED", "AUDIT", "ERROR", "REDIRECTED", "TRACED", "TRANSLATED"],
		reason: of(state.edges.flatMap((e) => Object.keys(e?.reasons ?? {}))),
	};
}
