// The page: what is where, and which key does what. State comes in, wishes go out.
import { useEffect, useLayoutEffect, useMemo, useState } from "preact/hooks";
import { type Bottom, BottomSwitch, FlowsTitle } from "./BottomTitle";
import type { Column } from "./columns";
import { CompareBar, type Mark } from "./CompareBar";
import { Controls } from "./Controls";
import { CoverageDetail } from "./CoverageDetail";
import { type Curve, Detail } from "./Detail";
import { Differences } from "./Differences";
import { Divider, grid_of } from "./Divider";
import type { Change, Edge } from "./drawn";
import { command_of, flow_command, narrowed, type Ways } from "./filter";
import { FilterLine } from "./FilterLine";
import { count_text, json_lines } from "./flow";
import { FlowTable } from "./FlowTable";
import { useFocusKept } from "./focus_kept";
import { has_local } from "./fold";
import { card_key, graph_of } from "./graph";
import { empty_text, health } from "./health";
import { Help } from "./Help";
import { History } from "./History";
import { NARROW, type Scheme, useDark } from "./media";
import { Overview } from "./Overview";
import { rates_in, rates_of } from "./rates";
import { ServiceMap } from "./ServiceMap";
import {
	history_of,
	seen_values,
	selected_after,
	selected_filters,
	selected_on_map,
	selected_ways,
	selected_text,
	sides_of,
} from "./shown";
import { type Panels, type Selection, type State, visible_rows, type Which } from "./state";
import { StatusLine } from "./StatusLine";
import { Strip } from "./Strip";
import { last_minutes, oldest_of, part_over, range_before, range_between, type Range } from "./time_range";
import type { Watch } from "./wire";

export interface Wishes {
	line(line: string): void;
	range(range: Range | null): void;
	flows(line: string, range: Range): void;
	compare(range: Range, against: Range | null): void;
	curve(of: string, filters: Pick<Watch, "allow" | "deny"> | null): void;
	local(on: boolean): void;
	select(selection: Selection): void;
	panels(panels: Panels, is_done: boolean): void;
	pause(on: boolean): void;
	unfold(group: string, on: boolean): void;
	columns(shown: Column[]): void;
	log_out(): void;
}

const YOUNG_MS = 2000; // a map is laid out anew with what comes so soon after its first cards
const COPIED_MS = 1500;

