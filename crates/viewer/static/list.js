// The list adds new requests by itself, and does not move while somebody uses it. Without this file
// the page shows the same.
"use strict";

// As many rows as the ring has slots: the same number as `forever200_ring::SLOTS`.
const MAX_ROWS = 101;
// No row moves while a button is down over the list, or for this time after the pointer has moved
// there.
const HOLD_MS = 3000;
// If more rows than fit on the screen come within this time, they are inserted together.
const BATCH_MS = 1000;

const table = $("#requests");
const title = document.title;
const rowsOf = (part) => [...part.querySelectorAll("tbody tr")];

// ---- Ages, by the server's clock: the visitor's may be wrong

const serverIsAheadMs = Number(table.dataset.now) - Date.now();

function age(seconds) {
  if (seconds < 1) return "now";
  if (seconds < 60) return `${Math.floor(seconds)} s ago`;
  if (seconds < 3600) return `${Math.floor(seconds / 60)} min ago`;
  if (seconds < 86400) return `${Math.floor(seconds / 3600)} h ago`;
  return `${Math.floor(seconds / 86400)} d ago`;
}

function tellAges() {
  const now = Date.now() + serverIsAheadMs;
  for (const ago of document.querySelectorAll(".ago")) {
    const text = age((now - Date.parse(ago.parentElement.dateTime)) / 1000);
    if (ago.textContent !== text) ago.textContent = text;
  }
}

// ---- Rows

// New rows wait here while somebody reads, or points at, rows that they would move.
let waiting = [];
// The number of the oldest request in the ring, and how many requests the ring has.
let oldest = 0;
let held = 0;

function rowOf(html) {
  const template = document.createElement("template");
  template.innerHTML = html;
  return $("tr", template.content);
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
  if (label.parentElement === cell) return;
  // Before the excerpt, which is truncated if there is no room.
  const excerpt = $(".excerpt", cell);
  if (excerpt) excerpt.before(label, " ");
  else cell.append(" ", label);
}

function remove(row) {
  const group = row.parentElement;
  row.remove();
  if (group.rows.length === 0) group.remove();
  else tellFold(group);
}

const number = (row) => Number(row.id.slice(1));
const isLike = (row, group) => group?.rows?.[0]?.dataset.likeness === row.dataset.likeness;

// Inserts a row by its number: mostly at the top, but rows that come at the same time may be out of
// order.
function insert(row) {
  if (document.getElementById(row.id)) return;
  row.classList.add("new");
  narrow(row);
  const older = rowsOf(table).find((other) => number(other) < number(row));
  let below = older?.parentElement ?? null;
  let group = below;
  if (older && older !== below.rows[0] && !isLike(row, below)) below = cut(below, older);
  if (!isLike(row, below)) {
    group = below ? below.previousElementSibling : table.tBodies[table.tBodies.length - 1];
    if (!isLike(row, group)) {
      group = document.createElement("tbody");
      table.insertBefore(group, below);
    }
  }
  group.insertBefore(row, older?.parentElement === group ? older : null);
  tellFold(group);
}

// Keeps the filter in the links of a part. The link of a value adds a condition; the page of a
// request leads to the next request that matches.
function narrow(part) {
  if (!location.search) return;
  for (const link of part.querySelectorAll("a[href^='/home?']")) {
    const query = new URLSearchParams(location.search);
    for (const [name, value] of new URLSearchParams(link.search)) query.set(name, value);
    link.search = query;
  }
  for (const link of part.querySelectorAll(".to")) link.search = location.search;
}

// Makes the rows of a group from `first` on a group of their own. Returns it.
function cut(group, first) {
  const rest = document.createElement("tbody");
  rest.append(...[...group.rows].slice([...group.rows].indexOf(first)));
  group.after(rest);
  tellFold(group);
  tellFold(rest);
  return rest;
}

// Tells whether a row is in the list, or waits to be inserted.
function isKnown(row) {
  return document.getElementById(row.id) !== null || waiting.some((other) => other.id === row.id);
}

// Tells whether the request of a row has left the ring. Its link then leads nowhere.
function isGone(row) {
  return number(row) < oldest;
}

// Inserts the rows that wait, and removes those that are gone. Everything below may move.
function letIn() {
  waiting.filter((row) => !isGone(row)).forEach(insert);
  waiting = [];
  const rows = rowsOf(table);
  rows.filter((row, at) => at >= MAX_ROWS || isGone(row)).forEach(remove);
  table.hidden = table.tBodies.length === 0;
  $("#empty").hidden = !table.hidden;
  tellAges();
  tellTimes();
  tellWaiting();
}

// Marks the rows that are gone while the list must not move.
function markGone() {
  for (const row of rowsOf(table)) row.classList.toggle("gone", isGone(row));
}

function tellWaiting() {
  const more = $("#more");
  more.hidden = waiting.length === 0;
  more.textContent = `${waiting.length} new`;
  tellTitle(waiting.length);
  const count = $("#count");
  if (count && held) {
    const shown = rowsOf(table).filter((row) => !isGone(row));
    count.textContent = `${shown.length + waiting.length} of ${held}`;
  }
}

function tellTitle(news) {
  document.title = news > 0 ? `(${news}) ${title}` : title;
}

// ---- Holding still

let heldUntil = 0;
let isDown = false;
let pointer = { x: -1, y: -1 };

function isPointing() {
  return isDown || performance.now() < heldUntil;
}

function isReading() {
  return table.getBoundingClientRect().top < 0 || table.contains(document.activeElement);
}

function hold() {
  heldUntil = performance.now() + HOLD_MS;
  settleIn(HOLD_MS);
}

