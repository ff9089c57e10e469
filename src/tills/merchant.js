// The merchants' page: every request carries the shop and its PIN, which stay in this page's memory alone.
"use strict";

const by = (id) => document.getElementById(id);
let shop = null;

/** A name for an act, so that asking again after a lost answer does nothing twice. */
const fresh = () => "p-" + crypto.getRandomValues(new Uint32Array(4)).join("-");
/** The act of each form that has not been answered yet, with what was asked. */
const open = new Map();

function say(text, good) {
  by("said").textContent = text;
  by("said").className = "said " + (good ? "good" : "bad");
}

async function ask(what, fields) {
  let answer;
  try {
    answer = await fetch("/api/v1/merchant/" + what, {
      method: "POST",
      headers: { "Content-Type": "application/json" },
      body: JSON.stringify({ ...shop, ...fields }),
    });
  } catch {
    throw new Error("本机无应答,请重试 / The box does not answer; try again");
  }
  const body = await answer.json();
  if (answer.ok) return body;
  throw new Error(`${body.staff_text.zh} / ${body.staff_text.en} (${body.code}: ${body.detail})`);
}

/** The same act under the same name until it was answered. */
async function act(form, what, fields) {
  const asked = JSON.stringify(fields);
  if (open.get(form)?.asked !== asked) open.set(form, { asked, id: fresh() });
  const done = await ask(what, { id: open.get(form).id, ...fields });
  open.delete(form);
  return done;
}

const yuan = (fen) => "¥" + (fen / 100).toFixed(2);

function on(id, work) {
  by(id).addEventListener("submit", async (event) => {
    event.preventDefault();
    const button = event.submitter;
    if (button) button.disabled = true;
    try {
      await work(Object.fromEntries(new FormData(event.target)));
    } catch (error) {
      say(error.message, false);
    } finally {
      if (button) button.disabled = false;
    }
  });
}

function cell(row, text, kind = "td") {
  const made = document.createElement(kind);
  made.textContent = text;
  row.append(made);
}

function option(select, value, text) {
  const made = document.createElement("option");
  made.value = value;
  made.textContent = text;
  select.append(made);
}

async function today() {
  const day = await ask("totals", {});
  by("name").textContent = day.merchant;
  by("parking").hidden = !day.gives_parking;
  const sums = by("sums");
  sums.replaceChildren();
  const show = [
    ["营业日 / Business day", `${day.business_date} · ${day.as_of}`],
    ["销售 / Sales", `${day.sales} · ${yuan(day.sales_fen)}`],
    ["积分抵扣 / Paid by points", yuan(day.points_fen)],
    ["赠送停车 / Parking given", String(day.gifts)],
    ["应收净额 / Net to receive", yuan(day.net_to_receive_fen)],
  ];
  for (const [name, value] of show) { cell(sums, name, "dt"); cell(sums, value, "dd"); }
  const kinds = document.querySelector("#give [name=kind]");
  kinds.replaceChildren();
  for (const kind of day.kinds) option(kinds, kind.kind, `${kind.zh} / ${kind.en}`);
  const lines = by("lines");
  lines.replaceChildren();
  const head = document.createElement("tr");
  for (const name of ["凭证 / Entry", "小票 / Receipt", "付方 / Payer", "收方 / Payee", "积分 / Points", "¥"]) cell(head, name, "th");
  if (day.lines.length > 0) lines.append(head);
  for (const line of day.lines) {
    const row = document.createElement("tr");
    [line.entry, line.receipt ?? "", line.payer, line.acceptor, line.points, yuan(line.fen)].forEach((text) => cell(row, text));
    lines.append(row);
  }
}

on("sign-on", async (fields) => {
  shop = { merchant: fields.merchant.trim(), pin: fields.pin };
  try {
    await today();
  } catch (error) {
    shop = null;
    throw error;
  }
  by("sign-on").hidden = true;
  by("main").hidden = false;
  say("", true);
});

on("search", async ({ q }) => {
  const found = await ask("stays", { q });
  const stays = document.querySelector("#give [name=stay]");
  stays.replaceChildren();
  for (const stay of found.stays) option(stays, stay.stay, `${stay.plate_masked} · ${stay.entered_at.slice(11, 16)}`);
  by("give").hidden = found.stays.length === 0;
  const more = found.more ? " 还有更多,请多输入几位 / There are more; type more of the plate" : "";
  say(found.stays.length === 0 ? "场内没有这辆车 / No such car is inside" : `${found.stays.length}${more}`, found.stays.length > 0);
});

on("give", async (fields) => {
  const spend_fen = Math.round(Number(fields.spend || "0") * 100);
  const wanted = { stay: fields.stay, kind: fields.kind, ...(fields.receipt_no && { receipt_no: fields.receipt_no }),
    ...(spend_fen > 0 && { spend_fen }) };
  const done = await act("give", "gifts", wanted);
  say(`已赠送,尚欠 / Given; still due: ${yuan(done.stay.due_fen)}`, true);
  await today();
});

on("coupon", async ({ coupon }) => {
  const found = await ask("coupon-checks", { coupon });
  say(`${found.coupon} · ${found.kind} · ${found.state} · ${found.until ?? ""}`, found.state === "issued" || found.state === "claimed_here");
});

by("use").addEventListener("click", async () => {
  try {
    const stay = document.querySelector("#give [name=stay]").value;
    if (!stay) throw new Error("请先查找车辆 / Find the vehicle first");
    const done = await act("coupon", "coupons", { coupon: document.querySelector("#coupon [name=coupon]").value, stay });
    say(`已核销,尚欠 / Used; still due: ${yuan(done.stay.due_fen)}`, true);
  } catch (error) {
    say(error.message, false);
  }
});

on("dispute", async ({ entry, reason }) => {
  const done = await act("dispute", "disputes", { entry: Number(entry), reason });
  say(done.text, true);
});
