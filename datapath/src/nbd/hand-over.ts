// Leaving a kernel client to the next server without a request lost. What the client has sent and was not answered when the stream ends
// waits for a timer of its own; what it sends to an ended stream it sends again at once. So answers are held back until the client has
// used up what it may have in flight, or has nothing more to send; then its sending is cut, all answers leave in one burst (it still
// reads them), and the stream ends.
//
//   serving --hold--> holding --all answered, nothing came for a while--> cut, burst, end
//      ^                 |
//      \--for too long---/  (a client that never falls silent: answer, and try again, until the time is up; then drain)
import type { Clock } from '../world/clock.ts';

export interface HandOverOptions {
  /** Makes the client's next send fail; see StreamPair.refuseInput. */
  readonly refuseInput: () => void;
  readonly timeoutMs: number;
}

/** What is handed over, as Transmission has it. */
export interface HandedOver {
  readonly requestCount: number;
  /** Everything that came is ready to be answered, and nothing has come in part. */
  readonly isAtRest: boolean;
  readonly isGone: boolean;
  holdReplies(): void;
  releaseReplies(): void;
  drain(): void;
}

/** The client is taken to be silent when nothing came for so long. */
const QUIET_MS = 10;
const LOOK_MS = 2;
const HOLD_MS_MAX = 500;
const SERVE_MS = 20;

/** False when the client never fell silent within the time: some of its requests wait for its own timer. */
export async function handOver(transmission: HandedOver, clock: Clock, options: HandOverOptions): Promise<boolean> {
  const deadline = clock.now() + options.timeoutMs;
  while (!transmission.isGone && clock.now() < deadline) {
    transmission.holdReplies();
    if (await waitForSilence(transmission, clock)) {
      options.refuseInput();
      transmission.releaseReplies();
      transmission.drain();
      return true;
    }
    transmission.releaseReplies();
    await clock.sleep(SERVE_MS);
  }
  transmission.drain();
  return transmission.isGone;
}

async function waitForSilence(transmission: HandedOver, clock: Clock): Promise<boolean> {
  const giveUpAt = clock.now() + HOLD_MS_MAX;
  let seen = transmission.requestCount;
  let quietSince = clock.now();
  while (clock.now() < giveUpAt && !transmission.isGone) {
    await clock.sleep(LOOK_MS);
    if (transmission.requestCount !== seen || !transmission.isAtRest) {
      seen = transmission.requestCount;
      quietSince = clock.now();
    } else if (clock.now() - quietSince >= QUIET_MS) {
      return true;
    }
  }
  return false;
}
