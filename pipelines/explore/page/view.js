// Answers as elements. Whatever comes from the corpus becomes text of a node, never markup.

/** An element with some properties and children; strings become text nodes. */
export function element(tag, properties = {}, ...children) {
  const made = document.createElement(tag);
  for (const [name, value] of Object.entries(properties)) {
    if (name in made && !name.includes("-")) made[name] = value;
    else made.setAttribute(name, value);
  }
  made.append(...children);
  return made;
}

/** A text in its own language and direction. */
export function text(tag, className, content, language) {
  const known = /^[a-z]{2,3}$/.test(language ?? "") && language !== "und";
  return element(tag, { className, dir: "auto", ...(known ? { lang: language } : {}) }, content);
}

const names = new Intl.DisplayNames(["en"], { type: "language", fallback: "code" });

/** A language as people call it. */
export function languageName(code) {
  try {
    return code === "und" ? "unknown" : names.of(code);
  } catch {
    return code;
  }
}

/** How far a chunk moved against the first ranking. */
function move(hit, first) {
  if (!("first_rank" in hit)) return [];
  const by = hit.first_rank === null ? null : hit.first_rank - hit.rank;
  if (by === null) return [element("span", { className: "move up" }, `not in ${first}`)];
  if (by === 0) return [element("span", { className: "move" }, "same rank")];
  const shown = `${by > 0 ? "▲" : "▼"} ${Math.abs(by)}`;
  const said = `${Math.abs(by)} ${by > 0 ? "higher" : "lower"} than in ${first}, where it has rank ${hit.first_rank}`;
  const properties = { className: `move ${by > 0 ? "up" : "down"}`, title: said };
  return [element("span", properties, element("span", { "aria-hidden": "true" }, shown), hiddenText(said))];
}

function hiddenText(content) {
  return element("span", { className: "for-readers" }, content);
}

/** What a collection holds of its vectors. */
export function vectors(of) {
  return of.dimensions === null ? of.milvus_outputs.join(", ") : `${of.vector_type}, ${of.dimensions} dimensions`;
}

/** One ranking: its title, what is said of it, and its chunks. `open(number, hit)` shows a chunk in its document. */
export function ranking(answer, number, known, open) {
  const first = known[0].collection;
  const heading = element("h2", { id: `ranking-${number}`, dir: "auto" }, answer.title);
  const section = element("section", { className: "ranking", "aria-labelledby": heading.id }, heading);
  if (answer.error !== undefined) {
    section.append(element("p", { dir: "auto" }, answer.error));
    return section;
  }
  const shared = answer.shared === undefined ? [] : [`${answer.shared} of ${answer.hits.length} are in ${first}`];
  section.append(element("p", { dir: "auto" }, [known[number].by_full_precision ? "four times as many candidates" : vectors(known[number]), ...shared].join(" · ")));
  section.append(element("ol", {}, ...answer.hits.map((one) => hit(one, number, first, open))));
  return section;
}

function hit(one, number, first, open) {
  const button = element("button", { type: "button" }, "In document");
  button.setAttribute("aria-label", `Show rank ${one.rank}, ${one.document_id}, in its document`);
  button.addEventListener("click", () => open(number, one));
  const label = one.label ? [element("span", { className: "tag", dir: "auto" }, one.label)] : [];
  const made = element(
    "li",
    { className: "hit" },
    element(
      "div",
      { className: "line" },
      element("span", { className: "rank" }, String(one.rank)),
      element("span", { className: "tag", title: one.language }, languageName(one.language)),
      ...label,
      element("span", { className: "score", title: "score" }, one.score.toFixed(4)),
      ...move(one, first),
    ),
    text("p", "text", one.text, one.language),
    element(
      "div",
      { className: "line" },
      element("span", { className: "place", dir: "auto" }, one.document_id),
      element("span", { className: "place" }, `chunk ${one.ordinal}`),
      ...(one.date ? [element("span", { className: "place", dir: "auto" }, one.date)] : []),
      button,
    ),
  );
  made.dataset.chunk = one.id;
  return made;
}

/** What is known of a document, as terms and descriptions. */
export function facts(found) {
  const pairs = {
    language: `${languageName(found.language)} (${found.language}), script ${found.script}`,
    date: found.date,
    source: found.source,
  };
  for (const [name, value] of Object.entries(found.metadata ?? {})) {
    pairs[`metadata.${name}`] = typeof value === "string" ? value : JSON.stringify(value);
  }
  return Object.entries(pairs)
    .filter(([, value]) => value)
    .flatMap(([name, value]) => [element("dt", { dir: "auto" }, name), element("dd", { dir: "auto" }, value)]);
}

/** A passage of a document. */
export function passage(one, found) {
  const chosen = one.id === found.id;
  // Chunks leave out the line breaks between them.
  const between = one.skipped > 2 ? [element("p", { className: "place" }, `… ${one.skipped} characters …`)] : [];
  const made = element(
    "section",
    { className: chosen ? "passage chosen" : "passage", "aria-label": chosen ? "the chunk that was found" : `chunk ${one.ordinal}` },
    ...between,
    element("p", { className: "place" }, `chunk ${one.ordinal}, characters ${one.start} to ${one.end}`),
    text("p", "text", one.text, found.language),
  );
  if (chosen) made.setAttribute("aria-current", "true");
  return made;
}
