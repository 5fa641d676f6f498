// What a collection is and costs.
import { ask } from "./api.js";
import { at, fail, make, number, size } from "./dom.js";

export async function inspect(name) {
  try {
    const found = await ask("v1/inspect", { collection: name });
    at("facts").replaceChildren(...facts(found).flatMap(([term, said]) => [make("dt", {}, term), make("dd", {}, said)]));
    return found;
  } catch (error) {
    fail(error);
    return null;
  }
}

function facts(found) {
  const { collection: own, kernel, lists } = found;
  const times = number(found.float32_size / (found.codes_size || 1), 1);
  return [
    ["Kind", `${own.kind}${own.writable ? ", clients may change it" : ", served to be read"}`],
    ["Rows", `${number(own.count)} of ${number(own.dims)} dims${lists ? `, in ${number(lists)} lists` : ""}`],
    ["Code", `${own.code}, ${own.code_bytes} bytes stored for each`],
    ["Searchable lengths", `${own.lengths.join(", ")} bytes`],
    ["Codes, all together", `${size(found.codes_size)}; as float32 ${size(found.float32_size)}, ${times} times as much`],
    ["Kept vectors", own.keeps ? `${own.keeps}, on the disk` : "none"],
    ["On the disk", `${size(found.disk_size)}, texts and all`],
    ["Memory of the server", found.process_size === null ? "not told by this system" : `${size(found.process_size)}, of the whole process`],
    ["Drift", found.drift_note],
    ["Kernel", `${kernel.path}${kernel.native ? "" : ": NumPy, several times slower than a native one"}; there are ${kernel.available.join(", ")}`],
    ["Codec", own.codec],
  ];
}
