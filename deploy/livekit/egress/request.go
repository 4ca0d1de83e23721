package main

import (
	"fmt"
	"path"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"time"

	"github.com/livekit/protocol/egress"
	"github.com/livekit/protocol/livekit"
	"github.com/livekit/protocol/rpc"
	"github.com/livekit/psrpc"
)

// plan is everything one egress writes, from whom, and what ends it. It is read from a request
// once, before anything is started.
type plan struct {
	roomName string
	identity string // whose picture is taken
	screen   bool   // their screen share rather than their camera
	audio    audioChoice
	// A participant egress ends the moment its participant leaves; a media egress waits.
	endsWithSource bool
	picture        picture
	segments       *segmentsPlan
	file           *filePlan
	images         []imagesPlan
	manifest       bool
}

// picture is the size, rate and weight of what is written; everything is scaled into it.
type picture struct {
	width, height, framerate int
	videoKbps, audioKbps     int
	audioHz                  int
	keyFrameSeconds          float64
}

type segmentsPlan struct {
	directory string // of the playlists
	prefix    string // of the segments, below directory
	playlist  string
	live      string // "" when there is none
	seconds   int
	byTime    bool
	place     place
}

type filePlan struct {
	path  string
	place place
}

type imagesPlan struct {
	prefix        string
	seconds       int
	width, height int
	suffix        livekit.ImageFileSuffix
	place         place
}

// presets are LiveKit's: width, height, frames per second, video kbit/s.
var presets = map[livekit.EncodingOptionsPreset]picture{
	livekit.EncodingOptionsPreset_H264_720P_30:           preset(1280, 720, 30, 3000),
	livekit.EncodingOptionsPreset_H264_720P_60:           preset(1280, 720, 60, 4500),
	livekit.EncodingOptionsPreset_H264_1080P_30:          preset(1920, 1080, 30, 4500),
	livekit.EncodingOptionsPreset_H264_1080P_60:          preset(1920, 1080, 60, 6000),
	livekit.EncodingOptionsPreset_PORTRAIT_H264_720P_30:  preset(720, 1280, 30, 3000),
	livekit.EncodingOptionsPreset_PORTRAIT_H264_720P_60:  preset(720, 1280, 60, 4500),
	livekit.EncodingOptionsPreset_PORTRAIT_H264_1080P_30: preset(1080, 1920, 30, 4500),
	livekit.EncodingOptionsPreset_PORTRAIT_H264_1080P_60: preset(1080, 1920, 60, 6000),
}

func preset(width, height, framerate, videoKbps int) picture {
	return picture{
		width: width, height: height, framerate: framerate,
		videoKbps: videoKbps, audioKbps: 128, audioHz: 44100,
	}
}

// planOf reads a start request. Its errors are psrpc errors, which callers see as Twirp errors.
func planOf(req *rpc.StartEgressRequest) (*plan, error) {
	switch r := req.Request.(type) {
	case *rpc.StartEgressRequest_Egress:
		return planMedia(req.RoomId, r.Egress)
	case *rpc.StartEgressRequest_Participant:
		return planParticipant(req.RoomId, r.Participant)
	default:
		return nil, unsupported("this kind of egress")
	}
}

func planMedia(roomID string, r *livekit.StartEgressRequest) (*plan, error) {
	media := r.GetMedia()
	switch {
	case media == nil && r.Source == nil:
		return nil, missing("source")
	case media == nil:
		return nil, unsupported("template and web sources")
	case media.GetParticipantVideo() == nil:
		return nil, unsupported("a media source without participant_video")
	case media.GetParticipantVideo().Identity == "":
		return nil, missing("participant_video")
	}
	p := &plan{
		roomName: r.RoomName,
		identity: media.GetParticipantVideo().Identity,
		screen:   media.GetParticipantVideo().PreferScreenShare,
		audio:    audioChoice{config: media.Audio},
		picture:  pictureOf(r.GetPreset(), r.GetAdvanced()),
	}
	names := newNames(r.RoomName, roomID, p.identity)
	for _, output := range r.Outputs {
		where, err := placeOf(output.Storage, r.Storage)
		if err != nil {
			return nil, err
		}
		switch o := output.Config.(type) {
		case *livekit.Output_Segments:
			err = p.addSegments(o.Segments, where, names)
		case *livekit.Output_File:
			err = p.addFile(o.File.Filepath, o.File.FileType, o.File.DisableManifest, where, names)
		case *livekit.Output_Images:
			p.addImages(o.Images, where, names)
		case *livekit.Output_Stream:
			err = unsupported("stream outputs")
		default:
			err = missing("output")
		}
		if err != nil {
			return nil, err
		}
	}
	return p.finished()
}

