// The life of a service as a pure function: step(settings, state, event) -> state and duties. The driver is service.ts: it turns what
// happens into events, and performs the duties in their order.
//
//              wish: run                 started
//   stopped ─────────────▶ starting ───────────────▶ running ──┐ live change: told over the control socket
//      ▲                    ▲  │ start failed           │  ▲───┘
//      │ wish: stop         │  ▼                        │ exited
//   stopping ◀──┐     timer │ waiting ◀── restart ── (policy) ── stay ended ──▶ ended
//      │        └── wish: stop, restart, hung ──────────┘  └── too often ─────▶ crash-loop
//      └─ stopped, and the wish is "run" ─▶ starting         both left by a start or a new configuration
//
// Invariant: one start or stop at a time; "stopped" means that the process has really ended.
import { unreachable } from '../base/assert.ts';
import type { ExitStatus } from '../world/processes.ts';
import { compareConfigs, type ConfigHashes } from './config-change.ts';
import { judgeExit, type RestartPolicy } from './restart-policy.ts';

export type Phase = 'stopped' | 'starting' | 'running' | 'stopping' | 'waiting' | 'ended' | 'crash-loop';

export interface ServiceSettings {
  readonly policy: RestartPolicy;
  /** A process that is offline for so long hangs: it is ended, which counts as a crash. Null: it is left alone. */
  readonly endAfterOfflineMs: number | null;
  /** Until the next attempt to stop a process that could not be stopped. */
  readonly stopAgainMs: number;
}

export interface ServiceState {
  readonly phase: Phase;
  readonly wish: 'run' | 'stop';
  readonly wanted: ConfigHashes;
  /** What the process runs with; null without a process. */
  readonly running: ConfigHashes | null;
  readonly isApplying: boolean;
  /** Connected, and the process lives. */
  readonly isOnline: boolean;
  /** It is being ended because it was offline for too long. */
  readonly isHung: boolean;
  readonly crashes: number;
  /** Starts by the restart policy since the driver was opened. */
  readonly restarts: number;
  readonly startedAtMs: number;
  readonly lastExit: ExitStatus | null;
  readonly lastFailure: string | null;
}

export type ServiceEvent =
  /** `isFresh`: somebody asks for it by hand, so earlier crashes are forgotten. */
  | { readonly kind: 'wish-run'; readonly config: ConfigHashes; readonly isFresh: boolean }
  | { readonly kind: 'wish-stop' }
  /** Started now, or found running. */
  | { readonly kind: 'started'; readonly config: ConfigHashes; readonly nowMs: number }
  | { readonly kind: 'start-failed'; readonly message: string }
  | { readonly kind: 'exited'; readonly status: ExitStatus; readonly nowMs: number }
  | { readonly kind: 'stopped'; readonly status: ExitStatus | null; readonly nowMs: number }
  | { readonly kind: 'stop-failed'; readonly message: string }
  | { readonly kind: 'timer'; readonly timer: TimerName }
  | { readonly kind: 'connected' }
  | { readonly kind: 'disconnected' }
  | { readonly kind: 'applied'; readonly config: ConfigHashes }
  | { readonly kind: 'apply-failed'; readonly message: string };

export type TimerName = 'again' | 'offline';
export type Notice =
  | 'started'
  | 'connected'
  | 'disconnected'
  | 'exited'
  | 'stopped'
  | 'crash-loop'
  | 'reconfigured'
  | 'manage-failed'
  | 'reconfigure-failed';

export type Duty =
  | { readonly kind: 'start' | 'stop' | 'connect' | 'disconnect' | 'apply' }
  | { readonly kind: 'arm'; readonly timer: TimerName; readonly delayMs: number }
  | { readonly kind: 'disarm'; readonly timer: TimerName }
  | { readonly kind: 'notify'; readonly notice: Notice };

export interface Step {
  readonly state: ServiceState;
  readonly duties: readonly Duty[];
}

export function initialState(wanted: ConfigHashes): ServiceState {
  return {
    phase: 'stopped',
    wish: 'stop',
    wanted,
    running: null,
    isApplying: false,
    isOnline: false,
    isHung: false,
    crashes: 0,
    restarts: 0,
    startedAtMs: 0,
    lastExit: null,
    lastFailure: null,
  };
}

