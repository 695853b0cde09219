// Asks, and shows what is answered. What is asked stands behind the # of the address, which a browser keeps to itself.

import { element, facts, languageName, passage, ranking, vectors } from "./view.js";

const STEP = 3;
const byId = (name) => document.getElementById(name);
const form = byId("form");
const dialog = byId("document");
let known = { rankings: [], languages: [], labels: [], fields: [], bounds: {} };
let shown = null;
let latest = 0;

async function ask(path, question) {
  const settings = question === undefined
    ? {}
    : { method: "POST", headers: { "Content-Type": "application/json" }, body: JSON.stringify(question) };
  let answer;
  try {
    answer = await fetch(path, settings);
  } catch {
    throw new Error("The page's server does not answer: is corpus-embed explore still running?");
  }
  const found = await answer.json().catch(() => ({ error: `The server answers ${answer.status}.` }));
  if (!answer.ok) throw new Error(found.error);
  return found;
}

function complain(error) {
  byId("error").textContent = error?.message ?? "";
  byId("error").hidden = !error;
}

// --- What is asked ---

function chosen(name) {
  return [...byId(name).querySelectorAll("input:checked")].map((box) => box.value);
}

function conditions() {
  return [...byId("conditions").querySelectorAll("li")].map((row) => {
    const part = (name) => row.querySelector(`.${name}`).value;
    const value = { text: (one) => one, number: Number, truth: (one) => one === "true" }[part("type")](part("value"));
    const field = part("field") === "metadata" ? ["metadata", ...part("keys").split(".")] : [part("field")];
    return { field, operator: part("operator"), value };
  });
}

function question() {
  return {
    query: byId("query").value,
    top: Number(byId("top").value),
    by_document: byId("by-document").checked,
    compare: byId("compare").checked,
    languages: chosen("languages"),
    labels: chosen("labels"),
    date_from: byId("date-from").value || null,
    date_to: byId("date-to").value || null,
    where: conditions(),
  };
}

function addCondition(one) {
  const row = byId("condition").content.cloneNode(true).firstElementChild;
  const part = (name) => row.querySelector(`.${name}`);
  part("field").append(...known.fields.map((name) => element("option", {}, name)));
  part("remove").addEventListener("click", () => {
    row.remove();
    byId("add").focus();
    count();
  });
  // An empty number would be 0 and "yes" would be false, so the browser refuses them.
  const follow = () => {
    const [kind, value] = [part("type").value, part("value")];
    part("key").hidden = part("field").value !== "metadata";
    part("keys").required = !part("key").hidden;
    value.type = kind === "number" ? "number" : "text";
    value.step = "any";
    value.required = kind !== "text";
    value.pattern = kind === "truth" ? "true|false" : ".*";
    value.title = kind === "truth" ? "true or false" : "";
  };
  for (const name of ["field", "type"]) part(name).addEventListener("change", follow);
  if (one !== undefined) {
    const [field, ...keys] = one.field;
    part("field").value = field;
    part("keys").value = keys.join(".");
    part("operator").value = one.operator;
    part("type").value = { number: "number", boolean: "truth" }[typeof one.value] ?? "text";
  }
  follow();
  // A field takes a value only of the kind that it has by then.
  if (one !== undefined) part("value").value = String(one.value);
  byId("conditions").querySelector("ul").append(row);
  return part("field");
}

function count() {
  const asked = question();
  const active = [asked.languages.length, asked.labels.length, asked.date_from, asked.date_to, asked.where.length].filter(Boolean).length;
  byId("active").textContent = active ? `(${active} in use)` : "";
}

function fillIn(asked) {
  byId("query").value = asked.query ?? "";
  if ([...byId("top").options].some((one) => one.value === String(asked.top))) byId("top").value = String(asked.top);
  byId("by-document").checked = asked.by_document === true;
  byId("compare").checked = asked.compare === true;
  byId("date-from").value = asked.date_from ?? "";
  byId("date-to").value = asked.date_to ?? "";
  for (const name of ["languages", "labels"]) {
    const wanted = new Set(asked[name] ?? []);
    for (const box of byId(name).querySelectorAll("input")) box.checked = wanted.has(box.value);
  }
  byId("conditions").querySelector("ul").replaceChildren();
  for (const one of asked.where ?? []) addCondition(one);
  count();
}

// --- What is answered ---

async function search() {
  const asked = question();
  const turn = ++latest;
  history.replaceState(null, "", `#${encodeURIComponent(JSON.stringify(asked))}`);
  complain(null);
  byId("status").textContent = "Searching …";
  try {
    const found = await ask("api/search", asked);
    // An earlier question may be answered later.
    if (turn === latest) showRankings(found.rankings);
  } catch (error) {
    if (turn !== latest) return;
    byId("rankings").replaceChildren();
    byId("status").textContent = "";
    complain(error);
  }
}

