package main

import (
	"encoding/binary"
	"sync"
)

const (
	// soundHz and soundBytes: sound is mixed as two 16-bit channels.
	soundHz    = 48000
	soundBytes = 4
	// leadMillis is kept in hand, so that what arrives late by less is not missed.
	leadMillis = 120
	// mostMillis is the most that is kept; a reader that is ahead by more loses the oldest.
	mostMillis = 1000
)

// stage is what can be seen and heard now. Pictures and sound are taken from it at a steady
// rate; when nothing new has come, the last picture stands and there is silence.
type stage struct {
	ready chan struct{} // closed once there is something to write

	mu        sync.Mutex
	plan      *plan
	isReady   bool
	hasVideo  bool
	picture   *queue[[]byte]
	shown     []byte
	sounds    map[string]*sound
	soundsOld int
}

type sound struct {
	samples *samples
	side    side
}

func newStage(p *plan) *stage {
	return &stage{ready: make(chan struct{}), plan: p, sounds: map[string]*sound{}, shown: black(p.picture)}
}

// newPicture makes the place for the pictures of a track; the track before it is seen no more.
func (s *stage) newPicture() func([]byte) {
	s.mu.Lock()
	defer s.mu.Unlock()
	rate := s.plan.picture.framerate
	q := newQueue[[]byte](rate*leadMillis/1000+1, rate*mostMillis/1000+1)
	s.picture, s.hasVideo = q, true
	return func(frame []byte) {
		s.mu.Lock()
		defer s.mu.Unlock()
		q.push(frame)
		if q == s.picture && q.flows {
			s.nowReady()
		}
	}
}

// newSound makes the place for the sound of a track.
func (s *stage) newSound(id string, where side) func([]byte) {
	s.mu.Lock()
	defer s.mu.Unlock()
	one := &sound{samples: newSamples(), side: where}
	s.sounds[id] = one
	return func(pcm []byte) {
		s.mu.Lock()
		defer s.mu.Unlock()
		one.samples.push(pcm)
	}
}

func (s *stage) dropSound(id string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.sounds, id)
}

// takeSoundAlone begins without a picture if nobody publishes one.
func (s *stage) takeSoundAlone() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.hasVideo && len(s.sounds) > 0 {
		s.nowReady()
	}
}

func (s *stage) nowReady() {
	if !s.isReady {
		s.isReady = true
		close(s.ready)
	}
}

// look gives the picture to show next.
func (s *stage) look() []byte {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.picture != nil {
		if frame, ok := s.picture.pop(); ok {
			s.shown = frame
		}
	}
	return s.shown
}

// listen mixes the next count samples of everybody who is heard.
func (s *stage) listen(count int) []byte {
	s.mu.Lock()
	defer s.mu.Unlock()
	mixed := make([]int32, 2*count)
	for _, one := range s.sounds {
		pcm := one.samples.pop(count)
		for i := 0; i+1 < len(pcm)/2; i += 2 {
			if one.side.left {
				mixed[i] += int32(int16(binary.LittleEndian.Uint16(pcm[2*i:])))
			}
			if one.side.right {
				mixed[i+1] += int32(int16(binary.LittleEndian.Uint16(pcm[2*i+2:])))
			}
		}
	}
	pcm := make([]byte, 0, soundBytes*count)
	for _, value := range mixed {
		pcm = binary.LittleEndian.AppendUint16(pcm, uint16(int16(max(-32768, min(32767, value)))))
	}
	return pcm
}

// queue hands out what was pushed one by one, once it has a lead; when it runs dry it waits for
// the lead again.
type queue[T any] struct {
	lead, most int
	items      []T
	flows      bool
}

func newQueue[T any](lead, most int) *queue[T] {
	return &queue[T]{lead: lead, most: max(most, lead+1)}
}

func (q *queue[T]) push(item T) {
	q.items = append(q.items, item)
	if len(q.items) > q.most {
		q.items = append([]T(nil), q.items[len(q.items)-q.lead:]...)
	}
	q.flows = q.flows || len(q.items) >= q.lead
}

func (q *queue[T]) pop() (T, bool) {
	var none T
	if !q.flows {
		return none, false
	}
	if len(q.items) == 0 {
		q.flows = false
		return none, false
	}
	item := q.items[0]
	q.items[0] = none
	q.items = q.items[1:]
	return item, true
}

// samples is a queue of sound by the sample.
type samples struct {
	pcm   []byte
	flows bool
}

const (
	// A picture waits one frame longer than sound does, in its decoder.
	soundLead = soundHz * (leadMillis + 40) / 1000 * soundBytes
	soundMost = soundHz * mostMillis / 1000 * soundBytes
)

func newSamples() *samples { return &samples{} }

func (s *samples) push(pcm []byte) {
	s.pcm = append(s.pcm, pcm...)
	if len(s.pcm) > soundMost {
		s.pcm = append([]byte(nil), s.pcm[len(s.pcm)-soundLead:]...)
	}
	s.flows = s.flows || len(s.pcm) >= soundLead
}

// pop gives up to count samples: fewer when it runs dry.
func (s *samples) pop(count int) []byte {
	if !s.flows {
		return nil
	}
	length := min(count*soundBytes, len(s.pcm)/soundBytes*soundBytes)
	taken := s.pcm[:length]
	s.pcm = s.pcm[length:]
	s.flows = length == count*soundBytes
	return taken
}

// black is what is seen before anything was.
func black(p picture) []byte {
	luma := p.width * p.height
	frame := make([]byte, luma*3/2)
	for i := range frame {
		if i < luma {
			frame[i] = 16
		} else {
			frame[i] = 128
		}
	}
	return frame
}
