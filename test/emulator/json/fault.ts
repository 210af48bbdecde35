/** Why a JSON text could not be read, in the words of serde_json. */
export class JsonFault extends Error {
  override readonly name = 'JsonFault';
  /** `syntax`: no JSON; `data`: JSON, but not what is expected. */
  readonly kind: 'syntax' | 'data';

  constructor(kind: JsonFault['kind'], message: string) {
    super(message);
    this.kind = kind;
  }
}

/** The shortest digits that read back as `value`, with an exponent from 1e16 on and below 1e-5. */
export function decimal(value: number): string {
  const [mantissa = '', exponent = '0'] = value.toExponential().split('e');
  const power = Number(exponent);
  if (power >= 16 || power < -5) return `${mantissa}e${power}`;
  const text = power < 0 ? value.toFixed(mantissa.replace(/\D/g, '').length - 1 - power) : String(value);
  return text.includes('.') ? text : `${text}.0`;
}
