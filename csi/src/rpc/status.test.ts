// What each failure says over gRPC, written out: sidecars and kubelet decide by it whether to repeat a call, to look elsewhere or to give up.
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { ERROR_CODES, PfError } from '@pureflash/datapath/base';
import { refusalOf, RpcError, STATUS_NUMBERS, statusOfNumber } from './status.ts';

test('every code of the datapath has its status', () => {
  const table = ERROR_CODES.map((code) => `${code} ${refusalOf(new PfError(code, 'why')).status}`);
  assert.equal(table, [
    'INVALID_ARGUMENT INVALID_ARGUMENT',
    'INVALID_STATE FAILED_PRECONDITION',
    'NOT_FOUND NOT_FOUND',
    'ALREADY_EXISTS ALREADY_EXISTS',
    'NO_SPACE RESOURCE_EXHAUSTED',
    'READ_ONLY FAILED_PRECONDITION',
    'OUT_OF_RANGE OUT_OF_RANGE',
    'UNSUPPORTED INVALID_ARGUMENT',
    'PERMISSION_DENIED PERMISSION_DENIED',
    'FENCED FAILED_PRECONDITION',
    'STALE UNAVAILABLE',
    'NOT_PRIMARY UNAVAILABLE',
    'NOT_READY UNAVAILABLE',
    'TIMEOUT DEADLINE_EXCEEDED',
    'CONNECTION_LOST UNAVAILABLE',
    'IO_ERROR INTERNAL',
    'CORRUPT DATA_LOSS',
    'PROTOCOL_ERROR INTERNAL',
    'UNAVAILABLE UNAVAILABLE',
    'CANCELLED CANCELLED',
    'INTERNAL INTERNAL',
  ]);
});

test('an RpcError keeps its status, and the message is the chain of causes', () => {
  const error = new RpcError('ABORTED', 'volume "v" is busy', { cause: new Error('delete is under way') });
  assert.equal(refusalOf(error), { status: 'ABORTED', message: 'volume "v" is busy: delete is under way', isBug: false });
});

test('whatever else is thrown is INTERNAL and a bug', () => {
  assert.equal(refusalOf(new RangeError('x')), { status: 'INTERNAL', message: 'x', isBug: true });
  assert.equal(refusalOf('text'), { status: 'INTERNAL', message: 'text', isBug: true });
  assert.equal(refusalOf(undefined), { status: 'INTERNAL', message: 'unknown failure', isBug: true });
});

test('statuses have the numbers of gRPC, and a number of no status is UNKNOWN', () => {
  assert.equal(
    Array.from({ length: 18 }, (_, number) => statusOfNumber(number)),
    [...Object.keys(STATUS_NUMBERS), 'UNKNOWN'],
  );
});

test.run();
