// Moments as Kubernetes writes them, from milliseconds since 1970: pure, because the clock belongs to the world.

/** "2026-01-31T12:00:00Z": conditions. */
export function formatSeconds(wallTimeMs: number): string {
  return `${dateAndTime(wallTimeMs)}Z`;
}

/** "2026-01-31T12:00:00.000000Z", Kubernetes' MicroTime: leases, events. */
export function formatMicros(wallTimeMs: number): string {
  const micros = Math.floor((wallTimeMs - Math.floor(wallTimeMs / 1000) * 1000) * 1000);
  return `${dateAndTime(wallTimeMs)}.${pad(micros, 6)}Z`;
}

function dateAndTime(wallTimeMs: number): string {
  const seconds = Math.floor(wallTimeMs / 1000);
  const days = Math.floor(seconds / 86_400);
  const ofDay = seconds - days * 86_400;
  const { year, month, day } = civilDate(days);
  const time = [Math.floor(ofDay / 3600), Math.floor(ofDay / 60) % 60, ofDay % 60].map((part) => pad(part, 2)).join(':');
  return `${pad(year, 4)}-${pad(month, 2)}-${pad(day, 2)}T${time}`;
}

/** Proleptic Gregorian date of a day counted from 1970-01-01. Years are counted from March, so that the leap day is the last. */
function civilDate(daysSince1970: number): { year: number; month: number; day: number } {
  const days = daysSince1970 + 719_468; // Since 0000-03-01.
  const era = Math.floor(days / 146_097); // 400 years.
  const ofEra = days - era * 146_097;
  const yearOfEra = Math.floor(
    (ofEra - Math.floor(ofEra / 1460) + Math.floor(ofEra / 36_524) - Math.floor(ofEra / 146_096)) / 365,
  );
  const ofYear = ofEra - (365 * yearOfEra + Math.floor(yearOfEra / 4) - Math.floor(yearOfEra / 100));
  const fromMarch = Math.floor((5 * ofYear + 2) / 153);
  const day = ofYear - Math.floor((153 * fromMarch + 2) / 5) + 1;
  const month = fromMarch < 10 ? fromMarch + 3 : fromMarch - 9;
  return { year: yearOfEra + era * 400 + (month <= 2 ? 1 : 0), month, day };
}

const pad = (value: number, width: number): string => String(value).padStart(width, '0');
