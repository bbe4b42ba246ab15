// The door: a name and a password.

import { api, Problem } from "./api";
import { h, put } from "./dom";
import { pictures } from "./shapes";
import { say, switchLanguage } from "./words";

/** Shows the door until somebody has come in. */
export function login(root: HTMLElement, enter: () => void): void {
  const name = h("input", { name: "name", autocomplete: "username", required: true, autofocus: true, maxlength: 64 });
  const password = h("input", { name: "password", type: "password", autocomplete: "current-password", required: true, maxlength: 72 });
  const fault = h("p", { class: "fault", role: "alert" });
  const brand = h("b");
  let centre = "";
  const submit = async (e: Event) => {
    e.preventDefault();
    put(fault);
    try {
      await api.login(name.value, password.value);
      enter();
    } catch (x) {
      put(fault, explain(x));
      password.select();
    }
  };
  const draw = () => {
    document.title = say("product");
    put(brand, centre || say("product"));
    put(
      root,
      h(
        "main",
        { class: "door" },
        h(
          "form",
          { onsubmit: submit },
          h("div", { class: "brand" }, pictures.tower(), h("div", {}, brand, h("span", {}, `${say("product")} · ${say("console")}`))),
          h("label", {}, h("span", {}, say("name")), name),
          h("label", {}, h("span", {}, say("password")), password),
          fault,
          h("button", { class: "primary", type: "submit" }, say("sign_in")),
          h("p", { class: "note" }, say("sign_in_note")),
          h("button", { type: "button", class: "quiet", "data-verb": "language", onclick: () => (switchLanguage(), draw()) }, say("other_language")),
        ),
      ),
    );
    name.focus();
  };
  draw();
  // Somebody may be typing already: nothing else is drawn anew.
  api.centre().then(
    (c) => put(brand, (centre = c.centre)),
    () => undefined,
  );
}

function explain(x: unknown): string {
  if (!(x instanceof Problem)) return String(x);
  if (x.kind === "password") return say("wrong_password");
  if (x.kind === "barred") return say("barred");
  if (x.kind === "unreachable") return say("unreachable");
  return x.message;
}
