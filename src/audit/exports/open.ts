/** Every place that the config names, as what entries are exported to. */
import type { AuditConfig } from '../../config/telling.ts';
import type { AuditSource } from '../export.ts';
import type { AuditExport } from './export.ts';
import { folderExport } from './folder.ts';
import { httpsExport } from './https.ts';
import { stdoutExport } from './stdout.ts';
import { syslogExport } from './syslog.ts';

export interface ExportParts {
  readonly source: AuditSource & { readonly id: string };
  readonly stdout: NodeJS.WritableStream;
  /** A checkpoint is about other entries than those in the store. */
  readonly onBroken: (name: string, checkpoint: number) => void;
}

export function openExports(
  { exports }: AuditConfig,
  { source, stdout, onBroken }: ExportParts,
): readonly AuditExport[] {
  return exports.map((place) => {
    switch (place.kind) {
      case 'folder':
        return folderExport(place, source, (checkpoint) => onBroken(place.name, checkpoint));
      case 'stdout':
        return stdoutExport(place, stdout);
      case 'syslog':
        return syslogExport(place);
      case 'https':
        return httpsExport(place, () => source.id);
      default:
        return place satisfies never;
    }
  });
}
