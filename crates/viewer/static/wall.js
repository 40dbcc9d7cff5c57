// The wall adds new rows by itself, at most one a second. Without this file the page shows the
// same, and reloads itself.
"use strict";

// The same number as in crates/viewer/src/page/wall.rs.
const MAX_ROWS = 40;
// The server keeps this interval as well, but delayed rows may arrive together.
const ROW_INTERVAL_MS = 1000;
const DAY_MS = 24 * 60 * 60 * 1000;

const $ = (selector, within = document) => within.querySelector(selector);
const list = $("#wall");
const title = document.title;

// Returns the filter, without the parameter that is only for this page.
function asked() {
  const query = new URLSearchParams(location.search);
  query.delete("view");
  return query;
}

// A browser that stores nothing for sites throws.
function chosenTimes() {
  try {
    return localStorage.getItem("forever200.times");
  } catch {
    return null;
  }
}

// ---- Times of day, in the own time zone or, if that was chosen on the list, in UTC

const timeZone = chosenTimes() === "utc" ? "UTC" : undefined;
const clock = new Intl.DateTimeFormat("en-GB", { hour: "2-digit", minute: "2-digit", second: "2-digit", timeZone, timeZoneName: "short" });
const calendar = new Intl.DateTimeFormat("en-GB", { day: "numeric", month: "short", timeZone });

// Shows the time of day or, after a day, the day.
function tellTime(row) {
  const time = $("time", row);
  const at = new Date(time.dateTime);
  const parts = clock.formatToParts(at);
  const zone = parts.find((part) => part.type === "timeZoneName").value;
  const ofDay = parts.filter((part) => part.type !== "timeZoneName").map((part) => part.value).join("").trim();
  const text = Date.now() - at < DAY_MS ? ofDay : calendar.format(at);
  if (time.textContent !== text) time.textContent = text;
  $("#zone").textContent = `Times in ${zone}`;
}

function tellTimes() {
  for (const row of list.children) tellTime(row);
}

// ---- Rows

// Rows in the order in which they are inserted.
let waiting = [];
let timer = 0;
let lastInsertion = -ROW_INTERVAL_MS;

const second = (row) => $("time", row).dateTime.slice(0, 19);

function rowOf(html) {
  const template = document.createElement("template");
  template.innerHTML = html;
  return $("li", template.content);
}

// Inserts a row before the first row of an earlier second. Within one second, the rarer row has
// come first, so it stays above.
function insert(row) {
  tellTime(row);
  row.classList.add("new");
  const older = [...list.children].find((other) => second(other) < second(row));
  list.insertBefore(row, older ?? null);
  while (list.children.length > MAX_ROWS) list.lastElementChild.remove();
  $("#empty").hidden = true;
}

function settle() {
  clearTimeout(timer);
  const wait = lastInsertion + ROW_INTERVAL_MS - performance.now();
  if (wait > 0) {
    timer = setTimeout(settle, wait);
    return;
  }
  const row = waiting.shift();
  if (!row) return;
  lastInsertion = performance.now();
  insert(row);
  settle();
}

function take(row) {
  // After a lost connection, some rows come again that are in the list, or wait.
  if (document.getElementById(row.id) || waiting.some((other) => other.id === row.id)) return;
  waiting.push(row);
  if (waiting.length > MAX_ROWS) waiting.shift();
  settle();
}

// ---- The event stream

const on = {
  row(html) {
    const row = rowOf(html);
    take(row);
    return Number(row.id.slice(1));
  },
  strip: (html) => { $("#strip").innerHTML = html; },
  reset() {
    waiting = [];
    list.replaceChildren();
    $("#empty").hidden = false;
  },
  news: (count) => { document.title = count > 0 ? `(${count}) ${title}` : title; },
  shown: () => { document.title = title; },
};

// ---- The beginning

tellTimes();
setInterval(tellTimes, 60000);
const live = stream({ format: "wall", last: Number(list.dataset.cursor), asked, on });
document.addEventListener("keydown", (event) => {
  if (event.key === "Escape") $("#back").click();
});
