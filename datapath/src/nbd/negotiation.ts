// Option haggling as a pure state table: step(state, event) gives the next state and the duties of the driver, in order.
// handshake.ts turns bytes into events and performs the duties.
//
//   client-flags --flags--> options --INFO/GO/EXPORT_NAME--> opening --opened--> options (INFO)
//                             ^  \                             |   \--opened--> ended, transmit (GO, EXPORT_NAME)
//                             |   \--ABORT, a limit, no sense--|--> ended, close
//                             \------------refused-------------/   (EXPORT_NAME refused: ended, close)
//
// Invariants: one option at a time; every option of a fixed-newstyle client is answered; `ended` takes no event.
import { assert } from '../base/assert.ts';
import * as codec from './option-codec.ts';
import * as p from './protocol.ts';

export type NegotiationPhase = 'client-flags' | 'options' | 'opening' | 'ended';

export interface NegotiationState {
  readonly phase: NegotiationPhase;
  readonly isFixedNewstyle: boolean;
  readonly noZeroes: boolean;
  readonly hasStructuredReplies: boolean;
  /** The export for which the client has selected base:allocation. */
  readonly allocationExport: string | null;
  readonly optionCount: number;
  /** What is being opened, in phase `opening`. */
  readonly pending: { readonly option: number; readonly infos: readonly number[] } | null;
}

export interface ExportTitle {
  readonly name: string;
  readonly description: string;
}

/** What is known without opening anything. */
export interface Offer {
  readonly titles: readonly ExportTitle[];
  readonly maxOptions: number;
}

export interface ExportDetails extends ExportTitle {
  readonly sizeBytes: number;
  /** Transmission flags without SEND_DF. */
  readonly flags: number;
  readonly minimumBlockBytes: number;
  readonly preferredBlockBytes: number;
  readonly maximumPayloadBytes: number;
}

export type RefusalReason = 'unknown' | 'policy' | 'failed';

export type NegotiationEvent =
  | { readonly kind: 'client-flags'; readonly flags: number }
  | { readonly kind: 'option'; readonly option: number; readonly data: Uint8Array }
  /** Longer than the server reads; its data has been skipped. */
  | { readonly kind: 'oversized-option'; readonly option: number; readonly length: number }
  | { readonly kind: 'opened'; readonly details: ExportDetails }
  | { readonly kind: 'refused'; readonly reason: RefusalReason; readonly message: string }
  | { readonly kind: 'deadline' };

export type Duty =
  | { readonly kind: 'send'; readonly bytes: Uint8Array }
  /** Open the export and come back with `opened` or `refused`; no other event in between, but `deadline`. */
  | { readonly kind: 'open'; readonly name: string }
  /** Negotiation is over; serve requests on what was opened last. */
  | { readonly kind: 'transmit'; readonly hasStructuredReplies: boolean; readonly hasBlockStatus: boolean }
  | { readonly kind: 'close'; readonly reason: string };

export interface Step {
  readonly state: NegotiationState;
  readonly duties: readonly Duty[];
}

export const INITIAL_STATE: NegotiationState = {
  phase: 'client-flags',
  isFixedNewstyle: false,
  noZeroes: false,
  hasStructuredReplies: false,
  allocationExport: null,
  optionCount: 0,
  pending: null,
};

export function step(state: NegotiationState, event: NegotiationEvent, offer: Offer): Step {
  assert(state.phase !== 'ended', `negotiation event ${event.kind} after the end`);
  switch (event.kind) {
    case 'deadline':
      return close(state, 'the client did not finish its handshake in time');
    case 'client-flags':
      return takeClientFlags(state, event.flags);
    case 'option':
    case 'oversized-option':
      return takeOption(state, event, offer);
    case 'opened':
      return takeOpened(state, event.details);
    case 'refused':
      return takeRefusal(state, event.reason, event.message);
  }
}

/** The real name behind what a client asks for: a single export is the default export ("") too. Null when unknown. */
export function resolveName(titles: readonly ExportTitle[], name: string): string | null {
  if (titles.some((title) => title.name === name)) return name;
  return name === '' && titles.length === 1 ? titles[0]!.name : null;
}

function takeClientFlags(state: NegotiationState, flags: number): Step {
  assert(state.phase === 'client-flags', `client flags in phase ${state.phase}`);
  if ((flags & ~(p.FIXED_NEWSTYLE | p.NO_ZEROES)) !== 0)
    return close(state, `the client set unknown flags (0x${flags.toString(16)})`);
  const isFixedNewstyle = (flags & p.FIXED_NEWSTYLE) !== 0;
  const noZeroes = (flags & p.NO_ZEROES) !== 0;
  return { state: { ...state, phase: 'options', isFixedNewstyle, noZeroes }, duties: [] };
}

