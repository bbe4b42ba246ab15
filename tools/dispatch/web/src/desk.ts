// What is on the desk: the alarms, the stations, who is on duty and what is in hand. The parts of the page draw it.

import type { Alarm, Roster, Station, Test, Viewing } from "./api";
import { moreUrgent } from "./shapes";

export class Desk {
  readonly alarms = new Map<string, Alarm>();
  readonly tests = new Map<string, Test>(); // the last of each station
  roster: Roster | null = null;
  selected: string | null = null;
  me = "";
  centre = "";
  linkLostAt: number | null = null;

  /** The alarms that nobody has acknowledged. */
  open(): Alarm[] {
    return [...this.alarms.values()].filter((a) => a.state !== "acknowledged");
  }

  /** The open alarms in the order of the queue. */
  queue(): Alarm[] {
    return this.open().sort((a, b) => (moreUrgent(a, b) ? -1 : 1));
  }

  /** The selected alarm. */
  inHand(): Alarm | null {
    return this.selected === null ? null : (this.alarms.get(this.selected) ?? null);
  }

  /** How many stations are not heard now, and how many there are; null before the first word on them. */
  unheard(): { silent: number; all: number } | null {
    if (!this.roster || this.linkLostAt !== null) return null;
    return { silent: this.roster.stations.filter((s) => s.health !== "fresh").length, all: this.roster.stations.length };
  }

  /** Whether it is known that nothing is the matter: no open alarm, and every station heard. */
  calm(): boolean {
    return this.open().length === 0 && this.unheard()?.silent === 0 && this.roster!.stations.length > 0 && this.roster!.broker.connected;
  }

  station(id: string): Station | undefined {
    return this.roster?.stations.find((s) => s.id === id);
  }

  /** Others who watch a camera now. */
  watching(station: string, camera: string): Viewing[] {
    return (this.roster?.viewings ?? []).filter((v) => v.station === station && v.camera === camera && v.who !== this.me);
  }
}
