// The end of a file, and what is written to it later.
import { open, stat } from 'node:fs/promises';
import { setTimeout as sleep } from 'node:timers/promises';

const READ_BYTES = 256 * 1024;
const LOOK_MS = 200;

/** The last `count` lines, as far as they lie in the last 256 KiB; none when there is no file. */
export async function tailOf(path: string, count: number): Promise<readonly string[]> {
  return lastLines(path, count, (await sizeOf(path)) ?? 0);
}

/** The last `count` lines, and then each that comes, until `signal`; a file that is shorter than it was is a new one. */
export async function followFile(
  path: string,
  count: number,
  onLine: (line: string) => void,
  signal: AbortSignal,
): Promise<void> {
  let at = (await sizeOf(path)) ?? 0;
  let held = '';
  for (const line of await lastLines(path, count, at)) onLine(line);
  while (!signal.aborted) {
    const sizeBytes = (await sizeOf(path)) ?? 0;
    if (sizeBytes < at) [at, held] = [0, ''];
    if (sizeBytes > at) {
      const text = held + (await readFrom(path, at, Math.min(READ_BYTES, sizeBytes - at)));
      at = Math.min(at + READ_BYTES, sizeBytes);
      const lines = text.split('\n');
      held = lines.pop()!;
      for (const line of lines) onLine(line);
      if (at < sizeBytes) continue;
    }
    await sleep(LOOK_MS, undefined, { signal }).catch(() => {}); // The loop looks at the signal itself.
  }
}

async function lastLines(path: string, count: number, end: number): Promise<readonly string[]> {
  if (end === 0 || count === 0) return [];
  const start = Math.max(0, end - READ_BYTES);
  const lines = (await readFrom(path, start, end - start)).split('\n');
  if (start > 0) lines.shift(); // Half a line.
  if (lines.at(-1) === '') lines.pop();
  return lines.slice(-count);
}

async function sizeOf(path: string): Promise<number | null> {
  return stat(path).then(
    ({ size }) => size,
    () => null, // There is no such file, or not any more.
  );
}

async function readFrom(path: string, start: number, length: number): Promise<string> {
  const file = await open(path, 'r');
  try {
    const { buffer, bytesRead } = await file.read(Buffer.alloc(length), 0, length, start);
    return buffer.toString('utf8', 0, bytesRead);
  } finally {
    await file.close();
  }
}
