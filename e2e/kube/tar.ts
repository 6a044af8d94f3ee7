// Writes tar archives (ustar, with the GNU form for long names), always with the same bytes for the same input: no times, owner
// 0. Called by image.ts. Files go through in pieces, so a large one needs no memory.
import { closeSync, openSync, readSync, statSync, writeSync } from 'node:fs';

export interface TarEntry {
  /** Relative, with forward slashes. */
  readonly path: string;
  readonly mode: number;
  readonly content: { readonly source: string } | { readonly data: Buffer } | { readonly link: string } | 'folder';
}

const BLOCK_BYTES = 512;
const PIECE_BYTES = 1024 * 1024;
const NAME_BYTES_MAX = 100;
const LONG_NAME = '././@LongLink';

/** Receives the archive's bytes in order; a piece is valid until the call returns. */
export type TarSink = (piece: Buffer) => void;

export function writeTar(entries: readonly TarEntry[], sink: TarSink): void {
  for (const entry of entries) writeEntry(entry, sink);
  sink(Buffer.alloc(2 * BLOCK_BYTES));
}

/** Writes an archive to a file; `also` sees the same bytes. */
export function writeTarFile(file: string, entries: readonly TarEntry[], also: TarSink = () => undefined): void {
  const output = openSync(file, 'w');
  try {
    writeTar(entries, (piece) => {
      for (let done = 0; done < piece.length; ) done += writeSync(output, piece, done);
      also(piece);
    });
  } finally {
    closeSync(output);
  }
}

function writeEntry(entry: TarEntry, sink: TarSink): void {
  const { content, mode } = entry;
  const path = content === 'folder' ? `${entry.path}/` : entry.path;
  if (Buffer.byteLength(path) > NAME_BYTES_MAX) {
    const name = Buffer.from(`${path}\0`);
    writeHeader({ path: LONG_NAME, type: 'L', sizeBytes: name.length, mode: 0, link: '' }, sink);
    writeData(name, sink);
  }
  if (content === 'folder') writeHeader({ path, type: '5', sizeBytes: 0, mode, link: '' }, sink);
  else if ('link' in content) writeHeader({ path, type: '2', sizeBytes: 0, mode: 0o777, link: content.link }, sink);
  else if ('data' in content) {
    writeHeader({ path, type: '0', sizeBytes: content.data.length, mode, link: '' }, sink);
    writeData(content.data, sink);
  } else {
    const sizeBytes = statSync(content.source).size;
    writeHeader({ path, type: '0', sizeBytes, mode, link: '' }, sink);
    copyFile(content.source, sizeBytes, sink);
  }
}

interface Header {
  readonly path: string;
  readonly type: '0' | '2' | '5' | 'L';
  readonly sizeBytes: number;
  readonly mode: number;
  readonly link: string;
}

function writeHeader({ path, type, sizeBytes, mode, link }: Header, sink: TarSink): void {
  if (Buffer.byteLength(link) > NAME_BYTES_MAX)
    throw new Error(`cannot write link "${path}": its target "${link}" has over 100 bytes`);
  const header = Buffer.alloc(BLOCK_BYTES);
  Buffer.from(path).copy(header, 0, 0, NAME_BYTES_MAX);
  header.write(octal(mode, 7), 100);
  header.write(octal(0, 7), 108); // owner
  header.write(octal(0, 7), 116); // group
  header.write(octal(sizeBytes, 11), 124);
  header.write(octal(0, 11), 136); // time
  header.write(' '.repeat(8), 148); // the checksum counts as spaces while it is computed
  header.write(type, 156);
  header.write(link, 157);
  header.write('ustar\u000000', 257, 'latin1');
  header.write(
    `${octal(
      header.reduce((sum, byte) => sum + byte),
      6,
    )}\0 `,
    148,
    'latin1',
  );
  sink(header);
}

function writeData(data: Buffer, sink: TarSink): void {
  sink(data);
  pad(data.length, sink);
}

function copyFile(source: string, sizeBytes: number, sink: TarSink): void {
  const input = openSync(source, 'r');
  const piece = Buffer.alloc(PIECE_BYTES);
  try {
    let left = sizeBytes;
    while (left > 0) {
      const got = readSync(input, piece, 0, Math.min(left, piece.length), null);
      if (got === 0) throw new Error(`cannot pack "${source}": it became shorter while it was read`);
      sink(piece.subarray(0, got));
      left -= got;
    }
  } finally {
    closeSync(input);
  }
  pad(sizeBytes, sink);
}

function pad(sizeBytes: number, sink: TarSink): void {
  const rest = sizeBytes % BLOCK_BYTES;
  if (rest > 0) sink(Buffer.alloc(BLOCK_BYTES - rest));
}

function octal(value: number, digits: number): string {
  return value.toString(8).padStart(digits, '0');
}
