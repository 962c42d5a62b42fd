/** The filters of the list of runs. They live in the URL, under the names that the API gives them. */
import { html, useState } from "../../lib/html.js";
import { recall, remember, dateTime, zone, count } from "../../lib/format.js";
import { go, href, route, setQuery } from "../../lib/router.js";
import { STATUSES, say } from "../../parts/basics.js";

export const NAMES = ["status", "graph", "graph_id", "tag", "waiting_for", "created_after", "created_before", "id_prefix", "parent_id", "forked_from"];
const SEVERAL = new Set(["status", "tag"]);

/** Return the filters of a URL's query: `{name: value}`, a list where several are meant. */
export const filtersOf = (query) =>
  Object.fromEntries(NAMES.filter((name) => query.has(name)).map((name) => [name, SEVERAL.has(name) ? query.getAll(name) : query.get(name)]));

function set(changes) {
  setQuery(changes, {});
  remember("filters", filtersOf(route.peek().query));
}

const n = (counts, status) => {
  const value = counts?.counts?.[status];
  return value == null ? null : value >= counts.capped_at ? `${count(counts.capped_at)}+` : count(value);
};

function StatusFilter({ chosen, counts }) {
  const toggle = (status) => set({ status: chosen.includes(status) ? chosen.filter((one) => one !== status) : [...chosen, status] });
  return html`<div class="choice" role="group" aria-label="Status">
    <button aria-pressed=${!chosen.length} onClick=${() => set({ status: null })}>all</button>
    ${STATUSES.map((status) => html`<button key=${status} aria-pressed=${chosen.includes(status)} onClick=${() => toggle(status)}>${status}${n(counts, status) && html`<span class="n">${n(counts, status)}</span>`}</button>`)}
  </div>`;
}

const WORDS = { graph: "graph", graph_id: "graph id", tag: "tag", waiting_for: "waits for", created_after: "after", created_before: "before", id_prefix: "id", parent_id: "parent", forked_from: "forked from" };

function Chips({ filters }) {
  const chips = Object.entries(filters).filter(([name]) => name !== "status").flatMap(([name, value]) => [value].flat().map((one) => [name, one]));
  if (!chips.length) return null;
  const remove = (name, one) => set({ [name]: SEVERAL.has(name) ? filters[name].filter((other) => other !== one) : null });
  const shown = (name, one) => (name.startsWith("created_") ? `${dateTime(one)} ${zone.value}` : one);
  return html`<ul class="chips" aria-label="Filters">${chips.map(([name, one]) => html`<li key=${name + one}>
    <span>${name === "tag" && one.startsWith("!") ? "not tag" : WORDS[name]}</span> <bdi>${name === "tag" ? one.replace(/^!/, "") : shown(name, one)}</bdi>
    <button aria-label=${`Remove the filter ${one}`} onClick=${() => remove(name, one)}>✕</button></li>`)}
    <li class="clear"><button onClick=${() => set(Object.fromEntries(NAMES.map((name) => [name, null])))}>Clear all</button></li></ul>`;
}

function Saved({ filters }) {
  const [saved, setSaved] = useState(() => recall("saved", {}));
  const keep = (next) => (remember("saved", next), setSaved(next));
  const save = () => {
    const name = prompt("Save these filters under the name")?.trim();
    if (name) keep({ ...saved, [name]: filters });
  };
  const open = (event) => {
    const name = event.target.value;
    event.target.value = "";
    if (name === "+") save();
    else if (name.startsWith("-")) keep(Object.fromEntries(Object.entries(saved).filter(([key]) => key !== name.slice(1))));
    else if (name) set({ ...Object.fromEntries(NAMES.map((one) => [one, null])), ...saved[name.slice(1)] });
  };
  const names = Object.keys(saved);
  return html`<select aria-label="Saved filters" onChange=${open}>
    <option value="">Saved filters</option>
    ${names.map((name) => html`<option key=${name} value=${`=${name}`}>${name}</option>`)}
    ${Object.keys(filters).length ? html`<option value="+">Save these filters…</option>` : null}
    ${names.length ? html`<optgroup label="Forget">${names.map((name) => html`<option key=${name} value=${`-${name}`}>${name}</option>`)}</optgroup>` : null}
  </select>`;
}

const AGES = [["", "Any time"], ["3600", "Last hour"], ["86400", "Last 24 hours"], ["604800", "Last 7 days"], ["range", "Between…"]];

function TimeFilter() {
  const [isRange, setRange] = useState(false);
  const choose = ({ target }) => {
    setRange(target.value === "range");
    if (target.value === "") set({ created_after: null, created_before: null });
    else if (target.value !== "range") set({ created_after: new Date(Date.now() - target.value * 1000).toISOString(), created_before: null });
    if (target.value !== "range") target.value = "";
  };
  const bound = (name, label) => html`<label class="inline">${label} <input type="datetime-local" step="1"
    onChange=${({ target }) => set({ [name]: target.value ? new Date(target.value + (zone.value === "UTC" ? "Z" : "")).toISOString() : null })} /></label>`;
  return html`<select aria-label="Created" onChange=${choose}>${AGES.map(([value, text]) => html`<option value=${value}>${text}</option>`)}</select>
    ${isRange ? html`${bound("created_after", "after")}${bound("created_before", "before")}<span class="zone">${zone.value}</span>` : null}`;
}

export function Filters({ filters, counts, graphs }) {
  const search = (event) => {
    event.preventDefault();
    const field = event.target.elements.search;
    const typed = field.value.trim();
    if (/^[0-9a-f-]{36}$/i.test(typed)) return go(href(["runs", typed.toLowerCase()]));
    if (typed.includes(":")) set({ tag: [...(filters.tag ?? []), typed] });
    else if (typed.length >= 4 || !typed) set({ id_prefix: typed || null });
    else return say("Type at least 4 characters of an id, or a tag as key:value.");
    field.value = "";
    return undefined;
  };
  const select = (name, label, options) => html`<select aria-label=${label} value=${filters[name] ?? ""} onChange=${({ target }) => set({ [name]: target.value || null })}>
    <option value="">${label}</option>${options.map((one) => html`<option key=${one} value=${one}>${one}</option>`)}</select>`;
  return html`<section class="filters" aria-label="Filter">
    <${StatusFilter} chosen=${filters.status ?? []} counts=${counts} />
    <div class="fields">
      <form role="search" onSubmit=${search}><input name="search" data-search type="search" aria-label="Search" placeholder="id, tag:value or !tag:value" /></form>
      ${select("graph", "Any graph", graphs)}
      ${select("waiting_for", "Waits for anything", ["signal", "sleep", "children", "backoff"])}
      <${TimeFilter} />
      <${Saved} filters=${filters} />
    </div>
    <${Chips} filters=${filters} />
  </section>`;
}
