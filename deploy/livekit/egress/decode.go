package main

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strings"
	"sync/atomic"
	"time"

	"github.com/livekit/protocol/logger"
	"github.com/livekit/server-sdk-go/v2/pkg/samplebuilder"
	"github.com/pion/rtp"
	"github.com/pion/rtp/codecs"
	"github.com/pion/webrtc/v4"
	"github.com/pion/webrtc/v4/pkg/media/oggwriter"
)

const (
	// videoHz is the clock of every video RTP.
	videoHz = 90000
	// latePackets is how far packets may be out of order before a frame is given up.
	latePackets = 200
	// askAgain is how often a key frame is asked for until one has come.
	askAgain = 500 * time.Millisecond
)

// reader decodes one track: RTP is put into a container that ffmpeg reads from its stdin, and
// pictures or sound come out of its stdout.
type reader struct {
	track   *webrtc.TrackRemote
	cmd     *exec.Cmd
	stdin   io.WriteCloser
	stopped atomic.Bool
}

func (t *tracks) startReader(track *webrtc.TrackRemote, chunk int, out func([]byte), arguments string) (*reader, error) {
	quick := "-hide_banner -loglevel error -probesize 32 -analyzeduration 0 -flags low_delay -threads 1 "
	cmd := exec.Command(t.config.FFmpeg, strings.Fields(quick+arguments)...)
	cmd.Stderr = os.Stderr
	stdin, err := cmd.StdinPipe()
	if err != nil {
		return nil, err
	}
	stdout, err := cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	if err := cmd.Start(); err != nil {
		return nil, err
	}
	go func() {
		for {
			data := make([]byte, chunk)
			n, err := io.ReadFull(stdout, data)
			if n == chunk {
				out(data)
			}
			if err != nil {
				break
			}
		}
		_ = cmd.Wait()
	}()
	return &reader{track: track, cmd: cmd, stdin: stdin}, nil
}

// stop ends the reading; what was decoded so far has been handed out.
func (r *reader) stop() {
	r.stopped.Store(true)
	_ = r.track.SetReadDeadline(time.Now())
}

// follow gives each packet to take until the track or the reader ends.
func (r *reader) follow(take func(*rtp.Packet) error) {
	defer r.stdin.Close()
	for !r.stopped.Load() {
		packet, _, err := r.track.ReadRTP()
		if err != nil || take(packet) != nil {
			return
		}
	}
}

// readSound decodes Opus.
func (t *tracks) readSound(track *webrtc.TrackRemote, out func([]byte)) (*reader, error) {
	// 10 ms of samples at a time.
	r, err := t.startReader(track, soundHz/100*soundBytes, out,
		"-f ogg -i pipe:0 -af aresample=async=1:first_pts=0 -f s16le -ar 48000 -ac 2 -flush_packets 1 pipe:1")
	if err != nil {
		return nil, err
	}
	order := samplebuilder.New(latePackets, &codecs.OpusPacket{}, soundHz)
	line := timeline{most: soundHz, usual: soundHz / 50}
	go func() {
		ogg, err := oggwriter.NewWith(r.stdin, soundHz, 2)
		if err != nil {
			return
		}
		r.follow(func(packet *rtp.Packet) error {
			order.Push(packet)
			for _, one := range order.PopPackets() {
				if len(one.Payload) == 0 {
					continue
				}
				one.Timestamp = uint32(line.at(one.Timestamp))
				if err := ogg.WriteRTP(one); err != nil {
					return err
				}
			}
			return nil
		})
	}()
	return r, nil
}

// readPicture decodes H264 or VP8 into frames of the size and rate that are written.
func (t *tracks) readPicture(track *webrtc.TrackRemote, out func([]byte), askKeyFrame func()) (*reader, error) {
	p := t.plan.picture
	video, ok := videoCodecs[strings.ToLower(track.Codec().MimeType)]
	if !ok {
		return nil, fmt.Errorf("%s: %w", track.Codec().MimeType, errNoCodec)
	}
	r, err := t.startReader(track, p.width*p.height*3/2, out, fmt.Sprintf(
		"-f ivf -i pipe:0 -vf fps=%d,scale=%d:%d:force_original_aspect_ratio=decrease:flags=fast_bilinear,"+
			"pad=%d:%d:-1:-1,setsar=1 -f rawvideo -pix_fmt yuv420p -flush_packets 1 pipe:1",
		p.framerate, p.width, p.height, p.width, p.height))
	if err != nil {
		return nil, err
	}
	units := newUnits(video, askKeyFrame)
	line := timeline{most: videoHz, usual: videoHz / 25}
	begun := time.Now()
	go func() {
		if _, err := r.stdin.Write(ivfHeader(video.fourCC)); err != nil {
			return
		}
		asked := time.Time{}
		r.follow(func(packet *rtp.Packet) error {
			if units.waiting && time.Since(asked) > askAgain {
				askKeyFrame()
				asked = time.Now()
			}
			waited := units.waiting
			for _, unit := range units.push(packet) {
				if waited {
					logger.Infow("key frame", "trackID", track.ID(), "after", time.Since(begun).String())
					waited = false
				}
				if _, err := r.stdin.Write(ivfFrame(unit.data, line.at(unit.timestamp))); err != nil {
					return err
				}
			}
			return nil
		})
	}()
	return r, nil
}

