// The list follows by itself, and the keyboard works. Without this file the pages show the same.
"use strict";

// As many rows as there are slots.
const MAX_ROWS = 101;
// The server sends something every 6 s at the latest.
const SILENCE_MS = 15000;
const RETRY_MS = 1000;

const $ = (selector, within = document) => within.querySelector(selector);
const table = $("#requests[data-cursor]");

// ---- Ages

function age(seconds) {
  if (seconds < 1) return "now";
  if (seconds < 60) return `${Math.floor(seconds)} s ago`;
  if (seconds < 3600) return `${Math.floor(seconds / 60)} min ago`;
  if (seconds < 86400) return `${Math.floor(seconds / 3600)} h ago`;
  return `${Math.floor(seconds / 86400)} d ago`;
}

function tellAges() {
  for (const time of document.querySelectorAll(".when time")) {
    const text = age((Date.now() - Date.parse(time.dateTime)) / 1000);
    if (time.textContent !== text) time.textContent = text;
  }
}

// ---- Rows

// New rows wait here while the reader is looking at something that they would move.
let waiting = [];

function rowOf(html) {
  const template = document.createElement("template");
  template.innerHTML = html;
  return $("tr", template.content);
}

function isReading() {
  return table.getBoundingClientRect().top < 0 || table.contains(document.activeElement);
}

function tellFold(group) {
  const rows = [...group.rows];
  let label = $(".fold", group);
  if (rows.length < 2) {
    label?.remove();
    return;
  }
  label ??= $("#fold").content.firstElementChild.cloneNode(true);
  const sources = new Set(rows.map((row) => row.dataset.ip)).size;
  $("span", label).textContent = `×${rows.length} from ${sources} ${sources === 1 ? "source" : "sources"}`;
  const cell = $(".what", rows[0]);
  if (label.parentElement !== cell) cell.append(" ", label);
}

function dropOldest() {
  const group = table.tBodies[table.tBodies.length - 1];
  group.rows[group.rows.length - 1].remove();
  if (group.rows.length === 0) group.remove();
  else tellFold(group);
}

function insert(row) {
  if (document.getElementById(row.id)) return;
  let group = table.tBodies[0];
  if (group?.rows[0].dataset.likeness !== row.dataset.likeness) {
    group = document.createElement("tbody");
    table.insertBefore(group, table.tBodies[0] ?? null);
  }
  row.classList.add("new");
  group.prepend(row);
  tellFold(group);
}

function showWaiting() {
  table.hidden = false;
  $("#empty")?.remove();
  // Of what the ring has forgotten meanwhile, nothing is shown.
  waiting.slice(-MAX_ROWS).forEach(insert);
  waiting = [];
  for (let rows = table.querySelectorAll("tbody tr").length; rows > MAX_ROWS; rows--) dropOldest();
  tellAges();
  tellMore();
}

function tellMore() {
  const more = $("#more");
  more.hidden = waiting.length === 0;
  more.textContent = `${Math.min(waiting.length, MAX_ROWS)} new`;
}

let frame = 0;
function take(row) {
  waiting.push(row);
  if (waiting.length > MAX_ROWS) waiting.shift();
  // Once a frame, however many come.
  frame ||= requestAnimationFrame(() => {
    frame = 0;
    if (isReading()) tellMore();
    else showWaiting();
  });
}

// ---- What is said to those who cannot see the rows: at most every ten seconds

let unsaid = 0;
function sayNew() {
  if (unsaid > 0) $("#said").textContent = `${unsaid} new ${unsaid === 1 ? "request" : "requests"}`;
  unsaid = 0;
}

// ---- The event stream

let source = null;
let last = 0;
let heard = 0;
let paused = false;

function tell(state, text) {
  const live = $("#live");
  live.hidden = false;
  live.dataset.state = state;
  if ($("span", live).textContent !== text) $("span", live).textContent = text;
}

function connect() {
  source?.close();
  const query = new URLSearchParams(location.search);
  query.set("format", "html");
  query.set("after", last);
  heard = Date.now();
  source = new EventSource(`/home/events?${query}`);
  source.onopen = () => tell("on", "Live");
  source.onerror = () => {
    tell("lost", "Connection lost, trying again");
    // After an answer that is no stream (503 while the viewer starts), the browser does not try again.
    if (source.readyState === EventSource.CLOSED) setTimeout(() => paused || connect(), RETRY_MS);
  };
  const on = (name, act) => source.addEventListener(name, (event) => {
    heard = Date.now();
    act(event);
  });
  on("row", (event) => {
    last = Number(event.lastEventId);
    unsaid++;
    take(rowOf(event.data));
  });
  on("strip", (event) => { $("#strip").innerHTML = event.data; });
  on("reset", () => {
    last = 0;
    waiting = [];
    for (const group of [...table.tBodies]) group.remove();
    tellMore();
  });
}

function togglePause() {
  paused = !paused;
  $("#live button").textContent = paused ? "Go on" : "Pause";
  if (paused) {
    source.close();
    tell("paused", "Paused");
  } else {
    tell("lost", "Connecting");
    connect();
  }
}

// ---- The keyboard

function move(step) {
  const links = [...table.querySelectorAll(".to")].filter((link) => link.checkVisibility());
  const at = links.indexOf(document.activeElement);
  const next = at < 0 ? (step > 0 ? 0 : -1) : at + step;
  links.at(Math.min(next, links.length - 1))?.focus();
}

function isTyping(target) {
  return target.matches("input:not([type=checkbox]), textarea, select") || $("dialog[open]");
}

const keys = table
  ? {
      "/": () => $("[name=q]").focus(),
      j: () => move(1),
      k: () => move(-1),
      p: togglePause,
      "?": () => $("#keys").showModal(),
    }
  : { j: () => $("[rel=next]")?.click(), k: () => $("[rel=prev]")?.click() };

document.addEventListener("keydown", (event) => {
  if (event.key === "Escape") document.activeElement.blur();
  if (event.ctrlKey || event.metaKey || event.altKey || isTyping(event.target)) return;
  const act = Object.hasOwn(keys, event.key) && keys[event.key];
  if (!act) return;
  event.preventDefault();
  act();
});

// ---- Copying: `navigator.clipboard` is for https only, which this page seldom has

for (const area of document.querySelectorAll("textarea[readonly]")) {
  const button = document.createElement("button");
  button.type = "button";
  button.textContent = "Copy";
  button.addEventListener("click", () => {
    area.select();
    button.textContent = document.execCommand("copy") ? "Copied" : "Press Ctrl+C";
  });
  area.after(button);
}

if (table) {
  last = Number(table.dataset.cursor);
  connect();
  // A browser keeps a page that was left, its stream open, and has six connections for us in all.
  addEventListener("pagehide", () => source.close());
  addEventListener("pageshow", (event) => event.persisted && !paused && connect());
  setInterval(tellAges, 1000);
  setInterval(sayNew, 10000);
  setInterval(() => {
    if (!paused && Date.now() - heard > SILENCE_MS) {
      tell("lost", "Connection lost, trying again");
      connect();
    }
  }, 1000);
  $("#live button").addEventListener("click", togglePause);
  $("#more").addEventListener("click", () => {
    scrollTo({ top: 0 });
    document.activeElement.blur();
    showWaiting();
  });
  // Back at the top, nothing is held back.
  addEventListener("scroll", () => waiting.length > 0 && !isReading() && showWaiting(), { passive: true });
  $("#help").hidden = false;
  $("#help button").addEventListener("click", keys["?"]);
}
