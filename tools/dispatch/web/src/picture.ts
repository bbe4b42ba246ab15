// The right column's upper half: one live picture, never without a purpose. The offer is complete (no trickle), the station
// answers it, and the picture comes straight from the station.

import { api, Problem } from "./api";
import type { Desk } from "./desk";
import { h, put, text, type Child } from "./dom";
import { noteFirstFrame } from "./measure";
import { Offer } from "./offer";
import { pictures } from "./shapes";
import { now, span, timeOfDay } from "./time";
import { say, type Key } from "./words";

export interface Target {
  station: string;
  camera: string;
  label: string;
}

type Phase = "idle" | "connecting" | "live" | "failed";

const purposes: Key[] = ["purpose_verify", "purpose_support", "purpose_check", "purpose_other"];
const connectLimit = 12000;
const stallAfter = 3000;

export class Picture {
  readonly element = h("section", { class: "picture panel" });
  private readonly video = h("video", { muted: true, playsinline: true, autoplay: true, disablepictureinpicture: true });
  private readonly overlay = h("div", { class: "overlay" });
  private readonly strip = h("div", { class: "strip" });
  private readonly controls = h("div", { class: "controls" });
  private readonly head = h("h2");
  private readonly clock = h("span", { class: "live-clock" });
  private readonly other = h("input", { type: "text", maxlength: 60, onkeydown: (e: KeyboardEvent) => e.key === "Enter" && void this.start() });

  private target: Target | null = null;
  private purpose: Key | null = null;
  private phase: Phase = "idle";
  private why = "";
  private ahead: Offer | null = null; // made before it is asked for
  private connection: RTCPeerConnection | null = null;
  private viewing = "";
  private said = "";
  private firstFrame = 0;
  private lastFrame = 0;
  private began = 0;

  constructor(private readonly desk: Desk) {
    this.video.muted = true;
    this.element.append(this.head, h("div", { class: "screen" }, this.video, this.overlay), this.strip, this.controls);
    addEventListener("pagehide", () => this.stop());
    this.draw();
  }

  /** Points at a camera. A picture of another one ends: it was looked at for another purpose. */
  point(target: Target | null, purpose: Key | null): void {
    if (target?.station === this.target?.station && target?.camera === this.target?.camera) {
      const same = target?.label === this.target?.label && this.phase !== "live";
      this.target = target;
      if (!same) this.draw();
      return;
    }
    this.stop();
    this.target = target;
    this.purpose = purpose;
    this.phase = "idle";
    this.prepare();
    this.draw();
  }

  /** Makes an offer ahead, where there is a camera to look at. */
  private prepare(): void {
    if (this.target?.camera && !this.ahead) this.ahead = new Offer();
  }

  private takeOffer(): Offer {
    const made = this.ahead;
    this.ahead = null;
    if (made?.fresh) return made;
    made?.connection.close();
    return new Offer();
  }

  /** Asks for the picture. */
  async start(): Promise<void> {
    if (!this.target || this.phase === "connecting" || this.phase === "live") return;
    this.said = this.purposeInWords();
    if (this.said === "") {
      this.phase = "failed";
      this.why = say("purpose_needed");
      this.draw();
      return;
    }
    const clicked = performance.now();
    const offer = this.takeOffer();
    const pc = (this.connection = offer.connection);
    this.phase = "connecting";
    this.draw();
    try {
      await this.negotiate(pc, await offer.text, this.target, clicked);
    } catch (e) {
      if (this.connection === pc) this.fail(this.explain(e));
    }
  }

  private async negotiate(pc: RTCPeerConnection, offer: string, target: Target, clicked: number): Promise<void> {
    pc.ontrack = (e) => {
      this.video.srcObject = new MediaStream([e.track]);
      void this.video.play().catch(() => undefined);
    };
    pc.onconnectionstatechange = () => {
      if (this.connection === pc && pc.connectionState === "failed") this.fail(say("problem_ice"));
    };
    const answer = await api.view({ station: target.station, camera: target.camera, profile: "main", purpose: this.said, offer });
    if (this.connection !== pc) {
      void api.endView(answer.id).catch(() => undefined);
      return;
    }
    this.viewing = answer.id;
    this.watchFrames(pc, clicked);
    await pc.setRemoteDescription({ type: "answer", sdp: answer.answer });
    setTimeout(() => {
      if (this.connection === pc && this.phase === "connecting") this.fail(say("problem_ice"));
    }, connectLimit);
  }

  private watchFrames(pc: RTCPeerConnection, clicked: number): void {
    const each = (shown: number): void => {
      if (this.connection !== pc) return;
      this.lastFrame = performance.now();
      if (this.phase === "connecting") {
        this.firstFrame = Math.round(shown - clicked);
        noteFirstFrame(this.viewing, this.firstFrame);
        this.phase = "live";
        this.began = now();
        this.draw();
      }
      this.video.requestVideoFrameCallback(each);
    };
    this.video.requestVideoFrameCallback(each);
  }

