// The answer to one DNS question, as bytes (RFC 1035): addresses of version 4, or that the name does not exist. Pure; called by
// cluster-network.ts for each datagram. What is no question gets no answer.

/** The addresses of a name in lower case without its last dot, or null when there is no such name. */
export type NameLookup = (name: string) => readonly string[] | null;

const HEADER_BYTES = 12;
const LABEL_BYTES_MAX = 63;
const NAME_BYTES_MAX = 255;
const ADDRESS_COUNT_MAX = 25; // fits into the 512 bytes of a plain datagram
const TYPE_A = 1;
const CLASS_IN = 1;
const [ANSWER_FLAGS, RECURSION_WANTED, OPERATION_MASK] = [0x8480, 0x0100, 0xf800];
const NAME_UNKNOWN = 3;
/** A pod may move at any time. */
const TTL_SECONDS = 1;

export function answerDns(question: Buffer, lookup: NameLookup): Buffer | null {
  if (question.length < HEADER_BYTES) return null;
  const flags = question.readUInt16BE(2);
  if ((flags & OPERATION_MASK) !== 0 || question.readUInt16BE(4) !== 1) return null;
  const asked = readQuestion(question);
  if (asked === null) return null;
  const found = lookup(asked.name);
  const addresses = asked.type === TYPE_A ? (found ?? []).slice(0, ADDRESS_COUNT_MAX) : [];
  const header = Buffer.alloc(HEADER_BYTES);
  question.copy(header, 0, 0, 2);
  header.writeUInt16BE(ANSWER_FLAGS | (flags & RECURSION_WANTED) | (found === null ? NAME_UNKNOWN : 0), 2);
  header.writeUInt16BE(1, 4);
  header.writeUInt16BE(addresses.length, 6);
  return Buffer.concat([header, question.subarray(HEADER_BYTES, asked.end), ...addresses.map(addressRecord)]);
}

function readQuestion(question: Buffer): { name: string; type: number; end: number } | null {
  const labels: string[] = [];
  let at = HEADER_BYTES;
  for (;;) {
    const length = question[at++];
    if (length === undefined || length > LABEL_BYTES_MAX || at - HEADER_BYTES > NAME_BYTES_MAX) return null;
    if (length === 0) break;
    labels.push(question.toString('latin1', at, at + length));
    at += length;
  }
  if (at + 4 > question.length) return null;
  return { name: labels.join('.').toLowerCase(), type: question.readUInt16BE(at), end: at + 4 };
}

function addressRecord(address: string): Buffer {
  const record = Buffer.alloc(16);
  record.writeUInt16BE(0xc000 | HEADER_BYTES, 0); // the name of the question
  record.writeUInt16BE(TYPE_A, 2);
  record.writeUInt16BE(CLASS_IN, 4);
  record.writeUInt32BE(TTL_SECONDS, 6);
  record.writeUInt16BE(4, 10);
  address.split('.').forEach((part, i) => record.writeUInt8(Number(part), 12 + i));
  return record;
}
