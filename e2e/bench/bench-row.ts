// One line of the benchmark's table: a question, our answer, the peers' answers and the ratios (ours to theirs), all medians
// over the calmest of interleaved rounds; a ratio is the median of the ratios within a round, so it need not be the ratio of the medians.

export interface BenchRow {
  readonly question: string;
  readonly unit: string;
  readonly ours: number;
  readonly peers: Record<string, number>;
  readonly ratio: Record<string, number>;
  readonly rounds: number;
}
