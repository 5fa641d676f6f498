// The curve: how much of the reference's best hits a search by fewer bytes finds.
import { ask } from "./api.js";
import { at, fail, make, number, option } from "./dom.js";

const SAMPLE = 64;
const MOST = 256; // queries that the server measures with
const AT_ONCE = 100_000; // documents up to which nobody has to ask for it
const [WIDTH, HEIGHT, LEFT, RIGHT, TOP, BOTTOM] = [640, 300, 56, 20, 24, 44];

export class Curve {
  constructor(search) {
    this.search = search;
    at("measure").addEventListener("click", () => this.measure());
    at("curve-source").addEventListener("change", () => this.measure());
    at("search").addEventListener("asked", () => this.#offer());
  }

  open(info) {
    this.info = info;
    this.found = null;
    at("curve").replaceChildren();
    at("curve-source").replaceChildren();
    this.#offer();
    const usable = info.count > 1 && (info.keeps || /byte/.test(info.code));
    at("measure").disabled = at("curve-source").disabled = !usable;
    if (!usable) at("curve").replaceChildren(make("p", { class: "muted" }, "Measuring needs two documents, and kept vectors or byte codes."));
    else if (info.count <= AT_ONCE) this.measure();
  }

  /** Mark another length. */
  mark(nbytes) {
    for (const dot of at("curve").querySelectorAll("circle")) {
      dot.classList.toggle("now", Number(dot.dataset.nbytes) === nbytes);
    }
  }

  async measure() {
    const info = this.info;
    at("measure").disabled = true;
    at("measure").textContent = "Measuring …";
    try {
      const found = await ask("v1/curve", { collection: info.name, ...this.#asked() });
      if (info === this.info) this.#show(found);
    } catch (error) {
      fail(error);
    } finally {
      at("measure").disabled = false;
      at("measure").textContent = "Measure again";
    }
  }

  // -- inside ---------------------------------------------------------------------------------

  #offer() {
    const chosen = at("curve-source").value;
    const of = (name) => [...this.search.asked.values()].filter((each) => name in each).length;
    const said = { queries: "questions", like: "documents searched by id" };
    at("curve-source").replaceChildren(option("sample", `a sample of ${SAMPLE} documents`),
      ...Object.keys(said).filter(of).map((name) => option(name, `my ${of(name)} ${said[name]}`, name === chosen)));
  }

  #asked() {
    const name = at("curve-source").value;
    if (name === "sample") return { sample: SAMPLE };
    return { [name]: [...this.search.asked.values()].filter((each) => name in each).map((each) => each[name]).slice(-MOST) };
  }

  #show(found) {
    const whole = this.info.count <= found.candidates;
    const reference = found.reference === "code"
      ? "the longest code, as no vectors are kept: it agrees with itself, and says nothing of the floats"
      : `the vectors kept as ${found.reference}` + (whole ? "" : `, exact among the ${number(found.candidates)} best by the longest code`);
    const queries = { sample: "documents of this collection, drawn evenly, each as a query", like: "documents that you searched by id, each as a query", queries: "questions that you asked" }[found.source];
    const caution = found.source === "queries" ? "" : " Documents as queries are easier than questions may be.";
    at("curve").replaceChildren(this.#drawn(found),
      make("p", { class: "muted" }, `Of ${found.queries} ${queries}: the mean share of the ${found.k} best hits by ${reference}, that a search by so many bytes finds too; bars are 95 % intervals.${caution}`),
      make("details", {}, make("summary", {}, "The same as a table"), table(found)));
    this.mark(this.search.nbytes);
  }

  #drawn({ points }) {
    const lowest = Math.max(0, Math.floor(10 * Math.min(...points.map((p) => p.low))) / 10);
    const last = points.at(-1).nbytes;
    const x = (n) => LEFT + (n / last) * (WIDTH - LEFT - RIGHT);
    const y = (share) => HEIGHT - BOTTOM - ((share - lowest) / (1 - lowest || 1)) * (HEIGHT - TOP - BOTTOM);
    const label = `Share of the best hits that are found: ${points.map((p) => `${percent(p.overlap)} at ${p.nbytes} bytes`).join(", ")}`;
    const step = lowest >= 0.8 ? 0.05 : lowest >= 0.5 ? 0.1 : 0.2;
    const ticks = [0, 1, 2, 3, 4, 5].map((i) => 1 - step * i).filter((share) => share > lowest - 1e-9);
    return make("svg", { viewBox: `0 0 ${WIDTH} ${HEIGHT}`, role: "img", "aria-label": label },
      ...ticks.flatMap((share) => [
        make("path", { class: "grid", d: `M${LEFT} ${y(share)}H${WIDTH - RIGHT}` }),
        make("text", { x: LEFT - 8, y: y(share) + 4, "text-anchor": "end" }, percent(share))]),
      make("path", { class: "line", d: `M${points.map((p) => `${x(p.nbytes)} ${y(p.overlap)}`).join("L")}` }),
      ...points.flatMap((p) => [
        make("path", { class: "error", d: `M${x(p.nbytes)} ${y(p.low)}V${y(p.high)}` }),
        make("circle", { cx: x(p.nbytes), cy: y(p.overlap), r: 5, "data-nbytes": p.nbytes }),
        make("text", { class: "value", x: x(p.nbytes), y: y(p.high) - 6, "text-anchor": "middle" }, percent(p.overlap)),
        make("text", { x: x(p.nbytes), y: HEIGHT - BOTTOM + 18, "text-anchor": "middle" }, `${p.nbytes}`)]),
      make("text", { x: (LEFT + WIDTH - RIGHT) / 2, y: HEIGHT - 6, "text-anchor": "middle" }, "bytes of each code"));
  }
}

const percent = (share) => `${number(100 * share)} %`;

function table({ points }) {
  const row = (cells, tag = "td") => make("tr", {}, ...cells.map((cell) => make(tag, {}, cell)));
  return make("table", {}, row(["bytes", "found", "95 % interval"], "th"),
    ...points.map((p) => row([`${p.nbytes}`, percent(p.overlap), `${percent(p.low)} to ${percent(p.high)}`])));
}
