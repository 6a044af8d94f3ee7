export interface Random {
  /** Unsigned 32 bits. */
  u32(): number;
  /** Uniform in [0, n). */
  below(n: number): number;
  /** Uniform in [0, 1). */
  float(): number;
  /** RFC 9562 version 4, lower case. */
  uuid(): string;
  /** A secret: 53 random bits as a safe integer, from a cryptographic source in the real world. */
  token(): number;
}
