// The event stream of the list and of the wall, and the state of its connection. Loaded before
// their scripts.
"use strict";

// The server sends an event every 6 s at the latest.
const SILENCE_MS = 15000;
const RETRY_MS = 1000;
// How often a hidden tab counts new requests, for its title.
const HIDDEN_INTERVAL_MS = 60000;

function tell(state, text) {
  const live = document.querySelector("#live");
  live.hidden = false;
  live.dataset.state = state;
  const said = live.querySelector("span");
  if (said.textContent !== text) said.textContent = text;
}

// Streams the requests after number `last` in a format, with the filter that `asked` returns, and
// calls the functions of `on`. `row` and `strip` get HTML, `reset` gets nothing, and `news` gets
// the number of requests that came while the tab was hidden. `row` returns the number of its
// request. The id of an event is another number: up to it, all requests were sent, and in a flood
// the newest are sent first. After a lost connection, the stream goes on after that id, so some
// rows come twice. Returns `follow` and `countHidden`. `follow` connects, or disconnects if
// `isPaused` or if the tab is hidden, because a browser has only six connections for all tabs
// together. `countHidden` counts for `news` at once.
function stream({ format, last, asked, isPaused = () => false, on }) {
  let source = null;
  let heard = 0;
  let told = last;

  function connect() {
    source?.close();
    const query = asked();
    query.set("format", format);
    query.set("after", told);
    heard = Date.now();
    source = new EventSource(`/home/events?${query}`);
    source.onopen = () => tell("on", "Live");
    source.onerror = () => {
      tell("lost", "Connection lost, trying again");
      // After an answer that is no stream (503 while the viewer starts), the browser does not try
      // again.
      if (source?.readyState === EventSource.CLOSED) setTimeout(follow, RETRY_MS);
    };
    const listen = (name, act) => source.addEventListener(name, (event) => {
      heard = Date.now();
      act(event);
    });
    listen("row", (event) => {
      told = Number(event.lastEventId);
      last = Math.max(last, on.row(event.data));
    });
    listen("strip", (event) => on.strip(event.data));
    listen("alive", () => {});
    listen("reset", () => {
      [last, told] = [0, 0];
      on.reset();
    });
  }

  function disconnect() {
    source?.close();
    source = null;
  }

  function follow() {
    if (isPaused() || document.hidden) {
      disconnect();
      return;
    }
    on.shown?.();
    connect();
  }

  async function countHidden() {
    if (!document.hidden || isPaused()) return;
    const query = asked().toString();
    const address = query ? `/home/api/requests?${query}` : "/home/api/requests";
    const answer = await fetch(address).catch(() => null);
    if (!answer?.ok) return;
    const { requests } = await answer.json();
    if (document.hidden) on.news(requests.filter((request) => request.seq > last).length);
  }

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
  follow();
  return { follow, countHidden };
}
