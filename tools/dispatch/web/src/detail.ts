// The middle column: everything that is known of the selected alarm, what was done about it, and what can be done.

import type { Action, Alarm } from "./api";
import type { Desk } from "./desk";
import { h, put, type Child } from "./dom";
import { county, details, ofCentre, place, title, urgency, where } from "./kinds";
import { healthShape, pictures, priorityShape } from "./shapes";
import { delay, timeOfDay } from "./time";
import { say, sayIf, type Key } from "./words";

export class Detail {
  readonly element = h("section", { class: "detail panel", "aria-live": "polite" });
  private shown = "";

  constructor(
    private readonly desk: Desk,
    private readonly act: (verb: Action["verb"]) => void,
  ) {}

  /** Draws the alarm in hand, or says that there is none. */
  draw(): void {
    const a = this.desk.inHand();
    this.element.dataset.alarmId = a?.id ?? "";
    this.element.dataset.state = a?.state ?? "";
    if (!a) {
      this.shown = "";
      this.nothing();
      return;
    }
    const top = this.shown === a.id ? (this.element.querySelector(".scroll")?.scrollTop ?? 0) : 0;
    this.shown = a.id;
    const focused = this.element.querySelector("footer")?.contains(document.activeElement) ?? false;
    put(this.element, this.head(a), h("div", { class: "scroll" }, this.hint(a), this.behind(a), this.facts(a), this.course(a)), this.buttons(a));
    this.element.querySelector(".scroll")!.scrollTop = top;
    if (focused) this.element.querySelector<HTMLElement>("footer button")?.focus();
  }

  private nothing(): void {
    const box = (picture: SVGElement, cls: string, what: string, why: string) =>
      put(this.element, h("div", { class: `empty large ${cls}` }, picture, h("strong", {}, what), h("span", {}, why)));
    const unheard = this.desk.unheard();
    if (this.desk.open().length > 0) box(pictures.bell(), "", say("nothing_selected"), say("nothing_selected_note"));
    else if (this.desk.calm()) box(pictures.calm(), "", say("all_calm"), say("all_calm_note"));
    else if (unheard && unheard.silent > 0) box(pictures.unknown(), "unknown", say("unheard"), say("unheard_note", unheard.silent, unheard.all));
    else box(pictures.bell(), "", say("queue_empty"), say("queue_empty_note"));
  }

  private head(a: Alarm): HTMLElement {
    return h(
      "header",
      { class: "alarm-head", "data-priority": a.priority },
      h("div", { class: "rank-line" }, priorityShape(a.priority), h("span", {}, urgency(a)), a.restored ? h("span", { class: "badge calm" }, say("restored")) : null),
      h("h1", {}, title(a)),
      h("p", {}, h("b", {}, place(a)), h("span", { class: "dot" }, "·"), where(a), h("span", { class: "dot" }, "·"), a.jurisdiction ? county(a.jurisdiction) : say("told_by_centre")),
    );
  }

  /** What to make of an alarm of the centre's own. */
  private hint(a: Alarm): HTMLElement | null {
    if (a.restored) return null;
    const key = a.kind === "test.failed" ? `hint_${a.stage ?? ""}` : a.kind === "station.silent" && a.words.reason ? `hint_${a.words.reason}` : `hint_${a.kind.replace(".", "_")}`;
    const what = sayIf(key, "");
    return what ? h("p", { class: "hint" }, what) : null;
  }

  /** The villages behind a dead carrier, those that are still missing first. */
  private behind(a: Alarm): HTMLElement | null {
    if (!a.behind) return null;
    const list = [...a.behind].sort((x, y) => Number(y.missing) - Number(x.missing));
    const village = (v: (typeof list)[number]) => h("li", { "data-missing": String(v.missing) }, healthShape(v.missing ? "offline" : "fresh"), v.village || v.id);
    return h("div", {}, h("h2", { class: "sub" }, say("villages"), h("span", { class: "tally" }, `${a.missing ?? 0}/${list.length}`)), h("ul", { class: "villages" }, ...list.map(village)));
  }

