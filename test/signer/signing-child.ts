/** An application in a process of its own: `node signing-child.ts FOLDER`. Tells the kid of each assertion that it is asked for, and what it was told itself. */
import { openSigner, SignerError } from '../../src/signer/index.ts';

const [folder = ''] = process.argv.slice(2);
const codeOf = (error: unknown) => (error instanceof SignerError ? error.code : String(error));
const told: string[] = [];

try {
  const signer = await openSigner(folder, { onReloadError: (error) => told.push(codeOf(error)) });
  process.on('message', async () => {
    const { kid } = await signer.assertion({ audience: 'https://auth.example.com/oauth/token' });
    process.send?.({ kid, told: told.splice(0) });
  });
  process.send?.({ opened: true });
} catch (error) {
  process.send?.({ opened: false, code: codeOf(error), message: error instanceof Error ? error.message : '' });
  process.disconnect();
}
