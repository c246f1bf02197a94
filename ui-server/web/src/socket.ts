// The websocket to tycho-ui, opened again whenever it closes.
import type { Watch } from "./wire";

const FIRST_PAUSE_MS = 250;
const LONGEST_PAUSE_MS = 4000;

export interface Handlers {
	opened(): void;
	closed(reason: string): void;
	text(text: string): void;
}

export class Socket {
	private socket: WebSocket | null = null;
	private pause_ms = FIRST_PAUSE_MS;
	private question: Watch | null = null;
	private is_over = false;

	constructor(
		private readonly url: string,
		private readonly handlers: Handlers,
	) {
		this.open();
	}

	// The latest question is asked again on each new connection.
	ask(question: Watch): void {
		this.question = question;
		if (this.socket?.readyState === WebSocket.OPEN) this.socket.send(JSON.stringify(question));
	}

	// For good: nothing is told of it any more.
	close(): void {
		this.is_over = true;
		this.socket?.close();
	}

	private open(): void {
		if (this.is_over) return;
		const socket = new WebSocket(this.url, "tycho-ui.v1");
		this.socket = socket;
		socket.onopen = () => {
			this.pause_ms = FIRST_PAUSE_MS;
			this.handlers.opened();
			if (this.question) socket.send(JSON.stringify(this.question));
		};
		socket.onmessage = (event) => {
			if (!this.is_over) this.handlers.text(String(event.data));
		};
		socket.onclose = (event) => {
			if (this.is_over) return;
			this.handlers.closed(event.reason || "tycho-ui does not answer");
			setTimeout(() => this.open(), this.pause_ms);
			this.pause_ms = Math.min(this.pause_ms * 2, LONGEST_PAUSE_MS);
		};
	}
}