export function step(settings: ServiceSettings, state: ServiceState, event: ServiceEvent): Step {
  switch (event.kind) {
    case 'wish-run':
      return wishRun(state, event.config, event.isFresh);
    case 'wish-stop':
      return pursue({ ...state, wish: 'stop' });
    case 'started':
      return started(settings, state, event.config, event.nowMs);
    case 'start-failed':
      return whenIn(state, 'starting', () =>
        afterEnd(settings, { ...state, lastFailure: event.message }, null, 0, [notify('manage-failed')]),
      );
    case 'exited':
      return whenIn(state, 'running', () =>
        afterEnd(settings, state, event.status, event.nowMs - state.startedAtMs, [
          ...(state.isOnline ? [notify('disconnected')] : []),
          { kind: 'disconnect' },
          { kind: 'disarm', timer: 'offline' },
          notify('exited'),
        ]),
      );
    case 'stopped':
      return whenIn(state, 'stopping', () => stopped(settings, state, event.status, event.nowMs));
    case 'stop-failed':
      return whenIn(state, 'stopping', () => ({
        state: { ...state, lastFailure: event.message },
        duties: [notify('manage-failed'), { kind: 'arm', timer: 'again', delayMs: settings.stopAgainMs }],
      }));
    case 'timer':
      return event.timer === 'again' ? again(state) : offlineForTooLong(state);
    case 'connected':
    case 'disconnected':
      return whenIn(state, 'running', () => onlineChanged(settings, state, event.kind === 'connected'));
    case 'applied':
      return pursue({ ...state, running: state.running && event.config, isApplying: false }, [notify('reconfigured')]);
    case 'apply-failed':
      // Not again at once: the next wish, or the next connection, tries again.
      return none({ ...state, isApplying: false, lastFailure: event.message }, [notify('reconfigure-failed')]);
    default:
      return unreachable(event, 'event of a service');
  }
}

/** Whether reality is what was wished. */
export function isSettled(state: ServiceState): boolean {
  if (state.wish === 'stop') return state.phase === 'stopped';
  return state.phase === 'running' && state.isOnline && compareConfigs(state.running!, state.wanted) === 'identical';
}

function wishRun(state: ServiceState, config: ConfigHashes, isFresh: boolean): Step {
  const isNew = isFresh || compareConfigs(state.wanted, config) !== 'identical';
  const next: ServiceState = { ...state, wish: 'run', wanted: config, crashes: isNew ? 0 : state.crashes };
  const isResting = state.phase === 'waiting' || state.phase === 'ended' || state.phase === 'crash-loop';
  if (isResting && isNew) return begin(next, [{ kind: 'disarm', timer: 'again' }]);
  return pursue(next);
}

/** From where it stands, the next step towards the wish. */
function pursue(state: ServiceState, before: readonly Duty[] = []): Step {
  switch (state.phase) {
    case 'stopped':
      return state.wish === 'run' ? begin(state, before) : none(state, before);
    case 'waiting':
    case 'ended':
    case 'crash-loop':
      if (state.wish === 'run') return none(state, before);
      return none({ ...state, phase: 'stopped', crashes: 0 }, [...before, { kind: 'disarm', timer: 'again' }, notify('stopped')]);
    case 'running':
      return pursueRunning(state, before);
    case 'starting':
    case 'stopping':
      return none(state, before);
    default:
      return unreachable(state.phase, 'phase of a service');
  }
}

function pursueRunning(state: ServiceState, before: readonly Duty[]): Step {
  const change = compareConfigs(state.running!, state.wanted);
  if (state.wish === 'stop' || change === 'restart') return end(state, before);
  if (change === 'identical' || state.isApplying || !state.isOnline) return none(state, before);
  return none({ ...state, isApplying: true }, [...before, { kind: 'apply' }]);
}

function begin(state: ServiceState, before: readonly Duty[]): Step {
  return none({ ...state, phase: 'starting' }, [...before, { kind: 'start' }]);
}