function showRankings(rankings) {
  byId("rankings").className = rankings.length > 1 ? "" : "one";
  byId("rankings").replaceChildren(...rankings.map((answer, number) => ranking(answer, number, known.rankings, openDocument)));
  const hits = rankings[0].hits;
  const languages = new Set(hits.map((hit) => hit.language));
  byId("status").textContent = hits.length
    ? `${hits.length} chunks in ${languages.size} ${languages.size > 1 ? "languages" : "language"}`
    : "Nothing found: no chunk fits these filters.";
  const keys = new Set(hits.flatMap((hit) => Object.keys(hit.metadata ?? {})));
  byId("keys").replaceChildren(...[...keys].sort().map((key) => element("option", { value: key })));
}

/** Marks a chunk in every ranking that has it. */
function mark(event) {
  const name = event.target.closest?.(".hit")?.dataset.chunk;
  for (const hit of byId("rankings").querySelectorAll(".hit")) {
    hit.classList.toggle("same", name !== undefined && hit.dataset.chunk === name && byId("rankings").children.length > 1);
  }
}

// --- A chunk in its document ---

async function openDocument(number, hit) {
  shown = { number, id: hit.id, before: STEP, after: STEP };
  if (await showDocument()) {
    if (!dialog.open) dialog.showModal();
    byId("passages").querySelector(".chosen").scrollIntoView({ block: "center" });
    byId("document-name").focus({ preventScroll: true });
  }
}

async function showDocument() {
  const turn = shown;
  const asked = new URLSearchParams({ ranking: shown.number, id: shown.id, before: shown.before, after: shown.after });
  try {
    const found = await ask(`api/document?${asked}`);
    // Another chunk may have been asked for meanwhile.
    if (turn !== shown) return false;
    complain(null);
    const most = known.bounds.neighbours;
    byId("document-name").textContent = found.document_id;
    byId("facts").replaceChildren(...facts(found));
    byId("passages").replaceChildren(...found.passages.map((one) => passage(one, found)));
    byId("before").hidden = found.starts || shown.before >= most;
    byId("after").hidden = found.ends || shown.after >= most;
    return true;
  } catch (error) {
    dialog.close();
    complain(error);
    return false;
  }
}

function more(side) {
  shown[side] = Math.min(known.bounds.neighbours, shown[side] + STEP);
  showDocument();
}

// --- The page ---

function chips(name, entries) {
  byId(name).hidden = entries.length === 0;
  byId(name).querySelector(".chips").replaceChildren(
    ...entries.map(({ value, label, rows }) =>
      element(
        "label",
        { title: value },
        element("input", { type: "checkbox", value }),
        " ",
        element("span", { dir: "auto" }, label),
        ...(rows === undefined ? [] : [" ", element("span", { className: "count" }, rows.toLocaleString("en"))]),
      ),
    ),
  );
}

function describe() {
  const [first] = known.rankings;
  document.title = `${first.collection} – explore`;
  byId("name").textContent = first.collection;
  // Of a directory its name: a picture of the page need not show where on a disk it lies.
  const model = /^[./~]/.test(first.model) ? first.model.split("/").filter(Boolean).at(-1) : first.model;
  byId("about").textContent = `${known.rows.toLocaleString("en")} chunks · ${vectors(first)} · ${model}`;
  const languages = known.languages.map((one) => ({ value: one.code, label: languageName(one.code), rows: one.rows }));
  chips("languages", languages.sort((one, other) => one.label.localeCompare(other.label, "en")));
  chips("labels", known.labels.map((name) => ({ value: name, label: name })));
  byId("query").maxLength = known.bounds.query_characters;
  byId("comparing").hidden = known.rankings.length < 2;
}

function asked() {
  try {
    const found = JSON.parse(decodeURIComponent(location.hash.slice(1)));
    return typeof found === "object" && found !== null ? found : {};
  } catch {
    return {};
  }
}

async function start() {
  try {
    known = await ask("api/collection");
  } catch (error) {
    complain(error);
    return;
  }
  describe();
  try {
    fillIn(asked());
  } catch {
    // What stands in an address may be anything.
    fillIn({});
  }
  if (byId("query").value) await search();
  else byId("query").focus();
}

form.addEventListener("submit", (event) => {
  event.preventDefault();
  search();
});
form.addEventListener("change", count);
byId("compare").addEventListener("change", () => { if (byId("query").value) form.requestSubmit(); });
// A field that is folded away cannot say what is wrong with it.
form.addEventListener("invalid", () => { byId("filters").open = true; }, true);
byId("add").addEventListener("click", () => {
  addCondition().focus();
  count();
});
byId("before").addEventListener("click", () => more("before"));
byId("after").addEventListener("click", () => more("after"));
byId("rankings").addEventListener("pointerover", mark);
byId("rankings").addEventListener("focusin", mark);
window.addEventListener("hashchange", start);
start();
