// Tables in the form that PureFlash's pfcli prints: a header centred over each column, numbers and words to the right.
// Called by the verbs of pfcli and by programs that tell people what they did. Pure.

/** Column names and rows of cells; every row has one cell a column. */
export function formatTable(columns: readonly string[], rows: readonly (readonly string[])[]): string {
  const widths = columns.map((name, i) => Math.max(name.length, ...rows.map((row) => row[i]!.length)));
  const rule = `+${widths.map((width) => '-'.repeat(width + 2)).join('+')}+`;
  const line = (cells: readonly string[]): string => `|${cells.map((cell) => ` ${cell} `).join('|')}|`;
  const body = rows.map((row) => line(row.map((cell, i) => cell.padStart(widths[i]!))));
  return [rule, line(columns.map((name, i) => centre(name, widths[i]!))), rule, ...body, rule].join('\n');
}

function centre(text: string, width: number): string {
  const left = Math.floor((width - text.length) / 2);
  return text.padStart(left + text.length).padEnd(width);
}
