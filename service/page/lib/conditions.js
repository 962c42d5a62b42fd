/** Conditions as the engine sees them: their text, their value over a state, and the keys that they read. */
import { compareNumbers, equal, isNumber, isObject, text, typeOf } from "./json.js";
import { cut } from "./text.js";

/** Return the keys of a path: a JSON Pointer where it begins with `/`, dotted otherwise. */
export const keysOf = (path) =>
  path.startsWith("/")
    ? path.slice(1).split("/").map((key) => key.replaceAll("~1", "/").replaceAll("~0", "~"))
    : path.split(".");

export const MISSING = Symbol("missing");
/** Return the value at a path of a state, or MISSING. */
export function valueAt(state, path) {
  let value = state;
  for (const key of keysOf(path)) {
    if (Array.isArray(value) && /^(0|[1-9]\d*)$/.test(key) && Number(key) < value.length) value = value[Number(key)];
    else if (isObject(value) && Object.hasOwn(value, key)) value = value[key];
    else return MISSING;
  }
  return value;
}

export const partsOf = (condition) => condition.all ?? condition.any ?? (condition.not ? [condition.not] : null);

/** Return all comparisons of a condition, left to right. */
export const comparisons = (condition) =>
  condition ? (partsOf(condition)?.flatMap(comparisons) ?? [condition]) : [];

/** Return the paths that a condition reads. */
export const pathsOf = (condition) =>
  comparisons(condition).flatMap(({ key, value_from }) => (value_from === undefined ? [key] : [key, value_from]));

const brief = (value, max = 24) => cut(text(value) ?? "…", max);
const OPS = { "!=": "≠", ">=": "≥", "<=": "≤", "==": "=", not_in: "not in", is_type: "is a" };
const opText = (op) => OPS[op] ?? op;

function comparisonText({ key, op, value, value_from }) {
  if (op === "exists") return `${key} ${value === false ? "is missing" : "exists"}`;
  return `${key} ${opText(op)} ${value_from ?? (op === "is_type" ? value : brief(value))}`;
}

/** Return a condition in short, for people. */
export function conditionText(condition, isInner = false) {
  if (!condition) return "otherwise";
  if (condition.not) return `not (${conditionText(condition.not)})`;
  const parts = condition.all ?? condition.any;
  if (!parts) return comparisonText(condition);
  const joined = parts.map((part) => conditionText(part, true)).join(condition.all ? " and " : " or ");
  return isInner && parts.length > 1 ? `(${joined})` : joined;
}

function order(left, right) {
  if (isNumber(left) && isNumber(right)) return compareNumbers(left, right);
  if (typeof left !== "string" || typeof right !== "string") return null;
  const [a, b] = [[...left], [...right]];
  const index = a.findIndex((char, at) => char !== b[at]);
  if (index < 0) return a.length - b.length;
  return index >= b.length ? 1 : a[index].codePointAt(0) - b[index].codePointAt(0);
}

/** Return whether a comparison holds between two values, or null where the state lacks one of them. */
export function holds({ op, value }, left, right) {
  if (op === "exists") return (left !== MISSING) === (value !== false);
  if (left === MISSING || right === MISSING) return null;
  const sign = order(left, right);
  switch (op) {
    case "==": return equal(left, right);
    case "!=": return !equal(left, right);
    case ">": return sign !== null && sign > 0;
    case ">=": return sign !== null && sign >= 0;
    case "<": return sign !== null && sign < 0;
    case "<=": return sign !== null && sign <= 0;
    case "in": return Array.isArray(right) && right.some((item) => equal(left, item));
    case "not_in": return Array.isArray(right) && !right.some((item) => equal(left, item));
    case "contains":
      if (Array.isArray(left)) return left.some((item) => equal(item, right));
      return typeof left === "string" && typeof right === "string" && left.includes(right);
    case "is_type": return typeOf(left) === value;
    default: return null;
  }
}

const read = (comparison, lookup) => [
  lookup(comparison.key),
  comparison.value_from === undefined ? comparison.value : lookup(comparison.value_from),
];

/** Return whether a condition is true over a state; null where a key that it asks for is missing. */
export function evaluate(condition, state) {
  if (!condition) return true;
  if (condition.not) {
    const inner = evaluate(condition.not, state);
    return inner === null ? null : !inner;
  }
  const parts = partsOf(condition);
  if (!parts) return holds(condition, ...read(condition, (path) => valueAt(state, path)));
  const decisive = Boolean(condition.any);
  for (const part of parts) {
    const result = evaluate(part, state);
    if (result !== !decisive) return result;
  }
  return !decisive;
}

/**
 * Return the comparisons that were asked, with the values that were compared: `[{comparison, left, right, result,
 * text}]`. `operands` maps each path that was read to its value.
 */
export function asked(condition, operands) {
  const lookup = (path) => (Object.hasOwn(operands, path) ? operands[path] : MISSING);
  return comparisons(condition)
    .filter(({ key, op }) => op === "exists" || Object.hasOwn(operands, key))
    .map((comparison) => {
      const [left, right] = read(comparison, lookup);
      const { key, op, value } = comparison;
      const shown = (side) => (side === MISSING ? "missing" : brief(side, 18));
      const saying =
        op === "exists" ? `${key} ${left === MISSING ? "missing" : "there"}`
        : op === "is_type" ? `${shown(left)} is a ${value}`
        : `${shown(left)} ${opText(op)} ${shown(right)}`;
      return { comparison, left, right, result: holds(comparison, left, right), text: saying };
    });
}

/** Return the index, among all edges of the node, of the edge that a decision took; null where none was taken. */
export function takenIndex(edges, decision) {
  if (!decision || ["none_true", "no_edges", "patch"].includes(decision.reason)) return null;
  const isError = decision.reason === "on_error";
  const candidates = edges.map((edge, index) => ({ edge, index })).filter(({ edge }) => (edge.on_error != null) === isError);
  const last = decision.evaluated.length - 1;
  if (!isError) return candidates[last]?.index ?? null;
  const found = candidates.find(({ edge }) =>
    edge.to === decision.to && equal(edge.condition ?? null, decision.evaluated[last]?.condition ?? null));
  return found?.index ?? null;
}
