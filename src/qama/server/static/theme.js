// Light, dark, or as the system says.
import { at } from "./dom.js";

const SAID = { "": "as the system", light: "light", dark: "dark" };
const ORDER = ["", "dark", "light"];

export function theme() {
  let now = "";
  at("theme").addEventListener("click", () => {
    now = ORDER[(ORDER.indexOf(now) + 1) % ORDER.length];
    if (now) document.documentElement.dataset.theme = now;
    else delete document.documentElement.dataset.theme;
    at("theme").textContent = `Theme: ${SAID[now]}`;
  });
}
