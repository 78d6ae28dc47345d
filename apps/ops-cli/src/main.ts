/** `npx borough …`: the process around the command line. */
import { runCommandLine } from './program.js';
import { interruptionOfProcess } from './terminal/interruption.js';

// `borough shards | head`: whoever reads no further wants no error.
process.stdout.on('error', (error: NodeJS.ErrnoException) => {
  if (error.code === 'EPIPE') process.exit();
  throw error;
});

// Not process.exit: what is still on its way to a pipe must get there.
process.exitCode = await runCommandLine(process.argv.slice(2), {
  stdin: process.stdin,
  stdout: process.stdout,
  stderr: process.stderr,
  env: process.env,
  interruption: interruptionOfProcess(),
});
