import { Numbered, at, cachedGraph, enc, get, parse, signal } from "lib";

const REFRESH_MS = 1000;
/** A pause is so many refreshes long. */
const REST_FACTOR = 19;
const REST_MS_MAX = 5000;
const STATES_MAX = 40;
export const isOver = (status) => ["completed", "failed", "cancelled"].includes(status);

export class RunModel {
	run = signal(null);
	why = signal(null);
	graph = signal(null);
	path = signal(null);
	error = signal(null);
	lastSeq = signal(0);
	/** live, connecting, or over. */
	link = signal("connecting");
	states = new Map();
	arrived = [];

	constructor(id) {
		this.id = id;
		this.base = `runs/${enc(id)}`;
		const numbered = (what, key, size) => new Numbered(async (after, limit) => (await get(`${this.base}/${what}`, { [`after_${key}`]: after, limit })).items, (item) => item[key], size);
		this.steps = numbered("steps", "step", 100);
		this.lines = numbered("logs", "seq", 250);
	}

	async open() {
		this.#free();
		// No refresh begins during another.
		this.timer = 0;
		const begun = performance.now();
		this.dueAt = begun + REFRESH_MS;
		try {
			const [run, why, path] = await Promise.all(["", "/why", "/path"].map((what) => get(this.base + what)));
			this.graph.value ??= await cachedGraph(run.graph_id);
			// The rows in view are never empty.
			await this.steps.want(run.step - 12, run.step);
			[this.run.value, this.why.value, this.path.value, this.error.value] = [run, why, path, null];
			this.lastSeq.value = Math.max(this.lastSeq.peek(), run.last_seq);
			this.seen ??= run.last_seq;
			const now = performance.now();
			this.dueAt = now + Math.min(REST_MS_MAX, Math.max(REFRESH_MS, REST_FACTOR * (now - begun)));
			this.#free();
			this.#connect();
			if (this.lastSeq.peek() > run.last_seq) this.#soon();
		} catch (error) {
			this.#free();
			this.error.value = error;
			if (!(error.status < 500)) this.#soon();
		}
	}

	close() {
		this.isClosed = true;
		this.socket?.close();
		this.#free();
	}

	#free() {
		clearTimeout(this.timer);
		this.timer = null;
	}

	#soon(ms = this.dueAt - performance.now()) {
		if (!this.isClosed) this.timer ??= setTimeout(() => this.open(), ms);
	}

	#connect() {
		if (this.isClosed || this.socket) return;
		if (isOver(this.run.peek().status)) return void (this.link.value = "over");
		this.socket = new WebSocket(at(`ws/logs/${enc(this.id)}`, { after_seq: this.seen }));
		this.socket.onopen = () => (this.link.value = "live");
		this.socket.onmessage = ({ data }) => {
			this.arrived.push(parse(data));
			this.seen = this.arrived.at(-1).seq;
			this.flushing ??= setTimeout(() => this.#flush(), 60);
		};
		this.socket.onclose = ({ code }) => {
			this.socket = null;
			this.#free();
			this.#soon(REFRESH_MS / 2);
			this.link.value = code === 1000 ? "over" : "connecting";
		};
	}

	#flush() {
		this.flushing = null;
		const lines = this.arrived.splice(0);
		this.lines.put(lines);
		this.lastSeq.value = Math.max(this.lastSeq.peek(), lines.at(-1).seq);
		if (lines.some(({ event }) => event !== "log")) this.#soon();
	}

	stateAt(step) {
		if (!this.states.has(step)) {
			if (this.states.size >= STATES_MAX) this.states.delete(this.states.keys().next().value);
			const loading = get(`${this.base}/state`, { step }).then(({ state }) => state);
			loading.catch(() => this.states.delete(step));
			this.states.set(step, loading);
		}
		return this.states.get(step);
	}

	async stepAt(step) {
		await this.steps.want(step, step);
		return this.steps.get(step) ?? null;
	}
}
