// The filter bar: conditions that all must hold, as `where` of a search.
import { at, make, option } from "./dom.js";

const OPERATORS = [
  ["$eq", "is"], ["$ne", "is not"], ["$gte", "at least"], ["$lte", "at most"], ["$gt", "more than"],
  ["$lt", "less than"], ["$contains", "contains"], ["$in", "is one of (a, b, c)"], ["$exists", "is there (true, false)"],
];

export class Filters {
  #conditions = [];

  constructor(changed) {
    this.changed = changed;
    at("operator").replaceChildren(...OPERATORS.map(([value, label]) => option(value, label)));
    at("filter").addEventListener("submit", (event) => {
      event.preventDefault();
      this.#add(at("field").value.trim(), at("operator").value, at("value").value.trim());
    });
  }

  /** The filter, or undefined. */
  get where() {
    const all = this.#conditions.map(({ field, operator, value }) => ({ [field]: { [operator]: value } }));
    return all.length > 1 ? { $and: all } : all[0];
  }

  clear() {
    this.#conditions = [];
    this.#show();
  }

  /** Offer the fields that hits have. */
  learn(hits) {
    const known = new Set([...at("fields").children].map((each) => each.value));
    for (const hit of hits) {
      for (const name of Object.keys(hit.metadata ?? {})) {
        if (!known.has(name) && known.size < 200) at("fields").append(option(name, ""));
        known.add(name);
      }
    }
  }

  #add(field, operator, text) {
    if (!field) return;
    const value = operator === "$in" ? text.split(",").map((part) => read(part.trim())) : read(text);
    this.#conditions.push({ field, operator, value });
    at("value").value = "";
    this.#show();
    this.changed();
  }

  #show() {
    const said = Object.fromEntries(OPERATORS);
    at("filter-count").textContent = this.#conditions.length ? `(${this.#conditions.length})` : "";
    at("conditions").replaceChildren(...this.#conditions.map((each, index) => {
      const label = `${each.field} ${said[each.operator].split(" (")[0]} ${JSON.stringify(each.value)}`;
      const drop = () => {
        this.#conditions.splice(index, 1);
        this.#show();
        at("field").focus();
        this.changed();
      };
      return make("li", {}, make("button",
        { type: "button", class: "quiet", click: drop, "aria-label": `Remove: ${label}` }, `${label} ✕`));
    }));
  }
}

/** A value as it is meant: true, false, null and numbers as such; "…" is always a text. */
function read(text) {
  try {
    const value = JSON.parse(text);
    return value !== null && typeof value === "object" ? text : value;
  } catch {
    return text;
  }
}
