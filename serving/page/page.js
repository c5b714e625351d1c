// The page: a session, its recommendations, and its explanation by the model's preference groups.
import { known, model, predict, search } from "./server.js";
import { suggest } from "./suggestions.js";

const NEAREST = 5; // items shown for each group
const RETAINED = 0.5; // the retention from which a group retains a click rather than leaps over it
const EXAMPLE_CLICKS = 4;
const MIN_DIFFERENCE = 0.01; // in retention, to mark a click with the group that retains it most

const element = (id) => document.getElementById(id);
const letter = (group) => String.fromCharCode(65 + group);
const percent = (p) => `${(100 * p).toFixed(1)} %`;

let served; // response of page/model
let session = []; // clicks, {item, isKnown}
let refreshes = 0;

function make(tag, properties = {}, ...children) {
  const node = Object.assign(document.createElement(tag), properties);
  node.append(...children);
  return node;
}

function show(id, text) {
  element(id).textContent = text ?? "";
  element(id).hidden = !text;
}

// The session, which is also in the address of the page, so that it can be saved and shared.

const separator = () => served.card.serving.separator;
const sessionText = () => session.map((click) => click.item).join(separator());

async function add(items) {
  const found = items.filter(Boolean);
  try {
    const isKnown = await known(found);
    session.push(...found.map((item, index) => ({ item, isKnown: isKnown[index] })));
  } catch (error) {
    return show("problem", error.message);
  }
  return changed();
}

function remove(index) {
  session.splice(index, 1);
  changed();
  (element("clicks").querySelectorAll("button")[Math.max(index - 1, 0)] ?? element("item")).focus();
}

function changed() {
  const address = session.length ? `#${encodeURIComponent(sessionText())}` : "";
  history.replaceState(null, "", location.pathname + location.search + address);
  return refresh();
}

function openAddress() {
  let text = location.hash.slice(1);
  try {
    text = decodeURIComponent(text);
  } catch {
    // Typed by hand, with a plain %.
  }
  return openItems(text.split(separator()));
}

function openItems(items) {
  session = [];
  return add(items);
}

// The model's response

async function refresh() {
  const current = (refreshes += 1);
  const sessions = [sessionText()];
  const k = [Number(element("k").value)];
  const exclude_seen = [element("unseen").checked];
  const explains = served.signatures.includes("explain");
  try {
    const [top, groups] = await Promise.all([
      predict(served, "sessions_k", { sessions, k, exclude_seen }),
      explains ? predict(served, "explain", { sessions }) : null,
    ]);
    if (current !== refreshes) return;
    show("problem");
    showTop(top);
    showSession(groups);
    showNearest(groups);
  } catch (error) {
    if (current !== refreshes) return;
    if (error.status !== 404) return show("problem", error.message);
    const { version } = served;
    try {
      await loadModel();
    } catch (problem) {
      return show("problem", problem.message);
    }
    // Another version has replaced the one that the page has shown so far.
    if (served.version !== version) return openItems(session.map(({ item }) => item));
    show("problem", error.message);
  }
}

function showTop(top) {
  const rows = top.item_ids.map((item, index) => [item, top.scores[index]]);
  element("top").replaceChildren(...ranking(rows));
  const hasKnown = session.some((click) => click.isKnown);
  show(
    "fallback",
    top.is_fallback && session.length
      ? `${hasKnown ? "The model uses no click of the session" : "No click is a known item"}: ` +
          "these are the most popular items."
      : "",
  );
}

function showSession(groups) {
  const count = groups ? groups.retention.length : 0;
  const heads = ["", "Click", ...Array.from({ length: count }, (_, group) => mark(group)), ""];
  const cells = heads.map((content) => make("th", { scope: "col" }, content));
  element("clicks").tHead.replaceChildren(make("tr", {}, ...cells));
  const columns = usedColumns();
  const rows = session.map((click, index) => clickRow(click, index, columns[index], groups));
  element("clicks").tBodies[0].replaceChildren(...rows);
  element("clicks").hidden = !session.length;
  element("empty").hidden = Boolean(session.length);
  show(
    "legend",
    count && session.length
      ? `${letter(0)} to ${letter(count - 1)} are the model's preference groups. Bars: the ` +
          "retention of a click in each group; below 50 % a group leaps over it. The mark of a " +
          "click is the group with the highest retention, or = if the groups do not differ."
      : "",
  );
}

