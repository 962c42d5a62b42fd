import { html, useEffect, useLayoutEffect, useRef, useState } from "lib";

const EXTRA = 8;

export function Virtual({ count, height, rowsMax, render, onRange, follow, target, label, head, class: classes = "" }) {
	const box = useRef();
	const [view, setView] = useState({ top: 0, size: 400 });
	const before = useRef({ count, isAtEnd: true });
	const read = () => {
		if (!box.current) return;
		const { scrollTop: top, clientHeight: size, scrollHeight } = box.current;
		before.current.isAtEnd = top + size >= scrollHeight - height;
		setView((old) => (old.top === top && old.size === size ? old : { top, size }));
	};
	useEffect(() => {
		const observer = new ResizeObserver(read);
		observer.observe(box.current);
		return () => observer.disconnect();
	}, []);
	useLayoutEffect(() => {
		const added = count - before.current.count;
		before.current.count = count;
		if (follow === "end" && before.current.isAtEnd) box.current.scrollTop = count * height;
		if (follow === "start" && box.current.scrollTop > height && added > 0) box.current.scrollTop += added * height;
		read();
	}, [count]);
	useLayoutEffect(() => {
		if (!target) return;
		const { scrollTop, clientHeight } = box.current;
		const top = target.index * height;
		if (!target.isNear || top < scrollTop || top + height > scrollTop + clientHeight) box.current.scrollTop = top - clientHeight / 2 + height / 2;
		read();
	}, [target]);
	const seen = [Math.floor(view.top / height), Math.min(count, Math.ceil((view.top + view.size) / height)) - 1];
	const [first, last] = [Math.max(0, seen[0] - EXTRA), Math.min(count - 1, seen[1] + EXTRA)];
	useEffect(() => void (last >= first && onRange?.(first, last, ...seen)), [first, last, ...seen, count]);
	const rows = Array.from({ length: Math.max(0, last - first + 1) }, (_, at) => first + at);
	return html`<div class=${`virtual ${classes}`} ref=${box} style=${{ height: `${(Math.min(count, rowsMax) + (head ? 1 : 0)) * height + 2}px` }} onScroll=${read} tabindex="0" role="group" aria-label=${label}>${head}
		<div class="vspace" style=${{ height: `${count * height}px` }}>${rows.map((index) => html`<div key=${index} class="vrow" style=${{ top: `${index * height}px`, height: `${height}px` }}>${render(index)}</div>`)}</div></div>`;
}
