import { Hint, Virtual, count, duration, html, kindOf, own, toNumber, useMemo, useState } from "parts";

const ROW = 24;
const FOLD = 0.12;
const GAP_MS = 1000;

/** An attempt's times are whole milliseconds; a step's duration is exact. */
const span = ({ started_at, finished_at, duration_ms: ms }, kind) => ({ start: Date.parse(started_at), end: ms === undefined ? Date.parse(finished_at) : Date.parse(started_at) + toNumber(ms), kind });

function intervals({ nodes }, step) {
	if (step.node === null) return [span(step, "patch")];
	if (kindOf(own(nodes, step.node) ?? {})[0] !== "tool") return [span(step, "wait")];
	return step.attempts.map((attempt, _, { length }) => span(length > 1 ? attempt : step, attempt.error ? "bad" : "ok"));
}

function scale(all) {
	const busy = all.filter(({ kind }) => kind !== "wait");
	const fold = FOLD * (busy.reduce((sum, { start, end }) => sum + end - start, 0) || 1);
	const times = [...new Set(all.flatMap(({ start, end }) => [start, end]))].sort((a, b) => a - b);
	const where = new Map();
	times.reduce((sum, to, at) => {
		const from = times[at - 1] ?? to;
		const isBusy = busy.some(({ start, end }) => start <= from && end >= to);
		const next = sum + (isBusy ? to - from : Math.min(to - from, fold));
		return where.set(to, next), next;
	}, 0);
	const whole = where.get(times.at(-1)) || 1;
	return (time) => (100 * (where.get(time) ?? 0)) / whole;
}

function Row({ step, before, parts, place, isAt, onStep }) {
	const gap = before ? parts[0]?.start - Date.parse(before.finished_at) : 0;
	const tries = step.attempts.length;
	const took = duration(tries > 1 ? parts.at(-1).end - parts[0].start : step.duration_ms);
	const bar = (kind, from, to) => html`<path class=${kind} d=${`M${(from = Math.min(99, from))} 5H${Math.max(to, from + 1)}`} />`;
	return html`<button class=${`step ${isAt ? "is-at" : ""}`} aria-current=${isAt && "step"} title=${step.attempts[0]?.error?.message} onClick=${() => onStep(step.step)}><span class="num">${count(step.step)}</span><bdi class="who">${step.node ?? "patch"}</bdi>
		<svg class="bars" viewBox="0 0 100 10" preserveAspectRatio="none" aria-hidden="true">${parts.map(({ start, end, kind }, at) => [at > 0 && bar("backoff", place(parts[at - 1].end), place(start)), bar(kind, place(start), place(end))])}</svg>
		<span class="num took">${gap > GAP_MS && html`<i>⋯${duration(gap)}</i> `}${tries > 1 && html`<b>${tries} tries</b> `}${took}</span></button>`;
}

export function Timeline({ model: { steps }, total, step, definition, onStep }) {
	const [[from, to], setSeen] = useState([0, 0]);
	const version = steps.version.value;
	const place = useMemo(() => scale(Array.from({ length: to - from + 1 }, (_, at) => steps.get(total - from - at)).filter(Boolean).flatMap((one) => intervals(definition, one))), [version, from, to, total]);
	const target = useMemo(() => ({ index: total - step, isNear: true }), [step]);
	const load = (first, last, ...seen) => (setSeen(seen), steps.want(total - last, total - first));
	const row = (index) => {
		const found = steps.get(total - index);
		return found ? html`<${Row} step=${found} before=${steps.get(total - index - 1)} parts=${intervals(definition, found)} place=${place} isAt=${found.step === step} onStep=${onStep} />` : html`<span class="step"><span class="num">${count(total - index)}</span></span>`;
	};
	return total ? html`<${Virtual} label="Steps, the newest first" count=${total} height=${ROW} rowsMax=${13} follow="start" target=${target} render=${row} onRange=${load} />` : html`<${Hint}>No step has been committed yet.<//>`;
}
