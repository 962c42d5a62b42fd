/** Two runs on one picture: the way that they share, where they part, and what differed there. */
import { html, useMemo } from "../lib/html.js";
import { enc, get } from "../lib/api.js";
import { asked, conditionText, takenIndex } from "../lib/conditions.js";
import { count, own, short } from "../lib/format.js";
import { cachedGraph } from "../lib/graphs.js";
import { differences, same } from "../lib/json.js";
import { useLoad } from "../lib/load.js";
import { go, href, route, setQuery } from "../lib/router.js";
import { Empty, Fault, Status } from "../parts/basics.js";
import { DecisionLine } from "./run/decisions.js";
import { useKeys } from "../parts/keys.js";
import { Picture, edgeKey } from "../parts/picture.js";
import { Changes } from "./run/state.js";

const STEPS_MAX = 5000;

async function load(id) {
  const { logs: _, state: __, ...run } = await get(`graph/state/${enc(id)}`, { limit: 1 });
  const steps = [];
  for (let after = 0; after !== null && steps.length < STEPS_MAX; ) {
    const page = await get(`runs/${enc(id)}/steps`, { after_step: after, limit: 500 });
    steps.push(...page.items);
    after = page.next_cursor;
  }
  return { run, steps, graph: await cachedGraph(run.graph_id) };
}

/** Return how many steps of each run come before the first that they can share. */
function offsets(a, b) {
  if (b.run.forked_from?.run_id === a.run.run_id) return [b.run.forked_from.step, 0];
  if (a.run.forked_from?.run_id === b.run.run_id) return [0, a.run.forked_from.step];
  return [0, 0];
}

/** Return the first row in which the two go, or else change the state, differently; or null. Row n is the nth step after the offsets. */
function parting(a, b, [x, y]) {
  const length = Math.max(a.steps.length - x, b.steps.length - y);
  const rows = Array.from({ length }, (_, row) => [a.steps[x + row], b.steps[y + row]]);
  const went = rows.findIndex(([one, other]) => one?.node !== other?.node || one.decision.to !== other.decision.to);
  const found = went >= 0 ? went : rows.findIndex(([one, other]) => !same(one.changes, other.changes));
  return found < 0 ? null : found + 1;
}

const keysOf = ({ steps, graph }) => {
  const found = new Set();
  for (const { node, decision } of steps) if (node !== null) found.add(edgeKey(node, takenIndex(own(graph.definition.edges, node) ?? [], decision)));
  return found;
};

function tonesOf(a, b) {
  const [ofA, ofB] = [keysOf(a), keysOf(b)];
  return new Map([...ofA, ...ofB].map((key) => [key, ofA.has(key) && ofB.has(key) ? "both" : ofA.has(key) ? "only-a" : "only-b"]));
}

function Side({ letter, side, step, offset }) {
  const { run } = side;
  const record = side.steps[step - 1];
  return html`<section class=${`side side-${letter}`}>
    <h2><span class="letter">${letter.toUpperCase()}</span> <a href=${href(["runs", run.run_id], { step })}>${short(run.run_id)}</a> <bdi>${side.graph.name}</bdi> <${Status} status=${run.status} /></h2>
    ${record ? html`<p class="hint">step ${count(step)} of ${count(side.steps.length)}</p><${DecisionLine} step=${record} />
      <table class="matrix"><tbody>${record.decision.evaluated.map((entry) => html`<tr><th scope="row"><bdi>→ ${entry.to ?? "end"}</bdi></th><td class=${entry.result ? "true" : "false"}>${entry.result ? "✓" : "✗"} ${asked(entry.condition, entry.operands).map(({ comparison, text }) => html`<div class="test" title=${conditionText(comparison)}>${text}</div>`)}</td></tr>`)}</tbody></table>`
      : html`<p class="hint">${step <= offset ? (step === 0 ? "the initial state" : "before the fork") : `ended after ${count(side.steps.length)} steps`}</p>`}
  </section>`;
}

