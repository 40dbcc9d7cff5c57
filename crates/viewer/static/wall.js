// The wall follows by itself: a new row a second at most. Without this file the page shows the same, and loads itself anew.
"use strict";

// As many rows as the page has.
const MAX_ROWS = 40;
// The server keeps to it as well; what was held up on its way may come in a bunch.
const ROW_INTERVAL_MS = 1000;
// The server sends something every 6 s at the latest.
const SILENCE_MS = 15000;
const RETRY_MS = 1000;
// How often a tab that nobody sees counts what is new, for its title.
const HIDDEN_INTERVAL_MS = 60000;

const $ = (selector, within = document) => within.querySelector(selector);
const list = $("#wall");
const title = document.title;

// The filter, for other addresses than this one.
function asked() {
  const query = new URLSearchParams(location.search);
  query.delete("view");
  return query;
}

// ---- Times of day, here or, for who has chosen that on the list, in UTC

const isUtc = localStorage.getItem("forever200.times") === "utc";
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

let source = null;
let last = Number(list.dataset.cursor);
let heard = 0;

function tell(state, text) {
  const live = $("#live");
  live.hidden = false;
  live.dataset.state = state;
  if ($("span", live).textContent !== text) $("span", live).textContent = text;
}

function connect() {
  source?.close();
  const query = asked();
  query.set("format", "wall");
  query.set("after", last);
  heard = Date.now();
  source = new EventSource(`/home/events?${query}`);
  source.onopen = () => tell("on", "Live");
  source.onerror = () => {
    tell("lost", "Connection lost, trying again");
    // After an answer that is no stream (503 while the viewer starts), the browser does not try again.
    if (source?.readyState === EventSource.CLOSED) setTimeout(follow, RETRY_MS);
  };
  const on = (name, act) => source.addEventListener(name, (event) => {
    heard = Date.now();
    act(event);
  });
  on("row", (event) => {
    last = Math.max(last, Number(event.lastEventId));
    take(rowOf(event.data));
  });
  on("strip", (event) => { $("#strip").innerHTML = event.data; });
  on("reset", () => {
    last = 0;
    waiting = [];
    list.replaceChildren();
    $("#empty").hidden = false;
  });
}

function disconnect() {
  source?.close();
  source = null;
}

// A browser has six connections for all tabs together: one that nobody sees has none.
function follow() {
  if (document.hidden) {
    disconnect();
    return;
  }
  document.title = title;
  connect();
}

async function countHidden() {
  if (!document.hidden) return;
  const answer = await fetch(`/home/api/requests?${asked()}`).catch(() => null);
  if (!answer?.ok) return;
  const { requests } = await answer.json();
  const news = requests.filter((request) => request.seq > last).length;
  if (document.hidden) document.title = news > 0 ? `(${news}) ${title}` : title;
}

// ---- The beginning

for (const row of list.children) tellTime(row);
follow();
document.addEventListener("visibilitychange", follow);
addEventListener("pagehide", disconnect);
addEventListener("pageshow", (event) => event.persisted && follow());
setInterval(countHidden, HIDDEN_INTERVAL_MS);
setInterval(() => {
  if (source && Date.now() - heard > SILENCE_MS) {
    tell("lost", "Connection lost, trying again");
    follow();
  }
}, 1000);
document.addEventListener("keydown", (event) => {
  if (event.key === "Escape") $("#back").click();
});
