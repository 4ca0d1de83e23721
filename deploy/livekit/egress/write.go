package main

import (
	"bufio"
	"encoding/csv"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/livekit/protocol/livekit"
)

// finishPatience is how long the encoder may take to close its files.
const finishPatience = 30 * time.Second

// writing is the encoder at work: what the stage shows goes into one ffmpeg, which writes
// segments and recording into the temporary folder; from there they go to their places.
type writing struct {
	plan   *plan
	stage  *stage
	change func(func(*livekit.EgressInfo))
	broken chan error // one error, if it cannot go on

	cmd         *exec.Cmd
	complaints  *lastLine
	video       *os.File
	audio       *os.File
	began       time.Time
	stopTicking chan struct{}
	ticking     sync.WaitGroup // ends when no more goes into the encoder
	storing     chan struct{}  // closed when every segment is stored
	out         *output
}

func newWriting(ffmpeg string, p *plan, s *stage, change func(func(*livekit.EgressInfo))) (*writing, error) {
	videoOut, videoIn, err := os.Pipe()
	if err != nil {
		return nil, err
	}
	audioOut, audioIn, err := os.Pipe()
	if err != nil {
		return nil, err
	}
	defer videoOut.Close()
	defer audioOut.Close()
	w := &writing{
		plan:        p,
		stage:       s,
		change:      change,
		broken:      make(chan error, 1),
		complaints:  &lastLine{},
		video:       videoIn,
		audio:       audioIn,
		stopTicking: make(chan struct{}),
		storing:     make(chan struct{}),
	}
	w.cmd = exec.Command(ffmpeg, encoderArguments(p)...)
	w.cmd.Dir = os.Getenv(temporaryVariable)
	w.cmd.ExtraFiles = []*os.File{videoOut, audioOut} // 3 and 4
	w.cmd.Stderr = io.MultiWriter(os.Stderr, w.complaints)
	stdout, err := w.cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	if err := w.cmd.Start(); err != nil {
		return nil, err
	}
	w.began = time.Now()
	w.out = newOutput(p, w.began, change)
	w.tick()
	go w.store(stdout)
	return w, nil
}

// encoderArguments makes ffmpeg's command: raw frames and samples in; H264 and AAC out, encoded
// once for segments and recording.
func encoderArguments(p *plan) []string {
	picture := p.picture
	interval := strconv.FormatFloat(picture.keyFrameSeconds, 'f', -1, 64)
	frames := strconv.Itoa(max(1, int(picture.keyFrameSeconds*float64(picture.framerate))))
	bits := func(kbps int) string { return strconv.Itoa(kbps) + "k" }
	outputs := []string{}
	if p.segments != nil {
		outputs = append(outputs, fmt.Sprintf("[f=segment:segment_time=%d:segment_time_delta=0.05:"+
			"segment_format=mpegts:segment_list=pipe\\\\\\:1:segment_list_type=csv:bsfs/v=dump_extra=freq=keyframe]%s",
			p.segments.seconds, segmentPattern))
	}
	if p.file != nil {
		outputs = append(outputs, "[f=mp4]"+recordingName)
	}
	if len(outputs) == 0 { // images only: they are not ffmpeg's
		outputs = append(outputs, "[f=null]-")
	}
	arguments := strings.Fields(fmt.Sprintf(
		"-hide_banner -loglevel error -nostdin -y -probesize 32 -analyzeduration 0 "+
			"-f rawvideo -pix_fmt yuv420p -video_size %dx%d -framerate %d -i pipe:3 "+
			"-f s16le -ar %d -ac 2 -i pipe:4 "+
			"-map 0:v -map 1:a -flags +global_header "+
			"-c:v libx264 -preset ultrafast -tune zerolatency -threads 2 -b:v %s -maxrate %s -bufsize %s "+
			"-g %s -keyint_min %s -sc_threshold 0",
		picture.width, picture.height, picture.framerate, soundHz,
		bits(picture.videoKbps), bits(picture.videoKbps), bits(2*picture.videoKbps), frames, frames))
	arguments = append(arguments, "-force_key_frames", "expr:gte(t,n_forced*"+interval+")")
	arguments = append(arguments, strings.Fields(fmt.Sprintf(
		"-c:a aac -b:a %s -ar %d -f tee", bits(picture.audioKbps), picture.audioHz))...)
	return append(arguments, strings.Join(outputs, "|"))
}

