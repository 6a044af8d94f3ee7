// Fields that several kinds have: names, nodes, conditions, what pods may need.
import type { NameRule } from '../crd.ts';
import { anything, integer, list, map, object, oneOf, optional, string } from '../schema.ts';

export const NAME = '^[a-z0-9]([-a-z0-9]*[a-z0-9])?(\\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*$';
export const ABSOLUTE_PATH = '^/[^/\\x00]+(/[^/\\x00]+)*$';

/** With a tag or a digest. */
export const IMAGE = '^[a-zA-Z0-9][a-zA-Z0-9._/:-]*(:[a-zA-Z0-9_][a-zA-Z0-9_.-]{0,127}|@sha256:[0-9a-f]{64})$';

const CLUSTER_NAME = '^[a-z]([-a-z0-9]{0,61}[a-z0-9])?$';

/** A cluster's name is a label of everything that is its, and the beginning of the names of Services, which are names of DNS. */
export const clusterNameRule: NameRule = {
  cel: `self.metadata.name.matches('${CLUSTER_NAME}')`,
  message:
    'metadata.name has to begin with a letter and have at most 63 lower-case letters, digits and "-": it is a label, and part of names of DNS',
  check: (name) => new RegExp(CLUSTER_NAME).test(name),
};

export const nodeName = (description: string) => string(description, { minLength: 1, pattern: NAME });

export const labels = (description: string) => map(description, string('Value of the label.', { maxLength: 63 }));

export const resources = optional(
  anything<{ readonly requests?: Record<string, string>; readonly limits?: Record<string, string> }>(
    'Requests and limits of the container, as in a pod.',
  ),
);

export const tolerations = optional(list('Taints that the pods tolerate, as in a pod.', anything('A toleration.')));

export const conditions = optional(
  list(
    'What is true of the object at present.',
    object('A condition.', {
      type: string('What it tells of.', { maxLength: 316 }),
      status: oneOf('Whether it is so.', ['True', 'False', 'Unknown']),
      observedGeneration: optional(integer('Generation of the object that this was found for.', { minimum: 0 })),
      lastTransitionTime: string('When the status changed last.', { format: 'date-time' }),
      reason: string('One word for programs.', {
        minLength: 1,
        maxLength: 1024,
        pattern: '^[A-Za-z]([A-Za-z0-9_,:]*[A-Za-z0-9_])?$',
      }),
      message: string('A sentence for people.', { maxLength: 32768 }),
    }),
    { keys: ['type'] },
  ),
);

export const observedGeneration = optional(integer('Generation that the operator has looked at last.', { minimum: 0 }));
