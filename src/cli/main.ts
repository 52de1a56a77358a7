#!/usr/bin/env node
/** The `cordage` command. */
import { runCommandLine } from './command-line.ts';

process.exitCode = await runCommandLine(process.argv.slice(2));
