// What an alarm is called. Panels speak SIA codes (DC-03) or Contact ID codes (DC-05); lines have states.

import type { Alarm } from "./api";
import { say, sayIf, type Key } from "./words";

const siaCodes: Record<string, Key> = {
  BA: "code_burglary", FA: "code_fire", PA: "code_panic", HA: "code_holdup", MA: "code_medical", QA: "code_emergency",
  GA: "code_gas", KA: "code_fire", TA: "code_tamper", PH: "code_panic", BV: "code_burglary",
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
];

/** The alarm's name in a few words. */
export function title(a: Alarm): string {
  switch (a.kind) {
    case "zone.changed":
      if (a.words.state === "active" && a.words.code) return codeTitle(a.words.code);
      return sayIf(`zone_${a.words.state ?? ""}`, say("zone_other", a.words.state ?? ""));
    case "panel.event":
      return codeTitle(a.words.code ?? "");
    case "panel.link":
      return say("panel_link");
    case "camera.state":
      return say("camera_state");
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
  return a.zone_name || a.zone || a.words.text || a.source;
}

/** The county of a jurisdiction. */
export function county(jurisdiction: string): string {
  return sayIf(`county_${jurisdiction}`, jurisdiction);
}
