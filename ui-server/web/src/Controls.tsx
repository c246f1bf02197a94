// The head's right end: how things are, and what the page's reader can do about it.
import type { Health } from "./health";
import type { Scheme } from "./media";
import { PanelButtons } from "./PanelButtons";
import type { Panels } from "./state";

const next_scheme: Record<Scheme, Scheme> = { auto: "light", light: "dark", dark: "auto" };
const scheme_sign: Record<Scheme, string> = { auto: "◐", light: "☀", dark: "☾" };

interface Props {
	health: Health;
	panels: Panels;
	is_past: boolean;
	is_paused: boolean;
	scheme: Scheme;
	login: boolean;
	on_panels(panels: Panels): void;
	on_live(): void;
	on_pause(on: boolean): void;
	on_scheme(scheme: Scheme): void;
	on_help(): void;
	on_log_out(): void;
}

export function Controls(props: Props) {
	const { health, is_paused, scheme } = props;
	return (
		<div class="controls">
			<span class={`health ${health.kind}`} role="status" title={health.reason}>
				{health.text}
				{/* Who hears it is not told again each second. */}
				{health.since && <span aria-hidden="true">· {health.since}</span>}
			</span>
			<PanelButtons panels={props.panels} on_panels={props.on_panels} />
			{props.is_past ? (
				<button type="button" class="to-live" onClick={props.on_live}>
					Back to live
				</button>
			) : (
				<button
					type="button"
					class="pause"
					aria-pressed={is_paused}
					title={is_paused ? "Resume (Space)" : "Pause the table (Space)"}
					onClick={() => props.on_pause(!is_paused)}
				>
					{is_paused ? "Resume" : "Pause"}
				</button>
			)}
			<button
				type="button"
				class="sign"
				title={`Colours: ${scheme}`}
				aria-label={`Colours: ${scheme}`}
				onClick={() => props.on_scheme(next_scheme[scheme])}
			>
				{scheme_sign[scheme]}
			</button>
			<button type="button" class="sign" title="Keys (?)" aria-label="Keys" onClick={props.on_help}>
				?
			</button>
			{props.login && (
				<button type="button" onClick={props.on_log_out}>
					Log out
				</button>
			)}
		</div>
	);
}