const (
	segmentPattern = "segment_%05d.ts"
	recordingName  = "recording.mp4"
)

// tick moves picture and sound from the stage into the encoder, at the rate of what is written.
func (w *writing) tick() {
	rate := w.plan.picture.framerate
	// A second of each may wait for an encoder that is slow for a moment.
	frames, chunks := make(chan []byte, rate), make(chan []byte, rate)
	w.pour(frames, w.video)
	w.pour(chunks, w.audio)
	images := w.plan.images
	w.ticking.Add(1)
	go func() {
		defer w.ticking.Done()
		defer close(frames)
		defer close(chunks)
		for n := 0; ; n++ {
			due := w.began.Add(time.Duration(n) * time.Second / time.Duration(rate))
			select {
			case <-w.stopTicking:
				return
			case <-time.After(time.Until(due)):
			}
			frame := w.stage.look()
			chunk := w.stage.listen((n+1)*soundHz/rate - n*soundHz/rate)
			for index, one := range images {
				if n%(one.seconds*rate) == 0 {
					w.out.image(index, frame, due)
				}
			}
			// The encoder reads both in turn: neither may wait for the other here.
			for _, to := range []struct {
				channel chan<- []byte
				data    []byte
			}{{frames, frame}, {chunks, chunk}} {
				select {
				case to.channel <- to.data:
				case <-w.stopTicking:
					return
				}
			}
		}
	}()
}

// pour writes what comes to a pipe, and closes it at the end.
func (w *writing) pour(from <-chan []byte, to *os.File) {
	w.ticking.Add(1)
	go func() {
		defer w.ticking.Done()
		defer to.Close()
		dead := false
		for data := range from {
			if dead {
				continue
			}
			if _, err := to.Write(data); err != nil {
				dead = true
			}
		}
	}()
}

// store puts each segment in its place as soon as the encoder has closed it, then the playlists.
func (w *writing) store(stdout io.Reader) {
	defer close(w.storing)
	lines := make(chan []string, 16)
	go func() {
		defer close(lines)
		reader := csv.NewReader(bufio.NewReader(stdout))
		for {
			fields, err := reader.Read()
			if err != nil {
				return
			}
			lines <- fields
		}
	}()
	for fields := range lines {
		if len(fields) != 3 {
			w.breaks(fmt.Errorf("the encoder said %q", fields))
			return
		}
		start, _ := strconv.ParseFloat(fields[1], 64)
		end, _ := strconv.ParseFloat(fields[2], 64)
		w.awaitClosed(fields[0])
		if err := w.out.segment(temporaryFile(fields[0]), start, end-start); err != nil {
			w.breaks(err)
			return
		}
	}
	select {
	case <-w.stopTicking:
	default:
		// It ended although nobody told it to.
		w.breaks(errors.New("the encoder ended: " + w.complaints.text()))
	}
}

// awaitClosed waits until the encoder has opened the next segment: a segment is announced just
// before its last bytes are written.
func (w *writing) awaitClosed(name string) {
	var index int
	if _, err := fmt.Sscanf(name, segmentPattern, &index); err != nil {
		return
	}
	next := temporaryFile(fmt.Sprintf(segmentPattern, index+1))
	for deadline := time.Now().Add(200 * time.Millisecond); time.Now().Before(deadline); {
		if _, err := os.Stat(next); err == nil {
			return
		}
		time.Sleep(5 * time.Millisecond)
	}
}

func (w *writing) breaks(err error) {
	select {
	case w.broken <- err:
	default:
	}
}

// finish ends the encoder, stores what is left and closes the playlists.
func (w *writing) finish() error {
	close(w.stopTicking)
	timer := time.AfterFunc(finishPatience, func() { _ = w.cmd.Process.Kill() })
	defer timer.Stop()
	w.ticking.Wait()
	<-w.storing
	if err := w.cmd.Wait(); err != nil {
		return fmt.Errorf("the encoder failed (%w): %s", err, w.complaints.text())
	}
	select {
	case err := <-w.broken:
		return err
	default:
		return w.out.close()
	}
}

// lastLine keeps the last thing that was said.
type lastLine struct {
	mu   sync.Mutex
	said string
}

func (l *lastLine) Write(text []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if said := strings.TrimSpace(string(text)); said != "" {
		l.said = said
	}
	return len(text), nil
}

func (l *lastLine) text() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.said
}
