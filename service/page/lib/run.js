/** One run, live: its record, why it is where it is, its path, its steps and lines. */
import { batch, signal } from "./html.js";
import { at, enc, get, maybe, Problem } from "./api.js";
import { parse } from "./json.js";
import { Numbered } from "./load.js";
import { cachedGraph } from "./graphs.js";

const REFRESH_MS = 400;
const RECONNECT_MS = [300, 1000, 2000, 4000];
const STATES_MAX = 40;
const OVER = new Set(["completed", "failed", "cancelled"]);

export class RunModel {
  run = signal(null);
  why = signal(null);
  graph = signal(null);
  path = signal(null);
  error = signal(null);
  lastSeq = signal(0);
  /** live, connecting, or over. */
  link = signal("connecting");

  constructor(id) {
    this.id = id;
    this.base = `runs/${enc(id)}`;
    this.steps = new Numbered(async (after, limit) => (await get(`${this.base}/steps`, { after_step: after, limit })).items, ({ step }) => step, 100);
    this.lines = new Numbered(async (after, limit) => (await get(`${this.base}/logs`, { after_seq: after, limit })).items, ({ seq }) => seq, 250);
    this.states = new Map();
    this.arrived = [];
    this.failures = 0;
  }

  async open() {
    await this.refresh();
    if (this.run.value) this.connect();
  }

  close() {
    this.isClosed = true;
    this.socket?.close();
    clearTimeout(this.timer);
    clearTimeout(this.retry);
  }

  /** Load the record again, and all that goes with it. */
  async refresh() {
    clearTimeout(this.timer);
    this.timer = null;
    try {
      const [run, why, path] = await Promise.all([this.#record(), get(`${this.base}/why`), maybe(`${this.base}/path`)]);
      const graph = this.graph.value ?? (await cachedGraph(run.graph_id));
      batch(() => {
        this.graph.value = graph;
        this.run.value = run;
        this.why.value = why;
        this.path.value = path;
        this.lastSeq.value = Math.max(this.lastSeq.value, run.last_seq);
        this.error.value = null;
      });
    } catch (error) {
      this.error.value = error;
      if (!this.isClosed && !(error instanceof Problem)) this.#soon(2000);
    }
  }

  async #record() {
    return (await maybe(this.base)) ?? get(`graph/state/${enc(this.id)}`, { limit: 1 });
  }

  #soon(ms = REFRESH_MS) {
    this.timer ??= setTimeout(() => this.refresh(), ms);
  }

  /** Follow the lines from the last one that is known; again and again until the run is over. */
  connect() {
    if (this.isClosed || this.socket) return;
    if (OVER.has(this.run.peek()?.status)) return void (this.link.value = "over");
    const url = at(`ws/logs/${enc(this.id)}`, { after_seq: this.lastSeq.peek() });
    url.protocol = url.protocol.replace("http", "ws");
    const socket = (this.socket = new WebSocket(url));
    socket.onopen = () => {
      this.failures = 0;
      this.link.value = "live";
    };
    socket.onmessage = ({ data }) => {
      this.arrived.push(data);
      this.flushing ??= setTimeout(() => this.#flush(), 60);
    };
    socket.onclose = ({ code }) => {
      this.socket = null;
      if (this.isClosed) return;
      this.#soon();
      if (code === 1000) return void (this.link.value = "over");
      this.link.value = "connecting";
      this.retry = setTimeout(() => this.connect(), RECONNECT_MS[Math.min(this.failures++, RECONNECT_MS.length - 1)]);
    };
  }

  #flush() {
    this.flushing = null;
    const lines = this.arrived.map((line) => parse(line));
    this.arrived = [];
    batch(() => {
      this.lines.put(lines);
      this.lastSeq.value = Math.max(this.lastSeq.peek(), lines.at(-1).seq);
    });
    if (lines.some(({ event }) => event !== "log")) this.#soon();
  }

  /** Load the state after a step; kept for a while. */
  stateAt(step) {
    if (!this.states.has(step)) {
      if (this.states.size >= STATES_MAX) this.states.delete(this.states.keys().next().value);
      const loading = get(`${this.base}/state`, { step }).then(({ state }) => state);
      loading.catch(() => this.states.delete(step));
      this.states.set(step, loading);
    }
    return this.states.get(step);
  }

  /** Look again after a command, and follow the run if it goes on. */
  async changed() {
    await this.refresh();
    this.connect();
  }
}
