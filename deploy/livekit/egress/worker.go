package main

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"strconv"
	"sync"
	"syscall"
	"time"

	"github.com/livekit/protocol/egress"
	"github.com/livekit/protocol/livekit"
	"github.com/livekit/protocol/logger"
	"github.com/livekit/protocol/rpc"
	"github.com/livekit/psrpc"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promhttp"
	"google.golang.org/protobuf/encoding/protojson"
)

// launchSeconds is how long a handler may take to say that it is ready.
const launchSeconds = 10

// worker accepts egresses from the bus and starts a handler process for each.
type worker struct {
	rpc.UnimplementedEgressInternalServer
	config *config
	io     rpc.IOInfoClient

	mu       sync.Mutex
	draining bool
	handlers map[string]*exec.Cmd // by egress id
	running  sync.WaitGroup
}

// runWorker serves until SIGTERM (waits until every egress has ended by itself) or SIGINT (ends
// them). A second signal does not wait any longer.
func runWorker(c *config) error {
	signals := make(chan os.Signal, 2)
	signal.Notify(signals, syscall.SIGTERM, syscall.SIGQUIT, syscall.SIGINT)
	bus, redis, err := c.openBus()
	if err != nil {
		return err
	}
	defer redis.Close()
	w := &worker{config: c, handlers: map[string]*exec.Cmd{}}
	if w.io, err = rpc.NewIOInfoClient(bus); err != nil {
		return err
	}
	server, err := rpc.NewEgressInternalServer(w, bus)
	if err != nil {
		return err
	}
	// The topic is the cluster's id, which is always empty.
	if err := server.RegisterListActiveEgressTopic(""); err != nil {
		return err
	}
	if err := server.RegisterStartEgressTopic(""); err != nil {
		return err
	}
	if err := w.listen(); err != nil {
		return err
	}
	logger.Infow("egress worker ready", "version", version, "ffmpeg", c.FFmpeg)

	told := <-signals
	w.mu.Lock()
	w.draining = true
	w.mu.Unlock()
	server.DeregisterStartEgressTopic("")
	logger.Infow("draining", "signal", told.String(), "running", len(w.ids()))
	if told == syscall.SIGINT {
		w.signal(syscall.SIGINT)
	}
	done := make(chan struct{})
	go func() { w.running.Wait(); close(done) }()
	select {
	case <-done:
	case <-signals:
		w.signal(syscall.SIGKILL)
		<-done
	}
	server.Shutdown()
	return nil
}

// StartEgressAffinity tells how much this worker wants a request: an idle one leaves it to a
// busy one for half a second, a full one refuses.
func (w *worker) StartEgressAffinity(_ context.Context, req *rpc.StartEgressRequest) float32 {
	w.mu.Lock()
	defer w.mu.Unlock()
	switch {
	case w.draining || len(w.handlers) >= w.config.MaxAtOnce:
		return -1
	case len(w.handlers) == 0:
		return 0.5
	default:
		return 1
	}
}

// StartEgress reads the request, tells the server, and launches a handler.
func (w *worker) StartEgress(ctx context.Context, req *rpc.StartEgressRequest) (*livekit.EgressInfo, error) {
	p, err := planOf(req)
	if err != nil {
		return nil, err
	}
	info := newInfo(req, p)
	if w.StartEgressAffinity(ctx, req) < 0 {
		return nil, psrpc.NewErrorf(psrpc.Unavailable, "not enough CPU")
	}
	if _, err := w.io.CreateEgress(ctx, snapshot(info)); err != nil {
		return nil, err
	}
	if err := w.launch(req, info); err != nil {
		info.SetFailed(err)
		tell(w.io, snapshot(info))
		return nil, err
	}
	return snapshot(info), nil
}

func (w *worker) ListActiveEgress(context.Context, *rpc.ListActiveEgressRequest) (*rpc.ListActiveEgressResponse, error) {
	return &rpc.ListActiveEgressResponse{EgressIds: w.ids()}, nil
}

// launch starts a handler process, gives it the request, and waits until it is on the bus.
func (w *worker) launch(req *rpc.StartEgressRequest, info *livekit.EgressInfo) error {
	body, err := protojson.Marshal(req)
	if err != nil {
		return err
	}
	program, err := os.Executable()
	if err != nil {
		return err
	}
	temporary, err := os.MkdirTemp(w.config.Temporary, info.EgressId+"-")
	if err != nil {
		return err
	}
	cmd := exec.Command(program, "-handler", "-config", w.config.configFile)
	cmd.Dir, err = os.Getwd()
	if err != nil {
		return err
	}
	cmd.Env = append(os.Environ(), temporaryVariable+"="+temporary)
	cmd.Stderr = os.Stderr
	// Ctrl-C in a terminal is for the worker; it tells its handlers itself.
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	// The handler's stdin stays open as long as the worker lives.
	stdin, err := cmd.StdinPipe()
	if err != nil {
		return err
	}
	stdout, err := cmd.StdoutPipe()
	if err != nil {
		return err
	}
	if err := cmd.Start(); err != nil {
		return err
	}
	w.mu.Lock()
	w.handlers[info.EgressId] = cmd
	w.mu.Unlock()
	started.WithLabelValues(kindOf(info)).Inc()
	w.running.Add(1)
	ready := make(chan error, 1)
	ended := clone(info)
	go func() {
		defer w.running.Done()
		go func() { _, _ = stdin.Write(append(body, '\n')) }()
		line, err := bufio.NewReader(stdout).ReadString('\n')
		if err == nil && line != "ready\n" {
			err = fmt.Errorf("the handler said %q", line)
		}
		ready <- err
		_, _ = io.Copy(io.Discard, stdout)
		w.ended(ended, cmd.Wait(), temporary)
	}()
	select {
	case err := <-ready:
		if err != nil {
			_ = cmd.Process.Kill()
			return psrpc.NewErrorf(psrpc.Internal, "the handler did not start")
		}
		return nil
	case <-time.After(launchSeconds * time.Second):
		_ = cmd.Process.Kill()
		return psrpc.NewErrorf(psrpc.DeadlineExceeded, "the handler did not start in time")
	}
}

