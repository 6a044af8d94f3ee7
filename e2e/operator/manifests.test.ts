// deadline: 60s
// What our own check of manifests refuses, where there is no API server.
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { check, KINDS } from '@pureflash/operator/api';
import { BAD_MANIFESTS, BAD_NAMES, baseOf, EXTERNAL, GOOD, GOOD_NAMES, merged, NAME_REFUSAL } from './bad-manifests.ts';

const schemaOf = (kind: string) => KINDS.find((each) => each.kind === kind)!.spec;

test('good manifests are complete after their defaults', () => {
  for (const [kind, spec] of Object.entries(GOOD)) {
    const { value, problems } = check(schemaOf(kind), spec, 'spec');
    assert.equal(problems, []);
    assert.equal(check(schemaOf(kind), value, 'spec').value, value, 'defaults are filled in once');
  }
});

test('and so is one with the external engine', () => {
  assert.equal(check(schemaOf('StorageCluster'), EXTERNAL, 'spec').problems, []);
});

for (const row of BAD_MANIFESTS) {
  const { kind, what, patch, expected, locally, isChange } = row;
  test(`${kind}: ${what}`, () => {
    const schema = schemaOf(kind);
    const old = isChange === true ? check(schema, baseOf(row), 'spec').value : null;
    const { problems } = check(schema, merged(baseOf(row), patch), 'spec', old);
    const text = problems.map((problem) => `${problem.path}: ${problem.message}`).join('; ');
    assert.match(text, locally ?? expected);
  });
}

test('names that would make no label or no name of DNS are refused', () => {
  const { name } = KINDS.find((each) => each.kind === 'StorageCluster')!;
  assert.equal(
    [...BAD_NAMES, ...GOOD_NAMES].filter((each) => name!.check(each)),
    GOOD_NAMES,
  );
  assert.match(name!.message, NAME_REFUSAL);
});

test('an unknown field is refused by name', () => {
  const { problems } = check(schemaOf('StorageCluster'), merged(GOOD.StorageCluster, { sotres: {} }), 'spec');
  assert.match(problems[0]!.message, 'there is no such field; known are image,');
});

test.run();
