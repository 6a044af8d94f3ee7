// Messages of the protobuf library itself that CSI uses.
import { flag, int32, int64, message } from './description.ts';
import type { MessageOf } from './description.ts';

/** A boolean that can be absent. */
export const BoolValue = message('google.protobuf.BoolValue', { value: flag(1) });
export type BoolValue = MessageOf<typeof BoolValue>;

/** A whole number that can be absent. */
export const Int64Value = message('google.protobuf.Int64Value', { value: int64(1) });
export type Int64Value = MessageOf<typeof Int64Value>;

/** Seconds since 1970 in UTC; nanos from 0 to 999,999,999 count forward. */
export const Timestamp = message('google.protobuf.Timestamp', { seconds: int64(1), nanos: int32(2) });
export type Timestamp = MessageOf<typeof Timestamp>;
