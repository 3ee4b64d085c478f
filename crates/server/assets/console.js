// Keeps a page of the console up to date. Without this script each page still works; it then shows the moment at which it was loaded.
//
// When the server says that something changed, the page is fetched again, and its parts marked `data-live` are merged into what is
// shown. A row is never moved under the pointer or under the keyboard's focus: rows that are there are changed in place, and what comes
// or goes waits until the pointer has left.
"use strict";
(() => {
  const body = document.body;
  tickWaivers();
  countTaken();
  if (!body.dataset.now) return rememberNames();

  // Times are the store's, whatever the clock of this machine says.
  let ahead = Number(body.dataset.now) - Date.now();
  const now = () => Date.now() + ahead;
  const words = document.querySelector("[data-live-state]");
  const ageWords = document.querySelector("[data-live-age]");
  let loadedAt = now();
  let isFetching = false;
  let wanted = false;
  let isBroken = false;

  // ---- times that go on ----------------------------------------------------------------------------------------

  function rough(ms) {
    const seconds = Math.max(0, Math.floor(ms / 1000));
    const units = [[86400, "d"], [3600, "h"], [60, "m"], [1, "s"]];
    const at = units.findIndex(([unit]) => seconds >= unit);
    if (at < 0) return "0s";
    const [unit, name] = units[at];
    const next = units[at + 1];
    const rest = next ? Math.floor((seconds % unit) / next[0]) : 0;
    return Math.floor(seconds / unit) + name + (rest > 0 ? ` ${rest}${next[1]}` : "");
  }

  function set(element, text) {
    if (element.textContent !== text) element.textContent = text;
  }

  function tick() {
    const at = now();
    for (const time of document.querySelectorAll("time[data-at]")) {
      const then = Number(time.dataset.at);
      set(time, then > at ? `in ${rough(then - at + 999)}` : `${rough(at - then)} ago`);
    }
    for (const time of document.querySelectorAll("time[data-age]")) set(time, rough(at - Number(time.dataset.age)));
    for (const bar of document.querySelectorAll("progress[data-until]")) {
      const from = Number(bar.dataset.from), until = Number(bar.dataset.until);
      bar.value = Math.max(0, Math.min(1000, (1000 * (until - at)) / Math.max(1, until - from)));
    }
    for (const left of document.querySelectorAll("[data-left]")) {
      const until = Number(left.dataset.left);
      set(left, until > at ? `${rough(until - at + 999)} left` : `lapsed ${rough(at - until)} ago`);
      left.parentElement.classList.toggle("lapsed", until <= at);
    }
    // Only a change of this is read aloud; the age beside it is not.
    const age = at - loadedAt;
    const isLive = !isBroken && age < 10000;
    words.parentElement.classList.toggle("bad", isBroken);
    set(words, isBroken ? "not connected" : isLive ? "live" : "waiting");
    set(ageWords, isLive ? "" : `, as of ${rough(age)} ago`);
  }

  // ---- the page as it is now -----------------------------------------------------------------------------------

  // Something in a part is in use: the pointer is on it, the focus is in it, or some of its text is selected.
  function isInUse(part) {
    const selection = document.getSelection();
    return part.matches(":hover") || part.contains(document.activeElement) ||
      (selection && !selection.isCollapsed && part.contains(selection.anchorNode));
  }

  function keyed(parent) {
    return new Map([...parent.querySelectorAll(":scope > [data-key]")].map((child) => [child.dataset.key, child]));
  }

  // Changes an element in place where it can, so that focus and selection stay.
  function change(old, next) {
    if (old.isEqualNode(next)) return;
    const isLeaf = old.children.length !== next.children.length || [...old.children].some((child, at) => child.tagName !== next.children[at].tagName);
    if (isLeaf || old.children.length === 0) {
      old.innerHTML = next.innerHTML;
    } else {
      const texts = [...old.childNodes].filter((node) => node.nodeType === Node.TEXT_NODE).map((node) => node.data).join("");
      const nextTexts = [...next.childNodes].filter((node) => node.nodeType === Node.TEXT_NODE).map((node) => node.data).join("");
      if (texts !== nextTexts) old.innerHTML = next.innerHTML;
      else [...old.children].forEach((child, at) => change(child, next.children[at]));
    }
    for (const { name } of [...old.attributes]) if (!next.hasAttribute(name)) old.removeAttribute(name);
    for (const { name, value } of [...next.attributes]) if (old.getAttribute(name) !== value) old.setAttribute(name, value);
  }

  // What a part says, without the times that go on by themselves.
  function said(part) {
    const copy = part.cloneNode(true);
    for (const element of copy.querySelectorAll("time, progress, [data-left]")) element.textContent = "";
    for (const bar of copy.querySelectorAll("progress")) bar.removeAttribute("value");
    return copy.innerHTML;
  }

  // Returns whether something is left to be done once the part is no longer in use.
  function merge(part, next) {
    const words = next ? said(next) : "";
    if (part.said === words) return false;
    if (!isInUse(part)) {
      const before = new Set([...part.querySelectorAll("tr[data-key]")].map((row) => row.dataset.key));
      if (next) change(part, next);
      else part.textContent = "";
      part.said = words;
      for (const row of part.querySelectorAll("tr[data-key]")) if (before.size && !before.has(row.dataset.key)) row.classList.add("new");
      return false;
    }
    // In place: what is there stays where it is.
    const lists = [...part.querySelectorAll("[data-rows]")], nextLists = next ? [...next.querySelectorAll("[data-rows]")] : [];
    if (lists.length === 0 || lists.length !== nextLists.length) return true;
    lists.forEach((list, at) => {
      const coming = keyed(nextLists[at]);
      for (const [key, row] of keyed(list)) {
        const after = coming.get(key);
        row.classList.toggle("gone", !after);
        if (after && !row.contains(document.activeElement)) change(row, after);
      }
    });
    return true;
  }

  let pending = null;

  function show(next) {
    pending = null;
    for (const part of document.querySelectorAll("[data-live]")) {
      if (merge(part, next.querySelector(`[data-live="${part.dataset.live}"]`))) pending = next;
    }
    tick();
  }

  document.addEventListener("pointerout", (event) => { if (pending && !event.relatedTarget?.closest("[data-live]")) show(pending); });
  document.addEventListener("focusout", () => setTimeout(() => { if (pending) show(pending); }, 0));

  async function refresh() {
    if (document.hidden) { wanted = true; return; }
    if (isFetching) { wanted = true; return; }
    isFetching = true;
    wanted = false;
    try {
      const response = await fetch(location.href, { headers: { Accept: "text/html" }, redirect: "manual", cache: "no-store", signal: AbortSignal.timeout(10000) });
      if (response.type === "opaqueredirect") { location.reload(); return; }
      if (response.ok) {
        const next = new DOMParser().parseFromString(await response.text(), "text/html");
        if (next.body.dataset.now) ahead = Number(next.body.dataset.now) - Date.now();
        loadedAt = now();
        isBroken = false;
        show(next);
        again(next.body);
      } else {
        isBroken = true;
      }
    } catch {
      isBroken = true;
    } finally {
      isFetching = false;
      tick();
      if (wanted) setTimeout(refresh, 500);
    }
  }

  // The server shows many viewers the same look. Where something has happened since, nobody will say it again.
  function again(page) {
    if (page.dataset.again) setTimeout(refresh, Number(page.dataset.again));
  }

  // ---- when ----------------------------------------------------------------------------------------------------

  if (document.querySelector("[data-live]")) {
    const audit = body.dataset.audit ? "&audit=true" : "";
    const task = body.dataset.task ? `&task=${encodeURIComponent(body.dataset.task)}` : "";
    let source = null;
    // A page that nobody sees holds no connection: browsers have six for each server.
    const listen = () => {
      if (document.hidden) { source?.close(); source = null; return; }
      if (source && source.readyState !== EventSource.CLOSED) return;
      source = new EventSource(`/live?ns=${encodeURIComponent(body.dataset.namespace)}${task}${audit}`);
      source.addEventListener("changed", refresh);
    };
    listen();
    again(body);
    window.addEventListener("pagehide", () => { source?.close(); source = null; });
    window.addEventListener("pageshow", listen);
    // Heartbeats are no events, but they move the ends of leases.
    setInterval(() => { listen(); refresh(); }, 5000);
    document.addEventListener("visibilitychange", () => { listen(); if (!document.hidden) refresh(); });
    // What is said about the action before is over with the next look.
    if (new URLSearchParams(location.search).has("done")) {
      const address = new URL(location.href);
      address.searchParams.delete("done");
      history.replaceState(null, "", address);
    }
  }
  document.addEventListener("keydown", (event) => {
    const isTyping = event.target.closest?.("input, textarea, select");
    if (event.key === "/" && !isTyping && !event.ctrlKey && !event.metaKey && !event.altKey) {
      event.preventDefault();
      document.querySelector("#q")?.focus();
    }
  });
  rememberNames();
  tick();
  setInterval(tick, 1000);

  // ---- forms ---------------------------------------------------------------------------------------------------

  // Who says why something is waived waives it.
  function tickWaivers() {
    for (const reason of document.querySelectorAll('input[name^="waive-"][name$="-reason"]')) {
      reason.addEventListener("input", () => {
        if (reason.value.trim()) document.getElementById(reason.name.replace("-reason", "")).checked = true;
      });
    }
  }

  // The button says for how many tasks it is; without this script the server asks again if that has changed.
  function countTaken() {
    const boxes = [...document.querySelectorAll("input[data-take]")];
    const button = document.querySelector("[data-taken]"), shown = document.querySelector("[data-shown]");
    const count = () => {
      const taken = boxes.filter((box) => box.checked).length;
      shown.value = taken;
      button.textContent = `Do it for ${taken} ${taken === 1 ? "task" : "tasks"}`;
    };
    for (const box of boxes) box.addEventListener("change", count);
    // A browser that goes back to a form may tick it as it was left.
    if (boxes.length > 0) window.addEventListener("pageshow", count);
  }

  // ---- names ---------------------------------------------------------------------------------------------------

  // Where no token says who acts, a form asks; what was said last is written in again.
  function rememberNames() {
    for (const field of document.querySelectorAll("[data-remember]")) {
      try {
        field.value ||= localStorage.getItem("tenure-name") ?? "";
        field.form.addEventListener("submit", () => localStorage.setItem("tenure-name", field.value));
      } catch { /* Without storage the name is asked for each time. */ }
    }
  }
})();
