// Keys of the studio. Pages work without it: everything is a link or a form.
"use strict";

(() => {
  const items = () => [...document.querySelectorAll("[data-item]")];
  const list = document.querySelector("[data-list]");
  const status = document.getElementById("status");
  const STILL = "Still saving this pair: decide again when it is saved.";
  let current = -1;
  let saving = 0;
  let undoes = 0;
  let leaveFor = null;
  let goes = false;

  const say = (text, bad = false) => {
    status.textContent = text;
    status.classList.toggle("bad", bad);
  };

  const select = (place, scroll = true) => {
    const all = items();
    if (!all.length) return;
    current = Math.max(0, Math.min(place, all.length - 1));
    all.forEach((item, n) => item.classList.toggle("current", n === current));
    all[current].focus({ preventScroll: true });
    if (scroll) all[current].scrollIntoView({ block: "nearest" });
    document.dispatchEvent(new Event("repic:current"));
  };

  const follow = (rel) => {
    const link = document.querySelector(`.pager a[rel="${rel}"]`);
    if (!link) return false;
    if (saving) leaveFor = link.href;
    else location.href = link.href;
    return true;
  };

  const decide = (key) => {
    const card = items()[current];
    const button = card && card.querySelector(`button[data-key="${key}"]`);
    if (!button || button.disabled) return;
    if (button.form.matches(".htmx-request")) return say(STILL, true);
    button.click();
    if (current + 1 < items().length) select(current + 1);
    else if (list && !follow("next")) say("That was the last one.");
  };

  // Takes the last decision back, after those that are on their way.
  const undo = () => {
    if (saving) undoes += 1;
    else htmx.ajax("POST", "/undo", { source: document.body, target: document.body, swap: "none" });
  };

  // Shows again what was taken back, if the page has it.
  const show = ({ said, element, path }) => {
    const shown = element && document.getElementById(element);
    if (!shown) return say(said);
    const at = items().indexOf(shown);
    const version = new URLSearchParams(location.search).get("v");
    const from = path ? path + (version ? `?v=${version}` : "") : location.pathname + location.search;
    const how = { source: shown, target: shown, select: `#${CSS.escape(element)}`, swap: "outerHTML" };
    htmx.ajax("GET", from, how).then(() => {
      if (at >= 0) select(at);
      say(said);
    });
  };

  document.addEventListener("keydown", (event) => {
    const field = event.target.closest("input:not([type=checkbox]), select, textarea, dialog");
    if (field && event.key === "Enter" && (event.ctrlKey || event.metaKey)) {
      const form = field.closest("form");
      if (form) form.requestSubmit();
      return;
    }
    if (event.key === "Escape" && field && field.blur) return field.blur();
    if (field || event.ctrlKey || event.metaKey || event.altKey) return;
    const key = event.key;
    if (goes) {
      goes = false;
      const links = [...document.querySelectorAll(".top nav a")];
      const link = links.find((a) => a.dataset.go === key.toLowerCase());
      if (link) location.href = link.href;
      return;
    }
    const actions = {
      g: () => { goes = true; setTimeout(() => { goes = false; }, 1500); },
      j: () => select(current + 1),
      ArrowDown: items().length ? () => select(current + 1) : null,
      k: () => select(current - 1),
      ArrowUp: items().length ? () => select(current - 1) : null,
      Enter: () => {
        const item = items()[current];
        if (!item || document.activeElement !== item) return false;
        const link = item.matches("a") ? item : item.querySelector("[data-open]");
        if (link) location.href = link.href;
        return true;
      },
      "]": () => follow("next"),
      "[": () => follow("prev"),
      "/": () => {
        const field = document.querySelector("[data-filters] select, [data-filters] input:not([type=hidden])");
        if (field) field.focus();
      },
      y: () => decide("y"),
      n: () => decide("n"),
      u: () => decide("u"),
      z: undo,
      x: () => {
        const box = items()[current] && items()[current].querySelector("input[type=checkbox]");
        if (box) box.click();
        return Boolean(box);
      },
      m: () => {
        const name = document.querySelector("[data-name]");
        if (name) name.focus();
        return Boolean(name);
      },
      "?": () => document.getElementById("keys").showModal(),
    };
    const action = actions[key];
    if (action && action() !== false) event.preventDefault();
  });

  document.addEventListener("click", (event) => {
    if (event.target.closest("[data-keys]")) document.getElementById("keys").showModal();
    if (event.target.closest("[data-undo]")) undo();
    const item = event.target.closest("[data-item]");
    if (item && !item.matches("a")) {
      current = items().indexOf(item);
      items().forEach((other, n) => other.classList.toggle("current", n === current));
      document.dispatchEvent(new Event("repic:current"));
    }
  });

  document.addEventListener("change", (event) => {
    const form = event.target.closest("[data-filters]");
    if (form) form.requestSubmit();
  });

  // htmx would drop it: the reply to the request before replaces the form.
  document.addEventListener("htmx:confirm", (event) => {
    if (!event.target.matches("form.htmx-request")) return;
    event.preventDefault();
    say(STILL, true);
  });

  const reads = (event) => event.detail.requestConfig.verb === "get";
  const saves = (event) => !event.target.closest("[data-score]");
  document.addEventListener("htmx:beforeRequest", (event) => {
    if (reads(event)) return;
    saving += 1;
    say(saves(event) ? "Saving …" : "Scoring …");
  });
  document.addEventListener("htmx:afterRequest", (event) => {
    if (reads(event)) {
      say(event.detail.successful ? "" : "The studio does not answer.", !event.detail.successful);
      return;
    }
    saving -= 1;
    if (!saving && undoes) {
      undoes -= 1;
      setTimeout(undo);
    }
    if (event.detail.successful && event.detail.requestConfig.path === "/undo") {
      show(JSON.parse(event.detail.xhr.responseText));
      return;
    }
    if (!event.detail.successful) {
      leaveFor = null;
      const why = event.detail.xhr && event.detail.xhr.responseText;
      say(`${saves(event) ? "Not saved" : "That did not work"}: ${(why || "the studio does not answer").slice(0, 200)}`, true);
    } else if (!saving) {
      if (!status.classList.contains("bad")) say(saves(event) ? "Saved" : "");
      if (leaveFor) location.href = leaveFor;
    }
  });
  const mark = () => items().forEach((item, n) => item.classList.toggle("current", n === current));
  document.addEventListener("htmx:afterSettle", mark);  // settling sets the classes of the reply
  document.addEventListener("htmx:afterSwap", () => {
    const all = items();
    mark();
    if (all[current] && document.activeElement === document.body) {
      all[current].focus({ preventScroll: true });
    }
    document.dispatchEvent(new Event("repic:current"));
  });
  window.addEventListener("beforeunload", (event) => {
    if (saving) event.preventDefault();
  });

  document.addEventListener("submit", (event) => {
    if (!event.target.matches("[data-slow]")) return;
    event.target.querySelector("button").disabled = true;
    say("Working …");
  });
  window.addEventListener("pageshow", () => {  // also when the visitor comes back to it
    document.querySelectorAll("[data-slow] button").forEach((button) => { button.disabled = false; });
  });

  if (list && list.dataset.review === "yes" && items().length) select(0, false);
})();
