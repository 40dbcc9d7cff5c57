// The keyboard, and copying. Without this file the pages show the same.
"use strict";

const $ = (selector, within = document) => within.querySelector(selector);

// ---- The visitor's own time zone

function zone() {
  const parts = new Intl.DateTimeFormat("en-GB", { timeZoneName: "short" }).formatToParts();
  return parts.find((part) => part.type === "timeZoneName").value;
}

const here = $("#here");
if (here && zone() !== "UTC") {
  const time = new Date($("time", here.parentElement).dateTime);
  here.textContent = `${time.toLocaleString("en-GB", { dateStyle: "medium", timeStyle: "medium" })} ${zone()}`;
}

// ---- The keyboard

// By key; the list has more of them.
const keys = {
  j: () => $("[rel=next]")?.click(),
  k: () => $("[rel=prev]")?.click(),
  "/": () => location.assign("/home#q"),
  "?": () => $("#keys").showModal(),
};

function isTyping(target) {
  return target.matches("input:not([type=checkbox]), textarea, select") || $("dialog[open]");
}

document.addEventListener("keydown", (event) => {
  if (event.key === "Escape") document.activeElement.blur();
  if (event.ctrlKey || event.metaKey || event.altKey || isTyping(event.target)) return;
  const act = Object.hasOwn(keys, event.key) && keys[event.key];
  if (!act) return;
  event.preventDefault();
  act();
});

$("#help").hidden = false;
$("#help").addEventListener("click", keys["?"]);

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
