// Keeps the page live: swaps the parts that changed, but never one that somebody is working in.
"use strict";

const SILENCE_MS = 40000; // two and a half beats of the stream
const PIN_REST_MS = 300000; // a PIN that nobody used for five minutes is forgotten
const PICTURE_MS = 200; // a vehicle that leaves at once is off the page by then, and its picture is not asked for
const AGAIN_MS = 1000; // a picture that was not there is asked for once more
const ANSWER_MS = 30000; // an answer is read by then, and would only mislead about the next vehicle
const lost = document.getElementById("lost");
const signOn = document.getElementById("sign-on");
const waiting = new Map();
let stream, alive, pinRest;

function connect() {
  if (stream) stream.close();
  stream = new EventSource("/console/events?lang=" + document.body.dataset.lang);
  stream.addEventListener("part", (event) => { heard(); const part = JSON.parse(event.data); swap(part.id, part.html); });
  stream.addEventListener("beat", heard);
  stream.onerror = () => {
    lost.hidden = false;
    if (stream.readyState === EventSource.CLOSED) later();
  };
}

function heard() {
  lost.hidden = true;
  clearTimeout(alive);
  alive = setTimeout(() => { lost.hidden = false; connect(); later(); }, SILENCE_MS);
}

function later() {
  clearTimeout(alive);
  alive = setTimeout(connect, 2000);
}

function isInUse(part) {
  if (part.querySelector("button:disabled")) return true;
  if (!("keep" in part.dataset)) return false;
  return part.contains(document.activeElement) || part.querySelector("details[open]") !== null;
}

function swap(id, html) {
  const part = document.getElementById(id);
  if (!part) return;
  if (isInUse(part)) { waiting.set(id, html); return; }
  waiting.delete(id);
  const box = document.createElement("template");
  box.innerHTML = html;
  const fresh = box.content.firstElementChild;
  for (const picture of fresh.querySelectorAll("img[data-src]")) {
    const shown = [...part.querySelectorAll("img[src]")].find((old) => old.dataset.src === picture.dataset.src);
    if (shown) picture.replaceWith(shown);
  }
  part.replaceWith(fresh);
  ask(fresh.querySelectorAll("img[data-src]:not([src])"), PICTURE_MS);
}

function ask(pictures, after) {
  for (const picture of pictures) setTimeout(() => { if (picture.isConnected) picture.src = picture.dataset.src; }, after);
}

function swapWaiting() {
  for (const [id, html] of [...waiting]) swap(id, html);
}

async function act(form) {
  const answer = form.closest(".lane, .answers").querySelector(".answer");
  const missing = [signOn.operator, signOn.pin].find((input) => input.value.trim() === "");
  if (missing) { say(answer, false, signOn.dataset.first); missing.focus(); return; }
  const fields = Object.fromEntries([...new FormData(form)].filter(([, value]) => value.trim() !== ""));
  for (const count of ["fen", "vehicles", "count", "number", "minutes", "cash_fen"]) if (fields[count]) fields[count] = Number(fields[count]);
  for (const at of ["entered_at", "left_at", "back_at"]) if (fields[at]) fields[at] = new Date(fields[at]).toISOString(); // the booth's clock is the site's
  let address = form.dataset.act;
  address = address.replace(/\{(\w+)\}/g, (_, name) => { const value = fields[name].trim(); delete fields[name]; return encodeURIComponent(value); });
  if (fields.active) fields.active = fields.active === "true";
  if (fields.note) { fields.reason += ": " + fields.note; delete fields.note; }
  const button = form.querySelector("button[type=submit]");
  button.disabled = true;
  let ok = false, text;
  // An act of the office has a name of its own; it stays until the box has said something, so that a repeat is no second time.
  if ("once" in form.dataset) fields.id = form.dataset.once ||= [...crypto.getRandomValues(new Uint8Array(12))].map((byte) => byte.toString(16).padStart(2, "0")).join("");
  try {
    const body = JSON.stringify({ operator: signOn.operator.value, pin: signOn.pin.value, ...fields });
    const response = await fetch(address, { method: "POST", headers: { "Content-Type": "application/json" }, body });
    const said = await response.json();
    ok = response.ok;
    if (form.dataset.once && said.outcome !== "unknown") form.dataset.once = "";
    text = ok ? said.text : said.staff_text[document.body.dataset.lang] + " (" + said.detail + ")";
    if (said.code === "operator-unknown") signOn.pin.focus();
  } catch (error) {
    text = lost.textContent;
  }
  button.disabled = false;
  say(answer, ok, text);
  if (ok) { form.reset(); form.closest("details")?.removeAttribute("open"); document.activeElement?.blur(); }
  swapWaiting();
}