type OptionRule = (state: NegotiationState, data: Uint8Array, offer: Offer) => Step;

const OPTION_RULES: ReadonlyMap<number, OptionRule> = new Map<number, OptionRule>([
  [p.OPT_EXPORT_NAME, exportName],
  [p.OPT_ABORT, abort],
  [p.OPT_LIST, list],
  [p.OPT_INFO, (state, data, offer) => choose(state, p.OPT_INFO, data, offer)],
  [p.OPT_GO, (state, data, offer) => choose(state, p.OPT_GO, data, offer)],
  [p.OPT_STRUCTURED_REPLY, structuredReply],
  [p.OPT_LIST_META_CONTEXT, listMetaContext],
  [p.OPT_SET_META_CONTEXT, setMetaContext],
]);

type OptionEvent = Extract<NegotiationEvent, { kind: 'option' | 'oversized-option' }>;

function takeOption(before: NegotiationState, event: OptionEvent, offer: Offer): Step {
  assert(before.phase === 'options', `option in phase ${before.phase}`);
  const { option } = event;
  const state = { ...before, optionCount: before.optionCount + 1 };
  if (state.optionCount > offer.maxOptions) return close(state, `the client sent more than ${offer.maxOptions} options`);
  if (!state.isFixedNewstyle && option !== p.OPT_EXPORT_NAME) {
    return close(state, `a client without fixed newstyle sent option ${option}, which cannot be answered`);
  }
  if (event.kind === 'oversized-option') {
    if (option === p.OPT_EXPORT_NAME) return close(state, `the client's export name has ${event.length} bytes`);
    return refuse(state, option, p.REP_ERR_TOO_BIG, `option data of ${event.length} bytes is too long`);
  }
  const rule = OPTION_RULES.get(option);
  if (rule === undefined) return refuse(state, option, p.REP_ERR_UNSUP, `option ${option} is not supported`);
  return rule(state, event.data, offer);
}

function exportName(state: NegotiationState, data: Uint8Array, offer: Offer): Step {
  const asked = codec.readString(data);
  const name = asked === null ? null : resolveName(offer.titles, asked);
  if (name === null) return close(state, `the client asked for an unknown export ${JSON.stringify(asked)}`);
  return open(state, p.OPT_EXPORT_NAME, name, []);
}

function abort(state: NegotiationState): Step {
  const ended = close(state, 'the client aborted the handshake');
  return { state: ended.state, duties: [send(codec.optionReply(p.OPT_ABORT, p.REP_ACK)), ...ended.duties] };
}

function list(state: NegotiationState, data: Uint8Array, offer: Offer): Step {
  if (data.length > 0) return refuse(state, p.OPT_LIST, p.REP_ERR_INVALID, 'LIST takes no data');
  const replies = offer.titles.map((title) => {
    return send(codec.optionReply(p.OPT_LIST, p.REP_SERVER, codec.serverPayload(title.name, title.description)));
  });
  return { state, duties: [...replies, acknowledge(p.OPT_LIST)] };
}

function choose(state: NegotiationState, option: number, data: Uint8Array, offer: Offer): Step {
  const choice = codec.readExportChoice(data);
  if (choice === null) return refuse(state, option, p.REP_ERR_INVALID, 'malformed export name or information list');
  const name = resolveName(offer.titles, choice.name);
  if (name === null) return refuse(state, option, p.REP_ERR_UNKNOWN, `there is no export "${choice.name}"`);
  return open(state, option, name, choice.infos);
}

function structuredReply(state: NegotiationState, data: Uint8Array): Step {
  if (data.length > 0) return refuse(state, p.OPT_STRUCTURED_REPLY, p.REP_ERR_INVALID, 'STRUCTURED_REPLY takes no data');
  return { state: { ...state, hasStructuredReplies: true }, duties: [acknowledge(p.OPT_STRUCTURED_REPLY)] };
}

function listMetaContext(state: NegotiationState, data: Uint8Array, offer: Offer): Step {
  const asked = readQueries(state, p.OPT_LIST_META_CONTEXT, data, offer);
  if ('duties' in asked) return asked;
  const { queries } = asked;
  const isWanted = queries.length === 0 || queries.includes('base:') || queries.includes(p.BASE_ALLOCATION);
  return answerContext(state, p.OPT_LIST_META_CONTEXT, isWanted, 0);
}

/** Replaces the previous selection even when it fails. */
function setMetaContext(before: NegotiationState, data: Uint8Array, offer: Offer): Step {
  const state = { ...before, allocationExport: null };
  const asked = readQueries(state, p.OPT_SET_META_CONTEXT, data, offer);
  if ('duties' in asked) return asked;
  const isSelected = asked.queries.includes(p.BASE_ALLOCATION);
  const next = isSelected ? { ...state, allocationExport: asked.name } : state;
  return answerContext(next, p.OPT_SET_META_CONTEXT, isSelected, p.BASE_ALLOCATION_ID);
}

