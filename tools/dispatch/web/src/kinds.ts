// What an alarm is called. Panels speak SIA codes (DC-03) or Contact ID codes (DC-05); lines have states.

import type { Alarm } from "./api";
import { roughly, timeOfDay } from "./time";
import { say, sayIf, type Key } from "./words";

const siaCodes: Record<string, Key> = {
  BA: "code_burglary", FA: "code_fire", PA: "code_panic", HA: "code_holdup", MA: "code_medical", QA: "code_emergency",
  GA: "code_gas", WA: "code_flood", KA: "code_fire", TA: "code_tamper", PH: "code_panic", BV: "code_burglary", RP: "code_test",
};

const contactIDCodes: [RegExp, Key][] = [
  [/^10\d$/, "code_medical"],
  [/^11\d$/, "code_fire"],
  [/^121$/, "code_duress"],
  [/^122$/, "code_holdup"],
  [/^12\d$/, "code_panic"],
  [/^131$/, "code_perimeter"],
  [/^137$/, "code_tamper"],
  [/^13\d$/, "code_burglary"],
  [/^14[45]$/, "code_tamper"],
  [/^151$/, "code_gas"],
  [/^154$/, "code_flood"],
];

/** The alarm's name in a few words. */
export function title(a: Alarm): string {
  switch (a.kind) {
    case "zone.changed":
      if (a.words.state === "active" && a.words.code) return codeTitle(a.words.code);
      return sayIf(`zone_${a.words.state ?? ""}`, say("zone_other", a.words.state ?? ""));
    case "alarm.raised":
      return a.words.code ? codeTitle(a.words.code) : sayIf(`zone_${a.words.state ?? ""}`, say("zone_active"));
    case "duress":
      return say("code_duress");
    case "sensor.changed":
      return sayIf(`sensor_${(a.words.state ?? "").replace("-", "_")}`, say("sensor_fault"));
    case "bus.changed":
      return say("bus_changed");
    case "tour.checked":
      return say("tour_checked");
    case "output.changed":
      return say("output_fault");
    case "panel.event":
      return codeTitle(a.words.code ?? "");
    case "panel.link":
      return say("panel_link");
    case "camera.state":
      return say("camera_state");
    case "station.silent":
      return sayIf(`silent_${a.words.reason ?? ""}`, say("station_silent"));
    case "carrier.silent":
      return say("carrier_silent");
    case "test.failed":
      return sayIf(`test_failed_${a.stage ?? ""}`, say("test_failed"));
    case "centre.stalled":
      return say("centre_stalled");
    default:
      return a.kind;
  }
}

function codeTitle(code: string): string {
  const key = siaCodes[code] ?? contactIDCodes.find(([pattern]) => pattern.test(code))?.[1];
  return key ? say(key) : say("panel_other", code);
}

/** Where in the village it is, in the words of the station's own configuration. */
export function where(a: Alarm): string {
  switch (a.kind) {
    case "station.silent":
      return a.count ? say("silent_with_open", a.count) : say("silent_since", roughly(a.silence_s ?? 0));
    case "carrier.silent":
      return a.missing ? say("carrier_missing", a.missing, a.behind?.length ?? 0) : say("carrier_back", a.behind?.length ?? 0);
    case "test.failed":
      return say("test_of_day");
    case "centre.stalled":
      return a.count ? say("stalled_count", a.count) : a.source;
  }
  if (a.kind === "sensor.changed" && a.words.value) return `${a.zone_name || a.zone || a.source} ${a.words.value} ${a.words.unit ?? ""}`;
  return a.zone_name || a.zone || a.words.text || a.source;
}

/** What a priority means for this alarm. */
export function urgency(a: Alarm): string {
  if (a.kind === "carrier.silent") return say("priority_wide");
  if (a.kind === "station.silent" && a.priority === 1) return say("priority_threat");
  return say(`priority_${a.priority}` as Key);
}

/** Whether the centre itself tells it, about a station or a carrier. */
export function ofCentre(a: Alarm): boolean {
  return a.about !== undefined || a.behind !== undefined;
}

/** Whose place a card names: the village, or what stands for many. */
export function place(a: Alarm): string {
  return a.village || a.about || a.carrier || a.station;
}

/** What an alarm says in so many words of the centre's: "word value; word value", each as a fact. */
export function details(a: Alarm): { key: string; what: string; value: string }[] {
  return (a.words.detail ?? "").split("; ").flatMap((pair) => {
    const gap = pair.indexOf(" ");
    const key = pair.slice(0, gap);
    const what = gap > 0 ? sayIf(`word_${key}`, "") : "";
    return what ? [{ key, what, value: figure(key, pair.slice(gap + 1)) }] : [];
  });
}

/** A figure of a station with its unit, as people read it. */
export function figure(name: string, value: string | number): string {
  const text = String(value);
  if (/^\d{4}-\d\d-\d\dT/.test(text)) return timeOfDay(text);
  const n = Number(text);
  if (text === "yes") return say("yes");
  if (!Number.isFinite(n)) return text;
  if (name.endsWith("_bytes")) return `${(n / 2 ** 30).toFixed(1)} GiB`;
  if (name.endsWith("_ms")) return `${Math.round(n)} ms`;
  if (name.endsWith("_c")) return `${Math.round(n)} °C`;
  if (name.endsWith("_volts")) return `${n.toFixed(1)} V`;
  if (name.endsWith("_percent")) return `${Math.round(n)} %`;
  if (name.endsWith("_s")) return roughly(n);
  if (name.endsWith("_ok") || name.endsWith("_synced")) return say(n ? "yes" : "no");
  return text;
}

/** The county of a jurisdiction. */
export function county(jurisdiction: string): string {
  return sayIf(`county_${jurisdiction}`, jurisdiction);
}
