// The life of a service as stories: testdata/service-stories.txt. And whatever happens in whatever order, one start or stop at a time.
import { readFileSync } from 'node:fs';
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import type { ConfigHashes } from './config-change.ts';
import { initialState, step, type Duty, type ServiceEvent, type ServiceSettings, type ServiceState } from './service-core.ts';

const SETTINGS: ServiceSettings = {
  policy: { mode: 'always', firstDelayMs: 100, maxDelayMs: 1000, stableAfterMs: 5000, crashLimit: 2 },
  endAfterOfflineMs: 1000,
  stopAgainMs: 5000,
};

const configOf = (text: string): ConfigHashes => ({ whole: text, restartPart: text[0] ?? '' });

function parseEvent(text: string): ServiceEvent {
  const [word = '', argument = ''] = text.trim().split(/ +/);
  const status = { code: Number(argument), signal: null };
  if (word === 'run' || word === 'start') return { kind: 'wish-run', config: configOf(argument), isFresh: word === 'start' };
  if (word === 'stop') return { kind: 'wish-stop' };
  if (word === 'started') return { kind: word, config: configOf(argument), nowMs: 0 };
  if (word === 'exited' || word === 'stopped') return { kind: word, status, nowMs: 10 };
  if (word === 'applied') return { kind: word, config: configOf(argument) };
  if (word === 'timer') return { kind: word, timer: argument as 'again' };
  if (word === 'connected' || word === 'disconnected') return { kind: word };
  if (word === 'start-failed' || word === 'stop-failed' || word === 'apply-failed') return { kind: word, message: 'why' };
  throw new Error(`no event: ${text}`);
}

function formatDuty(duty: Duty): string {
  if (duty.kind === 'arm') return `arm ${duty.timer} ${duty.delayMs}`;
  if (duty.kind === 'disarm') return `disarm ${duty.timer}`;
  return duty.kind === 'notify' ? `notify ${duty.notice}` : duty.kind;
}

function formatState({ phase, isOnline, isApplying, isHung }: ServiceState): string {
  return `${phase}${isOnline ? '+' : ''}${isApplying ? '~' : ''}${isHung ? '!' : ''}`;
}

const stories = readFileSync(new URL('./testdata/service-stories.txt', import.meta.url), 'utf8')
  .split(/^story: /m)
  .slice(1);

for (const story of stories) {
  const [title = '', ...lines] = story.trimEnd().split('\n');
  test(title, () => {
    let state = initialState(configOf('A1'));
    const told: string[] = [];
    for (const line of lines) {
      const event = line.split('->')[0] ?? '';
      const next = step(SETTINGS, state, parseEvent(event));
      state = next.state;
      told.push(`${event}-> ${formatState(state)} | ${next.duties.map(formatDuty).join(', ')}`.trimEnd());
    }
    assert.is(`${told.join('\n')}\n`, `${lines.join('\n')}\n`);
  });
}

test('in any order of events there is one process at most, and one start or stop at a time', () => {
  let seed = 7;
  const below = (limit: number): number => {
    seed = (Math.imul(seed, 1664525) + 1013904223) >>> 0;
    return Math.floor((seed / 2 ** 32) * limit);
  };
  const wishes = ['run A1', 'run A2', 'run B1', 'start A1', 'stop', 'connected', 'disconnected'];
  for (let life = 0; life < 300; life += 1) {
    let state = initialState(configOf('A1'));
    let doing: 'start' | 'stop' | null = null;
    let isAlive = false;
    const armed = new Set<string>();
    for (let at = 0; at < 60; at += 1) {
      const possible = [...wishes, ...[...armed].map((timer) => `timer ${timer}`), 'applied A2', 'apply-failed'];
      if (doing === 'start') possible.push('started A1', 'started B1', 'start-failed');
      if (doing === 'stop') possible.push('stopped 0', 'stop-failed');
      if (doing === null && isAlive) possible.push('exited 1', 'exited 0');
      const event = possible[below(possible.length)]!;
      if (/^start(ed|-)/.test(event) || /^stop(ped|-)/.test(event)) doing = null;
      if (event.startsWith('started')) isAlive = true;
      if (event.startsWith('stopped') || event.startsWith('exited')) isAlive = false;
      armed.delete(event.replace('timer ', ''));
      const next = step(SETTINGS, state, parseEvent(event));
      state = next.state;
      for (const duty of next.duties) {
        const { kind } = duty;
        if (kind === 'arm') armed.add(duty.timer);
        if (kind === 'disarm') armed.delete(duty.timer);
        if (kind !== 'start' && kind !== 'stop') continue;
        assert.is(doing, null, `${kind} beside ${doing}, life ${life}, event ${at}: ${event}`);
        if (kind === 'start') assert.is(isAlive, false, `a second process, life ${life}, event ${at}: ${event}`);
        doing = kind;
      }
      assert.is(state.running !== null, isAlive || state.phase === 'stopping', `life ${life}, event ${at}: ${event}`);
    }
  }
});

test.run();
