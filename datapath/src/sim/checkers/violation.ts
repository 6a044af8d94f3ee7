// A checker has seen what must never happen: the system under test is wrong, whatever the faults were.

export class Violation extends Error {
  override readonly name = 'Violation';
}
