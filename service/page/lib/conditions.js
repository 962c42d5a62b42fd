import { compareNumbers, cut, equal, isNumber, isObject, keysOf, own, text, typeOf } from "./json.js";

export const MISSING = Symbol("missing");
export function valueAt(state, path) {
	let value = state;
	for (const key of keysOf(path)) {
		const isThere = Array.isArray(value) ? /^(0|[1-9]\d*)$/.test(key) && key < value.length : isObject(value) && Object.hasOwn(value, key);
		if (!isThere) return MISSING;
		value = value[key];
	}
	return value;
}

const partsOf = (condition) => condition.all ?? condition.any ?? (condition.not && [condition.not]);
const comparisons = (condition) => (condition ? (partsOf(condition)?.flatMap(comparisons) ?? [condition]) : []);
export const pathsOf = (condition) => comparisons(condition).flatMap(({ key, value_from }) => (value_from === undefined ? [key] : [key, value_from]));

/** Keep what is written from right to left from changing sides with what it is compared with. */
const apart = (words) => (/[\u0590-\u08ff\ufb1d-\ufefc]/.test(words) ? `\u2068${words}\u2069` : words);
const brief = (value) => (value === MISSING ? "missing" : apart(cut(text(value), 20)));
const opText = (op) => ({ "!=": "≠", ">=": "≥", "<=": "≤", "==": "=", not_in: "not in", is_type: "has type" })[op] ?? op;

export function conditionText(condition, isInner) {
	if (!condition) return "otherwise";
	const { key, op, value, value_from } = condition;
	if (condition.not) return `not (${conditionText(condition.not)})`;
	if (op === "exists") return `${apart(key)} ${value === false ? "is missing" : "exists"}`;
	if (op) return `${apart(key)} ${opText(op)} ${value_from !== undefined ? apart(value_from) : op === "is_type" ? value : brief(value)}`;
	const joined = partsOf(condition).map((part) => conditionText(part, true)).join(condition.all ? " and " : " or ");
	return isInner ? `(${joined})` : joined;
}

function order(left, right) {
	if (isNumber(left) && isNumber(right)) return compareNumbers(left, right);
	if (typeof left !== "string" || typeof right !== "string") return NaN;
	const [a, b] = [left, right].map((side) => Array.from(side, (char) => char.codePointAt(0)));
	const at = a.findIndex((code, index) => code !== b[index]);
	return at < 0 ? a.length - b.length : a[at] - (b[at] ?? -1);
}

const among = (list, item) => list.some((one) => equal(one, item));
const TESTS = {
	"==": equal, "!=": (a, b) => !equal(a, b),
	">": (a, b) => order(a, b) > 0, ">=": (a, b) => order(a, b) >= 0, "<": (a, b) => order(a, b) < 0, "<=": (a, b) => order(a, b) <= 0,
	in: (a, b) => Array.isArray(b) && among(b, a), not_in: (a, b) => Array.isArray(b) && !among(b, a),
	contains: (a, b) => (Array.isArray(a) ? among(a, b) : typeof a === "string" && typeof b === "string" && a.includes(b)),
	is_type: (a, b) => typeOf(a) === b,
};

export function holds({ op, value = null }, left, right) {
	if (op === "exists") return (left !== MISSING) === (value !== false);
	return left === MISSING || right === MISSING ? null : TESTS[op](left, right);
}

const sides = ({ key, value, value_from }, lookup) => [lookup(key), value_from === undefined ? value : lookup(value_from)];

export function evaluate(condition, state) {
	if (!condition) return true;
	const parts = partsOf(condition);
	if (!parts) return holds(condition, ...sides(condition, (path) => valueAt(state, path)));
	if (condition.not) return { true: false, false: true }[evaluate(condition.not, state)] ?? null;
	for (const part of parts) {
		const result = evaluate(part, state);
		if (result !== Boolean(condition.all)) return result;
	}
	return Boolean(condition.all);
}

export function asked(condition, operands) {
	const found = [];
	const lookup = (path) => (Object.hasOwn(operands, path) ? operands[path] : MISSING);
	const ask = (one) => {
		if (one.not) return !ask(one.not);
		const isAll = Boolean(one.all);
		const parts = partsOf(one);
		if (parts) return parts.every((part) => ask(part) === isAll) === isAll;
		const [left, right] = sides(one, lookup);
		const { key, op, value } = one;
		const saying = op === "exists" ? `${apart(key)} ${left === MISSING ? "missing" : "there"}` : `${brief(left)} ${opText(op)} ${op === "is_type" ? value : brief(right)}`;
		const result = holds(one, left, right);
		found.push({ comparison: one, left, right, result, text: saying });
		return result;
	};
	if (condition) ask(condition);
	return found;
}

export const isOrdinary = (edge) => edge.on_error == null;
export const edgesFrom = (definition, node) => own(definition.edges, node) ?? [];

export function cellsOf(definition, { node, decision: { reason, evaluated } }) {
	const edges = edgesFrom(definition, node);
	let at = -1;
	return new Map(evaluated.map((entry) => {
		const fits = (edge, index) => index > at && isOrdinary(edge) === (reason !== "on_error") && edge.to === entry.to && equal(edge.condition ?? null, entry.condition);
		return [(at = edges.findIndex(fits)), entry];
	}));
}
export const takenIndex = (definition, step) => [...cellsOf(definition, step)].find(([, { result }]) => result)?.[0] ?? null;
