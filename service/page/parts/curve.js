import { count, html } from "lib";

const W = 260, H = 84, PAD = 6;
const tidy = (value) => (Number.isInteger(value) ? count(value) : +value.toPrecision(6));

export function Curve({ label, points, limits, step, onStep }) {
	const scale = (values, from, to) => {
		const [low, high] = [Math.min(...values), Math.max(...values)];
		return (value) => from + ((value - low) / (high - low || 1)) * (to - from);
	};
	const px = scale(points.map(([x]) => x), PAD, W - PAD);
	const py = scale([...points, ...limits].map(([, y]) => y), H - PAD, PAD);
	const line = (list) => list.map(([x, y]) => `${px(x)},${py(y)}`).join(" ");
	const [first, last, limit] = [points[0], points.at(-1), limits.at(-1)].map(([, y]) => tidy(y));
	return html`<figure class="curve"><figcaption title=${label}><bdi>${label}</bdi></figcaption>
		<svg viewBox=${`0 0 ${W} ${H}`} role="img" aria-label=${`${label}: from ${first} to ${last}, threshold ${limit}`}>
			<polyline class="limit" points=${line(limits)} /><polyline class="values" points=${line(points)} />
			${points.length <= 60 && points.map(([x, y]) => html`<circle class=${x === step && "is-at"} cx=${px(x)} cy=${py(y)} r=${x === step ? 4 : 2.5} onClick=${() => onStep(x)}><title>step ${x}: ${tidy(y)}</title></circle>`)}
		</svg><div class="range"><span>${first} at step ${count(points[0][0])}</span><span>→ ${last} at ${count(points.at(-1)[0])}, <span class="limit">threshold ${limit}</span></span></div></figure>`;
}
