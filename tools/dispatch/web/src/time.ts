// Ages are counted on the centre's clock: a control-room machine may have any time.

import { say } from "./words";

let offset = 0;

/** Takes over the centre's time. */
export function setNow(centre: string): void {
  offset = Date.parse(centre) - Date.now();
}

/** The centre's present, in milliseconds. */
export function now(): number {
  return Date.now() + offset;
}

const two = (n: number): string => String(n).padStart(2, "0");

/** A span as mm:ss, h:mm:ss from an hour on. */
export function span(ms: number): string {
  const s = Math.max(0, Math.floor(ms / 1000));
  const h = Math.floor(s / 3600);
  const rest = `${two(Math.floor(s / 60) % 60)}:${two(s % 60)}`;
  return h > 0 ? `${h}:${rest}` : rest;
}

/** How long ago something was, as one figure with its unit. */
export function ago(seconds: number): string {
  if (seconds < 100) return say("ago_seconds", Math.floor(seconds));
  if (seconds < 6000) return say("ago_minutes", Math.floor(seconds / 60));
  if (seconds < 48 * 3600) return say("ago_hours", Math.floor(seconds / 3600));
  return say("ago_days", Math.floor(seconds / 86400));
}

/** A span as one figure with its unit. */
export function roughly(seconds: number): string {
  if (seconds < 100) return say("span_seconds", Math.floor(seconds));
  if (seconds < 6000) return say("span_minutes", Math.floor(seconds / 60));
  if (seconds < 48 * 3600) return say("span_hours", Math.floor(seconds / 3600));
  return say("span_days", Math.floor(seconds / 86400));
}

/** The time of day of an RFC 3339 time, with the date where it is not today's. */
export function timeOfDay(at: string): string {
  const d = new Date(at);
  const clock = `${two(d.getHours())}:${two(d.getMinutes())}:${two(d.getSeconds())}`;
  if (d.toDateString() === new Date(now()).toDateString()) return clock;
  return `${d.getFullYear()}-${two(d.getMonth() + 1)}-${two(d.getDate())} ${clock}`;
}

/** How long something was under way, in the unit that fits. */
export function delay(from: string, to: string): string {
  const ms = Date.parse(to) - Date.parse(from);
  if (Math.abs(ms) < 1000) return `${Math.round(ms)} ms`;
  return `${(ms / 1000).toFixed(1)} s`;
}
