// The right column's lower half: every station with the age of its last word, what it still has to send, and its cameras.

import type { Camera, Station } from "./api";
import type { Desk } from "./desk";
import { h, put, text } from "./dom";
import { county } from "./kinds";
import { healthShape, pictures } from "./shapes";
import { ago } from "./time";
import { current, say, type Key } from "./words";

export class Roster {
  readonly element = h("section", { class: "roster panel" });
  private readonly list = h("ul", { class: "stations" });
  private readonly head = h("h2");
  private readonly note = h("p", { class: "note" });
  private drawn = "";
  private ages: { e: HTMLElement; s: Station }[] = [];

  constructor(
    private readonly desk: Desk,
    private readonly look: (s: Station, c: Camera) => void,
  ) {
    this.element.append(this.head, h("div", { class: "scroll" }, this.list, this.note));
  }

  /** Draws the stations as they were told last, those in trouble on top; where only ages differ, only those. */
  draw(received: number): void {
    const roster = this.desk.roster;
    const since = (performance.now() - received) / 1000;
    const stations = [...(roster?.stations ?? [])].sort((a, b) => rank(a) - rank(b) || a.id.localeCompare(b.id));
    const key = current() + JSON.stringify([stations.map((s) => ({ ...s, age: 0, last_word: "" })), roster?.refused, roster === null]);
    if (key !== this.drawn) {
      this.drawn = key;
      this.drawAll(stations);
    } else {
      this.ages.forEach((a, i) => (a.s = stations[i]!));
    }
    for (const a of this.ages) text(a.e, a.s.age < 0 ? "" : ago(a.s.age + since));
  }

  private drawAll(stations: Station[]): void {
    const roster = this.desk.roster;
    this.ages = [];
    put(this.head, say("stations"), h("span", { class: "tally" }, stations.length > 0 ? String(stations.length) : ""));
    if (roster && stations.length === 0) {
      put(this.list, h("li", { class: "empty" }, pictures.tower(), h("strong", {}, say("no_stations")), h("code", {}, say("no_stations_note"))));
    } else {
      put(this.list, ...stations.map((s) => this.row(s)));
    }
    const refused = (roster?.refused ?? []).reduce((n, r) => n + r.count, 0);
    this.note.hidden = refused === 0;
    put(this.note, say("refused_note", refused), h("small", {}, (roster?.refused ?? []).map((r) => `${r.station || "?"}: ${r.reason} × ${r.count}`).join(" · ")));
  }

  private row(s: Station): HTMLElement {
    const age = h("small");
    this.ages.push({ e: age, s });
    return h(
      "li",
      { "data-station": s.id, "data-state": s.health },
      healthShape(s.health),
      h("div", { class: "who" }, h("b", {}, s.name || s.id), h("small", {}, `${county(s.jurisdiction)} · ${s.id}`)),
      h("div", { class: "cams" }, ...s.cameras.map((c) => this.camera(s, c))),
      h(
        "div",
        { class: "health" },
        h("span", { class: "state" }, say(`health_${s.health}` as Key)),
        age,
        s.full ? h("span", { class: "badge full" }, say("log_full")) : null,
        s.backlog > 0 ? h("span", { class: "badge backlog" }, say("backlog", s.backlog)) : null,
      ),
    );
  }

  private camera(s: Station, c: Camera): HTMLElement {
    return h(
      "button",
      { type: "button", class: "cam", "data-state": c.state, title: `${c.name ?? c.id} · ${c.state}`, "aria-label": `${say("fact_camera")} ${c.name ?? c.id}`, onclick: () => this.look(s, c) },
      pictures.camera(),
      c.name || c.id,
    );
  }
}

function rank(s: Station): number {
  return { offline: 0, stale: 1, never: 3, fresh: 2 }[s.health];
}
