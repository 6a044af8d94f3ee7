// Carries steps out. Each may be done twice without harm; one that fails does not keep the others from being tried.
import { errorCodeOf, formatErrorChain, PfError } from '@pureflash/datapath/base';
import { describe, refOf } from '../api/objects.ts';
import type { KubeClient } from '../kube/client.ts';
import type { Step } from './steps.ts';

/** Errors: what the API server said, of all steps that failed. */
export async function execute(client: KubeClient, steps: readonly Step[], signal: AbortSignal): Promise<void> {
  const failures: { code: ReturnType<typeof errorCodeOf>; text: string }[] = [];
  for (const step of steps) {
    signal.throwIfAborted();
    try {
      await perform(client, step, signal);
    } catch (error) {
      signal.throwIfAborted();
      failures.push({ code: errorCodeOf(error), text: `${describeStep(step)}: ${formatErrorChain(error)}` });
    }
  }
  const [first] = failures;
  if (first !== undefined) throw new PfError(first.code, failures.map((each) => each.text).join('; '));
}

async function perform(client: KubeClient, step: Step, signal: AbortSignal): Promise<void> {
  if (step.kind === 'apply') await client.apply(step.object, { signal });
  else if (step.kind === 'delete') await client.delete(step.ref, { uid: step.uid, signal });
  else {
    await client.create(step.object, { signal }).catch((error: unknown) => {
      if (errorCodeOf(error) !== 'ALREADY_EXISTS') throw error;
    });
  }
}

export function describeStep(step: Step): string {
  return `${step.kind} ${describe(step.kind === 'delete' ? step.ref : refOf(step.object))}`;
}