// ended clears up after a handler; one that was killed or crashed could not report its end, so
// it is reported here, as it was when it was accepted.
func (w *worker) ended(info *livekit.EgressInfo, err error, temporary string) {
	w.mu.Lock()
	delete(w.handlers, info.EgressId)
	w.mu.Unlock()
	if err != nil {
		logger.Warnw("handler died", err, "egressID", info.EgressId)
		now := time.Now().UnixNano()
		info.Status = livekit.EgressStatus_EGRESS_FAILED
		info.Error = err.Error()
		info.ErrorCode = http.StatusInternalServerError
		info.UpdatedAt, info.EndedAt = now, now
		tell(w.io, snapshot(info))
	}
	_ = os.RemoveAll(temporary)
}

func (w *worker) ids() []string {
	w.mu.Lock()
	defer w.mu.Unlock()
	ids := make([]string, 0, len(w.handlers))
	for id := range w.handlers {
		ids = append(ids, id)
	}
	return ids
}

func (w *worker) signal(s syscall.Signal) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, cmd := range w.handlers {
		_ = cmd.Process.Signal(s)
	}
}

// tell reports a state to livekit-server, again and again while nobody answers, for a minute.
func tell(client rpc.IOInfoClient, info *livekit.EgressInfo) {
	wait := 500 * time.Millisecond
	for deadline := time.Now().Add(time.Minute); ; wait *= 2 {
		_, err := client.UpdateEgress(context.Background(), info)
		var failure psrpc.Error
		again := errors.As(err, &failure) &&
			(failure.Code() == psrpc.Unavailable || failure.Code() == psrpc.DeadlineExceeded)
		if err != nil {
			logger.Warnw("state was not taken", err, "egressID", info.EgressId, "status", info.Status)
		}
		if !again || time.Now().Add(wait).After(deadline) {
			return
		}
		time.Sleep(wait)
	}
}

// The names of LiveKit's own egress, as far as there is something to say.
var started = prometheus.NewCounterVec(prometheus.CounterOpts{
	Name: "livekit_egress_requests_total", Help: "Egresses started.",
}, []string{"type"})

// listen serves health and metrics where the configuration names ports for them.
func (w *worker) listen() error {
	registry := prometheus.NewRegistry()
	gauge := func(name, help string, value func() float64) {
		registry.MustRegister(prometheus.NewGaugeFunc(prometheus.GaugeOpts{Name: name, Help: help}, value))
	}
	registry.MustRegister(started)
	gauge("livekit_egress_available", "1 while nothing runs.", func() float64 {
		return truth(len(w.ids()) == 0)
	})
	gauge("livekit_egress_can_accept_request", "1 while one more may start.", func() float64 {
		return truth(w.StartEgressAffinity(context.Background(), nil) >= 0)
	})
	gauge("livekit_egress_is_terminating", "1 after SIGTERM.", func() float64 {
		w.mu.Lock()
		defer w.mu.Unlock()
		return truth(w.draining)
	})
	health := http.HandlerFunc(func(answer http.ResponseWriter, _ *http.Request) {
		status := map[string]any{"CpuLoad": 0}
		for _, id := range w.ids() {
			status[id] = "running"
		}
		answer.Header().Set("Content-Type", "application/json")
		_ = json.NewEncoder(answer).Encode(status)
	})
	for port, handler := range map[int]http.Handler{
		w.config.HealthPort:     health,
		w.config.PrometheusPort: promhttp.HandlerFor(registry, promhttp.HandlerOpts{}),
	} {
		if port == 0 {
			continue
		}
		listener, err := net.Listen("tcp", net.JoinHostPort(w.config.Bind, strconv.Itoa(port)))
		if err != nil {
			return err
		}
		server := &http.Server{Handler: handler, ReadHeaderTimeout: 5 * time.Second}
		go func() { _ = server.Serve(listener) }()
	}
	return nil
}

func kindOf(info *livekit.EgressInfo) string {
	kind, _ := egress.GetTypes(info.Request)
	return kind
}

func truth(is bool) float64 {
	if is {
		return 1
	}
	return 0
}

// temporaryVariable names the handler's own folder, which goes with it.
const temporaryVariable = "EGRESS_TEMPORARY"

func temporaryFile(name string) string {
	return filepath.Join(os.Getenv(temporaryVariable), name)
}
