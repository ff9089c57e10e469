// A guard at the booth, as far as a browser goes: watches a vehicle arrive, raises for it, sees it drive away.
// Says each step on a line of its own, so that the test can do the camera's part; after "refused" it waits for a line,
// so that the test can look at the books before the barrier is raised.
import { once } from "node:events";
import { createRequire } from "node:module";
import { createInterface } from "node:readline";

const [home, base, operator, pin] = process.argv.slice(2);
const { chromium } = createRequire(home + "/")("playwright-core");

const PATIENCE_MS = 30000; // a busy machine, and nothing here waits for the clock
const SWITCHES = ["--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run",
  "--disable-background-networking", "--disable-component-update", "--disable-sync"];

const browser = await chromium.launch({ executablePath: "/usr/bin/chromium", args: SWITCHES });
const page = await browser.newPage({ viewport: { width: 1500, height: 1000 } });
page.setDefaultTimeout(PATIENCE_MS);
const faults = [];
page.on("pageerror", (error) => faults.push(String(error)));
page.on("console", (message) => { if (message.type() === "error") faults.push(message.text()); });

try {
  await story();
} catch (error) {
  console.error(String(error), "\nOn the page:\n" + await page.locator("body").innerText());
  process.exitCode = 1;
} finally {
  await browser.close();
  process.stdin.destroy(); // an open input would keep the program alive
}

async function story() {
  await page.goto(base + "/?lang=en", { waitUntil: "domcontentloaded" });
  const lane = page.locator("article.lane", { hasText: "exit-1" });
  await sees(lane, ".phase", "Free");
  await page.evaluate(() => { window.isTheSameDocument = true; });
  say("opened");

  await sees(lane, ".phase", "Waiting for payment");
  await sees(lane, ".plate", "粤B·12345");
  await sees(lane, ".due", "¥10.00");
  await sees(page, ".overview", "Waiting at a lane");
  await page.waitForFunction(() => {
    const shown = [...document.querySelectorAll(".photos img")];
    return shown.length === 2 && shown.every((picture) => picture.naturalWidth > 0);
  });
  for (const width of [1300, 1000, 390]) await fits(width);
  say("waiting");

  await lane.getByText("Raise…", { exact: true }).click();
  await lane.getByLabel("Reason").selectOption({ label: "Device fault" });
  await lane.getByLabel("Note").fill("the loop is stuck");
  const confirm = lane.getByRole("button", { name: "Raise the barrier" });
  await confirm.click();
  await sees(lane, ".answer.bad", "Enter operator and PIN first");
  await page.locator("#sign-on").getByLabel("Operator").fill(operator);
  await page.locator("#sign-on").getByLabel("PIN").fill(pin + "0");
  await confirm.click();
  await sees(lane, ".answer.bad", "(");
  faults.length = 0; // the browser's own line about the refused request
  await sees(lane, ".phase", "Waiting for payment");
  say("refused");
  await once(createInterface({ input: process.stdin }), "line");

  await page.locator("#sign-on").getByLabel("PIN").fill(pin);
  await confirm.click();
  await sees(lane, ".answer.good", "✓");
  await sees(lane, ".phase", "Raised; go ahead");
  await sees(lane, ".why", "Raised by hand · " + operator);
  await sees(lane, ".waived", "¥10.00");
  say("raised");

  await sees(lane, ".phase", "Driving through");
  say("passing");

  await sees(lane, ".phase", "Free");
  await sees(page, "#ended", "Let go unpaid ¥10.00");
  if (!await page.evaluate(() => window.isTheSameDocument)) throw new Error("the page was loaded again");
  if (faults.length > 0) throw new Error("the browser complains: " + faults.join("; "));
  say("gone");
}

// Nothing stands over the edge of its card.
async function fits(width) {
  await page.setViewportSize({ width, height: 1000 });
  const over = await page.evaluate(() => {
    const inner = [...document.querySelectorAll(".card button, .card td, .card img")].filter((of) => of.checkVisibility());
    return inner.filter((of) => of.getBoundingClientRect().right > of.closest(".card").getBoundingClientRect().right)
      .map((of) => of.outerHTML);
  });
  const sideways = await page.evaluate(() => document.documentElement.scrollWidth - innerWidth);
  if (over.length > 0 || sideways > 0) throw new Error(`${width} px wide, ${sideways} too many: ${over.join("\n")}`);
}

async function sees(where, selector, words) {
  await where.locator(selector, { hasText: words }).first().waitFor();
}

function say(step) {
  console.log(step);
}
