import { enc, get } from "./api.js";
import { text } from "./json.js";

const LARGE = 12_000;
export const PICTURE_MAX = 300;

const cache = new Map();
const kept = (key, load) => {
	if (!cache.has(key)) cache.set(key, load().catch((error) => (cache.delete(key), Promise.reject(error))));
	return cache.get(key);
};

export const cachedGraph = (id) => kept(id, () => get(`graph/${enc(id)}`));
export const listGraphs = async () => (await get("graphs", { limit: 1000 })).items;
export const layoutOf = (definition) => kept(text(definition), () => arrange(definition));

async function arrange(definition) {
	if (text(definition).length <= LARGE) return (await import("./layout.js")).layout(definition);
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
