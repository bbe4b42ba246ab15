// Figures that tests read: when an alarm was painted, and how long the first picture took.

interface Figures {
  painted: { id: string; at_ms: number }[];
  firstFrame: { viewing: string; ms: number }[];
}

declare global {
  interface Window {
    __wp: Figures;
  }
}

const kept = 1000;

window.__wp = { painted: [], firstFrame: [] };

type Waiting = (at_ms: number) => void;

let unpainted: Waiting[] = [];

/** Calls back after the frame that shows what is in the document now. A page that nobody can see paints none. */
export function afterPaint(then: Waiting): void {
  if (unpainted.push(then) > 1) return; // the frame is asked for already
  requestAnimationFrame(() => {
    const waiting = unpainted;
    unpainted = [];
    const channel = new MessageChannel();
    channel.port1.onmessage = () => {
      channel.port1.close();
      const at_ms = performance.timeOrigin + performance.now();
      for (const then of waiting) then(at_ms);
    };
    channel.port2.postMessage(0);
  });
}

/** Notes the time of the frame that shows an alarm, which is in the document now. */
export function notePainted(id: string): void {
  afterPaint((at_ms) => keep(window.__wp.painted, { id, at_ms }));
}

/** Notes how long after the click a viewing's first frame was shown. */
export function noteFirstFrame(viewing: string, ms: number): void {
  keep(window.__wp.firstFrame, { viewing, ms });
}

function keep<T>(list: T[], item: T): void {
  list.push(item);
  if (list.length > kept) list.splice(0, list.length - kept);
}
