// Search: the same question by a reference and by a chosen length, side by side.
import { ask } from "./api.js";
import { at, fail, make, number, option } from "./dom.js";
import { Filters } from "./filters.js";

const DEPTH = 1000; // best by the longest code, which kept vectors order
const FLOATS = "floats";
const MODES = {
  question: ["By meaning", "A question"],
  both: ["By meaning and words", "A question, whose words count too"],
  words: ["By words", "Words to look for"],
  like: ["Like a document", "The id of a document"],
};

export class Search {
  asked = new Map(); // the session's searches by vector: what to ask for them again
  #known = new Map(); // answers of this question, by what was asked
  #running = null;

  constructor(lengthChanged) {
    this.lengthChanged = lengthChanged;
    this.filters = new Filters(() => this.#changed());
    at("search").addEventListener("submit", (event) => {
      event.preventDefault();
      this.#changed();
    });
    at("bytes").addEventListener("input", () => {
      this.#sayLength();
      this.lengthChanged(this.nbytes);
      this.run();
    });
    at("reference").addEventListener("change", () => this.run());
    at("k").addEventListener("change", () => this.#changed());
  }

  get nbytes() { return this.info.lengths[at("bytes").valueAsNumber]; }

  get mode() { return document.querySelector("input[name=mode]:checked")?.value; }

  /** Begin with a collection. */
  open(info, examples) {
    Object.assign(this, { info, examples });
    this.#forget();
    this.asked.clear();
    this.filters.clear();
    this.#offerModes();
    const { lengths, keeps } = info;
    at("bytes").max = lengths.length - 1;
    at("bytes").value = Math.max(0, lengths.findLastIndex((n) => n <= lengths.at(-1) / 2));
    at("bytes").disabled = lengths.length === 1;
    const longest = lengths.at(-1);
    at("reference").replaceChildren(
      ...(keeps ? [option(FLOATS, `kept vectors (${keeps})`, true)] : []),
      ...lengths.toReversed().map((n) => option(n, `${n} bytes`, !keeps && n === longest)),
    );
    at("filters").hidden = info.kind !== "documents";
    at("examples").replaceChildren();
    this.#sayLength();
    this.#clear();
    const [first] = examples;
    if (this.mode === "like" && first !== undefined) at("query").value = String(first);
    if (at("query").value) this.#changed();
  }

  /** Search for what is like a document. */
  like(id) {
    document.querySelector("input[name=mode][value=like]").checked = true;
    this.#sayMode();
    at("query").value = String(id);
    this.#changed();
    at("results").focus();
  }

  /** Ask for both lists, and show them; what a later search overtakes is given up. */
  async run() {
    const text = at("query").value.trim();
    if (!text) return;
    this.#running?.abort();
    const { signal } = (this.#running = new AbortController());
    const began = performance.now();
    try {
      const wanted = this.mode === "words" ? [this.#request(text)] : [this.#left(text), this.#request(text, { nbytes: this.nbytes })];
      const fresh = wanted.some((body) => !this.#known.has(JSON.stringify(body)));
      const lists = await Promise.all(wanted.map((body) => this.#find(body, text, signal)));
      fail(null);
      if (signal.aborted) return;
      this.#note(text);
      this.filters.learn(lists[0]);
      this.#show(lists, fresh ? performance.now() - began : null);
    } catch (error) {
      if (error.name === "AbortError") return;
      this.#clear();
      fail(error);
    }
  }

  // -- inside ---------------------------------------------------------------------------------

  #changed() {
    this.#forget();
    return this.run();
  }

  #forget() { this.#known.clear(); }

  #offerModes() {
    const { embeds, fulltext, kind, keeps, code } = this.info;
    const offered = [
      ...(embeds ? ["question"] : []), ...(embeds && fulltext ? ["both"] : []), ...(fulltext ? ["words"] : []),
      ...(keeps || /byte/.test(code) ? ["like"] : []),
    ];
    at("modes").replaceChildren(at("modes").firstElementChild, ...offered.map((mode, index) => make("label", {},
      make("input", { type: "radio", name: "mode", value: mode, checked: index === 0, change: () => this.#sayMode(true) }),
      ` ${MODES[mode][0]}`)));
    if (!offered.length) fail(new Error(`This ${kind} collection can be searched by vectors alone, through /v1/search.`));
    at("query").disabled = !offered.length;
    at("query").value = "";
    this.#sayMode();
  }

  #sayMode(chosen) {
    const mode = this.mode;
    if (!mode) return;
    const example = mode === "like" ? this.examples[0] : null;
    at("query-label").textContent = MODES[mode][1];
    at("query").placeholder = MODES[mode][1] + (example === null || example === undefined ? "" : `, such as ${example}`);
    at("examples").replaceChildren(...(mode === "like" ? this.examples : []).map((id) => option(id, "")));
    at("controls").hidden = mode === "words";
    if (chosen) {
      at("query").value = "";
      at("query").focus();
      this.#clear();
    }
  }

  #sayLength() {
    const { lengths, dims } = this.info;
    const times = number((4 * dims) / this.nbytes);
    at("bytes-said").textContent = `${this.nbytes} of ${lengths.at(-1)} bytes: ${times} times smaller than float32`;
    at("bytes").setAttribute("aria-valuetext", `${this.nbytes} bytes`);
  }

  #left(text) {
    const chosen = at("reference").value;
    return this.#request(text, chosen === FLOATS ? { rescore: DEPTH } : { nbytes: Number(chosen) });
  }

  #request(text, how = {}) {
    const mode = this.mode;
    const id = this.info.kind === "index" ? Number(text) : text;
    const what = {
      question: { queries: [text] }, both: { queries: [text], words: [text] }, words: { words: [text] }, like: { like: [id] },
    }[mode];
    const k = Number(at("k").value) + (mode === "like" ? 1 : 0); // the document finds itself
    return { collection: this.info.name, ...what, k, where: this.filters.where, ...how };
  }

  async #find(body, text, signal) {
    const key = JSON.stringify(body);
    if (!this.#known.has(key)) {
      const { results: [hits] } = await ask("v1/search", body, signal);
      this.#known.set(key, hits.filter((hit) => !body.like || hit.id !== body.like[0]).slice(0, Number(at("k").value)));
    }
    return this.#known.get(key);
  }

  #note(text) {
    const body = this.#request(text);
    const [name, [value]] = body.like ? ["like", body.like] : ["queries", body.queries ?? [null]];
    if (value !== null) this.asked.set(`${name} ${value}`, { [name]: value });
    at("search").dispatchEvent(new CustomEvent("asked"));
  }

  #clear() {
    at("summary").textContent = "";
    at("reference-note").textContent = "";
    for (const side of ["left", "right"]) {
      at(side).querySelector("h3").textContent = "";
      at(side).querySelector("ol").replaceChildren();
    }
  }

