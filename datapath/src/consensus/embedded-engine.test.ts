// The embedded engine over files in memory that remember what a crash would keep.
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { PfError, errorCodeOf } from '../base/errors.ts';
import type { AppendFile, Files } from '../world/files.ts';
import { silentLogger, type Logger } from '../world/log.ts';
import { EmbeddedEngine, type EmbeddedEngineOptions } from './embedded-engine.ts';
import type { Machine } from './engine.ts';

/** Everything durable at once; a crash is a copy of `contents`. `failAppends` breaks the disk. */
class MemoryFiles implements Files {
  readonly contents: Map<string, Uint8Array>;
  appendCount = 0;
  failAppends = false;
  isLocked = false;
  /** Called before every change. */
  onStep: () => void = () => {};

  constructor(contents = new Map<string, Uint8Array>()) {
    this.contents = contents;
  }

  copy(): MemoryFiles {
    return new MemoryFiles(new Map(this.contents));
  }

  read(path: string): Promise<Uint8Array | null> {
    return Promise.resolve(this.contents.get(path) ?? null);
  }

  readStart(path: string, limitBytes: number): Promise<Uint8Array | null> {
    return Promise.resolve(this.contents.get(path)?.slice(0, limitBytes) ?? null);
  }

  readLink(): Promise<string | null> {
    return Promise.resolve(null);
  }

  replace(path: string, bytes: Uint8Array): Promise<void> {
    this.onStep();
    this.contents.set(path, bytes.slice());
    return Promise.resolve();
  }

  openAppend(path: string): Promise<AppendFile> {
    this.onStep();
    if (!this.contents.has(path)) this.contents.set(path, new Uint8Array(0));
    const bytes = (): Uint8Array => this.contents.get(path)!;
    return Promise.resolve({
      get sizeBytes() {
        return bytes().length;
      },
      append: (more: Uint8Array) => {
        this.onStep();
        this.appendCount += 1;
        if (this.failAppends) return Promise.reject(new PfError('IO_ERROR', 'the disk is gone'));
        const joined = new Uint8Array(bytes().length + more.length);
        joined.set(bytes());
        joined.set(more, bytes().length);
        this.contents.set(path, joined);
        return Promise.resolve();
      },
      truncate: (size: number) => {
        this.contents.set(path, bytes().slice(0, size));
        return Promise.resolve();
      },
      close: () => Promise.resolve(),
    });
  }

  remove(path: string): Promise<void> {
    this.onStep();
    this.contents.delete(path);
    return Promise.resolve();
  }

  makeFolder(): Promise<void> {
    return Promise.resolve();
  }

  list(folder: string): Promise<string[]> {
    const names = [...this.contents.keys()]
      .filter((path) => path.startsWith(`${folder}/`))
      .map((path) => path.slice(folder.length + 1));
    return Promise.resolve(names.sort());
  }

  lock(path: string): Promise<{ release(): Promise<void> }> {
    if (this.isLocked) return Promise.reject(new PfError('INVALID_STATE', `${path} is locked`));
    this.isLocked = true;
    return Promise.resolve({
      release: () => {
        this.isLocked = false;
        return Promise.resolve();
      },
    });
  }
}

/** Remembers the words it was told, in order. */
class Words implements Machine<string, number> {
  words: string[] = [];

  apply(command: string, index: number): number {
    this.words.push(command);
    assert.is(index, this.words.length, 'indices are contiguous from 1');
    return this.words.length;
  }

  encode = (command: string): Uint8Array => new TextEncoder().encode(command);
  decode = (bytes: Uint8Array): string => new TextDecoder().decode(bytes);
  snapshot = (): Uint8Array => new TextEncoder().encode(JSON.stringify(this.words));

  restore(snapshot: Uint8Array): void {
    this.words = JSON.parse(new TextDecoder().decode(snapshot)) as string[];
  }
}

class LinesLogger {
  readonly lines: string[] = [];
  readonly logger: Logger = { ...silentLogger, warn: (line) => this.lines.push(line), error: (line) => this.lines.push(line) };
}

async function openWords(files: Files, options: EmbeddedEngineOptions = {}, log: Logger = silentLogger) {
  const machine = new Words();
  const turn = { atEnd: (task: { runAtTurnEnd(): void }) => queueMicrotask(() => task.runAtTurnEnd()) };
  const engine = await EmbeddedEngine.open({ files, log, turn }, 'data', machine, options);
  return { engine, machine };
}