table.addEventListener("pointermove", (event) => {
  // Browsers send this event also when something moves under a pointer that is still.
  if (event.screenX === pointer.x && event.screenY === pointer.y) return;
  pointer = { x: event.screenX, y: event.screenY };
  hold();
});
table.addEventListener("pointerdown", (event) => {
  isDown = event.button === 0;
  hold();
});
for (const name of ["pointerup", "pointercancel", "blur"]) addEventListener(name, () => { isDown = false; });

// ---- Inserting

let batchBegan = -BATCH_MS;
let batchRows = 0;
let timer = 0;

function settleIn(ms) {
  clearTimeout(timer);
  timer = setTimeout(settle, ms);
}

function rowsOfScreen() {
  const height = rowsOf(table).find((row) => row.offsetHeight > 0)?.offsetHeight ?? 40;
  return Math.max(5, Math.floor(innerHeight / height));
}

function settle() {
  const now = performance.now();
  const isStale = waiting.length > 0 || rowsOf(table).some(isGone);
  if (!isStale) return;
  if (isReading() || isPointing()) {
    markGone();
    tellWaiting();
    if (!isReading()) settleIn(isDown ? HOLD_MS : heldUntil - now + 1);
    return;
  }
  if (now - batchBegan >= BATCH_MS) {
    batchBegan = now;
    batchRows = 0;
  } else if (batchRows + waiting.length > rowsOfScreen()) {
    settleIn(batchBegan + BATCH_MS - now + 1);
    return;
  }
  batchRows += waiting.length;
  letIn();
}

let frame = 0;
function take(row) {
  waiting.push(row);
  if (waiting.length > MAX_ROWS) waiting.shift();
  // Once a frame, however many rows come.
  frame ||= requestAnimationFrame(() => {
    frame = 0;
    settle();
  });
}

// ---- What a screen reader says of new rows: at most every ten seconds

let unsaid = 0;
function sayNew() {
  if (unsaid > 0) $("#said").textContent = `${unsaid} new ${unsaid === 1 ? "request" : "requests"}`;
  unsaid = 0;
}

// ---- The event stream

let isPaused = false;

const on = {
  row(html) {
    const row = rowOf(html);
    if (!isKnown(row)) {
      unsaid++;
      take(row);
    }
    return number(row);
  },
  strip(html) {
    $("#strip").innerHTML = html;
    narrow($("#strip"));
    const ring = $("[data-oldest]", $("#strip"));
    // If all requests came to one port, the column of ports is hidden.
    table.classList.toggle("ports", ring.dataset.ports > 1);
    [oldest, held] = [Number(ring.dataset.oldest), Number(ring.dataset.held)];
    settle();
    tellWaiting();
  },
  reset() {
    waiting = [];
    // The numbers begin again at 1. The next strip says which requests are gone.
    [oldest, held] = [0, 0];
    for (const group of [...table.tBodies]) group.remove();
    letIn();
    const count = $("#count");
    if (count) count.textContent = "0 of 0";
  },
  news: (count) => tellTitle(waiting.length + count),
};

function togglePause() {
  isPaused = !isPaused;
  $("#live button").textContent = isPaused ? "Resume" : "Pause";
  tell(isPaused ? "paused" : "lost", isPaused ? "Paused" : "Connecting");
  live.follow();
}

// ---- Coming back from a request: to the same row, in the same place

const PLACE = "forever200.place";

addEventListener("pagehide", () => {
  const row = document.activeElement.closest("#requests tr");
  const place = row && { address: location.search, row: row.id, top: row.getBoundingClientRect().top };
  try {
    if (place) sessionStorage.setItem(PLACE, JSON.stringify(place));
    else sessionStorage.removeItem(PLACE);
  } catch {
    // A browser that stores nothing for sites throws.
  }
});

function lastPlace() {
  try {
    return JSON.parse(sessionStorage.getItem(PLACE) ?? "null");
  } catch {
    return null;
  }
}

function show(row) {
  const fold = $(".fold input", row.parentElement);
  if (fold && !row.checkVisibility()) fold.checked = true;
  $(".to", row).focus({ preventScroll: true });
}

function comeBack() {
  const place = lastPlace();
  const isBack = performance.getEntriesByType("navigation")[0]?.type === "back_forward";
  const row = place?.address === location.search && document.getElementById(place.row);
  if (!isBack || !row) return;
  show(row);
  scrollBy(0, row.getBoundingClientRect().top - place.top);
}

// ---- The keyboard

function move(step) {
  const links = [...table.querySelectorAll(".to")].filter((link) => link.checkVisibility());
  const at = links.indexOf(document.activeElement);
  const last = links.length - 1;
  const next = at < 0 ? (step > 0 ? 0 : last) : Math.min(Math.max(at + step, 0), last);
  links[next]?.focus();
}

Object.assign(keys, {
  j: () => move(1),
  k: () => move(-1),
  p: togglePause,
});

// ---- The beginning

const live = stream({
  format: "html",
  last: Number(table.dataset.cursor),
  asked: () => new URLSearchParams(location.search),
  isPaused: () => isPaused,
  on,
});
// When everything is loaded, the browser has already scrolled by itself.
addEventListener("load", () => setTimeout(comeBack));
setInterval(tellAges, 1000);
setInterval(sayNew, 10000);
$("#live button").addEventListener("click", togglePause);
$("#more").addEventListener("click", () => {
  scrollTo({ top: 0 });
  document.activeElement.blur();
  letIn();
});
// At the top again, or with the focus elsewhere, the list may move again.
addEventListener("scroll", settle, { passive: true });
table.addEventListener("focusout", () => setTimeout(settle));
if (location.hash === "#q") keys["/"]();