function Choose({ a, b }) {
  const { data } = useLoad(() => get("runs", { limit: 100 }), []);
  const submit = (event) => {
    event.preventDefault();
    const { elements } = event.target;
    go(href(["compare"], { a: elements.a.value.trim(), b: elements.b.value.trim() }));
  };
  const field = (name, value) => html`<label class="field">Run ${name.toUpperCase()} <input name=${name} list="known" required defaultValue=${value ?? ""} placeholder="id of a run" /></label>`;
  return html`<div class="title"><h1>Compare two runs</h1></div><form class="choose" onSubmit=${submit}>${field("a", a)}${field("b", b)}
    <datalist id="known">${(data?.items ?? []).map((run) => html`<option key=${run.run_id} value=${run.run_id}>${run.status}</option>`)}</datalist><button class="primary">Compare</button></form>`;
}

function Compared({ a, b }) {
  const shift = useMemo(() => offsets(a, b), [a, b]);
  const first = useMemo(() => parting(a, b, shift), [a, b]);
  const tones = useMemo(() => tonesOf(a, b), [a, b]);
  const length = Math.max(a.steps.length - shift[0], b.steps.length - shift[1]);
  const asked = route.value.query.get("step");
  const row = asked === null ? (first ?? length) : Math.max(0, Math.min(length, Number(asked) || 0));
  const steps = [a, b].map((side, at) => Math.min(side.steps.length, row + shift[at]));
  const { data: states, error } = useLoad(() => Promise.all([a, b].map(({ run }, at) => get(`runs/${enc(run.run_id)}/state`, { step: steps[at] }))), steps);
  const goTo = (next) => setQuery({ step: Math.max(0, Math.min(length, next)) });
  useKeys({ ArrowLeft: () => goTo(row - 1), ArrowRight: () => goTo(row + 1) });
  const changes = states ? differences(states[0].state, states[1].state) : [];
  return html`<div class="title"><h1>Compare</h1><span class="meta">${first === null ? "The two runs go the same way." : html`They part at row ${count(first)}.`} ${shift[0] || shift[1] ? `They share all up to the fork after step ${count(shift[0] || shift[1])}.` : ""}</span></div>
    <div class="cursor" role="group" aria-label="Step"><button aria-label="One step back" disabled=${row <= 0} onClick=${() => goTo(row - 1)}>←</button>
      <input type="range" min="0" max=${length} value=${row} aria-label="Row" onInput=${({ target }) => goTo(Number(target.value))} />
      <button aria-label="One step on" disabled=${row >= length} onClick=${() => goTo(row + 1)}>→</button><span class="where num">row ${count(row)} of ${count(length)}</span>
      ${first !== null ? html`<button aria-pressed=${row === first} onClick=${() => goTo(first)}>where they part</button>` : null}</div>
    <div class="columns"><div class="left">
      <${Picture} definition=${a.graph.definition} tones=${tones} at=${a.steps[steps[0] - 1]?.node} selected=${b.steps[steps[1] - 1]?.node} />
      <p class="legend"><span class="key both">both</span> <span class="key only-a">only A</span> <span class="key only-b">only B</span></p>
      ${a.run.graph_id !== b.run.graph_id ? html`<p class="notice">B runs on another graph; the picture is A's.</p>` : null}</div>
      <div class="right"><div class="sides"><${Side} letter="a" side=${a} step=${steps[0]} offset=${shift[0]} /><${Side} letter="b" side=${b} step=${steps[1]} offset=${shift[1]} /></div>
        <h2>State of A → state of B</h2><${Fault} error=${error} />
        ${states && !changes.length ? html`<p class="hint">The states are equal.</p>` : null}<${Changes} key=${row} changes=${changes} /></div></div>`;
}

export function Compare() {
  const { query } = route.value;
  const [a, b] = [query.get("a"), query.get("b")];
  const { data, error } = useLoad(async () => (a && b ? Promise.all([load(a), load(b)]) : null), [a, b]);
  if (!a || !b) return html`<${Choose} a=${a} b=${b} />`;
  if (error?.status === 404) return html`<${Choose} a=${a} b=${b} /><${Empty} title="There is no such run.">${error.message}<//>`;
  if (!data) return html`<${Fault} error=${error} />`;
  return html`<${Compared} a=${data[0]} b=${data[1]} />`;
}
