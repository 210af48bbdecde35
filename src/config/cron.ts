/** Whether node-cron can follow a schedule. Some pass its validation, and fail when they are started. */
import { createTask, validateDetailed } from 'node-cron';

/** node-cron writes ranges out before it looks at their bounds: `0-99999999` would take minutes and all the memory. */
const SIZE = /^(?!.*\d{5}).{1,200}$/;

/** What is wrong with an expression of 5 or 6 fields, or null. */
export function cronProblem(expression: string): string | null {
  if (!SIZE.test(expression)) return 'is not a schedule';
  const { valid, errors } = validateDetailed(expression);
  const fields = errors.map(({ field }) => field).filter((field) => field !== 'expression');
  if (!valid) return `is not a schedule${fields.length > 0 ? ` (wrong: ${fields.join(', ')})` : ''}`;
  return everComes(expression) ? null : 'names a day that never comes';
}

/** The fifth Monday of a month is never its first day: node-cron takes such a schedule, and throws when it is to start. */
function everComes(expression: string): boolean {
  try {
    const task = createTask(expression, () => {});
    const runs = task.getNextRuns(1);
    task.destroy();
    return runs.length > 0;
  } catch {
    return false;
  }
}
