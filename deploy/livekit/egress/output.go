package main

import (
	"bytes"
	"encoding/json"
	"image"
	"image/jpeg"
	"os"
	"path"
	"sync"
	"time"

	"github.com/livekit/protocol/livekit"
	"github.com/livekit/protocol/logger"
)

// output puts files in their places, and writes what it did into the results.
type output struct {
	plan   *plan
	change func(func(*livekit.EgressInfo))
	began  time.Time
	list   playlist
	stored []storedFile // the segments, as the manifest lists them

	images     sync.Mutex
	imageFiles []storedFile // under images
	pictures   map[int]int  // how many of each series; under images
	storing    sync.WaitGroup
}

type storedFile struct {
	Filename string `json:"filename"`
	Location string `json:"location"`
}

func newOutput(p *plan, began time.Time, change func(func(*livekit.EgressInfo))) *output {
	o := &output{plan: p, change: change, began: began, pictures: map[int]int{}}
	if p.segments != nil {
		o.list.target = p.segments.seconds
	}
	change(func(info *livekit.EgressInfo) {
		for _, result := range info.FileResults {
			result.StartedAt = began.UnixNano()
		}
		for _, result := range info.SegmentResults {
			result.StartedAt = began.UnixNano()
		}
		for _, result := range info.ImageResults {
			result.StartedAt = began.UnixNano()
		}
	})
	return o
}

// segment stores a segment, then the playlists that name it; start is seconds after the begin.
func (o *output) segment(source string, start, seconds float64) error {
	began := o.began.Add(time.Duration(start * float64(time.Second)))
	name := o.plan.segments.segmentName(len(o.list.segments), began)
	where, size, err := putFile(o.plan.segments.place, o.plan.segments.path(name), source)
	if err != nil {
		return err
	}
	_ = os.Remove(source)
	o.list.segments = append(o.list.segments, segment{name: name, seconds: seconds, began: began})
	o.stored = append(o.stored, storedFile{Filename: o.plan.segments.path(name), Location: where})
	o.change(func(info *livekit.EgressInfo) {
		info.SegmentResults[0].SegmentCount++
		info.SegmentResults[0].Size += size
	})
	return o.playlists(false)
}

// playlists writes both; the whole one more rarely the longer it is, as the official worker does.
func (o *output) playlists(ended bool) error {
	p := o.plan.segments
	every := 1 + len(o.list.segments)*p.seconds/3600
	if ended || len(o.list.segments)%every == 0 {
		where, err := putBytes(p.place, p.path(p.playlist), o.list.whole(ended))
		if err != nil {
			return err
		}
		o.change(func(info *livekit.EgressInfo) { info.SegmentResults[0].PlaylistLocation = where })
	}
	if p.live != "" {
		where, err := putBytes(p.place, p.path(p.live), o.list.live(ended))
		if err != nil {
			return err
		}
		o.change(func(info *livekit.EgressInfo) { info.SegmentResults[0].LivePlaylistLocation = where })
	}
	return nil
}

// image stores one frame as a thumbnail; a thumbnail that fails is missed by nobody.
func (o *output) image(index int, frame []byte, taken time.Time) {
	plan, picture := o.plan.images[index], o.plan.picture
	o.storing.Add(1)
	go func() {
		defer o.storing.Done()
		var encoded bytes.Buffer
		thumbnail := shrink(frame, picture.width, picture.height, plan.width, plan.height)
		if err := jpeg.Encode(&encoded, thumbnail, &jpeg.Options{Quality: 85}); err != nil {
			logger.Warnw("thumbnail failed", err)
			return
		}
		o.images.Lock()
		defer o.images.Unlock()
		name := plan.path(o.pictures[index], taken)
		where, err := putBytes(plan.place, name, encoded.Bytes())
		if err != nil {
			logger.Warnw("thumbnail failed", err)
			return
		}
		o.pictures[index]++
		o.imageFiles = append(o.imageFiles, storedFile{Filename: name, Location: where})
		o.change(func(info *livekit.EgressInfo) { info.ImageResults[index].ImageCount++ })
	}()
}

