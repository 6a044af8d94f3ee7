// Dead links in Markdown: relative targets must exist, and an anchor must be a heading of its page.
// Called by repository.test.ts. Addresses of the web are not asked for.
import { posix } from 'node:path';
import type { RepositoryFile } from './repository.ts';

/** `exists` answers for any path relative to the root, folders included; `pages` holds every Markdown file. */
export function linkOffences(
  file: RepositoryFile,
  pages: ReadonlyMap<string, string>,
  exists: (path: string) => boolean,
): string[] {
  const offences: string[] = [];
  for (const { target, line } of linksOf(file.text)) {
    if (/^[a-z]+:/.test(target)) continue;
    const [path = '', anchor = ''] = target.split('#', 2);
    const resolved = path === '' ? file.path : posix.join(posix.dirname(file.path), path);
    if (resolved.startsWith('..') || !exists(resolved)) offences.push(`${file.path}:${line}: dead link to "${target}"`);
    else if (anchor !== '' && !anchorsOf(pages.get(resolved) ?? '').has(anchor)) {
      offences.push(`${file.path}:${line}: "${resolved}" has no heading "#${anchor}"`);
    }
  }
  return offences;
}

/** Anchors of a page, made from its headings the way GitHub makes them. */
export function anchorsOf(text: string): Set<string> {
  const anchors = new Set<string>();
  for (const { line: heading } of proseLines(text)) {
    const match = /^#{1,6} +(.+?) *$/.exec(heading);
    if (match?.[1] === undefined) continue;
    const base = match[1]
      .toLowerCase()
      .replace(/[^\p{L}\p{N}\s_-]/gu, '')
      .replace(/\s/g, '-');
    let anchor = base;
    for (let count = 1; anchors.has(anchor); count += 1) anchor = `${base}-${count}`;
    anchors.add(anchor);
  }
  return anchors;
}

function linksOf(text: string): { target: string; line: number }[] {
  const links: { target: string; line: number }[] = [];
  for (const { line, number } of proseLines(text)) {
    const prose = line.replace(/`[^`]*`/g, '');
    for (const match of prose.matchAll(/\]\(([^)\s]+)(?: "[^"]*")?\)/g)) links.push({ target: match[1] ?? '', line: number });
    const definition = /^\[[^\]]+\]: +(\S+)/.exec(prose);
    if (definition?.[1] !== undefined) links.push({ target: definition[1], line: number });
  }
  return links;
}

/** The lines outside fenced code. */
function proseLines(text: string): { line: string; number: number }[] {
  const lines: { line: string; number: number }[] = [];
  let isFenced = false;
  text.split('\n').forEach((line, index) => {
    if (/^\s*(```|~~~)/.test(line)) isFenced = !isFenced;
    else if (!isFenced) lines.push({ line, number: index + 1 });
  });
  return lines;
}
