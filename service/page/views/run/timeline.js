/** Steps and their attempts in time, the newest first; idle gaps are folded. */
import { html, useMemo, useState } from "../../lib/html.js";
import { count, duration, own } from "../../lib/format.js";
import { kindOf } from "../../lib/edges.js";
import { Virtual } from "../../parts/virtual.js";

const ROW = 24;
const FOLD = 0.04;

const ms = (iso) => Date.parse(iso);
const isWaiting = (definition, step) => step.node === null || !own(definition.nodes, step.node) || kindOf(definition.nodes[step.node])[0] !== "tool";

/** Return the intervals of a step: `[{start, end, kind}]`; kind is ok, bad, wait or patch. */
function intervals(definition, step) {
  if (step.node === null) return [{ start: ms(step.started_at), end: ms(step.finished_at), kind: "patch" }];
  const found = step.attempts.map(({ started_at, finished_at, error }) => ({ start: ms(started_at), end: ms(finished_at), kind: error ? "bad" : "ok" }));
  if (isWaiting(definition, step)) return [{ start: ms(step.started_at), end: ms(step.finished_at), kind: "wait" }];
  return found.length ? found : [{ start: ms(step.started_at), end: ms(step.finished_at), kind: "ok" }];
}

/** Return a function from a time to 0…1 over the given intervals; what is idle or waited is folded. */
function scale(all) {
  const busy = all.filter(({ kind }) => kind !== "wait").sort((a, b) => a.start - b.start);
  const edges = [...new Set(all.flatMap(({ start, end }) => [start, end]))].sort((a, b) => a - b);
  if (!edges.length) return () => 0;
  const total = busy.reduce((sum, { start, end }) => sum + end - start, 0) || 1;
  const marks = [0];
  for (let at = 1; at < edges.length; at++) {
    const [from, to] = [edges[at - 1], edges[at]];
    const isBusy = busy.some(({ start, end }) => start <= from && end >= to && end > start);
    marks.push(marks[at - 1] + (isBusy ? to - from : Math.min(to - from, total * FOLD)));
  }
  const whole = marks.at(-1) || 1;
  const where = new Map(edges.map((edge, at) => [edge, marks[at] / whole]));
  return (time) => where.get(time) ?? 0;
}

function Row({ step, before, parts, place, definition, isAt, onStep }) {
  const first = parts[0].start;
  const gap = before ? first - ms(before.finished_at) : 0;
  const took = step.duration_ms ?? ms(step.finished_at) - ms(step.started_at);
  const failed = step.attempts.filter(({ error }) => error).length;
  const title = [`step ${step.step}`, step.node ?? "patch", `${duration(took)}`, failed ? `${failed} failed attempts: ${step.attempts.find(({ error }) => error).error.message}` : "", gap > 1000 ? `after ${duration(gap)} of rest` : ""].filter(Boolean).join(", ");
  return html`<button class=${`step ${isAt ? "is-at" : ""}`} aria-current=${isAt ? "step" : null} title=${title} onClick=${() => onStep(step.step)}>
    <span class="num">${count(step.step)}</span><bdi class="who">${step.node ?? "patch"}</bdi>
    <svg class="bars" viewBox="0 0 100 10" preserveAspectRatio="none" aria-hidden="true">
      ${parts.map(({ start, end, kind }, at) => html`
        ${at ? html`<rect class="backoff" x=${100 * place(parts[at - 1].end)} y="4.6" width=${Math.max(0, 100 * (place(start) - place(parts[at - 1].end)))} height="0.8" />` : null}
        <rect class=${kind} x=${Math.min(99.4, 100 * place(start))} y=${kind === "wait" ? 3.4 : 2} width=${Math.max(0.6, 100 * (place(end) - place(start)))} height=${kind === "wait" ? 3.2 : 6} />`)}
    </svg>
    <span class="num took">${gap > 1000 ? html`<i title="rest before this step">⋯${duration(gap)}</i> ` : null}${failed ? html`<b>${failed + 1} tries</b> ` : null}${duration(took)}</span>
  </button>`;
}

export function Timeline({ model, total, step, definition, onStep }) {
  const [range, setRange] = useState([0, 0]);
  const { steps } = model;
  const version = steps.version.value;
  const shown = [];
  for (let index = range[0]; index <= range[1]; index++) {
    const found = steps.get(total - index);
    if (found) shown.push(found);
  }
  const place = useMemo(() => scale(shown.flatMap((one) => intervals(definition, one))), [version, range[0], range[1], total]);
  const target = useMemo(() => ({ index: total - step, isNear: true }), [step]);
  const load = (first, last, ...seen) => {
    setRange(seen);
    steps.want(total - last, total - first);
  };
  const row = (index) => {
    const found = steps.get(total - index);
    if (!found) return html`<span class="step loading"><span class="num">${count(total - index)}</span></span>`;
    return html`<${Row} step=${found} before=${steps.get(total - index - 1)} parts=${intervals(definition, found)} place=${place} definition=${definition} isAt=${found.step === step} onStep=${onStep} />`;
  };
  if (!total) return html`<p class="hint pad">No step has been committed yet.</p>`;
  return html`<${Virtual} class="timeline" label="Steps, the newest first" count=${total} height=${ROW} rowsMax=${12} follow="start" target=${target} render=${row} onRange=${load} />`;
}