/** The column in `explain` of each click, null if the model does not use it. */
function usedColumns() {
  const used = session.flatMap((click, index) => (click.isKnown ? [index] : []));
  const first = Math.max(used.length - served.card.serving.max_length, 0);
  const columns = session.map(() => null);
  used.slice(first).forEach((index, column) => (columns[index] = column));
  return columns;
}

function clickRow(click, index, column, groups) {
  const name = make("td", { className: "id" });
  const row = make("tr", {}, make("td", {}, String(index + 1)), name);
  const retention = groups?.retention.map((group) => group[column]);
  if (column === null) {
    row.className = "unused";
    const reason = click.isKnown
      ? `older than the last ${served.card.serving.max_length}, not used`
      : "unknown, skipped";
    name.append(click.item, make("small", {}, reason));
    name.colSpan = 1 + (retention?.length ?? 0);
  } else {
    if (retention) name.append(mark(mostRetaining(retention)));
    name.append(click.item);
    for (const [group, p] of (retention ?? []).entries()) row.append(retentionCell(group, p));
  }
  const button = make("button", { type: "button", onclick: () => remove(index) }, "×");
  button.setAttribute("aria-label", `Remove click ${index + 1}, ${click.item}`);
  row.append(make("td", {}, button));
  return row;
}

/** The group with the highest retention of a click, null if the groups do not differ. */
function mostRetaining(retention) {
  const highest = Math.max(...retention);
  const differs = retention.length > 1 && highest - Math.min(...retention) >= MIN_DIFFERENCE;
  return differs ? retention.indexOf(highest) : null;
}

function mark(group) {
  if (group === null) {
    const title = "retained equally by all groups";
    return make("span", { className: "mark group-all", title }, "=");
  }
  const title = `group ${letter(group)}`;
  return make("span", { className: `mark group-${group % 6}`, title }, letter(group));
}

function retentionCell(group, p) {
  const filled = make("span");
  filled.style.width = percent(p).replace(" ", "");
  const title = `retention in group ${letter(group)}: ${percent(p)}`;
  const leaps = p < RETAINED ? " leaps" : "";
  return make(
    "td",
    { className: `retention group-${group % 6}${leaps}`, title },
    percent(p),
    make("div", { className: "bar" }, filled),
  );
}

function showNearest(groups) {
  element("groups").hidden = !groups || groups.is_fallback;
  if (element("groups").hidden) return;
  const blocks = agreeing(groups.group_item_ids).map((members) => {
    const [first] = members;
    const items = groups.group_item_ids[first];
    const rows = items.slice(0, NEAREST).map((item, i) => [item, groups.group_scores[first][i]]);
    const head = make("h3", {}, ...members.flatMap((group) => [mark(group), " "]));
    head.append(members.length > 1 ? agreement(members, groups) : `Group ${letter(first)}`);
    const reads = members.map((group) => make("p", { className: "reads" }, reading(group, groups)));
    if (!items[0]) return make("div", {}, head, ...reads);
    const score = members.length > 1 ? `Score in ${letter(first)}` : "Score";
    const heads = make("p", { className: "heads" }, make("span", {}, "Item"));
    heads.append(make("span", {}, score));
    return make("div", {}, head, ...reads, heads, make("ol", {}, ...ranking(rows)));
  });
  element("nearest").replaceChildren(...blocks);
}

/** The groups by equal lists of the items shown, in the order of the first of each. */
function agreeing(lists) {
  const found = new Map();
  lists.forEach((items, group) => {
    const key = JSON.stringify(items.slice(0, NEAREST));
    found.set(key, [...(found.get(key) ?? []), group]);
  });
  return [...found.values()];
}

