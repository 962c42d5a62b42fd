/** Conditions as the engine sees them: their text, their value over a state, and the keys that they read. */
import { compareNumbers, equal, isNumber, isObject, text, typeOf } from "./json.js";
import { cut, own } from "./text.js";

/** Return the keys of a path: a JSON Pointer where it begins with `/`, dotted otherwise. */
export const keysOf = (path) => (path.startsWith("/") ? path.slice(1).split("/").map((key) => key.replaceAll("~1", "/").replaceAll("~0", "~")) : path.split("."));

export const MISSING = Symbol("missing");
/** Return the value at a path of a state, or MISSING. */
export function valueAt(state, path) {
	let value = state;
	for (const key of keysOf(path)) {
		const isThere = Array.isArray(value) ? /^(0|[1-9]\d*)$/.test(key) && key < value.length : isObject(value) && Object.hasOwn(value, key);
		if (!isThere) return MISSING;
		value = value[key];
	}
	return value;
}

export const partsOf = (condition) => condition.all ?? condition.any ?? (condition.not && [condition.not]);
/** Return all comparisons of a condition, left to right. */
export const comparisons = (condition) => (condition ? (partsOf(condition)?.flatMap(comparisons) ?? [condition]) : []);
/** Return the paths that a condition reads. */
export const pathsOf = (condition) => comparisons(condition).flatMap(({ key, value_from }) => (value_from === undefined ? [key] : [key, value_from]));

const brief = (value) => (value === MISSING ? "missing" : cut(text(value), 20));
const opText = (op) => ({ "!=": "≠", ">=": "≥", "<=": "≤", "==": "=", not_in: "not in", is_type: "is a" })[op] ?? op;

/** Return a condition in short, for people. */
export function conditionText(condition, isInner) {
	if (!condition) return "otherwise";
	const { key, op, value, value_from } = condition;
	if (condition.not) return `not (${conditionText(condition.not)})`;
	if (op === "exists") return `${key} ${value === false ? "is missing" : "exists"}`;
	if (op) return `${key} ${opText(op)} ${value_from ?? (op === "is_type" ? value : brief(value))}`;
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

/** Return whether a comparison holds between two values, or null where the state lacks one of them. */
export function holds({ op, value }, left, right) {
	if (op === "exists") return (left !== MISSING) === (value !== false);
	return left === MISSING || right === MISSING ? null : TESTS[op](left, right);
}

const sides = ({ key, value, value_from }, lookup) => [lookup(key), value_from === undefined ? value : lookup(value_from)];

/** Return whether a condition is true over a state; null where a key that it asks for is missing. */
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

/**
 * Return the comparisons that were asked, with the values that were compared: `[{comparison, left, right, result,
 * text}]`. `operands` maps each path that was read to its value.
 */
export const asked = (condition, operands) =>
	comparisons(condition).filter(({ key, op }) => op === "exists" || Object.hasOwn(operands, key)).map((comparison) => {
		const [left, right] = sides(comparison, (path) => (Object.hasOwn(operands, path) ? operands[path] : MISSING));
		const { key, op, value } = comparison;
		const saying = op === "exists" ? `${key} ${left === MISSING ? "missing" : "there"}` : `${brief(left)} ${opText(op)} ${op === "is_type" ? value : brief(right)}`;
		return { comparison, left, right, result: holds(comparison, left, right), text: saying };
	});

/** Return the edges of a node of a definition. */
export const edgesFrom = (definition, node) => own(definition.edges, node) ?? [];

/** Return the index, among all edges of the step's node, of the edge that it took; null where it took none. */
export function takenIndex(definition, { node, decision }) {
	if (["none_true", "no_edges", "patch"].includes(decision.reason)) return null;
	const isError = decision.reason === "on_error";
	const last = decision.evaluated.at(-1);
	const candidates = [...edgesFrom(definition, node).entries()].filter(([, edge]) => (edge.on_error != null) === isError);
	if (!isError) return candidates[decision.evaluated.length - 1]?.[0] ?? null;
	return candidates.find(([, edge]) => edge.to === decision.to && equal(edge.condition ?? null, last?.condition ?? null))?.[0] ?? null;
}
