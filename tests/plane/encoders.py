"""Encoders that are set up wrongly: without picture or sound, or with codecs of other worlds."""

from deploy import testcard
from tests.system import processes
from tests.system.processes import Process

_PICTURE = ("-re", "-f", "lavfi", "-i", "testsrc2=size=320x180:rate=25")
_SOUND = ("-re", "-f", "lavfi", "-i", "sine=frequency=440:beep_factor=4:r=48000")
_H264 = (
    *("-c:v", "libx264", "-preset", "veryfast", "-tune", "zerolatency", "-pix_fmt", "yuv420p"),
    *("-b:v", "300k", "-g", "50"),
)
_AAC = ("-c:a", "aac", "-b:a", "64k", "-ac", "2")

# fmt: off
#: What an encoder sends, by a name.
MEDIA: dict[str, tuple[str, ...]] = {
    "sound alone":   (*_SOUND, *_AAC),
    "picture alone": (*_PICTURE, *_H264),
    "HEVC":          (*_PICTURE, *_SOUND, "-c:v", "libx265", "-preset", "ultrafast", "-g", "50",
                      "-x265-params", "log-level=none", *_AAC),
    "Opus in RTMP":  (*_PICTURE, *_SOUND, *_H264, "-c:a", "libopus"),
}
# fmt: on


def start(address: str, media: str) -> Process:
    """Send to an RTMP address, from now on."""
    command = [
        *(testcard.encoder(), "-hide_banner", "-loglevel", "warning", "-nostdin"),
        *MEDIA[media],
        *("-f", "flv", "-flvflags", "no_duration_filesize", address),
    ]
    return processes.start(command, name=f"encoder of {media}")
