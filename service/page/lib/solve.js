/** Make it true: the smallest change of a state after which a node's edge is the one that is taken. */
import { MISSING, evaluate, holds, keysOf, valueAt } from "./conditions.js";
import { isNumber, isObject, isRaw, mergePatch, toNumber, differences } from "./json.js";

const NEGATED = { "==": "!=", "!=": "==", ">": "<=", ">=": "<", "<": ">=", "<=": ">", in: "not_in", not_in: "in" };
const SAMPLES = { boolean: [true], number: [0], string: [""], array: [[]], object: [{}], null: [null] };

function shifted(value, by) {
  if (isRaw(value) && /^-?\d+$/.test(value.rawJSON)) return JSON.rawJSON(String(BigInt(value.rawJSON) + BigInt(by)));
  return toNumber(value) + by;
}

/** Values for the left side, nearest first, which may make the comparison what is wanted. */
function candidates({ op, value }, left, right, wanted) {
  if (op === "exists") return (value !== false) === wanted ? [true] : [MISSING];
  if (op === "is_type") return wanted ? (SAMPLES[value] ?? []) : value === "string" ? [0] : [""];
  if (right === MISSING) return [];
  if (!wanted && op === "contains") {
    if (Array.isArray(left)) return [left.filter((item) => !holds({ op: "==" }, item, right))];
    return typeof left === "string" && typeof right === "string" ? [left.split(right).join("")] : [];
  }
  const asks = wanted ? op : NEGATED[op];
  const isText = typeof right === "string";
  switch (asks) {
    case "==": case ">=": case "<=": return [right];
    case "!=": return isNumber(right) ? [shifted(right, 1)] : typeof right === "boolean" ? [!right] : [isText ? `${right}x` : ""];
    case ">": return isNumber(right) ? [shifted(right, 1)] : isText ? [`${right} `] : [];
    case "<": return isNumber(right) ? [shifted(right, -1)] : isText && right ? [""] : [];
    case "in": return Array.isArray(right) ? right : [];
    case "not_in": return isNumber(left) ? [shifted(left, 1), 0.5] : [`${left === MISSING ? "" : left}x`, "?"];
    case "contains":
      if (Array.isArray(left)) return [[...left, right]];
      return typeof left === "string" && isText ? [left + right] : [[right]];
    default: return [];
  }
}

/** Return a copy of the state with a value set (or taken out) at a path, or null where the path leads through no object. */
function withValue(state, path, value) {
  const keys = keysOf(path);
  const copy = (inside, depth) => {
    const key = keys[depth];
    const isLast = depth === keys.length - 1;
    if (Array.isArray(inside)) {
      if (!/^\d+$/.test(key) || Number(key) >= inside.length || (isLast && value === MISSING)) return null;
      const next = isLast ? value : copy(inside[key], depth + 1);
      return next === null && !isLast ? null : inside.map((item, index) => (index === Number(key) ? next : item));
    }
    if (inside !== undefined && !isObject(inside)) return null;
    const result = new Map(Object.entries(inside ?? {}));
    if (isLast && value === MISSING) return result.delete(key), Object.fromEntries(result);
    const next = isLast ? value : copy(result.get(key), depth + 1);
    if (next === null && !isLast) return null;
    return Object.fromEntries(result.set(key, next));
  };
  return copy(state, 0);
}

/** Return states, near ones first, over which the condition is what is wanted. */
function solutions(condition, state, wanted) {
  if (!condition) return wanted ? [state] : [];
  if (evaluate(condition, state) === wanted) return [state];
  if (condition.not) return solutions(condition.not, state, !wanted);
  const parts = condition.all ?? condition.any;
  if (parts) {
    const needsEach = Boolean(condition.all) === wanted;
    if (!needsEach) return parts.flatMap((part) => solutions(part, state, wanted));
    return parts.reduce((states, part) => states.flatMap((one) => solutions(part, one, wanted)).slice(0, 20), [state]);
  }
  const { key, value_from: other } = condition;
  const right = other === undefined ? condition.value : valueAt(state, other);
  const left = valueAt(state, key);
  const changed = candidates(condition, left, right, wanted).map((value) => withValue(state, key, value));
  return changed.filter((one) => one !== null && evaluate(condition, one) === wanted);
}

/**
 * Return `{state, patch, changes}` with the fewest changes after which edge `index` of `edges` is taken, or null
 * where none was found. Edges before it become false, it becomes true; all is checked by evaluating them.
 */
export function solve(edges, index, state) {
  const before = edges.slice(0, index).filter((edge) => edge.on_error == null);
  const target = edges[index].condition;
  let states = solutions(target, state, true);
  for (const edge of before) states = states.flatMap((one) => solutions(edge.condition, one, false)).slice(0, 50);
  const found = [];
  for (const one of states) {
    if (evaluate(target, one) !== true || before.some((edge) => evaluate(edge.condition, one) !== false)) continue;
    try {
      found.push({ state: one, patch: mergePatch(state, one), changes: differences(state, one) });
    } catch { /* A patch cannot say it. */ }
  }
  return found.sort((a, b) => a.changes.length - b.changes.length)[0] ?? null;
}

