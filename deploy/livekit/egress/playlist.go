package main

import (
	"fmt"
	"strings"
	"time"
)

// liveSegments is how many the official worker keeps in its live playlist.
const liveSegments = 5

type segment struct {
	name    string
	seconds float64
	began   time.Time
}

// playlist is every segment so far, and how the two playlists are written.
type playlist struct {
	target   int
	segments []segment
}

// whole grows until ENDLIST.
func (p *playlist) whole(ended bool) []byte {
	return p.write(p.segments, "#EXT-X-PLAYLIST-TYPE:EVENT\n", ended)
}

// live is the last segments only.
func (p *playlist) live(ended bool) []byte {
	return p.write(p.segments[max(0, len(p.segments)-liveSegments):], "", ended)
}

func (p *playlist) write(segments []segment, kind string, ended bool) []byte {
	var text strings.Builder
	fmt.Fprintf(&text,
		"#EXTM3U\n#EXT-X-VERSION:4\n%s#EXT-X-ALLOW-CACHE:NO\n#EXT-X-TARGETDURATION:%d\n#EXT-X-MEDIA-SEQUENCE:%d\n",
		kind, p.target, len(p.segments)-len(segments))
	for _, one := range segments {
		fmt.Fprintf(&text, "#EXT-X-PROGRAM-DATE-TIME:%s\n#EXTINF:%.3f,\n%s\n",
			one.began.UTC().Format("2006-01-02T15:04:05.999Z07:00"), one.seconds, one.name)
	}
	if ended {
		text.WriteString("#EXT-X-ENDLIST\n")
	}
	return []byte(text.String())
}
