// Runs the script in testdata/negotiation.txt: lines without a mark are events; "<" replies, "*" duties, "=" the phase
// afterwards are what step() answered. PF_UPDATE=1 writes the file anew.
import { readFileSync, writeFileSync } from 'node:fs';
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { INITIAL_STATE, step } from './negotiation.ts';
import type { Duty, ExportDetails, NegotiationEvent, NegotiationState, Offer, RefusalReason } from './negotiation.ts';
import { choice, describeOptionReply, queries } from './testing/client-frames.ts';

const SCRIPT = new URL('./testdata/negotiation.txt', import.meta.url);
const OPTIONS: Record<string, number> = { EXPORT_NAME: 1, ABORT: 2, LIST: 3, STARTTLS: 5, INFO: 6, GO: 7, STRUCTURED_REPLY: 8 };
Object.assign(OPTIONS, { LIST_META_CONTEXT: 9, SET_META_CONTEXT: 10 });

test('the negotiation goes as the script says', () => {
  const expected = readFileSync(SCRIPT, 'utf8');
  const actual = runScript(expected.split('\n').filter((line) => !/^[<*=]/.test(line)));
  if (process.env['PF_UPDATE'] === '1') writeFileSync(SCRIPT, actual);
  assert.is(actual, expected);
});

test('no event is taken after the end', () => {
  const offer: Offer = { titles: [{ name: 'disk', description: '' }], maxOptions: 12 };
  const { state } = step(INITIAL_STATE, { kind: 'client-flags', flags: 4 }, offer);
  assert.throws(() => step(state, { kind: 'deadline' }, offer), /after the end/);
});

function runScript(lines: readonly string[]): string {
  let state: NegotiationState = INITIAL_STATE;
  let offer: Offer = { titles: [], maxOptions: 12 };
  const out: string[] = [];
  for (const line of lines) {
    out.push(line);
    if (line === '' || line.startsWith('#')) continue;
    const [word, ...rest] = line.split(' ');
    if (word === 'offer') {
      offer = { titles: rest.map((name) => ({ name, description: `the ${name}` })), maxOptions: 12 };
      state = INITIAL_STATE;
      continue;
    }
    const result = step(state, readEvent(word!, rest), offer);
    out.push(...result.duties.map(describeDuty));
    if (result.state.phase !== state.phase) out.push(`= ${result.state.phase}`);
    state = result.state;
  }
  return out.join('\n');
}

function readEvent(word: string, rest: readonly string[]): NegotiationEvent {
  const strings =
    rest
      .join(' ')
      .match(/"[^"]*"/g)
      ?.map((text) => text.slice(1, -1)) ?? [];
  if (word === 'flags') return { kind: 'client-flags', flags: Number(rest[0]) };
  if (word === 'opened') return { kind: 'opened', details: detailsOf(rest[0]!) };
  if (word === 'refused') return { kind: 'refused', reason: rest[0] as RefusalReason, message: strings[0]! };
  if (word === 'deadline') return { kind: 'deadline' };
  if (word === 'oversized') return { kind: 'oversized-option', option: Number(rest[0]), length: Number(rest[1]) };
  const isNumbered = word === 'option';
  const option = isNumbered ? Number(rest[0]) : OPTIONS[word]!;
  const data = isNumbered ? rest.slice(1) : rest;
  if (data.length === 0) return { kind: 'option', option, data: new Uint8Array(0) };
  if (data[0]!.startsWith('hex:')) return { kind: 'option', option, data: Buffer.from(data.join('').slice(4), 'hex') };
  if (option === 1) return { kind: 'option', option, data: Buffer.from(strings[0]!) };
  if (option === 9 || option === 10) return { kind: 'option', option, data: queries(strings[0]!, ...strings.slice(1)) };
  return { kind: 'option', option, data: choice(strings[0]!, ...rest.filter((part) => /^\d+$/.test(part)).map(Number)) };
}

function detailsOf(name: string): ExportDetails {
  const sizes = { minimumBlockBytes: 512, preferredBlockBytes: 4096, maximumPayloadBytes: 33554432 };
  return { name, description: `the ${name}`, sizeBytes: 0x1_2345_6789_0000, flags: 0x16d, ...sizes };
}

function describeDuty(duty: Duty): string {
  if (duty.kind === 'send') return `< ${describeOptionReply(duty.bytes)}`;
  if (duty.kind === 'open') return `* open ${duty.name}`;
  if (duty.kind === 'close') return `* close: ${duty.reason}`;
  return `* transmit, structured ${duty.hasStructuredReplies}, block status ${duty.hasBlockStatus}`;
}

test.run();
