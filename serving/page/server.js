// Requests to the server: the REST API of the model, and the routes below /page.

async function json(url, options) {
  let response;
  try {
    response = await fetch(url, options);
  } catch {
    throw new Error("The server does not answer. Is it still running?");
  }
  const content = await response.json().catch(() => ({}));
  if (!response.ok) {
    const error = new Error(content.error ?? `The server answered ${response.status}.`);
    throw Object.assign(error, { status: response.status });
  }
  return content;
}

/** A route of the page, for the model that the page's own address names, if any. */
function route(path, parameters = {}) {
  const name = new URLSearchParams(location.search).get("model");
  const query = new URLSearchParams(name === null ? parameters : { ...parameters, model: name });
  return query.size ? `page/${path}?${query}` : `page/${path}`;
}

/** Name, version, signatures and model card of the model. */
export const model = () => json(route("model"));

/** Ids of known items that contain a text, most popular first. */
export const search = (text) => json(route("items", { q: text }));

/** For each item id, whether the model knows it. */
export const known = (items) =>
  items.length ? json(route("known"), { method: "POST", body: JSON.stringify(items) }) : [];

/** The outputs of a version's signature for one session, without their batch dimension. */
export async function predict({ name, version }, signature, inputs) {
  const path = `v1/models/${encodeURIComponent(name)}/versions/${version}:predict`;
  const { outputs } = await json(path, {
    method: "POST",
    body: JSON.stringify({ signature_name: signature, inputs }),
  });
  return Object.fromEntries(Object.entries(outputs).map(([key, [value]]) => [key, value]));
}
