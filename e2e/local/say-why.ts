// uvu loses what a before-hook throws: this says it before the tests of the file fail without a word.
export function sayWhy(setUp: () => Promise<void>): () => Promise<void> {
  return async () => {
    try {
      await setUp();
    } catch (error) {
      process.stderr.write(`cannot set up: ${error instanceof Error ? error.stack : String(error)}\n`);
      throw error;
    }
  };
}
