// From a kind's schema to its CustomResourceDefinition. Pure; written to crds/ and the chart by bin/write-crds.ts.
import type { JsonObject } from '@pureflash/datapath/base';
import type { Schema } from './schema.ts';

export const GROUP = 'pureflash.io';
export const VERSION = 'v1alpha1';
export const API_VERSION = `${GROUP}/${VERSION}`;

export interface PrinterColumn {
  readonly name: string;
  readonly type: 'string' | 'integer' | 'date';
  readonly jsonPath: string;
  readonly description?: string;
  /** 1: only with -o wide. */
  readonly priority?: number;
}

/** A demand on metadata.name, which no schema of ours describes. */
export interface NameRule {
  readonly cel: string;
  readonly message: string;
  check(name: string): boolean;
}

export interface Kind<Spec = unknown, Status = unknown> {
  readonly kind: string;
  readonly plural: string;
  readonly shortNames: readonly string[];
  readonly description: string;
  readonly name?: NameRule;
  readonly spec: Schema<Spec, 'required'>;
  readonly status: Schema<Status, 'required'>;
  readonly columns: readonly PrinterColumn[];
  /** Paths for kubectl scale. */
  readonly scale?: { readonly spec: string; readonly status: string };
}

export function crdOf(kind: Kind): JsonObject {
  return {
    apiVersion: 'apiextensions.k8s.io/v1',
    kind: 'CustomResourceDefinition',
    metadata: { name: `${kind.plural}.${GROUP}`, labels: { 'app.kubernetes.io/part-of': 'pureflash' } },
    spec: {
      group: GROUP,
      scope: 'Namespaced',
      names: {
        kind: kind.kind,
        listKind: `${kind.kind}List`,
        plural: kind.plural,
        singular: kind.kind.toLowerCase(),
        shortNames: kind.shortNames,
        categories: ['pureflash'],
      },
      versions: [
        {
          name: VERSION,
          served: true,
          storage: true,
          subresources: {
            status: {},
            ...(kind.scale === undefined
              ? {}
              : { scale: { specReplicasPath: kind.scale.spec, statusReplicasPath: kind.scale.status } }),
          },
          additionalPrinterColumns: kind.columns.map((column) => ({ ...column })),
          schema: { openAPIV3Schema: rootOf(kind) },
        },
      ],
    },
  };
}

function rootOf(kind: Kind): JsonObject {
  return {
    type: 'object',
    description: kind.description,
    required: ['spec'],
    ...(kind.name === undefined ? {} : { 'x-kubernetes-validations': [{ rule: kind.name.cel, message: kind.name.message }] }),
    properties: {
      apiVersion: { type: 'string' },
      kind: { type: 'string' },
      metadata: { type: 'object' },
      spec: kind.spec.openApi,
      status: kind.status.openApi,
    },
  };
}
