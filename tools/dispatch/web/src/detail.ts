// The middle column: everything that is known of the selected alarm, what was done about it, and what can be done.

import type { Action, Alarm } from "./api";
import type { Desk } from "./desk";
import { h, put, type Child } from "./dom";
import { county, title, where } from "./kinds";
import { pictures, priorityShape } from "./shapes";
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
    put(this.element, this.head(a), h("div", { class: "scroll" }, this.facts(a), this.course(a)), this.buttons(a));
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
      h("div", { class: "rank-line" }, priorityShape(a.priority), h("span", {}, say(`priority_${a.priority}` as Key)), a.restored ? h("span", { class: "badge calm" }, say("restored")) : null),
      h("h1", {}, title(a)),
      h("p", {}, h("b", {}, a.village || a.station), h("span", { class: "dot" }, "·"), where(a), h("span", { class: "dot" }, "·"), county(a.jurisdiction)),
    );
  }

  private facts(a: Alarm): HTMLElement {
    const zone = a.zone ? (a.zone_name ? `${a.zone_name} (${a.zone})` : a.zone) : "";
    const code = [a.words.format?.toUpperCase(), a.words.code].filter(Boolean).join(" ");
    const rows: [Key, Child, string?][] = [
      ["fact_zone", zone],
      ["fact_code", code],
      ["fact_account", [a.words.account, a.words.area].filter(Boolean).join(" / ")],
      ["fact_text", a.words.text ?? a.words.detail ?? a.words.reason ?? ""],
      ["fact_camera", a.camera ? (a.camera_name ? `${a.camera_name} (${a.camera})` : a.camera) : ""],
      ["fact_at", `${timeOfDay(a.at)}`, sayIf(`clock_${a.clock}`, a.clock)],
      ["fact_received", timeOfDay(a.received)],
      ["fact_delay", delay(a.at, a.received)],
      ["fact_source", a.source],
      ["fact_station", a.station],
      ["fact_event", h("code", {}, `${a.epoch}/${a.seq}`)],
    ];
    const list = h("dl");
    for (const [key, value, small] of rows) {
      if (value === "") continue;
      list.append(h("div", {}, h("dt", {}, say(key)), h("dd", {}, value, small ? h("small", {}, small) : null)));
    }
    return h("div", { class: "facts" }, h("h2", { class: "sub" }, say("facts")), list);
  }

  private course(a: Alarm): HTMLElement {
    const steps: { at: string; what: string; who: string; cls: string }[] = [
      { at: a.at, what: say("step_at"), who: a.village, cls: "cause" },
      { at: a.received, what: say("step_received"), who: "", cls: "centre" },
      ...a.actions.map((x) => ({ at: x.at, what: say(`step_${x.verb}` as Key), who: x.who, cls: x.verb })),
    ];
    if (a.restored) {
      const after = steps.findIndex((s, i) => i > 1 && s.at > a.restored!);
      steps.splice(after < 0 ? steps.length : after, 0, { at: a.restored, what: say("step_restored"), who: a.village, cls: "restored" });
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
