// The map on paper: a picture that is made when printing begins, and fits into whatever room its pane has there (page.css).
import type { Drawing } from "./drawing";

export class Sheet {
	private shown: HTMLCanvasElement | null = null;

	constructor(
		private readonly pane: HTMLElement,
		private readonly drawing: Drawing,
	) {
		addEventListener("beforeprint", this.show);
		addEventListener("afterprint", this.hide);
	}

	destroy(): void {
		removeEventListener("beforeprint", this.show);
		removeEventListener("afterprint", this.hide);
		this.hide();
	}

	private show = (): void => {
		this.hide();
		this.shown = this.drawing.sheet();
		if (!this.shown) return;
		this.shown.className = "sheet";
		this.shown.removeAttribute("style");
		this.pane.prepend(this.shown);
	};

	private hide = (): void => {
		this.shown?.remove();
		this.shown = null;
	};
}
