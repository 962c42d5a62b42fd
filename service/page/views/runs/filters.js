import { Choice, STATUSES, Select, count, full, go, href, html, isUtc, recall, remember, route, say, setQuery, submits, useState, zone } from "parts";

const WORDS = { status: "status", graph: "graph", graph_id: "graph id", tag: "tag", waiting_for: "waits for", created_after: "after", created_before: "before", id_prefix: "id", parent_id: "parent", forked_from: "forked from" };
const SEVERAL = ["status", "tag"];
const NONE = Object.fromEntries(Object.keys(WORDS).map((name) => [name, null]));

export const filtersOf = (query) =>
	Object.fromEntries(Object.keys(WORDS).filter((name) => query.has(name)).map((name) => [name, SEVERAL.includes(name) ? query.getAll(name) : query.get(name)]));

function set(changes) {
	setQuery(changes, false);
	remember("filters", filtersOf(route.peek().query));
}

function Chips({ filters }) {
	const chips = Object.entries(filters).flatMap(([name, value]) => (name === "status" ? [] : [value].flat().map((one) => [name, one])));
	const remove = (name, one) => set({ [name]: [filters[name]].flat().filter((other) => other !== one) });
	return chips.length > 0 && html`<ul class="chips" aria-label="Filters">${chips.map(([name, one]) => html`<li key=${name + one}>
		<span>${one[0] === "!" ? "not tag" : WORDS[name]}</span><bdi>${name.startsWith("created") ? full(one) : one.replace(/^!/, "")}</bdi><button aria-label=${`Remove the filter ${one}`} onClick=${() => remove(name, one)}>✕</button></li>`)}
		<li class="clear"><button onClick=${() => set(NONE)}>Clear all</button></li></ul>`;
}

function Saved({ filters }) {
	const [saved, setSaved] = useState(() => recall("saved", {}));
	const keep = (next) => (remember("saved", next), setSaved(next));
	const choose = (value, field) => {
		field.value = "";
		const name = value === "+" ? prompt("Save these filters under the name")?.trim() : value.slice(1);
		if (value === "+" && name) keep({ ...saved, [name]: filters });
		if (value[0] === "-") keep(Object.fromEntries(Object.entries(saved).filter(([key]) => key !== name)));
		if (value[0] === "=") set({ ...NONE, ...saved[name] });
	};
	const names = Object.keys(saved);
	const options = [["", "Saved filters"], ...names.map((name) => [`=${name}`, name]), ["+", "Save these filters…"], ...names.map((name) => [`-${name}`, `Forget ${name}`])];
	return html`<${Select} label="Saved filters" options=${options} onChange=${choose} />`;
}

const AGES = [["", "Any time"], [3600, "Last hour"], [86400, "Last 24 hours"], [604800, "Last 7 days"], ["range", "Between…"]];

function Times() {
	const [isRange, setRange] = useState(false);
	const choose = (value, field) => {
		setRange(value === "range");
		if (value === "range") return;
		field.value = "";
		set({ created_after: value && new Date(Date.now() - value * 1000).toISOString(), created_before: null });
	};
	const bound = (name) => html`<label class="inline">${WORDS[name]} <input type="datetime-local" step="1" onChange=${({ target: { value } }) => set({ [name]: value && new Date(value + (isUtc.value ? "Z" : "")).toISOString() })} /></label>`;
	return html`<${Select} label="Created" options=${AGES} onChange=${choose} />${isRange && html`${bound("created_after")}${bound("created_before")}<small>${zone()}</small>`}`;
}

export function Filters({ filters, counts, graphs }) {
	const chosen = filters.status ?? [];
	const toggle = (status) => set({ status: status === "all" ? null : chosen.includes(status) ? chosen.filter((one) => one !== status) : [...chosen, status] });
	const many = (n) => n != null && count(n) + (n >= counts.capped_at ? "+" : "");
	const search = submits((given, form) => {
		const typed = given.search.trim();
		if (/^[0-9a-f-]{36}$/i.test(typed)) return go(href(["runs", typed.toLowerCase()]));
		if (!typed.includes(":") && typed.length < 4) return say("Type at least 4 characters of an id, or a tag as key:value.");
		set(typed.includes(":") ? { tag: [...(filters.tag ?? []), typed] } : { id_prefix: typed });
		form.reset();
	});
	const select = (name, label, options) => html`<${Select} label=${label} value=${filters[name]} options=${[["", label], ...new Set([...options, ...[filters[name] ?? []].flat()])]} onChange=${(value) => set({ [name]: value })} />`;
	return html`<section class="filters" aria-label="Filter">
		<${Choice} label="Status" value=${chosen.length ? chosen : "all"} onChange=${toggle} options=${[["all", "all"], ...STATUSES.map((status) => [status, status, many(counts?.counts[status]) || null])]} />
		<div class="fields"><form role="search" onSubmit=${search}><input name="search" data-search type="search" aria-label="Search" placeholder="id, tag:value or !tag:value" /></form>
			${select("graph", "Any graph", graphs)}${select("waiting_for", "Any wait", ["signal", "sleep", "children", "backoff", "limit"])}<${Times} /><${Saved} filters=${filters} /></div>
		<${Chips} filters=${filters} /></section>`;
}
