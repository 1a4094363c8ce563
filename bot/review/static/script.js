// Reading works without this file. It adds: keys, walking through tokens without reloading, layers, theme, live lists.
"use strict";

const root = document.documentElement;
root.classList.add("js");
const $ = (selector, within = document) => within.querySelector(selector);
const $$ = (selector, within = document) => [...within.querySelectorAll(selector)];
const say = (words) => { $("#status").textContent = words; };

// Theme: the system's, until somebody chooses.
const stored = localStorage.getItem("theme");
if (stored) root.dataset.theme = stored;
$("#theme")?.addEventListener("click", () => {
  const dark = root.dataset.theme ? root.dataset.theme === "dark" : matchMedia("(prefers-color-scheme: dark)").matches;
  root.dataset.theme = dark ? "light" : "dark";
  localStorage.setItem("theme", root.dataset.theme);
});
$("#keys")?.addEventListener("click", () => $("#help").showModal());

async function part(url, selector) {
  const answer = await fetch(url, { credentials: "same-origin" });
  if (!answer.ok) throw new Error(String(answer.status));
  const page = new DOMParser().parseFromString(await answer.text(), "text/html");
  return selector ? $(selector, page) : page.body;
}

// Of tokens, what no font here has is shown as bytes; messages stay as they were written.
function mend(within) {
  const texts = document.createTreeWalker(within, NodeFilter.SHOW_TEXT);
  while (texts.nextNode()) {
    const node = texts.currentNode;
    if (!node.parentElement.closest(".tokens, .prompt, .token, .jump")) continue;
    const text = legible(node.data);
    if (text !== node.data) node.data = text;
  }
}
(window.requestIdleCallback || setTimeout)(() => mend($("main")), { timeout: 500 });

// Lists: j, k and Enter.
let at = -1;
function move(by) {
  const rows = $$(".row");
  if (!rows.length) return;
  rows[at]?.classList.remove("at");
  at = Math.max(0, Math.min(rows.length - 1, at + by));
  rows[at].classList.add("at");
  rows[at].scrollIntoView({ block: "nearest" });
  const there = $("a.main", rows[at]) ?? rows[at];  // Enter opens what the row is of, or nothing
  if (there === rows[at]) there.tabIndex = -1;
  there.focus({ preventScroll: true });
}

// A reply: one token at a time.
let scope = $("#scope");
const known = new Map();
let current = null;

function fetched(index) {
  if (!known.has(index)) {
    const got = part(`/turn/${scope.dataset.turn}/step/${index}`).then((body) => [...body.childNodes]);
    got.catch(() => known.delete(index));
    known.set(index, got);
    if (known.size > 200) known.delete(known.keys().next().value);
  }
  return known.get(index);
}

function glyphOf(index) {
  return $$(".t", scope).find((glyph) => Number(glyph.dataset.first) <= index && index <= Number(glyph.dataset.last));
}

/** Tab comes to one token of the reply, the open one: from there the arrows go on. */
function tabStop() {
  for (const glyph of $$(".t[tabindex='0']", scope)) glyph.tabIndex = -1;
  const stop = $(".t[aria-current]", scope) ?? $(".t", scope);
  if (stop) stop.tabIndex = 0;
}
function oneTabStop() {
  for (const glyph of $$(".t", scope)) glyph.tabIndex = -1;
  tabStop();
}

/** Where we are: in the address, and in the forms, which come back to it. */
function record() {
  const layer = scope.dataset.layer;
  history.replaceState(null, "", current >= 0 ? `?step=${current}&layer=${layer}` : `?layer=${layer}`);
  for (const field of $$("input[name=at]")) field.value = current >= 0 ? String(current) : "";
  for (const field of $$("input[name=layer]")) field.value = layer;
}