func planParticipant(roomID string, r *livekit.ParticipantEgressRequest) (*plan, error) {
	if r.Identity == "" {
		return nil, missing("identity")
	}
	if len(r.StreamOutputs) > 0 {
		return nil, unsupported("stream outputs")
	}
	p := &plan{
		roomName:       r.RoomName,
		identity:       r.Identity,
		screen:         r.ScreenShare,
		audio:          audioChoice{onlyIdentity: r.Identity, screen: r.ScreenShare},
		endsWithSource: true,
		picture:        pictureOf(r.GetPreset(), r.GetAdvanced()),
	}
	names := newNames(r.RoomName, roomID, r.Identity)
	for _, o := range r.SegmentOutputs {
		where, err := placeOf(o)
		if err == nil {
			err = p.addSegments(o, where, names)
		}
		if err != nil {
			return nil, err
		}
	}
	for _, o := range r.FileOutputs {
		where, err := placeOf(o)
		if err == nil {
			err = p.addFile(o.Filepath, o.FileType, o.DisableManifest, where, names)
		}
		if err != nil {
			return nil, err
		}
	}
	for _, o := range r.ImageOutputs {
		where, err := placeOf(o)
		if err != nil {
			return nil, err
		}
		p.addImages(o, where, names)
	}
	return p.finished()
}

func (p *plan) finished() (*plan, error) {
	if p.segments == nil && p.file == nil && len(p.images) == 0 {
		return nil, missing("output")
	}
	if p.segments != nil && p.picture.keyFrameSeconds == 0 {
		p.picture.keyFrameSeconds = float64(p.segments.seconds)
	}
	if p.segments != nil {
		p.picture.keyFrameSeconds = min(p.picture.keyFrameSeconds, float64(p.segments.seconds))
	}
	if p.picture.keyFrameSeconds == 0 {
		p.picture.keyFrameSeconds = 4
	}
	return p, nil
}

func pictureOf(number livekit.EncodingOptionsPreset, asked *livekit.EncodingOptions) picture {
	if asked == nil {
		return presets[number]
	}
	p := picture{
		width: 1920, height: 1080, framerate: 30,
		videoKbps: 4500, audioKbps: 128, audioHz: 44100,
		keyFrameSeconds: asked.KeyFrameInterval,
	}
	for _, option := range []struct {
		asked int32
		kept  *int
	}{
		{asked.Width, &p.width},
		{asked.Height, &p.height},
		{asked.Framerate, &p.framerate},
		{asked.VideoBitrate, &p.videoKbps},
		{asked.AudioBitrate, &p.audioKbps},
		{asked.AudioFrequency, &p.audioHz},
	} {
		if option.asked > 0 {
			*option.kept = int(option.asked)
		}
	}
	// 4:2:0 pictures have even sides.
	p.width, p.height = p.width&^1, p.height&^1
	return p
}

// addSegments works the names of playlists and segments out of each other.
func (p *plan) addSegments(o *livekit.SegmentedFileOutput, where place, names names) error {
	if p.segments != nil {
		return missing("segment_outputs")
	}
	directory, playlist := split(names.fill(o.PlaylistName))
	liveDirectory, live := split(names.fill(o.LivePlaylistName))
	prefixDirectory, prefix := split(names.fill(o.FilenamePrefix))
	if directory == "" {
		directory = liveDirectory
	}
	if directory == "" {
		directory = prefixDirectory
	}
	if live != "" && liveDirectory != "" && liveDirectory != directory {
		return missing("live_playlist_name must be in same directory as playlist_name")
	}
	if playlist == "" {
		playlist = prefix
	}
	if playlist == "" {
		playlist = names.fallback()
	}
	if live == playlist {
		return missing("live_playlist_name cannot be identical to playlist_name")
	}
	if prefix == "" {
		prefix = playlist
	}
	p.segments = &segmentsPlan{
		directory: directory,
		prefix:    path.Join(inside(prefixDirectory, directory), prefix),
		playlist:  playlist + ".m3u8",
		seconds:   4,
		byTime:    o.FilenameSuffix == livekit.SegmentedFileSuffix_TIMESTAMP,
		place:     where,
	}
	if live != "" {
		p.segments.live = live + ".m3u8"
	}
	if o.SegmentDuration > 0 {
		p.segments.seconds = int(o.SegmentDuration)
	}
	p.manifest = p.manifest || !o.DisableManifest
	return nil
}

