package main

import (
	"bytes"
	"strings"
	"testing"
	"time"

	"github.com/pion/rtp"
)

func TestPlaylistsAreThoseOfTheOfficialWorker(t *testing.T) {
	list := playlist{target: 2}
	began := time.Date(2026, 11, 24, 7, 0, 8, 937e6, time.UTC)
	for i := range 7 {
		name := "seg_0000" + string(rune('0'+i)) + ".ts"
		list.segments = append(list.segments, segment{name: name, seconds: 2, began: began.Add(time.Duration(2*i) * time.Second)})
	}
	whole, live := string(list.whole(false)), string(list.live(true))
	if !strings.HasPrefix(whole, "#EXTM3U\n#EXT-X-VERSION:4\n#EXT-X-PLAYLIST-TYPE:EVENT\n#EXT-X-ALLOW-CACHE:NO\n"+
		"#EXT-X-TARGETDURATION:2\n#EXT-X-MEDIA-SEQUENCE:0\n#EXT-X-PROGRAM-DATE-TIME:2026-11-24T07:00:08.937Z\n"+
		"#EXTINF:2.000,\nseg_00000.ts\n") || strings.Contains(whole, "ENDLIST") {
		t.Error(whole)
	}
	if strings.Count(live, "#EXTINF") != liveSegments || !strings.Contains(live, "SEQUENCE:2\n") ||
		!strings.HasSuffix(live, "seg_00006.ts\n#EXT-X-ENDLIST\n") || strings.Contains(live, "EVENT") {
		t.Error(live)
	}
}

func TestTimesNeitherWrapNorLeap(t *testing.T) {
	line := timeline{most: 90000, usual: 3600}
	got := []int64{}
	for _, timestamp := range []uint32{0xfffffff0, 3584, 7184, 7184, 7184 + 900000, 7184 + 903600} {
		got = append(got, line.at(timestamp))
	}
	for i, want := range []int64{0, 3600, 7200, 10800, 14400, 18000} {
		if got[i] != want {
			t.Fatal(got)
		}
	}
}

func TestAQueueKeepsALead(t *testing.T) {
	q := newQueue[int](2, 5)
	q.push(1)
	if _, ok := q.pop(); ok {
		t.Error("it flowed before it had its lead")
	}
	q.push(2)
	one, _ := q.pop()
	two, _ := q.pop()
	if _, ok := q.pop(); ok || one != 1 || two != 2 {
		t.Error(one, two)
	}
	for i := range 6 {
		q.push(10 + i)
	}
	if got, _ := q.pop(); got != 14 {
		t.Error("what is too old was not dropped:", got)
	}
}

func TestTheLastPictureStandsAndSilenceFills(t *testing.T) {
	p := &plan{picture: picture{width: 2, height: 2, framerate: 25}}
	s := newStage(p)
	if !bytes.Equal(s.look(), []byte{16, 16, 16, 16, 128, 128}) {
		t.Error("not black before anything was seen")
	}
	show := s.newPicture()
	for i := range byte(4) {
		show([]byte{i, 0, 0, 0, 0, 0})
	}
	select {
	case <-s.ready:
	default:
		t.Error("not ready although there are pictures")
	}
	for _, want := range []byte{0, 1, 2, 3, 3, 3} {
		if got := s.look()[0]; got != want {
			t.Errorf("saw %d, not %d", got, want)
		}
	}
	if sound := s.listen(960); len(sound) != 960*soundBytes || !bytes.Equal(sound, make([]byte, len(sound))) {
		t.Error("silence is not silent")
	}
}

func TestSoundIsMixedAndRouted(t *testing.T) {
	s := newStage(&plan{picture: picture{width: 2, height: 2, framerate: 25}})
	loud := bytes.Repeat([]byte{0x00, 0x60, 0x00, 0x60}, soundLead/soundBytes) // 24576, both channels
	s.newSound("a", bothSides)(loud)
	s.newSound("b", side{left: true})(loud)
	if got := s.listen(1); !bytes.Equal(got, []byte{0xff, 0x7f, 0x00, 0x60}) {
		t.Errorf("% x", got)
	}
	s.dropSound("b")
	if got := s.listen(1); !bytes.Equal(got, []byte{0x00, 0x60, 0x00, 0x60}) {
		t.Errorf("% x", got)
	}
}

func TestPicturesBeginWithAKeyFrameAndAreWhole(t *testing.T) {
	u := newUnits(videoCodecs["video/h264"], func() {})
	got := []string{}
	push := func(number uint16, timestamp uint32, marker bool, payload ...byte) {
		packet := &rtp.Packet{
			Header:  rtp.Header{SequenceNumber: number, Timestamp: timestamp, Marker: marker},
			Payload: payload,
		}
		for _, one := range u.push(packet) {
			got = append(got, string(one.data))
		}
	}
	push(1, 1, false)               // padding
	push(2, 100, true, 0x41, 1, 1)  // a picture that needs others
	push(3, 200, false, 0x67, 2, 2) // SPS
	push(5, 200, true, 0x65, 3, 3)  // key frame, before
	push(4, 200, false, 0x68, 4, 4) // PPS
	push(6, 300, true, 0x41, 5, 5)  // the next picture
	start := "\x00\x00\x00\x01"
	want := []string{
		start + "\x67\x02\x02" + start + "\x68\x04\x04" + start + "\x65\x03\x03",
		start + "\x41\x05\x05",
	}
	if strings.Join(got, "|") != strings.Join(want, "|") {
		t.Errorf("got %q, want %q", got, want)
	}
}

func TestAKeyFrameIsKnown(t *testing.T) {
	if !isVP8Key([]byte{0x10}) || isVP8Key([]byte{0x11}) || isVP8Key(nil) {
		t.Error("VP8")
	}
	if !isH264Key([]byte{0, 0, 0, 1, 0x67, 9, 0, 0, 0, 1, 0x65, 1}) || isH264Key([]byte{0, 0, 0, 1, 0x41, 1}) {
		t.Error("H264")
	}
}

func TestTheServersOwnBlackIsKnown(t *testing.T) {
	vp8 := []byte{0x10, 0x02, 0x00, 0x9d, 0x01, 0x2a, 0x08, 0x00, 0x08, 0x00, 0x00, 0x47}
	if !isVP8Blank(vp8) || isVP8Blank(append([]byte{0x10, 0x02, 0x00, 0x9d, 0x01, 0x2a, 0x80, 0x02, 0x68, 0x01}, 0)) {
		t.Error("VP8")
	}
	start := []byte{0, 0, 0, 1}
	if !isH264Blank(append(start, blankSPS...)) || isH264Blank([]byte{0, 0, 0, 1, 0x67, 0x42, 0xc0, 0x1f, 1}) {
		t.Error("H264")
	}
}

func TestAThumbnailIsTheSmallPicture(t *testing.T) {
	frame := black(picture{width: 64, height: 32})
	for i := range 64 * 16 {
		frame[i] = 235 // the upper half is white
	}
	small := shrink(frame, 64, 32, 16, 8)
	if small.Y[0] != 235 || small.Y[7*small.YStride] != 16 || small.Bounds().Dx() != 16 {
		t.Error(small)
	}
}
