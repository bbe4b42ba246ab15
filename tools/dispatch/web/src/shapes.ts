// What a colour says, a shape says too: priorities and the health of stations.

import { icon } from "./dom";
import type { Alarm, Station } from "./api";

const octagon = "M5.2 1h5.6L15 5.2v5.6L10.8 15H5.2L1 10.8V5.2z";
const triangle = "M8 1.5 15.2 14H.8z";
const square = "M2.5 2.5h11v11h-11z";

/** P1 a filled octagon, P2 a filled triangle, P3 a hollow square. */
export function priorityShape(priority: number): SVGElement {
  const cls = `shape p${priority}`;
  if (priority === 1) return icon(octagon, true, cls);
  if (priority === 2) return icon(triangle, true, cls);
  return icon(square, false, cls);
}

const disc = "M8 2.5a5.5 5.5 0 1 1 0 11 5.5 5.5 0 0 1 0-11z";
const clock = disc + "M8 5v3.2l2 1.6";
const cross = disc + "M5.8 5.8l4.4 4.4M10.2 5.8l-4.4 4.4";
const dash = disc + "M5.5 8h5";

/** Fresh a filled disc, silent a clock, offline a struck ring, never heard a ring with a dash. */
export function healthShape(health: Station["health"]): SVGElement {
  const cls = `shape ${health}`;
  switch (health) {
    case "fresh":
      return icon(disc, true, cls);
    case "stale":
      return icon(clock, false, cls);
    case "offline":
      return icon(cross, false, cls);
    default:
      return icon(dash, false, cls);
  }
}

const tower = "M3.2 5.8 8 1.8l4.8 4zM5 5.8v3.4h6V5.8M3.9 9.2h8.2M5.6 9.2 4.2 14.4M10.4 9.2l1.4 5.2M4.9 11.8h6.2M8 5.8v3.4";
const bell = "M8 2a4 4 0 0 1 4 4c0 3 1 4.2 1.5 5h-11C3 10.2 4 9 4 6a4 4 0 0 1 4-4zM6.6 13.2a1.5 1.5 0 0 0 2.8 0";
const camera = "M1.5 4.5h8v7h-8zM9.5 7.2l5-2.2v6l-5-2.2";
const check = "M2.5 8.5 6.5 12.5 13.5 4";
const unknown = "M8 1.5 14 4v4c0 3.4-2.5 5.8-6 6.8C4.5 13.8 2 11.4 2 8V4zM6.3 6.2a1.7 1.7 0 1 1 2.5 1.5c-.6.3-.8.6-.8 1.2M8 11v.1";
const calm = "M8 1.5 14 4v4c0 3.4-2.5 5.8-6 6.8C4.5 13.8 2 11.4 2 8V4zM5.2 8l2 2 3.6-4";

/** The pictures of the page that are not states. */
export const pictures = {
  tower: () => icon(tower, false, "mark"),
  bell: () => icon(bell, false, "glyph"),
  camera: () => icon(camera, false, "glyph"),
  check: () => icon(check, false, "glyph"),
  calm: () => icon(calm, false, "calm"),
  unknown: () => icon(unknown, false, "calm"),
};

/** Orders the queue: the most urgent first, among equals the one that has waited longest. */
export function moreUrgent(a: Alarm, b: Alarm): boolean {
  return a.priority !== b.priority ? a.priority < b.priority : a.row < b.row;
}
