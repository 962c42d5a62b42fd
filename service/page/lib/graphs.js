/** Graphs, which never change, and their layouts: each is loaded and laid out once. */
import { enc, get } from "./api.js";
import { text } from "./json.js";

const LARGE = 60;
/** Beyond so many nodes a list is shown in place of the picture. */
export const PICTURE_MAX = 300;

const cache = new Map();
const kept = (key, load) => {
	if (!cache.has(key)) cache.set(key, load().catch((error) => (cache.delete(key), Promise.reject(error))));
	return cache.get(key);
};

export const cachedGraph = (id) => kept(id, () => get(`graph/${enc(id)}`));
export const listGraphs = async () => (await get("graphs", { limit: 1000 })).items;
/** Return the layout of a definition, made in a worker where it is large. */
export const layoutOf = (definition) => kept(text(definition), () => arrange(definition));

async function arrange(definition) {
	if (Object.keys(definition.nodes).length <= LARGE) return (await import("./layout.js")).layout(definition);
	const worker = new Worker(new URL("./layout.js", import.meta.url), { type: "module" });
	try {
		return await new Promise((resolve, reject) => {
			worker.onmessage = ({ data }) => resolve(data);
			worker.onerror = ({ message }) => reject(new Error(message));
			worker.postMessage(text(definition));
		});
	} finally {
		worker.terminate();
	}
}
