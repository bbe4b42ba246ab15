// The page: whoever has a session gets the desk, everybody else the door.

import { api, Problem, type Action, type Alarm, type Alarms, type Camera, type Roster as RosterWord, type Station, type Test } from "./api";
import { Desk } from "./desk";
import { Detail } from "./detail";
import { h, put } from "./dom";
import { Feed } from "./feed";
import { Header } from "./header";
import { login } from "./login";
import { notePainted } from "./measure";
import { Picture } from "./picture";
import { Queue } from "./queue";
import { Roster } from "./roster";
import { Sound } from "./sound";
import { now, setNow } from "./time";
import { current, say, switchLanguage } from "./words";

const noticeFor = 5000;

class Page {
  private readonly desk = new Desk();
  private readonly sound = new Sound();
  private readonly header: Header;
  private readonly queue: Queue;
  private readonly detail: Detail;
  private readonly picture: Picture;
  private readonly roster: Roster;
  private readonly notice = h("div", { class: "notice", role: "status", hidden: true });
  private readonly keys = h("footer", { class: "keys" });
  private readonly ended = new AbortController();
  private feed: Feed | null = null;
  private looking = false; // at a camera of the list of stations instead of the alarm's
  private readonly changed = new Set<string>(); // alarms that the figures and the detail do not know of yet
  private rosterAt = 0;
  private seconds = 0;
  private noticeTimer = 0;
  private readonly ticker: number;

  constructor(
    private readonly root: HTMLElement,
    me: string,
    centre: string,
    private readonly leave: () => void,
  ) {
    this.desk.me = me;
    this.desk.centre = centre;
    this.header = new Header(this.desk, { language: () => this.language(), sound: () => this.sound.toggle(), logout: () => void this.logout() });
    this.queue = new Queue(this.desk, (id) => this.select(id));
    this.detail = new Detail(this.desk, (verb) => void this.act(verb));
    this.picture = new Picture(this.desk);
    this.roster = new Roster(this.desk, (s, c) => this.look(s, c));
    put(
      root,
      h("div", { class: "desk" }, this.header.element, this.header.banner, h("main", {}, this.queue.element, this.detail.element, h("div", { class: "right" }, this.picture.element, this.roster.element)), this.keys, this.notice),
    );
    addEventListener("keydown", (e) => this.key(e), { signal: this.ended.signal });
    this.ticker = window.setInterval(() => this.tick(), 1000);
    this.words();
  }

  /** Reads how things stand, then follows what happens. */
  async begin(): Promise<void> {
    const [alarms, roster] = await Promise.all([api.alarms(), api.roster()]);
    this.take(alarms);
    this.rosterWord(roster);
    this.feed = new Feed(alarms.cursor, {
      alarm: (a) => this.alarm(a),
      test: (t) => this.test(t),
      roster: (r) => this.rosterWord(r),
      link: (up) => this.link(up),
      reset: () => this.end(), // and begin anew: who still has a session needs no password
      loggedOut: () => this.end(),
    });
  }

  private take(alarms: Alarms): void {
    setNow(alarms.now);
    for (const a of [...alarms.open, ...alarms.recent]) {
      this.desk.alarms.set(a.id, a);
      this.queue.show(a);
      if (a.state !== "acknowledged") notePainted(a.id);
    }
    for (const t of alarms.tests) this.queue.tests.show(t);
    this.queue.setTotal(alarms.open_total);
    this.header.figures();
    this.selectTopIfIdle();
    this.detail.draw();
  }

  private alarm(a: Alarm): void {
    this.desk.alarms.set(a.id, a);
    if (this.queue.show(a) && a.state === "open") {
      notePainted(a.id);
      this.sound.beep(a.priority);
    }
    this.changed.add(a.id);
    if (this.changed.size === 1) queueMicrotask(() => this.settle());
  }

  /** Draws what follows from the alarms that have changed: once for all that came together. */
  private settle(): void {
    const changed = new Set(this.changed);
    this.changed.clear();
    this.queue.counts();
    this.header.figures();
    document.title = this.tabTitle();
    if (this.desk.selected !== null && changed.has(this.desk.selected)) this.detail.draw();
    else this.selectTopIfIdle();
    if (this.desk.selected === null) this.detail.draw();
  }

  private test(t: Test): void {
    this.queue.tests.show(t);
  }

  private tabTitle(): string {
    const n = this.desk.open().length;
    return (n > 0 ? `(${n}) ` : "") + (this.desk.centre || say("product"));
  }

  private rosterWord(r: RosterWord): void {
    setNow(r.now);
    this.desk.roster = r;
    this.rosterAt = performance.now();
    this.roster.draw(this.rosterAt);
    this.header.figures();
    if (this.desk.inHand()) this.pointAtAlarm();
    else this.detail.draw();
  }