async function show(index, { passing = false } = {}) {
  const count = Number(scope.dataset.count);
  if (!count) return;
  index = Math.max(0, Math.min(count - 1, index));
  current = index;
  $(".t[aria-current]", scope)?.removeAttribute("aria-current");
  const glyph = glyphOf(index);
  glyph?.setAttribute("aria-current", "true");
  tabStop();
  if (!passing) {  // under the pointer nothing is to move away
    glyph?.scrollIntoView({ block: "nearest" });
    if (document.activeElement?.matches(".t")) glyph?.focus({ preventScroll: true });
  }
  const step = $("#step");
  try {
    const nodes = await fetched(index);
    if (current !== index) return;
    const held = step.contains(document.activeElement) && document.activeElement.getAttribute("aria-label");
    step.replaceChildren(...nodes.map((node) => node.cloneNode(true)));
    mend(step);
    if (held !== false) ($(`[aria-label="${held}"]`, step) ?? $(".walk a", step)).focus({ preventScroll: true });
  } catch {
    say("This token could not be loaded.");
    return;
  }
  if (!passing) {
    record();
    const first = $("#note-first");
    if (first) [first.value, $("#note-last").value] = [String(index), ""];
    say(`Token ${index} of ${count - 1}: ${$("h2", step).textContent}, ${$(".said", step).textContent}`);
  }
  if (index + 1 < count) fetched(index + 1);
}

function setLayer(layer) {
  scope.dataset.layer = layer;
  for (const link of $$("[data-set-layer]")) {
    if (link.dataset.setLayer === layer) link.setAttribute("aria-current", "true");
    else link.removeAttribute("aria-current");
  }
  record();
  say(`Layer: ${layer}`);
}

// Whitespace and control bytes of the reply, visible or as they are.
const plain = new WeakMap();
let reveal = false;
function write() {
  for (const glyph of $$("[data-revealed]", scope)) {
    if (!plain.has(glyph)) plain.set(glyph, glyph.textContent);
    glyph.textContent = legible(reveal ? glyph.dataset.revealed : plain.get(glyph));
  }
  $("#reveal")?.setAttribute("aria-pressed", String(reveal));
}
function toggleReveal() {
  reveal = !reveal;
  write();
}

function nextUnsure() {
  const places = scope.dataset.unsure.split(" ").filter(Boolean).map(Number);
  if (places.length) show(places[(places.indexOf(current) + 1) % places.length]);
}

if (scope) {
  current = Number(new URLSearchParams(location.search).get("step") ?? -1);
  oneTabStop();
  if (!location.hash) $(".t[aria-current]", scope)?.scrollIntoView({ block: "nearest" });
  let waiting = 0;
  document.addEventListener("mouseover", (event) => {
    const glyph = event.target.closest?.(".t[data-first]");
    clearTimeout(waiting);
    if (glyph && matchMedia("(hover: hover)").matches) {
      waiting = setTimeout(() => show(Number(glyph.dataset.first), { passing: true }), 60);
    }
  });
  document.addEventListener("click", (event) => {
    if (event.target.closest?.("#reveal")) toggleReveal();
    const link = event.target.closest?.("[data-jump], [data-set-layer], .t[data-first]");
    if (!link || event.ctrlKey || event.metaKey || event.shiftKey || event.button) return;
    event.preventDefault();
    if (link.dataset.setLayer) setLayer(link.dataset.setLayer);
    else show(Number(link.dataset.jump ?? link.dataset.first));
  });
}

// Tokens marked with the mouse are what a note is about.
document.addEventListener("selectionchange", () => {
  const marked = getSelection();
  if (!scope || marked.isCollapsed) return;
  const ends = [marked.anchorNode, marked.focusNode].map((node) => node?.parentElement?.closest?.(".t[data-first]"));
  if (!ends[0] || !ends[1]) return;
  $("#note-first").value = String(Math.min(...ends.map((glyph) => Number(glyph.dataset.first))));
  $("#note-last").value = String(Math.max(...ends.map((glyph) => Number(glyph.dataset.last))));
});