func (p *plan) addFile(name string, kind livekit.EncodedFileType, noManifest bool, where place, names names) error {
	if p.file != nil {
		return missing("file_outputs")
	}
	if kind != livekit.EncodedFileType_DEFAULT_FILETYPE && kind != livekit.EncodedFileType_MP4 {
		return unsupported("file type " + kind.String())
	}
	filled := names.fill(name)
	if filled == "" || strings.HasSuffix(name, "/") {
		filled = path.Join(filled, names.fallback())
	}
	p.file = &filePlan{path: extension.ReplaceAllString(filled, "") + ".mp4", place: where}
	p.manifest = p.manifest || !noManifest
	return nil
}

func (p *plan) addImages(o *livekit.ImageOutput, where place, names names) {
	prefix := extension.ReplaceAllString(names.fill(o.FilenamePrefix), "")
	if prefix == "" {
		prefix = names.fallback()
	}
	images := imagesPlan{
		prefix:  prefix,
		seconds: int(o.CaptureInterval),
		width:   int(o.Width),
		height:  int(o.Height),
		suffix:  o.FilenameSuffix,
		place:   where,
	}
	if images.seconds == 0 {
		images.seconds = 10
	}
	if images.width == 0 || images.height == 0 {
		images.width, images.height = p.picture.width, p.picture.height
	}
	p.images = append(p.images, images)
	p.manifest = p.manifest || !o.DisableManifest
}

// manifestPlace is where <egress id>.json goes: beside the playlist, else beside the file.
func (p *plan) manifestPlace() (string, place) {
	switch {
	case p.segments != nil:
		return p.segments.directory, p.segments.place
	case p.file != nil:
		return path.Dir(p.file.path), p.file.place
	default:
		return path.Dir(p.images[0].prefix), p.images[0].place
	}
}

func (s *segmentsPlan) path(name string) string {
	return path.Join(s.directory, name)
}

func (s *segmentsPlan) segmentName(index int, began time.Time) string {
	if s.byTime {
		return s.prefix + "_" + stamp(began) + ".ts"
	}
	return fmt.Sprintf("%s_%05d.ts", s.prefix, index)
}

func (i *imagesPlan) path(index int, taken time.Time) string {
	switch i.suffix {
	case livekit.ImageFileSuffix_IMAGE_SUFFIX_NONE_OVERWRITE:
		return i.prefix + ".jpeg"
	case livekit.ImageFileSuffix_IMAGE_SUFFIX_TIMESTAMP:
		return i.prefix + "_" + stamp(taken) + ".jpeg"
	default:
		return fmt.Sprintf("%s_%05d.jpeg", i.prefix, index)
	}
}

// stamp writes a time as it stands in file names: yyyymmddHHMMSSmmm.
func stamp(t time.Time) string {
	t = t.UTC()
	return t.Format("20060102150405") + fmt.Sprintf("%03d", t.Nanosecond()/1e6)
}

// audioChoice says which audio tracks are heard, and on which side.
type audioChoice struct {
	config       *livekit.AudioConfig
	onlyIdentity string // of a participant egress, which hears only them
	screen       bool
}

type side struct{ left, right bool }

var (
	bothSides = side{left: true, right: true}
	sides     = map[livekit.AudioChannel]side{
		livekit.AudioChannel_AUDIO_CHANNEL_BOTH:  bothSides,
		livekit.AudioChannel_AUDIO_CHANNEL_LEFT:  {left: true},
		livekit.AudioChannel_AUDIO_CHANNEL_RIGHT: {right: true},
	}
)

// of finds where a track is heard; a side that is neither left nor right is nowhere.
func (a audioChoice) of(trackID, identity string, kind livekit.ParticipantInfo_Kind, source livekit.TrackSource) side {
	if a.onlyIdentity != "" {
		if identity == a.onlyIdentity && (source == livekit.TrackSource_MICROPHONE) != a.screen {
			return bothSides
		}
		return side{}
	}
	for _, route := range a.config.GetRoutes() {
		var match bool
		switch m := route.Match.(type) {
		case *livekit.AudioRoute_TrackId:
			match = m.TrackId == trackID
		case *livekit.AudioRoute_ParticipantIdentity:
			match = m.ParticipantIdentity == identity
		case *livekit.AudioRoute_ParticipantKind:
			match = m.ParticipantKind == kind
		}
		if match {
			return sides[route.Channel]
		}
	}
	if a.config.GetCaptureAll() {
		return bothSides
	}
	return side{}
}

