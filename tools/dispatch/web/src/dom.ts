// Elements without a framework.

export type Child = Node | string | null | undefined | false;

type Attributes = { [name: string]: string | number | boolean | null | undefined | ((e: any) => void) };

/** Makes an element. Attributes named on… are listeners; null, undefined and false leave an attribute out. */
export function h<K extends keyof HTMLElementTagNameMap>(tag: K, attributes: Attributes = {}, ...children: Child[]): HTMLElementTagNameMap[K] {
  const e = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (value === null || value === undefined || value === false) continue;
    if (typeof value === "function") e.addEventListener(name.slice(2), value);
    else e.setAttribute(name, value === true ? "" : String(value));
  }
  put(e, ...children);
  return e;
}

/** Replaces what is in e. */
export function put(e: Element, ...children: Child[]): void {
  e.replaceChildren(...children.filter((c): c is Node | string => c !== null && c !== undefined && c !== false));
}

/** Sets text only where it differs, so that ages ticking by cost nothing. */
export function text(e: Element, s: string): void {
  if (e.textContent !== s) e.textContent = s;
}

const svgSpace = "http://www.w3.org/2000/svg";

/** Makes a picture of one path in a 16 by 16 field. */
export function icon(path: string, filled: boolean, cls: string): SVGElement {
  const svg = document.createElementNS(svgSpace, "svg");
  svg.setAttribute("viewBox", "0 0 16 16");
  svg.setAttribute("class", cls);
  svg.setAttribute("aria-hidden", "true");
  const p = document.createElementNS(svgSpace, "path");
  p.setAttribute("d", path);
  p.setAttribute("fill", filled ? "currentColor" : "none");
  p.setAttribute("stroke", "currentColor");
  p.setAttribute("stroke-width", filled ? "1" : "1.6");
  p.setAttribute("stroke-linejoin", "round");
  p.setAttribute("stroke-linecap", "round");
  svg.append(p);
  return svg;
}
