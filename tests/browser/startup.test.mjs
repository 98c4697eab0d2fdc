// startup.test.mjs -- how long a page waits for the engine: fetch, compile, make an instance, the first edit.
// It prints the best and the middle of twenty loads, each in a context of its own with nothing cached; it
// judges the edit, not the time, which is the machine's.
import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import { Site, closeBrowser, person } from "./site.mjs";

let site;
before(async () => {
  site = await Site.start();
});
after(async () => {
  await closeBrowser();
  await site.stop();
});

test("start-up: from nothing to the first edit", async (t) => {
  const times = [];
  for (let i = 0; i < 20; i++) {
    const context = await person();
    const page = await context.newPage();
    await page.goto(`${site.address}/echo/`);
    const [ms, text] = await page.evaluate(async () => {
      const { Doc } = await import("/syncline.js");
      const start = performance.now();
      const doc = await Doc.create();
      doc.text().insert(0, "x");
      return [performance.now() - start, doc.text().toString()];
    });
    assert.equal(text, "x");
    assert.deepEqual(context.faults, []);
    times.push(ms);
    await context.close();
  }
  times.sort((a, b) => a - b);
  t.diagnostic(`engine fetched, compiled, first edit made: ${times[0].toFixed(1)} ms at best, ${times[10].toFixed(1)} ms in the middle`);
});
