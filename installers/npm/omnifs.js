#!/usr/bin/env node
// Runs the program of the platform's own package, which npm installs beside this one.
'use strict';
const { spawnSync } = require('node:child_process');
const name = `@omnifs/${process.platform}-${process.arch}`;
let program;
try {
  const file = process.platform === 'win32' ? 'omnifs.exe' : 'omnifs';
  program = require.resolve(`${name}/bin/${file}`);
} catch {
  console.error(`error: there is no omnifs for this platform: the package ${name} is not installed`);
  console.error('hint: install without --omit=optional, or build it from source');
  process.exit(1);
}
// The program acts on Ctrl-C itself, and ends first.
for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP']) process.on(signal, () => {});
const { status, error } = spawnSync(program, process.argv.slice(2), { stdio: 'inherit' });
if (error) console.error(`error: ${program}: ${error.message}`);
process.exit(status ?? 1);