function readQueries(
  state: NegotiationState,
  option: number,
  data: Uint8Array,
  offer: Offer,
): Step | { readonly name: string; readonly queries: readonly string[] } {
  if (!state.hasStructuredReplies) return refuse(state, option, p.REP_ERR_INVALID, 'negotiate STRUCTURED_REPLY first');
  const asked = codec.readMetaQueries(data);
  if (asked === null) return refuse(state, option, p.REP_ERR_INVALID, 'malformed meta context queries');
  const name = resolveName(offer.titles, asked.exportName);
  if (name === null) return refuse(state, option, p.REP_ERR_UNKNOWN, `there is no export "${asked.exportName}"`);
  return { name, queries: asked.queries };
}

function answerContext(state: NegotiationState, option: number, isWanted: boolean, id: number): Step {
  const context = codec.metaContextPayload(id, p.BASE_ALLOCATION);
  const replies = isWanted ? [send(codec.optionReply(option, p.REP_META_CONTEXT, context))] : [];
  return { state, duties: [...replies, acknowledge(option)] };
}

function takeOpened(before: NegotiationState, details: ExportDetails): Step {
  assert(before.phase === 'opening' && before.pending !== null, `opened in phase ${before.phase}`);
  const { option, infos } = before.pending;
  const state: NegotiationState = { ...before, phase: 'options', pending: null };
  const flags = details.flags | (state.hasStructuredReplies ? p.SEND_DF : 0);
  if (option === p.OPT_EXPORT_NAME) {
    return transmit(state, details, [send(codec.exportNameReply(details.sizeBytes, flags, state.noZeroes))]);
  }
  const replies = [codec.exportInfoPayload(details.sizeBytes, flags), ...infoPayloads(details, infos)];
  const duties = [...replies.map((payload) => send(codec.optionReply(option, p.REP_INFO, payload))), acknowledge(option)];
  return option === p.OPT_GO ? transmit(state, details, duties) : { state, duties };
}

function infoPayloads(details: ExportDetails, infos: readonly number[]): Uint8Array[] {
  const payloads: Uint8Array[] = [];
  if (infos.includes(p.INFO_NAME)) payloads.push(codec.textInfoPayload(p.INFO_NAME, details.name));
  if (infos.includes(p.INFO_DESCRIPTION) && details.description !== '') {
    payloads.push(codec.textInfoPayload(p.INFO_DESCRIPTION, details.description));
  }
  if (infos.includes(p.INFO_BLOCK_SIZE)) {
    const { minimumBlockBytes, preferredBlockBytes, maximumPayloadBytes } = details;
    payloads.push(codec.blockSizeInfoPayload(minimumBlockBytes, preferredBlockBytes, maximumPayloadBytes));
  }
  return payloads;
}

const REFUSAL_TYPES: Record<RefusalReason, number> = {
  unknown: p.REP_ERR_UNKNOWN,
  policy: p.REP_ERR_POLICY,
  failed: p.REP_ERR_PLATFORM,
};

function takeRefusal(before: NegotiationState, reason: RefusalReason, message: string): Step {
  assert(before.phase === 'opening' && before.pending !== null, `refused in phase ${before.phase}`);
  const state: NegotiationState = { ...before, phase: 'options', pending: null };
  if (before.pending.option === p.OPT_EXPORT_NAME) return close(state, message);
  return refuse(state, before.pending.option, REFUSAL_TYPES[reason], message);
}

function open(state: NegotiationState, option: number, name: string, infos: readonly number[]): Step {
  return { state: { ...state, phase: 'opening', pending: { option, infos } }, duties: [{ kind: 'open', name }] };
}

function transmit(state: NegotiationState, details: ExportDetails, replies: readonly Duty[]): Step {
  const { hasStructuredReplies } = state;
  const hasBlockStatus = hasStructuredReplies && state.allocationExport === details.name;
  return {
    state: { ...state, phase: 'ended' },
    duties: [...replies, { kind: 'transmit', hasStructuredReplies, hasBlockStatus }],
  };
}

function refuse(state: NegotiationState, option: number, type: number, message: string): Step {
  return { state, duties: [send(codec.optionError(option, type, message))] };
}

function close(state: NegotiationState, reason: string): Step {
  return { state: { ...state, phase: 'ended', pending: null }, duties: [{ kind: 'close', reason }] };
}

function acknowledge(option: number): Duty {
  return send(codec.optionReply(option, p.REP_ACK));
}

function send(bytes: Uint8Array): Duty {
  return { kind: 'send', bytes };
}