const tabs = { map: "Map", flows: "Flows", detail: "Details" } as const;
type Tab = keyof typeof tabs;

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
	const [opened_from, set_opened_from] = useState<Tab | null>(null);
	const [focus, set_focus] = useState<{ on: string } | null>(null); // where it belongs now
	const [help, set_help] = useState(false);
	const [mark, set_mark] = useState<Mark>("range");
	const [bottom, set_bottom] = useState<Bottom>("differences");
	const [only, set_only] = useState<Change | null>(null);
	const [copied, set_copied] = useState(false);
	const dark = useDark(scheme);

	const copy = (text: string) => {
		void navigator.clipboard?.writeText(text).then(() => {
			set_copied(true);
			setTimeout(() => set_copied(false), COPIED_MS);
		});
	};
	const { against, range, selection, panels } = state;
	const nothing: Selection = { kind: "nothing" };
	const filter = (ways: Ways, of?: Range) => {
		const line = narrowed(state.line, ways);
		if (of) wishes.flows(line, of);
		else wishes.line(line);
		wishes.select(nothing);
	};
	const isolate = (selection: Selection) => {
		const ways = selected_ways(selection, graph);
		if (ways) filter(ways);
	};
	// A number that is clicked leads to what it counts: the table is there, whatever was hidden.
	const show_table = () => {
		set_tab("flows");
		set_bottom("flows");
		if (panels.hidden.includes("flows"))
			wishes.panels({ ...panels, hidden: panels.hidden.filter((p) => p !== "flows") }, true);
	};
	const show_flows = (ways: Ways, of?: Range) => {
		filter(ways, of);
		show_table();
	};
	const show_all = () => {
		wishes.select(nothing);
		show_table();
	};
	const show_coverage = () => {
		wishes.select({ kind: "coverage" });
		set_tab("detail");
		if (panels.hidden.includes("details"))
			wishes.panels({ ...panels, hidden: panels.hidden.filter((p) => p !== "details") }, true);
	};

	const unfold = (group: string, on: boolean) => {
		wishes.select(selected_after(selection, graph, group, on));
		wishes.unfold(group, on);
	};
	// Details take the place of the table where panels are tabs, and give it back.
	const open_details = (by_key: boolean) => {
		if (tab !== "detail") set_opened_from(tab);
		set_tab("detail");
		if (by_key || matchMedia(NARROW).matches) set_focus({ on: "#panel-detail" });
	};
	const go_back = () => {
		wishes.select(nothing);
		if (!opened_from) return;
		if (tab === "detail") {
			set_tab(opened_from);
			set_focus({ on: `#panel-${opened_from} [tabindex="0"]` });
		}
		set_opened_from(null);
	};
	useLayoutEffect(() => {
		if (focus) document.querySelector<HTMLElement>(focus.on)?.focus();
	}, [focus]);

	useFocusKept();
	usePageKeys(state, wishes, go_back, () => set_help(true));

	// Rates of what is selected in a past range are asked for; live ones are counted here.
	const curve_filters = useMemo(
		() => (range ? selected_filters(selection, graph, state.shown_line) : null),
		[range, selection, graph, state.shown_line],
	);
	const curve_question = curve_filters ? JSON.stringify([range, against?.range, curve_filters]) : "";
	useEffect(() => wishes.curve(curve_question, curve_filters), [curve_question]);
	const curve_in = (which: Which, of: Range | null): Curve => {
		if (!of) return null;
		if (!curve_filters) return "wordless";
		const known = state.curves[which];
		const answer = known?.of === curve_question ? known.answer : "waiting";
		return answer === "waiting" ? answer : answer === "refused" ? null : rates_in(answer, of, oldest_of(state.coverage));
	};
	const rates = (edges: Edge[]) =>
		range
			? { now: curve_in("now", range), before: curve_in("before", against && against.range) }
			: { now: state.marks.length ? rates_of(state.marks, edges) : null, before: null };

	const set_range = (to: Range | null) => {
		if (to && range && against && mark === "against") wishes.compare(range, to);
		else wishes.range(to);
	};
	const begin_comparison = () => {
		const now_range = range ? part_over(range, now) : last_minutes(now, 5);
		set_mark("against");
		set_bottom("differences");
		set_only(null);
		wishes.compare(now_range, range_before(now_range, now_range.until - now_range.since));
	};

	const seen = useMemo(() => seen_values(state), [state.cards, state.namespaces, state.edges]);
	const h = health(state, now);
	const selected = selected_on_map(selection, graph);
	const all_rows = visible_rows(state);
	const rows = useMemo(
		() => (selected ? all_rows.filter((row) => selected.has(row.flow)) : all_rows),
		[all_rows, selection, state.structure, state.unfolded, state.local],
	);
	// A change that none is left of is not asked for any more.
	const of_only = (seen_sides.differences ?? []).filter((d) => d.change === only);
	const shown_differences = of_only.length ? of_only : seen_sides.differences;
	const empty = (what: string) => {
		const { text, seen, then } = empty_text(state, what);
		const all = () => wishes.flows("", range_between(state.history.from * 1000, now));
		return (
			<>
				{text}{" "}
				{seen > 0 && (
					<button type="button" class="link" title="All of the record, without filters" onClick={all}>
						Traffic seen: {count_text(seen)} flows.
					</button>
				)}{" "}
				{then}
			</>
		);
	};
	const title = against ? (
		<BottomSwitch shown={bottom} on_show={set_bottom} />
	) : (
		<FlowsTitle of={selected?.name ?? ""} on_all={() => wishes.select(nothing)} />
	);
	const server = state.server || "localhost:4245";
	const command = command_of(state.shown_line, server, range);
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
					still={state.line === state.shown_line ? null : state.shown_line}
					seen={seen}
					clusters={state.clusters}
					namespaces={state.namespaces}
					on_line={wishes.line}
				/>
				<Controls
					health={h}
					panels={panels}
					is_past={range !== null}
					is_paused={state.paused.kind === "yes"}
					scheme={scheme}
					login={state.login}
					on_panels={(p) => wishes.panels(p, true)}
					on_live={() => wishes.range(null)}
					on_pause={wishes.pause}
					on_scheme={on_scheme}
					on_help={() => set_help(true)}
					on_log_out={wishes.log_out}
				/>
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
				past={range && { range, flows: state.totals.flows, answered: state.answered }}
				coverage={state.coverage}
				history={range ? null : history_of(state, now)}
				followed_from={state.marks[0]?.at ?? now}
				away_since={!range && state.upstream.kind === "away" ? state.upstream.since : 0}
				on_range={(a, b) => set_range(range_between(a, b))}
			/>
			<History
				coverage={state.coverage}
				history={state.history}
				range={range}
				against={against && against.range}
				now={now}
				on_range={set_range}
				on_compare={against ? null : begin_comparison}
			/>
			{against && range && (
				<CompareBar
					range={range}
					against={against}
					coverage={state.coverage}
					differences={seen_sides.differences}
					untracked={state.untracked + against.untracked}
					mark={mark}
					only={only}
					on_only={(change) => {
						set_only(change);
						set_bottom("differences");
						set_tab("flows");
					}}
					on_coverage={show_coverage}
					on_mark={set_mark}
					on_against={(r) => wishes.compare(range, r)}
				/>
			)}
			<nav class="tabs" aria-label="Panels">
				<div role="tablist">
					{(Object.keys(tabs) as Tab[]).map((t) => (
						<button
							key={t}
							type="button"
							role="tab"
							class={t === "detail" && selection.kind !== "nothing" ? "selected" : ""}
							aria-selected={tab === t}
							aria-controls={`panel-${t}`}
							onClick={() => set_tab(t)}
						>
							{tabs[t]}
						</button>
					))}
				</div>
			</nav>
			<main class={panels.hidden.map((p) => `no-${p}`).join(" ")} style={grid_of(panels)}>
				<ServiceMap
					graph={graph}
					structure={state.structure}
					arrangement={state.arrangement}
					is_young={!state.began_at || now - state.began_at < YOUNG_MS}
					is_followed={state.marks.length > 1}
					span_s={(state.totals.newest - state.totals.oldest) / 1000}
					selection={selection}
					scheme={dark ? "dark" : "light"}
					empty={empty("connections")}
					local={
						state.local || has_local(state.cards)
							? { shown: state.local, show: wishes.local }
							: null
					}
					comparing={seen_sides.differences !== null}
					on_select={wishes.select}
					on_isolate={isolate}
					on_unfold={(group) => unfold(group, true)}
				/>
				<Divider of="details" panels={panels} on_panels={wishes.panels} />
				<Detail
					selection={selection}
					graph={graph}
					now={now}
					before={against && against.range}
					on_flows={show_flows}
					on_select={wishes.select}
					on_back={go_back}
					on_copy={copy}
					flow_command={(flow) => flow_command(flow, server)}
					command={(ways) => command_of(narrowed(state.shown_line, ways), server, range)}
					rates={rates}
					on_unfold={unfold}
					overview={
						<Overview
							state={state}
							graph={graph}
							on_select={wishes.select}
							on_copy={copy}
							command={command}
							on_compare={wishes.compare}
							on_flows={show_flows}
							on_all={show_all}
						/>
					}
					coverage={
						<CoverageDetail
							state={state}
							now={now}
							on_flows={show_flows}
							on_range={wishes.range}
							on_copy={() => copy(command)}
						/>
					}
				/>
				<Divider of="flows" panels={panels} on_panels={wishes.panels} />
				{against && bottom === "differences" ? (
					<Differences
						title={title}
						differences={shown_differences ?? []}
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
						on_open={open_details}
					/>
				) : (
					<FlowTable
						title={title}
						rows={rows}
						shown={columns}
						on_columns={wishes.columns}
						selected={selection.kind === "flow" ? selection.row.id : 0}
						left_out={state.left_out}
						earlier={state.earlier}
						since_pause={state.paused.kind === "yes" ? state.next_row - state.paused.at : 0}
						on_resume={() => wishes.pause(false)}
						on_coverage={show_coverage}
						empty={
							selected && all_rows.length ? (
								<>
									None of the{" "}
									<button type="button" class="link" onClick={() => wishes.select(nothing)}>
										{count_text(all_rows.length)} flows in the table
									</button>
									. A number in the details asks for them.
								</>
							) : (
								empty("flows")
							)
						}
						on_download={() => download(json_lines(rows.map((r) => r.flow)))}
						on_select={(row) => wishes.select(row ? { kind: "flow", row } : nothing)}
						on_open={open_details}
					/>
				)}
			</main>
			<StatusLine
				state={state}
				now={now}
				on_flows={show_flows}
				on_all={show_all}
				on_coverage={show_coverage}
				on_newest={() => {
					const row = state.rows.at(-1);
					if (row) wishes.select({ kind: "flow", row });
				}}
			/>
			<p class="unseen" role="status" data-said="selection">
				{selected_text(selection, graph)}
			</p>
			{copied && (
				<p class="toast" role="status">
					Copied
				</p>
			)}
			{help && <Help close={() => set_help(false)} />}
		</div>
	);
}

function download(text: string): void {
	const link = document.createElement("a");
	link.href = URL.createObjectURL(new Blob([text], { type: "application/jsonl" }));
	link.download = "flows.jsonl";
	link.click();
	setTimeout(() => URL.revokeObjectURL(link.href), 60_000);
}

// Keys mean what is drawn: they are told anew with it, not a while later.
function usePageKeys(state: State, wishes: Wishes, back: () => void, help: () => void): void {
	useLayoutEffect(() => {
		const on_key = (event: KeyboardEvent) => {
			const target = event.target as HTMLElement;
			const typing = target.matches("input, select, textarea, button, summary");
			if (event.ctrlKey || event.metaKey || event.altKey || document.querySelector("dialog[open]"))
				return;
			if (event.key === "Escape") back();
			else if (typing) return;
			else if (event.key === "/") document.getElementById("filter")?.focus();
			else if (event.key === " " && !state.range) wishes.pause(state.paused.kind === "no");
			else if (event.key === "?") help();
			else return;
			event.preventDefault();
		};
		document.addEventListener("keydown", on_key);
		return () => document.removeEventListener("keydown", on_key);
	});
}