// videoCodec is what is to know of a codec.
type videoCodec struct {
	fourCC      string
	depacketize func() rtp.Depacketizer
	isKey       func([]byte) bool
	// isBlank knows the tiny black picture that livekit-server itself sends when a track is muted
	// or ends; without it the last real picture stands.
	isBlank func([]byte) bool
}

var videoCodecs = map[string]videoCodec{
	"video/h264": {"H264", func() rtp.Depacketizer { return &codecs.H264Packet{} }, isH264Key, isH264Blank},
	"video/vp8":  {"VP80", func() rtp.Depacketizer { return &codecs.VP8Packet{} }, isVP8Key, isVP8Blank},
}

// isH264Key says whether an Annex B access unit has a picture that needs no other (type 5).
func isH264Key(unit []byte) bool {
	for {
		start := bytes.Index(unit, []byte{0, 0, 1})
		if start < 0 || start+3 >= len(unit) {
			return false
		}
		if unit[start+3]&0x1f == 5 {
			return true
		}
		unit = unit[start+3:]
	}
}

// blankSPS describes a picture of 2 by 2 (livekit-server: pkg/sfu/downtrack.go).
var blankSPS = []byte{0x67, 0x42, 0xc0, 0x1f, 0x0f, 0xd9, 0x1f, 0x88, 0x88, 0x84}

func isH264Blank(unit []byte) bool { return bytes.Contains(unit, blankSPS) }

// isVP8Blank reads the size in a key frame's header: theirs is 8 by 8.
func isVP8Blank(frame []byte) bool {
	return isVP8Key(frame) && len(frame) > 9 &&
		binary.LittleEndian.Uint16(frame[6:])&0x3fff == 8 && binary.LittleEndian.Uint16(frame[8:])&0x3fff == 8
}

func isVP8Key(frame []byte) bool { return len(frame) > 0 && frame[0]&1 == 0 }

// unit is one encoded picture.
type unit struct {
	timestamp uint32
	data      []byte
}

// units puts packets in order and joins them into whole pictures, from a key frame on. After a
// loss it waits for the next key frame.
type units struct {
	codec        videoCodec
	order        *samplebuilder.SampleBuilder
	depacketizer rtp.Depacketizer
	current      unit
	waiting      bool
}

func newUnits(codec videoCodec, askKeyFrame func()) *units {
	u := &units{codec: codec, depacketizer: codec.depacketize(), waiting: true}
	u.order = samplebuilder.New(latePackets, codec.depacketize(), videoHz,
		samplebuilder.WithPacketDroppedHandler(func() {
			u.waiting, u.current = true, unit{}
			askKeyFrame()
		}))
	return u
}

// push takes a packet and gives the pictures that are whole now.
func (u *units) push(packet *rtp.Packet) []unit {
	whole := []unit{}
	u.order.Push(packet)
	for packets := u.order.PopPackets(); packets != nil; packets = u.order.PopPackets() {
		for _, one := range packets {
			if one.Timestamp != u.current.timestamp {
				whole = u.flush(whole)
				u.current.timestamp = one.Timestamp
			}
			if len(one.Payload) > 0 { // else it is padding
				// A payload that cannot be read is a part that is missing; the decoder copes.
				data, _ := u.depacketizer.Unmarshal(one.Payload)
				u.current.data = append(u.current.data, data...)
			}
			if one.Marker {
				whole = u.flush(whole)
			}
		}
	}
	return whole
}

func (u *units) flush(whole []unit) []unit {
	done := u.current
	u.current = unit{timestamp: done.timestamp}
	if len(done.data) == 0 || u.codec.isBlank(done.data) || (u.waiting && !u.codec.isKey(done.data)) {
		return whole
	}
	u.waiting = false
	return append(whole, done)
}

// timeline turns RTP's 32-bit times into ones that neither wrap nor leap: a pause longer than
// most, or a step back, is as long as usual.
type timeline struct {
	most, usual int64
	begun       bool
	last        uint32
	now         int64
}

func (t *timeline) at(timestamp uint32) int64 {
	if t.begun {
		step := int64(int32(timestamp - t.last))
		if step <= 0 || step > t.most {
			step = t.usual
		}
		t.now += step
	}
	t.begun, t.last = true, timestamp
	return t.now
}

// ivfHeader begins an IVF stream whose times count RTP's video clock.
func ivfHeader(fourCC string) []byte {
	header := append(make([]byte, 0, 32), "DKIF"...)
	header = binary.LittleEndian.AppendUint16(header, 0)  // version
	header = binary.LittleEndian.AppendUint16(header, 32) // header's length
	header = append(header, fourCC...)
	header = append(header, make([]byte, 4)...) // width and height stand in the stream
	header = binary.LittleEndian.AppendUint32(header, videoHz)
	header = binary.LittleEndian.AppendUint32(header, 1)
	return append(header, make([]byte, 8)...)
}

func ivfFrame(data []byte, timestamp int64) []byte {
	frame := binary.LittleEndian.AppendUint32(make([]byte, 0, 12+len(data)), uint32(len(data)))
	frame = binary.LittleEndian.AppendUint64(frame, uint64(timestamp))
	return append(frame, data...)
}
