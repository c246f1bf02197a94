// Which flows belong to what is selected on the map. Pure; the server decides what is a card in the same way
// (ui-server/servicemap.h).
import type { Card } from "./drawn";
import type { Flow } from "./flow";
import { local_kind } from "./fold";

type End = "source" | "destination";

function is_end(flow: Flow, end: End, card: Card): boolean {
	const who = flow[end] ?? {};
	const address = flow.IP?.[end] ?? "";
	switch (card.kind) {
		case "workload":
		case "pod":
			return (
				(!card.cluster || !who.cluster_name || who.cluster_name === card.cluster) &&
				(who.namespace ?? "") === (card.namespace ?? "") &&
				(who.pod_name === card.name || (who.workloads ?? []).some((w) => w.name === card.name))
			);
		case "reserved":
		case "identity":
			return card.identity
				? who.identity === card.identity
				: (who.labels ?? []).includes(`reserved:${card.name}`);
		case "name":
			return ((end === "source" ? flow.source_names : flow.destination_names) ?? []).includes(
				card.name ?? "",
			);
		case "cidr":
			return (who.labels ?? []).includes(`cidr:${card.name}`);
		case "address":
			return address === card.name;
		case "local":
			return local_kind({ id: 0, kind: "address", name: address }) === card.name;
		case "nowhere":
			return !address;
		case "rest":
			return false;
	}
}

export function is_of_card(flow: Flow, card: Card): boolean {
	return is_end(flow, "source", card) || is_end(flow, "destination", card);
}

// Requests and their answers, from any of the cards to any of the others.
export function is_between(flow: Flow, from: Card[], to: Card[]): boolean {
	const is = (end: End, cards: Card[]) => cards.some((card) => is_end(flow, end, card));
	return (is("source", from) && is("destination", to)) || (is("source", to) && is("destination", from));
}
