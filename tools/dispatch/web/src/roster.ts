// The right column's lower half: every station with the age of its last word, what it still has to send, and its cameras; and,
// where somebody asks for it, how its uplink and its clock do.

import type { Camera, Partition, Station } from "./api";
import type { Desk } from "./desk";
import { h, put, text } from "./dom";
import { county, figure } from "./kinds";
import { healthShape, pictures } from "./shapes";
import { ago, timeOfDay } from "./time";
import { current, say, sayIf, type Key } from "./words";

export class Roster {
  readonly element = h("section", { class: "roster panel" });
  private readonly list = h("ul", { class: "stations" });
  private readonly head = h("h2");
  private readonly note = h("p", { class: "note" });
  private drawn = "";
  private ages: { e: HTMLElement; s: Station }[] = [];
  private readonly links = new Map<string, HTMLElement>(); // of the rows that are open

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
    const key = current() + JSON.stringify([stations.map((s) => ({ ...s, age: 0, last_word: "", gauges: null })), roster?.refused, roster === null]);
    if (key !== this.drawn) {
      this.drawn = key;
      this.drawAll(stations);
    } else {
      this.ages.forEach((a, i) => (a.s = stations[i]!));
    }
    for (const a of this.ages) {
      text(a.e, a.s.age < 0 ? "" : ago(a.s.age + since));
      const link = this.links.get(a.s.id);
      if (link) this.fillLink(link, a.s);
    }
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
    const link = this.links.get(s.id) ?? null;
    const who = h(
      "button",
      { type: "button", class: "who", "aria-expanded": String(link !== null), title: say("link_show"), onclick: () => this.toggle(s.id) },
      h("b", {}, s.name || s.id),
      h("small", {}, `${county(s.jurisdiction)} · ${s.id}`),
    );
    return h(
      "li",
      { "data-station": s.id, "data-state": s.health },
      healthShape(s.health),
      who,
      h("div", { class: "cams" }, ...s.cameras.map((c) => this.camera(s, c)), ...s.partitions.map((p) => partition(s, p))),
      h(
        "div",
        { class: "health" },
        h("span", { class: "state" }, s.farewell && s.health === "offline" ? say("health_stopped") : say(`health_${s.health}` as Key)),
        age,
        s.full ? h("span", { class: "badge full" }, say("log_full")) : null,
        s.backlog > 0 ? h("span", { class: "badge backlog" }, say("backlog", s.backlog)) : null,
      ),
      link,
    );
  }

  /** Shows or hides how a station's uplink does. */
  private toggle(id: string): void {
    const open = this.links.get(id);
    const row = this.list.querySelector(`[data-station="${id}"]`);
    if (open) {
      open.remove();
      this.links.delete(id);
    } else {
      const link = h("dl", { class: "link" });
      this.links.set(id, link);
      row?.append(link);
      const s = this.desk.station(id);
      if (s) this.fillLink(link, s);
    }
    row?.querySelector(".who")?.setAttribute("aria-expanded", String(!open));
  }

  private fillLink(link: HTMLElement, s: Station): void {
    const g = s.gauges ?? {};
    const of = (name: string, and?: string) => [name, and ?? ""].filter((n) => g[n] !== undefined).map((n) => figure(n, g[n]!)).join(" / ");
    const rows: [Key, string][] = [
      ["word_carrier", s.carrier ?? ""],
      ["word_link_rtt_ms", of("link_rtt_ms", "link_rtt_p95_ms")],
      ["word_link_connects", of("link_connects_count", "link_faults_count")],
      ["word_link_up_s", of("link_up_s")],
      ["word_backlog", s.age < 0 ? "" : String(s.backlog)],
      ["word_link_stalls_count", of("link_stalls_count")],
      ["word_clock_synced", of("clock_synced", "clock_offset_ms")],
      ["word_test", this.test(s)],
      ["word_disk_free_bytes", of("disk_free_bytes")],
      ["word_box_temperature_c", of("box_temperature_c")],
      ["word_started", s.started ? timeOfDay(s.started) : ""],
      ["word_version", s.version ?? ""],
    ];
    const known = rows.filter(([, value]) => value !== "");
    const key = current() + JSON.stringify(known);
    if (link.dataset.key === key) return;
    link.dataset.key = key;
    put(link, ...(known.length > 0 ? known.map(([k, value]) => h("div", {}, h("dt", {}, say(k)), h("dd", {}, value))) : [h("div", {}, h("dt", {}, say("link_unknown")))]));
  }

  /** When a station last tested, and how far that came. */
  private test(s: Station): string {
    const t = this.desk.tests.get(s.id);
    if (t) return t.painted ? say("test_painted", timeOfDay(t.painted)) : say("test_stored", timeOfDay(t.received));
    const at = s.gauges?.last_test_at_s;
    return at ? say("test_raised", timeOfDay(new Date(at * 1000).toISOString())) : "";
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

/** How a partition stood when the station was last heard; of one that is not heard now, it is not known. */
function partition(s: Station, p: Partition): HTMLElement {
  const state = s.health === "fresh" ? p.state : "unknown";
  const left = p.bypassed?.length ? say("partition_bypassed", p.bypassed.join(", ")) : "";
  return h("span", { class: "part", "data-state": state, title: left }, `${p.name || p.id} · ${sayIf(`partition_${state}`, state)}`, left ? h("small", {}, ` −${p.bypassed!.length}`) : null);
}

function rank(s: Station): number {
  return { offline: 0, stale: 1, never: 3, fresh: 2 }[s.health];
}
