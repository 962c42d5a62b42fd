import { h, options } from "preact";
import htm from "htm";

export { render } from "preact";
export { useState, useEffect, useId, useLayoutEffect, useRef, useMemo } from "preact/hooks";
export const html = htm.bind(h);

let rendering = null;
const { __r: begin, diffed: end } = options;
options.__r = (vnode) => ((rendering = vnode.__c), begin?.(vnode));
options.diffed = (vnode) => ((rendering = null), end?.(vnode));

export function signal(value) {
	let readers = new Set();
	return {
		get value() {
			if (rendering) readers.add(rendering);
			return value;
		},
		set value(next) {
			if (next === value) return;
			value = next;
			const told = readers;
			readers = new Set();
			told.forEach((component) => component.forceUpdate());
		},
		peek: () => value,
	};
}
