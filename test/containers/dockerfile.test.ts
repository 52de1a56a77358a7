/** What the Dockerfile says, read as text: these hold where no container can be built. */
import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { processKinds, settingsShape } from '../../containers/settings.ts';
import { root } from '../tidy/source.ts';
import { imageTargets } from './images.ts';

const text = readFileSync(join(root, 'containers/Dockerfile'), 'utf8');
const stageOf = (target: string): string => new RegExp(`^FROM \\S+ AS ${target}\\n([\\s\\S]*?)(?=^FROM |$(?![\\s\\S]))`, 'm').exec(text)?.[1] ?? '';

describe('the Dockerfile', () => {
  test('has an image for each kind of process', () => {
    expect(imageTargets().sort(), 'Add a target that copies /out/<kind> and names the kind in CMD.').toEqual([...processKinds].sort());
  });

  test.each(imageTargets())('%s takes its own files and starts its own kind', (target) => {
    expect(stageOf(target)).toContain(`COPY --from=files /out/${target} ./\n`);
    expect(stageOf(target)).toContain(`CMD ["${target}"]`);
    expect(stageOf(target)).toContain('org.opencontainers.image.title=');
  });

  test('sets only variables that settings.ts knows', () => {
    const set = [...text.matchAll(/\b((?:CORDAGE|DATABASE)_[A-Z_]+)=/g)].map(([, name]) => name!);
    expect(set.length).toBeGreaterThan(0);
    expect(set.filter((name) => !(name in settingsShape.shape))).toEqual([]);
  });

  test('exposes the ports that settings.ts gives by default', () => {
    const { CORDAGE_REST_PORT, CORDAGE_GATEWAY_PORT, CORDAGE_HEALTH_PORT, CORDAGE_BUS_PORT } = settingsShape.parse({});
    expect(stageOf('rest')).toContain(`EXPOSE ${CORDAGE_REST_PORT}\n`);
    expect(stageOf('gateway')).toContain(`EXPOSE ${CORDAGE_GATEWAY_PORT}\n`);
    expect(stageOf('room')).toContain(`EXPOSE ${CORDAGE_HEALTH_PORT}\n`);
    expect(stageOf('broker')).toContain(`EXPOSE ${CORDAGE_BUS_PORT}\n`);
  });

  test('runs as a number that is not root, stops on SIGTERM, and starts files that exist', () => {
    expect(text).toContain('USER 65532:65532');
    expect(text).toContain('STOPSIGNAL SIGTERM');
    for (const [, file] of text.matchAll(/"(containers\/[^"]+)"/g)) expect(existsSync(join(root, file!)), file).toBe(true);
  });

  test('needs no shell: every command is in its exec form', () => {
    const commands = text.split('\n').filter((line) => /^(RUN|CMD|ENTRYPOINT)\b|^HEALTHCHECK/.test(line));
    expect(commands.length).toBeGreaterThan(processKinds.length);
    expect(commands.filter((line) => !line.includes('["'))).toEqual([]);
  });
});