function end(state: ServiceState, before: readonly Duty[]): Step {
  const duties: Duty[] = [...before, { kind: 'disarm', timer: 'offline' }];
  if (state.isOnline) duties.push(notify('disconnected'));
  duties.push({ kind: 'disconnect' }, { kind: 'stop' });
  return none({ ...state, phase: 'stopping', isOnline: false, isApplying: false }, duties);
}

function started(settings: ServiceSettings, state: ServiceState, config: ConfigHashes, nowMs: number): Step {
  if (state.phase !== 'starting' && state.phase !== 'stopped') return none(state);
  const next: ServiceState = { ...state, phase: 'running', running: config, startedAtMs: nowMs, isHung: false };
  // One that was found running before anybody wished for anything waits for the wish.
  const duties = [notify('started'), { kind: 'connect' } as const, ...armOffline(settings)];
  return state.phase === 'starting' ? pursue(next, duties) : none(next, duties);
}

function stopped(settings: ServiceSettings, state: ServiceState, status: ExitStatus | null, nowMs: number): Step {
  if (state.isHung && state.wish === 'run') {
    const hung = { ...state, isHung: false, lastFailure: 'it was offline for too long and was ended' };
    return afterEnd(settings, hung, status, nowMs - state.startedAtMs, [notify('exited')], true);
  }
  const next: ServiceState = { ...state, phase: 'stopped', running: null, isHung: false, lastExit: status ?? state.lastExit };
  return pursue({ ...next, crashes: 0 }, [notify('stopped')]);
}

/** It has ended though nobody wished it, or could not be started. */
function afterEnd(
  settings: ServiceSettings,
  state: ServiceState,
  status: ExitStatus | null,
  ranMs: number,
  duties: readonly Duty[],
  isFailure = false,
): Step {
  const rest: ServiceState = { ...state, running: null, isOnline: false, isApplying: false, lastExit: status ?? state.lastExit };
  if (state.wish === 'stop') return none({ ...rest, phase: 'stopped', crashes: 0 }, [...duties, notify('stopped')]);
  const judged = isFailure || status === null ? { code: null, signal: null } : status;
  const verdict = judgeExit(settings.policy, state.crashes, judged, ranMs);
  if (verdict.kind === 'stay-ended') return none({ ...rest, phase: 'ended' }, duties);
  if (verdict.kind === 'crash-loop')
    return none({ ...rest, phase: 'crash-loop', crashes: verdict.crashes }, [...duties, notify('crash-loop')]);
  const wait: Duty = { kind: 'arm', timer: 'again', delayMs: verdict.delayMs };
  return none({ ...rest, phase: 'waiting', crashes: verdict.crashes }, [...duties, wait]);
}

function again(state: ServiceState): Step {
  if (state.phase === 'waiting') return begin({ ...state, restarts: state.restarts + 1 }, []);
  return state.phase === 'stopping' ? none(state, [{ kind: 'stop' }]) : none(state);
}

function offlineForTooLong(state: ServiceState): Step {
  if (state.phase !== 'running' || state.isOnline) return none(state);
  return end({ ...state, isHung: true }, []);
}

function onlineChanged(settings: ServiceSettings, state: ServiceState, isOnline: boolean): Step {
  if (isOnline) return pursueIfWished({ ...state, isOnline }, [{ kind: 'disarm', timer: 'offline' }, notify('connected')]);
  return none({ ...state, isOnline, isApplying: false }, [notify('disconnected'), ...armOffline(settings)]);
}

function pursueIfWished(state: ServiceState, before: readonly Duty[]): Step {
  return state.wish === 'run' ? pursue(state, before) : none(state, before);
}

function armOffline(settings: ServiceSettings): Duty[] {
  return settings.endAfterOfflineMs === null ? [] : [{ kind: 'arm', timer: 'offline', delayMs: settings.endAfterOfflineMs }];
}

function notify(notice: Notice): Duty {
  return { kind: 'notify', notice };
}

function whenIn(state: ServiceState, phase: Phase, then: () => Step): Step {
  return state.phase === phase ? then() : none(state);
}

function none(state: ServiceState, duties: readonly Duty[] = []): Step {
  return { state, duties };
}
