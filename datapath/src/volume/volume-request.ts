// The records of a volume client's hot path, pooled: a VolumeRequest is one request of a user, a SubRequest is a piece of it on its
// way to one shard. Requests are cut at shard borders and at the wire's largest lengths; at most WINDOW pieces of a request
// are under way at once (a trim may be as long as the device).
// Invariant: a request is over when its cursor is at its end, or it has failed, and no piece is out.
import { EIO } from '../world/completion.ts';
import { StoreCommand, type CommandOwner } from '../wire/command.ts';
import { MAX_IO_BYTES, MAX_TRIM_BYTES, OP_READ, OP_WRITE } from '../wire/messages.ts';
import type { ClientSession } from '../wire/client-session.ts';
import type { BlockRequest } from '../block/device.ts';

export const WINDOW = 32;

export interface VolumeRequestOwner {
  volumeRequestDone(request: VolumeRequest): void;
}

export class VolumeRequest {
  owner: VolumeRequestOwner | null = null;
  /** The user's, or null for the device's own. */
  request: BlockRequest | null = null;
  opcode = OP_READ;
  flags = 0;
  /** Where the next piece starts, and the end of the last one. */
  cursor = 0;
  end = 0;
  /** Arena offset that belongs to volume offset `start`. */
  start = 0;
  memory = 0;
  startedMs = 0;
  /** 0, or the first errno. */
  errno = 0;
  /** Its deadline has passed: pieces that come back are not sent again. */
  isExpired = false;
  /** Pieces are being cut and sent now. */
  isSending = false;
  piecesOut = 0;
  /** The pieces that are out. */
  firstPiece: SubRequest | null = null;
  /** Neighbours in the order of submission. */
  previous: VolumeRequest | null = null;
  next: VolumeRequest | null = null;

  /** Fails it as soon as its pieces are home. */
  expire(): void {
    this.isExpired = true;
    if (this.errno === 0) this.errno = EIO;
  }

  get isOver(): boolean {
    return this.piecesOut === 0 && (this.errno !== 0 || this.cursor === this.end);
  }

  get wantsPiece(): boolean {
    return this.cursor < this.end && this.errno === 0 && this.piecesOut < WINDOW;
  }

  /** Makes `piece` the next piece of this request. */
  cut(piece: SubRequest, shardBytes: number): void {
    const shardIndex = Math.floor(this.cursor / shardBytes);
    const limit = this.opcode === OP_READ || this.opcode === OP_WRITE ? MAX_IO_BYTES : MAX_TRIM_BYTES;
    const length = Math.min(this.end - this.cursor, (shardIndex + 1) * shardBytes - this.cursor, limit);
    piece.opcode = this.opcode;
    piece.flags = this.flags;
    piece.offset = this.cursor;
    piece.length = length;
    piece.memory = this.memory === 0 ? 0 : this.memory + (this.cursor - this.start);
    piece.payloadIsSlot = this.request !== null && this.request.payloadIsSlot;
    piece.commandSequence = 0;
    piece.shardIndex = shardIndex;
    piece.parent = this;
    piece.nextOfParent = this.firstPiece;
    this.firstPiece = piece;
    this.piecesOut += 1;
    this.cursor += length;
  }

  pieceBack(piece: SubRequest, errno: number): void {
    if (errno !== 0 && this.errno === 0) this.errno = errno;
    this.piecesOut -= 1;
    if (this.firstPiece === piece) {
      this.firstPiece = piece.nextOfParent;
    } else {
      let before = this.firstPiece!;
      while (before.nextOfParent !== piece) before = before.nextOfParent!;
      before.nextOfParent = piece.nextOfParent;
    }
    piece.nextOfParent = null;
    piece.parent = null;
  }
}

export class SubRequest extends StoreCommand {
  parent: VolumeRequest | null = null;
  nextOfParent: SubRequest | null = null;
  shardIndex = 0;
  /** Which of the connections to the primary carries it, also when it is sent again: only the connection with the same client id is sure to come after whatever the old one had in flight. */
  connection = 0;
  /** The session that has it now, or null (parked, or with a store in this process). */
  session: ClientSession | null = null;

  constructor(owner: CommandOwner) {
    super(owner);
  }
}

export class RequestPool {
  readonly #requests: VolumeRequest[] = [];
  readonly #pieces: SubRequest[] = [];

  takeRequest(): VolumeRequest {
    return this.#requests.pop() ?? new VolumeRequest();
  }

  giveRequest(request: VolumeRequest): void {
    request.owner = null;
    request.request = null;
    this.#requests.push(request);
  }

  takePiece(owner: CommandOwner): SubRequest {
    return this.#pieces.pop() ?? new SubRequest(owner);
  }

  givePiece(piece: SubRequest): void {
    this.#pieces.push(piece);
  }
}
