// Below the queue: the daily test alarms, one quiet word each. They take the alarms' own way, from the station's line to this
// very page, and the page tells the centre when it has painted one: so a broken link anywhere is known within a day.

import { api, type Test } from "./api";
import type { Desk } from "./desk";
import { h, put } from "./dom";
import { afterPaint } from "./measure";
import { pictures } from "./shapes";
import { now, timeOfDay } from "./time";
import { say } from "./words";

const shownFor = 26 * 3600_000;

export class Tests {
  readonly element = h("section", { class: "tests", hidden: true });
  private readonly told = new Set<string>(); // which this page has confirmed

  constructor(private readonly desk: Desk) {}

  /** Shows a station's last test, and tells the centre so. */
  show(t: Test): void {
    this.desk.tests.set(t.station, t);
    this.draw();
  }

  /** Draws them anew, those that no page has shown yet on top: where there are many, what is out of sight is not shown. */
  draw(): void {
    const list = [...this.desk.tests.values()].filter((t) => now() - Date.parse(t.received) < shownFor);
    list.sort((a, b) => Number(!!a.painted) - Number(!!b.painted) || (a.received < b.received ? 1 : -1));
    this.element.hidden = list.length === 0;
    const chips = list.map((t) => this.chip(t));
    put(this.element, h("b", {}, pictures.check(), say("test_alarm")), h("ul", {}, ...chips));
    afterPaint(() => list.forEach((t, i) => this.confirm(t, chips[i]!)));
  }

  private chip(t: Test): HTMLElement {
    const stages = [say("test_raised", timeOfDay(t.at)), say("test_stored", timeOfDay(t.received)), t.painted ? say("test_painted", timeOfDay(t.painted)) : ""];
    return h("li", { "data-test-id": t.id, title: stages.filter(Boolean).join(" · ") }, t.village || t.station, h("time", {}, timeOfDay(t.received).slice(-8, -3)));
  }

  private confirm(t: Test, chip: HTMLElement): void {
    if (t.painted || this.told.has(t.id) || !chip.isConnected || !this.inSight(chip)) return;
    this.told.add(t.id);
    api.painted(t).catch(() => this.told.delete(t.id)); // tried again with the next drawing
  }

  private inSight(chip: HTMLElement): boolean {
    const a = chip.getBoundingClientRect();
    const b = this.element.getBoundingClientRect();
    return a.height > 0 && a.top >= b.top - 1 && a.bottom <= b.bottom + 1 && b.bottom <= innerHeight + 1;
  }
}
