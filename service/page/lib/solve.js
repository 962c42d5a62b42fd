import { MISSING, evaluate, holds, isOrdinary, valueAt } from "./conditions.js";
import { differences, isNumber, isObject, isRaw, keysOf, mergePatch, toNumber } from "./json.js";

const NEGATED = { "==": "!=", "!=": "==", ">": "<=", ">=": "<", "<": ">=", "<=": ">", in: "not_in", not_in: "in" };
const SAMPLES = { boolean: [true], number: [0], string: [""], array: [[]], object: [{}] };

const shifted = (value, by) => (isRaw(value) && /^-?\d+$/.test(value.rawJSON) ? JSON.rawJSON(String(BigInt(value.rawJSON) + BigInt(by))) : toNumber(value) + by);

function candidates({ op, value }, left, right, wanted) {
	const isText = typeof right === "string";
	if (op === "exists") return (value !== false) === wanted ? [true] : [MISSING];
	if (op === "is_type") return wanted ? (SAMPLES[value] ?? []) : value === "string" ? [0] : [""];
	if (right === MISSING) return [];
	if (op === "contains" && !wanted) return Array.isArray(left) ? [left.filter((item) => !holds({ op: "==" }, item, right))] : [left.split(right).join("")];
	switch (wanted ? op : NEGATED[op]) {
		case "==": case ">=": case "<=": return [right];
		case "!=": return [isNumber(right) ? shifted(right, 1) : typeof right === "boolean" ? !right : isText ? `${right}x` : ""];
		case ">": return isNumber(right) ? [shifted(right, 1)] : isText ? [`${right} `] : [];
		case "<": return isNumber(right) ? [shifted(right, -1)] : isText ? [""] : [];
		case "in": return Array.isArray(right) ? right : [];
		case "not_in": return isNumber(left) ? [shifted(left, 1), 0.5] : [`${typeof left === "string" ? left : ""}x`, "?"];
		default: return Array.isArray(left) ? [[...left, right]] : typeof left === "string" && isText ? [left + right] : [[right]];
	}
}

/** Return a copy of `inside` with a value set (MISSING: removed) below it; null without such a place. */
function withValue(inside, [key, ...keys] = [], value) {
	const isArray = Array.isArray(inside);
	if (isArray ? !/^\d+$/.test(key) || Number(key) >= inside.length || (!keys.length && value === MISSING) : inside !== undefined && !isObject(inside)) return null;
	const entries = new Map(Object.entries(inside ?? {}));
	const next = keys.length ? withValue(entries.get(key), keys, value) : value;
	if (keys.length && next === null) return null;
	if (next === MISSING) entries.delete(key);
	else entries.set(key, next);
	return isArray ? [...entries.values()] : Object.fromEntries(entries);
}

function solutions(condition, state, wanted) {
	if (evaluate(condition, state) === wanted) return [state];
	if (!condition) return [];
	if (condition.not) return solutions(condition.not, state, !wanted);
	const parts = condition.all ?? condition.any;
	if (parts && Boolean(condition.all) === wanted) return parts.reduce((states, part) => states.flatMap((one) => solutions(part, one, wanted)).slice(0, 20), [state]);
	if (parts) return parts.flatMap((part) => solutions(part, state, wanted));
	const { key, value, value_from } = condition;
	const right = value_from === undefined ? value : valueAt(state, value_from);
	const changed = candidates(condition, valueAt(state, key), right, wanted).map((one) => withValue(state, keysOf(key), one));
	return changed.filter((one) => one !== null && evaluate(condition, one) === wanted);
}

export function solve(edges, index, state) {
	const before = edges.slice(0, index).filter(isOrdinary);
	const { condition } = edges[index];
	let states = solutions(condition, state, true);
	for (const edge of before) states = states.flatMap((one) => solutions(edge.condition, one, false)).slice(0, 50);
	const found = [];
	for (const one of states) {
		if (evaluate(condition, one) !== true || before.some((edge) => evaluate(edge.condition, one) !== false)) continue;
		try { found.push({ patch: mergePatch(state, one), changes: differences(state, one) }); } catch { /* A patch cannot say it. */ }
	}
	return found.sort((a, b) => a.changes.length - b.changes.length)[0] ?? null;
}
