/** What runs once a version: migrations, and the topics of the wires. Its name carries the version, since what a Job does cannot be changed. */
import type { IJob } from 'kubernetes-models/batch/v1';
import type { ProcessKind } from '../settings.ts';
import { labelsOf, nameOf, version } from './names.ts';
import { containerOf, podOf } from './pods.ts';

const retriesMax = 10;
const keptSeconds = 7 * 24 * 3_600;

export const jobOf = (kind: ProcessKind): IJob => ({
  apiVersion: 'batch/v1',
  kind: 'Job',
  metadata: { name: `${nameOf(kind)}-${version.replaceAll('.', '-')}`, labels: labelsOf(kind) },
  spec: {
    backoffLimit: retriesMax,
    ttlSecondsAfterFinished: keptSeconds,
    template: {
      metadata: { labels: labelsOf(kind) },
      spec: {
        ...podOf(kind, [{ ...containerOf(kind), resources: { requests: { cpu: '100m', memory: '128Mi' }, limits: { memory: '384Mi' } } }]),
        restartPolicy: 'OnFailure',
      },
    },
  },
});