  #show(lists, milliseconds) {
    const [left, right] = lists;
    document.querySelector(".columns").classList.toggle("one", !right);
    at("right").hidden = !right;
    const chosen = at("reference").value;
    at("left-title").textContent = !right ? "By words (BM25)" : chosen === FLOATS ? `Kept vectors, ${this.info.keeps}` : `${chosen} bytes`;
    at("right-title").textContent = `${this.nbytes} bytes`;
    this.#fill("left", left, right);
    if (right) this.#fill("right", right, left);
    const took = milliseconds === null ? "" : ` Answered in ${number(milliseconds)} ms.`;
    const shared = right?.filter((hit) => left.some((other) => other.id === hit.id)).length;
    at("summary").textContent = !left.length ? "Nothing was found." : !right ? `${left.length} hits.${took}`
      : `${shared} of ${left.length} hits are shared at ${this.nbytes} bytes.${took}`;
    at("reference-note").textContent = !right || chosen !== FLOATS ? "" : this.#referenceNote();
  }

  #referenceNote() {
    const { keeps, count, lengths } = this.info;
    const whole = count <= DEPTH && !this.info.lists;
    return `The reference is ordered by the exact cosine with the vectors that are kept as ${keeps}, `
      + (whole ? "all of them." : `of the ${number(DEPTH)} best by all ${lengths.at(-1)} bytes.`);
  }

  #fill(side, hits, others) {
    at(side).querySelector("ol").replaceChildren(...hits.map((hit, index) => {
      const there = others ? others.findIndex((other) => other.id === hit.id) : null;
      const kind = there === null ? "" : there < 0 ? "alone" : "shared";
      const mark = { shared: there === index ? "same place" : `other list: ${there + 1}`, alone: "only here" }[kind];
      const fields = Object.entries(hit.metadata ?? {});
      const text = hit.text ? make("p", { class: "text" }, hit.text) : null;
      const more = () => text.classList.toggle("whole");
      return make("li", { class: `hit ${kind}` },
        make("div", { class: "head" },
          make("span", { class: "rank" }, `${index + 1}`), make("span", { class: "id" }, String(hit.id)),
          make("span", { class: "muted" }, hit.score.toFixed(3)),
          mark ? make("span", { class: "mark" }, mark) : null),
        text,
        fields.length ? make("p", { class: "fields" }, fields.map(([name, value]) => `${name}: ${typeof value === "string" ? value : JSON.stringify(value)}`).join(" · ")) : null,
        make("div", { class: "foot" },
          hit.text && hit.text.length > 160 ? make("button", { type: "button", class: "quiet", click: more, "aria-label": `Whole text: ${hit.id}` }, "Whole text") : null,
          document.querySelector("input[name=mode][value=like]")
            ? make("button", { type: "button", class: "quiet", click: () => this.like(hit.id), "aria-label": `More like this: ${hit.id}` }, "More like this") : null));
    }));
  }
}
