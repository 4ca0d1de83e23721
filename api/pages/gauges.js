/** Put a stream's numbers into words: what LiveKit tells, and what this page sends itself. */

/** `[{name, value, hint}]`; a value that nobody knows is a dash. */
export function gaugesOf({ health, sent }) {
  const { program, output } = health;
  const width = sent?.width ?? program.width;
  const height = sent?.height ?? program.height;
  const rate = sent?.framesPerSecond ?? program.frames_per_second;
  const video = sent?.bitsPerSecond ?? program.video_bits_per_second;
  const gauges = [
    { name: "Resolution", value: width && height ? `${width} × ${height}` : null },
    { name: "Frame rate", value: rate ? `${round(rate)} fps` : null },
    { name: "Video", value: video ? bits(video) : null, hint: "Bit rate of the picture you send" },
    {
      name: "Audio",
      value: program.audio_bits_per_second ? bits(program.audio_bits_per_second) : null,
      hint: "Bit rate of the sound you send",
    },
    {
      name: "To viewers",
      value: output.bits_per_second ? bits(output.bits_per_second) : null,
      hint: "Bit rate of the newest segment",
    },
    {
      name: "Newest segment",
      value: output.age_seconds === null ? null : `${Math.round(output.age_seconds)} s ago`,
    },
    { name: "Drops", value: String(program.drops), hint: "How often your picture was lost" },
  ];
  if (sent?.lossShare != null) {
    const share = sent.lossShare * 100;
    gauges.push({ name: "Packet loss", value: `${share < 1 ? share.toFixed(1) : round(share)} %` });
  }
  return gauges;
}

function bits(perSecond) {
  return perSecond >= 1_000_000
    ? `${(perSecond / 1_000_000).toFixed(1)} Mbit/s`
    : `${Math.round(perSecond / 1000)} kbit/s`;
}

function round(number) {
  return Math.round(number * 10) / 10;
}