async function rejection(promise: Promise<unknown>): Promise<PfError> {
  try {
    await promise;
  } catch (error) {
    return error as PfError;
  }
  throw new Error('it did not fail');
}

const LOG = 'data/log-0000000000000001.pfl';

test('commands proposed in one turn are one write, applied in order, and there again after opening', async () => {
  const files = new MemoryFiles();
  const { engine, machine } = await openWords(files);
  const results = await Promise.all([engine.propose('one'), engine.propose('two'), engine.propose('three')]);
  assert.equal(results, [1, 2, 3]);
  assert.is(files.appendCount, 1);
  assert.is(await engine.propose('four'), 4);
  assert.equal(machine.words, ['one', 'two', 'three', 'four']);
  await engine.close();

  const again = await openWords(files);
  assert.equal(again.machine.words, ['one', 'two', 'three', 'four']);
  assert.is(again.engine.appliedIndex, 4);
  assert.is(await again.engine.propose('five'), 5);
  await again.engine.close();
});

test('every prefix of the log opens, holds every command whose write was complete, and takes new ones', async () => {
  const files = new MemoryFiles();
  const { engine } = await openWords(files);
  const completeAt: number[] = [0];
  for (const word of ['alpha', 'beta', 'gamma']) {
    await engine.propose(word);
    completeAt.push(files.contents.get(LOG)!.length);
  }
  await Promise.all([engine.propose('delta'), engine.propose('epsilon')]);
  await engine.close();
  const whole = files.contents.get(LOG)!;
  for (let cutAt = 0; cutAt <= whole.length; cutAt += 1) {
    const crashed = new MemoryFiles(new Map([[LOG, whole.slice(0, cutAt)]]));
    const reopened = await openWords(crashed);
    const expected = ['alpha', 'beta', 'gamma'].filter((_, index) => cutAt >= completeAt[index + 1]!);
    if (cutAt === whole.length) expected.push('delta', 'epsilon');
    assert.equal(reopened.machine.words, expected, `cut at ${cutAt}`);
    await reopened.engine.propose('next');
    await reopened.engine.close();
    const third = await openWords(crashed);
    assert.equal(third.machine.words, [...expected, 'next'], `after cut at ${cutAt}`);
    await third.engine.close();
  }
});

test('a torn tail is cut with a line in the log; zeros that a crash left behind are a torn tail too', async () => {
  const files = new MemoryFiles();
  const { engine } = await openWords(files);
  await engine.propose('kept');
  await engine.close();
  const good = files.contents.get(LOG)!;
  const padded = new Uint8Array(good.length + 40);
  padded.set(good);
  files.contents.set(LOG, padded);
  const lines = new LinesLogger();
  const again = await openWords(files, {}, lines.logger);
  assert.equal(again.machine.words, ['kept']);
  assert.is(lines.lines.length, 1);
  assert.match(lines.lines[0]!, /damaged at byte 32 of 72: cutting off a write that was never acknowledged/);
  assert.is(files.contents.get(LOG)!.length, good.length);
  await again.engine.close();
});

test('any flipped bit before the last write is refused as corruption, never read and never cut', async () => {
  const files = new MemoryFiles();
  const { engine } = await openWords(files);
  await engine.propose('first');
  const firstEnds = files.contents.get(LOG)!.length;
  await engine.propose('second');
  await engine.close();
  const whole = files.contents.get(LOG)!;
  for (let at = 0; at < 24 + 4 + 'first'.length; at += 1) {
    const rotten = whole.slice();
    rotten[at] = rotten[at]! ^ 0x10;
    const broken = new MemoryFiles(new Map([[LOG, rotten]]));
    const error = await rejection(openWords(broken));
    assert.is(error.code, 'CORRUPT', `byte ${at} of ${firstEnds}`);
    assert.equal(broken.contents.get(LOG), rotten, 'the file is left as it was');
    assert.not(broken.isLocked, 'the lock is released');
  }
});

const SMALL: EmbeddedEngineOptions = { segmentBytes: 200, snapshotAfterBytes: 150 };

async function filesWithSnapshots(count: number): Promise<MemoryFiles> {
  const files = new MemoryFiles();
  const { engine } = await openWords(files, SMALL);
  for (let index = 1; index <= count; index += 1) await engine.propose(`word number ${index}`);
  await engine.close();
  return files;
}

