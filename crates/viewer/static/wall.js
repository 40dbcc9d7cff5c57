// The wall follows by itself: a new row a second at most. Without this file the page shows the same, and loads itself anew.
"use strict";

// As many rows as the page has.
const MAX_ROWS = 40;
// The server keeps to it as well; what was held up on its way may come in a bunch.
const ROW_INTERVAL_MS = 1000;

const $ = (selector, within = document) => within.querySelector(selector);
const list = $("#wall");
const title = document.title;

// The filter, for other addresses than this one.
function asked() {
  const query = new URLSearchParams(location.search);
  query.delete("view");
  return query;
}

// A browser that keeps nothing for sites throws.
function chosenTimes() {
  try {
    return localStorage.getItem("forever200.times");
  } catch {
    return null;
  }
}

// ---- Times of day, here or, for who has chosen that on the list, in UTC

const isUtc = chosenTimes() === "utc";
const clock = new Intl.DateTimeFormat("en-GB", { hour: "2-digit", minute: "2-digit", second: "2-digit", timeZoneName: "short" });

function tellTime(row) {
  const time = $("time", row);
  // Where it is a time of day, and no day.
  if (isUtc || !time.textContent.includes(":")) return;
  const parts = clock.formatToParts(new Date(time.dateTime));
  const zone = parts.find((part) => part.type === "timeZoneName").value;
  const text = parts.filter((part) => part.type !== "timeZoneName").map((part) => part.value).join("").trim();
  time.textContent = text;
  $("#zone").textContent = `Times in ${zone}`;
}

// ---- Rows

// In the order in which they are to be let in.
let waiting = [];
let timer = 0;
let lastInsertion = -ROW_INTERVAL_MS;

const second = (row) => $("time", row).dateTime.slice(0, 19);

function rowOf(html) {
  const template = document.createElement("template");
  template.innerHTML = html;
  return $("li", template.content);
}

// At the top, but for what came in the same second as another, or before: what is rarer has come first.
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
  if (document.getElementById(row.id)) return;
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

for (const row of list.children) tellTime(row);
const live = stream({ format: "wall", last: Number(list.dataset.cursor), asked, on });
document.addEventListener("keydown", (event) => {
  if (event.key === "Escape") $("#back").click();
});
