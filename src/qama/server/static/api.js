// The routes of the server. The key, where one is needed, is kept here and nowhere else.
import { at } from "./dom.js";

let key = "";

/** Ask a route; GET where there is no body. Throws an Error that says what was wrong. */
export async function ask(path, body, signal) {
  const headers = { "Content-Type": "application/json" };
  if (key) headers.Authorization = `Bearer ${key}`;
  const asked = body === undefined ? {} : { method: "POST", body: JSON.stringify(body) };
  let answer;
  try {
    answer = await fetch(path, { ...asked, headers, signal, credentials: "omit" });
  } catch (error) {
    if (error.name === "AbortError") throw error;
    throw new Error("The server cannot be reached.");
  }
  if (answer.status === 401) {
    await needKey();
    return ask(path, body, signal);
  }
  const found = await answer.json().catch(() => null);
  if (!answer.ok) throw new Error(found?.error?.message ?? `The server answered ${answer.status}.`);
  return found;
}

let given = null;

/** Ask the person for a key; requests that need it wait for the same answer. */
function needKey() {
  given ??= new Promise((resolve) => {
    at("key-wrong").hidden = !key;
    at("key-form").onsubmit = () => { key = at("key").value.trim(); };
    at("key-dialog").onclose = () => {
      at("key").value = "";
      given = null;
      resolve();
    };
    at("key-dialog").oncancel = (event) => event.preventDefault(); // nothing works without
    at("key-dialog").showModal();
  });
  return given;
}
