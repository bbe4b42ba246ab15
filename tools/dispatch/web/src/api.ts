// What the console tells and takes. Times are RFC 3339.

export interface Action {
  at: string;
  who: string;
  verb: "claim" | "release" | "acknowledge";
}

export interface Alarm {
  id: string;
  row: number;
  station: string;
  epoch: string;
  seq: number;
  jurisdiction: string;
  village: string;
  kind: string;
  words: { state?: string; code?: string; format?: string; account?: string; area?: string; user?: string; text?: string; reason?: string; detail?: string; partition?: string; mode?: string; value?: string; unit?: string; who?: string };
  priority: 1 | 2 | 3;
  severity: string;
  zone?: string;
  zone_name?: string;
  source: string;
  at: string;
  clock: "synced" | "unsynced" | "unknown";
  received: string;
  camera?: string;
  camera_name?: string;
  state: "open" | "claimed" | "acknowledged";
  owner?: string;
  claimed?: string;
  closed_by?: string;
  closed?: string;
  restored?: string;
  actions: Action[];
  /** The station that an alarm of the centre's own is about. */
  about?: string;
  carrier?: string;
  stage?: "line" | "uplink" | "screen";
  silence_s?: number;
  count?: number;
  /** The stations of a dead carrier, and how many of them are not heard now. */
  behind?: { id: string; village: string; missing: boolean }[];
  missing?: number;
}

/** A station's last daily test alarm, and how far it came. */
export interface Test {
  id: string;
  station: string;
  epoch: string;
  seq: number;
  village: string;
  at: string;
  received: string;
  painted?: string;
}

export interface Camera {
  id: string;
  name?: string;
  state: string;
  reason?: string;
}

export interface Station {
  id: string;
  jurisdiction: string;
  name: string;
  health: "fresh" | "stale" | "offline" | "never";
  age: number;
  last_word?: string;
  backlog: number;
  full?: boolean;
  version?: string;
  carrier?: string;
  started?: string;
  farewell?: boolean;
  gauges?: { [name: string]: number };
  cameras: Camera[];
  partitions: Partition[];
}

/** Zones that are armed together, and how they stand. */
export interface Partition {
  id: string;
  name?: string;
  state: string;
  bypassed?: string[];
}

export interface Viewing {
  id: string;
  station: string;
  camera: string;
  purpose: string;
  who: string;
  began: string;
}

export interface Roster {
  stations: Station[];
  broker: { connected: boolean; fault?: string };
  refused: { station: string; reason: string; count: number }[];
  viewings: Viewing[];
  now: string;
}

export interface Alarms {
  cursor: number;
  open_total: number;
  open: Alarm[];
  recent: Alarm[];
  tests: Test[];
  now: string;
}

/** A refusal of the console: kind is for the page, message for people, owner names who was first. */
export class Problem extends Error {
  constructor(
    readonly kind: string,
    message: string,
    readonly owner = "",
  ) {
    super(message);
  }
}

async function call<T>(method: string, path: string, body?: unknown, keepalive = false): Promise<T> {
  let response: Response;
  try {
    response = await fetch(path, {
      method,
      keepalive,
      headers: body === undefined ? {} : { "Content-Type": "application/json" },
      body: body === undefined ? undefined : JSON.stringify(body),
    });
  } catch {
    throw new Problem("unreachable", "unreachable");
  }
  if (response.status === 204) return undefined as T;
  const answer = await response.json().catch(() => ({ kind: "centre", message: response.statusText }));
  if (!response.ok) throw new Problem(answer.kind, answer.message, answer.owner);
  return answer as T;
}

export const api = {
  centre: () => call<{ centre: string }>("GET", "/api/name"),
  me: () => call<{ name: string; centre: string }>("GET", "/api/me"),
  login: (name: string, password: string) => call<{ name: string }>("POST", "/api/login", { name, password }),
  logout: () => call<void>("POST", "/api/logout"),
  alarms: () => call<Alarms>("GET", "/api/alarms"),
  roster: () => call<Roster>("GET", "/api/stations"),
  act: (verb: Action["verb"], a: Alarm) => call<Alarm>("POST", `/api/alarms/${verb}`, { station: a.station, epoch: a.epoch, seq: a.seq }),
  painted: (t: Test) => call<void>("POST", "/api/tests/painted", { station: t.station, epoch: t.epoch, seq: t.seq }),
  view: (v: { station: string; camera: string; profile: string; purpose: string; offer: string }) =>
    call<{ id: string; answer: string }>("POST", "/api/viewings", v),
  endView: (id: string) => call<void>("DELETE", `/api/viewings/${id}`, undefined, true),
};
