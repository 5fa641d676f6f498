// Elements of the page. Texts of documents enter as text, never as markup.

export const at = (id) => document.getElementById(id);

const SVG = "http://www.w3.org/2000/svg";
const SHAPES = new Set(["svg", "path", "circle", "text", "title"]);

/** Make an element: attributes (a function is a listener; null is left out), then what is in it. */
export function make(tag, attributes = {}, ...inside) {
  const made = SHAPES.has(tag) ? document.createElementNS(SVG, tag) : document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (typeof value === "function") made.addEventListener(name, value);
    else if (value === true) made.setAttribute(name, "");
    else if (value !== null && value !== undefined && value !== false) made.setAttribute(name, value);
  }
  made.append(...inside.filter((part) => part !== null));
  return made;
}

export const option = (value, label, selected) => make("option", { value, selected }, label);

/** A number as people read it. */
export const number = (value, digits = 0) =>
  value.toLocaleString("en", { maximumFractionDigits: digits });

/** Bytes as people read them. */
export function size(bytes) {
  const units = ["B", "kB", "MB", "GB", "TB"];
  let power = 0;
  while (bytes >= 1000 && power < units.length - 1) { bytes /= 1000; power += 1; }
  return `${number(bytes, bytes < 10 && power ? 1 : 0)} ${units[power]}`;
}

export function fail(error) {
  const alert = at("alert");
  alert.hidden = !error;
  alert.textContent = error ? error.message : "";
}
