// The left column: one card per open alarm, the most urgent on top, and below them what was acknowledged lately. Cards are
// kept and changed in place, so that a burst costs one insertion each.

import type { Alarm } from "./api";
import type { Desk } from "./desk";
import { h, put, text } from "./dom";
import { county, place, title, where } from "./kinds";
import { moreUrgent, pictures, priorityShape } from "./shapes";
import { Tests } from "./tests";
import { now, span, timeOfDay } from "./time";
import { say } from "./words";

const recentShown = 50;

interface Card {
  alarm: Alarm;
  row: HTMLElement;
  age: HTMLElement;
}

/** A list of cards in an order of its own, kept beside the document so that placing one asks nothing of the rest. */
class Stack {
  readonly cards: Card[] = [];

  constructor(
    readonly list: HTMLElement,
    private readonly before: (a: Alarm, b: Alarm) => boolean,
  ) {}

  /** Puts a card where it belongs. */
  place(c: Card): void {
    this.remove(c);
    let low = 0;
    let high = this.cards.length;
    while (low < high) {
      const middle = (low + high) >> 1;
      if (this.before(this.cards[middle]!.alarm, c.alarm)) low = middle + 1;
      else high = middle;
    }
    const next = this.cards[low]?.row ?? null;
    this.cards.splice(low, 0, c);
    if (c.row.parentNode !== this.list || c.row.nextSibling !== next) this.list.insertBefore(c.row, next);
  }

  /** Forgets a card; its row stays in the document. */
  remove(c: Card): void {
    const at = this.cards.indexOf(c);
    if (at >= 0) this.cards.splice(at, 1);
  }
}

export class Queue {
  readonly element: HTMLElement;
  private readonly open = h("ul", { class: "cards", role: "listbox", id: "open-alarms", tabindex: 0 });
  private readonly recent = h("ul", { class: "cards recent", role: "listbox" });
  private readonly empty = h("div", { class: "empty" });
  private readonly openHead = h("h2");
  private readonly recentHead = h("h2");
  private readonly note = h("p", { class: "note" });
  private readonly cards = new Map<string, Card>();
  private readonly waiting = new Stack(this.open, moreUrgent);
  private readonly settled = new Stack(this.recent, (a, b) => (a.closed ?? "") > (b.closed ?? ""));
  private total = 0;
  readonly tests: Tests;

  constructor(
    private readonly desk: Desk,
    private readonly choose: (id: string) => void,
  ) {
    this.tests = new Tests(desk);
    this.element = h("section", { class: "queue panel", "aria-live": "off" }, this.openHead, h("div", { class: "scroll" }, this.empty, this.open, this.note, this.recentHead, this.recent), this.tests.element);
    this.words();
  }

  /** Says everything again, in the present language. */
  words(): void {
    put(this.openHead, say("queue"), h("span", { class: "tally" }));
    put(this.recentHead, say("recent"));
    this.recentHead.className = "sub";
    put(this.empty, h("strong", {}, say("queue_empty")), h("span", {}, say("queue_empty_note")));
    this.open.setAttribute("aria-label", say("queue"));
    this.recent.setAttribute("aria-label", say("recent"));
    for (const c of this.cards.values()) this.fill(c);
    this.tests.draw();
    this.counts();
  }

  /** Puts an alarm where it belongs; true if its card is a new one. */
  show(a: Alarm): boolean {
    let card = this.cards.get(a.id);
    const fresh = card === undefined;
    if (card === undefined) {
      const row = h("li", { class: "card", role: "option", id: `alarm-${a.row}`, "data-alarm-id": a.id, onclick: () => this.choose(a.id) });
      card = { alarm: a, row, age: h("span", { class: "age" }) };
      this.cards.set(a.id, card);
    }
    card.alarm = a;
    this.fill(card);
    const done = a.state === "acknowledged";
    (done ? this.waiting : this.settled).remove(card);
    (done ? this.settled : this.waiting).place(card);
    while (this.settled.cards.length > recentShown) this.drop(this.settled.cards.pop()!);
    return fresh;
  }

  private drop(c: Card): void {
    c.row.remove();
    this.cards.delete(c.alarm.id);
    if (this.desk.selected !== c.alarm.id) this.desk.alarms.delete(c.alarm.id);
  }

  private fill(c: Card): void {
    const a = c.alarm;
    c.row.dataset.state = a.state;
    c.row.dataset.priority = String(a.priority);
    c.row.classList.toggle("mine", a.state === "claimed" && a.owner === this.desk.me);
    c.row.setAttribute("aria-selected", String(this.desk.selected === a.id));
    put(
      c.row,
      h("span", { class: "rank" }, priorityShape(a.priority), h("span", {}, `P${a.priority}`)),
      h("span", { class: "what" }, title(a)),
      c.age,
      h("span", { class: "place" }, h("b", {}, place(a)), " · ", where(a)),
      h("span", { class: "foot" }, h("span", { class: "county" }, a.jurisdiction ? county(a.jurisdiction) : say("told_by_centre")), this.badge(a)),
    );
    this.tickCard(c);
  }

  private badge(a: Alarm): HTMLElement {
    if (a.state === "acknowledged") return h("span", { class: "badge done" }, say("acknowledged_by", a.closed_by ?? ""));
    const owner = a.owner === this.desk.me ? say("claimed_by_you") : (a.owner ?? "");
    const badge = a.owner ? h("span", { class: "badge taken" }, say("claimed_by", owner)) : h("span", { class: "badge free" }, say("unclaimed"));
    if (!a.restored) return badge;
    return h("span", { class: "badges" }, h("span", { class: "badge calm" }, say("restored")), badge);
  }

  private tickCard(c: Card): void {
    const done = c.alarm.state === "acknowledged";
    text(c.age, done ? timeOfDay(c.alarm.closed ?? "") : span(now() - Date.parse(c.alarm.received)));
  }

  /** Lets the ages go on. */
  tick(): void {
    for (const c of this.cards.values()) if (c.alarm.state !== "acknowledged") this.tickCard(c);
  }

  /** Marks the selected card and brings it into sight. */
  select(id: string | null): void {
    for (const [key, c] of this.cards) c.row.setAttribute("aria-selected", String(key === id));
    const row = id ? this.cards.get(id)?.row : undefined;
    this.open.setAttribute("aria-activedescendant", row?.id ?? "");
    row?.scrollIntoView({ block: "nearest" });
  }

  /** Tells how many are open in all, which may be more than are shown. */
  setTotal(total: number): void {
    this.total = total;
    this.counts();
  }

  /** Counts what is shown. */
  counts(): void {
    const n = this.waiting.cards.length;
    text(this.openHead.querySelector(".tally")!, n > 0 ? String(Math.max(n, this.total)) : "");
    this.empty.hidden = n > 0;
    this.note.hidden = this.total <= n;
    text(this.note, say("queue_cut", n, this.total));
    this.recentHead.hidden = this.settled.cards.length === 0;
  }
}