const wordsUpTo = (count: number): string[] => Array.from({ length: count }, (_, index) => `word number ${index + 1}`);

test('snapshots are taken, two are kept, and the log before the older one goes', async () => {
  const files = await filesWithSnapshots(100);
  const names = await files.list('data');
  const snapshots = names.filter((name) => name.startsWith('snapshot-'));
  const segments = names.filter((name) => name.startsWith('log-'));
  assert.is(snapshots.length, 2);
  assert.ok(Number(segments[0]!.slice(4, 20)) > 1, 'the first segments are gone');
  assert.ok(
    Number(segments[0]!.slice(4, 20)) <= Number(snapshots[0]!.slice(9, 25)) + 1,
    'the log goes back to the older snapshot',
  );
  const again = await openWords(files, SMALL);
  assert.equal(again.machine.words, wordsUpTo(100));
  await again.engine.close();
});

test('with a rotten newest snapshot the one before and the log give the same state', async () => {
  const files = await filesWithSnapshots(100);
  const newest = (await files.list('data')).filter((name) => name.startsWith('snapshot-')).at(-1)!;
  const bytes = files.contents.get(`data/${newest}`)!.slice();
  bytes[30] = bytes[30]! ^ 1;
  files.contents.set(`data/${newest}`, bytes);
  const again = await openWords(files, SMALL);
  assert.equal(again.machine.words, wordsUpTo(100));
  await again.engine.close();
});

test('a folder whose snapshots are all rotten, or that misses a segment, is refused', async () => {
  const allRotten = await filesWithSnapshots(100);
  for (const name of await allRotten.list('data')) {
    if (name.startsWith('snapshot-')) allRotten.contents.set(`data/${name}`, new Uint8Array(10));
  }
  assert.is((await rejection(openWords(allRotten, SMALL))).code, 'CORRUPT');

  const gap = await filesWithSnapshots(10);
  const segments = (await gap.list('data')).filter((name) => name.startsWith('log-'));
  assert.ok(segments.length >= 2);
  gap.contents.delete(`data/${segments[0]!}`);
  for (const name of await gap.list('data')) if (name.startsWith('snapshot-')) gap.contents.delete(`data/${name}`);
  const error = await rejection(openWords(gap, SMALL));
  assert.is(error.code, 'CORRUPT');
  assert.match(error.message, /records are missing/);
});

test('a crash at any step of rolling segments and taking snapshots loses nothing', async () => {
  const files = new MemoryFiles();
  const states: { files: MemoryFiles; acknowledged: number }[] = [];
  let acknowledged = 0;
  files.onStep = () => states.push({ files: files.copy(), acknowledged });
  const { engine } = await openWords(files, SMALL);
  for (let index = 1; index <= 40; index += 1) {
    await engine.propose(`word number ${index}`);
    acknowledged = index;
  }
  await engine.close();
  assert.ok(states.length > 40);
  for (const state of states) {
    const again = await openWords(state.files, SMALL);
    const found = again.machine.words.length;
    assert.ok(found >= state.acknowledged, `${found} of ${state.acknowledged} acknowledged commands are there`);
    assert.equal(again.machine.words, wordsUpTo(found));
    await again.engine.close();
  }
});

test('a failed write refuses what waited and everything later, and reports that the engine is lost', async () => {
  const files = new MemoryFiles();
  const { engine, machine } = await openWords(files);
  await engine.propose('kept');
  files.failAppends = true;
  const lost = engine.propose('lost');
  assert.is((await rejection(lost)).code, 'UNAVAILABLE');
  assert.is((await rejection(engine.propose('later'))).code, 'UNAVAILABLE');
  assert.match((await engine.failed).message, /cannot write the conductor's log/);
  assert.equal(machine.words, ['kept']);
  await engine.close();
});

test('a folder serves one engine at a time; closing writes what was proposed', async () => {
  const files = new MemoryFiles();
  const { engine } = await openWords(files);
  assert.is(errorCodeOf(await rejection(openWords(files))), 'INVALID_STATE');
  const last = engine.propose('last');
  await engine.close();
  assert.is(await last, 1);
  assert.is((await rejection(engine.propose('too late'))).code, 'CANCELLED');
  const again = await openWords(files);
  assert.equal(again.machine.words, ['last']);
  await again.engine.close();
});

test.run();
