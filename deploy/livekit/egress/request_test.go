package main

import (
	"strings"
	"testing"
	"time"

	"github.com/livekit/protocol/livekit"
	"github.com/livekit/protocol/rpc"
	"google.golang.org/protobuf/proto"
)

func media(outputs ...*livekit.Output) *rpc.StartEgressRequest {
	return &rpc.StartEgressRequest{
		EgressId: "EG_1",
		RoomId:   "RM_1",
		Request: &rpc.StartEgressRequest_Egress{Egress: &livekit.StartEgressRequest{
			RoomName: "show",
			Source: &livekit.StartEgressRequest_Media{Media: &livekit.MediaSource{
				Video: &livekit.MediaSource_ParticipantVideo{
					ParticipantVideo: &livekit.ParticipantVideo{Identity: "host"},
				},
				Audio: &livekit.AudioConfig{CaptureAll: true},
			}},
			Outputs: outputs,
		}},
	}
}

func segmentsOf(o *livekit.SegmentedFileOutput) *livekit.Output {
	return &livekit.Output{Config: &livekit.Output_Segments{Segments: o}}
}

func TestNamesAreWorkedOutOfEachOther(t *testing.T) {
	began := time.Date(2026, 11, 24, 7, 0, 8, 937e6, time.UTC)
	for _, one := range []struct {
		asked                   *livekit.SegmentedFileOutput
		playlist, live, segment string
	}{
		{
			&livekit.SegmentedFileOutput{FilenamePrefix: "/out/a/seg", PlaylistName: "/out/a/vod.m3u8", LivePlaylistName: "/out/a/live.m3u8"},
			"/out/a/vod.m3u8", "/out/a/live.m3u8", "/out/a/seg_00003.ts",
		},
		{
			&livekit.SegmentedFileOutput{FilenamePrefix: "/out/a/seg", PlaylistName: "vod"},
			"/out/a/vod.m3u8", "", "/out/a/seg_00003.ts",
		},
		{
			&livekit.SegmentedFileOutput{FilenamePrefix: "/out/a/parts/seg", PlaylistName: "/out/a/vod", FilenameSuffix: livekit.SegmentedFileSuffix_TIMESTAMP},
			"/out/a/vod.m3u8", "", "/out/a/parts/seg_20261124070008937.ts",
		},
		{
			&livekit.SegmentedFileOutput{FilenamePrefix: "../../etc/{room_name}/seg"},
			"etc/show/seg.m3u8", "", "etc/show/seg_00003.ts",
		},
	} {
		p, err := planOf(media(segmentsOf(one.asked)))
		if err != nil {
			t.Fatal(err)
		}
		s := p.segments
		live := ""
		if s.live != "" {
			live = s.path(s.live)
		}
		got := []string{s.path(s.playlist), live, s.path(s.segmentName(3, began))}
		if want := []string{one.playlist, one.live, one.segment}; strings.Join(got, " ") != strings.Join(want, " ") {
			t.Errorf("got %v, want %v", got, want)
		}
	}
}

func TestWhatCannotBeDoneIsRefusedBeforeItBegins(t *testing.T) {
	for what, request := range map[string]*rpc.StartEgressRequest{
		"output": media(),
		"live_playlist_name must be in same directory": media(segmentsOf(
			&livekit.SegmentedFileOutput{PlaylistName: "/a/vod", LivePlaylistName: "/b/live"})),
		"live_playlist_name cannot be identical": media(segmentsOf(
			&livekit.SegmentedFileOutput{PlaylistName: "/a/vod", LivePlaylistName: "/a/vod"})),
		"stream outputs": media(&livekit.Output{Config: &livekit.Output_Stream{}}),
		"file type":      media(&livekit.Output{Config: &livekit.Output_File{File: &livekit.FileOutput{FileType: livekit.EncodedFileType_OGG}}}),
		"kind of egress": {Request: &rpc.StartEgressRequest_Web{Web: &livekit.WebEgressRequest{}}},
		"identity":       {Request: &rpc.StartEgressRequest_Participant{Participant: &livekit.ParticipantEgressRequest{}}},
	} {
		if _, err := planOf(request); err == nil || !strings.Contains(err.Error(), what) {
			t.Errorf("%s: got %v", what, err)
		}
	}
}

func TestALoneOutputStandsInTheOldFieldToo(t *testing.T) {
	request := media(segmentsOf(&livekit.SegmentedFileOutput{FilenamePrefix: "/out/seg", PlaylistName: "/out/vod"}))
	p, err := planOf(request)
	if err != nil {
		t.Fatal(err)
	}
	info := snapshot(newInfo(request, p))
	if info.GetSegments().GetPlaylistName() != "/out/vod.m3u8" || info.Status != livekit.EgressStatus_EGRESS_STARTING {
		t.Error(info)
	}
}

func TestSecretsDoNotComeBack(t *testing.T) {
	request := media(segmentsOf(&livekit.SegmentedFileOutput{FilenamePrefix: "seg"}))
	request.GetEgress().Storage = &livekit.StorageConfig{Provider: &livekit.StorageConfig_S3{
		S3: &livekit.S3Upload{AccessKey: "AKIAPLANTED", Secret: "planted", Bucket: "b"},
	}}
	p, err := planOf(request)
	if err != nil {
		t.Fatal(err)
	}
	body, err := proto.Marshal(newInfo(request, p))
	if err != nil {
		t.Fatal(err)
	}
	if strings.Contains(strings.ToLower(string(body)), "planted") {
		t.Error("a secret is in the info")
	}
	if request.GetEgress().Storage.GetS3().Secret != "planted" {
		t.Error("the request itself lost its secret")
	}
}

func TestAdvancedOptionsFillUpFromLiveKitsDefaults(t *testing.T) {
	got := pictureOf(0, &livekit.EncodingOptions{Width: 641, Height: 360})
	if got.width != 640 || got.height != 360 || got.framerate != 30 || got.videoKbps != 4500 {
		t.Error(got)
	}
	if got := pictureOf(livekit.EncodingOptionsPreset_PORTRAIT_H264_720P_30, nil); got.width != 720 || got.height != 1280 {
		t.Error(got)
	}
}

func TestAudioIsRouted(t *testing.T) {
	mic := livekit.TrackSource_MICROPHONE
	everybody := audioChoice{config: &livekit.AudioConfig{CaptureAll: true, Routes: []*livekit.AudioRoute{
		{Match: &livekit.AudioRoute_ParticipantIdentity{ParticipantIdentity: "left"}, Channel: livekit.AudioChannel_AUDIO_CHANNEL_LEFT},
	}}}
	if got := everybody.of("TR_1", "left", 0, mic); got != (side{left: true}) {
		t.Error(got)
	}
	if got := everybody.of("TR_2", "anybody", 0, mic); got != bothSides {
		t.Error(got)
	}
	one := audioChoice{config: &livekit.AudioConfig{Routes: []*livekit.AudioRoute{
		{Match: &livekit.AudioRoute_TrackId{TrackId: "TR_1"}},
	}}}
	if one.of("TR_1", "x", 0, mic) != bothSides || one.of("TR_2", "x", 0, mic) != (side{}) {
		t.Error("a route takes its track and no other")
	}
	alone := audioChoice{onlyIdentity: "host"}
	if alone.of("TR_1", "host", 0, mic) != bothSides || alone.of("TR_1", "guest", 0, mic) != (side{}) {
		t.Error("a participant egress hears its participant only")
	}
}
