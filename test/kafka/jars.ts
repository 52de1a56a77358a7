/** Where the jars of a real Kafka come from: Maven, once, into a folder that later runs find. */
import { execFile } from 'node:child_process';
import { existsSync } from 'node:fs';
import { mkdir, mkdtemp, readFile, rename, rm } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { promisify } from 'node:util';

const run = promisify(execFile);
const pom = join(import.meta.dirname, 'pom.xml');

const versionOf = async (): Promise<string> => {
  const version = /<version>(\d[\d.]+)<\/version>/.exec(await readFile(pom, 'utf8'))?.[1];
  if (version === undefined) throw new Error(`${pom} names no version of Kafka`);
  return version;
};

/** `CORDAGE_KAFKA_JARS` names a folder that holds the jars already, or shall hold them. */
const folderOf = async (): Promise<string> => process.env['CORDAGE_KAFKA_JARS'] ?? join(import.meta.dirname, '..', '..', '.cordage', 'kafka-jars', await versionOf());

const answers = (command: string, ...args: string[]): Promise<boolean> => run(command, args).then(() => true, () => false);

/** Why no broker can be started here; `undefined` where one can. */
export const missingForKafka = async (): Promise<string | undefined> => {
  if (!(await answers('java', '-version'))) return 'there is no java, and KAFKA_BROKERS is not set';
  if (existsSync(await folderOf()) || (await answers('mvn', '--version'))) return undefined;
  return 'there is no mvn to bring the jars of Kafka, CORDAGE_KAFKA_JARS names no folder that has them, and KAFKA_BROKERS is not set';
};

/** The class path of a broker. */
export const kafkaClassPath = async (): Promise<string> => {
  const folder = await folderOf();
  if (!existsSync(folder)) await download(folder);
  return join(folder, '*');
};

/** Appears whole or not at all: another test file may be doing the same. */
const download = async (folder: string): Promise<void> => {
  await mkdir(dirname(folder), { recursive: true });
  const draft = await mkdtemp(`${folder}.part-`);
  try {
    await run('mvn', ['-q', '-B', '-f', pom, 'dependency:copy-dependencies', `-DoutputDirectory=${draft}`]);
    await rename(draft, folder);
  } catch (error) {
    await rm(draft, { recursive: true, force: true });
    if (!existsSync(folder)) throw error;
  }
};