// A whole picture may show a person: it comes only with a PIN, and the page forgets it when it is closed.
async function show(button) {
  const dialog = document.getElementById("photo"), picture = dialog.querySelector("img"), answer = dialog.querySelector("output");
  picture.hidden = true;
  answer.hidden = true;
  dialog.showModal();
  const missing = [signOn.operator, signOn.pin].find((input) => input.value.trim() === "");
  if (missing) { say(answer, false, signOn.dataset.first); return; }
  try {
    const headers = { "Gatepost-Operator": signOn.operator.value, "Gatepost-Pin": signOn.pin.value };
    const response = await fetch("/api/v1/staff/photos/" + encodeURIComponent(button.dataset.photo), { headers });
    if (!response.ok) { say(answer, false, (await response.json()).staff_text[document.body.dataset.lang]); return; }
    picture.src = URL.createObjectURL(await response.blob());
    await picture.decode();
    picture.hidden = false;
  } catch (error) {
    say(answer, false, lost.textContent);
  }
}

// Vouchers come only with a PIN, as a file that any browser prints.
async function print(form) {
  const answer = form.closest(".answers").querySelector(".answer");
  const missing = [signOn.operator, signOn.pin].find((input) => input.value.trim() === "");
  if (missing) { say(answer, false, signOn.dataset.first); missing.focus(); return; }
  try {
    const headers = { "Gatepost-Operator": signOn.operator.value, "Gatepost-Pin": signOn.pin.value };
    const response = await fetch(form.dataset.print + "?" + new URLSearchParams(new FormData(form)), { headers });
    if (!response.ok) { const said = await response.json(); say(answer, false, said.staff_text[document.body.dataset.lang] + " (" + said.detail + ")"); return; }
    const link = document.createElement("a");
    link.href = URL.createObjectURL(await response.blob());
    link.download = "vouchers.html";
    link.click();
    say(answer, true, link.download);
  } catch (error) {
    say(answer, false, lost.textContent);
  }
}

function say(answer, ok, text) {
  answer.hidden = false;
  answer.className = "answer " + (ok ? "good" : "bad");
  answer.textContent = (ok ? "✓ " : "! ") + text;
  clearTimeout(answer.rest);
  answer.rest = setTimeout(() => { answer.hidden = true; }, ANSWER_MS);
}

document.addEventListener("submit", (event) => {
  event.preventDefault();
  if (event.target.dataset.act) act(event.target);
  if (event.target.dataset.print) print(event.target);
});
document.addEventListener("click", (event) => {
  const button = event.target.closest("button[data-photo]");
  if (button) show(button);
});
document.getElementById("photo").addEventListener("close", (event) => {
  const picture = event.target.querySelector("img");
  if (picture.src) URL.revokeObjectURL(picture.src);
  picture.removeAttribute("src");
  picture.hidden = true;
});
// Until a picture is there, and where it is gone, its place says in words what it is of.
document.addEventListener("error", (event) => {
  const picture = event.target;
  if (!picture.matches("img[data-src]")) return;
  picture.removeAttribute("src");
  if (!picture.dataset.again) { picture.dataset.again = "1"; ask([picture], AGAIN_MS); }
}, true);
document.addEventListener("focusout", () => setTimeout(swapWaiting));
document.addEventListener("toggle", () => setTimeout(swapWaiting), true);
signOn.addEventListener("input", () => {
  clearTimeout(pinRest);
  pinRest = setTimeout(() => { signOn.pin.value = ""; }, PIN_REST_MS);
});
ask(document.querySelectorAll("img[data-src]"), PICTURE_MS);
connect();
