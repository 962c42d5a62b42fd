import { DropTarget, Fault, Keys, Nothing, Quiet, database, href, html, isExact, isOffline, isUtc, login, message, needsToken, render, route, showKeys, submits, toggleUtc, useEffect, useState, zone } from "parts";
import { Compare } from "./views/compare.js";
import { GraphView } from "./views/graphs/graph.js";
import { Graphs } from "./views/graphs/graphs.js";
import { Run } from "./views/run/run.js";
import { Runs } from "./views/runs/runs.js";

const WRONG = { message: "That is not this server's token." };

function Login() {
	const [error, setError] = useState(null);
	const enter = submits(({ token }) => login(token).catch((problem) => setError(problem.status === 401 ? WRONG : problem)));
	return html`<main class="login"><form onSubmit=${enter}><h1>This server asks for its token</h1>
		<label class="field">Token <input name="token" type="password" autocomplete="current-password" required autofocus /></label><${Fault} error=${error} />
		<p class="hint">It is the server's <code>RUNGRAPH_API_TOKEN</code>.</p><button class="primary">Log in</button></form></main>`;
}

function Header({ view }) {
	const link = (name, text) => html`<a href=${href([name])} aria-current=${view === name ? "page" : null}>${text}</a>`;
	return html`<header class="top"><a class="logo" href=${href(["runs"])}><img src="ui/icon.svg" alt="" width="18" height="18" /> Rungraph</a>
		<nav aria-label="Views">${link("runs", "Runs")}${link("graphs", "Graphs")}${link("compare", "Compare")}</nav><i></i>
		${database && html`<bdi class="database" title="The database">${database}</bdi>`}
		<${Quiet} aria-pressed=${isUtc.value} title="UTC or the browser's zone" onClick=${toggleUtc}>${zone()}<//>
		<${Quiet} aria-label="Keyboard shortcuts" onClick=${() => (showKeys.value = true)}>?<//></header>`;
}

const VIEWS = { runs: [Runs, Run], graphs: [Graphs, GraphView], compare: [Compare] };

function App() {
	const [view, id] = route.value.parts;
	useEffect(() => void (document.title = `${id ? `${view.replace(/s$/, "")} ${id.slice(-8)}` : view} · Rungraph`), [view, id]);
	if (needsToken.value) return html`<${Login} />`;
	const View = Object.hasOwn(VIEWS, view) && VIEWS[view][id ? 1 : 0];
	return html`<${Header} view=${view} />
		${!isExact && html`<p class="notice" role="status">This browser rounds integers above 2⁵³.</p>`}
		${isOffline.value && html`<p class="notice" role="status">The server does not answer.</p>`}
		<main>${View ? html`<${View} key=${id} id=${id} />` : html`<${Nothing} of="view" />`}</main>
		<${DropTarget} /><${Keys} /><div class="message" role="status" aria-live="polite">${message.value}</div>`;
}

render(html`<${App} />`, document.getElementById("app"));