function agreement(members, groups) {
  const all = members.length === groups.group_item_ids.length;
  return all ? "The groups agree" : "These groups agree";
}

/** Which clicks a group retains and which it leaps over, by their numbers in the session. */
function reading(group, groups) {
  const retained = [];
  const leaps = [];
  usedColumns().forEach((column, index) => {
    if (column === null) return;
    const list = groups.retention[group][column] >= RETAINED ? retained : leaps;
    list.push(index + 1);
  });
  const clicks = (list) => `${list.length > 1 ? "clicks" : "click"} ${list.join(", ")}`;
  const parts = [
    retained.length ? `retains ${clicks(retained)}` : "retains no click of this session",
    leaps.length ? `leaps over ${clicks(leaps)}` : retained.length && "leaps over none",
  ];
  return `${letter(group)} ${parts.filter(Boolean).join(", ")}`;
}

/** List entries of items with scores; choosing one adds it to the session. */
function ranking(rows) {
  return rows
    .filter(([item]) => item)
    .map(([item, score]) => {
      const pick = make("button", { type: "button", className: "pick" }, item);
      pick.title = "add this click to the session";
      pick.onclick = () => add([item]);
      return make("li", {}, pick, make("span", { className: "score" }, score.toFixed(3)));
    });
}

// The start

function describe({ name, version, card, models }) {
  const links = (models ?? []).map((each) => {
    const link = make("a", { href: `?${new URLSearchParams({ model: each })}` }, each);
    if (each === name) link.setAttribute("aria-current", "page");
    return link;
  });
  element("models").replaceChildren(...links);
  element("models").hidden = links.length < 2;
  document.title = element("name").textContent = `${name}, version ${version}`;
  const test = card.metrics?.test;
  const facts = [
    card.model && `model ${card.model}`,
    card.data?.dataset && `data set ${card.data.dataset}`,
    card.counts && `${card.counts.items.toLocaleString("en")} items`,
    test && `test Recall@20 ${percent(test["recall@20"])}, MRR@20 ${percent(test["mrr@20"])}`,
  ];
  element("facts").textContent = facts.filter(Boolean).join(" · ");
}

function offerK({ k, k_max, candidates }) {
  const most = Math.min(k_max, candidates);
  const choices = new Set([5, 10, 20, 50, 100, Math.min(k, most), most]);
  const options = [...choices].filter((n) => n <= most).sort((a, b) => a - b);
  const before = element("k").value;
  element("k").replaceChildren(...options.map((n) => new Option(n, n)));
  element("k").value = options.includes(Number(before)) ? before : Math.min(k, most, 10);
  if (!element("k").value) element("k").value = options[0];
}

/** Load the description of the served model, and show the sections that it supports. */
async function loadModel() {
  served = await model();
  describe(served);
  const isSupported = served.card.serving && served.signatures.includes("sessions_k");
  element("session").hidden = element("recommendations").hidden = !isSupported;
  if (!isSupported) {
    throw new Error(
      "This model was not written by python -m serving.export, so the page cannot query it for " +
        "sessions. The REST and gRPC interfaces serve it all the same.",
    );
  }
  offerK(served.card.serving);
}

async function start() {
  try {
    await loadModel();
  } catch (error) {
    return show("problem", error.message);
  }
  const input = element("item");
  const take = (text) => {
    input.value = "";
    input.focus();
    return add(text.split(separator()));
  };
  const close = suggest(input, element("suggestions"), search, take);
  element("add").addEventListener("submit", (event) => {
    event.preventDefault();
    close();
    take(input.value.trim());
  });
  element("example").addEventListener("click", async () => {
    try {
      // Popular items, of which the model has seen most.
      await openItems((await search("")).slice(0, EXAMPLE_CLICKS).reverse());
    } catch (error) {
      show("problem", error.message);
    }
  });
  element("clear").addEventListener("click", () => {
    session = [];
    input.focus();
    changed();
  });
  for (const id of ["k", "unseen"]) element(id).addEventListener("change", refresh);
  addEventListener("hashchange", openAddress);
  await openAddress();
}

start();
