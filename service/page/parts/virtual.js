/** A list of rows of one height, of which only those in view are there. */
import { html, useEffect, useLayoutEffect, useRef, useState } from "../lib/html.js";

const EXTRA = 8;

/**
 * `rowsMax`: how many rows are in view at most. `render(index)` returns a row; `onRange(first, last, from, to)` hears which rows
 * are there, and which of them are in view. `follow`: end or start, where the
 * list stays while rows come; rows that come at the start leave a scrolled view where it is. `target`: `{index}` to
 * show, once for each object.
 */
export function Virtual({ count, height, render, onRange, follow, target, label, rowsMax, class: classes }) {
  const box = useRef();
  const [view, setView] = useState({ top: 0, size: 400 });
  const before = useRef({ count, isAtEnd: true });
  const read = () => {
    if (!box.current) return;
    const { scrollTop, clientHeight, scrollHeight } = box.current;
    before.current.isAtEnd = scrollTop + clientHeight >= scrollHeight - height;
    setView((old) => (old.top === scrollTop && old.size === clientHeight ? old : { top: scrollTop, size: clientHeight }));
  };
  useEffect(() => {
    const observer = new ResizeObserver(read);
    observer.observe(box.current);
    return () => observer.disconnect();
  }, []);
  useLayoutEffect(() => {
    const { count: old, isAtEnd } = before.current;
    before.current.count = count;
    if (follow === "end" && isAtEnd) box.current.scrollTop = count * height;
    if (follow === "start" && box.current.scrollTop > height && count > old) box.current.scrollTop += (count - old) * height;
    read();
  }, [count, follow]);
  useLayoutEffect(() => {
    if (!target) return;
    const { scrollTop, clientHeight } = box.current;
    const top = target.index * height;
    if (target.isNear && top >= scrollTop && top + height <= scrollTop + clientHeight) return;
    box.current.scrollTop = top - clientHeight / 2 + height / 2;
    read();
  }, [target]);
  const seen = [Math.floor(view.top / height), Math.min(count, Math.ceil((view.top + view.size) / height)) - 1];
  const first = Math.max(0, seen[0] - EXTRA);
  const last = Math.min(count - 1, seen[1] + EXTRA);
  useEffect(() => void (last >= first && onRange?.(first, last, ...seen)), [first, last, ...seen, count]);
  const rows = [];
  for (let index = first; index <= last; index++) rows.push(html`<div key=${index} class="vrow" style=${{ top: `${index * height}px`, height: `${height}px` }}>${render(index)}</div>`);
  return html`<div class=${`virtual ${classes ?? ""}`} ref=${box} style=${{ height: `${Math.min(count, rowsMax) * height + 2}px` }} onScroll=${read} tabindex="0" role="group" aria-label=${label}>
    <div class="vspace" style=${{ height: `${count * height}px` }}>${rows}</div>
  </div>`;
}
