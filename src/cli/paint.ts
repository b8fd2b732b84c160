interface Output {
  readonly isTTY?: boolean;
}

type Painter = (text: string) => string;

export interface Paint {
  readonly bold: Painter;
  readonly dim: Painter;
  readonly red: Painter;
  readonly green: Painter;
  readonly yellow: Painter;
}

/** Colours for one output: none unless it is a terminal, and none where NO_COLOR is set (https://no-color.org). */
export function paint(output: Output, environment: NodeJS.ProcessEnv = process.env): Paint {
  const noColour = environment.NO_COLOR !== undefined && environment.NO_COLOR !== '';
  const on = output.isTTY === true && !noColour && environment.TERM !== 'dumb';
  const painter =
    (open: number, close: number): Painter =>
    (text) =>
      on && text !== '' ? `\u001b[${open}m${text}\u001b[${close}m` : text;
  return {
    bold: painter(1, 22),
    dim: painter(2, 22),
    red: painter(31, 39),
    green: painter(32, 39),
    yellow: painter(33, 39),
  };
}
