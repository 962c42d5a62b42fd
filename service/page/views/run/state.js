/** The state after a step, what that step changed, and who wrote a key. */
import { html, useMemo, useState } from "../../lib/html.js";
import { enc, maybe } from "../../lib/api.js";
import { pathsOf, keysOf, conditionText } from "../../lib/conditions.js";
import { differences, text } from "../../lib/json.js";
import { useLoad } from "../../lib/load.js";
import { Fault } from "../../parts/basics.js";
import { Json } from "../../parts/json.js";

const CHANGES_SHOWN = 40;
const SIGNS = { added: "+", changed: "~", removed: "−" };

const pathText = (path) => path.map((key) => (/^[\w-]+$/.test(key) ? key : JSON.stringify(key))).join(".");

/** The differences of two states, a row each. */
export function Changes({ changes }) {
  const [isAll, setAll] = useState(false);
  const shown = isAll ? changes : changes.slice(0, CHANGES_SHOWN);
  return html`<table class="changes"><tbody>${shown.map(({ path, kind, before, after }) => html`<tr key=${path.join("\0")} class=${kind}>
      <td class="sign" title=${kind}><span aria-label=${kind} role="img">${SIGNS[kind]}</span></td><th scope="row"><bdi>${pathText(path)}</bdi></th>
      <td>${before !== undefined ? html`<span class="old"><${Json} value=${before} open=${false} /></span>` : null}${kind === "changed" ? html`<span class="arrow" aria-label="became"> → </span>` : null}${after !== undefined ? html`<${Json} value=${after} open=${false} />` : null}</td>
    </tr>`)}</tbody></table>
    ${changes.length > shown.length ? html`<button class="more" onClick=${() => setAll(true)}>all ${changes.length} changes</button>` : null}`;
}

/** Return the edges of a graph whose conditions read a top-level key: `[{from, to, condition}]`. */
function readersOf(definition, key) {
  return Object.entries(definition.edges).flatMap(([from, edges]) =>
    edges.filter(({ condition }) => pathsOf(condition).some((path) => keysOf(path)[0] === key)).map((edge) => ({ from, ...edge })));
}

function Blame({ model, name, step, definition, onStep, onClose }) {
  const { data, error } = useLoad(() => maybe(`${model.base}/keys/${enc(name)}`, { before_step: step + 1, limit: 50 }), [name, step]);
  const readers = readersOf(definition, name);
  const [last, ...earlier] = data?.items ?? [];
  const stepButton = (item) => html`<button class="link" onClick=${() => onStep(item.step)}>step ${item.step}</button> <span class="hint">${item.step === 0 ? "initial" : html`<bdi>${item.node ?? "patch"}</bdi>`}</span>`;
  const value = (item) => (item.removed ? html`<span class="j-null">removed</span>` : html`<${Json} value=${item.value} open=${false} />`);
  return html`<section class="blame" aria-label=${`History of ${name}`}>
    <header><h2><bdi>${name}</bdi></h2><span class="grow"></span><button class="quiet" aria-label="Close" onClick=${onClose}>✕</button></header>
    <${Fault} error=${error} />
    ${last ? html`<p>Last written by ${stepButton(last)}.</p>` : null}
    ${earlier.length ? html`<table class="values"><thead><tr><th>Written by</th><th>Value</th></tr></thead><tbody>${[last, ...earlier].map((item) => html`<tr key=${item.step}><td>${stepButton(item)}</td><td>${value(item)}</td></tr>`)}</tbody></table>${data.next_cursor != null ? html`<p class="hint">Older values are not shown.</p>` : null}` : null}
    <p>${readers.length ? "Read by the edges" : "No edge reads it."}</p>
    <ul class="plain">${readers.map(({ from, to, condition }) => html`<li><bdi class="node">${from}</bdi> → <bdi class="node">${to ?? "end"}</bdi> <span class="hint">${conditionText(condition)}</span></li>`)}</ul>
  </section>`;
}

/** Paths, joined by NUL, of what changed and of all that it lies in. */
function marksOf(changes) {
  const marks = new Map();
  for (const { path, kind } of changes) {
    for (let end = 1; end < path.length; end++) marks.set(`\0${path.slice(0, end).join("\0")}`, "inside");
    if (kind !== "removed") marks.set(`\0${path.join("\0")}`, kind);
  }
  return marks;
}

export function StatePane({ model, step, definition, onStep, onFork }) {
  const [key, setKey] = useState(null);
  const { data, error } = useLoad(async () => {
    const [after, before] = await Promise.all([model.stateAt(step), step ? model.stateAt(step - 1) : null]);
    return { step, after, changes: before ? differences(before, after) : [] };
  }, [step, model]);
  const marks = useMemo(() => marksOf(data?.changes ?? []), [data]);
  const [isCopied, setCopied] = useState(false);
  if (!data) return html`<${Fault} error=${error} />`;
  const source = () => text(data.after, 2);
  const copy = () => navigator.clipboard.writeText(source()).then(() => setCopied(true));
  const keys = Object.keys(data.after);
  return html`<div class="statepane">
    ${data.step ? html`<h2>${data.changes.length ? `Step ${data.step} changed` : `Step ${data.step} changed nothing`}</h2><${Changes} key=${data.step} changes=${data.changes} />` : null}
    <header class="row"><h2>${data.step ? `State after step ${data.step}` : "Initial state"}</h2><span class="grow"></span>
      <button class="quiet" onClick=${copy}>${isCopied ? "Copied" : "Copy"}</button><button class="quiet" onClick=${onFork}>Fork from here…</button></header>
    ${key !== null && Object.hasOwn(data.after, key) ? html`<${Blame} key=${key} model=${model} name=${key} step=${step} definition=${definition} onStep=${onStep} onClose=${() => setKey(null)} />` : null}
    ${keys.length ? html`<ul class="json top">${keys.map((name) => html`<li key=${name} class=${marks.get(`\0${name}`) ?? ""}>
      <button class="j-key" title="Who wrote it, and who reads it" aria-pressed=${name === key} onClick=${() => setKey(name === key ? null : name)}><bdi>${name}</bdi></button>
      <${Json} value=${data.after[name]} marks=${marks} path=${`\0${name}`} open=${false} /></li>`)}</ul>` : html`<p class="hint">The state is empty.</p>`}
  </div>`;
}
