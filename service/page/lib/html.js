/** What components are written with: htm templates, hooks and signals. */
import { h } from "preact";
import htm from "htm";

export { render, Fragment } from "preact";
export { useState, useEffect, useLayoutEffect, useRef, useMemo, useCallback } from "preact/hooks";
export { signal, computed, effect, batch, useSignal, useComputed } from "@preact/signals";
export const html = htm.bind(h);

let count = 0;
/** Return an id that no other element has, for labels. */
export const newId = () => `u${++count}`;
