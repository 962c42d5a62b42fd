/** Graphs, which never change, and their layouts: each is loaded and laid out once. */
import { enc, get } from "./api.js";
import { text } from "./json.js";

const graphs = new Map();
const layouts = new Map();
const LARGE = 60;
/** Beyond so many nodes a list is shown in place of the picture. */
export const PICTURE_MAX = 300;

const kept = (cache, key, load) => {
  if (!cache.has(key)) {
    const loading = load();
    loading.catch(() => cache.delete(key));
    cache.set(key, loading);
  }
  return cache.get(key);
};

export const cachedGraph = (id) => kept(graphs, id, () => get(`graph/${enc(id)}`));

/** Return the layout of a definition, made in a worker where it is large. */
export const layoutOf = (definition) => kept(layouts, text(definition), () => arrange(definition));

async function arrange(definition) {
  if (Object.keys(definition.nodes).length <= LARGE) return (await import("./layout.js")).layout(definition);
  const worker = new Worker(new URL("./layout.js", import.meta.url), { type: "module" });
  try {
    return await new Promise((resolve, reject) => {
      worker.onmessage = ({ data }) => resolve(data);
      worker.onerror = (event) => reject(new Error(event.message || "the layout failed"));
      worker.postMessage(text(definition));
    });
  } finally {
    worker.terminate();
  }
}
