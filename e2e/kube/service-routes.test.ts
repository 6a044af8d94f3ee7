// Services lead to the pods that Kubernetes would choose, names have the addresses that its DNS would give, and the answers are
// bytes as RFC 1035 wants them, also for input that is none.
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { answerDns } from './dns-answer.ts';
import { resolveName, targetsOf } from './service-routes.ts';
import type { PodObject, Routes, ServiceObject } from './service-routes.ts';

function pod(name: string, podIP: string, ready: 'True' | 'False', more: Partial<PodObject['metadata']> = {}): PodObject {
  return {
    metadata: { name, namespace: 'a', labels: { app: 'db' }, ...more },
    spec: { hostname: name, subdomain: 'db', containers: [{ ports: [{ name: 'sql', containerPort: 3306 }] }] },
    status: { podIP, conditions: [{ type: 'Ready', status: ready }] },
  };
}

function service(name: string, spec: ServiceObject['spec']): ServiceObject {
  return { metadata: { name, namespace: 'a' }, spec: { selector: { app: 'db' }, ...spec } };
}

const ports = [{ port: 80, targetPort: 'sql' }, { port: 81 }, { port: 82, targetPort: 'none' }];
const routes: Routes = {
  services: [
    service('web', { clusterIP: '127.200.7.7', ports }),
    service('db', { clusterIP: 'None' }),
    service('early', { clusterIP: 'None', publishNotReadyAddresses: true }),
  ],
  pods: [
    pod('db-0', '127.200.1.1', 'True'),
    pod('db-1', '127.200.1.2', 'False'),
    pod('db-2', '127.200.1.3', 'True', { deletionTimestamp: '2026-01-01T00:00:00Z' }),
    pod('db-3', '', 'True'),
    pod('other', '127.200.1.4', 'True', { labels: { app: 'web' } }),
    pod('far', '127.200.1.5', 'True', { namespace: 'b' }),
  ],
};

test('a service leads to ready pods of its namespace, at the port that it names', () => {
  assert.equal(targetsOf(routes, 'a', 'web', 80), [{ address: '127.200.1.1', port: 3306 }]);
  assert.equal(targetsOf(routes, 'a', 'web', 81), [{ address: '127.200.1.1', port: 81 }]);
  assert.equal(targetsOf(routes, 'a', 'web', 82), []);
  assert.equal(targetsOf(routes, 'a', 'web', 83), []);
  assert.equal(targetsOf(routes, 'b', 'web', 80), []);
});

test('names of services, headless services and pods have their addresses', () => {
  const table: Readonly<Record<string, readonly string[] | null>> = {
    'web.a.svc.cluster.local': ['127.200.7.7'],
    'db.a.svc.cluster.local': ['127.200.1.1'],
    'early.a.svc.cluster.local': ['127.200.1.1', '127.200.1.2', '127.200.1.3'],
    'db-0.db.a.svc.cluster.local': ['127.200.1.1'],
    'db-1.db.a.svc.cluster.local': null,
    'web.b.svc.cluster.local': null,
    'x.db-0.db.a.svc.cluster.local': null,
    'svc.cluster.local': null,
    'web.a.svc': null,
    'example.org': null,
  };
  for (const [name, addresses] of Object.entries(table)) assert.equal(resolveName(routes, name), addresses, name);
});

const QUESTION = Buffer.from('1234' + '0100' + '0001000000000000' + '03574542' + '0161' + '00' + '00010001', 'hex');

test('a question of any case is answered with its addresses, and an unknown name with that', () => {
  const names: string[] = [];
  const lookup = (name: string): readonly string[] => {
    names.push(name);
    return ['127.200.7.7'];
  };
  const answer = '1234' + '8580' + '0001000100000000' + '0357454201610000010001' + 'c00c000100010000000100047fc80707';
  assert.is(answerDns(QUESTION, lookup)!.toString('hex'), answer);
  assert.equal(names, ['web.a']);
  assert.is(answerDns(QUESTION, () => null)!.toString('hex'), '1234' + '8583' + '0001000000000000' + '0357454201610000010001');
});

test('a question for another type of a known name has an empty answer', () => {
  const question = Buffer.from(QUESTION);
  question.writeUInt16BE(28, question.length - 4);
  const answer = answerDns(question, () => ['127.200.7.7'])!;
  assert.is(answer.toString('hex'), '1234' + '8580' + '0001000000000000' + '03574542016100001c0001');
});

test('what is no question gets no answer and does no harm', () => {
  for (let length = 0; length < QUESTION.length; length++)
    assert.is(
      answerDns(QUESTION.subarray(0, length), () => []),
      null,
    );
  let seed = 1;
  for (let round = 0; round < 20_000; round++) {
    const bytes = Buffer.from(QUESTION);
    for (let i = 0; i < 3; i++) {
      seed = (Math.imul(seed, 1103515245) + 12345) >>> 0;
      bytes[(seed >>> 8) % bytes.length] = seed >>> 24;
    }
    const answer = answerDns(bytes, () => ['127.0.0.1']);
    assert.ok(answer === null || answer.length >= 12);
  }
});

test.run();