document.addEventListener("keydown", (event) => {
  if (event.ctrlKey || event.metaKey || event.altKey || event.isComposing) return;
  const typing = event.target.closest("input, textarea, select");
  if (typing) {
    if (event.key === "Escape") typing.blur();
    return;
  }
  if ($("#help").open) return;
  const step = {
    ArrowRight: () => show(current + 1), ArrowLeft: () => show(current - 1),
    Home: () => show(0), End: () => show(Infinity), u: nextUnsure, s: toggleReveal,
    l: () => {
      const layers = $$("[data-set-layer]").map((link) => link.dataset.setLayer);
      setLayer(layers[(layers.indexOf(scope.dataset.layer) + 1) % layers.length]);
    },
  };
  const any = {
    "?": () => $("#help").showModal(), j: () => move(1), k: () => move(-1),
    "/": () => { if ($("#q")?.offsetParent) { $("#q").focus(); $("#q").select(); } else location.assign("/#q"); },
    g: () => location.assign("/"),
  };
  const act = any[event.key] ?? (scope ? step[event.key] : undefined);
  if (act) { event.preventDefault(); act(); }
});
if (location.hash === "#q") $("#q")?.focus();

// What takes the model a while: asked after until it is done, and then shown. Without script the page loads itself again.
async function ready() {
  try {
    const answer = await fetch(location.href, { credentials: "same-origin" });
    if (answer.redirected) location.replace(answer.url);
    else if (!(await answer.text()).includes('id="working"')) location.reload();
    else setTimeout(ready, 1000);
  } catch {
    $("#gone").hidden = false;
    setTimeout(ready, 1000);
  }
}
if ($("#working")) setTimeout(ready, 1000);

// Live: when the log has grown, the list, or the reply still being written, is read again, quietly.
let live = $("#live");
const nameOf = (row) => row.id || $("a.main", row)?.getAttribute("href");
function placeOf(node) {
  const row = node.closest(".row");
  return { row: row && nameOf(row), tag: node.tagName, number: $$(node.tagName, row ?? live).indexOf(node) };
}
function found({ row, tag, number }) {
  const within = row ? $$(".row", live).find((other) => nameOf(other) === row) : live;
  return within && $$(tag, within)[number];
}
/** Writing a note, marking words to copy or tokens to note something on: not to be disturbed. */
const busy = () => (scope && document.activeElement?.matches("textarea, select, input:not([type=checkbox])"))
  || (!getSelection().isCollapsed && live.contains(getSelection().anchorNode));
async function look() {
  if (document.hidden || !live?.dataset.pulse || busy()) return;
  try {
    const answer = await fetch(live.dataset.pulse, { credentials: "same-origin" });
    const { latest } = await answer.json();
    missed = 0;
    $("#gone").hidden = true;
    if (String(latest) === live.dataset.latest) return;
    const chosen = current;
    const place = scope && `?layer=${scope.dataset.layer}` + (chosen >= 0 ? `&step=${chosen}` : "");
    const fresh = await part(place ?? location.href, "#live");
    if (chosen !== current || busy()) return;
    // What the reader is at stays: the row, the focus, what is open.
    const focused = live.contains(document.activeElement) ? placeOf(document.activeElement) : null;
    const row = $$(".row", live)[at];
    const open = $$("details", live).map((each) => [placeOf(each), each.open]);
    const marks = $("#marks"), unfolded = $("#unfold")?.checked ?? false;
    live.replaceWith(fresh);
    live = fresh;
    if (scope) {
      if (marks) $("#marks").replaceWith(marks);  // and what was typed there
      scope = $("#scope");
      known.clear();
      write();
      oneTabStop();
      $("#unfold")?.toggleAttribute("checked", unfolded);
    }
    mend(live);
    at = row ? $$(".row", live).findIndex((other) => nameOf(other) === nameOf(row)) : -1;
    $$(".row", live)[at]?.classList.add("at");
    for (const [place, was] of open) found(place)?.toggleAttribute("open", was);
    if (focused) found(focused)?.focus({ preventScroll: true });
    say("Updated.");
  } catch {  // once may be the page closing
    missed += 1;
    $("#gone").hidden = missed < 2;
  }
}
let missed = 0;
if (live) setInterval(look, 2000);
