// The two long forms of a discovery report: a table for people, JSON for programs. short-report.ts has the third. Pure.
import { formatSize } from '../../base/sizes.ts';
import { formatTable } from '../../base/table.ts';
import type { DiscoveryReport } from './device.ts';

export function formatReportTable({ devices }: DiscoveryReport): string {
  const columns = ['Path', 'Name', 'Size', 'Transport', 'Rotational', 'Model', 'Serial', 'Candidate', 'Use', 'Used by'];
  const rows = devices.map((each) => [
    each.path,
    each.name,
    formatSize(each.sizeBytes),
    each.transport,
    each.isRotational === null ? '?' : each.isRotational ? 'yes' : 'no',
    each.model ?? '',
    each.serial ?? '',
    each.candidateReason === null ? each.candidate : `${each.candidate}: ${each.candidateReason}`,
    each.use,
    each.usedBy ?? '',
  ]);
  return formatTable(
    columns,
    rows.map((row) => row.map(printable)),
  );
}

export function formatReportJson(report: DiscoveryReport): string {
  return JSON.stringify(report, null, 2);
}

/** Mount points may hold anything: what would steer a terminal is shown as a question mark. */
function printable(text: string): string {
  return text.replace(/[\p{Cc}\p{Cf}\p{Zl}\p{Zp}]/gu, '?');
}