// close ends the playlists and stores the recording and the manifest.
func (o *output) close() error {
	o.storing.Wait()
	ended := time.Now()
	duration := ended.Sub(o.began).Nanoseconds()
	if o.plan.segments != nil && len(o.list.segments) > 0 {
		if err := o.playlists(true); err != nil {
			return err
		}
	}
	var size int64
	var where string
	if o.plan.file != nil {
		var err error
		where, size, err = putFile(o.plan.file.place, o.plan.file.path, temporaryFile(recordingName))
		if err != nil {
			return err
		}
	}
	o.change(func(info *livekit.EgressInfo) {
		for _, result := range info.FileResults {
			result.EndedAt, result.Duration = ended.UnixNano(), duration
			result.Size, result.Location = size, where
		}
		for _, result := range info.SegmentResults {
			result.EndedAt, result.Duration = ended.UnixNano(), duration
		}
		for _, result := range info.ImageResults {
			result.EndedAt = ended.UnixNano()
		}
	})
	return o.manifest()
}

func (o *output) manifest() error {
	if !o.plan.manifest {
		return nil
	}
	var failure error
	o.images.Lock()
	defer o.images.Unlock()
	o.change(func(info *livekit.EgressInfo) {
		body, err := json.Marshal(o.describe(info))
		if err == nil {
			directory, place := o.plan.manifestPlace()
			info.ManifestLocation, err = putBytes(place, path.Join(directory, info.EgressId+".json"), body)
		}
		failure = err
	})
	return failure
}

func (o *output) describe(info *livekit.EgressInfo) any {
	type list struct {
		Location string       `json:"location"`
		Segments []storedFile `json:"segments"`
	}
	about := struct {
		EgressID  string       `json:"egress_id"`
		RoomID    string       `json:"room_id"`
		RoomName  string       `json:"room_name"`
		StartedAt int64        `json:"started_at"`
		EndedAt   int64        `json:"ended_at"`
		Publisher string       `json:"publisher_identity"`
		Files     []storedFile `json:"files,omitempty"`
		Playlists []list       `json:"playlists,omitempty"`
		Images    []storedFile `json:"images,omitempty"`
	}{
		EgressID: info.EgressId, RoomID: info.RoomId, RoomName: info.RoomName,
		StartedAt: info.StartedAt, EndedAt: time.Now().UnixNano(), Publisher: o.plan.identity,
		Images: o.imageFiles,
	}
	for _, file := range info.FileResults {
		about.Files = append(about.Files, storedFile{Filename: file.Filename, Location: file.Location})
	}
	for _, result := range info.SegmentResults {
		about.Playlists = append(about.Playlists, list{Location: result.PlaylistLocation, Segments: o.stored})
	}
	return about
}

// shrink makes a smaller (or larger) picture of a raw frame, by the nearest pixel.
func shrink(frame []byte, width, height, toWidth, toHeight int) *image.YCbCr {
	small := image.NewYCbCr(image.Rect(0, 0, toWidth, toHeight), image.YCbCrSubsampleRatio420)
	luma, chroma := width*height, width*height/4
	plane := func(to []byte, toStride, toWidth, toHeight int, from []byte, width, height int) {
		for y := range toHeight {
			row := from[(y*height/toHeight)*width:]
			for x := range toWidth {
				to[y*toStride+x] = row[x*width/toWidth]
			}
		}
	}
	plane(small.Y, small.YStride, toWidth, toHeight, frame[:luma], width, height)
	halfWidth, halfHeight := (toWidth+1)/2, (toHeight+1)/2
	plane(small.Cb, small.CStride, halfWidth, halfHeight, frame[luma:luma+chroma], width/2, height/2)
	plane(small.Cr, small.CStride, halfWidth, halfHeight, frame[luma+chroma:], width/2, height/2)
	return small
}
