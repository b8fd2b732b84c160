/** A rendering is shown again for this many times as long as it took. */
const restShare = 9;
/** And for at least this long: whoever scrapes twice within it sees the same. */
const keptMinMs = 100;

export interface ScrapeOptions {
  /** Monotonic. */
  readonly now: () => number;
  readonly render: () => Promise<string>;
}

/**
 * The text that scrapes get. However many ask, at most a tenth of the process's time goes into rendering it: the rest
 * is the log's, whose leases must not wait for a dashboard.
 */
export class Scrape {
  readonly #options: ScrapeOptions;
  #rendering: Promise<string> | undefined;
  #kept: { readonly text: string; readonly untilMs: number } | undefined;

  constructor(options: ScrapeOptions) {
    this.#options = options;
  }

  /** A rejection of `render` is passed on to everybody who waits for it, and not kept. */
  async text(): Promise<string> {
    const { now } = this.#options;
    if (this.#kept !== undefined && now() < this.#kept.untilMs) return this.#kept.text;
    this.#rendering ??= this.#render().finally(() => {
      this.#rendering = undefined;
    });
    return this.#rendering;
  }

  async #render(): Promise<string> {
    const { now, render } = this.#options;
    const startedMs = now();
    const text = await render();
    const endedMs = now();
    this.#kept = { text, untilMs: endedMs + Math.max(keptMinMs, restShare * (endedMs - startedMs)) };
    return text;
  }
}
