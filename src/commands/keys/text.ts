/** What an import of many keys came to, for people and as a document. */
import { note, print, printJson, printTable } from '../output.ts';
import { openToOthers } from './files.ts';
import type { FleetReport, ImportRow } from './fleet.ts';

interface Told {
  readonly dryRun: boolean;
  readonly enroll: boolean;
  readonly json: boolean;
}

export function tellFleet(report: FleetReport, { dryRun, enroll, json }: Told): void {
  if (report.openToOthers.length > 0) note(openToOthers(report.openToOthers));
  for (const { file: place, reason } of report.unread) note(`The clients of ${place} could not be read: ${reason}`);
  if (json) printJson(documentOf(report, dryRun));
  else {
    const problems = problemsOf(report);
    if (problems.length > 0) printTable(['FILE', 'CLIENT', 'PROBLEM'], problems);
    print(summaryOf(report, dryRun));
  }
  if (dryRun) note('Nothing was changed. Without --dry-run the keys are imported.');
  else if (!enroll && report.rows.some(({ enrolment }) => enrolment === 'held')) note(HELD);
}

const HELD =
  'Held clients are left alone by schedules. Let their applications read their key folders, then `rekeyd enroll CLIENT…`, or run the same import with --enroll.';

function documentOf(report: FleetReport, dryRun: boolean): object {
  return {
    dry_run: dryRun,
    counts: { ...countsOf(report.rows), ...othersOf(report) },
    clients: report.rows,
    files_without_client: report.filesWithoutClient,
    clients_without_file: report.clientsWithoutFile.map(({ ref, clientId }) => ({ client: ref, client_id: clientId })),
    apps_unread: report.unread.map(({ file, reason }) => ({ app: file, reason })),
    open_to_others: report.openToOthers,
  };
}

const OUTCOMES = ['imported', 'active', 'replaced', 'undelivered', 'refused', 'interrupted'] as const;

function countsOf(rows: readonly ImportRow[]): Readonly<Record<ImportRow['outcome'], number>> {
  const counts = { imported: 0, active: 0, replaced: 0, undelivered: 0, refused: 0, interrupted: 0 };
  for (const { outcome } of rows) counts[outcome] += 1;
  return counts;
}

function othersOf({ filesWithoutClient, clientsWithoutFile }: FleetReport) {
  return {
    files_without_client: filesWithoutClient.length,
    clients_without_file: clientsWithoutFile.length,
  };
}

/** Of clients without a file there may be as many as the fleet has. */
const SHOWN = 20;

function problemsOf({ rows, filesWithoutClient, clientsWithoutFile }: FleetReport): string[][] {
  const failed = rows.filter(({ error, outcome }) => error !== null || outcome === 'interrupted');
  const left = clientsWithoutFile.length - SHOWN;
  return [
    ...failed.map(({ file, client, error }) => [file, client, error?.message ?? 'interrupted before it was imported']),
    ...filesWithoutClient.map(({ file, reason }) => [file, '-', reason]),
    ...clientsWithoutFile.slice(0, SHOWN).map(({ ref }) => ['-', ref, 'no file names it: its key is not managed']),
    ...(left > 0 ? [['-', '-', `${left} more clients without a file (--json lists all)`]] : []),
  ];
}

function summaryOf(report: FleetReport, dryRun: boolean): string {
  const counts = countsOf(report.rows);
  const names: Readonly<Record<ImportRow['outcome'], string>> = {
    imported: dryRun ? 'can be imported' : 'imported',
    active: 'imported before',
    replaced: 'imported before and rotated since',
    undelivered: 'imported but not delivered yet',
    refused: 'refused',
    interrupted: 'interrupted',
  };
  const said = OUTCOMES.flatMap((outcome) => (counts[outcome] === 0 ? [] : [`${counts[outcome]} ${names[outcome]}`]));
  const { files_without_client: files, clients_without_file: clients } = othersOf(report);
  if (files > 0) said.push(`${files} ${files === 1 ? 'file' : 'files'} without a client`);
  if (clients > 0) said.push(`${clients} ${clients === 1 ? 'client' : 'clients'} without a file`);
  return said.length === 0 ? 'No key file was found.' : `Keys: ${said.join(', ')}.`;
}
