// Exits with 0 if node_modules holds exactly what package-lock.json asks for, on this platform.
// Called by setup.sh with whatever node the machine has, so it is plain JavaScript.
import { existsSync, readFileSync } from 'node:fs';

const installedFile = 'node_modules/.package-lock.json';
if (!existsSync(installedFile) || !existsSync('node_modules/.bin/node')) process.exit(1);
const wanted = JSON.parse(readFileSync('package-lock.json', 'utf8')).packages;
const installed = JSON.parse(readFileSync(installedFile, 'utf8')).packages;

for (const [path, entry] of Object.entries(wanted)) {
  if (!path.startsWith('node_modules/')) {
    const names = Object.keys(entry.bin ?? {});
    if (names.every((name) => existsSync(`node_modules/.bin/${name}`))) continue;
    process.exit(1);
  }
  const found = installed[path];
  if (found === undefined && entry.optional === true) continue;
  if (found === undefined || found.version !== entry.version) process.exit(1);
}
