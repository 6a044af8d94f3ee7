// Whether an object in the API server says already what we want it to say. What the server or others have added is no difference: lists are
// compared item by item, fields that we do not name are not looked at. Without this each look would be a write.
import type { KubeObject } from '../api/objects.ts';

export function isContained(wanted: KubeObject, live: KubeObject | null): boolean {
  if (live === null) return false;
  const { metadata, ...content } = wanted;
  const { name: _name, ...meta } = metadata;
  return contains(live.metadata, meta) && contains(live, content);
}

function contains(live: unknown, wanted: unknown): boolean {
  if (wanted === null || typeof wanted !== 'object') return live === wanted;
  if (Array.isArray(wanted)) {
    return Array.isArray(live) && live.length === wanted.length && wanted.every((each, index) => contains(live[index], each));
  }
  if (live === null || typeof live !== 'object') return Object.keys(wanted).length === 0 && live === undefined;
  return Object.entries(wanted).every(([key, value]) => contains((live as Record<string, unknown>)[key], value));
}