// names fills what may stand between braces in a file name.
type names struct {
	replacer *strings.Replacer
	base     string
}

func newNames(roomName, roomID, identity string) names {
	now := time.Now().UTC()
	clock := now.Format("2006-01-02T150405")
	return names{
		replacer: strings.NewReplacer(
			"{room_name}", roomName,
			"{room_id}", roomID,
			"{publisher_identity}", identity,
			"{time}", clock,
			"{utc}", stamp(now),
			"{retry}", strconv.Itoa(0),
		),
		base: identity + "-" + clock,
	}
}

func (n names) fill(name string) string {
	return clean(n.replacer.Replace(name))
}

func (n names) fallback() string { return n.base }

// extension is what a name may end with and then loses.
var extension = regexp.MustCompile(`\.(m3u8|ts|mp4|jpeg|jpg)$`)

func split(name string) (directory, base string) {
	directory, base = path.Split(name)
	if len(directory) > 1 {
		directory = strings.TrimSuffix(directory, "/")
	}
	return directory, extension.ReplaceAllString(base, "")
}

// clean takes "." and ".." out of a path, so that no request climbs out of its place.
func clean(name string) string {
	kept := []string{}
	for _, part := range strings.Split(name, "/") {
		if part != "." && part != ".." {
			kept = append(kept, part)
		}
	}
	return regexp.MustCompile(`/{2,}`).ReplaceAllString(strings.Join(kept, "/"), "/")
}

// inside gives the part of the segments' directory below the playlists'.
func inside(prefixDirectory, directory string) string {
	if prefixDirectory == "" || prefixDirectory == directory {
		return ""
	}
	below, err := filepath.Rel(directory, prefixDirectory)
	if err != nil || strings.HasPrefix(below, "..") {
		return prefixDirectory
	}
	return below
}

func missing(field string) error {
	return psrpc.NewErrorf(psrpc.InvalidArgument, "request has missing or invalid field: %s", field)
}

func unsupported(what string) error {
	return psrpc.NewErrorf(psrpc.InvalidArgument,
		"%s: not supported by Greenroom's egress worker, which is test equipment; LiveKit's own can", what)
}

// newInfo is how an egress looks when it was just accepted: STARTING, with the names of what
// will be. The request in it is a redacted copy.
func newInfo(req *rpc.StartEgressRequest, p *plan) *livekit.EgressInfo {
	now := time.Now().UnixNano()
	info := &livekit.EgressInfo{
		EgressId:   req.EgressId,
		RoomId:     req.RoomId,
		RoomName:   p.roomName,
		SourceType: livekit.EgressSourceType_EGRESS_SOURCE_TYPE_SDK,
		Status:     livekit.EgressStatus_EGRESS_STARTING,
		StartedAt:  now,
		UpdatedAt:  now,
	}
	switch r := req.Request.(type) {
	case *rpc.StartEgressRequest_Egress:
		request := clone(r.Egress)
		egress.RedactStartEgressRequest(request)
		info.Request = &livekit.EgressInfo_Egress{Egress: request}
	case *rpc.StartEgressRequest_Participant:
		request := clone(r.Participant)
		egress.RedactEncodedOutputs(request)
		info.Request = &livekit.EgressInfo_Participant{Participant: request}
	}
	if p.file != nil {
		info.FileResults = []*livekit.FileInfo{{Filename: p.file.path}}
	}
	if s := p.segments; s != nil {
		result := &livekit.SegmentsInfo{PlaylistName: s.path(s.playlist)}
		if s.live != "" {
			result.LivePlaylistName = s.path(s.live)
		}
		info.SegmentResults = []*livekit.SegmentsInfo{result}
	}
	for _, images := range p.images {
		info.ImageResults = append(info.ImageResults, &livekit.ImagesInfo{FilenamePrefix: images.prefix})
	}
	return info
}

// snapshot is a copy to send: a lone output also stands in the field that is deprecated for it.
func snapshot(info *livekit.EgressInfo) *livekit.EgressInfo {
	copied := clone(info)
	outputs := len(copied.FileResults) + len(copied.SegmentResults) + len(copied.ImageResults)
	if outputs == 1 && len(copied.SegmentResults) == 1 {
		copied.Result = &livekit.EgressInfo_Segments{Segments: copied.SegmentResults[0]}
	}
	if outputs == 1 && len(copied.FileResults) == 1 {
		copied.Result = &livekit.EgressInfo_File{File: copied.FileResults[0]}
	}
	return copied
}
