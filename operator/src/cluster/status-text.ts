// Whether two statuses say the same, whatever the order of their keys.
import { canonicalJson, type Json } from '@pureflash/datapath/base';

export function isSame(a: unknown, b: unknown): boolean {
  return textOf(a) === textOf(b);
}

const textOf = (value: unknown): string => canonicalJson(JSON.parse(JSON.stringify(value ?? null)) as Json);
