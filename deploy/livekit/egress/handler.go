package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"net/http"
	"os"
	"os/signal"
	"sync"
	"syscall"
	"time"

	"github.com/livekit/protocol/livekit"
	"github.com/livekit/protocol/logger"
	"github.com/livekit/protocol/rpc"
	"github.com/livekit/psrpc"
	"google.golang.org/protobuf/encoding/protojson"
)

const (
	// sourcePatience is how long the official worker waits for a participant to publish.
	sourcePatience = 30 * time.Second
	// soundAlone is how long somebody may publish sound without a picture before it is taken so.
	soundAlone = 3 * time.Second
	// orphanPatience is how long a handler goes on whose worker is gone.
	orphanPatience = 20 * time.Second
)

// handler is the process of one egress: it owns the egress' state and reports it.
type handler struct {
	rpc.UnimplementedEgressHandlerServer
	config *config
	plan   *plan
	ending chan string // why it is to end; the first reason counts

	mu     sync.Mutex
	info   *livekit.EgressInfo
	over   chan struct{} // closed once the state is ENDING or later
	states chan *livekit.EgressInfo
}

// runHandler reads a request from stdin, does it, and reports every state.
func runHandler(c *config) error {
	stdin := bufio.NewReader(os.Stdin)
	body, err := stdin.ReadBytes('\n')
	if err != nil {
		return err
	}
	req := &rpc.StartEgressRequest{}
	if err := protojson.Unmarshal(body, req); err != nil {
		return err
	}
	p, err := planOf(req)
	if err != nil {
		return err
	}
	bus, redis, err := c.openBus()
	if err != nil {
		return err
	}
	defer redis.Close()
	client, err := rpc.NewIOInfoClient(bus)
	if err != nil {
		return err
	}
	h := &handler{
		config: c,
		plan:   p,
		ending: make(chan string, 1),
		info:   newInfo(req, p),
		over:   make(chan struct{}),
		states: make(chan *livekit.EgressInfo, 8),
	}
	server, err := rpc.NewEgressHandlerServer(h, bus)
	if err != nil {
		return err
	}
	for _, register := range []func(string) error{
		server.RegisterStopEgressTopic, server.RegisterUpdateStreamTopic, server.RegisterUpdateEgressTopic,
	} {
		if err := register(req.EgressId); err != nil {
			return err
		}
	}
	reported := make(chan struct{})
	go func() {
		defer close(reported)
		for info := range h.states {
			tell(client, info)
		}
	}()
	go func() {
		// Nothing more comes: this ends when the worker does.
		_, _ = stdin.ReadByte()
		time.Sleep(orphanPatience)
		os.Exit(1)
	}()
	signals := make(chan os.Signal, 1)
	signal.Notify(signals, syscall.SIGINT, syscall.SIGTERM)
	go func() {
		<-signals
		h.end(livekit.EndReasonKilled)
	}()
	fmt.Println("ready")

	h.do(context.Background())
	close(h.states)
	<-reported
	server.Shutdown()
	return nil
}

// do is one egress from joining the room to its last state.
func (h *handler) do(ctx context.Context) {
	s := newStage(h.plan)
	room, err := h.join(s)
	if err != nil {
		h.failed(err)
		return
	}
	reason, err := h.await(ctx, s)
	if err != nil || reason != "" {
		room.Disconnect()
		switch {
		case err != nil:
			h.failed(err)
		case reason == livekit.EndReasonSrcClosed:
			h.aborted(reason, livekit.MsgStartNotReceived)
		default:
			h.aborted(reason, livekit.MsgStoppedBeforeStarted)
		}
		return
	}
	w, err := newWriting(h.config.FFmpeg, h.plan, s, h.change)
	if err != nil {
		room.Disconnect()
		h.failed(err)
		return
	}
	h.change(func(info *livekit.EgressInfo) { info.UpdateStatus(livekit.EgressStatus_EGRESS_ACTIVE) })
	select {
	case reason = <-h.ending:
		h.change(func(info *livekit.EgressInfo) {
			info.SetEndReason(reason)
			info.UpdateStatus(livekit.EgressStatus_EGRESS_ENDING)
		})
		err = w.finish()
	case err = <-w.broken:
		err = errors.Join(err, w.finish())
	}
	room.Disconnect()
	if err != nil {
		h.failed(err)
		return
	}
	h.change(func(info *livekit.EgressInfo) { info.SetComplete() })
}

// await returns when there is something to write, or gives the reason to end or what failed.
func (h *handler) await(ctx context.Context, s *stage) (string, error) {
	ctx, cancel := context.WithTimeout(ctx, sourcePatience)
	defer cancel()
	select {
	case <-s.ready:
		return "", nil
	case reason := <-h.ending:
		return reason, nil
	case <-ctx.Done():
		return "", psrpc.NewErrorf(psrpc.NotFound, "participant %s not found", h.plan.identity)
	}
}

// end asks the egress to end; the first reason counts.
func (h *handler) end(reason string) {
	select {
	case h.ending <- reason:
	default:
	}
}

// change alters the state; a new status is reported.
func (h *handler) change(alter func(*livekit.EgressInfo)) {
	h.mu.Lock()
	defer h.mu.Unlock()
	before := h.info.Status
	alter(h.info)
	if h.info.Status == before {
		return
	}
	logger.Infow("egress "+h.info.Status.String(), "egressID", h.info.EgressId, "error", h.info.Error)
	h.states <- snapshot(h.info)
	if before < livekit.EgressStatus_EGRESS_ENDING && h.info.Status >= livekit.EgressStatus_EGRESS_ENDING {
		close(h.over)
	}
}

func (h *handler) failed(err error) {
	h.change(func(info *livekit.EgressInfo) {
		info.SetFailed(err)
		if info.ErrorCode == 0 {
			info.ErrorCode = http.StatusInternalServerError
		}
	})
}

func (h *handler) aborted(reason, message string) {
	h.change(func(info *livekit.EgressInfo) {
		info.SetEndReason(reason)
		info.SetAborted(message)
	})
}

// StopEgress answers as soon as the egress is ending.
func (h *handler) StopEgress(ctx context.Context, _ *livekit.StopEgressRequest) (*livekit.EgressInfo, error) {
	h.end(livekit.EndReasonAPI)
	select {
	case <-h.over:
	case <-ctx.Done():
		return nil, psrpc.ErrRequestTimedOut
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	return snapshot(h.info), nil
}

func (h *handler) UpdateStream(context.Context, *livekit.UpdateStreamRequest) (*livekit.EgressInfo, error) {
	return nil, psrpc.NewErrorf(psrpc.InvalidArgument, "UpdateStream called on non-streaming egress")
}

func (h *handler) UpdateEgress(context.Context, *livekit.UpdateEgressRequest) (*livekit.EgressInfo, error) {
	return nil, psrpc.NewErrorf(psrpc.InvalidArgument, "UpdateStream called on non-streaming egress")
}
