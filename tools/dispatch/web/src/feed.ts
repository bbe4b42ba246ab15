// The event stream. A browser resumes by itself after a cut, naming the last change that it saw; where it gives up (the
// console answered with an error), the page begins a new stream at the same position.

import { api, Problem, type Alarm, type Roster, type Test } from "./api";

export interface Listener {
  alarm(a: Alarm): void;
  test(t: Test): void;
  roster(r: Roster): void;
  link(up: boolean): void;
  /** What was told before does not hold any more: everything is to be read anew. */
  reset(): void;
  loggedOut(): void;
}

const retry = 2000;

export class Feed {
  private source: EventSource | null = null;
  private timer = 0;

  constructor(
    private after: number,
    private readonly listener: Listener,
  ) {
    this.open();
  }

  /** Ends the stream for good. */
  close(): void {
    clearTimeout(this.timer);
    this.source?.close();
    this.source = null;
  }

  private open(): void {
    const source = new EventSource(`/api/events?after=${this.after}`);
    this.source = source;
    source.onopen = () => this.listener.link(true);
    source.onerror = () => {
      this.listener.link(false);
      if (source.readyState === EventSource.CLOSED) this.timer = window.setTimeout(() => void this.again(), retry);
    };
    source.addEventListener("alarm", (e) => {
      this.after = Number(e.lastEventId);
      this.listener.alarm(JSON.parse(e.data));
    });
    source.addEventListener("test", (e) => {
      this.after = Number(e.lastEventId);
      this.listener.test(JSON.parse(e.data));
    });
    source.addEventListener("reset", () => this.listener.reset());
    source.addEventListener("stations", (e) => this.listener.roster(JSON.parse(e.data)));
  }

  private async again(): Promise<void> {
    try {
      await api.me();
    } catch (e) {
      if (e instanceof Problem && e.kind === "login") {
        this.close();
        this.listener.loggedOut();
        return;
      }
    }
    if (this.source) this.open();
  }
}
