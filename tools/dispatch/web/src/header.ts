// The line on top: whose centre this is, and the three figures that matter.

import type { Desk } from "./desk";
import { h, put, text } from "./dom";
import { pictures } from "./shapes";
import { now, span, timeOfDay } from "./time";
import { say } from "./words";

export interface Deeds {
  language(): void;
  sound(): boolean;
  logout(): void;
}

export class Header {
  readonly element = h("header", { class: "top" });
  readonly banner = h("div", { class: "banner", role: "status", hidden: true });
  private readonly open = h("b", { "data-figure": "open" });
  private readonly oldest = h("b", { "data-figure": "oldest" });
  private readonly online = h("b", { "data-figure": "online" });
  private sounding = false;

  constructor(
    private readonly desk: Desk,
    private readonly deeds: Deeds,
  ) {}

  /** Says everything again, in the present language. */
  words(): void {
    const figure = (value: HTMLElement, label: string, cls: string) => h("div", { class: `figure ${cls}` }, value, h("span", {}, label));
    put(
      this.element,
      h("div", { class: "brand" }, pictures.tower(), h("div", {}, h("b", {}, this.desk.centre || say("product")), h("span", {}, `${say("product")} · ${say("console")}`))),
      h("div", { class: "figures" }, figure(this.open, say("open_alarms"), "open"), figure(this.oldest, say("oldest"), "oldest"), figure(this.online, say("stations_online"), "online")),
      h(
        "div",
        { class: "duty" },
        h("span", { class: "me" }, this.desk.me),
        this.soundButton(),
        h("button", { type: "button", class: "quiet", "data-verb": "language", lang: "mul", onclick: () => this.deeds.language() }, say("other_language")),
        h("button", { type: "button", class: "quiet", "data-verb": "logout", onclick: () => this.deeds.logout() }, say("sign_out")),
      ),
    );
    this.figures();
  }

  private soundButton(): HTMLElement {
    return h(
      "button",
      {
        type: "button",
        class: "quiet",
        "data-verb": "sound",
        "aria-pressed": String(this.sounding),
        onclick: () => {
          this.sounding = this.deeds.sound();
          this.words();
        },
      },
      pictures.bell(),
      say(this.sounding ? "sound_on" : "sound_off"),
    );
  }

  /** Counts again. */
  figures(): void {
    const open = this.desk.open();
    const oldest = open.reduce((t, a) => Math.min(t, Date.parse(a.received)), Infinity);
    text(this.open, String(open.length));
    text(this.oldest, oldest === Infinity ? "–" : span(now() - oldest));
    this.element.classList.toggle("calm", open.length === 0);
    const stations = this.desk.roster?.stations ?? [];
    const online = stations.filter((s) => s.health === "fresh").length;
    text(this.online, `${online}/${stations.length}`);
    this.element.classList.toggle("missing", online < stations.length);
    this.tellLink();
  }

  private tellLink(): void {
    const lost = this.desk.linkLostAt;
    const broker = this.desk.roster !== null && !this.desk.roster.broker.connected;
    this.banner.hidden = lost === null && !broker;
    if (lost !== null) text(this.banner, say("link_lost", timeOfDay(new Date(lost).toISOString())));
    else if (broker) text(this.banner, say("broker_lost"));
  }
}
