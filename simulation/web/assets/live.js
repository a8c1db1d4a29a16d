// An open page's living part. htmx keeps the socket and swaps what comes; here is what a page must not lose:
// what was typed and is not sent yet, what was sent and is not confirmed yet. Both are in localStorage, so that they
// outlive a reload, a locked phone and a killed server. Works over plain HTTP.
(() => {
  "use strict";
  const root = document.querySelector("[data-live]");
  if (!root) return;

  const said = root.dataset; // sentences of this page's language
  const place = "caucus:" + said.live;
  const kept = load();
  let connection = null;
  let heardAt = Date.now();
  let clock = null; // {now, speed, running} and when it was heard
  let place_of_focus = null;
  let refused = []; // since something was sent last: after a silence the server may refuse several at once
  let untold = false;
  let number = 0; // of the message that is being shown

  function load() {
    try {
      const found = JSON.parse(localStorage.getItem(place));
      if (found && found.drafts && found.outbox) return found;
    } catch { /* a browser that keeps nothing: this page's memory must do */ }
    return { drafts: {}, outbox: [] };
  }

  function save() {
    try { localStorage.setItem(place, JSON.stringify(kept)); } catch { /* as above */ }
  }

  const newId = () => Array.from(crypto.getRandomValues(new Uint8Array(12)), b => b.toString(16).padStart(2, "0")).join("");

  // What was typed

  const valuesOf = (form, name) => {
    const controls = [...form.elements].filter(one => one.name === name && one.type !== "submit");
    if (controls.some(one => one.type === "checkbox" || one.type === "radio"))
      return controls.filter(one => one.checked).map(one => one.value);
    return controls.map(one => one.value);
  };

  function put(form, name, values) {
    for (const one of form.elements) {
      if (one.name !== name || one.type === "submit" || one.type === "hidden") continue;
      if (one.type === "checkbox" || one.type === "radio") {
        const wanted = values.includes(one.value);
        if (one.checked !== wanted) one.checked = wanted;
      } else if (one.value !== (values[0] ?? "")) {
        one.value = values[0] ?? "";
      }
    }
  }

  // As the server has it: the attributes, which the swap has brought up to date
  const servers = (form, name) => [...form.elements].filter(one => one.name === name && one.type !== "submit").flatMap(one => {
    if (one.type === "checkbox" || one.type === "radio") return one.defaultChecked ? [one.value] : [];
    if (one.tagName === "SELECT") return [([...one.options].find(o => o.defaultSelected) ?? one.options[0])?.value ?? ""];
    return [one.defaultValue];
  });

  function restore() {
    for (const form of document.querySelectorAll("form[data-draft]")) {
      const drafts = kept.drafts[form.dataset.draft] ?? {};
      for (const name of new Set([...form.elements].filter(one => one.name && one.type !== "hidden").map(one => one.name)))
        put(form, name, drafts[name] ?? servers(form, name));
    }
  }

  document.addEventListener("input", event => {
    const form = event.target.form;
    if (!form?.dataset.draft || !event.target.name) return;
    (kept.drafts[form.dataset.draft] ??= {})[event.target.name] = valuesOf(form, event.target.name);
    save();
  });

  // What was sent

  document.addEventListener("submit", event => {
    const form = event.target;
    if (!form.dataset.kind) return;
    event.preventDefault();
    const button = event.submitter;
    if (button?.dataset.confirm) {
      // A question may name what is ticked; where nothing is, the server says so
      const ticked = [...form.elements].filter(one => one.name === "seats" && one.checked).map(one => one.dataset.who ?? one.value);
      const named = button.dataset.confirm.includes("{seats}");
      if ((!named || ticked.length) && !window.confirm(button.dataset.confirm.replace("{seats}", () => ticked.join(", ")))) return;
    }
    const fields = {};
    for (const name of new Set([...form.elements].filter(one => one.name && one.type !== "submit").map(one => one.name)))
      fields[name] = valuesOf(form, name).join(",");
    const also = form.dataset.also && document.getElementById(form.dataset.also);
    if (also)
      for (const name of new Set([...also.elements].filter(one => one.name && one.type === "checkbox").map(one => one.name)))
        fields[name] = valuesOf(also, name).join(",");
    if (button?.name) fields[button.name] = button.value;
    if (button?.dataset.value) fields.value = button.dataset.value;
    const key = form.dataset.draft ?? "";
    if (kept.outbox.some(one => one.key === key && one.kind === form.dataset.kind && JSON.stringify(one.fields) === JSON.stringify(fields)))
      return; // pressed twice
    const clears = button?.dataset.clears ?? form.dataset.clears ?? "";
    refused = [];
    kept.outbox.push({ id: newId(), kind: form.dataset.kind, step: form.dataset.step ?? "", seat: form.dataset.seat, key, clears, fields });
    save();
    flush();
    show();
  });

  const open = () => connection?.socket?.readyState === WebSocket.OPEN;

  function flush(again = true) {
    if (!open()) return;
    for (const one of kept.outbox)
      if (again || !one.sent) {
        const { key, sent, clears, ...message } = one;
        connection.socket.send(JSON.stringify(message));
        one.sent = Date.now();
      }
  }

  function confirmed(answer) {
    const at = kept.outbox.findIndex(one => one.id === answer.id);
    if (at < 0) return;
    const [one] = kept.outbox.splice(at, 1);
    const drafts = kept.drafts[one.key];
    // A draft that is not what was sent has been typed since: it stays
    const sticky = document.querySelector(`form[data-draft="${CSS.escape(one.key)}"]`)?.dataset.sticky !== undefined;
    if (drafts && !answer.refused && !sticky) {
      for (const name of Object.keys(drafts))
        if (drafts[name].join(",") === one.fields[name]) delete drafts[name];
      if (!Object.keys(drafts).length) delete kept.drafts[one.key];
    }
    if (one.clears && !answer.refused) { // what was chosen for this is not chosen for the next thing
      delete kept.drafts[one.clears];
      restore();
    }
    save();
    if (answer.refused) { // told when the page shows what is true now
      refused.push([answer.refused, one]);
      untold = true;
    } else if (answerBox && !refused.length) answerBox.hidden = true;
    document.dispatchEvent(new CustomEvent("caucus:answer", { detail: { answer, sent: one } }));
  }

  // What is shown

  const announcer = document.getElementById("announce");
  const line = document.getElementById("line");
  const answerBox = document.getElementById("answer");

  // What was typed and not taken, where the form that it stood in is gone
  function typed(one) {
    if (!one.step || document.querySelector(`form[data-draft="${CSS.escape(one.key)}"]`)) return "";
    const values = Object.entries(one.fields).filter(([name, value]) => value && !["action", "value"].includes(name)).map(([, value]) => value);
    return values.length ? said.typed + " " + values.join(", ") : "";
  }

  function tell(text) {
    if (!answerBox) return;
    answerBox.textContent = text;
    answerBox.hidden = false;
  }

  function show() {
    const connected = open();
    const waiting = kept.outbox.length;
    const text = connected
      ? (waiting && kept.outbox.some(one => Date.now() - (one.sent ?? 0) > 1500) ? said.sending : said.connected)
      : (waiting ? said.waiting : said.offline);
    if (line && line.textContent !== text) line.textContent = text;
    root.classList.toggle("offline", !connected);
    for (const form of document.querySelectorAll("form[data-kind]")) {
      const busy = kept.outbox.some(one => one.key === (form.dataset.draft ?? "") && one.key && one.kind === form.dataset.kind);
      if (busy) form.setAttribute("aria-busy", "true"); else form.removeAttribute("aria-busy");
    }
  }

  const announced = new Map();
  function announce(first) {
    const news = [];
    for (const one of document.querySelectorAll("[data-announce]")) {
      const text = one.textContent.replace(/\s+/g, " ").trim();
      if (announced.get(one.id) !== text) {
        announced.set(one.id, text);
        if (!first && text) news.push(text);
      }
    }
    for (const id of [...announced.keys()]) if (!document.getElementById(id)) announced.delete(id);
    if (news.length && announcer) announcer.textContent = news.join(" ");
  }

  function tick() {
    if (clock) {
      const now = clock.now + (clock.running ? (performance.now() - clock.at) * clock.speed : 0);
      const minutes = Math.floor(now / 60000);
      const text = Math.floor(minutes / 60) % 24 + ":" + String(minutes % 60).padStart(2, "0");
      for (const one of document.querySelectorAll("[data-clock]")) if (one.textContent !== text) one.textContent = text;
      for (const one of document.querySelectorAll("[data-since]")) {
        const passed = String(Math.max(0, Math.floor((now - Number(one.dataset.since)) / 60000)));
        if (one.textContent !== passed) one.textContent = passed;
      }
    }
  }

  // Where the keyboard was: a part that is gone hands its focus to what came instead
  document.addEventListener("focusin", event => { place_of_focus = event.target.closest("[data-focus-home]")?.dataset.focusHome ?? null; });
  function keepFocus() {
    if (document.activeElement && document.activeElement !== document.body) return;
    if (!place_of_focus) return;
    const home = document.querySelector(place_of_focus) ?? document.querySelector("#steps h2, #ending h2");
    if (home) home.focus({ preventScroll: false });
  }

  // The socket

  root.addEventListener("htmx:ws:before:connection", event => { connection = event.detail.connection; });
  root.addEventListener("htmx:ws:after:connection", event => {
    connection = event.detail.connection;
    heardAt = Date.now();
    flush();
    show();
  });
  root.addEventListener("htmx:ws:close", event => {
    show();
    if (event.detail.code === 4404 || event.detail.code === 4403) location.reload(); // this link leads nowhere any more
  });
  root.addEventListener("htmx:ws:before:message:incoming", event => {
    heardAt = Date.now();
    let message = null;
    try { message = JSON.parse(event.detail.message.data); } catch { return; }
    number = message.number;
    if (message.clock) { clock = { ...message.clock, at: performance.now() }; root.classList.toggle("running", clock.running); }
    for (const answer of message.answers ?? []) confirmed(answer);
    document.dispatchEvent(new CustomEvent("caucus:message", { detail: message }));
  });
  root.addEventListener("htmx:ws:after:message:incoming", () => {
    restore();
    if (untold) tell([...new Set(refused.map(([why, one]) => [why, typed(one)].filter(Boolean).join(" ")))].join(" "));
    untold = false;
    announce(false);
    keepFocus();
    tick();
    show();
    document.dispatchEvent(new CustomEvent("caucus:shown"));
    if (number && open()) connection.socket.send(JSON.stringify({ shown: number })); // ready for what is true now
  });

  addEventListener("pageshow", event => { if (event.persisted) location.reload(); }); // its socket is gone
  addEventListener("offline", () => { connection?.socket?.close(); show(); });
  setInterval(tick, 250);
  setInterval(() => {
    // A network that is gone says nothing; a server that is there speaks every few seconds
    if (open() && Date.now() - heardAt > 13000) connection.socket.close();
    if (open() && kept.outbox.some(one => Date.now() - (one.sent ?? 0) > 4000)) flush();
    show();
  }, 1000);

  clock = { now: Number(said.now), speed: Number(said.speed), running: said.running === "true", at: performance.now() };
  restore();
  announce(true);
  tick();
})();