  /** Ends the picture, here and at the station. */
  stop(): void {
    if (this.viewing) void api.endView(this.viewing).catch(() => undefined);
    this.viewing = "";
    this.connection?.close();
    this.connection = null;
    this.video.srcObject = null;
    this.prepare();
    if (this.phase !== "idle") {
      this.phase = "idle";
      this.draw();
    }
  }

  private fail(why: string): void {
    this.stop();
    this.phase = "failed";
    this.why = why;
    this.draw();
  }

  private explain(e: unknown): string {
    if (!(e instanceof Problem)) return say("problem_other", String(e));
    if (e.kind === "silent") return say("problem_silent");
    if (e.kind === "denied") return say("problem_denied", e.message);
    if (e.kind === "unreachable") return say("unreachable");
    return say("problem_other", e.message);
  }

  private purposeInWords(): string {
    if (this.purpose === null) return "";
    return this.purpose === "purpose_other" ? this.other.value.trim() : say(this.purpose);
  }

  /** Draws all of it but the moving picture. */
  draw(): void {
    const t = this.target;
    this.element.dataset.state = t ? this.phase : "none";
    put(this.head, say("video"), h("span", { class: "aside" }, t?.label ?? ""));
    this.video.hidden = this.phase !== "live";
    put(this.overlay, ...this.overlays(t));
    this.strip.hidden = this.phase !== "live";
    put(this.strip, h("span", { class: "live" }, say("live")), this.clock, h("span", { class: "first" }, say("first_frame", this.firstFrame)));
    put(this.controls, ...(t ? this.deeds(t) : []));
    this.tick();
  }

  private overlays(t: Target | null): Child[] {
    if (!t) return [h("div", { class: "empty" }, pictures.camera(), h("span", {}, say("no_target")))];
    if (t.camera === "") return [h("div", { class: "empty" }, pictures.camera(), h("strong", {}, say("no_camera")), h("span", {}, say("no_camera_note")))];
    switch (this.phase) {
      case "connecting":
        return [h("div", { class: "empty" }, h("span", { class: "spinner" }), h("strong", {}, say("connecting")))];
      case "failed":
        return [h("div", { class: "empty fault", role: "alert" }, pictures.camera(), h("strong", {}, say("video_failed")), h("span", {}, this.why))];
      case "live":
        return [];
      default:
        return [h("div", { class: "empty" }, pictures.camera(), h("span", {}, say("recorded_note")))];
    }
  }

  private deeds(t: Target): Child[] {
    if (t.camera === "") return [];
    if (this.phase === "live" || this.phase === "connecting") {
      const others = this.desk.watching(t.station, t.camera);
      const who = [...new Set(others.map((v) => v.who))].join(", ");
      return [
        h("p", { class: "audit" }, say("audit_note", this.desk.me, this.said), who ? h("span", {}, say("watched_by", who)) : null),
        h("button", { type: "button", class: "quiet", "data-verb": "stop", onclick: () => this.stop() }, say("stop"), h("kbd", {}, "V")),
      ];
    }
    const chip = (p: Key) =>
      h("button", { type: "button", class: "chip", role: "radio", "aria-checked": String(this.purpose === p), "data-purpose": p, onclick: () => this.choose(p) }, say(p));
    this.other.placeholder = say("purpose_text");
    this.other.setAttribute("aria-label", say("purpose_text"));
    return [
      h("div", { class: "purposes", role: "radiogroup", "aria-label": say("purpose") }, h("span", { class: "label" }, say("purpose")), ...purposes.map(chip), this.purpose === "purpose_other" ? this.other : null),
      h("button", { type: "button", class: "primary", "data-verb": "view", onclick: () => void this.start() }, say(this.phase === "failed" ? "retry" : "view"), h("kbd", {}, "V")),
    ];
  }

  private choose(p: Key): void {
    this.purpose = p;
    if (this.phase === "failed") this.phase = "idle";
    this.draw();
    if (p === "purpose_other") this.other.focus();
    else this.element.querySelector<HTMLElement>(`[data-purpose=${p}]`)?.focus();
  }

  /** Starts the picture, or ends it. */
  toggle(): void {
    if (this.phase === "live" || this.phase === "connecting") this.stop();
    else void this.start();
  }

  /** Lets the clock go on, and tells when the picture has stopped. */
  tick(): void {
    if (this.phase !== "live") return;
    const stalled = performance.now() - this.lastFrame > stallAfter;
    this.element.classList.toggle("stalled", stalled);
    text(this.clock, stalled ? say("stalled") : `${timeOfDay(new Date(now()).toISOString())} · ${span(now() - this.began)}`);
  }
}