  private link(up: boolean): void {
    this.desk.linkLostAt = up ? null : (this.desk.linkLostAt ?? now());
    this.header.figures();
    if (!this.desk.inHand()) this.detail.draw();
  }

  /** The top card selects itself only if nothing is in hand. */
  private selectTopIfIdle(): void {
    if (this.desk.selected === null && this.desk.open().length === 1) this.select(this.desk.queue()[0]!.id);
  }

  private select(id: string): void {
    this.looking = false;
    this.desk.selected = id;
    this.queue.select(id);
    this.detail.draw();
    this.pointAtAlarm();
  }

  private pointAtAlarm(): void {
    const a = this.desk.inHand();
    if (!a || this.looking) return;
    if (a.behind) return this.picture.point(null, null); // many villages: the list of stations has their cameras
    const station = a.about || a.station;
    const camera = a.camera || this.desk.station(station)?.cameras[0]?.id || "";
    this.picture.point({ station, camera, label: [a.village, a.camera_name || camera].filter(Boolean).join(" · ") }, "purpose_verify");
  }

  /** Shows a camera of the list of stations instead of the alarm's. */
  private look(s: Station, c: Camera): void {
    this.looking = true;
    this.picture.point({ station: s.id, camera: c.id, label: `${s.name} · ${c.name || c.id}` }, null);
  }

  private async act(verb: Action["verb"]): Promise<void> {
    const a = this.desk.inHand();
    if (!a || a.state === "acknowledged") return;
    try {
      this.alarm(await api.act(verb, a));
    } catch (e) {
      if (e instanceof Problem && e.kind === "login") return this.end();
      if (e instanceof Problem && e.owner) this.tell(say("lost_race", e.owner));
      else this.tell(say("action_failed", e instanceof Problem && e.kind === "unreachable" ? say("unreachable") : String((e as Error).message)));
    }
  }

  private tell(what: string): void {
    put(this.notice, what);
    this.notice.hidden = false;
    clearTimeout(this.noticeTimer);
    this.noticeTimer = window.setTimeout(() => (this.notice.hidden = true), noticeFor);
  }

  private key(e: KeyboardEvent): void {
    const focus = document.activeElement;
    if (e.ctrlKey || e.metaKey || e.altKey || focus instanceof HTMLInputElement) return;
    if (e.key === "Enter" && focus instanceof HTMLButtonElement) return;
    switch (e.key.toLowerCase()) {
      case "j":
      case "arrowdown":
        return this.step(1);
      case "k":
      case "arrowup":
        return this.step(-1);
      case "enter":
        return void this.act("claim");
      case "a":
        return void this.act("acknowledge");
      case "r":
        return void this.act("release");
      case "v":
        return this.picture.toggle();
    }
  }

  private step(by: number): void {
    const queue = this.desk.queue();
    if (queue.length === 0) return;
    const at = queue.findIndex((a) => a.id === this.desk.selected);
    const next = at < 0 ? (by > 0 ? 0 : queue.length - 1) : Math.min(queue.length - 1, Math.max(0, at + by));
    this.select(queue[next]!.id);
  }

  private tick(): void {
    this.queue.tick();
    if (++this.seconds % 60 === 0) this.queue.tests.draw();
    this.picture.tick();
    this.header.figures();
    if (this.desk.roster) this.roster.draw(this.rosterAt);
  }

  private language(): void {
    switchLanguage();
    this.words();
  }

  private words(): void {
    document.documentElement.lang = current();
    document.title = this.tabTitle();
    this.header.words();
    this.queue.words();
    this.detail.draw();
    this.picture.draw();
    this.roster.draw(this.rosterAt);
    const hint = (key: string, what: string) => h("span", {}, h("kbd", {}, key), what);
    put(this.keys, hint("J K", say("help_next")), hint("Enter", say("help_claim")), hint("A", say("help_ack")), hint("V", say("help_video")), hint("R", say("help_release")));
  }

  private async logout(): Promise<void> {
    await api.logout().catch(() => undefined);
    this.end();
  }

  private end(): void {
    this.feed?.close();
    this.picture.stop();
    this.ended.abort();
    clearInterval(this.ticker);
    this.leave();
  }
}

async function start(root: HTMLElement): Promise<void> {
  const enter = () => void start(root);
  try {
    const me = await api.me();
    const page = new Page(root, me.name, me.centre, enter);
    await page.begin();
  } catch (e) {
    if (!(e instanceof Problem) || e.kind !== "login") console.error(e);
    document.documentElement.lang = current();
    login(root, enter);
  }
}

void start(document.getElementById("root")!);
