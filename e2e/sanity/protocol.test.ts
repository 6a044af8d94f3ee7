// Holds our description of the protocols to their own: what the Go packages of CSI 1.12 and of kubelet's plugin registration say of themselves.
// needs: csi-sanity
import { spawnSync } from 'node:child_process';
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { Controller } from '../../csi/src/messages/controller-service.ts';
import { protocolName } from '../../csi/src/messages/description.ts';
import type { AnyService, EnumType, Field, MessageType } from '../../csi/src/messages/description.ts';
import { Identity } from '../../csi/src/messages/identity-service.ts';
import { Node } from '../../csi/src/messages/node-service.ts';
import { Registration } from '../../csi/src/messages/registration-service.ts';
import { sanityProgramPath } from './programs.ts';

interface Protocol {
  readonly messages: Readonly<Record<string, readonly ProtocolField[]>>;
  readonly enums: Readonly<Record<string, Readonly<Record<string, number>>>>;
  readonly services: Readonly<Record<string, readonly ProtocolMethod[]>>;
}

interface ProtocolField {
  readonly name: string;
  readonly number: number;
  readonly type: string;
  readonly label: string;
  readonly oneof: string;
  readonly isSecret: boolean;
}

interface ProtocolMethod {
  readonly name: string;
  readonly request: string;
  readonly response: string;
  readonly isStream: boolean;
}

const SERVICES: readonly AnyService[] = [Identity, Controller, Node, Registration];
const theirs = readProtocol();
const ours = reachable(SERVICES);

test('every method of the services that we speak is described, with its messages', () => {
  for (const { name, methods } of SERVICES) {
    const described = Object.entries(methods).map(([method, { request, response }]) => ({
      name: method.charAt(0).toUpperCase() + method.slice(1),
      request: request.name as string,
      response: response.name as string,
      isStream: false,
    }));
    assert.equal(byName(described), byName(theirs.services[name] ?? []), name);
  }
});

test('every message has the fields of the protocol: names, numbers, types, labels, oneofs, secrets', () => {
  assert.ok(ours.messages.size > 70, `only ${ours.messages.size} messages were found`);
  for (const type of ours.messages.values()) {
    const described = Object.entries(type.fields).map(([property, field]) => describe(property, field));
    assert.equal(byName(described), byName(theirs.messages[type.name] ?? []), type.name);
  }
});

test('every enumeration has the values of the protocol', () => {
  assert.is(ours.enums.size, 6);
  for (const type of ours.enums.values()) assert.equal(type.values, theirs.enums[type.name], type.name);
});

test('what is left out are group snapshots and snapshot metadata', () => {
  const left = Object.keys(theirs.services).filter((name) => !SERVICES.some((service) => service.name === name));
  assert.equal(left, ['csi.v1.GroupController', 'csi.v1.SnapshotMetadata']);
  const unknown = Object.keys(theirs.messages).filter((name) => name.startsWith('csi.') && !ours.messages.has(name));
  assert.equal(
    unknown.filter((name) => !/^csi\.v1\.(.*Group.*|GetMetadata.*|BlockMetadata)$/.test(name)),
    [],
  );
});

function describe(property: string, field: Field<unknown>): ProtocolField {
  const type = typeof field.type === 'object' ? field.type.name : field.type;
  return {
    name: protocolName(property),
    number: field.number,
    type: field.label === 'map' ? `string to ${type}` : type,
    label: field.label,
    oneof: field.oneof ?? '',
    isSecret: field.isSecret,
  };
}

/** All that the services' messages are made of. */
function reachable(services: readonly AnyService[]): {
  messages: Map<string, MessageType<unknown>>;
  enums: Map<string, EnumType<string>>;
} {
  const messages = new Map<string, MessageType<unknown>>();
  const enums = new Map<string, EnumType<string>>();
  const add = (type: Field<unknown>['type']): void => {
    if (typeof type === 'string') return;
    if (type.kind === 'enum') {
      enums.set(type.name, type);
      return;
    }
    messages.set(type.name, type);
    for (const field of Object.values(type.fields)) add(field.type);
  };
  for (const { methods } of services) {
    for (const { request, response } of Object.values(methods)) {
      add(request as MessageType<unknown>);
      add(response as MessageType<unknown>);
    }
  }
  return { messages, enums };
}

function readProtocol(): Protocol {
  const { stdout, stderr, status } = spawnSync(sanityProgramPath('descriptors'), { encoding: 'utf8' });
  if (status !== 0) throw new Error(`descriptors ended with ${status}: ${stderr}`);
  return JSON.parse(stdout) as Protocol;
}

function byName<T extends { readonly name: string }>(list: readonly T[]): T[] {
  return list.toSorted((a, b) => (a.name < b.name ? -1 : 1));
}

test.run();
