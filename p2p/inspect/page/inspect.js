// The page of the inspector: a list that follows what passes, and the details of one exchange.
const find = (id) => document.getElementById(id);
const exchanges = new Map();
let selected = null;
let shown = null;

const size = (bytes) => bytes < 1000 ? `${bytes} B` : bytes < 1e6 ? `${(bytes / 1e3).toFixed(1)} kB` : `${(bytes / 1e6).toFixed(1)} MB`;
const took = (seconds) => seconds === null ? "…" : seconds < 1 ? `${Math.round(seconds * 1000)} ms` : `${seconds.toFixed(1)} s`;
const name = (exchange) => exchange.method ? `${exchange.method} ${exchange.target}` : exchange.note || "connection";
const suffix = () => find("unmasked").checked ? "?unmasked=1" : "";

function cell(row, text, kind = "") {
  const made = row.insertCell();
  made.textContent = text;
  made.className = kind;
  return made;
}

function matches(exchange) {
  const wanted = find("filter").value.trim().toLowerCase();
  const text = `${name(exchange)} ${exchange.status ?? ""} ${exchange.visitor} ${exchange.service}`.toLowerCase();
  return wanted.split(/\s+/).every((word) => text.includes(word));
}

function rowOf(exchange) {
  const row = document.createElement("tr");
  row.dataset.number = exchange.number;
  row.setAttribute("aria-selected", exchange.number === selected);
  cell(row, new Date(exchange.began * 1000).toLocaleTimeString());
  const button = document.createElement("button");
  button.type = "button";
  button.textContent = exchange.replay_of ? `${name(exchange)} (again)` : name(exchange);
  button.addEventListener("click", () => select(exchange.number));
  cell(row, "").append(button);
  cell(row, exchange.status ?? "", exchange.status >= 400 ? "bad" : "");
  cell(row, took(exchange.took_s), "number");
  cell(row, size(exchange.response_size), "number");
  cell(row, exchange.visitor);
  return row;
}

function draw() {
  const rows = [...exchanges.values()].filter(matches).sort((a, b) => b.number - a.number).map(rowOf);
  find("list").replaceChildren(...rows);
  find("empty").hidden = exchanges.size > 0;
}

let isDrawing = false;
function drawSoon() {
  if (isDrawing) return;
  isDrawing = true;
  requestAnimationFrame(() => { isDrawing = false; draw(); });
}

function headers(list, pairs) {
  list.replaceChildren(...pairs.flatMap(([key, value]) => {
    const term = document.createElement("dt");
    const description = document.createElement("dd");
    term.textContent = key;
    description.textContent = value;
    return [term, description];
  }));
}

function pretty(body) {
  let text = body.text;
  if (!body.is_base64) {
    try { text = JSON.stringify(JSON.parse(text), null, 2); } catch { /* no JSON: as it is */ }
  }
  const rest = body.is_whole ? "" : `\n… ${size(body.size)} in all`;
  return text + (text ? rest : "");
}

async function ask(path, options = {}) {
  const response = await fetch(path, { ...options, headers: { "X-P2P-Inspect": "1" } });
  if (!response.ok) throw new Error((await response.text()).trim());
  return response.status === 204 ? null : response.json();
}

function say(text) { find("state").textContent = text; }

async function select(number) {
  selected = number;
  draw();
  try {
    shown = await ask(`/api/exchanges/${number}${suffix()}`);
  } catch (error) { say(error.message); return; }
  find("details").hidden = false;
  find("editor").hidden = true;
  find("title").textContent = name(shown);
  const first = shown.first_byte_s === null ? "" : `, first byte after ${took(shown.first_byte_s)}`;
  find("facts").textContent = `${shown.status ?? "no status"}, ${took(shown.took_s)}${first}, ${size(shown.request_size)} up, `
    + `${size(shown.response_size)} down${shown.note ? `, ${shown.note}` : ""}`;
  headers(find("request-headers"), shown.request.headers);
  headers(find("response-headers"), shown.response.headers);
  find("request-body").textContent = pretty(shown.request.body);
  find("response-body").textContent = pretty(shown.response.body);
  for (const id of ["replay", "edit", "copy"]) find(id).disabled = !shown.method;
}

async function send(changes) {
  say("sending…");
  try {
    const made = await ask(`/api/exchanges/${shown.number}/replay`, { method: "POST", body: JSON.stringify(changes) });
    exchanges.set(made.number, made);
    say("");
    await select(made.number);
  } catch (error) { say(error.message); }
}

find("replay").addEventListener("click", () => send({}));
find("edit").addEventListener("click", async () => {
  // Hidden values would be sent as they are shown.
  const whole = await ask(`/api/exchanges/${shown.number}?unmasked=1`);
  find("edit-method").value = whole.method;
  find("edit-target").value = whole.target;
  find("edit-headers").value = whole.request.headers.map(([key, value]) => `${key}: ${value}`).join("\n");
  find("edit-body").value = whole.request.body.text;
  find("editor").dataset.base64 = whole.request.body.is_base64;
  find("editor").hidden = false;
  find("edit-target").focus();
});
find("editor").addEventListener("submit", (event) => {
  event.preventDefault();
  const lines = find("edit-headers").value.split("\n").filter((line) => line.includes(":"));
  send({
    method: find("edit-method").value.trim(),
    target: find("edit-target").value.trim(),
    headers: lines.map((line) => [line.slice(0, line.indexOf(":")).trim(), line.slice(line.indexOf(":") + 1).trim()]),
    body: find("edit-body").value,
    is_base64: find("editor").dataset.base64 === "true",
  });
});
find("copy").addEventListener("click", async () => {
  await navigator.clipboard.writeText(shown.curl);
  say("copied");
});
find("clear").addEventListener("click", async () => {
  await ask("/api/exchanges", { method: "DELETE" });
  exchanges.clear();
  find("details").hidden = true;
  draw();
});
find("filter").addEventListener("input", draw);
find("unmasked").addEventListener("change", () => {
  find("har").href = `/api/har${suffix()}`;
  if (selected !== null) select(selected);
});

async function load() {
  exchanges.clear();
  for (const exchange of await ask("/api/exchanges")) exchanges.set(exchange.number, exchange);
  say(find("paused").checked ? "paused" : "");
  draw();
}

let events = null;
async function follow() {
  events?.close();
  if (find("paused").checked) { await load(); return; }
  events = new EventSource("/api/events");
  events.addEventListener("open", load);
  events.addEventListener("message", (event) => {
    const exchange = JSON.parse(event.data);
    exchanges.set(exchange.number, exchange);
    drawSoon();
  });
  events.addEventListener("error", () => say("p2p expose is not running; waiting for it"));
}

find("paused").checked = location.hash === "#paused";
find("paused").addEventListener("change", follow);
follow();
