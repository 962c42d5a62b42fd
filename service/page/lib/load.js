import { signal, useEffect, useRef, useState } from "./html.js";

export function useLoad(load, deps) {
	const [state, set] = useState({ data: null, error: null });
	const turn = useRef(0);
	const reload = async () => {
		const mine = ++turn.current;
		const result = await load().then((data) => ({ data, error: null }), (error) => ({ error }));
		if (mine === turn.current) set((old) => ({ ...old, ...result }));
	};
	useEffect(() => {
		reload();
		return () => void turn.current++;
	}, deps);
	return { ...state, reload };
}

export function useInterval(again, ms) {
	const latest = useRef();
	latest.current = again;
	useEffect(() => {
		const id = ms && setInterval(() => document.hidden || latest.current(), ms);
		return () => clearInterval(id);
	}, [ms]);
}

export function useKeyed(key) {
	const [state, set] = useState({});
	const latest = useRef();
	latest.current = key;
	return [state.key === key ? state : {}, (more) => latest.current === key && set((old) => ({ ...(old.key === key && old), key, ...more }))];
}

const ITEMS_MAX = 50_000;

export class Numbered {
	items = new Map();
	loading = new Map();
	version = signal(0);
	error = signal(null);

	constructor(fetch, number, size) {
		this.fetch = fetch;
		this.number = number;
		this.size = size;
	}

	get(n) {
		return this.items.get(n);
	}

	put(items) {
		for (const item of items) this.items.set(this.number(item), item);
		if (this.items.size > ITEMS_MAX) for (const n of [...this.items.keys()].slice(0, ITEMS_MAX / 2)) this.items.delete(n);
		this.version.value++;
	}

	async want(first, last) {
		const loads = [];
		for (let n = Math.max(1, first); n <= last; n++) {
			if (this.items.has(n)) continue;
			const chunk = Math.floor((n - 1) / this.size);
			if (!this.loading.has(chunk)) this.loading.set(chunk, this.#load(chunk, last));
			loads.push(this.loading.get(chunk));
			n = (chunk + 1) * this.size;
		}
		await Promise.all(loads);
	}

	async #load(chunk, last) {
		const end = (chunk + 1) * this.size;
		let after = chunk * this.size;
		while (this.items.has(after + 1)) after++;
		try {
			while (after < Math.min(end, last)) {
				const items = await this.fetch(after, end - after);
				if (!items.length) break;
				after = this.number(items.at(-1));
				this.put(items);
			}
			this.error.value = null;
		} catch (error) {
			this.error.value = error;
		}
		this.loading.delete(chunk);
	}
}
