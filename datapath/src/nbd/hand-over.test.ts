import { test } from 'uvu';
import * as assert from 'uvu/assert';
import type { Clock } from '../world/clock.ts';
import { handOver, type HandedOver } from './hand-over.ts';

/** Time goes by in sleeps only; `onTick` is what happens meanwhile. */
function clockOf(onTick: (now: number) => void): Clock {
  let now = 0;
  return {
    now: () => now,
    wallTimeMs: () => now,
    after: () => ({ cancel() {} }),
    every: () => ({ cancel() {} }),
    sleep: async (delayMs) => {
      now += delayMs;
      onTick(now);
    },
  };
}

class Script implements HandedOver {
  requestCount = 0;
  isAtRest = true;
  isGone = false;
  readonly story: string[] = [];

  holdReplies(): void {
    this.story.push('hold');
  }

  releaseReplies(): void {
    this.story.push('release');
  }

  drain(): void {
    this.story.push('drain');
  }
}

function options(script: Script, timeoutMs = 2000): { refuseInput: () => void; timeoutMs: number } {
  return { refuseInput: () => script.story.push('cut'), timeoutMs };
}

test('a silent client is cut off first, then gets its answers, then the end', async () => {
  const script = new Script();
  assert.is(
    await handOver(
      script,
      clockOf(() => {}),
      options(script),
    ),
    true,
  );
  assert.equal(script.story, ['hold', 'cut', 'release', 'drain']);
});

test('a client that goes on sending for a while is waited for', async () => {
  const script = new Script();
  const clock = clockOf((now) => {
    if (now < 100) script.requestCount += 1;
  });
  assert.is(await handOver(script, clock, options(script)), true);
  assert.equal(script.story, ['hold', 'cut', 'release', 'drain']);
  assert.is(clock.now(), 108);
});

test('a client that is never silent gets its answers now and then, and the end when the time is up', async () => {
  const script = new Script();
  const clock = clockOf(() => (script.requestCount += 1));
  assert.is(await handOver(script, clock, options(script, 1000)), false);
  assert.equal(script.story, ['hold', 'release', 'hold', 'release', 'drain']);
});

test('answers that never become ready do not hold the client back for long', async () => {
  const script = new Script();
  script.isAtRest = false;
  assert.is(
    await handOver(
      script,
      clockOf(() => {}),
      options(script, 400),
    ),
    false,
  );
  assert.equal(script.story, ['hold', 'release', 'drain']);
});

test('a client that has gone needs nothing more', async () => {
  const script = new Script();
  script.isGone = true;
  assert.is(
    await handOver(
      script,
      clockOf(() => {}),
      options(script),
    ),
    true,
  );
  assert.equal(script.story, ['drain']);
});

test.run();
