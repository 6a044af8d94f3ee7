// deadline: 60s
// What our own check of manifests refuses, where there is no API server.
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { check, KINDS } from '@pureflash/operator/api';
import { BAD_MANIFESTS, GOOD, merged } from './bad-manifests.ts';

const schemaOf = (kind: string) => KINDS.find((each) => each.kind === kind)!.spec;

test('good manifests are complete after their defaults', () => {
  for (const [kind, spec] of Object.entries(GOOD)) {
    const { value, problems } = check(schemaOf(kind), spec, 'spec');
    assert.equal(problems, []);
    assert.equal(check(schemaOf(kind), value, 'spec').value, value, 'defaults are filled in once');
  }
});

for (const { kind, what, patch, expected, locally, isChange } of BAD_MANIFESTS) {
  test(`${kind}: ${what}`, () => {
    const schema = schemaOf(kind);
    const old = isChange === true ? check(schema, GOOD[kind]!, 'spec').value : null;
    const { problems } = check(schema, merged(GOOD[kind], patch), 'spec', old);
    const text = problems.map((problem) => `${problem.path}: ${problem.message}`).join('; ');
    assert.match(text, locally ?? expected);
  });
}

test('an unknown field is refused by name', () => {
  const { problems } = check(schemaOf('StorageCluster'), merged(GOOD.StorageCluster, { sotres: {} }), 'spec');
  assert.match(problems[0]!.message, 'there is no such field; known are image,');
});

test.run();
