// The page: it learns what is served, and lets its parts begin.
import { ask } from "./api.js";
import { Curve } from "./curve.js";
import { at, fail, number, option } from "./dom.js";
import { inspect } from "./inspector.js";
import { Search } from "./search.js";
import { theme } from "./theme.js";

const search = new Search((nbytes) => curve.mark(nbytes));
const curve = new Curve(search);

async function open(name) {
  fail(null);
  const found = await inspect(name);
  if (!found) return;
  const info = { ...found.collection, lists: found.lists };
  at("about").textContent = `${number(info.count)} ${info.kind === "documents" ? "documents" : "vectors"}, ${info.code}`;
  search.open(info, found.examples);
  curve.open(info);
}

theme();
at("collection").addEventListener("change", () => open(at("collection").value));
at("look").addEventListener("click", () => inspect(at("collection").value));
try {
  const { collections } = await ask("v1/info");
  at("collection").replaceChildren(...collections.map(({ name }) => option(name, name)));
  at("choose").hidden = collections.length < 2;
  await open(collections[0].name);
} catch (error) {
  fail(error);
}
