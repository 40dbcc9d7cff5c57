// Times, the keyboard, and copying. Without this file the pages show the same.
"use strict";

const $ = (selector, within = document) => within.querySelector(selector);

// ---- What a visitor has chosen, for all pages and the next visit

// Choices by name, for this page only: a browser that stores nothing for sites throws.
const unkept = new Map();

function chosen(name) {
  if (unkept.has(name)) return unkept.get(name);
  try {
    return localStorage.getItem(name);
  } catch {
    return null;
  }
}

function choose(name, choice) {
  try {
    localStorage.setItem(name, choice);
    unkept.delete(name);
  } catch {
    unkept.set(name, choice);
  }
}

// ---- Times: in UTC, as the server sends them, or in the visitor's own time zone

const TIMES = "forever200.times";
const DAY = { year: "numeric", month: "2-digit", day: "2-digit" };
const MINUTE = { ...DAY, hour: "2-digit", minute: "2-digit" };
const ROW = { day: "numeric", month: "short", hour: "2-digit", minute: "2-digit", second: "2-digit", hour12: false };
// Formats by class of the element. `at` comes last, because the element of a row has other classes
// too. Sweden writes 2031-05-04 03:02.
const formats = {
  day: new Intl.DateTimeFormat("sv-SE", DAY),
  minute: new Intl.DateTimeFormat("sv-SE", MINUTE),
  second: new Intl.DateTimeFormat("sv-SE", { ...MINUTE, second: "2-digit" }),
  at: new Intl.DateTimeFormat("en-GB", ROW),
};

// Returns the name of the time zone, which is not the same in summer and in winter.
function zone(time = new Date()) {
  const parts = new Intl.DateTimeFormat("en-GB", { timeZoneName: "short" }).formatToParts(time);
  return parts.find((part) => part.type === "timeZoneName").value;
}

function timeHere(part) {
  const time = new Date(part.parentElement.dateTime);
  const form = Object.keys(formats).find((name) => part.classList.contains(name));
  const text = formats[form].format(time).replace(",", "");
  return part.classList.contains("zoned") ? `${text} ${zone(time)}` : text;
}

function tellTimes() {
  const isHere = $("[name=times]:checked")?.value === "local";
  for (const part of document.querySelectorAll("time > span:not(.ago)")) {
    part.dataset.utc ??= part.textContent;
    part.textContent = isHere ? timeHere(part) : part.dataset.utc;
  }
}

// Chooses what was chosen on another page, if this page offers it. Otherwise, a page that shows UTC
// without this script shows the visitor's own time zone.
function chooseTimes() {
  const before = $(`[name=times][value="${CSS.escape(chosen(TIMES) ?? "")}"]`);
  const checked = $("[name=times]:checked");
  const choice = before ?? (checked.value === "utc" ? $("#local input") : checked);
  if (!choice.closest("[hidden]")) choice.checked = true;
}

function offerTimes() {
  const local = $("#local");
  if (!local) return;
  $("span", local).textContent = zone();
  if (zone() !== "UTC") {
    local.hidden = false;
    local.parentElement.hidden = false;
  }
  chooseTimes();
  for (const choice of document.querySelectorAll("[name=times]")) {
    choice.addEventListener("change", () => {
      choose(TIMES, choice.value);
      tellTimes();
    });
  }
  tellTimes();
}

offerTimes();
for (const here of document.querySelectorAll(".here")) {
  if (zone() === "UTC") break;
  const time = new Date($("time", here.parentElement).dateTime);
  here.textContent = `${time.toLocaleString("en-GB", { dateStyle: "medium", timeStyle: "medium" })} ${zone(time)}`;
}

// ---- A search: an address without the fields that are empty

for (const form of document.querySelectorAll("search form")) {
  form.addEventListener("formdata", ({ formData }) => {
    for (const name of new Set(formData.keys())) {
      if (formData.getAll(name).every((value) => value === "")) formData.delete(name);
    }
  });
}

// ---- The keyboard

const SINGLE_KEYS = "forever200.keys";

// Functions by key. The list adds more.
const keys = {
  j: () => $("[rel=next]")?.click(),
  k: () => $("[rel=prev]")?.click(),
  "/": () => {
    const search = $("[name=q]");
    if (search) search.focus();
    else location.assign("/home#q");
  },
  "?": () => {
    $("#keys").showModal();
    $("#keys button").focus();
  },
};

function isTyping(target) {
  return target.matches("input:not([type=checkbox], [type=radio]), textarea, select") || $("dialog[open]");
}

// Tells whether single keys are on. People who dictate, or hit keys by mistake, can turn them off:
// https://www.w3.org/TR/WCAG22/#character-key-shortcuts
function usesKeys() {
  return chosen(SINGLE_KEYS) !== "off";
}

// Announces the keys only if they are on.
function tellKeys() {
  $("#single-keys").checked = usesKeys();
  for (const element of document.querySelectorAll("[aria-keyshortcuts], [data-key]")) {
    element.dataset.key ??= element.getAttribute("aria-keyshortcuts");
    if (usesKeys()) element.setAttribute("aria-keyshortcuts", element.dataset.key);
    else element.removeAttribute("aria-keyshortcuts");
  }
}

document.addEventListener("keydown", (event) => {
  if (event.key === "Escape") document.activeElement.blur();
  if (event.ctrlKey || event.metaKey || event.altKey || isTyping(event.target) || !usesKeys()) return;
  const act = Object.hasOwn(keys, event.key) && keys[event.key];
  if (!act) return;
  event.preventDefault();
  act();
});

$("#help").hidden = false;
$("#help").addEventListener("click", keys["?"]);
$("#single-keys").addEventListener("change", (event) => {
  choose(SINGLE_KEYS, event.target.checked ? "on" : "off");
  tellKeys();
});
// Also when the choice was changed on another page.
for (const name of ["pageshow", "storage"]) addEventListener(name, tellKeys);

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
