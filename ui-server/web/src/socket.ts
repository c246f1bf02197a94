// The websocket to tycho-ui, opened again whenever it closes. It says what has been read, so that the server sends no more
// than the page can show.
import type { Taken, Watch } from "./wire";

const FIRST_PAUSE_MS = 250;
const LONGEST_PAUSE_MS = 4000;

export interface Handlers {
	opened(): void;
	closed(reason: string): void;
	text(text: string): void;
	shown(then: () => void): void; // calls @then, once, when what was told so far is on the screen, or nobody looks at it
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
			take(0);
			if (this.question) socket.send(JSON.stringify(this.question));
		};
		let messages = 0;
		let taken = -1;
		const take = (n: number) => {
			if (n <= taken || socket.readyState !== WebSocket.OPEN) return;
			taken = n;
			socket.send(JSON.stringify({ type: "taken", messages: n } satisfies Taken));
		};
		socket.onmessage = (event) => {
			if (this.is_over) return;
			messages++;
			this.handlers.text(String(event.data));
			const read = messages;
			this.handlers.shown(() => take(read));
		};
		socket.onclose = (event) => {
			if (this.is_over) return;
			this.handlers.closed(event.reason || "tycho-ui does not answer");
			setTimeout(() => this.open(), this.pause_ms);
			this.pause_ms = Math.min(this.pause_ms * 2, LONGEST_PAUSE_MS);
		};
	}
}
