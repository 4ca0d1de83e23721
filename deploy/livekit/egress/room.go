package main

import (
	"errors"
	"sync"
	"time"

	"github.com/livekit/protocol/egress"
	"github.com/livekit/protocol/livekit"
	"github.com/livekit/protocol/logger"
	lksdk "github.com/livekit/server-sdk-go/v2"
	"github.com/pion/webrtc/v4"
)

// join enters the room as a hidden recorder and puts the tracks that are wanted on the stage.
func (h *handler) join(s *stage) (*lksdk.Room, error) {
	token, err := egress.BuildEgressToken(h.info.EgressId, h.config.APIKey, h.config.APISecret, h.plan.roomName)
	if err != nil {
		return nil, err
	}
	t := &tracks{config: h.config, plan: h.plan, stage: s, readers: map[string]*reader{}}
	callback := &lksdk.RoomCallback{
		OnDisconnected: func() { h.end(livekit.EndReasonSrcClosed) },
		OnParticipantDisconnected: func(who *lksdk.RemoteParticipant) {
			if h.plan.endsWithSource && who.Identity() == h.plan.identity {
				h.end(livekit.EndReasonSrcClosed)
			}
		},
		ParticipantCallback: lksdk.ParticipantCallback{
			OnTrackPublished:    t.published,
			OnTrackSubscribed:   t.subscribed,
			OnTrackUnsubscribed: t.unsubscribed,
		},
	}
	return lksdk.ConnectToRoomWithToken(h.config.WsURL, token, callback, lksdk.WithAutoSubscribe(false))
}

// tracks follows what is published in the room.
type tracks struct {
	config *config
	plan   *plan
	stage  *stage

	mu      sync.Mutex
	readers map[string]*reader // by track id
}

// published is called for tracks that were there before too.
func (t *tracks) published(pub *lksdk.RemoteTrackPublication, who *lksdk.RemoteParticipant) {
	if !t.isPicture(pub, who) && t.sideOf(pub, who) == (side{}) {
		return
	}
	if err := pub.SetSubscribed(true); err != nil {
		logger.Warnw("cannot subscribe", err, "trackID", pub.SID())
	}
	if pub.Kind() == lksdk.TrackKindAudio && who.Identity() == t.plan.identity {
		time.AfterFunc(soundAlone, t.stage.takeSoundAlone)
	}
}

func (t *tracks) subscribed(track *webrtc.TrackRemote, pub *lksdk.RemoteTrackPublication, who *lksdk.RemoteParticipant) {
	sid := pub.SID()
	var r *reader
	var err error
	if t.isPicture(pub, who) {
		r, err = t.readPicture(track, t.stage.newPicture(), func() { who.WritePLI(track.SSRC()) })
	} else {
		r, err = t.readSound(track, t.stage.newSound(sid, t.sideOf(pub, who)))
	}
	if err != nil {
		logger.Errorw("cannot read track", err, "trackID", sid)
		return
	}
	logger.Infow("track begins", "identity", who.Identity(), "trackID", sid, "codec", track.Codec().MimeType)
	t.mu.Lock()
	t.readers[sid] = r
	t.mu.Unlock()
}

func (t *tracks) unsubscribed(_ *webrtc.TrackRemote, pub *lksdk.RemoteTrackPublication, _ *lksdk.RemoteParticipant) {
	sid := pub.SID()
	t.mu.Lock()
	r := t.readers[sid]
	delete(t.readers, sid)
	t.mu.Unlock()
	t.stage.dropSound(sid)
	if r != nil {
		r.stop()
	}
	logger.Infow("track ended", "trackID", sid)
}

func (t *tracks) isPicture(pub *lksdk.RemoteTrackPublication, who *lksdk.RemoteParticipant) bool {
	wanted := livekit.TrackSource_CAMERA
	if t.plan.screen {
		wanted = livekit.TrackSource_SCREEN_SHARE
	}
	return pub.Kind() == lksdk.TrackKindVideo && who.Identity() == t.plan.identity && pub.Source() == wanted
}

func (t *tracks) sideOf(pub *lksdk.RemoteTrackPublication, who *lksdk.RemoteParticipant) side {
	if pub.Kind() != lksdk.TrackKindAudio {
		return side{}
	}
	return t.plan.audio.of(pub.SID(), who.Identity(), livekit.ParticipantInfo_Kind(who.Kind()), pub.Source())
}

var errNoCodec = errors.New("neither H264 nor VP8")
