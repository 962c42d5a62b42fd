/** The page: the frame around every view. */
import { html, render, useEffect, useState } from "./lib/html.js";
import { database, login, needsToken, offline } from "./lib/api.js";
import { isUtc, setUtc, zone } from "./lib/format.js";
import { isExact } from "./lib/json.js";
import { href, route } from "./lib/router.js";
import { Dialog, Empty, message } from "./parts/basics.js";
import { DropTarget } from "./parts/demo.js";
import { Keys, showKeys } from "./parts/keys.js";
import { Compare } from "./views/compare.js";
import { GraphView } from "./views/graphs/graph.js";
import { Graphs } from "./views/graphs/graphs.js";
import { Run } from "./views/run/run.js";
import { Runs } from "./views/runs/runs.js";

function Login() {
  const [fault, setFault] = useState(null);
  const enter = (event) => {
    event.preventDefault();
    setFault(null);
    login(event.target.elements.token.value).catch((error) => setFault(error.status === 401 ? "That is not this server's token." : error.message));
  };
  return html`<dialog open class="login" aria-label="Log in"><form class="dialog" onSubmit=${enter}>
    <h2>This server asks for its token</h2>
    <label>Token <input name="token" type="password" autocomplete="current-password" required autofocus /></label>
    ${fault ? html`<p class="fault" role="alert">${fault}</p>` : null}
    <p class="hint">It is the server's <code>RUNGRAPH_API_TOKEN</code>. A cookie keeps you logged in; the page does not store the token.</p>
    <button class="primary">Log in</button>
  </form></dialog>`;
}

function Header({ view }) {
  const link = (name, text) => html`<a href=${href([name])} aria-current=${view === name ? "page" : null}>${text}</a>`;
  return html`<header class="top">
    <a class="logo" href=${href(["runs"])}><img src="ui/icon.svg" alt="" width="18" height="18" /> Rungraph</a>
    <nav aria-label="Views">${link("runs", "Runs")}${link("graphs", "Graphs")}</nav>
    <span class="grow"></span>
    ${database ? html`<span class="database" title="The database"><bdi>${database}</bdi></span>` : null}
    <button class="quiet" aria-pressed=${isUtc.value} title="Show times in UTC or in the browser's zone" onClick=${() => setUtc(!isUtc.value)}>${zone.value}</button>
    <button class="quiet" title="Keyboard" aria-label="Keyboard shortcuts" onClick=${() => (showKeys.value = true)}>?</button>
  </header>`;
}

function View({ parts }) {
  const [view, id] = parts;
  if (view === "runs") return id ? html`<${Run} key=${id} id=${id} />` : html`<${Runs} />`;
  if (view === "graphs") return id ? html`<${GraphView} key=${id} id=${id} />` : html`<${Graphs} />`;
  if (view === "compare") return html`<${Compare} />`;
  return html`<${Empty} title="There is no such view.">Look at <a href=${href(["runs"])}>the runs</a>.<//>`;
}

function App() {
  const { parts } = route.value;
  useEffect(() => {
    const [view, id] = parts;
    document.title = `${id ? `${view.replace(/s$/, "")} ${id.slice(-8)}` : view} · Rungraph`;
  }, [parts.join("/")]);
  if (needsToken.value) return html`<${Login} />`;
  return html`
    <${Header} view=${parts[0]} />
    ${isExact ? null : html`<p class="notice" role="status">This browser rounds large numbers: integers above 2⁵³ are shown inexactly. A newer browser shows them as they are.</p>`}
    ${offline.value ? html`<p class="notice" role="status">${offline.value} The page tries again by itself.</p>` : null}
    <main><${View} parts=${parts} /></main>
    <${DropTarget} />
    <${Keys} />
    <div class="message" role="status" aria-live="polite">${message.value}</div>`;
}

render(html`<${App} />`, document.getElementById("app"));