  private facts(a: Alarm): HTMLElement {
    const own = ofCentre(a);
    const said = details(a);
    const zone = a.zone ? (a.zone_name ? `${a.zone_name} (${a.zone})` : a.zone) : "";
    const code = [a.words.format?.toUpperCase(), a.words.code].filter(Boolean).join(" ");
    const rows: [Key, Child, string?][] = [
      ["fact_zone", zone],
      ["fact_code", code],
      ["fact_account", [a.words.account, a.words.area].filter(Boolean).join(" / ")],
      ["fact_text", a.words.text ?? (said.length > 0 || own ? "" : (a.words.detail ?? sayIf(`cause_${(a.words.reason ?? "").replaceAll("-", "_")}`, a.words.reason ?? "")))],
      ["fact_partition", a.words.partition ?? ""],
      ["fact_camera", a.camera ? (a.camera_name ? `${a.camera_name} (${a.camera})` : a.camera) : ""],
      ["fact_at", own ? "" : timeOfDay(a.at), sayIf(`clock_${a.clock}`, a.clock)],
      ["fact_received", timeOfDay(a.received)],
      ["fact_delay", own ? "" : delay(a.at, a.received)],
      ["fact_source", own ? say("told_by_centre") : a.source],
      ["fact_station", own ? (a.about ?? "") : a.station],
      ["fact_event", h("code", {}, `${a.epoch}/${a.seq}`)],
    ];
    const list = h("dl");
    for (const [key, value, small] of rows) {
      if (value === "") continue;
      const wide = typeof value === "string" && value.length > 48;
      list.append(h("div", wide ? { class: "wide" } : {}, h("dt", {}, say(key)), h("dd", {}, value, small ? h("small", {}, small) : null)));
    }
    for (const w of said) {
      const before = w.key === "alarm" ? this.desk.alarms.get(w.value) : undefined;
      list.append(h("div", {}, h("dt", {}, w.what), h("dd", {}, before ? title(before) : w.key === "alarm" ? h("code", {}, w.value) : w.value)));
    }
    return h("div", { class: "facts" }, h("h2", { class: "sub" }, say("facts")), list);
  }

  private course(a: Alarm): HTMLElement {
    const own = ofCentre(a);
    const steps: { at: string; what: string; who: string; cls: string }[] = [
      ...(own ? [] : [{ at: a.at, what: say("step_at"), who: a.village, cls: "cause" }]),
      { at: a.received, what: say(own ? "step_noticed" : "step_received"), who: "", cls: "centre" },
      ...a.actions.map((x) => ({ at: x.at, what: say(`step_${x.verb}` as Key), who: x.who, cls: x.verb })),
    ];
    if (a.restored) {
      const after = steps.findIndex((s, i) => i > 1 && s.at > a.restored!);
      steps.splice(after < 0 ? steps.length : after, 0, { at: a.restored, what: say(own ? "step_over" : "step_restored"), who: a.village, cls: "restored" });
    }
    const list = h("ol", { class: "course" });
    for (const s of steps) list.append(h("li", { class: s.cls }, h("time", {}, timeOfDay(s.at)), h("span", {}, s.what), s.who ? h("b", {}, s.who) : null));
    return h("div", {}, h("h2", { class: "sub" }, say("course")), list);
  }

  private buttons(a: Alarm): HTMLElement {
    const mine = a.owner === this.desk.me;
    if (a.state === "acknowledged") {
      return h("footer", { class: "deeds" }, h("p", { class: "settled" }, pictures.check(), say("acknowledged_by", a.closed_by ?? ""), h("time", {}, timeOfDay(a.closed ?? ""))));
    }
    if (a.owner && !mine) {
      return h("footer", { class: "deeds" }, h("p", { class: "elsewhere" }, say("claimed_elsewhere", a.owner, timeOfDay(a.claimed ?? ""))));
    }
    const button = (verb: Action["verb"], key: string, cls: string) =>
      h("button", { type: "button", class: cls, "data-verb": verb, onclick: () => this.act(verb) }, say(verb), h("kbd", {}, key));
    return h(
      "footer",
      { class: "deeds" },
      mine ? button("release", "R", "quiet") : button("claim", "Enter", "primary"),
      button("acknowledge", "A", mine ? "primary" : ""),
    );
  }
}
