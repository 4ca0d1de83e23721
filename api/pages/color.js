/** Make a preset's colour readable on the page, whatever colour the host picked. */

/** The page's --ground, --raised and --ink-soft: what accents are seen against, and under. */
const GROUND = [10, 11, 14];
const RAISED = [20, 22, 27];
const INK_SOFT = [180, 184, 195];
/** WCAG 2.2, 1.4.3 and 1.4.11: text, and shapes that one must be able to make out. */
const TEXT_CONTRAST = 4.5;
const SHAPE_CONTRAST = 3;
/** Nearly enough for white text: a little darker, and it is; hosts expect white on their colour. */
const WHITE_CONTRAST_MIN = 3.4;
const WHITE = [255, 255, 255];
const BLACK = [8, 9, 12];

/**
 * Returns CSS colours, or null for what is not `#rrggbb`: `fill` for shapes, `over` written on
 * them, `ink` written on the ground, `glow` behind soft text.
 */
export function accentOf(hex) {
  const color = parse(hex);
  if (color === null) return null;
  const shape = mixed(color, WHITE, GROUND, SHAPE_CONTRAST);
  const isUnderWhite = contrast(shape, WHITE) >= WHITE_CONTRAST_MIN;
  const over = isUnderWhite ? WHITE : BLACK;
  return {
    fill: css(mixed(shape, isUnderWhite ? BLACK : WHITE, over, TEXT_CONTRAST)),
    over: css(over),
    ink: css(mixed(color, WHITE, RAISED, TEXT_CONTRAST + 0.5)),
    glow: css(mixed(color, BLACK, INK_SOFT, TEXT_CONTRAST + 0.3)),
  };
}

/** Paint the page in a colour; what is none leaves it as it is. */
export function paint(hex) {
  const accent = accentOf(hex);
  if (!accent) return;
  const { style } = document.documentElement;
  style.setProperty("--accent", accent.fill);
  style.setProperty("--accent-over", accent.over);
  style.setProperty("--accent-ink", accent.ink);
  style.setProperty("--accent-glow", accent.glow);
}

/** Contrast of two colours, 1 to 21. */
export function contrast(one, other) {
  const [light, dark] = [luminance(one), luminance(other)].sort((a, b) => b - a);
  return (light + 0.05) / (dark + 0.05);
}

function parse(hex) {
  const found = /^#([0-9a-f]{2})([0-9a-f]{2})([0-9a-f]{2})$/i.exec(hex ?? "");
  return found && found.slice(1).map((part) => Number.parseInt(part, 16));
}

/** Mix with `other`, a little at a time, until it stands out enough against a third. */
function mixed(color, other, against, enough) {
  let mix = color;
  for (let share = 0; share <= 1 && contrast(mix, against) < enough; share += 0.03) {
    mix = color.map((part, index) => Math.round(part + (other[index] - part) * share));
  }
  return mix;
}

function luminance(color) {
  const [red, green, blue] = color.map((part) => {
    const level = part / 255;
    return level <= 0.04045 ? level / 12.92 : ((level + 0.055) / 1.055) ** 2.4;
  });
  return 0.2126 * red + 0.7152 * green + 0.0722 * blue;
}

function css(color) {
  return `rgb(${color.join(" ")})`;
}
